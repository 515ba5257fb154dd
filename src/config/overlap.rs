//! Whether two listeners can be bound together. Only names, numbers and options are compared:
//! which addresses a machine has, and what other programs listen on, is known only to the system.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use super::address::{Address, UnixName};
use super::host::Host;
use super::listen::{Listen, ListenOptions};
use super::reach::plain;

/// Whether a listener for all addresses excludes one for a single address of the same port. Other
/// systems accept both if SO_REUSEADDR is set.
const ALL_EXCLUDES_ONE: bool = cfg!(any(target_os = "linux", target_os = "android"));

/// What two listeners have in common if one excludes the other.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Common<'a> {
    /// A port, of datagrams or of streams.
    Port(bool, u16),
    /// A file, of any type of socket.
    File(&'a Path),
    /// An abstract name, of datagrams or of streams.
    Abstract(bool, &'a str),
}

impl Common<'_> {
    pub fn of(listen: &Listen) -> Common<'_> {
        let is_datagram = listen.address.is_datagram();
        match &listen.address {
            Address::Tcp(_, port) | Address::Udp(_, port) => Common::Port(is_datagram, *port),
            Address::Unix(name) | Address::UnixDatagram(name) => match name {
                UnixName::Path(path) => Common::File(plain(path)),
                UnixName::Abstract(name) => Common::Abstract(is_datagram, name),
            },
        }
    }
}

/// Whether the system certainly refuses to bind one of the two while the other is bound. Two names
/// are compared as they are written, and port 0 is another port each time.
pub fn excludes(one: &Listen, other: &Listen) -> bool {
    if Common::of(one) != Common::of(other) {
        return false;
    }
    match (&one.address, &other.address) {
        (Address::Tcp(host, port), Address::Tcp(other_host, _))
        | (Address::Udp(host, port), Address::Udp(other_host, _)) => {
            let is_shared = one.options.reuseport && other.options.reuseport;
            let hosts = [(host, &one.options), (other_host, &other.options)];
            *port != 0 && !is_shared && has_common_address(hosts)
        }
        (Address::Tcp(..) | Address::Udp(..), _) => false,
        (Address::Unix(_) | Address::UnixDatagram(_), _) => true,
    }
}

/// Whether the system may refuse it: a name may stand for any address.
pub fn may_exclude(one: &Listen, other: &Listen) -> bool {
    let is_named = |listen: &Listen| match &listen.address {
        Address::Tcp(host, _) | Address::Udp(host, _) => matches!(host, Host::Name(_)),
        Address::Unix(_) | Address::UnixDatagram(_) => false,
    };
    let is_possible = is_named(one) || is_named(other);
    excludes(one, other) || is_possible && Common::of(one) == Common::of(other)
}

fn has_common_address(hosts: [(&Host, &ListenOptions); 2]) -> bool {
    let [(host, _), (other, _)] = hosts;
    if host == other {
        return true;
    }
    let [Some(one), Some(other)] = hosts.map(|(host, _)| ip(host)) else { return false };
    let [(_, options), (_, other_options)] = hosts;
    one == other
        || ALL_EXCLUDES_ONE
            && (includes(one, options.v6only, other) || includes(other, other_options.v6only, one))
}

/// Returns the address that is bound on every machine. None: only the system knows it.
fn ip(host: &Host) -> Option<IpAddr> {
    match host {
        Host::Any => Some(Ipv6Addr::UNSPECIFIED.into()),
        Host::Ip(ip) => Some(ip.to_canonical()),
        Host::Name(_) => None,
    }
}

/// Whether the first address means all addresses, and the second is among them.
fn includes(all: IpAddr, v6only: bool, ip: IpAddr) -> bool {
    match all {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => ip.is_ipv4(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => ip.is_ipv6() || !v6only,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_excluded(one: &str, other: &str) -> bool {
        let [one, other] = [one, other].map(|text| text.parse::<Listen>().unwrap());
        let is_excluded = excludes(&one, &other);
        assert_eq!(is_excluded, excludes(&other, &one), "{one} {other}: the order matters");
        is_excluded
    }

    #[test]
    fn one_address_excludes_itself_however_it_is_written() {
        for (one, other) in [
            ("7", "*:7,backlog=5"),
            ("7", "7,reuseport"),
            ("7", "7,v6only"),
            ("7", "[::]:7"),
            ("127.0.0.1:7", "[::ffff:127.0.0.1]:7"),
            ("db:7", "DB:7"),
            ("udp://[::1]:7", "udp://[::1]:7,reuseport"),
            ("/x", "/x,mode=0600"),
            ("unix:x", "./x"),
            ("/x", "unix-dgram:/x"),
            ("unix:@x", "unix:@x"),
        ] {
            assert!(is_excluded(one, other), "{one} {other}");
        }
    }

    #[test]
    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn all_addresses_exclude_each_of_them() {
        for (one, other) in [
            ("7", "127.0.0.1:7"),
            ("7", "[::1]:7,reuseport"),
            ("7", "[::ffff:127.0.0.1]:7"),
            ("7", "0.0.0.0:7"),
            ("7", "[::]:7,v6only"),
            ("7,v6only", "[fd00::1]:7"),
            ("[::]:7", "10.0.0.1:7"),
            ("0.0.0.0:7", "127.0.0.1:7"),
            ("[::ffff:0.0.0.0]:7", "127.0.0.1:7"),
            ("udp://:7", "udp://127.0.0.1:7"),
        ] {
            assert!(is_excluded(one, other), "{one} {other}");
        }
    }

    #[test]
    fn what_may_be_bound_together_is_not_excluded() {
        for (one, other) in [
            ("7", "8"),
            ("7", "127.0.0.1:8"),
            ("0", "0"),
            ("127.0.0.1:0", "127.0.0.1:0"),
            ("7", "udp://:7"),
            ("127.0.0.1:7", "127.0.0.2:7"),
            ("127.0.0.1:7", "[::1]:7"),
            ("7,v6only", "127.0.0.1:7"),
            ("7,v6only", "0.0.0.0:7"),
            ("0.0.0.0:7", "[::1]:7"),
            ("[::ffff:0.0.0.0]:7", "[::1]:7"),
            ("7,reuseport", "7,reuseport"),
            ("7,reuseport", "127.0.0.1:7,reuseport"),
            ("localhost:7", "127.0.0.1:7"),
            ("localhost:7", "db:7"),
            ("/x", "/y"),
            ("/x", "unix:x"),
            ("unix:@x", "unix:x"),
            ("unix:@x", "unix-dgram:@x"),
            ("/x", "7"),
        ] {
            assert!(!is_excluded(one, other), "{one} {other}");
        }
    }
}
