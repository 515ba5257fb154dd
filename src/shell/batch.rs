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
use rustix::net::addr::SocketAddrArg;
use rustix::net::{MMsgHdr, SendAncillaryBuffer, SendFlags, sendmmsg};

use super::pktinfo::{self, Ours};
use super::remote::Remote;
use super::room::{Family, PLACE_BYTES, PLACES, Received, Room, Segments, Wanted};

/// From now on trains arrive as they are. Before Linux 5.0 there are none.
pub fn take_trains(socket: &UdpSocket) -> io::Result<()> {
    Ok(setsockopt(socket, sockopt::UdpGroSegment, &true)?)
}

/// Takes what has arrived, as much as the room still has places for. True: nothing more was there,
/// and the system will announce what comes later. (What ends such a call early is nothing to be
/// had, or an error that came up meanwhile; and each error is announced.)
pub fn receive(socket: &UdpSocket, wanted: Wanted, room: &mut Room) -> io::Result<bool> {
    let (first, free) = (room.all_received.len(), room.places());
    let Room { bytes, all_received, fresh, headers, .. } = room;
    *fresh = first;
    let mut places = bytes.chunks_exact_mut(PLACE_BYTES).skip(first);
    let mut parts: [[IoSliceMut<'_>; 1]; PLACES] =
        std::array::from_fn(|_| [IoSliceMut::new(places.next().unwrap_or_default())]);
    let plain = || MultiHeaders::preallocate(PLACES, None);
    let mut once;
    let headers = match wanted {
        Wanted::Nothing => headers.unasked.get_or_insert_with(plain),
        Wanted::Sender(Family::V4) => headers.v4.get_or_insert_with(plain),
        Wanted::Sender(Family::V6) => headers.v6.get_or_insert_with(plain),
        Wanted::Sender(Family::Unix) | Wanted::All => {
            // What the system tells of this one is shortened to nothing, mostly.
            once = MultiHeaders::preallocate(PLACES, Some(cmsg_space!(i32, in6_pktinfo)));
            &mut once
        }
    };
    socket.try_io(|| {
        let flags = MsgFlags::empty();
        let parts = parts.iter_mut().take(free);
        let messages = recvmmsg(socket.as_raw_fd(), headers, parts, flags, None)?;
        let messages = (first..).zip(messages);
        all_received.extend(messages.map(|(place, message)| received(place, wanted, &message)));
        Ok(all_received.len() - first < free)
    })
}

/// A message of the system, and what it tells about it.
fn received(place: usize, wanted: Wanted, message: &RecvMsg<'_, '_, SockaddrStorage>) -> Received {
    let (mut each, mut ours) = (message.bytes, None);
    for control in message.cmsgs().into_iter().flatten() {
        match control {
            ControlMessageOwned::UdpGroSegments(length) => each = length.max(1) as usize,
            other => ours = ours.or(pktinfo::ours(other)),
        }
    }
    let from = message.address.as_ref().filter(|_| wanted != Wanted::Nothing).and_then(address);
    let from = from.map(|from| Remote::Inet(from, ours));
    let is_whole = !message.flags.intersects(MsgFlags::MSG_TRUNC | MsgFlags::MSG_CTRUNC);
    Received { from, start: place * PLACE_BYTES, bytes: message.bytes, each, is_whole }
}

fn address(from: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = from.as_sockaddr_in().map(|v4| SocketAddr::V4((*v4).into()));
    v4.or_else(|| from.as_sockaddr_in6().map(|v6| SocketAddr::V6((*v6).into())))
}

/// Sends all datagrams of a train, or none; to the remote that the socket is connected with, if no
/// other is named. With an address of ours they come from that one.
pub fn send(
    socket: &UdpSocket,
    train: Segments<'_>,
    to: Option<SocketAddr>,
    from: Option<Ours>,
) -> io::Result<usize> {
    let each = train.each().try_into().map_err(|_| Errno::EMSGSIZE)?;
    let (parts, to) = ([IoSlice::new(train.bytes())], to.map(SockaddrStorage::from));
    let source = from.map(pktinfo::Source::from);
    let source = source.as_ref().map(pktinfo::Source::message);
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

/// Sends single datagrams, each to its own remote, in one call. Tells how many went out, from the
/// first on; none, if it is not worth such a call. An error is that of the first one.
pub fn send_many<'a>(
    socket: &UdpSocket,
    datagrams: impl Iterator<Item = (&'a [u8], SocketAddr)>,
) -> io::Result<usize> {
    let mut parts = [[IoSlice::new(&[])]; PLACES];
    let mut remotes = [const { None }; PLACES];
    let mut number = 0;
    for (bytes, to) in datagrams.take(PLACES) {
        (parts[number], remotes[number]) = ([IoSlice::new(bytes)], Some(to.as_any()));
        number += 1;
    }
    if number < 2 {
        return Ok(0);
    }
    let mut controls: [SendAncillaryBuffer<'_, '_, '_>; PLACES] = Default::default();
    let mut filled = remotes.iter().zip(&parts);
    let mut headers = controls.each_mut().map(|control| match filled.next() {
        Some((Some(to), part)) => MMsgHdr::new_with_addr(to, part, control),
        _ => MMsgHdr::new(&[], control),
    });
    socket.try_io(|| Ok(sendmmsg(socket, &mut headers[..number], SendFlags::NOSIGNAL)?))
}
