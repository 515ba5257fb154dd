//! The remotes that a flow of a datagram relay may use: the addresses of the targets, without the
//! listener itself.

use std::net::SocketAddr;

use crate::net::address::SocketAddress;
#[cfg(unix)]
use crate::net::address::SystemName;
use crate::net::remote::Remote;
#[cfg(unix)]
use crate::net::self_connect::FileId;
use crate::net::self_connect::{is_local_ip, receives};
use crate::runtime::upstream::pool::{Selection, Target, TargetAddr};

/// Maximum remotes per flow. A name may have any number of addresses.
const REMOTES: usize = 16;

/// Returns the remotes of a selection, each once, in the order in which they are tried. `listener`
/// is left out.
pub(super) fn remotes(
    targets: &Selection,
    listener: &Remote,
    names: &mut dyn FnMut(&str, u16) -> Vec<SocketAddr>,
) -> Vec<Remote> {
    let mut remotes: Vec<Remote> = Vec::new();
    for remote in targets.iter().flat_map(|target| resolve(target, names)) {
        if !comes_back(listener, &remote) && !remotes.contains(&remote) {
            remotes.push(remote);
        }
        if remotes.len() == REMOTES {
            break;
        }
    }
    remotes
}

fn resolve(target: &Target, names: &mut dyn FnMut(&str, u16) -> Vec<SocketAddr>) -> Vec<Remote> {
    match &target.addr {
        TargetAddr::Known { address, alternative, .. } => {
            [Some(address), alternative.as_ref()].into_iter().flatten().filter_map(remote).collect()
        }
        TargetAddr::Name(name, port) => {
            names(name, *port).into_iter().map(|address| Remote::Inet(address, None)).collect()
        }
    }
}

fn remote(address: &SocketAddress) -> Option<Remote> {
    match address {
        SocketAddress::Inet(address) => Some(Remote::Inet(*address, None)),
        #[cfg(unix)]
        SocketAddress::Unix(name) => Some(Remote::Unix(name.into())),
        #[cfg(not(unix))]
        SocketAddress::Unix(_) => None,
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
