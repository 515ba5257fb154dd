//! One end of a connection, over TCP and Unix sockets alike: connects, sends, and tells how what it
//! hears came to its end.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use socket2::SockRef;

use crate::scratch::Scratch;
use crate::wait::PATIENCE;

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
                let stream = TcpStream::connect_timeout(&place(address), PATIENCE)?;
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

    pub fn local(&self) -> SocketAddr {
        SockRef::from(self).local_addr().unwrap().as_socket().unwrap()
    }
}

impl Scratch {
    /// The address of a Unix socket in it.
    pub fn unix(&self, name: &str) -> String {
        format!("unix:{}", self.path(name).display())
    }
}

/// Where an address of TCP is.
pub fn place(address: &str) -> SocketAddr {
    address.strip_prefix("tcp://").unwrap().parse().unwrap()
}

pub fn is_reset(error: &io::Error) -> bool {
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
