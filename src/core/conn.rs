//! A connection: two ends and two flows. What it does is how it is wired; how it ends is decided
//! here.

use std::fmt;
use std::io;

use super::buffers::{Unsent, UnsentId};
use super::drive::DriveCx;
use super::end::{End, Ends, Stream};
use super::event::Event;
use super::flow::{Flow, Step};
use super::pump::{self, EndError};
use super::ready::Ready;
use super::reason::{Close, CloseKind, Reason, Side, SysError};
use super::time::{Moment, Tick};
use super::timers::{Deadline, Timeouts};

/// A service that has said its last word waits so long for the peer's end of file before it closes.
const LINGER: Tick = 20;

/// One connection. At rest it is these 80 bytes and nothing else.
#[derive(Debug)]
pub struct Conn<S> {
    pub ends: Ends<S>,
    pub flows: [Flow; 2],
    pub born: Moment,
    pub id: u32,
    /// When bytes last moved; while connecting: when the attempt began.
    pub active: Tick,
    /// The one entry among the timers that counts; 0 is none.
    pub armed: Tick,
    pub route: u16,
    /// It stands in the run queue.
    pub queued: bool,
    history: History,
}

/// Whose end of file came first, and whether the client spoke last: one byte, since two would cost
/// each connection of a load eight.
#[derive(Clone, Copy, Debug, Default)]
struct History(u8);

impl History {
    const SIDES: [Option<Side>; 4] =
        [None, Some(Side::Client), Some(Side::Target), Some(Side::Proxy)];
    const CLIENT_SPOKE_LAST: u8 = 4;

    /// Whose end of file came first.
    fn first(self) -> Option<Side> {
        History::SIDES[usize::from(self.0 & 3)]
    }

    /// An end of file came from this side.
    fn ended(&mut self, side: Side) {
        if self.first().is_none() {
            let place = History::SIDES.iter().position(|known| *known == Some(side));
            self.0 |= place.unwrap_or_default() as u8;
        }
    }

    /// In a relay, the target's answer to the client is outstanding.
    fn client_spoke_last(self) -> bool {
        self.0 & History::CLIENT_SPOKE_LAST != 0
    }

    #[inline(always)]
    fn spoke(&mut self, client: bool) {
        self.0 = self.0 & !History::CLIENT_SPOKE_LAST | u8::from(client) << 2;
    }
}

/// What driving a connection came to.
#[derive(Debug)]
pub enum Driven {
    Rest,
    /// It used its budget and could go on.
    More,
    Ended(Reason),
    /// The attempt to connect failed; another target may be tried.
    DialFailed(io::Error),
}

impl<S: Stream> Conn<S> {
    pub fn echo(socket: S) -> Conn<S> {
        Conn::wire(End::Socket(socket), End::Void, [Flow::new(0, 0), Flow::none()])
    }

    pub fn discard(socket: S) -> Conn<S> {
        Conn::wire(End::Socket(socket), End::Void, [Flow::new(0, 1), Flow::none()])
    }

    pub fn chargen(socket: S) -> Conn<S> {
        Conn::wire(End::Socket(socket), End::Chargen, [Flow::new(1, 0), Flow::new(0, 1)])
    }

    /// Says `text` and closes; what the peer says meanwhile is swallowed.
    pub fn say(socket: S, text: Option<UnsentId>) -> Conn<S> {
        Conn::wire(
            End::Socket(socket),
            End::Void,
            [Flow::starting_with(text, 1, 0), Flow::new(0, 1)],
        )
    }

    /// Says `text`, hears one message, and closes.
    pub fn greet(socket: S, text: Option<UnsentId>) -> Conn<S> {
        let ear = End::Line(None);
        Conn::wire(End::Socket(socket), ear, [Flow::starting_with(text, 1, 0), Flow::new(0, 1)])
    }

    /// A relay whose target is still to be dialled: until then nothing is read from the client.
    pub fn relay(client: S) -> Conn<S> {
        Conn::wire(End::Socket(client), End::Unconnected, [Flow::new(0, 1), Flow::new(1, 0)])
    }

