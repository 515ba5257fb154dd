//! The only code that touches the world: sockets, the clock, signals, limits, names.

pub mod address;
pub mod datagram_socket;
pub mod socket;
#[cfg(unix)]
pub mod stdio;

pub use address::SocketAddress;
pub use socket::{Socket, connect, interests};
