//! Writes one segment: its header, its tables of texts and subjects, and records. It knows no
//! event.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

use crate::core::{Key, Moment, Peer};

use super::names;
use super::schema::{self, HEAD_BYTES};

/// Length at which a segment is complete. It ends with the record that reaches it.
pub const SEGMENT_BYTES: usize = 1 << 20;

/// Length that a segment rarely exceeds: that of a complete one with a large last record.
pub const SEGMENT_MAX: usize = SEGMENT_BYTES + SEGMENT_BYTES / 16;

/// The place of the time of day in a segment.
const WALL: Range<usize> = HEAD_BYTES + 24..HEAD_BYTES + 32;

/// The last number that a subject can have. A segment has fewer records, unless they are shorter
/// in a later version.
const SUBJECTS_MAX: u16 = u16::MAX;

/// What a segment's header says beside the schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentHead {
    /// The number of the segment in its recording, from 0.
    pub segment: u64,
    /// The number of its first event: how many were recorded, or lost, before.
    pub first: u64,
    /// The time of the loop at which the segment begins, and the time of day, in microseconds since
    /// 1970, at the same moment.
    pub moment: Moment,
    pub wall_micros: u64,
    pub pid: u32,
    /// The version of the program that recorded.
    pub program: String,
}

impl SegmentHead {
    /// Returns the time of day of a moment, in microseconds since 1970.
    pub fn wall_micros_of(&self, moment: Moment) -> u64 {
        self.wall_micros.saturating_add(moment.0).saturating_sub(self.moment.0)
    }
}

/// A segment being written. A record is written in one step by `short`, or by appending the fields
/// of its payload, and then `long`.
pub struct SegmentWriter {
    bytes: Vec<u8>,
    payload: Vec<u8>,
    /// The time of the turn, and that of the last record.
    now: Moment,
    clock: Moment,
    /// A turn has begun, and no record says so yet.
    turn_pending: bool,
    texts: HashMap<Box<str>, u32>,
    addresses: HashMap<SocketAddr, u32>,
    texts_written: u32,
    subjects: HashMap<u64, u16, BuildHasherDefault<KeyHasher>>,
    /// The subject of the records to come, and the flag of its end.
    subject: (u64, u16),
    end: u8,
}

/// Hashes a key. Keys are numbered by this program, so no peer can make them collide.
#[derive(Default)]
pub struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u64(&mut self, number: u64) {
        // 2^64 divided by the golden ratio. The table uses the high and the low bits.
        let mixed = (self.0 ^ number).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.0 = mixed ^ mixed >> 32;
    }
}

impl SegmentWriter {
    /// Begins a segment in an empty buffer. `turn_pending`: whether a turn begins before its first
    /// event.
    pub fn new(mut bytes: Vec<u8>, head: &SegmentHead, turn_pending: bool) -> SegmentWriter {
        bytes.clear();
        bytes.reserve(SEGMENT_MAX);
        let mut writer = SegmentWriter {
            bytes,
            payload: Vec::new(),
            now: head.moment,
            clock: head.moment,
            turn_pending,
            texts: HashMap::new(),
            addresses: HashMap::new(),
            texts_written: 0,
            subjects: HashMap::default(),
            subject: (0, 0),
            end: 0,
        };
        writer.write_head(head);
        writer.subjects.insert(subject_of(Key::LOOP), 0);
        writer.place(Key::LOOP);
        writer
    }

    fn write_head(&mut self, head: &SegmentHead) {
        for number in [head.segment, head.first, head.moment.0, head.wall_micros] {
            self.payload.extend_from_slice(&number.to_le_bytes());
        }
        self.payload.extend_from_slice(&head.pid.to_le_bytes());
        for text in [head.program.as_str(), &schema::text()] {
            self.payload.extend_from_slice(&(text.len() as u32).to_le_bytes());
            self.payload.extend_from_slice(text.as_bytes());
        }
        let length = self.payload.len() as u64;
        self.head(schema::MAGIC, [schema::SEGMENT, 0], schema::VERSION, length);
        self.bytes.append(&mut self.payload);
    }

    /// Replaces the time of day at which the segment begins.
    pub fn set_wall(&mut self, wall_micros: u64) {
        if let Some(field) = self.bytes.get_mut(WALL) {
            field.copy_from_slice(&wall_micros.to_le_bytes());
        }
    }

