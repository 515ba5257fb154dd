//! A connection: two ends and two flows. The ends and flows it is built from define its service.
//! This module decides how a connection ends; `pump` moves its bytes.

use std::fmt;
use std::io;

use super::buffers::{Buffers, Unsent, UnsentId};
use super::counters::EngineCounts;
use super::drive::DriveCx;
use super::end::{End, Ends, Stream};
use super::event::Event;
use super::flow::{Flow, Step};
use super::key::Key;
use super::pump::{self, EndError};
use super::ready::Ready;
use super::reason::{Close, CloseKind, Reason, Side, SysError};
use super::time::{Moment, Tick};
use super::timers::{Deadline, Timeouts};

/// Time a service waits for the peer's end of file after its last byte, in ticks.
const LINGER: Tick = 20;

/// One connection. An idle one is these 80 bytes and nothing else.
#[derive(Debug)]
pub struct Conn<S> {
    pub ends: Ends<S>,
    pub flows: [Flow; 2],
    pub born: Moment,
    pub id: u32,
    /// When bytes last moved. While connecting: when the attempt began.
    pub active: Tick,
    /// Due time of its only valid entry in `Timers`; 0 means none.
    pub armed: Tick,
    pub route: u16,
    /// It is in the run queue.
    pub queued: bool,
    history: History,
}

/// Which side sent the first end of file, and whether the client sent the last bytes. One byte: a
/// second one would grow the padded connection by eight.
#[derive(Clone, Copy, Debug, Default)]
struct History(u8);

impl History {
    const SIDES: [Option<Side>; 4] =
        [None, Some(Side::Client), Some(Side::Target), Some(Side::Proxy)];
    const CLIENT_SENT_LAST: u8 = 4;

    /// Returns the side whose end of file came first.
    fn first(self) -> Option<Side> {
        History::SIDES[usize::from(self.0 & 3)]
    }

    /// Records an end of file from `side`.
    fn ended(&mut self, side: Side) {
        if self.first().is_none() {
            let index = History::SIDES.iter().position(|known| *known == Some(side));
            self.0 |= index.unwrap_or_default() as u8;
        }
    }

    /// Whether the client sent last. In a relay, the target's answer is then outstanding.
    fn client_sent_last(self) -> bool {
        self.0 & History::CLIENT_SENT_LAST != 0
    }

    #[inline(always)]
    fn sent(&mut self, client: bool) {
        self.0 = self.0 & !History::CLIENT_SENT_LAST | u8::from(client) << 2;
    }
}

/// The state of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// A socket is not connected yet. Bytes wait at the other end.
    Opening,
    /// Bytes may flow in both directions.
    Streaming,
    /// One direction has ended, the other has not.
    HalfClosed,
    /// A service has sent everything and waits for the peer's end of file.
    Lingering,
}

impl State {
    /// All states.
    pub const ALL: [State; 4] =
        [State::Opening, State::Streaming, State::HalfClosed, State::Lingering];

    /// Returns its name for operators.
    pub fn name(self) -> &'static str {
        match self {
            State::Opening => "opening",
            State::Streaming => "streaming",
            State::HalfClosed => "half-closed",
            State::Lingering => "lingering",
        }
    }

    /// Returns the state that follows from the flows. `relays` is set if both ends are sockets. The
    /// order of the checks is that of their cost.
    #[inline(always)]
    fn of(opening: bool, [first, second]: &[Flow; 2], relays: bool) -> State {
        if opening {
            State::Opening
        } else if first.done && first.from == 1 && !relays {
            State::Lingering
        } else if first.done != second.done && !second.is_absent() {
            State::HalfClosed
        } else {
            State::Streaming
        }
    }
}

/// The result of driving a connection.
#[derive(Debug)]
pub enum Driven {
    /// Both flows have to wait.
    Rest,
    /// A flow used its budget and could go on.
    More,
    Ended(Reason),
    /// The attempt to connect an end failed; another target may be tried.
    DialFailed(EndError),
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

