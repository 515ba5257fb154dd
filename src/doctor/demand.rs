//! The demand: how many connections, in which role, and the target as far as it affects limits.

use std::net::{IpAddr, Ipv4Addr};

use serde::Serialize;

use super::facts::{Fact, Facts};
use super::finding::LimitSection;
use crate::config::{Address, Host};
use crate::net::limits::Descriptors;
use crate::text::count::plural;

/// A number of concurrent connections. None: as many as fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Demand {
    pub conns: Option<u64>,
    pub role: Role,
    pub target: TargetClass,
}

/// How a process gets its connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Accepts.
    Server,
    /// Connects.
    Client,
    /// Accepts and connects: two local ends for each connection.
    Relay,
}

impl Role {
    pub fn name(self) -> &'static str {
        match self {
            Role::Server => "server",
            Role::Client => "client",
            Role::Relay => "relay",
        }
    }

    /// Returns the number of local ends of a connection.
    pub fn ends(self) -> u64 {
        self.descriptors().per_connection() as u64
    }

    /// Returns how a process of this role uses descriptors.
    pub fn descriptors(self) -> Descriptors {
        match self {
            Role::Server => Descriptors::SERVER,
            Role::Client => Descriptors::CLIENT,
            Role::Relay => Descriptors::RELAY,
        }
    }

    /// Whether limits of this section apply to the role.
    pub fn has(self, section: LimitSection) -> bool {
        match self {
            Role::Server => section != LimitSection::Client,
            Role::Client => section != LimitSection::Server,
            Role::Relay => true,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Tcp,
    Udp,
    Unix,
}

/// The scope of the source addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SourceScope {
    /// 127.0.0.0/8: every address in it can be a source; `oneloop stress` uses as many as needed.
    Loopback,
    /// ::1, a link-local address, or an unknown target: one source, chosen by the kernel.
    OneSource,
    Ipv4,
    Ipv6,
}

/// The properties of a target that affect limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetClass {
    pub protocol: Protocol,
    scope: SourceScope,
}

/// The number of source addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceCount {
    Known(u64),
    /// Unknown: at least one is assumed.
    Assumed,
    /// More than connections are possible.
    Loopback,
}

impl TargetClass {
    /// Returns the target of a server, or of a client without a target.
    pub fn unnamed() -> TargetClass {
        TargetClass { protocol: Protocol::Tcp, scope: SourceScope::OneSource }
    }

    pub fn of(address: &Address) -> TargetClass {
        let (protocol, scope) = match address {
            Address::Tcp(host, _) => (Protocol::Tcp, scope(host)),
            Address::Udp(host, _) => (Protocol::Udp, scope(host)),
            Address::Unix(_) | Address::UnixDatagram(_) => (Protocol::Unix, SourceScope::OneSource),
        };
        TargetClass { protocol, scope }
    }

    /// Returns the target for a process that binds no source address: the kernel always chooses
    /// the same one.
    pub fn with_one_source(&self) -> TargetClass {
        TargetClass { protocol: self.protocol, scope: SourceScope::OneSource }
    }

    pub fn sources(&self, facts: &Facts) -> SourceCount {
        let of_machine = |fact: &Fact| match fact {
            Fact::Known(count) => SourceCount::Known(*count),
            _ => SourceCount::Assumed,
        };
        match self.scope {
            SourceScope::OneSource => SourceCount::Known(1),
            SourceScope::Loopback => SourceCount::Loopback,
            SourceScope::Ipv4 => of_machine(&facts.ipv4_sources),
            SourceScope::Ipv6 => of_machine(&facts.ipv6_sources),
        }
    }
}

impl SourceCount {
    /// Returns the number to count. On loopback 1: more are available when needed.
    pub fn count(self) -> u64 {
        match self {
            SourceCount::Known(count) => count,
            SourceCount::Assumed | SourceCount::Loopback => 1,
        }
    }

    pub fn describe(self) -> String {
        match self {
            SourceCount::Known(count) => plural(count, "source"),
            SourceCount::Assumed => "1 source?".to_string(),
            SourceCount::Loopback => "loopback".to_string(),
        }
    }
}

/// Classifies a host. A name that was not resolved counts as IPv4.
fn scope(host: &Host) -> SourceScope {
    let ip = match host {
        Host::Any => IpAddr::V4(Ipv4Addr::LOCALHOST),
        Host::Name(name) if name.eq_ignore_ascii_case("localhost") => {
            IpAddr::V4(Ipv4Addr::LOCALHOST)
        }
        // With a colon it is an IPv6 address with a zone.
        Host::Name(name) if name.contains(':') => return SourceScope::OneSource,
        Host::Name(_) => return SourceScope::Ipv4,
        Host::Ip(ip) => ip.to_canonical(),
    };
    match ip {
        // As a target, the unspecified address means this machine.
        IpAddr::V4(ip) if ip.is_loopback() || ip.is_unspecified() => SourceScope::Loopback,
        IpAddr::V4(_) => SourceScope::Ipv4,
        IpAddr::V6(ip) if ip.is_loopback() || ip.is_unspecified() => SourceScope::OneSource,
        IpAddr::V6(ip) if ip.is_unicast_link_local() => SourceScope::OneSource,
        IpAddr::V6(_) => SourceScope::Ipv6,
    }
}
