//! When each connection is to be looked at, whatever the system says.

use super::conn::Conn;
use super::end::Stream;
use super::event::{Event, Seen};
use super::key::Key;
use super::time::{Moment, Tick};
use super::timers::{Deadline, Timeouts, Timers};

/// The deadlines that are set, and what they follow from.
pub struct Deadlines {
    pub timers: Timers,
    /// Of each route.
    timeouts: Vec<Timeouts>,
    /// While the engine drains: how long a connection has to be quiet before it is closed.
    drain_idle: Option<Tick>,
    /// No route looks at the age or the silence of an established connection.
    untimed: bool,
}

impl Deadlines {
    pub fn new(timeouts: Vec<Timeouts>, capacity: usize) -> Deadlines {
        let untimed = timeouts.iter().all(Timeouts::all_off);
        let timers = Timers::with_capacity(capacity);
        Deadlines { timers, timeouts, drain_idle: None, untimed }
    }

    /// From now on what is quiet for `idle` ends, whatever its route says.
    pub fn drain(&mut self, idle: Tick) {
        self.drain_idle = Some(idle);
        self.untimed = false;
    }

    /// What is next to come due for a connection, and when.
    pub fn of<S: Stream>(&self, conn: &Conn<S>) -> Option<(Deadline, Tick)> {
        conn.deadline(&self.timeouts[conn.route as usize], self.drain_idle)
    }

    /// Sees to it that the connection's next deadline is set.
    #[inline(always)]
    pub fn arm<S: Stream>(
        &mut self,
        conn: &mut Conn<S>,
        key: Key,
        now: Moment,
        seen: &mut Seen<'_>,
    ) {
        // The common case: nothing is timed, and no reckoning is needed to see that.
        if !self.untimed || conn.is_in_passing() {
            self.set(conn, key, now, seen);
        }
    }

    /// Sets the deadline that follows from the connection's state, if none as early is set.
    #[inline(never)]
    fn set<S: Stream>(&mut self, conn: &mut Conn<S>, key: Key, now: Moment, seen: &mut Seen<'_>) {
        let Some((deadline, due)) = self.of(conn) else { return };
        if conn.armed == 0 || due < conn.armed {
            conn.armed = due;
            self.timers.arm(due, key.at(0));
            seen.step(key, || Event::Armed { deadline, due, now });
        }
    }
}
