//! The other ends: clients and targets, over TCP and Unix sockets alike.

use std::io::{self, ErrorKind, Read, Write};
use std::mem::MaybeUninit;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

use socket2::{Domain, SockRef, Socket, Type};

use crate::stand::{Daemon, PATIENCE, Scratch, until};

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
        Wire::try_connect(address).unwrap_or_else(|error| panic!("{address}: {error}"))
    }

    pub fn try_connect(address: &str) -> io::Result<Wire> {
        let wire = match address.strip_prefix("unix:") {
            Some(path) => Wire::Unix(UnixStream::connect(path)?),
            None => {
                let place = address.strip_prefix("tcp://").unwrap();
                let place: SocketAddr = place.parse().unwrap();
                let stream = TcpStream::connect_timeout(&place, PATIENCE)?;
                stream.set_nodelay(true)?;
                Wire::Tcp(stream)
            }
        };
        wire.set_patience(Some(PATIENCE));
        Ok(wire)
    }

    pub fn set_patience(&self, patience: Option<Duration>) {
        let socket = SockRef::from(self);
        socket.set_read_timeout(patience).unwrap();
        socket.set_write_timeout(patience).unwrap();
    }

    pub fn set_nonblocking(&self, on: bool) {
        SockRef::from(self).set_nonblocking(on).unwrap();
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

    /// Sends this, and expects it back.
    pub fn echo(&mut self, bytes: &[u8]) {
        self.send(bytes);
        assert!(self.get(bytes.len()) == bytes, "not what was sent");
    }

    /// Ends our direction. Where the other side has reset the connection meanwhile there is none:
    /// that shows when this one is read.
    pub fn finish(&self) {
        match SockRef::from(self).shutdown(Shutdown::Write) {
            Err(error) if error.kind() == ErrorKind::NotConnected => {}
            ended => ended.unwrap(),
        }
    }

    /// All up to the end, which must be a clean one.
    pub fn rest(&mut self) -> Vec<u8> {
        let (bytes, end) = self.ending();
        assert_eq!(end, End::Fin, "after {} bytes", bytes.len());
        bytes
    }

    /// Nothing more comes, and then a reset.
    pub fn expect_reset(&mut self) {
        let (bytes, end) = self.ending();
        assert_eq!((bytes.len(), end), (0, End::Rst));
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

    /// Waits until the socket has an error to tell, without reading. For one that has heard the
    /// other's FIN already, this is how a reset shows.
    pub fn error(&self) -> io::Error {
        until("an error", || SockRef::from(self).take_error().unwrap())
    }

    /// Closes with a reset.
    pub fn reset(self) {
        SockRef::from(&self).set_linger(Some(Duration::ZERO)).unwrap();
    }

    /// Sends without waiting for the reader, until nothing is taken any more for a while in which
    /// the daemon had nothing to do: on a busy machine, silence alone is no sign. Gives how many
    /// bytes were taken.
    pub fn flood(&mut self, daemon: &Daemon, mut byte_at: impl FnMut(usize) -> u8) -> usize {
        self.set_nonblocking(true);
        let (mut piece, mut sent, mut rests) = (Vec::new(), 0, 0);
        while rests < 30 {
            if piece.is_empty() {
                piece = (sent..sent + 65_536).map(&mut byte_at).collect();
            }
            match self.write(&piece) {
                Ok(taken) => {
                    piece.drain(..taken);
                    (sent, rests) = (sent + taken, 0);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    std::thread::sleep(Duration::from_millis(2));
                    rests = if daemon.is_asleep() { rests + 1 } else { 0 };
                }
                // What follows will see it too.
                Err(error) if is_reset(&error) => break,
                Err(error) => panic!("not sent after {sent} bytes: {error}"),
            }
            assert!(sent < 1 << 30, "nothing ever stops it");
        }
        self.set_nonblocking(false);
        sent
    }

    pub fn local(&self) -> SocketAddr {
        SockRef::from(self).local_addr().unwrap().as_socket().unwrap()
    }

    /// A second handle on the same socket.
    pub fn twin(&self) -> Wire {
        match self {
            Wire::Tcp(stream) => Wire::Tcp(stream.try_clone().unwrap()),
            Wire::Unix(stream) => Wire::Unix(stream.try_clone().unwrap()),
        }
    }

    /// Some, if bytes wait to be read.
    pub fn peek(&self) -> Option<()> {
        let mut room = [MaybeUninit::uninit()];
        self.set_nonblocking(true);
        let bytes = SockRef::from(self).peek(&mut room);
        self.set_nonblocking(false);
        bytes.is_ok_and(|bytes| bytes > 0).then_some(())
    }
}

/// All that a client at this address hears without a word of its own, and how that ends. It may be
/// reset as early as while it connects: whoever is quick enough makes the call that connects fail.
pub fn heard(address: &str) -> (Vec<u8>, End) {
    match Wire::try_connect(address) {
        Ok(mut client) => client.ending(),
        Err(error) if is_reset(&error) => (Vec::new(), End::Rst),
        Err(error) => panic!("{address}: {error}"),
    }
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

/// A target of a relay.
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

/// The byte at each place of a stream: no two streams of different seeds are alike, and no part of
/// one looks like another part of it.
pub fn byte(seed: u64, at: usize) -> u8 {
    let word = (at as u64 / 8).wrapping_add(seed << 40).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    ((word ^ word >> 29) >> (at % 8 * 8)) as u8
}

pub fn bytes(seed: u64, length: usize) -> Vec<u8> {
    (0..length).map(|at| byte(seed, at)).collect()
}
