//! Resolved socket addresses, and their conversion to and from the form of the system.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, ToSocketAddrs};

use crate::config::{Host, UnixName};
use crate::core::Peer;
use crate::text::escape::plain;

/// An address that a stream socket can be connected to. Names are resolved already.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SocketAddress {
    Inet(SocketAddr),
    Unix(UnixName),
}

/// The address of a Unix socket in the form of the system: empty (unbound), a path, or a zero byte
/// and an abstract name.
#[cfg(unix)]
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct SystemName(Box<[u8]>);

impl fmt::Display for SocketAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SocketAddress::Inet(address) => write!(f, "tcp://{address}"),
            SocketAddress::Unix(name) => write!(f, "unix:{name}"),
        }
    }
}

/// Returns the addresses of a target's host, the preferred one first. Blocks while the system
/// resolves a name.
pub fn resolve(host: &Host, port: u16) -> io::Result<Vec<SocketAddr>> {
    let name = match host {
        Host::Any => return Ok(vec![SocketAddr::from((Ipv4Addr::LOCALHOST, port))]),
        Host::Ip(ip) => return Ok(vec![SocketAddr::new(*ip, port)]),
        Host::Name(name) => name,
    };
    let found = Vec::from_iter((name.as_str(), port).to_socket_addrs()?);
    match found.is_empty() {
        true => Err(io::Error::other(format!("{} has no address", plain(name)))),
        false => Ok(found),
    }
}

/// Converts a peer address for display: an IPv4-mapped one, from a dual-stack socket, becomes IPv4.
pub fn inet_peer(address: SocketAddr) -> Peer {
    match address.ip().to_canonical() {
        plain if plain.is_ipv4() => Peer::Inet(SocketAddr::new(plain, address.port())),
        _ => Peer::Inet(address),
    }
}

#[cfg(unix)]
pub fn unix_peer(address: &std::os::unix::net::SocketAddr) -> Peer {
    SystemName::from(address).peer()
}

/// Converts the name of a Unix socket to the form of the system.
#[cfg(unix)]
pub fn unix_address(name: &UnixName) -> io::Result<std::os::unix::net::SocketAddr> {
    use std::os::unix::net::SocketAddr;
    match name {
        UnixName::Path(path) => SocketAddr::from_pathname(path),
        #[cfg(target_os = "linux")]
        UnixName::Abstract(name) => {
            <SocketAddr as std::os::linux::net::SocketAddrExt>::from_abstract_name(name)
        }
        #[cfg(not(target_os = "linux"))]
        UnixName::Abstract(_) => Err(io::ErrorKind::Unsupported.into()),
    }
}

#[cfg(unix)]
mod unix {
    use std::ffi::OsStr;
    use std::io;
    #[cfg(target_os = "linux")]
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::net;
    use std::path::Path;

    use socket2::SockAddr;

    use super::SystemName;
    use crate::config::UnixName;
    use crate::core::Peer;

    impl SystemName {
        pub fn address(&self) -> io::Result<SockAddr> {
            SockAddr::unix(OsStr::from_bytes(&self.0))
        }

        pub fn is_empty(&self) -> bool {
            self.0.is_empty()
        }

        /// The path, if it is one.
        pub fn path(&self) -> Option<&Path> {
            let is_file = !matches!(self.0.first(), None | Some(0));
            is_file.then(|| Path::new(OsStr::from_bytes(&self.0)))
        }

        pub fn peer(&self) -> Peer {
            Peer::Unix((!self.is_empty()).then(|| self.text()))
        }

        /// The name as a user types it: an abstract name begins with `@`.
        pub fn text(&self) -> String {
            match self.0.strip_prefix(b"\0") {
                Some(name) => format!("@{}", String::from_utf8_lossy(name)),
                None => String::from_utf8_lossy(&self.0).into_owned(),
            }
        }
    }

    impl From<&UnixName> for SystemName {
        fn from(name: &UnixName) -> SystemName {
            SystemName(match name {
                UnixName::Path(path) => path.as_os_str().as_bytes().into(),
                UnixName::Abstract(name) => [b"\0", name.as_bytes()].concat().into(),
            })
        }
    }

    impl From<&net::SocketAddr> for SystemName {
        fn from(address: &net::SocketAddr) -> SystemName {
            if let Some(path) = address.as_pathname() {
                return SystemName(path.as_os_str().as_bytes().into());
            }
            #[cfg(target_os = "linux")]
            if let Some(name) = address.as_abstract_name() {
                return SystemName([b"\0", name].concat().into());
            }
            SystemName::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_prints_as_a_user_types_it() {
        let inet = |text: &str| SocketAddress::Inet(text.parse().unwrap()).to_string();
        assert_eq!(inet("127.0.0.1:80"), "tcp://127.0.0.1:80");
        assert_eq!(inet("[::1]:80"), "tcp://[::1]:80");
        let path = SocketAddress::Unix(UnixName::Path("/run/x.sock".into()));
        assert_eq!(path.to_string(), "unix:/run/x.sock");
        let hidden = SocketAddress::Unix(UnixName::Abstract("x".to_string()));
        assert_eq!(hidden.to_string(), "unix:@x");
    }

    #[test]
    fn an_ipv4_mapped_peer_is_shown_as_ipv4() {
        let shown = |text: &str| inet_peer(text.parse().unwrap()).to_string();
        assert_eq!(shown("[::ffff:10.0.0.1]:7"), "10.0.0.1:7");
        assert_eq!(shown("10.0.0.1:7"), "10.0.0.1:7");
        assert_eq!(shown("[::1]:7"), "[::1]:7");
        assert_eq!(shown("[fe80::1%3]:7"), "[fe80::1%3]:7");
    }

    #[cfg(unix)]
    #[test]
    fn a_unix_name_survives_the_conversion_both_ways() {
        let through = |name: UnixName| unix_peer(&unix_address(&name).unwrap());
        let path = through(UnixName::Path("/run/x.sock".into()));
        assert_eq!(path, Peer::Unix(Some("/run/x.sock".to_string())));
        #[cfg(target_os = "linux")]
        assert_eq!(
            through(UnixName::Abstract("x".to_string())),
            Peer::Unix(Some("@x".to_string()))
        );
        let long = unix_address(&UnixName::Path("x".repeat(200).into()));
        assert_eq!(long.unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
}
