//! Listening addresses: an address, followed by socket options after commas.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use super::address::{self, Address, UnixName};
use super::host::Host;
use super::parse::{ParseError, SpanError, Spanned};
use super::unit;

/// An address to listen on, with its options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    pub address: Address,
    pub options: ListenOptions,
}

/// Socket options of a listener.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListenOptions {
    /// IPv6 only, for addresses that would also accept IPv4.
    pub v6only: bool,
    /// Maximum length of the accept queue; the system may allow less.
    pub backlog: Option<u32>,
    /// The permission bits of a Unix socket's file.
    pub mode: Option<u32>,
    /// Other sockets may listen on the same address.
    pub reuseport: bool,
}

/// The accepted options, for error messages.
const OPTIONS: &str = "v6only, backlog=N, mode=0660, reuseport";
/// Maximum backlog: listen(2) takes a signed integer.
const BACKLOG_MAX: u64 = i32::MAX as u64;

impl Listen {
    pub fn parse(text: &str) -> Result<Listen, ParseError> {
        read(Spanned::whole(text))
            .map_err(|span_error| ParseError::new("address", text, span_error))
    }
}

impl From<Address> for Listen {
    fn from(address: Address) -> Listen {
        Listen { address, options: ListenOptions::default() }
    }
}

impl FromStr for Listen {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Listen, ParseError> {
        Listen::parse(text)
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.address, self.options)
    }
}

impl fmt::Display for ListenOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.v6only {
            f.write_str(",v6only")?;
        }
        if let Some(backlog) = self.backlog {
            write!(f, ",backlog={backlog}")?;
        }
        if let Some(mode) = self.mode {
            write!(f, ",mode={mode:04o}")?;
        }
        if self.reuseport {
            f.write_str(",reuseport")?;
        }
        Ok(())
    }
}

pub(super) fn read(input: Spanned<'_>) -> Result<Listen, SpanError> {
    let (place, options) = input.split(',');
    let mut listen = Listen::from(address::read(place)?);
    for option in options.into_iter().flat_map(|options| options.parts(',')) {
        read_option(option, &mut listen)?;
    }
    Ok(listen)
}

fn read_option(option: Spanned<'_>, listen: &mut Listen) -> Result<(), SpanError> {
    let (name, value) = option.split('=');
    let address = &listen.address;
    let (fits, reason) = match name.text {
        "v6only" => (takes_v6(address), "v6only applies only to IPv6 addresses"),
        "backlog" => (!address.is_datagram(), "backlog applies only to streams"),
        "mode" => (has_file(address), "mode applies only to Unix sockets with a path"),
        "reuseport" => (address.port().is_some(), "reuseport applies only to TCP and UDP"),
        _ => return Err(name.wrong("unknown option").or_accepts(OPTIONS)),
    };
    if !fits {
        return Err(option.wrong(reason));
    }
    match (name.text, value) {
        ("v6only", None) => listen.options.v6only = true,
        ("reuseport", None) => listen.options.reuseport = true,
        ("backlog", Some(value)) => listen.options.backlog = Some(backlog(value)?),
        ("mode", Some(value)) => listen.options.mode = Some(mode(value)?),
        (_, Some(value)) => {
            return Err(value.wrong(format!("{} takes no value", name.text)).or_accepts(OPTIONS));
        }
        (_, None) => {
            return Err(name.lacks(format!("{} takes a value", name.text)).or_accepts(OPTIONS));
        }
    }
    Ok(())
}

fn takes_v6(address: &Address) -> bool {
    match address {
        Address::Tcp(host, _) | Address::Udp(host, _) => !matches!(host, Host::Ip(IpAddr::V4(_))),
        Address::Unix(_) | Address::UnixDatagram(_) => false,
    }
}

fn has_file(address: &Address) -> bool {
    matches!(address, Address::Unix(UnixName::Path(_)) | Address::UnixDatagram(UnixName::Path(_)))
}

fn backlog(value: Spanned<'_>) -> Result<u32, SpanError> {
    match unit::read_count(value)? {
        count @ 1..=BACKLOG_MAX => Ok(count as u32),
        _ => Err(value.wrong(format!("a backlog is a number from 1 to {BACKLOG_MAX}"))),
    }
}

fn mode(value: Spanned<'_>) -> Result<u32, SpanError> {
    let octal = value.text.bytes().all(|byte| matches!(byte, b'0'..=b'7'));
    match u32::from_str_radix(value.text, 8) {
        Ok(mode @ 0..=0o777) if octal => Ok(mode),
        _ => Err(value
            .wrong("a mode is an octal number up to 0777")
            .or_accepts("0600 (owner), 0660 (owner and group), 0666 (everyone)")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_follow_the_address_and_print_back_in_one_order() {
        let cases = [
            ("7", "tcp://:7"),
            ("tcp://[::]:80,v6only", "tcp://[::]:80,v6only"),
            (":80,reuseport,v6only,backlog=4k", "tcp://:80,v6only,backlog=4000,reuseport"),
            ("name:80,v6only", "tcp://name:80,v6only"),
            ("udp://:53,reuseport", "udp://:53,reuseport"),
            ("/run/x,mode=660,backlog=5", "unix:/run/x,backlog=5,mode=0660"),
            ("unix-dgram:/run/x,mode=0", "unix-dgram:/run/x,mode=0000"),
            (":80,backlog=1,backlog=2", "tcp://:80,backlog=2"),
        ];
        for (text, printed) in cases {
            let listen = Listen::parse(text).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(listen.to_string(), printed, "{text}");
            assert_eq!(Listen::parse(printed), Ok(listen), "{printed}");
        }
    }

    #[test]
    fn a_wrong_option_is_refused_at_its_place() {
        let cases = [
            (":80,", "", "unknown option"),
            (":80,v6", "v6", "unknown option"),
            (":80,v6only=1", "1", "v6only takes no value"),
            (":80,backlog", "", "backlog takes a value"),
            (":80,backlog=", "", "missing number"),
            (":80,backlog=0", "0", "a backlog is a number from 1 to 2147483647"),
            (":80,backlog=3g", "3g", "a backlog is a number from 1 to 2147483647"),
            (":80,mode=0660", "mode=0660", "mode applies only to Unix sockets with a path"),
            ("unix:@x,mode=0660", "mode=0660", "mode applies only to Unix sockets with a path"),
            ("/x,mode=0888", "0888", "a mode is an octal number up to 0777"),
            ("/x,mode=1777", "1777", "a mode is an octal number up to 0777"),
            ("/x,mode=+7", "+7", "a mode is an octal number up to 0777"),
            ("/x,reuseport", "reuseport", "reuseport applies only to TCP and UDP"),
            ("1.2.3.4:80,v6only", "v6only", "v6only applies only to IPv6 addresses"),
            ("udp://:80,backlog=3", "backlog=3", "backlog applies only to streams"),
        ];
        for (text, place, wrong) in cases {
            let error = Listen::parse(text).expect_err(text);
            assert_eq!((&text[error.span.clone()], error.wrong.as_str()), (place, wrong), "{text}");
        }
    }
}
