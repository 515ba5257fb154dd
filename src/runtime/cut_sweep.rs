//! Closes the connections that are to be cut. It visits all connections slot by slot, a part in
//! each turn.

use crate::core::{Key, Reason, Turn};

use super::cuts::Cut;
use super::reactor::Reactor;

/// Maximum slots that are looked at in one turn.
const SLOTS_PER_TURN: usize = 1024;

/// Maximum connections that are closed in one turn.
const CLOSES_PER_TURN: usize = 64;

impl Reactor {
    /// Goes on with one cut that is due.
    #[cold]
    pub(super) fn cut_some(&mut self, turn: &mut Turn<'_>) {
        let Some(mut cut) = self.cuts.take_due(turn.now) else { return };
        let is_open = self.routes.has(cut.route);
        if is_open && !self.sweep(&mut cut, turn) {
            self.cuts.add(cut);
        } else {
            self.free_routes();
        }
    }

    /// Visits the next slots of a cut. Returns whether it is complete.
    fn sweep(&mut self, cut: &mut Cut, turn: &mut Turn<'_>) -> bool {
        let mut closes = 0;
        for _ in 0..SLOTS_PER_TURN {
            let Some(found) = self.inspect().visit_route(&mut cut.cursor) else { return true };
            let Some((key, route)) = found else { continue };
            if route == cut.route.index && key.id <= cut.last {
                self.close(key, Reason::Reloaded, turn);
                closes += 1;
                if closes == CLOSES_PER_TURN {
                    return false;
                }
            }
        }
        false
    }

    /// Closes a connection or a datagram flow. Returns whether it was open.
    pub(super) fn close(&mut self, key: Key, reason: Reason, turn: &mut Turn<'_>) -> bool {
        if key.is_flow() {
            return self
                .with_datagrams(turn, |datagrams, cx| datagrams.close_flow(key, reason, cx));
        }
        let is_open = self.engine.get(key).is_some();
        self.engine.end(key, reason, turn);
        is_open
    }
}
