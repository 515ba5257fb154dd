//! Addresses of packets: real ones where they are known, and made-up ones with a name for Unix
//! sockets, for host names, and for the local address of a connection to a target.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::core::Peer;
use crate::observe::line::PeerName;
use crate::text::escape::plain;

/// Named addresses are counted from here. 240.0.0.0/4 is reserved: no host has such an address.
const FIRST_NAMED: u32 = 0xf080_0000;
/// The addresses of oneloop itself are counted from here.
const FIRST_OWN: u32 = 0xf000_0001;
/// RFC 6666: this prefix is discarded everywhere.
const OWN_V6: u16 = 0x0100;
/// Ports of made-up addresses: the dynamic range of RFC 6335.
const FIRST_PORT: u32 = 49_152;
const PORTS: u32 = 16_384;
/// The port of a named address that is listened on.
const LISTEN_PORT: u16 = 1;

/// The addresses made up so far.
#[derive(Default)]
pub(super) struct Names {
    named: HashMap<String, Ipv4Addr>,
    /// Local ports that were made up: the number of the next one.
    ports: u32,
    /// Names that the file does not contain yet.
    pub fresh: Vec<(IpAddr, String)>,
}

impl Names {
    /// Begins another section of the file, which contains no name yet. No address is used again.
    pub fn begin_section(&mut self) {
        let named = self.named.iter();
        self.fresh = named.map(|(name, address)| ((*address).into(), name.clone())).collect();
        self.fresh.sort();
    }

    /// Returns the address of a client or of a sender.
    pub fn peer(&mut self, peer: &Peer) -> SocketAddr {
        match peer {
            Peer::Inet(address) => *address,
            Peer::Stdio | Peer::Unix(Some(_)) => self.named(&PeerName(peer).to_string()),
            Peer::Unix(None) => {
                let address = self.named("unix");
                // Clients without a name differ in their ports.
                SocketAddr::new(address.ip(), self.next_port().1)
            }
        }
    }

    /// Returns an address that is listened on or connected to, `tcp://127.0.0.1:7007`.
    pub fn listen(&mut self, address: &str) -> SocketAddr {
        let host = address.split_once("://").map_or(address, |(_, host)| host);
        host.parse().unwrap_or_else(|_| self.named(&plain(address).to_string()))
    }

    /// Returns an address of oneloop for a new connection to `target`. The real one is not part of
    /// an event.
    pub fn own(&mut self, target: SocketAddr) -> SocketAddr {
        let (host, port) = self.next_port();
        let address = match target {
            SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::from_bits(FIRST_OWN + host)),
            SocketAddr::V6(_) => {
                let [high, low] = [(host >> 16) as u16, host as u16];
                IpAddr::V6(Ipv6Addr::new(OWN_V6, 0, 0, 0, 0, 0, high, low))
            }
        };
        if port == FIRST_PORT as u16 {
            self.fresh.push((address, "oneloop".to_string()));
        }
        SocketAddr::new(address, port)
    }

    fn named(&mut self, name: &str) -> SocketAddr {
        let next = Ipv4Addr::from_bits(FIRST_NAMED + self.named.len() as u32);
        let fresh = &mut self.fresh;
        let address = *self.named.entry(name.to_string()).or_insert_with(|| {
            fresh.push((next.into(), name.to_string()));
            next
        });
        SocketAddr::new(address.into(), LISTEN_PORT)
    }

    /// Returns a host number and a port that were not used before.
    fn next_port(&mut self) -> (u32, u16) {
        let number = self.ports;
        self.ports = self.ports.wrapping_add(1);
        (number / PORTS, (FIRST_PORT + number % PORTS) as u16)
    }
}

/// Returns `own` in the family of `peer`: a listener on all addresses has those of both families.
pub(super) fn same_family(own: SocketAddr, peer: SocketAddr) -> SocketAddr {
    let address = match (own, peer) {
        (SocketAddr::V6(_), SocketAddr::V4(_)) => Ipv4Addr::UNSPECIFIED.into(),
        (SocketAddr::V4(_), SocketAddr::V6(_)) => Ipv6Addr::UNSPECIFIED.into(),
        (SocketAddr::V4(_), SocketAddr::V4(_)) | (SocketAddr::V6(_), SocketAddr::V6(_)) => own.ip(),
    };
    SocketAddr::new(address, own.port())
}
