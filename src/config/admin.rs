//! The listeners for operators and scrapers, and who may use them. What they answer is the matter
//! of `admin`.

use std::path::PathBuf;

use super::address::{Address, UnixName};
use super::host::{self, Host};
use super::listen::{self, Listen};
use super::parse::{SpanError, Spanned};

/// The listeners of the admin endpoint and of the metrics. None exists unless it was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AdminPlan {
    /// Serves everything, including the verbs that change the daemon.
    pub admin: Option<Listen>,
    /// Serves only what a scraper and a probe need.
    pub metrics: Option<Listen>,
    /// The file with the token that permits writing verbs.
    pub token_file: Option<PathBuf>,
    /// Accepted in the Host header, besides the loopback names: lowercase names without a final
    /// dot, and IP addresses, those of IPv6 in brackets.
    pub hosts: Vec<String>,
}

/// The permission bits of the admin socket's file, if no others are given: only its owner and root
/// may connect.
const SOCKET_MODE: u32 = 0o600;

/// What a repeated listener option would replace.
const ONCE: &str = "is given twice: there is one such listener";

/// Reads the listener of `--admin`. A socket file without a mode becomes private.
pub(super) fn read_admin(admin: &mut Option<Listen>, value: Spanned<'_>) -> Result<(), SpanError> {
    read_stream(admin, "--admin", value)?;
    if let Some(listen) = admin
        && matches!(listen.address, Address::Unix(UnixName::Path(_)))
    {
        listen.options.mode.get_or_insert(SOCKET_MODE);
    }
    Ok(())
}

/// Reads the listener of `--metrics`.
pub(super) fn read_metrics(
    metrics: &mut Option<Listen>,
    value: Spanned<'_>,
) -> Result<(), SpanError> {
    read_stream(metrics, "--metrics", value)
}

fn read_stream(
    field: &mut Option<Listen>,
    name: &str,
    value: Spanned<'_>,
) -> Result<(), SpanError> {
    if field.is_some() {
        return Err(value.wrong(format!("{name} {ONCE}")));
    }
    let listen = listen::read(value)?;
    if listen.address.is_datagram() {
        let error = value.wrong("must be a stream address");
        return Err(error.or_accepts("tcp://…, unix:… to listen on"));
    }
    *field = Some(listen);
    Ok(())
}

/// Reads names and IP addresses for the Host header, separated by commas, and adds the new ones.
pub(super) fn read_hosts(hosts: &mut Vec<String>, value: Spanned<'_>) -> Result<(), SpanError> {
    for name in value.parts(',') {
        let host = match host::read_without_port(name)? {
            Host::Name(name) => name.strip_suffix('.').unwrap_or(&name).to_string(),
            ip => ip.to_string(),
        };
        if !hosts.contains(&host) {
            hosts.push(host);
        }
    }
    Ok(())
}

/// Reads the path of the token file. It is opened when the daemon starts.
pub(super) fn read_token_file(
    file: &mut Option<PathBuf>,
    value: Spanned<'_>,
) -> Result<(), SpanError> {
    if value.is_empty() {
        return Err(value.lacks("missing file name"));
    }
    *file = Some(PathBuf::from(value.text));
    Ok(())
}

/// Whether only this machine reaches the listener. Names other than localhost are not resolved, so
/// they do not count.
pub(super) fn is_local(listen: &Listen) -> bool {
    is_loopback(&listen.address)
}

