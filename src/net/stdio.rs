//! Standard input and output as one end of a connection.
//!
//! The two descriptors may be shared with the parent process, and O_NONBLOCK would be set for the
//! parent too. So they stay blocking, and a poll(2) with timeout zero precedes each call. Regular
//! files and /dev/null always poll ready.

use std::io;
use std::os::fd::BorrowedFd;

use mio::event::Source;
use mio::{Interest, Registry, Token};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::pipe::PIPE_BUF;
use rustix::stdio::{stdin, stdout};

use super::line_ends::LineEnds;

/// Reads from descriptor 0 and writes to descriptor 1. A process has at most one.
///
/// The creator must mark it readable and writable at once. A call that cannot proceed returns
/// `WouldBlock`, and an event follows when it can. A descriptor that is always ready causes
/// neither, so its marks stay.
#[derive(Debug)]
pub struct Stdio {
    input: Input,
    output: Output,
    /// If set, each line end of the input is read as CR LF.
    line_ends: Option<LineEnds>,
    /// The end of the input is reported as `WouldBlock`.
    holds_open: bool,
    /// The input has ended.
    ended: bool,
}

#[cfg(not(mio_unsupported_force_poll_poll))]
type Input = Watched<{ libc::STDIN_FILENO }>;
#[cfg(not(mio_unsupported_force_poll_poll))]
type Output = Watched<{ libc::STDOUT_FILENO }>;
// With poll(2), mio emulates edge triggering, and must see each call that would block.
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

    /// Sets whether each line end of the input is read as CR LF.
    pub fn with_cr_lf(self, converts: bool) -> Stdio {
        Stdio { line_ends: converts.then(LineEnds::default), ..self }
    }

    /// Sets whether the end of the input is reported as `WouldBlock` instead of an end of file.
    pub fn held_open(self, holds_open: bool) -> Stdio {
        Stdio { holds_open, ..self }
    }

    /// Reads at most `into.len()` bytes, which must be two or more if line ends are converted.
    pub fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.ended && self.holds_open {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let bytes = match &mut self.line_ends {
            None => self.input.try_io(|| read_now(stdin(), into))?,
            Some(ends) => {
                let half = LineEnds::input_half(into);
                let read = self.input.try_io(|| read_now(stdin(), half))?;
                ends.convert(into, read)
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

    /// Returns an error if the reader of the output is gone. Errors of the input come with a read.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        error_now(stdout())
    }
}

/// Registers each descriptor for its own direction, both under one token.
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
        // A file was never registered, and a closed pipe is deregistered already.
        let _ = self.input.deregister(registry);
        let _ = self.output.deregister(registry);
        Ok(())
    }
}

/// Flags that poll(2) reports for an output without a reader.
const GONE: PollFlags = PollFlags::ERR.union(PollFlags::HUP).union(PollFlags::NVAL);

fn read_now(input: BorrowedFd<'_>, into: &mut [u8]) -> io::Result<usize> {
    // The end of a pipe is reported as POLLHUP without POLLIN, so any flag justifies a read.
    if poll_now(input, PollFlags::IN)?.is_empty() {
        return Err(io::ErrorKind::WouldBlock.into());
    }
    Ok(rustix::io::read(input, into)?)
}

/// Writes at most PIPE_BUF bytes, which a pipe that polls writable accepts without blocking.
fn write_now(output: BorrowedFd<'_>, from: &[u8]) -> io::Result<usize> {
    let found = poll_now(output, PollFlags::OUT)?;
    if found.is_empty() {
        return Err(io::ErrorKind::WouldBlock.into());
    }
    match rustix::io::write(output, &from[..from.len().min(PIPE_BUF)]) {
        // A terminal that hung up returns EIO. A pipe returns EPIPE.
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
    let mut fds = [PollFd::from_borrowed_fd(descriptor, wanted)];
    rustix::event::poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))?;
    Ok(fds[0].revents())
}

