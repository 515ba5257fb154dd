//! The only code that touches the world: sockets, the clock, signals, limits.

pub mod datagram_socket;
