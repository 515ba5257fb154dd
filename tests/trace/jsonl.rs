//! jsonl: one object per event, with the fields that the page promises.

use std::collections::{BTreeMap, BTreeSet};

use oneloop::core::event::{Client, DropReason, PauseCause};
use oneloop::core::{
    Close, CloseKind, Deadline, Event, Key, Moment, Observer, Peer, ReadHint, Ready, Reason,
    ServiceKind, Side, Signal, SourceKind, SysError, TurnDetail,
};
use oneloop::recording::{KnownConnection, ReplayObserver, SegmentHead};
use oneloop::tools::trace::JsonlConverter;
use serde_json::Value;
use std::time::Duration;

use crate::live;

/// Feeds at least one event of every kind.
pub fn every_event(observer: &mut dyn Observer) {
    let (a, b) = (Key::new(7, 3), Key::new(7, 3).at(1));
    let fault = SysError::from(&std::io::Error::from_raw_os_error(111));
    let peer = &Peer::Unix(Some("x\n\x1b[2J\u{202e}\"".to_string()));
    let (address, service, time) = ("tcp://[::1]:7", ServiceKind::Relay, Duration::from_micros(9));
    let cause = PauseCause::System(fault);
    let client = Some(Client { peer, listen: address });
    let ending = |reason| Close { reason, first: Side::Client, by: CloseKind::Fin };
    let reset = Reason::Reset { by: Side::Target, fault };
    let (up, down, lasted) = (5, 6, time);
    observer.begin_turn(Moment(1_234_567));
    let events = [
        (Key::LOOP, Event::Turn { number: 8, slept: time, limit: None, events: 2, queued: 1 }),
        (Key::LOOP, Event::SlowTurn { number: 8, took: time, detail: &TurnDetail::default() }),
        (Key::LOOP, Event::PolledAgain { events: 3 }),
        (Key::source(SourceKind::Listener, 4, 0), Event::Listening { address, service }),
        (Key::LOOP, Event::AcceptPaused { address, cause, connections: 5 }),
        (Key::LOOP, Event::AcceptResumed { address, cause, connections: 5 }),
        (Key::LOOP, Event::AcceptFailed { address, fault }),
        (Key::LOOP, Event::Signal { signal: Signal::Quit }),
        (Key::LOOP, Event::Draining { connections: 1, deadline: time }),
        (Key::LOOP, Event::Resolved { name: "db", addresses: 0, error: Some("no") }),
        (Key::LOOP, Event::InProgress { connections: 1, up, down }),
        (Key::LOOP, Event::Dump { line: "timers" }),
        (
            Key::LOOP,
            Event::AdminRequest { method: "GET", target: "/", status: 200, peer, changes: false },
        ),
        (Key::LOOP, Event::Reloading { file: "/etc/a.toml" }),
        (Key::LOOP, Event::Reloaded { added: 1, changed: 2, removed: 3, unchanged: 4 }),
        (Key::LOOP, Event::ReloadFailed { error: "/etc/a.toml:1:1: no" }),
        (a, Event::Opened { route: 0, service, listen: address, peer }),
        (b, Event::Dialing { target: "tcp://a:1", attempt: 1 }),
        (b, Event::DialFailed { target: "tcp://a:1", fault, left: 1, client }),
        (b, Event::Dialing { target: "tcp://b:1", attempt: 2 }),
        (b, Event::Connected { after: time }),
        (a, Event::EndOfFile),
        (b, Event::ShutDown),
        (a, Event::Message { message: b"hi\n\xff" }),
        (a, Event::Missed { messages: 4 }),
        (a, Event::CutOff { bytes: 4 }),
        (b, Event::Stalled { unsent: 10, since: Moment(3), now: Moment(1_234_567) }),
        (b, Event::Resumed { stalled: time }),
        (a, Event::Marked { ready: Ready::READ.with(Ready::READ_CLOSED) }),
        (a, Event::Stale),
        (a, Event::Payload { bytes: b"hi\xff", sent: false }),
        (a, Event::Read { bytes: 5, room: 65_536, hint: ReadHint::EndWaits }),
        (b, Event::Wrote { bytes: 3, left: 2 }),
        (a, Event::ReadBlocked),
        (b, Event::WriteBlocked { left: 2 }),
        (a, Event::ReadOff),
        (a, Event::ReadOn),
        (a, Event::Interrupted),
        (a, Event::Yielded { steps: 16 }),
        (a, Event::Armed { deadline: Deadline::HalfClose, due: 300, now: Moment(0) }),
        (a, Event::Fired { deadline: Deadline::Idle, again: true }),
        (Key::source(SourceKind::Datagram, 2, 0), Event::Received { bytes: 5, from: peer }),
        (Key::flow(9, 0).at(1), Event::Sent { bytes: 5, to: peer }),
        (Key::LOOP, Event::Passed { received: 1, received_bytes: 2, sent: 3, sent_bytes: 4 }),
        (
            Key::flow(9, 0).at(1),
            Event::Dropped { bytes: Some(5), from: Some(peer), why: DropReason::Refused(fault) },
        ),
        (a, Event::Closed { ending: ending(reset), up, down, lasted }),
    ];
    for (key, event) in events {
        observer.on(key, &event);
    }
}

