//! Whether what is sent to an address comes in at a door of our own: a relay that does so would
//! feed itself for ever.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::path::Path;

use crate::plan::{Address, Host, UnixName};

/// What a door is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BoundAddr {
    at: SocketAddr,
    v6only: bool,
}

impl BoundAddr {
    /// None, if that is no address of IP, or a name.
    pub fn new(at: &Address, v6only: bool) -> Option<BoundAddr> {
        let (Address::Tcp(host, port) | Address::Udp(host, port)) = at else { return None };
        let at = match host {
            Host::Any => SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), *port),
            Host::Ip(ip) => SocketAddr::new(*ip, *port),
            Host::Name(_) => return None,
        };
        Some(BoundAddr { at, v6only })
    }

    /// Whether what goes to this address comes in here.
    pub fn takes(&self, to: SocketAddr) -> bool {
        let excluded = self.v6only && to.ip().to_canonical().is_ipv4();
        !excluded && meets(&self.at, to, is_ours)
    }
}

/// Which file a path leads to: the same for every spelling, through symbolic links too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    /// None: there is no such file, or the name is not one of a file.
    pub fn of(name: &UnixName) -> Option<FileId> {
        match name {
            UnixName::Path(path) => FileId::at(path),
            UnixName::Abstract(_) => None,
        }
    }

    #[cfg(unix)]
    pub fn at(path: &Path) -> Option<FileId> {
        use std::os::unix::fs::MetadataExt;
        let found = path.metadata().ok()?;
        Some(FileId { device: found.dev(), inode: found.ino() })
    }

    #[cfg(not(unix))]
    pub fn at(_: &Path) -> Option<FileId> {
        None
    }
}

/// Whether a target is the socket file of this listener, under whatever path.
pub fn is_same_file(target: &Address, at: &Address) -> bool {
    match (target, at) {
        (Address::Unix(to), Address::Unix(at))
        | (Address::UnixDatagram(to), Address::UnixDatagram(at)) => {
            FileId::of(to).is_some_and(|to| FileId::of(at) == Some(to))
        }
        _ => false,
    }
}

/// Whether what is sent to this address comes in at the door. One that is bound to every address is
/// met by each address of this machine: `is_ours` knows them.
pub fn meets(listener: &SocketAddr, address: SocketAddr, is_ours: impl Fn(IpAddr) -> bool) -> bool {
    let ip = address.ip().to_canonical();
    let is_here = || ip.is_unspecified() || ip.is_loopback() || is_ours(ip);
    listener.port() == address.port()
        && match listener.ip().to_canonical() {
            IpAddr::V4(Ipv4Addr::UNSPECIFIED) => ip.is_ipv4() && is_here(),
            IpAddr::V6(Ipv6Addr::UNSPECIFIED) => is_here(),
            own => own == ip,
        }
}

/// Whether this machine has the address: then a socket can be bound to it. Asked only of addresses
/// whose port is that of a door, so it costs nothing in ordinary life.
pub fn is_ours(ip: IpAddr) -> bool {
    match UdpSocket::bind((ip, 0)) {
        Ok(_) => true,
        // If we cannot find out, we rather keep silent.
        Err(error) => error.kind() != std::io::ErrorKind::AddrNotAvailable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn takes(listener: &str, v6only: bool, to: &str) -> bool {
        let listener = BoundAddr::new(&listener.parse().unwrap(), v6only).unwrap();
        listener.takes(to.parse().unwrap())
    }

    #[test]
    fn a_door_takes_what_is_sent_to_it_and_nothing_else() {
        for to in ["127.0.0.1:7", "[::1]:7", "0.0.0.0:7", "[::ffff:127.0.0.1]:7"] {
            assert!(takes("tcp://:7", false, to), "{to}");
        }
        assert!(takes("udp://127.0.0.1:7", false, "127.0.0.1:7"));
        assert!(!takes("tcp://:7", false, "127.0.0.1:8"));
        assert!(!takes("tcp://127.0.0.1:7", false, "127.0.0.2:7"));
    }

    #[test]
    fn a_door_of_one_family_is_not_met_by_the_other() {
        assert!(takes("tcp://0.0.0.0:7", false, "127.0.0.1:7"));
        assert!(!takes("tcp://0.0.0.0:7", false, "[::1]:7"));
        assert!(takes("tcp://:7", true, "[::1]:7"));
        assert!(!takes("tcp://:7", true, "127.0.0.1:7"));
    }

    #[test]
    fn a_name_and_a_path_are_no_doors_that_numbers_meet() {
        for address in ["tcp://localhost:7", "unix:/x"] {
            assert_eq!(BoundAddr::new(&address.parse().unwrap(), false), None);
        }
    }

    #[test]
    fn the_addresses_of_this_machine_are_ours_and_others_are_not() {
        assert!(is_ours([127, 0, 0, 1].into()));
        // An address for documentation, which no machine has.
        assert!(!is_ours([192, 0, 2, 1].into()) || has_foreign_addresses());
    }

    /// Whether this machine is told to bind to any address at all.
    fn has_foreign_addresses() -> bool {
        let path = "/proc/sys/net/ipv4/ip_nonlocal_bind";
        std::fs::read_to_string(path).is_ok_and(|text| text.trim() == "1")
    }
}