    /// A relay between two ends that are both there.
    pub fn join(client: S, target: S) -> Conn<S> {
        Conn::wire(End::Socket(client), End::Socket(target), [Flow::new(0, 1), Flow::new(1, 0)])
    }

    fn wire(a: End<S>, b: End<S>, flows: [Flow; 2]) -> Conn<S> {
        Conn {
            ends: Ends::new([a, b]),
            flows,
            born: Moment(0),
            id: 0,
            active: 0,
            armed: 0,
            route: 0,
            queued: false,
            history: History::default(),
        }
    }

    /// Runs both flows until they rest or have had their share.
    #[inline(always)]
    pub fn drive(&mut self, cx: &mut DriveCx<'_, S::Pipe>) -> Driven {
        if self.dialing()
            && let Err(error) = self.check_connected(cx)
        {
            // The client may be gone too: then there is nothing left to try. And a target that took
            // us, spoke and reset before we looked was connected: what it said is passed on.
            return match self.check_errors() {
                Some(failed) => self.failed(failed, cx),
                None if self.dialing() => Driven::DialFailed(error),
                None => self.failed(EndError { end: 1, error }, cx),
            };
        }
        let before = [self.flows[0].moved, self.flows[1].moved];
        let lingered = self.lingers();
        let mut ended = false;
        for index in 0..2 {
            let (flow, ends) = (&mut self.flows[index], &mut self.ends);
            if flow.done {
                continue;
            }
            let pumped = pump::pump(flow, ends, cx);
            if flow.done {
                let from = side(&self.ends, flow.from as usize);
                self.history.ended(from);
                ended = true;
            }
            if let Err(failed) = pumped {
                return self.failed(failed, cx);
            }
        }
        // If both sides spoke, nobody knows who spoke last: an answer may be outstanding.
        let client_spoke = self.flows[0].moved != before[0];
        let spoke = client_spoke || self.flows[1].moved != before[1];
        if spoke {
            self.history.spoke(client_spoke);
        }
        // An end of file is activity: what is half-closed waits from then on.
        if !lingered && (ended || spoke) {
            self.active = cx.now.tick();
        }
        if self.flows.iter().all(|flow| flow.done) {
            return Driven::Ended(self.finished());
        }
        // Asked of both flows in the end: the second may have given the first something to do.
        if self.flows.iter().any(|flow| self.ends.next(flow) != Step::Rest) {
            return Driven::More;
        }
        if !self.ends.bits(0).with(self.ends.bits(1)).has(Ready::ERROR) {
            return Driven::Rest;
        }
        match self.check_errors() {
            Some(failed) => self.failed(failed, cx),
            None => Driven::Rest,
        }
    }

    /// Whether the attempt at end 1 has come through. An error: it has failed.
    #[cold]
    fn check_connected(&mut self, cx: &mut DriveCx<'_, S::Pipe>) -> io::Result<()> {
        let hints = Ready::WRITE.with(Ready::ERROR).with(Ready::READ_CLOSED);
        if !self.ends.bits(1).any(hints) {
            return Ok(());
        }
        let Some(socket) = self.ends.socket(1) else { return Ok(()) };
        let asked = socket.is_connected();
        match &asked {
            Ok(false) => {
                // The event came too early; another follows when the attempt is decided.
                self.ends.clear(1, hints);
                return Ok(());
            }
            Err(error) if !was_connected(error) => {}
            _ => {
                self.ends.clear(1, Ready::OPENING);
                self.active = cx.now.tick();
                let after = cx.now.since(self.born);
                cx.on(1, &Event::Connected { after });
            }
        }
        asked.map(|_| ())
    }

    /// Errors that were hinted at, at an end which nobody reads now: the hint is not trusted, the
    /// socket is asked.
    #[cold]
    fn check_errors(&mut self) -> Option<EndError> {
        for end in 0..2 {
            if !self.ends.ready(end).has(Ready::ERROR) {
                continue;
            }
            self.ends.clear(end, Ready::ERROR);
            match self.ends.socket(end)?.take_error() {
                Ok(None) => {}
                Ok(Some(error)) | Err(error) => return Some(EndError { end, error }),
            }
        }
        None
    }

