//! Signals as events of the loop (the self-pipe technique): the handler writes one byte, and the
//! loop does the rest.
//!
//! Each signal has its own socket pair, so that signals are distinguished and counted. SIGPIPE is
//! not handled: the Rust runtime ignores it before `main`.

pub use crate::core::Signal;

#[cfg(unix)]
pub use unix::{Signals, block_file_size_signal, block_terminal_output_signal, spawn};

#[cfg(unix)]
mod unix {
    use std::io::{self, Read};
    use std::iter::repeat_n;
    use std::process::{Child, Command};

    use mio::net::UnixStream;
    use mio::{Interest, Registry, Token};
    use nix::sys::signal::{SigSet, SigmaskHow, Signal as SystemSignal};
    use signal_hook::SigId;
    use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGWINCH};
    use signal_hook::low_level;

    use super::Signal;

    const WATCHED: [(i32, Signal); 4] = [
        (SIGTERM, Signal::Terminate),
        (SIGINT, Signal::Interrupt),
        (SIGHUP, Signal::HangUp),
        (SIGQUIT, Signal::Quit),
    ];

    /// Blocks SIGXFSZ: a write beyond RLIMIT_FSIZE fails with EFBIG instead of killing the process.
    /// Threads inherit the mask, so this must be called before the first one is started.
    pub fn block_file_size_signal() -> io::Result<()> {
        block(SystemSignal::SIGXFSZ)
    }

    /// Blocks SIGTTOU: on a terminal with `tostop`, a background process writes instead of being
    /// stopped. Threads inherit the mask, so this must be called before the first one is started.
    pub fn block_terminal_output_signal() -> io::Result<()> {
        block(SystemSignal::SIGTTOU)
    }

    fn block(signal: SystemSignal) -> io::Result<()> {
        let mut signals = SigSet::empty();
        signals.add(signal);
        Ok(signals.thread_block()?)
    }

    /// Starts a child with no signal blocked. A child inherits the mask of the thread that starts
    /// it, so the mask is cleared for the call and restored after it.
    pub fn spawn(command: &mut Command) -> io::Result<Child> {
        let before = SigSet::empty().thread_swap_mask(SigmaskHow::SIG_SETMASK)?;
        let child = command.spawn();
        before.thread_set_mask()?;
        child
    }

    /// Handlers for the watched signals, which no longer end the process. `drain` returns those
    /// received.
    #[derive(Debug)]
    pub struct Signals {
        inboxes: Vec<Inbox>,
    }

    #[derive(Debug)]
    struct Inbox {
        /// None: it only ends the sleep.
        signal: Option<Signal>,
        bytes: UnixStream,
        handler: SigId,
    }

    impl Signals {
        /// Installs the handlers, and registers their sockets under one token.
        pub fn new(registry: &Registry, token: Token) -> io::Result<Signals> {
            let mut signals = Signals { inboxes: Vec::new() };
            for (number, signal) in WATCHED {
                signals.watch(number, Some(signal), registry, token)?;
            }
            Ok(signals)
        }

        /// Lets SIGCONT end the sleep. poll(2) is restarted after a stop, without a result.
        pub fn wake_on_continue(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
            self.watch(SIGCONT, None, registry, token)
        }

        /// Lets SIGWINCH end the sleep: the terminal has another size.
        pub fn wake_on_resize(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
            self.watch(SIGWINCH, None, registry, token)
        }

        fn watch(
            &mut self,
            number: i32,
            signal: Option<Signal>,
            registry: &Registry,
            token: Token,
        ) -> io::Result<()> {
            let (mut bytes, writer) = UnixStream::pair()?;
            registry.register(&mut bytes, token, Interest::READABLE)?;
            let handler = low_level::pipe::register(number, std::os::fd::OwnedFd::from(writer))?;
            self.inboxes.push(Inbox { signal, bytes, handler });
            Ok(())
        }

        /// Returns the signals received since the last call, each as often as it was received.
        pub fn drain(&mut self) -> impl Iterator<Item = Signal> {
            let received = |inbox: &mut Inbox| repeat_n(inbox.signal, inbox.count());
            self.inboxes.iter_mut().flat_map(received).flatten()
        }
    }

    impl Drop for Signals {
        fn drop(&mut self) {
            for inbox in &self.inboxes {
                low_level::unregister(inbox.handler);
            }
        }
    }

    /// Maximum signals of one kind per call. More are pending only under a stream of signals, whose
    /// next one causes the next event.
    const BYTES_MAX: usize = 1024;

    impl Inbox {
        fn count(&mut self) -> usize {
            let mut buffer = [0; BYTES_MAX];
            let mut count = 0;
            loop {
                match self.bytes.read(&mut buffer[count..]) {
                    Ok(bytes @ 1..) => count += bytes,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    // Drained, or the buffer is full.
                    _ => return count,
                }
            }
        }
    }
}

