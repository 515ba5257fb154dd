//! The targets of a relay: their addresses, their names in the log, and the round-robin position.
//! Relays of connections and of datagrams share it.
//!
//! Addresses and names are prepared once, when a plan is applied, so that an attempt to connect
//! formats no text and copies no list.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use crate::config::{Address, Host};

use crate::net::address::SocketAddress;
use crate::net::self_connect::BoundAddr;

/// The targets of one route. Empty if the service is not a relay.
#[derive(Debug)]
pub struct Pool {
    targets: Arc<Targets>,
    next: usize,
}

/// A list of targets, shared with the attempts that use it. It never changes.
#[derive(Debug)]
struct Targets {
    list: Vec<Target>,
    /// The bound addresses of the route. A name must not resolve to one of them.
    own: Vec<BoundAddr>,
}

/// All targets of a pool, and which of them is tried first. It stays the same when the pool gets
/// other targets.
#[derive(Clone, Debug)]
pub struct Selection {
    targets: Arc<Targets>,
    first: usize,
}

#[derive(Debug)]
pub struct Target {
    /// As the user wrote it.
    pub text: String,
    pub addr: TargetAddr,
}

#[derive(Debug)]
pub enum TargetAddr {
    Known {
        address: SocketAddress,
        /// Another address of the same target: only UDP to localhost has one, because only a lost
        /// datagram would show that the first one is not served.
        alternative: Option<SocketAddress>,
        /// Its text for the log, which shows what a wildcard stands for.
        shown: String,
    },
    /// A name and a port, looked up at each attempt.
    Name(String, u16),
}

impl Pool {
    pub fn new(targets: &[Address], own: Vec<BoundAddr>) -> Pool {
        let list = targets.iter().map(Target::new).collect();
        Pool { targets: Arc::new(Targets { list, own }), next: 0 }
    }

    /// Replaces the targets. Attempts in progress keep those that they began with.
    pub fn set_targets(&mut self, targets: &[Address]) {
        *self = Pool { next: self.next, ..Pool::new(targets, self.targets.own.clone()) };
    }

    /// Selects the target to try first, and moves on to the next (round robin).
    pub fn select(&mut self) -> Selection {
        let selection = self.selection(self.next);
        self.next = selection.first + 1;
        selection
    }

    /// The selection that begins with the target at `first`, counted round.
    pub fn selection(&self, first: usize) -> Selection {
        let first = first % self.targets.list.len().max(1);
        Selection { targets: self.targets.clone(), first }
    }

    /// The bound addresses of the route.
    pub fn own(&self) -> &[BoundAddr] {
        &self.targets.own
    }
}

impl Selection {
    /// Index of the target that is tried first.
    pub fn first(&self) -> usize {
        self.first
    }

    /// The target `offset` places after the first one.
    pub fn target(&self, offset: usize) -> &Target {
        &self.targets.list[(self.first + offset) % self.size()]
    }

    /// All targets, in the order in which they are tried.
    pub fn iter(&self) -> impl Iterator<Item = &Target> {
        (0..self.size()).map(|offset| self.target(offset))
    }

    pub fn size(&self) -> usize {
        self.targets.list.len()
    }

    /// Whether a listener of the route receives what is sent to this address.
    pub fn is_own(&self, to: SocketAddr) -> bool {
        self.targets.own.iter().any(|own| own.receives(to))
    }
}

