//! The remotes that a flow of a datagram relay may use: the addresses of the targets, without the
//! listener itself.

use std::net::SocketAddr;

use crate::net::address::SocketAddress;
use crate::net::remote::Remote;
use crate::net::self_connect::remote_reaches;
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
        if !remote_reaches(&remote, listener) && !remotes.contains(&remote) {
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
