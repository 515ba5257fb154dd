//! Both ends of a connection in the load generator's engine: a socket on one side, and on the other
//! a script, or nothing for an idle connection.

use std::io;
#[cfg(target_os = "linux")]
use std::os::fd::AsRawFd;

use mio::{Interest, Registry, Token};

use crate::core::Stream;
use crate::net::datagram_socket::DatagramSocket;
use crate::net::{self, Socket, interests};

use super::script::Script;

/// One end of a connection of the load generator.
#[derive(Debug)]
pub enum Endpoint {
    Socket(Socket),
    /// A socket whose received bytes are counted and discarded, by the kernel where it can.
    Counting(Socket),
    Datagram(DatagramSocket),
    Script(Box<Script>),
    /// The local end of a held connection: discards what is written, and reads as end of file.
    Null,
}

// An idle connection is two endpoints and little else.
#[cfg(all(target_os = "linux", not(debug_assertions), not(mio_unsupported_force_poll_poll)))]
const _: () = assert!(size_of::<crate::core::Conn<Endpoint>>() <= 96);

impl Endpoint {
    /// Registers the socket, if it has one, with the poll.
    pub fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        match self {
            Endpoint::Socket(socket) | Endpoint::Counting(socket) => {
                let interests = interests(socket);
                registry.register(socket.source(), token, interests)
            }
            Endpoint::Datagram(socket) => {
                registry.register(socket.source(), token, Interest::READABLE | Interest::WRITABLE)
            }
            Endpoint::Script(_) | Endpoint::Null => Ok(()),
        }
    }

    /// Removes or restores the read interest of the socket.
    pub fn update_interest(
        &mut self,
        registry: &Registry,
        token: Token,
        muted: bool,
    ) -> io::Result<()> {
        match self {
            Endpoint::Socket(socket) | Endpoint::Counting(socket) => {
                net::update_interest(socket, registry, token, muted)
            }
            Endpoint::Datagram(_) | Endpoint::Script(_) | Endpoint::Null => Ok(()),
        }
    }

    /// Switches to counting received bytes instead of reading them.
    pub fn count_only(&mut self) {
        *self = match std::mem::replace(self, Endpoint::Null) {
            Endpoint::Socket(socket) => Endpoint::Counting(socket),
            other => other,
        };
    }
}

/// Discards received bytes, at most `buffer.len()`, and returns their number. Linux discards those
/// of a TCP socket without copying them, so `buffer` may be left unchanged.
fn discard(socket: &mut Socket, buffer: &mut [u8]) -> io::Result<usize> {
    #[cfg(target_os = "linux")]
    if let Socket::Tcp(stream) = socket {
        use nix::sys::socket::{MsgFlags, recv};
        // Through mio: with poll(2) it must see WouldBlock to request the next event.
        return stream.try_io(|| Ok(recv(stream.as_raw_fd(), buffer, MsgFlags::MSG_TRUNC)?));
    }
    socket.read(buffer)
}

impl From<Socket> for Endpoint {
    fn from(socket: Socket) -> Endpoint {
        Endpoint::Socket(socket)
    }
}

impl Stream for Endpoint {
    type Pipe = crate::core::NoPipe;

    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Endpoint::Socket(socket) => socket.read(into),
            Endpoint::Counting(socket) => discard(socket, into),
            Endpoint::Datagram(DatagramSocket::Udp(socket)) => socket.recv(into),
            #[cfg(unix)]
            Endpoint::Datagram(DatagramSocket::Unix(socket)) => socket.recv(into),
            Endpoint::Script(script) => script.read(into),
            Endpoint::Null => Ok(0),
        }
    }

    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        match self {
            Endpoint::Socket(socket) | Endpoint::Counting(socket) => socket.write(from),
            Endpoint::Datagram(socket) => socket.send(from).map(|()| from.len()),
            Endpoint::Script(script) => script.write(from),
            Endpoint::Null => Ok(from.len()),
        }
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        match self {
            Endpoint::Socket(socket) | Endpoint::Counting(socket) => socket.shutdown_write(),
            Endpoint::Script(script) => {
                script.read_end();
                Ok(())
            }
            Endpoint::Datagram(_) | Endpoint::Null => Ok(()),
        }
    }

    fn is_connected(&mut self) -> io::Result<bool> {
        match self {
            Endpoint::Socket(socket) | Endpoint::Counting(socket) => socket.is_connected(),
            _ => Ok(true),
        }
    }

    fn take_error(&mut self) -> io::Result<Option<io::Error>> {
        match self {
            Endpoint::Socket(socket) | Endpoint::Counting(socket) => socket.take_error(),
            Endpoint::Datagram(socket) => socket.take_error(),
            _ => Ok(None),
        }
    }

    fn reset_on_drop(&mut self) {
        if let Endpoint::Socket(socket) | Endpoint::Counting(socket) = self {
            socket.reset_on_drop();
        }
    }

    fn short_read_drains(&self) -> bool {
        match self {
            Endpoint::Socket(socket) | Endpoint::Counting(socket) => socket.short_read_drains(),
            Endpoint::Script(script) => script.short_read_drains(),
            Endpoint::Datagram(_) | Endpoint::Null => false,
        }
    }
}
