//! The engine owns all connections, the run queue and the deadlines. It polls nothing and reads no
//! clock.
//!
//! Mark first, then drive: an event only sets readiness bits and queues its connection once. After
//! the batch each queued connection is driven with a budget; one that used it up is queued again.

use std::io;
use std::time::Duration;

use slab::Slab;

use super::buffers::Buffers;
use super::conn::{Conn, Driven};
use super::counters::{EngineCounts, RouteCounts};
use super::deadlines::Deadlines;
use super::drive::DriveCx;
use super::end::Stream;
use super::event::Event;
use super::interest_changes::InterestChanges;
use super::key::Key;
use super::local::{Mail, Message};
use super::ready::Ready;
use super::reason::Reason;
use super::stalls::Stalls;
use super::time::{Moment, Tick};
use super::timers::{Deadline, Timeouts};
use super::turn::Turn;

#[cfg(test)]
mod tests;

/// All connections. Driven by the reactor, or by the simulation.
pub struct Engine<S: Stream> {
    conns: Slab<Conn<S>>,
    /// All slots from here on have never been used.
    slots: usize,
    run: Vec<Key>,
    deadlines: Deadlines,
    /// Number of open connections of each route.
    live: Vec<u32>,
    counts: EngineCounts,
    /// The next slot whose deadline is armed again, because timeouts were changed.
    rearm_next: usize,
    dials: Vec<(Key, Dial)>,
    interest_changes: InterestChanges,
    stalls: Stalls,
    pub buffers: Buffers<S::Pipe>,
}

/// The result of an attempt to connect to a target.
#[derive(Debug)]
pub enum Dial {
    /// It failed. Another target may be tried.
    Failed(io::Error),
    /// It succeeded, or its connection has ended: no further attempt is needed.
    Over,
}

/// Maximum number of deadlines checked per turn. The rest are checked in the next turn.
const EXPIRE_BUDGET: usize = 1024;

/// Maximum number of connections whose deadline is armed again per turn after timeouts were
/// changed, and of slots that are looked at for it. That takes about 100 us.
const REARM_BUDGET: usize = 1024;
const REARM_SLOTS: usize = 16 * REARM_BUDGET;

impl<S: Stream> Engine<S> {
    /// Creates an engine with the timeouts of each route. Reserves space for `capacity`
    /// connections, so that growth never copies the table in the middle of a turn. Untouched pages
    /// cost nothing.
    pub fn new(timeouts: Vec<Timeouts>, capacity: usize, buffers: Buffers<S::Pipe>) -> Engine<S> {
        Engine {
            conns: Slab::with_capacity(capacity),
            slots: 0,
            run: Vec::new(),
            live: vec![0; timeouts.len()],
            counts: EngineCounts::new(timeouts.len()),
            deadlines: Deadlines::new(timeouts, capacity),
            rearm_next: 0,
            dials: Vec::new(),
            interest_changes: InterestChanges::default(),
            stalls: Stalls::default(),
            buffers,
        }
    }

    /// Reserves space for `capacity` connections in total. Copies the tables if they have to grow.
    pub fn reserve(&mut self, capacity: usize) {
        self.conns.reserve(capacity.saturating_sub(self.conns.len()));
        self.deadlines.timers.reserve(capacity);
    }

    /// Sets the timeouts of a route. They apply to its open connections too: the next turns arm
    /// the deadlines that are now earlier, a part in each turn.
    pub fn set_timeouts(&mut self, route: u16, timeouts: Timeouts) {
        if self.live.len() <= usize::from(route) {
            self.live.resize(usize::from(route) + 1, 0);
            self.counts.add_route(route);
        }
        if self.deadlines.set_timeouts(route, timeouts) && self.live(route) > 0 {
            self.rearm_next = 0;
            // An entry that is always due, under the key of the loop, stands for this work. So a
            // turn without it needs no check of its own.
            self.deadlines.timers.arm(0, Key::LOOP);
        }
    }

    /// Number of open connections of a route.
    pub fn live(&self, route: u16) -> usize {
        self.live.get(usize::from(route)).map_or(0, |live| *live as usize)
    }

    /// Returns what was counted since the engine was created.
    pub fn counts(&self) -> &EngineCounts {
        &self.counts
    }

    /// Takes the counters of a route that is freed.
    pub fn take_route_counts(&mut self, route: u16) -> RouteCounts {
        debug_assert_eq!(self.live(route), 0, "route {route} has open connections");
        self.counts.take_route(route)
    }

