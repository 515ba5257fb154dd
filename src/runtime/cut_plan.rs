//! Decides which connections a plan cuts. Closes nothing.

use std::collections::HashMap;

use crate::config::{self, Diff, Existing};
use crate::core::Moment;

use super::apply::CannotApply;
use super::cuts::{CUTS_MAX, Cut};
use super::reactor::Reactor;
use super::routes::RouteId;

/// The routes of a plan. Those of one name have the same service and policy.
pub(super) type RoutesByName<'a> = HashMap<&'a str, &'a config::Route>;

/// What a plan decides about the connections of routes.
pub(super) struct PlannedCuts {
    /// These are decided, whatever was decided before.
    pub decided: Vec<RouteId>,
    pub cuts: Vec<Cut>,
}

impl Reactor {
    /// Decides which connections are closed, by the policy of their routes. Routes are recognised
    /// by name here: one that has only moved to another address is not removed, and what is decided
    /// for a name applies to the connections that it has kept so far, too.
    pub(super) fn plan_cuts(
        &mut self,
        diff: &Diff,
        new: &RoutesByName<'_>,
        now: Moment,
    ) -> Result<PlannedCuts, CannotApply> {
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
        let cut = |(id, existing): &(RouteId, Existing)| Cut::new(*id, last, *existing, now);
        let mut cuts: Vec<Cut> = routes.iter().filter_map(cut).collect();
        cuts.iter_mut().for_each(|cut| self.cuts.keep_due(cut));
        let decided: Vec<RouteId> = routes.into_iter().map(|(id, _)| id).collect();
        match self.cuts.len() - self.cuts.count(&decided) + cuts.len() <= CUTS_MAX {
            true => Ok(PlannedCuts { decided, cuts }),
            false => Err(CannotApply::TooManyCuts),
        }
    }
}
