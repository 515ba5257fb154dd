//! Reads the fields of one record. Whatever the bytes are, a field is read or absent.

use std::time::Duration;

use crate::core::{Moment, Peer, ServiceKind, SysError};

use super::names;
use super::schema::{self, HEAD_BYTES};

/// The head of a record.
#[derive(Clone, Copy, Debug)]
pub struct Head {
    /// Microseconds since the record before. In a segment's header: the magic.
    pub delta: u32,
    pub kind: u8,
    pub flags: u8,
    /// The number of its subject. In a segment's header: the version.
    pub subject: u16,
    /// The value, or the length of the payload.
    pub value: u64,
}

impl Head {
    pub fn read(bytes: &[u8]) -> Option<Head> {
        let bytes = bytes.first_chunk::<HEAD_BYTES>()?;
        let [d0, d1, d2, d3, kind, flags, s0, s1, value @ ..] = *bytes;
        Some(Head {
            delta: u32::from_le_bytes([d0, d1, d2, d3]),
            kind,
            flags,
            subject: u16::from_le_bytes([s0, s1]),
            value: u64::from_le_bytes(value),
        })
    }

    /// Returns the length of the whole record.
    pub fn length(&self) -> usize {
        let payload = if self.kind & schema::LONG == 0 { 0 } else { self.value };
        usize::try_from(payload).unwrap_or(usize::MAX).saturating_add(HEAD_BYTES)
    }

    pub fn is_segment(&self) -> bool {
        self.delta == schema::MAGIC && self.kind == schema::SEGMENT
    }
}

/// The fields of a record that have not been read yet.
pub struct Fields<'a, 't> {
    pub head: Head,
    payload: &'a [u8],
    /// The texts of the segment. None: it was not UTF-8.
    texts: &'t [Option<&'a str>],
}

impl<'a, 't> Fields<'a, 't> {
    pub fn new(head: Head, payload: &'a [u8], texts: &'t [Option<&'a str>]) -> Fields<'a, 't> {
        Fields { head, payload, texts }
    }

    pub fn low(&self) -> usize {
        self.head.value as u32 as usize
    }

    pub fn high(&self) -> usize {
        (self.head.value >> 32) as usize
    }

    pub fn choice(&self) -> u8 {
        self.head.flags >> schema::CHOICE_SHIFT & schema::CHOICE_MASK
    }

    pub fn flag(&self) -> bool {
        self.head.flags & schema::FLAG != 0
    }

    pub fn unsigned(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.payload.split_first()?;
            self.payload = rest;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    /// Reads a number of a smaller type.
    pub fn number<T: TryFrom<u64>>(&mut self) -> Option<T> {
        self.unsigned()?.try_into().ok()
    }

    pub fn optional(&mut self) -> Option<Option<u64>> {
        match self.unsigned()? {
            0 => Some(None),
            _ => Some(Some(self.unsigned()?)),
        }
    }

    pub fn moment(&mut self) -> Option<Moment> {
        self.unsigned().map(Moment)
    }

    pub fn micros(&mut self) -> Option<Duration> {
        self.unsigned().map(Duration::from_micros)
    }

    pub fn time_span(&mut self) -> Option<Duration> {
        let (seconds, nanos) = (self.unsigned()?, self.number::<u32>()?);
        (nanos < 1_000_000_000).then(|| Duration::new(seconds, nanos))
    }

    pub fn optional_time_span(&mut self) -> Option<Option<Duration>> {
        match self.unsigned()? {
            0 => Some(None),
            _ => Some(Some(self.time_span()?)),
        }
    }

    /// Returns all of the payload.
    pub fn raw(&self) -> &'a [u8] {
        self.payload
    }

    pub fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = self.number::<usize>()?;
        let (bytes, rest) = self.payload.split_at_checked(length)?;
        self.payload = rest;
        Some(bytes)
    }

    pub fn string(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }

    /// Returns the text of this number, None for number 0, which is no text.
    fn text_of(&self, number: usize) -> Option<Option<&'a str>> {
        match number.checked_sub(1) {
            None => Some(None),
            Some(at) => Some(Some((*self.texts.get(at)?)?)),
        }
    }

    pub fn optional_text(&mut self) -> Option<Option<&'a str>> {
        let number = self.number()?;
        self.text_of(number)
    }

    pub fn text(&mut self) -> Option<&'a str> {
        self.optional_text()?
    }

    pub fn service(&mut self) -> Option<ServiceKind> {
        names::service(self.text()?)
    }

    pub fn optional_peer(&mut self) -> Option<Option<Peer>> {
        match self.optional_text()? {
            None => Some(None),
            Some(text) => Some(Some(names::peer(text)?)),
        }
    }

    pub fn peer(&mut self) -> Option<Peer> {
        self.optional_peer()?
    }

    /// Reads the peer whose number is in the head.
    pub fn high_peer(&self) -> Option<Peer> {
        names::peer(self.text_of(self.high())??)
    }

    pub fn optional_fault(&mut self) -> Option<Option<SysError>> {
        let (name, code) = (self.optional_text()?, self.optional()?);
        let code = match code {
            None => None,
            Some(code) => Some(u32::try_from(code).ok()? as i32),
        };
        Some(name.map(|name| names::fault(name, code)))
    }

    pub fn fault(&mut self) -> Option<SysError> {
        self.optional_fault()?
    }
}
