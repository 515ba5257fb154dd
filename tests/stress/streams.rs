//! Tests of bulk streams, directly and through a relay.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;

use oneloop::config::{Direction, Listen, LoadKind, StressPlan};
use oneloop::stress::outcome::Outcome;

use crate::tool::{Spare, echo, plan, run, server};

/// Bytes that a stream moves at least during a run, even on a busy machine.
const BYTES_MIN: u64 = 1 << 17;

#[test]
fn a_stream_is_echoed_completely() {
    let outcome = run(&plan(server(echo), LoadKind::Stream, 3));
    let stats = &outcome.loads[0].stats;
    assert!(outcome.is_ok(), "{stats:?}");
    assert!(stats.bytes_in > BYTES_MIN && stats.bytes_out > BYTES_MIN, "{stats:?}");
}

/// Starts a relay to this address, which modifies the bytes of both directions with `change` and
/// forwards an end of file.
fn relay(to: SocketAddr, change: fn(Vec<u8>) -> Vec<u8>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let target = TcpStream::connect(to).unwrap();
            let both =
                [(client.try_clone().unwrap(), target.try_clone().unwrap()), (target, client)];
            for (from, into) in both {
                thread::spawn(move || forward(from, into, change));
            }
        }
    });
    address
}

fn forward(mut from: TcpStream, mut into: TcpStream, change: fn(Vec<u8>) -> Vec<u8>) {
    let mut buffer = vec![0; 65_536];
    while let Ok(bytes @ 1..) = from.read(&mut buffer) {
        if into.write_all(&change(buffer[..bytes].to_vec())).is_err() {
            return;
        }
    }
    let _ = into.shutdown(Shutdown::Write);
}

fn streamed(direction: Direction, change: fn(Vec<u8>) -> Vec<u8>) -> Outcome {
    streamed_as(StressPlan { direction, ..StressPlan::default() }, change)
}

fn streamed_as(how: StressPlan, change: fn(Vec<u8>) -> Vec<u8>) -> Outcome {
    let (direction, no_verify) = (how.direction, how.no_verify);
    let spare = Spare::new();
    let sink = spare.address();
    let listener = relay(sink, change);
    let listen = Listen::parse(&sink.to_string()).unwrap();
    run(&StressPlan {
        direction,
        no_verify,
        sink: Some(listen),
        ..plan(listener, LoadKind::Stream, 2)
    })
}

#[test]
fn a_stream_through_a_relay_is_verified_at_both_ends() {
    for direction in [Direction::Up, Direction::Down, Direction::Both] {
        let outcome = streamed(direction, |bytes| bytes);
        assert!(outcome.is_ok(), "{direction:?} {outcome:?}");
        let (near, far) = (&outcome.loads[0].stats, &outcome.loads[1].stats);
        assert_eq!(
            near.bytes_out > BYTES_MIN,
            direction != Direction::Down,
            "{direction:?} {near:?}"
        );
        assert_eq!(near.bytes_in > BYTES_MIN, direction != Direction::Up, "{direction:?} {near:?}");
        assert_eq!(far.opened, 2, "{direction:?}");
    }
}

#[test]
fn a_counted_stream_must_arrive_completely_but_may_be_modified() {
    let how = || StressPlan { direction: Direction::Up, no_verify: true, ..StressPlan::default() };
    let change = |mut bytes: Vec<u8>| {
        bytes.iter_mut().skip(1_000).for_each(|byte| *byte ^= 1);
        bytes
    };
    let outcome = streamed_as(how(), change);
    assert!(outcome.is_ok(), "{outcome:?}");
    let (near, far) = (&outcome.loads[0].stats, &outcome.loads[1].stats);
    assert!(near.bytes_out > BYTES_MIN && far.bytes_in > BYTES_MIN, "{near:?} {far:?}");
    let lose = |mut bytes: Vec<u8>| {
        bytes.truncate(60_000);
        bytes
    };
    let outcome = streamed_as(how(), lose);
    assert!(outcome.loads[0].stats.integrity_errors.count > 0, "{outcome:?}");
}

#[test]
fn a_byte_modified_by_a_relay_is_an_integrity_error() {
    let change = |mut bytes: Vec<u8>| {
        let last = bytes.len() - 1;
        if bytes.len() > 10_000 {
            bytes[last] ^= 1;
        }
        bytes
    };
    let outcome = streamed(Direction::Up, change);
    assert!(!outcome.is_ok());
    assert!(outcome.loads[1].stats.integrity_errors.count > 0, "{outcome:?}");
}
