//! A socket of `Datagrams`, of a listener or of a flow, with its registration and its use of GRO
//! and GSO.

use std::io;

use mio::{Interest, Registry, Token};

use crate::core::Key;
use crate::net::datagram_socket::DatagramSocket;
use crate::net::recv_batch::{RecvBatch, Segments, Wanted};
use crate::net::remote::Remote;

#[derive(Debug)]
pub(super) struct DatagramPort {
    pub socket: DatagramSocket,
    /// It may be readable, and is in the run queue.
    pub queued: bool,
    /// What is requested with each receive call.
    wanted: Wanted,
    /// GRO was enabled, because datagrams have come in that looked like a train.
    gro_enabled: bool,
    /// Smallest segment size in bytes that was refused: trains of such segments are sent one by
    /// one.
    refused: usize,
}

/// Maximum size of a train, in segments and in bytes, that every kernel with GSO accepts.
const GSO_SEGMENTS: usize = 64;
const GSO_BYTES: usize = 65_507;

/// Whether a receive call that leaves slots free shows that the socket is drained. With poll(2),
/// mio reports a socket again only after a call on it has returned `WouldBlock`.
const SHORT_IS_DRAINED: bool = !cfg!(mio_unsupported_force_poll_poll);

impl DatagramPort {
    pub fn new(socket: DatagramSocket, wanted: Wanted) -> DatagramPort {
        let refused = if socket.supports_batches() { usize::MAX } else { 0 };
        DatagramPort { socket, queued: false, wanted, gro_enabled: false, refused }
    }

    /// Replaces the socket by another one that is connected. It stays in the run queue.
    pub fn replace_socket(&mut self, socket: DatagramSocket) {
        *self = DatagramPort { queued: self.queued, ..DatagramPort::new(socket, Wanted::Nothing) };
    }

    /// Registers the socket for reading alone: a datagram that cannot be sent at once is dropped.
    pub fn register(&mut self, key: Key, registry: &Registry) -> io::Result<()> {
        registry.register(self.socket.source(), Token(key.to_token()), Interest::READABLE)
    }

    /// Registers the socket again.
    pub fn reregister(&mut self, key: Key, registry: &Registry) -> io::Result<()> {
        self.deregister_socket(registry);
        self.register(key, registry)
    }

    /// Deregisters the socket. It may be deregistered already, so errors are ignored.
    pub fn deregister_socket(&mut self, registry: &Registry) {
        let _ = registry.deregister(self.socket.source());
    }

    /// Receives with one call. Returns true if the socket is drained, so that the next datagram is
    /// reported by an event.
    pub fn receive(&mut self, batch: &mut RecvBatch) -> io::Result<bool> {
        let is_drained = self.socket.receive(self.wanted, batch)?;
        // Not enabled from the start: without trains, GRO makes each call dearer for nothing.
        if !self.gro_enabled && batch.looks_segmented() {
            self.gro_enabled = true;
            self.wanted = self.socket.enable_gro().unwrap_or(self.wanted);
        }
        Ok(is_drained && SHORT_IS_DRAINED)
    }

    /// Sends as much of a train as one call takes: to `to`, or to the connected remote. Returns
    /// that part and the result.
    pub fn send<'a>(
        &mut self,
        segments: Segments<'a>,
        to: Option<&Remote>,
    ) -> (Segments<'a>, io::Result<()>) {
        self.send_up_to(self.sendable(segments), segments, to)
    }

    /// Sends one datagram to `to`.
    pub fn send_one(&self, datagram: &[u8], to: &Remote) -> io::Result<()> {
        self.call(Segments::one(datagram), Some(to))
    }

    /// Sends the first `number` datagrams of a train. If GSO refuses them, it sends the first
    /// alone, and later calls do not try GSO with this segment size again.
    fn send_up_to<'a>(
        &mut self,
        number: usize,
        segments: Segments<'a>,
        to: Option<&Remote>,
    ) -> (Segments<'a>, io::Result<()>) {
        let head = segments.part(0..number);
        match self.call(head, to) {
            Err(error) if number > 1 && is_gso_error(&error) => {
                self.refused = segments.segment_size();
                let first = segments.part(0..1);
                (first, self.call(first, to))
            }
            done => (head, done),
        }
    }

    fn call(&self, segments: Segments<'_>, to: Option<&Remote>) -> io::Result<()> {
        match to {
            Some(to) => self.socket.send_to(segments, to),
            None => self.socket.send_segments(segments),
        }
    }

    /// Number of datagrams of this train that one call may send.
    fn sendable(&self, segments: Segments<'_>) -> usize {
        match segments.len() {
            1 => 1,
            _ if segments.segment_size() >= self.refused => 1,
            all if all <= GSO_SEGMENTS && segments.bytes().len() <= GSO_BYTES => all,
            _ => GSO_SEGMENTS.min(GSO_BYTES / segments.segment_size()).max(1),
        }
    }
}

