//! The other ends: clients and targets, over TCP and Unix sockets alike.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

use socket2::{Domain, SockRef, Socket, Type};

use crate::stand::{PATIENCE, Scratch, until};

/// One end of a connection. Its calls wait, but not for ever.
#[derive(Debug)]
pub enum Wire {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// How a stream came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Fin,
    Rst,
}

impl Wire {
    /// Connects to `tcp://127.0.0.1:7` or `unix:/path`.
    pub fn connect(address: &str) -> Wire {
        let wire = match address.strip_prefix("unix:") {
            Some(path) => Wire::Unix(UnixStream::connect(path).unwrap()),
            None => Wire::Tcp(TcpStream::connect(place(address)).unwrap()),
        };
        wire.set_patience(PATIENCE);
        wire
    }

    /// A client that has little room for what it does not read.
    pub fn narrow(address: &str) -> Wire {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        socket.connect(&place(address).into()).unwrap();
        let wire = Wire::Tcp(socket.into());
        wire.set_patience(PATIENCE);
        wire
    }

    pub fn set_patience(&self, patience: Duration) {
        let socket = SockRef::from(self);
        socket.set_read_timeout(Some(patience)).unwrap();
        socket.set_write_timeout(Some(patience)).unwrap();
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.write_all(bytes).unwrap_or_else(|error| panic!("not sent: {error}"));
    }

    /// The next so many bytes.
    pub fn get(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.read_exact(&mut bytes).unwrap_or_else(|error| panic!("not received: {error}"));
        bytes
    }

    /// Ends our direction.
    pub fn finish(&self) {
        SockRef::from(self).shutdown(Shutdown::Write).unwrap();
    }

    /// All up to the end, which must be a clean one.
    pub fn rest(&mut self) -> Vec<u8> {
        let (bytes, end) = self.ending();
        assert_eq!(end, End::Fin, "after {} bytes", bytes.len());
        bytes
    }

    /// All that still comes, and how it ends.
    pub fn ending(&mut self) -> (Vec<u8>, End) {
        let mut bytes = Vec::new();
        match self.read_to_end(&mut bytes) {
            Ok(_) => (bytes, End::Fin),
            Err(error) if is_reset(&error) => (bytes, End::Rst),
            Err(error) => panic!("after {} bytes: {error}", bytes.len()),
        }
    }

    /// Closes with a reset.
    pub fn reset(self) {
        SockRef::from(&self).set_linger(Some(Duration::ZERO)).unwrap();
    }

    /// Sends this again and again, without waiting for the reader, until nothing is taken any more
    /// for a while; gives how many bytes were taken.
    pub fn flood(&mut self, text: &[u8]) -> usize {
        SockRef::from(&*self).set_nonblocking(true).unwrap();
        let (mut sent, mut rests) = (0, 0);
        while rests < 100 {
            match self.write(&text[sent % text.len()..]) {
                Ok(taken) => (sent, rests) = (sent + taken, 0),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    rests += 1;
                    std::thread::sleep(Duration::from_millis(2));
                }
                Err(error) => panic!("not sent after {sent} bytes: {error}"),
            }
            assert!(sent < 1 << 30, "nothing ever stops it");
        }
        SockRef::from(&*self).set_nonblocking(false).unwrap();
        sent
    }

    pub fn is_tcp(&self) -> bool {
        matches!(self, Wire::Tcp(_))
    }

    pub fn local(&self) -> SocketAddr {
        SockRef::from(self).local_addr().unwrap().as_socket().unwrap()
    }
}

fn place(address: &str) -> SocketAddr {
    address.strip_prefix("tcp://").unwrap().parse().unwrap()
}

fn is_reset(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe)
}

impl AsFd for Wire {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Wire::Tcp(stream) => stream.as_fd(),
            Wire::Unix(stream) => stream.as_fd(),
        }
    }
}

impl Read for Wire {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Wire::Tcp(stream) => stream.read(into),
            Wire::Unix(stream) => stream.read(into),
        }
    }
}

impl Write for Wire {
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        match self {
            Wire::Tcp(stream) => stream.write(from),
            Wire::Unix(stream) => stream.write(from),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

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

    fn try_accept(&self) -> Option<Wire> {
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
                SockRef::from(&wire).set_nonblocking(false).unwrap();
                wire.set_patience(PATIENCE);
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

/// So many bytes that no other seed gives, and no part of which looks like another.
pub fn bytes(seed: u64, length: usize) -> Vec<u8> {
    let byte = |at: usize| {
        let word = (at as u64 / 8).wrapping_add(seed << 40).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        ((word ^ word >> 29) >> (at % 8 * 8)) as u8
    };
    (0..length).map(byte).collect()
}
