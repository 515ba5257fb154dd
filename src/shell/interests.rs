//! The interests that a socket is registered for.

use std::io;

use mio::{Interest, Registry, Token};

use crate::core::Stream;

use super::socket::Socket;

/// Returns the interests to register a socket for. Urgent data makes reads short, and epoll reports
/// it only with EPOLLPRI.
pub fn interests(socket: &Socket) -> Interest {
    let both = Interest::READABLE | Interest::WRITABLE;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if socket.short_read_drains() {
        return both | Interest::PRIORITY;
    }
    let _ = socket;
    both
}

/// Turns read interest off or on. EPOLLPRI goes with it: otherwise urgent data would still wake the
/// loop.
pub fn update_interest(
    socket: &mut Socket,
    registry: &Registry,
    token: Token,
    read_off: bool,
) -> io::Result<()> {
    let interests = if read_off { Interest::WRITABLE } else { interests(socket) };
    registry.reregister(socket.source(), token, interests)
}