    /// Returns the key that the next `insert` with this id will use.
    pub fn vacant(&self, id: u32) -> Key {
        Key::new(id, self.conns.vacant_key())
    }

    /// Inserts a connection and queues it: a service may send before the first event.
    pub fn insert(&mut self, mut conn: Conn<S>, id: u32, route: u16, turn: &mut Turn<'_>) -> Key {
        conn.id = id;
        conn.route = route;
        conn.born = turn.now;
        conn.active = turn.now.tick();
        conn.queued = true;
        let key = self.vacant(id);
        self.live[usize::from(route)] += 1;
        self.slots = self.slots.max(key.slot() + 1);
        self.counts.accept(route);
        self.deadlines.arm(&mut conn, key, turn);
        self.conns.insert(conn);
        self.run.push(key);
        key
    }

    /// Looks up a connection. Returns None if it has been closed.
    pub fn get(&mut self, key: Key) -> Option<&mut Conn<S>> {
        get(&mut self.conns, key)
    }

    /// Returns the connection in a slot, for those who visit all of them in parts.
    pub fn at_slot(&self, slot: usize) -> Option<(Key, &Conn<S>)> {
        self.conns.get(slot).map(|conn| (Key::new(conn.id, slot), conn))
    }

    /// Number of slots that connections have used so far.
    pub fn slots(&self) -> usize {
        self.slots
    }

    /// The next deadline of a connection and its due time.
    pub fn deadline(&self, conn: &Conn<S>) -> Option<(Deadline, Tick)> {
        self.deadlines.of(conn)
    }

    /// Handles an event of an end: sets its readiness bits, and queues the connection once.
    #[inline(always)]
    pub fn mark(&mut self, key: Key, ready: Ready, turn: &mut Turn<'_>) {
        let Some(conn) = get(&mut self.conns, key) else {
            self.counts.stale_events += 1;
            return turn.step(key, || Event::Stale);
        };
        turn.step(key, || Event::Marked { ready });
        // The connection is idle, and the event reports only bits that are already set.
        if conn.ends.bits(key.end()).has(ready) && !conn.queued {
            return self.interest_changes.disable_read(&mut conn.ends, key, turn);
        }
        conn.ends.set(key.end(), ready);
        if !conn.queued {
            conn.queued = true;
            self.run.push(key);
        }
    }

    /// Calls `set_interest` for each socket whose read interest changed. The flag is true if read
    /// events are to be disabled.
    pub fn update_interest(
        &mut self,
        turn: &mut Turn<'_>,
        mut set_interest: impl FnMut(&mut S, Key, bool) -> io::Result<()>,
    ) {
        while let Some(key) = self.interest_changes.take() {
            let Some(conn) = self.get(key) else { continue };
            let read_off = conn.ends.bits(key.end()).has(Ready::READ_OFF);
            let Some(socket) = conn.ends.socket(key.end()) else { continue };
            if let Err(error) = set_interest(socket, key, read_off) {
                // Without its registration, the socket would never be reported again.
                self.end(key, Reason::Exhausted { fault: (&error).into() }, turn);
            }
        }
    }

    /// Drives each queued connection once.
    pub fn run(&mut self, turn: &mut Turn<'_>) {
        self.run_each(turn, |_| {});
    }

    /// As `run`. Returns the connection that took longest by this clock, and how long.
    pub fn run_watched(
        &mut self,
        turn: &mut Turn<'_>,
        clock: impl Fn() -> Moment,
    ) -> Option<(u32, Duration)> {
        let (mut since, mut longest) = (clock(), None::<(u32, Duration)>);
        self.run_each(turn, |key| {
            let now = clock();
            let took = now.since(since);
            since = now;
            if longest.is_none_or(|(_, most)| most < took) {
                longest = Some((key.id, took));
            }
        });
        longest
    }

    /// Drives each queued connection once, and calls `driven` after each.
    #[inline(always)]
    fn run_each(&mut self, turn: &mut Turn<'_>, mut driven: impl FnMut(Key)) {
        // Connections queued meanwhile wait for the next turn.
        let waiting = self.run.len();
        for index in 0..waiting {
            let key = self.run[index].at(0);
            self.drive(key, turn);
            driven(key);
        }
        self.run.drain(..waiting);
    }

    /// Handles the deadlines that are due. Most turns have none, so that check is inlined.
    #[inline(always)]
    pub fn expire(&mut self, turn: &mut Turn<'_>) {
        if self.deadlines.timers.needs_work(turn.now, self.conns.len()) {
            self.expire_due(turn);
        }
        if self.stalls.is_due(turn.now) {
            self.check_stalls(turn);
        }
    }

