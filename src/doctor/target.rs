//! The target as far as it affects limits: the protocol and the number of source addresses.

use std::net::{IpAddr, Ipv4Addr};

use super::facts::{Fact, Facts};
use crate::config::{Address, Host};
use crate::text::digits::plural;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Tcp,
    Udp,
    Unix,
}

/// The scope of the source addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// 127.0.0.0/8: every address in it can be a source; `oneloop stress` uses as many as needed.
    Loopback,
    /// ::1, a link-local address, or an unknown target: one source, chosen by the kernel.
    OneSource,
    Ipv4,
    Ipv6,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub protocol: Protocol,
    place: Place,
}

/// The number of source addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sources {
    Known(u64),
    /// Unknown: at least one is assumed.
    Assumed,
    /// More than connections are possible.
    Loopback,
}

impl Target {
    /// Returns the target of a server, or of a client without a target.
    pub fn unnamed() -> Target {
        Target { protocol: Protocol::Tcp, place: Place::OneSource }
    }

    pub fn of(address: &Address) -> Target {
        let (protocol, place) = match address {
            Address::Tcp(host, _) => (Protocol::Tcp, place(host)),
            Address::Udp(host, _) => (Protocol::Udp, place(host)),
            Address::Unix(_) | Address::UnixDatagram(_) => (Protocol::Unix, Place::OneSource),
        };
        Target { protocol, place }
    }

    /// Returns the target for a process that binds no source address: the kernel chooses always the
    /// same one.
    pub fn with_one_source(&self) -> Target {
        Target { protocol: self.protocol, place: Place::OneSource }
    }

    pub fn sources(&self, facts: &Facts) -> Sources {
        let of_machine = |fact: &Fact| match fact {
            Fact::Known(count) => Sources::Known(*count),
            _ => Sources::Assumed,
        };
        match self.place {
            Place::OneSource => Sources::Known(1),
            Place::Loopback => Sources::Loopback,
            Place::Ipv4 => of_machine(&facts.ipv4_sources),
            Place::Ipv6 => of_machine(&facts.ipv6_sources),
        }
    }
}

impl Sources {
    /// Returns the number to count. On loopback 1: more are available when needed.
    pub fn count(self) -> u64 {
        match self {
            Sources::Known(count) => count,
            Sources::Assumed | Sources::Loopback => 1,
        }
    }

    pub fn words(self) -> String {
        match self {
            Sources::Known(count) => plural(count, "source"),
            Sources::Assumed => "1 source?".to_string(),
            Sources::Loopback => "loopback".to_string(),
        }
    }
}

/// A name that was not resolved counts as IPv4.
fn place(host: &Host) -> Place {
    let ip = match host {
        Host::Any => IpAddr::V4(Ipv4Addr::LOCALHOST),
        Host::Name(name) if name.eq_ignore_ascii_case("localhost") => {
            IpAddr::V4(Ipv4Addr::LOCALHOST)
        }
        // With a colon it is an IPv6 address with a zone.
        Host::Name(name) if name.contains(':') => return Place::OneSource,
        Host::Name(_) => return Place::Ipv4,
        Host::Ip(ip) => ip.to_canonical(),
    };
    match ip {
        // As a target, the unspecified address means this machine.
        IpAddr::V4(ip) if ip.is_loopback() || ip.is_unspecified() => Place::Loopback,
        IpAddr::V4(_) => Place::Ipv4,
        IpAddr::V6(ip) if ip.is_loopback() || ip.is_unspecified() => Place::OneSource,
        IpAddr::V6(ip) if ip.is_unicast_link_local() => Place::OneSource,
        IpAddr::V6(_) => Place::Ipv6,
    }
}
