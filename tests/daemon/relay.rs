//! The relay without failures: every pair of sockets, both directions, all targets in turn.

use std::thread;

use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};
use socket2::SockRef;

use crate::pattern::bytes;
use crate::scratch::Scratch;
use crate::target::Target;
use crate::test_daemon::TestDaemon;
use crate::test_stream::TestStream;

/// A client and a target joined by a relay.
pub struct RelayedPair {
    pub client: TestStream,
    pub target: TestStream,
    pub relay: TestRelay,
}

/// A relay and the listener of its target. It must outlive its pairs.
pub struct TestRelay {
    pub daemon: TestDaemon,
    pub listener: Target,
    _scratch: Scratch,
}

/// The socket kinds of the client and of the target.
pub const KINDS: [(&str, &str); 4] =
    [("tcp", "tcp"), ("tcp", "unix"), ("unix", "tcp"), ("unix", "unix")];

pub fn pair((client, target): (&str, &str), options: &str) -> RelayedPair {
    let scratch = Scratch::new();
    let listen = if client == "tcp" { "127.0.0.1:0".to_string() } else { scratch.unix("x") };
    let listener = if target == "tcp" { Target::tcp() } else { Target::unix() };
    let line = format!("relay {listen} {} -v {options}", listener.address());
    let daemon = TestDaemon::start(&line);
    let client = daemon.client(0);
    let target = listener.accept();
    RelayedPair { client, target, relay: TestRelay { daemon, listener, _scratch: scratch } }
}

impl RelayedPair {
    /// Returns the relay and both sides, with the given one (`client` or `target`) first.
    pub fn with_first(self, side: &str) -> (TestRelay, TestStream, TestStream) {
        let RelayedPair { client, target, relay } = self;
        match side {
            "client" => (relay, client, target),
            _ => (relay, target, client),
        }
    }
}

#[test]
fn every_pair_of_sockets_passes_all_bytes_both_ways_at_once() {
    const LENGTH: usize = 3_000_000;
    for kinds in KINDS {
        let RelayedPair { client, target, relay } = pair(kinds, "");
        let exchange = |mut stream: TestStream, own: u64, other: u64| {
            let mut reader = stream.duplicate();
            let reading =
                thread::spawn(move || assert!(reader.get(LENGTH) == bytes(other, LENGTH)));
            stream.send(&bytes(own, LENGTH));
            reading.join().unwrap();
            stream
        };
        let other = thread::spawn(move || exchange(target, 2, 1));
        let mut client = exchange(client, 1, 2);
        let mut target = other.join().unwrap();
        client.finish();
        assert_eq!(target.rest(), b"");
        target.finish();
        assert_eq!(client.rest(), b"");
        relay.daemon.says("closed: finished, FIN from client first, 3000000 B up, 3000000 B down");
    }
}

#[test]
fn small_messages_pass_one_by_one_in_both_directions() {
    for kinds in KINDS {
        let RelayedPair { mut client, mut target, relay: _relay } = pair(kinds, "");
        for number in 0..500 {
            let message = bytes(number, 1 + number as usize % 7);
            client.send(&message);
            assert_eq!(target.get(message.len()), message);
            target.send(&message);
            assert_eq!(client.get(message.len()), message);
        }
    }
}

#[test]
fn a_target_that_speaks_first_is_heard_by_a_client_that_says_nothing() {
    for kinds in KINDS {
        let RelayedPair { mut client, mut target, relay: _relay } = pair(kinds, "");
        target.send(b"220 hello");
        assert_eq!(client.get(9), b"220 hello");
    }
}

#[test]
fn small_messages_are_sent_at_once_on_both_sides() {
    let pair = pair(("tcp", "tcp"), "");
    let pid = Pid::from_raw(pair.relay.daemon.pid() as i32).unwrap();
    let process = pidfd_open(pid, PidfdFlags::empty()).unwrap();
    let mut found = 0;
    for number in 3..64 {
        let file = match pidfd_getfd(&process, number, PidfdGetfdFlags::empty()) {
            Ok(file) => file,
            Err(rustix::io::Errno::BADF) => continue,
            Err(error) => return println!("skipped: its sockets cannot be looked at: {error}"),
        };
        let socket = SockRef::from(&file);
        let is_tcp = |address: socket2::SockAddr| address.as_socket().is_some();
        if socket.peer_addr().is_ok_and(is_tcp) {
            assert!(socket.tcp_nodelay().unwrap(), "descriptor {number}");
            found += 1;
        }
    }
    assert_eq!(found, 2, "not both sockets of the relay were found");
}

#[test]
fn targets_take_turns() {
    let targets = [Target::tcp(), Target::unix(), Target::tcp()];
    let addresses: Vec<String> = targets.iter().map(Target::address).collect();
    let daemon = TestDaemon::start(&format!("relay 127.0.0.1:0 {}", addresses.join(" ")));
    for number in 0..9 {
        let mut client = daemon.client(0);
        client.send(&[number]);
        assert_eq!(targets[number as usize % 3].accept().get(1), [number]);
    }
}

#[test]
fn routes_have_targets_of_their_own() {
    let targets = [Target::tcp(), Target::tcp()];
    let line = format!(
        "run 127.0.0.1:0=relay:{} 127.0.0.1:0=relay:{}",
        targets[0].address(),
        targets[1].address()
    );
    let daemon = TestDaemon::start(&line);
    for number in [1, 0, 0, 1] {
        daemon.client(number).send(&[number as u8]);
        assert_eq!(targets[number].accept().get(1), [number as u8]);
    }
}

#[test]
fn relays_in_a_row_are_as_faithful_as_one() {
    let target = Target::tcp();
    let last = TestDaemon::start(&format!("relay 127.0.0.1:0 {}", target.address()));
    let middle = TestDaemon::start(&format!("relay 127.0.0.1:0 {}", last.address(0)));
    let first = TestDaemon::start(&format!("relay 127.0.0.1:0 {}", middle.address(0)));
    let mut client = first.client(0);
    client.send(b"question");
    client.finish();
    let mut other = target.accept();
    assert_eq!(other.rest(), b"question");
    other.send(&bytes(1, 1_000_000));
    other.finish();
    assert!(client.rest() == bytes(1, 1_000_000));
    let client = first.client(0);
    let mut other = target.accept();
    client.reset();
    other.expect_reset();
}
