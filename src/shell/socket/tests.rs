//! A socket of ours against a real one of the system.

use std::net::TcpListener;
use std::thread::sleep;

use super::*;
use crate::shell::interests::{interests, update_interest};

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
fn a_tcp_socket_that_is_connected_to_itself_was_refused() {
    // What the system does when it chooses the target's port for our end, done by hand.
    let plain = bound();
    plain.connect(&plain.local_addr().unwrap()).unwrap();
    plain.set_nonblocking(true).unwrap();
    let mut socket = Socket::Tcp(TcpStream::from_std(plain.into()));
    assert_eq!(socket.peer().unwrap(), socket.local().unwrap());
    let fault = SysError::from(&socket.is_connected().unwrap_err());
    assert_eq!(fault, SysError::SELF_CONNECT);
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
    update_interest(&mut socket, poll.registry(), token, true).unwrap();
    let mut named = |poll: &mut mio::Poll| {
        poll.poll(&mut events, Some(Duration::from_millis(50))).unwrap();
        events.iter().map(|event| event.is_readable()).collect::<Vec<_>>()
    };
    assert_eq!(named(&mut poll), [false], "there is room to write");
    peer.write_all(b"something").unwrap();
    assert!(named(&mut poll).is_empty());
    update_interest(&mut socket, poll.registry(), token, false).unwrap();
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
