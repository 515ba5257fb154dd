//! Our own standard input and output, as one end of a connection.
//!
//! The two descriptors belong to whoever started us, and may be shared: to set O_NONBLOCK on one
//! would set it for the parent too. So they stay as they are, and each call is preceded by a
//! poll(2) that does not wait. What has no readiness to wait for (a regular file, /dev/null)
//! always polls ready.

use std::io;
use std::os::fd::BorrowedFd;

use mio::event::Source;
use mio::{Interest, Registry, Token};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::pipe::PIPE_BUF;
use rustix::stdio::{stdin, stdout};

use super::line_ends::LineEnds;

/// Reads come from descriptor 0, writes go to descriptor 1. There is one of it in a process.
///
/// Whoever makes it marks it readable and writable at once: a call that finds nothing answers
/// `WouldBlock`, and from then on the system announces the change. For what is always ready there
/// is no announcement and no `WouldBlock` either, so its marks stay.
#[derive(Debug)]
pub struct Stdio {
    input: Input,
    output: Output,
    /// Some: each line end of the input is read as CR LF.
    line_ends: Option<LineEnds>,
    /// The end of the input is kept to ourselves: whoever reads is told that nothing is there now.
    holds_open: bool,
    /// The input has ended.
    ended: bool,
}

#[cfg(not(mio_unsupported_force_poll_poll))]
type Input = Watched<{ libc::STDIN_FILENO }>;
#[cfg(not(mio_unsupported_force_poll_poll))]
type Output = Watched<{ libc::STDOUT_FILENO }>;
// On poll(2), mio makes edges of levels itself, and has to see each call that would have blocked.
#[cfg(mio_unsupported_force_poll_poll)]
type Input = mio::unix::pipe::Receiver;
#[cfg(mio_unsupported_force_poll_poll)]
type Output = mio::unix::pipe::Sender;

impl Stdio {
    pub fn open() -> io::Result<Stdio> {
        #[cfg(not(mio_unsupported_force_poll_poll))]
        let (input, output) = (Watched, Watched);
        #[cfg(mio_unsupported_force_poll_poll)]
        let (input, output) =
            (stdin().try_clone_to_owned()?.into(), stdout().try_clone_to_owned()?.into());
        Ok(Stdio { input, output, line_ends: None, holds_open: false, ended: false })
    }

    /// Whether each line end of the input is read as CR LF.
    pub fn with_cr_lf(self, widens: bool) -> Stdio {
        Stdio { line_ends: widens.then(LineEnds::default), ..self }
    }

    /// Whether the end of the input is kept back: who reads finds nothing more, and no end either.
    pub fn held_open(self, holds_open: bool) -> Stdio {
        Stdio { holds_open, ..self }
    }

    /// Reads at most `into.len()` bytes, which must be two or more if line ends are widened.
    pub fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.ended && self.holds_open {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let bytes = match &mut self.line_ends {
            None => self.input.try_io(|| read_now(stdin(), into))?,
            Some(ends) => {
                let room = LineEnds::room(into);
                let read = self.input.try_io(|| read_now(stdin(), room))?;
                ends.widen(into, read)
            }
        };
        self.ended |= bytes == 0;
        if self.ended && self.holds_open {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(bytes)
    }

    /// Whether the input has been read to its end.
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    pub fn write(&self, from: &[u8]) -> io::Result<usize> {
        self.output.try_io(|| write_now(stdout(), from))
    }

    /// Whether the reader of our output is gone. An input that fails says so when it is read.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        error_now(stdout())
    }
}

/// Each descriptor is watched for its own direction alone; both announce themselves by the one
/// token.
impl Source for Stdio {
    fn register(&mut self, registry: &Registry, token: Token, _: Interest) -> io::Result<()> {
        self.input.register(registry, token, Interest::READABLE)?;
        self.output.register(registry, token, Interest::WRITABLE)
    }

    fn reregister(&mut self, registry: &Registry, token: Token, _: Interest) -> io::Result<()> {
        self.input.reregister(registry, token, Interest::READABLE)?;
        self.output.reregister(registry, token, Interest::WRITABLE)
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        // What was never on the list (a file), or is off it already (a closed pipe), needs no
        // undoing.
        let _ = self.input.deregister(registry);
        let _ = self.output.deregister(registry);
        Ok(())
    }
}

/// What poll(2) says, unasked, of an output that nobody reads any more.
const GONE: PollFlags = PollFlags::ERR.union(PollFlags::HUP).union(PollFlags::NVAL);

fn read_now(input: BorrowedFd<'_>, into: &mut [u8]) -> io::Result<usize> {
    // The end of a pipe shows as a hang-up without "readable": any answer is worth a read.
    if poll_now(input, PollFlags::IN)?.is_empty() {
        return Err(io::ErrorKind::WouldBlock.into());
    }
    Ok(rustix::io::read(input, into)?)
}

/// Writes at most PIPE_BUF bytes: so many are taken without blocking by a pipe that polls writable.
fn write_now(output: BorrowedFd<'_>, from: &[u8]) -> io::Result<usize> {
    let found = poll_now(output, PollFlags::OUT)?;
    if found.is_empty() {
        return Err(io::ErrorKind::WouldBlock.into());
    }
    match rustix::io::write(output, &from[..from.len().min(PIPE_BUF)]) {
        // A terminal that hung up says so in this way; a pipe says EPIPE.
        Err(rustix::io::Errno::IO) if found.intersects(GONE) => {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        done => Ok(done?),
    }
}

fn error_now(output: BorrowedFd<'_>) -> io::Result<Option<io::Error>> {
    let gone = poll_now(output, PollFlags::empty())?.intersects(GONE);
    Ok(gone.then(|| io::ErrorKind::BrokenPipe.into()))
}

fn poll_now(descriptor: BorrowedFd<'_>, wanted: PollFlags) -> io::Result<PollFlags> {
    let mut asked = [PollFd::from_borrowed_fd(descriptor, wanted)];
    rustix::event::poll(&mut asked, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))?;
    Ok(asked[0].revents())
}

