//! Dropped datagrams: the reason for an error, and the event that reports the drop.

use std::io;

use super::DatagramCx;
use crate::core::event::DropReason;
use crate::core::{Event, Key, SysError};
use crate::net::recv_batch::Segments;
use crate::net::remote::Remote;

/// Reports datagrams as dropped.
pub(super) fn log_dropped(
    key: Key,
    segments: Segments<'_>,
    from: Option<&Remote>,
    why: DropReason,
    cx: &mut DatagramCx<'_, '_>,
) {
    let from = from.map(Remote::peer);
    for datagram in segments.datagrams() {
        let (bytes, from) = (Some(datagram.len()), from.as_ref());
        cx.turn.on(key, &Event::Dropped { bytes, from, why });
    }
}

/// The reason why a send call failed.
pub(super) fn why(error: &io::Error) -> DropReason {
    use io::ErrorKind::*;
    match error.kind() {
        WouldBlock => DropReason::Blocked,
        _ if error.raw_os_error() == Some(NO_BUFFERS) || is_deregistered(error) => {
            DropReason::Blocked
        }
        // A Unix socket whose remote is gone returns "not connected".
        ConnectionRefused | ConnectionReset | NotConnected | HostUnreachable
        | NetworkUnreachable => DropReason::Refused(SysError::from(error)),
        _ => DropReason::Failed(SysError::from(error)),
    }
}

/// Whether mio has deregistered the socket. With poll(2) it does so after an error, which ends a
/// stream but not a datagram socket. A call that would block then fails with an error of mio's own.
pub(super) fn is_deregistered(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound && error.raw_os_error().is_none()
}

#[cfg(unix)]
const NO_BUFFERS: i32 = libc::ENOBUFS;
#[cfg(windows)]
const NO_BUFFERS: i32 = 10_055;
