//! A datagram socket, UDP or Unix, and the remote that a datagram comes from or goes to.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use mio::event::Source;
use mio::net::UdpSocket;
#[cfg(unix)]
use mio::net::UnixDatagram;
use mio::{Interest, Registry, Token};
use socket2::{Domain, SockAddr, Socket, Type};

use super::address::inet_peer;
#[cfg(target_os = "linux")]
use super::batch;
use super::ours::{self, Ours};
use super::room::{Room, Train};
use crate::core::Peer;

/// Both kinds do the same things; only the names of their remotes differ.
#[derive(Debug)]
pub enum DatagramSocket {
    Udp(UdpSocket),
    #[cfg(unix)]
    Unix(UnixDatagram),
}

/// The other side of a datagram: where one came from, or where one goes to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Remote {
    /// With the address of ours that it came to, where a door has many: the answer comes from it.
    Inet(SocketAddr, Option<Ours>),
    #[cfg(unix)]
    Unix(UnixRemote),
}

/// The name of a Unix socket as the system has it: nothing (it bound no name), a path, or an
/// abstract name behind a zero byte.
#[cfg(unix)]
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct UnixRemote(Box<[u8]>);

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
    pub fn tell_ours(&self) -> io::Result<()> {
        match self {
            DatagramSocket::Udp(socket) if socket.local_addr()?.ip().is_unspecified() => {
                ours::tell(socket)
            }
            _ => Ok(()),
        }
    }

    /// From now on trains may arrive, if the system knows of any: `receive` is the call for them.
    /// False: it does not, and each datagram arrives and goes out alone.
    pub fn take_trains(&self) -> bool {
        match self {
            #[cfg(target_os = "linux")]
            DatagramSocket::Udp(socket) => batch::take_trains(socket).is_ok(),
            _ => false,
        }
    }

    /// Takes what has arrived, as much as one call brings; who sent it is not asked where only one
    /// is heard. True: nothing is left, and what comes later will be announced. False: that is not
    /// known.
    pub fn receive(&self, is_connected: bool, room: &mut Room) -> io::Result<bool> {
        room.arrivals.clear();
        match self {
            #[cfg(target_os = "linux")]
            DatagramSocket::Udp(socket) => return batch::receive(socket, is_connected, room),
            _ if is_connected => {
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
                room.arrived(bytes, Some(Remote::Unix(UnixRemote::from(&from))));
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
    pub fn send_to(&self, train: Train<'_>, to: &Remote) -> io::Result<()> {
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

    /// Sends to the remote that this socket is connected with.
    pub fn send(&self, bytes: &[u8]) -> io::Result<()> {
        uninterrupted(|| match self {
            DatagramSocket::Udp(socket) => socket.send(bytes),
            #[cfg(unix)]
            DatagramSocket::Unix(socket) => socket.send(bytes),
        })
    }

    /// The same, for a train.
    pub fn send_train(&self, train: Train<'_>) -> io::Result<()> {
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
                socket.local_addr().map(|name| Remote::Unix(UnixRemote::from(&name)))
            }
        }
    }

    fn source(&mut self) -> &mut dyn Source {
        match self {
            DatagramSocket::Udp(socket) => socket,
            #[cfg(unix)]
            DatagramSocket::Unix(socket) => socket,
        }
    }
}

impl Source for DatagramSocket {
    fn register(&mut self, at: &Registry, token: Token, interest: Interest) -> io::Result<()> {
        self.source().register(at, token, interest)
    }

    fn reregister(&mut self, at: &Registry, token: Token, interest: Interest) -> io::Result<()> {
        self.source().reregister(at, token, interest)
    }

    fn deregister(&mut self, at: &Registry) -> io::Result<()> {
        self.source().deregister(at)
    }
}

impl Remote {
    /// Whether an answer could reach it: a Unix socket without a name cannot be named.
    pub fn is_named(&self) -> bool {
        match self {
            Remote::Inet(..) => true,
            #[cfg(unix)]
            Remote::Unix(name) => !name.is_empty(),
        }
    }

    /// Its internet address, if it has one.
    pub fn inet(&self) -> Option<SocketAddr> {
        match self {
            Remote::Inet(address, _) => Some(*address),
            #[cfg(unix)]
            Remote::Unix(_) => None,
        }
    }

    pub fn is_inet(&self) -> bool {
        self.inet().is_some()
    }

    /// The name of ours that this one knows: where it sent to, or else what `door` is bound to.
    pub fn told_from(&self, door: &Remote) -> Remote {
        match (self, door) {
            (Remote::Inet(_, Some(ours)), Remote::Inet(bound, _)) => {
                Remote::Inet(SocketAddr::new(ours.ip, bound.port()), None)
            }
            _ => door.clone(),
        }
    }

    pub fn peer(&self) -> Peer {
        match self {
            Remote::Inet(address, _) => inet_peer(*address),
            #[cfg(unix)]
            Remote::Unix(name) => Peer::Unix((!name.is_empty()).then(|| name.text())),
        }
    }
}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Remote::Inet(address, _) => write!(f, "udp://{address}"),
            #[cfg(unix)]
            Remote::Unix(name) => write!(f, "unix-dgram:{}", name.text()),
        }
    }
}

