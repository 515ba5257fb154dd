//! The remote: the other side of a datagram, where one came from or where one goes to.

use std::fmt;
use std::net::SocketAddr;

use super::address::inet_peer;
use super::ours::Ours;
use crate::core::Peer;

/// The other side of a datagram: where one came from, or where one goes to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Remote {
    /// With the address of ours that it came to, where a door has many: the answer comes from it.
    Inet(SocketAddr, Option<Ours>),
    #[cfg(unix)]
    Unix(UnixRemote),
}

/// The name of a Unix socket as the system has it: nothing (it bound no name), a path, or an
/// abstract name behind a zero byte.
#[cfg(unix)]
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct UnixRemote(Box<[u8]>);

impl Remote {
    /// Whether an answer could reach it: a Unix socket without a name cannot be named.
    pub fn is_named(&self) -> bool {
        match self {
            Remote::Inet(..) => true,
            #[cfg(unix)]
            Remote::Unix(name) => !name.is_empty(),
        }
    }

    /// Its internet address, if it has one.
    pub fn inet(&self) -> Option<SocketAddr> {
        match self {
            Remote::Inet(address, _) => Some(*address),
            #[cfg(unix)]
            Remote::Unix(_) => None,
        }
    }

    pub fn is_inet(&self) -> bool {
        self.inet().is_some()
    }

    /// The name of ours that this one knows: where it sent to, or else what `door` is bound to.
    pub fn told_from(&self, door: &Remote) -> Remote {
        match (self, door) {
            (Remote::Inet(_, Some(ours)), Remote::Inet(bound, _)) => {
                Remote::Inet(SocketAddr::new(ours.ip, bound.port()), None)
            }
            _ => door.clone(),
        }
    }

    pub fn peer(&self) -> Peer {
        match self {
            Remote::Inet(address, _) => inet_peer(*address),
            #[cfg(unix)]
            Remote::Unix(name) => Peer::Unix((!name.is_empty()).then(|| name.text())),
        }
    }
}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Remote::Inet(address, _) => write!(f, "udp://{address}"),
            #[cfg(unix)]
            Remote::Unix(name) => write!(f, "unix-dgram:{}", name.text()),
        }
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

    use socket2::SockAddr;

    use super::UnixRemote;
    use crate::plan::UnixName;

    impl UnixRemote {
        pub fn address(&self) -> io::Result<SockAddr> {
            SockAddr::unix(OsStr::from_bytes(&self.0))
        }

        pub fn is_empty(&self) -> bool {
            self.0.is_empty()
        }

        /// As a user types it: an abstract name begins with `@`.
        pub fn text(&self) -> String {
            match self.0.strip_prefix(b"\0") {
                Some(name) => format!("@{}", String::from_utf8_lossy(name)),
                None => String::from_utf8_lossy(&self.0).into_owned(),
            }
        }
    }

    impl From<&UnixName> for UnixRemote {
        fn from(name: &UnixName) -> UnixRemote {
            UnixRemote(match name {
                UnixName::Path(path) => path.as_os_str().as_bytes().into(),
                UnixName::Abstract(name) => [b"\0", name.as_bytes()].concat().into(),
            })
        }
    }

    impl From<&net::SocketAddr> for UnixRemote {
        fn from(address: &net::SocketAddr) -> UnixRemote {
            if let Some(path) = address.as_pathname() {
                return UnixRemote(path.as_os_str().as_bytes().into());
            }
            #[cfg(target_os = "linux")]
            if let Some(name) = address.as_abstract_name() {
                return UnixRemote([b"\0", name].concat().into());
            }
            UnixRemote::default()
        }
    }
}