    #[cold]
    fn check_stalls(&mut self, turn: &mut Turn<'_>) {
        self.stalls.check(&self.conns, &self.buffers.unsent, turn);
    }

    #[inline(never)]
    fn expire_due(&mut self, turn: &mut Turn<'_>) {
        let mut rearms = false;
        for _ in 0..EXPIRE_BUDGET {
            let Some((due, key)) = self.deadlines.timers.pop(turn.now.tick()) else { break };
            let conn = get(&mut self.conns, key).filter(|conn| conn.armed == due);
            let Some(conn) = conn else {
                rearms |= key == Key::LOOP;
                continue;
            };
            self.counts.timer_lag.record(turn.now.since(Moment::at_tick(due)));
            let Some((deadline, due)) = self.deadlines.of(conn) else {
                conn.armed = 0;
                continue;
            };
            // The entry counts as armed while the sockets are checked. Otherwise the same due time
            // would be armed twice.
            let again = due > turn.now.tick() || {
                let Some(again) = self.recheck(key, deadline, turn) else { continue };
                again
            };
            turn.step(key, || Event::Fired { deadline, again });
            let Some(conn) = get(&mut self.conns, key) else { continue };
            conn.armed = 0;
            match again {
                false => self.expired(key, deadline, turn),
                // A queued connection arms its deadline when it is driven, in the next turn.
                true if conn.queued => {}
                true => self.deadlines.arm(conn, key, turn),
            }
        }
        let conns = &self.conns;
        self.deadlines.timers.sweep(conns.len(), |due, key| {
            let conn = conns.get(key.slot()).filter(|conn| conn.id == key.id);
            conn.map_or(key == Key::LOOP, |conn| conn.armed == due)
        });
        if rearms {
            self.rearm(turn);
        }
    }

    /// Arms the deadlines of open connections that became earlier when timeouts were changed, as
    /// far as one turn allows.
    #[cold]
    fn rearm(&mut self, turn: &mut Turn<'_>) {
        let end = self.conns.capacity().min(self.rearm_next + REARM_SLOTS);
        let mut left = REARM_BUDGET;
        while self.rearm_next < end && left > 0 {
            let slot = self.rearm_next;
            self.rearm_next += 1;
            if let Some(conn) = self.conns.get_mut(slot) {
                self.deadlines.arm(conn, Key::new(conn.id, slot), turn);
                left -= 1;
            }
        }
        if self.rearm_next < self.conns.capacity() {
            self.deadlines.timers.arm(0, Key::LOOP);
        }
    }

    /// Whether a deadline is due.
    #[inline]
    pub fn is_due(&self, now: Moment) -> bool {
        self.deadlines.timers.next().is_some_and(|due| due <= now.tick())
    }

    /// Returns how long the loop may sleep: zero while work is queued, None (no limit) if no
    /// deadline is set.
    pub fn sleep(&self, now: Moment) -> Option<Duration> {
        if !self.run.is_empty() || !self.dials.is_empty() || self.buffers.locals.has_mail() {
            return Some(Duration::ZERO);
        }
        let next = match (self.deadlines.timers.next(), self.stalls.next()) {
            (due, None) | (None, due) => due,
            (Some(due), Some(stall)) => Some(due.min(stall)),
        };
        next.map(|due| now.until(due))
    }

    /// Attaches a socket that is still connecting to the end of the key.
    pub fn attach(&mut self, key: Key, socket: S, turn: &mut Turn<'_>) {
        if let Some(conn) = get(&mut self.conns, key) {
            conn.ends.dial(key.end(), socket);
            conn.active = turn.now.tick();
            self.deadlines.arm(conn, key, turn);
        }
    }

    /// Whether attempts to connect were decided since the last call of `dials`.
    pub fn has_dials(&self) -> bool {
        !self.dials.is_empty()
    }

    /// Takes the results of the attempts decided since the last call.
    pub fn dials(&mut self) -> Vec<(Key, Dial)> {
        std::mem::take(&mut self.dials)
    }

    /// Whether the owner of a local end has work.
    #[inline(always)]
    pub fn has_mail(&self) -> bool {
        self.buffers.locals.has_mail()
    }

    /// Takes what happened at local ends since the last call, in order.
    pub fn mail(&mut self) -> Vec<Mail> {
        self.buffers.locals.mail()
    }

