//! What a drain waits for, by service; and that a deadline tries the sockets before it closes a
//! connection.

use oneloop::core::Turn;
use oneloop::core::conn::Conn;
use oneloop::core::engine::Dial;
use oneloop::core::timers::Timeouts;

use crate::bench::Bench;
use crate::net::check::DRAIN_IDLE;
use crate::net::kernel::Attempt;
use crate::net::remote::Found;

fn bench() -> Bench {
    Bench::new(Timeouts::default())
}

fn drain(bench: &mut Bench) {
    bench.engine.drain(DRAIN_IDLE, &mut Turn::new(bench.now, &mut bench.events));
}

#[test]
fn a_drain_closes_a_relay_in_which_nobody_has_spoken() {
    let mut bench = bench();
    let (key, client, target) = bench.relay();
    bench.turn_at(40);
    drain(&mut bench);
    bench.turn();
    assert!(bench.ended(key, "Drained"), "it was quiet before the drain");
    assert_eq!((bench.read(client), bench.read(target)), (Found::Eof, Found::Eof));
}

#[test]
fn a_drain_closes_a_quiet_relay_in_which_the_target_spoke_last() {
    let mut bench = bench();
    let (key, client, target) = bench.relay();
    bench.turn_at(40);
    bench.say(client, b"request");
    bench.turn_at(41);
    bench.say(target, b"answer");
    drain(&mut bench);
    bench.turn_at(41 + DRAIN_IDLE - 1);
    assert_eq!(bench.engine.len(), 1, "the answer may go on");
    bench.turn_at(41 + DRAIN_IDLE);
    assert!(bench.ended(key, "Drained"));
    assert_eq!(bench.read(client), Found::Bytes(b"answer".to_vec()));
    assert_eq!(bench.read(client), Found::Eof);
}

#[test]
fn a_drain_waits_for_the_answer_to_a_client_that_spoke_last() {
    let mut bench = bench();
    let (key, client, target) = bench.relay();
    bench.say(client, b"request");
    drain(&mut bench);
    bench.turn_at(500);
    bench.say(target, b"a late answer");
    assert_eq!(bench.read(client), Found::Bytes(b"a late answer".to_vec()));
    bench.turn_at(500 + DRAIN_IDLE);
    assert!(bench.ended(key, "Drained"), "answered, and then quiet");
    assert_eq!(bench.read(client), Found::Eof);
}

#[test]
fn a_client_without_an_answer_is_reset_when_the_drain_is_over() {
    let mut bench = bench();
    let (key, client, _) = bench.relay();
    bench.say(client, b"request");
    drain(&mut bench);
    bench.turn_at(500);
    bench.engine.cut(&mut Turn::new(bench.now, &mut bench.events));
    assert!(bench.ended(key, "Cut"));
    assert_eq!(bench.read(client), Found::Reset);
}

#[test]
fn a_request_that_crosses_an_answer_is_still_unanswered() {
    let mut bench = bench();
    let (_, client, target) = bench.relay();
    // Both arrive in one turn, so their order is unknown.
    bench.net.borrow_mut().remote_write(client, b"second request");
    bench.net.borrow_mut().remote_write(target, b"first answer");
    bench.turn();
    drain(&mut bench);
    bench.turn_at(500);
    assert_eq!(bench.engine.len(), 1);
}

#[test]
fn a_drain_closes_a_service_when_all_is_sent_and_it_was_quiet() {
    for wire in [Conn::echo, Conn::discard, |socket| Conn::local(socket, None)] {
        let mut bench = bench();
        let (key, id) = bench.open(wire);
        bench.turn_at(40);
        bench.say(id, b"x");
        drain(&mut bench);
        bench.turn_at(40 + DRAIN_IDLE - 1);
        assert_eq!(bench.engine.len(), 1, "it was not quiet for long enough");
        bench.turn_at(40 + DRAIN_IDLE);
        assert!(bench.ended(key, "Drained"));
    }
}

#[test]
fn a_drain_waits_for_unsent_bytes() {
    let mut bench = bench();
    bench.room = 5;
    let (key, id) = bench.open(Conn::echo);
    bench.say(id, b"12345");
    bench.say(id, b"67890");
    drain(&mut bench);
    bench.turn_at(500);
    assert_eq!(bench.engine.len(), 1, "it still has something to write");
    assert_eq!(bench.read(id), Found::Bytes(b"12345".to_vec()));
    bench.turn();
    bench.turn_at(500 + DRAIN_IDLE);
    assert!(bench.ended(key, "Drained"));
    assert_eq!(bench.read(id), Found::Bytes(b"67890".to_vec()));
    assert_eq!(bench.read(id), Found::Eof);
}

