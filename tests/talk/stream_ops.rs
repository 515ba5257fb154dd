//! Operations on one end of a connection that only the tests of connect and chat need.

use std::io::{ErrorKind, Write};
use std::net::Shutdown;
use std::time::Duration;

use socket2::{Domain, SockRef, Socket, Type};

use crate::test_stream::{TestStream, place};
use crate::wait::PATIENCE;

impl TestStream {
    /// Connects with a small receive buffer.
    pub fn narrow(address: &str) -> TestStream {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        socket.connect(&place(address).into()).unwrap();
        let stream = TestStream::Tcp(socket.into());
        stream.set_patience(Some(PATIENCE));
        stream
    }

    /// Sends a FIN.
    pub fn finish(&self) {
        SockRef::from(self).shutdown(Shutdown::Write).unwrap();
    }

    /// Sends this repeatedly until nothing is accepted for a while. Returns the number of bytes
    /// accepted.
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
        matches!(self, TestStream::Tcp(_))
    }
}
