//! Connects to the targets in turn, from the source addresses in turn, so that neither the ports of
//! one address nor one of several servers is the limit.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};

use mio::net::{TcpStream, UdpSocket};
use socket2::{Domain, SockAddr, Socket as PlainSocket, Type};

use crate::config::{Address, SourceBlock, UnixName};
use crate::net::address;
use crate::net::datagram_socket::DatagramSocket;
use crate::net::remote::Remote;
use crate::net::{Socket, SocketAddress, connect};

use super::endpoint::Endpoint;
use super::sources::SourceAddresses;

/// A resolved target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResolvedTarget {
    Inet(SocketAddr),
    Unix(UnixName),
    Udp(SocketAddr),
    UnixDatagram(UnixName),
}

/// Starts connections to all targets in turn.
pub struct LoadDialer {
    targets: Vec<ResolvedTarget>,
    next: usize,
    sources: SourceAddresses,
    /// Segment size in bytes for UDP segmentation offload (GSO and GRO).
    segment_bytes: Option<u16>,
}

impl LoadDialer {
    pub fn new(targets: Vec<ResolvedTarget>, sources: &[SourceBlock]) -> LoadDialer {
        let sources = match sources.is_empty() {
            true => SourceAddresses::own(0, 0),
            false => SourceAddresses::given(sources),
        };
        LoadDialer { targets, next: 0, sources, segment_bytes: None }
    }

    /// Prepares for `conns` connections in process number `process`. Each process starts with a
    /// different target and, without given sources, uses different addresses.
    pub fn expect(&mut self, conns: usize, process: usize) {
        self.next = process % self.targets.len().max(1);
        if self.sources.are_own() {
            self.sources = SourceAddresses::own(conns, process);
        }
    }

    /// Enables segmentation offload with segments of this size.
    pub fn set_segment_size(&mut self, bytes: usize) {
        self.segment_bytes = u16::try_from(bytes).ok();
    }

    /// Starts to connect to the next target.
    pub fn dial(&mut self) -> io::Result<Endpoint> {
        let endpoint = self.dial_next()?;
        if let (Some(bytes), Endpoint::Datagram(DatagramSocket::Udp(socket))) =
            (self.segment_bytes, &endpoint)
        {
            enable_gso(socket, bytes)?;
        }
        Ok(endpoint)
    }

    fn dial_next(&mut self) -> io::Result<Endpoint> {
        let target = &self.targets[self.next % self.targets.len()];
        self.next = (self.next + 1) % self.targets.len();
        match target {
            ResolvedTarget::Inet(to) => dial_from(&mut self.sources, *to, tcp),
            ResolvedTarget::Udp(to) => dial_from(&mut self.sources, *to, udp),
            ResolvedTarget::Unix(name) => {
                connect(&SocketAddress::Unix(name.clone())).map(Endpoint::Socket)
            }
            #[cfg(unix)]
            ResolvedTarget::UnixDatagram(name) => {
                DatagramSocket::connected(&Remote::Unix(name.into())).map(Endpoint::Datagram)
            }
            #[cfg(not(unix))]
            ResolvedTarget::UnixDatagram(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

/// Connects from the next source address, or from another one if it has no free port.
fn dial_from(
    sources: &mut SourceAddresses,
    to: SocketAddr,
    dial: fn(Option<IpAddr>, SocketAddr) -> io::Result<Endpoint>,
) -> io::Result<Endpoint> {
    for _ in 1..sources.len() {
        let from = sources.next(to);
        match dial(from, to) {
            Err(error) if is_out_of_ports(&error) && sources.switch_address(to) => {}
            dialed => return dialed,
        }
    }
    let from = sources.next(to);
    dial(from, to)
}

fn tcp(from: Option<IpAddr>, to: SocketAddr) -> io::Result<Endpoint> {
    match from {
        Some(from) => tcp_from(from, to),
        None => connect(&SocketAddress::Inet(to)).map(Endpoint::Socket),
    }
}

fn udp(from: Option<IpAddr>, to: SocketAddr) -> io::Result<Endpoint> {
    match from {
        Some(from) => udp_from(from, to),
        None => DatagramSocket::connected(&Remote::Inet(to, None)).map(Endpoint::Datagram),
    }
}

/// Resolves the targets. May block on name resolution.
pub fn resolve(targets: &[Address]) -> io::Result<Vec<ResolvedTarget>> {
    targets.iter().map(resolve_one).collect()
}

fn resolve_one(target: &Address) -> io::Result<ResolvedTarget> {
    match target {
        Address::Tcp(host, port) => Ok(ResolvedTarget::Inet(address::resolve(host, *port)?[0])),
        Address::Udp(host, port) => Ok(ResolvedTarget::Udp(address::resolve(host, *port)?[0])),
        Address::Unix(name) => Ok(ResolvedTarget::Unix(name.clone())),
        Address::UnixDatagram(name) => Ok(ResolvedTarget::UnixDatagram(name.clone())),
    }
}

fn tcp_from(from: IpAddr, to: SocketAddr) -> io::Result<Endpoint> {
    let plain = PlainSocket::new(Domain::for_address(to), Type::STREAM, None)?;
    bind_and_connect(&plain, from, to)?;
    let socket = Socket::Tcp(TcpStream::from_std(plain.into()));
    socket.set_nodelay();
    Ok(Endpoint::Socket(socket))
}

fn udp_from(from: IpAddr, to: SocketAddr) -> io::Result<Endpoint> {
    let plain = PlainSocket::new(Domain::for_address(to), Type::DGRAM, None)?;
    bind_and_connect(&plain, from, to)?;
    Ok(Endpoint::Datagram(DatagramSocket::Udp(UdpSocket::from_std(plain.into()))))
}

/// Binds to the source address and starts to connect.
fn bind_and_connect(plain: &PlainSocket, from: IpAddr, to: SocketAddr) -> io::Result<()> {
    plain.set_nonblocking(true)?;
    leave_port_open(plain);
    plain.bind(&SockAddr::from(SocketAddr::new(from, 0)))?;
    match plain.connect(&SockAddr::from(to)) {
        Err(error) if is_in_progress(&error) => Ok(()),
        done => done,
    }
}

/// Lets the system choose the port at connect time (IP_BIND_ADDRESS_NO_PORT): then a port in use
/// for another target can be reused.
fn leave_port_open(plain: &PlainSocket) {
    #[cfg(target_os = "linux")]
    {
        use nix::sys::socket::{setsockopt, sockopt::IpBindAddressNoPort};
        // If it fails, fewer ports are usable.
        let _ = setsockopt(plain, IpBindAddressNoPort, &true);
    }
    let _ = plain;
}

/// Enables UDP_SEGMENT with this size, and UDP_GRO.
#[cfg(target_os = "linux")]
fn enable_gso(socket: &UdpSocket, bytes: u16) -> io::Result<()> {
    use nix::sys::socket::setsockopt;
    use nix::sys::socket::sockopt::{UdpGroSegment, UdpGsoSegment};
    setsockopt(socket, UdpGsoSegment, &i32::from(bytes))?;
    Ok(setsockopt(socket, UdpGroSegment, &true)?)
}

#[cfg(not(target_os = "linux"))]
fn enable_gso(_: &UdpSocket, _: u16) -> io::Result<()> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "this system has no UDP segmentation offload"))
}

fn is_in_progress(error: &io::Error) -> bool {
    #[cfg(unix)]
    if error.raw_os_error() == Some(libc::EINPROGRESS) {
        return true;
    }
    error.kind() == io::ErrorKind::WouldBlock
}

fn is_out_of_ports(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::AddrNotAvailable | io::ErrorKind::AddrInUse)
}

