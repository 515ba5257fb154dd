//! Addresses: what a user may type for a place to listen at or to connect to, and how it prints
//! back.

use std::net::IpAddr;
use std::path::PathBuf;

/// A place: where to listen, or where to connect to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    Tcp(Host, u16),
    Udp(Host, u16),
    Unix(UnixName),
    UnixDatagram(UnixName),
}

/// The host part of an internet address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Host {
    /// No host given (`:7`, `*:7`, `7`): every address of this machine, IPv6 and IPv4 on one
    /// socket; as a target: this machine.
    Any,
    Ip(IpAddr),
    Name(String),
}

/// The name of a Unix socket.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum UnixName {
    Path(PathBuf),
    /// Linux only: a name that is not in the file system.
    Abstract(String),
}

/// An address to listen at, with its options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    pub address: Address,
    pub options: ListenOptions,
}

/// What may follow a listening address after a comma.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListenOptions {
    pub v6only: bool,
    pub backlog: Option<u32>,
    pub mode: Option<u32>,
    pub reuseport: bool,
}
