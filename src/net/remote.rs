//! The remote address of a datagram.

use std::fmt;
use std::net::SocketAddr;

#[cfg(unix)]
use super::address::SystemName;
use super::address::inet_peer;
use super::pktinfo::LocalAddr;
use crate::core::Peer;

/// The remote address of a datagram: its source or its destination.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Remote {
    /// With the local address of the datagram, on a socket bound to the wildcard address. Replies
    /// are sent from it.
    Inet(SocketAddr, Option<LocalAddr>),
    #[cfg(unix)]
    Unix(SystemName),
}

impl Remote {
    /// Whether a reply can be sent to it. An unbound Unix socket has no address.
    pub fn is_named(&self) -> bool {
        match self {
            Remote::Inet(..) => true,
            #[cfg(unix)]
            Remote::Unix(name) => !name.is_empty(),
        }
    }

    /// The IP address and port, if it has them.
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

    /// The local address that replies to this remote are sent from: the one that its datagram was
    /// sent to, or else what `listener` is bound to.
    pub fn reply_source(&self, listener: &Remote) -> Remote {
        match (self, listener) {
            (Remote::Inet(_, Some(local)), Remote::Inet(bound, _)) => {
                Remote::Inet(SocketAddr::new(local.ip, bound.port()), None)
            }
            _ => listener.clone(),
        }
    }

    pub fn peer(&self) -> Peer {
        match self {
            Remote::Inet(address, _) => inet_peer(*address),
            #[cfg(unix)]
            Remote::Unix(name) => name.peer(),
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
