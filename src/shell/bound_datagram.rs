//! Datagram sockets that are bound to an address of the plan, and so can be spoken to.

use mio::net::UdpSocket;
#[cfg(unix)]
use mio::net::UnixDatagram;

use crate::plan::{Address, Listen};

use super::bind::{self, Bound, CannotListen};
use super::datagram_socket::DatagramSocket;
#[cfg(unix)]
use super::socket_file::SocketFile;

/// A socket that datagrams can be sent to. A Unix socket's file goes away with it.
#[derive(Debug)]
pub struct BoundDatagram {
    /// Dropped before the socket, as it wants to be.
    #[cfg(unix)]
    pub(super) file: Option<SocketFile>,
    pub socket: DatagramSocket,
    /// What is really bound: port 0 has become a number, a name an address.
    pub address: Address,
    /// What an operator should know about how it was bound.
    pub warning: Option<String>,
}

/// Binds all that an address of the plan stands for, or nothing: a name may have several addresses.
pub fn bind_datagram(listen: &Listen) -> Result<Vec<BoundDatagram>, CannotListen> {
    Ok(bind::bind(listen)?.into_iter().map(BoundDatagram::from).collect())
}

impl From<Bound> for BoundDatagram {
    fn from(bound: Bound) -> BoundDatagram {
        let warning = bound.warning();
        let socket = match &bound.address {
            #[cfg(unix)]
            Address::UnixDatagram(_) => {
                DatagramSocket::Unix(UnixDatagram::from_std(bound.socket.into()))
            }
            _ => DatagramSocket::Udp(UdpSocket::from_std(bound.socket.into())),
        };
        BoundDatagram {
            #[cfg(unix)]
            file: bound.file,
            socket,
            address: bound.address,
            warning,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use super::*;
    use crate::shell::room::{Room, Wanted};

    /// Waits for a datagram; how long it is.
    fn receive(bound: &BoundDatagram) -> usize {
        let mut room = Room::new();
        loop {
            match bound.socket.receive(Wanted::All, &mut room) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::yield_now(),
                done => {
                    done.unwrap();
                    return room.train(&room.all_received()[0]).unwrap().bytes().len();
                }
            }
        }
    }

    fn bound(text: &str) -> BoundDatagram {
        bind_datagram(&text.parse().unwrap()).unwrap().remove(0)
    }

    #[test]
    fn a_udp_address_is_bound_for_both_families_and_does_not_block() {
        let bound = bound("udp://:0");
        let port = bound.address.port().unwrap();
        let client = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let nothing = bound.socket.receive(Wanted::All, &mut Room::new()).unwrap_err();
        assert_eq!(nothing.kind(), ErrorKind::WouldBlock);
        client.send_to(b"hello", ("127.0.0.1", port)).unwrap();
        assert_eq!(receive(&bound), 5);
    }

    #[cfg(unix)]
    #[test]
    fn a_unix_datagram_socket_keeps_the_rules_of_a_socket_file() {
        use std::os::unix::net::UnixDatagram as Plain;
        let scratch = crate::shell::scratch::Scratch::new("datagram");
        let path = scratch.path("x.dgram");
        let text = format!("unix-dgram:{}", path.display());
        drop(Plain::bind(&path).unwrap());
        let first = bound(&text);
        assert_eq!(first.address.to_string(), text);
        let error = bind_datagram(&text.parse().unwrap()).unwrap_err().to_string();
        assert_eq!(error, format!("cannot listen on {text}: another process listens on it"));
        Plain::unbound().unwrap().send_to(b"hello", &path).unwrap();
        assert_eq!(receive(&first), 5);
        drop(first);
        assert!(!path.exists());
    }
}
