//! Where connections go and where they come from: the targets in turn, each from one of the source
//! addresses, so that neither the ports of one address nor one server of many is the limit.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};

use mio::net::{TcpStream, UdpSocket};
use socket2::{Domain, SockAddr, Socket as Plain, Type};

use crate::plan::{Address, Host, Source, UnixName};
use crate::shell::datagram_socket::DatagramSocket;
use crate::shell::remote::Remote;
use crate::shell::{Socket, SocketAddress, connect};

use super::line::Line;

/// A target that can be connected to now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    Inet(SocketAddr),
    Unix(UnixName),
    Udp(SocketAddr),
    UnixDatagram(UnixName),
}

/// Makes connections to all targets in turn.
pub struct Dialer {
    places: Vec<Place>,
    next: usize,
    sources: Sources,
    /// The system cuts datagrams of this size out of larger pieces, and puts them together.
    cut: Option<u16>,
}

/// The addresses of ours to connect from.
struct Sources {
    list: Vec<IpAddr>,
    next: usize,
    /// The list is not the user's: it is used only when the ports of the system's choice ran out.
    own: bool,
}

/// On loopback every address is ours. So many of them are used when ports run out: some 28,000
/// connections each.
const LOOPBACKS: u8 = 250;

impl Dialer {
    pub fn new(places: Vec<Place>, sources: &[Source]) -> Dialer {
        let list: Vec<IpAddr> = sources.iter().flat_map(Source::addresses).collect();
        let sources = match list.is_empty() {
            true => Sources { list: Vec::new(), next: 0, own: true },
            false => Sources { list, next: 0, own: false },
        };
        Dialer { places, next: 0, sources, cut: None }
    }

    /// Begins a part further on: processes that share the work do not begin with the same ports.
    pub fn skip(&mut self, parts: usize, of: usize) {
        self.next = parts % self.places.len().max(1);
        self.sources.next = self.sources.list.len() * parts / of.max(1);
    }

    pub fn places(&self) -> &[Place] {
        &self.places
    }

    /// From now on datagrams of this size are cut out of larger pieces by the system.
    pub fn cut_into(&mut self, bytes: usize) {
        self.cut = u16::try_from(bytes).ok();
    }

    /// Begins to connect to the next target.
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
        let tries = self.sources.list.len().max(1);
        for _ in 1..tries {
            match self.sources.dial(place) {
                Err(error) if is_out_of_ports(&error) => self.sources.turn(),
                dialed => return dialed,
            }
        }
        match self.sources.dial(place) {
            Err(error) if is_out_of_ports(&error) && self.sources.spread(place) => {
                self.sources.dial(place)
            }
            dialed => dialed,
        }
    }
}

