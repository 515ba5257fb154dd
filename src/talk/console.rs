//! Standard input and output of a chat: owns the screen, the status lines on standard error, and
//! the line editor of a terminal. Does not know clients.

use std::fmt;
use std::io::{self, IsTerminal};

use super::line_editor::{LineEditor, Typed, display};
use super::screen::{FlushOutcome, Screen, StatusLines};
use super::terminal::EditedTerminal;
use crate::core::{Ready, SysError};
use crate::net::stdio::Stdio;

/// Maximum bytes per read of the input.
pub const INPUT_BYTES: usize = 64 * 1024;

/// Standard input and output.
pub struct Console {
    pub stdio: Stdio,
    /// Readiness bits of standard input and output.
    ready: Ready,
    pub screen: Screen,
    status_lines: StatusLines,
    input: Box<[u8]>,
    /// Standard input is a terminal.
    pub is_terminal: bool,
    /// Edits typed lines, if standard output is a terminal too.
    editor: Option<(EditedTerminal, LineEditor)>,
    /// The error of standard output.
    pub failed: Option<SysError>,
}

/// What was read.
pub enum Input {
    /// As much as was available; edited by us, a line.
    Text(Vec<u8>),
    /// The end was typed.
    End,
}

impl Console {
    /// Opens standard input and output. `crlf`: line ends of the input are read as CR LF. `quiet`:
    /// no status line is printed.
    pub fn open(crlf: bool, quiet: bool) -> io::Result<Console> {
        let terminal = EditedTerminal::open();
        let has_status = !quiet && terminal.as_ref().is_some_and(|terminal| terminal.has_stderr);
        Ok(Console {
            stdio: Stdio::open()?.with_cr_lf(crlf),
            ready: Ready::READ.with(Ready::WRITE),
            screen: Screen::new(has_status),
            status_lines: if quiet { StatusLines::silent() } else { StatusLines::new() },
            input: vec![0; INPUT_BYTES].into_boxed_slice(),
            is_terminal: io::stdin().is_terminal(),
            editor: terminal.map(|terminal| {
                let editor = LineEditor::new(terminal.keys());
                (terminal, editor)
            }),
            failed: None,
        })
    }

    /// Whether the typed line is edited by us, in a mode of the terminal that others may change.
    pub fn is_edited(&self) -> bool {
        self.editor.is_some()
    }

    /// Sets readiness bits from an event.
    pub fn mark(&mut self, ready: Ready) {
        self.ready = self.ready.with(ready);
    }

    /// Prints a status line after the lines before it.
    pub fn status(&mut self, line: impl fmt::Display) {
        self.screen.add_status(format!("* {line}"));
    }

    /// Whether the input may be read now. What is typed is displayed on the screen, so that must
    /// have room.
    pub fn can_read(&self) -> bool {
        self.ready.has(Ready::READ) && (self.editor.is_none() || self.screen.has_room())
    }

    /// Whether there is output that can be written now.
    pub fn can_flush(&self) -> bool {
        !self.screen.is_empty() && self.ready.has(Ready::WRITE)
    }

    /// Reads the input once. At a terminal its end is typed; a file or a pipe has nothing more.
    pub fn read(&mut self) -> Vec<Input> {
        match self.stdio.read(&mut self.input) {
            Ok(0) => {
                self.ready = self.ready.without(Ready::READ);
                if self.is_terminal { vec![Input::End] } else { Vec::new() }
            }
            Ok(bytes) => match &mut self.editor {
                None => vec![Input::Text(self.input[..bytes].to_vec())],
                Some((_, editor)) => {
                    let typed = editor.push(&self.input[..bytes]);
                    typed.into_iter().filter_map(|typed| self.handle_typed(typed)).collect()
                }
            },
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Vec::new(),
            Err(error) => {
                self.ready = self.ready.without(Ready::READ);
                if error.kind() != io::ErrorKind::WouldBlock {
                    self.status(format_args!("standard input failed: {}", SysError::from(&error)));
                }
                Vec::new()
            }
        }
    }

    fn handle_typed(&mut self, typed: Typed) -> Option<Input> {
        match typed {
            Typed::Line(line) => {
                self.screen.add_typed(display(&line));
                return Some(Input::Text(line));
            }
            Typed::End => return Some(Input::End),
            Typed::Reprint => self.screen.leave_typed(),
            Typed::Suspend => {
                self.screen.leave_typed();
                self.flush_output();
                self.editor.iter().for_each(|(terminal, _)| terminal.suspend());
            }
        }
        None
    }

    /// Displays the line being typed, unless the input is not read any more or the terminal belongs
    /// to another job. Called before each sleep.
    pub fn show_typed(&mut self, reads_input: bool) {
        self.forget_after_stop();
        let Some((terminal, editor)) = &self.editor else { return };
        match reads_input && terminal.set_mode() {
            true => self.screen.show_typed(editor.display(terminal.columns())),
            false => self.screen.leave_typed(),
        }
    }

    /// Erases the line being typed for as long as a turn takes, because the log may print. Not
    /// while the output is blocked: each turn would add to what waits.
    pub fn hide_typed(&mut self) {
        if !self.forget_after_stop() && self.ready.has(Ready::WRITE) {
            self.screen.erase_typed();
            self.flush_output();
        }
    }

    /// Returns whether others changed the mode for editing: the process was stopped, and they have
    /// printed since. Then the typed line is no longer displayed where it was.
    fn forget_after_stop(&mut self) -> bool {
        let is_lost = self.editor.as_ref().is_some_and(|(terminal, _)| !terminal.has_mode());
        if is_lost {
            self.screen.forget_typed();
        }
        is_lost
    }

    /// Writes buffered lines to standard output, and the status lines between them.
    pub fn flush(&mut self) {
        self.flush_output();
        while let Some(line) = self.screen.next_status() {
            self.status_lines.print(line);
        }
    }

    /// Writes what the outputs accept now, and drops the rest.
    pub fn finish(&mut self) {
        self.flush_output();
        self.screen.discard();
        self.flush();
    }

    fn flush_output(&mut self) {
        if self.failed.is_some() {
            return self.screen.discard();
        }
        let flushed = match (self.ready.has(Ready::ERROR), self.can_flush()) {
            (_, true) => self.screen.flush(|bytes| self.stdio.write(bytes)),
            (true, false) => match self.stdio.take_error() {
                Ok(Some(error)) | Err(error) => Err(error),
                Ok(None) => Ok(FlushOutcome::Done),
            },
            (false, false) => return,
        };
        self.ready = self.ready.without(Ready::ERROR);
        match flushed {
            Ok(FlushOutcome::Blocked) => self.ready = self.ready.without(Ready::WRITE),
            Ok(FlushOutcome::Done | FlushOutcome::Yielded) => {}
            Err(error) => {
                self.screen.discard();
                self.ready = self.ready.without(Ready::WRITE);
                self.failed = Some(SysError::from(&error));
            }
        }
    }
}
