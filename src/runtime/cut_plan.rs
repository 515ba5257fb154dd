//! Decides which connections a plan cuts. Closes nothing.

use std::collections::HashMap;

use crate::config::{self, Diff, Existing};
use crate::core::Moment;

use super::cannot_apply::CannotApply;
use super::cuts::{CUTS_MAX, Cut};
use super::reactor::Reactor;
use super::routes::RouteId;

/// The routes of a plan. Those of one name have the same service and policy.
pub(super) type RoutesByName<'a> = HashMap<&'a str, &'a config::Route>;

impl Reactor {
    /// Decides which connections are closed, by the policy of their routes. Routes are recognised
    /// by name here: one that has only moved to another address is not removed, and what is decided
    /// for a name applies to the connections that it has kept so far, too. Returns the routes about
    /// which something is decided, with what is cut of them.
    pub(super) fn plan_cuts(
        &mut self,
        diff: &Diff,
        new: &RoutesByName<'_>,
        now: Moment,
    ) -> Result<Vec<(RouteId, Option<Cut>)>, CannotApply> {
        let mut decided: HashMap<&str, Existing> = HashMap::new();
        let mut routes = Vec::new();
        for index in diff.touched().map(|at| self.routes.planned(at)) {
            let old = &self.routes[index].config;
            let existing = match new.get(old.name.as_str()) {
                None => old.policy.existing,
                Some(new) if new.service == old.service => continue,
                Some(new) => new.policy.existing,
            };
            decided.insert(&old.name, existing);
            routes.push((self.routes.id(index), existing));
        }
        for index in self.routes.retired() {
            let name = self.routes[index].name();
            // What waits is taken back by a file that keeps the connections of the route.
            let is_kept = |route: &&&config::Route| route.policy.existing == Existing::Keep;
            let kept = new.get(name).filter(is_kept).map(|_| Existing::Keep);
            let existing = decided.get(name).copied().or(kept);
            routes.extend(existing.map(|existing| (self.routes.id(index), existing)));
        }
        self.cuts.retain(|id| self.routes.has(id));
        let last = self.conn_ids.last();
        let cuts = routes.into_iter().map(|(id, existing)| {
            let mut cut = Cut::new(id, last, existing, now);
            cut.iter_mut().for_each(|cut| self.cuts.keep_due(cut));
            (id, cut)
        });
        let cuts: Vec<_> = cuts.collect();
        let replaced = cuts.iter().filter(|(id, _)| self.cuts.has(*id)).count();
        let new = cuts.iter().filter(|(_, cut)| cut.is_some()).count();
        match self.cuts.len() - replaced + new <= CUTS_MAX {
            true => Ok(cuts),
            false => Err(CannotApply::TooManyCuts),
        }
    }
}
