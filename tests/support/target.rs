//! What is there to connect to: targets over TCP and Unix sockets, and an address of nobody.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;

use socket2::{Domain, Socket, Type};

use crate::scratch::Scratch;
use crate::wait::{PATIENCE, until};
use crate::wire::Wire;

/// Something to connect to.
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

    /// The next connection, whenever it comes.
    pub fn accept(&self) -> Wire {
        until("a connection at the target", || self.try_accept())
    }

    /// A connection, if one waits.
    pub fn try_accept(&self) -> Option<Wire> {
        let wire = match self {
            Target::Tcp(listener) => {
                listener.set_nonblocking(true).unwrap();
                listener.accept().map(|(stream, _)| Wire::Tcp(stream))
            }
            Target::Unix(listener, _) => {
                listener.set_nonblocking(true).unwrap();
                listener.accept().map(|(stream, _)| Wire::Unix(stream))
            }
        };
        match wire {
            Ok(wire) => {
                wire.set_nonblocking(false);
                wire.set_patience(Some(PATIENCE));
                Some(wire)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => None,
            Err(error) => panic!("{error}"),
        }
    }
}

/// An address at which nobody listens, as long as this lives: bound, and so nobody else's, but
/// deaf.
pub struct Nobody(Socket);

impl Nobody {
    pub fn new() -> Nobody {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        Nobody(socket)
    }

    pub fn address(&self) -> String {
        format!("tcp://{}", self.0.local_addr().unwrap().as_socket().unwrap())
    }
}
