//! Which of our addresses a datagram came to. A door that is bound to every address must answer
//! from the one it was asked at: a client that is connected to that one hears no other.
//!
//! Linux tells it with each datagram and takes it back with the answer. Elsewhere the system
//! chooses.

use std::io;
use std::net::{IpAddr, SocketAddr};

use mio::net::UdpSocket;

use super::datagram_socket::{Remote, Room};

/// An address of ours, and for one that is valid on a single link the interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ours {
    pub ip: IpAddr,
    interface: u32,
}

#[cfg(target_os = "linux")]
mod imp {
    use std::io::{IoSlice, IoSliceMut};
    use std::os::fd::AsRawFd;

    use nix::cmsg_space;
    use nix::errno::Errno;
    use nix::libc::{in_addr, in_pktinfo, in6_addr, in6_pktinfo};
    use nix::sys::socket::{
        ControlMessage, ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, sendmsg,
        setsockopt, sockopt,
    };

    use super::*;

    pub fn tell(socket: &UdpSocket) -> io::Result<()> {
        match socket.local_addr()? {
            SocketAddr::V4(_) => setsockopt(socket, sockopt::Ipv4PacketInfo, &true)?,
            // It tells of IPv4 datagrams too, if the socket takes them.
            SocketAddr::V6(_) => setsockopt(socket, sockopt::Ipv6RecvPacketInfo, &true)?,
        }
        Ok(())
    }

    /// Room for either kind of message.
    pub fn control() -> Vec<u8> {
        cmsg_space!(in6_pktinfo)
    }

    pub fn recv_from(socket: &UdpSocket, room: &mut Room) -> io::Result<(usize, Remote)> {
        let Room { bytes, control } = room;
        socket.try_io(|| {
            let mut parts = [IoSliceMut::new(bytes)];
            let (descriptor, flags) = (socket.as_raw_fd(), MsgFlags::empty());
            let message = recvmsg::<SockaddrStorage>(descriptor, &mut parts, Some(control), flags)?;
            let from = message.address.as_ref().and_then(address).ok_or(Errno::EAFNOSUPPORT)?;
            let ours = message.cmsgs().ok().and_then(|mut all| all.find_map(ours));
            Ok((message.bytes, Remote::Inet(from, ours)))
        })
    }

    pub fn send_to(
        socket: &UdpSocket,
        bytes: &[u8],
        to: SocketAddr,
        ours: Ours,
    ) -> io::Result<usize> {
        let (to, parts) = (SockaddrStorage::from(to), [IoSlice::new(bytes)]);
        let send = |control: ControlMessage<'_>| {
            let flags = MsgFlags::empty();
            Ok(sendmsg(socket.as_raw_fd(), &parts, &[control], flags, Some(&to))?)
        };
        socket.try_io(|| match ours.ip {
            IpAddr::V4(ip) => send(ControlMessage::Ipv4PacketInfo(&in_pktinfo {
                ipi_ifindex: 0,
                ipi_spec_dst: in_addr { s_addr: u32::from_ne_bytes(ip.octets()) },
                ipi_addr: in_addr { s_addr: 0 },
            })),
            IpAddr::V6(ip) => send(ControlMessage::Ipv6PacketInfo(&in6_pktinfo {
                ipi6_addr: in6_addr { s6_addr: ip.octets() },
                ipi6_ifindex: ours.interface,
            })),
        })
    }

    fn address(from: &SockaddrStorage) -> Option<SocketAddr> {
        let v4 = from.as_sockaddr_in().map(|v4| SocketAddr::V4((*v4).into()));
        v4.or_else(|| from.as_sockaddr_in6().map(|v6| SocketAddr::V6((*v6).into())))
    }

    fn ours(message: ControlMessageOwned) -> Option<Ours> {
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
}

#[cfg(not(target_os = "linux"))]
mod imp {
    use super::*;

    pub fn tell(_: &UdpSocket) -> io::Result<()> {
        Ok(())
    }

    pub fn recv_from(socket: &UdpSocket, room: &mut Room) -> io::Result<(usize, Remote)> {
        socket.recv_from(&mut room.bytes).map(|(bytes, from)| (bytes, Remote::Inet(from, None)))
    }

    pub fn send_to(socket: &UdpSocket, bytes: &[u8], to: SocketAddr, _: Ours) -> io::Result<usize> {
        socket.send_to(bytes, to)
    }
}

#[cfg(target_os = "linux")]
pub use imp::control;
pub use imp::{recv_from, send_to, tell};
