//! Why a command of ctl failed.

use std::fmt;
use std::io;

use crate::core::SysError;

/// The reason, as printed after the name of the program.
#[derive(Debug)]
pub enum CtlError {
    /// The environment or a file is at fault, not the daemon.
    Usage(String),
    /// The daemon cannot be reached, or it answered with an error.
    Failed(String),
    /// Standard output cannot be written.
    Output(io::Error),
}

impl CtlError {
    /// Whether the reader of standard output has left, which ends the output and is no failure.
    pub fn is_closed_output(&self) -> bool {
        matches!(self, CtlError::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }
}

impl fmt::Display for CtlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CtlError::Usage(text) | CtlError::Failed(text) => f.write_str(text),
            CtlError::Output(error) => write!(f, "cannot write: {}", message(error)),
        }
    }
}

impl std::error::Error for CtlError {}

/// Returns the text of an error without the number that the standard library appends.
pub fn message(error: &io::Error) -> String {
    match error.get_ref() {
        Some(inner) => inner.to_string(),
        None => SysError::from(error).to_string(),
    }
}
