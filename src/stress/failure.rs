//! Classifies failures by stage and by the system's error name, and names the system limit that
//! usually causes them.

use std::fmt;
use std::io;

use serde::{Deserialize, Serialize};

use crate::core::SysError;

/// A kind of failure; the key under which failures are counted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LoadFailure {
    pub stage: Stage,
    /// The name of the system error, such as `ECONNREFUSED`, or one of the constants below.
    pub name: String,
}

/// The stage of a connection in which it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    Connect,
    Exchange,
    Close,
}

impl Stage {
    pub fn name(self) -> &'static str {
        match self {
            Stage::Connect => "connect",
            Stage::Exchange => "exchange",
            Stage::Close => "close",
        }
    }
}

impl LoadFailure {
    pub fn new(stage: Stage, name: impl Into<String>) -> LoadFailure {
        LoadFailure { stage, name: name.into() }
    }

    pub fn of(stage: Stage, fault: SysError) -> LoadFailure {
        LoadFailure::new(stage, name(fault))
    }

    /// Corrects the failure of a connection that was still waiting for an answer: this side had not
    /// closed it, so the server had no FIN to reply to.
    pub fn of_answer(self, is_partial: bool) -> LoadFailure {
        match self.name.as_str() {
            NO_ANSWER | NOT_CLOSED if is_partial => LoadFailure::new(Stage::Exchange, PARTIAL),
            NOT_CLOSED => LoadFailure::new(Stage::Exchange, NO_ANSWER),
            _ => self,
        }
    }

    /// Explains the error name.
    pub fn meaning(&self) -> String {
        let own = MEANINGS.iter().find(|(name, _)| *name == self.name);
        let system = CODES.iter().find(|(_, name)| *name == self.name);
        match (own, system) {
            (Some((_, meaning)), _) => meaning.to_string(),
            (_, Some((code, _))) => {
                let error = io::Error::from_raw_os_error(*code);
                let text = SysError::from(&error).to_string();
                text[..1].to_lowercase() + &text[1..]
            }
            (None, None) => String::new(),
        }
    }

    /// Explains the error name and names the limit, if there is one.
    pub fn explained(&self) -> String {
        let limit = self.limit().map_or(String::new(), |limit| format!("; limit: {limit}"));
        self.meaning() + &limit
    }

    /// Names the limit that usually causes this failure, and the setting behind it.
    pub fn limit(&self) -> Option<&'static str> {
        let limit = match (self.stage, self.name.as_str()) {
            (_, "EMFILE") => "open files per process (RLIMIT_NOFILE)",
            (_, "ENFILE") => "open files system-wide (fs.file-max)",
            (_, "EADDRNOTAVAIL" | "EADDRINUSE") => {
                "ports per source address (ip_local_port_range; add addresses with --source), \
                 or the source address is not local"
            }
            (_, "ENOBUFS" | "ENOMEM") => "kernel memory (tcp_mem, cgroup)",
            (Stage::Connect, "EAGAIN") => "full accept queue of the server (somaxconn)",
            (Stage::Connect, "ETIMEDOUT" | "no answer") => {
                "full accept queue (somaxconn, tcp_max_syn_backlog), conntrack, or a firewall"
            }
            (Stage::Connect, "EPERM" | "EACCES") => "local firewall",
            _ => return None,
        };
        Some(limit)
    }
}

impl fmt::Display for LoadFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.stage.name(), self.name)
    }
}

/// Names of failures that have no system error.
pub const NO_ANSWER: &str = "no answer";
pub const PARTIAL: &str = "incomplete answer";
pub const NOT_CLOSED: &str = "not closed";
pub const CLOSED: &str = "closed";
pub const BYTES_LOST: &str = "bytes lost";
pub const FOREIGN_PEER: &str = "foreign peer";
pub const SELF_CONNECT: &str = "self-connect";

const MEANINGS: [(&str, &str); 7] = [
    (SELF_CONNECT, "TCP connected to its own port: nothing listens on the target port"),
    (FOREIGN_PEER, "a client of the sink was not a stream of this run"),
    (NO_ANSWER, "no data arrived within the timeout"),
    (PARTIAL, "only part of it arrived within the timeout"),
    (NOT_CLOSED, "the server did not close the connection after a FIN"),
    (CLOSED, "the server closed the connection early"),
    (BYTES_LOST, "not all sent bytes arrived"),
];

