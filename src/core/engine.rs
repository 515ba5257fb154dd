//! The engine: all connections, the run queue and the deadlines. Mark first, then drive: events
//! only set readiness bits and queue a connection once; after the batch each queued connection is
//! driven with a budget, and one that used its budget is queued again.

use std::io;
use std::time::Duration;

use slab::Slab;

use super::buffers::Buffers;
use super::conn::{Conn, Driven};
use super::deadlines::Deadlines;
use super::drive::DriveCx;
use super::end::Stream;
use super::event::{Event, Observer, Seen};
use super::interest_changes::InterestChanges;
use super::key::Key;
use super::ready::Ready;
use super::reason::Reason;
use super::stalls::Stalls;
use super::time::{Moment, Tick};
use super::timers::{Deadline, Timeouts};

/// Driven by the reactor, or by the simulation.
pub struct Engine<S: Stream> {
    conns: Slab<Conn<S>>,
    run: Vec<Key>,
    deadlines: Deadlines,
    dials: Vec<(Key, Dial)>,
    interest_changes: InterestChanges,
    pub stalls: Stalls,
    /// Somebody wants to see each step.
    steps: bool,
    pub buffers: Buffers<S::Pipe>,
}

/// What became of an attempt to connect to a target.
#[derive(Debug)]
pub enum Dial {
    /// It failed; another may be made.
    Failed(io::Error),
    /// It came through, or its connection has ended: there is nothing left to decide.
    Over,
}

/// So many deadlines are looked at in one turn; the rest in the next one.
const EXPIRE_BUDGET: usize = 1024;

impl<S: Stream> Engine<S> {
    /// `timeouts` are those of each route. Room for `capacity` connections is reserved, so that no
    /// growth ever copies the table in the middle of a turn; untouched pages cost nothing.
    pub fn new(timeouts: Vec<Timeouts>, capacity: usize, buffers: Buffers<S::Pipe>) -> Engine<S> {
        Engine {
            conns: Slab::with_capacity(capacity),
            run: Vec::new(),
            deadlines: Deadlines::new(timeouts, capacity),
            dials: Vec::new(),
            interest_changes: InterestChanges::default(),
            stalls: Stalls::default(),
            steps: true,
            buffers,
        }
    }

    /// Whether somebody wants to see each step; so it is unless this says otherwise.
    pub fn set_steps(&mut self, steps: bool) {
        self.steps = steps;
    }

    /// The key that the next `insert` with this birth number will have.
    pub fn vacant(&self, id: u32) -> Key {
        Key::new(id, self.conns.vacant_key())
    }

    /// Takes a connection in. It is driven at once: it may have something to say.
    pub fn insert(
        &mut self,
        mut conn: Conn<S>,
        id: u32,
        route: u16,
        now: Moment,
        seen: &mut dyn Observer,
    ) -> Key {
        let seen = &mut Seen::new(seen, self.steps);
        conn.id = id;
        conn.route = route;
        conn.born = now;
        conn.active = now.tick();
        conn.queued = true;
        let key = self.vacant(id);
        self.deadlines.arm(&mut conn, key, now, seen);
        self.conns.insert(conn);
        self.run.push(key);
        key
    }

    /// The connection that a key names, unless it is gone.
    pub fn get(&mut self, key: Key) -> Option<&mut Conn<S>> {
        get(&mut self.conns, key)
    }

    /// The system named an end: sets its bits, and queues the connection once.
    #[inline(always)]
    pub fn mark(&mut self, key: Key, ready: Ready, seen: &mut dyn Observer) {
        let Some(conn) = get(&mut self.conns, key) else {
            return Seen::new(seen, self.steps).step(key, || Event::Stale);
        };
        // Asked here and not of a `Seen`: to make one for each event would cost more than the rest.
        if self.steps {
            seen.on(key, &Event::Marked { ready });
        }
        // It rests, and nothing that it waits for has come.
        if conn.ends.bits(key.end()).has(ready) && !conn.queued {
            let seen = &mut Seen::new(seen, self.steps);
            return self.interest_changes.disable_read(&mut conn.ends, key, seen);
        }
        conn.ends.set(key.end(), ready);
        if !conn.queued {
            conn.queued = true;
            self.run.push(key);
        }
    }

