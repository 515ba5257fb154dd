//! The process that started this one, if it is one of several: it sends the start message.

pub use pipe::Parent;

#[cfg(unix)]
mod pipe {
    use std::io::{self, Read};
    use std::os::fd::AsFd;

    use mio::unix::pipe::Receiver;
    use mio::{Interest, Registry, Token};

    use crate::stress::protocol::GO;

    /// The parent process. Its messages arrive on standard input.
    #[derive(Debug)]
    pub struct Parent {
        from: Receiver,
        buffer: Vec<u8>,
    }

    impl Parent {
        pub fn register(registry: &Registry, token: Token) -> io::Result<Parent> {
            let mut from = Receiver::from(io::stdin().as_fd().try_clone_to_owned()?);
            from.set_nonblocking(true)?;
            registry.register(&mut from, token, Interest::READABLE)?;
            Ok(Parent { from, buffer: Vec::new() })
        }

        /// Reads what has arrived. `None`: the parent has exited. Otherwise whether the start
        /// message has arrived.
        pub fn read(&mut self) -> Option<bool> {
            let mut chunk = [0; 64];
            loop {
                match self.from.read(&mut chunk) {
                    Ok(0) => return None,
                    Ok(bytes) => self.buffer.extend_from_slice(&chunk[..bytes]),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(_) => return None,
                }
            }
            let lines = String::from_utf8_lossy(&self.buffer);
            Some(lines.lines().any(|line| line == GO))
        }
    }
}

#[cfg(not(unix))]
mod pipe {
    use std::io;

    use mio::{Registry, Token};

    /// Without Unix pipes a run is one process.
    #[derive(Debug)]
    pub struct Parent;

    impl Parent {
        pub fn register(_: &Registry, _: Token) -> io::Result<Parent> {
            Err(io::ErrorKind::Unsupported.into())
        }

        pub fn read(&mut self) -> Option<bool> {
            None
        }
    }
}
