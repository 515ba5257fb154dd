//! Talking from a terminal or a pipe: as the client of one (`connect`), or as the host of many
//! (`chat`).
//!
//! Both are small loops of their own around the same parts as the daemon's: the core's engine moves
//! the bytes of a connection, the shell's dialer and doors make connections.

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
    use crate::core::Observer;
    use crate::plan::ConnectPlan;

    pub fn run(_: &ConnectPlan, _: &mut dyn Observer) -> Result<u8, Failure> {
        Err(Failure::Unsupported(NO_WAIT))
    }
}

#[cfg(not(unix))]
pub mod chat {
    use super::{Failure, NO_WAIT};
    use crate::core::Observer;
    use crate::plan::ChatPlan;

    pub fn run(_: &ChatPlan, _: &mut dyn Observer) -> Result<u8, Failure> {
        Err(Failure::Unsupported(NO_WAIT))
    }
}

/// Why not, where there is no readiness of standard input.
#[cfg(not(unix))]
const NO_WAIT: &str = "cannot poll standard input and sockets together";
