//! Failures of `connect` and `chat`: their messages and exit codes.

use std::fmt;
use std::io;

use crate::core::SysError;
use crate::net::{CannotListen, LimitError};
use crate::text::escape::plain;

/// Why a session could not start, or did not end in order.
#[derive(Debug)]
pub enum Failure {
    /// No connection was established.
    CannotConnect {
        target: String,
        why: String,
        status: Status,
    },
    /// The connection did not end in order.
    Lost {
        target: String,
        why: String,
        status: Status,
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
pub enum Status {
    /// Local error: input, output, or no descriptor or port available.
    CouldNot = 1,
    /// The name of the target has no address.
    Unresolved = 6,
    /// The target refused, or is unreachable.
    NotConnected = 7,
    /// Timeout.
    TimedOut = 28,
    /// The connection was reset, or its network failed.
    Lost = 56,
}

impl Failure {
    pub fn status(&self) -> Status {
        match self {
            Failure::CannotConnect { status, .. } | Failure::Lost { status, .. } => *status,
            Failure::NoAnswer { .. } => Status::TimedOut,
            _ => Status::CouldNot,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::CannotConnect { target, why, .. } => {
                write!(f, "cannot connect to {}: {}", plain(target), plain(why))
            }
            Failure::Lost { target, why, .. } => {
                write!(f, "connection to {} lost: {}", plain(target), plain(why))
            }
            Failure::NoAnswer { target, why } => {
                write!(f, "no answer from {}: {}", plain(target), plain(why))
            }
            Failure::Stdio(fault) => write!(f, "standard input or output failed: {fault}"),
            Failure::CannotListen(error) => write!(f, "{error}"),
            Failure::Limit(error) => write!(f, "{error}"),
            Failure::System(error) => write!(f, "cannot start: {}", SysError::from(error)),
            Failure::Unsupported(what) => write!(f, "not supported on this system: {what}"),
        }
    }
}

impl std::error::Error for Failure {}

impl From<CannotListen> for Failure {
    fn from(error: CannotListen) -> Failure {
        Failure::CannotListen(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure::System(error)
    }
}
