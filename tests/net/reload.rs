//! Plans that are applied in the middle of a run: a random one now and then, in the steps of
//! `Reactor::apply`. Their routes have no sockets here; new conversations choose among them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use oneloop::config::{self, Change, Policy, Service};
use oneloop::core::timers::Timeouts;
use oneloop::core::{Random, Tick};
use oneloop::runtime::route_totals::{OpenRoute, RouteTotals};
use oneloop::runtime::routes::{RouteId, Routes, timeouts};

use super::talk::{KINDS, Kind};
use super::world::World;

pub struct Reloads {
    pub routes: Routes,
    plan: Vec<config::Route>,
    /// The route of each connection, by id.
    opened: HashMap<u32, RouteId>,
    /// What was counted for each name, of removed routes too.
    totals: RouteTotals,
    /// The same after the turn before: accepted, received and sent.
    before: BTreeMap<String, [u64; 3]>,
    /// Indices that were used by a route before.
    used: HashSet<u16>,
    /// The turn in which a plan was applied last.
    pub turn: usize,
    pub counts: Counts,
}

/// What happened in a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub plans: usize,
    pub unchanged: usize,
    pub changed: usize,
    pub replaced: usize,
    pub removed: usize,
    /// Routes that were retired with open connections.
    pub retired_live: usize,
    /// New routes with the index of an earlier one.
    pub reused: usize,
}

/// Ports of the routes, so that two plans share some of them.
const PORTS: u64 = 6;

impl Reloads {
    pub fn new() -> Reloads {
        Reloads {
            routes: Routes::default(),
            plan: Vec::new(),
            opened: HashMap::new(),
            totals: RouteTotals::default(),
            before: BTreeMap::new(),
            used: HashSet::new(),
            turn: 0,
            counts: Counts::default(),
        }
    }

    /// Chooses a route for a new conversation: its index, and the index of its kind in `KINDS`.
    pub fn choose(&self, random: &mut Random) -> Option<(u16, u8)> {
        let position = random.below(self.plan.len().max(1) as u64) as usize;
        let service = &self.plan.get(position)?.service;
        let kind = KINDS.iter().position(|kind| is_kind(*kind, service));
        Some((self.routes.planned(position), kind.expect("each service has a kind") as u8))
    }

    pub fn opened(&mut self, conn_id: u32, route: u16) {
        self.opened.insert(conn_id, self.routes.id(route));
    }
}

/// Applies a random plan.
pub fn apply(world: &mut World) {
    let random = &mut world.random;
    let ports: Vec<u64> = (1..=PORTS).filter(|_| !random.once_in(3)).collect();
    let mut plan: Vec<config::Route> = ports.into_iter().map(|port| draw(random, port)).collect();
    random.shuffle(&mut plan);
    let Some(reloads) = &mut world.reloads else { return };
    // Some routes stay as they are.
    for route in &mut plan {
        let same = reloads.plan.iter().find(|old| old.listen == route.listen);
        if let Some(same) = same.filter(|_| world.random.once_in(2)) {
            *route = same.clone();
        }
    }
    (reloads.turn, reloads.counts.plans) = (world.watch.turn, reloads.counts.plans + 1);
    let diff = reloads.routes.diff(&plan);
    let removed: Vec<u16> = diff.removed.iter().map(|at| reloads.routes.planned(*at)).collect();
    let old: Vec<u16> = (0..reloads.plan.len()).map(|at| reloads.routes.planned(at)).collect();
    let mut planned = Vec::new();
    for (change, config) in diff.routes.iter().zip(&plan) {
        planned.push(step(world, *change, &old, config));
    }
    for index in removed {
        retire(world, index);
    }
    let Some(reloads) = &mut world.reloads else { return };
    reloads.routes.set_planned(planned);
    reloads.plan = plan;
}

/// Takes the step of one route, and returns its index. The expected timeouts are those of the mix.
fn step(world: &mut World, change: Change, old: &[u16], config: &config::Route) -> u16 {
    let Some(reloads) = &mut world.reloads else { return 0 };
    let index = match change {
        Change::Unchanged(at) => {
            reloads.counts.unchanged += 1;
            return old[at];
        }
        Change::Changed(at) => {
            reloads.counts.changed += 1;
            reloads.routes.change(old[at], config.clone());
            old[at]
        }
        Change::Added | Change::Replaced(_) | Change::Rebound(_) => {
            let index = reloads.routes.add(config.clone(), Vec::new());
            let is_free = !reloads.opened.values().any(|route| route.index == index);
            assert!(is_free, "route {index} is reused while it has connections");
            reloads.counts.reused += usize::from(!reloads.used.insert(index));
            reloads.totals.assign(index, config.name.clone(), false);
            index
        }
    };
    let timeouts = timeouts(&config.policy);
    world.engine.set_timeouts(index, timeouts);
    let expected = &mut world.mix.timeouts;
    expected.resize(expected.len().max(usize::from(index) + 1), Timeouts::default());
    expected[usize::from(index)] = timeouts;
    if let Change::Replaced(at) = change {
        if let Some(reloads) = &mut world.reloads {
            reloads.counts.replaced += 1;
        }
        retire(world, old[at]);
    }
    index
}

