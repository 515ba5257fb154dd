//! A datagram listener: a bound socket, and the service that handles its datagrams.

use std::io;

use mio::Registry;

use super::port::DatagramPort;
use super::reflection_guard::is_public;
use super::service::DatagramService;
use crate::config::Service;
use crate::core::Key;
use crate::net::BoundDatagram;
use crate::net::remote::Remote;
#[cfg(unix)]
use crate::net::socket_file::SocketFile;

/// A bound socket, and the service behind it.
#[derive(Debug)]
pub(super) struct DatagramListener {
    /// Declared first: the file must be removed before the socket is closed.
    #[cfg(unix)]
    _file: Option<SocketFile>,
    pub port: DatagramPort,
    pub route: u16,
    pub address: String,
    pub local: Remote,
    pub service: DatagramService,
}

impl DatagramListener {
    /// Registers a bound socket for reading.
    pub fn open(
        bound: BoundDatagram,
        route: u16,
        service: DatagramService,
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
            local,
            service,
        })
    }

    /// A warning for the operator, if the service may be abused from the internet.
    pub fn warning(&self) -> Option<String> {
        let local = self.local.inet()?;
        let answers = match &self.service {
            DatagramService::Answer { service, .. } => *service != Service::Discard,
            DatagramService::Relay(_) => false,
        };
        let (service, address) = (self.service.kind(), &self.address);
        (answers && is_public(&local)).then(|| {
            format!(
                "{service} answers UDP at {address}, which may be a public address: \
                 with forged source addresses it can be used to flood other hosts"
            )
        })
    }
}
