//! The simulated kernel: sockets with a pipe in each direction, and the events it owes. It reports
//! no more than its model demands, so that a wake-up lost by the core always shows as a stall.

use std::collections::VecDeque;
use std::io::ErrorKind;

use oneloop::core::Ready;
use oneloop::core::{Key, Random};

use super::faults::{Faults, Model};

pub struct Kernel {
    pub model: Model,
    pub faults: Faults,
    pub random: Random,
    pub socks: Vec<Sock>,
    /// Sockets that the core has not closed.
    live: Vec<usize>,
    /// Keys of closed sockets, for stale events.
    gone: VecDeque<Key>,
    /// Number of calls so far that can fail, and the one that is made to fail.
    pub calls: u64,
    pub fail: Option<(u64, ErrorKind)>,
    /// Maximum bytes per splice.
    pub splice: usize,
    /// Bytes read and written in total.
    pub moved: u64,
    /// Writes that took less than they were given.
    pub short_writes: u64,
    pub tracing: bool,
}

/// A socket of the core and its connection to the peer.
pub struct Sock {
    pub key: Option<Key>,
    /// From the peer to the core, and from the core to the peer.
    pub rx: Pipe,
    pub tx: Pipe,
    pub dial: Attempt,
    /// The attempt was accepted: what follows happens on an established connection.
    pub took: bool,
    /// The pending error, reported once.
    pub error: Option<ErrorKind>,
    /// Reset by either side: no more bytes are transferred.
    pub dead: bool,
    /// The core has dropped it.
    pub closed: bool,
    /// The core's drop will reset it.
    pub linger_zero: bool,
    /// The peer has closed both directions.
    pub left: bool,
    /// A short read proves that it is drained.
    pub drains: bool,
    /// The readiness that the next batch has to report, and (bare contract) the directions in which
    /// a call would have blocked.
    owed: Ready,
    armed: Ready,
    /// A write would have blocked since there last was space (epoll).
    refused: bool,
    /// The core has disabled read events.
    pub read_off: bool,
    pub stats: CallStats,
}

/// The results of the core's calls on this socket.
#[derive(Default)]
pub struct CallStats {
    /// The error that a call returned.
    pub fault: Option<ErrorKind>,
    /// The last write took nothing.
    pub blocked: bool,
    /// The last read returned would-block although bytes were waiting.
    pub lied: bool,
    /// Number of calls and bytes in this turn.
    pub calls: u64,
    pub bytes: u64,
    /// It was dropped before everything that had arrived was read.
    pub unread: bool,
}

#[derive(Default)]
pub struct Pipe {
    pub bytes: VecDeque<u8>,
    pub room: usize,
    pub fin: bool,
    /// The reader gets the reset once the bytes are read.
    pub reset: bool,
    /// Positions of urgent marks.
    pub marks: VecDeque<u64>,
    /// Bytes written and read since the beginning.
    pub put: u64,
    pub taken: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    Done,
    /// Decided after this many polls: an error, or success.
    Waiting(u32, Option<ErrorKind>),
    /// The target never answers.
    BlackHole,
}

const BOTH: Ready = Ready::READ.with(Ready::WRITE);

impl Kernel {
    pub fn new(model: Model, faults: Faults, random: Random) -> Kernel {
        Kernel {
            model,
            faults,
            random,
            socks: Vec::new(),
            live: Vec::new(),
            gone: VecDeque::new(),
            calls: 0,
            fail: None,
            splice: 100,
            moved: 0,
            short_writes: 0,
            tracing: false,
        }
    }

    /// Opens a socket with pipes of this many bytes.
    pub fn open(&mut self, room: usize, unix: bool, dial: Attempt) -> usize {
        let pipe = || Pipe { room, ..Pipe::default() };
        self.socks.push(Sock {
            key: None,
            rx: pipe(),
            tx: pipe(),
            dial,
            took: dial == Attempt::Done,
            error: None,
            dead: false,
            closed: false,
            linger_zero: false,
            left: false,
            drains: self.model == Model::Epoll && !unix,
            owed: Ready::NONE,
            armed: BOTH,
            refused: true,
            read_off: false,
            stats: CallStats::default(),
        });
        self.live.push(self.socks.len() - 1);
        self.socks.len() - 1
    }

    /// Registers the socket under this key. What is already ready is an edge.
    pub fn register(&mut self, id: usize, key: Key) {
        self.socks[id].key = Some(key);
        if self.socks[id].readable() {
            self.edge(id, Ready::READ);
        }
        self.edge(id, Ready::WRITE);
    }

