//! Source addresses of connections: one local address, or a block of them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::parse::{SpanError, Spanned};

/// A block of addresses such as `127.0.0.0/28`, or a single address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceBlock {
    base: IpAddr,
    prefix: u8,
}

/// Maximum addresses used from one block.
const ADDRESSES_MAX: u128 = 65_536;

const SOURCES: &str = "127.0.0.2, 127.0.0.0/28, fd00::/120";

impl SourceBlock {
    /// Parses an address or a block.
    pub fn parse(text: &str) -> Result<SourceBlock, SpanError> {
        read(Spanned::whole(text))
    }

    /// Whether the block contains an address.
    pub fn contains(&self, ip: IpAddr) -> bool {
        let bits = |ip: IpAddr| match ip {
            IpAddr::V4(ip) => u128::from(ip.to_bits()) << 96,
            IpAddr::V6(ip) => ip.to_bits(),
        };
        let differs = (bits(self.base) ^ bits(ip)).checked_shr(128 - u32::from(self.prefix));
        self.base.is_ipv4() == ip.is_ipv4() && differs.unwrap_or(0) == 0
    }

    /// Returns the addresses of the block in order, without the network and broadcast addresses of
    /// IPv4.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> + use<> {
        let (bits, base) = match self.base {
            IpAddr::V4(ip) => (32, u128::from(ip.to_bits())),
            IpAddr::V6(ip) => (128, ip.to_bits()),
        };
        let free = bits - u32::from(self.prefix);
        let count = 1u128.checked_shl(free).unwrap_or(u128::MAX).min(ADDRESSES_MAX);
        let first = base & !(count - 1);
        let v4 = self.base.is_ipv4();
        let skipped = u128::from(v4 && free >= 2);
        let last = if free >= 2 && v4 { count - 1 } else { count };
        (skipped..last).map(move |at| match v4 {
            true => IpAddr::V4(Ipv4Addr::from_bits((first + at) as u32)),
            false => IpAddr::V6(Ipv6Addr::from_bits(first + at)),
        })
    }
}

impl From<IpAddr> for SourceBlock {
    fn from(base: IpAddr) -> SourceBlock {
        SourceBlock { base, prefix: if base.is_ipv4() { 32 } else { 128 } }
    }
}

impl fmt::Display for SourceBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.prefix == SourceBlock::from(self.base).prefix {
            true => write!(f, "{}", self.base),
            false => write!(f, "{}/{}", self.base, self.prefix),
        }
    }
}

/// Reads a comma-separated list such as `127.0.0.0/28,127.0.1.1`.
pub fn read_sources(input: Spanned<'_>) -> Result<Vec<SourceBlock>, SpanError> {
    input
        .parts(',')
        .map(|part| read(part).map_err(|span_error| span_error.or_accepts(SOURCES)))
        .collect()
}

fn read(input: Spanned<'_>) -> Result<SourceBlock, SpanError> {
    let (address, prefix) = input.split('/');
    let Ok(base) = address.text.parse::<IpAddr>() else {
        return Err(address.wrong("not an IP address"));
    };
    let whole = SourceBlock::from(base);
    let Some(prefix) = prefix else { return Ok(whole) };
    match prefix.text.parse() {
        Ok(bits) if bits <= whole.prefix => Ok(SourceBlock { base, prefix: bits }),
        _ => Err(prefix.wrong(format!("a prefix is a number from 0 to {}", whole.prefix))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(text: &str) -> Vec<String> {
        let sources = read_sources(Spanned::whole(text)).unwrap();
        sources.iter().flat_map(SourceBlock::addresses).map(|ip| ip.to_string()).collect()
    }

    #[test]
    fn a_block_is_walked_without_its_name_and_its_broadcast() {
        assert_eq!(addresses("127.0.0.5/30"), ["127.0.0.5", "127.0.0.6"]);
        assert_eq!(addresses("127.0.0.0/28").len(), 14);
        assert_eq!(addresses("127.0.0.4/31"), ["127.0.0.4", "127.0.0.5"]);
        assert_eq!(addresses("127.0.0.9,::1"), ["127.0.0.9", "::1"]);
        assert_eq!(addresses("fd00::/126").len(), 4);
        assert_eq!(addresses("10.0.0.0/8").len() as u128, ADDRESSES_MAX - 2);
        assert_eq!(addresses("::/0").len() as u128, ADDRESSES_MAX);
    }

    #[test]
    fn a_source_prints_as_one_would_type_it() {
        for text in ["127.0.0.0/28", "::1", "fd00::/120"] {
            assert_eq!(read_sources(Spanned::whole(text)).unwrap()[0].to_string(), text);
        }
    }

    #[test]
    fn a_wrong_source_is_shown_at_its_place() {
        for (text, wrong) in [("127.0.0.1/33", "33"), ("a/8", "a"), ("::1,127.1", "127.1")] {
            let span_error = read_sources(Spanned::whole(text)).unwrap_err();
            assert_eq!(&text[span_error.span], wrong);
        }
    }
}
