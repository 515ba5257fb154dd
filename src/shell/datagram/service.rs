//! What a door does with a datagram: it answers, or passes it on to a target.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::plan::{Address, Host, Service};
#[cfg(unix)]
use crate::shell::address::SystemName;
use crate::shell::remote::Remote;
#[cfg(unix)]
use crate::shell::self_connect::FileId;
use crate::shell::self_connect::{is_ours, meets};

/// What a door does with a datagram.
#[derive(Debug)]
pub(super) enum DatagramService {
    Answer { service: Service, any_port: bool },
    Relay(Relay),
}

/// What the door of a relay knows.
#[derive(Debug)]
pub(super) struct Relay {
    /// Its flows in the table.
    pub list: usize,
    targets: Vec<Address>,
    /// The target that the next flow begins with: they take turns.
    next: usize,
}

/// So many remotes of a flow are tried at most; a name may have any number of addresses.
const REMOTES: usize = 16;

impl DatagramService {
    /// The word for it in logs.
    pub fn name(&self) -> &'static str {
        match self {
            DatagramService::Answer { service, .. } => service.name(),
            DatagramService::Relay(_) => "relay",
        }
    }
}

impl Relay {
    pub fn new(list: usize, targets: Vec<Address>) -> Relay {
        Relay { list, targets, next: 0 }
    }

    /// With which target a new flow begins.
    pub fn take_turn(&mut self) -> usize {
        let first = self.next;
        self.next = (first + 1) % self.targets.len().max(1);
        first
    }

    /// All remotes that a flow may have, from its first target on. Never the door itself.
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

/// Whether what is sent to `remote` comes in at `listener` again.
fn comes_back(listener: &Remote, remote: &Remote) -> bool {
    match (listener.inet(), remote.inet()) {
        (Some(listener), Some(to)) => meets(&listener, to, is_ours),
        _ => listener == remote || is_same_file(listener, remote),
    }
}

/// Whether two Unix sockets have one file, however its path is written.
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
    use crate::shell::scratch::Scratch;

    #[test]
    fn a_unix_datagram_door_is_recognised_under_every_path() {
        let scratch = Scratch::new("duty");
        let (real, alias) = (scratch.path("real"), scratch.path("alias"));
        let _bound = std::os::unix::net::UnixDatagram::bind(&real).unwrap();
        std::os::unix::fs::symlink(&real, &alias).unwrap();
        let named = |path| Remote::Unix((&crate::plan::UnixName::Path(path)).into());
        assert!(comes_back(&named(real.clone()), &named(alias)));
        assert!(!comes_back(&named(real), &named(scratch.path("other"))));
    }
}
