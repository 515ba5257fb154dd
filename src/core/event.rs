//! The vocabulary of the loop: all that can happen, as data. The core and the shell emit events and
//! know nothing of logs; observers make lines, counters and traces of them.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

pub use super::drop_reason::DropReason;
use super::key::Key;
use super::ready::Ready;
use super::reason::{Close, SysError};
use super::time::{Moment, Tick};
use super::timers::Deadline;

/// Who watches. The subject of an event is a key: an end of a connection, a door, or the loop.
pub trait Observer {
    fn on(&mut self, key: Key, event: &Event<'_>);

    /// Whether anybody wants the small steps (each read, write, mark). Asked once a turn at most.
    fn wants_steps(&self) -> bool {
        true
    }

    /// Whether anybody wants `Stalled` and `Resumed`. Asked once.
    fn wants_stalls(&self) -> bool {
        false
    }
}

/// An observer as the core uses it: while nobody wants steps, none is even made.
pub struct Seen<'a> {
    to: &'a mut dyn Observer,
    steps: bool,
}

impl<'a> Seen<'a> {
    /// `steps` is what the observer answered to `wants_steps`.
    pub fn new(to: &'a mut dyn Observer, steps: bool) -> Seen<'a> {
        Seen { to, steps }
    }

    /// The same observer, for somebody else's use meanwhile.
    pub fn lend(&mut self) -> Seen<'_> {
        Seen { to: &mut *self.to, steps: self.steps }
    }

    pub fn on(&mut self, key: Key, event: &Event<'_>) {
        debug_assert!(!event.is_step(), "{event:?} is told unasked");
        self.to.on(key, event);
    }

    /// Tells of a small step, which is made only if somebody wants it.
    #[inline(always)]
    pub fn step<'e>(&mut self, key: Key, step: impl FnOnce() -> Event<'e>) {
        if self.steps {
            let step = step();
            debug_assert!(step.is_step(), "{step:?} is told to few");
            self.to.on(key, &step);
        }
    }
}

/// Nobody watches.
impl Observer for () {
    fn on(&mut self, _: Key, _: &Event<'_>) {}

    fn wants_steps(&self) -> bool {
        false
    }
}

/// Two observers are one observer.
impl<A: Observer, B: Observer> Observer for (A, B) {
    fn on(&mut self, key: Key, event: &Event<'_>) {
        self.0.on(key, event);
        self.1.on(key, event);
    }

    fn wants_steps(&self) -> bool {
        self.0.wants_steps() || self.1.wants_steps()
    }

    fn wants_stalls(&self) -> bool {
        self.0.wants_stalls() || self.1.wants_stalls()
    }
}

/// Who is at the other end of an accepted connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    Inet(SocketAddr),
    /// A Unix socket; its own name, if it bound one (most clients do not).
    Unix(Option<String>),
    /// Our own standard input and output.
    Stdio,
}

/// The client for which a target is connected, and the listener that accepted it.
#[derive(Clone, Copy, Debug)]
pub struct Client<'a> {
    pub peer: &'a Peer,
    pub listen: &'a str,
}

