//! Where log lines go: a descriptor that may be a file, a terminal, a pipe or a socket, and is
//! written to without ever waiting.
//!
//! The plain answer, O_NONBLOCK, is not ours to give: the flag belongs to the open file, and that
//! is shared with the shell and with whoever else writes there. So a terminal or a pipe is opened
//! once more, which makes an open file of our own; a socket is told with each send; and where
//! neither can be done, the system is asked before each write.

use std::io;

use super::sink::Way;

/// Standard error, as a way for lines.
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

    use super::Way;

    /// A pipe that says it is writable takes so many bytes without waiting: a page on Linux, 512
    /// bytes by the book.
    const SURE_BYTES: usize = if cfg!(target_os = "linux") { 4096 } else { 512 };

    /// A descriptor that is written to without waiting, whatever it is.
    pub struct NonblockingOut<F> {
        file: F,
        kind: Kind,
    }

    enum Kind {
        /// A regular file or /dev/null: it takes what it is given, or fails.
        File,
        /// A terminal or a pipe, opened once more for us alone, and not blocking.
        Ours(OwnedFd),
        Socket,
        /// A terminal or a pipe that could not be opened again: it is asked before each write.
        /// Another writer may still fill it between the question and the write; we cannot do
        /// better here.
        Asked,
    }

    impl<F: AsFd> NonblockingOut<F> {
        pub fn new(file: F) -> NonblockingOut<F> {
            let kind = kind(file.as_fd());
            NonblockingOut { file, kind }
        }
    }

    impl<F: AsFd> Way for NonblockingOut<F> {
        fn write_now(&mut self, bytes: &[u8]) -> usize {
            let fd = self.file.as_fd();
            match &self.kind {
                Kind::File => settled(|| write(fd, bytes)),
                Kind::Ours(own) => settled(|| write(own, bytes)),
                Kind::Socket => settled(|| send(fd, bytes, SendFlags::DONTWAIT)),
                Kind::Asked => ask_and_write(fd, bytes),
            }
        }
    }

    fn kind(fd: BorrowedFd<'_>) -> Kind {
        let Ok(stat) = fstat(fd) else { return Kind::File };
        match FileType::from_raw_mode(stat.st_mode as _) {
            FileType::Socket => Kind::Socket,
            FileType::CharacterDevice if !isatty(fd) => Kind::File,
            FileType::CharacterDevice | FileType::Fifo => {
                open_again(fd).map_or(Kind::Asked, Kind::Ours)
            }
            _ => Kind::File,
        }
    }

    /// The same terminal or pipe, as an open file of our own.
    fn open_again(fd: BorrowedFd<'_>) -> Option<OwnedFd> {
        let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        open(name(fd)?, flags, Mode::empty()).ok()
    }

    #[cfg(target_os = "linux")]
    fn name(fd: BorrowedFd<'_>) -> Option<String> {
        use std::os::fd::AsRawFd;
        Some(format!("/proc/self/fd/{}", fd.as_raw_fd()))
    }

    /// Elsewhere only a terminal has a name to be opened by.
    #[cfg(not(target_os = "linux"))]
    fn name(fd: BorrowedFd<'_>) -> Option<std::ffi::CString> {
        rustix::termios::ttyname(fd, Vec::new()).ok()
    }

    /// Writes piece by piece, each no larger than what a yes to the question promises.
    fn ask_and_write(fd: BorrowedFd<'_>, bytes: &[u8]) -> usize {
        let mut done = 0;
        for piece in bytes.chunks(SURE_BYTES) {
            if !would_take(fd) {
                break;
            }
            let taken = settled(|| write(fd, piece));
            done += taken;
            if taken < piece.len() {
                break;
            }
        }
        done
    }

    fn would_take(fd: BorrowedFd<'_>) -> bool {
        let mut asked = [PollFd::from_borrowed_fd(fd, PollFlags::OUT)];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        let gone = PollFlags::ERR | PollFlags::HUP | PollFlags::NVAL;
        poll(&mut asked, Some(&now)).is_ok()
            && asked[0].revents().contains(PollFlags::OUT)
            && !asked[0].revents().intersects(gone)
    }

    /// A signal may break a write off: it is made again, though not for ever.
    fn settled(attempt: impl Fn() -> Result<usize, Errno>) -> usize {
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
        use crate::observe::sink::Sink;

        fn sink<F: AsFd>(file: F) -> Sink<NonblockingOut<F>> {
            Sink::new(NonblockingOut::new(file), |lost| format!("{lost} lost\n"))
        }

        fn asked(file: PipeWriter) -> Sink<NonblockingOut<PipeWriter>> {
            let way = NonblockingOut { file, kind: Kind::Asked };
            Sink::new(way, |lost| format!("{lost} lost\n"))
        }

        fn say<F: AsFd>(sink: &mut Sink<NonblockingOut<F>>, line: &str) {
            sink.write_all(line.as_bytes()).expect("a sink never fails");
        }

        /// Writes lines into something that nobody reads. If it ever waited, the test would not
        /// end.
        fn flood<F: AsFd>(sink: &mut Sink<NonblockingOut<F>>) -> u64 {
            for number in 0..100_000 {
                say(sink, &format!("{number} {}\n", "x".repeat(80)));
                let lost = sink.lost().load(std::sync::atomic::Ordering::Relaxed);
                if lost >= 100 {
                    return lost;
                }
            }
            panic!("something takes eight megabytes that nobody reads");
        }

        /// Reads what is there, without waiting for more.
        fn drain(reader: &mut PipeReader) -> String {
            let flags = fcntl_getfl(&reader).expect("flags");
            fcntl_setfl(&reader, flags | OFlags::NONBLOCK).expect("flags");
            let mut seen = Vec::new();
            let _ = reader.read_to_end(&mut seen);
            String::from_utf8(seen).expect("text")
        }

        #[test]
        fn a_full_pipe_loses_lines_and_later_says_how_many() {
            let (mut reader, writer) = pipe().expect("a pipe");
            let (mut reader2, writer2) = pipe().expect("a pipe");
            for (mut sink, reader) in [(sink(writer), &mut reader), (asked(writer2), &mut reader2)]
            {
                let lost = flood(&mut sink);
                let mut seen = drain(reader);
                assert!(seen.starts_with("0 x") && seen.ends_with('\n'));
                say(&mut sink, "last\n");
                seen += &drain(reader);
                assert!(seen.ends_with(" lost\nlast\n"));
                assert_eq!(seen.lines().filter_map(reported).sum::<u64>(), lost);
                assert!(seen.lines().all(|line| line.len() > 80 || line.len() < 10));
            }
        }

        /// How many lines this line says are lost, if it does.
        fn reported(line: &str) -> Option<u64> {
            line.strip_suffix(" lost")?.parse().ok()
        }

        #[test]
        fn the_flags_of_an_inherited_descriptor_stay_as_they_were() {
            let (_reader, writer) = pipe().expect("a pipe");
            let mut sink = sink(writer.try_clone().expect("a copy"));
            flood(&mut sink);
            let flags = fcntl_getfl(&writer).expect("flags");
            assert!(!flags.contains(OFlags::NONBLOCK));
        }

        #[test]
        fn a_closed_pipe_is_a_loss_and_no_more() {
            let (reader, writer) = pipe().expect("a pipe");
            let (reader2, writer2) = pipe().expect("a pipe");
            let (mut sink, mut asked) = (sink(writer), asked(writer2));
            drop((reader, reader2));
            assert_eq!((flood(&mut sink), flood(&mut asked)), (100, 100));
        }

        #[test]
        fn a_socket_that_nobody_reads_does_not_hold_us_up() {
            let (_peer, socket) = UnixStream::pair().expect("a pair");
            assert!(matches!(kind(socket.as_fd()), Kind::Socket));
            flood(&mut sink(socket));
        }

        #[cfg(target_os = "linux")]
        #[test]
        fn a_full_disk_is_a_loss_and_no_more() {
            let full = File::options().write(true).open("/dev/full").expect("/dev/full");
            assert_eq!(flood(&mut sink(full)), 100);
        }

        #[test]
        fn a_file_and_the_null_device_take_everything() {
            let null = File::options().write(true).open("/dev/null").expect("/dev/null");
            assert!(matches!(kind(null.as_fd()), Kind::File));
            let mut sink = sink(null);
            for _ in 0..1000 {
                say(&mut sink, &("x".repeat(200) + "\n"));
            }
            assert_eq!(sink.lost().load(std::sync::atomic::Ordering::Relaxed), 0);
        }

        #[cfg(target_os = "linux")]
        #[test]
        fn a_terminal_that_nobody_reads_or_that_is_stopped_does_not_hold_us_up() {
            use rustix::termios::{Action, tcflow};
            let (_master, terminal) = terminal();
            assert!(matches!(kind(terminal.as_fd()), Kind::Ours(_)));
            flood(&mut sink(terminal));
            // What ^S does.
            let (_master, terminal) = self::terminal();
            tcflow(&terminal, Action::OOff).expect("stopped");
            assert_eq!(flood(&mut sink(terminal)), 100);
        }

        /// A terminal: the side of the one who looks at it, and ours.
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

/// A handle that is simply written to; what it does not take is lost.
#[cfg(not(unix))]
pub struct Plain<W>(W);

#[cfg(not(unix))]
impl<W: io::Write> Way for Plain<W> {
    fn write_now(&mut self, bytes: &[u8]) -> usize {
        match self.0.write_all(bytes) {
            Ok(()) => bytes.len(),
            Err(_) => 0,
        }
    }
}