    /// An end failed. What it sent before is written as far as the other side takes it now; then
    /// the connection ends with a reset, never with a clean end.
    #[cold]
    fn failed(
        &mut self,
        EndError { end, error }: EndError,
        cx: &mut DriveCx<'_, S::Pipe>,
    ) -> Driven {
        let fault = SysError::from(&error);
        if self.dialing() {
            return Driven::Ended(Reason::Abandoned { fault });
        }
        for index in 0..2 {
            let flow = &self.flows[index];
            if flow.from as usize == end && flow.to as usize != end && !flow.done {
                // Whatever goes wrong here: the connection ends all the same.
                let (flow, ends) = (&mut self.flows[index], &mut self.ends);
                let _ = pump::flush_after_error(flow, ends, cx);
            }
        }
        Driven::Ended(Reason::Reset { by: side(&self.ends, end), fault })
    }

    fn finished(&self) -> Reason {
        if self.history.first() == Some(Side::Proxy) { Reason::Served } else { Reason::Finished }
    }

    /// What is next to come due, and when. `drain_idle` is set while the engine drains.
    pub fn deadline(
        &self,
        timeouts: &Timeouts,
        drain_idle: Option<Tick>,
    ) -> Option<(Deadline, Tick)> {
        // A timeout of years comes due at the end of time.
        let since_active =
            |timeout: Option<Tick>| timeout.map(|ticks| self.active.saturating_add(ticks));
        let quiet = drain_idle.and_then(|idle| self.drain_wait(idle));
        let activity = if self.dialing() {
            since_active(timeouts.connect).map(|due| (Deadline::Connect, due))
        } else if self.lingers() {
            Some((Deadline::Linger, self.active + LINGER))
        } else if let Some(due) = since_active(quiet) {
            Some((Deadline::Quiet, due))
        } else if self.half_closed() && timeouts.half_close.is_some() {
            since_active(timeouts.half_close).map(|due| (Deadline::HalfClose, due))
        } else {
            since_active(timeouts.idle).map(|due| (Deadline::Idle, due))
        };
        let born = self.born.tick();
        let lifetime =
            timeouts.lifetime.map(|life| (Deadline::Lifetime, born.saturating_add(life)));
        [activity, lifetime].into_iter().flatten().min_by_key(|(_, due)| *due)
    }

    /// How long a connection has to be quiet before a drain closes it: not at all if it would go on
    /// for ever. None while it is in progress: a direction has ended and the other has not, bytes
    /// are unsent, or a client waits for its target's answer.
    fn drain_wait(&self, idle: Tick) -> Option<Tick> {
        if self.is_endless() {
            return Some(0);
        }
        let unanswered = self.ends.end(1).is_socket() && self.history.client_spoke_last();
        (!self.half_closed() && !self.has_unsent() && !unanswered).then_some(idle)
    }

    /// It sends for as long as it is there, whatever the peer does.
    pub fn is_endless(&self) -> bool {
        matches!(self.ends.end(1), End::Chargen)
    }

    /// One direction has ended, the other has not.
    pub fn half_closed(&self) -> bool {
        !self.flows[1].is_absent() && self.flows[0].done != self.flows[1].done
    }

    /// The target is not connected yet.
    pub fn dialing(&self) -> bool {
        self.ends.bits(1).has(Ready::OPENING)
    }

    /// In a state that is timed whatever the route says: connecting, or lingering.
    pub fn is_in_passing(&self) -> bool {
        self.dialing() || self.lingers()
    }

    /// We have said our last word, and wait for the peer's.
    fn lingers(&self) -> bool {
        self.flows[0].done && self.flows[0].from == 1 && !self.ends.end(1).is_socket()
    }

