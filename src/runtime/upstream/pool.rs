//! The targets of a relay: their addresses, their names in the log, and the round-robin position.
//!
//! Addresses and names are prepared once, at start, so that an attempt to connect formats no text
//! and copies no list.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::config::{Address, Host};

use crate::net::address::SocketAddress;
use crate::net::self_connect::BoundAddr;

/// The targets of one route. Empty if the service is not a relay.
#[derive(Default)]
pub struct Pool {
    targets: Vec<Target>,
    next: usize,
    /// The bound addresses of the route. A name must not resolve to one of them.
    pub own: Vec<BoundAddr>,
}

pub struct Target {
    /// As the user wrote it.
    pub text: String,
    pub addr: TargetAddr,
}

pub enum TargetAddr {
    /// A fixed address, and its text for the log, which shows what a wildcard stands for.
    Known(SocketAddress, String),
    /// A name and a port, looked up at each attempt.
    Name(String, u16),
}

impl Pool {
    pub fn new(targets: Vec<Address>, own: Vec<BoundAddr>) -> Pool {
        Pool { targets: targets.iter().map(Target::new).collect(), next: 0, own }
    }

    /// Returns the index of the target to dial first, and moves on to the next (round robin).
    pub fn first(&mut self) -> usize {
        let first = self.next;
        self.next = (first + 1) % self.size().max(1);
        first
    }

    /// The target `offset` places after the first one.
    pub fn target(&self, first: usize, offset: usize) -> &Target {
        &self.targets[(first + offset) % self.size()]
    }

    pub fn size(&self) -> usize {
        self.targets.len()
    }
}

impl Target {
    fn new(address: &Address) -> Target {
        let text = address.to_string();
        let inet = |ip, port| {
            let address = SocketAddr::new(ip, port);
            let shown = match text.contains(&address.to_string()) {
                true => text.clone(),
                false => format!("{text} ({address})"),
            };
            TargetAddr::Known(SocketAddress::Inet(address), shown)
        };
        let addr = match address {
            Address::Unix(name) | Address::UnixDatagram(name) => {
                TargetAddr::Known(SocketAddress::Unix(name.clone()), text.clone())
            }
            Address::Tcp(host, port) | Address::Udp(host, port) => match host {
                Host::Any => inet(IpAddr::from(Ipv4Addr::LOCALHOST), *port),
                Host::Ip(ip) => inet(*ip, *port),
                Host::Name(name) => TargetAddr::Name(name.clone(), *port),
            },
        };
        Target { text, addr }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(targets: &[&str]) -> Pool {
        Pool::new(targets.iter().map(|text| text.parse().unwrap()).collect(), Vec::new())
    }

    #[test]
    fn targets_take_turns_and_each_is_followed_by_all_others() {
        let mut pool = pool(&["10.0.0.1:1", "10.0.0.2:2", "10.0.0.3:3"]);
        let mut orders = Vec::new();
        for _ in 0..4 {
            let first = pool.first();
            let order = (0..pool.size()).map(|offset| pool.target(first, offset).text.clone());
            orders.push(order.map(|text| text[text.len() - 1..].to_string()).collect::<String>());
        }
        assert_eq!(orders, ["123", "231", "312", "123"]);
    }

    #[test]
    fn a_wildcard_is_shown_with_what_it_stands_for() {
        let shown = |text: &str| match &pool(&[text]).target(0, 0).addr {
            TargetAddr::Known(address, shown) => (address.to_string(), shown.clone()),
            TargetAddr::Name(name, port) => (name.clone(), port.to_string()),
        };
        let known = |address: &str, text: &str| (address.to_string(), text.to_string());
        assert_eq!(shown("10.0.0.1:80"), known("tcp://10.0.0.1:80", "tcp://10.0.0.1:80"));
        assert_eq!(shown("[::1]:80"), known("tcp://[::1]:80", "tcp://[::1]:80"));
        assert_eq!(shown(":80"), known("tcp://127.0.0.1:80", "tcp://:80 (127.0.0.1:80)"));
        assert_eq!(shown("unix:/x"), known("unix:/x", "unix:/x"));
        assert_eq!(shown("host:80"), known("host", "80"));
    }
}
