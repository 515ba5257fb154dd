//! Whether a listener of this process receives what is sent to an address. A relay with such a
//! target would connect to itself without end.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, UdpSocket};
use std::path::Path;

use super::remote::Remote;
use crate::config::reach::{self, Machine};
use crate::config::{Address, Host, Listen, UnixName};

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

/// What the system knows of this machine.
const SYSTEM: Machine = Machine { is_local_ip, is_same_file };

/// Whether what is sent to `target` reaches `listen`. Names other than localhost are not resolved:
/// their addresses are for `BoundAddr::receives`.
pub fn reaches(target: &Address, listen: &Listen) -> bool {
    reach::reaches(target, listen, &SYSTEM)
}

/// Whether the datagram socket that is bound to `listener` receives what is sent to `remote`.
pub fn remote_reaches(remote: &Remote, listener: &Remote) -> bool {
    match (listener, remote) {
        (Remote::Inet(listener, _), Remote::Inet(to, _)) => {
            reach::receives(*listener, false, *to, is_local_ip)
        }
        #[cfg(unix)]
        (Remote::Unix(at), Remote::Unix(to)) => {
            at == to || at.path().zip(to.path()).is_some_and(|(at, to)| is_same_file(at, to))
        }
        #[cfg(unix)]
        (Remote::Inet(..), Remote::Unix(_)) | (Remote::Unix(_), Remote::Inet(..)) => false,
    }
}

/// Whether two paths lead to the same file.
fn is_same_file(one: &Path, other: &Path) -> bool {
    FileId::at(one).is_some_and(|one| FileId::at(other) == Some(one))
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
    #[cfg(unix)]
    fn a_unix_datagram_listener_is_recognised_under_every_path() {
        use crate::net::scratch::Scratch;
        let scratch = Scratch::new("self_connect");
        let (real, alias) = (scratch.path("real"), scratch.path("alias"));
        let _bound = std::os::unix::net::UnixDatagram::bind(&real).unwrap();
        std::os::unix::fs::symlink(&real, &alias).unwrap();
        for address in [Address::Unix, Address::UnixDatagram] {
            let at = |path: &Path| address(UnixName::Path(path.into()));
            let listen = Listen::from(at(&real));
            assert!(reaches(&at(&real), &listen) && reaches(&at(&alias), &listen));
            assert!(!reaches(&at(&scratch.path("other")), &listen));
        }
        let named = |path: &Path| Remote::Unix((&UnixName::Path(path.into())).into());
        assert!(remote_reaches(&named(&alias), &named(&real)));
        assert!(!remote_reaches(&named(&scratch.path("other")), &named(&real)));
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
