//! What a talk can fail of, told in one line.

use std::fmt;
use std::io;

use crate::core::Fault;
use crate::observe::escape::plain;
use crate::shell::{CannotListen, LimitError};

/// Why a talk did not come about, or did not end in order.
#[derive(Debug)]
pub enum Failure {
    /// No connection was made.
    CannotConnect {
        target: String,
        why: String,
    },
    /// There was one, and it did not end in order.
    Lost {
        target: String,
        why: String,
    },
    /// Our own input or output failed.
    Stdio(Fault),
    CannotListen(CannotListen),
    /// More clients than there can be.
    Limit(LimitError),
    /// The system would not give us what every talk needs.
    System(io::Error),
    /// Not on this system.
    Unsupported(&'static str),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::CannotConnect { target, why } => {
                write!(f, "cannot connect to {}: {}", plain(target), plain(why))
            }
            Failure::Lost { target, why } => {
                write!(f, "lost the connection to {}: {}", plain(target), plain(why))
            }
            Failure::Stdio(fault) => write!(f, "standard input or output failed: {fault}"),
            Failure::CannotListen(error) => write!(f, "{error}"),
            Failure::Limit(error) => write!(f, "{error}"),
            Failure::System(error) => write!(f, "cannot begin: {}", Fault::from(error)),
            Failure::Unsupported(what) => write!(f, "this system cannot do it: {what}"),
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