/// Feeds what a segment repeats.
fn known(observer: &mut dyn ReplayObserver) {
    let (service, listen, peer) = (ServiceKind::Relay, "tcp://[::1]:7", Peer::Stdio);
    let (opened, target) = (Moment(9), Some("tcp://b:1"));
    let known = KnownConnection { opened, route: 0, service, listen, peer, target };
    observer.known_connection(Key::new(5, 1), &known);
    observer.known_listener(Key::source(SourceKind::Listener, 4, 0), service, listen);
}

fn objects(run: impl FnOnce(&mut dyn Observer)) -> Vec<Value> {
    let mut out = Vec::new();
    let mut converter = JsonlConverter::new(&mut out);
    let (moment, wall_micros) = (Moment(0), 1_795_198_625_000_000);
    let program = "0.1.0".to_owned();
    converter.process(&SegmentHead { segment: 0, first: 0, moment, wall_micros, pid: 9, program });
    run(&mut converter);
    known(&mut converter);
    converter.lost(12);
    converter.finish().unwrap();
    let text = String::from_utf8(out).unwrap();
    assert!(!text.chars().any(|ch| ch != '\n' && (ch.is_control() || ch == '\u{202e}')));
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn each_event_is_one_object_with_its_time_and_subject() {
    let objects = objects(every_event);
    assert!(objects[1..].iter().all(|object| object["us"] == 1_234_567));
    let find = |name: &str| objects.iter().find(|object| object["event"] == name).unwrap();
    let read = find("read");
    assert_eq!((&read["connection"], &read["end"]), (&7.into(), &"a".into()));
    assert_eq!((&read["bytes"], &read["hint"]), (&5.into(), &"end-waits".into()));
    let listening = find("listening");
    assert_eq!((&listening["source"], &listening["slot"]), (&"listener".into(), &4.into()));
    assert_eq!(find("turn")["source"], "loop");
    assert_eq!(find("process")["started_unix_us"], 1_795_198_625_000_000_u64);
    assert_eq!(find("closed")["error"], "Connection refused");
    assert_eq!(find("marked")["ready"], serde_json::json!(["readable", "read closed"]));
    assert_eq!(find("armed")["due_us"], 30_000_000);
}

#[test]
fn the_page_has_every_event_with_its_fields() {
    let docs = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let page = std::fs::read_to_string(docs.join("tracing.md")).unwrap();
    // Another test holds the sections of this page against the code.
    let events = std::fs::read_to_string(docs.join("events.md")).unwrap();
    let kinds = events.lines().filter(|line| line.starts_with("### ")).count();
    let section = page.split("## jsonl").nth(1).unwrap().split("\n## ").next().unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
    let rows: BTreeMap<&str, BTreeSet<&str>> =
        rows.map(|(name, fields)| (name, fields.split('`').skip(1).step_by(2).collect())).collect();
    let common = ["us", "event", "connection", "end", "source", "slot"];
    let mut names = BTreeSet::new();
    for object in objects(every_event) {
        let name = object["event"].as_str().unwrap().to_string();
        let fields = object.as_object().unwrap().keys().map(String::as_str);
        let fields: BTreeSet<&str> = fields.filter(|name| !common.contains(name)).collect();
        let row = rows.get(&*name).unwrap_or_else(|| panic!("no row of {name}"));
        assert_eq!(*row, fields, "{name}");
        names.insert(name);
    }
    assert_eq!(
        names.len(),
        kinds + ["process", "lost", "known-connection", "known-listener"].len()
    );
    assert_eq!(rows.len(), names.len(), "the page has no other events");
    let mut out = Vec::new();
    let mut converter = JsonlConverter::new(&mut out);
    every_event(&mut converter);
    converter.finish().unwrap();
    let lines = String::from_utf8(out).unwrap();
    let examples: Vec<&str> = section.lines().filter(|line| line.starts_with('{')).collect();
    assert_eq!(examples.len(), 3);
    examples.iter().for_each(|line| assert!(lines.contains(line), "{line} is not in {lines}"));
}

#[test]
fn a_real_connection_is_there_from_its_accept_to_its_close() {
    let objects = objects(|observer| live::half_close(observer));
    let of_conn: Vec<&Value> = objects.iter().filter(|o| o["connection"] == 1).collect();
    assert_eq!(of_conn[0]["event"], "opened");
    assert_eq!(of_conn[of_conn.len() - 1]["event"], "closed");
    assert_eq!(of_conn[of_conn.len() - 1]["up_bytes"], 5);
    let times: Vec<u64> = objects.iter().map(|object| object["us"].as_u64().unwrap()).collect();
    assert!(times.is_sorted());
}