    /// Sends `text` and closes. What the peer sends meanwhile is discarded.
    pub fn say(socket: S, text: Option<UnsentId>) -> Conn<S> {
        Conn::wire(
            End::Socket(socket),
            End::Void,
            [Flow::starting_with(text, 1, 0), Flow::new(0, 1)],
        )
    }

    /// Sends `text`, then serves the peer by the owner of the local end.
    pub fn local(socket: S, text: Option<UnsentId>) -> Conn<S> {
        Conn::wire(
            End::Socket(socket),
            End::Local(None),
            [Flow::starting_with(text, 1, 0), Flow::new(0, 1)],
        )
    }

    /// A relay whose target is not connected yet. Until it is, nothing is read from the client.
    pub fn relay(client: S) -> Conn<S> {
        Conn::wire(End::Socket(client), End::Unconnected, [Flow::new(0, 1), Flow::new(1, 0)])
    }

    /// A relay between two connected sockets.
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

    /// Runs both flows until they have to wait or their budgets are used up.
    #[inline(always)]
    pub fn drive(&mut self, cx: &mut DriveCx<'_, '_, S::Pipe>) -> Driven {
        if self.is_opening()
            && let Err(failed) = self.check_connected(cx)
        {
            // If the other peer is gone too, no other target is tried. A target that accepted, sent
            // and reset before this check was connected: what it sent is forwarded.
            return match self.check_errors() {
                Some(failed) => self.failed(failed, cx),
                None if self.is_opening() => Driven::DialFailed(failed),
                None => self.failed(failed, cx),
            };
        }
        let before = self.flow_bytes();
        let lingered = self.state() == State::Lingering;
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
        // If both sides sent, the order is unknown: assume that an answer is outstanding.
        let client_sent = self.flows[0].moved != before[0];
        let progress = client_sent || self.flows[1].moved != before[1];
        if progress {
            self.history.sent(client_sent);
        }
        // An end of file is activity: the half-close timeout starts there.
        if !lingered && (ended || progress) {
            self.active = cx.turn.now.tick();
        }
        if self.flows.iter().all(|flow| flow.done) {
            return Driven::Ended(self.finished());
        }
        // Both flows are checked at the end: the second may have made the first runnable.
        if self.is_runnable() {
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

    /// Asks each socket that is opening whether it is connected. Returns the error of a failed
    /// attempt.
    #[cold]
    fn check_connected(&mut self, cx: &mut DriveCx<'_, '_, S::Pipe>) -> Result<(), EndError> {
        let hints = Ready::WRITE.with(Ready::ERROR).with(Ready::READ_CLOSED);
        for end in 0..2 {
            let bits = self.ends.bits(end);
            if !bits.has(Ready::OPENING) || !bits.any(hints) {
                continue;
            }
            let Some(socket) = self.ends.socket(end) else { continue };
            let connected = socket.is_connected();
            match &connected {
                Ok(false) => {
                    // A stale or early event. Another follows when the attempt succeeds or fails.
                    self.ends.clear(end, hints);
                    continue;
                }
                Err(error) if !was_connected(error) => {}
                _ => {
                    self.ends.clear(end, Ready::OPENING);
                    self.active = cx.turn.now.tick();
                    let after = cx.turn.now.since(self.born);
                    cx.buffers.counts.connect.record(after);
                    cx.on(end, &Event::Connected { after });
                }
            }
            connected.map_err(|error| EndError { end, error })?;
        }
        Ok(())
    }

    /// Writes bytes of the owner of the local end, if no earlier ones are unsent. Returns how many
    /// the socket accepted. If it did not accept all, the owner is asked for the rest later.
    pub fn reply(
        &mut self,
        bytes: &[u8],
        last: bool,
        cx: &mut DriveCx<'_, '_, S::Pipe>,
    ) -> Result<usize, EndError> {
        let (ends, is_reply) = (&mut self.ends, |flow: &&mut Flow| flow.from == 1 && !flow.done);
        let Some(flow) = self.flows.iter_mut().find(is_reply) else { return Ok(0) };
        if ends.bits(1).has(Ready::READ_CLOSED) {
            return Ok(0);
        }
        let accepted = pump::write_reply(flow, ends, bytes, cx)?;
        if accepted > 0 {
            self.history.sent(false);
            self.active = cx.turn.now.tick();
        }
        if accepted < bytes.len() {
            ends.set(1, Ready::READ);
        } else if last {
            ends.close_local(1, &mut cx.buffers.locals);
        }
        Ok(accepted)
    }

    /// Whether a flow can go on now.
    pub fn is_runnable(&self) -> bool {
        self.flows.iter().any(|flow| self.ends.next(flow) != Step::Rest)
    }

    /// Reads the socket's error where an event reported one and no flow reads that end now. The
    /// event alone is not trusted.
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

    /// Handles the failure of an end: forwards what it sent before, as far as the other end accepts
    /// it now. The connection then ends with a reset, never with a FIN.
    #[cold]
    pub fn failed(
        &mut self,
        EndError { end, error }: EndError,
        cx: &mut DriveCx<'_, '_, S::Pipe>,
    ) -> Driven {
        let fault = SysError::from(&error);
        if self.is_opening() {
            return Driven::Ended(Reason::Abandoned { fault });
        }
        for index in 0..2 {
            let flow = &self.flows[index];
            if flow.from as usize == end && flow.to as usize != end && !flow.done {
                // A second error changes nothing: the connection ends anyway.
                let (flow, ends) = (&mut self.flows[index], &mut self.ends);
                let _ = pump::flush_after_error(flow, ends, cx);
            }
        }
        Driven::Ended(Reason::Reset { by: side(&self.ends, end), fault })
    }

    fn finished(&self) -> Reason {
        if self.history.first() == Some(Side::Proxy) { Reason::Served } else { Reason::Finished }
    }

    /// Returns the next deadline and its due time. `drain_idle` is set while the engine drains.
    pub fn deadline(
        &self,
        timeouts: &Timeouts,
        drain_idle: Option<Tick>,
    ) -> Option<(Deadline, Tick)> {
        // Saturates: a timeout of years is due at the last tick.
        let since_active =
            |timeout: Option<Tick>| timeout.map(|ticks| self.active.saturating_add(ticks));
        let quiet = drain_idle.and_then(|idle| self.drain_wait(idle));
        let (deadline, wait) = match self.state() {
            State::Opening => (Deadline::Connect, timeouts.connect),
            State::Lingering => (Deadline::Linger, Some(LINGER)),
            _ if quiet.is_some() => (Deadline::Quiet, quiet),
            State::HalfClosed if timeouts.half_close.is_some() => {
                (Deadline::HalfClose, timeouts.half_close)
            }
            State::HalfClosed | State::Streaming => (Deadline::Idle, timeouts.idle),
        };
        let activity = since_active(wait).map(|due| (deadline, due));
        let born = self.born.tick();
        let lifetime =
            timeouts.lifetime.map(|life| (Deadline::Lifetime, born.saturating_add(life)));
        [activity, lifetime].into_iter().flatten().min_by_key(|(_, due)| *due)
    }

    /// Returns how long the connection has to be idle before a drain closes it: zero if it would
    /// never end by itself, None while it is in progress (half-closed, with unsent bytes, or with
    /// an answer of the target outstanding). A local end is in progress while its owner has bytes
    /// to send: an owner that only waits may never end a half-closed connection.
    fn drain_wait(&self, idle: Tick) -> Option<Tick> {
        if self.is_endless() {
            return Some(0);
        }
        let half_closed = self.state() == State::HalfClosed;
        let in_progress = match self.ends.end(1) {
            End::Socket(_) => half_closed || self.history.client_sent_last(),
            End::Local(_) => false,
            End::Unconnected | End::Void | End::Chargen => half_closed,
        };
        (!in_progress && !self.has_unsent()).then_some(idle)
    }

    /// Whether it sends until it is closed, whatever the peer does.
    pub fn is_endless(&self) -> bool {
        matches!(self.ends.end(1), End::Chargen)
    }

    /// Returns the state of the connection.
    #[inline(always)]
    pub fn state(&self) -> State {
        State::of(self.is_opening(), &self.flows, self.ends.end(1).is_socket())
    }

    /// Whether a socket is not connected yet.
    #[inline(always)]
    pub fn is_opening(&self) -> bool {
        self.ends.bits(0).with(self.ends.bits(1)).has(Ready::OPENING)
    }

    /// Returns the first end whose socket is not connected yet.
    pub fn opening_end(&self) -> Option<usize> {
        (0..2).find(|end| self.ends.bits(*end).has(Ready::OPENING))
    }

    /// Whether it is in a state that has a deadline on every route.
    #[inline(always)]
    pub fn is_transient(&self) -> bool {
        matches!(self.state(), State::Opening | State::Lingering)
    }

    /// Whether a flow has unsent bytes, or the owner of the local end has some.
    pub fn has_unsent(&self) -> bool {
        self.flows.iter().any(|flow| flow.unsent.is_some()) || self.ends.owner_waits(1)
    }

    /// Returns the side whose end of file came first.
    pub fn closed_first(&self) -> Option<Side> {
        self.history.first()
    }

    /// Returns the bytes forwarded from end 0 and the bytes written to it. Echoed bytes count as
    /// both.
    pub fn moved(&self) -> (u64, u64) {
        let sum = |chosen: fn(&Flow) -> bool| -> u64 {
            self.flows.iter().filter(|flow| chosen(flow)).map(|flow| flow.moved).sum()
        };
        (sum(|flow| flow.from == 0), sum(|flow| flow.to == 0))
    }

    /// Returns the bytes that each flow has moved.
    #[inline(always)]
    pub fn flow_bytes(&self) -> [u64; 2] {
        [self.flows[0].moved, self.flows[1].moved]
    }

    /// Counts the bytes moved since the flows had moved `before`.
    #[inline(always)]
    pub fn count_moved(&self, before: [u64; 2], now: Moment, counts: &mut EngineCounts) {
        for (flow, before) in self.flows.iter().zip(before) {
            let bytes = flow.moved - before;
            if bytes == 0 {
                continue;
            }
            if flow.from == 0 {
                counts.received(self.route, bytes);
            }
            if flow.to == 0 {
                counts.sent(self.route, bytes);
                // No connection has two flows to its client.
                if before == 0 {
                    counts.answered(now.since(self.born));
                }
            }
        }
    }

    /// Checks the invariants of a connection that was just driven. Called in debug builds.
    pub fn check(&self, unsent: &Unsent<S::Pipe>) {
        for flow in &self.flows {
            let unsent = flow.unsent.as_ref().map(|unsent_id| unsent.left(unsent_id));
            debug_assert!(unsent != Some(0), "#{}: empty unsent bytes", self.id);
            debug_assert!(
                !flow.done || unsent.is_none(),
                "#{}: unsent bytes after the end of file",
                self.id
            );
        }
        let no_error =
            !self.ends.ready(0).has(Ready::ERROR) && !self.ends.ready(1).has(Ready::ERROR);
        debug_assert!(self.queued || no_error, "#{}: an error was reported and not read", self.id);
        let rests = self.flows.iter().all(|flow| self.ends.next(flow) == Step::Rest);
        debug_assert!(self.queued || rests, "#{}: has work but is not queued", self.id);
    }

    /// Prepares the sockets for closing, releases all unsent bytes, and returns how it ended.
    pub fn close(&mut self, key: Key, reason: Reason, buffers: &mut Buffers<S::Pipe>) -> Close {
        let relay = self.ends.end(1).is_socket() || self.is_opening();
        let resets = match reason {
            Reason::Finished | Reason::Served | Reason::Drained | Reason::Evicted => false,
            // A relay is reset. A service sends a FIN, unless bytes of either side would be lost.
            Reason::IdleTimeout | Reason::HalfCloseTimeout | Reason::Lifetime | Reason::Cut => {
                relay || self.has_unsent() || self.ends.ready(0).has(Ready::READ)
            }
            Reason::Reset { .. }
            | Reason::Abandoned { .. }
            | Reason::Refused { .. }
            | Reason::Unreachable { .. }
            | Reason::ConnectTimeout
            | Reason::Exhausted { .. }
            | Reason::Lagged
            | Reason::TooLong
            | Reason::Admin
            | Reason::Reloaded => true,
        };
        if resets {
            for end in 0..2 {
                if let Some(socket) = self.ends.socket(end) {
                    socket.reset_on_drop();
                }
            }
        }
        for flow in &mut self.flows {
            buffers.unsent.release(&mut flow.unsent);
        }
        if let Some(inbox) = self.ends.inbox(1) {
            buffers.locals.close(inbox, key.at(1), self.route, reason);
        }
        let by_proxy = (Side::Proxy, if resets { CloseKind::Rst } else { CloseKind::Fin });
        let (first, by) = match (self.history.first(), reason) {
            (Some(side), _) => (side, CloseKind::Fin),
            (None, Reason::Reset { by, fault }) => (by, fault.closing()),
            (None, Reason::Abandoned { .. }) => (Side::Client, CloseKind::Rst),
            (None, Reason::Refused { .. }) => (Side::Target, CloseKind::Rst),
            (None, _) => by_proxy,
        };
        Close { reason, first, by }
    }
}

/// One line of a dump: the readiness of each end, and the bytes moved and unsent of each flow.
impl<S> fmt::Display for Conn<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "route {}, a {}, b {}", self.route, self.ends.bits(0), self.ends.bits(1))?;
        for flow in self.flows.iter().filter(|flow| !flow.is_absent()) {
            let (from, to) = (["a", "b"][flow.from as usize], ["a", "b"][flow.to as usize]);
            write!(f, ", {from}>{to} {} B", flow.moved)?;
            if flow.unsent.is_some() {
                f.write_str(" and has unsent bytes")?;
            }
            if flow.done {
                f.write_str(" ended")?;
            }
        }
        Ok(())
    }
}

