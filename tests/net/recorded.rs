//! A recorder beside the observer of a run, and the checks of what it recorded: the same events in
//! the same order, every loss announced, every prefix readable, and no damage that does harm.

use std::collections::HashMap;
use std::fmt::Write;
use std::hash::{DefaultHasher, Hasher};
use std::sync::Arc;

use oneloop::config::RecordPlan;
use oneloop::core::random::mix;
use oneloop::core::{Event, Key, Moment, Observer, Peer, Random, ServiceKind, Wants};
use oneloop::observe::Recorder;
use oneloop::recording::{Record, ReplayReport, SEGMENT_BYTES, Segment, read};

/// Memory that the recorder needs beside the complete segments: two buffers of the largest segment.
const BUFFERS: usize = 2 * (SEGMENT_BYTES + SEGMENT_BYTES / 16);

/// Number of prefixes, and of damaged copies, that are read of one recording.
const PREFIXES: usize = 6;
const DAMAGED: usize = 10;

/// Where everything is opened that a run opens.
const LISTEN: &str = "tcp://192.0.2.1:7";

/// A recorder, and what it should have recorded.
pub struct Recorded {
    recorder: Recorder,
    random: Random,
    now: Moment,
    /// A hash of the time, the key and the fields of each event.
    events: Vec<u64>,
    opened: HashMap<u32, Moment>,
}

/// What was read of a recording.
#[derive(Default)]
struct ReadBack {
    now: Moment,
    /// The number of each event that was read, and its hash.
    events: Vec<(u64, u64)>,
    next: u64,
}

fn hash(now: Moment, key: Key, event: &Event<'_>) -> u64 {
    let mut text = HashedText(DefaultHasher::new());
    write!(text, "{now:?} {key:?} {event:?}").expect("a hash takes any text");
    text.0.finish()
}

/// Hashes the text that is written.
struct HashedText(DefaultHasher);

impl Write for HashedText {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.0.write(text.as_bytes());
        Ok(())
    }
}

impl Recorded {
    /// Begins a recording of a few segments, so that most runs fill it.
    pub fn begin(seed: u64, now: Moment) -> Recorded {
        let mut random = Random::new(mix(seed ^ 0x5eed));
        let limit = BUFFERS + 64 * 1024 + random.below(192 * 1024) as usize;
        let recorder = Recorder::start(&RecordPlan::Memory { limit }, now).expect("memory");
        let (events, opened) = (Vec::new(), HashMap::new());
        Recorded { recorder, random, now, events, opened }
    }

    /// Records that a connection is opened, which the engine does not report.
    pub fn opened(&mut self, key: Key) {
        self.opened.insert(key.id, self.now);
        let port = (key.id % 60_000) as u16;
        let peer = &Peer::Inet(([192, 0, 2, 2], port).into());
        let (route, service) = (0, ServiceKind::Relay);
        self.on(key, &Event::Opened { route, service, listen: LISTEN, peer });
    }

    pub fn begin_turn(&mut self, now: Moment) -> Wants {
        self.now = now;
        self.recorder.begin_turn(now)
    }

    pub fn on(&mut self, key: Key, event: &Event<'_>) {
        self.events.push(hash(self.now, key, event));
        self.recorder.on(key, event);
        // A download ends the segment that is being written.
        if self.random.once_in(150) {
            self.segments();
        }
    }

    fn segments(&mut self) -> Vec<Arc<Segment>> {
        self.recorder.segments().expect("a recording in memory")
    }

    /// Checks the recording of a run that is over. Returns how many events it has.
    pub fn check(mut self) -> u64 {
        let segments = self.segments();
        let parts: Vec<&[u8]> = segments.iter().map(|segment| &*segment.bytes).collect();
        let bytes = parts.concat();
        assert!(!bytes.is_empty(), "the last segment is kept");
        let (all, report) = self.read(&bytes);
        assert_eq!((report.unknown, report.damaged, report.truncated), (0, 0, false));
        assert_eq!(report.lost, 0, "nothing is lost in memory");
        assert_eq!(report.first + report.records, self.events.len() as u64, "dropped and read");
        if self.random.once_in(4) {
            self.check_losses(&parts);
            self.check_prefixes(&bytes, &all.events);
            self.check_damage(&bytes);
        }
        report.records
    }

