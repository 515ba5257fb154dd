//! Kernel pipes for splicing: bytes move between sockets without being copied to user space.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::pipe::{
    PipeFlags, SpliceFlags, fcntl_getpipe_size, fcntl_setpipe_size, pipe_with, splice,
};

use crate::core::pipes::Pipe;

/// The two descriptors of a pipe, and its capacity in bytes.
#[derive(Debug)]
pub struct SystemPipe {
    out: OwnedFd,
    into: OwnedFd,
    capacity: usize,
}

impl Pipe for SystemPipe {
    fn open(bytes: usize) -> io::Result<SystemPipe> {
        let (out, into) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        // Fails at the user's limit of pipe pages (pipe-user-pages-soft). The pipe keeps its size.
        let _ = fcntl_setpipe_size(&into, bytes);
        let capacity = fcntl_getpipe_size(&into)?;
        Ok(SystemPipe { out, into, capacity })
    }

    fn capacity(&self) -> usize {
        self.capacity
    }
}

impl SystemPipe {
    /// Splices from a socket into the empty pipe. Returns 0 at the end of file, or if this socket
    /// cannot be spliced.
    pub fn fill(&mut self, from: &impl AsFd) -> io::Result<usize> {
        let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
        match splice(from, None, &self.into, None, self.capacity, flags) {
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => Ok(0),
            done => Ok(done?),
        }
    }

    /// Splices from the pipe into a socket.
    pub fn empty(&mut self, to: &impl AsFd, bytes: usize) -> io::Result<usize> {
        let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
        Ok(splice(&self.out, None, to, None, bytes, flags)?)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    use super::*;

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (near, listener.accept().unwrap().0)
    }

    #[test]
    fn bytes_pass_from_socket_to_socket_through_a_pipe() {
        let ((mut client, near), (far, mut target)) = (pair(), pair());
        near.set_nonblocking(true).unwrap();
        let mut pipe = SystemPipe::open(256 * 1024).unwrap();
        assert!(pipe.capacity() >= 4096);
        assert_eq!(pipe.fill(&near).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        client.write_all(b"through the pipe").unwrap();
        let filled = loop {
            match pipe.fill(&near) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                filled => break filled.unwrap(),
            }
        };
        assert_eq!(pipe.empty(&far, filled).unwrap(), 16);
        let mut received = [0; 16];
        target.read_exact(&mut received).unwrap();
        assert_eq!(&received, b"through the pipe");
    }

    #[test]
    fn at_the_end_of_file_a_pipe_stays_empty() {
        let (client, near) = pair();
        near.set_nonblocking(true).unwrap();
        drop(client);
        let mut pipe = SystemPipe::open(4096).unwrap();
        let filled = loop {
            match pipe.fill(&near) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                filled => break filled.unwrap(),
            }
        };
        assert_eq!(filled, 0);
    }
}
