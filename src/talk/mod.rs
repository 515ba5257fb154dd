//! Talking from a terminal or a pipe: as the client of one (`connect`), or as the host of many
//! (`chat`).
//!
//! Both are small loops of their own around the same parts as the daemon's: the core's engine moves
//! the bytes of a connection, the shell's dialer and doors make connections.

pub mod failure;
pub mod notice;
pub mod ring;
pub mod said;
pub mod turns;

pub use failure::Failure;
