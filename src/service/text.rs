//! The texts of the services daytime, time, whoami and greet. The time is passed in as a parameter.

use std::fmt::Write;

use crate::config::template::{Placeholder, Template};
use crate::core::{Civil, Peer};

/// The facts about a connection, or about a datagram's sender, that a text may contain.
#[derive(Clone, Debug)]
pub struct PeerFacts {
    pub peer: Peer,
    pub local: Peer,
    /// `tcp`, `udp`, `unix`, `unix-dgram`.
    pub transport: &'static str,
    /// A summary of TCP_INFO. Empty on other transports.
    pub tcp_info: String,
    pub service: &'static str,
    /// Unix time in seconds.
    pub unix_seconds: i64,
}

/// Seconds from 1900, the epoch of RFC 868, to 1970.
const SECONDS_1900_TO_1970: i64 = 2_208_988_800;

/// Returns the text of RFC 867: one line.
pub fn daytime(unix_seconds: i64) -> Vec<u8> {
    let at = Civil::at(unix_seconds);
    let (weekday, month) = (at.weekday_name(), at.month_name());
    let (day, year) = (at.day, at.year);
    let (hour, minute, second) = (at.hour, at.minute, at.second);
    format!("{weekday}, {month} {day}, {year} {hour:02}:{minute:02}:{second:02}-UTC\r\n").into()
}

/// Returns the time of RFC 868: 32 bits, most significant byte first. It wraps in 2036.
pub fn time(unix_seconds: i64) -> Vec<u8> {
    ((unix_seconds + SECONDS_1900_TO_1970) as u32).to_be_bytes().to_vec()
}

/// Returns the facts about a peer and its connection, one per line.
pub fn whoami(facts: &PeerFacts) -> Vec<u8> {
    let mut text = String::new();
    let lines = [
        ("you", facts.peer.to_string()),
        ("me", facts.local.to_string()),
        ("transport", facts.transport.to_owned()),
        ("tcp", facts.tcp_info.clone()),
    ];
    for (name, value) in lines.iter().filter(|(_, value)| !value.is_empty()) {
        // Writing to a string cannot fail.
        let _ = write!(text, "{name}: {value}\r\n");
    }
    text.into()
}

/// Renders a greeting with its placeholders.
pub fn greeting(template: &Template, facts: &PeerFacts) -> Vec<u8> {
    template.render(|place| match place {
        Placeholder::Peer => facts.peer.to_string(),
        Placeholder::PeerIp => ip(&facts.peer),
        Placeholder::PeerPort => port(&facts.peer),
        Placeholder::Local => facts.local.to_string(),
        Placeholder::LocalIp => ip(&facts.local),
        Placeholder::LocalPort => port(&facts.local),
        Placeholder::Service => facts.service.to_owned(),
        Placeholder::Time => iso(facts.unix_seconds),
    })
}

/// Returns the IP address of a peer. A Unix peer has none, and is called `unix`.
fn ip(peer: &Peer) -> String {
    match peer {
        Peer::Inet(address) => address.ip().to_canonical().to_string(),
        Peer::Unix(_) => "unix".to_owned(),
        Peer::Stdio => "stdio".to_owned(),
    }
}

fn port(peer: &Peer) -> String {
    match peer {
        Peer::Inet(address) => address.port().to_string(),
        _ => "0".to_owned(),
    }
}

fn iso(unix_seconds: i64) -> String {
    let at = Civil::at(unix_seconds);
    let (year, month, day) = (at.year, at.month, at.day);
    let (hour, minute, second) = (at.hour, at.minute, at.second);
    format!("{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 20 November 2026, 18:17:05 UTC.
    const NOW: i64 = 1_795_198_625;

    fn facts() -> PeerFacts {
        PeerFacts {
            peer: Peer::Inet("192.0.2.7:4711".parse().unwrap()),
            local: Peer::Inet("[2001:db8::1]:7".parse().unwrap()),
            transport: "tcp",
            tcp_info: "rtt 0.1 ms".to_owned(),
            service: "greet",
            unix_seconds: NOW,
        }
    }

    #[test]
    fn daytime_is_one_readable_line() {
        assert_eq!(daytime(NOW), b"Friday, November 20, 2026 18:17:05-UTC\r\n");
    }

    #[test]
    fn time_counts_from_1900() {
        // The example in RFC 868: 1 January 1970, 00:00.
        assert_eq!(time(0), 2_208_988_800_u32.to_be_bytes());
        assert_eq!(time(NOW).len(), 4);
    }

    #[test]
    fn whoami_shows_both_addresses_and_the_tcp_info() {
        let text = String::from_utf8(whoami(&facts())).unwrap();
        assert_eq!(
            text,
            "you: 192.0.2.7:4711\r\nme: [2001:db8::1]:7\r\ntransport: tcp\r\ntcp: rtt 0.1 ms\r\n"
        );
    }

    #[test]
    fn a_greeting_fills_in_its_placeholders() {
        let template = Template::parse("welcome {peer.ip}:{peer.port} to {service}\\n").unwrap();
        assert_eq!(greeting(&template, &facts()), b"welcome 192.0.2.7:4711 to greet\n");
    }

    #[test]
    fn an_ipv4_mapped_address_is_shown_as_ipv4() {
        let peer = Peer::Inet("[::ffff:127.0.0.1]:9".parse().unwrap());
        assert_eq!(ip(&peer), "127.0.0.1");
    }
}
