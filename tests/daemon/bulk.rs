//! Bulk transfers through a relay, which splices them through pipes: all promises hold.

use std::net::TcpListener;
use std::thread;

use rustix::net::{SendFlags, send};
use socket2::SockRef;

use crate::full::leave;
use crate::pattern::{byte, bytes};
use crate::relay::{KINDS, RelayedPair, pair};
use crate::target::Target;
use crate::test_daemon::TestDaemon;
use crate::test_stream::{End, TestStream};
use crate::wait::until;

const LENGTH: usize = 12_000_000;

#[test]
fn urgent_data_in_the_middle_of_a_bulk_strands_no_byte() {
    let RelayedPair { client, mut target, relay: _relay } = pair(("tcp", "tcp"), "");
    let writing = thread::spawn(move || {
        let (mut client, text) = (client, bytes(1, LENGTH));
        for piece in text.chunks(LENGTH / 8) {
            client.send(piece);
            send(&client, b"!", SendFlags::OOB).unwrap();
        }
        client.finish();
        client
    });
    let got = target.rest();
    assert_eq!(without_marks(&got), LENGTH, "of {} bytes", got.len());
    target.send(b"and back");
    assert_eq!(writing.join().unwrap().get(8), b"and back");
}

/// Counts the bytes that arrived as sent. TCP stores one urgent byte: when the next one arrives,
/// the earlier becomes an ordinary byte at its position.
fn without_marks(got: &[u8]) -> usize {
    let mut good = 0;
    for value in got {
        let is_mark = good > 0 && good % (LENGTH / 8) == 0 && *value == b'!';
        match *value == byte(1, good) {
            true => good += 1,
            false if is_mark => {}
            false => return good,
        }
    }
    good
}

#[test]
fn a_reset_in_the_middle_of_a_bulk_is_never_a_clean_end() {
    let RelayedPair { mut client, mut target, relay } = pair(("tcp", "tcp"), "");
    let writing = thread::spawn(move || {
        client.send(&bytes(1, LENGTH));
        client.reset();
    });
    let (got, end) = target.ending();
    writing.join().unwrap();
    assert_eq!(end, End::Rst);
    assert!(got == bytes(1, got.len()), "{} bytes", got.len());
    relay.daemon.says("closed: reset by client");
}

#[test]
fn without_descriptors_for_pipes_a_bulk_passes_all_the_same() {
    let RelayedPair { client, mut target, relay } = pair(("tcp", "tcp"), "");
    leave(&relay.daemon, 0);
    let writing = thread::spawn(move || {
        let mut client = client;
        client.send(&bytes(2, LENGTH));
        client.finish();
        client
    });
    assert!(target.rest() == bytes(2, LENGTH));
    target.finish();
    assert_eq!(writing.join().unwrap().rest(), b"");
}

#[test]
fn many_blocked_bulks_take_no_more_pipes_than_there_are_and_lose_nothing() {
    const PAIRS: usize = 66;
    const TEXT: usize = 1 << 20;
    let text = bytes(7, TEXT);
    let byte_at = |number: usize, at: usize| text[(at + number * 4099) % TEXT];
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    // Small socket buffers, so that it blocks early.
    SockRef::from(&listener).set_recv_buffer_size(262_144).unwrap();
    let target = Target::Tcp(listener);
    let daemon = TestDaemon::start(&format!("relay 127.0.0.1:0 {}", target.address()));
    let files = daemon.files();
    daemon.client(0).finish();
    assert_eq!(target.accept().rest(), b"");
    until("it is gone", || (daemon.files() == files).then_some(()));
    let memory = daemon.memory();
    let pairs: Vec<(TestStream, TestStream)> = (0..PAIRS)
        .map(|_| {
            let client = daemon.client(0);
            SockRef::from(&client).set_send_buffer_size(262_144).unwrap();
            (client, target.accept())
        })
        .collect();
    // Each writes as fast as it can, so that more data is there than one read returns.
    let flood = |(number, (mut client, other)): (usize, (TestStream, TestStream))| {
        let sent = client.flood(&daemon, |at| byte_at(number, at));
        (client, other, sent)
    };
    let pairs: Vec<(TestStream, TestStream, usize)> = thread::scope(|scope| {
        let flood = &flood;
        let floods: Vec<_> =
            pairs.into_iter().enumerate().map(|pair| scope.spawn(move || flood(pair))).collect();
        floods.into_iter().map(|flood| flood.join().unwrap()).collect()
    });
    // Some unsent bytes are in pipes; when no pipe is left, others are in buffers.
    let pipes = daemon.files() - files - 2 * PAIRS;
    assert!((2..=2 * 64).contains(&pipes) || cfg!(mio_unsupported_force_poll_poll), "{pipes}");
    let grown = daemon.memory().saturating_sub(memory);
    assert!(grown <= (PAIRS as u64) * 65_536 + (1 << 20), "{grown} bytes");
    for (number, (client, mut other, sent)) in pairs.into_iter().enumerate() {
        client.finish();
        let got = other.rest();
        assert_eq!(got.len(), sent, "pair {number}");
        let wrong = (0..sent).find(|at| got[*at] != byte_at(number, *at));
        assert_eq!(wrong, None, "pair {number}");
    }
    let left = daemon.dump();
    assert!(left.contains(" 0 bytes unsent"), "{left}");
}

#[test]
fn a_bulk_that_becomes_a_talk_and_a_bulk_again_arrives_in_order() {
    for kinds in KINDS {
        let RelayedPair { client, mut target, relay: _relay } = pair(kinds, "");
        let writing = thread::spawn(move || {
            let mut client = client;
            for round in 0..5 {
                client.send(&bytes(round, 2_000_000));
                for value in 0..50 {
                    client.send(&[value]);
                    assert_eq!(client.get(1), [value]);
                }
            }
            client.finish();
        });
        for round in 0..5 {
            assert!(target.get(2_000_000) == bytes(round, 2_000_000), "{kinds:?}");
            for value in 0..50 {
                assert_eq!(target.get(1), [value]);
                target.send(&[value]);
            }
        }
        assert_eq!(target.rest(), b"");
        writing.join().unwrap();
    }
}
