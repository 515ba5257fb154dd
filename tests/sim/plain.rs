//! Tests of the engine: keys, deadlines, draining, connection attempts, resets.

use std::time::Duration;

use oneloop::core::conn::{Conn, State};
use oneloop::core::engine::Dial;
use oneloop::core::timers::Timeouts;
use oneloop::core::{Moment, Ready, Reason, Turn};

use crate::bench::Bench;
use crate::net::kernel::Attempt;
use crate::net::remote::Found;

#[test]
fn a_connection_at_rest_is_80_bytes() {
    /// Laid out like the shell's sockets: a kind and a descriptor, eight bytes.
    enum Eight {
        _Tcp(i32),
        _Unix(i32),
    }
    assert!(size_of::<Conn<Eight>>() <= 80, "{} bytes", size_of::<Conn<Eight>>());
}

#[test]
fn an_old_key_finds_nothing() {
    let mut bench = Bench::new(Timeouts::default());
    let (old, _) = bench.open(Conn::echo);
    bench.engine.end(old, Reason::Cut, &mut Turn::new(bench.now, &mut bench.events));
    let (new, id) = bench.open(Conn::echo);
    assert_eq!((old.slot(), old.id + 1), (new.slot(), new.id), "the slot is used again");

    let bits = Ready::READ.with(Ready::WRITE).with(Ready::ERROR);
    bench.engine.mark(old, bits, &mut Turn::new(bench.now, &mut bench.events));
    assert_eq!((bench.count("Stale"), bench.engine.queued()), (1, 0));
    let before = bench.engine.get(new).unwrap().ends.bits(0);
    assert!(bench.engine.get(old).is_none() && !before.has(Ready::READ));
    bench.dial(old, Attempt::Done);
    bench.engine.end(old, Reason::Cut, &mut Turn::new(bench.now, &mut bench.events));
    bench.say(id, b"still here");
    assert_eq!(bench.read(id), Found::Bytes(b"still here".to_vec()));
}

#[test]
fn what_an_operator_closes_is_reset_on_both_sides_of_a_relay_and_on_the_one_of_a_service() {
    let mut bench = Bench::new(Timeouts::default());
    let (relay, client, target) = bench.relay();
    let (echo, alone) = bench.open(Conn::echo);
    for key in [relay, echo] {
        bench.engine.end(key, Reason::Admin, &mut Turn::new(bench.now, &mut bench.events));
        assert!(bench.ended(key, "Admin"));
    }
    let net = bench.net.borrow();
    assert!([client, target, alone].iter().all(|sock| net.socks[*sock].linger_zero));
}

#[test]
fn one_that_ended_in_the_queue_is_not_driven_in_the_place_of_the_next() {
    let mut bench = Bench::new(Timeouts::default());
    let (old, _) = bench.open(Conn::echo);
    bench.engine.mark(old, Ready::READ, &mut Turn::new(bench.now, &mut bench.events));
    bench.engine.end(old, Reason::Cut, &mut Turn::new(bench.now, &mut bench.events));
    let (new, id) = bench.insert(Conn::echo);
    bench.say(id, b"x");
    assert_eq!((old.slot(), bench.count("#2.0 Read {")), (new.slot(), 1));
    let last = bench.events.lines.iter().rev().find(|line| line.starts_with("#1."));
    assert!(last.unwrap().contains("Closed"), "{last:?}");
}

#[test]
fn a_marked_connection_is_queued_once() {
    let mut bench = Bench::new(Timeouts::default());
    let (key, _) = bench.open(Conn::echo);
    for _ in 0..3 {
        bench.engine.mark(key, Ready::READ, &mut Turn::new(bench.now, &mut bench.events));
        bench.engine.mark(key, Ready::WRITE, &mut Turn::new(bench.now, &mut bench.events));
    }
    assert_eq!(bench.engine.queued(), 1);
    assert_eq!(bench.engine.sleep(bench.now), Some(Duration::ZERO));
    bench.turn();
    assert_eq!((bench.engine.queued(), bench.engine.sleep(bench.now)), (0, None));
}

#[test]
fn a_superseded_deadline_is_ignored() {
    let timeouts = Timeouts { idle: Some(100), half_close: Some(25), ..Timeouts::default() };
    let mut bench = Bench::new(timeouts);
    let (key, client, target) = bench.relay();
    assert_eq!(bench.engine.sleep(bench.now), Some(Duration::from_secs(10)));
    bench.turn_at(50);
    bench.fin(client);
    assert_eq!(bench.read(target), Found::Eof);
    assert_eq!(bench.engine.sleep(bench.now), Some(Duration::from_millis(2500)));
    assert_eq!(bench.engine.deadlines(), 2);
    // The half-closed one stays active, past the idle deadline that was set first.
    for tick in [60, 70, 80, 90, 100, 110] {
        bench.turn_at(tick);
        bench.say(target, b"more");
    }
    assert_eq!((bench.count("Idle, again"), bench.engine.deadlines()), (0, 1));
    bench.turn_at(134);
    assert_eq!(bench.engine.len(), 1);
    bench.turn_at(135);
    assert!(bench.ended(key, "HalfCloseTimeout"));
}

