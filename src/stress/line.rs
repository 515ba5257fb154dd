//! What the engine moves bytes between when it makes load: a socket on one side, and on the other a
//! script, or nobody.

use std::io;
#[cfg(target_os = "linux")]
use std::os::fd::AsRawFd;

use mio::{Interest, Registry, Token};

use crate::core::Stream;
use crate::net::datagram_socket::DatagramSocket;
use crate::net::{self, Socket, interests};

use super::script::Script;

/// Either side of a connection that makes load.
#[derive(Debug)]
pub enum Line {
    Socket(Socket),
    /// One whose bytes are counted, and thrown away by the system where it can.
    Counted(Socket),
    Datagram(DatagramSocket),
    Script(Box<Script>),
    /// Of a connection that is only held: swallows what comes, and when asked says its end.
    Nobody,
}

// An idle connection is two of these and little else.
#[cfg(all(target_os = "linux", not(debug_assertions), not(mio_unsupported_force_poll_poll)))]
const _: () = assert!(size_of::<crate::core::Conn<Line>>() <= 96);

impl Line {
    /// Has the system announce what happens on it, from now on.
    pub fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        match self {
            Line::Socket(socket) | Line::Counted(socket) => {
                let interests = interests(socket);
                registry.register(socket.source(), token, interests)
            }
            Line::Datagram(socket) => {
                registry.register(socket.source(), token, Interest::READABLE | Interest::WRITABLE)
            }
            Line::Script(_) | Line::Nobody => Ok(()),
        }
    }

    /// The system is to name it for what comes in, or not to.
    pub fn update_interest(
        &mut self,
        registry: &Registry,
        token: Token,
        muted: bool,
    ) -> io::Result<()> {
        match self {
            Line::Socket(socket) | Line::Counted(socket) => {
                net::update_interest(socket, registry, token, muted)
            }
            Line::Datagram(_) | Line::Script(_) | Line::Nobody => Ok(()),
        }
    }

    /// From now on what comes is counted, and not read.
    pub fn count_only(&mut self) {
        *self = match std::mem::replace(self, Line::Nobody) {
            Line::Socket(socket) => Line::Counted(socket),
            other => other,
        };
    }
}

/// How many bytes came, at most as many as there is room for; the room is left as it was. Linux
/// throws those of a TCP socket away without copying them.
fn count(socket: &mut Socket, room: &mut [u8]) -> io::Result<usize> {
    #[cfg(target_os = "linux")]
    if let Socket::Tcp(stream) = socket {
        use nix::sys::socket::{MsgFlags, recv};
        // Mio must hear of a call that would block: with poll(2) it asks for the next event then.
        return stream.try_io(|| Ok(recv(stream.as_raw_fd(), room, MsgFlags::MSG_TRUNC)?));
    }
    socket.read(room)
}

impl From<Socket> for Line {
    fn from(socket: Socket) -> Line {
        Line::Socket(socket)
    }
}

impl Stream for Line {
    type Pipe = crate::core::NoPipe;

    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Line::Socket(socket) => socket.read(into),
            Line::Counted(socket) => count(socket, into),
            Line::Datagram(DatagramSocket::Udp(socket)) => socket.recv(into),
            #[cfg(unix)]
            Line::Datagram(DatagramSocket::Unix(socket)) => socket.recv(into),
            Line::Script(script) => script.read(into),
            Line::Nobody => Ok(0),
        }
    }

    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        match self {
            Line::Socket(socket) | Line::Counted(socket) => socket.write(from),
            Line::Datagram(socket) => socket.send(from).map(|()| from.len()),
            Line::Script(script) => script.write(from),
            Line::Nobody => Ok(from.len()),
        }
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        match self {
            Line::Socket(socket) | Line::Counted(socket) => socket.shutdown_write(),
            Line::Script(script) => {
                script.read_end();
                Ok(())
            }
            Line::Datagram(_) | Line::Nobody => Ok(()),
        }
    }

    fn is_connected(&mut self) -> io::Result<bool> {
        match self {
            Line::Socket(socket) | Line::Counted(socket) => socket.is_connected(),
            _ => Ok(true),
        }
    }

    fn take_error(&mut self) -> io::Result<Option<io::Error>> {
        match self {
            Line::Socket(socket) | Line::Counted(socket) => socket.take_error(),
            Line::Datagram(socket) => socket.take_error(),
            _ => Ok(None),
        }
    }

    fn reset_on_drop(&mut self) {
        if let Line::Socket(socket) | Line::Counted(socket) = self {
            socket.reset_on_drop();
        }
    }

    fn short_read_drains(&self) -> bool {
        match self {
            Line::Socket(socket) | Line::Counted(socket) => socket.short_read_drains(),
            Line::Script(script) => script.short_read_drains(),
            Line::Datagram(_) | Line::Nobody => false,
        }
    }
}
