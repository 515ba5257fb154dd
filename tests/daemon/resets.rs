//! A reset on one side becomes a reset on the other, in every state of the connection.

use rustix::process::Signal;

use crate::black_hole::BlackHole;
use crate::pattern::{byte, bytes};
use crate::relay::{RelayedPair, pair};
use crate::scratch::Scratch;
use crate::target::{RefusingAddress, Target};
use crate::test_daemon::TestDaemon;
use crate::test_stream::End;
use crate::wait::until;

/// TCP on both sides: Unix sockets have no reset.
const TCP: (&str, &str) = ("tcp", "tcp");

#[test]
fn a_reset_of_either_side_reaches_the_other_as_a_reset() {
    for side in ["client", "target"] {
        let (relay, gone, mut left) = pair(TCP, "").with_first(side);
        gone.reset();
        left.expect_reset();
        relay.daemon.says(&format!("closed: reset by {side} (Connection reset by peer)"));
    }
}

#[test]
fn what_was_sent_before_a_reset_arrives_before_it() {
    for side in ["client", "target"] {
        let (_relay, mut gone, mut left) = pair(TCP, "").with_first(side);
        gone.send(&bytes(1, 30_000));
        gone.reset();
        let (before, end) = left.ending();
        assert!(before == bytes(1, 30_000) && end == End::Rst, "{} {end:?}", before.len());
    }
}

#[test]
fn a_target_that_speaks_and_resets_at_once_was_connected_all_the_same() {
    let target = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = target.local_addr().unwrap();
    let speaker = std::thread::spawn(move || {
        for _ in 0..50 {
            let (mut socket, _) = target.accept().unwrap();
            std::io::Write::write_all(&mut socket, b"hello").unwrap();
            let linger = Some(std::time::Duration::ZERO);
            socket2::SockRef::from(&socket).set_linger(linger).unwrap();
        }
    });
    let daemon = TestDaemon::start(&format!("relay 127.0.0.1:0 {address} -v"));
    for _ in 0..50 {
        // How much arrives before the reset depends on the kernel.
        let (heard, end) = daemon.read_all(0);
        assert!(end == End::Rst && b"hello".starts_with(&heard), "{heard:?} {end:?}");
    }
    speaker.join().unwrap();
    // All data of the target has arrived.
    let closed = "closed: reset by target (Connection reset by peer), RST from target first, \
                  0 B up, 5 B down";
    daemon.says_often(50, closed);
    assert_eq!((daemon.count(".b connected after "), daemon.count("no targets left")), (50, 0));
}

#[test]
fn a_reset_after_the_end_of_the_other_direction_is_noticed() {
    for side in ["client", "target"] {
        let (relay, mut gone, mut left) = pair(TCP, "").with_first(side);
        left.finish();
        assert_eq!(gone.rest(), b"");
        gone.reset();
        left.expect_reset();
        relay.daemon.says(&format!("closed: reset by {side}"));
    }
}

#[test]
fn a_reset_after_its_own_end_is_noticed() {
    for side in ["client", "target"] {
        let (relay, gone, mut left) = pair(TCP, "").with_first(side);
        gone.finish();
        assert_eq!(left.rest(), b"");
        gone.reset();
        // The FIN came first; a later reset is only reported as an error.
        left.error();
        relay.daemon.says(&format!("closed: {side} closed without waiting for our FIN"));
    }
}

#[test]
fn a_reset_is_noticed_while_the_other_side_is_blocked() {
    for side in ["client", "target"] {
        let (relay, mut gone, mut left) = pair(TCP, "").with_first(side);
        let sent = gone.flood(&relay.daemon, |at| byte(1, at));
        gone.reset();
        relay.daemon.says(&format!("closed: reset by {side}"));
        let (before, end) = left.ending();
        assert_eq!(end, End::Rst);
        assert!(before.len() <= sent && before == bytes(1, before.len()), "{}", before.len());
    }
}

#[test]
fn a_reset_is_noticed_while_both_directions_are_blocked() {
    let RelayedPair { mut client, mut target, relay } = pair(TCP, "");
    client.flood(&relay.daemon, |at| byte(1, at));
    target.flood(&relay.daemon, |at| byte(2, at));
    target.reset();
    relay.daemon.says("closed: reset by target");
    let (before, end) = client.ending();
    assert!(end == End::Rst && before == bytes(2, before.len()));
}

