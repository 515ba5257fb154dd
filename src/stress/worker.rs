//! Being one process of several: it says when it is ready, waits for the word, says how it stands,
//! and hands in its share.

use std::io::{self, Write};
use std::time::Duration;

use super::loader::Loader;
use super::stage::Stage;
use super::wire::{Share, Told};

pub use line::Superior;

/// So often it is told how it stands.
const TELL_EVERY: Duration = Duration::from_millis(500);

/// Runs the load of one process and tells of it on `out`.
pub fn run(mut loader: Loader, out: &mut dyn Write) -> io::Result<Share> {
    let (mut ready, mut tells_at) = (false, Duration::ZERO);
    loader.heed_line()?;
    while loader.turn()? {
        if !ready && loader.stage != Stage::Ramp {
            ready = true;
            tell(out, &Told::Ready)?;
        }
        let now = loader.now();
        if now >= tells_at {
            tells_at = now + TELL_EVERY;
            tell(out, &Told::Progress(loader.snapshot()))?;
        }
    }
    let share = Share {
        tallies: loader.groups.into_iter().map(|group| group.tally).collect(),
        timeline: loader.timeline,
        busy: loader.busy,
        ramp: loader.ramp,
        climb: loader.climb,
        measured: loader.measured,
        early: loader.early,
    };
    tell(out, &Told::Done(Box::new(share.clone())))?;
    Ok(share)
}

fn tell(out: &mut dyn Write, told: &Told) -> io::Result<()> {
    out.write_all(told.line().as_bytes())?;
    out.flush()
}

#[cfg(unix)]
mod line {
    use std::io::{self, Read};
    use std::os::fd::AsFd;

    use mio::unix::pipe::Receiver;
    use mio::{Interest, Registry, Token};

    use crate::stress::wire::GO;

    /// The process that started this one: what it says comes on standard input.
    #[derive(Debug)]
    pub struct Superior {
        from: Receiver,
        heard: Vec<u8>,
    }

    impl Superior {
        pub fn register(registry: &Registry, token: Token) -> io::Result<Superior> {
            let mut from = Receiver::from(io::stdin().as_fd().try_clone_to_owned()?);
            from.set_nonblocking(true)?;
            registry.register(&mut from, token, Interest::READABLE)?;
            Ok(Superior { from, heard: Vec::new() })
        }

        /// None: nobody is there any more. Some: whether the word to begin has come.
        pub fn hear(&mut self) -> Option<bool> {
            let mut room = [0; 64];
            loop {
                match self.from.read(&mut room) {
                    Ok(0) => return None,
                    Ok(bytes) => self.heard.extend_from_slice(&room[..bytes]),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(_) => return None,
                }
            }
            let lines = String::from_utf8_lossy(&self.heard);
            Some(lines.lines().any(|line| line == GO))
        }
    }
}

#[cfg(not(unix))]
mod line {
    use std::io;

    use mio::{Registry, Token};

    /// Here a run is one process.
    #[derive(Debug)]
    pub struct Superior;

    impl Superior {
        pub fn register(_: &Registry, _: Token) -> io::Result<Superior> {
            Err(io::ErrorKind::Unsupported.into())
        }

        pub fn hear(&mut self) -> Option<bool> {
            None
        }
    }
}