    /// Returns the bytes written so far.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    pub fn now(&self) -> Moment {
        self.now
    }

    pub fn turn_pending(&self) -> bool {
        self.turn_pending
    }

    /// Whether the segment is complete.
    pub fn is_full(&self) -> bool {
        self.bytes.len() >= SEGMENT_BYTES || self.subjects.len() >= usize::from(SUBJECTS_MAX)
    }

    /// Notes that a turn begins. The next record says so.
    pub fn begin_turn(&mut self, now: Moment) {
        if self.turn_pending {
            self.time();
        }
        (self.now, self.turn_pending) = (now, true);
    }

    /// Writes the time as a record of its own.
    fn time(&mut self) {
        let flags = u8::from(self.turn_pending) * schema::TURN;
        self.head(0, [schema::TIME, flags], 0, self.now.0);
        (self.clock, self.turn_pending) = (self.now, false);
    }

    /// Selects the subject of the records to come. Returns true if it is new in this segment.
    #[inline]
    pub fn place(&mut self, key: Key) -> bool {
        let subject = subject_of(key);
        self.end = key.end() as u8 * schema::END;
        if self.subject.0 == subject {
            return false;
        }
        if let Some(number) = self.subjects.get(&subject) {
            self.subject = (subject, *number);
            return false;
        }
        let number = self.subjects.len() as u16;
        self.subjects.insert(subject, number);
        self.subject = (subject, number);
        self.head(0, [schema::SUBJECT, 0], number, subject);
        true
    }

    /// Writes a record without payload. `flags`: its choice and its yes or no.
    #[inline]
    pub fn short(&mut self, kind: u8, flags: u8, value: u64) {
        let delta = self.delta();
        let turn = u8::from(std::mem::take(&mut self.turn_pending)) * schema::TURN;
        self.head(delta, [kind, flags | self.end | turn], self.subject.1, value);
    }

    /// Writes a record with the payload of the fields before.
    pub fn long(&mut self, kind: u8, flags: u8) {
        self.short(kind, flags, self.payload.len() as u64);
        self.bytes.append(&mut self.payload);
    }

    /// Writes a record whose payload is these bytes.
    pub fn raw(&mut self, kind: u8, flags: u8, bytes: &[u8]) {
        self.short(kind, flags, bytes.len() as u64);
        self.bytes.extend_from_slice(bytes);
    }

    /// Writes a record of a table, which has no time, with the payload of the fields before.
    pub fn table(&mut self, kind: u8) {
        self.head(0, [kind, 0], self.subject.1, self.payload.len() as u64);
        self.bytes.append(&mut self.payload);
    }

    /// Returns the time since the last record, in microseconds.
    #[inline]
    fn delta(&mut self) -> u32 {
        let delta = self.now.0.checked_sub(self.clock.0).and_then(|delta| delta.try_into().ok());
        if let Some(delta) = delta {
            self.clock = self.now;
            return delta;
        }
        let turn = std::mem::take(&mut self.turn_pending);
        self.time();
        self.turn_pending = turn;
        0
    }

    #[inline]
    fn head(&mut self, delta: u32, [kind, flags]: [u8; 2], subject: u16, value: u64) {
        let mut head = [0; HEAD_BYTES];
        head[0..4].copy_from_slice(&delta.to_le_bytes());
        (head[4], head[5]) = (kind, flags);
        head[6..8].copy_from_slice(&subject.to_le_bytes());
        head[8..16].copy_from_slice(&value.to_le_bytes());
        self.bytes.extend_from_slice(&head);
    }
}

/// The fields of a payload, in the order of the schema.
impl SegmentWriter {
    /// Appends a number: seven bits in each byte, lowest first; the highest bit marks that more
    /// follow.
    pub fn unsigned(&mut self, mut number: u64) -> &mut Self {
        while number >= 0x80 {
            self.payload.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.payload.push(number as u8);
        self
    }

    pub fn optional(&mut self, number: Option<u64>) -> &mut Self {
        self.unsigned(u64::from(number.is_some()));
        match number {
            Some(number) => self.unsigned(number),
            None => self,
        }
    }

    pub fn time_span(&mut self, span: Duration) -> &mut Self {
        self.unsigned(span.as_secs()).unsigned(u64::from(span.subsec_nanos()))
    }

    pub fn optional_time_span(&mut self, span: Option<Duration>) -> &mut Self {
        self.unsigned(u64::from(span.is_some()));
        match span {
            Some(span) => self.time_span(span),
            None => self,
        }
    }

    pub fn put_bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.unsigned(bytes.len() as u64);
        self.payload.extend_from_slice(bytes);
        self
    }

    pub fn text(&mut self, text: &str) -> &mut Self {
        let number = self.text_number(text);
        self.unsigned(u64::from(number))
    }

    pub fn optional_text(&mut self, text: Option<&str>) -> &mut Self {
        match text {
            Some(text) => self.text(text),
            None => self.unsigned(0),
        }
    }

    pub fn peer(&mut self, peer: Option<&Peer>) -> &mut Self {
        let number = peer.map_or(0, |peer| self.peer_number(peer));
        self.unsigned(u64::from(number))
    }

    /// Returns the number of a peer's text in the table.
    pub fn peer_number(&mut self, peer: &Peer) -> u32 {
        // Each datagram has a peer: its text is not made each time.
        let Peer::Inet(address) = peer else { return self.text_number(&names::peer_text(peer)) };
        if let Some(number) = self.addresses.get(address) {
            return *number;
        }
        let number = self.text_number(&names::peer_text(peer));
        self.addresses.insert(*address, number);
        number
    }

    /// Returns the number of a text in the table, from 1. A new text is written to the table, which
    /// may be done while a payload is incomplete.
    fn text_number(&mut self, text: &str) -> u32 {
        if let Some(number) = self.texts.get(text) {
            return *number;
        }
        self.texts_written += 1;
        self.texts.insert(text.into(), self.texts_written);
        self.head(0, [schema::TEXT, 0], 0, text.len() as u64);
        self.bytes.extend_from_slice(text.as_bytes());
        self.texts_written
    }
}

/// Returns the number of a key's connection or source: the key of its end 0.
pub fn subject_of(key: Key) -> u64 {
    key.at(0).to_token() as u64
}
