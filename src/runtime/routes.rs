//! The table of routes: what each one serves now, and which ones are retired. It opens no socket
//! and moves no bytes; whoever applies a plan does, in the order of its methods.
//!
//! A route keeps its index for as long as anything belongs to it. What others count or enforce is
//! stored with them, by the same index: the engine has the timeouts and the number of connections,
//! the datagrams have the flows.

use std::collections::VecDeque;
use std::ops::{Index, IndexMut};

use slab::Slab;

use super::upstream::pool::Pool;
use crate::config::{self, Address, Diff, Policy, Service};
use crate::core::time::ticks;
use crate::core::{Key, Timeouts};
use crate::net::self_connect::BoundAddr;

/// All routes: those of the plan, and retired ones whose connections are still open.
#[derive(Debug, Default)]
pub struct Routes {
    slots: Slab<Route>,
    /// The routes of the plan, in its order.
    planned: Vec<u16>,
    /// Retired routes, in the order in which they are checked.
    retired: VecDeque<u16>,
    /// Number of routes added so far.
    added: u32,
}

/// One route.
#[derive(Debug)]
pub struct Route {
    pub config: config::Route,
    pub pool: Pool,
    /// The keys of the listeners or datagram sockets that were opened for it, or handed over to it.
    /// Some may be closed, or belong to another route by now.
    pub listeners: Vec<Key>,
    generation: u32,
}

/// A route, for those who remember it. The generation distinguishes it from a later route with the
/// same index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouteId {
    pub index: u16,
    pub generation: u32,
}

impl Routes {
    /// Maximum number of routes, retired ones included.
    pub const MAX: usize = 1 << 16;

    /// Compares the routes of the plan with new ones. Its indices of old routes are positions for
    /// `planned`.
    pub fn diff(&self, new: &[config::Route]) -> Diff {
        config::diff(self.planned.iter().map(|index| &self[*index].config), new)
    }

    /// The index of the route at this position of the plan.
    pub fn planned(&self, position: usize) -> u16 {
        self.planned[position]
    }

    /// How many more routes can be added.
    pub fn capacity_left(&self) -> usize {
        Routes::MAX - self.slots.len()
    }

    /// Adds a route, which listens on the addresses `own`. Its index is one that nothing uses.
    pub fn add(&mut self, config: config::Route, own: Vec<BoundAddr>) -> u16 {
        self.added = self.added.wrapping_add(1);
        let pool = Pool::new(targets(&config.service), own);
        let (generation, listeners) = (self.added, Vec::new());
        self.slots.insert(Route { config, pool, listeners, generation }) as u16
    }

    /// Removes a route that was added and never used.
    pub fn remove(&mut self, index: u16) -> Route {
        self.slots.remove(usize::from(index))
    }

    /// Gives a route another policy, other targets or another text. Connections that dial keep the
    /// targets that they began with.
    pub fn change(&mut self, index: u16, config: config::Route) {
        let route = &mut self[index];
        if targets(&route.config.service) != targets(&config.service) {
            route.pool.set_targets(targets(&config.service));
        }
        route.config = config;
    }

    /// Retires a route: it takes no new connections, and is freed when nothing uses it any more.
    pub fn retire(&mut self, index: u16) {
        self.retired.push_back(index);
    }

    /// Sets the order of the plan, of which no route is retired.
    pub fn set_planned(&mut self, planned: Vec<u16>) {
        debug_assert!(planned.iter().all(|index| !self.is_retired(*index)));
        debug_assert_eq!(planned.len() + self.retired.len(), self.slots.len());
        self.planned = planned;
    }

    pub fn is_retired(&self, index: u16) -> bool {
        self.retired.contains(&index)
    }

    /// Whether there are retired routes.
    #[inline]
    pub fn has_retired(&self) -> bool {
        !self.retired.is_empty()
    }

    /// Frees retired routes that are not used any more. Checks at most `budget` of them, in turns,
    /// and returns the indices of the freed ones.
    pub fn free_unused(
        &mut self,
        budget: usize,
        is_used: impl Fn(u16, &Route) -> bool,
    ) -> Vec<u16> {
        let mut freed = Vec::new();
        for _ in 0..self.retired.len().min(budget) {
            let Some(index) = self.retired.pop_front() else { break };
            if is_used(index, &self[index]) {
                self.retired.push_back(index);
            } else {
                self.slots.remove(usize::from(index));
                freed.push(index);
            }
        }
        freed
    }

    /// The retired routes.
    pub fn retired(&self) -> impl Iterator<Item = u16> {
        self.retired.iter().copied()
    }

    /// Identifies a route beyond its lifetime.
    #[inline]
    pub fn id(&self, index: u16) -> RouteId {
        RouteId { index, generation: self[index].generation }
    }