#[test]
fn a_target_that_refuses_shows_as_a_reset() {
    let refusing = RefusingAddress::new();
    let daemon = TestDaemon::start(&format!("relay 127.0.0.1:0 {} -v", refusing.address()));
    daemon.resets(0);
    daemon.signal(Signal::STOP);
    let mut hasty = daemon.client(0);
    hasty.send(b"hello");
    daemon.signal(Signal::CONT);
    hasty.expect_reset();
    daemon.says_often(2, "closed: refused (Connection refused)");
}

#[test]
fn a_target_that_dies_with_bytes_unread_is_never_a_clean_end() {
    let RelayedPair { mut client, mut target, relay } = pair(TCP, "");
    client.send(b"a question that nobody reads");
    until("the question", || target.peek());
    target.send(b"half an answer");
    assert_eq!(client.get(14), b"half an answer");
    // Unread data makes its kernel reset the connection.
    drop(target);
    client.expect_reset();
    relay.daemon.says("closed: reset by target");
}

#[test]
fn a_client_that_resets_an_echo_harms_nobody_else() {
    let daemon = TestDaemon::start("echo 127.0.0.1:0 -v");
    let mut other = daemon.client(0);
    for number in 1..=50 {
        let mut client = daemon.client(0);
        client.send(&bytes(number, 1000));
        client.reset();
        other.echo(b"still here");
    }
    daemon.says_often(50, "closed: reset by client");
    other.finish();
    assert_eq!(other.rest(), b"");
}

#[test]
fn an_echo_that_is_blocked_sees_the_reset_of_its_client() {
    let daemon = TestDaemon::start("echo 127.0.0.1:0 -v");
    let mut client = daemon.client(0);
    client.flood(&daemon, |at| byte(1, at));
    client.reset();
    daemon.says("closed: reset by client");
}

#[test]
fn a_loss_behind_a_unix_socket_is_told_as_far_as_such_sockets_can() {
    // Unread data makes the kernel reset the connection to our peer.
    let refusing = RefusingAddress::new();
    let scratch = Scratch::new();
    let line = format!("relay {} {} -v", scratch.unix("x"), refusing.address());
    let daemon = TestDaemon::start(&line);
    daemon.signal(Signal::STOP);
    let mut client = daemon.client(0);
    client.send(b"hello");
    daemon.signal(Signal::CONT);
    client.expect_reset();
    // Without unread data the peer receives a FIN. Its next write fails.
    let mut silent = daemon.client(0);
    assert_eq!(silent.rest(), b"");
    let error = std::io::Write::write(&mut silent, b"hello").unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
}

#[test]
fn a_client_that_goes_while_its_target_is_dialled_is_not_waited_for() {
    let hole = BlackHole::new();
    let line = format!("relay 127.0.0.1:0 {} -v --connect-timeout 1h", hole.address());
    let daemon = TestDaemon::start(&line);
    let before = daemon.files();
    let client = daemon.client(0);
    daemon.says("dialing");
    client.reset();
    daemon.says(
        "closed: abandoned while connecting (Connection reset by peer), RST from client first",
    );
    until("its files are closed", || (daemon.files() == before).then_some(()));
}

#[test]
fn a_closed_target_that_is_written_to_resets_the_client() {
    let target = Target::tcp();
    let daemon = TestDaemon::start(&format!("relay 127.0.0.1:0 {} -v", target.address()));
    let mut client = daemon.client(0);
    // A FIN first: only data sent to it afterwards is lost.
    drop(target.accept());
    assert_eq!(client.rest(), b"");
    client.send(b"anybody?");
    client.error();
    daemon.says("closed: target closed without waiting for our FIN (Broken pipe), ");
}

#[test]
fn what_a_target_said_before_its_reset_arrives_even_if_a_write_meets_the_reset_first() {
    for side in ["client", "target"] {
        let (relay, mut gone, mut left) = pair(TCP, "").with_first(side);
        // One turn finds both: data for the side that is gone, and data from it.
        relay.daemon.signal(Signal::STOP);
        left.send(b"too late");
        gone.send(b"last words");
        gone.reset();
        relay.daemon.signal(Signal::CONT);
        assert_eq!(left.ending(), (b"last words".to_vec(), End::Rst), "of the {side}");
    }
}
