//! Binds the addresses of the plan, for streams and for datagrams.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};

use socket2::{Domain, Protocol, Socket, Type};

use crate::config::{Address, Host, Listen, ListenOptions};
use crate::core::SysError;
use crate::text::escape::escaped;

#[cfg(unix)]
use super::socket_file::SocketFile;

/// A failure to bind: `cannot listen on tcp://127.0.0.1:80: Permission denied`.
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

/// A bound socket. A stream socket listens too.
pub struct Bound {
    /// Declared first: the file must be removed before the socket is closed.
    #[cfg(unix)]
    pub file: Option<SocketFile>,
    pub socket: Socket,
    /// The bound address: port 0 and names are resolved.
    pub address: Address,
}

impl Bound {
    /// A warning for the operator about how it was bound.
    pub fn warning(&self) -> Option<String> {
        #[cfg(unix)]
        let warning = self.file.as_ref().and_then(SocketFile::warning);
        #[cfg(not(unix))]
        let warning = None;
        warning
    }
}

/// The addresses of the host names on which listeners are bound.
#[derive(Debug, Default)]
pub struct ListenNames(HashMap<String, Resolved>);

/// The addresses of a name, or why it has none.
type Resolved = Result<Vec<IpAddr>, (io::ErrorKind, String)>;

impl ListenNames {
    /// Resolves the names of these listeners. It blocks: the loop does not call it.
    pub fn resolve<'a>(listens: impl IntoIterator<Item = &'a Listen>) -> ListenNames {
        let mut names = HashMap::new();
        for listen in listens {
            if let Address::Tcp(Host::Name(name), port) | Address::Udp(Host::Name(name), port) =
                &listen.address
                && !names.contains_key(name)
            {
                let found = (name.as_str(), *port).to_socket_addrs();
                let found = found.map(|found| found.map(|address| address.ip()).collect());
                names.insert(name.clone(), found.map_err(|e| (e.kind(), e.to_string())));
            }
        }
        ListenNames(names)
    }

    fn get(&self, name: &str) -> io::Result<&[IpAddr]> {
        match self.0.get(name) {
            Some(Ok(found)) => Ok(found),
            Some(Err((kind, text))) => Err(io::Error::new(*kind, text.clone())),
            None => Err(io::Error::new(io::ErrorKind::NotFound, "the name was not resolved")),
        }
    }
}

/// Binds every address that `listen` resolves to, or none.
pub fn bind(listen: &Listen, names: &ListenNames) -> Result<Vec<Bound>, CannotListen> {
    let options = &listen.options;
    let bound = match &listen.address {
        Address::Tcp(host, port) => bind_inet(Kind::Tcp, host, *port, options, names),
        Address::Udp(host, port) => bind_inet(Kind::Udp, host, *port, options, names),
        #[cfg(unix)]
        Address::Unix(name) => unix::bind(Type::STREAM, name, listen),
        #[cfg(unix)]
        Address::UnixDatagram(name) => unix::bind(Type::DGRAM, name, listen),
        #[cfg(not(unix))]
        _ => Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "Unix sockets are not supported on this system",
        )),
    };
    bound.map_err(|error| CannotListen { address: listen.address.clone(), error })
}

/// Default length of the accept queue. The system may allow fewer. A client whose SYN does not fit
/// is delayed by a second, until it retransmits.
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
    names: &ListenNames,
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
        Host::Name(name) => bind_all(kind, &wanted(names.get(name)?, port, options)?, options),
    }?;
    sockets.into_iter().map(|socket| describe(kind, host, socket)).collect()
}

/// The addresses of a name that have the requested family.
fn wanted(found: &[IpAddr], port: u16, options: &ListenOptions) -> io::Result<Vec<SocketAddr>> {
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for address in found.iter().map(|ip| SocketAddr::new(*ip, port)) {
        let is_wanted = address.is_ipv6() || !options.v6only;
        if is_wanted && !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    match addresses.is_empty() {
        true => Err(io::Error::new(
            io::ErrorKind::NotFound,
            "the name has no address of the requested family",
        )),
        false => Ok(addresses),
    }
}

/// Maximum attempts to find one free port for all addresses of a name. The port that the system
/// chose for the first address may be in use at the next.
const PORT_TRIES: u32 = 16;

fn bind_all(
    kind: Kind,
    addresses: &[SocketAddr],
    options: &ListenOptions,
) -> io::Result<Vec<Socket>> {
    let is_port_given = addresses.iter().all(|address| address.port() != 0);
    for _ in 1..PORT_TRIES {
        match bind_each(kind, addresses, options) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && !is_port_given => {}
            done => return done,
        }
    }
    bind_each(kind, addresses, options)
}

