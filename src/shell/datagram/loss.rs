//! Losses: why a datagram did not go on, and how that is told.

use std::io;

use super::Context;
use crate::core::event::Drop;
use crate::core::{Event, Fault, Key};
use crate::shell::remote::Remote;
use crate::shell::room::Train;

/// Tells that these, which came from there, were dropped.
pub(super) fn tell_dropped(
    key: Key,
    train: Train<'_>,
    from: Option<&Remote>,
    why: Drop,
    cx: &mut Context<'_>,
) {
    let from = from.map(Remote::peer);
    for datagram in train.datagrams() {
        let (bytes, from) = (Some(datagram.len()), from.as_ref());
        cx.seen.on(key, &Event::Dropped { bytes, from, why });
    }
}

/// Why a datagram did not go out.
pub(super) fn why(error: &io::Error) -> Drop {
    use io::ErrorKind::*;
    match error.kind() {
        WouldBlock => Drop::Blocked,
        _ if error.raw_os_error() == Some(NO_BUFFERS) || is_forgotten(error) => Drop::Blocked,
        // Of a Unix socket whose remote has gone the system says that it is not connected.
        ConnectionRefused | ConnectionReset | NotConnected | HostUnreachable
        | NetworkUnreachable => Drop::Refused(Fault::from(error)),
        _ => Drop::Failed(Fault::from(error)),
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
