//! Which connections are watched: reported in full for a limited time, whatever the log shows of
//! the others. What is done with their events is not decided here.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::time::Duration;

use crate::core::{Event, Key, Moment, Peer};
use crate::recording::KeyHasher;

use super::peer_filter::PeerFilter;

/// Maximum number of watches at a time. Each is compared with every new connection.
pub const WATCHES: usize = 16;

/// Maximum number of connections that are watched at a time: each of their steps is formatted for
/// the log. Further ones are counted.
pub const WATCHED_CONNECTIONS: usize = 1024;

/// How long a watch lasts unless a request says so, and at most: a forgotten one must end.
pub const WATCH_TIME: Duration = Duration::from_secs(60);
pub const WATCH_TIME_MAX: Duration = Duration::from_secs(3600);

/// Which connections a watch is for.
#[derive(Clone, Debug, PartialEq)]
pub enum WatchTarget {
    /// The one with this number, which is open.
    Connection(u32),
    /// Those of these clients, and as an operator named them.
    Peer(PeerFilter, String),
    /// Those of the routes with these indices, and their name.
    Route(Vec<u16>, String),
}

/// A watch.
#[derive(Clone, Debug, PartialEq)]
pub struct WatchRule {
    pub target: WatchTarget,
    pub until: Moment,
    /// The payload is recorded, too.
    pub bytes: bool,
}

/// The watches, and the open connections that they are for.
#[derive(Default)]
pub struct WatchList {
    rules: Vec<WatchRule>,
    connections: HashMap<u64, WatchedConn, BuildHasherDefault<KeyHasher>>,
    /// Connections that matched and were too many.
    left_out: u64,
    /// The time of the current turn.
    now: Moment,
    /// When the next watch ends.
    next_end: Moment,
    /// How the present turn began, until an event that is watched follows.
    turn: Option<Event<'static>>,
}

/// An open connection that is watched.
struct WatchedConn {
    key: Key,
    until: Moment,
    /// Until then its payload is recorded.
    bytes_until: Moment,
}

impl WatchTarget {
    /// Whether a connection with another number is watched.
    pub fn matches(&self, route: u16, peer: &Peer) -> bool {
        match self {
            WatchTarget::Connection(_) => false,
            WatchTarget::Peer(filter, _) => filter.matches(peer),
            WatchTarget::Route(indices, _) => indices.contains(&route),
        }
    }
}

impl WatchRule {
    /// Until when the payload of its connections is recorded.
    pub fn bytes_until(&self) -> Moment {
        if self.bytes { self.until } else { Moment::default() }
    }
}

impl WatchList {
    /// Whether anything is watched.
    #[inline]
    pub fn is_on(&self) -> bool {
        !self.rules.is_empty()
    }

    pub fn rules(&self) -> &[WatchRule] {
        &self.rules
    }

    /// Number of open connections that are watched, and of those that were too many.
    pub fn counts(&self) -> (usize, u64) {
        (self.connections.len(), self.left_out)
    }

    /// Starts a watch. One of the same target now ends when this one does. Returns false if there
    /// are too many.
    pub fn start(&mut self, rule: WatchRule) -> bool {
        let is_full = self.rules.len() >= WATCHES;
        match self.rules.iter_mut().find(|other| other.target == rule.target) {
            Some(same) => {
                let of_same = self.connections.values_mut();
                for watched in of_same {
                    if watched.until == same.until {
                        watched.until = rule.until;
                    }
                    if same.bytes && watched.bytes_until == same.until {
                        watched.bytes_until = rule.bytes_until();
                    }
                }
                *same = rule;
            }
            None if is_full => return false,
            None => self.rules.push(rule),
        }
        self.update_next_end();
        true
    }

    /// Watches a connection that was open when the watch was started, unless that has ended
    /// meanwhile. Returns whether the connection is watched.
    pub fn add_open(&mut self, key: Key, rule: &WatchRule) -> bool {
        let is_on = self.rules.iter().any(|on| on.target == rule.target);
        is_on && self.add(key, rule.until, rule.bytes_until())
    }

    /// Watches a connection until a watch of it ends. Returns false if there are too many.
    pub fn add(&mut self, key: Key, until: Moment, bytes_until: Moment) -> bool {
        let is_full = self.connections.len() >= WATCHED_CONNECTIONS;
        match self.connections.get_mut(&number(key)) {
            Some(known) => {
                known.until = known.until.max(until);
                known.bytes_until = known.bytes_until.max(bytes_until);
            }
            None if is_full => {
                self.left_out += 1;
                return false;
            }
            None => {
                let watched = WatchedConn { key: key.at(0), until, bytes_until };
                self.connections.insert(number(key), watched);
            }
        }
        self.update_next_end();
        true
    }

