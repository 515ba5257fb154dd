//! Connects to the targets in turn, from the source addresses in turn, so that neither the ports of
//! one address nor one of several servers is the limit.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};

use mio::net::{TcpStream, UdpSocket};
use socket2::{Domain, SockAddr, Socket as Plain, Type};

use crate::config::{Address, Host, Source, UnixName};
use crate::net::datagram_socket::DatagramSocket;
use crate::net::remote::Remote;
use crate::net::{Socket, SocketAddress, connect};
use crate::text::escape::plain;

use super::line::Line;
use super::sources::Sources;

/// A resolved target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    Inet(SocketAddr),
    Unix(UnixName),
    Udp(SocketAddr),
    UnixDatagram(UnixName),
}

/// Connects to all targets in turn.
pub struct Dialer {
    places: Vec<Place>,
    next: usize,
    sources: Sources,
    /// Segment size in bytes for UDP segmentation offload (GSO and GRO).
    cut: Option<u16>,
}

impl Dialer {
    pub fn new(places: Vec<Place>, sources: &[Source]) -> Dialer {
        let sources = match sources.is_empty() {
            true => Sources::own(0, 0),
            false => Sources::given(sources),
        };
        Dialer { places, next: 0, sources, cut: None }
    }

    /// Prepares for `conns` connections in process number `process`. Each process starts with a
    /// different target and, without given sources, uses different addresses.
    pub fn expect(&mut self, conns: usize, process: usize) {
        self.next = process % self.places.len().max(1);
        if self.sources.are_own() {
            self.sources = Sources::own(conns, process);
        }
    }

    /// Enables segmentation offload with segments of this size.
    pub fn set_segment_size(&mut self, bytes: usize) {
        self.cut = u16::try_from(bytes).ok();
    }

    /// Starts to connect to the next target.
    pub fn dial(&mut self) -> io::Result<Line> {
        let line = self.dial_next()?;
        if let (Some(bytes), Line::Datagram(DatagramSocket::Udp(socket))) = (self.cut, &line) {
            cut(socket, bytes)?;
        }
        Ok(line)
    }

