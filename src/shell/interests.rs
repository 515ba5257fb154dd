//! For what the poll is to name a socket.

use std::io;

use mio::{Interest, Registry, Token};

use crate::core::Stream;

use super::socket::Socket;

/// What to register a socket for. Urgent data cuts reads short, and epoll announces it only to
/// those who ask.
pub fn interests(socket: &Socket) -> Interest {
    let both = Interest::READABLE | Interest::WRITABLE;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if socket.short_read_drains() {
        return both | Interest::PRIORITY;
    }
    let _ = socket;
    both
}

/// From now on a socket is named for what comes in as well, or (muted) is not. To ask for urgent
/// data alone is to be woken by any, so what is muted does not ask for that either.
pub fn update_interest(
    socket: &mut Socket,
    registry: &Registry,
    token: Token,
    muted: bool,
) -> io::Result<()> {
    let interests = if muted { Interest::WRITABLE } else { interests(socket) };
    registry.reregister(socket.source(), token, interests)
}
