//! Many datagrams a system call: several arrivals in one call, and trains of datagrams that are
//! received and sent as one.
//!
//! Linux only. A train is what a sender gave to the system in one call (UDP_SEGMENT) or a network
//! card has joined; a socket that takes trains (UDP_GRO) gets it in one piece.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::SocketAddr;
use std::os::fd::AsRawFd;

use mio::net::UdpSocket;
use nix::cmsg_space;
use nix::errno::Errno;
use nix::libc::in6_pktinfo;
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, MultiHeaders, RecvMsg, SockaddrStorage,
    recvmmsg, sendmsg, setsockopt, sockopt,
};

use super::datagram_socket::Remote;
use super::ours::{self, Ours};
use super::room::{Arrival, PLACE_BYTES, PLACES, Room, Train};

/// From now on trains arrive as they are. Before Linux 5.0 there are none.
pub fn take_trains(socket: &UdpSocket) -> io::Result<()> {
    Ok(setsockopt(socket, sockopt::UdpGroSegment, &true)?)
}

/// Takes what has arrived, as much as fits. True: nothing more was there, and the system will
/// announce what comes later. (What ends such a call early is nothing to be had, or an error that
/// came up meanwhile; and each error is announced.)
pub fn receive(socket: &UdpSocket, is_connected: bool, room: &mut Room) -> io::Result<bool> {
    let Room { bytes, arrivals } = room;
    let control = cmsg_space!(i32, in6_pktinfo);
    // The system shortens the headers to what came, so they serve one call.
    let mut headers = MultiHeaders::<SockaddrStorage>::preallocate(PLACES, Some(control));
    let mut places = bytes.chunks_exact_mut(PLACE_BYTES);
    let mut parts: [[IoSliceMut<'_>; 1]; PLACES] =
        std::array::from_fn(|_| [IoSliceMut::new(places.next().unwrap_or_default())]);
    socket.try_io(|| {
        let flags = MsgFlags::empty();
        let messages = recvmmsg(socket.as_raw_fd(), &mut headers, &mut parts, flags, None)?;
        for (place, message) in messages.enumerate() {
            arrivals.push(arrival(place, is_connected, &message));
        }
        Ok(arrivals.len() < PLACES)
    })
}

/// A message of the system, and what it tells about it.
fn arrival(
    place: usize,
    is_connected: bool,
    message: &RecvMsg<'_, '_, SockaddrStorage>,
) -> Arrival {
    let (mut each, mut ours) = (message.bytes, None);
    for control in message.cmsgs().into_iter().flatten() {
        match control {
            ControlMessageOwned::UdpGroSegments(length) => each = length.max(1) as usize,
            other => ours = ours.or(ours::ours(other)),
        }
    }
    let from = message.address.as_ref().filter(|_| !is_connected).and_then(address);
    let from = from.map(|from| Remote::Inet(from, ours));
    let is_whole = !message.flags.intersects(MsgFlags::MSG_TRUNC | MsgFlags::MSG_CTRUNC);
    Arrival { from, start: place * PLACE_BYTES, bytes: message.bytes, each, is_whole }
}

fn address(from: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = from.as_sockaddr_in().map(|v4| SocketAddr::V4((*v4).into()));
    v4.or_else(|| from.as_sockaddr_in6().map(|v6| SocketAddr::V6((*v6).into())))
}

/// Sends all datagrams of a train, or none; to the remote that the socket is connected with, if no
/// other is named. With an address of ours they come from that one.
pub fn send(
    socket: &UdpSocket,
    train: Train<'_>,
    to: Option<SocketAddr>,
    from: Option<Ours>,
) -> io::Result<usize> {
    let each = train.each().try_into().map_err(|_| Errno::EMSGSIZE)?;
    let (parts, to) = ([IoSlice::new(train.bytes())], to.map(SockaddrStorage::from));
    let source = from.map(ours::Source::from);
    let source = source.as_ref().map(ours::Source::message);
    let train = (train.len() > 1).then_some(ControlMessage::UdpGsoSegments(&each));
    let send = |control: &[ControlMessage<'_>]| {
        sendmsg(socket.as_raw_fd(), &parts, control, MsgFlags::empty(), to.as_ref())
    };
    socket.try_io(|| {
        Ok(match (train, source) {
            (None, None) => send(&[]),
            (Some(one), None) | (None, Some(one)) => send(&[one]),
            (Some(train), Some(source)) => send(&[train, source]),
        }?)
    })
}