#[test]
fn a_deadline_that_a_change_moved_to_the_past_is_no_lag_of_the_loop() {
    let mut bench = Bench::new(Timeouts::default());
    bench.open(Conn::echo);
    bench.now = Moment(100_000_000);
    let timeouts = Timeouts { idle: Some(100), ..Timeouts::default() };
    bench.engine.set_timeouts(0, timeouts);
    bench.turn();
    bench.turn();
    let lag = bench.engine.counts().timer_lag.clone();
    assert_eq!((bench.engine.len(), lag.count(), lag.sum()), (0, 1, Duration::ZERO));
    // The next one is checked three seconds late.
    bench.open(Conn::echo);
    bench.turn_at(1000 + 100 + 30);
    let lag = bench.engine.counts().timer_lag.sum();
    assert_eq!((bench.engine.len(), lag), (0, Duration::from_secs(3)));
}

#[test]
fn a_half_close_is_counted_from_the_end_of_file() {
    let mut bench = Bench::new(Timeouts { half_close: Some(20), ..Timeouts::default() });
    let (key, client, _) = bench.relay();
    bench.turn_at(500);
    bench.fin(client);
    bench.turn_at(519);
    assert_eq!(bench.engine.len(), 1, "it was quiet before, but half-closed only now");
    bench.turn_at(520);
    assert!(bench.ended(key, "HalfCloseTimeout"));
    assert_eq!(bench.read(client), Found::Reset);
}

#[test]
fn a_blocked_sender_wakes_the_loop_once_and_loses_nothing() {
    let mut bench = Bench::new(Timeouts::default());
    let (_, client, target) = bench.relay();
    // One buffer's worth for the target, one that stays unsent, and twelve writes of which only the
    // first causes a wake-up.
    for _ in 0..14 {
        bench.say(client, &[7; 5]);
        bench.net.borrow_mut().socks[target].tx.room = 5;
    }
    assert_eq!(bench.count("ReadOff"), 1);
    let woken = bench.count("Marked");
    bench.say(client, b"and the last ones");
    assert_eq!(bench.count("Marked"), woken, "read events are off");
    let mut received = Vec::new();
    while received.len() < 87 {
        match bench.read(target) {
            Found::Bytes(bytes) => received.extend(bytes),
            found => assert_eq!(found, Found::Nothing),
        }
        bench.turn();
    }
    assert!(received.ends_with(b"\x07and the last ones"));
    assert_eq!(bench.count("ReadOn"), 1);
    bench.say(client, b"heard again");
    assert_eq!(bench.read(target), Found::Bytes(b"heard".to_vec()));
}

#[test]
fn a_flow_stalls_after_a_second_without_progress_and_then_costs_no_timer() {
    let mut bench = Bench::new(Timeouts::default());
    bench.events.stalls = true;
    let (_, client, target) = bench.relay();
    bench.net.borrow_mut().socks[target].tx.room = 5;
    bench.say(client, &[7; 20]);
    // A few bytes move before the second is over, so the time starts again.
    bench.turn_at(8);
    assert_eq!(bench.read(target), Found::Bytes(vec![7; 5]));
    bench.turn();
    bench.turn_at(11);
    bench.turn_at(18);
    assert_eq!(bench.count("Stalled"), 0);
    assert_eq!(bench.engine.sleep(bench.now), Some(Duration::from_millis(100)));
    bench.turn_at(19);
    assert_eq!(bench.count("#1.1 Stalled { unsent: 10, since: Moment(800000)"), 1);
    assert_eq!(bench.engine.sleep(bench.now), None);
    bench.turn_at(60);
    assert_eq!(bench.read(target), Found::Bytes(vec![7; 5]));
    bench.turn();
    assert_eq!(bench.count("#1.1 Resumed { stalled: 5.2s }"), 1);
    assert_eq!(bench.read(target), Found::Bytes(vec![7; 5]));
    bench.turn();
    bench.turn_at(100);
    assert_eq!((bench.count("Stalled"), bench.count("Resumed")), (1, 1));
    assert_eq!(bench.engine.sleep(bench.now), None);
}

#[test]
fn stalls_are_checked_only_while_an_observer_wants_them() {
    let mut bench = Bench::new(Timeouts::default());
    let (_, client, target) = bench.relay();
    bench.net.borrow_mut().socks[target].tx.room = 5;
    bench.say(client, &[7; 20]);
    assert_eq!(bench.engine.sleep(bench.now), None);
    bench.events.stalls = true;
    assert_eq!(bench.read(target), Found::Bytes(vec![7; 5]));
    bench.turn();
    assert!(bench.engine.sleep(bench.now).is_some(), "wanted at run time");
    bench.events.stalls = false;
    bench.turn_at(30);
    assert_eq!((bench.count("Stalled"), bench.engine.sleep(bench.now)), (0, None));
}

