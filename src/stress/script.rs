//! Scripts: the local ends of connections. The engine reads from a script the bytes to send, and
//! writes to it the bytes received.

use std::fmt;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use crate::core::Key;

use super::bulk::{BulkStream, HEADER_BYTES};
use super::datagram_echo::DatagramEcho;
use super::load::{Load, Pace, ScriptEvent};
use super::pattern::Pattern;
use super::stream_echo::StreamEcho;

/// The local end of one connection: its position in the pattern, and its state.
pub struct Script {
    load: Rc<Load>,
    pattern: Rc<Pattern>,
    key: Key,
    /// Start of its stream in the ring.
    start: u32,
    kind: ScriptKind,
}

/// The kind of exchange, and its state.
pub enum ScriptKind {
    StreamEcho(StreamEcho),
    DatagramEcho(DatagramEcho),
    Bulk(BulkStream),
    /// The far end of a stream, with the part of the header received so far.
    Far(Vec<u8>),
}

impl Script {
    pub fn new(load: &Rc<Load>, key: Key, kind: ScriptKind) -> Script {
        let start = start(load, key);
        Script { load: load.clone(), pattern: load.pattern.clone(), key, start, kind }
    }

    /// Creates the near end of a bulk stream.
    pub fn bulk(load: &Rc<Load>, key: Key) -> Script {
        let bulk = BulkStream::near(load, start(load, key));
        Script::new(load, key, ScriptKind::Bulk(bulk))
    }

    /// Generates bytes to send. `WouldBlock`: none until something is received or permitted; 0: the
    /// end of the stream.
    pub fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let Script { load, pattern, start, kind, .. } = self;
        match kind {
            ScriptKind::StreamEcho(echo) => echo.read(load, *start, into),
            ScriptKind::DatagramEcho(datagram_echo) => datagram_echo.read(load, *start, into),
            ScriptKind::Bulk(bulk) => bulk.read(load, pattern, into),
            ScriptKind::Far(_) if load.ending.get() => Ok(0),
            ScriptKind::Far(_) => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    /// Verifies received bytes. An error means that they are wrong, and ends the connection.
    pub fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        let Script { load, pattern, start, kind, key } = self;
        match kind {
            ScriptKind::StreamEcho(echo) => echo.write(load, *key, *start, from),
            ScriptKind::DatagramEcho(datagram_echo) => {
                datagram_echo.write(load, *key, *start, from)
            }
            ScriptKind::Bulk(bulk) => bulk.write(load, pattern, *key, from),
            ScriptKind::Far(_) => self.read_header(from),
        }
    }

    /// Reads the header, which turns the far end into a bulk stream.
    fn read_header(&mut self, from: &[u8]) -> io::Result<usize> {
        let ScriptKind::Far(header) = &mut self.kind else { return Ok(from.len()) };
        let taken = from.len().min(HEADER_BYTES - header.len());
        header.extend_from_slice(&from[..taken]);
        let Ok(whole) = <&[u8; HEADER_BYTES]>::try_from(&header[..]) else { return Ok(taken) };
        let Some((bulk, seed)) = BulkStream::far(whole) else {
            return Err(self.load.reject(self.key, ScriptEvent::ForeignPeer));
        };
        if bulk.count_only {
            self.load.report(self.key, ScriptEvent::CountOnly);
        }
        self.kind = ScriptKind::Bulk(bulk);
        self.pattern = self.load.pattern_of(seed);
        self.load.report(self.key, ScriptEvent::Resume);
        // The engine writes the bytes after the header again, to the stream.
        Ok(taken)
    }

    /// Handles the peer's end of file.
    pub fn read_end(&mut self) {
        match &mut self.kind {
            ScriptKind::StreamEcho(echo) => echo.ended = true,
            ScriptKind::DatagramEcho(_) => {}
            ScriptKind::Bulk(bulk) => {
                bulk.ended = true;
                if !bulk.is_complete() && (self.load.ending.get() || self.load.far) {
                    self.load.report(self.key, ScriptEvent::Truncated);
                }
            }
            ScriptKind::Far(_) => self.load.report(self.key, ScriptEvent::ForeignPeer),
        }
    }

    /// Permits one more message, for a load with a rate or bursts.
    pub fn permit(&mut self, due: Duration) {
        match &mut self.kind {
            ScriptKind::StreamEcho(echo) => echo.permits.grant(due),
            ScriptKind::DatagramEcho(datagram_echo) => datagram_echo.permits.grant(due),
            ScriptKind::Bulk(_) | ScriptKind::Far(_) => {}
        }
    }

    /// Counts datagrams sent before this time as lost.
    pub fn expire(&mut self, sent_before: Duration) {
        if let ScriptKind::DatagramEcho(datagram_echo) = &mut self.kind {
            datagram_echo.expire(&self.load, self.key, sent_before);
        }
    }

    /// Whether an answer is missing.
    pub fn waits(&self) -> bool {
        match &self.kind {
            ScriptKind::StreamEcho(echo) => echo.unanswered() > 0,
            ScriptKind::DatagramEcho(datagram_echo) => datagram_echo.waits(),
            ScriptKind::Bulk(bulk) => bulk.waits(),
            ScriptKind::Far(_) => false,
        }
    }

    /// Whether a short read means that there is nothing more to send for now.
    pub fn short_read_drains(&self) -> bool {
        matches!(self.kind, ScriptKind::StreamEcho(_))
    }
}

/// Reports incomplete and missing answers, however the connection ended.
impl Drop for Script {
    fn drop(&mut self) {
        let answers = match &self.kind {
            ScriptKind::StreamEcho(echo) => {
                echo.report_partial(&self.load, self.key);
                echo.owed()
            }
            ScriptKind::DatagramEcho(datagram_echo) => datagram_echo.owed(),
            ScriptKind::Bulk(_) | ScriptKind::Far(_) => 0,
        };
        if answers > 0 && self.load.pace == Pace::Loop {
            self.load.report(self.key, ScriptEvent::Owed { answers });
        }
    }
}

/// Returns where the stream of a connection starts in the ring.
fn start(load: &Load, key: Key) -> u32 {
    load.pattern.start(u64::from(key.id))
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Script({:?})", self.key)
    }
}
