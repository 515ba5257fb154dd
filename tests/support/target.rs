//! Targets to connect to, over TCP and Unix sockets, and an address that refuses.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;

use socket2::{Domain, Socket, Type};

use crate::scratch::Scratch;
use crate::test_stream::TestStream;
use crate::wait::{PATIENCE, until};

/// A listening socket.
pub enum Target {
    Tcp(TcpListener),
    Unix(UnixListener, Scratch),
}

impl Target {
    pub fn tcp() -> Target {
        Target::Tcp(TcpListener::bind("127.0.0.1:0").unwrap())
    }

    pub fn unix() -> Target {
        let scratch = Scratch::new();
        Target::Unix(UnixListener::bind(scratch.path("target")).unwrap(), scratch)
    }

    pub fn address(&self) -> String {
        match self {
            Target::Tcp(listener) => format!("tcp://{}", listener.local_addr().unwrap()),
            Target::Unix(_, scratch) => scratch.unix("target"),
        }
    }

    /// Waits for the next connection.
    pub fn accept(&self) -> TestStream {
        until("a connection at the target", || self.try_accept())
    }

    /// Accepts a connection, if one is pending.
    pub fn try_accept(&self) -> Option<TestStream> {
        let stream = match self {
            Target::Tcp(listener) => {
                listener.set_nonblocking(true).unwrap();
                listener.accept().map(|(stream, _)| TestStream::Tcp(stream))
            }
            Target::Unix(listener, _) => {
                listener.set_nonblocking(true).unwrap();
                listener.accept().map(|(stream, _)| TestStream::Unix(stream))
            }
        };
        match stream {
            Ok(stream) => {
                stream.set_nonblocking(false);
                stream.set_patience(Some(PATIENCE));
                Some(stream)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => None,
            Err(error) => panic!("{error}"),
        }
    }
}

/// A TCP address that refuses: its socket is bound but not listening, so that no other process can
/// use the address.
pub struct RefusingAddress(Socket);

impl RefusingAddress {
    pub fn new() -> RefusingAddress {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        RefusingAddress(socket)
    }

    pub fn address(&self) -> String {
        format!("tcp://{}", self.0.local_addr().unwrap().as_socket().unwrap())
    }
}
