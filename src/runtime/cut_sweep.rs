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
            self.cuts.set(cut.route, Some(cut));
        } else {
            self.free_routes();
        }
    }

    /// Visits the next slots of a cut. Returns whether it is complete.
    fn sweep(&mut self, cut: &mut Cut, turn: &mut Turn<'_>) -> bool {
        let (mut found, mut is_complete) = (Vec::new(), false);
        let inspect = self.inspect();
        for _ in 0..SLOTS_PER_TURN {
            let Some(slot) = inspect.visit_route(&mut cut.cursor) else {
                is_complete = true;
                break;
            };
            let of_cut =
                slot.filter(|(key, route)| *route == cut.route.index && key.id <= cut.last);
            found.extend(of_cut.map(|(key, _)| key));
            if found.len() == CLOSES_PER_TURN {
                break;
            }
        }
        for key in found {
            self.close(key, Reason::Reloaded, turn);
        }
        is_complete
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
