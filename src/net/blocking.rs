//! Blocking stream connections with time limits, for a command that does one exchange and exits.
//! Nothing of the event loop uses them.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use socket2::{Domain, SockAddr, Socket, Type};

use super::address::resolve;
use crate::config::{Address, UnixName};

/// Connects to the first address of a target that accepts, within the time limit. Resolving a name
/// is limited by the system's resolver only. The error is that of the last address.
pub fn connect(target: &Address, timeout: Duration) -> io::Result<Socket> {
    let end = Instant::now() + timeout;
    match target {
        Address::Tcp(host, port) => {
            let mut failed = io::ErrorKind::AddrNotAvailable.into();
            for address in resolve(host, *port)? {
                match inet(address, end.saturating_duration_since(Instant::now())) {
                    Ok(socket) => return Ok(socket),
                    Err(error) => failed = error,
                }
            }
            Err(failed)
        }
        Address::Unix(name) => unix(name, end),
        Address::Udp(..) | Address::UnixDatagram(_) => Err(io::ErrorKind::Unsupported.into()),
    }
}

fn inet(address: SocketAddr, left: Duration) -> io::Result<Socket> {
    // A time limit of zero is refused as invalid.
    if left.is_zero() {
        return Err(io::ErrorKind::TimedOut.into());
    }
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.connect_timeout(&SockAddr::from(address), left)?;
    // Without a listener, a port of the ephemeral range can be connected to itself.
    if socket.local_addr()?.as_socket() == socket.peer_addr()?.as_socket() {
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    Ok(socket)
}

#[cfg(unix)]
fn unix(name: &UnixName, end: Instant) -> io::Result<Socket> {
    /// Time between two attempts while the accept queue is full: nothing reports that it has room.
    const RETRY: Duration = Duration::from_millis(20);
    let address = super::address::SystemName::from(name).address()?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // A blocking connect would wait for a full accept queue without a limit.
    socket.set_nonblocking(true)?;
    loop {
        match socket.connect(&address) {
            Ok(()) => break,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        if Instant::now() >= end {
            return Err(io::ErrorKind::TimedOut.into());
        }
        std::thread::sleep(RETRY);
    }
    socket.set_nonblocking(false)?;
    Ok(socket)
}

#[cfg(not(unix))]
fn unix(_name: &UnixName, _end: Instant) -> io::Result<Socket> {
    Err(io::ErrorKind::Unsupported.into())
}
