//! The mode and the size of the terminal on standard input and output, while a program reads each
//! byte when it is typed. What the bytes mean is decided elsewhere.

use std::io::{self, IsTerminal};

use rustix::process::{self, getpgrp, kill_current_process_group};
use rustix::stdio::{stdin, stdout};
pub use rustix::termios::SpecialCodeIndex;
use rustix::termios::{
    LocalModes, OptionalActions, Termios, Winsize, tcgetattr, tcgetpgrp, tcgetwinsize, tcsetattr,
};

/// The special character that disables a function of the terminal (`_POSIX_VDISABLE`).
const DISABLED: u8 = if cfg!(any(target_os = "linux", target_os = "android")) { 0 } else { 0xff };

/// The modes in which the kernel edits lines and echoes what is typed.
const LINE_MODES: LocalModes = LocalModes::ICANON.union(LocalModes::ECHO);

/// The terminal on standard input and output in a mode in which each byte is reported when it is
/// typed, and not echoed. Dropping it restores the mode that the terminal had before.
///
/// INT and QUIT are still sent by the terminal. The character that stops the process is not, so
/// that the mode can be restored before.
pub struct ByteMode {
    before: Termios,
}

impl ByteMode {
    /// Returns None if standard input or output is no terminal, or one that cannot erase a line.
    pub fn open() -> Option<ByteMode> {
        let term = std::env::var_os("TERM").unwrap_or_default();
        let can_erase = !term.is_empty() && term != "dumb";
        if !can_erase || !io::stdin().is_terminal() || !io::stdout().is_terminal() {
            return None;
        }
        Some(ByteMode { before: tcgetattr(stdin()).ok()? })
    }

    /// Returns a special character that was set before.
    pub fn special_code(&self, index: SpecialCodeIndex) -> Option<u8> {
        Some(self.before.special_codes[index]).filter(|code| *code != DISABLED)
    }

    /// Whether the mode is set. A shell sets its own while the process is stopped.
    pub fn is_set(&self) -> bool {
        tcgetattr(stdin()).is_ok_and(|mode| !mode.local_modes.intersects(LINE_MODES))
    }

    /// Sets the mode, unless it is set. Returns false in the background: there the mode belongs to
    /// another job, and a change of it would stop this one.
    pub fn set(&self) -> bool {
        let mut mode = self.before.clone();
        mode.local_modes.remove(LINE_MODES);
        mode.special_codes[SpecialCodeIndex::VMIN] = 1;
        mode.special_codes[SpecialCodeIndex::VTIME] = 0;
        mode.special_codes[SpecialCodeIndex::VSUSP] = DISABLED;
        let set = || tcsetattr(stdin(), OptionalActions::Now, &mode).is_ok();
        !is_background() && (self.is_set() || set())
    }

    /// Restores the mode that the terminal had before.
    fn restore(&self) {
        if !is_background() {
            // It fails if the terminal hung up, and then there is no mode.
            let _ = tcsetattr(stdin(), OptionalActions::Now, &self.before);
        }
    }

    /// Stops the processes of the job, as the terminal itself would. Returns when they continue.
    pub fn suspend(&self) {
        if tcgetpgrp(stdin()) == Ok(getpgrp()) {
            self.restore();
            let _ = kill_current_process_group(process::Signal::TSTP);
        }
    }
}

impl Drop for ByteMode {
    fn drop(&mut self) {
        self.restore();
    }
}

/// Returns the columns and rows of the terminal on standard output. 0: unknown.
pub fn size() -> (usize, usize) {
    let known = |size: Winsize| (usize::from(size.ws_col), usize::from(size.ws_row));
    tcgetwinsize(stdout()).map_or((0, 0), known)
}

/// Writes all of a text to standard output, with one system call if the terminal accepts it.
pub fn write(text: &str) -> io::Result<()> {
    let mut left = text.as_bytes();
    while !left.is_empty() {
        match rustix::io::write(stdout(), left) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => left = &left[written..],
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Whether the terminal is controlled by another job.
pub fn is_background() -> bool {
    tcgetpgrp(stdin()).is_ok_and(|foreground| foreground != getpgrp())
}
