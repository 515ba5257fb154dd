//! Tests of the format: all events survive, every prefix can be read, and damage does no harm.

use std::fmt::Write;

use crate::core::{Event, Key, Moment, Observer, Random, SourceKind, Wants};

use super::schema;
use super::*;

mod samples;

use samples::{SAMPLES, sample};

/// Writes down what it receives.
#[derive(Default)]
struct Notes(Vec<String>);

impl Observer for Notes {
    fn on(&mut self, key: Key, event: &Event<'_>) {
        self.0.push(format!("{key:?} {event:?}"));
    }

    fn begin_turn(&mut self, now: Moment) -> Wants {
        self.0.push(format!("turn at {now:?}"));
        Wants::default()
    }
}

/// A recording of random events: its segments, and what an observer of the same run noted.
struct Run {
    segments: Vec<Segment>,
    notes: Notes,
    events: u64,
    /// The numbers of notes before each segment.
    starts: Vec<usize>,
}

/// Prints the seed, which a failed test shows.
fn seeded(seed: u64) -> Random {
    println!("seed {seed}");
    Random::new(seed)
}

fn key(random: &mut Random) -> Key {
    let (id, slot) = (1 + random.below(20) as u32, random.below(20) as usize);
    let end = random.below(2) as usize;
    match random.below(5) {
        0 => Key::LOOP,
        1 => Key::flow(id, slot).at(end),
        2 => Key::source(SourceKind::Listener, slot, 3),
        _ => Key::new(id, slot).at(end),
    }
}

/// Records this many random events. A segment is ended now and then.
fn record(random: &mut Random, events: u64) -> Run {
    let mut now = Moment(random.below(1 << 40));
    let mut encoder = Encoder::new(now);
    let mut run = Run { segments: Vec::new(), notes: Notes::default(), events, starts: vec![0] };
    encoder.begin_turn(now);
    run.notes.begin_turn(now);
    for _ in 0..events {
        // Turns without events, and pauses longer than a record can express.
        while random.below(3) == 0 {
            let pauses = [0, 1, 1000, u64::from(u32::MAX), 1 << 33];
            now.0 += pauses[random.below(5) as usize];
            encoder.begin_turn(now);
            run.notes.begin_turn(now);
        }
        let key = key(random);
        sample(random.below(SAMPLES), random, now, &mut |event| {
            encoder.on(key, event);
            run.notes.on(key, event);
        });
        if random.below(60) == 0 {
            run.segments.push(encoder.next_segment(Vec::new()));
            run.starts.push(run.notes.0.len());
        }
    }
    run.segments.push(encoder.next_segment(Vec::new()));
    run
}

fn replayed(bytes: &[u8]) -> (Vec<String>, ReplayReport) {
    let mut notes = Notes::default();
    let report = replay(bytes, &mut notes);
    (notes.0, report)
}

fn joined(segments: &[Segment]) -> Vec<u8> {
    segments.iter().flat_map(|segment| segment.bytes.iter().copied()).collect()
}

#[test]
fn every_event_is_replayed_as_it_was() {
    let mut random = seeded(1);
    let (mut names, mut forms) = (Vec::new(), Vec::new());
    for index in 0..SAMPLES {
        for _ in 0..200 {
            let now = Moment(random.below(1 << 50));
            let mut encoder = Encoder::new(now);
            let mut expected = Notes::default();
            encoder.begin_turn(now);
            expected.begin_turn(now);
            let key = key(&mut random);
            sample(index, &mut random, now, &mut |event| {
                names.push(event.name());
                encoder.on(key, event);
                expected.on(key, event);
            });
            let (notes, report) = replayed(encoder.bytes());
            assert_eq!(notes, expected.0);
            assert_eq!((report.records, report.unknown, report.truncated), (1, 0, false));
            forms.extend(kinds_of(encoder.bytes()));
        }
    }
    for (number, row) in schema::KINDS.iter().filter(|(number, _)| schema::is_event(*number)) {
        let name = row.split(' ').next().unwrap();
        assert!(names.contains(&name), "no sample of {name}");
        assert!(forms.contains(number), "no sample of {number:#x} {name}");
    }
    assert!(names.iter().all(|name| schema::text().contains(&format!(" {name}"))));
}

