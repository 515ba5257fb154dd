//! Stream sockets, TCP and Unix: the operations that the core needs, and connecting.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::time::Duration;

use mio::event::Source;
use mio::net::TcpStream;
#[cfg(unix)]
use mio::net::UnixStream;
use mio::{Interest, Registry, Token};
use socket2::{SockRef, TcpKeepalive};

use crate::core::{Peer, SysError, end::Stream};

#[cfg(target_os = "linux")]
use super::address::SystemName;
use super::address::{SocketAddress, inet_peer};
#[cfg(unix)]
use super::address::{unix_address, unix_peer};
#[cfg(target_os = "linux")]
use super::pipe::SystemPipe;
#[cfg(unix)]
use super::stdio::Stdio;

/// TCP_KEEPIDLE after a peer's FIN.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);

/// TCP_KEEPINTVL: time between keepalive probes without an answer.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);

/// A stream socket that is connected or connecting. No call on it blocks.
#[derive(Debug)]
pub enum Socket {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
    /// Standard input and output of this process.
    #[cfg(unix)]
    Stdio(Stdio),
}

// Every connection holds two of these, and there may be a million idle ones. (mio stores more in
// debug builds and with poll(2).)
#[cfg(all(target_os = "linux", not(debug_assertions), not(mio_unsupported_force_poll_poll)))]
const _: () = assert!(size_of::<Socket>() == 8);

/// Whether mio uses epoll, whose edge-triggered events guarantee more than mio's contract.
pub const EPOLL: bool = cfg!(all(
    any(target_os = "linux", target_os = "android"),
    not(mio_unsupported_force_poll_poll)
));

/// Lowest port that the system chooses for an outgoing connection, whatever `ip_local_port_range`
/// is set to.
const FIRST_EPHEMERAL_PORT: u16 = 1024;

impl Stream for Socket {
    #[cfg(target_os = "linux")]
    type Pipe = SystemPipe;
    #[cfg(not(target_os = "linux"))]
    type Pipe = crate::core::NoPipe;