    /// Tells the system which ends it is to name for other things than before: the socket, and
    /// whether it is muted now.
    pub fn update_interest(
        &mut self,
        now: Moment,
        seen: &mut dyn Observer,
        mut tell: impl FnMut(&mut S, Key, bool) -> io::Result<()>,
    ) {
        while let Some(key) = self.interest_changes.take() {
            let Some(conn) = self.get(key) else { continue };
            let muted = conn.ends.bits(key.end()).has(Ready::READ_OFF);
            let Some(socket) = conn.ends.socket(key.end()) else { continue };
            if let Err(error) = tell(socket, key, muted) {
                // Nobody would ever tell what comes.
                self.end(key, Reason::Exhausted { fault: (&error).into() }, now, seen);
            }
        }
    }

    /// Drives each queued connection once.
    pub fn run(&mut self, now: Moment, seen: &mut dyn Observer) {
        let seen = &mut Seen::new(seen, self.steps);
        // Who is queued meanwhile waits for the next turn.
        let waiting = self.run.len();
        for place in 0..waiting {
            let key = self.run[place].at(0);
            self.drive(key, now, seen);
        }
        self.run.drain(..waiting);
    }

    /// Looks at the deadlines that are due. Most turns have none, and see that at once.
    #[inline(always)]
    pub fn expire(&mut self, now: Moment, seen: &mut dyn Observer) {
        if self.deadlines.timers.ask(now, self.conns.len()) {
            self.expire_due(now, seen);
        }
        if self.stalls.is_due(now) {
            self.check_stalls(now, seen);
        }
    }

    #[cold]
    fn check_stalls(&mut self, now: Moment, seen: &mut dyn Observer) {
        let seen = &mut Seen::new(seen, self.steps);
        self.stalls.check(&self.conns, &self.buffers.unsent, now, seen);
    }

    #[inline(never)]
    fn expire_due(&mut self, now: Moment, seen: &mut dyn Observer) {
        let seen = &mut Seen::new(seen, self.steps);
        for _ in 0..EXPIRE_BUDGET {
            let Some((due, key)) = self.deadlines.timers.pop(now.tick()) else { break };
            let conn = get(&mut self.conns, key).filter(|conn| conn.armed == due);
            let Some(conn) = conn else { continue };
            let Some((deadline, due)) = self.deadlines.of(conn) else {
                conn.armed = 0;
                continue;
            };
            // While the sockets are asked the entry counts as set, or one that is due would be set
            // once more.
            let again = due > now.tick() || {
                let Some(again) = self.lives_on(key, deadline, now, seen) else { continue };
                again
            };
            seen.step(key, || Event::Fired { deadline, again });
            let Some(conn) = get(&mut self.conns, key) else { continue };
            conn.armed = 0;
            match again {
                false => self.expired(key, deadline, now, seen),
                // A queued one sets its deadline when it is driven, in the next turn.
                true if conn.queued => {}
                true => self.deadlines.arm(conn, key, now, seen),
            }
        }
        let conns = &self.conns;
        self.deadlines.timers.sweep(conns.len(), |due, key| {
            conns.get(key.slot()).is_some_and(|conn| conn.id == key.id && conn.armed == due)
        });
    }

    /// Whether a deadline is due.
    #[inline]
    pub fn is_due(&self, now: Moment) -> bool {
        self.deadlines.timers.next().is_some_and(|due| due <= now.tick())
    }

