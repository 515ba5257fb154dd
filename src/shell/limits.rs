//! Limits: how many files the system lets us have open, and so how many connections.

use std::fmt;

/// What the system allows, after we have asked for all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How many files we were allowed before.
    pub soft_before: usize,
    /// How many files we may have open now.
    pub files: usize,
}

/// Descriptors that are not connections, besides the listeners: standard input, output and error,
/// the selector and its waker, eight for signals, what a name resolution opens for a moment, a
/// directory that is locked; and as many again, so that upkeep is possible when all connections
/// are taken.
pub const RESERVE: usize = 32;

/// Where there is no limit to read, or none at all: more than anybody has had so far.
const NO_LIMIT: usize = 1 << 24;

/// Raises the limit of open files as far as we may. What cannot be raised stays as it was.
#[cfg(unix)]
pub fn raise_files() -> Limits {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let before = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: before.maximum, maximum: before.maximum };
    if before.current != before.maximum && setrlimit(Resource::Nofile, raised).is_err() {
        // Apple's systems tell a hard limit that they do not grant.
        let granted = Rlimit { current: Some(10_240), maximum: before.maximum };
        if before.current.is_some_and(|current| current < 10_240) {
            let _ = setrlimit(Resource::Nofile, granted);
        }
    }
    let count = |limit: Option<u64>| limit.map_or(NO_LIMIT, |files| NO_LIMIT.min(files as usize));
    Limits { soft_before: count(before.current), files: count(getrlimit(Resource::Nofile).current) }
}

#[cfg(not(unix))]
pub fn raise_files() -> Limits {
    Limits { soft_before: NO_LIMIT, files: NO_LIMIT }
}

/// How many connections there may be at once: as many as demanded, or as the files allow.
/// `reserve` files are kept back, and each connection may need `per_connection` of them.
pub fn max_connections(
    demand: Option<usize>,
    files: usize,
    reserve: usize,
    per_connection: usize,
) -> Result<usize, LimitError> {
    let possible = files.saturating_sub(reserve) / per_connection.max(1);
    let demanded = demand.unwrap_or(possible.max(1));
    match demanded <= possible {
        true => Ok(demanded),
        false => Err(LimitError { demanded, possible, files, reserve, per_connection }),
    }
}

/// How many bytes that nobody takes may be held, in words, never less than they are.
pub fn show_unsent(bytes: usize) -> String {
    match bytes {
        0 => "no unsent bytes are held".to_string(),
        1..MIB => format!("at most {} KiB of unsent bytes", bytes.div_ceil(1024)),
        _ => format!("at most {} MiB of unsent bytes", bytes.div_ceil(MIB)),
    }
}

const MIB: usize = 1024 * 1024;

/// More connections than the files allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitError {
    pub demanded: usize,
    pub possible: usize,
    pub files: usize,
    pub reserve: usize,
    pub per_connection: usize,
}

impl LimitError {
    /// How many files it would take.
    pub fn needed(&self) -> usize {
        self.demanded.saturating_mul(self.per_connection).saturating_add(self.reserve)
    }
}

impl fmt::Display for LimitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let LimitError { demanded, possible, files, reserve, per_connection } = self;
        let needed = self.needed();
        let (s, needs) = if *demanded == 1 { ("", "needs") } else { ("s", "need") };
        write!(
            f,
            "{demanded} connection{s} {needs} {needed} open files ({per_connection} each, \
             {reserve} in reserve), and the system allows {files}: raise the hard limit \
             (ulimit -Hn {needed}, or LimitNOFILE={needed} in a systemd unit)"
        )?;
        match possible {
            0 => Ok(()),
            _ => write!(f, ", or ask for {possible} at most"),
        }
    }
}

impl std::error::Error for LimitError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_what_files_and_reserve_allow() {
        // Demand, files, reserve, files a connection; the answer, or how many would be possible.
        let table = [
            (None, 1024, 32, 1, Ok(992)),
            (None, 1024, 32, 2, Ok(496)),
            (None, 33, 32, 1, Ok(1)),
            (None, 32, 32, 1, Err(0)),
            (None, 8, 32, 2, Err(0)),
            (None, 33, 32, 2, Err(0)),
            (Some(992), 1024, 32, 1, Ok(992)),
            (Some(993), 1024, 32, 1, Err(992)),
            (Some(1), 1024, 32, 2, Ok(1)),
            (Some(usize::MAX), 1024, 32, 2, Err(496)),
            (Some(1_000_000), NO_LIMIT, 32, 2, Ok(1_000_000)),
        ];
        for (demand, files, reserve, each, expected) in table {
            let answer = max_connections(demand, files, reserve, each);
            assert_eq!(answer.map_err(|e| e.possible), expected, "{demand:?} of {files}");
        }
    }

    #[test]
    fn a_refusal_tells_the_numbers_and_what_to_do() {
        let error = max_connections(Some(100_000), 20_000, 34, 2).unwrap_err();
        assert_eq!(
            error.to_string(),
            "100000 connections need 200034 open files (2 each, 34 in reserve), and the system \
             allows 20000: raise the hard limit (ulimit -Hn 200034, or LimitNOFILE=200034 in a \
             systemd unit), or ask for 9983 at most"
        );
        let error = max_connections(None, 10, 33, 1).unwrap_err().to_string();
        assert!(error.starts_with("1 connection needs 34 open files"), "{error}");
        assert!(error.ends_with("in a systemd unit)"), "{error}");
    }

    #[test]
    fn what_may_be_unsent_is_rounded_up() {
        let table = [(0, "no unsent bytes are held"), (1, "at most 1 KiB of unsent bytes")];
        let more = [
            (MIB - 1, "at most 1024 KiB of unsent bytes"),
            (MIB + 1, "at most 2 MiB of unsent bytes"),
        ];
        for (bytes, expected) in table.into_iter().chain(more) {
            assert_eq!(show_unsent(bytes), expected);
        }
    }

    #[cfg(unix)]
    #[test]
    fn the_limit_is_raised_and_never_lowered() {
        let first = raise_files();
        assert!(first.files >= first.soft_before && first.files > 0);
        let second = raise_files();
        assert_eq!((second.soft_before, second.files), (first.files, first.files));
    }
}
