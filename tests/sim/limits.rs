//! Tests of limits and costs: system calls per message, when bytes are spliced, when stale
//! deadlines are swept.

use std::collections::HashSet;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use oneloop::core::conn::Conn;
use oneloop::core::engine::Dial;
use oneloop::core::event::{DropReason, Event, Observer, Peer};
use oneloop::core::reason::{CloseKind, Side, SysError};
use oneloop::core::timers::{Timeouts, Timers};
use oneloop::core::{Key, Moment, Ready, Reason, Turn};

use crate::bench::Bench;
use crate::net::kernel::Attempt;
use crate::net::remote::Found;

#[test]
fn a_short_read_is_the_last_and_a_full_one_is_not() {
    let mut bench = Bench::new(Timeouts::default());
    bench.room = 200_000;
    let (_, id) = bench.open(Conn::echo);
    bench.say(id, b"hello");
    assert_eq!((bench.count("Read {"), bench.count("hint: Short")), (1, 1));
    assert_eq!(bench.count("ReadBlocked"), 0);
    // The read fills the buffer, so only another read shows whether more is waiting.
    bench.say(id, &[7; 64 * 1024]);
    assert_eq!((bench.count("hint: Full"), bench.count("ReadBlocked")), (1, 1));
}

#[test]
fn bytes_are_spliced_from_16_kib_in_one_read_on() {
    let mut bench = Bench::new(Timeouts::default());
    bench.room = 1_000_000;
    bench.net.borrow_mut().splice = 300_000;
    let (_, id) = bench.open(Conn::echo);
    bench.say(id, &[7; 64 * 1024]);
    bench.say(id, &[8; 64 * 1024]);
    assert_eq!(bench.count("hint: Spliced"), 0, "an echo reads and writes the same socket");
    for (bytes, spliced) in [(16 * 1024 - 1, 0), (16 * 1024, 1)] {
        let mut bench = Bench::new(Timeouts::default());
        bench.room = 1_000_000;
        bench.net.borrow_mut().splice = 300_000;
        let (_, client, _) = bench.relay();
        bench.say(client, &vec![7; bytes]);
        bench.say(client, &vec![8; 20_000]);
        assert_eq!(bench.count("hint: Spliced").min(1), spliced, "{bytes}");
    }
}

#[test]
fn payload_that_is_wanted_is_read_and_never_spliced_and_is_what_arrives() {
    let mut bench = Bench::new(Timeouts::default());
    bench.room = 1_000_000;
    bench.net.borrow_mut().splice = 300_000;
    let (key, client, target) = bench.relay();
    let (other, other_client, _) = bench.relay();
    for client in [client, other_client] {
        bench.say(client, &[7; 20_000]);
        bench.say(client, &[8; 20_000]);
    }
    let spliced = |bench: &Bench, key: Key| {
        let line = format!("#{}.0 Read {{", key.id);
        let lines = bench.events.lines.iter().filter(|text| text.starts_with(&line));
        lines.filter(|text| text.contains("hint: Spliced")).count()
    };
    let before = (spliced(&bench, key), spliced(&bench, other));
    assert!(before.0 > 0 && before.1 > 0, "it is spliced while nobody looks: {before:?}");
    while let Found::Bytes(_) = bench.read(target) {}
    bench.events.payload = Some(key.id);
    let bytes: Vec<u8> = (0..200_000_u32).map(|at| (at * 7 / 3) as u8).collect();
    for part in bytes.chunks(70_000) {
        bench.say(client, part);
    }
    bench.say(target, b"answer");
    bench.say(other_client, &[9; 70_000]);
    assert_eq!(spliced(&bench, key), before.0);
    assert!(spliced(&bench, other) > before.1, "the others are spliced as before");
    assert!(bench.events.received[0] == bytes, "the bytes differ");
    assert_eq!(bench.events.received[1], b"answer");
    let mut arrived = Vec::new();
    while let Found::Bytes(more) = bench.read(target) {
        arrived.extend(more);
        bench.turn();
    }
    assert!(arrived == bytes, "{} of {} bytes arrived", arrived.len(), bytes.len());
    bench.events.payload = None;
    bench.say(client, &[7; 70_000]);
    bench.say(client, &[7; 70_000]);
    assert!(spliced(&bench, key) > before.0, "and spliced again afterwards");
}

#[test]
fn what_a_service_sends_is_payload_too() {
    let mut bench = Bench::new(Timeouts::default());
    bench.events.payload = Some(1);
    let text = bench.engine.buffers.unsent.store(b"welcome");
    let (_, id) = bench.open(|socket| Conn::say(socket, Some(text)));
    bench.say(id, b"thanks");
    assert_eq!(bench.events.made, b"welcome");
    assert_eq!(bench.events.received, [b"thanks".to_vec(), Vec::new()]);
}

#[test]
fn after_urgent_data_nothing_is_spliced() {
    let mut bench = Bench::new(Timeouts::default());
    bench.room = 1_000_000;
    bench.net.borrow_mut().splice = 300_000;
    let (key, client, _) = bench.relay();
    bench.engine.mark(key, Ready::URGENT, &mut Turn::new(bench.now, &mut bench.events));
    bench.say(client, &[7; 20_000]);
    bench.say(client, &[8; 20_000]);
    assert_eq!(bench.count("hint: Spliced"), 0);
}

