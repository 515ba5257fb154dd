//! Whether what is sent to an address reaches a listener. This is the only rule: `check` applies it
//! to names and numbers, `net::self_connect` with what the system knows.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use super::address::{Address, UnixName};
use super::host::Host;
use super::listen::Listen;

/// The facts of a machine on which the answer may depend.
#[derive(Clone, Copy, Debug)]
pub struct Machine {
    /// Whether the machine has this address, which is not a loopback address.
    pub is_local_ip: fn(IpAddr) -> bool,
    /// Whether two different paths lead to the same file.
    pub is_same_file: fn(&Path, &Path) -> bool,
}

impl Machine {
    /// Nothing is known: only what holds on every machine is answered with true.
    pub const UNKNOWN: Machine = Machine { is_local_ip: |_| false, is_same_file: |_, _| false };
}

/// Whether what is sent to `target` reaches `listen`. Other names than localhost are not resolved.
pub fn reaches(target: &Address, listen: &Listen, machine: &Machine) -> bool {
    match (target, &listen.address) {
        (Address::Tcp(to, port), Address::Tcp(at, own))
        | (Address::Udp(to, port), Address::Udp(at, own)) => {
            let same_name = matches!((to, at), (Host::Name(to), Host::Name(at)) if to == at);
            let v6only = listen.options.v6only;
            let mut pairs = addresses(to).into_iter().flat_map(|to| {
                bound_to(at).into_iter().map(move |at| (SocketAddr::new(at, *own), to))
            });
            let mut receives =
                |(at, to)| receives(at, v6only, SocketAddr::new(to, *port), machine.is_local_ip);
            port == own && *own != 0 && (same_name || pairs.any(&mut receives))
        }
        (Address::Unix(to), Address::Unix(at))
        | (Address::UnixDatagram(to), Address::UnixDatagram(at)) => is_same(to, at, machine),
        _ => false,
    }
}

/// Whether a socket that is bound to `listener` receives what is sent to `to`. One that is bound to
/// the wildcard address receives on loopback, and wherever `is_local_ip` returns true.
pub fn receives(
    listener: SocketAddr,
    v6only: bool,
    to: SocketAddr,
    is_local_ip: impl Fn(IpAddr) -> bool,
) -> bool {
    let ip = destination(to.ip());
    let is_here = || ip.is_loopback() || is_local_ip(ip);
    listener.port() == to.port()
        && !(v6only && ip.is_ipv4())
        && match listener.ip().to_canonical() {
            IpAddr::V4(Ipv4Addr::UNSPECIFIED) => ip.is_ipv4() && is_here(),
            IpAddr::V6(Ipv6Addr::UNSPECIFIED) => is_here(),
            own => own == ip,
        }
}

/// Returns where the system sends what is addressed to `ip`: the unspecified address means
/// localhost.
fn destination(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    }
}

/// Returns the addresses that a target means on every machine. No host means localhost.
fn addresses(target: &Host) -> Vec<IpAddr> {
    match target {
        Host::Any => vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
        host => bound_to(host),
    }
}

/// Returns the addresses that a listener is bound to on every machine. No host means all addresses.
fn bound_to(listener: &Host) -> Vec<IpAddr> {
    match listener {
        Host::Any => vec![Ipv6Addr::UNSPECIFIED.into()],
        Host::Ip(ip) => vec![*ip],
        Host::Name(name) if is_localhost(name) => addresses(&Host::Any),
        Host::Name(_) => Vec::new(),
    }
}

/// Where a listener receives. If a target reaches a listener on every machine, they have a spot in
/// common.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Spot<'a> {
    /// One address, or all of a family, of datagrams or of streams.
    Ip(bool, IpAddr, u16),
    Name(bool, &'a str, u16),
    Unix(bool, UnixSpot<'a>),
}

/// The name of a Unix socket, in its plain form.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum UnixSpot<'a> {
    Path(&'a Path),
    Abstract(&'a str),
}

/// Returns the spots at which a listener receives.
pub fn spots_of_listener(listen: &Listen) -> Vec<Spot<'_>> {
    spots(&listen.address, |host| bound_to(host).iter().map(IpAddr::to_canonical).collect())
}

/// Returns the spots at which listeners may receive what is sent to a target.
pub fn spots_of_target(target: &Address) -> Vec<Spot<'_>> {
    spots(target, |host| {
        let mut ips: Vec<IpAddr> = addresses(host).into_iter().map(destination).collect();
        if !ips.is_empty() {
            ips.extend([Ipv4Addr::UNSPECIFIED.into(), IpAddr::from(Ipv6Addr::UNSPECIFIED)]);
        }
        ips
    })
}

/// Returns the spots of an address whose host has these IP addresses.
fn spots(address: &Address, ips: impl Fn(&Host) -> Vec<IpAddr>) -> Vec<Spot<'_>> {
    let is_datagram = address.is_datagram();
    match address {
        Address::Tcp(host, port) | Address::Udp(host, port) => {
            let mut spots: Vec<Spot<'_>> =
                ips(host).into_iter().map(|ip| Spot::Ip(is_datagram, ip, *port)).collect();
            if let Host::Name(name) = host {
                spots.push(Spot::Name(is_datagram, name, *port));
            }
            spots
        }
        Address::Unix(name) | Address::UnixDatagram(name) => {
            let name = match name {
                UnixName::Path(path) => UnixSpot::Path(plain(path)),
                UnixName::Abstract(name) => UnixSpot::Abstract(name),
            };
            vec![Spot::Unix(is_datagram, name)]
        }
    }
}