impl Sources {
    fn dial(&mut self, place: &Place) -> io::Result<Line> {
        let source = self.source_for(place);
        if !self.own {
            self.turn();
        }
        match (place, source) {
            (Place::Inet(to), Some(from)) => tcp_from(from, *to),
            (Place::Inet(to), None) => connect(&SocketAddress::Inet(*to)).map(Line::Socket),
            (Place::Udp(to), Some(from)) => udp_from(from, *to),
            (Place::Udp(to), None) => {
                DatagramSocket::connected(&Remote::Inet(*to, None)).map(Line::Datagram)
            }
            (Place::Unix(name), _) => connect(&SocketAddress::Unix(name.clone())).map(Line::Socket),
            #[cfg(unix)]
            (Place::UnixDatagram(name), _) => {
                DatagramSocket::connected(&Remote::Unix(name.into())).map(Line::Datagram)
            }
            #[cfg(not(unix))]
            (Place::UnixDatagram(_), _) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// The next source of the target's family.
    fn source_for(&mut self, place: &Place) -> Option<IpAddr> {
        let (Place::Inet(to) | Place::Udp(to)) = place else { return None };
        for _ in 0..self.list.len() {
            let source = self.list[self.next];
            if source.is_ipv4() == to.is_ipv4() {
                return Some(source);
            }
            self.turn();
        }
        None
    }

    fn turn(&mut self) {
        self.next = (self.next + 1) % self.list.len().max(1);
    }

    /// The ports of one address are used up: goes on to the next address of loopback, if the
    /// target is there and nothing else was asked for.
    fn spread(&mut self, place: &Place) -> bool {
        let (Place::Inet(to) | Place::Udp(to)) = place else { return false };
        if !self.own || !to.ip().is_loopback() || to.is_ipv6() {
            return false;
        }
        let more = |host| IpAddr::V4(Ipv4Addr::new(127, 0, 0, host));
        match self.list.is_empty() {
            true => self.list = (2..2 + LOOPBACKS).map(more).collect(),
            false => self.turn(),
        }
        true
    }
}

/// The targets as the system has them. It may wait for names to be resolved.
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
            known.next().ok_or_else(|| io::Error::other(format!("{name} has no address")))
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

/// Lets the system choose the port when the target is known: then a port in use for another target
/// will do, and there are as many as there are targets times ports.
fn leave_port_open(plain: &Plain) {
    #[cfg(target_os = "linux")]
    {
        use nix::sys::socket::{setsockopt, sockopt::IpBindAddressNoPort};
        // Without it there are only fewer ports.
        let _ = setsockopt(plain, IpBindAddressNoPort, &true);
    }
    let _ = plain;
}

/// Has the system cut what is sent into datagrams of this size, and put together what comes.
#[cfg(target_os = "linux")]
fn cut(socket: &UdpSocket, bytes: u16) -> io::Result<()> {
    use nix::sys::socket::setsockopt;
    use nix::sys::socket::sockopt::{UdpGroSegment, UdpGsoSegment};
    setsockopt(socket, UdpGsoSegment, &i32::from(bytes))?;
    Ok(setsockopt(socket, UdpGroSegment, &true)?)
}

#[cfg(not(target_os = "linux"))]
fn cut(_: &UdpSocket, _: u16) -> io::Result<()> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "this system cuts no datagrams"))
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
        let doors: Vec<TcpListener> =
            (0..2).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let texts: Vec<String> =
            doors.iter().map(|door| door.local_addr().unwrap().to_string()).collect();
        let mut dialer = Dialer::new(places(&texts), &[]);
        let lines: Vec<Line> = (0..4).map(|_| dialer.dial().unwrap()).collect();
        for door in &doors {
            (0..2).for_each(|_| drop(door.accept().unwrap()));
        }
        drop(lines);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn connections_come_from_the_sources_in_turn() {
        let door = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = [door.local_addr().unwrap().to_string()];
        let given = sources(&["127.0.0.7", "::1", "127.0.0.8"]);
        let mut dialer = Dialer::new(places(&to), &given);
        for expected in ["127.0.0.7", "127.0.0.8", "127.0.0.7"] {
            let mut line = dialer.dial().unwrap();
            let (_stream, from) = door.accept().unwrap();
            assert_eq!(from.ip().to_string(), expected);
            assert!((0..5000).any(|_| line.is_connected().unwrap()));
        }
    }

    #[test]
    fn an_address_that_is_not_ours_is_refused_by_the_system() {
        let door = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = [door.local_addr().unwrap().to_string()];
        let mut dialer = Dialer::new(places(&to), &sources(&["192.0.2.1", "192.0.2.2"]));
        assert!(is_out_of_ports(&dialer.dial().unwrap_err()));
    }

    #[test]
    fn sources_spread_by_themselves_only_on_loopback_and_only_if_none_were_given() {
        let loopback = &places(&["127.0.0.1:9".to_string()])[0];
        let far = &places(&["192.0.2.1:9".to_string()])[0];
        let mut own = Sources { list: Vec::new(), next: 0, own: true };
        assert!(!own.spread(far) && own.source_for(loopback).is_none());
        assert!(own.spread(loopback));
        assert_eq!(own.source_for(loopback).unwrap().to_string(), "127.0.0.2");
        assert!(own.spread(loopback));
        assert_eq!(own.source_for(loopback).unwrap().to_string(), "127.0.0.3");
        let given = vec!["127.0.0.9".parse().unwrap()];
        assert!(!Sources { list: given, next: 0, own: false }.spread(loopback));
    }
}
