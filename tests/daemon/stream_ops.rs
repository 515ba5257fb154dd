//! What else the tests of the daemon do with one end of a connection.

use std::io::{self, ErrorKind, Write};
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::time::Duration;

use socket2::SockRef;

use crate::stand::Daemon;
use crate::wait::until;
use crate::wire::{End, Wire, is_reset};

impl Wire {
    /// Sends this, and expects it back.
    pub fn echo(&mut self, bytes: &[u8]) {
        self.send(bytes);
        assert!(self.get(bytes.len()) == bytes, "not what was sent");
    }

    /// Ends our direction. Where the other side has reset the connection meanwhile there is none:
    /// that shows when this one is read.
    pub fn finish(&self) {
        match SockRef::from(self).shutdown(Shutdown::Write) {
            Err(error) if error.kind() == ErrorKind::NotConnected => {}
            ended => ended.unwrap(),
        }
    }

    /// Nothing more comes, and then a reset.
    pub fn expect_reset(&mut self) {
        let (bytes, end) = self.ending();
        assert_eq!((bytes.len(), end), (0, End::Rst));
    }

    /// Waits until the socket has an error to tell, without reading. For one that has heard the
    /// other's FIN already, this is how a reset shows.
    pub fn error(&self) -> io::Error {
        until("an error", || SockRef::from(self).take_error().unwrap())
    }

    /// Sends without waiting for the reader, until nothing is taken any more for a while in which
    /// the daemon had nothing to do: on a busy machine, silence alone is no sign. Gives how many
    /// bytes were taken.
    pub fn flood(&mut self, daemon: &Daemon, mut byte_at: impl FnMut(usize) -> u8) -> usize {
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
                // What follows will see it too.
                Err(error) if is_reset(&error) => break,
                Err(error) => panic!("not sent after {sent} bytes: {error}"),
            }
            assert!(sent < 1 << 30, "nothing ever stops it");
        }
        self.set_nonblocking(false);
        sent
    }

    /// A second handle on the same socket.
    pub fn twin(&self) -> Wire {
        match self {
            Wire::Tcp(stream) => Wire::Tcp(stream.try_clone().unwrap()),
            Wire::Unix(stream) => Wire::Unix(stream.try_clone().unwrap()),
        }
    }

    /// Some, if bytes wait to be read.
    pub fn peek(&self) -> Option<()> {
        let mut room = [MaybeUninit::uninit()];
        self.set_nonblocking(true);
        let bytes = SockRef::from(self).peek(&mut room);
        self.set_nonblocking(false);
        bytes.is_ok_and(|bytes| bytes > 0).then_some(())
    }
}

/// All that a client at this address hears without a word of its own, and how that ends. It may be
/// reset as early as while it connects: whoever is quick enough makes the call that connects fail.
pub fn heard(address: &str) -> (Vec<u8>, End) {
    match Wire::try_connect(address) {
        Ok(mut client) => client.ending(),
        Err(error) if is_reset(&error) => (Vec::new(), End::Rst),
        Err(error) => panic!("{address}: {error}"),
    }
}