    /// Whether this route still exists.
    pub fn has(&self, id: RouteId) -> bool {
        let route = self.slots.get(usize::from(id.index));
        route.is_some_and(|route| route.generation == id.generation)
    }

    /// All routes, retired ones included.
    pub fn iter(&self) -> impl Iterator<Item = (u16, &Route)> {
        self.slots.iter().map(|(index, route)| (index as u16, route))
    }

    pub fn len(&self) -> usize {
        self.slots.len()
    }

    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }
}

impl Index<u16> for Routes {
    type Output = Route;

    #[inline]
    fn index(&self, index: u16) -> &Route {
        &self.slots[usize::from(index)]
    }
}

impl IndexMut<u16> for Routes {
    #[inline]
    fn index_mut(&mut self, index: u16) -> &mut Route {
        &mut self.slots[usize::from(index)]
    }
}

impl Route {
    pub fn is_datagram_relay(&self) -> bool {
        self.is_relay() && self.config.listen.address.is_datagram()
    }

    pub fn name(&self) -> &str {
        &self.config.name
    }

    pub fn is_relay(&self) -> bool {
        matches!(self.config.service, Service::Relay(_))
    }
}

/// The targets of a relay. Other services have none.
pub fn targets(service: &Service) -> &[Address] {
    match service {
        Service::Relay(targets) => targets,
        _ => &[],
    }
}

/// The timeouts of a policy, for the engine.
pub fn timeouts(policy: &Policy) -> Timeouts {
    Timeouts {
        connect: Some(ticks(policy.connect_timeout)),
        idle: policy.idle_timeout.map(ticks),
        half_close: policy.half_close_timeout.map(ticks),
        lifetime: policy.max_lifetime.map(ticks),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Change;

    fn config(text: &str) -> config::Route {
        config::Route::parse(text, &Policy::default()).unwrap()
    }

    /// A table with these routes.
    fn routes(texts: &[&str]) -> Routes {
        let mut routes = Routes::default();
        let planned = texts.iter().map(|text| routes.add(config(text), Vec::new())).collect();
        routes.set_planned(planned);
        routes
    }

    #[test]
    fn a_retired_route_keeps_its_index_until_nothing_uses_it() {
        let mut routes = routes(&[":1=echo", ":2=echo"]);
        let id = routes.id(0);
        routes.retire(0);
        routes.set_planned(vec![1]);
        assert!(routes.free_unused(9, |_, _| true).is_empty());
        assert!(routes.is_retired(0) && routes.has_retired());
        assert_eq!(routes.add(config(":3=echo"), Vec::new()), 2, "its index is in use");
        assert_eq!(routes.free_unused(9, |index, _| index != 0), [0]);
        assert_eq!(routes.add(config(":4=echo"), Vec::new()), 0);
        assert_ne!(routes.id(0), id, "another route");
        assert!(!routes.has_retired());
    }

    #[test]
    fn each_retired_route_is_checked_in_turn() {
        let mut routes = Routes::default();
        for port in 1..=10 {
            let index = routes.add(config(&format!("{port}=echo")), Vec::new());
            routes.retire(index);
        }
        assert!(routes.free_unused(8, |index, _| index != 9).is_empty());
        assert_eq!(routes.free_unused(8, |index, _| index != 9), [9]);
        assert_eq!(routes.free_unused(8, |_, _| false).len(), 8);
        assert_eq!(routes.free_unused(8, |_, _| false).len(), 1);
        assert!(routes.is_empty());
    }

    #[test]
    fn the_plan_is_compared_by_position_and_not_by_index() {
        let mut routes = routes(&[":1=echo", ":2=echo"]);
        routes.retire(0);
        let third = routes.add(config(":3=echo"), Vec::new());
        routes.set_planned(vec![third, 1]);
        let diff = routes.diff(&[config(":2=discard"), config(":3=echo")]);
        assert_eq!(diff.routes, [Change::Replaced(1), Change::Unchanged(0)]);
        assert_eq!((routes.planned(0), routes.planned(1)), (third, 1));
    }

    #[test]
    fn only_other_targets_make_another_list() {
        let mut routes = routes(&[":1=relay:10.0.0.1:1,10.0.0.2:2"]);
        let first = routes[0].pool.select();
        routes.change(0, config(":1=relay:10.0.0.1:1,10.0.0.2:2,idle-timeout=1h"));
        assert_eq!(routes[0].pool.select().first(), 1, "the targets still take turns");
        routes.change(0, config(":1=relay:10.0.0.3:3"));
        assert_eq!(routes[0].pool.select().target(0).text, "tcp://10.0.0.3:3");
        assert_eq!(first.target(0).text, "tcp://10.0.0.1:1");
    }
}