#[test]
fn a_drain_closes_what_would_never_end_at_once() {
    let mut bench = bench();
    let (blocked, _) = bench.open(Conn::chargen);
    bench.room = 1 << 20;
    let (flowing, _) = bench.open(Conn::chargen);
    drain(&mut bench);
    bench.turn();
    assert!(bench.ended(blocked, "Drained") && bench.ended(flowing, "Drained"));
}

#[test]
fn a_drain_lets_a_half_closed_relay_finish() {
    let mut bench = bench();
    let (key, client, target) = bench.relay();
    bench.fin(client);
    drain(&mut bench);
    bench.turn_at(600);
    bench.say(target, b"a late answer");
    assert_eq!(bench.read(client), Found::Bytes(b"a late answer".to_vec()));
    bench.fin(target);
    assert!(bench.ended(key, "Finished"));
}

#[test]
fn a_drained_relay_looks_once_more_for_bytes_that_no_event_told_of() {
    let mut bench = bench();
    let (_, client, target) = bench.relay();
    bench.turn_at(40);
    drain(&mut bench);
    bench.net.borrow_mut().remote_write(client, b"just now");
    bench.engine.expire(&mut Turn::new(bench.now, &mut bench.events));
    assert_eq!(bench.read(target), Found::Bytes(b"just now".to_vec()));
    assert_eq!(bench.engine.len(), 1, "it is not idle");
    bench.turn_at(500);
    assert_eq!(bench.engine.len(), 1, "and its client waits for an answer");
}

#[test]
fn bytes_that_wait_save_a_connection_from_its_idle_timeout() {
    let mut bench = Bench::new(Timeouts { idle: Some(50), ..Timeouts::default() });
    let (key, id) = bench.open(Conn::echo);
    bench.net.borrow_mut().remote_write(id, b"waits");
    // The process was stopped for longer than the timeout, and the poll's batch was full.
    bench.expire_at(1000);
    assert_eq!(bench.read(id), Found::Bytes(b"waits".to_vec()));
    assert_eq!((bench.engine.len(), bench.count("Idle, again: true")), (1, 1));
    bench.turn_at(1049);
    assert_eq!(bench.engine.len(), 1);
    bench.turn_at(1050);
    assert!(bench.ended(key, "IdleTimeout"), "silence still ends it");
}

#[test]
fn bytes_that_wait_save_a_relay_from_its_half_close_timeout() {
    let mut bench = Bench::new(Timeouts { half_close: Some(20), ..Timeouts::default() });
    let (key, client, target) = bench.relay();
    bench.fin(client);
    bench.net.borrow_mut().remote_write(target, b"answer");
    bench.expire_at(1000);
    assert_eq!(bench.read(client), Found::Bytes(b"answer".to_vec()));
    bench.expire_at(1020);
    assert!(bench.ended(key, "HalfCloseTimeout"));
}

#[test]
fn a_target_that_is_connected_is_not_given_up_though_no_event_told_of_it() {
    let mut bench = Bench::new(Timeouts { connect: Some(50), ..Timeouts::default() });
    let (key, client) = bench.open(Conn::relay);
    bench.net.borrow_mut().remote_write(client, b"request");
    let target = bench.dial(key, Attempt::Done);
    bench.expire_at(1000);
    assert!(matches!(bench.engine.dials()[..], [(_, Dial::Over)]));
    assert_eq!(bench.read(target), Found::Bytes(b"request".to_vec()));
    let silent = bench.insert(Conn::relay).0;
    bench.dial(silent, Attempt::BlackHole);
    bench.turn();
    bench.expire_at(1050);
    assert!(matches!(bench.engine.dials()[..], [(_, Dial::Failed(_))]), "silence still does");
}

#[test]
fn a_lingering_service_sees_the_end_that_waits() {
    let mut bench = bench();
    let (key, id) = bench.open(|socket| Conn::say(socket, None));
    bench.net.borrow_mut().remote_fin(id);
    bench.expire_at(1000);
    assert_eq!(bench.count("#1.0 EndOfFile"), 1);
    assert_eq!(bench.count("Linger, again: false"), 0, "its peer ended it, not the deadline");
    assert!(bench.ended(key, "Served"));
}

#[test]
fn a_connection_that_was_asked_in_vain_goes_on_as_before() {
    let mut bench = Bench::new(Timeouts { idle: Some(50), ..Timeouts::default() });
    let (_, id) = bench.open(Conn::echo);
    bench.net.borrow_mut().remote_write(id, b"x");
    bench.expire_at(1000);
    let before = bench.count("ReadBlocked");
    bench.say(id, b"one read and one write");
    assert_eq!(bench.count("ReadBlocked"), before, "a short read is enough again");
}