/// Returns the kinds of the records of a segment.
fn kinds_of(mut bytes: &[u8]) -> Vec<u8> {
    let mut kinds = Vec::new();
    while let Some(head) = super::fields::Head::read(bytes) {
        kinds.push(head.kind);
        bytes = &bytes[head.length()..];
    }
    kinds
}

#[test]
fn a_step_has_sixteen_bytes() {
    let mut encoder = Encoder::new(Moment(0));
    encoder.begin_turn(Moment(5));
    let key = Key::new(7, 3);
    encoder.on(key, &Event::ReadBlocked);
    let before = encoder.bytes().len();
    encoder.on(key.at(1), &Event::Wrote { bytes: 5, left: 0 });
    assert_eq!(encoder.bytes().len(), before + 16);
}

#[test]
fn a_payload_has_the_fields_of_its_schema() {
    let mut random = seeded(2);
    let run = record(&mut random, 3000);
    let rows = |kind| schema::KINDS.iter().find(|(number, _)| *number == kind).unwrap().1;
    for segment in &run.segments {
        let mut rest = &segment.bytes[..];
        while let Some(head) = super::fields::Head::read(rest) {
            let (record, after) = rest.split_at(head.length());
            rest = after;
            if head.is_segment() || head.kind == schema::TEXT {
                continue;
            }
            let mut payload = record[16..].iter().copied();
            for field in rows(head.kind).split(' ').skip(1) {
                skip(field.split_once(':').unwrap().1, &mut payload);
            }
            assert_eq!(payload.count(), 0, "{}", rows(head.kind));
        }
    }
}

/// Reads a field by its type alone.
fn skip(kind: &str, payload: &mut impl Iterator<Item = u8>) {
    let mut number = || {
        let mut bytes = payload.by_ref().take(10);
        let (mut number, mut shift) = (0, 0);
        loop {
            let byte = bytes.next().expect("a field is missing");
            number |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                return number;
            }
        }
    };
    match kind {
        "raw" => drop(payload.count()),
        "unsigned" | "text" => drop(number()),
        "time" => drop((number(), number())),
        "optional" if number() != 0 => drop(number()),
        "optional-time" if number() != 0 => drop((number(), number())),
        "bytes" => {
            let length = number();
            assert_eq!(payload.take(length as usize).count(), length as usize);
        }
        "word" | "low" | "high" | "high-text" | "flag" | "optional" | "optional-time" => {}
        choice => assert!(choice.starts_with("choice("), "{choice}"),
    }
}

#[test]
fn a_run_of_several_segments_is_replayed_as_it_was() {
    for seed in 0..10 {
        let run = record(&mut seeded(seed), 2000);
        let (notes, report) = replayed(&joined(&run.segments));
        assert_eq!(notes, run.notes.0);
        assert_eq!((report.records, report.lost, report.first), (run.events, 0, 0));
        assert_eq!(run.segments.iter().map(|segment| segment.events).sum::<u64>(), run.events);
    }
}

#[test]
fn every_prefix_is_readable_and_a_prefix_of_the_events() {
    let run = record(&mut seeded(3), 120);
    let bytes = joined(&run.segments);
    let mut records = 0;
    for length in 0..bytes.len() {
        let (notes, report) = replayed(&bytes[..length]);
        assert_eq!(notes, run.notes.0[..notes.len()], "{length} bytes");
        assert!(report.records >= records && report.unknown == 0 && report.lost == 0);
        assert_eq!(report.damaged, 0, "{length} bytes");
        records = report.records;
    }
    assert_eq!(records, run.events - 1);
}

#[test]
fn each_segment_can_be_read_alone() {
    let run = record(&mut seeded(4), 2000);
    assert!(run.segments.len() > 20);
    for (segment, start) in run.segments.iter().zip(&run.starts) {
        let (notes, report) = replayed(&segment.bytes);
        // The reader begins a turn, if the segment begins in the middle of one.
        let events = |notes: &[String]| -> Vec<String> {
            notes.iter().filter(|note| !note.starts_with("turn")).cloned().collect()
        };
        let expected = events(&run.notes.0[*start..]);
        assert_eq!(events(&notes), expected[..segment.events as usize]);
        assert!(notes.is_empty() || notes[0].starts_with("turn"));
        assert_eq!((report.unknown, report.lost), (0, 0));
    }
}