#[test]
fn an_event_without_bytes_is_no_activity() {
    let mut bench = Bench::new(Timeouts { idle: Some(50), ..Timeouts::default() });
    let (key, id) = bench.open(Conn::echo);
    bench.turn_at(30);
    bench.say(id, b"x");
    bench.turn_at(50);
    assert_eq!(bench.count("Idle, again: true"), 1, "set anew, as bytes moved at 30");
    bench.engine.mark(key, Ready::READ, &mut Turn::new(bench.now, &mut bench.events));
    bench.turn_at(79);
    assert_eq!(bench.engine.len(), 1);
    bench.turn_at(80);
    assert!(bench.ended(key, "IdleTimeout"));
}

#[test]
fn what_the_client_says_waits_for_a_target_and_a_stale_event_is_no_target() {
    let mut bench = Bench::new(Timeouts { connect: Some(50), ..Timeouts::default() });
    let (key, client) = bench.open(Conn::relay);
    let first = bench.dial(key, Attempt::BlackHole);
    bench.say(client, b"early");
    bench.turn_at(50);
    assert!(matches!(bench.engine.dials()[..], [(_, Dial::Failed(_))]));
    assert!(bench.net.borrow().socks[first].closed);

    // The key is the same for each attempt of a connection.
    let bits = Ready::READ.with(Ready::WRITE).with(Ready::READ_CLOSED).with(Ready::ERROR);
    bench.engine.mark(key.at(1), bits, &mut Turn::new(bench.now, &mut bench.events));
    bench.turn();
    let second = bench.dial(key, Attempt::Done);
    bench.turn();
    assert_eq!(bench.read(second), Found::Bytes(b"early".to_vec()));
    assert!(matches!(bench.engine.dials()[..], [(_, Dial::Over)]));
}

#[test]
fn a_client_that_is_gone_before_a_target_is_found_is_abandoned() {
    let mut bench = Bench::new(Timeouts::default());
    let (key, client) = bench.open(Conn::relay);
    bench.dial(key, Attempt::BlackHole);
    bench.net.borrow_mut().kill(client, std::io::ErrorKind::ConnectionReset);
    bench.turn();
    assert!(bench.ended(key, "Abandoned"));
    assert!(matches!(bench.engine.dials()[..], [(_, Dial::Over)]));
}

#[test]
fn what_came_before_a_reset_is_passed_on_and_then_the_reset() {
    let mut bench = Bench::new(Timeouts::default());
    let (key, client, target) = bench.relay();
    bench.net.borrow_mut().remote_write(target, b"last words");
    bench.net.borrow_mut().kill(target, std::io::ErrorKind::ConnectionReset);
    bench.turn();
    assert!(bench.ended(key, "Reset { by: Target"));
    assert_eq!(bench.net.borrow().socks[client].tx.put, 10);
    bench.net.borrow_mut().socks[client].tx.bytes.clear();
    assert_eq!(bench.read(client), Found::Reset);
}

#[test]
fn a_target_that_speaks_and_resets_before_we_look_was_connected() {
    let mut bench = Bench::new(Timeouts::default());
    let (key, client) = bench.open(Conn::relay);
    let target = bench.dial(key, Attempt::Done);
    bench.net.borrow_mut().remote_write(target, b"go away");
    bench.net.borrow_mut().kill(target, std::io::ErrorKind::ConnectionReset);
    bench.turn();
    assert!(bench.ended(key, "Reset { by: Target"));
    assert_eq!(bench.count("Connected"), 1);
    assert_eq!(bench.net.borrow().socks[client].tx.put, 7);
}

#[test]
fn either_end_may_be_opening_and_then_nothing_is_read_from_the_other() {
    let timeouts = Timeouts { connect: Some(50), ..Timeouts::default() };
    for end in 0..2 {
        let mut bench = Bench::new(timeouts);
        let (key, client, target) = bench.relay();
        let other = [target, client][end];
        let again = |bench: &mut Bench, attempt| {
            let (socket, id) = bench.socket(key.at(end), attempt);
            let turn = &mut Turn::new(bench.now, &mut bench.events);
            bench.engine.attach(key.at(end), socket, turn);
            id
        };
        again(&mut bench, Attempt::BlackHole);
        bench.say(other, b"early");
        let read = format!("#{}.{} Read {{", key.id, 1 - end);
        assert_eq!(bench.count(&read), 0, "end {end} is not open");
        assert_eq!(bench.engine.get(key).unwrap().state(), State::Opening);
        bench.turn_at(50);
        let failed = bench.engine.dials();
        assert!(matches!(failed[..], [(at, Dial::Failed(_))] if at == key.at(end)), "{failed:?}");
        let opened = again(&mut bench, Attempt::Waiting(1, None));
        (0..3).for_each(|_| bench.turn());
        assert_eq!(bench.engine.get(key).unwrap().state(), State::Streaming);
        assert_eq!(bench.count(&format!("#{}.{end} Connected", key.id)), 1 + end);
        assert_eq!(bench.read(opened), Found::Bytes(b"early".to_vec()));
    }
}
