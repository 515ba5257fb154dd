//! Datagram sockets that are bound to an address of the plan.

use mio::net::UdpSocket;
#[cfg(unix)]
use mio::net::UnixDatagram;

use crate::config::{Address, Listen};

use super::bind::{self, Bound, CannotListen, ListenNames};
use super::datagram_socket::DatagramSocket;
#[cfg(unix)]
use super::socket_file::SocketFile;

/// A bound datagram socket. Dropping it removes the file of a Unix socket.
#[derive(Debug)]
pub struct BoundDatagram {
    /// Declared first: the file must be removed before the socket is closed.
    #[cfg(unix)]
    pub file: Option<SocketFile>,
    pub socket: DatagramSocket,
    /// The bound address: port 0 and names are resolved.
    pub address: Address,
    /// A warning for the operator about how the socket was bound.
    pub warning: Option<String>,
}

/// Binds every address that `listen` resolves to, or none: a name may have several. It blocks while
/// a name is resolved, so it must be called before the loop starts.
pub fn bind_datagram(listen: &Listen) -> Result<Vec<BoundDatagram>, CannotListen> {
    bind_known_datagram(listen, &ListenNames::resolve([listen]))
}

/// Binds every address of `listen`, whose name was resolved.
pub fn bind_known_datagram(
    listen: &Listen,
    names: &ListenNames,
) -> Result<Vec<BoundDatagram>, CannotListen> {
    Ok(bind::bind(listen, names)?.into_iter().map(BoundDatagram::from).collect())
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
    use crate::net::recv_batch::{RecvBatch, Wanted};

    /// Waits for a datagram and returns its length.
    fn receive(bound: &BoundDatagram) -> usize {
        let mut batch = RecvBatch::new();
        loop {
            match bound.socket.receive(Wanted::All, &mut batch) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::yield_now(),
                done => {
                    done.unwrap();
                    return batch.segments(&batch.all_received()[0]).unwrap().bytes().len();
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
        let nothing = bound.socket.receive(Wanted::All, &mut RecvBatch::new()).unwrap_err();
        assert_eq!(nothing.kind(), ErrorKind::WouldBlock);
        client.send_to(b"hello", ("127.0.0.1", port)).unwrap();
        assert_eq!(receive(&bound), 5);
    }

    #[cfg(unix)]
    #[test]
    fn a_unix_datagram_socket_follows_the_rules_of_a_socket_file() {
        use std::os::unix::net::UnixDatagram as Plain;
        let scratch = crate::net::scratch::Scratch::new("datagram");
        let path = scratch.path("x.dgram");
        let text = format!("unix-dgram:{}", path.display());
        drop(Plain::bind(&path).unwrap());
        let first = bound(&text);
        assert_eq!(first.address.to_string(), text);
        let error = bind_datagram(&text.parse().unwrap()).unwrap_err().to_string();
        assert_eq!(error, format!("cannot listen on {text}: a process is listening on it"));
        Plain::unbound().unwrap().send_to(b"hello", &path).unwrap();
        assert_eq!(receive(&first), 5);
        drop(first);
        assert!(!path.exists());
    }
}
