//! The width of the terminal on standard output or standard error.

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

/// Only a terminal has a size. A terminal that does not know it returns 0.
#[cfg(unix)]
fn columns(out: impl std::os::fd::AsFd) -> usize {
    match rustix::termios::tcgetwinsize(out) {
        Ok(size) if size.ws_col > 0 => COLUMNS.min(usize::from(size.ws_col)),
        _ => COLUMNS,
    }
}