fn is_localhost(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    name == "localhost" || name.ends_with(".localhost")
}

fn is_same(to: &UnixName, at: &UnixName, machine: &Machine) -> bool {
    match (to, at) {
        (UnixName::Path(to), UnixName::Path(at)) => {
            plain(to) == plain(at) || (machine.is_same_file)(to, at)
        }
        (UnixName::Abstract(to), UnixName::Abstract(at)) => to == at,
        (UnixName::Path(_), UnixName::Abstract(_)) | (UnixName::Abstract(_), UnixName::Path(_)) => {
            false
        }
    }
}

/// Returns the path without a leading `./`.
pub(super) fn plain(path: &Path) -> &Path {
    path.strip_prefix(".").unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine that has every address, and where every two paths are links to one file.
    const ALL: Machine = Machine { is_local_ip: |_| true, is_same_file: |_, _| true };

    /// When a listener receives what is sent to a target.
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Reached {
        /// On every machine.
        Always,
        /// On a machine that has the address, or the link.
        Perhaps,
        Never,
    }
    use Reached::{Always, Never, Perhaps};

    const TABLE: [(&str, &str, Reached); 56] = [
        // One address.
        ("127.0.0.1:7", "127.0.0.1:7", Always),
        ("127.0.0.1:7", "[::ffff:127.0.0.1]:7", Always),
        ("[::ffff:127.0.0.1]:7", "127.0.0.1:7", Always),
        ("127.0.0.1:7", "127.0.0.2:7", Never),
        ("127.0.0.1:7", "127.0.0.1:8", Never),
        ("127.0.0.1:7", "[::1]:7", Never),
        ("10.0.0.1:7", "10.0.0.1:7", Always),
        ("10.0.0.1:7", "10.0.0.2:7", Never),
        // A target without a host, or with the unspecified address, means localhost.
        ("127.0.0.1:7", "7", Always),
        ("[::1]:7", "7", Always),
        ("127.0.0.1:7", "0.0.0.0:7", Always),
        ("127.0.0.1:7", "[::]:7", Never),
        ("[::1]:7", "[::]:7", Always),
        ("127.0.0.2:7", "0.0.0.0:7", Never),
        ("10.0.0.1:7", "7", Never),
        // All addresses, both families on one socket.
        ("7", "127.0.0.1:7", Always),
        ("7", "127.9.9.9:7", Always),
        ("7", "[::1]:7", Always),
        ("7", "0.0.0.0:7", Always),
        ("7", "[::ffff:127.0.0.1]:7", Always),
        ("7", "10.0.0.1:7", Perhaps),
        ("7", "[fd00::1]:7", Perhaps),
        ("[::]:7", "10.0.0.1:7", Perhaps),
        ("7", "127.0.0.1:8", Never),
        // All addresses of one family.
        ("0.0.0.0:7", "127.0.0.1:7", Always),
        ("0.0.0.0:7", "10.0.0.1:7", Perhaps),
        ("0.0.0.0:7", "[::ffff:10.0.0.1]:7", Perhaps),
        ("0.0.0.0:7", "[::1]:7", Never),
        ("0.0.0.0:7", "[::]:7", Never),
        ("7,v6only", "[::1]:7", Always),
        ("7,v6only", "[fd00::1]:7", Perhaps),
        ("7,v6only", "127.0.0.1:7", Never),
        ("7,v6only", "[::ffff:127.0.0.1]:7", Never),
        ("7,v6only", "7", Always),
        // Names.
        ("127.0.0.1:7", "localhost:7", Always),
        ("localhost:7", "[::1]:7", Always),
        ("localhost:7", "127.0.0.2:7", Never),
        ("7", "a.localhost.:7", Always),
        ("db:7", "db:7", Always),
        ("db:7", "db:8", Never),
        ("7", "db:7", Never),
        // Datagrams go by the same rule; the transports are apart. Port 0 is any free port.
        ("udp://:7", "udp://127.0.0.1:7", Always),
        ("udp://:7", "udp://10.0.0.1:7", Perhaps),
        ("udp://:7", "tcp://127.0.0.1:7", Never),
        ("0", "0", Never),
        // Unix sockets.
        ("/run/x", "/run/x", Always),
        ("./x", "unix:x", Always),
        ("/run/x", "/run/y", Perhaps),
        ("/run/x", "unix:x", Perhaps),
        ("unix:@x", "unix:@x", Always),
        ("unix:@x", "unix:@y", Never),
        ("unix:@x", "unix:x", Never),
        ("unix-dgram:/run/x", "unix-dgram:/run/x", Always),
        ("unix-dgram:/run/x", "unix-dgram:/y", Perhaps),
        ("unix-dgram:/run/x", "unix:/run/x", Never),
        ("/run/x", "127.0.0.1:7", Never),
    ];

    #[test]
    fn a_listener_receives_what_is_sent_to_it_and_nothing_else() {
        for (listen, target, reached) in TABLE {
            let to = target.parse::<Address>().unwrap();
            let at = listen.parse::<Listen>().unwrap();
            let answers = [&Machine::UNKNOWN, &ALL].map(|machine| reaches(&to, &at, machine));
            let expected = match reached {
                Always => [true, true],
                Perhaps => [false, true],
                Never => [false, false],
            };
            assert_eq!(answers, expected, "{target} to {listen}");
            let own = spots_of_listener(&at);
            let is_near = spots_of_target(&to).iter().any(|spot| own.contains(spot));
            assert!(is_near || reached != Always, "{target} to {listen} have no spot in common");
        }
    }
}