#[test]
fn deadlines_of_connections_that_are_gone_are_swept_out_and_the_others_kept() {
    let mut bench = Bench::new(Timeouts { idle: Some(100), ..Timeouts::default() });
    let (alive, _) = bench.open(Conn::echo);
    // All use the same slot and the same deadline. Only the last one is still open.
    for _ in 0..5000 {
        let (key, _) = bench.insert(Conn::echo);
        bench.engine.end(key, Reason::Cut, &mut Turn::new(bench.now, &mut bench.events));
    }
    let (next, _) = bench.insert(Conn::echo);
    assert_eq!(bench.engine.deadlines(), 5002);
    bench.turn();
    assert_eq!((bench.engine.len(), bench.engine.deadlines()), (2, 2));
    bench.turn_at(99);
    assert_eq!(bench.engine.len(), 2);
    bench.turn_at(100);
    assert!(bench.ended(alive, "IdleTimeout") && bench.ended(next, "IdleTimeout"));
}

#[test]
fn a_few_deadlines_of_connections_that_are_gone_are_left_alone() {
    let mut bench = Bench::new(Timeouts { idle: Some(100), ..Timeouts::default() });
    for _ in 0..3 {
        let _ = bench.open(Conn::echo);
    }
    for _ in 0..4099 {
        let (key, _) = bench.insert(Conn::echo);
        bench.engine.end(key, Reason::Cut, &mut Turn::new(bench.now, &mut bench.events));
    }
    bench.turn();
    assert_eq!(bench.engine.deadlines(), 4102, "two a connection, and 4,096");
}

#[test]
fn at_most_1024_deadlines_come_due_in_a_turn() {
    let mut bench = Bench::new(Timeouts { idle: Some(100), ..Timeouts::default() });
    for _ in 0..1500 {
        let _ = bench.insert(Conn::echo);
    }
    bench.turn_at(1);
    bench.turn_at(100);
    assert_eq!(bench.engine.len(), 1500 - 1024);
    assert!(!bench.engine.is_empty());
    bench.turn_at(100);
    assert!(bench.engine.is_empty());
}

#[test]
fn read_events_stay_on_when_an_end_is_reported_writable_again() {
    let mut bench = Bench::new(Timeouts::default());
    let (key, id) = bench.open(Conn::echo);
    for _ in 0..3 {
        bench.engine.mark(key, Ready::WRITE, &mut Turn::new(bench.now, &mut bench.events));
        bench.turn();
    }
    assert_eq!(bench.count("ReadOff"), 0);
    bench.say(id, b"hello");
    assert_eq!(bench.read(id), Found::Bytes(b"hello".to_vec()));
}

#[test]
fn a_target_that_refuses_was_never_connected() {
    for error in [ErrorKind::ConnectionRefused, ErrorKind::HostUnreachable] {
        let mut bench = Bench::new(Timeouts::default());
        let (key, _) = bench.open(Conn::relay);
        bench.dial(key, Attempt::Waiting(1, Some(error)));
        (0..3).for_each(|_| bench.turn());
        let dials = bench.engine.dials();
        assert!(matches!(&dials[..], [(_, Dial::Failed(failed))] if failed.kind() == error));
        assert_eq!((bench.count("Connected"), bench.engine.len()), (0, 1));
    }
}

#[test]
fn the_result_of_an_attempt_is_reported_once() {
    let mut bench = Bench::new(Timeouts::default());
    let (key, _) = bench.open(Conn::relay);
    assert!(!bench.engine.has_dials());
    bench.dial(key, Attempt::Done);
    bench.turn();
    assert!(bench.engine.has_dials());
    assert_eq!(bench.engine.sleep(bench.now), Some(Duration::ZERO), "a result is waiting");
    assert_eq!(bench.engine.dials().len(), 1);
    assert!(!bench.engine.has_dials() && bench.engine.dials().is_empty());
}

#[test]
fn a_partial_write_tells_what_is_left() {
    let mut bench = Bench::new(Timeouts::default());
    let (_, id) = bench.open(Conn::echo);
    bench.net.borrow_mut().socks[id].tx.room = 3;
    bench.say(id, b"hello");
    assert_eq!(bench.count("Wrote { bytes: 3, left: 2 }"), 1);
}

#[test]
fn every_close_and_every_drop_has_a_text() {
    let fault = SysError { kind: ErrorKind::TimedOut, code: None };
    let drops = [
        (DropReason::Blocked, "blocked"),
        (DropReason::Own, "own"),
        (DropReason::Privileged, "privileged"),
        (DropReason::Loop, "loop"),
        (DropReason::Refused(fault), "refused"),
        (DropReason::Failed(fault), "failed"),
        (DropReason::NoWay, "no-address"),
        (DropReason::Short, "short"),
        (DropReason::Long, "long"),
    ];
    let texts: HashSet<String> = drops.iter().map(|(why, _)| why.to_string()).collect();
    assert!(texts.len() == drops.len() && !texts.contains(""), "{texts:?}");
    for (why, word) in drops {
        assert_eq!(why.name(), word);
    }
    for fault in [SysError::UNRESOLVED, SysError::ITSELF] {
        assert_ne!(fault.to_string(), fault.kind.to_string(), "it has words of its own");
    }
    let sides = [Side::Client, Side::Target, Side::Proxy].map(|side| side.to_string());
    assert_eq!(sides, ["client", "target", "proxy"]);
    assert_eq!([CloseKind::Fin, CloseKind::Rst].map(|by| by.to_string()), ["FIN", "RST"]);
}

