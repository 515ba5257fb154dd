//! Reads a recording: checks it, skips what it does not know, and delivers the events to an
//! observer.

use std::collections::HashSet;
use std::time::Duration;

use crate::core::{Event, Key, Moment, Observer, Peer, ServiceKind};

use super::decode::decode;
use super::fields::{Fields, Head};
use super::schema::{self, HEAD_BYTES, Known};
use super::writer::{SegmentHead, subject_of};

/// What a reader receives, in the order of the recording.
#[derive(Debug)]
pub enum Record<'a> {
    /// The events of another process begin, with this segment. Not delivered for the first process.
    Process(&'a SegmentHead),
    /// A segment begins.
    Segment(&'a SegmentHead),
    /// A turn begins.
    Turn(Moment),
    Event(Key, &'a Event<'a>),
    /// A connection that was opened before this segment, at its first event of the segment.
    Connection(Key, &'a KnownConnection<'a>),
    /// A listener that was bound before this segment.
    Listener(Key, ServiceKind, &'a str),
    /// This many events were lost here.
    Lost(u64),
}

/// What a segment says of a connection that was opened before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownConnection<'a> {
    pub opened: Moment,
    pub route: u16,
    pub service: ServiceKind,
    pub listen: &'a str,
    pub peer: Peer,
    /// The target that was dialed last.
    pub target: Option<&'a str>,
}

/// An observer of a replay: it also receives what happened before the recording.
pub trait ReplayObserver: Observer {
    /// Receives a connection that was opened before the recording, once, before its first event.
    fn known_connection(&mut self, _key: Key, _known: &KnownConnection<'_>) {}

    /// Receives a listener that was bound before the recording, before its first event.
    fn known_listener(&mut self, _key: Key, _service: ServiceKind, _address: &str) {}

    /// Receives the head of the segment with which the events of another process begin. The numbers
    /// of its connections and its time begin again.
    fn process(&mut self, _head: &SegmentHead) {}

    /// Receives the number of events that were lost at this point.
    fn lost(&mut self, _events: u64) {}
}

/// The result of reading a recording.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplayReport {
    /// Events that were delivered.
    pub records: u64,
    /// Records that were skipped: their kind, or a name in them, is not known.
    pub unknown: u64,
    /// Events that were not recorded, between others that were.
    pub lost: u64,
    /// The recording, or one of its files, ends within a record.
    pub truncated: bool,
    /// Bytes that were skipped up to the next segment, or to the end: they are damaged, of another
    /// version of the format, or no recording.
    pub damaged: u64,
    /// The number of the first event: events before it are no longer in the recording.
    pub first: u64,
    /// The time of the first and of the last record.
    pub from: Moment,
    pub to: Moment,
    /// The header of the first segment.
    pub head: Option<SegmentHead>,
    /// Where the events of each process begin.
    pub processes: Vec<ProcessStart>,
}

/// The first segment of a process in a recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessStart {
    /// The index of the file, and the position in it.
    pub file: usize,
    pub at: usize,
    pub head: SegmentHead,
}

/// Delivers the events of a recording to an observer, as they were: `begin_turn`, then `on`. The
/// observer does not receive what a segment repeats, and no losses: `read` delivers them too.
pub fn replay(bytes: &[u8], observer: &mut dyn Observer) -> ReplayReport {
    read(bytes, &mut |record| match *record {
        Record::Turn(now) => drop(observer.begin_turn(now)),
        Record::Event(key, event) => observer.on(key, event),
        Record::Process(_)
        | Record::Segment(_)
        | Record::Connection(..)
        | Record::Listener(..)
        | Record::Lost(_) => {}
    })
}

/// Delivers the events of the files of one recording, as they were, and what was opened before it.
/// What the segments repeat of connections that were opened in the recording is not delivered.
pub fn replay_files(files: &[&[u8]], observer: &mut dyn ReplayObserver) -> ReplayReport {
    let mut open = HashSet::new();
    read_files(files, &mut |record| match *record {
        Record::Process(head) => {
            open.clear();
            observer.process(head);
        }
        Record::Segment(_) => {}
        Record::Turn(now) => drop(observer.begin_turn(now)),
        Record::Event(key, event) => {
            if let Event::Opened { .. } = event {
                open.insert(subject_of(key));
            } else if let Event::Closed { .. } = event {
                open.remove(&subject_of(key));
            }
            observer.on(key, event);
        }
        Record::Connection(key, known) => {
            if open.insert(subject_of(key)) {
                observer.known_connection(key, known);
            }
        }
        Record::Listener(key, service, address) => observer.known_listener(key, service, address),
        Record::Lost(events) => observer.lost(events),
    })
}