#[cfg(target_os = "linux")]
use batch::send;

/// Elsewhere there are no trains, and the system chooses the address that a datagram comes from.
#[cfg(not(target_os = "linux"))]
fn send(
    socket: &UdpSocket,
    train: Train<'_>,
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

#[cfg(unix)]
mod unix {
    use std::ffi::OsStr;
    use std::io;
    #[cfg(target_os = "linux")]
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::net;

    use socket2::SockAddr;

    use super::UnixRemote;
    use crate::plan::UnixName;

    impl UnixRemote {
        pub fn address(&self) -> io::Result<SockAddr> {
            SockAddr::unix(OsStr::from_bytes(&self.0))
        }

        pub fn is_empty(&self) -> bool {
            self.0.is_empty()
        }

        /// As a user types it: an abstract name begins with `@`.
        pub fn text(&self) -> String {
            match self.0.strip_prefix(b"\0") {
                Some(name) => format!("@{}", String::from_utf8_lossy(name)),
                None => String::from_utf8_lossy(&self.0).into_owned(),
            }
        }
    }

    impl From<&UnixName> for UnixRemote {
        fn from(name: &UnixName) -> UnixRemote {
            UnixRemote(match name {
                UnixName::Path(path) => path.as_os_str().as_bytes().into(),
                UnixName::Abstract(name) => [b"\0", name.as_bytes()].concat().into(),
            })
        }
    }

    impl From<&net::SocketAddr> for UnixRemote {
        fn from(address: &net::SocketAddr) -> UnixRemote {
            if let Some(path) = address.as_pathname() {
                return UnixRemote(path.as_os_str().as_bytes().into());
            }
            #[cfg(target_os = "linux")]
            if let Some(name) = address.as_abstract_name() {
                return UnixRemote([b"\0", name].concat().into());
            }
            UnixRemote::default()
        }
    }
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
        assert!(!home.receive(false, &mut room).unwrap());
        let arrival = &room.arrivals()[0];
        let from = arrival.from.as_ref().unwrap();
        assert!(from.is_named() && from.to_string().starts_with("unix-dgram:@"), "{from}");
        home.send_to(room.train(arrival).unwrap(), from).unwrap();
        assert_eq!(client.recv(&mut room).unwrap(), 5);
        Std::unbound().unwrap().send_to(b"", &path).unwrap();
        home.receive(false, &mut room).unwrap();
        let arrival = &room.arrivals()[0];
        assert_eq!(room.train(arrival), Some(Train::one(b"")));
        assert!(!arrival.from.as_ref().unwrap().is_named());
        std::fs::remove_file(&path).unwrap();
    }
}