#[test]
fn a_missing_segment_is_a_loss_with_a_number() {
    let mut run = record(&mut seeded(5), 2000);
    let missing: u64 = run.segments.drain(3..5).map(|segment| segment.events).sum();
    let mut lost = Vec::new();
    let bytes = joined(&run.segments);
    let report = read(&bytes, &mut |record| {
        if let Record::Lost(events) = record {
            lost.push(*events);
        }
    });
    assert_eq!((lost, report.lost), (vec![missing], missing));
    assert_eq!(report.records, run.events - missing);
    // Without its beginning nothing is lost: the recording begins later.
    let first = run.segments.remove(0).events;
    let (_, report) = replayed(&joined(&run.segments));
    assert_eq!((report.first, report.lost), (first, missing));
}

#[test]
fn a_damaged_segment_costs_no_other_segment() {
    let run = record(&mut seeded(6), 2000);
    let mut bytes = joined(&run.segments);
    let (first, second) = (run.segments[0].bytes.len(), run.segments[1].bytes.len());
    bytes[first..first + second].fill(0xff);
    let (_, report) = replayed(&bytes);
    assert_eq!(report.records + run.segments[1].events, run.events);
    assert_eq!((report.lost, report.truncated), (run.segments[1].events, false));
    assert_eq!(report.damaged, second as u64);
}

/// Every record can be replaced: none is skipped as one of a later version, and no time is made up.
#[test]
fn a_record_that_its_segment_cannot_have_ends_the_segment() {
    let mut encoder = Encoder::new(Moment(1_000));
    encoder.begin_turn(Moment(1_000));
    let conn = Key::new(7, 3);
    let first = encoder.bytes().len();
    (0..4).for_each(|_| encoder.on(conn, &Event::ReadBlocked));
    let segment = encoder.next_segment(Vec::new());
    encoder.begin_turn(Moment(2_000));
    encoder.on(conn, &Event::ReadOn);
    let next = encoder.next_segment(Vec::new()).bytes;
    let length = segment.bytes.len();
    assert_eq!(length, first + 5 * schema::HEAD_BYTES, "a subject and four events");
    let record = |kind: u8, delta: u8, flags: u8, subject: u8| {
        let mut record = [0; 16];
        [record[0], record[4], record[5], record[6]] = [delta, kind, flags, subject];
        record
    };
    let damage = [
        [b'X'; 16],
        [0; 16],
        [0xff; 16],
        record(schema::READ_ON, 0, 0, 2),
        record(schema::READ_ON, 9, 0, 1),
        record(schema::SUBJECT, 0, 0, 1),
        record(schema::LISTENER, 0, 0, 2),
    ];
    for at in (first + schema::HEAD_BYTES..length).step_by(schema::HEAD_BYTES) {
        for damage in &damage {
            let mut bytes = segment.bytes.clone();
            bytes[at..at + damage.len()].copy_from_slice(damage);
            let events = (at - first) as u64 / 16 - 1;
            let (_, alone) = replayed(&bytes);
            assert_eq!((alone.records, alone.unknown, alone.to), (events, 0, Moment(1_000)));
            assert_eq!((alone.damaged, alone.truncated), ((length - at) as u64, false));
            bytes.extend(&next);
            let (_, report) = replayed(&bytes);
            assert_eq!((report.records, report.lost), (events + 1, 4 - events), "{damage:x?}");
            assert_eq!((report.damaged, report.unknown), ((length - at) as u64, 0));
            assert_eq!(report.to, Moment(2_000));
        }
    }
}

#[test]
fn a_file_that_is_cut_off_hides_nothing_of_the_next_file() {
    let run = record(&mut seeded(8), 400);
    let (first, rest) = (&run.segments[0], joined(&run.segments[1..]));
    for length in 0..first.bytes.len() {
        let mut events = 0;
        let mut count = |record: &Record<'_>| {
            events += match record {
                Record::Event(..) => 1,
                Record::Lost(lost) => *lost,
                Record::Process(_)
                | Record::Segment(_)
                | Record::Turn(_)
                | Record::Connection(..)
                | Record::Listener(..) => 0,
            }
        };
        let report = read_files(&[&first.bytes[..length], &rest], &mut count);
        // Without the first header nothing says that there were events before.
        assert_eq!(events + report.first, run.events, "{length} bytes");
        assert_eq!((report.unknown, report.damaged), (0, 0), "{length} bytes");
    }
}

