//! The worker side of a run in several processes: reports to the coordinator that it is ready,
//! waits for the start message, and sends progress and its result.

use std::io::{self, Write};
use std::time::Duration;

use super::protocol::{Message, WorkerResult};
use super::runner::Runner;

pub use parent::Parent;

/// Interval between two progress messages.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(500);

/// Runs the load, and writes messages for the coordinator to `out`.
pub fn run(mut runner: Runner, out: &mut dyn Write) -> io::Result<WorkerResult> {
    let (mut ready, mut next_progress) = (false, Duration::ZERO);
    runner.connect_parent()?;
    while runner.turn()? {
        if !ready && !runner.is_ramping() {
            ready = true;
            // The coordinator needs the number of connections when it starts the loads.
            send(out, &Message::Progress(runner.snapshot()))?;
            send(out, &Message::Ready)?;
        }
        let now = runner.now();
        if now >= next_progress {
            next_progress = now + PROGRESS_INTERVAL;
            send(out, &Message::Progress(runner.snapshot()))?;
        }
    }
    let result = runner.finish().into_worker_result();
    send(out, &Message::Done(Box::new(result.clone())))?;
    Ok(result)
}

fn send(out: &mut dyn Write, message: &Message) -> io::Result<()> {
    out.write_all(message.line().as_bytes())?;
    out.flush()
}

#[cfg(unix)]
mod parent {
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
mod parent {
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
