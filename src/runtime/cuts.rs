//! Which connections are to be cut: those of routes that a reload has removed or changed, and whose
//! file says `existing = "cut"` or `"after 5m"`. It closes nothing.

use std::time::Duration;

use crate::config::Existing;
use crate::core::Moment;

use super::routes::RouteId;
use super::sweep::SweepCursor;

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

    pub fn add(&mut self, cut: Cut) {
        self.cuts.push(cut);
    }

    /// Forgets the cuts of these routes: another decision replaces them.
    pub fn forget(&mut self, routes: &[RouteId]) {
        self.cuts.retain(|cut| !routes.contains(&cut.route));
    }

    /// Number of waiting cuts of these routes.
    pub fn count(&self, routes: &[RouteId]) -> usize {
        self.cuts.iter().filter(|cut| routes.contains(&cut.route)).count()
    }

    /// Makes a new cut due when an earlier one of its route would have been, if that is sooner: a
    /// reload must not put it off.
    pub fn keep_due(&self, cut: &mut Cut) {
        for earlier in self.cuts.iter().filter(|earlier| earlier.route == cut.route) {
            cut.due = cut.due.min(earlier.due);
        }
    }

    /// Takes one that is due.
    pub fn take_due(&mut self, now: Moment) -> Option<Cut> {
        let at = self.cuts.iter().position(|cut| cut.due <= now)?;
        Some(self.cuts.swap_remove(at))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_decision_puts_off_no_cut_and_counts_once() {
        let route = |index| RouteId { index, generation: 0 };
        let after = Existing::After(Duration::from_secs(2));
        let cut = |index, now| Cut::new(route(index), 9, after, Moment(now)).unwrap();
        let mut cuts = Cuts::default();
        cuts.add(cut(1, 0));
        cuts.add(cut(2, 0));
        let mut again = cut(1, 1_000_000);
        cuts.keep_due(&mut again);
        assert_eq!(again.due, Moment(2_000_000));
        assert_eq!(cuts.count(&[route(1), route(3)]), 1);
        cuts.forget(&[route(1)]);
        cuts.add(again);
        assert_eq!(cuts.len(), 2);
        assert_eq!(cuts.sleep(Moment(500_000)), Some(Duration::from_millis(1500)));
        assert!(cuts.take_due(Moment(1_999_999)).is_none());
        assert!(cuts.take_due(Moment(2_000_000)).is_some());
    }
}
