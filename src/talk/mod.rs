//! `connect` and `chat`: join a terminal or a pipe to one server, or to many clients.
//!
//! Each has its own small loop around the daemon's parts: the core's engine moves the bytes of a
//! connection, the shell's dialer and listeners establish connections.

#[cfg(unix)]
pub mod chat;
#[cfg(unix)]
pub mod connect;
#[cfg(unix)]
mod datagram_session;
pub mod failure;
pub mod line_splitter;
#[cfg(unix)]
mod member;
#[cfg(unix)]
mod members;
pub mod notice;
#[cfg(unix)]
mod post;
pub mod ring;
pub mod screen;
#[cfg(unix)]
mod stream;
#[cfg(unix)]
mod turns;
#[cfg(unix)]
mod watch;

pub use failure::{Failure, Status};

#[cfg(not(unix))]
pub mod connect {
    use super::{Failure, NO_WAIT};
    use crate::config::ConnectPlan;
    use crate::core::Observer;

    pub fn run(_: &ConnectPlan, _: &mut dyn Observer) -> Result<u8, Failure> {
        Err(Failure::Unsupported(NO_WAIT))
    }
}

#[cfg(not(unix))]
pub mod chat {
    use super::{Failure, NO_WAIT};
    use crate::config::ChatPlan;
    use crate::core::Observer;

    pub fn run(_: &ChatPlan, _: &mut dyn Observer) -> Result<u8, Failure> {
        Err(Failure::Unsupported(NO_WAIT))
    }
}

/// Why it is unsupported where standard input cannot be polled.
#[cfg(not(unix))]
const NO_WAIT: &str = "cannot poll standard input and sockets together";