    /// Whether an event belongs to a connection that is watched. Must be called for each event.
    #[inline]
    pub fn takes(&mut self, key: Key, event: &Event<'_>) -> bool {
        match *event {
            Event::Turn { number, slept, limit, events, queued } => {
                self.turn = Some(Event::Turn { number, slept, limit, events, queued });
                false
            }
            _ if key.is_source() => false,
            Event::Opened { route, peer, .. } => self.opened(key, route, peer),
            Event::Closed { .. } => self.closed(key),
            _ => self.connections.contains_key(&number(key)),
        }
    }

    /// Whether the payload of any connection is recorded.
    pub fn has_bytes(&self) -> bool {
        self.rules.iter().any(|rule| rule.bytes)
    }

    /// Whether the payload of this connection is recorded.
    pub fn takes_bytes(&self, key: Key) -> bool {
        let watched = self.connections.get(&number(key)).filter(|_| !key.is_source());
        watched.is_some_and(|watched| watched.bytes_until > self.now)
    }

    /// Returns how the turn began, once in a turn.
    pub fn take_turn(&mut self) -> Option<Event<'static>> {
        self.turn.take()
    }

    #[cold]
    fn opened(&mut self, key: Key, route: u16, peer: &Peer) -> bool {
        let matching = || self.rules.iter().filter(|rule| rule.target.matches(route, peer));
        let bytes_until = matching().map(WatchRule::bytes_until).max().unwrap_or_default();
        match matching().map(|rule| rule.until).max() {
            Some(until) => self.add(key, until, bytes_until),
            None => false,
        }
    }

    /// Forgets a connection, and the watch that was for it alone.
    #[cold]
    fn closed(&mut self, key: Key) -> bool {
        self.rules.retain(|rule| rule.target != WatchTarget::Connection(key.id));
        self.connections.remove(&number(key)).is_some()
    }

    /// Starts a turn: ends the watches whose time is up. Returns the connections that are no longer
    /// watched, if any watch has ended.
    pub fn begin_turn(&mut self, now: Moment) -> Option<Vec<Key>> {
        (self.turn, self.now) = (None, now);
        if now < self.next_end {
            return None;
        }
        self.rules.retain(|rule| rule.until > now);
        let is_on = self.is_on();
        let mut ended = Vec::new();
        self.connections.retain(|_, watched| {
            let stays = is_on && watched.until > now;
            if !stays {
                ended.push(watched.key);
            }
            stays
        });
        self.update_next_end();
        Some(ended)
    }

    /// Ends all watches. Returns the connections that were watched.
    pub fn stop(&mut self) -> Vec<Key> {
        let watched = std::mem::take(self).connections.into_values();
        watched.map(|watched| watched.key).collect()
    }

    fn update_next_end(&mut self) {
        let rules = self.rules.iter().map(|rule| rule.until);
        let ends = rules.chain(self.connections.values().map(|watched| watched.until));
        self.next_end = ends.min().unwrap_or_default();
    }
}