/// Returns the system's name of an error.
fn name(fault: SysError) -> String {
    let known = fault.code.and_then(|code| CODES.iter().find(|(known, _)| *known == code));
    match (known, fault.code) {
        (Some((_, name)), _) => name.to_string(),
        (None, Some(code)) => format!("error {code}"),
        (None, None) if fault == SysError::SELF_CONNECT => SELF_CONNECT.to_string(),
        (None, None) if fault.kind == io::ErrorKind::TimedOut => NO_ANSWER.to_string(),
        (None, None) => fault.kind.to_string(),
    }
}

#[cfg(unix)]
const CODES: [(i32, &str); 20] = [
    (libc::ECONNREFUSED, "ECONNREFUSED"),
    (libc::ECONNRESET, "ECONNRESET"),
    (libc::ECONNABORTED, "ECONNABORTED"),
    (libc::EPIPE, "EPIPE"),
    (libc::ETIMEDOUT, "ETIMEDOUT"),
    (libc::EADDRNOTAVAIL, "EADDRNOTAVAIL"),
    (libc::EADDRINUSE, "EADDRINUSE"),
    (libc::EMFILE, "EMFILE"),
    (libc::ENFILE, "ENFILE"),
    (libc::ENOBUFS, "ENOBUFS"),
    (libc::ENOMEM, "ENOMEM"),
    (libc::EHOSTUNREACH, "EHOSTUNREACH"),
    (libc::ENETUNREACH, "ENETUNREACH"),
    (libc::EAGAIN, "EAGAIN"),
    (libc::EACCES, "EACCES"),
    (libc::EPERM, "EPERM"),
    (libc::ENOENT, "ENOENT"),
    (libc::EINVAL, "EINVAL"),
    (libc::EMSGSIZE, "EMSGSIZE"),
    (libc::EAFNOSUPPORT, "EAFNOSUPPORT"),
];

#[cfg(not(unix))]
const CODES: [(i32, &str); 0] = [];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_failures_are_named_and_explained() {
        let late = LoadFailure::of(Stage::Exchange, io::ErrorKind::TimedOut.into());
        assert_eq!(late.to_string(), "exchange: no answer");
        assert_eq!(late.meaning(), "no data arrived within the timeout");
        assert_eq!(LoadFailure::new(Stage::Exchange, "other").meaning(), "");
        let none = LoadFailure::new(Stage::Close, NOT_CLOSED).of_answer(false);
        assert_eq!(none, LoadFailure::new(Stage::Exchange, NO_ANSWER));
        assert_eq!(none.of_answer(true), LoadFailure::new(Stage::Exchange, PARTIAL));
        let closed = LoadFailure::new(Stage::Exchange, CLOSED);
        assert_eq!(closed.clone().of_answer(true), closed);
        let itself = LoadFailure::of(Stage::Connect, SysError::SELF_CONNECT);
        assert_eq!((itself.name.as_str(), itself.limit()), (SELF_CONNECT, None));
        assert!(itself.meaning().contains("its own port"));
        for stage in [Stage::Connect, Stage::Exchange, Stage::Close] {
            assert_eq!(serde_json::to_value(stage).unwrap(), stage.name());
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_system_error_has_its_name_and_its_limit() {
        let failure = |code| {
            let error = io::Error::from_raw_os_error(code);
            LoadFailure::of(Stage::Connect, SysError::from(&error))
        };
        let refused = failure(libc::ECONNREFUSED);
        assert_eq!((refused.name.as_str(), refused.limit()), ("ECONNREFUSED", None));
        assert_eq!(refused.meaning(), "connection refused");
        assert!(failure(libc::EMFILE).limit().unwrap().contains("RLIMIT_NOFILE"));
        assert!(failure(libc::EADDRNOTAVAIL).limit().unwrap().contains("--source"));
        assert_eq!(failure(9_999).name, "error 9999");
    }
}
