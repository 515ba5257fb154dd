//! `Socket` against real sockets of the system.

use std::net::TcpListener;
use std::thread::sleep;

use super::*;
use crate::net::socket::{interests, update_interest};

/// A `Socket` and its peer, which is blocking.
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
    let (mut got, mut buffer) = (Vec::new(), [0; 64]);
    loop {
        match socket.read(&mut buffer) {
            Ok(0) => return Ok(got),
            Ok(bytes) => got.extend(&buffer[..bytes]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                sleep(Duration::from_millis(1));
            }
            Err(error) => return Err(error),
        }
    }
}

#[test]
fn a_half_closed_socket_still_reads_the_other_direction() {
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
fn a_tcp_socket_that_is_connected_to_itself_was_refused() {
    // The same happens when the system chooses the target's port for the client end.
    let plain = bound();
    plain.connect(&plain.local_addr().unwrap()).unwrap();
    plain.set_nonblocking(true).unwrap();
    let mut socket = Socket::Tcp(TcpStream::from_std(plain.into()));
    assert_eq!(socket.peer().unwrap(), socket.local().unwrap());
    let fault = SysError::from(&socket.is_connected().unwrap_err());
    assert_eq!(fault, SysError::SELF_CONNECT);
}

#[test]
fn a_refused_connection_returns_its_error_once_the_attempt_has_failed() {
    // Bound, so that no other process can use the port, and not listening.
    let not_listening = bound();
    let vacant = not_listening.local_addr().unwrap().as_socket().unwrap();
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
fn a_connection_that_is_not_answered_is_not_connected_and_has_not_failed() {
    let listener = bound();
    listener.listen(0).unwrap();
    let full = SocketAddress::Inet(listener.local_addr().unwrap().as_socket().unwrap());
    // The kernel completes one connection beyond the backlog, and does not answer the others.
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
fn a_connected_socket_has_nodelay_set_and_knows_both_addresses() {
    let (socket, peer) = pair();
    let Socket::Tcp(stream) = &socket else { panic!("not TCP") };
    assert!(stream.nodelay().unwrap());
    assert_eq!(socket.peer().unwrap(), Peer::Inet(peer.local_addr().unwrap()));
    assert_eq!(socket.local().unwrap(), Peer::Inet(peer.peer_addr().unwrap()));
}

#[test]
fn urgent_data_is_requested_wherever_a_short_read_is_trusted() {
    let (socket, _peer) = pair();
    assert_eq!(socket.short_read_drains(), EPOLL);
    #[cfg(target_os = "linux")]
    assert_eq!(interests(&socket).is_priority(), EPOLL);
    assert!(interests(&socket).is_readable() && interests(&socket).is_writable());
}

#[test]
fn a_socket_with_reading_off_is_not_reported_readable_until_it_is_on_again() {
    let ((mut socket, mut peer), token) = (pair(), mio::Token(0));
    let (mut poll, mut events) = (mio::Poll::new().unwrap(), mio::Events::with_capacity(8));
    let all = interests(&socket);
    poll.registry().register(socket.source(), token, all).unwrap();
    update_interest(&mut socket, poll.registry(), token, true).unwrap();
    let mut reported = |poll: &mut mio::Poll| {
        poll.poll(&mut events, Some(Duration::from_millis(50))).unwrap();
        events.iter().map(|event| event.is_readable()).collect::<Vec<_>>()
    };
    assert_eq!(reported(&mut poll), [false], "only writable");
    peer.write_all(b"something").unwrap();
    assert!(reported(&mut poll).is_empty());
    update_interest(&mut socket, poll.registry(), token, false).unwrap();
    assert_eq!(reported(&mut poll), [true]);
}

#[cfg(unix)]
#[test]
fn a_short_read_of_a_unix_socket_proves_nothing_and_its_close_is_no_reset() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let mut socket = Socket::Unix(ours);
    assert!(!socket.short_read_drains());
    assert!(socket.is_connected().unwrap());
    assert_eq!(socket.peer().unwrap(), Peer::Unix(None));
    (&theirs).write_all(b"last bytes").unwrap();
    socket.reset_on_drop();
    drop(theirs);
    assert_eq!(read_all(&mut socket).unwrap(), b"last bytes");
}
