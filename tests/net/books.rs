//! The counters of the engine, checked in every step against what the simulated network and the
//! events show.

use std::collections::{BTreeMap, HashMap};

use oneloop::core::RouteCounts;

use super::kernel::Kernel;
use super::talk::{Kind, Talk};
use super::watch::Closed;
use super::world::World;

/// What happened, by the test's own count.
#[derive(Default)]
pub struct Books {
    /// Of each route: what was accepted, and the bytes of closed connections.
    routes: HashMap<u16, RouteCounts>,
    reasons: BTreeMap<&'static str, u64>,
    /// Closed connections, and those of them to whose client bytes were written.
    closed: u64,
    answered: u64,
    /// What the engine returned for each route in the step before.
    before: HashMap<u16, RouteCounts>,
    /// Sums over freed routes.
    freed: RouteCounts,
}

impl Books {
    pub fn accepted(&mut self, route: u16) {
        self.routes.entry(route).or_default().accepted += 1;
    }

    /// Adds a connection that was closed.
    pub fn closed(&mut self, kernel: &Kernel, talk: &Talk, closed: &Closed) {
        let (received, sent) = moved(kernel, talk);
        let counts = self.routes.entry(talk.route).or_default();
        counts.closed += 1;
        counts.received += received;
        counts.sent += sent;
        *self.reasons.entry(closed.ending.reason.name()).or_default() += 1;
        self.closed += 1;
        self.answered += u64::from(sent > 0);
    }

    /// Checks the counters of a route that was freed, which the engine forgets.
    pub fn freed(&mut self, route: u16, counts: RouteCounts) {
        let own = self.routes.remove(&route).unwrap_or_default();
        self.before.remove(&route);
        assert_eq!(counts, own, "the counters of route {route} at its end");
        assert_eq!(counts.accepted, counts.closed, "route {route} ended with connections");
        self.freed = self.freed.and(counts);
    }
}

/// Checks all counters after a step.
pub fn check(world: &mut World) {
    let kernel = world.net.borrow();
    let (books, engine) = (&mut world.books, &world.engine);
    let mut expected = books.routes.clone();
    let mut answered = books.answered;
    for talk in world.talks.values().filter(|talk| talk.ended.is_none()) {
        let (received, sent) = moved(&kernel, talk);
        let counts = expected.entry(talk.route).or_default();
        counts.received += received;
        counts.sent += sent;
        answered += u64::from(sent > 0);
    }
    let mut all = books.freed;
    for route in 0..world.mix.timeouts.len() as u16 {
        let counts = engine.counts().route(route);
        assert_eq!(counts, expected.remove(&route).unwrap_or_default(), "route {route}");
        let open = engine.live(route) as u64;
        assert_eq!(counts.accepted, counts.closed + open, "connections of route {route}");
        let before = books.before.insert(route, counts).unwrap_or_default();
        let grows = before.accepted <= counts.accepted
            && before.closed <= counts.closed
            && before.received <= counts.received
            && before.sent <= counts.sent;
        assert!(grows, "a counter of route {route} falls: {before:?}, {counts:?}");
        all = all.and(counts);
    }
    assert!(expected.is_empty(), "routes that the engine does not know: {expected:?}");
    for (reason, count) in engine.counts().closed() {
        assert_eq!(count, books.reasons.get(reason).copied().unwrap_or(0), "closed: {reason}");
    }
    let by_reason: u64 = engine.counts().closed().map(|(_, count)| count).sum();
    assert_eq!((by_reason, all.closed), (books.closed, books.closed), "closed connections");
    let (counts, pump, events) = (engine.counts(), &engine.buffers.counts, &world.watch.counts);
    assert_eq!(counts.lifetime.count(), books.closed, "lifetimes");
    assert_eq!(counts.first_byte.count(), answered, "first bytes");
    assert_eq!(counts.stale_events, events.stale, "stale events");
    assert!(counts.timer_lag.count() >= events.fired, "deadlines that were checked");
    assert_eq!(pump.connect.count(), events.connected, "connects");
    assert_eq!(pump.budget_exhausted, events.yielded, "exhausted budgets");
    assert_eq!(pump.short_writes, kernel.short_writes, "short writes");
}

/// Returns the bytes of the client that were forwarded, and those written to it, as the network
/// shows them.
fn moved(kernel: &Kernel, talk: &Talk) -> (u64, u64) {
    let client = &kernel.socks[talk.peers[0].sock];
    let target = talk.peers.get(1).map(|peer| &kernel.socks[peer.sock]);
    let received = match talk.kind {
        Kind::Relay => target.map_or(0, |target| target.tx.put),
        Kind::Echo => client.tx.put,
        Kind::Discard | Kind::Chargen | Kind::Say | Kind::Greet | Kind::Answer => client.rx.taken,
    };
    (received, client.tx.put)
}
