//! Resolves the target, connects to it once, and returns the result.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use super::root::message;
use crate::config::{Address, Host, UnixName};
#[cfg(unix)]
use crate::net::datagram_socket::DatagramSocket;
#[cfg(unix)]
use crate::net::remote::Remote;
use crate::net::{SocketAddress, address, connect};

/// Maximum time to resolve the name, and maximum time to connect to all its addresses.
const TIMEOUT: Duration = Duration::from_secs(5);

/// One attempt to connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectAttempt {
    /// The addresses of the name.
    pub addresses: Vec<SocketAddr>,
    /// The time for resolving and connecting.
    pub took: Duration,
    pub result: Result<Connected, String>,
}

/// Both addresses of the connection. A Unix socket has no local address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connected {
    pub to: String,
    pub from: Option<SocketAddr>,
    /// The address that accepted.
    pub inet: Option<SocketAddr>,
}

impl ConnectAttempt {
    /// Returns the target with its name replaced by the address.
    pub fn resolved(&self, target: &Address) -> Address {
        let connected = self.result.as_ref().ok().and_then(|connected| connected.inet);
        match (target, connected.or_else(|| self.addresses.first().copied())) {
            (Address::Tcp(..), Some(at)) => Address::Tcp(Host::Ip(at.ip()), at.port()),
            (Address::Udp(..), Some(at)) => Address::Udp(Host::Ip(at.ip()), at.port()),
            _ => target.clone(),
        }
    }
}

/// Tries the addresses of a name in order until one accepts, and closes the connection.
pub fn attempt(target: &Address) -> ConnectAttempt {
    let start = Instant::now();
    let mut addresses = Vec::new();
    let result = match target {
        Address::Tcp(host, port) => resolve(host, *port).and_then(|found| {
            addresses = found;
            in_turn(&addresses, tcp)
        }),
        Address::Udp(host, port) => resolve(host, *port).and_then(|found| {
            addresses = found;
            in_turn(&addresses, |at, _| udp(at))
        }),
        Address::Unix(name) => unix(name).map_err(|error| full_or(&error)),
        Address::UnixDatagram(name) => unix_datagram(name).map_err(|error| full_or(&error)),
    };
    ConnectAttempt { addresses, took: start.elapsed(), result }
}

/// Resolves in a thread: the system resolver cannot be interrupted.
fn resolve(host: &Host, port: u16) -> Result<Vec<SocketAddr>, String> {
    let (answer, answers) = channel();
    let host = host.clone();
    // After a timeout the receiver is gone.
    let ask = move || drop(answer.send(address::resolve(&host, port)));
    let asked = thread::Builder::new().name("resolver".to_string()).spawn(ask);
    match asked.map(|_| answers.recv_timeout(TIMEOUT)) {
        Ok(Ok(Ok(found))) => Ok(found),
        Ok(Err(_)) => Err(format!("name not resolved within {} s", TIMEOUT.as_secs())),
        Ok(Ok(Err(error))) | Err(error) => Err(format!("name not resolved: {}", message(&error))),
    }
}

/// Connects to the first address that accepts. The error is that of the last one.
fn in_turn(
    addresses: &[SocketAddr],
    connect: impl Fn(SocketAddr, Duration) -> io::Result<Option<SocketAddr>>,
) -> Result<Connected, String> {
    let end = Instant::now() + TIMEOUT;
    let mut failed = "name has no address".to_string();
    for at in addresses {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        match connect(*at, left) {
            Ok(from) => return Ok(Connected { to: at.to_string(), from, inet: Some(*at) }),
            Err(error) => failed = format!("{}, {at}", message(&error)),
        }
    }
    Err(failed)
}

fn tcp(to: SocketAddr, timeout: Duration) -> io::Result<Option<SocketAddr>> {
    let stream = TcpStream::connect_timeout(&to, timeout)?;
    let from = stream.local_addr()?;
    // Without a listener, a port of the ephemeral range can be connected to itself.
    match from == stream.peer_addr()? {
        true => Err(io::ErrorKind::ConnectionRefused.into()),
        false => Ok(Some(from)),
    }
}

/// Checks that there is a route and a local address. Sends nothing.
fn udp(to: SocketAddr) -> io::Result<Option<SocketAddr>> {
    let any = match to {
        SocketAddr::V4(_) => IpAddr::from(Ipv4Addr::UNSPECIFIED),
        SocketAddr::V6(_) => IpAddr::from(Ipv6Addr::UNSPECIFIED),
    };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(to)?;
    socket.local_addr().map(Some)
}

fn unix(name: &UnixName) -> io::Result<Connected> {
    connect(&SocketAddress::Unix(name.clone()))?;
    Ok(Connected { to: name.to_string(), from: None, inet: None })
}

#[cfg(unix)]
fn unix_datagram(name: &UnixName) -> io::Result<Connected> {
    DatagramSocket::connected(&Remote::Unix(name.into()))?;
    Ok(Connected { to: name.to_string(), from: None, inet: None })
}

#[cfg(not(unix))]
fn unix_datagram(_: &UnixName) -> io::Result<Connected> {
    Err(io::ErrorKind::Unsupported.into())
}

/// A Unix listener with a full accept queue returns EAGAIN.
fn full_or(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::WouldBlock => "accept queue full".to_string(),
        _ => message(error),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn attempted(target: &str) -> ConnectAttempt {
        attempt(&Address::parse(target).unwrap())
    }

    #[test]
    fn a_listener_is_connected_to_once() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        for target in [at.to_string(), format!("localhost:{}", at.port())] {
            let attempt = attempted(&target);
            let (stream, peer) = listener.accept().unwrap();
            let connected = attempt.result.clone().unwrap();
            assert_eq!((connected.inet, connected.from), (Some(at), Some(peer)), "{target}");
            let resolved = attempt.resolved(&Address::parse(&target).unwrap());
            assert_eq!(resolved.to_string(), format!("tcp://{at}"));
            drop(stream);
        }
        listener.set_nonblocking(true).unwrap();
        assert_eq!(listener.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn a_refusal_and_a_name_without_an_address_are_reported() {
        let at = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let refused = attempted(&at.to_string()).result.unwrap_err();
        assert_eq!(refused, format!("connection refused, {at}"));
        let unresolved = attempted("no-such-name.invalid:80");
        let error = unresolved.result.unwrap_err();
        assert!(error.starts_with("name not resolved"), "{error}");
        assert!(unresolved.addresses.is_empty());
    }

    #[test]
    fn a_route_is_all_that_datagrams_need() {
        let connected = attempted("udp://127.0.0.1:9").result.unwrap();
        assert_eq!(connected.from.unwrap().ip(), IpAddr::from(Ipv4Addr::LOCALHOST));
    }

    #[cfg(unix)]
    #[test]
    fn a_missing_unix_socket_is_reported() {
        let error = attempted("/no/such/socket").result.unwrap_err();
        assert_eq!(error, "no such file or directory");
        assert_eq!(attempted("unix-dgram:/no/such/socket").result.unwrap_err(), error);
    }
}
