//! Stream sockets: what the core needs of one, for TCP and for Unix, and how to connect one.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::time::Duration;

use mio::event::Source;
use mio::net::TcpStream;
#[cfg(unix)]
use mio::net::UnixStream;
use socket2::SockRef;

use crate::core::{Peer, end::Stream};

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
        let Err(unknown) = self.peer() else { return Ok(true) };
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

fn is_still_connecting(error: &io::Error) -> bool {
    #[cfg(unix)]
    if error.raw_os_error() == Some(libc::EINPROGRESS) {
        return true;
    }
    error.kind() == io::ErrorKind::NotConnected
}

#[cfg(test)]
#[cfg_attr(not(unix), allow(irrefutable_let_patterns))]
mod tests {
    use std::net::TcpListener;
    use std::thread::sleep;

    use super::*;
    use crate::shell::interests::{interests, tune};

    /// A socket of ours, and the peer's side of it, which blocks.
    fn pair() -> (Socket, std::net::TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut socket = connect(&SocketAddress::Inet(listener.local_addr().unwrap())).unwrap();
        let (peer, _) = listener.accept().unwrap();
        assert!(eventually(|| socket.is_connected().unwrap()));
        (socket, peer)
    }

    fn bound() -> socket2::Socket {
        let any: std::net::SocketAddr = "127.0.0.1:0".parse().unwrap();
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
        let socket = socket.unwrap();
        socket.bind(&any.into()).unwrap();
        socket
    }

    fn eventually(mut holds: impl FnMut() -> bool) -> bool {
        (0..10_000).any(|_| {
            sleep(Duration::from_millis(1));
            holds()
        })
    }

    fn read_all(socket: &mut Socket) -> io::Result<Vec<u8>> {
        let (mut got, mut room) = (Vec::new(), [0; 64]);
        loop {
            match socket.read(&mut room) {
                Ok(0) => return Ok(got),
                Ok(bytes) => got.extend(&room[..bytes]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    sleep(Duration::from_millis(1));
                }
                Err(error) => return Err(error),
            }
        }
    }

    #[test]
    fn a_half_closed_socket_still_hears_the_other_direction() {
        let (mut socket, mut peer) = pair();
        assert_eq!(socket.write(b"ask").unwrap(), 3);
        socket.shutdown_write().unwrap();
        let mut asked = Vec::new();
        peer.read_to_end(&mut asked).unwrap();
        assert_eq!(asked, b"ask");
        peer.write_all(b"answer").unwrap();
        drop(peer);
        assert_eq!(read_all(&mut socket).unwrap(), b"answer");
    }

    #[test]
    fn a_refused_connection_tells_its_error_once_connecting_is_decided() {
        // Bound, so that nobody else can have the port, and not listening.
        let deaf = bound();
        let vacant = deaf.local_addr().unwrap().as_socket().unwrap();
        let refused = match connect(&SocketAddress::Inet(vacant)) {
            Err(at_once) => at_once,
            Ok(mut socket) => {
                let mut outcome = Ok(false);
                assert!(eventually(|| {
                    outcome = socket.is_connected();
                    outcome.is_err()
                }));
                outcome.unwrap_err()
            }
        };
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_connection_that_nobody_answers_is_not_connected_and_has_not_failed() {
        let listener = bound();
        listener.listen(0).unwrap();
        let full = SocketAddress::Inet(listener.local_addr().unwrap().as_socket().unwrap());
        // The kernel completes one connection beyond the backlog, and leaves the rest unanswered.
        let mut waiting: Vec<Socket> = (0..4).map(|_| connect(&full).unwrap()).collect();
        sleep(Duration::from_millis(20));
        assert!(!waiting[3].is_connected().unwrap());
    }

    #[test]
    fn a_reset_on_drop_reaches_the_peer_as_a_reset() {
        let (mut socket, mut peer) = pair();
        socket.reset_on_drop();
        drop(socket);
        let error = peer.read(&mut [0; 8]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }

    #[test]
    fn a_connected_socket_sends_at_once_and_knows_both_names() {
        let (socket, peer) = pair();
        let Socket::Tcp(stream) = &socket else { panic!("not TCP") };
        assert!(stream.nodelay().unwrap());
        assert_eq!(socket.peer().unwrap(), Peer::Inet(peer.local_addr().unwrap()));
        assert_eq!(socket.local().unwrap(), Peer::Inet(peer.peer_addr().unwrap()));
    }

    #[test]
    fn urgent_data_is_asked_for_wherever_a_short_read_is_trusted() {
        let (socket, _peer) = pair();
        assert_eq!(socket.short_read_drains(), EPOLL);
        #[cfg(target_os = "linux")]
        assert_eq!(interests(&socket).is_priority(), EPOLL);
        assert!(interests(&socket).is_readable() && interests(&socket).is_writable());
    }

    #[test]
    fn a_muted_socket_is_not_named_for_what_comes_until_it_is_asked_for_again() {
        let ((mut socket, mut peer), token) = (pair(), mio::Token(0));
        let (mut poll, mut events) = (mio::Poll::new().unwrap(), mio::Events::with_capacity(8));
        let all = interests(&socket);
        poll.registry().register(socket.source(), token, all).unwrap();
        tune(&mut socket, poll.registry(), token, true).unwrap();
        let mut named = |poll: &mut mio::Poll| {
            poll.poll(&mut events, Some(Duration::from_millis(50))).unwrap();
            events.iter().map(|event| event.is_readable()).collect::<Vec<_>>()
        };
        assert_eq!(named(&mut poll), [false], "there is room to write");
        peer.write_all(b"something").unwrap();
        assert!(named(&mut poll).is_empty());
        tune(&mut socket, poll.registry(), token, false).unwrap();
        assert_eq!(named(&mut poll), [true]);
    }

    #[cfg(unix)]
    #[test]
    fn a_unix_socket_proves_nothing_by_a_short_read_and_ends_in_order() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let mut socket = Socket::Unix(ours);
        assert!(!socket.short_read_drains());
        assert!(socket.is_connected().unwrap());
        assert_eq!(socket.peer().unwrap(), Peer::Unix(None));
        (&theirs).write_all(b"last words").unwrap();
        socket.reset_on_drop();
        drop(theirs);
        assert_eq!(read_all(&mut socket).unwrap(), b"last words");
    }
}