/// Delivers everything that a recording contains.
pub fn read(bytes: &[u8], deliver: &mut dyn FnMut(&Record<'_>)) -> ReplayReport {
    read_files(&[bytes], deliver)
}

/// Delivers everything that the files of one recording contain, in their order. Any of them may end
/// within a record.
pub fn read_files(files: &[&[u8]], deliver: &mut dyn FnMut(&Record<'_>)) -> ReplayReport {
    let report = ReplayReport::default();
    let mut reader =
        Reader { report, segment: None, expected: None, started: false, position: (0, 0) };
    for (file, bytes) in files.iter().enumerate() {
        reader.position.0 = file;
        read_file(bytes, &mut reader, deliver);
    }
    reader.report
}

/// Splits the files of a recording into those of each process, which begin where a report says.
pub fn split_processes<'a>(files: &[&'a [u8]], starts: &[ProcessStart]) -> Vec<Vec<&'a [u8]>> {
    let ends = starts.iter().skip(1).map(|start| (start.file, start.at));
    let mut from = (0, 0);
    let mut split = Vec::new();
    for to in ends.chain([(files.len(), 0)]) {
        let mut parts = Vec::new();
        for (file, bytes) in files.iter().enumerate().take(to.0 + 1).skip(from.0) {
            let begin = if file == from.0 { from.1 } else { 0 };
            let end = if file == to.0 { to.1 } else { bytes.len() };
            parts.extend(bytes.get(begin..end).filter(|part| !part.is_empty()));
        }
        split.push(parts);
        from = to;
    }
    split
}

fn read_file<'a>(bytes: &'a [u8], reader: &mut Reader<'a>, deliver: &mut dyn FnMut(&Record<'_>)) {
    reader.segment = None;
    let mut rest = bytes;
    while let Some(head) = Head::read(rest) {
        let length = head.length();
        let is_sound = head.is_segment() || reader.can_follow(head);
        if is_sound && let Some((record, after)) = rest.split_at_checked(length) {
            reader.position.1 = bytes.len() - rest.len();
            let payload = &record[HEAD_BYTES..];
            if !head.is_segment() {
                reader.record(head, payload, deliver);
            }
            if !head.is_segment() || reader.begin_segment(head, payload, deliver) {
                rest = after;
                continue;
            }
        }
        // A length beyond the end of the file is that of a cut record, or is damaged itself. If
        // another segment follows, it is damaged.
        let next = find_segment(&rest[1..]).map(|at| at + 1);
        if next.is_none() && is_sound && length > rest.len() {
            break;
        }
        (reader.segment, reader.started) = (None, false);
        let skipped = next.unwrap_or(rest.len());
        reader.report.damaged += skipped as u64;
        rest = &rest[skipped..];
    }
    reader.report.truncated |= !rest.is_empty();
}

/// Returns the position of the next header of a segment.
fn find_segment(bytes: &[u8]) -> Option<usize> {
    let mut mark = [0; 5];
    mark[..4].copy_from_slice(&schema::MAGIC.to_le_bytes());
    mark[4] = schema::SEGMENT;
    bytes.windows(mark.len()).position(|window| window == mark)
}

/// Times of the start of a process that differ by less are the same: the time of day may have been
/// corrected meanwhile.
const SAME_START: Duration = Duration::from_secs(1);

struct Reader<'a> {
    report: ReplayReport,
    /// None: the records until the next header cannot be read.
    segment: Option<OpenSegment<'a>>,
    /// The header of the last segment, and the number of the event that follows it.
    expected: Option<(SegmentHead, u64)>,
    /// The file, and the position of the present record in it.
    position: (usize, usize),
    /// The turn of the next event was delivered, unless one begins there.
    started: bool,
}

