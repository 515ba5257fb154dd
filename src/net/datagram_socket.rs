//! A datagram socket, UDP or Unix.

use std::io;
use std::net::SocketAddr;

use mio::event::Source;
use mio::net::UdpSocket;
#[cfg(unix)]
use mio::net::UnixDatagram;
use socket2::{Domain, SockAddr, Socket, Type};

#[cfg(unix)]
use super::address::SystemName;
#[cfg(target_os = "linux")]
use super::mmsg;
use super::pktinfo;
#[cfg(not(target_os = "linux"))]
use super::pktinfo::LocalAddr;
use super::recv_batch::{Family, RecvBatch, Segments, Wanted};
use super::remote::Remote;

/// A non-blocking datagram socket. The two kinds differ in the form of their addresses only.
#[derive(Debug)]
pub enum DatagramSocket {
    Udp(UdpSocket),
    #[cfg(unix)]
    Unix(UnixDatagram),
}

impl DatagramSocket {
    /// Creates a socket that is connected to one remote. It is not bound before it is connected, so
    /// it can never receive another host's datagram.
    pub fn connected(to: &Remote) -> io::Result<DatagramSocket> {
        match to {
            Remote::Inet(address, _) => {
                let socket = Socket::new(Domain::for_address(*address), Type::DGRAM, None)?;
                socket.set_nonblocking(true)?;
                socket.connect(&SockAddr::from(*address))?;
                Ok(DatagramSocket::Udp(UdpSocket::from_std(socket.into())))
            }
            #[cfg(unix)]
            Remote::Unix(name) => {
                let socket = Socket::new(Domain::UNIX, Type::DGRAM, None)?;
                socket.set_nonblocking(true)?;
                // An unbound socket cannot receive replies. Linux picks an abstract name for an
                // empty bind address. On other systems the socket can only send.
                #[cfg(target_os = "linux")]
                socket.bind(&SockAddr::unix("")?)?;
                socket.connect(&name.address()?)?;
                Ok(DatagramSocket::Unix(UnixDatagram::from_std(socket.into())))
            }
        }
    }

    /// Requests the local address of each datagram if the socket is bound to the wildcard address
    /// and the system supports that. Otherwise the system chooses the source address of replies.
    /// Returns what to request with each receive call.
    pub fn enable_pktinfo(&self) -> io::Result<Wanted> {
        match self {
            DatagramSocket::Udp(socket) => {
                let local = socket.local_addr()?;
                if local.ip().is_unspecified() {
                    pktinfo::enable(socket)?;
                    return Ok(Wanted::All);
                }
                Ok(Wanted::Sender(if local.is_ipv4() { Family::V4 } else { Family::V6 }))
            }
            #[cfg(unix)]
            DatagramSocket::Unix(_) => Ok(Wanted::Sender(Family::Unix)),
        }
    }

