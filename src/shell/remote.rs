//! The remote: the other side of a datagram, where one came from or where one goes to.

use std::fmt;
use std::net::SocketAddr;

#[cfg(unix)]
use super::address::SystemName;
use super::address::inet_peer;
use super::pktinfo::Ours;
use crate::core::Peer;

/// The other side of a datagram: where one came from, or where one goes to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Remote {
    /// With the address of ours that it came to, where a door has many: the answer comes from it.
    Inet(SocketAddr, Option<Ours>),
    #[cfg(unix)]
    Unix(SystemName),
}

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

    /// The name of ours that this one knows: where it sent to, or else what `listener` is bound to.
    pub fn told_from(&self, listener: &Remote) -> Remote {
        match (self, listener) {
            (Remote::Inet(_, Some(ours)), Remote::Inet(bound, _)) => {
                Remote::Inet(SocketAddr::new(ours.ip, bound.port()), None)
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
