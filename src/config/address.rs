//! Addresses to listen on or to connect to: parsing and printing.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::host::{Host, inet};
use super::parse::{ParseError, SpanError, Spanned};

/// An address to listen on or to connect to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    Tcp(Host, u16),
    Udp(Host, u16),
    Unix(UnixName),
    UnixDatagram(UnixName),
}

/// The name of a Unix socket.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UnixName {
    Path(PathBuf),
    /// An abstract name, without a file (Linux).
    Abstract(String),
}

/// The accepted forms, for error messages.
pub(super) const ADDRESSES: &str = "7007, :7007, 127.0.0.1:7007, [::1]:7007, name:7007, tcp://…, \
     udp://…,\n/path, unix:/path, unix:@name, unix-dgram:/path";
/// Maximum bytes of a name in `sockaddr_un`, without the final NUL: the field has 104 bytes on the
/// BSDs and macOS, 108 elsewhere.
#[cfg(any(target_vendor = "apple", target_os = "freebsd", target_os = "netbsd"))]
const UNIX_NAME_BYTES: usize = 103;
#[cfg(not(any(target_vendor = "apple", target_os = "freebsd", target_os = "netbsd")))]
const UNIX_NAME_BYTES: usize = 107;
impl Address {
    /// Parses an address. Port 0 is accepted: a listener then uses any free port.
    pub fn parse(text: &str) -> Result<Address, ParseError> {
        read(Spanned::whole(text))
            .map_err(|span_error| ParseError::new("address", text, span_error))
    }

    /// Parses an address to connect to. Port 0 is refused.
    pub fn parse_target(text: &str) -> Result<Address, ParseError> {
        read_target(Spanned::whole(text))
            .map_err(|span_error| ParseError::new("address", text, span_error))
    }

    /// Parses the address of a stream socket to connect to.
    pub fn parse_stream_target(text: &str) -> Result<Address, ParseError> {
        read_stream_target(Spanned::whole(text))
            .map_err(|span_error| ParseError::new("address", text, span_error))
    }

    /// Whether it carries datagrams rather than a stream.
    pub fn is_datagram(&self) -> bool {
        matches!(self, Address::Udp(..) | Address::UnixDatagram(_))
    }

    /// Returns the port, if there is one.
    pub fn port(&self) -> Option<u16> {
        match self {
            Address::Tcp(_, port) | Address::Udp(_, port) => Some(*port),
            Address::Unix(_) | Address::UnixDatagram(_) => None,
        }
    }
}

impl FromStr for Address {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Address, ParseError> {
        Address::parse(text)
    }
}

/// Prints the canonical form; parsing it gives the same address.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(host, port) => write!(f, "tcp://{host}:{port}"),
            Address::Udp(host, port) => write!(f, "udp://{host}:{port}"),
            Address::Unix(name) => write!(f, "unix:{name}"),
            Address::UnixDatagram(name) => write!(f, "unix-dgram:{name}"),
        }
    }
}

impl fmt::Display for UnixName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UnixName::Path(path) => write!(f, "{}", path.display()),
            UnixName::Abstract(name) => write!(f, "@{name}"),
        }
    }
}

