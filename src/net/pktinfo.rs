//! The local address of each datagram (IP_PKTINFO). A socket that is bound to the wildcard address
//! must reply from the address a datagram was sent to: a connected client accepts no other.
//!
//! Linux reports the address with each datagram and takes it with the reply. On other systems the
//! kernel chooses the source address.

use std::io;
use std::net::IpAddr;

use mio::net::UdpSocket;

/// A local address, with the interface of a link-local one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LocalAddr {
    pub ip: IpAddr,
    interface: u32,
}

#[cfg(target_os = "linux")]
mod imp {
    use std::net::SocketAddr;

    use nix::libc::{in_addr, in_pktinfo, in6_addr, in6_pktinfo};
    use nix::sys::socket::{ControlMessage, ControlMessageOwned, setsockopt, sockopt};

    use super::*;

    /// Asks the system to report the local address of each datagram.
    pub fn enable(socket: &UdpSocket) -> io::Result<()> {
        match socket.local_addr()? {
            SocketAddr::V4(_) => setsockopt(socket, sockopt::Ipv4PacketInfo, &true)?,
            // A dual-stack socket reports IPv4 datagrams in this form too.
            SocketAddr::V6(_) => setsockopt(socket, sockopt::Ipv6RecvPacketInfo, &true)?,
        }
        Ok(())
    }

    /// Reads the local address from a received control message.
    pub fn local_addr(message: ControlMessageOwned) -> Option<LocalAddr> {
        match message {
            ControlMessageOwned::Ipv4PacketInfo(info) => {
                let ip = IpAddr::from(info.ipi_spec_dst.s_addr.to_ne_bytes());
                Some(LocalAddr { ip, interface: 0 })
            }
            ControlMessageOwned::Ipv6PacketInfo(info) => {
                let ip = std::net::Ipv6Addr::from(info.ipi6_addr.s6_addr);
                let interface = if ip.is_unicast_link_local() { info.ipi6_ifindex } else { 0 };
                // A multicast address cannot be the source of a reply.
                (!ip.is_multicast()).then_some(LocalAddr { ip: IpAddr::V6(ip), interface })
            }
            _ => None,
        }
    }

    /// The source address of a reply, as a control message.
    pub enum Source {
        V4(in_pktinfo),
        V6(in6_pktinfo),
    }

    impl From<LocalAddr> for Source {
        fn from(local: LocalAddr) -> Source {
            match local.ip {
                IpAddr::V4(ip) => Source::V4(in_pktinfo {
                    ipi_ifindex: 0,
                    ipi_spec_dst: in_addr { s_addr: u32::from_ne_bytes(ip.octets()) },
                    ipi_addr: in_addr { s_addr: 0 },
                }),
                IpAddr::V6(ip) => Source::V6(in6_pktinfo {
                    ipi6_addr: in6_addr { s6_addr: ip.octets() },
                    ipi6_ifindex: local.interface,
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

    pub fn enable(_: &UdpSocket) -> io::Result<()> {
        Ok(())
    }
}

pub use imp::enable;
#[cfg(target_os = "linux")]
pub use imp::{Source, local_addr};