    /// How long the loop may sleep: not at all while work is queued; without limit when nothing is
    /// due.
    pub fn sleep(&self, now: Moment) -> Option<Duration> {
        if !self.run.is_empty() || !self.dials.is_empty() {
            return Some(Duration::ZERO);
        }
        let next = match (self.deadlines.timers.next(), self.stalls.next()) {
            (due, None) | (None, due) => due,
            (Some(due), Some(stall)) => Some(due.min(stall)),
        };
        next.map(|due| now.until(due))
    }

    /// Gives a relay its target's socket, which is still connecting.
    pub fn attach(&mut self, key: Key, socket: S, now: Moment, seen: &mut dyn Observer) {
        let seen = &mut Seen::new(seen, self.steps);
        if let Some(conn) = get(&mut self.conns, key) {
            conn.ends.dial(1, socket);
            conn.active = now.tick();
            self.deadlines.arm(conn, key, now, seen);
        }
    }

    /// Whether attempts to connect were decided since `dials` was last asked.
    pub fn has_dials(&self) -> bool {
        !self.dials.is_empty()
    }

    /// What became of attempts to connect since this was last asked.
    pub fn dials(&mut self) -> Vec<(Key, Dial)> {
        std::mem::take(&mut self.dials)
    }

    /// Ends a connection.
    pub fn end(&mut self, key: Key, reason: Reason, now: Moment, seen: &mut dyn Observer) {
        self.remove(key, reason, now, &mut Seen::new(seen, self.steps));
    }

    /// The only place where a connection is removed.
    fn remove(&mut self, key: Key, reason: Reason, now: Moment, seen: &mut Seen<'_>) {
        if self.get(key).is_none() {
            return;
        }
        let mut conn = self.conns.remove(key.slot());
        if conn.dialing() {
            self.dials.push((key.at(0), Dial::Over));
        }
        let ending = conn.close(reason, &mut self.buffers.unsent);
        let (up, down) = conn.moved();
        let lasted = now.since(conn.born);
        self.stalls.forget(key);
        seen.on(key, &Event::Closed { ending, up, down, lasted, now });
    }

    /// From now on what is quiet for `idle` ends, and what is in progress ends when it is too.
    pub fn drain(&mut self, idle: Tick, now: Moment, seen: &mut dyn Observer) {
        self.deadlines.drain(idle);
        let seen = &mut Seen::new(seen, self.steps);
        for (slot, conn) in &mut self.conns {
            self.deadlines.arm(conn, Key::new(conn.id, slot), now, seen);
        }
    }

    /// Ends all that is left.
    pub fn cut(&mut self, now: Moment, seen: &mut dyn Observer) {
        for key in self.keys() {
            self.end(key, Reason::Cut, now, seen);
        }
    }

    pub fn len(&self) -> usize {
        self.conns.len()
    }

    pub fn is_empty(&self) -> bool {
        self.conns.is_empty()
    }

    /// How many connections wait for their turn.
    pub fn queued(&self) -> usize {
        self.run.len()
    }

    /// How many deadlines are set, dead ones included.
    pub fn deadlines(&self) -> usize {
        self.deadlines.timers.len()
    }

    pub fn iter(&self) -> impl Iterator<Item = (Key, &Conn<S>)> {
        self.conns.iter().map(|(slot, conn)| (Key::new(conn.id, slot), conn))
    }

    fn keys(&self) -> Vec<Key> {
        self.iter().map(|(key, _)| key).collect()
    }