/// A descriptor that is registered with epoll or kqueue by its number. It has no state.
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
    fn register(&mut self, registry: &Registry, token: Token, to: Interest) -> io::Result<()> {
        use io::ErrorKind::{InvalidInput, PermissionDenied};
        match mio::unix::SourceFd(&DESCRIPTOR).register(registry, token, to) {
            // epoll refuses regular files and /dev/null with EPERM, kqueue some devices with
            // EINVAL. They are always ready, so they need no events.
            Err(error) if matches!(error.kind(), PermissionDenied | InvalidInput) => Ok(()),
            done => done,
        }
    }

    fn reregister(&mut self, registry: &Registry, token: Token, to: Interest) -> io::Result<()> {
        let _ = self.deregister(registry);
        self.register(registry, token, to)
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
        let mut buffer = [0; 16];
        assert_eq!(kind(read_now(reader.as_fd(), &mut buffer)), io::ErrorKind::WouldBlock);
        rustix::io::write(&writer, b"hello").unwrap();
        assert_eq!(read_now(reader.as_fd(), &mut buffer).unwrap(), 5);
        drop(writer);
        assert_eq!(read_now(reader.as_fd(), &mut buffer).unwrap(), 0);
    }

    #[test]
    fn a_full_pipe_does_not_block_a_write() {
        let (reader, writer) = pipe().unwrap();
        let mut written = 0;
        let full = loop {
            match write_now(writer.as_fd(), &[b'x'; 3 * PIPE_BUF]) {
                Ok(bytes) => written += bytes,
                Err(error) => break error,
            }
            assert!(written < 1 << 26, "the pipe never fills up");
        };
        assert_eq!(full.kind(), io::ErrorKind::WouldBlock);
        let mut buffer = vec![0; written];
        assert_eq!(rustix::io::read(&reader, &mut buffer[..PIPE_BUF]).unwrap(), PIPE_BUF);
        assert_eq!(write_now(writer.as_fd(), b"more").unwrap(), 4);
    }

    #[test]
    fn a_pipe_without_a_reader_is_broken_when_full_and_when_empty() {
        for fill in [false, true] {
            let (reader, writer) = pipe().unwrap();
            while fill && write_now(writer.as_fd(), &[b'x'; PIPE_BUF]).is_ok() {}
            assert!(error_now(writer.as_fd()).unwrap().is_none());
            drop(reader);
            assert_eq!(kind(write_now(writer.as_fd(), b"x")), io::ErrorKind::BrokenPipe);
            let error = error_now(writer.as_fd()).unwrap().unwrap();
            assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        }
    }

    #[test]
    fn files_and_the_null_device_are_always_ready() {
        let path = std::env::temp_dir().join(format!("oneloop-stdio-{}", std::process::id()));
        File::create(&path).unwrap().write_all(b"text").unwrap();
        let file = File::options().read(true).write(true).open(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let mut buffer = [0; 16];
        assert_eq!(read_now(file.as_fd(), &mut buffer).unwrap(), 4);
        assert_eq!(read_now(file.as_fd(), &mut buffer).unwrap(), 0);
        assert_eq!(write_now(file.as_fd(), b"more").unwrap(), 4);
        let null = File::options().read(true).write(true).open("/dev/null").unwrap();
        assert_eq!(read_now(null.as_fd(), &mut buffer).unwrap(), 0);
        assert_eq!(write_now(null.as_fd(), b"gone").unwrap(), 4);
    }

    #[test]
    fn descriptors_of_any_kind_can_be_registered_and_deregistered() {
        let poll = mio::Poll::new().unwrap();
        let mut stdio = Stdio::open().unwrap();
        stdio.register(poll.registry(), Token(1), Interest::READABLE).unwrap();
        stdio.reregister(poll.registry(), Token(2), Interest::READABLE).unwrap();
        stdio.deregister(poll.registry()).unwrap();
    }
}
