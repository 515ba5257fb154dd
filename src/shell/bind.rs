//! Binding: from an address of the plan to sockets of the system, for streams and for datagrams.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};

use socket2::{Domain, Protocol, Socket, Type};

use crate::core::SysError;
use crate::plan::{Address, Host, Listen, ListenOptions};
use crate::text::escape::escaped;

#[cfg(unix)]
use super::socket_file::SocketFile;

/// An address that could not be bound, and why: `cannot listen on tcp://127.0.0.1:80: ...`.
#[derive(Debug)]
pub struct CannotListen {
    pub address: Address,
    pub error: io::Error,
}

impl fmt::Display for CannotListen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot listen on {}: ", escaped(&self.address))?;
        match self.error.raw_os_error() {
            Some(_) => write!(f, "{}", SysError::from(&self.error)),
            None => write!(f, "{}", self.error),
        }
    }
}

impl std::error::Error for CannotListen {}

/// A socket that is bound (and listens, if it is one for streams).
pub struct Bound {
    /// Dropped before the socket, as it wants to be.
    #[cfg(unix)]
    pub file: Option<SocketFile>,
    pub socket: Socket,
    /// What it is bound to: a name has become an address, port 0 the port that the system chose.
    pub address: Address,
}

impl Bound {
    /// What an operator should know about how it was bound.
    pub fn warning(&self) -> Option<String> {
        #[cfg(unix)]
        let warning = self.file.as_ref().and_then(SocketFile::warning);
        #[cfg(not(unix))]
        let warning = None;
        warning
    }
}

/// Binds all that an address of the plan stands for, or nothing. It may wait for a name to be
/// resolved: it is meant for the time before the loop begins.
pub fn bind(listen: &Listen) -> Result<Vec<Bound>, CannotListen> {
    let options = &listen.options;
    let bound = match &listen.address {
        Address::Tcp(host, port) => bind_inet(Kind::Tcp, host, *port, options),
        Address::Udp(host, port) => bind_inet(Kind::Udp, host, *port, options),
        #[cfg(unix)]
        Address::Unix(name) => unix::bind(Type::STREAM, name, listen),
        #[cfg(unix)]
        Address::UnixDatagram(name) => unix::bind(Type::DGRAM, name, listen),
        #[cfg(not(unix))]
        _ => Err(io::Error::new(io::ErrorKind::Unsupported, "this system has no Unix sockets")),
    };
    bound.map_err(|error| CannotListen { address: listen.address.clone(), error })
}

/// How many connections may wait to be accepted, if the route does not say. The system may allow
/// fewer. A burst that overflows the queue costs its victims a second each, until they knock
/// again.
pub const BACKLOG: u32 = 4096;

fn backlog(options: &ListenOptions) -> i32 {
    options.backlog.unwrap_or(BACKLOG).try_into().unwrap_or(i32::MAX)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Tcp,
    Udp,
}

fn bind_inet(
    kind: Kind,
    host: &Host,
    port: u16,
    options: &ListenOptions,
) -> io::Result<Vec<Bound>> {
    let any = |ip: IpAddr| vec![SocketAddr::new(ip, port)];
    let sockets = match host {
        Host::Any => match bind_all(kind, &any(Ipv6Addr::UNSPECIFIED.into()), options) {
            Err(error) if is_missing(&error) && !options.v6only => {
                bind_all(kind, &any(Ipv4Addr::UNSPECIFIED.into()), options)
            }
            done => done,
        },
        Host::Ip(ip) => bind_all(kind, &any(*ip), options),
        Host::Name(name) => bind_all(kind, &resolve(name, port, options)?, options),
    }?;
    sockets.into_iter().map(|socket| describe(kind, host, socket)).collect()
}

fn resolve(name: &str, port: u16, options: &ListenOptions) -> io::Result<Vec<SocketAddr>> {
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for address in (name, port).to_socket_addrs()? {
        let is_wanted = address.is_ipv6() || !options.v6only;
        if is_wanted && !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    match addresses.is_empty() {
        true => Err(io::Error::new(io::ErrorKind::NotFound, "the name has no such address")),
        false => Ok(addresses),
    }
}

/// All addresses of a name listen at one port. If the system is to choose it, its choice for the
/// first may be taken at the next: then it is asked again, so many times.
const PORT_TRIES: u32 = 16;

fn bind_all(
    kind: Kind,
    addresses: &[SocketAddr],
    options: &ListenOptions,
) -> io::Result<Vec<Socket>> {
    let chosen_port = addresses.iter().all(|address| address.port() != 0);
    for _ in 1..PORT_TRIES {
        match bind_each(kind, addresses, options) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && !chosen_port => {}
            done => return done,
        }
    }
    bind_each(kind, addresses, options)
}

