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
use super::batch;
use super::pktinfo;
#[cfg(not(target_os = "linux"))]
use super::pktinfo::Ours;
use super::remote::Remote;
use super::room::{Family, Room, Segments, Wanted};

/// Both kinds do the same things; only the names of their remotes differ.
#[derive(Debug)]
pub enum DatagramSocket {
    Udp(UdpSocket),
    #[cfg(unix)]
    Unix(UnixDatagram),
}

impl DatagramSocket {
    /// A socket of our own that speaks with one remote and hears nobody else. It is not bound
    /// before it is connected, so there is no moment in which a stranger's datagram could slip in.
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
                // Without a name of its own it could not be answered. Linux picks an abstract one
                // when it is asked to bind to nothing; elsewhere such a socket can send only.
                #[cfg(target_os = "linux")]
                socket.bind(&SockAddr::unix("")?)?;
                socket.connect(&name.address()?)?;
                Ok(DatagramSocket::Unix(UnixDatagram::from_std(socket.into())))
            }
        }
    }

    /// From now on each datagram tells to which of our addresses it came, if this socket serves
    /// more than one and the system can tell. Otherwise the system chooses where answers come from.
    /// Returns what is wanted of an arrival here.
    pub fn enable_pktinfo(&self) -> io::Result<Wanted> {
        match self {
            DatagramSocket::Udp(socket) => {
                let local = socket.local_addr()?;
                if local.ip().is_unspecified() {
                    pktinfo::tell(socket)?;
                    return Ok(Wanted::All);
                }
                Ok(Wanted::Sender(if local.is_ipv4() { Family::V4 } else { Family::V6 }))
            }
            #[cfg(unix)]
            DatagramSocket::Unix(_) => Ok(Wanted::Sender(Family::Unix)),
        }
    }

    /// From now on trains may arrive, if the system knows of any; all is wanted then of an arrival.
    pub fn take_trains(&self) -> io::Result<Wanted> {
        match self {
            #[cfg(target_os = "linux")]
            DatagramSocket::Udp(socket) => batch::take_trains(socket).map(|()| Wanted::All),
            _ => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Takes what has arrived, as much as one call brings and the room has places for. True:
    /// nothing is left, and what comes later will be announced. False: that is not known.
    pub fn receive(&self, wanted: Wanted, room: &mut Room) -> io::Result<bool> {
        match self {
            #[cfg(target_os = "linux")]
            DatagramSocket::Udp(socket) => return batch::receive(socket, wanted, room),
            _ if wanted == Wanted::Nothing => {
                let bytes = self.recv(room)?;
                room.arrived(bytes, None);
            }
            #[cfg(not(target_os = "linux"))]
            DatagramSocket::Udp(socket) => {
                let (bytes, from) = socket.recv_from(room.longest())?;
                room.arrived(bytes, Some(Remote::Inet(from, None)));
            }
            #[cfg(unix)]
            DatagramSocket::Unix(socket) => {
                let (bytes, from) = socket.recv_from(room.longest())?;
                room.arrived(bytes, Some(Remote::Unix(SystemName::from(&from))));
            }
        }
        Ok(false)
    }

    /// Receives one datagram from the remote that this socket is connected with. Not for a socket
    /// that takes trains.
    pub fn recv(&self, room: &mut Room) -> io::Result<usize> {
        match self {
            DatagramSocket::Udp(socket) => socket.recv(room.longest()),
            #[cfg(unix)]
            DatagramSocket::Unix(socket) => socket.recv(room.longest()),
        }
    }

    /// A datagram goes out whole or not at all, and so does a train: all of it or nothing.
    pub fn send_to(&self, train: Segments<'_>, to: &Remote) -> io::Result<()> {
        uninterrupted(|| match (self, to) {
            (DatagramSocket::Udp(socket), Remote::Inet(to, None)) if train.len() == 1 => {
                socket.send_to(train.bytes(), *to)
            }
            (DatagramSocket::Udp(socket), Remote::Inet(to, ours)) => {
                send(socket, train, Some(*to), *ours)
            }
            #[cfg(unix)]
            (DatagramSocket::Unix(socket), Remote::Unix(to)) if train.len() == 1 => {
                let to = to.address()?;
                socket.try_io(|| socket2::SockRef::from(socket).send_to(train.bytes(), &to))
            }
            #[cfg(unix)]
            _ => Err(io::Error::from(io::ErrorKind::InvalidInput)),
        })
    }

    /// Sends single datagrams, each to its own remote, in one call. Tells how many went out, from
    /// the first on; none, if there is no such call here. An error is that of the first one.
    pub fn send_many<'a>(
        &self,
        datagrams: impl Iterator<Item = (&'a [u8], SocketAddr)>,
    ) -> io::Result<usize> {
        match self {
            #[cfg(target_os = "linux")]
            DatagramSocket::Udp(socket) => batch::send_many(socket, datagrams),
            _ => {
                drop(datagrams);
                Ok(0)
            }
        }
    }

    /// Sends to the remote that this socket is connected with.
    pub fn send(&self, bytes: &[u8]) -> io::Result<()> {
        uninterrupted(|| match self {
            DatagramSocket::Udp(socket) => socket.send(bytes),
            #[cfg(unix)]
            DatagramSocket::Unix(socket) => socket.send(bytes),
        })
    }

    /// The same, for a train.
    pub fn send_train(&self, train: Segments<'_>) -> io::Result<()> {
        match self {
            _ if train.len() == 1 => self.send(train.bytes()),
            DatagramSocket::Udp(socket) => uninterrupted(|| send(socket, train, None, None)),
            #[cfg(unix)]
            DatagramSocket::Unix(_) => Err(io::ErrorKind::InvalidInput.into()),
        }
    }

    /// The error that waits on the socket, taken off it: an answer that it was refused, mostly.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        match self {
            DatagramSocket::Udp(socket) => socket.take_error(),
            #[cfg(unix)]
            DatagramSocket::Unix(socket) => socket.take_error(),
        }
    }

    /// The name that it is bound to.
    pub fn local(&self) -> io::Result<Remote> {
        match self {
            DatagramSocket::Udp(socket) => socket.local_addr().map(|at| Remote::Inet(at, None)),
            #[cfg(unix)]
            DatagramSocket::Unix(socket) => {
                socket.local_addr().map(|name| Remote::Unix(SystemName::from(&name)))
            }
        }
    }

    /// Whether it can take and send more than one datagram in a call.
    pub fn is_for_many(&self) -> bool {
        cfg!(target_os = "linux") && matches!(self, DatagramSocket::Udp(_))
    }

    /// What the poll is to watch.
    pub fn source(&mut self) -> &mut dyn Source {
        match self {
            DatagramSocket::Udp(socket) => socket,
            #[cfg(unix)]
            DatagramSocket::Unix(socket) => socket,
        }
    }
}