    /// Drives a connection, if it is still there.
    #[inline(always)]
    fn drive(&mut self, key: Key, now: Moment, seen: &mut Seen<'_>) {
        let Some(conn) = get(&mut self.conns, key) else { return };
        conn.queued = false;
        let dialing = conn.dialing();
        let unsent = self.stalls.wanted && conn.has_unsent();
        let buffers = &mut self.buffers;
        let driven = conn.drive(&mut DriveCx { key, now, buffers, seen: seen.lend() });
        if conn.ends.bits(0).with(conn.ends.bits(1)).has(Ready::READ_OFF) {
            self.interest_changes.enable_read(&mut conn.ends, key, seen);
        }
        if unsent || self.stalls.wanted && conn.has_unsent() {
            self.stalls.driven(conn, key, now, seen);
        }
        match driven {
            // The common case, kept apart from the others to be short.
            Driven::Rest if !dialing => self.deadlines.arm(conn, key, now, seen),
            driven => self.settle(key, driven, dialing, now, seen),
        }
        if cfg!(debug_assertions)
            && let Some(conn) = self.conns.get(key.slot())
        {
            conn.check(&self.buffers.unsent);
        }
    }

    /// Does what follows from driving a connection.
    #[inline(never)]
    fn settle(
        &mut self,
        key: Key,
        driven: Driven,
        dialing: bool,
        now: Moment,
        seen: &mut Seen<'_>,
    ) {
        let Some(conn) = self.conns.get_mut(key.slot()) else { return };
        if dialing && !conn.dialing() {
            self.dials.push((key, Dial::Over));
        }
        match driven {
            Driven::Rest => self.deadlines.arm(conn, key, now, seen),
            Driven::More => {
                if !conn.queued {
                    conn.queued = true;
                    self.run.push(key);
                }
                self.deadlines.arm(conn, key, now, seen);
            }
            Driven::Ended(reason) => self.remove(key, reason, now, seen),
            Driven::DialFailed(error) => self.dial_failed(key, error, now, seen),
        }
    }

    /// A deadline is due. The sockets are asked before it closes anything, since bytes or an answer
    /// may wait that no event has reported yet: the process may have been stopped for longer than
    /// the timeout. True if they show that the connection is not idle; None if it has ended.
    fn lives_on(
        &mut self,
        key: Key,
        deadline: Deadline,
        now: Moment,
        seen: &mut Seen<'_>,
    ) -> Option<bool> {
        let conn = self.get(key)?;
        if deadline == Deadline::Lifetime || deadline == Deadline::Quiet && conn.is_endless() {
            return Some(false);
        }
        if conn.queued {
            return Some(true);
        }
        conn.ends.doubt();
        self.drive(key, now, seen);
        let conn = get(&mut self.conns, key)?;
        let still = self.deadlines.of(conn).filter(|(_, due)| *due <= now.tick());
        Some(conn.queued || still.is_none_or(|(next, _)| next != deadline))
    }

    fn expired(&mut self, key: Key, deadline: Deadline, now: Moment, seen: &mut Seen<'_>) {
        let reason = match deadline {
            Deadline::Connect => {
                let error = io::Error::from(io::ErrorKind::TimedOut);
                return self.dial_failed(key, error, now, seen);
            }
            Deadline::Idle => Reason::IdleTimeout,
            Deadline::HalfClose => Reason::HalfCloseTimeout,
            Deadline::Lifetime => Reason::Lifetime,
            Deadline::Linger => Reason::Served,
            Deadline::Quiet => Reason::Drained,
        };
        self.remove(key, reason, now, seen);
    }

    /// Forgets the target's socket; the shell decides what is tried next, and the time for that
    /// begins now.
    fn dial_failed(&mut self, key: Key, error: io::Error, now: Moment, seen: &mut Seen<'_>) {
        if let Some(conn) = get(&mut self.conns, key) {
            // Should the target have taken us after all, it must not see a clean end.
            if let Some(mut socket) = conn.ends.hang_up(1) {
                socket.reset_on_drop();
            }
            conn.active = now.tick();
            self.dials.push((key.at(0), Dial::Failed(error)));
            self.deadlines.arm(conn, key, now, seen);
        }
    }
}

/// The only way from a key to a connection: it compares the generations.
#[inline(always)]
fn get<S>(conns: &mut Slab<Conn<S>>, key: Key) -> Option<&mut Conn<S>> {
    conns.get_mut(key.slot()).filter(|conn| conn.id == key.id)
}