    /// Enables or disables read events. What has already arrived is an edge.
    pub fn update_interest(&mut self, id: usize, read_off: bool) {
        let sock = &mut self.socks[id];
        sock.read_off = read_off;
        if read_off {
            sock.owed = sock.owed.without(Ready::READ);
        } else if sock.readable() {
            sock.armed = sock.armed.with(Ready::READ);
            self.edge(id, Ready::READ);
        }
    }

    /// Handles a change in these directions: decides whether an event is owed.
    pub fn edge(&mut self, id: usize, bits: Ready) {
        let sock = &mut self.socks[id];
        for (bit, ready) in [(Ready::READ, sock.readable()), (Ready::WRITE, sock.writable())] {
            let due = match self.model {
                Model::Bare => sock.armed.has(bit) && ready,
                Model::Epoll if bit == Ready::READ => true,
                Model::Epoll => sock.refused && ready,
            };
            let ignored = sock.read_off && bit == Ready::READ;
            if bits.has(bit) && due && !ignored {
                sock.armed = sock.armed.without(bit);
                sock.refused &= bit != Ready::WRITE;
                sock.owed = sock.owed.with(bit);
            }
        }
    }

    /// Handles a failure, which wakes both directions.
    pub fn shock(&mut self, id: usize) {
        match self.model {
            Model::Bare => self.edge(id, BOTH),
            Model::Epoll => self.socks[id].owed = self.socks[id].owed.with(BOTH),
        }
    }

    /// Handles a call in this direction that would block: from now on an event is owed.
    pub fn block(&mut self, id: usize, bit: Ready) {
        let sock = &mut self.socks[id];
        sock.armed = sock.armed.with(bit);
        sock.refused |= bit == Ready::WRITE;
        let ready = if bit == Ready::READ { sock.readable() } else { sock.writable() };
        if ready {
            self.edge(id, bit);
        }
    }

    /// Returns one batch of events: at most this many sockets that are owed one, plus some noise.
    pub fn poll(&mut self, batch: usize) -> Vec<(Key, Ready)> {
        self.decide_attempts();
        let mut owed: Vec<usize> = self.live.iter().copied().filter(|id| self.owes(*id)).collect();
        self.shuffle(&mut owed);
        let mut events = Vec::new();
        for id in owed.into_iter().take(batch) {
            self.report(id, &mut events);
        }
        self.noise(&mut events);
        self.shuffle(&mut events);
        events
    }

    /// Whether the next batch must report anything.
    pub fn owes_anything(&self) -> bool {
        let undecided = |id: &usize| matches!(self.socks[*id].dial, Attempt::Waiting(..));
        self.live.iter().any(|id| self.owes(*id) || undecided(id))
    }

    fn owes(&self, id: usize) -> bool {
        self.socks[id].owed != Ready::NONE && self.socks[id].key.is_some()
    }

    fn report(&mut self, id: usize, events: &mut Vec<(Key, Ready)>) {
        let (split, minimal) = (self.hits(self.faults.split), self.faults.minimal);
        let (absent, lie) = (self.faults.hint_absent, self.faults.hint_false);
        let sock = &mut self.socks[id];
        let Some(key) = sock.key else { return };
        let mut bits = std::mem::take(&mut sock.owed);
        if self.model == Model::Epoll && !minimal {
            bits = if sock.readable() && !sock.read_off { bits.with(Ready::READ) } else { bits };
            bits = if sock.writable() { bits.with(Ready::WRITE) } else { bits };
        }
        if split && bits.has(BOTH) {
            // One now, the other in a later batch.
            sock.owed = Ready::WRITE;
            bits = Ready::READ;
        }
        let hints = [
            (Ready::READ_CLOSED, sock.rx.fin || sock.dead),
            (Ready::ERROR, sock.error.is_some()),
            (Ready::URGENT, !sock.rx.marks.is_empty()),
        ];
        let honest = self.model == Model::Epoll;
        for (hint, holds) in hints {
            let reported = holds && (honest || !self.hits(absent));
            if reported || hint != Ready::URGENT && self.hits(lie) {
                bits = bits.with(hint);
            }
        }
        if bits.has(BOTH) && self.hits(self.faults.split) {
            events.push((key, Ready::WRITE));
            bits = bits.without(Ready::WRITE);
        }
        events.push((key, bits));
    }