/// An address that this machine does not have is passed over, if there is another: `localhost`
/// stands for ::1 too where IPv6 is switched off.
fn bind_each(
    kind: Kind,
    addresses: &[SocketAddr],
    options: &ListenOptions,
) -> io::Result<Vec<Socket>> {
    let mut sockets: Vec<Socket> = Vec::new();
    let mut missing = None;
    for address in addresses {
        let mut address = *address;
        if let Some(first) = sockets.first() {
            address.set_port(port_of(first)?);
        }
        match bind_one(kind, address, options) {
            Ok(socket) => sockets.push(socket),
            Err(error) if is_missing(&error) => missing = Some(error),
            Err(error) => return Err(error),
        }
    }
    match missing {
        Some(error) if sockets.is_empty() => Err(error),
        _ => Ok(sockets),
    }
}

fn bind_one(kind: Kind, address: SocketAddr, options: &ListenOptions) -> io::Result<Socket> {
    let (sort, protocol) = match kind {
        Kind::Tcp => (Type::STREAM, Protocol::TCP),
        Kind::Udp => (Type::DGRAM, Protocol::UDP),
    };
    let socket = Socket::new(Domain::for_address(address), sort, Some(protocol))?;
    socket.set_nonblocking(true)?;
    if address.is_ipv6() {
        // Never left to the system's settings: what an address means would depend on the machine.
        // Where both families on one socket are not to be had, that is as if IPv6 were missing.
        let ip = address.ip();
        let both = ip.is_unspecified() || ip.to_canonical().is_ipv4();
        socket.set_only_v6(options.v6only || !both).map_err(|_| io::ErrorKind::AddrNotAvailable)?;
    }
    // For streams this lets us back in while connections of our forerunner linger. For datagrams,
    // and on Windows, it would let two processes take the same address from each other.
    #[cfg(unix)]
    socket.set_reuse_address(kind == Kind::Tcp)?;
    if options.reuseport {
        reuse_port(&socket)?;
    }
    socket.bind(&address.into())?;
    if kind == Kind::Tcp {
        // On Linux the accepted sockets inherit it, and each is spared the call.
        socket.set_tcp_nodelay(true)?;
        // Only here does a TCP address turn out to be taken, if its owner allows reuse as we do.
        socket.listen(backlog(options))?;
    }
    Ok(socket)
}

#[cfg(all(unix, not(any(target_os = "solaris", target_os = "illumos"))))]
fn reuse_port(socket: &Socket) -> io::Result<()> {
    socket.set_reuse_port(true)
}

#[cfg(not(all(unix, not(any(target_os = "solaris", target_os = "illumos")))))]
fn reuse_port(_: &Socket) -> io::Result<()> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "this system has no reuseport"))
}

fn describe(kind: Kind, host: &Host, socket: Socket) -> io::Result<Bound> {
    let local = local(&socket)?;
    let host = match host {
        Host::Any if local.is_ipv6() => Host::Any,
        // The number of a zone says less than its name.
        Host::Name(name) if name.contains('%') => Host::Name(name.clone()),
        _ => Host::Ip(local.ip()),
    };
    let address = match kind {
        Kind::Tcp => Address::Tcp(host, local.port()),
        Kind::Udp => Address::Udp(host, local.port()),
    };
    Ok(Bound {
        #[cfg(unix)]
        file: None,
        socket,
        address,
    })
}

fn local(socket: &Socket) -> io::Result<SocketAddr> {
    socket.local_addr()?.as_socket().ok_or_else(|| io::ErrorKind::AddrNotAvailable.into())
}

fn port_of(socket: &Socket) -> io::Result<u16> {
    local(socket).map(|address| address.port())
}

/// Whether this machine has no such address, or nothing of its family.
fn is_missing(error: &io::Error) -> bool {
    #[cfg(unix)]
    const NO_FAMILY: i32 = libc::EAFNOSUPPORT;
    #[cfg(not(unix))]
    const NO_FAMILY: i32 = 10047;
    error.kind() == io::ErrorKind::AddrNotAvailable || error.raw_os_error() == Some(NO_FAMILY)
}

#[cfg(unix)]
mod unix {
    use std::io;

    use socket2::{Domain, Socket, Type};

    use super::{Bound, SocketFile, backlog};
    use crate::plan::{Listen, UnixName};
    use crate::shell::address::{SystemName, unix_address};

