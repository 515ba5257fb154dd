//! Writes to a file, a terminal, a pipe or a socket without blocking.
//!
//! O_NONBLOCK cannot be set on the inherited descriptor: the flag belongs to the open file
//! description, which is shared with the shell and other writers. So a terminal or a pipe is opened
//! again, which creates a description of our own; a socket is written to with MSG_DONTWAIT; where
//! neither works, poll(2) precedes each write.

use std::io;

use super::lossy_writer::TryWrite;

/// Returns standard error, for writing without blocking.
#[cfg(unix)]
pub fn standard_error() -> NonblockingOut<io::Stderr> {
    NonblockingOut::new(io::stderr())
}

#[cfg(not(unix))]
pub fn standard_error() -> Plain<io::Stderr> {
    Plain(io::stderr())
}

#[cfg(unix)]
pub use unix::NonblockingOut;

#[cfg(unix)]
mod unix {
    use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use rustix::fs::{FileType, Mode, OFlags, fstat, open};
    use rustix::io::{Errno, write};
    use rustix::net::{SendFlags, send};
    use rustix::termios::isatty;

    use super::TryWrite;

    /// Bytes that a pipe reported as writable accepts without blocking: a page on Linux, 512 bytes
    /// according to POSIX.
    const POLLED_BYTES: usize = if cfg!(target_os = "linux") { 4096 } else { 512 };

    /// A descriptor of any kind that is written to without blocking.
    pub struct NonblockingOut<F> {
        file: F,
        kind: Kind,
    }

    enum Kind {
        /// A regular file or /dev/null: a write succeeds or fails, but does not block.
        File,
        /// A terminal or a pipe, opened again with O_NONBLOCK.
        Reopened(OwnedFd),
        Socket,
        /// A terminal or a pipe that could not be opened again: poll(2) precedes each write.
        /// Another writer may still fill it between the two calls, and then the write blocks.
        Polled,
    }

    impl<F: AsFd> NonblockingOut<F> {
        pub fn new(file: F) -> NonblockingOut<F> {
            let kind = kind(file.as_fd());
            NonblockingOut { file, kind }
        }
    }

    impl<F: AsFd> TryWrite for NonblockingOut<F> {
        fn write_now(&mut self, bytes: &[u8]) -> usize {
            let fd = self.file.as_fd();
            match &self.kind {
                Kind::File => retry_interrupted(|| write(fd, bytes)),
                Kind::Reopened(own) => retry_interrupted(|| write(own, bytes)),
                Kind::Socket => retry_interrupted(|| send(fd, bytes, SendFlags::DONTWAIT)),
                Kind::Polled => poll_and_write(fd, bytes),
            }
        }
    }

    fn kind(fd: BorrowedFd<'_>) -> Kind {
        let Ok(stat) = fstat(fd) else { return Kind::File };
        match FileType::from_raw_mode(stat.st_mode as _) {
            FileType::Socket => Kind::Socket,
            FileType::CharacterDevice if !isatty(fd) => Kind::File,
            FileType::CharacterDevice | FileType::Fifo => {
                open_again(fd).map_or(Kind::Polled, Kind::Reopened)
            }
            _ => Kind::File,
        }
    }

    /// Opens the same terminal or pipe again.
    fn open_again(fd: BorrowedFd<'_>) -> Option<OwnedFd> {
        let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        open(path(fd)?, flags, Mode::empty()).ok()
    }

    #[cfg(target_os = "linux")]
    fn path(fd: BorrowedFd<'_>) -> Option<String> {
        use std::os::fd::AsRawFd;
        Some(format!("/proc/self/fd/{}", fd.as_raw_fd()))
    }

    /// Elsewhere only a terminal has a path.
    #[cfg(not(target_os = "linux"))]
    fn path(fd: BorrowedFd<'_>) -> Option<std::ffi::CString> {
        rustix::termios::ttyname(fd, Vec::new()).ok()
    }

    /// Writes in pieces no larger than what poll(2) promises.
    fn poll_and_write(fd: BorrowedFd<'_>, bytes: &[u8]) -> usize {
        let mut done = 0;
        for piece in bytes.chunks(POLLED_BYTES) {
            if !is_writable(fd) {
                break;
            }
            let taken = retry_interrupted(|| write(fd, piece));
            done += taken;
            if taken < piece.len() {
                break;
            }
        }
        done
    }

    fn is_writable(fd: BorrowedFd<'_>) -> bool {
        let mut polled = [PollFd::from_borrowed_fd(fd, PollFlags::OUT)];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        let gone = PollFlags::ERR | PollFlags::HUP | PollFlags::NVAL;
        poll(&mut polled, Some(&now)).is_ok()
            && polled[0].revents().contains(PollFlags::OUT)
            && !polled[0].revents().intersects(gone)
    }

    /// Repeats a write that a signal interrupts, at most `ATTEMPTS` times.
    fn retry_interrupted(attempt: impl Fn() -> Result<usize, Errno>) -> usize {
        const ATTEMPTS: usize = 10;
        for _ in 0..ATTEMPTS {
            match attempt() {
                Err(Errno::INTR) => {}
                other => return other.unwrap_or(0),
            }
        }
        0
    }

    #[cfg(test)]
    mod tests {
        use std::fs::File;
        use std::io::{PipeReader, PipeWriter, Read, Write, pipe};
        use std::os::unix::net::UnixStream;

        use rustix::fs::{fcntl_getfl, fcntl_setfl};

        use super::*;
        use crate::text::lossy_writer::LossyWriter;

        fn lossy<F: AsFd>(file: F) -> LossyWriter<NonblockingOut<F>> {
            LossyWriter::new(NonblockingOut::new(file), |lost| format!("{lost} lost\n"))
        }

