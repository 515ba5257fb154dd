//! explain: what it says of connections of a real loop.

use std::io::ErrorKind;
use std::time::Duration;

use oneloop::core::{
    Close, CloseKind, Deadline, Event, Key, Moment, Observer, Peer, ReadHint, Ready, Reason,
    ServiceKind, Side, SysError,
};
use oneloop::recording::{KnownConnection, ReplayObserver};
use oneloop::tools::trace::ExplainConverter;

use crate::live;

fn explained(converter: ExplainConverter) -> String {
    let mut out = Vec::new();
    converter.finish(&mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    println!("{text}");
    for line in text.lines() {
        assert!(line.chars().count() <= 80 && line == line.trim_end(), "{line:?}");
    }
    text
}

/// Asserts that the text has these pieces in this order. Line breaks and lifelines do not count.
fn assert_order(text: &str, pieces: &[&str]) {
    let lines = text.lines().map(|line| line.rsplit("|  ").next().unwrap().trim());
    let text = lines.collect::<Vec<&str>>().join(" ");
    let mut rest = &*text;
    for piece in pieces {
        let at = rest.find(piece).unwrap_or_else(|| panic!("{piece:?} is not in {rest:?}"));
        rest = &rest[at + piece.len()..];
    }
}

#[test]
fn a_half_close_is_drawn_with_both_fins_in_their_order() {
    let mut converter = ExplainConverter::new(1);
    live::half_close(&mut converter);
    let text = explained(converter);
    assert_order(
        &text,
        &[
            "Connection 1: 127.0.0.1:",
            ", relay",
            "Target: tcp://127.0.0.1:",
            "connected after",
            "closed: finished, FIN from client first, 5 B up, 6 B down",
            "dialing tcp://127.0.0.1:",
            // The reason depends on what the system promises of a short read.
            "read 5 B from the client: ",
            "wrote 5 B to the target, 0 unsent: the kernel took all bytes",
            "client: end of file: this end sends no more data: its peer sent a FIN",
            "target: shut down: no more data will come for this end",
            "read 6 B from the target",
            "wrote 6 B to the client",
            "target: end of file",
            "client: shut down",
            "How it ended, in order:",
            "FIN from the client",
            "FIN to the target",
            "FIN from the target",
            "FIN to the client",
            "closed: both directions reached end of file, and every byte was forwarded; the \
             client's FIN came first",
        ],
    );
    assert!(text.contains("|--- 5 B --->|            |"), "the client sends");
    assert!(text.contains("|            |--- 5 B --->|"), "the target receives");
    assert!(text.contains("|            |<--- FIN ---|"), "the target closes");
    assert!(text.contains("|<--- FIN ---|            |"), "the client is told");
}

#[test]
fn a_reset_by_the_client_is_drawn_on_both_sides() {
    let mut converter = ExplainConverter::new(1);
    live::reset(&mut converter);
    let text = explained(converter);
    assert!(text.contains("|--- RST --->|--- RST --->|"));
    assert_order(
        &text,
        &[
            "closed: reset by client (Connection reset by peer)",
            "How it ended, in order:",
            "the client's side failed: Connection reset by peer",
            "RST to the target",
            "closed: the client's side failed without an orderly close; its data is forwarded",
        ],
    );
}

#[test]
fn repeated_traffic_is_folded_and_its_end_is_shown() {
    let mut converter = ExplainConverter::new(1);
    live::bulk_echo(&mut converter, 2_000_000);
    let text = explained(converter);
    assert!(text.lines().count() < 150, "{} lines", text.lines().count());
    assert!(!text.contains("target"), "an echo has two parties");
    assert_order(&text, &["more reads and writes, ", " MB read, ", " MB written, in "]);
    assert_order(&text, &["more reads and writes", "end of file", "shut down", "finished"]);
}

#[test]
fn no_byte_is_lost_by_folding() {
    let mut converter = ExplainConverter::new(7);
    let key = Key::new(7, 0);
    converter.begin_turn(Moment(5_000));
    let peer = Peer::Unix(Some("a\x1b[2Jb".to_string()));
    let listen = "unix:/run/x.sock";
    converter.on(key, &Event::Opened { route: 0, service: ServiceKind::Echo, listen, peer: &peer });
    for turn in 0..10_000_u64 {
        converter.begin_turn(Moment(10_000 + 100 * turn));
        converter.on(key, &Event::Read { bytes: 1000, room: 65_536, hint: ReadHint::Short });
        converter.on(key, &Event::Wrote { bytes: 1000, left: 0 });
    }
    converter.on(Key::new(8, 1), &Event::EndOfFile);
    let text = explained(converter);
    // 24 rows before, 4 rows after.
    assert!(text.contains("19,972 more reads and"), "the calls are counted");
    assert_order(&text, &["9.99 MB read, 9.99 MB written, in 998ms"]);
    assert!(text.contains("unix:a\\x1b[2Jb -> unix:/run/x.sock, echo"), "the name is escaped");
    assert!(text.contains("still open at the end"), "the event of another connection is ignored");
    assert!(text.contains("5.000    |"), "times are since the accept");
}

#[test]
fn a_connection_that_is_not_in_the_recording_is_reported() {
    let converter = ExplainConverter::new(9);
    assert!(!converter.is_found());
    assert_eq!(explained(converter), "Connection 9 has no event in this recording.\n");
}

/// The target does not read, so the FIN of the client waits behind its data, and that of the target
/// is forwarded first.
#[test]
fn a_fin_behind_data_is_listed_when_it_was_reported() {
    let mut converter = ExplainConverter::new(1);
    let a = Key::new(1, 0);
    let (b, service) = (a.at(1), ServiceKind::Relay);
    let (listen, peer) = ("tcp://:7", &Peer::Unix(None));
    converter.begin_turn(Moment(0));
    converter.on(a, &Event::Opened { route: 0, service, listen, peer });
    converter.on(b, &Event::Connected { after: Duration::ZERO });
    let closed = Ready::READ.with(Ready::READ_CLOSED);
    for (now, events) in [
        (1_000, vec![(a, Event::Marked { ready: closed })]),
        (2_000, vec![(b, Event::Marked { ready: closed }), (b, Event::EndOfFile)]),
        (2_000, vec![(a, Event::ShutDown)]),
        (3_000, vec![(a, Event::EndOfFile), (b, Event::ShutDown)]),
    ] {
        converter.begin_turn(Moment(now));
        events.iter().for_each(|(key, event)| converter.on(*key, event));
    }
    assert_order(
        &explained(converter),
        &[
            "What has ended so far, in order:",
            "1  1.000 ms: FIN from the client, which is read later",
            "2  2.000 ms: FIN from the target",
            "3  2.000 ms: FIN to the client",
            "4  3.000 ms: client: the FIN was read, and all data before it",
            "5  3.000 ms: FIN to the target",
        ],
    );
}

/// Explains connection 1 with these events in one turn.
fn explained_life(service: ServiceKind, events: &[(usize, Event<'_>)]) -> String {
    let mut converter = ExplainConverter::new(1);
    let (a, listen, peer) = (Key::new(1, 0), "tcp://:7", &Peer::Unix(None));
    converter.begin_turn(Moment(0));
    converter.on(a, &Event::Opened { route: 0, service, listen, peer });
    events.iter().for_each(|(end, event)| converter.on(a.at(*end), event));
    explained(converter)
}

fn closed(reason: Reason, first: Side, by: CloseKind) -> (usize, Event<'static>) {
    let ending = Close { reason, first, by };
    (0, Event::Closed { ending, up: 0, down: 0, lasted: Duration::ZERO })
}

const RESET: Reason = Reason::Reset {
    by: Side::Client,
    fault: SysError { kind: ErrorKind::ConnectionReset, code: None },
};

#[test]
fn a_close_with_a_fin_sends_it_to_each_socket_that_is_open() {
    let (drained, echo) = (Reason::Drained, ServiceKind::Echo);
    let text = explained_life(echo, &[closed(drained, Side::Proxy, CloseKind::Fin)]);
    assert_order(&text, &["1  0.000 ms: FIN to the client", "2  0.000 ms: closed: the daemon is"]);
    assert!(text.contains("|<--- FIN ---|  closed: drained"));

    let connected = (1, Event::Connected { after: Duration::ZERO });
    let end = closed(drained, Side::Proxy, CloseKind::Fin);
    let text = explained_life(ServiceKind::Relay, &[connected, end]);
    assert!(text.contains("|<--- FIN ---|--- FIN --->|  closed: drained"));
    assert_order(&text, &["1  0.000 ms: FIN to the client and the target"]);

    // What was shut down before gets no second one.
    let end = closed(Reason::Finished, Side::Client, CloseKind::Fin);
    let text = explained_life(echo, &[(0, Event::EndOfFile), (0, Event::ShutDown), end]);
    assert_order(&text, &["1  0.000 ms: FIN from the client", "2  0.000 ms: FIN to the client"]);
    assert_order(&text, &["3  0.000 ms: closed: both directions", "no byte is unsent"]);
}

#[test]
fn the_explanation_of_a_close_depends_on_whether_there_is_a_target() {
    let connected = || (1, Event::Connected { after: Duration::ZERO });
    let idle = Reason::IdleTimeout;
    let (fin, rst) = (CloseKind::Fin, CloseKind::Rst);
    let relay = ServiceKind::Relay;
    for (service, close, pieces) in [
        (ServiceKind::Echo, closed(idle, Side::Proxy, fin), ["FIN to the client", "is enough"]),
        (ServiceKind::Chargen, closed(idle, Side::Proxy, rst), ["RST to the", "bytes are lost"]),
        (ServiceKind::Hub, closed(Reason::Admin, Side::Proxy, rst), ["RST to", "the client is re"]),
        (ServiceKind::Hub, closed(RESET, Side::Client, rst), ["the client's", "orderly close"]),
        (relay, closed(idle, Side::Proxy, rst), ["and the target", "both sides are reset"]),
        (relay, closed(RESET, Side::Client, rst), ["RST to the target", "its data is forwarded"]),
    ] {
        let is_relay = service == relay;
        let events = if is_relay { vec![connected(), close] } else { vec![close] };
        let text = explained_life(service, &events);
        assert_order(&text, &[&["How it ended, in order:"], &pieces[..]].concat());
        assert!(is_relay || !text.contains("relay") && !text.contains("both sides"));
    }
}

#[test]
fn bytes_written_to_a_service_are_not_taken_by_the_kernel() {
    let wrote = |end| (end, Event::Wrote { bytes: 6, left: 0 });
    let text = explained_life(ServiceKind::Hub, &[wrote(1), wrote(0)]);
    assert_order(
        &text,
        &[
            "wrote 6 B to the service, 0 unsent: the service took all bytes",
            "wrote 6 B to the client, 0 unsent: the kernel took all bytes",
        ],
    );
}

#[test]
fn a_flow_has_no_connects_fins_or_resets() {
    let mut converter = ExplainConverter::new(1);
    let (a, service) = (Key::flow(1, 0), ServiceKind::Relay);
    let (listen, peer) = ("udp://:7", &Peer::Inet("10.0.0.9:5000".parse().unwrap()));
    let fault = ErrorKind::ConnectionRefused.into();
    converter.begin_turn(Moment(0));
    for (end, event) in [
        (0, Event::Opened { route: 0, service, listen, peer }),
        (1, Event::Dialing { target: "udp://10.0.0.7:1", attempt: 1 }),
        (0, Event::Received { bytes: 5, from: peer }),
        (1, Event::Marked { ready: Ready::ERROR }),
        (1, Event::DialFailed { target: "udp://10.0.0.7:1", fault, left: 1, client: None }),
        (1, Event::Dialing { target: "udp://10.0.0.8:1", attempt: 2 }),
        (0, Event::Fired { deadline: Deadline::Quiet, again: false }),
        closed(Reason::Admin, Side::Proxy, CloseKind::Fin),
    ] {
        converter.on(a.at(end), &event);
    }
    let text = explained(converter);
    for word in ["FIN to", "RST", "connected", "connect ->", "reset", "FIN from", "writable"] {
        assert!(!text.contains(word), "{word}");
    }
    assert_order(
        &text,
        &[
            "Flow 1: 10.0.0.9:5000 -> udp://:7, relay Target: udp://10.0.0.8:1 It was closed: \
             admin, 0 B up",
            "a datagram came from a source without a flow",
            "datagrams need no handshake",
            "the next read returns it",
            "it refused a datagram of this flow",
            "the next ones go to this one",
            "this flow waits for no answer",
            "1  0.000 ms: closed: an operator closed it; datagrams have no FIN",
        ],
    );
}

#[test]
fn a_refused_target_is_said_once_and_the_client_is_reset() {
    let mut converter = ExplainConverter::new(1);
    let (a, listen, peer) = (Key::new(1, 0), "tcp://:7", &Peer::Unix(None));
    let (fault, target) = (ErrorKind::ConnectionRefused.into(), "tcp://a:1");
    converter.begin_turn(Moment(0));
    converter.on(a, &Event::Opened { route: 0, service: ServiceKind::Relay, listen, peer });
    converter.on(a.at(1), &Event::DialFailed { target, fault, left: 0, client: None });
    let ending =
        Close { reason: Reason::Refused { fault }, first: Side::Target, by: CloseKind::Rst };
    converter.on(a, &Event::Closed { ending, up: 0, down: 0, lasted: Duration::ZERO });
    let text = explained(converter);
    let pieces =
        ["It was closed: refused", "connect to tcp://a:1 failed: ", ": no target is left: the"];
    assert_order(&text, &pieces);
    assert_order(
        &text,
        &["1  0.000 ms: RST to the client 2  0.000 ms: closed: no target accepted"],
    );
}

/// A download begins where the oldest segment does.
#[test]
fn a_connection_from_before_the_recording_has_its_names_and_its_service() {
    let mut converter = ExplainConverter::new(1);
    let known = KnownConnection {
        opened: Moment(0),
        route: 0,
        service: ServiceKind::Greet,
        listen: "tcp://:7",
        peer: Peer::Inet("10.0.0.9:5000".parse().unwrap()),
        target: None,
    };
    converter.known_connection(Key::new(1, 0), &known);
    converter.begin_turn(Moment(9_000));
    converter.on(Key::new(1, 0).at(1), &Event::EndOfFile);
    converter.on(Key::new(1, 0), &Event::ShutDown);
    let text = explained(converter);
    assert_order(&text, &["Connection 1: 10.0.0.9:5000 -> tcp://:7, greet", "It was opened "]);
    assert!(text.contains("|            |<--- end ---|  service: end of file"), "no FIN");
    assert_order(
        &text,
        &[
            "What has ended so far, in order: 1  0.000 ms: end of file from the service",
            "2  0.000 ms: FIN to the client",
        ],
    );
}
