//! Tests of the services: greetings, chargen, and fairness under a flood.

use std::time::Duration;

use oneloop::core::Turn;
use oneloop::core::conn::Conn;
use oneloop::core::timers::Timeouts;
use oneloop::service::MESSAGE_BYTES;

use crate::bench::Bench;
use crate::net::kernel::Attempt;
use crate::net::remote::Found;

#[test]
fn a_greeting_hears_a_line_in_pieces_and_ends() {
    let mut bench = Bench::new(Timeouts::default());
    let text = bench.engine.buffers.unsent.store(b"who is there?");
    let (key, id) = bench.open(|socket| Conn::local(socket, Some(text)));
    assert_eq!(bench.read(id), Found::Bytes(b"who is there?".to_vec()));
    for piece in ["a ", "friend", "\nand ", "more"] {
        bench.say(id, piece.as_bytes());
    }
    assert_eq!(bench.count(&format!("Message {{ message: {:?}", b"a friend\n")), 1);
    assert_eq!(bench.read(id), Found::Eof);
    assert_eq!(bench.engine.len(), 1, "it waits for the peer's end");
    bench.fin(id);
    assert!(bench.ended(key, "Served"));
    assert_eq!(bench.engine.buffers.unsent.in_use(), 0);
}

#[test]
fn a_service_that_has_said_its_last_word_waits_two_seconds_whatever_comes() {
    let mut bench = Bench::new(Timeouts::default());
    let text = bench.engine.buffers.unsent.store(b"bye");
    let (key, id) = bench.open(|socket| Conn::say(socket, Some(text)));
    for tick in [5, 10, 15, 19] {
        bench.turn_at(tick);
        bench.say(id, b"wait");
    }
    assert_eq!(bench.engine.len(), 1);
    bench.turn_at(20);
    assert!(bench.ended(key, "Served"));
}

#[test]
fn characters_go_on_where_the_peer_stopped_reading() {
    let mut bench = Bench::new(Timeouts::default());
    bench.room = 7;
    let (_, id) = bench.open(Conn::chargen);
    let mut received = Vec::new();
    while received.len() < 1000 {
        if let Found::Bytes(bytes) = bench.read(id) {
            received.extend(bytes);
        }
        bench.turn();
    }
    let lines: Vec<&[u8]> = received.split(|byte| *byte == b'\n').collect();
    assert!(lines[0].starts_with(b" !\"#") && lines[1].starts_with(b"!\"#$"));
    assert!(lines[..12].iter().all(|line| line.len() == 73));
}

#[test]
fn a_flood_yields_and_others_are_served_in_the_same_turn() {
    let mut bench = Bench::new(Timeouts::default());
    bench.room = 10_000_000;
    let (flood, loud) = bench.open(Conn::discard);
    let (_, quiet) = bench.open(Conn::echo);
    bench.net.borrow_mut().remote_write(loud, &vec![0; 9_000_000]);
    bench.net.borrow_mut().remote_write(quiet, b"hello");
    bench.turn();
    assert_eq!(bench.read(quiet), Found::Bytes(b"hello".to_vec()));
    assert_eq!(bench.count(&format!("#{}.0 Yielded", flood.id)), 1);
    let taken = bench.net.borrow().socks[loud].rx.taken;
    assert_eq!(taken, 16 * 64 * 1024, "a mebibyte is a share");
    assert_eq!(bench.engine.sleep(bench.now), Some(Duration::ZERO), "the rest waits");
    bench.engine.cut(&mut Turn::new(bench.now, &mut bench.events));
    assert!(bench.net.borrow().socks[loud].linger_zero, "not all of it was taken");
    assert_eq!(bench.read(quiet), Found::Eof);
}

#[test]
fn a_spliced_flood_yields_too() {
    let mut bench = Bench::new(Timeouts::default());
    bench.room = 10_000_000;
    bench.net.borrow_mut().splice = 300_000;
    let (key, client, target) = bench.relay();
    bench.net.borrow_mut().remote_write(client, &vec![7; 9_000_000]);
    bench.turn();
    assert!(bench.count("hint: Spliced") > 2, "it is not spliced");
    assert_eq!(bench.count(&format!("#{}.0 Yielded", key.id)), 1);
    let put = bench.net.borrow().socks[target].tx.put;
    assert!((1_000_000..1_400_000).contains(&put), "{put} bytes are a share of a mebibyte?");
}

#[test]
fn a_pipe_with_bytes_in_it_is_not_lent_again() {
    let mut bench = Bench::new(Timeouts::default());
    bench.room = 100_000;
    bench.net.borrow_mut().splice = 20_000;
    let (key, client) = bench.open(Conn::relay);
    bench.room = 70_000;
    let target = bench.dial(key, Attempt::Done);
    bench.turn();
    bench.net.borrow_mut().remote_write(client, &vec![1; 100_000]);
    bench.turn();
    let unsent = &bench.engine.buffers.unsent;
    assert_eq!((unsent.in_use(), unsent.pipes.in_use()), (1, 1), "a pipe is blocked");
    bench.net.borrow_mut().kill(target, std::io::ErrorKind::ConnectionReset);
    bench.turn();
    let unsent = &bench.engine.buffers.unsent;
    assert_eq!((unsent.in_use(), unsent.pipes.in_use()), (0, 0));

    // The next splice would find the bytes left in the pipe.
    bench.room = 90_000;
    let (_, client, target) = bench.relay();
    bench.net.borrow_mut().remote_write(client, &vec![3; 90_000]);
    bench.turn();
    assert_eq!(bench.net.borrow().socks[target].tx.bytes.len(), 90_000);
    assert!(bench.net.borrow().socks[target].tx.bytes.iter().all(|byte| *byte == 3));
}

#[test]
fn a_message_ends_at_its_newline_or_at_its_limit() {
    let long = |bytes: usize| vec![b'x'; bytes];
    // The pieces that are sent, and the length of the message.
    let table: [(&[Vec<u8>], usize); 5] = [
        (&[b"one\ntwo".to_vec()], 4),
        (&[b"o".to_vec(), b"ne".to_vec(), b"\n".to_vec()], 4),
        (&[long(MESSAGE_BYTES - 1), b"\n".to_vec()], MESSAGE_BYTES),
        (&[long(MESSAGE_BYTES - 1), b"yy\n".to_vec()], MESSAGE_BYTES),
        (&[long(MESSAGE_BYTES + 9)], MESSAGE_BYTES),
    ];
    for (pieces, length) in table {
        let mut bench = Bench::new(Timeouts::default());
        bench.room = 100_000;
        let (_, id) = bench.open(|socket| Conn::local(socket, None));
        for (at, piece) in pieces.iter().enumerate() {
            assert_eq!(bench.count("Message {"), 0, "piece {at} of {length}");
            bench.say(id, piece);
        }
        let message = &pieces.concat()[..length];
        assert_eq!(bench.count(&format!("Message {{ message: {message:?} }}")), 1);
        bench.turn();
        assert_eq!(bench.read(id), Found::Eof);
        let locals = &bench.engine.buffers.locals;
        assert_eq!((locals.in_use(), locals.bytes()), (0, 0));
    }
    assert_eq!(MESSAGE_BYTES, 8192);
}
