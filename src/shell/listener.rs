//! Listeners: sockets that take connections, and what an error of accept means.

use std::io;

use mio::event::Source;
use mio::net::TcpListener;
#[cfg(unix)]
use mio::net::UnixListener;

use crate::core::{Peer, SysError};
use crate::plan::{Address, Listen};

use super::address::inet_peer;
#[cfg(unix)]
use super::address::unix_peer;
use super::bind::{self, BACKLOG, Bound, CannotListen};
use super::socket::Socket;
#[cfg(unix)]
use super::socket_file::SocketFile;

/// A socket that takes connections at one address. A Unix socket's file goes away with it.
#[derive(Debug)]
pub struct Listener {
    /// Dropped before the door, as it wants to be.
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

/// What came of one call of accept.
#[derive(Debug)]
pub enum AcceptResult {
    /// A connection, and who it is from.
    Accepted(Socket, Peer),
    /// That one is lost; the next may wait already.
    Retry(SysError),
    /// Nobody waits. The system announces the next one.
    WouldBlock,
    /// We ran out of something. Those who wait are not announced again: try anew when a connection
    /// has closed, or a while later.
    Pause(SysError),
}

impl Listener {
    /// Binds all that an address of the plan stands for, or nothing: a name may have several
    /// addresses.
    pub fn bind(listen: &Listen) -> Result<Vec<Listener>, CannotListen> {
        let backlog = listen.options.backlog.unwrap_or(BACKLOG) as usize;
        let bound = bind::bind(listen)?.into_iter();
        Ok(bound.map(|bound| Listener::new(bound, backlog)).collect())
    }

    /// What is really bound, in the canonical form: port 0 has become a number, a name an address.
    pub fn address(&self) -> &str {
        &self.text
    }

    /// The same, to compare with.
    pub fn at(&self) -> &Address {
        &self.address
    }

    /// Maximum connections its accept queue was asked to hold; the system may hold fewer.
    pub fn backlog(&self) -> usize {
        self.backlog
    }

    /// What an operator should know about how it was bound.
    pub fn warning(&self) -> Option<&str> {
        self.warning.as_deref()
    }

    pub fn accept(&self) -> AcceptResult {
        let taken = match &self.socket {
            ListenerSocket::Tcp(socket) => {
                socket.accept().map(|(stream, from)| (Socket::Tcp(stream), inet_peer(from)))
            }
            #[cfg(unix)]
            ListenerSocket::Unix(socket) => {
                socket.accept().map(|(stream, from)| (Socket::Unix(stream), unix_peer(&from)))
            }
        };
        match taken {
            Ok((socket, peer)) => {
                if !cfg!(target_os = "linux") {
                    // There it was set once, on the listener.
                    socket.set_nodelay();
                }
                AcceptResult::Accepted(socket, peer)
            }
            Err(error) => judge(&error),
        }
    }

    /// What the poll is to watch.
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

/// What an error of accept means. Only errors that are known to concern one connection are
/// followed by the next call at once. Whatever is unknown might come again and again: it pauses,
/// so that it can neither end the loop nor make it spin.
pub fn judge(error: &io::Error) -> AcceptResult {
    use io::ErrorKind::*;
    let fault = SysError::from(error);
    match error.kind() {
        WouldBlock => AcceptResult::WouldBlock,
        // Linux reports what has already happened to a waiting connection as an error of accept.
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
    use crate::shell::{SocketAddress, connect};

    fn listener(text: &str) -> Listener {
        Listener::bind(&text.parse().unwrap()).unwrap().remove(0)
    }

    /// Waits for the kernel to hand over a connection that has been begun.
    fn take(listener: &Listener) -> (Socket, Peer) {
        loop {
            match listener.accept() {
                AcceptResult::Accepted(socket, peer) => return (socket, peer),
                AcceptResult::WouldBlock => std::thread::yield_now(),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn a_connection_is_taken_with_its_peer_and_then_nobody_waits() {
        let listener = listener("127.0.0.1:0");
        assert!(matches!(listener.accept(), AcceptResult::WouldBlock));
        let address = listener.address().strip_prefix("tcp://").unwrap();
        let client = std::net::TcpStream::connect(address).unwrap();
        let (socket, peer) = take(&listener);
        assert_eq!(peer, Peer::Inet(client.local_addr().unwrap()));
        let Socket::Tcp(stream) = &socket else { panic!("not TCP") };
        assert!(stream.nodelay().unwrap());
        assert!(matches!(listener.accept(), AcceptResult::WouldBlock));
    }

    #[test]
    fn an_ipv4_client_of_a_socket_for_both_families_is_shown_as_what_it_is() {
        let listener = listener(":0");
        let client = std::net::TcpStream::connect(("127.0.0.1", listener.at().port().unwrap()));
        assert_eq!(take(&listener).1, Peer::Inet(client.unwrap().local_addr().unwrap()));
    }

    #[test]
    fn a_burst_of_connections_waits_in_the_backlog() {
        let listener = listener("127.0.0.1:0");
        let address = listener.address().strip_prefix("tcp://").unwrap().parse().unwrap();
        let address = SocketAddress::Inet(address);
        let mut clients: Vec<Socket> = (0..200).map(|_| connect(&address).unwrap()).collect();
        // A client beyond the backlog would be connected after a second at the earliest.
        let start = std::time::Instant::now();
        while !clients.iter_mut().all(|client| client.is_connected().unwrap()) {
            assert!(start.elapsed().as_secs() < 60, "not all were connected");
        }
        clients.iter().for_each(|_| drop(take(&listener)));
        assert!(matches!(listener.accept(), AcceptResult::WouldBlock));
    }

    #[cfg(unix)]
    #[test]
    fn a_unix_listener_takes_connections_and_its_file_goes_away_with_it() {
        let scratch = crate::shell::scratch::Scratch::new("listener");
        let path = scratch.path("x.sock");
        let listener = listener(&format!("unix:{}", path.display()));
        assert_eq!(listener.address(), format!("unix:{}", path.display()));
        let _client = std::os::unix::net::UnixStream::connect(&path).unwrap();
        let (socket, peer) = take(&listener);
        assert_eq!(peer, Peer::Unix(None));
        assert_eq!(socket.local().unwrap(), Peer::Unix(Some(path.display().to_string())));
        drop(listener);
        assert!(!path.exists());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn every_error_of_accept_has_one_of_three_fates() {
        let fate = |code: i32| match judge(&io::Error::from_raw_os_error(code)) {
            AcceptResult::Accepted(..) => "taken",
            AcceptResult::Retry(fault) => {
                assert_eq!(fault.code, Some(code));
                "retry"
            }
            AcceptResult::WouldBlock => "rest",
            AcceptResult::Pause(_) => "pause",
        };
        use libc::*;
        let table: [(&str, &[i32]); 3] = [
            ("rest", &[EAGAIN, EWOULDBLOCK]),
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
            // The last three should not happen, and must not spin if they do.
            ("pause", &[EMFILE, ENFILE, ENOBUFS, ENOMEM, EPERM, ENOSR, EINVAL, EBADF, 4095]),
        ];
        for (expected, codes) in table {
            for &code in codes {
                assert_eq!(fate(code), expected, "{}", io::Error::from_raw_os_error(code));
            }
        }
    }
}
