//! A door for datagrams: a bound socket, and what is done with the datagrams that come in at it.

use std::io;

use mio::Registry;

use super::port::DatagramPort;
use super::reflection_guard::is_public;
use super::service::DatagramService;
use crate::core::Key;
use crate::plan::Service;
use crate::shell::BoundDatagram;
use crate::shell::remote::Remote;
#[cfg(unix)]
use crate::shell::socket_file::SocketFile;

/// A bound socket, and the service behind it.
#[derive(Debug)]
pub(super) struct DatagramListener {
    /// Removed before its socket is closed, as it wants to be.
    #[cfg(unix)]
    _file: Option<SocketFile>,
    pub port: DatagramPort,
    pub route: u16,
    pub address: String,
    pub local: Remote,
    pub duty: DatagramService,
}

impl DatagramListener {
    /// Opens a door: from now on its datagrams are waited for.
    pub fn open(
        bound: BoundDatagram,
        route: u16,
        duty: DatagramService,
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
            duty,
        })
    }

    /// What an operator should hear about it.
    pub fn warning(&self) -> Option<String> {
        let local = self.local.inet()?;
        let answers = match &self.duty {
            DatagramService::Answer { service, .. } => *service != Service::Discard,
            DatagramService::Relay(_) => false,
        };
        let (service, address) = (self.duty.name(), &self.address);
        (answers && is_public(&local)).then(|| {
            format!(
                "{service} answers UDP at {address}, which may be a public address: \
                 with a forged source it sends to others what they did not ask for"
            )
        })
    }
}