/// The tables of the segment that is being read.
struct OpenSegment<'a> {
    known: Known,
    subjects: Vec<Key>,
    texts: Vec<Option<&'a str>>,
    now: Moment,
    /// What the segment repeats for the next event. It belongs to the turn of that event.
    repeated: Option<(u8, Head, &'a [u8])>,
}

impl<'a> Reader<'a> {
    /// Reads the header of a segment. Returns false if it is damaged.
    fn begin_segment(
        &mut self,
        head: Head,
        payload: &'a [u8],
        deliver: &mut dyn FnMut(&Record<'_>),
    ) -> bool {
        let Some((parsed, table)) = parse_head(payload) else { return false };
        if head.subject != schema::VERSION {
            // What follows may have another structure.
            self.report.unknown += 1;
            self.segment = None;
            return true;
        }
        // Numbers of another process begin again: nothing is missing there.
        let expected = self.expected.take().filter(|(last, _)| is_same_process(last, &parsed));
        let next = expected.map(|(_, next)| next);
        let lost = next.and_then(|next| parsed.first.checked_sub(next)).unwrap_or(0);
        // The beginning of the turn may be among what was lost.
        self.started &= lost == 0 && next.is_some();
        if next.is_none() {
            let (file, at) = self.position;
            self.report.processes.push(ProcessStart { file, at, head: parsed.clone() });
            if self.report.head.is_some() {
                deliver(&Record::Process(&parsed));
            }
        }
        if self.report.head.is_none() {
            (self.report.first, self.report.from) = (parsed.first, parsed.moment);
            self.report.to = parsed.moment;
            self.report.head = Some(parsed.clone());
        }
        deliver(&Record::Segment(&parsed));
        self.expected = Some((parsed.clone(), parsed.first));
        if lost > 0 {
            self.report.lost += lost;
            deliver(&Record::Lost(lost));
        }
        self.segment = Some(OpenSegment {
            known: Known::parse(table),
            subjects: vec![Key::LOOP.at(0)],
            texts: Vec::new(),
            now: parsed.moment,
            repeated: None,
        });
        true
    }

    /// Whether a record with this head can be the next one of the segment. No version of the
    /// program writes another one, so it is damaged.
    fn can_follow(&self, head: Head) -> bool {
        self.segment.as_ref().is_some_and(|segment| segment.can_have(head))
    }

    /// Reads a record.
    fn record(&mut self, head: Head, payload: &'a [u8], deliver: &mut dyn FnMut(&Record<'_>)) {
        let Some(segment) = &mut self.segment else { return };
        let kind = segment.known.kind(head.kind);
        match kind {
            _ if schema::is_event(head.kind) => self.event(kind, head, payload, deliver),
            Some(schema::SUBJECT) => segment.subjects.push(Key::from_token(head.value as usize)),
            Some(schema::TEXT) => segment.texts.push(std::str::from_utf8(payload).ok()),
            Some(schema::TIME) => {
                segment.now.0 = head.value;
                self.turn(head, deliver);
            }
            Some(kind) => {
                self.repeat(deliver);
                if let Some(segment) = &mut self.segment {
                    segment.repeated = Some((kind, head, payload));
                }
            }
            None => self.report.unknown += 1,
        }
    }