impl fmt::Display for ResolvedTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ResolvedTarget::Inet(address) => write!(f, "tcp://{address}"),
            ResolvedTarget::Udp(address) => write!(f, "udp://{address}"),
            ResolvedTarget::Unix(name) => write!(f, "unix:{name}"),
            ResolvedTarget::UnixDatagram(name) => write!(f, "unix-dgram:{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;
    #[cfg(target_os = "linux")]
    use crate::core::Stream;

    fn targets(texts: &[String]) -> Vec<ResolvedTarget> {
        let targets: Vec<Address> =
            texts.iter().map(|text| Address::parse_target(text).unwrap()).collect();
        resolve(&targets).unwrap()
    }

    fn sources(list: &[&str]) -> Vec<SourceBlock> {
        list.iter().map(|text| SourceBlock::from(text.parse::<IpAddr>().unwrap())).collect()
    }

    #[test]
    fn targets_are_dialed_in_turn() {
        let listeners: Vec<TcpListener> =
            (0..2).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let texts: Vec<String> =
            listeners.iter().map(|listener| listener.local_addr().unwrap().to_string()).collect();
        let mut dialer = LoadDialer::new(targets(&texts), &[]);
        let endpoints: Vec<Endpoint> = (0..4).map(|_| dialer.dial().unwrap()).collect();
        for listener in &listeners {
            (0..2).for_each(|_| drop(listener.accept().unwrap()));
        }
        drop(endpoints);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn connections_come_from_the_sources_in_turn() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = [listener.local_addr().unwrap().to_string()];
        let given = sources(&["127.0.0.7", "::1", "127.0.0.8"]);
        let mut dialer = LoadDialer::new(targets(&to), &given);
        for expected in ["127.0.0.7", "127.0.0.8", "127.0.0.7"] {
            let mut endpoint = dialer.dial().unwrap();
            let (_stream, from) = listener.accept().unwrap();
            assert_eq!(from.ip().to_string(), expected);
            assert!((0..5000).any(|_| endpoint.is_connected().unwrap()));
        }
    }

    #[test]
    fn an_address_that_is_not_local_is_refused_by_the_system() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = [listener.local_addr().unwrap().to_string()];
        let mut dialer = LoadDialer::new(targets(&to), &sources(&["203.0.113.1", "203.0.113.2"]));
        assert!(is_out_of_ports(&dialer.dial().unwrap_err()));
    }
}
