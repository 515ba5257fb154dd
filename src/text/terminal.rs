//! The width of the terminal that standard output or standard error goes to.

use super::wrap::COLUMNS;

/// Columns for text on standard output: at most 80, fewer on a narrower terminal.
pub fn stdout_columns() -> usize {
    #[cfg(unix)]
    return columns(std::io::stdout());
    #[cfg(not(unix))]
    COLUMNS
}

/// The same for standard error.
pub fn stderr_columns() -> usize {
    #[cfg(unix)]
    return columns(std::io::stderr());
    #[cfg(not(unix))]
    COLUMNS
}

/// What is no terminal has no size. A terminal that does not know its size says 0.
#[cfg(unix)]
fn columns(out: impl std::os::fd::AsFd) -> usize {
    match rustix::termios::tcgetwinsize(out) {
        Ok(size) if size.ws_col > 0 => COLUMNS.min(usize::from(size.ws_col)),
        _ => COLUMNS,
    }
}