        fn polled(file: PipeWriter) -> LossyWriter<NonblockingOut<PipeWriter>> {
            let out = NonblockingOut { file, kind: Kind::Polled };
            LossyWriter::new(out, |lost| format!("{lost} lost\n"))
        }

        fn say<F: AsFd>(lossy: &mut LossyWriter<NonblockingOut<F>>, line: &str) {
            lossy.write_all(line.as_bytes()).expect("a lossy writer never fails");
        }

        /// Writes lines to a file without a reader. If a write blocked, the test would not end.
        fn flood<F: AsFd>(lossy: &mut LossyWriter<NonblockingOut<F>>) -> u64 {
            for number in 0..100_000 {
                say(lossy, &format!("{number} {}\n", "x".repeat(80)));
                let lost = lossy.lost().load(std::sync::atomic::Ordering::Relaxed);
                if lost >= 100 {
                    return lost;
                }
            }
            panic!("eight megabytes were accepted without a reader");
        }

        /// Reads the available data without blocking.
        fn drain(reader: &mut PipeReader) -> String {
            let flags = fcntl_getfl(&reader).expect("flags");
            fcntl_setfl(&reader, flags | OFlags::NONBLOCK).expect("flags");
            let mut text = Vec::new();
            let _ = reader.read_to_end(&mut text);
            String::from_utf8(text).expect("text")
        }

        #[test]
        fn a_full_pipe_loses_lines_and_reports_how_many() {
            let (mut reader, writer) = pipe().expect("a pipe");
            let (mut reader2, writer2) = pipe().expect("a pipe");
            for (mut lossy, reader) in
                [(lossy(writer), &mut reader), (polled(writer2), &mut reader2)]
            {
                let lost = flood(&mut lossy);
                let mut text = drain(reader);
                assert!(text.starts_with("0 x") && text.ends_with('\n'));
                say(&mut lossy, "last\n");
                text += &drain(reader);
                assert!(text.ends_with(" lost\nlast\n"));
                assert_eq!(text.lines().filter_map(reported).sum::<u64>(), lost);
                assert!(text.lines().all(|line| line.len() > 80 || line.len() < 10));
            }
        }

        /// Returns the number of lost lines that this line reports.
        fn reported(line: &str) -> Option<u64> {
            line.strip_suffix(" lost")?.parse().ok()
        }

        #[test]
        fn the_flags_of_an_inherited_descriptor_stay_as_they_were() {
            let (_reader, writer) = pipe().expect("a pipe");
            let mut lossy = lossy(writer.try_clone().expect("a copy"));
            flood(&mut lossy);
            let flags = fcntl_getfl(&writer).expect("flags");
            assert!(!flags.contains(OFlags::NONBLOCK));
        }

        #[test]
        fn a_closed_pipe_is_a_loss_and_no_more() {
            let (reader, writer) = pipe().expect("a pipe");
            let (reader2, writer2) = pipe().expect("a pipe");
            let (mut lossy, mut polled) = (lossy(writer), polled(writer2));
            drop((reader, reader2));
            assert_eq!((flood(&mut lossy), flood(&mut polled)), (100, 100));
        }

        #[test]
        fn a_socket_without_a_reader_does_not_block() {
            let (_peer, socket) = UnixStream::pair().expect("a pair");
            assert!(matches!(kind(socket.as_fd()), Kind::Socket));
            flood(&mut lossy(socket));
        }

        #[cfg(target_os = "linux")]
        #[test]
        fn a_full_disk_is_a_loss_and_no_more() {
            let full = File::options().write(true).open("/dev/full").expect("/dev/full");
            assert_eq!(flood(&mut lossy(full)), 100);
        }

        #[test]
        fn the_null_device_accepts_everything() {
            let null = File::options().write(true).open("/dev/null").expect("/dev/null");
            assert!(matches!(kind(null.as_fd()), Kind::File));
            let mut lossy = lossy(null);
            for _ in 0..1000 {
                say(&mut lossy, &("x".repeat(200) + "\n"));
            }
            assert_eq!(lossy.lost().load(std::sync::atomic::Ordering::Relaxed), 0);
        }

        #[cfg(target_os = "linux")]
        #[test]
        fn a_terminal_without_a_reader_or_stopped_does_not_block() {
            use rustix::termios::{Action, tcflow};
            let (_master, terminal) = terminal();
            assert!(matches!(kind(terminal.as_fd()), Kind::Reopened(_)));
            flood(&mut lossy(terminal));
            // What ^S does.
            let (_master, terminal) = self::terminal();
            tcflow(&terminal, Action::OOff).expect("stopped");
            assert_eq!(flood(&mut lossy(terminal)), 100);
        }

        /// Opens a pseudoterminal: returns its master and its slave.
        #[cfg(target_os = "linux")]
        fn terminal() -> (OwnedFd, OwnedFd) {
            use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
            let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
            grantpt(&master).expect("granted");
            unlockpt(&master).expect("unlocked");
            let name = ptsname(&master, Vec::new()).expect("a name");
            let flags = OFlags::RDWR | OFlags::NOCTTY;
            let terminal = open(name, flags, Mode::empty()).expect("its other side");
            (master, terminal)
        }
    }
}

/// An output without non-blocking writes; a failed write loses the line.
#[cfg(not(unix))]
pub struct Plain<W>(W);

#[cfg(not(unix))]
impl<W: io::Write> TryWrite for Plain<W> {
    fn write_now(&mut self, bytes: &[u8]) -> usize {
        match self.0.write_all(bytes) {
            Ok(()) => bytes.len(),
            Err(_) => 0,
        }
    }
}