#[cfg(target_os = "linux")]
use batch::send;

/// Elsewhere there are no trains, and the system chooses the address that a datagram comes from.
#[cfg(not(target_os = "linux"))]
fn send(
    socket: &UdpSocket,
    train: Segments<'_>,
    to: Option<SocketAddr>,
    _: Option<Ours>,
) -> io::Result<usize> {
    match to {
        Some(to) if train.len() == 1 => socket.send_to(train.bytes(), to),
        _ => Err(io::ErrorKind::InvalidInput.into()),
    }
}

/// More signals than these in one call are no accident.
const INTERRUPTIONS: usize = 16;

/// Makes a call again that a signal broke off.
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
    fn a_connected_socket_has_a_name_and_hears_its_remote_alone() {
        let home = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let stranger = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let to = Remote::Inet(home.local_addr().unwrap(), None);
        let socket = DatagramSocket::connected(&to).unwrap();
        let Remote::Inet(own, None) = socket.local().unwrap() else { panic!("not UDP") };
        stranger.send_to(b"stranger", own).unwrap();
        home.send_to(b"home", own).unwrap();
        let mut room = Room::new();
        assert_eq!(socket.recv(&mut room).unwrap(), 4);
        assert_eq!(room.datagram(4), Some(&b"home"[..]));
        assert!(socket.recv(&mut room).is_err_and(|e| e.kind() == io::ErrorKind::WouldBlock));
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
        let send = |number: std::ops::Range<usize>| ours.send_many(all[number].iter().copied());
        // More than go in one call, and less than are worth one.
        assert_eq!((send(0..9).unwrap(), send(0..1).unwrap(), send(0..0).unwrap()), (8, 0, 0));
        let mut room = [0; 9];
        for (home, text) in homes.iter().zip(texts).take(8) {
            let length = home.recv(&mut room).unwrap();
            assert_eq!(&room[..length], text);
        }
        let nowhere = (&b"?"[..], SocketAddr::from(([127, 0, 0, 1], 0)));
        assert_eq!(ours.send_many([all[0], all[1], nowhere, all[2]].into_iter()).unwrap(), 2);
        assert!(ours.send_many([nowhere, all[0]].into_iter()).is_err());
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
        let mut room = Room::new();
        assert!(!home.receive(Wanted::Sender(Family::Unix), &mut room).unwrap());
        let received = &room.all_received()[0];
        let from = received.from.as_ref().unwrap();
        assert!(from.is_named() && from.to_string().starts_with("unix-dgram:@"), "{from}");
        home.send_to(room.train(received).unwrap(), from).unwrap();
        assert_eq!(client.recv(&mut room).unwrap(), 5);
        Std::unbound().unwrap().send_to(b"", &path).unwrap();
        home.receive(Wanted::Sender(Family::Unix), &mut room).unwrap();
        let received = &room.all_received()[0];
        assert_eq!(room.train(received), Some(Segments::one(b"")));
        assert!(!received.from.as_ref().unwrap().is_named());
        std::fs::remove_file(&path).unwrap();
    }
}
