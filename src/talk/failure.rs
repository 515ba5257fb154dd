//! Failures of `connect` and `chat`: their messages and exit codes.

use std::fmt;
use std::io;

use crate::core::SysError;
use crate::net::{CannotListen, LimitError};
use crate::text::escape::plain;

/// Why a session could not start, or did not end in order.
#[derive(Debug)]
pub enum SessionError {
    /// No connection was established.
    CannotConnect {
        target: String,
        why: String,
        status: ExitStatus,
    },
    /// The connection did not end in order.
    Lost {
        target: String,
        why: String,
        status: ExitStatus,
    },
    /// A datagram target never answered.
    NoAnswer {
        target: String,
        why: String,
    },
    /// Standard input or output failed.
    Stdio(SysError),
    CannotListen(CannotListen),
    /// More clients than the file limit permits.
    Limit(LimitError),
    /// Setting up the event loop failed.
    System(io::Error),
    /// Not supported on this system.
    Unsupported(&'static str),
}

/// Exit code of a failure. Codes of connection failures are curl's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitStatus {
    /// Local error: input, output, or no descriptor or port available.
    LocalError = 1,
    /// The name of the target has no address.
    Unresolved = 6,
    /// The target refused, or is unreachable.
    NotConnected = 7,
    /// Timeout.
    TimedOut = 28,
    /// The connection was reset, or its network failed.
    Lost = 56,
}

impl SessionError {
    pub fn status(&self) -> ExitStatus {
        match self {
            SessionError::CannotConnect { status, .. } | SessionError::Lost { status, .. } => {
                *status
            }
            SessionError::NoAnswer { .. } => ExitStatus::TimedOut,
            _ => ExitStatus::LocalError,
        }
    }
}

impl fmt::Display for SessionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SessionError::CannotConnect { target, why, .. } => {
                write!(f, "cannot connect to {}: {}", plain(target), plain(why))
            }
            SessionError::Lost { target, why, .. } => {
                write!(f, "connection to {} lost: {}", plain(target), plain(why))
            }
            SessionError::NoAnswer { target, why } => {
                write!(f, "no answer from {}: {}", plain(target), plain(why))
            }
            SessionError::Stdio(fault) => write!(f, "standard input or output failed: {fault}"),
            SessionError::CannotListen(error) => write!(f, "{error}"),
            SessionError::Limit(error) => write!(f, "{error}"),
            SessionError::System(error) => write!(f, "cannot start: {}", SysError::from(error)),
            SessionError::Unsupported(what) => write!(f, "not supported on this system: {what}"),
        }
    }
}

impl std::error::Error for SessionError {}

impl From<CannotListen> for SessionError {
    fn from(error: CannotListen) -> SessionError {
        SessionError::CannotListen(error)
    }
}

impl From<io::Error> for SessionError {
    fn from(error: io::Error) -> SessionError {
        SessionError::System(error)
    }
}
