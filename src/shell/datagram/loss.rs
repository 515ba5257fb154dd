//! Losses: why a datagram did not go on, and how that is told.

use std::io;

use super::Context;
use crate::core::event::DropReason;
use crate::core::{Event, Key, SysError};
use crate::shell::remote::Remote;
use crate::shell::room::Segments;

/// Tells that these, which came from there, were dropped.
pub(super) fn log_dropped(
    key: Key,
    train: Segments<'_>,
    from: Option<&Remote>,
    why: DropReason,
    cx: &mut Context<'_>,
) {
    let from = from.map(Remote::peer);
    for datagram in train.datagrams() {
        let (bytes, from) = (Some(datagram.len()), from.as_ref());
        cx.seen.on(key, &Event::Dropped { bytes, from, why });
    }
}

/// Why a datagram did not go out.
pub(super) fn why(error: &io::Error) -> DropReason {
    use io::ErrorKind::*;
    match error.kind() {
        WouldBlock => DropReason::Blocked,
        _ if error.raw_os_error() == Some(NO_BUFFERS) || is_forgotten(error) => DropReason::Blocked,
        // Of a Unix socket whose remote has gone the system says that it is not connected.
        ConnectionRefused | ConnectionReset | NotConnected | HostUnreachable
        | NetworkUnreachable => DropReason::Refused(SysError::from(error)),
        _ => DropReason::Failed(SysError::from(error)),
    }
}

/// On poll(2), mio forgets a socket that had an error to tell, which for a stream is the end and
/// for datagrams is not. What would block then fails with an error that is not the system's.
pub(super) fn is_forgotten(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound && error.raw_os_error().is_none()
}

#[cfg(unix)]
const NO_BUFFERS: i32 = libc::ENOBUFS;
#[cfg(windows)]
const NO_BUFFERS: i32 = 10_055;
