//! Batched datagram I/O on Linux: `recvmmsg`, `sendmmsg`, and trains by GRO and GSO.
//!
//! A train is sent in one call with UDP_SEGMENT, or joined by the network card. A socket with
//! UDP_GRO receives it as one message.

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

use super::pktinfo::{self, LocalAddr};
use super::recv_batch::{Family, MAX_RECEIVED, Received, RecvBatch, SLOT_BYTES, Segments, Wanted};
use super::remote::Remote;

/// Sets UDP_GRO, so that trains are received as one message. Fails before Linux 5.0.
pub fn enable_gro(socket: &UdpSocket) -> io::Result<()> {
    Ok(setsockopt(socket, sockopt::UdpGroSegment, &true)?)
}

/// Receives as many messages as the batch has free slots for. Returns true if the socket is
/// drained: epoll reports the next datagram. (A short call ends with EAGAIN, or with an error that
/// came up meanwhile, and epoll reports errors too.)
pub fn receive(socket: &UdpSocket, wanted: Wanted, batch: &mut RecvBatch) -> io::Result<bool> {
    let (first, free) = (batch.all_received.len(), batch.free_slots());
    let RecvBatch { bytes, all_received, fresh, headers, .. } = batch;
    *fresh = first;
    let mut slots = bytes.chunks_exact_mut(SLOT_BYTES).skip(first);
    let mut parts: [[IoSliceMut<'_>; 1]; MAX_RECEIVED] =
        std::array::from_fn(|_| [IoSliceMut::new(slots.next().unwrap_or_default())]);
    let plain = || MultiHeaders::preallocate(MAX_RECEIVED, None);
    let mut once;
    let headers = match wanted {
        Wanted::Nothing => headers.unasked.get_or_insert_with(plain),
        Wanted::Sender(Family::V4) => headers.v4.get_or_insert_with(plain),
        Wanted::Sender(Family::V6) => headers.v6.get_or_insert_with(plain),
        Wanted::Sender(Family::Unix) | Wanted::All => {
            // The system shortens the control buffer, so these headers serve one call only.
            once = MultiHeaders::preallocate(MAX_RECEIVED, Some(cmsg_space!(i32, in6_pktinfo)));
            &mut once
        }
    };
    socket.try_io(|| {
        let flags = MsgFlags::empty();
        let parts = parts.iter_mut().take(free);
        let messages = recvmmsg(socket.as_raw_fd(), headers, parts, flags, None)?;
        let messages = (first..).zip(messages);
        all_received.extend(messages.map(|(slot, message)| received(slot, wanted, &message)));
        Ok(all_received.len() - first < free)
    })
}

/// Reads a message's sender and control messages.
fn received(slot: usize, wanted: Wanted, message: &RecvMsg<'_, '_, SockaddrStorage>) -> Received {
    let (mut segment_size, mut local) = (message.bytes, None);
    for control in message.cmsgs().into_iter().flatten() {
        match control {
            ControlMessageOwned::UdpGroSegments(length) => segment_size = length.max(1) as usize,
            other => local = local.or(pktinfo::local_addr(other)),
        }
    }
    let from = message.address.as_ref().filter(|_| wanted != Wanted::Nothing).and_then(address);
    let from = from.map(|from| Remote::Inet(from, local));
    let is_whole = !message.flags.intersects(MsgFlags::MSG_TRUNC | MsgFlags::MSG_CTRUNC);
    Received { from, start: slot * SLOT_BYTES, bytes: message.bytes, segment_size, is_whole }
}

fn address(from: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = from.as_sockaddr_in().map(|v4| SocketAddr::V4((*v4).into()));
    v4.or_else(|| from.as_sockaddr_in6().map(|v6| SocketAddr::V6((*v6).into())))
}

/// Sends all datagrams of a train or none: to `to`, or to the connected remote. The source address
/// is `from`, or chosen by the system.
pub fn send(
    socket: &UdpSocket,
    segments: Segments<'_>,
    to: Option<SocketAddr>,
    from: Option<LocalAddr>,
) -> io::Result<usize> {
    let segment_size = segments.segment_size().try_into().map_err(|_| Errno::EMSGSIZE)?;
    let (parts, to) = ([IoSlice::new(segments.bytes())], to.map(SockaddrStorage::from));
    let source = from.map(pktinfo::Source::from);
    let source = source.as_ref().map(pktinfo::Source::message);
    let gso = (segments.len() > 1).then_some(ControlMessage::UdpGsoSegments(&segment_size));
    let send = |control: &[ControlMessage<'_>]| {
        sendmsg(socket.as_raw_fd(), &parts, control, MsgFlags::empty(), to.as_ref())
    };
    socket.try_io(|| {
        Ok(match (gso, source) {
            (None, None) => send(&[]),
            (Some(one), None) | (None, Some(one)) => send(&[one]),
            (Some(gso), Some(source)) => send(&[gso, source]),
        }?)
    })
}

/// Sends single datagrams, each to its own remote, in one call. Returns how many were sent, counted
/// from the first; 0 for fewer than two, which are not worth the call. An error is the first one's.
pub fn send_batch<'a>(
    socket: &UdpSocket,
    datagrams: impl Iterator<Item = (&'a [u8], SocketAddr)>,
) -> io::Result<usize> {
    let mut parts = [[IoSlice::new(&[])]; MAX_RECEIVED];
    let mut remotes = [const { None }; MAX_RECEIVED];
    let mut len = 0;
    for (bytes, to) in datagrams.take(MAX_RECEIVED) {
        (parts[len], remotes[len]) = ([IoSlice::new(bytes)], Some(to.as_any()));
        len += 1;
    }
    if len < 2 {
        return Ok(0);
    }
    let mut controls: [SendAncillaryBuffer<'_, '_, '_>; MAX_RECEIVED] = Default::default();
    let mut filled = remotes.iter().zip(&parts);
    let mut headers = controls.each_mut().map(|control| match filled.next() {
        Some((Some(to), part)) => MMsgHdr::new_with_addr(to, part, control),
        _ => MMsgHdr::new(&[], control),
    });
    socket.try_io(|| Ok(sendmmsg(socket, &mut headers[..len], SendFlags::NOSIGNAL)?))
}
