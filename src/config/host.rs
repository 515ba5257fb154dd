//! Parses the host and the port of an Internet address.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::parse::{SpanError, Spanned};

/// The host part of an Internet address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Host {
    /// No host (`:7`, `*:7`, `7`): all local addresses, IPv6 and IPv4 on one socket; as a target,
    /// localhost.
    Any,
    Ip(IpAddr),
    /// A name that the system resolves, or an IPv6 address with a zone (`fe80::1%eth0`): only the
    /// system knows the index of the zone.
    Name(String),
}

/// Maximum bytes of a DNS name and of one of its labels.
const HOST_NAME_BYTES: usize = 253;
const HOST_LABEL_BYTES: usize = 63;

const NAME_SIGNS: &str = "a host name consists of letters, digits, '-', '_' and '.'";

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Any => Ok(()),
            Host::Ip(IpAddr::V4(ip)) => write!(f, "{ip}"),
            Host::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]"),
            Host::Name(name) if name.contains(':') => write!(f, "[{name}]"),
            Host::Name(name) => f.write_str(name),
        }
    }
}

/// Reads `7007`, `:7007`, `*:7007`, `127.0.0.1:7007`, `[::1]:7007`, `name:7007`.
pub(super) fn inet(input: Spanned<'_>) -> Result<(Host, u16), SpanError> {
    let text = input.text;
    if text.is_empty() {
        return Err(input.lacks("missing address"));
    }
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok((Host::Any, port(input)?));
    }
    if let Some(inside) = input.after("[") {
        return bracketed(input, inside);
    }
    let Some(colon) = text.rfind(':') else {
        return Err(input.lacks("missing port: expected :PORT"));
    };
    let (head, tail) = (input.to(colon), input.from(colon + 1));
    if head.text.contains(':') {
        let wrong = match text.parse::<Ipv6Addr>().or_else(|_| head.text.parse()) {
            Ok(_) => "an IPv6 address needs brackets, as in [::1]:7007",
            Err(_) => "too many colons",
        };
        return Err(input.wrong(wrong));
    }
    Ok((host(head)?, port(tail)?))
}

/// Reads a name or an IP address without a port: `name`, `10.0.0.1`, `::1`, `[::1]`.
pub(super) fn read_without_port(input: Spanned<'_>) -> Result<Host, SpanError> {
    let text = input.text;
    if text.is_empty() {
        return Err(input.lacks("missing host name"));
    }
    let v6 = match input.after("[") {
        None => input,
        Some(inside) => match inside.split(']') {
            (_, None) => return Err(inside.lacks("missing ]")),
            (name, Some(rest)) if rest.is_empty() => name,
            (_, Some(rest)) => return Err(rest.wrong("a host without a port is needed")),
        },
    };
    if let Ok(ip) = v6.text.parse::<Ipv6Addr>() {
        return Ok(Host::Ip(IpAddr::V6(ip)));
    }
    match text.split_once(':') {
        Some((_, port)) if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => {
            Err(input.wrong("a host without a port is needed"))
        }
        Some(_) => Err(v6.wrong("not an IPv6 address")),
        None if text == "*" => Err(input.wrong(NAME_SIGNS)),
        None => host(input),
    }
}

fn bracketed(input: Spanned<'_>, inside: Spanned<'_>) -> Result<(Host, u16), SpanError> {
    let (name, Some(rest)) = inside.split(']') else {
        return Err(input.lacks("missing ]"));
    };
    let (digits, zone) = name.split('%');
    let Ok(ip) = digits.text.parse::<Ipv6Addr>() else {
        return Err(name.wrong("not an IPv6 address"));
    };
    let host = match zone {
        None => Host::Ip(IpAddr::V6(ip)),
        Some(zone) => Host::Name(format!("{ip}%{}", zone_name(zone)?)),
    };
    match rest.after(":") {
        Some(tail) => Ok((host, port(tail)?)),
        None if rest.is_empty() => Err(rest.lacks("missing port: expected :PORT")),
        None => Err(rest.wrong("expected :PORT after ]")),
    }
}

fn zone_name(zone: Spanned<'_>) -> Result<&str, SpanError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    match !zone.is_empty() && zone.text.chars().all(allowed) {
        true => Ok(zone.text),
        false => Err(zone.wrong("a zone is an interface name, as in %eth0")),
    }
}

fn port(input: Spanned<'_>) -> Result<u16, SpanError> {
    if input.is_empty() {
        return Err(input.lacks("missing port number"));
    }
    // Only digits: the standard parser would accept a plus sign.
    let digits = input.text.bytes().all(|byte| byte.is_ascii_digit());
    if let Some(slash) = input.text.find('/').filter(|at| *at > 0) {
        return Err(input.from(slash).wrong("unexpected text after the port: not a URL"));
    }
    match input.text.parse() {
        Ok(port) if digits => Ok(port),
        _ => Err(input.wrong("a port is a number from 0 to 65535")),
    }
}

fn host(input: Spanned<'_>) -> Result<Host, SpanError> {
    let text = input.text;
    if text.is_empty() || text == "*" {
        return Ok(Host::Any);
    }
    if let Ok(ip) = text.parse::<Ipv4Addr>() {
        return Ok(Host::Ip(IpAddr::V4(ip)));
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if !text.chars().all(allowed) {
        return Err(input.wrong(NAME_SIGNS));
    }
    let mut labels = text.strip_suffix('.').unwrap_or(text).split('.');
    if labels.clone().any(|label| label.is_empty() || label.len() > HOST_LABEL_BYTES) {
        return Err(input.wrong("a label of a host name has 1 to 63 characters"));
    }
    if text.len() > HOST_NAME_BYTES {
        return Err(input.wrong("a host name has at most 253 characters"));
    }
    if labels.next_back().is_some_and(|label| label.bytes().all(|byte| byte.is_ascii_digit())) {
        return Err(input.wrong("not an IPv4 address"));
    }
    Ok(Host::Name(text.to_ascii_lowercase()))
}
