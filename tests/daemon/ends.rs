//! How a relayed connection ends with FINs: each direction by itself, after its last byte.

use rustix::process::Signal;

use crate::pattern::bytes;
use crate::relay::{KINDS, RelayedPair, TestRelay, pair};
use crate::target::Target;
use crate::test_daemon::TestDaemon;
use crate::test_stream::End;
use crate::wait::until;

#[test]
fn the_end_of_the_client_passes_on_and_the_late_answer_comes_back() {
    for kinds in KINDS {
        let RelayedPair { mut client, mut target, relay } = pair(kinds, "");
        let daemon = &relay.daemon;
        client.send(b"question");
        client.finish();
        assert_eq!(target.rest(), b"question");
        // Whatever the relay does after the FIN, it has done before this.
        daemon.says(".b shut down");
        for part in 0..3 {
            target.send(&bytes(part, 100_000));
            assert!(client.get(100_000) == bytes(part, 100_000), "{kinds:?}");
        }
        target.finish();
        assert_eq!(client.rest(), b"");
        daemon.says("closed: finished, FIN from client first, 8 B up, 300000 B down");
    }
}

#[test]
fn the_end_of_the_target_passes_on_and_what_the_client_still_says_arrives() {
    for kinds in KINDS {
        let RelayedPair { mut client, mut target, relay } = pair(kinds, "");
        let daemon = &relay.daemon;
        target.send(b"greeting");
        target.finish();
        assert_eq!(client.rest(), b"greeting");
        daemon.says(".a shut down");
        for part in 0..3 {
            client.send(&bytes(part, 100_000));
            assert!(target.get(100_000) == bytes(part, 100_000), "{kinds:?}");
        }
        client.finish();
        assert_eq!(target.rest(), b"");
        daemon.says("closed: finished, FIN from target first, 300000 B up, 8 B down");
    }
}

#[test]
fn both_ends_at_once_are_two_ends_in_order() {
    for kinds in KINDS {
        let RelayedPair { mut client, mut target, relay } = pair(kinds, "");
        let daemon = &relay.daemon;
        // One turn finds both.
        daemon.signal(Signal::STOP);
        client.send(b"a");
        target.send(b"b");
        client.finish();
        target.finish();
        daemon.signal(Signal::CONT);
        assert_eq!((client.rest(), target.rest()), (b"b".to_vec(), b"a".to_vec()));
        daemon.says("closed: finished");
    }
}

#[test]
fn the_end_comes_after_the_last_byte_however_slow_the_reader_is() {
    const LENGTH: usize = 20_000_000;
    for kinds in KINDS {
        let RelayedPair { mut client, mut target, relay } = pair(kinds, "");
        let daemon = &relay.daemon;
        let sending = std::thread::spawn(move || {
            client.send(&bytes(3, LENGTH));
            client.finish();
            client
        });
        // The sender is blocked, and none of its bytes may be lost.
        until("the relay is blocked", || {
            let before = daemon.cpu();
            std::thread::sleep(std::time::Duration::from_millis(30));
            (daemon.cpu() == before).then_some(())
        });
        assert!(target.rest() == bytes(3, LENGTH), "{kinds:?}");
        target.finish();
        assert_eq!(sending.join().unwrap().rest(), b"");
    }
}

#[test]
fn a_half_closed_connection_waits_for_as_long_as_it_wants() {
    for kinds in KINDS {
        let RelayedPair { client, mut target, relay } = pair(kinds, "--connect-timeout 100ms");
        let daemon = &relay.daemon;
        client.finish();
        assert_eq!(target.rest(), b"");
        daemon.says(".b shut down");
        // The deadline of the connection attempt is removed when it is due, and no other was armed.
        until("no deadline is set", || daemon.dump().contains("timers: 0 deadlines").then_some(()));
    }
}

#[test]
fn the_question_and_the_end_of_a_hasty_client_wait_for_the_target() {
    for kinds in KINDS {
        // The daemon finds the bytes and the FIN when it accepts the client.
        let RelayedPair { relay, .. } = pair(kinds, "");
        let TestRelay { daemon, listener, .. } = &relay;
        daemon.signal(Signal::STOP);
        let mut client = daemon.client(0);
        client.send(b"all at once");
        client.finish();
        daemon.signal(Signal::CONT);
        let mut target = listener.accept();
        assert_eq!(target.rest(), b"all at once");
        target.send(b"answer");
        target.finish();
        assert_eq!(client.rest(), b"answer");
    }
}

#[test]
fn a_client_that_leaves_before_the_last_answer_is_a_loss_and_shows_as_one() {
    let RelayedPair { mut client, mut target, relay } = pair(("tcp", "tcp"), "");
    let daemon = &relay.daemon;
    client.send(b"question");
    assert_eq!(target.get(8), b"question");
    // It closes with unread data: its kernel resets the connection.
    target.send(b"unwanted");
    until("the answer", || client.peek());
    drop(client);
    let (bytes, end) = target.ending();
    assert_eq!((bytes.len(), end), (0, End::Rst));
    daemon.says("closed: reset by client");
}

#[test]
fn a_unix_peer_that_leaves_with_bytes_unread_is_a_loss_too() {
    let RelayedPair { mut client, mut target, relay } = pair(("tcp", "unix"), "");
    let daemon = &relay.daemon;
    client.send(b"question");
    until("the question", || target.peek());
    target.send(b"half an answer");
    drop(target);
    assert_eq!(client.ending(), (b"half an answer".to_vec(), End::Rst));
    daemon.says("closed: reset by target");
}

#[test]
fn a_finished_connection_leaves_nothing_behind() {
    let target = Target::tcp();
    let daemon = TestDaemon::start(&format!("relay 127.0.0.1:0 {}", target.address()));
    let before = daemon.files();
    for number in 0..50 {
        let client = daemon.client(0);
        let other = target.accept();
        match number % 4 {
            0 => client.reset(),
            1 => other.reset(),
            _ => drop((client, other)),
        }
    }
    until("all are closed", || (daemon.files() == before).then_some(()));
}
