//! The only code that touches the world: sockets, the clock, signals, limits, names.

pub mod address;
pub mod bind;
pub mod bound_datagram;
pub mod datagram_socket;
pub mod listener;
#[cfg(all(test, unix))]
mod scratch;
pub mod socket;
#[cfg(unix)]
pub mod socket_file;
#[cfg(unix)]
pub mod stdio;

pub use address::SocketAddress;
pub use bind::CannotListen;
pub use bound_datagram::{BoundDatagram, bind_datagram};
pub use listener::{Listener, Verdict};
pub use socket::{Socket, connect, interests};
