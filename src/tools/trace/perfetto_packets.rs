//! The packets of a Perfetto trace: their fields, and the tables of repeated texts. Decides nothing
//! about what is shown.

use std::collections::HashMap;
use std::io::{self, Write};

use serde_json::Value;

use crate::text::escape::{Form, Shown};

use super::protobuf::ProtoMessage;

/// Texts of annotations that are written once and then referred to. Beyond these, each annotation
/// has its own copy, so that texts of peers do not fill the memory.
const MAX_TEXTS: usize = 4096;

/// The one sequence of packets: numbers of texts belong to it.
const SEQUENCE: u64 = 1;

// The fields of the messages, from the schema of Perfetto (protos/perfetto/trace).
const TRACE_PACKET: u64 = 1;
const CLOCK_SNAPSHOT: u64 = 6;
const TIMESTAMP: u64 = 8;
const SEQUENCE_ID: u64 = 10;
const TRACK_EVENT: u64 = 11;
const INTERNED_DATA: u64 = 12;
const SEQUENCE_FLAGS: u64 = 13;
const TRACK_DESCRIPTOR: u64 = 60;

const INTERNED_NAMES: u64 = 2;
const INTERNED_KEYS: u64 = 3;
const INTERNED_TEXTS: u64 = 29;
const INTERNED_ID: u64 = 1;
const INTERNED_TEXT: u64 = 2;

const EVENT_ANNOTATION: u64 = 4;
const EVENT_TYPE: u64 = 9;
const EVENT_NAME_ID: u64 = 10;
const EVENT_TRACK: u64 = 11;
const EVENT_NAME: u64 = 23;
const EVENT_COUNTER: u64 = 30;
/// As varints, these would be ignored.
const EVENT_FLOWS: u64 = 47;

const ANNOTATION_KEY_ID: u64 = 1;
const ANNOTATION_BOOL: u64 = 2;
const ANNOTATION_UNSIGNED: u64 = 3;
const ANNOTATION_TEXT: u64 = 6;
const ANNOTATION_TEXT_ID: u64 = 17;

const TRACK_ID: u64 = 1;
const TRACK_NAME: u64 = 2;
const TRACK_PROCESS: u64 = 3;
const TRACK_THREAD: u64 = 4;
const TRACK_PARENT: u64 = 5;
const TRACK_COUNTER: u64 = 8;
const TRACK_CHILDREN: u64 = 11;
const TRACK_RANK: u64 = 12;
const TRACK_DESCRIPTION: u64 = 14;
/// Children have the order of their ranks.
const CHILDREN_BY_RANK: u64 = 3;

const PROCESS_ID: u64 = 1;
const PROCESS_NAME: u64 = 6;
const THREAD_PROCESS_ID: u64 = 1;
const THREAD_ID: u64 = 2;
const THREAD_NAME: u64 = 5;
const COUNTER_UNIT: u64 = 3;

const SNAPSHOT_CLOCK: u64 = 1;
const CLOCK_ID: u64 = 1;
const CLOCK_TIME: u64 = 2;
const REALTIME: u64 = 1;
/// The clock of packets that name none.
const BOOTTIME: u64 = 6;

/// The tables of texts are empty, and later packets need them.
const FIRST_PACKET: u64 = 3;
const LATER_PACKET: u64 = 2;

/// What a track event does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TrackEventType {
    Begin = 1,
    End = 2,
    Instant = 3,
    Counter = 4,
}

/// The unit of a counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CounterUnit {
    Count = 2,
    Bytes = 3,
}

/// What a track is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TrackKind {
    Process { pid: u32 },
    Thread { pid: u32 },
    Counter(CounterUnit),
    Plain,
}

/// A track to be described. `parent` and `rank`: its place in the list of tracks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Track<'a> {
    pub id: u64,
    pub kind: TrackKind,
    pub name: &'a str,
    pub description: &'a str,
    pub parent: Option<u64>,
    pub rank: u64,
}

/// Writes packets.
pub(super) struct PacketWriter<W: Write> {
    out: W,
    /// The first error. Nothing is written after it.
    error: io::Result<()>,
    is_first: bool,
    names: HashMap<String, u64>,
    keys: HashMap<String, u64>,
    texts: HashMap<String, u64>,
    /// Texts that got a number, and belong into the next packet.
    fresh: ProtoMessage,
}

impl<W: Write> PacketWriter<W> {
    pub fn new(out: W) -> PacketWriter<W> {
        let (names, keys, texts) = Default::default();
        let fresh = ProtoMessage::default();
        PacketWriter { out, error: Ok(()), is_first: true, names, keys, texts, fresh }
    }

    /// Returns the first error.
    pub fn finish(mut self) -> io::Result<()> {
        self.error?;
        self.out.flush()
    }

    /// Says which time of day a timestamp is. Both are in nanoseconds, the latter since 1970.
    pub fn clocks(&mut self, timestamp: u64, wall: u64) {
        let mut snapshot = ProtoMessage::default();
        for (id, time) in [(BOOTTIME, timestamp), (REALTIME, wall)] {
            let mut clock = ProtoMessage::default();
            clock.number(CLOCK_ID, id).number(CLOCK_TIME, time);
            snapshot.message(SNAPSHOT_CLOCK, &clock);
        }
        self.packet(Some(timestamp), CLOCK_SNAPSHOT, &snapshot);
    }

