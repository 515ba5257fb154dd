//! The operating system layer: sockets, addresses, datagram batches, Unix socket files, name
//! resolution, signals, limits, the terminal. It holds no state of the event loop.

pub mod address;
pub mod bind;
pub mod bound_datagram;
pub mod datagram_socket;
pub mod limits;
#[cfg(unix)]
mod line_ends;
pub mod listener;
#[cfg(target_os = "linux")]
mod mmsg;
#[cfg(target_os = "linux")]
pub mod pipe;
pub mod pktinfo;
pub mod recv_batch;
pub mod remote;
pub mod resolver;
#[cfg(all(test, unix))]
pub(crate) mod scratch;
pub mod self_connect;
pub mod signals;
pub mod socket;
#[cfg(unix)]
pub mod socket_file;
#[cfg(unix)]
pub mod stdio;
pub mod tcp_info;

pub use address::SocketAddress;
pub use bind::CannotListen;
pub use bound_datagram::{BoundDatagram, bind_datagram};
pub use limits::{LimitError, Limits};
pub use listener::{AcceptResult, Listener};
pub use resolver::{Lookup, Resolver};
pub use signals::{Signal, Signals};
pub use socket::{Socket, connect, interests, update_interest};