#[test]
fn flipped_bytes_and_noise_never_panic() {
    let mut random = seeded(7);
    let run = record(&mut random, 200);
    let sound = joined(&run.segments);
    for _ in 0..1000 {
        let mut bytes = sound.clone();
        for _ in 0..=random.below(8) {
            let at = random.below(bytes.len() as u64) as usize;
            bytes[at] = random.draw() as u8;
        }
        let (notes, report) = replayed(&bytes);
        assert!(report.records as usize <= notes.len());
        let noise: Vec<u8> = (0..random.below(200)).map(|_| random.draw() as u8).collect();
        assert_eq!(replayed(&noise).0, [""; 0]);
    }
    assert_eq!(replayed(b"GET / HTTP/1.1\r\n\r\n").1.damaged, 18);
    assert_eq!(replayed(b""), (Vec::new(), ReplayReport::default()));
}

/// A later version of the program: more fields, more kinds, other numbers of a known kind.
#[test]
fn a_reader_skips_and_counts_the_kinds_of_a_later_version() {
    let mut encoder = Encoder::new(Moment(0));
    encoder.begin_turn(Moment(1));
    encoder.on(Key::LOOP, &Event::PolledAgain { events: 3 });
    encoder.on(Key::LOOP, &Event::ReadOn);
    let text = "drop the field";
    encoder.on(Key::LOOP, &Event::Dump { line: text });
    let mut bytes = encoder.next_segment(Vec::new()).bytes;
    for (old, new) in [("dump line:bytes", "dumq line:bytes"), ("read-on", "read-in")] {
        let at = bytes.windows(old.len()).position(|window| window == old.as_bytes()).unwrap();
        bytes[at..at + old.len()].copy_from_slice(new.as_bytes());
    }
    bytes.extend(encoder.next_segment(Vec::new()).bytes);
    let (notes, report) = replayed(&bytes);
    assert_eq!((notes.len(), report.records, report.unknown, report.lost), (2, 1, 2, 0));
    // Another version of the format: nothing of that segment is read.
    bytes[6] = 9;
    let (notes, report) = replayed(&bytes);
    assert_eq!((notes.len(), report.unknown, report.truncated), (0, 1, false));
}

#[test]
fn a_segment_repeats_who_is_connected_and_who_listens() {
    let mut encoder = Encoder::new(Moment(10));
    let (conn, listener) = (Key::new(7, 3), Key::source(SourceKind::Listener, 2, 1));
    let peer = crate::core::Peer::Inet("[fe80::1%3]:80".parse().unwrap());
    let (service, listen) = (crate::core::ServiceKind::Relay, "tcp://:1");
    encoder.begin_turn(Moment(20));
    encoder.on(listener, &Event::Listening { address: listen, service });
    encoder.on(conn, &Event::Opened { route: 4, service, listen, peer: &peer });
    encoder.on(conn.at(1), &Event::Dialing { target: "tcp://t:1", attempt: 1 });
    encoder.next_segment(Vec::new());
    encoder.begin_turn(Moment(90));
    encoder.on(Key::LOOP, &Event::PolledAgain { events: 3 });
    encoder.on(conn.at(1), &Event::ReadBlocked);
    encoder.on(conn, &Event::ReadBlocked);
    encoder.on(listener, &Event::ReadBlocked);
    let mut known = String::new();
    read(encoder.bytes(), &mut |record| match record {
        Record::Segment(head) => {
            assert_eq!((head.segment, head.first, head.moment), (1, 3, Moment(20)));
            assert_eq!(head.wall_micros_of(Moment(30)), head.wall_micros + 10);
            assert_eq!(head.pid, std::process::id());
        }
        Record::Connection(key, connection) => {
            assert_eq!(*key, conn);
            write!(known, "{connection:?}").unwrap();
        }
        Record::Listener(key, service, address) => {
            assert_eq!(*key, listener);
            write!(known, " {service} {address}").unwrap();
        }
        Record::Process(_) | Record::Turn(_) | Record::Event(..) | Record::Lost(_) => {}
    });
    assert_eq!(
        known,
        "KnownConnection { opened: Moment(20), route: 4, service: Relay, listen: \"tcp://:1\", \
         peer: Inet([fe80::1%3]:80), target: Some(\"tcp://t:1\") } relay tcp://:1"
    );
}
