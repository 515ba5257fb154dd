//! docs/events.md tells of every event, and its example lines are those that the log really writes.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use oneloop::core::event::{Client, DropReason, PauseCause, ServiceKind, Signal};
use oneloop::core::{
    Close, CloseKind, Deadline, Event, Key, Moment, Peer, ReadHint, Ready, Reason, Side,
    SourceKind, SysError, TurnDetail,
};
use oneloop::observe::FarEnd;
use oneloop::observe::event_log::place;
use oneloop::observe::line::Line;

#[test]
fn the_page_has_a_section_for_every_event_and_for_nothing_else() {
    let page = page();
    let sections = page.lines().filter_map(|line| line.strip_prefix("### "));
    let sections: BTreeSet<&str> = sections.collect();
    let source = read("src/core/event.rs");
    let variants: BTreeSet<&str> = variants(&source).into_iter().collect();
    assert!(variants.len() > 25, "only {} events found in the source", variants.len());
    assert_eq!(sections, variants);
}

#[test]
fn every_event_has_an_example() {
    let source = read("src/core/event.rs");
    for variant in variants(&source) {
        let has = |(_, event): (Key, Event<'_>)| format!("{event:?}").starts_with(variant);
        let peer = Peer::Inet(PEER.parse().expect("an address"));
        assert!(examples(&peer).into_iter().any(has), "no example of {variant} in this test");
    }
}

#[test]
fn the_lines_on_the_page_are_those_of_the_log() {
    let page = page();
    let peer = Peer::Inet(PEER.parse().expect("an address"));
    let missing: Vec<String> = examples(&peer)
        .iter()
        .map(|(key, event)| format!("{:<5} {}", place(event).1, line(*key, event, false)))
        .filter(|line| !page.lines().any(|on_page| on_page == line))
        .collect();
    assert!(missing.is_empty(), "not in docs/events.md:\n{}", missing.join("\n"));
}

#[test]
fn every_event_can_be_explained_in_one_line() {
    let peer = Peer::Inet(PEER.parse().expect("an address"));
    for (key, event) in examples(&peer) {
        let (plain, explained) = (line(key, &event, false), line(key, &event, true));
        if matches!(event, Event::Dump { .. } | Event::InProgress { .. }) {
            assert_eq!(plain, explained);
            continue;
        }
        let hint = explained.strip_prefix(&plain).expect("the line, and something behind it");
        let sentence = hint.strip_prefix(" -- ").expect("an explanation");
        assert!(sentence.len() > 20 && explained.len() < 400, "{explained}");
        assert!(!sentence.contains('\n') && !sentence.contains("  "), "{explained}");
    }
}

#[test]
fn what_peers_and_users_choose_is_escaped_in_every_event() {
    let bad = "x\n\x1b[2J";
    let peer = Peer::Unix(Some(bad.to_string()));
    let fault = SysError::from(std::io::ErrorKind::Other);
    for event in [
        Event::Opened { route: 0, service: ServiceKind::Echo, listen: bad, peer: &peer },
        Event::Dialing { target: bad, attempt: 1 },
        Event::DialFailed { target: bad, fault, left: 0, client: None },
        Event::DialFailed {
            target: "x",
            fault,
            left: 0,
            client: Some(Client { peer: &peer, listen: bad }),
        },
        Event::DialFailed {
            target: "x",
            fault,
            left: 1,
            client: Some(Client { peer: &peer, listen: "x" }),
        },
        Event::Message { message: bad.as_bytes() },
        Event::Resolved { name: bad, addresses: 0, error: Some(bad) },
        Event::Resolved { name: bad, addresses: 0, error: None },
        Event::Listening { address: bad, service: ServiceKind::Echo },
        Event::AcceptPaused { address: bad, cause: PauseCause::Limit, connections: 0 },
        Event::AcceptResumed { address: bad, cause: PauseCause::Limit, connections: 0 },
        Event::AcceptFailed { address: bad, fault },
        Event::Dump { line: bad },
        Event::AdminRequest {
            method: "GET",
            target: bad,
            status: 404,
            peer: &peer,
            changes: false,
        },
        Event::AdminRequest { method: bad, target: "x", status: 404, peer: &peer, changes: true },
        Event::Reloading { file: bad },
        Event::ReloadFailed { error: bad },
        Event::Received { bytes: 0, from: &peer },
        Event::Sent { bytes: 0, to: &peer },
        Event::Dropped { bytes: Some(0), from: Some(&peer), why: DropReason::NoWay },
    ] {
        let line = line(Key::new(1, 0), &event, true);
        assert!(!line.chars().any(char::is_control), "{line:?}");
        assert!(line.contains("x\\n\\x1b[2J"), "{line}");
    }
}

#[test]
fn the_page_has_every_reason_with_its_letters() {
    let page = page();
    let fault = SysError::from(std::io::ErrorKind::Other);
    for reason in [
        Reason::Finished,
        Reason::Served,
        Reason::Reset { by: Side::Client, fault },
        Reason::Reset { by: Side::Target, fault },
        Reason::Abandoned { fault },
        Reason::Refused { fault },
        Reason::Unreachable { fault },
        Reason::ConnectTimeout,
        Reason::IdleTimeout,
        Reason::HalfCloseTimeout,
        Reason::Lifetime,
        Reason::Drained,
        Reason::Cut,
        Reason::Exhausted { fault },
        Reason::Evicted,
        Reason::Lagged,
        Reason::TooLong,
        Reason::Admin,
        Reason::Reloaded,
    ] {
        let (start, letters) = (format!("| {} |", reason.name()), format!("`{}`", reason.code()));
        let row = page.lines().find(|row| row.starts_with(&start)).unwrap_or_default();
        assert!(row.contains(&letters), "{reason} with {letters}: {row:?}");
    }
}

const PEER: &str = "127.0.0.1:48150";
const LISTEN: &str = "tcp://127.0.0.1:7007";
const UNKNOWN_NAME: &str = "failed to lookup address information: Name or service not known";
const TARGET: &str = "unix:/run/x.sock";

/// At least one event of every kind, with the numbers that stand on the page.
fn examples(peer: &Peer) -> Vec<(Key, Event<'_>)> {
    let mut all = of_the_loop();
    let admin = |method, target, status, changes| {
        (Key::LOOP, Event::AdminRequest { method, target, status, peer, changes })
    };
    all.extend([
        admin("GET", "/connections", 200, false),
        admin("POST", "/pause", 200, true),
        admin("POST", "/drain", 401, true),
    ]);
    all.extend(of_a_life(peer));
    all.extend(of_steps());
    let listener = Key::source(SourceKind::Listener, 0, 0);
    all.extend([
        (listener, Event::Received { bytes: 5, from: peer }),
        (listener, Event::Sent { bytes: 5, to: peer }),
        (
            Key::LOOP,
            Event::Passed { received: 64, received_bytes: 4096, sent: 63, sent_bytes: 4032 },
        ),
        (
            listener,
            Event::Dropped { bytes: Some(5), from: Some(peer), why: DropReason::Privileged },
        ),
        (Key::flow(1207, 0).at(1), Event::Dropped { bytes: None, from: None, why: refused() }),
    ]);
    all
}

fn refused() -> DropReason {
    DropReason::Refused(system_fault(111))
}

/// As the system gives it: with a number, and so with the system's words.
fn system_fault(code: i32) -> SysError {
    SysError::from(&std::io::Error::from_raw_os_error(code))
}

const SLOW: TurnDetail = TurnDetail {
    phases: [
        Duration::from_micros(90),
        Duration::ZERO,
        Duration::ZERO,
        Duration::from_micros(13_500),
        Duration::from_micros(10),
        Duration::ZERO,
        Duration::from_micros(400),
    ],
    connection: Some((1207, Duration::from_micros(13_400))),
    not_scheduled: Some(Duration::from_micros(120)),
};

fn of_the_loop() -> Vec<(Key, Event<'static>)> {
    let exhausted = system_fault(24);
    let (address, connections) = (LISTEN, 1000);
    let limit = Some(Duration::from_millis(4200));
    [
        Event::Turn {
            number: 812,
            slept: Duration::from_micros(3200),
            limit,
            events: 2,
            queued: 0,
        },
        Event::Reloading { file: "/etc/oneloop/oneloop.toml" },
        Event::Reloaded { added: 1, changed: 1, removed: 0, unchanged: 8 },
        Event::ReloadFailed {
            error: "/etc/oneloop/oneloop.toml:6:10: tcp://:7007 is used by two routes; \
                    the other route: /etc/oneloop/oneloop.toml:2:10",
        },
        Event::SlowTurn { number: 812, took: Duration::from_millis(14), detail: &SLOW },
        Event::PolledAgain { events: 3 },
        Event::Listening { address, service: ServiceKind::Echo },
        Event::AcceptPaused { address, cause: PauseCause::Limit, connections },
        Event::AcceptPaused { address, cause: PauseCause::System(exhausted), connections },
        Event::AcceptPaused { address, cause: PauseCause::Operator, connections },
        Event::AcceptResumed { address, cause: PauseCause::Limit, connections: 999 },
        Event::AcceptFailed { address, fault: system_fault(103) },
        Event::Signal { signal: Signal::Terminate },
        Event::Draining { connections: 12, deadline: Duration::from_secs(10) },
        Event::Resolved { name: "db.internal", addresses: 2, error: None },
        Event::Resolved { name: "db.internal", addresses: 0, error: Some(UNKNOWN_NAME) },
        Event::InProgress { connections: 2, up: 3_000_000, down: 6 },
        Event::Dump {
            line: "memory: 1 buffer in use, 65536 bytes unsent; timers: 3 deadlines set",
        },
    ]
    .map(|event| (Key::LOOP, event))
    .into()
}

fn of_a_life(peer: &Peer) -> Vec<(Key, Event<'_>)> {
    let (a, b) = (Key::new(1207, 42), Key::new(1207, 42).at(1));
    let flow = Key::flow(1207, 42);
    let expired = Close { reason: Reason::IdleTimeout, first: Side::Proxy, by: CloseKind::Fin };
    let ending = Close { reason: Reason::Finished, first: Side::Client, by: CloseKind::Fin };
    let refused = system_fault(111);
    let client = Some(Client { peer, listen: LISTEN });
    let closed_early =
        Close { reason: Reason::Reset { by: Side::Client, fault: system_fault(32) }, ..ending };
    vec![
        (a, Event::Opened { route: 0, service: ServiceKind::Relay, listen: LISTEN, peer }),
        (b, Event::Dialing { target: TARGET, attempt: 1 }),
        (b, Event::DialFailed { target: TARGET, fault: refused, left: 1, client }),
        (b, Event::DialFailed { target: TARGET, fault: refused, left: 0, client }),
        (b, Event::Connected { after: Duration::from_micros(412) }),
        (a, Event::EndOfFile),
        (b, Event::ShutDown),
        (b, Event::Stalled { unsent: 65_536, since: Moment(0), now: Moment(1_080_000) }),
        (b, Event::Resumed { stalled: Duration::from_millis(12_340) }),
        (a, Event::Message { message: b"hello\n" }),
        (a, Event::Missed { messages: 17 }),
        (a, Event::CutOff { bytes: 12 }),
        (a, Event::Closed { ending, up: 5, down: 0, lasted: Duration::from_micros(1200) }),
        (
            a,
            Event::Closed {
                ending: closed_early,
                up: 5,
                down: 4096,
                lasted: Duration::from_millis(20),
            },
        ),
        (
            flow,
            Event::Closed {
                ending: expired,
                up: 5,
                down: 2,
                lasted: Duration::from_millis(60_100),
            },
        ),
    ]
}

fn of_steps() -> Vec<(Key, Event<'static>)> {
    let (a, b) = (Key::new(1207, 42), Key::new(1207, 42).at(1));
    let armed = Event::Armed { deadline: Deadline::Idle, due: 300, now: Moment(0) };
    let read = |bytes, hint| Event::Read { bytes, room: 65536, hint };
    vec![
        (a, Event::Marked { ready: Ready::READ.with(Ready::WRITE) }),
        (a, Event::Stale),
        (a, Event::Payload { bytes: b"hello", sent: false }),
        (a, read(5, ReadHint::Short)),
        (a, read(65536, ReadHint::Full)),
        (a, read(5, ReadHint::EndWaits)),
        (a, read(5, ReadHint::Urgent)),
        (a, read(5, ReadHint::NoPromise)),
        (a, read(262_144, ReadHint::Spliced)),
        (b, Event::Wrote { bytes: 3, left: 2 }),
        (b, Event::Wrote { bytes: 2, left: 0 }),
        (a, Event::ReadBlocked),
        (b, Event::WriteBlocked { left: 2 }),
        (a, Event::ReadOff),
        (a, Event::ReadOn),
        (a, Event::Interrupted),
        (a, Event::Yielded { steps: 16 }),
        (a, armed),
        (a, Event::Fired { deadline: Deadline::Idle, again: false }),
        (a, Event::Fired { deadline: Deadline::Idle, again: true }),
    ]
}

fn line(key: Key, event: &Event<'_>, explain: bool) -> String {
    let listener = key.is_source().then_some("udp://127.0.0.1:7007");
    let explain = explain.then_some(FarEnd::Unknown);
    Line { key, event, listener, stalled: [Duration::ZERO; 2], explain }.to_string()
}

/// The names in `pub enum Event`: what begins with a capital letter, one step in.
fn variants(source: &str) -> Vec<&str> {
    let body = source.split("pub enum Event<'a> {").nth(1).expect("the enum");
    let body = body.split("\n}").next().expect("its end");
    body.lines()
        .filter_map(|line| line.strip_prefix("    "))
        .filter(|line| line.starts_with(char::is_uppercase))
        .map(|line| line.trim_end_matches([' ', '{', ',']))
        .collect()
}

fn page() -> String {
    read("docs/events.md")
}

fn read(path: &str) -> String {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn a_datagram_socket_is_named_by_its_address_in_every_line() {
    let key = Key::source(SourceKind::Datagram, 3, 0);
    let steps = [
        Event::Marked { ready: Ready::READ },
        Event::ReadBlocked,
        Event::Interrupted,
        Event::Yielded { steps: 64 },
        Event::Stale,
    ];
    for event in steps {
        let line = line(key, &event, false);
        assert!(line.contains("udp://127.0.0.1:7007") && !line.contains('#'), "{line}");
    }
}
