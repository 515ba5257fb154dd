//! `connect` and `chat`: join a terminal or a pipe to one server, or to many clients.
//!
//! Each runs its own turns on the event loop of the daemon: the core's engine moves the bytes of
//! streams, its hub distributes the input of a chat, and the runtime's dialer and listeners
//! establish connections.

#[cfg(unix)]
pub mod chat;
#[cfg(unix)]
pub mod connect;
#[cfg(unix)]
mod console;
#[cfg(unix)]
mod datagram_peer;
#[cfg(unix)]
mod datagram_session;
pub(crate) mod failure;
#[cfg(unix)]
mod line_editor;
#[cfg(unix)]
mod lines;
#[cfg(unix)]
mod screen;
#[cfg(unix)]
mod stream;
#[cfg(unix)]
mod terminal;
#[cfg(unix)]
mod watch;

pub use failure::{ExitStatus, SessionError};

#[cfg(not(unix))]
pub mod connect {
    use super::{NO_POLL, SessionError};
    use crate::config::ConnectPlan;
    use crate::core::Observer;

    pub fn run(_: &ConnectPlan, _: &mut dyn Observer) -> Result<u8, SessionError> {
        Err(SessionError::Unsupported(NO_POLL))
    }
}

#[cfg(not(unix))]
pub mod chat {
    use super::{NO_POLL, SessionError};
    use crate::config::ChatPlan;
    use crate::core::Observer;

    pub fn run(_: &ChatPlan, _: &mut dyn Observer) -> Result<u8, SessionError> {
        Err(SessionError::Unsupported(NO_POLL))
    }
}

/// The reason given where standard input cannot be polled.
#[cfg(not(unix))]
const NO_POLL: &str = "cannot poll standard input and sockets together";
