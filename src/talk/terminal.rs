//! What a terminal or a pipe on standard input and output means for the loop, and the mode of the
//! terminal while lines are edited by us.

use std::io::{self, IsTerminal};

use mio::event::Event as IoEvent;
use rustix::fs::fstat;
use rustix::process::{self, getpgrp, kill_current_process_group};
use rustix::stdio::{stderr, stdin, stdout};
use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcgetpgrp, tcgetwinsize,
    tcsetattr,
};

use super::line_editor::{COLUMNS, SpecialKeys};

use crate::core::{Ready, Signal};
use crate::runtime::event_loop;

/// Maximum events per poll. Others are reported by the next poll.
pub const EVENTS: usize = 256;

/// Whether a signal ends the session. SIGHUP does if a standard descriptor is a terminal, because
/// then the terminal may have hung up.
pub fn is_terminating(signal: Signal) -> bool {
    let terminals =
        [io::stdin().is_terminal(), io::stdout().is_terminal(), io::stderr().is_terminal()];
    signal != Signal::HangUp || terminals.contains(&true)
}

/// Converts an event to readiness bits. The end of a pipe is reported as a hang-up without
/// readability, and only a read distinguishes it, so it counts as readable. A closed reader of our
/// output is reported as an error by a pipe, and as a hang-up by a socket.
pub fn ready(event: &IoEvent) -> Ready {
    let bit = |on: bool, bit: Ready| if on { bit } else { Ready::NONE };
    event_loop::ready(event)
        .with(bit(event.is_read_closed(), Ready::READ))
        .with(bit(event.is_write_closed(), Ready::ERROR))
}

/// The special character that disables a function of the terminal (`_POSIX_VDISABLE`).
const DISABLED: u8 = if cfg!(any(target_os = "linux", target_os = "android")) { 0 } else { 0xff };

/// The modes in which the kernel edits lines and echoes what is typed.
const LINE_MODES: LocalModes = LocalModes::ICANON.union(LocalModes::ECHO);

/// The terminal on standard input and output in the mode for editing lines: each byte is reported
/// when it is typed, and not echoed. Dropping it restores the mode that the terminal had before.
///
/// INT and QUIT are still sent by the terminal. The character that stops the process is not, so
/// that the mode can be restored before.
pub struct EditedTerminal {
    before: Termios,
    /// Status lines on standard error appear on the same terminal.
    pub has_stderr: bool,
}

impl EditedTerminal {
    /// Returns None if standard input or output is no terminal, or one that cannot erase a line.
    pub fn open() -> Option<EditedTerminal> {
        let term = std::env::var_os("TERM").unwrap_or_default();
        let can_erase = !term.is_empty() && term != "dumb";
        if !can_erase || !io::stdin().is_terminal() || !io::stdout().is_terminal() {
            return None;
        }
        let is_same = |error: rustix::fs::Stat, output: rustix::fs::Stat| {
            (error.st_rdev, error.st_ino) == (output.st_rdev, output.st_ino)
        };
        let stats = fstat(stderr()).and_then(|error| Ok((error, fstat(stdout())?)));
        let has_stderr =
            io::stderr().is_terminal() && stats.is_ok_and(|(error, output)| is_same(error, output));
        Some(EditedTerminal { before: tcgetattr(stdin()).ok()?, has_stderr })
    }

    /// Returns the special characters that were set.
    pub fn keys(&self) -> SpecialKeys {
        let key = |index| Some(self.before.special_codes[index]).filter(|code| *code != DISABLED);
        SpecialKeys {
            erase: key(SpecialCodeIndex::VERASE),
            erase_word: key(SpecialCodeIndex::VWERASE),
            erase_line: key(SpecialCodeIndex::VKILL),
            end: key(SpecialCodeIndex::VEOF),
            reprint: key(SpecialCodeIndex::VREPRINT),
            suspend: key(SpecialCodeIndex::VSUSP),
        }
    }

    /// Whether the mode for editing is set. A shell sets its own while the process is stopped.
    pub fn has_mode(&self) -> bool {
        tcgetattr(stdin()).is_ok_and(|mode| !mode.local_modes.intersects(LINE_MODES))
    }

    /// Sets the mode for editing, unless it is set. Returns false in the background: there the mode
    /// belongs to another job, and a change of it would stop this one.
    pub fn set_mode(&self) -> bool {
        let mut mode = self.before.clone();
        mode.local_modes.remove(LINE_MODES);
        mode.special_codes[SpecialCodeIndex::VMIN] = 1;
        mode.special_codes[SpecialCodeIndex::VTIME] = 0;
        mode.special_codes[SpecialCodeIndex::VSUSP] = DISABLED;
        let set = || tcsetattr(stdin(), OptionalActions::Now, &mode).is_ok();
        !is_background() && (self.has_mode() || set())
    }

    /// Restores the mode that the terminal had before.
    fn restore_mode(&self) {
        if !is_background() {
            // It fails if the terminal hung up, and then there is no mode.
            let _ = tcsetattr(stdin(), OptionalActions::Now, &self.before);
        }
    }

    /// Stops the processes of the job, as the terminal itself would. Returns when they continue.
    pub fn suspend(&self) {
        if tcgetpgrp(stdin()) == Ok(getpgrp()) {
            self.restore_mode();
            let _ = kill_current_process_group(process::Signal::TSTP);
        }
    }

    /// Returns the width of the terminal in columns.
    pub fn columns(&self) -> usize {
        let columns = tcgetwinsize(stdout()).map_or(0, |size| usize::from(size.ws_col));
        if columns == 0 { COLUMNS } else { columns }
    }
}

impl Drop for EditedTerminal {
    fn drop(&mut self) {
        self.restore_mode();
    }
}

/// Whether the terminal is controlled by another job.
fn is_background() -> bool {
    tcgetpgrp(stdin()).is_ok_and(|foreground| foreground != getpgrp())
}