impl Target {
    fn new(address: &Address) -> Target {
        let text = address.to_string();
        let known = |address, alternative, shown| TargetAddr::Known { address, alternative, shown };
        let inet = |ip, port, alternative| {
            let address = SocketAddr::new(ip, port);
            let shown = match text.contains(&address.to_string()) {
                true => text.clone(),
                false => format!("{text} ({address})"),
            };
            known(SocketAddress::Inet(address), alternative, shown)
        };
        let addr = match address {
            Address::Unix(name) | Address::UnixDatagram(name) => {
                known(SocketAddress::Unix(name.clone()), None, text.clone())
            }
            Address::Tcp(Host::Name(name), port) | Address::Udp(Host::Name(name), port) => {
                TargetAddr::Name(name.clone(), *port)
            }
            Address::Tcp(Host::Ip(ip), port) | Address::Udp(Host::Ip(ip), port) => {
                inet(*ip, *port, None)
            }
            Address::Tcp(Host::Any, port) => inet(Ipv4Addr::LOCALHOST.into(), *port, None),
            Address::Udp(Host::Any, port) => {
                let v6 = SocketAddr::new(IpAddr::from(Ipv6Addr::LOCALHOST), *port);
                inet(Ipv4Addr::LOCALHOST.into(), *port, Some(SocketAddress::Inet(v6)))
            }
        };
        Target { text, addr }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(targets: &[&str]) -> Vec<Address> {
        targets.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn pool(targets: &[&str]) -> Pool {
        Pool::new(&addresses(targets), Vec::new())
    }

    /// The last digits of the targets, in the order in which they are tried.
    fn order(selection: &Selection) -> String {
        selection.iter().map(|target| &target.text[target.text.len() - 1..]).collect()
    }

    #[test]
    fn targets_take_turns_and_each_is_followed_by_all_others() {
        let mut pool = pool(&["10.0.0.1:1", "10.0.0.2:2", "10.0.0.3:3"]);
        let orders: Vec<String> = (0..4).map(|_| order(&pool.select())).collect();
        assert_eq!(orders, ["123", "231", "312", "123"]);
        assert_eq!(order(&pool.selection(5)), "312");
    }

    #[test]
    fn an_attempt_keeps_its_targets_when_the_pool_gets_others() {
        let mut pool = pool(&["10.0.0.1:1", "10.0.0.2:2", "10.0.0.3:3"]);
        let selections: Vec<Selection> = (0..3).map(|_| pool.select()).collect();
        pool.set_targets(&addresses(&["10.0.0.4:4", "10.0.0.5:5"]));
        assert_eq!(order(&selections[2]), "312");
        let orders: Vec<String> = (0..3).map(|_| order(&pool.select())).collect();
        assert_eq!(orders, ["54", "45", "54"]);
        pool.set_targets(&[]);
        assert_eq!((pool.select().size(), pool.select().first()), (0, 0));
    }

    #[test]
    fn a_wildcard_is_shown_with_what_it_stands_for() {
        let shown = |text: &str| match &pool(&[text]).selection(0).target(0).addr {
            TargetAddr::Known { address, shown, .. } => (address.to_string(), shown.clone()),
            TargetAddr::Name(name, port) => (name.clone(), port.to_string()),
        };
        let known = |address: &str, text: &str| (address.to_string(), text.to_string());
        assert_eq!(shown("10.0.0.1:80"), known("tcp://10.0.0.1:80", "tcp://10.0.0.1:80"));
        assert_eq!(shown("[::1]:80"), known("tcp://[::1]:80", "tcp://[::1]:80"));
        assert_eq!(shown(":80"), known("tcp://127.0.0.1:80", "tcp://:80 (127.0.0.1:80)"));
        assert_eq!(shown("unix:/x"), known("unix:/x", "unix:/x"));
        assert_eq!(shown("host:80"), known("host", "80"));
    }

    #[test]
    fn localhost_has_two_addresses_for_datagrams_and_one_for_connections() {
        for (text, expected) in [("udp://:53", Some("tcp://[::1]:53")), (":53", None)] {
            let pool = pool(&[text]);
            let selection = pool.selection(0);
            let TargetAddr::Known { alternative, .. } = &selection.target(0).addr else {
                panic!("{selection:?}")
            };
            let shown = alternative.as_ref().map(SocketAddress::to_string);
            assert_eq!(shown.as_deref(), expected);
        }
    }
}
