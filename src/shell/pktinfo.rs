//! Which of our addresses a datagram came to. A door that is bound to every address must answer
//! from the one it was asked at: a client that is connected to that one hears no other.
//!
//! Linux tells it with each datagram and takes it back with the answer. Elsewhere the system
//! chooses.

use std::io;
use std::net::IpAddr;

use mio::net::UdpSocket;

/// An address of ours, and for one that is valid on a single link the interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ours {
    pub ip: IpAddr,
    interface: u32,
}

#[cfg(target_os = "linux")]
mod imp {
    use std::net::SocketAddr;

    use nix::libc::{in_addr, in_pktinfo, in6_addr, in6_pktinfo};
    use nix::sys::socket::{ControlMessage, ControlMessageOwned, setsockopt, sockopt};

    use super::*;

    pub fn tell(socket: &UdpSocket) -> io::Result<()> {
        match socket.local_addr()? {
            SocketAddr::V4(_) => setsockopt(socket, sockopt::Ipv4PacketInfo, &true)?,
            // It tells of IPv4 datagrams too, if the socket takes them.
            SocketAddr::V6(_) => setsockopt(socket, sockopt::Ipv6RecvPacketInfo, &true)?,
        }
        Ok(())
    }

    /// What the system tells with a datagram.
    pub fn ours(message: ControlMessageOwned) -> Option<Ours> {
        match message {
            ControlMessageOwned::Ipv4PacketInfo(info) => {
                let ip = IpAddr::from(info.ipi_spec_dst.s_addr.to_ne_bytes());
                Some(Ours { ip, interface: 0 })
            }
            ControlMessageOwned::Ipv6PacketInfo(info) => {
                let ip = std::net::Ipv6Addr::from(info.ipi6_addr.s6_addr);
                let interface = if ip.is_unicast_link_local() { info.ipi6_ifindex } else { 0 };
                // An answer cannot come from the address of a group.
                (!ip.is_multicast()).then_some(Ours { ip: IpAddr::V6(ip), interface })
            }
            _ => None,
        }
    }

    /// What the system is told with an answer.
    pub enum Source {
        V4(in_pktinfo),
        V6(in6_pktinfo),
    }

    impl From<Ours> for Source {
        fn from(ours: Ours) -> Source {
            match ours.ip {
                IpAddr::V4(ip) => Source::V4(in_pktinfo {
                    ipi_ifindex: 0,
                    ipi_spec_dst: in_addr { s_addr: u32::from_ne_bytes(ip.octets()) },
                    ipi_addr: in_addr { s_addr: 0 },
                }),
                IpAddr::V6(ip) => Source::V6(in6_pktinfo {
                    ipi6_addr: in6_addr { s6_addr: ip.octets() },
                    ipi6_ifindex: ours.interface,
                }),
            }
        }
    }

    impl Source {
        pub fn message(&self) -> ControlMessage<'_> {
            match self {
                Source::V4(info) => ControlMessage::Ipv4PacketInfo(info),
                Source::V6(info) => ControlMessage::Ipv6PacketInfo(info),
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod imp {
    use super::*;

    pub fn tell(_: &UdpSocket) -> io::Result<()> {
        Ok(())
    }
}

pub use imp::tell;
#[cfg(target_os = "linux")]
pub use imp::{Source, ours};
