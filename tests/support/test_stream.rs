//! One end of a connection, over TCP or a Unix socket: connects, sends, receives, and distinguishes
//! a FIN from a reset.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use socket2::SockRef;

use crate::scratch::Scratch;
use crate::wait::PATIENCE;

/// One end of a connection: a client of the daemon, or the side of a target. Its calls block for at
/// most `PATIENCE`.
#[derive(Debug)]
pub enum TestStream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// How a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Fin,
    Rst,
}

impl TestStream {
    /// Connects to `tcp://127.0.0.1:7` or `unix:/path`.
    pub fn connect(address: &str) -> TestStream {
        TestStream::try_connect(address).unwrap_or_else(|error| panic!("{address}: {error}"))
    }

    pub fn try_connect(address: &str) -> io::Result<TestStream> {
        let stream = match address.strip_prefix("unix:") {
            Some(path) => TestStream::Unix(UnixStream::connect(path)?),
            None => {
                let stream = TcpStream::connect_timeout(&place(address), PATIENCE)?;
                stream.set_nodelay(true)?;
                TestStream::Tcp(stream)
            }
        };
        stream.set_patience(Some(PATIENCE));
        Ok(stream)
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

    /// Receives exactly `length` bytes.
    pub fn get(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.read_exact(&mut bytes).unwrap_or_else(|error| panic!("not received: {error}"));
        bytes
    }

    /// Receives all bytes up to a FIN.
    pub fn rest(&mut self) -> Vec<u8> {
        let (bytes, end) = self.ending();
        assert_eq!(end, End::Fin, "after {} bytes", bytes.len());
        bytes
    }

    /// Receives all bytes, and returns how the stream ended.
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
    /// Returns the address of a Unix socket in the directory.
    pub fn unix(&self, name: &str) -> String {
        format!("unix:{}", self.path(name).display())
    }
}

/// Parses `tcp://IP:PORT`.
pub fn place(address: &str) -> SocketAddr {
    address.strip_prefix("tcp://").unwrap().parse().unwrap()
}

pub fn is_reset(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe)
}

impl AsFd for TestStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            TestStream::Tcp(stream) => stream.as_fd(),
            TestStream::Unix(stream) => stream.as_fd(),
        }
    }
}

impl Read for TestStream {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            TestStream::Tcp(stream) => stream.read(into),
            TestStream::Unix(stream) => stream.read(into),
        }
    }
}

impl Write for TestStream {
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        match self {
            TestStream::Tcp(stream) => stream.write(from),
            TestStream::Unix(stream) => stream.write(from),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
