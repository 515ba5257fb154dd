//! What a talk can fail of: told in one line, and in the exit status.

use std::fmt;
use std::io;

use crate::core::SysError;
use crate::shell::{CannotListen, LimitError};
use crate::text::escape::plain;

/// Why a talk did not come about, or did not end in order.
#[derive(Debug)]
pub enum Failure {
    /// No connection was made.
    CannotConnect {
        target: String,
        why: String,
        status: Status,
    },
    /// There was one, and it did not end in order.
    Lost {
        target: String,
        why: String,
        status: Status,
    },
    /// Nothing ever came back from a target of datagrams.
    NoAnswer {
        target: String,
        why: String,
    },
    /// Our own input or output failed.
    Stdio(SysError),
    CannotListen(CannotListen),
    /// More clients than there can be.
    Limit(LimitError),
    /// The system would not give us what every talk needs.
    System(io::Error),
    /// Not on this system.
    Unsupported(&'static str),
}

/// The exit status of what failed. Scripts know the numbers of a connection's failures from curl.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Something of ours: input, output, or no descriptor or port was left.
    CouldNot = 1,
    /// The name of the target has no address.
    Unresolved = 6,
    /// The target refused, or there is no way to it.
    NotConnected = 7,
    /// Nothing came in the time for it.
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
