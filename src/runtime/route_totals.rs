//! The counters of routes by name, which outlive the routes: a route that was removed and added
//! again goes on counting where it stopped. What the open routes have counted, the engine has.

use std::collections::HashMap;

use super::routes::Routes;
use crate::core::RouteCounts;

/// The counters of freed routes, and the place of each route among the names.
#[derive(Debug, Default)]
pub struct RouteTotals {
    /// In the order in which the names appeared. They keep their places for good.
    names: Vec<NamedRoute>,
    places: HashMap<String, usize>,
    /// By the index of a route: its place.
    of_route: Vec<usize>,
}

#[derive(Debug)]
struct NamedRoute {
    name: String,
    /// Routes of this name serve datagrams, or streams. `OTHERS` may have both.
    datagrams: bool,
    streams: bool,
    /// Counted by routes that were freed.
    freed: RouteCounts,
}

/// The sums of all routes with one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedCounts<'a> {
    pub name: &'a str,
    pub datagrams: bool,
    pub streams: bool,
    /// Since the first route of this name.
    pub counts: RouteCounts,
    /// Open connections.
    pub active: usize,
    /// Open datagram flows.
    pub flows: usize,
}

/// What one open route has counted.
#[derive(Clone, Copy, Debug, Default)]
pub struct OpenRoute {
    pub counts: RouteCounts,
    pub active: usize,
    pub flows: usize,
}

/// Maximum number of names. Plans may bring new ones forever. Later names are counted together.
const MAX_NAMES: usize = 1000;

/// Stands for all names beyond the maximum. No listen address looks like it.
const OTHERS: &str = "(others)";

impl RouteTotals {
    /// Gives a route that was added the place of its name.
    pub fn assign(&mut self, route: u16, name: String, is_datagram: bool) {
        let place = self.place(name);
        let named = &mut self.names[place];
        named.datagrams |= is_datagram;
        named.streams |= !is_datagram;
        let route = usize::from(route);
        if self.of_route.len() <= route {
            self.of_route.resize(route + 1, 0);
        }
        self.of_route[route] = place;
    }

    /// Adds what a route that was freed has counted.
    pub fn free(&mut self, route: u16, counts: RouteCounts) {
        let place = self.of_route.get(usize::from(route));
        if let Some(named) = place.and_then(|place| self.names.get_mut(*place)) {
            named.freed = named.freed.and(counts);
        }
    }

    /// Returns the sums of each name. `open` returns what an open route has counted.
    pub fn sums(&self, routes: &Routes, open: impl Fn(u16) -> OpenRoute) -> Vec<NamedCounts<'_>> {
        let named = self.names.iter().map(|named| NamedCounts {
            name: &named.name,
            datagrams: named.datagrams,
            streams: named.streams,
            counts: named.freed,
            active: 0,
            flows: 0,
        });
        let mut sums: Vec<NamedCounts<'_>> = named.collect();
        for (index, _) in routes.iter() {
            let Some(place) = self.of_route.get(usize::from(index)) else { continue };
            let (sum, open) = (&mut sums[*place], open(index));
            sum.counts = sum.counts.and(open.counts);
            sum.active += open.active;
            sum.flows += open.flows;
        }
        sums
    }

    fn place(&mut self, name: String) -> usize {
        let name = match self.places.len() {
            MAX_NAMES.. if !self.places.contains_key(&name) => OTHERS.to_owned(),
            _ => name,
        };
        if let Some(place) = self.places.get(&name) {
            return *place;
        }
        let freed = RouteCounts::default();
        self.names.push(NamedRoute { name: name.clone(), datagrams: false, streams: false, freed });
        self.places.insert(name, self.names.len() - 1);
        self.names.len() - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, Policy};

    fn accepted(accepted: u64) -> RouteCounts {
        RouteCounts { accepted, ..RouteCounts::default() }
    }

    fn sums(totals: &RouteTotals, routes: &Routes, accepted: u64) -> Vec<(String, u64)> {
        let counts = RouteCounts { accepted, ..RouteCounts::default() };
        let open = |_| OpenRoute { counts, ..OpenRoute::default() };
        let sums = totals.sums(routes, open).into_iter();
        sums.map(|sum| (sum.name.to_owned(), sum.counts.accepted)).collect()
    }

    #[test]
    fn a_name_goes_on_counting_when_its_route_is_removed_and_added_again() {
        let (mut totals, mut routes) = (RouteTotals::default(), Routes::default());
        let config = config::Route::parse(":1=echo", &Policy::default()).unwrap();
        let index = routes.add(config.clone(), Vec::new());
        totals.assign(index, "a".to_owned(), false);
        totals.assign(1, "b".to_owned(), true);
        let expect = |a, b| vec![("a".to_owned(), a), ("b".to_owned(), b)];
        assert_eq!(sums(&totals, &routes, 3), expect(3, 0));
        routes.remove(index);
        totals.free(index, accepted(3));
        totals.free(1, accepted(5));
        assert_eq!(sums(&totals, &routes, 9), expect(3, 5));
        let index = routes.add(config, Vec::new());
        totals.assign(index, "a".to_owned(), false);
        assert_eq!(sums(&totals, &routes, 4), expect(7, 5));
        let kinds: Vec<_> =
            totals.names.iter().map(|named| (named.streams, named.datagrams)).collect();
        assert_eq!(kinds, [(true, false), (false, true)]);
    }

    #[test]
    fn names_beyond_the_maximum_are_counted_together() {
        let (mut totals, routes) = (RouteTotals::default(), Routes::default());
        for number in 0..MAX_NAMES + 5 {
            totals.assign(number as u16, number.to_string(), false);
            totals.free(number as u16, accepted(1));
        }
        totals.assign(0, "0".to_owned(), false);
        totals.free(0, accepted(1));
        let sums = sums(&totals, &routes, 0);
        assert_eq!(sums.len(), MAX_NAMES + 1);
        assert_eq!(sums[0], ("0".to_owned(), 2), "a name keeps its place");
        assert_eq!(sums[MAX_NAMES], (OTHERS.to_owned(), 5));
    }
}
