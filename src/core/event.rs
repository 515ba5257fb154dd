//! Events: everything the loop reports, as data. The core and the runtime emit events and write no
//! logs; observers turn them into log lines, counters and traces.
//!
//! What an observer shows follows from what it receives: the time, the key and the event. So the
//! same lines can be written later, from a recording. All events of a turn happen at the time of
//! the turn, which observers receive once and events do not repeat. Only `Armed` and `Stalled`
//! contain a time, because each shows a span that ends or begins at another time.

use std::io;
use std::time::Duration;

pub use super::event_fields::{Client, DropReason, PauseCause, Peer, ServiceKind, Signal};
use super::key::Key;
use super::phases::TurnDetail;
use super::ready::Ready;
use super::reason::{Close, SysError};
use super::time::{Moment, Tick};
use super::timers::Deadline;

/// Receives events. The key is the event's subject: an end of a connection, another event source,
/// or the loop.
pub trait Observer {
    /// Handles one event.
    fn on(&mut self, key: Key, event: &Event<'_>);

    /// Receives the time of the events that follow, at the beginning of a turn. Returns what the
    /// observer wants in this turn beyond the other events.
    fn begin_turn(&mut self, _now: Moment) -> Wants {
        Wants { steps: true, ..Wants::default() }
    }

    /// Whether the observer wants the payload of this connection. Asked only in turns in which it
    /// wants steps.
    fn wants_payload(&self, _key: Key) -> bool {
        false
    }
}

/// The events that are reported only on demand, because each connection pays for them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wants {
    /// Steps: each read, write and mark.
    pub steps: bool,
    /// `Stalled` and `Resumed`.
    pub stalls: bool,
}

impl Wants {
    /// Returns what either wants.
    pub fn or(self, other: Wants) -> Wants {
        Wants { steps: self.steps || other.steps, stalls: self.stalls || other.stalls }
    }
}

/// The observer that ignores all events.
impl Observer for () {
    fn on(&mut self, _: Key, _: &Event<'_>) {}

    fn begin_turn(&mut self, _: Moment) -> Wants {
        Wants::default()
    }
}

/// Two observers that receive the same events.
impl<A: Observer, B: Observer> Observer for (A, B) {
    fn on(&mut self, key: Key, event: &Event<'_>) {
        self.0.on(key, event);
        self.1.on(key, event);
    }

    fn begin_turn(&mut self, now: Moment) -> Wants {
        self.0.begin_turn(now).or(self.1.begin_turn(now))
    }

    fn wants_payload(&self, key: Key) -> bool {
        self.0.wants_payload(key) || self.1.wants_payload(key)
    }
}

/// What happened. docs/events.md describes each event, with an example line.
#[derive(Debug)]
pub enum Event<'a> {
    // ---- the loop ------------------------------------------------------------------------------
    /// A turn begins: how long the loop slept, how many events `poll` returned, how many
    /// connections were already queued. `limit`: the maximum sleep, None if no deadline was armed.
    Turn {
        number: u64,
        slept: Duration,
        limit: Option<Duration>,
        events: usize,
        queued: usize,
    },
    /// The present turn, which ends here, took a millisecond or more.
    SlowTurn {
        number: u64,
        took: Duration,
        detail: &'a TurnDetail,
    },
    /// Deadlines were due, so the loop polled once more before they fire.
    PolledAgain {
        events: usize,
    },
    /// A listening address is bound and served.
    Listening {
        address: &'a str,
        service: ServiceKind,
    },
    /// Accepting is paused: at the connection limit, at a limit of the system, or by an operator.
    AcceptPaused {
        address: &'a str,
        cause: PauseCause,
        connections: usize,
    },
    /// Accepting goes on. `cause`: why it was paused.
    AcceptResumed {
        address: &'a str,
        cause: PauseCause,
        connections: usize,
    },
    /// One incoming connection could not be accepted. The next may be.
    AcceptFailed {
        address: &'a str,
        fault: SysError,
    },
    /// A signal arrived.
    Signal {
        signal: Signal,
    },
    /// The loop stops: it accepts no more, and `connections` are still in progress.
    Draining {
        connections: usize,
        deadline: Duration,
    },
    /// A host name was resolved, or could not be.
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
    /// A line of a requested dump.
    Dump {
        line: &'a str,
    },
    /// The admin endpoint answered a request. `changes`: it was meant to change something.
    AdminRequest {
        method: &'a str,
        target: &'a str,
        status: u16,
        peer: &'a Peer,
        changes: bool,
    },
    /// A reload of the configuration file has begun.
    Reloading {
        file: &'a str,
    },
    /// The file was applied. The numbers count addresses to listen on.
    Reloaded {
        added: usize,
        changed: usize,
        removed: usize,
        unchanged: usize,
    },
    /// The file was not applied. Each error is reported.
    ReloadFailed {
        error: &'a str,
    },

