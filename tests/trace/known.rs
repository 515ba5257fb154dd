//! Recordings that begin while connections are open: what their segments repeat is converted once.

use std::time::{Duration, UNIX_EPOCH};

use oneloop::config::Explain;
use oneloop::core::{
    Close, CloseKind, Event, Key, Moment, Peer, ReadHint, Reason, ServiceKind, Side, SourceKind,
};
use oneloop::observe::replayed_log;
use oneloop::recording::{Encoder, Segment, replay_files};
use oneloop::tools::trace::{
    ExplainConverter, FlagsConverter, JsonlConverter, PcapngConverter, RecordingGaps,
};
use serde_json::Value;

fn conn() -> Key {
    Key::new(7, 3)
}

/// A connection that is opened in the first segment, and used in the two others: in a turn that
/// begins with it, and again.
fn segments() -> Vec<Segment> {
    let mut encoder = Encoder::new(Moment(0));
    let peer = Peer::Inet("192.0.2.1:5000".parse().unwrap());
    let (listen, service) = ("tcp://192.0.2.9:80", ServiceKind::Relay);
    let listener = Key::source(SourceKind::Listener, 1, 0);
    encoder.begin_turn(Moment(1_000));
    encoder.on(listener, &Event::Listening { address: listen, service });
    encoder.on(conn(), &Event::Opened { route: 0, service, listen, peer: &peer });
    encoder.on(conn().at(1), &Event::Dialing { target: "tcp://192.0.2.2:90", attempt: 1 });
    encoder.on(conn().at(1), &Event::Connected { after: Duration::from_micros(5) });
    let mut segments = vec![encoder.next_segment(Vec::new())];
    for begin in [2_000, 3_000] {
        encoder.begin_turn(Moment(begin));
        encoder.on(listener, &Event::Stale);
        encoder.on(conn(), &Event::Read { bytes: 5, room: 9, hint: ReadHint::Short });
        encoder.begin_turn(Moment(begin + 500));
        encoder.on(conn().at(1), &Event::Wrote { bytes: 5, left: 0 });
        segments.push(encoder.next_segment(Vec::new()));
    }
    let fin = CloseKind::Fin;
    let ending = Close { reason: Reason::Finished, first: Side::Client, by: fin };
    let lasted = Duration::from_micros(2_600);
    encoder.on(conn(), &Event::Closed { ending, up: 10, down: 0, lasted });
    segments.push(encoder.next_segment(Vec::new()));
    segments
}

/// Returns the text that a conversion of the segments from this one on writes.
fn converted(first: usize, convert: impl Fn(&[&[u8]], &mut Vec<u8>)) -> Vec<u8> {
    let segments = segments();
    let parts: Vec<&[u8]> = segments[first..].iter().map(|segment| &*segment.bytes).collect();
    let mut out = Vec::new();
    convert(&parts, &mut out);
    out
}

fn jsonl(first: usize) -> Vec<Value> {
    let text = converted(first, |parts, out| {
        let mut jsonl = JsonlConverter::new(out);
        replay_files(parts, &mut jsonl);
        jsonl.finish().unwrap();
    });
    let text = String::from_utf8(text).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn an_older_connection_is_known_once_in_the_turn_of_its_first_event() {
    let objects = jsonl(1);
    let known: Vec<&Value> =
        objects.iter().filter(|object| object["event"] == "known-connection").collect();
    let expected = serde_json::json!({
        "us": 2000, "event": "known-connection", "connection": 7, "end": "a", "opened_us": 1000,
        "route": 0, "service": "relay", "listen": "tcp://192.0.2.9:80", "peer": "192.0.2.1:5000",
        "target": "tcp://192.0.2.2:90",
    });
    assert_eq!(known, [&expected]);
    let at = |name| objects.iter().position(|object| object["event"] == name).unwrap();
    assert!(at("known-listener") < at("stale") && at("known-connection") < at("read"));
    let all = jsonl(0);
    assert!(all.iter().all(|object| object["event"] != "known-connection"), "{all:?}");
}

#[test]
fn the_log_has_one_line_more_and_the_name_of_the_listener() {
    let log = |first| {
        let text = converted(first, |parts, out| {
            let mut log = replayed_log(out, "trace", Explain::Off, UNIX_EPOCH).unwrap();
            replay_files(parts, &mut log);
            log.finish().unwrap();
        });
        String::from_utf8(text).unwrap()
    };
    let (all, later) = (log(0), log(1));
    let (all, later): (Vec<&str>, Vec<&str>) = (all.lines().collect(), later.lines().collect());
    let known = "1970-01-01T00:00:00.002Z DEBUG #7 was opened 1.0ms ago: 192.0.2.1:5000 -> \
                 tcp://192.0.2.9:80, relay, target tcp://192.0.2.2:90";
    assert!(later.contains(&known), "{later:?}");
    let later: Vec<&str> = later.into_iter().filter(|line| *line != known).collect();
    assert_eq!(all[all.len() - later.len()..], later);
    assert!(later[0].contains("tcp://192.0.2.9:80"), "{later:?}");
}

#[test]
fn an_explanation_has_the_parties_and_the_age() {
    let text = converted(1, |parts, out| {
        let mut explain = ExplainConverter::new(7);
        replay_files(parts, &mut explain);
        explain.finish(out).unwrap();
    });
    let text = String::from_utf8(text).unwrap();
    let head = "Connection 7: 192.0.2.1:5000 -> tcp://192.0.2.9:80, relay\n\
                Target: tcp://192.0.2.2:90\n\
                It was opened 1.0ms before its first event here; times are since that event.\n";
    assert!(text.starts_with(head), "{text}");
    assert!(text.contains("ms client       oneloop      target"), "{text}");
    assert!(text.contains("0.000    |--- 5 B --->|"), "{text}");
}

#[test]
fn packets_have_the_addresses_and_no_handshake() {
    let packets = converted(1, |parts, out| {
        let mut pcapng = PcapngConverter::new(out, UNIX_EPOCH);
        replay_files(parts, &mut pcapng);
        pcapng.finish().unwrap();
    });
    let has = |bytes: &[u8]| packets.windows(bytes.len()).any(|window| window == bytes);
    assert!(has(b"#7 was opened 1.0ms ago: 192.0.2.1:5000"), "the comment");
    // The addresses of the packet to the listener: from 192.0.2.1 to 192.0.2.9, port 5000 to 80.
    assert!(has(&[192, 0, 2, 1, 192, 0, 2, 9, 0x13, 0x88, 0, 80]));
    assert!(has(&[192, 0, 2, 2]), "the target");
    assert!(!has(b"#7 opened"));
}

#[test]
fn flags_do_not_count_it_as_opened() {
    let text = converted(1, |parts, out| {
        let mut flags = FlagsConverter::default();
        replay_files(parts, &mut flags);
        flags.finish("x", &RecordingGaps::default(), out).unwrap();
    });
    assert!(String::from_utf8(text).unwrap().contains("0 connections opened"));
}
