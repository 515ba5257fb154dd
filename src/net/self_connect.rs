//! Whether a listener of this process receives what is sent to an address. A relay with such a
//! target would connect to itself without end.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, UdpSocket};
use std::path::Path;

use crate::config::{Address, Host, UnixName, reach};

/// The address that a listener is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BoundAddr {
    at: SocketAddr,
    v6only: bool,
}

impl BoundAddr {
    /// Returns None for a name, and for an address that is not IP.
    pub fn new(at: &Address, v6only: bool) -> Option<BoundAddr> {
        let (Address::Tcp(host, port) | Address::Udp(host, port)) = at else { return None };
        let at = match host {
            Host::Any => SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), *port),
            Host::Ip(ip) => SocketAddr::new(*ip, *port),
            Host::Name(_) => return None,
        };
        Some(BoundAddr { at, v6only })
    }

    /// Whether the listener receives what is sent to this address.
    pub fn receives(&self, to: SocketAddr) -> bool {
        reach::receives(self.at, self.v6only, to, is_local_ip)
    }
}

/// The identity of a file, whatever path or symbolic link leads to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    /// Returns None if there is no such file, or the name is abstract.
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

/// Whether a target is the socket file of this listener, under any path.
pub fn is_same_file(target: &Address, at: &Address) -> bool {
    match (target, at) {
        (Address::Unix(to), Address::Unix(at))
        | (Address::UnixDatagram(to), Address::UnixDatagram(at)) => {
            FileId::of(to).is_some_and(|to| FileId::of(at) == Some(to))
        }
        _ => false,
    }
}

/// Whether the listener receives what is sent to this address. One that is bound to the wildcard
/// address receives on every address for which `is_local_ip` returns true.
pub fn receives(
    listener: &SocketAddr,
    address: SocketAddr,
    is_local_ip: impl Fn(IpAddr) -> bool,
) -> bool {
    reach::receives(*listener, false, address, is_local_ip)
}

/// Whether this machine has the address: then a socket can be bound to it. Called only for
/// addresses with the port of a listener, so it costs nothing in normal operation.
pub fn is_local_ip(ip: IpAddr) -> bool {
    match UdpSocket::bind((ip, 0)) {
        Ok(_) => true,
        // If this cannot be determined, not answering is the safe choice.
        Err(error) => error.kind() != std::io::ErrorKind::AddrNotAvailable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receives_from(listener: &str, v6only: bool, to: &str) -> bool {
        let listener = BoundAddr::new(&listener.parse().unwrap(), v6only).unwrap();
        listener.receives(to.parse().unwrap())
    }

    #[test]
    fn a_listener_receives_what_is_sent_to_it_and_nothing_else() {
        for to in ["127.0.0.1:7", "[::1]:7", "0.0.0.0:7", "[::ffff:127.0.0.1]:7"] {
            assert!(receives_from("tcp://:7", false, to), "{to}");
        }
        assert!(receives_from("udp://127.0.0.1:7", false, "127.0.0.1:7"));
        assert!(!receives_from("tcp://:7", false, "127.0.0.1:8"));
        assert!(!receives_from("tcp://127.0.0.1:7", false, "127.0.0.2:7"));
    }

    #[test]
    fn a_listener_of_one_family_does_not_receive_from_the_other() {
        assert!(receives_from("tcp://0.0.0.0:7", false, "127.0.0.1:7"));
        assert!(!receives_from("tcp://0.0.0.0:7", false, "[::1]:7"));
        assert!(receives_from("tcp://:7", true, "[::1]:7"));
        assert!(!receives_from("tcp://:7", true, "127.0.0.1:7"));
    }

    #[test]
    fn a_name_and_a_path_have_no_bound_ip_address() {
        for address in ["tcp://localhost:7", "unix:/x"] {
            assert_eq!(BoundAddr::new(&address.parse().unwrap(), false), None);
        }
    }

    #[test]
    fn the_addresses_of_this_machine_are_local_and_others_are_not() {
        assert!(is_local_ip([127, 0, 0, 1].into()));
        // An address reserved for documentation, which no machine has.
        assert!(!is_local_ip([192, 0, 2, 1].into()) || has_foreign_addresses());
    }

    /// Whether this machine allows binding to any address (ip_nonlocal_bind).
    fn has_foreign_addresses() -> bool {
        let path = "/proc/sys/net/ipv4/ip_nonlocal_bind";
        std::fs::read_to_string(path).is_ok_and(|text| text.trim() == "1")
    }
}
