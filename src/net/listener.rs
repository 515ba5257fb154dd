//! A listening socket, and the classification of `accept` errors.

use std::io;

use mio::event::Source;
use mio::net::TcpListener;
#[cfg(unix)]
use mio::net::UnixListener;
use socket2::SockRef;

use crate::config::{Address, Listen};
use crate::core::{Peer, SysError};

use super::address::inet_peer;
#[cfg(unix)]
use super::address::unix_peer;
use super::bind::{self, BACKLOG, Bound, CannotListen, ListenNames};
use super::socket::Socket;
#[cfg(unix)]
use super::socket_file::SocketFile;
use super::tcp_info::{self, AcceptQueue};

/// A listening socket at one address. Dropping it removes the file of a Unix socket.
#[derive(Debug)]
pub struct Listener {
    /// Declared first: the file must be removed before the socket is closed.
    #[cfg(unix)]
    _file: Option<SocketFile>,
    socket: ListenerSocket,
    address: Address,
    text: String,
    backlog: usize,
    warning: Option<String>,
}

#[derive(Debug)]
enum ListenerSocket {
    Tcp(TcpListener),
    #[cfg(unix)]
    Unix(UnixListener),
}

/// The result of one `accept` call.
#[derive(Debug)]
pub enum AcceptResult {
    /// A connection and its peer.
    Accepted(Socket, Peer),
    /// This connection is lost. The next one may be pending already.
    Retry(SysError),
    /// The accept queue is empty. An event reports the next connection.
    WouldBlock,
    /// The system is out of a resource. Pending connections are not reported again, so accept must
    /// be retried after a connection closes, or after a while.
    Pause(SysError),
}

impl Listener {
    /// Binds every address that `listen` resolves to, or none: a name may have several. It blocks
    /// while a name is resolved, so it must be called before the loop starts.
    pub fn bind(listen: &Listen) -> Result<Vec<Listener>, CannotListen> {
        Listener::bind_known(listen, &ListenNames::resolve([listen]))
    }

    /// Binds every address of `listen`, whose name was resolved.
    pub fn bind_known(listen: &Listen, names: &ListenNames) -> Result<Vec<Listener>, CannotListen> {
        let backlog = listen.options.backlog.unwrap_or(BACKLOG) as usize;
        let bound = bind::bind(listen, names)?.into_iter();
        Ok(bound.map(|bound| Listener::new(bound, backlog)).collect())
    }

    /// The bound address in canonical form: port 0 and names are resolved.
    pub fn address(&self) -> &str {
        &self.text
    }

    /// The bound address.
    pub fn at(&self) -> &Address {
        &self.address
    }

    /// Requested length of the accept queue. The system may allow fewer.
    pub fn backlog(&self) -> usize {
        self.backlog
    }

    /// Changes the requested length of the accept queue. Windows keeps the one that was requested
    /// first. The call cannot fail on a socket that is listening already.
    pub fn set_backlog(&mut self, backlog: Option<u32>) {
        let backlog = backlog.unwrap_or(BACKLOG);
        let queue = i32::try_from(backlog).unwrap_or(i32::MAX);
        let _ = match &self.socket {
            ListenerSocket::Tcp(socket) => SockRef::from(socket).listen(queue),
            #[cfg(unix)]
            ListenerSocket::Unix(socket) => SockRef::from(socket).listen(queue),
        };
        self.backlog = backlog as usize;
    }

    /// A warning for the operator about how it was bound.
    pub fn warning(&self) -> Option<&str> {
        self.warning.as_deref()
    }

    /// The accept queue. None for Unix sockets, and where the system does not report it.
    pub fn accept_queue(&self) -> Option<AcceptQueue> {
        match &self.socket {
            ListenerSocket::Tcp(socket) => tcp_info::accept_queue(socket),
            #[cfg(unix)]
            ListenerSocket::Unix(_) => None,
        }
    }

