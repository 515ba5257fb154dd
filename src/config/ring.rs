//! Relay loops: routes whose connections come back to them through other routes of the plan.

use std::collections::HashMap;

use super::reach::{self, Machine, Spot};
use super::{Route, Service};

/// Maximum number of loops that are returned.
const RINGS_MAX: usize = 100;

/// Returns the loops, each with its routes on the way of a connection. Each of them has a route
/// that the ones before it have not.
pub fn rings(routes: &[Route]) -> Vec<Vec<usize>> {
    let mut search = Search::new(routes);
    for first in 0..routes.len() {
        if search.states[first] == State::New {
            search.walk(first);
        }
    }
    search.found
}

/// A depth-first search.
struct Search<'a> {
    routes: &'a [Route],
    /// The routes that receive what is sent to a spot.
    listeners: HashMap<Spot<'a>, Vec<usize>>,
    states: Vec<State>,
    found: Vec<Vec<usize>>,
    /// Whether a route is part of a loop that was found.
    is_found: Vec<bool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    New,
    /// On the current path, at this position.
    Open(usize),
    Done,
}

/// A route on the current path, and the routes after it that are still to be visited.
struct Step {
    route: usize,
    next: std::vec::IntoIter<usize>,
}

impl<'a> Search<'a> {
    fn new(routes: &'a [Route]) -> Search<'a> {
        let mut listeners: HashMap<_, Vec<usize>> = HashMap::new();
        for (index, route) in routes.iter().enumerate() {
            for spot in reach::spots_of_listener(&route.listen) {
                listeners.entry(spot).or_default().push(index);
            }
        }
        let (states, is_found) = (vec![State::New; routes.len()], vec![false; routes.len()]);
        Search { routes, listeners, states, found: Vec::new(), is_found }
    }

    /// Visits every route that this one leads to. It does not recurse: a row may be long.
    fn walk(&mut self, first: usize) {
        let mut path = Vec::new();
        self.enter(first, &mut path);
        while let Some(step) = path.last_mut() {
            let from = step.route;
            match step.next.next() {
                None => {
                    self.states[from] = State::Done;
                    path.pop();
                }
                Some(to) => match self.states[to] {
                    State::New => self.enter(to, &mut path),
                    State::Open(start) if !self.is_found[from] => self.store(&path[start..]),
                    State::Open(_) | State::Done => {}
                },
            }
        }
    }

    fn enter(&mut self, route: usize, path: &mut Vec<Step>) {
        self.states[route] = State::Open(path.len());
        path.push(Step { route, next: self.after(route).into_iter() });
    }

    /// Returns the routes that certainly receive the connections of a relay.
    fn after(&self, route: usize) -> Vec<usize> {
        let Service::Relay(targets) = &self.routes[route].service else { return Vec::new() };
        let mut next = Vec::new();
        for target in targets {
            let spots = reach::spots_of_target(target).into_iter();
            let near = spots.filter_map(|spot| self.listeners.get(&spot)).flatten().copied();
            next.extend(
                near.filter(|to| {
                    reach::reaches(target, &self.routes[*to].listen, &Machine::UNKNOWN)
                }),
            );
        }
        next
    }

    /// Stores a loop, beginning with the route that is first in the plan.
    fn store(&mut self, path: &[Step]) {
        if self.found.len() == RINGS_MAX {
            return;
        }
        let mut ring: Vec<usize> = path.iter().map(|step| step.route).collect();
        let first = (0..ring.len()).min_by_key(|at| ring[*at]).unwrap_or_default();
        ring.rotate_left(first);
        for route in &ring {
            self.is_found[*route] = true;
        }
        self.found.push(ring);
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::config::{Address, Listen, Policy};

    pub fn relay(listen: &str, targets: &[&str]) -> Route {
        let parse = |text: &&str| Address::parse(text).unwrap_or_else(|error| panic!("{error}"));
        Route::unnamed(
            Listen::parse(listen).unwrap_or_else(|error| panic!("{error}")),
            Service::Relay(targets.iter().map(parse).collect()),
            Policy::default(),
        )
    }

    #[test]
    fn a_row_is_no_ring() {
        let row = [relay("1", &["[::1]:2", "a:1"]), relay("2", &["/x"]), relay("/x", &["a:3"])];
        assert_eq!(rings(&row), [[0; 0]; 0]);
        let joined = [relay("1", &["2", "3"]), relay("2", &["4"]), relay("3", &["4"])];
        assert_eq!(rings(&joined), [[0; 0]; 0]);
    }

    #[test]
    fn a_ring_is_found_with_all_its_routes_and_not_those_that_lead_to_it() {
        let two = [relay("9", &["1"]), relay("1", &["a:1", "2"]), relay("2", &["1"])];
        assert_eq!(rings(&two), [[1, 2]]);
        let three = [relay("3", &["unix:@x"]), relay("2", &["3"]), relay("unix:@x", &["db:5"])];
        let three = [&three[..], &[relay("db:5", &["a:1", "127.0.0.9:2"])]].concat();
        assert_eq!(rings(&three), [[0, 2, 3, 1]]);
        let datagrams = [relay("udp://:1", &["udp://:2"]), relay("udp://:2", &["udp://:1"])];
        assert_eq!(rings(&datagrams), [[0, 1]]);
    }

    #[test]
    fn each_ring_is_found_once() {
        let apart =
            [relay("1", &["2"]), relay("2", &["1"]), relay("3", &["4"]), relay("4", &["3"])];
        assert_eq!(rings(&apart), [[0, 1], [2, 3]]);
        let shared = [relay("1", &["2", "3"]), relay("2", &["1"]), relay("3", &["1"])];
        assert_eq!(rings(&shared), [[0, 1], [0, 2]]);
        let nested = [relay("1", &["2"]), relay("2", &["1", "3"]), relay("3", &["1"])];
        assert_eq!(rings(&nested), [vec![0, 1], vec![0, 1, 2]]);
    }

    /// A search that compared every route with every other one for each step would take days.
    #[test]
    fn a_long_row_costs_one_step_per_route() {
        let port = |number: usize| (10_000 + number).to_string();
        let count = 20_000;
        let mut row: Vec<Route> =
            (0..count).map(|number| relay(&port(number), &[&port(number + 1)])).collect();
        assert_eq!(rings(&row), [[0; 0]; 0]);
        row.push(relay(&port(count), &[&port(5)]));
        let found = rings(&row);
        assert_eq!(found.len(), 1);
        assert!(found[0].iter().copied().eq(5..=count));
    }
}
