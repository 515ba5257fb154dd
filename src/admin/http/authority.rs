//! The host and port that a request is addressed to: the value of `Host`, or a part of `Origin`.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// Maximum bytes of a DNS name.
const NAME_BYTES: usize = 253;

/// A host and an optional port. The host is in lower case; an IPv6 address has no brackets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    pub host: String,
    pub port: Option<u16>,
}

impl Authority {
    /// Parses `name`, `name:port`, `127.0.0.1:port`, `[::1]:port`. A port may be empty, as the
    /// grammar of RFC 3986 has it. User information, percent-encoding and zones are refused.
    pub fn parse(text: &str) -> Option<Authority> {
        let (host, rest) = match text.strip_prefix('[') {
            Some(inside) => {
                let (digits, rest) = inside.split_once(']')?;
                (digits.parse::<Ipv6Addr>().ok()?.to_string(), rest)
            }
            None => {
                let end = text.find(':').unwrap_or(text.len());
                (name(&text[..end])?, &text[end..])
            }
        };
        let port = match rest.strip_prefix(':') {
            Some("") => None,
            Some(digits) => Some(port(digits)?),
            None if rest.is_empty() => None,
            None => return None,
        };
        Some(Authority { host, port })
    }

    /// Whether the host is this name or address, which may be written in any case and an IPv6
    /// address with or without brackets.
    pub fn has_host(&self, name: &str) -> bool {
        let inside = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        match inside.unwrap_or(name).parse::<IpAddr>() {
            Ok(ip) => self.host.parse() == Ok(ip),
            Err(_) => self.host.eq_ignore_ascii_case(name),
        }
    }

    /// Whether the host is `localhost` or an address of the loopback interface.
    ///
    /// An attacker's name may resolve to a loopback address (DNS rebinding), but the browser then
    /// sends that name, never an address.
    pub fn is_loopback(&self) -> bool {
        match self.host.parse::<IpAddr>() {
            Ok(ip) => ip.to_canonical().is_loopback(),
            Err(_) => self.host == "localhost",
        }
    }
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]", self.host)?,
            false => f.write_str(&self.host)?,
        }
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

/// Returns a name or an IPv4 address in lower case.
fn name(text: &str) -> Option<String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let is_name = !text.is_empty() && text.len() <= NAME_BYTES && text.bytes().all(allowed);
    is_name.then(|| text.to_ascii_lowercase())
}

/// Only digits: the standard parser would accept a plus sign.
fn port(text: &str) -> Option<u16> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_or_an_address_with_an_optional_port() {
        let cases = [
            ("localhost", "localhost", None),
            ("LocalHost:80", "localhost", Some(80)),
            ("127.0.0.1:9900", "127.0.0.1", Some(9900)),
            ("[::1]", "::1", None),
            ("[0:0::1]:9900", "::1", Some(9900)),
            ("pod-7.ns_a.example.:65535", "pod-7.ns_a.example.", Some(65535)),
            ("localhost:", "localhost", None),
        ];
        for (text, host, port) in cases {
            let authority = Authority::parse(text).expect(text);
            assert_eq!((authority.host.as_str(), authority.port), (host, port), "{text}");
            assert_eq!(Authority::parse(&authority.to_string()), Some(authority), "{text}");
        }
    }

    #[test]
    fn everything_else_is_malformed() {
        let long = "x".repeat(NAME_BYTES + 1);
        let cases = [
            "",
            ":80",
            "a b",
            "a:+80",
            "a:65536",
            "a:80:80",
            "::1",
            "::1:80",
            "[::1",
            "[::1]80",
            "[fe80::1%eth0]",
            "[1.2.3.4]",
            "[]",
            "[x]:80",
            "user@host",
            "a/b",
            "a?b",
            "a#b",
            "a,b",
            "a%41",
            "ä",
            "a\0",
            "a\t",
            "http://a",
            "a:b",
            "a: 80",
            long.as_str(),
        ];
        for text in cases {
            assert_eq!(Authority::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn loopback_is_localhost_or_an_address() {
        let loopback = |text| Authority::parse(text).unwrap().is_loopback();
        for text in ["localhost", "LOCALHOST:1", "127.0.0.1", "127.9.9.9", "[::1]:7"] {
            assert!(loopback(text), "{text}");
        }
        let others = [
            "localhost.evil.example",
            "localhost.",
            "127.0.0.1.evil.example",
            "0.0.0.0",
            "[::]",
            "10.0.0.1",
            "127.1",
            "2130706433",
            "0x7f.0.0.1",
            "xlocalhost",
        ];
        for text in others {
            assert!(!loopback(text), "{text}");
        }
    }

    #[test]
    fn a_configured_host_is_compared_as_an_address_or_without_case() {
        let has = |text, name| Authority::parse(text).unwrap().has_host(name);
        assert!(has("Admin.Example:80", "admin.example"));
        assert!(has("admin.example", "ADMIN.example"));
        assert!(has("[fd00:0::1]:80", "fd00::1") && has("[fd00::1]", "[fd00::1]"));
        assert!(!has("admin.example.evil", "admin.example") && !has("example", "admin.example"));
    }
}