    // ---- the lifecycle of a connection ---------------------------------------------------------
    /// A connection or a datagram flow was opened.
    Opened {
        route: u16,
        service: ServiceKind,
        listen: &'a str,
        peer: &'a Peer,
    },
    /// A target is being dialed. `attempt` counts the attempts of this connection from 1.
    Dialing {
        target: &'a str,
        attempt: u32,
    },
    /// Connecting to that target failed. `left` more targets will be tried.
    DialFailed {
        target: &'a str,
        fault: SysError,
        left: usize,
        /// None if the connection was not accepted from a client.
        client: Option<Client<'a>>,
    },
    /// The last dialed target is connected, `after` this time since the connection was opened.
    Connected {
        after: Duration,
    },
    /// This end sent a FIN, and everything it sent before has been forwarded.
    EndOfFile,
    /// The end of file was propagated to this end: its write side is shut down.
    ShutDown,
    /// A message is complete: up to its newline, to the end of the stream, or to the size limit.
    Message {
        message: &'a [u8],
    },
    /// A member of a hub did not receive this many messages: it reads too slowly.
    Missed {
        messages: u64,
    },
    /// A member of a hub ended in the middle of a message, of which it sent this many bytes.
    CutOff {
        bytes: usize,
    },
    /// This end has accepted none of its `unsent` bytes for a second or more.
    Stalled {
        unsent: usize,
        since: Moment,
        now: Moment,
    },
    /// This end, which had stalled, accepts bytes again.
    Resumed {
        stalled: Duration,
    },
    /// The connection is closed. `up`: bytes forwarded from end a. `down`: bytes written to end a.
    /// Echoed bytes count as both.
    Closed {
        ending: Close,
        up: u64,
        down: u64,
        lasted: Duration,
    },

    // ---- the steps of a turn --------------------------------------------------------------------
    /// An event for this end arrived; these readiness bits were set.
    Marked {
        ready: Ready,
    },
    /// An event arrived for a closed connection.
    Stale,
    /// Bytes of this end, in at most a few parts, before the event that they belong to: those of a
    /// `Read`, those of a `Wrote` that no read has returned, and each datagram that was received or
    /// sent. Reported only on demand.
    Payload {
        bytes: &'a [u8],
        sent: bool,
    },
    /// `bytes` bytes were read into a buffer of `room` bytes. `hint`: whether more may be waiting.
    Read {
        bytes: usize,
        room: usize,
        hint: ReadHint,
    },
    /// `bytes` bytes were written. `left` are unsent until this end is writable again.
    Wrote {
        bytes: usize,
        left: usize,
    },
    /// The call would have blocked; the flow waits for the next event of this end.
    ReadBlocked,
    WriteBlocked {
        left: usize,
    },
    /// An event reported bytes of this end that are known and cannot be read yet: read events are
    /// disabled until the end is drained.
    ReadOff,
    /// Read events of this end are enabled again.
    ReadOn,
    /// A signal interrupted the call. It is repeated.
    Interrupted,
    /// A flow used up its budget of this turn, and continues in the next.
    Yielded {
        steps: u32,
    },
    /// A deadline was armed.
    Armed {
        deadline: Deadline,
        due: Tick,
        now: Moment,
    },
    /// A deadline is due. `again`: it does not apply yet, and is armed again.
    Fired {
        deadline: Deadline,
        again: bool,
    },

    // ---- datagrams ------------------------------------------------------------------------------
    /// A datagram was received on this listener or flow.
    Received {
        bytes: usize,
        from: &'a Peer,
    },
    /// A datagram was sent.
    Sent {
        bytes: usize,
        to: &'a Peer,
    },
    /// Datagrams received and sent in one turn, on all listeners and flows. Replaces `Received` and
    /// `Sent` while the observer wants no steps.
    Passed {
        received: u64,
        received_bytes: u64,
        sent: u64,
        sent_bytes: u64,
    },
    /// A datagram was dropped.
    Dropped {
        /// None if the system reported an error of an earlier datagram, without saying of which.
        bytes: Option<usize>,
        /// Its sender, if known.
        from: Option<&'a Peer>,
        why: DropReason,
    },
}

/// The kind of news an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EventLevel {
    /// One step of a turn. Reported only while an observer wants steps.
    Step,
    /// Sums of steps. Reported only while no observer wants steps.
    StepCounts,
    /// A change in the life of a connection, a flow or a name lookup.
    Lifecycle,
    /// Start, stop, signals and messages.
    Notice,
    /// Service is degraded.
    Warning,
    /// A part of a dump that an operator requested.
    Dump,
}

/// What the result of a read says about the bytes left in the socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadHint {
    /// The buffer was filled: more may be waiting, read again.
    Full,
    /// Shorter than the buffer, and later bytes cause a new event: drained.
    Short,
    /// Shorter, but an end of file or an error is known to follow: read again.
    EndWaits,
    /// Shorter, but this end has received urgent data, which cuts reads short: read again.
    Urgent,
    /// Shorter, but on this kind of socket a short read proves nothing: read again.
    NoPromise,
    /// Spliced into a pipe: the number of bytes proves nothing, read again.
    Spliced,
}

