//! perfetto: what a decoder reads in the file, and the rules that Perfetto has for tracks.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use oneloop::core::{
    Close, CloseKind, Deadline, Event, Key, Moment, Observer, Peer, ReadHint, Ready, Reason,
    ServiceKind, Side, TurnDetail, Wants,
};
use oneloop::recording::{Encoder, KnownConnection, ReplayObserver, SegmentHead, replay};
use oneloop::tools::trace::{ConnectionSteps, PerfettoConverter};

use crate::jsonl::every_event;
use crate::live;

const PEER: Peer = Peer::Unix(None);
const LISTEN: &str = "tcp://127.0.0.1:7";

fn head(pid: u32, moment: u64) -> SegmentHead {
    let wall_micros = 1_795_191_118_000_000 + moment;
    let (moment, program) = (Moment(moment), String::new());
    SegmentHead { segment: 0, first: 0, moment, wall_micros, pid, program }
}

/// Feeds both passes, and decodes the file.
fn decoded(run: impl Fn(&mut dyn ReplayObserver)) -> DecodedTrace {
    let mut steps = ConnectionSteps::default();
    run(&mut steps);
    let mut out = Vec::new();
    let mut converter = PerfettoConverter::new(&mut out, &head(7, 0), steps);
    run(&mut converter);
    converter.finish().unwrap();
    let trace = DecodedTrace::of(&out);
    trace.check();
    trace.compare_with_perfetto(&out);
    trace
}

/// Records a live loop, whose events differ from run to run, and feeds them to both passes.
fn decoded_live(run: impl FnOnce(&mut dyn Observer)) -> DecodedTrace {
    let mut recorded = RecordedLoop(Encoder::new(Moment(0)));
    run(&mut recorded);
    decoded(|converter| assert!(replay(recorded.0.bytes(), converter).records > 0))
}

struct RecordedLoop(Encoder);

impl Observer for RecordedLoop {
    fn on(&mut self, key: Key, event: &Event<'_>) {
        self.0.on(key, event);
    }

    fn begin_turn(&mut self, now: Moment) -> Wants {
        self.0.begin_turn(now);
        Wants { steps: true, stalls: true }
    }
}

fn turn(converter: &mut dyn ReplayObserver, number: u64, now: u64, slept: u64) {
    converter.begin_turn(Moment(now));
    let (slept, limit) = (Duration::from_micros(slept), None);
    converter.on(Key::LOOP, &Event::Turn { number, slept, limit, events: 2, queued: 0 });
}

fn open(converter: &mut dyn ReplayObserver, id: u32, service: ServiceKind) -> Key {
    let key = Key::new(id, id as usize);
    converter.on(key, &Event::Opened { route: 0, service, listen: LISTEN, peer: &PEER });
    key
}

fn close(converter: &mut dyn ReplayObserver, key: Key) {
    let ending = Close { reason: Reason::Finished, first: Side::Client, by: CloseKind::Fin };
    converter.on(key, &Event::Closed { ending, up: 5, down: 6, lasted: Duration::ZERO });
}

/// A field of a message.
enum Wire<'a> {
    Number(u64),
    Fixed(u64),
    Bytes(&'a [u8]),
}

#[derive(Debug, Default)]
struct DecodedTrace {
    /// The name and the parent of each track.
    tracks: BTreeMap<u64, (String, u64)>,
    events: Vec<DecodedEvent>,
    snapshots: usize,
}

#[derive(Clone, Debug, Default)]
struct DecodedEvent {
    at: u64,
    track: u64,
    /// 1: a slice begins, 2: it ends, 3: an instant, 4: a counter.
    kind: u64,
    name: String,
    value: u64,
    flows: Vec<u64>,
    annotations: BTreeMap<String, String>,
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..).step_by(7) {
        let (first, rest) = bytes.split_first().unwrap();
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            break;
        }
    }
    value
}

