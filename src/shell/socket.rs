//! Stream sockets: what the core needs of one, for TCP and for Unix, and how to connect one.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::time::Duration;

use mio::event::Source;
use mio::net::TcpStream;
#[cfg(unix)]
use mio::net::UnixStream;
use socket2::SockRef;

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

/// A connected stream, or one that is still connecting. No call on it blocks.
#[derive(Debug)]
pub enum Socket {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
    /// Our own standard input and output.
    #[cfg(unix)]
    Stdio(Stdio),
}

// Two of these lie in every connection, and idle connections are counted by the million. (Debug
// builds of mio remember more; poll(2) needs more.)
#[cfg(all(target_os = "linux", not(debug_assertions), not(mio_unsupported_force_poll_poll)))]
const _: () = assert!(size_of::<Socket>() == 8);

/// Whether mio waits with epoll, whose edges promise more than its contract does.
pub const EPOLL: bool = cfg!(all(
    any(target_os = "linux", target_os = "android"),
    not(mio_unsupported_force_poll_poll)
));

/// The system never chooses a lower port for an outgoing connection, whatever
/// `ip_local_port_range` says.
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

    /// Sends FIN behind the last byte. Standard output ends with the process instead.
    fn shutdown_write(&mut self) -> io::Result<()> {
        match self {
            Socket::Tcp(stream) => stream.shutdown(Shutdown::Write),
            #[cfg(unix)]
            Socket::Unix(stream) => stream.shutdown(Shutdown::Write),
            #[cfg(unix)]
            Socket::Stdio(_) => Ok(()),
        }
    }

    /// The error that waits on the socket, taken off it.
    fn take_error(&mut self) -> io::Result<Option<io::Error>> {
        match self {
            Socket::Tcp(stream) => stream.take_error(),
            #[cfg(unix)]
            Socket::Unix(stream) => stream.take_error(),
            #[cfg(unix)]
            Socket::Stdio(stdio) => stdio.take_error(),
        }
    }

    /// Whether a connection attempt has succeeded. An error: it has failed.
    fn is_connected(&mut self) -> io::Result<bool> {
        // Only a socket that is connected knows its peer. To ask for its error first would be one
        // call more, and not enough: a socket may be announced as writable before it is connected,
        // without an error either.
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

    /// Makes the coming close a reset. Unix sockets know none, and simply close.
    fn reset_on_drop(&mut self) {
        match self {
            // This fails only on a socket that the peer has reset already.
            Socket::Tcp(stream) => drop(SockRef::from(&*stream).set_linger(Some(Duration::ZERO))),
            #[cfg(unix)]
            Socket::Unix(_) | Socket::Stdio(_) => {}
        }
    }

    /// Whether the kernel promises another event for bytes that come after a short read. On a Unix
    /// socket a passed descriptor cuts a read short too, and no event follows for what is behind
    /// it.
    fn short_read_drains(&self) -> bool {
        EPOLL && matches!(self, Socket::Tcp(_))
    }

    /// Between TCP sockets alone. A Unix socket would drop what descriptors it carries, as a read
    /// does; but its splice is no faster than a read.
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
    /// Sends small writes at once. Otherwise Nagle's algorithm and the peer's delayed ACK would
    /// hold each other up for 40 ms.
    pub fn set_nodelay(&self) {
        match self {
            // This fails only on a socket that the peer has reset already.
            Socket::Tcp(stream) => drop(stream.set_nodelay(true)),
            #[cfg(unix)]
            Socket::Unix(_) | Socket::Stdio(_) => {}
        }
    }

    /// The word for its kind.
    pub fn transport(&self) -> &'static str {
        match self {
            Socket::Tcp(_) => "tcp",
            #[cfg(unix)]
            Socket::Unix(_) => "unix",
            #[cfg(unix)]
            Socket::Stdio(_) => "stdio",
        }
    }

    /// Who is at the other end.
    pub fn peer(&self) -> io::Result<Peer> {
        match self {
            Socket::Tcp(stream) => stream.peer_addr().map(inet_peer),
            #[cfg(unix)]
            Socket::Unix(stream) => stream.peer_addr().map(|address| unix_peer(&address)),
            #[cfg(unix)]
            Socket::Stdio(_) => Ok(Peer::Stdio),
        }
    }

    /// Our own address on this socket.
    pub fn local(&self) -> io::Result<Peer> {
        match self {
            Socket::Tcp(stream) => stream.local_addr().map(inet_peer),
            #[cfg(unix)]
            Socket::Unix(stream) => stream.local_addr().map(|address| unix_peer(&address)),
            #[cfg(unix)]
            Socket::Stdio(_) => Ok(Peer::Stdio),
        }
    }

    /// Whether TCP has connected this socket to itself. That happens where nothing listens on a
    /// port of this host, and the system chooses the same port for our end: both SYNs meet, and
    /// every byte sent comes back. The port also stays occupied, so the real target cannot bind it.
    fn is_self_connected(&self, peer: &Peer) -> bool {
        match peer {
            Peer::Inet(to) if to.port() >= FIRST_EPHEMERAL_PORT => {
                self.local().is_ok_and(|local| local == *peer)
            }
            _ => false,
        }
    }

    /// What the poll is to watch.
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

/// Begins to connect, and does not wait. The socket is writable, or shows an error, once that is
/// decided.
///
/// A Unix socket is connected or refused at once; `WouldBlock` there means that its backlog is
/// full.
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

/// Connects to a Unix listener of our own, which is to recognise the connection by a name: one that
/// the system chooses.
#[cfg(target_os = "linux")]
pub fn connect_named(address: &SocketAddress) -> io::Result<Socket> {
    let SocketAddress::Unix(name) = address else { return connect(address) };
    let plain = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None)?;
    plain.set_nonblocking(true)?;
    // An address without a name asks for one.
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

#[cfg(test)]
#[cfg_attr(not(unix), allow(irrefutable_let_patterns))]
mod tests;