    fn dial_next(&mut self) -> io::Result<Line> {
        let place = &self.places[self.next % self.places.len()];
        self.next = (self.next + 1) % self.places.len();
        match place {
            Place::Inet(to) => dial_from(&mut self.sources, *to, tcp),
            Place::Udp(to) => dial_from(&mut self.sources, *to, udp),
            Place::Unix(name) => connect(&SocketAddress::Unix(name.clone())).map(Line::Socket),
            #[cfg(unix)]
            Place::UnixDatagram(name) => {
                DatagramSocket::connected(&Remote::Unix(name.into())).map(Line::Datagram)
            }
            #[cfg(not(unix))]
            Place::UnixDatagram(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

/// Connects from the next source address, or from another one if it has no free port.
fn dial_from(
    sources: &mut Sources,
    to: SocketAddr,
    dial: fn(Option<IpAddr>, SocketAddr) -> io::Result<Line>,
) -> io::Result<Line> {
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

fn tcp(from: Option<IpAddr>, to: SocketAddr) -> io::Result<Line> {
    match from {
        Some(from) => tcp_from(from, to),
        None => connect(&SocketAddress::Inet(to)).map(Line::Socket),
    }
}

fn udp(from: Option<IpAddr>, to: SocketAddr) -> io::Result<Line> {
    match from {
        Some(from) => udp_from(from, to),
        None => DatagramSocket::connected(&Remote::Inet(to, None)).map(Line::Datagram),
    }
}

/// Resolves the targets. May block on name resolution.
pub fn resolve(targets: &[Address]) -> io::Result<Vec<Place>> {
    targets.iter().map(place).collect()
}

fn place(target: &Address) -> io::Result<Place> {
    match target {
        Address::Tcp(host, port) => inet(host, *port).map(Place::Inet),
        Address::Udp(host, port) => inet(host, *port).map(Place::Udp),
        Address::Unix(name) => Ok(Place::Unix(name.clone())),
        Address::UnixDatagram(name) => Ok(Place::UnixDatagram(name.clone())),
    }
}

fn inet(host: &Host, port: u16) -> io::Result<SocketAddr> {
    match host {
        Host::Any => Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port))),
        Host::Ip(ip) => Ok(SocketAddr::new(*ip, port)),
        Host::Name(name) => {
            let mut known = (name.as_str(), port).to_socket_addrs()?;
            let none = || io::Error::other(format!("{} has no address", plain(name)));
            known.next().ok_or_else(none)
        }
    }
}

fn tcp_from(from: IpAddr, to: SocketAddr) -> io::Result<Line> {
    let plain = Plain::new(Domain::for_address(to), Type::STREAM, None)?;
    begin(&plain, from, to)?;
    let socket = Socket::Tcp(TcpStream::from_std(plain.into()));
    socket.set_nodelay();
    Ok(Line::Socket(socket))
}

fn udp_from(from: IpAddr, to: SocketAddr) -> io::Result<Line> {
    let plain = Plain::new(Domain::for_address(to), Type::DGRAM, None)?;
    begin(&plain, from, to)?;
    Ok(Line::Datagram(DatagramSocket::Udp(UdpSocket::from_std(plain.into()))))
}

fn begin(plain: &Plain, from: IpAddr, to: SocketAddr) -> io::Result<()> {
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
fn leave_port_open(plain: &Plain) {
    #[cfg(target_os = "linux")]
    {
        use nix::sys::socket::{setsockopt, sockopt::IpBindAddressNoPort};
        // Without it there are only fewer ports.
        let _ = setsockopt(plain, IpBindAddressNoPort, &true);
    }
    let _ = plain;
}

/// Enables UDP_SEGMENT with this size, and UDP_GRO.
#[cfg(target_os = "linux")]
fn cut(socket: &UdpSocket, bytes: u16) -> io::Result<()> {
    use nix::sys::socket::setsockopt;
    use nix::sys::socket::sockopt::{UdpGroSegment, UdpGsoSegment};
    setsockopt(socket, UdpGsoSegment, &i32::from(bytes))?;
    Ok(setsockopt(socket, UdpGroSegment, &true)?)
}

#[cfg(not(target_os = "linux"))]
fn cut(_: &UdpSocket, _: u16) -> io::Result<()> {
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

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Inet(address) => write!(f, "tcp://{address}"),
            Place::Udp(address) => write!(f, "udp://{address}"),
            Place::Unix(name) => write!(f, "unix:{name}"),
            Place::UnixDatagram(name) => write!(f, "unix-dgram:{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;
    use crate::core::Stream;

    fn places(texts: &[String]) -> Vec<Place> {
        let targets: Vec<Address> =
            texts.iter().map(|text| Address::parse_target(text).unwrap()).collect();
        resolve(&targets).unwrap()
    }

    fn sources(list: &[&str]) -> Vec<Source> {
        list.iter().map(|text| Source::from(text.parse::<IpAddr>().unwrap())).collect()
    }

    #[test]
    fn targets_are_dialed_in_turn() {
        let listeners: Vec<TcpListener> =
            (0..2).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let texts: Vec<String> =
            listeners.iter().map(|listener| listener.local_addr().unwrap().to_string()).collect();
        let mut dialer = Dialer::new(places(&texts), &[]);
        let lines: Vec<Line> = (0..4).map(|_| dialer.dial().unwrap()).collect();
        for listener in &listeners {
            (0..2).for_each(|_| drop(listener.accept().unwrap()));
        }
        drop(lines);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn connections_come_from_the_sources_in_turn() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = [listener.local_addr().unwrap().to_string()];
        let given = sources(&["127.0.0.7", "::1", "127.0.0.8"]);
        let mut dialer = Dialer::new(places(&to), &given);
        for expected in ["127.0.0.7", "127.0.0.8", "127.0.0.7"] {
            let mut line = dialer.dial().unwrap();
            let (_stream, from) = listener.accept().unwrap();
            assert_eq!(from.ip().to_string(), expected);
            assert!((0..5000).any(|_| line.is_connected().unwrap()));
        }
    }

    #[test]
    fn an_address_that_is_not_ours_is_refused_by_the_system() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = [listener.local_addr().unwrap().to_string()];
        let mut dialer = Dialer::new(places(&to), &sources(&["203.0.113.1", "203.0.113.2"]));
        assert!(is_out_of_ports(&dialer.dial().unwrap_err()));
    }
}
