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
    Inet(SocketAddr),
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
            Remote::Inet(address) => {
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

    pub fn recv_from(&self, into: &mut [u8]) -> io::Result<(usize, Remote)> {
        match self {
            DatagramSocket::Udp(socket) => {
                socket.recv_from(into).map(|(bytes, from)| (bytes, Remote::Inet(from)))
            }
            #[cfg(unix)]
            DatagramSocket::Unix(socket) => {
                let (bytes, from) = socket.recv_from(into)?;
                Ok((bytes, Remote::Unix(UnixRemote::from(&from))))
            }
        }
    }

    /// Receives from the remote that this socket is connected with.
    pub fn recv(&self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            DatagramSocket::Udp(socket) => socket.recv(into),
            #[cfg(unix)]
            DatagramSocket::Unix(socket) => socket.recv(into),
        }
    }

    /// A datagram goes out whole or not at all.
    pub fn send_to(&self, bytes: &[u8], to: &Remote) -> io::Result<()> {
        match (self, to) {
            (DatagramSocket::Udp(socket), Remote::Inet(to)) => socket.send_to(bytes, *to)?,
            #[cfg(unix)]
            (DatagramSocket::Unix(socket), Remote::Unix(to)) => {
                let to = to.address()?;
                socket.try_io(|| socket2::SockRef::from(socket).send_to(bytes, &to))?
            }
            #[cfg(unix)]
            _ => return Err(io::Error::from(io::ErrorKind::InvalidInput)),
        };
        Ok(())
    }

    /// Sends to the remote that this socket is connected with.
    pub fn send(&self, bytes: &[u8]) -> io::Result<()> {
        match self {
            DatagramSocket::Udp(socket) => socket.send(bytes)?,
            #[cfg(unix)]
            DatagramSocket::Unix(socket) => socket.send(bytes)?,
        };
        Ok(())
    }

    /// The name that it is bound to.
    pub fn local(&self) -> io::Result<Remote> {
        match self {
            DatagramSocket::Udp(socket) => socket.local_addr().map(Remote::Inet),
            #[cfg(unix)]
            DatagramSocket::Unix(socket) => {
                socket.local_addr().map(|name| Remote::Unix(UnixRemote::from(&name)))
            }
        }
    }
}

impl Source for DatagramSocket {
    fn register(
        &mut self,
        registry: &Registry,
        token: Token,
        interests: Interest,
    ) -> io::Result<()> {
        match self {
            DatagramSocket::Udp(socket) => socket.register(registry, token, interests),
            #[cfg(unix)]
            DatagramSocket::Unix(socket) => socket.register(registry, token, interests),
        }
    }

    fn reregister(
        &mut self,
        registry: &Registry,
        token: Token,
        interests: Interest,
    ) -> io::Result<()> {
        match self {
            DatagramSocket::Udp(socket) => socket.reregister(registry, token, interests),
            #[cfg(unix)]
            DatagramSocket::Unix(socket) => socket.reregister(registry, token, interests),
        }
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        match self {
            DatagramSocket::Udp(socket) => socket.deregister(registry),
            #[cfg(unix)]
            DatagramSocket::Unix(socket) => socket.deregister(registry),
        }
    }
}

impl Remote {
    /// Whether an answer could reach it: a Unix socket without a name cannot be named.
    pub fn is_named(&self) -> bool {
        match self {
            Remote::Inet(_) => true,
            #[cfg(unix)]
            Remote::Unix(name) => !name.0.is_empty(),
        }
    }

    pub fn peer(&self) -> Peer {
        match self {
            Remote::Inet(address) => Peer::Inet(*address),
            #[cfg(unix)]
            Remote::Unix(name) if name.0.is_empty() => Peer::Unix(None),
            #[cfg(unix)]
            Remote::Unix(name) => Peer::Unix(Some(name.text())),
        }
    }
}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Remote::Inet(address) => write!(f, "udp://{address}"),
            #[cfg(unix)]
            Remote::Unix(name) => write!(f, "unix-dgram:{}", name.text()),
        }
    }
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
        let socket = DatagramSocket::connected(&Remote::Inet(home.local_addr().unwrap())).unwrap();
        let Remote::Inet(own) = socket.local().unwrap() else { panic!("not UDP") };
        stranger.send_to(b"stranger", own).unwrap();
        home.send_to(b"home", own).unwrap();
        let mut room = [0; 16];
        assert_eq!(socket.recv(&mut room).unwrap(), 4);
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
        let mut room = [0; 16];
        let (bytes, from) = home.recv_from(&mut room).unwrap();
        assert!(from.is_named() && from.to_string().starts_with("unix-dgram:@"), "{from}");
        home.send_to(&room[..bytes], &from).unwrap();
        assert_eq!(client.recv(&mut room).unwrap(), 5);
        Std::unbound().unwrap().send_to(b"", &path).unwrap();
        let (bytes, from) = home.recv_from(&mut room).unwrap();
        assert_eq!((bytes, from.is_named()), (0, false));
        std::fs::remove_file(&path).unwrap();
    }
}
