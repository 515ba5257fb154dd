//! One bound datagram socket: its route, its flow lists, and whether it is closing.

use std::io;

use mio::Registry;

use super::port::DatagramPort;
use super::reflection_guard::is_public;
use crate::config::{Address, Service};
use crate::core::Key;
use crate::net::BoundDatagram;
use crate::net::remote::Remote;
#[cfg(unix)]
use crate::net::socket_file::SocketFile;

/// A bound socket, and the route that it belongs to.
#[derive(Debug)]
pub(super) struct DatagramListener {
    /// Declared first: the file must be removed before the socket is closed.
    #[cfg(unix)]
    _file: Option<SocketFile>,
    pub port: DatagramPort,
    pub route: u16,
    pub at: Address,
    /// The bound address as text, for the log.
    pub address: String,
    pub local: Remote,
    /// Its flow lists: that of its route if it is a relay, and those of earlier routes that still
    /// have flows.
    pub lists: Vec<usize>,
    pub phase: Phase,
}

/// Whether the datagrams of new sources are handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Open,
    /// It is closing, and handles what it has received, for at most this many more turns.
    Emptying(usize),
    /// Only its flows go on. It is closed with the last one.
    Closing,
}

impl DatagramListener {
    /// Registers a bound socket for reading.
    pub fn open(
        bound: BoundDatagram,
        route: u16,
        key: Key,
        registry: &Registry,
    ) -> io::Result<DatagramListener> {
        let local = bound.socket.local()?;
        let wanted = bound.socket.enable_pktinfo()?;
        let mut port = DatagramPort::new(bound.socket, wanted);
        port.register(key, registry)?;
        Ok(DatagramListener {
            #[cfg(unix)]
            _file: bound.file,
            port,
            route,
            address: bound.address.to_string(),
            at: bound.address,
            local,
            lists: Vec::new(),
            phase: Phase::Open,
        })
    }

    /// Whether it is not closing.
    pub fn is_open(&self) -> bool {
        self.phase == Phase::Open
    }

    /// Whether the datagrams of new sources are handled.
    pub fn takes_new_sources(&self) -> bool {
        self.phase != Phase::Closing
    }

    /// A warning for the operator, if the service may be abused from the internet.
    pub fn warning(&self, service: &Service) -> Option<String> {
        let local = self.local.inet()?;
        let answers = !matches!(service, Service::Relay(_) | Service::Discard);
        let (service, address) = (service.kind(), &self.address);
        (answers && is_public(&local)).then(|| {
            format!(
                "{service} answers UDP at {address}, which may be a public address: \
                 with forged source addresses it can be used to flood other hosts"
            )
        })
    }
}