    /// Accepts one connection.
    pub fn accept(&self) -> AcceptResult {
        let accepted = match &self.socket {
            ListenerSocket::Tcp(socket) => {
                socket.accept().map(|(stream, from)| (Socket::Tcp(stream), inet_peer(from)))
            }
            #[cfg(unix)]
            ListenerSocket::Unix(socket) => {
                socket.accept().map(|(stream, from)| (Socket::Unix(stream), unix_peer(&from)))
            }
        };
        match accepted {
            Ok((socket, peer)) => {
                if !cfg!(target_os = "linux") {
                    // On Linux, accepted sockets inherit it from the listener.
                    socket.set_nodelay();
                }
                AcceptResult::Accepted(socket, peer)
            }
            Err(error) => classify(&error),
        }
    }

    /// The event source to register.
    pub fn source(&mut self) -> &mut dyn Source {
        match &mut self.socket {
            ListenerSocket::Tcp(socket) => socket,
            #[cfg(unix)]
            ListenerSocket::Unix(socket) => socket,
        }
    }
}

impl Listener {
    fn new(bound: Bound, backlog: usize) -> Listener {
        let warning = bound.warning();
        let socket = match &bound.address {
            #[cfg(unix)]
            Address::Unix(_) => ListenerSocket::Unix(UnixListener::from_std(bound.socket.into())),
            _ => ListenerSocket::Tcp(TcpListener::from_std(bound.socket.into())),
        };
        Listener {
            #[cfg(unix)]
            _file: bound.file,
            socket,
            text: bound.address.to_string(),
            address: bound.address,
            backlog,
            warning,
        }
    }
}

/// Classifies an `accept` error. Only errors known to concern one connection are retried at once.
/// An unknown error may be permanent, so it pauses the listener: it must neither end the loop nor
/// make it spin.
pub fn classify(error: &io::Error) -> AcceptResult {
    use io::ErrorKind::*;
    let fault = SysError::from(error);
    match error.kind() {
        WouldBlock => AcceptResult::WouldBlock,
        // On Linux, `accept` returns the pending errors of the connection in the queue.
        Interrupted | ConnectionAborted | ConnectionReset | TimedOut | NetworkDown
        | NetworkUnreachable | HostUnreachable => AcceptResult::Retry(fault),
        _ if error.raw_os_error().is_some_and(is_of_one_connection) => AcceptResult::Retry(fault),
        _ => AcceptResult::Pause(fault),
    }
}

#[cfg(unix)]
fn is_of_one_connection(code: i32) -> bool {
    #[cfg(target_os = "linux")]
    if code == libc::ENONET {
        return true;
    }
    [libc::EPROTO, libc::ENOPROTOOPT, libc::EHOSTDOWN].contains(&code)
}

#[cfg(not(unix))]
fn is_of_one_connection(_: i32) -> bool {
    false
}

#[cfg(test)]
#[cfg_attr(not(unix), allow(irrefutable_let_patterns))]
mod tests {
    use super::*;
    use crate::core::end::Stream;
    use crate::net::{SocketAddress, connect};

    fn listener(text: &str) -> Listener {
        Listener::bind(&text.parse().unwrap()).unwrap().remove(0)
    }

