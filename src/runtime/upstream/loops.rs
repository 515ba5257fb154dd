//! Recognises accepted connections that this process dialed itself, so that a relay loop is reset
//! instead of using up all connections. A chain of different routes is legitimate. A route that
//! occurs twice is a loop.
//!
//! Loops through another process, another host or NAT are not recognised. Limits bound them.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use crate::config::{Address, UnixName};
use crate::core::Peer;

use crate::net::address::SocketAddress;
use crate::net::self_connect::FileId;
use crate::net::socket::Socket;
use crate::runtime::routes::RouteId;

/// Maximum number of remembered dials. A dial is removed when it is accepted, or when a newer one
/// replaces it. Most of the replaced ones went to another host, on the port of a local listener.
const RECENT_MAX: usize = 4096;

/// Where an accepted connection came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A client that is not this process.
    Client,
    /// This process dialed it. The routes that it has passed, in order.
    Routes(Vec<RouteId>),
    /// This process dialed it, but the dial is not in the table.
    Unknown,
}

/// The stream listeners of this process, and recent dials that may lead to them.
#[derive(Default)]
pub struct RecentDials {
    ports: Vec<u16>,
    unix: Vec<(UnixName, Option<FileId>, RouteId)>,
    dials: HashMap<Local, Dial>,
    /// Ring of the keys of `dials`: when it is full, the oldest dial is replaced.
    places: Vec<Local>,
    next: usize,
}

/// The local address of a dial, which is the peer address on the accepting side.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Local {
    Inet(IpAddr, u16),
    Unix(String),
}

struct Dial {
    /// The destination of a TCP dial. Several dials may share one local address.
    to: Option<SocketAddr>,
    routes: Vec<RouteId>,
    place: usize,
}

impl Origin {
    /// Whether a connection of this origin has passed the route already, or may have.
    pub fn has_passed(&self, route: RouteId) -> bool {
        match self {
            Origin::Client => false,
            Origin::Routes(routes) => routes.contains(&route),
            Origin::Unknown => true,
        }
    }

    /// The routes passed, including this one.
    fn and(&self, route: RouteId) -> Vec<RouteId> {
        match self {
            Origin::Routes(routes) => routes.iter().copied().chain([route]).collect(),
            Origin::Client | Origin::Unknown => vec![route],
        }
    }
}

impl RecentDials {
    /// Replaces the bound stream listeners.
    pub fn set_listeners<'a>(&mut self, listeners: impl Iterator<Item = (&'a Address, RouteId)>) {
        self.ports.clear();
        self.unix.clear();
        for (at, route) in listeners {
            match at {
                Address::Tcp(_, port) => self.ports.push(*port),
                Address::Unix(name) => self.unix.push((name.clone(), FileId::of(name), route)),
                Address::Udp(..) | Address::UnixDatagram(_) => {}
            }
        }
    }

    /// Returns the route whose Unix listener has this address, under any path.
    pub fn unix_route(&self, to: &SocketAddress) -> Option<RouteId> {
        let SocketAddress::Unix(to) = to else { return None };
        if self.unix.is_empty() {
            return None;
        }
        let id = FileId::of(to);
        let same = |at: &UnixName, file: &Option<FileId>| match to {
            UnixName::Path(_) => id.is_some() && *file == id,
            UnixName::Abstract(_) => at == to,
        };
        self.unix.iter().find(|(at, file, _)| same(at, file)).map(|(.., route)| *route)
    }

    /// Records a dial that may lead back: to the port of a local listener, or to a local Unix
    /// listener.
    pub fn record(&mut self, socket: &Socket, to: &SocketAddress, origin: &Origin, route: RouteId) {
        let to = match to {
            SocketAddress::Inet(to) if self.ports.contains(&to.port()) => Some(*to),
            SocketAddress::Inet(_) => return,
            SocketAddress::Unix(_) => None,
        };
        if let Some(local) = socket.local().ok().as_ref().and_then(Local::new) {
            self.remember(local, to, origin.and(route));
        }
    }

    /// Returns the origin of an accepted connection, and removes its dial from the table. The
    /// origin matters to relays only.
    pub fn origin(&mut self, socket: &Socket, peer: &Peer, relays: bool) -> Origin {
        if self.dials.is_empty() && !(relays && matches!(peer, Peer::Unix(_))) {
            return Origin::Client;
        }
        let (local, otherwise) = match peer {
            Peer::Unix(_) if !is_from_this_process(socket) => return Origin::Client,
            // `accept` does not return a peer name that the system chose.
            Peer::Unix(_) => (socket.peer().ok().as_ref().and_then(Local::new), Origin::Unknown),
            peer => (Local::new(peer), Origin::Client),
        };
        let local = local.filter(|local| self.is_to(local, socket));
        let dial = local.and_then(|local| self.dials.remove(&local));
        dial.map_or(otherwise, |dial| Origin::Routes(dial.routes))
    }

    fn remember(&mut self, local: Local, to: Option<SocketAddr>, routes: Vec<RouteId>) {
        let place = self.next;
        self.next = (place + 1) % RECENT_MAX;
        match self.places.get_mut(place) {
            None => self.places.push(local.clone()),
            Some(oldest) => {
                let oldest = std::mem::replace(oldest, local.clone());
                if self.dials.get(&oldest).is_some_and(|dial| dial.place == place) {
                    self.dials.remove(&oldest);
                }
            }
        }
        self.dials.insert(local, Dial { to, routes, place });
    }

    /// Whether the dial from this address went to the address where the socket was accepted.
    fn is_to(&self, local: &Local, socket: &Socket) -> bool {
        match self.dials.get(local).map(|dial| dial.to) {
            None => false,
            Some(None) => true,
            Some(Some(to)) => match socket.local() {
                Ok(Peer::Inet(at)) => {
                    let ip = to.ip().to_canonical();
                    to.port() == at.port() && (ip.is_unspecified() || ip == at.ip().to_canonical())
                }
                _ => false,
            },
        }
    }
}

