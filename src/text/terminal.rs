//! Terminals: the width of standard output or standard error, and colors.

use super::wrap::COLUMNS;

/// Returns the columns for text on standard output: at most 80, fewer on a narrower terminal.
pub fn stdout_columns() -> usize {
    #[cfg(unix)]
    return columns(std::io::stdout());
    #[cfg(not(unix))]
    COLUMNS
}

/// Returns the columns for text on standard error.
pub fn stderr_columns() -> usize {
    #[cfg(unix)]
    return columns(std::io::stderr());
    #[cfg(not(unix))]
    COLUMNS
}

/// Returns the columns for a table on standard output: all of a terminal, 80 elsewhere.
pub fn stdout_table_columns() -> usize {
    #[cfg(unix)]
    return terminal_columns(std::io::stdout()).unwrap_or(COLUMNS);
    #[cfg(not(unix))]
    COLUMNS
}

#[cfg(unix)]
fn columns(out: impl std::os::fd::AsFd) -> usize {
    terminal_columns(out).map_or(COLUMNS, |columns| columns.min(COLUMNS))
}

/// Only a terminal has a size. A terminal that does not know it returns 0.
#[cfg(unix)]
fn terminal_columns(out: impl std::os::fd::AsFd) -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(out).ok()?;
    (size.ws_col > 0).then(|| usize::from(size.ws_col))
}

/// Colors text, if enabled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Paint(pub bool);

impl Paint {
    pub fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }

    /// For what must not be overlooked.
    pub fn inverse(self, text: &str) -> String {
        self.paint("7", text)
    }

    pub fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }

    pub fn strong(self, text: &str) -> String {
        self.paint("1;36", text)
    }

    /// For values that need no attention.
    pub fn fine(self, text: &str) -> String {
        self.paint("32", text)
    }

    pub fn good(self, text: &str) -> String {
        self.paint("1;32", text)
    }

    pub fn warning(self, text: &str) -> String {
        self.paint("33", text)
    }

    pub fn bad(self, text: &str) -> String {
        self.paint("1;31", text)
    }

    fn paint(self, code: &str, text: &str) -> String {
        match self.0 {
            true => format!("\x1b[{code}m{text}\x1b[0m"),
            false => text.to_string(),
        }
    }
}
