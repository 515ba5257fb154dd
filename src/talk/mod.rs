//! Talking from a terminal or a pipe: as the client of one (`connect`), or as the host of many
//! (`chat`).
//!
//! Both are small loops of their own around the same parts as the daemon's: the core's engine moves
//! the bytes of a connection, the shell's dialer and doors make connections.

#[cfg(unix)]
pub mod connect;
#[cfg(unix)]
mod courier;
pub mod failure;
pub mod letters;
pub mod notice;
#[cfg(unix)]
mod post;
pub mod ring;
pub mod said;
#[cfg(unix)]
mod stream;
#[cfg(unix)]
mod turns;
#[cfg(unix)]
mod watch;

pub use failure::Failure;

/// Standard input and output cannot be waited for here.
#[cfg(not(unix))]
pub mod connect {
    use super::Failure;
    use crate::core::Observer;
    use crate::plan::ConnectPlan;

    pub fn run(_: &ConnectPlan, _: &mut dyn Observer) -> Result<u8, Failure> {
        Err(Failure::Unsupported("it cannot wait for standard input and sockets together"))
    }
}
