//! What else the tests of connect and chat do with one end of a connection.

use std::io::{ErrorKind, Write};
use std::net::Shutdown;
use std::time::Duration;

use socket2::{Domain, SockRef, Socket, Type};

use crate::wait::PATIENCE;
use crate::wire::{Wire, place};

impl Wire {
    /// A client that has little room for what it does not read.
    pub fn narrow(address: &str) -> Wire {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        socket.connect(&place(address).into()).unwrap();
        let wire = Wire::Tcp(socket.into());
        wire.set_patience(Some(PATIENCE));
        wire
    }

    /// Ends our direction.
    pub fn finish(&self) {
        SockRef::from(self).shutdown(Shutdown::Write).unwrap();
    }

    /// Sends this again and again, without waiting for the reader, until nothing is taken any more
    /// for a while; gives how many bytes were taken.
    pub fn flood(&mut self, text: &[u8]) -> usize {
        self.set_nonblocking(true);
        let (mut sent, mut rests) = (0, 0);
        while rests < 100 {
            match self.write(&text[sent % text.len()..]) {
                Ok(taken) => (sent, rests) = (sent + taken, 0),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    rests += 1;
                    std::thread::sleep(Duration::from_millis(2));
                }
                Err(error) => panic!("not sent after {sent} bytes: {error}"),
            }
            assert!(sent < 1 << 30, "nothing ever stops it");
        }
        self.set_nonblocking(false);
        sent
    }

    pub fn is_tcp(&self) -> bool {
        matches!(self, Wire::Tcp(_))
    }
}
