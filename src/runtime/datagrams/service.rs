//! The service of a datagram listener: it answers a datagram, or relays it to a target.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::config::{Address, Host, Service};
use crate::core::ServiceKind;
#[cfg(unix)]
use crate::net::address::SystemName;
use crate::net::remote::Remote;
#[cfg(unix)]
use crate::net::self_connect::FileId;
use crate::net::self_connect::{is_local_ip, receives};

/// The service of a datagram listener.
#[derive(Debug)]
pub(super) enum DatagramService {
    Answer { service: Service, any_port: bool },
    Relay(Relay),
}

/// The targets of a relay, and its list of flows.
#[derive(Debug)]
pub(super) struct Relay {
    /// Index of its flow list in the table.
    pub list: usize,
    targets: Vec<Address>,
    /// Index of the target that the next flow begins with (round robin).
    next: usize,
}

/// Maximum remotes per flow. A name may have any number of addresses.
const REMOTES: usize = 16;

impl DatagramService {
    /// Returns its kind.
    pub fn kind(&self) -> ServiceKind {
        match self {
            DatagramService::Answer { service, .. } => service.kind(),
            DatagramService::Relay(_) => ServiceKind::Relay,
        }
    }
}

impl Relay {
    pub fn new(list: usize, targets: Vec<Address>) -> Relay {
        Relay { list, targets, next: 0 }
    }

    /// Returns the index of the target that a new flow begins with.
    pub fn next_first(&mut self) -> usize {
        let first = self.next;
        self.next = (first + 1) % self.targets.len().max(1);
        first
    }

    /// Returns all remotes that a flow may use, from its first target on. The listener itself is
    /// left out.
    pub fn remotes(
        &self,
        first: usize,
        listener: &Remote,
        names: &mut dyn FnMut(&str, u16) -> Vec<SocketAddr>,
    ) -> Vec<Remote> {
        let (before, from) = self.targets.split_at(first);
        let targets = from.iter().chain(before);
        let remotes = targets.flat_map(|target| resolve(target, names));
        remotes.filter(|remote| !comes_back(listener, remote)).take(REMOTES).collect()
    }
}

fn resolve(target: &Address, names: &mut dyn FnMut(&str, u16) -> Vec<SocketAddr>) -> Vec<Remote> {
    let inet = |ip: IpAddr, port| Remote::Inet(SocketAddr::new(ip, port), None);
    match target {
        Address::Udp(Host::Ip(ip), port) => vec![inet(*ip, *port)],
        Address::Udp(Host::Any, port) => {
            vec![inet(Ipv4Addr::LOCALHOST.into(), *port), inet(Ipv6Addr::LOCALHOST.into(), *port)]
        }
        Address::Udp(Host::Name(name), port) => {
            names(name, *port).into_iter().map(|address| Remote::Inet(address, None)).collect()
        }
        #[cfg(unix)]
        Address::UnixDatagram(name) => vec![Remote::Unix(name.into())],
        _ => Vec::new(),
    }
}

/// Whether `listener` receives what is sent to `remote`.
fn comes_back(listener: &Remote, remote: &Remote) -> bool {
    match (listener.inet(), remote.inet()) {
        (Some(listener), Some(to)) => receives(&listener, to, is_local_ip),
        _ => listener == remote || is_same_file(listener, remote),
    }
}

/// Whether two Unix socket addresses are the same file, under any path.
fn is_same_file(listener: &Remote, remote: &Remote) -> bool {
    #[cfg(unix)]
    if let (Remote::Unix(listener), Remote::Unix(remote)) = (listener, remote) {
        let id = |name: &SystemName| name.path().and_then(FileId::at);
        return id(remote).is_some_and(|to| id(listener) == Some(to));
    }
    let _ = (listener, remote);
    false
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;
    use crate::net::scratch::Scratch;

    #[test]
    fn a_unix_datagram_listener_is_recognised_under_every_path() {
        let scratch = Scratch::new("service");
        let (real, alias) = (scratch.path("real"), scratch.path("alias"));
        let _bound = std::os::unix::net::UnixDatagram::bind(&real).unwrap();
        std::os::unix::fs::symlink(&real, &alias).unwrap();
        let named = |path| Remote::Unix((&crate::config::UnixName::Path(path)).into());
        assert!(comes_back(&named(real.clone()), &named(alias)));
        assert!(!comes_back(&named(real), &named(scratch.path("other"))));
    }
}
