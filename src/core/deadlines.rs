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
    pub timeouts: Vec<Timeouts>,
    pub draining: bool,
}

impl Deadlines {
    /// What is next to come due for a connection, and when.
    pub fn of<S: Stream>(&self, conn: &Conn<S>) -> Option<(Deadline, Tick)> {
        conn.deadline(&self.timeouts[conn.route as usize], self.draining)
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
        let timeouts = &self.timeouts[conn.route as usize];
        // The common case: nothing is timed, and no reckoning is needed to see that.
        if !self.draining && timeouts.all_off() && !conn.is_in_passing() {
            return;
        }
        self.set(conn, key, now, seen);
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