    /// Enables GRO, where the system has it. Returns what to request with each receive call.
    pub fn enable_gro(&self) -> io::Result<Wanted> {
        match self {
            #[cfg(target_os = "linux")]
            DatagramSocket::Udp(socket) => mmsg::enable_gro(socket).map(|()| Wanted::All),
            _ => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Receives with one call as many messages as the batch has free slots for. Returns true if the
    /// socket is drained, so that the next datagram is reported; false if that is not known.
    pub fn receive(&self, wanted: Wanted, batch: &mut RecvBatch) -> io::Result<bool> {
        match self {
            #[cfg(target_os = "linux")]
            DatagramSocket::Udp(socket) => return mmsg::receive(socket, wanted, batch),
            _ if wanted == Wanted::Nothing => {
                let bytes = self.recv(batch)?;
                batch.set_single(bytes, None);
            }
            #[cfg(not(target_os = "linux"))]
            DatagramSocket::Udp(socket) => {
                let (bytes, from) = socket.recv_from(batch.whole_buffer())?;
                batch.set_single(bytes, Some(Remote::Inet(from, None)));
            }
            #[cfg(unix)]
            DatagramSocket::Unix(socket) => {
                let (bytes, from) = socket.recv_from(batch.whole_buffer())?;
                batch.set_single(bytes, Some(Remote::Unix(SystemName::from(&from))));
            }
        }
        Ok(false)
    }

    /// Receives one datagram from the connected remote. Not for a socket with GRO enabled.
    pub fn recv(&self, batch: &mut RecvBatch) -> io::Result<usize> {
        match self {
            DatagramSocket::Udp(socket) => socket.recv(batch.whole_buffer()),
            #[cfg(unix)]
            DatagramSocket::Unix(socket) => socket.recv(batch.whole_buffer()),
        }
    }

    /// Sends a datagram, or a train, to a remote: all of it or nothing.
    pub fn send_to(&self, segments: Segments<'_>, to: &Remote) -> io::Result<()> {
        uninterrupted(|| match (self, to) {
            (DatagramSocket::Udp(socket), Remote::Inet(to, None)) if segments.len() == 1 => {
                socket.send_to(segments.bytes(), *to)
            }
            (DatagramSocket::Udp(socket), Remote::Inet(to, local)) => {
                send(socket, segments, Some(*to), *local)
            }
            #[cfg(unix)]
            (DatagramSocket::Unix(socket), Remote::Unix(to)) if segments.len() == 1 => {
                let to = to.address()?;
                socket.try_io(|| socket2::SockRef::from(socket).send_to(segments.bytes(), &to))
            }
            #[cfg(unix)]
            _ => Err(io::Error::from(io::ErrorKind::InvalidInput)),
        })
    }

    /// Sends single datagrams, each to its own remote, in one call. Returns how many were sent,
    /// counted from the first; 0 where the system has no such call. An error is the first one's.
    pub fn send_batch<'a>(
        &self,
        datagrams: impl Iterator<Item = (&'a [u8], SocketAddr)>,
    ) -> io::Result<usize> {
        match self {
            #[cfg(target_os = "linux")]
            DatagramSocket::Udp(socket) => mmsg::send_batch(socket, datagrams),
            _ => {
                drop(datagrams);
                Ok(0)
            }
        }
    }

    /// Sends a datagram to the connected remote.
    pub fn send(&self, bytes: &[u8]) -> io::Result<()> {
        uninterrupted(|| match self {
            DatagramSocket::Udp(socket) => socket.send(bytes),
            #[cfg(unix)]
            DatagramSocket::Unix(socket) => socket.send(bytes),
        })
    }

    /// Sends a datagram, or a train, to the connected remote.
    pub fn send_segments(&self, segments: Segments<'_>) -> io::Result<()> {
        match self {
            _ if segments.len() == 1 => self.send(segments.bytes()),
            DatagramSocket::Udp(socket) => uninterrupted(|| send(socket, segments, None, None)),
            #[cfg(unix)]
            DatagramSocket::Unix(_) => Err(io::ErrorKind::InvalidInput.into()),
        }
    }

    /// Returns and clears the pending error of the socket: usually a refusal.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        match self {
            DatagramSocket::Udp(socket) => socket.take_error(),
            #[cfg(unix)]
            DatagramSocket::Unix(socket) => socket.take_error(),
        }
    }

    /// The address that the socket is bound to.
    pub fn local(&self) -> io::Result<Remote> {
        match self {
            DatagramSocket::Udp(socket) => socket.local_addr().map(|at| Remote::Inet(at, None)),
            #[cfg(unix)]
            DatagramSocket::Unix(socket) => {
                socket.local_addr().map(|name| Remote::Unix(SystemName::from(&name)))
            }
        }
    }

    /// Whether one call can receive or send several datagrams.
    pub fn supports_batches(&self) -> bool {
        cfg!(target_os = "linux") && matches!(self, DatagramSocket::Udp(_))
    }

    /// The event source to register.
    pub fn source(&mut self) -> &mut dyn Source {
        match self {
            DatagramSocket::Udp(socket) => socket,
            #[cfg(unix)]
            DatagramSocket::Unix(socket) => socket,
        }
    }
}

#[cfg(target_os = "linux")]
use mmsg::send;

/// Sends one datagram. These systems have no GSO, and choose the source address.
#[cfg(not(target_os = "linux"))]
fn send(
    socket: &UdpSocket,
    segments: Segments<'_>,
    to: Option<SocketAddr>,
    _: Option<LocalAddr>,
) -> io::Result<usize> {
    match to {
        Some(to) if segments.len() == 1 => socket.send_to(segments.bytes(), to),
        _ => Err(io::ErrorKind::InvalidInput.into()),
    }
}

