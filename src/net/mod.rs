//! The operating system layer: sockets, addresses, datagram batches, Unix socket files, name
//! resolution, signals, limits, the terminal. It holds no state of the event loop.

pub(crate) mod address;
pub(crate) mod bind;
pub(crate) mod blocking;
pub(crate) mod bound_datagram;
pub mod config_file;
pub mod datagram_socket;
pub mod inspect;
pub(crate) mod limits;
#[cfg(unix)]
mod line_ends;
pub(crate) mod listener;
#[cfg(target_os = "linux")]
mod mmsg;
pub(crate) mod own_process;
#[cfg(target_os = "linux")]
pub(crate) mod pipe;
pub(crate) mod pktinfo;
pub(crate) mod proc;
pub mod recv_batch;
mod regular_file;
pub(crate) mod remote;
pub(crate) mod resolver;
#[cfg(all(test, unix))]
pub(crate) mod scratch;
pub(crate) mod self_connect;
pub mod signals;
pub(crate) mod socket;
#[cfg(unix)]
pub(crate) mod socket_file;
#[cfg(unix)]
pub(crate) mod stdio;
pub mod tcp_info;
#[cfg(unix)]
pub(crate) mod terminal;
pub mod token_file;

pub use address::SocketAddress;
pub use bind::{CannotListen, ListenNames};
pub use bound_datagram::{BoundDatagram, bind_datagram};
pub use limits::{LimitError, Limits};
pub use listener::{AcceptResult, Listener};
pub use resolver::{Lookup, Resolver};
pub use signals::{Signal, Signals};
pub use socket::{Socket, connect, interests, update_interest};