    /// Delivers what the segment repeats for the event that follows.
    fn repeat(&mut self, deliver: &mut dyn FnMut(&Record<'_>)) {
        let Some(segment) = &mut self.segment else { return };
        let Some((kind, head, payload)) = segment.repeated.take() else { return };
        let delivered = segment.repeated(kind, head, payload, deliver);
        self.report.unknown += u64::from(delivered.is_none());
    }

    /// Reads the record of an event. What all events have in common is known even of one of another
    /// version.
    fn event(
        &mut self,
        kind: Option<u8>,
        head: Head,
        payload: &'a [u8],
        deliver: &mut dyn FnMut(&Record<'_>),
    ) {
        let Some(segment) = &mut self.segment else { return };
        segment.now.0 = segment.now.0.saturating_add(u64::from(head.delta));
        self.turn(head, deliver);
        if let Some((_, next)) = &mut self.expected {
            *next = next.saturating_add(1);
        }
        self.repeat(deliver);
        let Some(segment) = &self.segment else { return };
        let decoded = kind.zip(segment.key(head)).and_then(|(kind, key)| {
            let mut fields = Fields::new(head, payload, &segment.texts);
            let mut delivered = |event: &Event<'_>| deliver(&Record::Event(key, event));
            decode(kind, &mut fields, segment.now, &mut delivered)
        });
        match decoded {
            Some(()) => self.report.records += 1,
            None => self.report.unknown += 1,
        }
    }

    /// Delivers the beginning of a turn, if one begins at this record, or if the recording begins
    /// in the middle of a turn, or goes on there after a loss.
    fn turn(&mut self, head: Head, deliver: &mut dyn FnMut(&Record<'_>)) {
        let Some(segment) = &self.segment else { return };
        self.report.to = segment.now;
        if head.flags & schema::TURN != 0 || !self.started {
            self.started = true;
            deliver(&Record::Turn(segment.now));
        }
    }
}

impl<'a> OpenSegment<'a> {
    /// Whether the segment can have a record with this head: the schema lists its kind, its subject
    /// is in the table, and the time moves only where a turn begins. Nothing is required of a table
    /// that this version does not know.
    fn can_have(&self, head: Head) -> bool {
        let subject = usize::from(head.subject);
        let is_placed = match self.known.kind(head.kind) {
            _ if schema::is_event(head.kind) => {
                let moves_time = head.delta > 0 && head.flags & schema::TURN == 0;
                subject < self.subjects.len() && !moves_time
            }
            Some(schema::SUBJECT) => subject == self.subjects.len(),
            Some(schema::CONNECTION | schema::LISTENER) => subject < self.subjects.len(),
            Some(_) | None => true,
        };
        is_placed && self.known.is_listed(head.kind)
    }

    /// Returns the key of a record.
    fn key(&self, head: Head) -> Option<Key> {
        let subject = self.subjects.get(usize::from(head.subject))?;
        Some(subject.at(usize::from(head.flags & schema::END)))
    }

    /// Delivers what the segment repeats of an older connection or listener.
    fn repeated(
        &self,
        kind: u8,
        head: Head,
        payload: &'a [u8],
        deliver: &mut dyn FnMut(&Record<'_>),
    ) -> Option<()> {
        let key = self.key(head)?;
        let mut fields = Fields::new(head, payload, &self.texts);
        if kind == schema::LISTENER {
            let (service, address) = (fields.service()?, fields.text()?);
            deliver(&Record::Listener(key, service, address));
            return Some(());
        }
        let known = KnownConnection {
            opened: fields.moment()?,
            route: fields.number()?,
            service: fields.service()?,
            listen: fields.text()?,
            peer: fields.peer()?,
            target: fields.optional_text()?,
        };
        deliver(&Record::Connection(key, &known));
        Some(())
    }
}

/// Whether two segments, one behind the other, are of the same process. In a container, all have
/// the same number, but the clock and the segments of each begin again.
fn is_same_process(last: &SegmentHead, next: &SegmentHead) -> bool {
    let started = |head: &SegmentHead| head.wall_micros_of(Moment(0));
    let is_again = next.segment <= last.segment
        && started(last).abs_diff(started(next)) > SAME_START.as_micros() as u64;
    last.pid == next.pid && last.moment <= next.moment && !is_again
}

/// Returns the header of a segment and its table of kinds.
fn parse_head(payload: &[u8]) -> Option<(SegmentHead, &str)> {
    let mut rest = payload;
    let mut numbers = [0; 4];
    for number in &mut numbers {
        let (bytes, after) = rest.split_first_chunk::<8>()?;
        (*number, rest) = (u64::from_le_bytes(*bytes), after);
    }
    let [segment, first, moment, wall_micros] = numbers;
    let (pid, rest) = rest.split_first_chunk::<4>()?;
    let (program, rest) = parse_text(rest)?;
    let (table, _) = parse_text(rest)?;
    let pid = u32::from_le_bytes(*pid);
    let (moment, program) = (Moment(moment), program.to_owned());
    Some((SegmentHead { segment, first, moment, wall_micros, pid, program }, table))
}

/// Reads a text behind its length.
fn parse_text(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (text, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    Some((std::str::from_utf8(text).ok()?, rest))
}