fn retire(world: &mut World, index: u16) {
    let live = world.engine.live(index);
    let Some(reloads) = &mut world.reloads else { return };
    reloads.routes.retire(index);
    reloads.counts.removed += 1;
    reloads.counts.retired_live += usize::from(live > 0);
}

/// Frees the retired routes without connections, and checks what belongs to each route.
pub fn after_turn(world: &mut World) {
    let Some(reloads) = &mut world.reloads else { return };
    let open: HashSet<u32> = world.engine.iter().map(|(key, _)| key.id).collect();
    reloads.opened.retain(|conn_id, _| open.contains(conn_id));
    let engine = &world.engine;
    for index in reloads.routes.free_unused(2, |index, _| engine.live(index) > 0) {
        world.engine.set_timeouts(index, Timeouts::default());
        let counts = world.engine.take_route_counts(index);
        world.books.freed(index, counts);
        reloads.totals.free(index, counts);
    }
    check_totals(world);
    let Some(reloads) = &mut world.reloads else { return };
    let mut live: HashMap<u16, usize> = HashMap::new();
    for (key, conn) in world.engine.iter() {
        *live.entry(conn.route).or_default() += 1;
        let route = reloads.routes.iter().find(|(index, _)| *index == conn.route);
        assert!(route.is_some(), "#{} has no route: {} was freed", key.id, conn.route);
        let id = reloads.routes.id(conn.route);
        assert_eq!(reloads.opened[&key.id], id, "#{} has a route of others", key.id);
    }
    for index in 0..world.mix.timeouts.len() as u16 {
        let expected = live.get(&index).copied().unwrap_or(0);
        assert_eq!(world.engine.live(index), expected, "connections of route {index}");
    }
}

/// Checks that no counter of any name has fallen.
fn check_totals(world: &mut World) {
    let Some(reloads) = &mut world.reloads else { return };
    let engine = &world.engine;
    let sums = reloads.totals.sums(&reloads.routes, |index| OpenRoute {
        counts: engine.counts().route(index),
        active: engine.live(index),
        flows: 0,
    });
    let now = sums.iter().map(|sum| {
        let counts = sum.counts;
        (sum.name.to_owned(), [counts.accepted, counts.received, counts.sent])
    });
    let now: BTreeMap<String, [u64; 3]> = now.collect();
    for (name, before) in &reloads.before {
        let after = now.get(name).unwrap_or_else(|| panic!("the counters of {name} are gone"));
        assert!(before.iter().zip(after).all(|(before, after)| before <= after), "{name} falls");
    }
    reloads.before = now;
}

/// Checks after a run that nothing holds a retired route.
pub fn nothing_left(world: &mut World) {
    let engine = &world.engine;
    if let Some(Reloads { routes, plan, .. }) = &mut world.reloads {
        routes.free_unused(usize::MAX, |index, _| engine.live(index) > 0);
        assert!(!routes.has_retired(), "retired routes are left");
        assert_eq!(routes.len(), plan.len());
    }
}

/// Draws a route: its service, its timeouts, and a name that others may have too.
fn draw(random: &mut Random, port: u64) -> config::Route {
    let services =
        ["echo", "relay:10.0.0.1:1", "discard", "chargen", "daytime", "greet,read-one:hi"];
    let service = services[random.below(services.len() as u64) as usize];
    let policy = Policy {
        connect_timeout: wait(2 + random.below(60) as Tick),
        idle_timeout: timeout(random),
        half_close_timeout: timeout(random),
        max_lifetime: timeout(random),
        ..Policy::default()
    };
    let mut route = config::Route::parse(&format!("{port}={service}"), &policy).expect("a route");
    if random.once_in(2) {
        route.name = ["a", "b", "c"][random.below(3) as usize].to_owned();
    }
    route
}

fn timeout(random: &mut Random) -> Option<Duration> {
    random.once_in(3).then(|| wait(2 + random.below(60) as Tick))
}

/// The timeout that has this many ticks.
fn wait(ticks: Tick) -> Duration {
    Duration::from_millis(u64::from(ticks - 1) * 100)
}

fn is_kind(kind: Kind, service: &Service) -> bool {
    match service {
        Service::Echo => kind == Kind::Echo,
        Service::Discard => kind == Kind::Discard,
        Service::Chargen => kind == Kind::Chargen,
        Service::Relay(_) => kind == Kind::Relay,
        Service::Greet { .. } => kind == Kind::Greet,
        Service::Daytime | Service::Time | Service::Whoami => kind == Kind::Say,
        Service::Hub { .. } => false,
    }
}
