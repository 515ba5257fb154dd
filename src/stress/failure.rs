//! What went wrong, by stage and by the system's name for it; and which limit of this machine, if
//! any, was behind it.

use std::fmt;
use std::io;

use crate::core::SysError;
use crate::plan::word;

/// One kind of failure. They are counted by it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Failure {
    pub stage: Stage,
    /// `ECONNREFUSED`, or a word of ours where the system has no part in it.
    pub name: String,
}

/// When it went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    Connect,
    Talk,
    Hold,
    Close,
}

impl Stage {
    pub const WORDS: [(&'static str, Stage); 4] = [
        ("connect", Stage::Connect),
        ("talk", Stage::Talk),
        ("hold", Stage::Hold),
        ("close", Stage::Close),
    ];

    pub fn name(self) -> &'static str {
        word::of(&Stage::WORDS, self)
    }
}

impl Failure {
    pub fn new(stage: Stage, name: impl Into<String>) -> Failure {
        Failure { stage, name: name.into() }
    }

    pub fn of(stage: Stage, fault: SysError) -> Failure {
        Failure::new(stage, name(fault))
    }

    /// The same of a connection that still waited for an answer, of which a part may have come: we
    /// had not closed it, and the server had no end to answer with.
    pub fn of_answer(self, is_partial: bool) -> Failure {
        match self.name.as_str() {
            NO_ANSWER | NO_END if is_partial => Failure::new(Stage::Talk, PARTIAL),
            NO_END => Failure::new(Stage::Talk, NO_ANSWER),
            _ => self,
        }
    }

    /// What it means, in words.
    pub fn meaning(&self) -> String {
        let own = OWN.iter().find(|(name, _)| *name == self.name);
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

    /// What it means, and the limit behind it if there is one.
    pub fn explained(&self) -> String {
        let limit = self.limit().map_or(String::new(), |limit| format!("; limit: {limit}"));
        self.meaning() + &limit
    }

    /// The limit that this failure is the usual sign of, and how to learn more of it.
    pub fn limit(&self) -> Option<&'static str> {
        let limit = match (self.stage, self.name.as_str()) {
            (_, "EMFILE") => "open files of this process (RLIMIT_NOFILE)",
            (_, "ENFILE") => "open files of this machine (fs.file-max)",
            (_, "EADDRNOTAVAIL" | "EADDRINUSE") => {
                "ports of a source address (ip_local_port_range; more with --source), \
                 or it is not an address of this machine"
            }
            (_, "ENOBUFS" | "ENOMEM") => "memory of the kernel (tcp_mem, cgroup)",
            (Stage::Connect, "EAGAIN") => "the server's backlog is full (somaxconn)",
            (Stage::Connect, "ETIMEDOUT" | "no answer") => {
                "a full backlog (somaxconn, tcp_max_syn_backlog), conntrack, or a filter"
            }
            (Stage::Connect, "EPERM" | "EACCES") => "a filter of this machine",
            _ => return None,
        };
        Some(limit)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.stage.name(), self.name)
    }
}

/// What the server did in silence, or did not do, has no number of the system.
pub const NO_ANSWER: &str = "no answer";
pub const PARTIAL: &str = "incomplete answer";
pub const NO_END: &str = "no end";
pub const CLOSED: &str = "closed";
pub const SILENT: &str = "black hole";
pub const BYTES_LOST: &str = "bytes lost";
pub const STRANGER: &str = "stranger";
pub const SELF_CONNECT: &str = "self-connect";

const OWN: [(&str, &str); 8] = [
    (SELF_CONNECT, "TCP connected to its own port: nothing listens on the target's"),
    (STRANGER, "one who came to the sink did not speak as our streams do"),
    (NO_ANSWER, "nothing came within the timeout"),
    (PARTIAL, "a part of it came, and the rest not within the timeout"),
    (NO_END, "the server did not close after we had"),
    (CLOSED, "the server closed in order, but too early"),
    (SILENT, "the connection looked alive and carried nothing"),
    (BYTES_LOST, "not all that was sent arrived"),
];

/// The system's name of an error.
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
    fn an_error_of_ours_and_one_of_the_system_are_named_and_explained() {
        let late = Failure::of(Stage::Talk, io::ErrorKind::TimedOut.into());
        assert_eq!(late.to_string(), "talk: no answer");
        assert_eq!(late.meaning(), "nothing came within the timeout");
        assert_eq!(Failure::new(Stage::Talk, "other").meaning(), "");
        let none = Failure::new(Stage::Close, NO_END).of_answer(false);
        assert_eq!(none, Failure::new(Stage::Talk, NO_ANSWER));
        assert_eq!(none.of_answer(true), Failure::new(Stage::Talk, PARTIAL));
        let closed = Failure::new(Stage::Talk, CLOSED);
        assert_eq!(closed.clone().of_answer(true), closed);
        let itself = Failure::of(Stage::Connect, SysError::SELF_CONNECT);
        assert_eq!((itself.name.as_str(), itself.limit()), (SELF_CONNECT, None));
        assert!(itself.meaning().contains("its own port"));
        for (_, stage) in Stage::WORDS {
            assert!(!stage.name().is_empty());
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_number_of_the_system_has_its_name_and_the_limit_behind_it() {
        let failure = |code| {
            let error = io::Error::from_raw_os_error(code);
            Failure::of(Stage::Connect, SysError::from(&error))
        };
        let refused = failure(libc::ECONNREFUSED);
        assert_eq!((refused.name.as_str(), refused.limit()), ("ECONNREFUSED", None));
        assert_eq!(refused.meaning(), "connection refused");
        assert!(failure(libc::EMFILE).limit().unwrap().contains("RLIMIT_NOFILE"));
        assert!(failure(libc::EADDRNOTAVAIL).limit().unwrap().contains("--source"));
        assert_eq!(failure(9_999).name, "error 9999");
    }
}
