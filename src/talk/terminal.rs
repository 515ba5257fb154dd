//! What a terminal or a pipe on standard input and output means for the loop, and the mode of the
//! terminal while lines are edited by us.

use std::io::{self, IsTerminal};

use mio::event::Event as IoEvent;
use rustix::fs::fstat;
use rustix::stdio::{stderr, stdout};

use super::line_editor::{COLUMNS, SpecialKeys};

use crate::core::{Ready, Signal};
use crate::net::terminal::{self, ByteMode, SpecialCodeIndex};
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

/// The terminal on standard input and output in the mode for editing lines. Dropping it restores
/// the mode that the terminal had before.
pub struct EditedTerminal {
    mode: ByteMode,
    /// Status lines on standard error appear on the same terminal.
    pub has_stderr: bool,
}

impl EditedTerminal {
    /// Returns None if standard input or output is no terminal, or one that cannot erase a line.
    pub fn open() -> Option<EditedTerminal> {
        let mode = ByteMode::open()?;
        let is_same = |error: rustix::fs::Stat, output: rustix::fs::Stat| {
            (error.st_rdev, error.st_ino) == (output.st_rdev, output.st_ino)
        };
        let stats = fstat(stderr()).and_then(|error| Ok((error, fstat(stdout())?)));
        let has_stderr =
            io::stderr().is_terminal() && stats.is_ok_and(|(error, output)| is_same(error, output));
        Some(EditedTerminal { mode, has_stderr })
    }

    /// Returns the special characters that were set.
    pub fn keys(&self) -> SpecialKeys {
        let key = |index| self.mode.special_code(index);
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
        self.mode.is_set()
    }

    /// Sets the mode for editing, unless it is set. Returns false in the background.
    pub fn set_mode(&self) -> bool {
        self.mode.set()
    }

    /// Stops the processes of the job, as the terminal itself would. Returns when they continue.
    pub fn suspend(&self) {
        self.mode.suspend();
    }

    /// Returns the width of the terminal in columns.
    pub fn columns(&self) -> usize {
        let (columns, _) = terminal::size();
        if columns == 0 { COLUMNS } else { columns }
    }
}
