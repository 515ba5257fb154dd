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
use super::ours::{self, Ours};
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

/// Room for one datagram and what the system tells about it. One serves all sockets in turn.
#[derive(Debug)]
pub struct Room {
    pub(super) bytes: Vec<u8>,
    #[cfg(target_os = "linux")]
    pub(super) control: Vec<u8>,
}

/// UDP's longest datagram has 65,527 bytes, and the longest of a Unix socket 212,960 on a Linux
/// whose limits nobody raised. Pages that are never touched cost nothing.
const ROOM_BYTES: usize = 256 * 1024;

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

    /// The length of a datagram, which now lies in `room`, and its sender.
    pub fn recv_from(&self, room: &mut Room) -> io::Result<(usize, Remote)> {
        match self {
            DatagramSocket::Udp(socket) => ours::recv_from(socket, room),
            #[cfg(unix)]
            DatagramSocket::Unix(socket) => {
                let (bytes, from) = socket.recv_from(&mut room.bytes)?;
                Ok((bytes, Remote::Unix(UnixRemote::from(&from))))
            }
        }
    }

    /// Receives from the remote that this socket is connected with.
    pub fn recv(&self, room: &mut Room) -> io::Result<usize> {
        match self {
            DatagramSocket::Udp(socket) => socket.recv(&mut room.bytes),
            #[cfg(unix)]
            DatagramSocket::Unix(socket) => socket.recv(&mut room.bytes),
        }
    }

    /// A datagram goes out whole or not at all.
    pub fn send_to(&self, bytes: &[u8], to: &Remote) -> io::Result<()> {
        uninterrupted(|| match (self, to) {
            (DatagramSocket::Udp(socket), Remote::Inet(to, None)) => socket.send_to(bytes, *to),
            (DatagramSocket::Udp(socket), Remote::Inet(to, Some(ours))) => {
                ours::send_to(socket, bytes, *to, *ours)
            }
            #[cfg(unix)]
            (DatagramSocket::Unix(socket), Remote::Unix(to)) => {
                let to = to.address()?;
                socket.try_io(|| socket2::SockRef::from(socket).send_to(bytes, &to))
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

impl Room {
    pub fn new() -> Room {
        Room {
            bytes: vec![0; ROOM_BYTES],
            #[cfg(target_os = "linux")]
            control: ours::control(),
        }
    }

    /// The datagram of this length; nothing, if it may have been cut because it was longer.
    pub fn datagram(&self, bytes: usize) -> Option<&[u8]> {
        self.bytes.get(..bytes).filter(|_| bytes < self.bytes.len())
    }
}

impl Default for Room {
    fn default() -> Room {
        Room::new()
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

    #[test]
    fn what_may_have_been_cut_is_no_datagram() {
        let room = Room::new();
        assert_eq!(room.datagram(0), Some(&b""[..]));
        assert!(room.datagram(ROOM_BYTES - 1).is_some());
        assert!(room.datagram(ROOM_BYTES).is_none());
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
        let (bytes, from) = home.recv_from(&mut room).unwrap();
        assert!(from.is_named() && from.to_string().starts_with("unix-dgram:@"), "{from}");
        home.send_to(room.datagram(bytes).unwrap(), &from).unwrap();
        assert_eq!(client.recv(&mut room).unwrap(), 5);
        Std::unbound().unwrap().send_to(b"", &path).unwrap();
        let (bytes, from) = home.recv_from(&mut room).unwrap();
        assert_eq!((bytes, from.is_named()), (0, false));
        std::fs::remove_file(&path).unwrap();
    }
}
