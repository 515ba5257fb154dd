//! Closes the connections of routes whose file says `existing = "cut"` or `"after 5m"`, once a
//! reload has removed or changed them. It visits all connections slot by slot, a part in each turn.

use std::time::Duration;

use crate::config::Existing;
use crate::core::{Key, Moment, Reason, Turn};

use super::inspect::SweepCursor;
use super::reactor::Reactor;
use super::routes::RouteId;

/// Maximum slots that are looked at in one turn.
const SLOTS_PER_TURN: usize = 1024;

/// Maximum connections that are closed in one turn.
const CLOSES_PER_TURN: usize = 64;

/// Maximum number of cuts that wait. A reload that would add more is refused.
pub(super) const CUTS_MAX: usize = 4096;

/// The cuts that wait or are going on.
#[derive(Debug, Default)]
pub(super) struct Cuts {
    cuts: Vec<Cut>,
}

/// Which connections are closed, and when.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cut {
    route: RouteId,
    /// Later connections were opened with the new service.
    last: u32,
    due: Moment,
    cursor: SweepCursor,
}

impl Cut {
    /// The connections of a route up to the one with the number `last`. None: they are kept.
    pub fn new(route: RouteId, last: u32, existing: Existing, now: Moment) -> Option<Cut> {
        let due = match existing {
            Existing::Keep => return None,
            Existing::Cut => now,
            Existing::After(delay) => now.after(delay),
        };
        Some(Cut { route, last, due, cursor: SweepCursor::default() })
    }
}

impl Cuts {
    pub fn is_empty(&self) -> bool {
        self.cuts.is_empty()
    }

    pub fn len(&self) -> usize {
        self.cuts.len()
    }

    /// Adds a cut. An earlier one of the same route is due no later than the new one.
    pub fn add(&mut self, cut: Cut) {
        self.cuts.push(cut);
    }

    /// Forgets the cuts of routes that were freed.
    pub fn retain(&mut self, is_open: impl Fn(RouteId) -> bool) {
        self.cuts.retain(|cut| is_open(cut.route));
    }

    /// Returns how long the loop may sleep. None is no limit.
    pub fn sleep(&self, now: Moment) -> Option<Duration> {
        self.cuts.iter().map(|cut| cut.due.since(now)).min()
    }
}

impl Reactor {
    /// Goes on with one cut that is due.
    #[cold]
    pub(super) fn cut_some(&mut self, turn: &mut Turn<'_>) {
        let is_due = |cut: &Cut| cut.due <= turn.now;
        let Some(at) = self.cuts.cuts.iter().position(is_due) else { return };
        let mut cut = self.cuts.cuts[at];
        let is_open = self.routes.has(cut.route);
        if !is_open || self.sweep(&mut cut, turn) {
            self.cuts.cuts.swap_remove(at);
            self.free_routes();
        } else {
            self.cuts.cuts[at] = cut;
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