    #[inline(always)]
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Socket::Tcp(stream) => stream.read(into),
            #[cfg(unix)]
            Socket::Unix(stream) => stream.read(into),
            #[cfg(unix)]
            Socket::Stdio(stdio) => stdio.read(into),
        }
    }

    #[inline(always)]
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        match self {
            Socket::Tcp(stream) => stream.write(from),
            #[cfg(unix)]
            Socket::Unix(stream) => stream.write(from),
            #[cfg(unix)]
            Socket::Stdio(stdio) => stdio.write(from),
        }
    }

    /// Sends FIN after the last byte. Standard output stays open until the process exits.
    fn shutdown_write(&mut self) -> io::Result<()> {
        match self {
            Socket::Tcp(stream) => stream.shutdown(Shutdown::Write),
            #[cfg(unix)]
            Socket::Unix(stream) => stream.shutdown(Shutdown::Write),
            #[cfg(unix)]
            Socket::Stdio(_) => Ok(()),
        }
    }

    /// Returns and clears the pending error of the socket.
    fn take_error(&mut self) -> io::Result<Option<io::Error>> {
        match self {
            Socket::Tcp(stream) => stream.take_error(),
            #[cfg(unix)]
            Socket::Unix(stream) => stream.take_error(),
            #[cfg(unix)]
            Socket::Stdio(stdio) => stdio.take_error(),
        }
    }

    /// Whether a connection attempt has succeeded. Returns an error if it has failed.
    fn is_connected(&mut self) -> io::Result<bool> {
        // Only a connected socket has a peer. SO_ERROR alone is not enough: a socket may be
        // reported as writable before it is connected, without an error. Asking for it first would
        // cost a call.
        let unknown = match self.peer() {
            Ok(peer) if self.is_self_connected(&peer) => {
                return Err(SysError::SELF_CONNECT.kind.into());
            }
            Ok(_) => return Ok(true),
            Err(unknown) => unknown,
        };
        match self.take_error()? {
            Some(error) => Err(error),
            None if is_still_connecting(&unknown) => Ok(false),
            None => Err(unknown),
        }
    }

    /// Makes the next close a reset. Unix sockets have no reset, and close normally.
    fn reset_on_drop(&mut self) {
        match self {
            // Fails only on a socket that the peer has reset already.
            Socket::Tcp(stream) => drop(SockRef::from(&*stream).set_linger(Some(Duration::ZERO))),
            #[cfg(unix)]
            Socket::Unix(_) | Socket::Stdio(_) => {}
        }
    }

    /// Whether a short read shows that the socket is drained, so that an event follows for later
    /// bytes. On a Unix socket a passed descriptor makes a read short too, and no event follows for
    /// the bytes after it.
    fn short_read_drains(&self) -> bool {
        EPOLL && matches!(self, Socket::Tcp(_))
    }

    /// Returns true between TCP sockets only. For Unix sockets a splice is no faster than a read.
    /// (Both discard passed descriptors.)
    #[cfg(target_os = "linux")]
    fn can_splice(&self, to: &Socket) -> bool {
        EPOLL && matches!((self, to), (Socket::Tcp(_), Socket::Tcp(_)))
    }

    #[cfg(target_os = "linux")]
    fn splice_in(&mut self, pipe: &mut SystemPipe) -> io::Result<usize> {
        match self {
            Socket::Tcp(stream) => pipe.fill(stream),
            _ => Ok(0),
        }
    }

    #[cfg(target_os = "linux")]
    fn splice_out(&mut self, pipe: &mut SystemPipe, bytes: usize) -> io::Result<usize> {
        match self {
            Socket::Tcp(stream) => pipe.empty(stream, bytes),
            _ => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

impl Socket {
    /// Sets TCP_NODELAY. Otherwise Nagle's algorithm and the peer's delayed ACK delay small writes
    /// by 40 ms.
    pub fn set_nodelay(&self) {
        match self {
            // Fails only on a socket that the peer has reset already.
            Socket::Tcp(stream) => drop(stream.set_nodelay(true)),
            #[cfg(unix)]
            Socket::Unix(_) | Socket::Stdio(_) => {}
        }
    }

    /// Enables keepalive probes for a peer that has sent a FIN and is sent something only now and
    /// then. It may still be reading, or be gone: TCP does not distinguish them, but a peer that is
    /// gone answers a probe with a reset.
    pub fn probe_after_fin(&self) {
        match self {
            Socket::Tcp(stream) => {
                let keepalive =
                    TcpKeepalive::new().with_time(KEEPALIVE_IDLE).with_interval(KEEPALIVE_INTERVAL);
                // Without keepalive, a dead peer is found by the next write.
                let _ = SockRef::from(stream).set_tcp_keepalive(&keepalive);
            }
            #[cfg(unix)]
            Socket::Unix(_) | Socket::Stdio(_) => {}
        }
    }

    /// The name of the transport.
    pub fn transport(&self) -> &'static str {
        match self {
            Socket::Tcp(_) => "tcp",
            #[cfg(unix)]
            Socket::Unix(_) => "unix",
            #[cfg(unix)]
            Socket::Stdio(_) => "stdio",
        }
    }

    /// The peer address.
    pub fn peer(&self) -> io::Result<Peer> {
        match self {
            Socket::Tcp(stream) => stream.peer_addr().map(inet_peer),
            #[cfg(unix)]
            Socket::Unix(stream) => stream.peer_addr().map(|address| unix_peer(&address)),
            #[cfg(unix)]
            Socket::Stdio(_) => Ok(Peer::Stdio),
        }
    }

    /// The local address.
    pub fn local(&self) -> io::Result<Peer> {
        match self {
            Socket::Tcp(stream) => stream.local_addr().map(inet_peer),
            #[cfg(unix)]
            Socket::Unix(stream) => stream.local_addr().map(|address| unix_peer(&address)),
            #[cfg(unix)]
            Socket::Stdio(_) => Ok(Peer::Stdio),
        }
    }

    /// Whether TCP has connected this socket to itself. That happens if nothing listens on a local
    /// target port and the system chooses the same port for the client end: the two SYNs meet, and
    /// every byte sent comes back. The port also stays in use, so the real target cannot bind it.
    fn is_self_connected(&self, peer: &Peer) -> bool {
        match peer {
            Peer::Inet(to) if to.port() >= FIRST_EPHEMERAL_PORT => {
                self.local().is_ok_and(|local| local == *peer)
            }
            _ => false,
        }
    }

    /// The event source to register.
    pub fn source(&mut self) -> &mut dyn Source {
        match self {
            Socket::Tcp(stream) => stream,
            #[cfg(unix)]
            Socket::Unix(stream) => stream,
            #[cfg(unix)]
            Socket::Stdio(stdio) => stdio,
        }
    }
}

/// Starts to connect without blocking. The socket becomes writable, or gets an error, when the
/// connection is established or has failed.
///
/// A Unix socket is connected or refused at once. `WouldBlock` means that the target's accept queue
/// is full.
pub fn connect(address: &SocketAddress) -> io::Result<Socket> {
    match address {
        SocketAddress::Inet(address) => {
            let socket = Socket::Tcp(TcpStream::connect(*address)?);
            socket.set_nodelay();
            Ok(socket)
        }
        #[cfg(unix)]
        SocketAddress::Unix(name) => {
            UnixStream::connect_addr(&unix_address(name)?).map(Socket::Unix)
        }
        #[cfg(not(unix))]
        SocketAddress::Unix(_) => Err(io::ErrorKind::Unsupported.into()),
    }
}

/// Connects to a Unix listener of this process from a name that the system chooses, by which the
/// accepting side recognises the connection.
#[cfg(target_os = "linux")]
pub fn connect_named(address: &SocketAddress) -> io::Result<Socket> {
    let SocketAddress::Unix(name) = address else { return connect(address) };
    let plain = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None)?;
    plain.set_nonblocking(true)?;
    // Binding to an empty address requests a name.
    plain.bind(&socket2::SockAddr::unix("")?)?;
    plain.connect(&SystemName::from(name).address()?)?;
    Ok(Socket::Unix(UnixStream::from_std(plain.into())))
}

#[cfg(not(target_os = "linux"))]
pub fn connect_named(address: &SocketAddress) -> io::Result<Socket> {
    connect(address)
}

fn is_still_connecting(error: &io::Error) -> bool {
    #[cfg(unix)]
    if error.raw_os_error() == Some(libc::EINPROGRESS) {
        return true;
    }
    error.kind() == io::ErrorKind::NotConnected
}

/// Returns the interests to register a socket for. Urgent data makes reads short, and epoll reports
/// it only with EPOLLPRI.
pub fn interests(socket: &Socket) -> Interest {
    let both = Interest::READABLE | Interest::WRITABLE;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if socket.short_read_drains() {
        return both | Interest::PRIORITY;
    }
    let _ = socket;
    both
}

/// Turns read interest off or on. EPOLLPRI goes with it: otherwise urgent data would still wake the
/// loop.
pub fn update_interest(
    socket: &mut Socket,
    registry: &Registry,
    token: Token,
    read_off: bool,
) -> io::Result<()> {
    let interests = if read_off { Interest::WRITABLE } else { interests(socket) };
    registry.reregister(socket.source(), token, interests)
}

#[cfg(test)]
#[cfg_attr(not(unix), allow(irrefutable_let_patterns))]
mod tests;