fn number(key: Key) -> u64 {
    u64::from(key.id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::{Close, CloseKind, Reason, ServiceKind, Side};

    fn of_connection(id: u32, until: u64) -> WatchRule {
        WatchRule { target: WatchTarget::Connection(id), until: Moment(until), bytes: false }
    }

    fn of_route(index: u16, until: u64) -> WatchRule {
        WatchRule {
            target: WatchTarget::Route(vec![index], index.to_string()),
            until: Moment(until),
            bytes: false,
        }
    }

    fn open(watches: &mut WatchList, id: u32, route: u16) -> bool {
        let (service, listen, peer) = (ServiceKind::Echo, "", &Peer::Stdio);
        watches.takes(Key::new(id, 0), &Event::Opened { route, service, listen, peer })
    }

    fn closed() -> Event<'static> {
        let ending = Close { reason: Reason::Finished, first: Side::Client, by: CloseKind::Fin };
        Event::Closed { ending, up: 0, down: 0, lasted: Duration::ZERO }
    }

    #[test]
    fn a_watch_for_one_connection_ends_with_it() {
        let mut watches = WatchList::default();
        let key = Key::new(7, 3);
        assert!(watches.start(of_connection(7, 10)) && watches.add(key, Moment(10), Moment(0)));
        assert!(watches.takes(key.at(1), &Event::ReadBlocked));
        assert!(!watches.takes(Key::new(8, 3), &Event::ReadBlocked));
        assert!(!watches.takes(Key::LOOP, &Event::ReadBlocked));
        assert!(watches.takes(key, &closed()));
        assert!(!watches.is_on() && !watches.takes(key, &closed()));
        assert_eq!(watches.counts(), (0, 0));
    }

    #[test]
    fn each_connection_is_watched_until_the_last_of_its_watches_ends() {
        let mut watches = WatchList::default();
        assert!(watches.start(of_route(1, 10)) && watches.start(of_connection(7, 20)));
        assert!(watches.add(Key::new(7, 0), Moment(20), Moment(0)));
        assert!(open(&mut watches, 8, 1) && !open(&mut watches, 9, 2));
        assert!(watches.add(Key::new(7, 0), Moment(10), Moment(0)));
        assert_eq!(watches.begin_turn(Moment(9)), None);
        assert_eq!(watches.begin_turn(Moment(10)), Some(vec![Key::new(8, 0)]));
        assert!(watches.is_on() && watches.takes(Key::new(7, 0), &Event::ReadBlocked));
        assert_eq!(watches.begin_turn(Moment(20)), Some(vec![Key::new(7, 0)]));
        assert!(!watches.is_on());
    }

    #[test]
    fn a_watch_of_the_same_target_replaces_the_time_of_its_connections_too() {
        let mut watches = WatchList::default();
        assert!(watches.start(of_route(1, 100)) && open(&mut watches, 8, 1));
        assert!(watches.start(of_route(1, 10)));
        assert_eq!(watches.rules().len(), 1);
        assert_eq!(watches.begin_turn(Moment(10)), Some(vec![Key::new(8, 0)]));
        assert_eq!(watches.counts(), (0, 0));
    }

    #[test]
    fn a_watch_that_was_ended_while_it_was_started_adds_no_connection() {
        let mut watches = WatchList::default();
        let rule = of_route(1, 10);
        assert!(watches.start(rule.clone()) && watches.add_open(Key::new(7, 0), &rule));
        assert_eq!(watches.stop(), [Key::new(7, 0)]);
        assert!(!watches.add_open(Key::new(8, 0), &rule));
        assert_eq!(watches.counts(), (0, 0));
    }

    #[test]
    fn there_are_limits_and_what_exceeds_them_is_counted() {
        let mut watches = WatchList::default();
        for route in 0..WATCHES as u16 {
            assert!(watches.start(of_route(route, 10)));
        }
        assert!(!watches.start(of_route(99, 10)) && watches.start(of_route(3, 20)));
        for id in 1..=WATCHED_CONNECTIONS as u32 {
            assert!(open(&mut watches, id, 1));
        }
        assert!(!open(&mut watches, 9999, 1));
        assert_eq!(watches.counts(), (WATCHED_CONNECTIONS, 1));
        assert!(watches.takes(Key::new(5, 0), &closed()) && open(&mut watches, 10_000, 1));
        assert_eq!(watches.stop().len(), WATCHED_CONNECTIONS);
        assert!(!watches.is_on());
    }

    #[test]
    fn the_turn_is_reported_once_before_the_first_event_that_is_watched() {
        let mut watches = WatchList::default();
        let key = Key::new(7, 0);
        assert!(watches.start(of_connection(7, 10)) && watches.add(key, Moment(10), Moment(0)));
        let (slept, limit) = (Duration::ZERO, None);
        let turn = Event::Turn { number: 1, slept, limit, events: 1, queued: 0 };
        assert!(!watches.takes(Key::LOOP, &turn));
        assert!(matches!(watches.take_turn(), Some(Event::Turn { number: 1, .. })));
        assert!(watches.take_turn().is_none());
        assert!(!watches.takes(Key::LOOP, &turn));
        watches.begin_turn(Moment(1));
        assert!(watches.take_turn().is_none(), "that of an earlier turn");
    }

    #[test]
    fn payload_is_wanted_for_as_long_as_a_watch_with_payload_lasts() {
        let mut watches = WatchList::default();
        let with_bytes = |until| WatchRule { bytes: true, ..of_route(1, until) };
        assert!(watches.start(with_bytes(10)) && watches.start(of_connection(7, 20)));
        let key = Key::new(7, 0);
        assert!(open(&mut watches, 7, 1) && watches.add(key, Moment(20), Moment(0)));
        assert!(watches.has_bytes() && watches.takes_bytes(key.at(1)));
        assert!(!watches.takes_bytes(Key::new(8, 0)) && !watches.takes_bytes(Key::LOOP));
        assert_eq!(watches.begin_turn(Moment(10)), Some(vec![]));
        assert!(!watches.has_bytes() && !watches.takes_bytes(key));
        assert!(watches.takes(key, &Event::ReadBlocked));
        assert!(watches.start(with_bytes(15)) && watches.add(key, Moment(15), Moment(15)));
        assert!(watches.takes_bytes(key));
        assert!(watches.start(of_route(1, 15)));
        assert!(!watches.takes_bytes(key), "it was started again without");
    }
}