/// Whether the error shows that the connection had been established: a reset or a broken pipe. A
/// failed attempt has other errors.
fn was_connected(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe)
}

/// Returns the side that `end` faces.
fn side<S: Stream>(ends: &Ends<S>, end: usize) -> Side {
    match (end, ends.end(end).is_socket()) {
        (0, _) => Side::Client,
        (_, true) => Side::Target,
        (_, false) => Side::Proxy,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_truth_table_of_the_state() {
        use State::{HalfClosed, Lingering, Opening, Streaming};
        // first flow from the process, first done, second done (None: no second flow), both ends
        // are sockets => the state once both are open
        let table = [
            (0, false, None, false, Streaming),
            (0, false, Some(false), false, Streaming),
            (0, false, Some(true), false, HalfClosed),
            (0, true, Some(false), false, HalfClosed),
            (0, false, Some(false), true, Streaming),
            (0, false, Some(true), true, HalfClosed),
            (0, true, Some(false), true, HalfClosed),
            (0, true, Some(true), true, Streaming),
            (1, false, Some(false), false, Streaming),
            (1, false, Some(true), false, HalfClosed),
            (1, true, Some(false), false, Lingering),
            (1, true, Some(true), false, Lingering),
            (1, true, Some(false), true, HalfClosed),
        ];
        for (from, first, second, relays, expected) in table {
            let row = (from, first, second, relays);
            let absent = Flow::none();
            let second = second.map_or(absent, |done| Flow { done, ..Flow::new(1 - from, from) });
            let flows = [Flow { done: first, ..Flow::new(from, 1 - from) }, second];
            assert_eq!(State::of(false, &flows, relays), expected, "{row:?}");
            assert_eq!(State::of(true, &flows, relays), Opening, "{row:?}");
        }
    }
}