fn parse(mut bytes: &[u8]) -> Vec<(u64, Wire<'_>)> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let tag = varint(&mut bytes);
        let wire = match tag & 7 {
            0 => Wire::Number(varint(&mut bytes)),
            1 => {
                let (fixed, rest) = bytes.split_first_chunk::<8>().unwrap();
                bytes = rest;
                Wire::Fixed(u64::from_le_bytes(*fixed))
            }
            2 => {
                let length = varint(&mut bytes) as usize;
                let (inner, rest) = bytes.split_at(length);
                bytes = rest;
                Wire::Bytes(inner)
            }
            other => panic!("wire type {other}"),
        };
        fields.push((tag >> 3, wire));
    }
    fields
}

fn number(fields: &[(u64, Wire<'_>)], field: u64) -> Option<u64> {
    fields.iter().find_map(|(name, wire)| match wire {
        Wire::Number(value) if *name == field => Some(*value),
        _ => None,
    })
}

fn bytes<'a>(fields: &[(u64, Wire<'a>)], field: u64) -> Vec<&'a [u8]> {
    let all = fields.iter().filter_map(|(name, wire)| match wire {
        Wire::Bytes(bytes) if *name == field => Some(*bytes),
        _ => None,
    });
    all.collect()
}

fn text(fields: &[(u64, Wire<'_>)], field: u64) -> Option<String> {
    bytes(fields, field).first().map(|text| String::from_utf8(text.to_vec()).unwrap())
}

impl DecodedTrace {
    fn of(file: &[u8]) -> DecodedTrace {
        let mut trace = DecodedTrace::default();
        // Names of events, names of annotations, texts.
        let mut tables: [BTreeMap<u64, String>; 3] = Default::default();
        for (at, packet) in bytes(&parse(file), 1).into_iter().enumerate() {
            let packet = parse(packet);
            assert_eq!(number(&packet, 10), Some(1), "one sequence");
            assert_eq!(number(&packet, 13), Some(if at == 0 { 3 } else { 2 }));
            for interned in bytes(&packet, 12) {
                let interned = parse(interned);
                for (table, field) in tables.iter_mut().zip([2, 3, 29]) {
                    for entry in bytes(&interned, field) {
                        let entry = parse(entry);
                        let id = number(&entry, 1).unwrap();
                        assert!(id > 0);
                        assert_eq!(table.insert(id, text(&entry, 2).unwrap()), None);
                    }
                }
            }
            trace.snapshots += bytes(&packet, 6).len();
            for track in bytes(&packet, 60) {
                let track = parse(track);
                let named = (text(&track, 2).unwrap(), number(&track, 5).unwrap_or(0));
                assert_eq!(trace.tracks.insert(number(&track, 1).unwrap(), named), None);
            }
            for event in bytes(&packet, 11) {
                let at = number(&packet, 8).unwrap();
                trace.events.push(DecodedEvent::of(at, &parse(event), &tables));
            }
        }
        trace
    }

    /// Checks the rules for tracks.
    fn check(&self) {
        let mut last: BTreeMap<u64, u64> = BTreeMap::new();
        let mut open: BTreeMap<u64, usize> = BTreeMap::new();
        let mut flows: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        for (_, parent) in self.tracks.values() {
            assert!(*parent == 0 || self.tracks.contains_key(parent), "parent {parent}");
        }
        for event in &self.events {
            assert!(self.tracks.contains_key(&event.track), "no track for {event:?}");
            let last = last.entry(event.track).or_default();
            assert!(event.at >= *last, "{event:?} is older than {last}");
            *last = event.at;
            let depth = open.entry(event.track).or_default();
            match event.kind {
                1 => *depth += 1,
                2 => *depth = depth.checked_sub(1).expect("a slice ends that did not begin"),
                3 | 4 => {}
                other => panic!("type {other}"),
            }
            assert!(event.kind == 2 || event.kind == 4 || !event.name.is_empty(), "{event:?}");
            event.flows.iter().for_each(|flow| flows.entry(*flow).or_default().push(event.at));
        }
        for (flow, times) in flows {
            assert!(times.len() >= 2, "flow {flow} goes nowhere");
            assert!(times.is_sorted_by(|one, next| one < next), "flow {flow}: {times:?}");
        }
    }

    /// Has the file decoded with the descriptors of Perfetto, where they are installed.
    fn compare_with_perfetto(&self, file: &[u8]) {
        let project = Path::new(env!("CARGO_MANIFEST_DIR"));
        let thread = format!("{:?}", std::thread::current().id()).replace(['(', ')'], "");
        let name = format!("oneloop-{}-{thread}.pftrace", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, file).unwrap();
        let script = project.join("tests/trace/decode_perfetto.py");
        let output = Command::new("python3")
            .env("PYTHONPATH", project.join("target/python"))
            .args([&script, &path])
            .stdin(Stdio::null())
            .output();
        std::fs::remove_file(&path).unwrap();
        let output = match output {
            Ok(output) => output,
            Err(error) => return println!("skipped: python3 is not here: {error}"),
        };
        let errors = String::from_utf8_lossy(&output.stderr);
        if errors.starts_with("missing: ") {
            return println!("skipped: the package perfetto of PyPI is not here: {errors}");
        }
        assert!(output.status.success(), "{errors}");
        let flows: usize = self.events.iter().map(|event| event.flows.len()).sum();
        let counts = [self.tracks.len(), self.events.len(), self.snapshots, flows];
        let counts: Vec<String> = counts.iter().map(usize::to_string).collect();
        assert_eq!(String::from_utf8(output.stdout).unwrap().trim(), counts.join(" "));
    }

    fn track(&self, name: &str) -> u64 {
        let found = self.tracks.iter().find(|(_, (named, _))| named.starts_with(name));
        *found.unwrap_or_else(|| panic!("no track {name}: {:?}", self.tracks)).0
    }

    fn on(&self, name: &str) -> Vec<&DecodedEvent> {
        let track = self.track(name);
        self.events.iter().filter(|event| event.track == track).collect()
    }

    /// The names of slices and instants of a track in order, `-` for the end of a slice.
    fn names(&self, track: &str) -> Vec<&str> {
        let events = self.on(track).into_iter();
        events.map(|event| if event.kind == 2 { "-" } else { event.name.as_str() }).collect()
    }

    /// The names along each arrow.
    fn arrows(&self) -> Vec<Vec<&str>> {
        let mut flows: BTreeMap<u64, Vec<&str>> = BTreeMap::new();
        for event in &self.events {
            event.flows.iter().for_each(|flow| flows.entry(*flow).or_default().push(&event.name));
        }
        flows.into_values().collect()
    }
}

impl DecodedEvent {
    fn of(
        at: u64,
        fields: &[(u64, Wire<'_>)],
        tables: &[BTreeMap<u64, String>; 3],
    ) -> DecodedEvent {
        let [names, keys, texts] = tables;
        let interned = number(fields, 10).map(|id| names[&id].clone());
        let name = interned.or_else(|| text(fields, 23)).unwrap_or_default();
        let (mut flows, mut annotations) = (Vec::new(), BTreeMap::new());
        for (field, wire) in fields {
            match wire {
                Wire::Fixed(flow) if *field == 47 => flows.push(*flow),
                Wire::Bytes(annotation) if *field == 4 => {
                    let annotation = parse(annotation);
                    let text = number(&annotation, 17).map(|id| texts[&id].clone());
                    let value = number(&annotation, 3).or(number(&annotation, 2));
                    let value = text.or(value.map(|value| value.to_string()));
                    let key = keys[&number(&annotation, 1).unwrap()].clone();
                    annotations.insert(key, value.or(self::text(&annotation, 6)).unwrap());
                }
                Wire::Number(_) | Wire::Bytes(_) => {}
                Wire::Fixed(_) => panic!("field {field} is a fixed number"),
            }
        }
        let (track, kind) = (number(fields, 11).unwrap(), number(fields, 9).unwrap());
        let value = number(fields, 30).unwrap_or(0);
        DecodedEvent { at, track, kind, name, value, flows, annotations }
    }
}

#[test]
fn a_half_close_has_its_turns_its_life_and_its_arrows() {
    let trace = decoded_live(|observer| live::half_close(observer));
    let names = trace.names("#1 ");
    let place = |name: &str| names.iter().position(|one| *one == name).expect(name);
    let order = ["opening", "b connected", "a read", "b wrote", "a end-of-file", "half-closed"];
    assert!(order.map(place).is_sorted(), "{names:?}");
    assert!(names[0].starts_with("#1 127.0.0.1:"), "{names:?}");
    let ends = names.iter().filter(|name| **name == "-").count();
    assert_eq!(ends, 3, "of opening, half-closed and the life: {names:?}");
    let life = trace.on("#1 ").pop().unwrap().annotations.clone();
    assert_eq!((life["reason"].as_str(), life["up_bytes"].as_str()), ("finished", "5"));
    let arrows = trace.arrows();
    assert!(arrows.contains(&vec!["a marked", "a read", "b wrote"]), "{arrows:?}");
    assert!(arrows.contains(&vec!["b marked", "b read", "a wrote"]), "{arrows:?}");
    let read = trace.on("#1 ").into_iter().find(|event| event.name == "a read").unwrap();
    assert_eq!(read.annotations["bytes"], "5");
    // On poll(2) a short read proves nothing.
    let sentences = ["the socket is empty", "a short read does not mean an empty socket"];
    let why = &read.annotations["why"];
    assert!(sentences.iter().any(|sentence| why.contains(sentence)), "{read:?}");
    let values = |name: &str| -> u64 { trace.on(name).iter().map(|event| event.value).sum() };
    // Each value is set for one turn: those of the datagrams that wake the loop are among them.
    assert!(values("bytes read per turn") >= 11 && values("bytes written per turn") == 11);
    assert!(trace.names("loop").contains(&"sleep"));
    let open: Vec<u64> = trace.on("open connections").iter().map(|event| event.value).collect();
    assert_eq!(open, [0, 1, 0]);
}

#[test]
fn bulk_and_resets_and_datagrams_are_decoded_completely() {
    let trace = decoded_live(|observer| live::bulk_relay(observer, 3_000_000));
    let sum = |name: &str| -> u64 { trace.on(name).iter().map(|event| event.value).sum() };
    assert_eq!(sum("bytes written per turn"), 3_000_000);
    let trace = decoded_live(|observer| live::reset(observer));
    let end = trace.on("#1 ").pop().unwrap().annotations.clone();
    assert_eq!((end["reason"].as_str(), end["failed"].as_str()), ("reset", "client"));
    let trace = decoded_live(|observer| live::datagrams(observer));
    assert!(trace.names("listeners and datagram sockets").contains(&"received"));
}

#[test]
fn every_event_is_shown_and_names_of_peers_are_escaped() {
    let trace = decoded(|converter| every_event(converter));
    let text = format!("{:?}{:?}", trace.tracks, trace.events);
    assert!(text.contains(r#"x\\n\\x1b[2J"#), "{text}");
    assert!(!text.chars().any(|c| c.is_control()) && !text.contains(r"\u{1b}"), "{text}");
    for name in ["a marked", "a message", "b stalled", "a armed", "b sent", "b dropped"] {
        assert!(trace.events.iter().any(|event| event.name == name), "{name}");
    }
}

/// The steps of a turn have one time, but a place each, before the end of the turn.
#[test]
fn steps_are_spread_over_their_turn_and_never_leave_it() {
    let trace = decoded(|converter| {
        turn(converter, 1, 1000, 100);
        let key = open(converter, 1, ServiceKind::Echo);
        converter.on(key, &Event::Marked { ready: Ready::READ });
        converter.on(key, &Event::ReadBlocked);
        // It took 40 us. The next one has the same time as its end, and no length.
        turn(converter, 2, 1040, 0);
        close(converter, key);
        turn(converter, 3, 1040, 0);
    });
    let of = |track: &str| -> Vec<(u64, u64)> {
        trace.on(track).iter().map(|event| (event.kind, event.at)).collect()
    };
    assert_eq!(of("#1 "), [(1, 1_010_000), (3, 1_020_000), (3, 1_030_000), (2, 1_040_002)]);
    assert_eq!(
        of("loop"),
        [
            (1, 1_000_000),
            (2, 1_040_000),
            (1, 1_040_001),
            (2, 1_040_003),
            (1, 1_040_004),
            (2, 1_040_005)
        ]
    );
}

#[test]
fn the_phases_of_a_slow_turn_are_slices_in_it() {
    let trace = decoded(|converter| {
        turn(converter, 1, 1000, 100);
        let key = open(converter, 7, ServiceKind::Echo);
        converter.on(key, &Event::ReadBlocked);
        let micros = Duration::from_micros;
        let mut detail = TurnDetail { connection: Some((7, micros(800))), ..TurnDetail::default() };
        // The last one is longer than the turn, as only a damaged recording has it.
        detail.phases = [50, 0, 0, 900, 0, 0, 90].map(micros);
        let took = micros(1000);
        converter.on(Key::LOOP, &Event::SlowTurn { number: 1, took, detail: &detail });
        turn(converter, 2, 2100, 100);
    });
    let events: Vec<(&str, u64)> =
        trace.names("loop").into_iter().zip(trace.on("loop").iter().map(|one| one.at)).collect();
    let expected = [
        ("turn", 1_000_000),
        ("mark", 1_000_000),
        ("-", 1_050_000),
        ("run", 1_050_000),
        ("slow-turn", 1_750_000),
        ("-", 1_950_000),
        ("admin", 1_950_000),
        ("-", 2_000_000),
        ("-", 2_000_000),
        ("sleep", 2_000_000),
        ("-", 2_100_000),
    ];
    assert_eq!(events[..expected.len()], expected);
    let run = trace.on("loop").into_iter().find(|event| event.name == "run").unwrap();
    assert_eq!(run.annotations["slowest_connection"], "7");
}

#[test]
fn states_and_unsent_bytes_nest() {
    let trace = decoded(|converter| {
        turn(converter, 1, 10, 0);
        let a = open(converter, 1, ServiceKind::Relay);
        let b = a.at(1);
        converter.on(b, &Event::Connected { after: Duration::ZERO });
        converter.on(a, &Event::Read { bytes: 9, room: 9, hint: ReadHint::Full });
        converter.on(b, &Event::Wrote { bytes: 4, left: 5 });
        converter.on(b, &Event::EndOfFile);
        converter.on(b, &Event::Wrote { bytes: 5, left: 0 });
        close(converter, a);
        let a = open(converter, 2, ServiceKind::Daytime);
        converter.on(a, &Event::Armed { deadline: Deadline::Linger, due: 9, now: Moment(10) });
        close(converter, a);
    });
    assert_eq!(
        trace.names("#1 "),
        [
            "#1 unix",
            "opening",
            "b connected",
            "-",
            "a read",
            "b wrote",
            "unsent to b",
            "b end-of-file",
            "-",
            "half-closed",
            "unsent to b",
            "b wrote",
            "-",
            "-",
            "-",
        ]
    );
    assert_eq!(trace.names("#2 "), ["#2 unix", "a armed", "lingering", "-", "-"]);
}

/// 64 tracks for the busiest, 64 shared ones, and one for what is left.
#[test]
fn thousands_of_connections_have_a_bounded_number_of_tracks() {
    let trace = decoded(|converter| {
        turn(converter, 1, 10, 0);
        let keys: Vec<Key> = (1..=1000).map(|id| open(converter, id, ServiceKind::Echo)).collect();
        // The last ones are the busiest.
        for key in &keys[936..] {
            converter.on(*key, &Event::ReadBlocked);
        }
        keys.into_iter().for_each(|key| close(converter, key));
        turn(converter, 2, 90, 0);
        // Shared tracks are used again.
        for id in 2000..2064 {
            open(converter, id, ServiceKind::Echo);
        }
    });
    let tracks: Vec<&str> = trace.tracks.values().map(|(name, _)| name.as_str()).collect();
    let count = |start: &str| tracks.iter().filter(|name| name.starts_with(start)).count();
    assert_eq!((count("#"), count("one at a time"), count("all others")), (64, 64, 1));
    let own: BTreeSet<&str> = tracks.into_iter().filter(|name| name.starts_with('#')).collect();
    assert!(own.contains("#1000 unix -> tcp://127.0.0.1:7, echo"), "{own:?}");
    assert_eq!(trace.names("one at a time, 1"), ["#1 unix", "-", "#2000 unix"]);
    let rest = trace.on("all others");
    // Those of the first 936 that had no track: opened and closed.
    assert_eq!(rest.len(), 2 * (936 - 64));
    assert_eq!(rest[0].annotations["connection"], "65");
}

#[test]
fn losses_and_connections_from_before_are_shown() {
    let trace = decoded(|converter| {
        turn(converter, 9, 500, 0);
        converter.lost(12);
        let known = KnownConnection {
            opened: Moment(3),
            route: 0,
            service: ServiceKind::Relay,
            listen: LISTEN,
            peer: Peer::Inet("10.0.0.9:5000".parse().unwrap()),
            target: None,
        };
        let key = Key::new(7, 0);
        converter.known_connection(key, &known);
        converter.on(key, &Event::ReadBlocked);
        converter.on(Key::new(8, 1), &Event::ReadBlocked);
        converter.on(Key::new(6, 1), &Event::Stale);
    });
    let lost = trace.on("loop").into_iter().find(|event| event.name == "events lost").unwrap();
    assert_eq!(lost.annotations["events"], "12");
    let life = trace.on("#7 10.0.0.9:5000 -> tcp://127.0.0.1:7, relay")[0];
    assert_eq!((life.kind, life.annotations["opened"].as_str()), (1, "before the recording began"));
    assert_eq!(trace.names("#8"), ["#8", "a read-blocked"]);
    let stale = trace.on("listeners").pop().unwrap();
    assert_eq!((stale.name.as_str(), stale.annotations["connection"].as_str()), ("stale", "6"));
}

/// Files of an earlier process are part of a recording, and numbers begin again.
#[test]
fn a_second_process_has_its_own_tracks_after_those_of_the_first() {
    let trace = decoded(|converter| {
        turn(converter, 1, 5_000, 0);
        open(converter, 1, ServiceKind::Relay);
        // Its loop was created ten seconds after the first.
        let wall_micros = head(7, 0).wall_micros + 10_000_100;
        converter.process(&SegmentHead { wall_micros, ..head(8, 100) });
        turn(converter, 1, 200, 0);
        let key = open(converter, 1, ServiceKind::Echo);
        close(converter, key);
    });
    let tracks = trace.tracks.values().filter(|(name, _)| name.starts_with("#1 "));
    assert_eq!(tracks.count(), 2);
    assert_eq!(
        trace.names("#1 unix -> tcp://127.0.0.1:7, relay"),
        ["#1 unix", "opening", "-", "-"]
    );
    let echo = trace.on("#1 unix -> tcp://127.0.0.1:7, echo");
    assert!(echo[0].at / 1_000_000 == 10_000, "{echo:?}");
}

#[test]
fn times_of_a_damaged_recording_do_no_harm() {
    let trace = decoded(|converter| {
        turn(converter, 1, u64::MAX, u64::MAX);
        let key = open(converter, 1, ServiceKind::Echo);
        turn(converter, 2, 5, u64::MAX);
        close(converter, key);
        converter.process(&SegmentHead { wall_micros: u64::MAX, ..head(8, 0) });
        turn(converter, 3, u64::MAX, 0);
    });
    assert!(trace.events.iter().all(|event| event.at < 1 << 63));
}
