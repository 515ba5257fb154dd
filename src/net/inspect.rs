//! What the kernel knows about an open socket besides its bytes: how many wait in the receive
//! queue, and which user is at the other end.

use super::socket::Socket;

/// Bytes in the receive queue of a socket. None where the system does not report it, and for
/// standard input.
#[cfg(unix)]
pub fn receive_queue(socket: &Socket) -> Option<usize> {
    let bytes = match socket {
        Socket::Tcp(stream) => rustix::io::ioctl_fionread(stream),
        Socket::Unix(stream) => rustix::io::ioctl_fionread(stream),
        Socket::Stdio(_) => return None,
    };
    bytes.ok().and_then(|bytes| bytes.try_into().ok())
}

#[cfg(not(unix))]
pub fn receive_queue(_: &Socket) -> Option<usize> {
    None
}

/// The user who connected a Unix socket, or who accepted the connection. None for other sockets,
/// and where the system does not report it.
#[cfg(any(target_os = "linux", target_os = "freebsd", target_vendor = "apple"))]
pub fn peer_uid(socket: &Socket) -> Option<u32> {
    use nix::sys::socket::{GetSockOpt, sockopt};

    let Socket::Unix(stream) = socket else { return None };
    #[cfg(target_os = "linux")]
    let credentials = sockopt::PeerCredentials;
    #[cfg(not(target_os = "linux"))]
    let credentials = sockopt::LocalPeerCred;
    credentials.get(stream).ok().map(|credentials| credentials.uid())
}

#[cfg(not(any(target_os = "linux", target_os = "freebsd", target_vendor = "apple")))]
pub fn peer_uid(_: &Socket) -> Option<u32> {
    None
}

/// Whether the peer of a Unix socket is the user of this process, or root.
#[cfg(unix)]
pub fn peer_is_trusted(socket: &Socket) -> bool {
    is_trusted(peer_uid(socket), rustix::process::geteuid().as_raw())
}

/// Whether a peer with this user, if it is known, is trusted by a process of the user `own`.
#[cfg(unix)]
fn is_trusted(peer: Option<u32>, own: u32) -> bool {
    const ROOT: u32 = 0;
    peer.is_some_and(|uid| uid == own || uid == ROOT)
}

#[cfg(not(unix))]
pub fn peer_is_trusted(_: &Socket) -> bool {
    false
}

#[cfg(target_os = "linux")]
#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    fn tcp() -> (std::net::TcpStream, Socket) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, _) = listener.accept().unwrap();
        (client, Socket::Tcp(mio::net::TcpStream::from_std(server)))
    }

    fn unix() -> (std::os::unix::net::UnixStream, Socket) {
        let (one, other) = std::os::unix::net::UnixStream::pair().unwrap();
        (one, Socket::Unix(mio::net::UnixStream::from_std(other)))
    }

    /// Waits until the receive queue has this length. Fails after much longer than that takes.
    fn wait_for(socket: &Socket, bytes: usize) {
        let start = std::time::Instant::now();
        while receive_queue(socket) != Some(bytes) {
            assert!(start.elapsed().as_secs() < 60, "{:?}", receive_queue(socket));
        }
    }

    #[test]
    fn the_receive_queue_has_the_bytes_that_were_not_read() {
        let (mut client, mut socket) = tcp();
        wait_for(&socket, 0);
        client.write_all(b"hello").unwrap();
        wait_for(&socket, 5);
        let Socket::Tcp(stream) = &mut socket else { panic!("not TCP") };
        stream.read_exact(&mut [0; 2]).unwrap();
        wait_for(&socket, 3);
        let (mut client, socket) = unix();
        client.write_all(b"hello").unwrap();
        wait_for(&socket, 5);
    }

    #[test]
    fn the_peer_of_a_unix_socket_is_this_user_and_tcp_has_no_user() {
        let (_client, socket) = unix();
        assert_eq!(peer_uid(&socket), Some(rustix::process::geteuid().as_raw()));
        assert!(peer_is_trusted(&socket));
        let (_client, socket) = tcp();
        assert_eq!(peer_uid(&socket), None);
        assert!(!peer_is_trusted(&socket));
    }

    #[test]
    fn the_same_user_and_root_are_trusted() {
        let peers = [Some(0), Some(1000), Some(1001), None];
        assert_eq!(peers.map(|peer| is_trusted(peer, 1000)), [true, true, false, false]);
        assert_eq!(peers.map(|peer| is_trusted(peer, 0)), [true, false, false, false]);
    }
}
