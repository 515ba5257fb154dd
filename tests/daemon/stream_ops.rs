//! Operations on one end of a connection that only the tests of the daemon need.

use std::io::{self, ErrorKind, Write};
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::time::Duration;

use socket2::SockRef;

use crate::test_daemon::TestDaemon;
use crate::test_stream::{End, TestStream, is_reset};
use crate::wait::until;

impl TestStream {
    /// Sends this and expects the same back.
    pub fn echo(&mut self, bytes: &[u8]) {
        self.send(bytes);
        assert!(self.get(bytes.len()) == bytes, "not what was sent");
    }

    /// Sends a FIN. If the peer has reset the connection meanwhile, the next read reports that.
    pub fn finish(&self) {
        match SockRef::from(self).shutdown(Shutdown::Write) {
            Err(error) if error.kind() == ErrorKind::NotConnected => {}
            ended => ended.unwrap(),
        }
    }

    /// Expects a reset, and no data before it.
    pub fn expect_reset(&mut self) {
        let (bytes, end) = self.ending();
        assert_eq!((bytes.len(), end), (0, End::Rst));
    }

    /// Waits for an error of the socket, without reading. After the peer's FIN, a reset is reported
    /// only like this.
    pub fn error(&self) -> io::Error {
        until("an error", || SockRef::from(self).take_error().unwrap())
    }

    /// Sends until nothing is accepted any more while the daemon is asleep; on a busy machine, a
    /// blocked write alone proves nothing. Returns the number of bytes accepted.
    pub fn flood(&mut self, daemon: &TestDaemon, mut byte_at: impl FnMut(usize) -> u8) -> usize {
        self.set_nonblocking(true);
        let (mut piece, mut sent, mut rests) = (Vec::new(), 0, 0);
        while rests < 30 {
            if piece.is_empty() {
                piece = (sent..sent + 65_536).map(&mut byte_at).collect();
            }
            match self.write(&piece) {
                Ok(taken) => {
                    piece.drain(..taken);
                    (sent, rests) = (sent + taken, 0);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    std::thread::sleep(Duration::from_millis(2));
                    rests = if daemon.is_asleep() { rests + 1 } else { 0 };
                }
                // The caller will see the reset too.
                Err(error) if is_reset(&error) => break,
                Err(error) => panic!("not sent after {sent} bytes: {error}"),
            }
            assert!(sent < 1 << 30, "nothing ever stops it");
        }
        self.set_nonblocking(false);
        sent
    }

    /// Returns a second handle on the same socket.
    pub fn duplicate(&self) -> TestStream {
        match self {
            TestStream::Tcp(stream) => TestStream::Tcp(stream.try_clone().unwrap()),
            TestStream::Unix(stream) => TestStream::Unix(stream.try_clone().unwrap()),
        }
    }

    /// Returns Some if bytes can be read.
    pub fn peek(&self) -> Option<()> {
        let mut room = [MaybeUninit::uninit()];
        self.set_nonblocking(true);
        let bytes = SockRef::from(self).peek(&mut room);
        self.set_nonblocking(false);
        bytes.is_ok_and(|bytes| bytes > 0).then_some(())
    }
}

/// Connects, sends nothing, and returns all that was received and how the stream ended. A reset may
/// arrive as early as during the connect, which then fails.
pub fn read_all_at(address: &str) -> (Vec<u8>, End) {
    match TestStream::try_connect(address) {
        Ok(mut client) => client.ending(),
        Err(error) if is_reset(&error) => (Vec::new(), End::Rst),
        Err(error) => panic!("{address}: {error}"),
    }
}