#[test]
fn readiness_is_shown_in_words() {
    let all = [
        (Ready::NONE, "not ready"),
        (Ready::READ, "readable"),
        (Ready::WRITE.with(Ready::READ_CLOSED), "writable+read closed"),
        (Ready::READ.with(Ready::URGENT).with(Ready::ERROR), "readable+urgent+error"),
        (Ready::OPENING.with(Ready::READ_OFF), "opening+read off"),
    ];
    for (ready, words) in all {
        assert_eq!(ready.to_string(), words);
        assert_eq!(format!("{ready:#}"), words.replace('+', ", "));
    }
}

#[test]
fn a_connection_is_shown_in_one_line() {
    let mut bench = Bench::new(Timeouts::default());
    let (key, client, _) = bench.relay();
    bench.turn_at(25);
    bench.say(client, b"hello");
    bench.fin(client);
    let conn = bench.engine.get(key).unwrap();
    let line = conn.to_string();
    assert!(line.starts_with("route 0, a "), "{line}");
    assert!(line.ends_with(", a>b 5 B ended, b>a 0 B"), "{line}");
}

#[test]
fn a_route_without_timeouts_sets_no_deadline() {
    let one = Some(1);
    let off = Timeouts { connect: one, ..Timeouts::default() };
    assert!(off.all_off());
    for on in [Timeouts { idle: one, ..off }, Timeouts { half_close: one, ..off }] {
        assert!(!on.all_off());
    }
    assert!(!Timeouts { lifetime: one, ..off }.all_off());
    let mut timers = Timers::default();
    assert!(timers.is_empty() && !timers.needs_work(Moment(0), 0));
    timers.arm(5, Key::new(1, 0));
    assert!(!timers.is_empty() && timers.len() == 1);
    assert!(!timers.needs_work(Moment(499_999), 1) && timers.needs_work(Moment(500_000), 1));
}

#[test]
fn a_connection_tells_how_much_it_moved_each_way() {
    let mut bench = Bench::new(Timeouts::default());
    let (relayed, client, target) = bench.relay();
    bench.say(client, b"hello");
    bench.say(target, b"you");
    bench.fin(client);
    bench.fin(target);
    assert!(bench.ended(relayed, "Finished"));
    let (echoed, id) = bench.open(Conn::echo);
    bench.say(id, b"twice");
    bench.fin(id);
    assert!(bench.ended(echoed, "Finished"));
    assert_eq!((bench.count("up: 5, down: 3"), bench.count("up: 5, down: 5")), (1, 1));
}

#[test]
fn an_echo_reads_no_more_once_its_client_is_gone() {
    let mut bench = Bench::new(Timeouts::default());
    bench.room = 1_000_000;
    let (key, id) = bench.open(Conn::echo);
    bench.net.borrow_mut().remote_write(id, &[7; 200_000]);
    bench.net.borrow_mut().kill(id, ErrorKind::ConnectionReset);
    bench.turn();
    assert!(bench.ended(key, "Reset { by: Client"));
    assert_eq!((bench.count("Read {"), bench.count("Wrote {")), (1, 0));
}

#[test]
fn a_client_that_ends_without_a_word_has_sent_an_empty_message() {
    let mut bench = Bench::new(Timeouts::default());
    let (_, id) = bench.open(|socket| Conn::local(socket, None));
    bench.fin(id);
    bench.turn();
    assert_eq!(bench.count("Message { message: [] }"), 1);
}

/// Wants steps, which is the default of an observer.
struct Curious;

impl Observer for Curious {
    fn on(&mut self, _: Key, _: &Event<'_>) {}
}

#[test]
fn two_observers_want_steps_if_one_does() {
    let wants_steps = |observer: &mut dyn Observer| observer.begin_turn(Moment(0)).steps;
    assert!(wants_steps(&mut Curious) && wants_steps(&mut (Curious, ())));
    assert!(wants_steps(&mut ((), Curious)) && !wants_steps(&mut ((), ())));
}

#[test]
fn who_is_at_the_other_end_is_shown_as_an_address() {
    let address = SocketAddr::from(([127, 0, 0, 1], 7007));
    let name = Some("/run/x\n".to_string());
    let peers = [Peer::Inet(address), Peer::Unix(name), Peer::Unix(None), Peer::Stdio];
    let shown = peers.map(|peer| peer.to_string());
    assert_eq!(shown, ["127.0.0.1:7007", "unix:/run/x\\n", "unix:", "stdio"]);
}
