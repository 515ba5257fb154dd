//! Which connections are to be cut: those of routes that a reload has removed or changed, and whose
//! file says `existing = "cut"` or `"after 5m"`. It closes nothing.

use std::collections::HashMap;
use std::time::Duration;

use crate::config::Existing;
use crate::core::Moment;

use super::routes::RouteId;
use super::sweep::SweepCursor;

/// Maximum number of cuts that wait. A reload that would add more is refused.
pub(super) const CUTS_MAX: usize = 4096;

/// The cuts that wait or are going on, at most one for each route.
#[derive(Debug, Default)]
pub(super) struct Cuts {
    cuts: HashMap<RouteId, Cut>,
}

/// Which connections are closed, and when.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cut {
    pub route: RouteId,
    /// Later connections were opened with the new service.
    pub last: u32,
    due: Moment,
    pub cursor: SweepCursor,
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

    /// Whether a cut of this route waits or is going on.
    pub fn has(&self, route: RouteId) -> bool {
        self.cuts.contains_key(&route)
    }

    /// Sets what is cut of a route, whatever was decided before. None: nothing.
    pub fn set(&mut self, route: RouteId, cut: Option<Cut>) {
        match cut {
            Some(cut) => self.cuts.insert(route, cut),
            None => self.cuts.remove(&route),
        };
    }

    /// Makes a new cut due when the earlier one of its route would have been, if that is sooner: a
    /// reload must not put it off.
    pub fn keep_due(&self, cut: &mut Cut) {
        if let Some(earlier) = self.cuts.get(&cut.route) {
            cut.due = cut.due.min(earlier.due);
        }
    }

    /// Takes one that is due.
    pub fn take_due(&mut self, now: Moment) -> Option<Cut> {
        let route = self.cuts.values().find(|cut| cut.due <= now)?.route;
        self.cuts.remove(&route)
    }

    /// Forgets the cuts of routes that were freed.
    pub fn retain(&mut self, is_open: impl Fn(RouteId) -> bool) {
        self.cuts.retain(|route, _| is_open(*route));
    }

    /// Returns how long the loop may sleep. None is no limit. Most turns have no cuts, so that
    /// check is inlined.
    #[inline(always)]
    pub fn sleep(&self, now: Moment) -> Option<Duration> {
        if self.is_empty() { None } else { self.sleep_until_due(now) }
    }

    #[inline(never)]
    fn sleep_until_due(&self, now: Moment) -> Option<Duration> {
        self.cuts.values().map(|cut| cut.due.since(now)).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_decision_puts_off_no_cut_and_counts_once() {
        let route = |index| RouteId { index, generation: 0 };
        let after = Existing::After(Duration::from_secs(2));
        let cut = |index, now| Cut::new(route(index), 9, after, Moment(now)).unwrap();
        let mut cuts = Cuts::default();
        cuts.set(route(1), Some(cut(1, 0)));
        cuts.set(route(2), Some(cut(2, 0)));
        let mut again = cut(1, 1_000_000);
        cuts.keep_due(&mut again);
        assert_eq!(again.due, Moment(2_000_000));
        assert_eq!([1, 3].map(|index| cuts.has(route(index))), [true, false]);
        cuts.set(route(1), Some(again));
        assert_eq!(cuts.len(), 2);
        assert_eq!(cuts.sleep(Moment(500_000)), Some(Duration::from_millis(1500)));
        assert!(cuts.take_due(Moment(1_999_999)).is_none());
        assert!(cuts.take_due(Moment(2_000_000)).is_some());
        assert_eq!(cuts.len(), 1);
        [1, 2].into_iter().for_each(|index| cuts.set(route(index), None));
        assert!(cuts.is_empty());
    }
}