/// Binds each address. One that this machine does not have is skipped if there is another:
/// `localhost` resolves to ::1 even where IPv6 is disabled.
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
    let (socket_type, protocol) = match kind {
        Kind::Tcp => (Type::STREAM, Protocol::TCP),
        Kind::Udp => (Type::DGRAM, Protocol::UDP),
    };
    let socket = Socket::new(Domain::for_address(address), socket_type, Some(protocol))?;
    socket.set_nonblocking(true)?;
    if address.is_ipv6() {
        // Always set: the default (net.ipv6.bindv6only) differs between machines. If the system has
        // no dual-stack sockets, this counts as IPv6 being unavailable.
        let ip = address.ip();
        let both = ip.is_unspecified() || ip.to_canonical().is_ipv4();
        socket.set_only_v6(options.v6only || !both).map_err(|_| io::ErrorKind::AddrNotAvailable)?;
    }
    // For streams this allows binding while connections of the previous process are in TIME_WAIT.
    // For datagrams, and on Windows, it would let two processes bind the same address.
    #[cfg(unix)]
    socket.set_reuse_address(kind == Kind::Tcp)?;
    if options.reuseport {
        reuse_port(&socket)?;
    }
    socket.bind(&address.into())?;
    if kind == Kind::Tcp {
        // On Linux, accepted sockets inherit it, which saves a call for each.
        socket.set_tcp_nodelay(true)?;
        // If the other owner of a TCP address has set SO_REUSEADDR too, only this call fails.
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
    Err(io::Error::new(io::ErrorKind::Unsupported, "reuseport is not supported on this system"))
}

fn describe(kind: Kind, host: &Host, socket: Socket) -> io::Result<Bound> {
    let local = local(&socket)?;
    let host = match host {
        Host::Any if local.is_ipv6() => Host::Any,
        // The zone's name is more readable than its index.
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

/// Whether this machine does not have the address, or its address family.
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
    use crate::config::{Listen, UnixName};
    use crate::net::address::{SystemName, unix_address};

    pub fn bind(socket_type: Type, name: &UnixName, listen: &Listen) -> io::Result<Vec<Bound>> {
        let socket = Socket::new(Domain::UNIX, socket_type, None)?;
        socket.set_nonblocking(true)?;
        // Fails before any file is touched if the name is too long, or not allowed on this system.
        unix_address(name)?;
        let address = SystemName::from(name).address()?;
        let bind = || socket.bind(&address);
        let file = match name {
            UnixName::Path(path) => Some(SocketFile::create(path, listen.options.mode, bind)?),
            UnixName::Abstract(_) => {
                bind()?;
                None
            }
        };
        let bound = Bound { file, socket, address: listen.address.clone() };
        if socket_type == Type::STREAM {
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
        tried(text).unwrap_or_else(|error| panic!("{error}"))
    }

    fn tried(text: &str) -> Result<Vec<Bound>, CannotListen> {
        let listen: Listen = text.parse().unwrap();
        bind(&listen, &ListenNames::resolve([&listen]))
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
            // Another test may listen on that port of the other family: then use a new port.
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
    fn a_name_that_does_not_resolve_cannot_be_bound() {
        let error = tried("no-such-name.invalid:0").err().unwrap();
        let text = error.to_string();
        assert!(text.starts_with("cannot listen on tcp://no-such-name.invalid:0: "), "{text}");
    }

    #[test]
    fn an_address_in_use_is_reported_with_the_error_of_the_system() {
        for scheme in ["tcp", "udp"] {
            let first = bound(&format!("{scheme}://127.0.0.1:0"));
            let text = first[0].address.to_string();
            let error = tried(&text).err().unwrap();
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
    fn reuseport_shares_an_address_among_sockets_that_all_set_it() {
        for scheme in ["tcp", "udp"] {
            let first = bound(&format!("{scheme}://127.0.0.1:0,reuseport"));
            let text = first[0].address.to_string();
            assert_eq!(bound(&format!("{text},reuseport")).len(), 1);
            assert!(tried(&text).is_err());
        }
    }

    #[test]
    fn an_address_of_another_machine_cannot_be_bound() {
        let error = tried("192.0.2.1:0").err().unwrap();
        assert_eq!(error.error.kind(), io::ErrorKind::AddrNotAvailable);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn an_abstract_name_has_no_file_and_one_owner() {
        let text = format!("unix:@oneloop-bind-{}", std::process::id());
        let first = bound(&text);
        assert!(first[0].file.is_none());
        assert_eq!(first[0].address.to_string(), text);
        let error = tried(&text).err().unwrap();
        assert_eq!(error.to_string(), format!("cannot listen on {text}: Address already in use"));
        drop(first);
        bound(&text);
    }
}