/// Parses the text after a prefix.
type ReadAddress = fn(Spanned<'_>) -> Result<Address, SpanError>;

/// All prefixes, canonical ones first. Those with `@` are aliases known from HAProxy.
const PREFIXES: [(&str, ReadAddress); 12] = [
    ("tcp://", |rest| inet(rest).map(|(host, port)| Address::Tcp(host, port))),
    ("udp://", |rest| inet(rest).map(|(host, port)| Address::Udp(host, port))),
    ("unix-dgram://", |rest| rooted(rest).map(Address::UnixDatagram)),
    ("unix-dgram:", |rest| unix_name(rest).map(Address::UnixDatagram)),
    ("unix://", |rest| rooted(rest).map(Address::Unix)),
    ("unix:", |rest| unix_name(rest).map(Address::Unix)),
    ("unix@", |rest| unix_name(rest).map(Address::Unix)),
    ("abns@", |rest| abstract_name(rest).map(Address::Unix)),
    ("tcp@", |rest| inet(rest).map(|(host, port)| Address::Tcp(host, port))),
    ("udp@", |rest| inet(rest).map(|(host, port)| Address::Udp(host, port))),
    ("ipv4@", |rest| family(rest, IpAddr::V4(Ipv4Addr::UNSPECIFIED))),
    ("ipv6@", |rest| family(rest, IpAddr::V6(Ipv6Addr::UNSPECIFIED))),
];

pub(super) fn read(input: Spanned<'_>) -> Result<Address, SpanError> {
    let text = input.text;
    if let Some(found) = text.find(char::is_control) {
        let length = text[found..].chars().next().map_or(0, char::len_utf8);
        return Err(input.from(found).to(length).wrong("control character"));
    }
    if let Some(found) = text.find(',') {
        let span_error = input.from(found).wrong("options are not allowed here");
        return Err(span_error.or_accepts(ADDRESSES));
    }
    let address = if ["/", "./", "../"].iter().any(|start| text.starts_with(start)) {
        unix_name(input).map(Address::Unix)
    } else if let Some((prefix, reader)) = PREFIXES.iter().find(|(p, _)| begins(text, p)) {
        reader(input.from(prefix.len()))
    } else {
        unknown_prefix(input)?;
        inet(input).map(|(host, port)| Address::Tcp(host, port))
    };
    address.map_err(|span_error| span_error.or_accepts(ADDRESSES))
}

pub(super) fn read_target(input: Spanned<'_>) -> Result<Address, SpanError> {
    let address = read(input)?;
    if address.port() == Some(0) {
        let digits =
            input.text.len() - input.text.trim_end_matches(|c: char| c.is_ascii_digit()).len();
        let port = input.from(input.text.len() - digits);
        return Err(port.wrong("cannot connect to port 0").or_accepts("a port from 1 to 65535"));
    }
    Ok(address)
}

/// Reads the address of a stream socket to connect to.
pub(super) fn read_stream_target(input: Spanned<'_>) -> Result<Address, SpanError> {
    let address = read_target(input)?;
    match address.is_datagram() {
        true => Err(input.wrong("must be a stream address").or_accepts("tcp://…, unix:…")),
        false => Ok(address),
    }
}

fn begins(text: &str, prefix: &str) -> bool {
    text.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

/// Rejects text that looks like an unknown prefix.
fn unknown_prefix(input: Spanned<'_>) -> Result<(), SpanError> {
    const SCHEMES: &str = "tcp://host:port, udp://host:port, unix:/path, unix-dgram:/path";
    let text = input.text;
    if let Some(found) = text.find("://") {
        return Err(input.to(found + 3).wrong("unknown scheme").or_accepts(SCHEMES));
    }
    if begins(text, "tcp:") || begins(text, "udp:") {
        let wrong = format!("expected {}//HOST:PORT", &text[..4]);
        return Err(input.to(4).wrong(wrong).or_accepts(SCHEMES));
    }
    match text.find('@') {
        Some(0) => Err(input.to(1).wrong("an abstract name is written unix:@name")),
        Some(found) => Err(input.to(found + 1).wrong("unknown prefix").or_accepts(SCHEMES)),
        None => Ok(()),
    }
    .map_err(|span_error| span_error.or_accepts(ADDRESSES))
}

/// `ipv4@…` and `ipv6@…`: no host means every address of that family.
fn family(input: Spanned<'_>, every: IpAddr) -> Result<Address, SpanError> {
    match inet(input)? {
        (Host::Any, port) => Ok(Address::Tcp(Host::Ip(every), port)),
        (Host::Ip(ip), port) if ip.is_ipv4() == every.is_ipv4() => {
            Ok(Address::Tcp(Host::Ip(ip), port))
        }
        _ => Err(input.wrong("this prefix needs an IP address of its family")),
    }
}

/// Reads an absolute path after `unix://`: in `unix://run/x` the first slash is missing.
fn rooted(input: Spanned<'_>) -> Result<UnixName, SpanError> {
    match input.text.starts_with('/') {
        true => unix_name(input),
        false => Err(input.wrong("expected an absolute path, as in ///run/x.sock")),
    }
}

fn unix_name(input: Spanned<'_>) -> Result<UnixName, SpanError> {
    if let Some(name) = input.after("@") {
        return abstract_name(name);
    }
    let path = sized(input, "missing path")?;
    // Leading slashes are merged: the printed form must not look like `unix://`.
    let extra = path.bytes().take_while(|byte| *byte == b'/').count().saturating_sub(1);
    Ok(UnixName::Path(Path::new(&path[extra..]).to_path_buf()))
}

fn abstract_name(input: Spanned<'_>) -> Result<UnixName, SpanError> {
    sized(input, "missing name after @").map(|name| UnixName::Abstract(name.to_string()))
}

fn sized<'a>(input: Spanned<'a>, none: &str) -> Result<&'a str, SpanError> {
    match input.text.len() {
        0 => Err(input.lacks(none)),
        1..=UNIX_NAME_BYTES => Ok(input.text),
        _ => Err(input
            .wrong(format!("longer than {UNIX_NAME_BYTES} bytes, the system limit"))
            .or_accepts("a shorter path, for example a relative one")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every accepted form and its canonical form.
    const ACCEPTED: [(&str, &str); 39] = [
        ("7007", "tcp://:7007"),
        (":7007", "tcp://:7007"),
        ("*:7007", "tcp://:7007"),
        ("0", "tcp://:0"),
        ("0080", "tcp://:80"),
        ("127.0.0.1:7007", "tcp://127.0.0.1:7007"),
        ("127.0.0.1:0", "tcp://127.0.0.1:0"),
        ("0.0.0.0:65535", "tcp://0.0.0.0:65535"),
        ("[::1]:7007", "tcp://[::1]:7007"),
        ("[0:0:0:0:0:0:0:1]:7007", "tcp://[::1]:7007"),
        ("[::ffff:127.0.0.1]:80", "tcp://[::ffff:127.0.0.1]:80"),
        ("[fe80::1%eth0]:80", "tcp://[fe80::1%eth0]:80"),
        ("localhost:80", "tcp://localhost:80"),
        ("Db1.Example.:5432", "tcp://db1.example.:5432"),
        ("_srv-1:5432", "tcp://_srv-1:5432"),
        ("1and1:80", "tcp://1and1:80"),
        ("tcp://127.0.0.1:7", "tcp://127.0.0.1:7"),
        ("tcp://:7", "tcp://:7"),
        ("tcp://7", "tcp://:7"),
        ("TCP://*:7", "tcp://:7"),
        ("tcp@127.0.0.1:7", "tcp://127.0.0.1:7"),
        ("udp://:53", "udp://:53"),
        ("udp://[::]:53", "udp://[::]:53"),
        ("udp://localhost:53", "udp://localhost:53"),
        ("udp@:53", "udp://:53"),
        ("ipv4@:80", "tcp://0.0.0.0:80"),
        ("ipv4@10.0.0.1:80", "tcp://10.0.0.1:80"),
        ("ipv6@:80", "tcp://[::]:80"),
        ("/run/x.sock", "unix:/run/x.sock"),
        ("//run/x.sock", "unix:/run/x.sock"),
        ("./x.sock", "unix:./x.sock"),
        ("../x.sock", "unix:../x.sock"),
        ("unix:/run/x.sock", "unix:/run/x.sock"),
        ("unix:///run/x.sock", "unix:/run/x.sock"),
        ("unix:x.sock", "unix:x.sock"),
        ("unix@/run/x.sock", "unix:/run/x.sock"),
        ("unix:@name", "unix:@name"),
        ("unix-dgram:/run/x.sock", "unix-dgram:/run/x.sock"),
        ("unix-dgram:@x", "unix-dgram:@x"),
    ];

    /// Every refused form, the span of the error, and the message.
    const REFUSED: [(&str, &str, &str); 41] = [
        ("", "", "missing address"),
        ("tcp://", "", "missing address"),
        ("7x", "", "missing port: expected :PORT"),
        ("localhost", "", "missing port: expected :PORT"),
        ("127.0.0.1", "", "missing port: expected :PORT"),
        (":", "", "missing port number"),
        ("localhost:", "", "missing port number"),
        ("65536", "65536", "a port is a number from 0 to 65535"),
        ("127.0.0.1:99999", "99999", "a port is a number from 0 to 65535"),
        ("127.0.0.1:+80", "+80", "a port is a number from 0 to 65535"),
        ("127.0.0.1:-1", "-1", "a port is a number from 0 to 65535"),
        ("127.0.0.1: 80", " 80", "a port is a number from 0 to 65535"),
        ("localhost:http", "http", "a port is a number from 0 to 65535"),
        ("tcp://a:80/", "/", "unexpected text after the port: not a URL"),
        ("127.0.0.256:80", "127.0.0.256", "not an IPv4 address"),
        ("1.2.3:80", "1.2.3", "not an IPv4 address"),
        ("::1", "::1", "an IPv6 address needs brackets, as in [::1]:7007"),
        ("fe80::1:80", "fe80::1:80", "an IPv6 address needs brackets, as in [::1]:7007"),
        ("a:b:80", "a:b:80", "too many colons"),
        ("[::1:80", "", "missing ]"),
        ("[::1]", "", "missing port: expected :PORT"),
        ("[::1]80", "80", "expected :PORT after ]"),
        ("[::g]:80", "::g", "not an IPv6 address"),
        ("[127.0.0.1]:80", "127.0.0.1", "not an IPv6 address"),
        ("[fe80::1%]:80", "", "a zone is an interface name, as in %eth0"),
        ("[fe80::1%e 0]:80", "e 0", "a zone is an interface name, as in %eth0"),
        ("ho st:80", "ho st", "a host name consists of letters, digits, '-', '_' and '.'"),
        ("höst:80", "höst", "a host name consists of letters, digits, '-', '_' and '.'"),
        ("a..b:80", "a..b", "a label of a host name has 1 to 63 characters"),
        (".:80", ".", "a label of a host name has 1 to 63 characters"),
        ("http://a:80", "http://", "unknown scheme"),
        ("tcp:a:80", "tcp:", "expected tcp://HOST:PORT"),
        ("user@a:80", "user@", "unknown prefix"),
        ("@name", "@", "an abstract name is written unix:@name"),
        ("ipv4@[::1]:80", "[::1]:80", "this prefix needs an IP address of its family"),
        ("ipv6@localhost:80", "localhost:80", "this prefix needs an IP address of its family"),
        ("unix:", "", "missing path"),
        ("unix:@", "", "missing name after @"),
        ("unix://run/x", "run/x", "expected an absolute path, as in ///run/x.sock"),
        ("unix:/a\tb", "\t", "control character"),
        (":80,v6only", ",v6only", "options are not allowed here"),
    ];

    #[test]
    fn every_form_prints_back_in_one_canonical_form() {
        for (text, printed) in ACCEPTED {
            let address = Address::parse(text).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(address.to_string(), printed, "{text}");
            assert_eq!(Address::parse(printed), Ok(address), "{printed}");
        }
    }

    #[test]
    fn every_wrong_form_is_refused_at_its_place() {
        for (text, place, wrong) in REFUSED {
            let error = Address::parse(text).expect_err(text);
            assert_eq!((&text[error.span.clone()], error.wrong.as_str()), (place, wrong), "{text}");
            assert!(!error.accepted.is_empty() || wrong == "control character", "{text}");
        }
    }

    #[test]
    fn a_wrong_port_is_shown_with_a_caret_line_and_what_is_accepted() {
        let error = Address::parse("127.0.0.1:99999").unwrap_err();
        let lines = [
            "bad address: 127.0.0.1:99999",
            "  127.0.0.1:99999",
            "            ^^^^^ a port is a number from 0 to 65535",
            "  accepted: 7007, :7007, 127.0.0.1:7007, [::1]:7007, name:7007, tcp://…, udp://…,",
            "            /path, unix:/path, unix:@name, unix-dgram:/path",
        ];
        assert_eq!(error.to_string(), lines.join("\n"));
    }

    #[test]
    fn port_0_is_for_listening_only() {
        for (text, place) in [("0", "0"), ("127.0.0.1:0", "0"), ("udp://a:000", "000")] {
            assert!(Address::parse(text).is_ok(), "{text}");
            let error = Address::parse_target(text).unwrap_err();
            assert_eq!(
                (&text[error.span], error.wrong.as_str()),
                (place, "cannot connect to port 0")
            );
        }
        assert!(Address::parse_target("unix:/run/0").is_ok());
    }

    #[test]
    fn names_longer_than_the_system_takes_are_refused() {
        let path = |length: usize| format!("/{}", "x".repeat(length - 1));
        assert!(Address::parse(&path(UNIX_NAME_BYTES)).is_ok());
        let error = Address::parse(&path(UNIX_NAME_BYTES + 1)).unwrap_err();
        assert!(error.wrong.starts_with("longer than"), "{error}");
        assert!(Address::parse(&format!("{}.a:1", ["x"; 120].join("."))).is_ok());
        assert!(Address::parse(&format!("{}.a:1", ["x"; 130].join("."))).is_err());
        assert!(Address::parse(&format!("{}:1", "x".repeat(64))).is_err());
    }
}