impl ReadHint {
    /// Whether another read is needed before the socket counts as drained.
    pub fn read_again(self) -> bool {
        self != ReadHint::Short
    }
}

impl EventLevel {
    /// Returns its name for operators.
    pub fn name(self) -> &'static str {
        match self {
            EventLevel::Step => "step",
            EventLevel::StepCounts => "step-counts",
            EventLevel::Lifecycle => "lifecycle",
            EventLevel::Notice => "notice",
            EventLevel::Warning => "warning",
            EventLevel::Dump => "dump",
        }
    }
}

impl Event<'_> {
    /// Returns its level, which decides who gets to know of it.
    pub fn level(&self) -> EventLevel {
        match self {
            Event::Turn { .. }
            | Event::SlowTurn { .. }
            | Event::PolledAgain { .. }
            | Event::Marked { .. }
            | Event::Stale
            | Event::Payload { .. }
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
            | Event::Sent { .. } => EventLevel::Step,
            Event::Passed { .. } => EventLevel::StepCounts,
            Event::AcceptFailed { .. }
            | Event::Resolved { error: None, .. }
            | Event::Opened { .. }
            | Event::Dialing { .. }
            | Event::Connected { .. }
            | Event::EndOfFile
            | Event::ShutDown
            | Event::Missed { .. }
            | Event::CutOff { .. }
            | Event::Stalled { .. }
            | Event::Resumed { .. }
            | Event::AdminRequest { changes: false, .. }
            | Event::Closed { .. } => EventLevel::Lifecycle,
            Event::Listening { .. }
            | Event::AcceptResumed { .. }
            | Event::Signal { .. }
            | Event::Draining { .. }
            | Event::AdminRequest { changes: true, .. }
            | Event::Reloading { .. }
            | Event::Reloaded { .. }
            | Event::Message { .. } => EventLevel::Notice,
            // It was asked for.
            Event::AcceptPaused { cause: PauseCause::Operator, .. } => EventLevel::Notice,
            Event::AcceptPaused { cause: PauseCause::Limit | PauseCause::System(_), .. }
            | Event::DialFailed { .. }
            | Event::Resolved { error: Some(_), .. }
            | Event::ReloadFailed { .. }
            | Event::Dropped { .. } => EventLevel::Warning,
            Event::InProgress { .. } | Event::Dump { .. } => EventLevel::Dump,
        }
    }

    /// Returns its name for programs, in lower case: `accept-paused`.
    pub fn name(&self) -> &'static str {
        match self {
            Event::Turn { .. } => "turn",
            Event::SlowTurn { .. } => "slow-turn",
            Event::PolledAgain { .. } => "polled-again",
            Event::Listening { .. } => "listening",
            Event::AcceptPaused { .. } => "accept-paused",
            Event::AcceptResumed { .. } => "accept-resumed",
            Event::AcceptFailed { .. } => "accept-failed",
            Event::Signal { .. } => "signal",
            Event::Draining { .. } => "draining",
            Event::Resolved { .. } => "resolved",
            Event::InProgress { .. } => "in-progress",
            Event::Dump { .. } => "dump",
            Event::AdminRequest { .. } => "admin-request",
            Event::Reloading { .. } => "reloading",
            Event::Reloaded { .. } => "reloaded",
            Event::ReloadFailed { .. } => "reload-failed",
            Event::Opened { .. } => "opened",
            Event::Dialing { .. } => "dialing",
            Event::DialFailed { .. } => "dial-failed",
            Event::Connected { .. } => "connected",
            Event::EndOfFile => "end-of-file",
            Event::ShutDown => "shut-down",
            Event::Message { .. } => "message",
            Event::Missed { .. } => "missed",
            Event::CutOff { .. } => "cut-off",
            Event::Stalled { .. } => "stalled",
            Event::Resumed { .. } => "resumed",
            Event::Closed { .. } => "closed",
            Event::Marked { .. } => "marked",
            Event::Stale => "stale",
            Event::Payload { .. } => "payload",
            Event::Read { .. } => "read",
            Event::Wrote { .. } => "wrote",
            Event::ReadBlocked => "read-blocked",
            Event::WriteBlocked { .. } => "write-blocked",
            Event::ReadOff => "read-off",
            Event::ReadOn => "read-on",
            Event::Interrupted => "interrupted",
            Event::Yielded { .. } => "yielded",
            Event::Armed { .. } => "armed",
            Event::Fired { .. } => "fired",
            Event::Received { .. } => "received",
            Event::Sent { .. } => "sent",
            Event::Passed { .. } => "passed",
            Event::Dropped { .. } => "dropped",
        }
    }

    /// Whether this is a step, which is reported only to observers that want steps.
    pub fn is_step(&self) -> bool {
        self.level() == EventLevel::Step
    }
}

impl From<io::ErrorKind> for SysError {
    fn from(kind: io::ErrorKind) -> SysError {
        SysError { kind, code: None }
    }
}
