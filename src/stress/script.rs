//! A script: the end of a connection that lies within this process. The engine reads from it what
//! is to be sent, and writes to it what was received.

use std::io;
use std::rc::Rc;

use crate::core::Key;

use super::echo::Echo;
use super::load::Load;

/// One connection's part: which bytes are its own, and how far it has come.
pub struct Script {
    pub load: Rc<Load>,
    pub key: Key,
    /// Where its stream begins in the ring.
    pub start: u32,
    pub talk: Talk,
}

/// What it does.
pub enum Talk {
    Echo(Echo),
}

impl Script {
    pub fn new(load: &Rc<Load>, key: Key, talk: Talk) -> Script {
        let start = load.pattern.start(u64::from(key.birth));
        Script { load: load.clone(), key, start, talk }
    }

    /// What is to be sent now. `WouldBlock`: nothing, until something was received or allowed;
    /// 0: nothing any more.
    pub fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let Script { load, start, talk, .. } = self;
        match talk {
            Talk::Echo(echo) => echo.read(load, *start, into),
        }
    }

    /// What was received. An error ends the connection: the bytes are wrong.
    pub fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        let Script { load, start, talk, key } = self;
        match talk {
            Talk::Echo(echo) => echo.write(load, *key, *start, from),
        }
    }

    /// The other side will send no more.
    pub fn hear_end(&mut self) {
        match &mut self.talk {
            Talk::Echo(echo) => echo.ended = true,
        }
    }

    /// Whether a short read means that nothing more is to be sent for now.
    pub fn short_read_drains(&self) -> bool {
        matches!(self.talk, Talk::Echo(_))
    }
}

impl std::fmt::Debug for Script {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Script({:?})", self.key)
    }
}