/// A descriptor that epoll or kqueue watches by its number: it keeps nothing.
#[cfg(not(mio_unsupported_force_poll_poll))]
#[derive(Debug)]
struct Watched<const DESCRIPTOR: std::os::fd::RawFd>;

#[cfg(not(mio_unsupported_force_poll_poll))]
impl<const DESCRIPTOR: std::os::fd::RawFd> Watched<DESCRIPTOR> {
    fn try_io<T>(&self, call: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        call()
    }
}

#[cfg(not(mio_unsupported_force_poll_poll))]
impl<const DESCRIPTOR: std::os::fd::RawFd> Source for Watched<DESCRIPTOR> {
    fn register(&mut self, registry: &Registry, token: Token, way: Interest) -> io::Result<()> {
        use io::ErrorKind::{InvalidInput, PermissionDenied};
        match mio::unix::SourceFd(&DESCRIPTOR).register(registry, token, way) {
            // epoll refuses regular files and /dev/null with EPERM, kqueue some devices with
            // EINVAL: they are always ready, and there is nothing to be told of them.
            Err(error) if matches!(error.kind(), PermissionDenied | InvalidInput) => Ok(()),
            done => done,
        }
    }

    fn reregister(&mut self, registry: &Registry, token: Token, way: Interest) -> io::Result<()> {
        let _ = self.deregister(registry);
        self.register(registry, token, way)
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        mio::unix::SourceFd(&DESCRIPTOR).deregister(registry)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write;
    use std::os::fd::AsFd;

    use rustix::pipe::pipe;

    use super::*;

    fn kind<T: std::fmt::Debug>(result: io::Result<T>) -> io::ErrorKind {
        result.unwrap_err().kind()
    }

    #[test]
    fn an_empty_pipe_does_not_block_a_read_and_a_closed_one_ends_it() {
        let (reader, writer) = pipe().unwrap();
        let mut room = [0; 16];
        assert_eq!(kind(read_now(reader.as_fd(), &mut room)), io::ErrorKind::WouldBlock);
        rustix::io::write(&writer, b"hello").unwrap();
        assert_eq!(read_now(reader.as_fd(), &mut room).unwrap(), 5);
        drop(writer);
        assert_eq!(read_now(reader.as_fd(), &mut room).unwrap(), 0);
    }

    #[test]
    fn a_full_pipe_does_not_block_a_write() {
        let (reader, writer) = pipe().unwrap();
        let mut taken = 0;
        let full = loop {
            match write_now(writer.as_fd(), &[b'x'; 3 * PIPE_BUF]) {
                Ok(bytes) => taken += bytes,
                Err(error) => break error,
            }
            assert!(taken < 1 << 26, "the pipe takes everything");
        };
        assert_eq!(full.kind(), io::ErrorKind::WouldBlock);
        let mut room = vec![0; taken];
        assert_eq!(rustix::io::read(&reader, &mut room[..PIPE_BUF]).unwrap(), PIPE_BUF);
        assert_eq!(write_now(writer.as_fd(), b"more").unwrap(), 4);
    }

    #[test]
    fn a_pipe_that_nobody_reads_is_broken_when_full_and_when_empty() {
        for fill in [false, true] {
            let (reader, writer) = pipe().unwrap();
            while fill && write_now(writer.as_fd(), &[b'x'; PIPE_BUF]).is_ok() {}
            assert!(error_now(writer.as_fd()).unwrap().is_none());
            drop(reader);
            assert_eq!(kind(write_now(writer.as_fd(), b"x")), io::ErrorKind::BrokenPipe);
            let told = error_now(writer.as_fd()).unwrap().unwrap();
            assert_eq!(told.kind(), io::ErrorKind::BrokenPipe);
        }
    }

    #[test]
    fn files_and_the_null_device_are_always_ready() {
        let path = std::env::temp_dir().join(format!("oneloop-stdio-{}", std::process::id()));
        File::create(&path).unwrap().write_all(b"text").unwrap();
        let file = File::options().read(true).write(true).open(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let mut room = [0; 16];
        assert_eq!(read_now(file.as_fd(), &mut room).unwrap(), 4);
        assert_eq!(read_now(file.as_fd(), &mut room).unwrap(), 0);
        assert_eq!(write_now(file.as_fd(), b"more").unwrap(), 4);
        let null = File::options().read(true).write(true).open("/dev/null").unwrap();
        assert_eq!(read_now(null.as_fd(), &mut room).unwrap(), 0);
        assert_eq!(write_now(null.as_fd(), b"gone").unwrap(), 4);
    }

    #[test]
    fn whatever_the_two_descriptors_are_they_can_be_registered_and_taken_off_again() {
        let poll = mio::Poll::new().unwrap();
        let mut stdio = Stdio::open().unwrap();
        stdio.register(poll.registry(), Token(1), Interest::READABLE).unwrap();
        stdio.reregister(poll.registry(), Token(2), Interest::READABLE).unwrap();
        stdio.deregister(poll.registry()).unwrap();
    }
}