/// Whether it is an address of the loopback interface, or of a Unix socket.
pub fn is_loopback(address: &Address) -> bool {
    match address {
        Address::Unix(_) | Address::UnixDatagram(_) => true,
        Address::Tcp(host, _) | Address::Udp(host, _) => match host {
            Host::Any => false,
            Host::Ip(ip) => ip.to_canonical().is_loopback(),
            Host::Name(name) => name.strip_suffix('.').unwrap_or(name) == "localhost",
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admin(text: &str) -> Result<Listen, String> {
        let mut listen = None;
        read_admin(&mut listen, Spanned::whole(text)).map_err(|error| error.wrong)?;
        Ok(listen.expect("no listener"))
    }

    fn hosts(texts: &[&str]) -> Result<Vec<String>, String> {
        let mut hosts = Vec::new();
        for text in texts {
            read_hosts(&mut hosts, Spanned::whole(text)).map_err(|error| error.wrong)?;
        }
        Ok(hosts)
    }

    #[test]
    fn the_file_of_the_admin_socket_is_private_unless_a_mode_is_given() {
        let cases = [
            ("/run/x", "unix:/run/x,mode=0600"),
            ("/run/x,mode=0660", "unix:/run/x,mode=0660"),
            ("/run/x,backlog=5", "unix:/run/x,backlog=5,mode=0600"),
            ("unix:@x", "unix:@x"),
            ("127.0.0.1:9", "tcp://127.0.0.1:9"),
        ];
        for (text, printed) in cases {
            assert_eq!(admin(text).unwrap().to_string(), printed, "{text}");
        }
        let mut metrics = None;
        read_metrics(&mut metrics, Spanned::whole("/run/x")).unwrap();
        assert_eq!(metrics.unwrap().to_string(), "unix:/run/x");
    }

    #[test]
    fn a_listener_is_a_stream_and_given_once() {
        // A file has other names for the options, so none is in the text.
        assert_eq!(admin("udp://:9"), Err("must be a stream address".into()));
        assert_eq!(admin("unix-dgram:/x"), Err("must be a stream address".into()));
        let mut listen = Some(admin("127.0.0.1:9").unwrap());
        for read in [read_admin, read_metrics] {
            let error = read(&mut listen, Spanned::whole("127.0.0.1:9")).unwrap_err();
            assert!(error.wrong.ends_with(ONCE), "{error:?}");
        }
    }

    #[test]
    fn hosts_are_stored_as_a_host_header_has_them() {
        let given = ["Admin.Example.", "10.0.0.1", "::1", "[fd00::1]", "a,B", "admin.example"];
        let stored = ["admin.example", "10.0.0.1", "[::1]", "[fd00::1]", "a", "b"];
        assert_eq!(hosts(&given).unwrap(), stored);
    }

    #[test]
    fn a_host_is_a_name_or_an_ip_address_without_a_port() {
        let cases = [
            ("", "missing host name"),
            ("a,", "missing host name"),
            ("*", "a host name consists of letters, digits, '-', '_' and '.'"),
            ("a:80", "a host without a port is needed"),
            ("10.0.0.1:80", "a host without a port is needed"),
            ("[::1]:80", "a host without a port is needed"),
            ("[::1", "missing ]"),
            ("[::1%eth0]", "not an IPv6 address"),
            ("1::2::3", "not an IPv6 address"),
            ("http://a", "not an IPv6 address"),
            ("a/b", "a host name consists of letters, digits, '-', '_' and '.'"),
            ("a b", "a host name consists of letters, digits, '-', '_' and '.'"),
            ("1.2.3", "not an IPv4 address"),
        ];
        for (text, wrong) in cases {
            assert_eq!(hosts(&[text]), Err(wrong.to_string()), "{text}");
        }
    }

    #[test]
    fn only_loopback_addresses_and_unix_sockets_are_local() {
        let local = ["127.0.0.1:9", "127.9.9.9:9", "[::1]:9", "[::ffff:127.0.0.1]:9"];
        let more = ["localhost:9", "LocalHost.:9", "unix:/x", "unix:@x"];
        for text in local.iter().chain(&more) {
            assert!(is_local(&Listen::parse(text).unwrap()), "{text}");
        }
        for text in ["9", "0.0.0.0:9", "[::]:9", "10.0.0.1:9", "db:9", "x.localhost:9"] {
            assert!(!is_local(&Listen::parse(text).unwrap()), "{text}");
        }
    }
}