    pub fn track(&mut self, track: &Track<'_>) {
        let mut message = ProtoMessage::default();
        message.number(TRACK_ID, track.id).text(TRACK_NAME, track.name);
        let mut kind = ProtoMessage::default();
        match track.kind {
            TrackKind::Process { pid } => {
                kind.number(PROCESS_ID, pid.into()).text(PROCESS_NAME, track.name);
                message.message(TRACK_PROCESS, &kind);
            }
            TrackKind::Thread { pid } => {
                // The only thread that matters is the first: both have the same number.
                kind.number(THREAD_PROCESS_ID, pid.into()).number(THREAD_ID, pid.into());
                kind.text(THREAD_NAME, track.name);
                message.message(TRACK_THREAD, &kind);
            }
            TrackKind::Counter(unit) => {
                kind.number(COUNTER_UNIT, unit as u64);
                message.message(TRACK_COUNTER, &kind);
            }
            TrackKind::Plain => {}
        }
        if let Some(parent) = track.parent {
            message.number(TRACK_PARENT, parent);
        }
        if !track.description.is_empty() {
            message.text(TRACK_DESCRIPTION, track.description);
        }
        message.number(TRACK_CHILDREN, CHILDREN_BY_RANK).number(TRACK_RANK, track.rank);
        self.packet(None, TRACK_DESCRIPTOR, &message);
    }

    /// Returns a track event, which may be written later.
    pub fn event(&mut self, track: u64, kind: TrackEventType, name: Option<&str>) -> ProtoMessage {
        let mut event = ProtoMessage::default();
        event.number(EVENT_TYPE, kind as u64).number(EVENT_TRACK, track);
        if let Some(name) = name {
            let id = intern(&mut self.names, name, INTERNED_NAMES, &mut self.fresh);
            event.number(EVENT_NAME_ID, id);
        }
        event
    }

    /// Returns the beginning of a slice whose name does not occur again.
    pub fn begin_named(&mut self, track: u64, name: &str) -> ProtoMessage {
        let mut event = self.event(track, TrackEventType::Begin, None);
        event.text(EVENT_NAME, name);
        event
    }

    /// Writes a value of a counter.
    pub fn counter(&mut self, track: u64, timestamp: u64, value: u64) {
        let mut event = self.event(track, TrackEventType::Counter, None);
        event.number(EVENT_COUNTER, value);
        self.write(timestamp, &event);
    }

    /// Adds annotations to an event. Texts are escaped; what is null is left out.
    pub fn annotate(&mut self, event: &mut ProtoMessage, fields: &[(&'static str, Value)]) {
        for (key, value) in fields {
            let mut annotation = ProtoMessage::default();
            match value {
                Value::Null => continue,
                Value::Bool(value) => annotation.number(ANNOTATION_BOOL, u64::from(*value)),
                Value::String(text) => self.text(&mut annotation, text),
                Value::Array(all) => {
                    let texts: Vec<&str> = all.iter().filter_map(Value::as_str).collect();
                    self.text(&mut annotation, &texts.join(", "))
                }
                Value::Number(number) if number.is_u64() => {
                    annotation.number(ANNOTATION_UNSIGNED, number.as_u64().unwrap_or_default())
                }
                Value::Number(_) | Value::Object(_) => {
                    self.text(&mut annotation, &value.to_string())
                }
            };
            let key = intern(&mut self.keys, key, INTERNED_KEYS, &mut self.fresh);
            annotation.number(ANNOTATION_KEY_ID, key);
            event.message(EVENT_ANNOTATION, &annotation);
        }
    }

    fn text<'a>(&mut self, annotation: &'a mut ProtoMessage, text: &str) -> &'a mut ProtoMessage {
        // Names of peers are escaped in fields already: their backslashes stay as they are.
        let text = Shown::new(text.as_bytes(), Form::Ours).to_string();
        if self.texts.len() >= MAX_TEXTS && !self.texts.contains_key(&text) {
            return annotation.text(ANNOTATION_TEXT, &text);
        }
        let id = intern(&mut self.texts, &text, INTERNED_TEXTS, &mut self.fresh);
        annotation.number(ANNOTATION_TEXT_ID, id)
    }

    /// Writes an event. A flow joins events of the same number with arrows.
    pub fn write(&mut self, timestamp: u64, event: &ProtoMessage) {
        self.packet(Some(timestamp), TRACK_EVENT, event);
    }

    fn packet(&mut self, timestamp: Option<u64>, field: u64, content: &ProtoMessage) {
        if self.error.is_err() {
            return;
        }
        let mut packet = ProtoMessage::default();
        if let Some(timestamp) = timestamp {
            packet.number(TIMESTAMP, timestamp);
        }
        let is_first = std::mem::replace(&mut self.is_first, false);
        let flags = if is_first { FIRST_PACKET } else { LATER_PACKET };
        packet.number(SEQUENCE_ID, SEQUENCE).number(SEQUENCE_FLAGS, flags);
        let fresh = std::mem::take(&mut self.fresh);
        if !fresh.is_empty() {
            packet.message(INTERNED_DATA, &fresh);
        }
        packet.message(field, content);
        let mut trace = ProtoMessage::default();
        trace.message(TRACE_PACKET, &packet);
        self.error = self.out.write_all(trace.as_bytes());
    }
}

/// Lets an arrow end or begin at this event.
pub(super) fn add_flow(event: &mut ProtoMessage, flow: u64) {
    event.fixed(EVENT_FLOWS, flow);
}

/// Returns the number of a text, and adds it to the next packet if it is new.
fn intern(
    table: &mut HashMap<String, u64>,
    text: &str,
    field: u64,
    fresh: &mut ProtoMessage,
) -> u64 {
    if let Some(id) = table.get(text) {
        return *id;
    }
    // Zero is no number.
    let id = table.len() as u64 + 1;
    table.insert(text.to_owned(), id);
    let mut entry = ProtoMessage::default();
    entry.number(INTERNED_ID, id).text(INTERNED_TEXT, text);
    fresh.message(field, &entry);
    id
}