    /// Adds spurious events: of idle sockets, and of closed ones.
    fn noise(&mut self, events: &mut Vec<(Key, Ready)>) {
        if self.hits(self.faults.spurious) && !self.live.is_empty() {
            let id = self.live[self.random.below(self.live.len() as u64) as usize];
            let bits = [Ready::READ, Ready::WRITE, BOTH][self.random.below(3) as usize];
            events.extend(self.socks[id].key.map(|key| (key, bits)));
        }
        if self.hits(self.faults.stale) && !self.gone.is_empty() {
            let key = self.gone[self.random.below(self.gone.len() as u64) as usize];
            events.push((key, BOTH.with(Ready::READ_CLOSED).with(Ready::ERROR)));
        }
    }

    /// Handles the core's drop of the socket.
    pub fn close(&mut self, id: usize) {
        let cut = self.random.draw();
        let sock = &mut self.socks[id];
        assert!(!sock.closed, "socket {id} is closed twice");
        sock.closed = true;
        sock.stats.unread = !sock.rx.bytes.is_empty();
        if sock.linger_zero {
            // Bytes in flight may be lost.
            let kept = cut as usize % (sock.tx.bytes.len() + 1);
            sock.tx.bytes.truncate(if cut >> 63 == 0 { kept } else { sock.tx.bytes.len() });
        }
        sock.tx.reset |= sock.linger_zero || sock.stats.unread;
        sock.tx.fin |= !sock.dead;
        self.live.retain(|live| *live != id);
        self.gone.extend(self.socks[id].key);
        if self.gone.len() > 16 {
            self.gone.pop_front();
        }
    }

    fn decide_attempts(&mut self) {
        for at in 0..self.live.len() {
            let id = self.live[at];
            let sock = &mut self.socks[id];
            match sock.dial {
                Attempt::Waiting(0, failure) => {
                    sock.dial = Attempt::Done;
                    sock.took = failure.is_none();
                    sock.error = failure;
                    sock.dead = failure.is_some();
                    self.shock(id);
                }
                Attempt::Waiting(polls, failure) => {
                    sock.dial = Attempt::Waiting(polls - 1, failure);
                }
                _ => {}
            }
        }
    }

    /// Limits the faults to these. Unanswered attempts now fail.
    pub fn calm(&mut self, faults: Faults) {
        self.faults = faults;
        for sock in self.socks.iter_mut().filter(|sock| sock.dial == Attempt::BlackHole) {
            sock.dial = Attempt::Waiting(0, Some(ErrorKind::TimedOut));
        }
    }

    /// Whether a fault of this probability occurs now.
    pub fn hits(&mut self, in_a_thousand: u64) -> bool {
        in_a_thousand > 0 && self.random.below(1000) < in_a_thousand
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for at in (1..items.len()).rev() {
            items.swap(at, self.random.below(at as u64 + 1) as usize);
        }
    }
}

impl Sock {
    pub fn readable(&self) -> bool {
        let something = !self.rx.bytes.is_empty() || self.rx.fin || self.dead;
        self.dial == Attempt::Done && (something || self.error.is_some())
    }

    /// Whether it is reported writable: a third of the pipe's capacity is free.
    pub fn writable(&self) -> bool {
        let room = self.tx.room - self.tx.bytes.len().min(self.tx.room);
        let enough = room * 3 >= self.tx.room;
        self.dial == Attempt::Done && (enough || self.dead || self.error.is_some())
    }

    /// Whether the kernel still owes an event for this direction.
    pub fn owes(&self, bit: Ready) -> bool {
        self.owed.has(bit)
    }
}

impl Pipe {
    /// Returns how many bytes one read can return: an urgent mark stops it.
    pub fn until_mark(&mut self) -> usize {
        while self.marks.front().is_some_and(|mark| *mark <= self.taken) {
            self.marks.pop_front();
        }
        let length = self.bytes.len();
        self.marks.front().map_or(length, |mark| length.min((mark - self.taken) as usize))
    }

    pub fn take(&mut self, into: &mut [u8]) {
        let bytes = self.bytes.drain(..into.len());
        into.iter_mut().zip(bytes).for_each(|(slot, byte)| *slot = byte);
        self.taken += into.len() as u64;
    }

    pub fn put(&mut self, bytes: &[u8]) {
        self.bytes.extend(bytes);
        self.put += bytes.len() as u64;
    }
}
