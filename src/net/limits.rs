//! The open-file limit, and the number of connections that follows from it.

use std::fmt;

use crate::core::pipes::MOST_PIPES;

/// The open-file limit of this process, after raising it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The soft limit before it was raised.
    pub soft_before: usize,
    /// The soft limit now.
    pub files: usize,
}

/// Descriptors that are neither connections nor listeners: standard input, output and error, epoll
/// and its waker, eight for signals, those of a name resolution, a locked directory; and as many
/// again, so that the process stays operable at the connection limit.
pub const RESERVE: usize = 32;

/// Descriptors reserved for the clients of the admin and metrics listeners, so that an operator
/// gets in when the daemon is full: 64 clients, and some that are accepted only to be refused.
pub const ADMIN_CLIENTS: usize = 72;

/// Number of files that stands for "unlimited", and for an unknown limit.
const NO_LIMIT: usize = 1 << 24;

/// Raises the open-file limit to the hard limit. If that fails, the limit stays as it was.
#[cfg(unix)]
pub fn raise_files() -> Limits {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let before = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: before.maximum, maximum: before.maximum };
    if before.current != before.maximum && setrlimit(Resource::Nofile, raised).is_err() {
        // Apple's systems report a hard limit that they do not grant.
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

/// What one process needs descriptors for. The daemon and `oneloop doctor` share this calculation,
/// so that their results agree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Descriptors {
    /// Listeners and datagram ports.
    pub listeners: usize,
    /// Connections are relayed: each has two sockets, and bulk transfers need pipes.
    pub relays: bool,
    /// Maximum number of datagram flows.
    pub flows: usize,
    /// The admin and metrics listeners. Their clients are not connections of the daemon.
    pub admin_listeners: usize,
}

impl Descriptors {
    /// A daemon with one route that is not a relay.
    pub const SERVER: Descriptors =
        Descriptors { listeners: 1, relays: false, flows: 0, admin_listeners: 0 };
    /// A daemon with one stream relay.
    pub const RELAY: Descriptors = Descriptors { relays: true, ..Descriptors::SERVER };
    /// One process of `oneloop stress`, which keeps a second reserve instead of listeners.
    pub const CLIENT: Descriptors = Descriptors { listeners: RESERVE, ..Descriptors::SERVER };

    /// Descriptors per connection.
    pub fn per_connection(self) -> usize {
        1 + usize::from(self.relays)
    }

    /// Maximum number of connections with a limit of `files` open files.
    pub fn capacity(self, files: usize) -> usize {
        files.min(NO_LIMIT).saturating_sub(self.reserve(files)) / self.per_connection()
    }

    /// Smallest open-file limit with this capacity.
    pub fn files_for(self, connections: usize) -> usize {
        let sockets = connections.saturating_mul(self.per_connection());
        // The reserve grows more slowly than the limit does, so this converges from below.
        let mut files = 0;
        loop {
            let needed = sockets.saturating_add(self.reserve(files));
            if needed == files {
                return files;
            }
            files = needed;
        }
    }

    /// Descriptors that are not available to connections.
    pub fn reserve(self, files: usize) -> usize {
        // Pipes and flows get a limited share of the descriptors.
        let pipes = if self.relays { (2 * MOST_PIPES).min(files / 16) } else { 0 };
        let admin = match self.admin_listeners {
            0 => 0,
            listeners => listeners + ADMIN_CLIENTS,
        };
        RESERVE + self.listeners + pipes + self.flows.min(files / 2) + admin
    }
}

/// Returns the maximum concurrent connections: the demand if the files allow it, else an error.
/// Without a demand, it is what the files allow.
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

/// Describes the maximum of unsent bytes, rounded up.
pub fn show_unsent(bytes: usize) -> String {
    match bytes {
        0 => "no unsent bytes are held".to_string(),
        1..MIB => format!("at most {} KiB of unsent bytes", bytes.div_ceil(1024)),
        _ => format!("at most {} MiB of unsent bytes", bytes.div_ceil(MIB)),
    }
}

const MIB: usize = 1024 * 1024;

/// More connections were requested than the open-file limit allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitError {
    pub demanded: usize,
    pub possible: usize,
    pub files: usize,
    pub descriptors: Descriptors,
}

impl LimitError {
    /// The open-file limit that would be needed.
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
             {reserve} in reserve), but the limit is {files}: raise the hard limit \
             (ulimit -Hn {needed}, or LimitNOFILE={needed} in a systemd unit)"
        )?;
        match possible {
            0 => Ok(()),
            _ => write!(f, ", or request at most {possible}"),
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
    const ADMIN: Descriptors = Descriptors { admin_listeners: 2, ..Descriptors::SERVER };

    #[test]
    fn connections_are_what_files_and_reserve_allow() {
        // Demand, open-file limit, other needs; the result, or the number that is possible.
        let table = [
            (None, 1024, SERVER, Ok(991)),
            (None, 20_000, SERVER, Ok(19_967)),
            (None, 20_000, Descriptors::CLIENT, Ok(19_936)),
            (None, 20_000, RELAY, Ok(9_919)),
            (Some(9_919), 20_000, RELAY, Ok(9_919)),
            (Some(9_920), 20_000, RELAY, Err(9_919)),
            (None, 1024, RELAY, Ok(463)),
            (None, 1000, FLOWS, Ok(467)),
            (None, 1024, ADMIN, Ok(991 - 2 - ADMIN_CLIENTS)),
            (None, 34, SERVER, Ok(1)),
            (None, 33, SERVER, Err(0)),
            (None, 8, RELAY, Err(0)),
            (Some(991), 1024, SERVER, Ok(991)),
            (Some(992), 1024, SERVER, Err(991)),
            (Some(usize::MAX), 1024, RELAY, Err(463)),
            (Some(1_000_000), NO_LIMIT, RELAY, Ok(1_000_000)),
        ];
        for (demand, files, descriptors, expected) in table {
            let result = max_connections(demand, files, descriptors);
            assert_eq!(result.map_err(|e| e.possible), expected, "{demand:?} of {files}");
        }
    }

    #[test]
    fn the_files_that_a_refusal_asks_for_are_enough_and_not_too_many() {
        for descriptors in [SERVER, RELAY, FLOWS, ADMIN, Descriptors { relays: true, ..FLOWS }] {
            for connections in [1, 2, 17, 463, 464, 1_000, 9_919, 100_000] {
                let files = descriptors.files_for(connections);
                assert!(descriptors.capacity(files) >= connections, "{descriptors:?} {files}");
                assert!(descriptors.capacity(files - 1) < connections, "{descriptors:?} {files}");
            }
            assert_eq!(descriptors.files_for(usize::MAX), usize::MAX);
        }
    }

    #[test]
    fn the_error_shows_the_numbers_and_the_remedy() {
        let error = max_connections(Some(100_000), 20_000, RELAY).unwrap_err();
        assert_eq!(
            error.to_string(),
            "100000 connections need 200161 open files (2 each, 161 in reserve), but the limit is \
             20000: raise the hard limit (ulimit -Hn 200161, or LimitNOFILE=200161 in a systemd \
             unit), or request at most 9919"
        );
        let error = max_connections(None, 10, SERVER).unwrap_err().to_string();
        assert!(error.starts_with("1 connection needs 34 open files"), "{error}");
        assert!(error.ends_with("in a systemd unit)"), "{error}");
    }

    #[test]
    fn the_maximum_of_unsent_bytes_is_rounded_up() {
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