    /// Returns what a local end has received and its owner has not consumed. None if the connection
    /// is closed.
    pub fn message(&mut self, key: Key) -> Option<Message<'_>> {
        let conn = get(&mut self.conns, key)?;
        let last = conn.flows.iter().any(|flow| flow.to as usize == key.end() && flow.done);
        let inbox = conn.ends.inbox(key.end())?;
        Some(Message { bytes: self.buffers.locals.waiting(inbox), last })
    }

    /// Removes bytes that the owner of a local end has handled. If fewer than `limit` are left, the
    /// peer is read once more, and the owner gets another message. So an inbox holds at most
    /// `limit` bytes and one read.
    pub fn consume(&mut self, key: Key, bytes: usize, limit: usize) {
        let Some(conn) = get(&mut self.conns, key) else { return };
        let Some(inbox) = conn.ends.inbox(key.end()) else { return };
        self.buffers.locals.consume(inbox, bytes);
        if self.buffers.locals.waiting(inbox).len() < limit {
            conn.ends.set(key.end(), Ready::WRITE);
            queue(conn, key, &mut self.run);
        }
    }

    /// Writes bytes of the owner of a local end to the peer. Returns how many the socket accepted;
    /// the owner keeps the others. If it did not accept all, a `Mail::Drained` follows once it
    /// accepts more. `last` ends the connection after the bytes, if all were accepted.
    pub fn reply(&mut self, key: Key, bytes: &[u8], last: bool, turn: &mut Turn<'_>) -> usize {
        let Some(conn) = get(&mut self.conns, key) else { return 0 };
        let before = conn.flow_bytes();
        let cx = &mut DriveCx { key, buffers: &mut self.buffers, turn };
        let replied = conn.reply(bytes, last, cx).map_err(|failed| conn.failed(failed, cx));
        conn.count_moved(before, turn.now, &mut self.counts);
        match replied {
            Ok(accepted) => {
                queue(conn, key, &mut self.run);
                accepted
            }
            Err(driven) => {
                self.handle_driven(key, driven, false, turn);
                0
            }
        }
    }

    /// Sends a FIN to the peer of a local end, whose owner has nothing more to send. What the peer
    /// sends is still received.
    pub fn shut_down(&mut self, key: Key) {
        let Some(conn) = get(&mut self.conns, key) else { return };
        if conn.ends.end(1).is_local() {
            conn.ends.end_reply(1);
            queue(conn, key, &mut self.run);
        }
    }

    /// Closes a connection. The only place where one is removed.
    pub fn end(&mut self, key: Key, reason: Reason, turn: &mut Turn<'_>) {
        if self.get(key).is_none() {
            return;
        }
        let mut conn = self.conns.remove(key.slot());
        self.live[usize::from(conn.route)] -= 1;
        if conn.is_opening() {
            self.dials.push((key.at(0), Dial::Over));
        }
        let ending = conn.close(key, reason, &mut self.buffers);
        let (up, down) = conn.moved();
        let lasted = turn.now.since(conn.born);
        self.counts.close(conn.route, reason, lasted);
        self.stalls.forget(key);
        turn.on(key, &Event::Closed { ending, up, down, lasted });
    }

    /// Starts the drain: from now on connections idle for `idle` are closed. Those in progress
    /// finish first.
    pub fn drain(&mut self, idle: Tick, turn: &mut Turn<'_>) {
        self.deadlines.drain(idle);
        for (slot, conn) in &mut self.conns {
            self.deadlines.arm(conn, Key::new(conn.id, slot), turn);
        }
    }

    /// Closes all remaining connections.
    pub fn cut(&mut self, turn: &mut Turn<'_>) {
        for key in self.keys() {
            self.end(key, Reason::Cut, turn);
        }
    }

    pub fn len(&self) -> usize {
        self.conns.len()
    }

    pub fn is_empty(&self) -> bool {
        self.conns.is_empty()
    }

    /// Returns the number of queued connections.
    pub fn queued(&self) -> usize {
        self.run.len()
    }

    /// Returns the number of armed deadlines, stale ones included.
    pub fn deadlines(&self) -> usize {
        self.deadlines.timers.len()
    }

    pub fn iter(&self) -> impl Iterator<Item = (Key, &Conn<S>)> {
        self.conns.iter().map(|(slot, conn)| (Key::new(conn.id, slot), conn))
    }

    fn keys(&self) -> Vec<Key> {
        self.iter().map(|(key, _)| key).collect()
    }

    /// Drives a connection, if it still exists.
    #[inline(always)]
    fn drive(&mut self, key: Key, turn: &mut Turn<'_>) {
        let Some(conn) = get(&mut self.conns, key) else { return };
        conn.queued = false;
        let opening = conn.is_opening();
        let unsent = turn.stalls && conn.has_unsent();
        let buffers = &mut self.buffers;
        let before = conn.flow_bytes();
        let driven = conn.drive(&mut DriveCx { key, buffers, turn });
        conn.count_moved(before, turn.now, &mut self.counts);
        if conn.ends.bits(0).with(conn.ends.bits(1)).has(Ready::READ_OFF) {
            self.interest_changes.enable_read(&mut conn.ends, key, turn);
        }
        if unsent || turn.stalls && conn.has_unsent() {
            self.stalls.driven(conn, key, turn);
        }
        match driven {
            // The common case is inlined; the others are a separate function.
            Driven::Rest if !opening => self.deadlines.arm(conn, key, turn),
            driven => self.handle_driven(key, driven, opening, turn),
        }
        if cfg!(debug_assertions)
            && let Some(conn) = self.conns.get(key.slot())
        {
            conn.check(&self.buffers.unsent);
        }
    }

    /// Handles the result of driving a connection.
    #[inline(never)]
    fn handle_driven(&mut self, key: Key, driven: Driven, opening: bool, turn: &mut Turn<'_>) {
        let Some(conn) = self.conns.get_mut(key.slot()) else { return };
        if opening && !conn.is_opening() {
            self.dials.push((key.at(0), Dial::Over));
        }
        match driven {
            Driven::Rest => self.deadlines.arm(conn, key, turn),
            Driven::More => {
                if !conn.queued {
                    conn.queued = true;
                    self.run.push(key);
                }
                self.deadlines.arm(conn, key, turn);
            }
            Driven::Ended(reason) => self.end(key, reason, turn),
            Driven::DialFailed(failed) => self.dial_failed(key.at(failed.end), failed.error, turn),
        }
    }

    /// Tries the sockets before a due deadline closes the connection: bytes may be waiting that no
    /// event has reported yet, since the process may have been stopped for longer than the timeout.
    /// Returns true if the deadline no longer applies, None if the connection has ended.
    fn recheck(&mut self, key: Key, deadline: Deadline, turn: &mut Turn<'_>) -> Option<bool> {
        let conn = self.get(key)?;
        if deadline == Deadline::Lifetime || deadline == Deadline::Quiet && conn.is_endless() {
            return Some(false);
        }
        if conn.queued {
            return Some(true);
        }
        conn.ends.assume_ready();
        self.drive(key, turn);
        let conn = get(&mut self.conns, key)?;
        let due_now = self.deadlines.of(conn).filter(|(_, due)| *due <= turn.now.tick());
        Some(conn.queued || due_now.is_none_or(|(next, _)| next != deadline))
    }

    /// Closes a connection whose deadline has passed, or fails its attempt.
    fn expired(&mut self, key: Key, deadline: Deadline, turn: &mut Turn<'_>) {
        let reason = match deadline {
            Deadline::Connect => {
                let error = io::Error::from(io::ErrorKind::TimedOut);
                let Some(end) = self.get(key).and_then(|conn| conn.opening_end()) else { return };
                return self.dial_failed(key.at(end), error, turn);
            }
            Deadline::Idle => Reason::IdleTimeout,
            Deadline::HalfClose => Reason::HalfCloseTimeout,
            Deadline::Lifetime => Reason::Lifetime,
            Deadline::Linger => Reason::Served,
            Deadline::Quiet => Reason::Drained,
        };
        self.end(key, reason, turn);
    }

    /// Drops the target's socket. The dialer decides what is tried next, and the connect timeout
    /// starts again.
    fn dial_failed(&mut self, key: Key, error: io::Error, turn: &mut Turn<'_>) {
        if let Some(conn) = get(&mut self.conns, key) {
            // If the target has accepted after all, it must not see a FIN.
            if let Some(mut socket) = conn.ends.disconnect(key.end()) {
                socket.reset_on_drop();
            }
            conn.active = turn.now.tick();
            self.dials.push((key, Dial::Failed(error)));
            self.deadlines.arm(conn, key, turn);
        }
    }
}

/// Queues a connection that can go on, once.
fn queue<S: Stream>(conn: &mut Conn<S>, key: Key, run: &mut Vec<Key>) {
    if !conn.queued && conn.is_runnable() {
        conn.queued = true;
        run.push(key.at(0));
    }
}

/// Looks up the connection of a key. The id must match: a slot may have been reused.
#[inline(always)]
fn get<S>(conns: &mut Slab<Conn<S>>, key: Key) -> Option<&mut Conn<S>> {
    conns.get_mut(key.slot()).filter(|conn| conn.id == key.id)
}
