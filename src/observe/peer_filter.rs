//! Which peers an operator means: by address, by block of addresses, or by a part of their text.

use std::net::IpAddr;

use crate::config::SourceBlock;
use crate::core::Peer;

use super::line::PeerName;

/// Which peers an operator means.
#[derive(Clone, Debug, PartialEq)]
pub enum PeerFilter {
    /// An address or a block of addresses.
    Block(SourceBlock),
    /// A part of the text.
    Text(String),
}

impl PeerFilter {
    /// Reads a filter: an address, a block of addresses, or text.
    pub fn parse(text: &str) -> PeerFilter {
        match SourceBlock::parse(text) {
            Ok(block) => PeerFilter::Block(block),
            Err(_) => PeerFilter::Text(text.to_owned()),
        }
    }

    /// Whether a peer matches.
    pub fn matches(&self, peer: &Peer) -> bool {
        match (self, peer) {
            (PeerFilter::Block(block), Peer::Inet(address)) => {
                block.contains(plain_ip(address.ip()))
            }
            (PeerFilter::Block(_), Peer::Unix(_) | Peer::Stdio) => false,
            (PeerFilter::Text(text), peer) => PeerName(peer).to_string().contains(text.as_str()),
        }
    }
}

/// An IPv4 address that a socket of both families reports as an IPv6 one.
fn plain_ip(ip: IpAddr) -> IpAddr {
    ip.to_canonical()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_found_by_address_block_and_text() {
        let inet = |text: &str| Peer::Inet(text.parse().unwrap());
        let unix = Peer::Unix(Some("/run/x.sock".into()));
        let table = [
            ("10.1.2.3", inet("10.1.2.3:5"), true),
            ("10.1.2.3", inet("10.1.2.30:5"), false),
            ("10.1.0.0/16", inet("10.1.2.3:5"), true),
            ("10.2.0.0/16", inet("10.1.2.3:5"), false),
            ("10.1.2.3", inet("[::ffff:10.1.2.3]:5"), true),
            ("::1", inet("[::1]:5"), true),
            ("10.1.2.3:51", inet("10.1.2.3:5123"), true),
            (":99", inet("10.1.2.3:5123"), false),
            ("x.sock", unix.clone(), true),
            ("10.0.0.0/8", unix, false),
        ];
        for (filter, peer, expected) in table {
            assert_eq!(PeerFilter::parse(filter).matches(&peer), expected, "{filter} {peer:?}");
        }
    }
}