impl Local {
    /// Returns None for an unnamed Unix socket, which cannot be told from others.
    fn new(peer: &Peer) -> Option<Local> {
        match peer {
            Peer::Inet(address) => Some(Local::Inet(address.ip().to_canonical(), address.port())),
            Peer::Unix(name) => name.clone().map(Local::Unix),
            Peer::Stdio => None,
        }
    }
}

/// Whether the other end of a Unix socket was connected by this process.
#[cfg(target_os = "linux")]
fn is_from_this_process(socket: &Socket) -> bool {
    use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
    let Socket::Unix(stream) = socket else { return false };
    let own = i32::try_from(std::process::id()).ok();
    getsockopt(stream, PeerCredentials).is_ok_and(|peer| Some(peer.pid()) == own)
}

#[cfg(not(target_os = "linux"))]
fn is_from_this_process(_: &Socket) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(index: u16) -> RouteId {
        RouteId { index, generation: 1 }
    }

    fn local(port: usize) -> Local {
        Local::Inet(IpAddr::from([127, 0, 0, 1]), port as u16)
    }

    #[test]
    fn the_table_of_recent_dials_is_bounded_and_forgets_the_oldest() {
        let mut recent = RecentDials::default();
        for port in 0..3 * RECENT_MAX {
            recent.remember(local(port), None, vec![route(0)]);
            assert!(recent.dials.len() <= RECENT_MAX && recent.places.len() <= RECENT_MAX);
        }
        assert!(!recent.dials.contains_key(&local(2 * RECENT_MAX - 1)));
        assert!(recent.dials.contains_key(&local(2 * RECENT_MAX)));
        // A reused port is remembered for as long as its last dial.
        let last = 3 * RECENT_MAX - 1;
        recent.remember(local(last), None, vec![route(1)]);
        (0..RECENT_MAX - 1).for_each(|port| recent.remember(local(port), None, vec![route(0)]));
        assert_eq!(recent.dials.get(&local(last)).map(|dial| &dial.routes), Some(&vec![route(1)]));
    }

    #[test]
    fn a_route_may_follow_others_and_not_itself() {
        let origin = Origin::Routes(Origin::Client.and(route(3)));
        assert!(!Origin::Client.has_passed(route(3)));
        assert!(!origin.has_passed(route(4)) && origin.has_passed(route(3)));
        assert_eq!(origin.and(route(4)), [route(3), route(4)]);
        assert!(Origin::Unknown.has_passed(route(0)));
    }

    #[test]
    fn a_later_route_with_the_same_index_is_another_one() {
        let origin = Origin::Routes(vec![route(3)]);
        assert!(!origin.has_passed(RouteId { generation: 2, ..route(3) }));
    }
}
