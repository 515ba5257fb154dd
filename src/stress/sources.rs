//! Source addresses of connections. Finding a free port slows down long before an address has used
//! all its ports, so on loopback, where every address is local, the next address is used early.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::config::SourceBlock;

use super::environment::port_range;

/// The local addresses to connect from.
pub struct SourceAddresses {
    list: Vec<IpAddr>,
    next: usize,
    /// The list is not from the user. Its first entry is the system's choice.
    own: bool,
    /// Of such a list: connections from the current address, and its quota.
    used: usize,
    quota: usize,
}

/// Maximum connections per loopback address before the next one is used.
const QUOTA_MAX: usize = 25_000;

/// Number of additional addresses for short connections, whose ports stay in TIME_WAIT.
const SPARE: usize = 8;

impl SourceAddresses {
    /// Uses the given addresses in turn.
    pub fn given(sources: &[SourceBlock]) -> SourceAddresses {
        let list = sources.iter().flat_map(SourceBlock::addresses).collect();
        SourceAddresses { list, next: 0, own: false, used: 0, quota: usize::MAX }
    }

    /// Uses the system's choice; on loopback as many addresses as `conns` connections need. Each
    /// process has its own.
    pub fn own(conns: usize, process: usize) -> SourceAddresses {
        let quota = quota(port_range());
        // Without a known range, switch only when the ports have run out.
        let count = conns.div_ceil(quota.unwrap_or(QUOTA_MAX)) + SPARE;
        let begin = u32::try_from(process * count).unwrap_or(0) % (LOOPBACKS - count as u32);
        let address = |at: u32| IpAddr::V4(Ipv4Addr::from_bits(FIRST_LOOPBACK + begin + at));
        let list = (0..count as u32).map(address).collect();
        SourceAddresses { list, next: 0, own: true, used: 0, quota: quota.unwrap_or(usize::MAX) }
    }

    /// Whether the addresses are not from the user.
    pub fn are_own(&self) -> bool {
        self.own
    }

    /// Returns the source of the next connection to `to`. `None`: the system's choice.
    pub fn next(&mut self, to: SocketAddr) -> Option<IpAddr> {
        if self.own {
            return self.next_own(to);
        }
        let fits = |source: &IpAddr| source.is_ipv4() == to.is_ipv4();
        let at = (self.next..self.next + self.list.len())
            .map(|at| at % self.list.len())
            .find(|at| fits(&self.list[*at]))?;
        self.next = (at + 1) % self.list.len();
        Some(self.list[at])
    }

    fn next_own(&mut self, to: SocketAddr) -> Option<IpAddr> {
        if !is_loopback(to) {
            return None;
        }
        if self.used >= self.quota {
            self.advance();
        }
        self.used += 1;
        let address = self.list[self.next];
        (address != IpAddr::V4(Ipv4Addr::LOCALHOST)).then_some(address)
    }

    /// Switches to the next address after the ports of one have run out. Returns false if there is
    /// none.
    pub fn switch_address(&mut self, to: SocketAddr) -> bool {
        match self.own {
            true if is_loopback(to) => self.advance(),
            // Already switched.
            true => return false,
            false => {}
        }
        self.list.len() > 1
    }

    /// Number of addresses, and so of attempts.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Switches to the next address.
    fn advance(&mut self) {
        self.next = (self.next + 1) % self.list.len().max(1);
        self.used = 0;
    }
}

/// 127.0.0.1, and the number of addresses after it.
const FIRST_LOOPBACK: u32 = Ipv4Addr::LOCALHOST.to_bits();
const LOOPBACKS: u32 = (1 << 24) - 2;

/// Whether `to` is IPv4 loopback. IPv6 has only one loopback address.
fn is_loopback(to: SocketAddr) -> bool {
    to.is_ipv4() && to.ip().is_loopback()
}

/// Returns the quota of an address: half of its ports, so that a free one is found at once.
fn quota(range: Option<(u16, u16)>) -> Option<usize> {
    let (first, last) = range?;
    let ports = usize::from(last.saturating_sub(first)) + 1;
    Some((ports / 2).clamp(1, QUOTA_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn next(sources: &mut SourceAddresses, to: &str) -> String {
        sources.next(address(to)).map_or("any".to_string(), |source| source.to_string())
    }

    /// Sources with a quota of two connections per address.
    fn own(conns: usize, process: usize) -> SourceAddresses {
        SourceAddresses { quota: 2, ..SourceAddresses::own(conns, process) }
    }

    #[test]
    fn an_address_has_half_of_its_ports_and_not_too_many() {
        assert_eq!(quota(Some((32_768, 60_999))), Some(14_116));
        assert_eq!(quota(Some((1024, 65_535))), Some(QUOTA_MAX));
        assert_eq!((quota(Some((5, 5))), quota(None)), (Some(1), None));
    }

    #[test]
    fn the_next_address_is_used_early_and_the_first_again_after_the_last() {
        let mut sources = own(1, 0);
        let used: Vec<String> = (0..5).map(|_| next(&mut sources, "127.0.0.1:7")).collect();
        assert_eq!(used, ["any", "any", "127.0.0.2", "127.0.0.2", "127.0.0.3"]);
        let left = 2 * sources.len() - 5;
        (0..left).for_each(|_| drop(next(&mut sources, "127.0.0.1:7")));
        assert_eq!(next(&mut sources, "127.0.0.1:7"), "any");
    }

    #[test]
    fn an_address_without_a_free_port_is_switched_only_on_loopback() {
        let mut sources = own(1, 0);
        assert!(
            !sources.switch_address(address("192.0.2.1:7"))
                && !sources.switch_address(address("[::1]:7"))
        );
        assert_eq!(next(&mut sources, "127.0.0.1:7"), "any");
        assert!(sources.switch_address(address("127.0.0.1:7")));
        assert_eq!(next(&mut sources, "127.0.0.1:7"), "127.0.0.2");
        assert_eq!(next(&mut sources, "192.0.2.1:7"), "any");
    }

    #[test]
    fn processes_have_addresses_of_their_own() {
        let (one, two) = (own(100_000, 0), own(100_000, 1));
        assert!(one.list.iter().all(|address| !two.list.contains(address)));
        let many = own(100_000, 255);
        assert!(many.list.iter().all(IpAddr::is_loopback));
    }

    #[test]
    fn given_sources_are_used_in_turn_and_only_where_they_fit() {
        let given: Vec<SourceBlock> = ["127.0.0.7", "::1", "127.0.0.8"]
            .iter()
            .map(|text| SourceBlock::from(text.parse::<IpAddr>().unwrap()))
            .collect();
        let mut given = SourceAddresses::given(&given);
        let used: Vec<String> = (0..3).map(|_| next(&mut given, "192.0.2.1:7")).collect();
        assert_eq!(used, ["127.0.0.7", "127.0.0.8", "127.0.0.7"]);
        assert_eq!(next(&mut given, "[::1]:7"), "::1");
        assert!(given.switch_address(address("192.0.2.1:7")));
        assert!(!SourceAddresses::given(&[]).switch_address(address("127.0.0.1:7")));
    }
}