    /// Reads a recording. Each event is that of the run with its number.
    fn read(&self, bytes: &[u8]) -> (ReadBack, ReplayReport) {
        let mut back = ReadBack::default();
        let report = read(bytes, &mut |record| match record {
            Record::Process(_) => panic!("there is one process"),
            Record::Segment(head) => {
                let number = head.first;
                assert!(number >= back.next, "{number} was read before");
                if back.events.is_empty() {
                    back.next = number;
                }
            }
            Record::Turn(now) => back.now = *now,
            Record::Event(key, event) => {
                let read = hash(back.now, *key, event);
                assert_eq!(self.events.get(back.next as usize), Some(&read), "event {}", back.next);
                back.events.push((back.next, read));
                back.next += 1;
            }
            Record::Connection(key, known) => {
                assert_eq!(self.opened.get(&key.id), Some(&known.opened), "{key:?}");
                assert_eq!((known.listen, known.target), (LISTEN, None));
            }
            Record::Listener(..) => panic!("there is no listener"),
            Record::Lost(events) => back.next += events,
        });
        (back, report)
    }

    /// Leaves out segments, as a disk does that is too slow.
    fn check_losses(&mut self, parts: &[&[u8]]) {
        let mut kept = Vec::new();
        for part in parts {
            if !self.random.once_in(3) {
                kept.push(*part);
            }
        }
        let Some(last) = kept.last() else { return };
        let end = self.read(last).0.next;
        let (back, report) = self.read(&kept.concat());
        assert_eq!(back.next, end, "every lost event is counted");
        assert_eq!(report.first + report.lost + report.records, end, "{report:?}");
    }

    fn check_prefixes(&mut self, bytes: &[u8], all: &[(u64, u64)]) {
        let ends = record_ends(bytes);
        for _ in 0..PREFIXES {
            let cut = self.random.below(bytes.len() as u64 + 1) as usize;
            let (back, report) = self.read(&bytes[..cut]);
            let whole = ends.iter().take_while(|(end, _)| *end <= cut);
            let events = whole.clone().filter(|(_, is_event)| *is_event).count();
            assert_eq!(back.events, all[..events], "cut at {cut}");
            let is_end = cut == 0 || whole.last().is_some_and(|(end, _)| *end == cut);
            assert_eq!(report.truncated || report.damaged > 0, !is_end, "cut at {cut}: {report:?}");
        }
    }

    /// Flips bytes. What is read then may be anything, but there is not more of it than bytes.
    fn check_damage(&mut self, bytes: &[u8]) {
        let mut damaged = bytes.to_vec();
        for _ in 0..DAMAGED {
            damaged.copy_from_slice(bytes);
            for _ in 0..=self.random.below(12) {
                let at = self.random.below(bytes.len() as u64) as usize;
                damaged[at] ^= 1 << self.random.below(8);
            }
            let report = read(&damaged, &mut |_| {});
            let records = report.records + report.unknown;
            assert!(records * 16 <= bytes.len() as u64, "{report:?}");
        }
    }
}

/// Returns the end of each record, and whether it is an event. Knows of the format only what a
/// reader must know to skip records.
fn record_ends(bytes: &[u8]) -> Vec<(usize, bool)> {
    let (mut at, mut ends) = (0, Vec::new());
    while let Some(head) = bytes.get(at..at + 16) {
        let value = u64::from_le_bytes(head[8..].try_into().expect("eight bytes"));
        let kind = head[4];
        at += 16 + if kind & 0x80 == 0 { 0 } else { value as usize };
        ends.push((at, kind != 0xff && kind & 0x7f >= 16));
    }
    ends
}
