//! Limits: how many files the system lets us have open, and so how many connections.

use std::fmt;

use crate::core::pipes::MOST_PIPES;

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

/// What one process keeps descriptors for. The daemon and `oneloop doctor` both count with it, so
/// that the one promises what the other grants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Descriptors {
    /// Listeners and datagram ports.
    pub listeners: usize,
    /// Connections are relayed: each has two ends, and bulk transfers need pipes.
    pub relays: bool,
    /// Maximum number of datagram flows of relays.
    pub flows: usize,
}

impl Descriptors {
    /// A daemon with one route that answers connections itself.
    pub const SERVER: Descriptors = Descriptors { listeners: 1, relays: false, flows: 0 };
    /// A daemon with one relay of streams.
    pub const RELAY: Descriptors = Descriptors { relays: true, ..Descriptors::SERVER };
    /// One process of `oneloop stress`, which keeps a second reserve instead of listeners.
    pub const CLIENT: Descriptors = Descriptors { listeners: RESERVE, ..Descriptors::SERVER };

    pub fn per_connection(self) -> usize {
        1 + usize::from(self.relays)
    }

    /// Maximum number of connections in a process that may have `files` open files.
    pub fn capacity(self, files: usize) -> usize {
        files.min(NO_LIMIT).saturating_sub(self.reserve(files)) / self.per_connection()
    }

    /// Smallest limit of open files with this capacity.
    pub fn files_for(self, connections: usize) -> usize {
        let ends = connections.saturating_mul(self.per_connection());
        // The reserve grows more slowly than the limit does, so this converges from below.
        let mut files = 0;
        loop {
            let needed = ends.saturating_add(self.reserve(files));
            if needed == files {
                return files;
            }
            files = needed;
        }
    }

    /// Descriptors that no connection may take.
    pub fn reserve(self, files: usize) -> usize {
        // Pipes and flows are worth a part of the descriptors, and no more.
        let pipes = if self.relays { (2 * MOST_PIPES).min(files / 16) } else { 0 };
        RESERVE + self.listeners + pipes + self.flows.min(files / 2)
    }
}

/// The number of connections there may be at once: as many as demanded, or as the files allow.
pub fn max_connections(
    demand: Option<usize>,
    files: usize,
    descriptors: Descriptors,
) -> Result<usize, LimitError> {
    let possible = descriptors.capacity(files);
    let demanded = demand.unwrap_or(possible.max(1));
    match demanded <= possible {
        true => Ok(demanded),
        false => Err(LimitError { demanded, possible, files, descriptors }),
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
    pub descriptors: Descriptors,
}

impl LimitError {
    /// How many files it would take.
    pub fn needed(&self) -> usize {
        self.descriptors.files_for(self.demanded)
    }
}

impl fmt::Display for LimitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let LimitError { demanded, possible, files, descriptors } = self;
        let (needed, per_connection) = (self.needed(), descriptors.per_connection());
        let reserve = descriptors.reserve(needed);
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

    const RELAY: Descriptors = Descriptors::RELAY;
    const SERVER: Descriptors = Descriptors::SERVER;
    const FLOWS: Descriptors = Descriptors { flows: 4096, ..Descriptors::SERVER };

    #[test]
    fn connections_are_what_files_and_reserve_allow() {
        // Demand, files, what else takes files; the answer, or how many would be possible.
        let table = [
            (None, 1024, SERVER, Ok(991)),
            (None, 20_000, SERVER, Ok(19_967)),
            (None, 20_000, Descriptors::CLIENT, Ok(19_936)),
            (None, 20_000, RELAY, Ok(9_919)),
            (Some(9_919), 20_000, RELAY, Ok(9_919)),
            (Some(9_920), 20_000, RELAY, Err(9_919)),
            (None, 1024, RELAY, Ok(463)),
            (None, 1000, FLOWS, Ok(467)),
            (None, 34, SERVER, Ok(1)),
            (None, 33, SERVER, Err(0)),
            (None, 8, RELAY, Err(0)),
            (Some(991), 1024, SERVER, Ok(991)),
            (Some(992), 1024, SERVER, Err(991)),
            (Some(usize::MAX), 1024, RELAY, Err(463)),
            (Some(1_000_000), NO_LIMIT, RELAY, Ok(1_000_000)),
        ];
        for (demand, files, descriptors, expected) in table {
            let answer = max_connections(demand, files, descriptors);
            assert_eq!(answer.map_err(|e| e.possible), expected, "{demand:?} of {files}");
        }
    }

    #[test]
    fn the_files_that_a_refusal_asks_for_are_enough_and_not_too_many() {
        for descriptors in [SERVER, RELAY, FLOWS, Descriptors { relays: true, ..FLOWS }] {
            for connections in [1, 2, 17, 463, 464, 1_000, 9_919, 100_000] {
                let files = descriptors.files_for(connections);
                assert!(descriptors.capacity(files) >= connections, "{descriptors:?} {files}");
                assert!(descriptors.capacity(files - 1) < connections, "{descriptors:?} {files}");
            }
            assert_eq!(descriptors.files_for(usize::MAX), usize::MAX);
        }
    }

    #[test]
    fn a_refusal_tells_the_numbers_and_what_to_do() {
        let error = max_connections(Some(100_000), 20_000, RELAY).unwrap_err();
        assert_eq!(
            error.to_string(),
            "100000 connections need 200161 open files (2 each, 161 in reserve), and the system \
             allows 20000: raise the hard limit (ulimit -Hn 200161, or LimitNOFILE=200161 in a \
             systemd unit), or ask for 9919 at most"
        );
        let error = max_connections(None, 10, SERVER).unwrap_err().to_string();
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
