//! From the events of a replay to the rows and lines of a time.

use super::*;
use crate::core::{Close, CloseKind, ReadHint, Reason, Side};

const LISTEN: &str = "tcp://127.0.0.1:7007";

fn peer() -> Peer {
    Peer::Inet("10.0.0.9:5".parse().unwrap())
}

fn key(id: u32) -> Key {
    Key::new(id, 3)
}

fn read(bytes: usize) -> Event<'static> {
    Event::Read { bytes, room: 100, hint: ReadHint::Short }
}

fn wrote(bytes: usize, left: usize) -> Event<'static> {
    Event::Wrote { bytes, left }
}

fn closed() -> Event<'static> {
    let ending = Close { reason: Reason::Finished, first: Side::Client, by: CloseKind::Fin };
    Event::Closed { ending, up: 0, down: 0, lasted: Duration::ZERO }
}

/// Delivers the events of a relay, each in a turn of its own second.
fn relay(observer: &mut dyn Observer) {
    let (a, b, peer) = (key(7), key(7).at(1), peer());
    let opened =
        Event::Opened { route: 0, service: ServiceKind::Relay, listen: LISTEN, peer: &peer };
    let dialing = Event::Dialing { target: "tcp://db:5432", attempt: 1 };
    let events = [
        (a, opened),
        (b, dialing),
        (b, Event::Connected { after: Duration::from_secs(2) }),
        (a, read(10)),
        (b, wrote(6, 4)),
        (a, Event::EndOfFile),
        (b, Event::ShutDown),
        (b, read(3)),
        (a, wrote(3, 0)),
        (Key::LOOP, Event::Dump { line: "of no connection" }),
        (a, closed()),
    ];
    for (second, (key, event)) in (1..).zip(&events) {
        observer.begin_turn(Moment(second * 1_000_000));
        observer.on(*key, event);
    }
}

fn seconds(seconds: u64) -> Moment {
    Moment(seconds * 1_000_000)
}

/// Returns the rows and the number of lines of connection 7.
fn at(second: u64) -> (Vec<PastRow>, u64) {
    let mut connections = PastConnections::new(seconds(second), Some(7));
    relay(&mut connections);
    connections.finish()
}

#[test]
fn a_row_has_what_was_so_at_its_time() {
    assert_eq!(at(0), (Vec::new(), 0));
    let expected = [
        (1, "opening", 0, 0, 0, 0),
        (2, "opening", 0, 0, 0, 1),
        (3, "streaming", 0, 0, 0, 2),
        (4, "streaming", 10, 0, 0, 0),
        (5, "streaming", 10, 0, 4, 0),
        (6, "half-closed", 10, 0, 4, 1),
        (8, "half-closed", 10, 0, 4, 0),
        (9, "half-closed", 10, 3, 4, 0),
        (10, "half-closed", 10, 3, 4, 1),
    ];
    for (second, state, received, sent, unsent, idle) in expected {
        let (rows, _) = at(second);
        let row = &rows[0];
        assert_eq!((rows.len(), row.id, row.state()), (1, 7, Some(state)), "{second}");
        assert_eq!((row.received, row.sent, row.unsent()), (received, sent, Some(unsent)));
        assert_eq!(row.idle(seconds(second)), Some(Duration::from_secs(idle)), "{second}");
        assert_eq!(row.age(seconds(second)), Duration::from_secs(second - 1));
        assert_eq!(row.target.is_some(), second > 1, "it is dialed in the second turn");
        assert!(!row.is_partial);
    }
    assert_eq!(at(10).1, 9, "the loop has no lines of a connection");
    assert_eq!(at(11), (Vec::new(), 10), "it is closed");
}

#[test]
fn the_last_lines_are_those_of_the_log() {
    let lines = |second: u64, events: u64| {
        let mut lines = PastLines::new(7, seconds(second), events, SystemTime::UNIX_EPOCH);
        relay(&mut lines);
        lines.finish()
    };
    let expected = [
        "00:00:01.000 #7 opened: 10.0.0.9:5 -> tcp://127.0.0.1:7007, relay",
        "00:00:02.000 #7.b dialing tcp://db:5432, attempt 1",
        "00:00:03.000 #7.b connected after 2s",
        "00:00:04.000 #7.a read 10",
    ];
    assert_eq!(lines(4, 4), expected);
    assert_eq!(lines(4, PastLines::LINES + 3), expected[3..], "the first ones are left out");
    assert!(lines(11, 10)[9].contains("#7 closed: "));
}

#[test]
fn what_happened_before_the_recording_is_not_invented() {
    let (a, b) = (key(7), key(7).at(1));
    let known = KnownConnection {
        opened: seconds(2),
        route: 0,
        service: ServiceKind::Relay,
        listen: LISTEN,
        peer: peer(),
        target: Some("tcp://db:5432"),
    };
    let row = |second: u64| {
        let mut connections = PastConnections::new(seconds(second), None);
        connections.begin_turn(seconds(5));
        connections.known_connection(a, &known);
        connections.on(a, &read(10));
        connections.begin_turn(seconds(6));
        connections.on(a, &wrote(3, 1));
        connections.begin_turn(seconds(7));
        connections.on(b, &Event::EndOfFile);
        connections.lost(9);
        connections.begin_turn(seconds(8));
        connections.finish().0.pop()
    };
    assert_eq!(row(1), None, "it was not open");
    let before = row(3).unwrap();
    assert_eq!((before.state(), before.unsent(), before.idle(seconds(3))), (None, None, None));
    assert_eq!((before.age(seconds(3)).as_secs(), before.is_partial), (1, true));
    assert_eq!(before.target.as_deref(), Some("tcp://db:5432"));
    let read = row(5).unwrap();
    assert_eq!((read.state(), read.received, read.is_partial), (None, 10, true));
    assert_eq!(read.idle(seconds(5)), Some(Duration::ZERO));
    let wrote = row(6).unwrap();
    assert_eq!((wrote.state(), wrote.sent, wrote.unsent()), (Some("streaming"), 3, Some(1)));
    let lost = row(8).unwrap();
    assert_eq!((lost.state(), lost.idle(seconds(8)), lost.received), (None, None, 10));
}

#[test]
fn the_state_depends_on_the_service() {
    let state = |service, events: &[(usize, Event<'_>)]| {
        let mut connections = PastConnections::new(seconds(1), None);
        connections.begin_turn(seconds(1));
        let opened = Event::Opened { route: 0, service, listen: LISTEN, peer: &peer() };
        connections.on(key(1), &opened);
        events.iter().for_each(|(end, event)| connections.on(key(1).at(*end), event));
        connections.finish().0[0].state()
    };
    let ended = |end| [(end, Event::EndOfFile)];
    assert_eq!(state(ServiceKind::Relay, &[]), Some("opening"));
    assert_eq!(state(ServiceKind::Echo, &ended(0)), Some("streaming"), "it has one direction");
    assert_eq!(state(ServiceKind::Hub, &[]), Some("streaming"));
    assert_eq!(state(ServiceKind::Hub, &ended(0)), Some("half-closed"));
    assert_eq!(state(ServiceKind::Greet, &ended(1)), Some("lingering"));
    assert_eq!(state(ServiceKind::Relay, &ended(1)), Some("half-closed"));
    let flow = PastRow::opened(Key::flow(3, 1), ServiceKind::Relay, "", &peer(), seconds(0));
    assert_eq!(flow.state(), Some("flow"));
}
