//! The only code that talks to the operating system: sockets, the clock, signals, limits, name
//! resolution. The core, which decides what happens to connections, does no I/O of its own.

pub mod address;
pub mod bind;
pub mod bound_datagram;
pub mod clock;
pub mod datagram;
pub mod datagram_socket;
pub mod dialer;
pub mod dump;
pub mod interests;
pub mod limits;
#[cfg(unix)]
mod line_ends;
pub mod listener;
pub mod listeners;
pub mod loops;
#[cfg(target_os = "linux")]
mod mmsg;
#[cfg(target_os = "linux")]
pub mod pipe;
pub mod pktinfo;
pub mod pool;
pub mod reactor;
pub mod recv_batch;
pub mod remote;
pub mod resolver;
mod retries;
#[cfg(all(test, unix))]
mod scratch;
pub mod self_connect;
pub mod signals;
pub mod socket;
#[cfg(unix)]
pub mod socket_file;
pub mod start;
#[cfg(unix)]
pub mod stdio;
pub mod stop;
pub mod tcp_info;

pub use address::SocketAddress;
pub use bind::CannotListen;
pub use bound_datagram::{BoundDatagram, bind_datagram};
pub use interests::{interests, update_interest};
pub use limits::{LimitError, Limits};
pub use listener::{AcceptResult, Listener};
pub use resolver::{Lookup, Resolver};
pub use signals::{Signal, Signals};
pub use socket::{Socket, connect};