    /// Bytes are held that were not written yet.
    pub fn has_unsent(&self) -> bool {
        self.flows.iter().any(|flow| flow.unsent.is_some())
    }

    /// Bytes passed on from end 0, and bytes written to it. An echo counts its bytes in both.
    pub fn moved(&self) -> (u64, u64) {
        let sum = |chosen: fn(&Flow) -> bool| -> u64 {
            self.flows.iter().filter(|flow| chosen(flow)).map(|flow| flow.moved).sum()
        };
        (sum(|flow| flow.from == 0), sum(|flow| flow.to == 0))
    }

    /// What holds whenever a connection has been driven; asked in debug builds.
    pub fn check(&self, unsent: &Unsent<S::Pipe>) {
        for flow in &self.flows {
            let unsent = flow.unsent.as_ref().map(|unsent_id| unsent.left(unsent_id));
            debug_assert!(unsent != Some(0), "#{}: a loan of nothing", self.id);
            debug_assert!(!flow.done || unsent.is_none(), "#{}: bytes behind the end", self.id);
        }
        let asked = !self.ends.ready(0).has(Ready::ERROR) && !self.ends.ready(1).has(Ready::ERROR);
        debug_assert!(self.queued || asked, "#{}: an error is not asked for", self.id);
        let rests = self.flows.iter().all(|flow| self.ends.next(flow) == Step::Rest);
        debug_assert!(self.queued || rests, "#{}: work that nobody does", self.id);
    }

    /// Prepares the sockets for their close, gives back all loans, and tells how it ended.
    pub fn close(&mut self, reason: Reason, unsent: &mut Unsent<S::Pipe>) -> Close {
        let relay = self.ends.end(1).is_socket() || self.dialing();
        let resets = match reason {
            Reason::Finished | Reason::Served | Reason::Drained | Reason::Evicted => false,
            // Our own service cut short a peer that owes nothing: clean, unless it was owed
            // something.
            Reason::IdleTimeout | Reason::HalfCloseTimeout | Reason::Lifetime | Reason::Cut => {
                relay || self.has_unsent() || self.ends.ready(0).has(Ready::READ)
            }
            _ => true,
        };
        if resets {
            for end in 0..2 {
                if let Some(socket) = self.ends.socket(end) {
                    socket.reset_on_drop();
                }
            }
        }
        for flow in &mut self.flows {
            unsent.release(&mut flow.unsent);
        }
        self.ends.release(unsent);
        let by_us = (Side::Proxy, if resets { CloseKind::Rst } else { CloseKind::Fin });
        let (first, by) = match (self.history.first(), reason) {
            (Some(side), _) => (side, CloseKind::Fin),
            (None, Reason::Reset { by, fault }) => (by, fault.closing()),
            (None, Reason::Abandoned { .. }) => (Side::Client, CloseKind::Rst),
            (None, Reason::Refused { .. }) => (Side::Target, CloseKind::Rst),
            (None, _) => by_us,
        };
        Close { reason, first, by }
    }
}

/// One line for a dump: what is known of each end, what each flow has moved and holds.
impl<S> fmt::Display for Conn<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "route {}, a {}, b {}", self.route, self.ends.bits(0), self.ends.bits(1))?;
        for flow in self.flows.iter().filter(|flow| !flow.is_absent()) {
            let (from, to) = (["a", "b"][flow.from as usize], ["a", "b"][flow.to as usize]);
            write!(f, ", {from}>{to} {} B", flow.moved)?;
            if flow.unsent.is_some() {
                f.write_str(" and holds some")?;
            }
            if flow.done {
                f.write_str(" ended")?;
            }
        }
        Ok(())
    }
}

/// Only who was connected can be reset, or stop hearing us; an attempt fails in other ways.
fn was_connected(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe)
}

/// Who is at this end.
fn side<S: Stream>(ends: &Ends<S>, end: usize) -> Side {
    match (end, ends.end(end).is_socket()) {
        (0, _) => Side::Client,
        (_, true) => Side::Target,
        (_, false) => Side::Proxy,
    }
}
