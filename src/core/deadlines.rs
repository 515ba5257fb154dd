//! Arms the next deadline of each connection, from its state and the timeouts of its route.

use super::conn::Conn;
use super::end::Stream;
use super::event::Event;
use super::key::Key;
use super::time::Tick;
use super::timers::{Deadline, Timeouts, Timers};
use super::turn::Turn;

/// The armed deadlines, and the timeouts they are computed from.
pub struct Deadlines {
    pub timers: Timers,
    /// Timeouts by route.
    timeouts: Vec<Timeouts>,
    /// While the engine drains: connections idle for this long are closed.
    drain_idle: Option<Tick>,
    /// Number of routes with a timeout for established connections. The drain counts as one.
    timed: usize,
}

impl Deadlines {
    pub fn new(timeouts: Vec<Timeouts>, capacity: usize) -> Deadlines {
        let timed = timeouts.iter().filter(|timeouts| !timeouts.all_off()).count();
        let timers = Timers::with_capacity(capacity);
        Deadlines { timers, timeouts, drain_idle: None, timed }
    }

    /// Sets the timeouts of a route. Returns whether they differ from those before. Deadlines that
    /// are armed already stay: one that is too early is armed again when it is due.
    pub fn set_timeouts(&mut self, route: u16, timeouts: Timeouts) -> bool {
        let route = usize::from(route);
        if self.timeouts.len() <= route {
            self.timeouts.resize(route + 1, Timeouts::default());
        }
        let before = std::mem::replace(&mut self.timeouts[route], timeouts);
        self.timed += usize::from(!timeouts.all_off());
        self.timed -= usize::from(!before.all_off());
        before != timeouts
    }

    /// Starts the drain: connections idle for `idle` are closed, whatever their route's timeouts.
    pub fn drain(&mut self, idle: Tick) {
        if self.drain_idle.replace(idle).is_none() {
            self.timed += 1;
        }
    }

    /// Returns the next deadline of a connection and its due time.
    pub fn of<S: Stream>(&self, conn: &Conn<S>) -> Option<(Deadline, Tick)> {
        conn.deadline(&self.timeouts[conn.route as usize], self.drain_idle)
    }

    /// Arms the next deadline of a connection, if it has one.
    #[inline(always)]
    pub fn arm<S: Stream>(&mut self, conn: &mut Conn<S>, key: Key, turn: &mut Turn<'_>) {
        // The common case has no timeouts, and needs no computation to see that.
        if self.timed > 0 || conn.is_transient() {
            self.set(conn, key, turn);
        }
    }

    /// Arms the deadline that follows from the connection's state, unless an earlier one is armed.
    #[inline(never)]
    fn set<S: Stream>(&mut self, conn: &mut Conn<S>, key: Key, turn: &mut Turn<'_>) {
        let Some((deadline, due)) = self.of(conn) else { return };
        // A timeout that was changed, or a drain, may demand a time in the past. That is no lag of
        // the loop.
        let due = due.max(turn.now.tick());
        if conn.armed == 0 || due < conn.armed {
            conn.armed = due;
            self.timers.arm(due, key.at(0));
            let now = turn.now;
            turn.step(key, || Event::Armed { deadline, due, now });
        }
    }
}