    pub fn bind(sort: Type, name: &UnixName, listen: &Listen) -> io::Result<Vec<Bound>> {
        let socket = Socket::new(Domain::UNIX, sort, None)?;
        socket.set_nonblocking(true)?;
        // Checked before anything is touched: whether the name is short enough, and allowed here.
        unix_address(name)?;
        let address = SystemName::from(name).address()?;
        let bind = || socket.bind(&address);
        let file = match name {
            UnixName::Path(path) => Some(SocketFile::make(path, listen.options.mode, bind)?),
            UnixName::Abstract(_) => {
                bind()?;
                None
            }
        };
        let bound = Bound { file, socket, address: listen.address.clone() };
        if sort == Type::STREAM {
            bound.socket.listen(backlog(&listen.options))?;
        }
        Ok(vec![bound])
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpStream, UdpSocket};

    use super::*;

    fn bound(text: &str) -> Vec<Bound> {
        bind(&text.parse().unwrap()).unwrap_or_else(|error| panic!("{error}"))
    }

    fn port(bound: &Bound) -> u16 {
        bound.address.port().unwrap()
    }

    fn has_ipv6() -> bool {
        UdpSocket::bind("[::1]:0").is_ok()
    }

    #[test]
    fn without_a_host_both_families_are_served_on_one_socket() {
        let all = bound(":0");
        assert_eq!(all.len(), 1);
        TcpStream::connect(("127.0.0.1", port(&all[0]))).unwrap();
        if has_ipv6() {
            TcpStream::connect(("::1", port(&all[0]))).unwrap();
            assert_eq!(all[0].address, Address::Tcp(Host::Any, port(&all[0])));
        }
    }

    #[test]
    fn v6only_leaves_ipv4_out() {
        if !has_ipv6() {
            return;
        }
        for text in [":0,v6only", "[::]:0,v6only", "[::1]:0"] {
            // By chance another test may have that port of the other family: then take a new one.
            let refused =
                |all: &Vec<Bound>| TcpStream::connect(("127.0.0.1", port(&all[0]))).is_err();
            let all = (0..5).map(|_| bound(text)).find(refused);
            let all = all.unwrap_or_else(|| panic!("{text} takes IPv4"));
            TcpStream::connect(("::1", port(&all[0]))).unwrap();
        }
        TcpStream::connect(("127.0.0.1", port(&bound("[::]:0")[0]))).unwrap();
    }

    #[test]
    fn a_name_is_served_at_each_of_its_addresses_at_one_port() {
        for text in ["localhost:0", "udp://localhost:0"] {
            let all = bound(text);
            let expected = ("localhost", 0).to_socket_addrs().unwrap();
            let reachable = expected.filter(|address| UdpSocket::bind(address).is_ok());
            let mut ips: Vec<IpAddr> = reachable.map(|address| address.ip()).collect();
            ips.dedup();
            assert_eq!(all.len(), ips.len(), "{text}");
            for (bound, ip) in all.iter().zip(ips) {
                assert_eq!(local(&bound.socket).unwrap(), SocketAddr::new(ip, port(&all[0])));
                assert!(bound.address.to_string().contains(&ip.to_string()));
            }
        }
    }

    #[test]
    fn a_name_that_nobody_knows_cannot_be_bound() {
        let error = bind(&"no-such-name.invalid:0".parse().unwrap()).err().unwrap();
        let text = error.to_string();
        assert!(text.starts_with("cannot listen on tcp://no-such-name.invalid:0: "), "{text}");
    }

    #[test]
    fn an_address_that_is_taken_is_named_in_the_words_of_the_system() {
        for scheme in ["tcp", "udp"] {
            let first = bound(&format!("{scheme}://127.0.0.1:0"));
            let text = first[0].address.to_string();
            let error = bind(&text.parse().unwrap()).err().unwrap();
            assert_eq!(error.error.kind(), io::ErrorKind::AddrInUse);
            #[cfg(target_os = "linux")]
            assert_eq!(
                error.to_string(),
                format!("cannot listen on {text}: Address already in use")
            );
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn reuseport_shares_an_address_among_those_who_all_ask_for_it() {
        for scheme in ["tcp", "udp"] {
            let first = bound(&format!("{scheme}://127.0.0.1:0,reuseport"));
            let text = first[0].address.to_string();
            assert_eq!(bound(&format!("{text},reuseport")).len(), 1);
            assert!(bind(&text.parse().unwrap()).is_err());
        }
    }

    #[test]
    fn an_address_of_another_machine_cannot_be_bound() {
        let error = bind(&"192.0.2.1:0".parse().unwrap()).err().unwrap();
        assert_eq!(error.error.kind(), io::ErrorKind::AddrNotAvailable);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn an_abstract_name_has_no_file_and_one_owner() {
        let text = format!("unix:@oneloop-bind-{}", std::process::id());
        let first = bound(&text);
        assert!(first[0].file.is_none());
        assert_eq!(first[0].address.to_string(), text);
        let error = bind(&text.parse().unwrap()).err().unwrap();
        assert_eq!(error.to_string(), format!("cannot listen on {text}: Address already in use"));
        drop(first);
        bound(&text);
    }
}