/// Whether GSO was refused: the segments exceed the path MTU, or the route has no support for it.
#[cfg(target_os = "linux")]
fn is_gso_error(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EINVAL | libc::EIO | libc::EMSGSIZE))
}

#[cfg(not(target_os = "linux"))]
fn is_gso_error(_: &io::Error) -> bool {
    false
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    /// A port that is connected to this socket.
    fn port(to: &UdpSocket) -> DatagramPort {
        let to = Remote::Inet(to.local_addr().expect("an address"), None);
        DatagramPort::new(DatagramSocket::connected(&to).expect("a socket"), Wanted::Nothing)
    }

    fn home() -> UdpSocket {
        let home = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        let patience = std::time::Duration::from_secs(20);
        home.set_read_timeout(Some(patience)).expect("a limit");
        home
    }

    #[test]
    fn a_train_is_as_long_as_one_call_may_take() {
        let port = port(&home());
        let buffer = vec![0; 70_000];
        for (bytes, each, longest) in [
            (0, 1, 1),
            (100, 100, 1),
            (101, 100, 2),
            (64, 1, 64),
            (65, 1, 64),
            (70_000, 1_200, 54),
            (70_000, 1_024, 63),
            (70_000, 32_754, 1),
            (70_000, 65_507, 1),
            (65_507, 32_753, 3),
            (65_507, 1_024, 64),
            (65_508, 1_024, 63),
        ] {
            let segments = Segments::new(&buffer[..bytes], each);
            assert_eq!(port.sendable(segments), longest, "{bytes} bytes, {each} each");
        }
    }

    #[test]
    fn a_refused_train_goes_one_by_one_and_longer_ones_are_not_tried_again() {
        let home = home();
        let mut port = port(&home);
        let bytes: Vec<u8> = (0..=255).collect();
        // No system accepts that many segments.
        let (part, sent) = port.send_up_to(256, Segments::new(&bytes, 1), None);
        sent.unwrap();
        assert_eq!(part.bytes(), &bytes[..1]);
        let (part, sent) = port.send(Segments::new(&bytes[1..], 1), None);
        sent.unwrap();
        assert_eq!(part.bytes(), &bytes[1..2], "it is remembered");
        let mut buffer = [0; 9];
        for number in 0..2 {
            assert_eq!((home.recv(&mut buffer).unwrap(), buffer[0]), (1, number));
        }
    }

    #[test]
    fn each_error_that_refuses_gso_is_recognised() {
        for (number, is_known) in [
            (libc::EINVAL, true),
            (libc::EIO, true),
            (libc::EMSGSIZE, true),
            (libc::EAGAIN, false),
            (libc::ECONNREFUSED, false),
            (libc::ENOBUFS, false),
        ] {
            let error = io::Error::from_raw_os_error(number);
            assert_eq!(is_gso_error(&error), is_known, "{error}");
        }
    }

    #[test]
    fn nothing_of_a_train_is_lost_whether_it_goes_in_parts_or_one_by_one() {
        let bytes: Vec<u8> = (0..70_000).map(|at| (at % 251) as u8).collect();
        for (refused, calls) in [(usize::MAX, 2), (1_200, 59)] {
            let home = home();
            let mut port = port(&home);
            port.refused = refused;
            let (mut segments, mut made) = (Segments::new(&bytes, 1_200), 0);
            while !segments.is_empty() {
                let (part, sent) = port.send(segments, None);
                sent.unwrap();
                (segments, made) = (segments.after(part.len()), made + 1);
            }
            assert_eq!(made, calls);
            let mut buffer = [0; 2_000];
            for datagram in bytes.chunks(1_200) {
                let length = home.recv(&mut buffer).unwrap();
                assert_eq!(&buffer[..length], datagram);
            }
        }
    }

    #[test]
    fn shorter_ones_than_those_refused_go_as_one() {
        let home = home();
        let mut port = port(&home);
        port.refused = 100;
        for (each, number) in [(99, 3), (100, 1), (101, 1)] {
            let (part, sent) = port.send(Segments::new(&[7; 250], each), None);
            sent.unwrap();
            assert_eq!(part.len(), number, "{each} each");
        }
    }

    #[test]
    fn a_unix_socket_takes_no_trains() {
        let (ours, _theirs) = std::os::unix::net::UnixDatagram::pair().unwrap();
        let ours = mio::net::UnixDatagram::from_std(ours);
        let mut port = DatagramPort::new(DatagramSocket::Unix(ours), Wanted::Nothing);
        let (part, sent) = port.send(Segments::new(b"abc", 1), None);
        sent.unwrap();
        assert_eq!(part.bytes(), b"a");
    }
}
