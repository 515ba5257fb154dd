//! A script: the end of a connection that lies within this process. The engine reads from it what
//! is to be sent, and writes to it what was received.

use std::fmt;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use crate::core::Key;

use super::bulk::{Bulk, HEADER_BYTES};
use super::datagram_echo::DatagramEcho;
use super::load::{Load, ScriptEvent};
use super::pattern::Pattern;
use super::stream_echo::StreamEcho;

/// One connection's part: which bytes are its own, and how far it has come.
pub struct Script {
    load: Rc<Load>,
    pattern: Rc<Pattern>,
    key: Key,
    /// Where its stream begins in the ring.
    start: u32,
    kind: ScriptKind,
}

/// What it does.
pub enum ScriptKind {
    StreamEcho(StreamEcho),
    DatagramEcho(DatagramEcho),
    Bulk(Bulk),
    /// The far end of a stream, of whose header so much has come.
    Far(Vec<u8>),
}

impl Script {
    pub fn new(load: &Rc<Load>, key: Key, kind: ScriptKind) -> Script {
        let start = start(load, key);
        Script { load: load.clone(), pattern: load.pattern.clone(), key, start, kind }
    }

    /// The near end of a bulk stream.
    pub fn bulk(load: &Rc<Load>, key: Key) -> Script {
        let bulk = Bulk::near(load, start(load, key));
        Script::new(load, key, ScriptKind::Bulk(bulk))
    }

    /// What is to be sent now. `WouldBlock`: nothing, until something was received or allowed;
    /// 0: nothing any more.
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

    /// What was received. An error ends the connection: the bytes are wrong.
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

    /// The far end learns from the header what it is to be.
    fn read_header(&mut self, from: &[u8]) -> io::Result<usize> {
        let ScriptKind::Far(header) = &mut self.kind else { return Ok(from.len()) };
        let taken = from.len().min(HEADER_BYTES - header.len());
        header.extend_from_slice(&from[..taken]);
        let Ok(whole) = <&[u8; HEADER_BYTES]>::try_from(&header[..]) else { return Ok(taken) };
        let Some((bulk, seed)) = Bulk::far(whole) else {
            return Err(self.load.reject(self.key, ScriptEvent::ForeignPeer));
        };
        if bulk.is_counted() {
            self.load.report(self.key, ScriptEvent::CountOnly);
        }
        self.kind = ScriptKind::Bulk(bulk);
        self.pattern = self.load.pattern_of(seed);
        self.load.report(self.key, ScriptEvent::Resume);
        // What came behind the header is written again, to the stream.
        Ok(taken)
    }

    /// The other side will send no more.
    pub fn read_end(&mut self) {
        match &mut self.kind {
            ScriptKind::StreamEcho(echo) => echo.ended = true,
            ScriptKind::DatagramEcho(_) => {}
            ScriptKind::Bulk(bulk) => {
                bulk.read_end();
                if !bulk.is_whole() && (self.load.ending.get() || self.load.far) {
                    self.load.report(self.key, ScriptEvent::Truncated);
                }
            }
            ScriptKind::Far(_) => self.load.report(self.key, ScriptEvent::ForeignPeer),
        }
    }

    /// One more message may be sent, where the loop counts them out.
    pub fn permit(&mut self, due: Duration) {
        match &mut self.kind {
            ScriptKind::StreamEcho(echo) => echo.permit(due),
            ScriptKind::DatagramEcho(datagram_echo) => datagram_echo.permit(due),
            ScriptKind::Bulk(_) | ScriptKind::Far(_) => {}
        }
    }

    /// Datagrams that were sent before this time are lost.
    pub fn expire(&mut self, sent_before: Duration) {
        if let ScriptKind::DatagramEcho(datagram_echo) = &mut self.kind {
            datagram_echo.expire(&self.load, self.key, sent_before);
        }
    }

    /// Whether it waits for an answer.
    pub fn waits(&self) -> bool {
        match &self.kind {
            ScriptKind::StreamEcho(echo) => echo.unanswered() > 0,
            ScriptKind::DatagramEcho(datagram_echo) => datagram_echo.waits(),
            ScriptKind::Bulk(bulk) => bulk.waits(),
            ScriptKind::Far(_) => false,
        }
    }

    /// Whether a short read means that nothing more is to be sent for now.
    pub fn short_read_drains(&self) -> bool {
        matches!(self.kind, ScriptKind::StreamEcho(_))
    }
}

/// However its connection ended.
impl Drop for Script {
    fn drop(&mut self) {
        if let ScriptKind::StreamEcho(echo) = &self.kind {
            echo.close(&self.load, self.key);
        }
    }
}

/// Where the stream of a connection begins in the ring.
fn start(load: &Load, key: Key) -> u32 {
    load.pattern.start(u64::from(key.id))
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Script({:?})", self.key)
    }
}