/// What happened. docs/events.md tells of each: when, what it means, an example line.
#[derive(Debug)]
pub enum Event<'a> {
    // ---- the loop ------------------------------------------------------------------------------
    /// A turn begins: how long the loop slept, how many events woke it, what was queued already.
    /// `limit`: the longest it would have slept; none, if no deadline was set.
    Turn {
        number: u64,
        slept: Duration,
        limit: Option<Duration>,
        events: usize,
        queued: usize,
        now: Moment,
    },
    /// Deadlines were due, so the system was asked for events once more before they fire.
    PolledAgain {
        events: usize,
    },
    /// A door is open: an address is bound and served.
    Listening {
        address: &'a str,
        service: &'a str,
    },
    /// Accepting rests: a limit of ours (`fault` is none) or of the system was met.
    AcceptPaused {
        address: &'a str,
        fault: Option<SysError>,
        connections: usize,
    },
    AcceptResumed {
        address: &'a str,
        connections: usize,
    },
    /// One incoming connection could not be taken; the next may.
    AcceptFailed {
        address: &'a str,
        fault: SysError,
    },
    /// A signal arrived.
    Signal {
        name: &'a str,
    },
    /// We stop: nothing is accepted any more; so many connections are still in progress.
    Draining {
        connections: usize,
        deadline: Duration,
    },
    /// A host name was resolved (or was not).
    Resolved {
        name: &'a str,
        addresses: usize,
        error: Option<&'a str>,
    },
    /// A totals line is due: the open connections and flows, and the bytes they have moved so far.
    InProgress {
        connections: usize,
        up: u64,
        down: u64,
    },
    /// A line of a dump that was asked for.
    Dump {
        line: &'a str,
    },

    // ---- the life of a connection --------------------------------------------------------------
    /// A connection (or a datagram flow) was born.
    Opened {
        route: u16,
        service: &'a str,
        listen: &'a str,
        peer: &'a Peer,
        now: Moment,
    },
    /// A target is being tried, the `attempt`th of this connection, counted from 1.
    Dialing {
        target: &'a str,
        attempt: u32,
    },
    /// Connecting to that target failed; `left` more will be tried.
    DialFailed {
        target: &'a str,
        fault: SysError,
        left: usize,
        /// None where nobody connected to us.
        client: Option<Client<'a>>,
    },
    /// The target that was dialled last took us, so long after the birth.
    Connected {
        after: Duration,
    },
    /// This end said that it will send no more (FIN); what it sent has been passed on.
    EndOfFile,
    /// The end of file was passed on to this end: we shut down its write side.
    ShutDown,
    /// A message was heard whole: up to its newline, to the end of the stream, or to the limit.
    Message {
        message: &'a [u8],
    },
    /// The bytes held for this end, `unsent`, have not been accepted for a second or more.
    Stalled {
        unsent: usize,
        since: Moment,
        now: Moment,
    },
    /// This end, which had stalled, accepts bytes again.
    Resumed {
        stalled: Duration,
    },
    /// The connection is gone. `up`: bytes from end a that were passed on; `down`: bytes that were
    /// written to end a. An echo counts its bytes in both.
    Closed {
        ending: Close,
        up: u64,
        down: u64,
        lasted: Duration,
        now: Moment,
    },

    // ---- the steps of a turn --------------------------------------------------------------------
    /// The system named this end; these readiness bits were set.
    Marked {
        ready: Ready,
    },
    /// An event came for a connection that is gone.
    Stale,
    /// So many bytes were read, of `room` that would have fitted. `hint`: what that tells of
    /// the rest.
    Read {
        bytes: usize,
        room: usize,
        hint: ReadHint,
    },
    /// So many bytes were written; `left` are kept until this end is writable again.
    Wrote {
        bytes: usize,
        left: usize,
    },
    /// The call would have blocked; we wait for the system to name this end again.
    ReadBlocked,
    WriteBlocked {
        left: usize,
    },
    /// The system told again what we knew of this end and cannot take yet: it is not to do so until
    /// all that waits was read.
    ReadOff,
    ReadOn,
    /// A signal broke the call off; it is simply made again.
    Interrupted,
    /// The connection had its share of this turn and goes on in the next one.
    Yielded {
        steps: u32,
    },
    /// A deadline was set.
    Armed {
        deadline: Deadline,
        due: Tick,
        now: Moment,
    },
    /// A deadline came due. `again`: it was not meant yet, and is set anew.
    Fired {
        deadline: Deadline,
        again: bool,
    },

    // ---- datagrams ------------------------------------------------------------------------------
    /// A datagram came in at this door or flow.
    Received {
        bytes: usize,
        from: &'a Peer,
    },
    /// A datagram went out.
    Sent {
        bytes: usize,
        to: &'a Peer,
    },
    /// So many came in and went out in one turn, at all doors and flows. This stands for `Received`
    /// and `Sent` while nobody wants steps.
    Passed {
        received: u64,
        received_bytes: u64,
        sent: u64,
        sent_bytes: u64,
    },
    /// A datagram was dropped, and why.
    Dropped {
        /// None: the system told of one that had gone out before, but not of which.
        bytes: Option<usize>,
        /// Who sent it, as far as that is known.
        from: Option<&'a Peer>,
        why: DropReason,
    },
}

/// What a read tells about what still waits in the socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadHint {
    /// The buffer was filled: more may wait, read again.
    Full,
    /// Shorter than the buffer, and the kernel promises an event for later bytes: drained.
    Short,
    /// Shorter, but an end of file or an error is known to wait: read on to it.
    EndWaits,
    /// Shorter, but this connection has shown urgent data, which cuts reads short: read on.
    Urgent,
    /// Shorter, but on this kind of socket a short read proves nothing: read on.
    NoPromise,
    /// Moved into a pipe without a copy; how much a splice moves proves nothing: read on.
    Spliced,
}

impl ReadHint {
    /// Whether another read must follow before the socket counts as drained.
    pub fn read_again(self) -> bool {
        self != ReadHint::Short
    }
}

impl Event<'_> {
    /// Whether this is a small step of a turn, which need not be told while nobody wants steps.
    pub fn is_step(&self) -> bool {
        matches!(
            self,
            Event::Turn { .. }
                | Event::PolledAgain { .. }
                | Event::Marked { .. }
                | Event::Stale
                | Event::Read { .. }
                | Event::Wrote { .. }
                | Event::ReadBlocked
                | Event::WriteBlocked { .. }
                | Event::ReadOff
                | Event::ReadOn
                | Event::Interrupted
                | Event::Yielded { .. }
                | Event::Armed { .. }
                | Event::Fired { .. }
                | Event::Received { .. }
                | Event::Sent { .. }
        )
    }
}

impl From<io::ErrorKind> for SysError {
    fn from(kind: io::ErrorKind) -> SysError {
        SysError { kind, code: None }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Peer::Inet(address) => write!(f, "{address}"),
            Peer::Unix(Some(name)) => write!(f, "unix:{}", name.escape_default()),
            Peer::Unix(None) => f.write_str("unix:"),
            Peer::Stdio => f.write_str("stdio"),
        }
    }
}