    /// Waits until a connection can be accepted.
    fn accept_next(listener: &Listener) -> (Socket, Peer) {
        loop {
            match listener.accept() {
                AcceptResult::Accepted(socket, peer) => return (socket, peer),
                AcceptResult::WouldBlock => std::thread::yield_now(),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn a_connection_is_accepted_with_its_peer_and_then_the_queue_is_empty() {
        let listener = listener("127.0.0.1:0");
        assert!(matches!(listener.accept(), AcceptResult::WouldBlock));
        let address = listener.address().strip_prefix("tcp://").unwrap();
        let client = std::net::TcpStream::connect(address).unwrap();
        let (socket, peer) = accept_next(&listener);
        assert_eq!(peer, Peer::Inet(client.local_addr().unwrap()));
        let Socket::Tcp(stream) = &socket else { panic!("not TCP") };
        assert!(stream.nodelay().unwrap());
        assert!(matches!(listener.accept(), AcceptResult::WouldBlock));
    }

    #[test]
    fn the_ipv4_peer_of_a_dual_stack_socket_has_an_ipv4_address() {
        let listener = listener(":0");
        let client = std::net::TcpStream::connect(("127.0.0.1", listener.at().port().unwrap()));
        assert_eq!(accept_next(&listener).1, Peer::Inet(client.unwrap().local_addr().unwrap()));
    }

    #[test]
    fn a_burst_of_connections_waits_in_the_backlog() {
        let listener = listener("127.0.0.1:0");
        let address = listener.address().strip_prefix("tcp://").unwrap().parse().unwrap();
        let address = SocketAddress::Inet(address);
        let mut clients: Vec<Socket> = (0..200).map(|_| connect(&address).unwrap()).collect();
        // A client beyond the backlog is connected after a second at the earliest.
        let start = std::time::Instant::now();
        while !clients.iter_mut().all(|client| client.is_connected().unwrap()) {
            assert!(start.elapsed().as_secs() < 60, "not all were connected");
        }
        clients.iter().for_each(|_| drop(accept_next(&listener)));
        assert!(matches!(listener.accept(), AcceptResult::WouldBlock));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_accept_queue_has_the_connections_that_wait_and_its_limit() {
        let mut listener = listener("127.0.0.1:0,backlog=7");
        let address = listener.address().strip_prefix("tcp://").unwrap().to_string();
        let queue = |waiting, limit| Some(AcceptQueue { waiting, limit });
        assert_eq!(listener.accept_queue(), queue(0, 7));
        let _clients = [(); 3].map(|()| std::net::TcpStream::connect(&address).unwrap());
        let start = std::time::Instant::now();
        while listener.accept_queue() != queue(3, 7) {
            assert!(start.elapsed().as_secs() < 60, "{:?}", listener.accept_queue());
        }
        drop(accept_next(&listener));
        listener.set_backlog(Some(9));
        assert_eq!(listener.accept_queue(), queue(2, 9));
        let scratch = crate::net::scratch::Scratch::new("accept-queue");
        let unix = format!("unix:{}", scratch.path("x.sock").display());
        assert_eq!(self::listener(&unix).accept_queue(), None);
    }

    #[cfg(unix)]
    #[test]
    fn a_unix_listener_accepts_connections_and_removes_its_file_when_dropped() {
        let scratch = crate::net::scratch::Scratch::new("listener");
        let path = scratch.path("x.sock");
        let listener = listener(&format!("unix:{}", path.display()));
        assert_eq!(listener.address(), format!("unix:{}", path.display()));
        let _client = std::os::unix::net::UnixStream::connect(&path).unwrap();
        let (socket, peer) = accept_next(&listener);
        assert_eq!(peer, Peer::Unix(None));
        assert_eq!(socket.local().unwrap(), Peer::Unix(Some(path.display().to_string())));
        drop(listener);
        assert!(!path.exists());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn every_error_of_accept_has_one_of_three_fates() {
        let class = |code: i32| match classify(&io::Error::from_raw_os_error(code)) {
            AcceptResult::Accepted(..) => "accepted",
            AcceptResult::Retry(fault) => {
                assert_eq!(fault.code, Some(code));
                "retry"
            }
            AcceptResult::WouldBlock => "would block",
            AcceptResult::Pause(_) => "pause",
        };
        use libc::*;
        let table: [(&str, &[i32]); 3] = [
            ("would block", &[EAGAIN, EWOULDBLOCK]),
            (
                "retry",
                &[
                    EINTR,
                    ECONNABORTED,
                    ECONNRESET,
                    EPROTO,
                    ENOPROTOOPT,
                    ENETDOWN,
                    ENETUNREACH,
                    EHOSTDOWN,
                    EHOSTUNREACH,
                    ENONET,
                    ETIMEDOUT,
                ],
            ),
            // The last three should not occur, and must not make the loop spin if they do.
            ("pause", &[EMFILE, ENFILE, ENOBUFS, ENOMEM, EPERM, ENOSR, EINVAL, EBADF, 4095]),
        ];
        for (expected, codes) in table {
            for &code in codes {
                assert_eq!(class(code), expected, "{}", io::Error::from_raw_os_error(code));
            }
        }
    }
}