/// Maximum attempts of a call that signals interrupt.
const INTERRUPTIONS: usize = 16;

/// Repeats a call that a signal interrupted.
fn uninterrupted(call: impl Fn() -> io::Result<usize>) -> io::Result<()> {
    for _ in 0..INTERRUPTIONS {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return done.map(|_| ()),
        }
    }
    Err(io::ErrorKind::Interrupted.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connected_socket_has_an_address_and_receives_from_its_remote_alone() {
        let home = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let stranger = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let to = Remote::Inet(home.local_addr().unwrap(), None);
        let socket = DatagramSocket::connected(&to).unwrap();
        let Remote::Inet(own, None) = socket.local().unwrap() else { panic!("not UDP") };
        stranger.send_to(b"stranger", own).unwrap();
        home.send_to(b"home", own).unwrap();
        let mut batch = RecvBatch::new();
        assert_eq!(socket.recv(&mut batch).unwrap(), 4);
        assert_eq!(batch.datagram(4), Some(&b"home"[..]));
        assert!(socket.recv(&mut batch).is_err_and(|e| e.kind() == io::ErrorKind::WouldBlock));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn of_many_datagrams_those_before_a_bad_one_are_sent() {
        let ours = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        ours.set_nonblocking(true).unwrap();
        let ours = DatagramSocket::Udp(UdpSocket::from_std(ours));
        let homes = [(); 9].map(|()| std::net::UdpSocket::bind("127.0.0.1:0").unwrap());
        let texts = [&b"zero"[..], b"", b"two", b"3", b"4", b"5", b"6", b"7", b"8"];
        let to = |home: &std::net::UdpSocket| home.local_addr().unwrap();
        let all = texts.into_iter().zip(homes.iter().map(to)).collect::<Vec<_>>();
        let send = |number: std::ops::Range<usize>| ours.send_batch(all[number].iter().copied());
        // More than one call sends, and fewer than are worth the call.
        assert_eq!((send(0..9).unwrap(), send(0..1).unwrap(), send(0..0).unwrap()), (8, 0, 0));
        let mut batch = [0; 9];
        for (home, text) in homes.iter().zip(texts).take(8) {
            let length = home.recv(&mut batch).unwrap();
            assert_eq!(&batch[..length], text);
        }
        let nowhere = (&b"?"[..], SocketAddr::from(([127, 0, 0, 1], 0)));
        assert_eq!(ours.send_batch([all[0], all[1], nowhere, all[2]].into_iter()).unwrap(), 2);
        assert!(ours.send_batch([nowhere, all[0]].into_iter()).is_err());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn unix_datagrams_are_answered_by_path_and_by_abstract_name() {
        use std::os::unix::net::UnixDatagram as Std;
        let path = std::env::temp_dir().join(format!("oneloop-{}.dgram", std::process::id()));
        let home = Std::bind(&path).unwrap();
        home.set_nonblocking(true).unwrap();
        let home = DatagramSocket::Unix(UnixDatagram::from_std(home));
        let name = home.local().unwrap();
        assert_eq!(name.to_string(), format!("unix-dgram:{}", path.display()));
        let client = DatagramSocket::connected(&name).unwrap();
        client.send(b"hello").unwrap();
        let mut batch = RecvBatch::new();
        assert!(!home.receive(Wanted::Sender(Family::Unix), &mut batch).unwrap());
        let received = &batch.all_received()[0];
        let from = received.from.as_ref().unwrap();
        assert!(from.is_named() && from.to_string().starts_with("unix-dgram:@"), "{from}");
        home.send_to(batch.segments(received).unwrap(), from).unwrap();
        assert_eq!(client.recv(&mut batch).unwrap(), 5);
        Std::unbound().unwrap().send_to(b"", &path).unwrap();
        home.receive(Wanted::Sender(Family::Unix), &mut batch).unwrap();
        let received = &batch.all_received()[0];
        assert_eq!(batch.segments(received), Some(Segments::one(b"")));
        assert!(!received.from.as_ref().unwrap().is_named());
        std::fs::remove_file(&path).unwrap();
    }
}