#[cfg(not(unix))]
pub use elsewhere::{Signals, block_file_size_signal, block_terminal_output_signal, spawn};

/// No signals are handled: ctrl-c ends the process.
#[cfg(not(unix))]
mod elsewhere {
    use std::io;
    use std::process::{Child, Command};

    use mio::{Registry, Token};

    use super::Signal;

    #[derive(Debug)]
    pub struct Signals;

    /// Does nothing: the signal does not exist here.
    pub fn block_file_size_signal() -> io::Result<()> {
        Ok(())
    }

    /// Does nothing: the signal does not exist here.
    pub fn block_terminal_output_signal() -> io::Result<()> {
        Ok(())
    }

    /// Starts a child.
    pub fn spawn(command: &mut Command) -> io::Result<Child> {
        command.spawn()
    }

    impl Signals {
        pub fn new(_: &Registry, _: Token) -> io::Result<Signals> {
            Ok(Signals)
        }

        /// Does nothing: no process is stopped here.
        pub fn wake_on_continue(&mut self, _: &Registry, _: Token) -> io::Result<()> {
            Ok(())
        }

        pub fn drain(&mut self) -> impl Iterator<Item = Signal> {
            std::iter::empty()
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::time::Duration;

    use mio::{Events, Poll, Token};
    use signal_hook::consts::{SIGHUP, SIGQUIT, SIGTERM};
    use signal_hook::low_level::raise;

    use super::*;

    #[test]
    fn a_child_starts_without_blocked_signals() {
        use std::process::{Command, Stdio};
        block_file_size_signal().unwrap();
        block_terminal_output_signal().unwrap();
        let mask = |status: &str| {
            let line = status.lines().find(|line| line.starts_with("SigBlk:")).unwrap().to_owned();
            line.split_whitespace().nth(1).map(|mask| u64::from_str_radix(mask, 16).unwrap())
        };
        let Ok(own) = std::fs::read_to_string("/proc/thread-self/status") else { return };
        let blocked = 1 << (libc::SIGXFSZ - 1) | 1 << (libc::SIGTTOU - 1);
        assert_eq!(mask(&own), Some(blocked));
        let mut command = Command::new("cat");
        command.arg("/proc/self/status").stdout(Stdio::piped());
        let child = spawn(&mut command).unwrap().wait_with_output().unwrap();
        assert_eq!(mask(&String::from_utf8(child.stdout).unwrap()), Some(0));
        let own = std::fs::read_to_string("/proc/thread-self/status").unwrap();
        assert_eq!(mask(&own), Some(blocked), "the mask is restored");
    }

    /// One test for all: signals belong to the whole process.
    #[test]
    fn each_signal_wakes_the_loop_and_is_told_apart_and_counted() {
        let mut poll = Poll::new().unwrap();
        let mut events = Events::with_capacity(8);
        let mut signals = Signals::new(poll.registry(), Token(7)).unwrap();
        assert_eq!(signals.drain().count(), 0);
        for (sent, received) in [
            (vec![SIGTERM], vec![Signal::Terminate]),
            (vec![SIGHUP, SIGHUP], vec![Signal::HangUp; 2]),
            (vec![SIGQUIT, SIGTERM], vec![Signal::Terminate, Signal::Quit]),
        ] {
            sent.iter().for_each(|&signal| raise(signal).unwrap());
            let woken = poll.poll(&mut events, Some(Duration::from_secs(10)));
            assert!(woken.is_ok() && events.iter().all(|event| event.token() == Token(7)));
            assert!(!events.is_empty(), "{received:?} did not wake the loop");
            assert_eq!(signals.drain().collect::<Vec<_>>(), received);
        }
        // More than the socket holds: the handler must not block.
        (0..5000).for_each(|_| raise(SIGHUP).unwrap());
        assert!(signals.drain().count() > 1);
        assert_eq!(Signal::Interrupt.name(), "SIGINT");
    }
}
