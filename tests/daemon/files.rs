//! Unix sockets: their files, and descriptors passed through them.

use std::fs::{self, File};
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, symlink};
use std::os::unix::net::UnixListener;

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use rustix::process::Signal;
use socket2::{Domain, SockAddr, Socket, Type};

use crate::command::oneloop;
use crate::pattern::bytes;
use crate::relay::{RelayedPair, pair};
use crate::scratch::Scratch;
use crate::test_daemon::{TestDaemon, fails, is_there};
use crate::test_stream::TestStream;
use crate::wait::until;

impl Scratch {
    /// Creates a socket file without a listener, as a killed process leaves it.
    fn dead(&self, name: &str) {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        socket.bind(&SockAddr::unix(self.path(name)).unwrap()).unwrap();
    }
}

#[test]
fn a_file_on_which_nobody_answers_is_replaced() {
    let scratch = Scratch::new();
    scratch.dead("x");
    let daemon = TestDaemon::start(&format!("echo {}", scratch.unix("x")));
    daemon.client(0).echo(b"here");
    // A killed daemon leaves its file, which does not hinder the next start.
    daemon.signal(Signal::KILL);
    drop(daemon);
    assert!(is_there(&scratch.path("x")));
    TestDaemon::start(&format!("echo {}", scratch.unix("x"))).client(0).echo(b"here again");
}

#[test]
fn a_file_on_which_somebody_answers_is_left_alone() {
    let scratch = Scratch::new();
    let first = TestDaemon::start(&format!("echo {}", scratch.unix("x")));
    for scheme in ["unix", "unix-dgram"] {
        let address = format!("{scheme}:{}", scratch.path("x").display());
        let (code, complaint) = fails(&format!("discard {address}"));
        assert_eq!(code, 1);
        let expected = format!("oneloop: cannot listen on {address}: a process is listening on it");
        assert_eq!(complaint, expected);
    }
    first.client(0).echo(b"undisturbed");
    // The probe of its socket file made no connection.
    assert_eq!(first.dump().matches("opened").count(), 0);
    assert!(first.says("loop: turn ").contains(", 1 opened"));
}

#[test]
fn what_is_no_socket_is_never_touched() {
    let scratch = Scratch::new();
    fs::write(scratch.path("file"), "precious").unwrap();
    fs::create_dir(scratch.path("directory")).unwrap();
    scratch.dead("dead");
    symlink("dead", scratch.path("link")).unwrap();
    for (name, what) in
        [("file", "a regular file"), ("directory", "a directory"), ("link", "a symbolic link")]
    {
        let (code, complaint) = fails(&format!("echo {}", scratch.unix(name)));
        assert_eq!(code, 1);
        let reason = format!(": the path exists and is {what}, not a socket");
        assert!(complaint.ends_with(&reason), "{complaint}");
    }
    assert_eq!(fs::read_to_string(scratch.path("file")).unwrap(), "precious");
    assert!(scratch.path("directory").is_dir() && is_there(&scratch.path("dead")));
    assert_eq!(fs::read_link(scratch.path("link")).unwrap().to_str(), Some("dead"));
}

#[test]
fn a_file_that_somebody_else_has_put_in_its_place_stays() {
    let scratch = Scratch::new();
    let mut daemon = TestDaemon::start(&format!("echo {}", scratch.unix("x")));
    fs::remove_file(scratch.path("x")).unwrap();
    let _other = UnixListener::bind(scratch.path("x")).unwrap();
    let other = scratch.path("x").metadata().unwrap().ino();
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.code(), Some(0));
    assert_eq!(scratch.path("x").metadata().unwrap().ino(), other);
}

#[test]
fn of_two_starts_at_once_over_a_dead_file_one_serves_and_the_other_says_why_not() {
    let scratch = Scratch::new();
    for round in 0..5 {
        let name = format!("x{round}");
        scratch.dead(&name);
        let start = || TestDaemon::spawn(oneloop(&format!("echo {}", scratch.unix(&name))));
        let mut both = [start(), start()];
        until("both are decided", || {
            let decided =
                |daemon: &TestDaemon| daemon.count(" limits: ") + daemon.count("cannot listen");
            (both.iter().map(decided).sum::<usize>() == 2).then_some(())
        });
        let loser = both.iter().position(|daemon| daemon.count("a process is listening") == 1);
        assert_eq!(both[loser.unwrap()].code(), Some(1));
        TestStream::connect(&scratch.unix(&name)).echo(b"the winner");
    }
}

#[test]
fn an_abstract_name_has_no_file_and_is_free_again_after_the_end() {
    let line = format!("unix:@oneloop-files-{}", std::process::id());
    let first = TestDaemon::start(&format!("echo {line}"));
    let (code, complaint) = fails(&format!("echo {line}"));
    assert_eq!(code, 1);
    assert!(complaint.ends_with(": Address already in use"), "{complaint}");
    let relay = TestDaemon::start(&format!("relay 127.0.0.1:0 {line}"));
    relay.client(0).echo(b"through an abstract name");
    drop(first);
    let _second = TestDaemon::start(&format!("echo {line}"));
    relay.client(0).echo(b"and again");
}

/// Sends bytes, with a descriptor attached to the first of them.
fn send_with_descriptor(stream: &TestStream, bytes: &[u8], file: &File) {
    let files = [file.as_fd()];
    let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut room);
    assert!(control.push(SendAncillaryMessage::ScmRights(&files)));
    let sent = sendmsg(stream, &[IoSlice::new(bytes)], &mut control, SendFlags::empty()).unwrap();
    assert_eq!(sent, bytes.len());
}

#[test]
fn a_passed_descriptor_strands_no_byte_and_is_not_kept() {
    let file = File::open("/dev/null").unwrap();
    for kinds in [("unix", "unix"), ("unix", "tcp")] {
        let RelayedPair { mut client, mut target, relay } = pair(kinds, "");
        let daemon = &relay.daemon;
        let before = daemon.files();
        for round in 0..50 {
            // All data is there before the daemon reads: one event for three reads.
            daemon.signal(Signal::STOP);
            client.send(b"one ");
            send_with_descriptor(&client, b"two ", &file);
            client.send(b"three");
            daemon.signal(Signal::CONT);
            assert_eq!(target.get(13), b"one two three", "round {round}");
        }
        assert_eq!(daemon.files(), before);
        client.finish();
        assert_eq!(target.rest(), b"");
    }
}

#[test]
fn large_transfers_over_unix_sockets_arrive_whole() {
    let scratch = Scratch::new();
    let echo = TestDaemon::start(&format!("echo {}", scratch.unix("echo")));
    let relay = TestDaemon::start(&format!("relay {} {}", scratch.unix("relay"), echo.address(0)));
    let mut client = relay.client(0);
    let mut writer = client.duplicate();
    let writing = std::thread::spawn(move || {
        writer.send(&bytes(5, 10_000_000));
        writer.finish();
    });
    assert!(client.rest() == bytes(5, 10_000_000));
    writing.join().unwrap();
}
