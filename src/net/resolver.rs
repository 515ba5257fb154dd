//! Resolves host names in helper threads, because the system's resolver blocks.
//!
//! The loop sends a query and goes on; the answer wakes it. A name that is slow to resolve occupies
//! one thread only. Answers are cached and refreshed in the background. While a name server is
//! unreachable, the last answer is used.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use mio::Waker;

use crate::core::{Event, Key, Moment, Turn};

/// Age at which an answer is refreshed. The system's resolver does not report a TTL.
pub const REFRESH: Duration = Duration::from_secs(30);
/// Age beyond which an answer is used only if the query for a fresh one fails. It is reached by
/// names that were not looked up for so long that they were not refreshed.
pub const STALE: Duration = Duration::from_secs(300);
/// Delay before a failed query is retried. It doubles with each failure, up to `REFRESH`.
pub const RETRY: Duration = Duration::from_secs(1);
/// Maximum number of queries in progress.
pub const QUERIES_MAX: usize = 64;
/// Maximum number of helper threads. One name fewer than this may hang without delaying others.
pub const HELPERS_MAX: usize = 4;
/// Maximum number of cached names. Names come from the plan and not from peers, so this is not
/// reached in practice. If it is, the least recently used name is evicted.
pub const NAMES_MAX: usize = 1024;

/// The result of a lookup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// All addresses of the name, of both families, in the system's order of preference.
    Known(Vec<SocketAddr>),
    /// A query is in progress. The waker wakes the loop when it is answered.
    Pending,
    /// No address is known, and why.
    Failed(String),
}

/// Resolves a name to addresses, whose port is ignored. It may block.
pub type ResolveFn = Arc<dyn Fn(&str) -> io::Result<Vec<SocketAddr>> + Send + Sync>;

pub struct Resolver {
    waker: Arc<Waker>,
    resolve: ResolveFn,
    helpers: Option<Helpers>,
    /// Number of queries in progress.
    queries: usize,
    names: HashMap<String, Entry>,
}

/// The cache entry of one name.
#[derive(Debug, Default)]
struct Entry {
    /// The last answer. Empty only if there never was one.
    addresses: Vec<SocketAddr>,
    /// The error of the last query, if it failed.
    error: Option<String>,
    /// Number of consecutive failures.
    failures: u32,
    /// Whether a query is in progress.
    is_queried: bool,
    updated: Moment,
    last_used: Moment,
}

impl Resolver {
    /// Creates a resolver. No thread is started before the first name is looked up.
    pub fn new(waker: Arc<Waker>) -> Resolver {
        Resolver::with_resolve(waker, Arc::new(|name| Ok((name, 0).to_socket_addrs()?.collect())))
    }

    /// Creates a resolver that uses this function instead of the system's.
    pub fn with_resolve(waker: Arc<Waker>, resolve: ResolveFn) -> Resolver {
        Resolver { waker, resolve, helpers: None, queries: 0, names: HashMap::new() }
    }

    /// Looks up a name without blocking. An unknown name is queried, and `Pending` until answered.
    pub fn lookup(&mut self, name: &str, port: u16, now: Moment) -> Lookup {
        self.evict_for(name);
        let is_due = match self.names.get(name) {
            Some(entry) => entry.is_due(now),
            None => true,
        };
        let query = (is_due && self.queries < QUERIES_MAX).then(|| self.query(name));
        let entry = self.names.entry(name.to_string()).or_default();
        entry.last_used = now;
        match query {
            Some(Ok(())) => entry.is_queried = true,
            Some(Err(error)) => entry.update(Err(error), now),
            None => {}
        }
        entry.result(port, now)
    }

    /// Stores the answers received. Returns true if there were any.
    pub fn collect(&mut self, turn: &mut Turn<'_>) -> bool {
        let mut any = false;
        while let Some(answer) = self.helpers.as_ref().and_then(Helpers::answer) {
            any = true;
            self.queries -= 1;
            let Some(entry) = self.names.get_mut(&answer.name) else { continue };
            let addresses = answer.found.as_ref().map_or(0, Vec::len);
            entry.update(answer.found, turn.now);
            let error = entry.error.as_deref();
            turn.on(Key::LOOP, &Event::Resolved { name: &answer.name, addresses, error });
        }
        any
    }

    fn query(&mut self, name: &str) -> io::Result<()> {
        let (waker, resolve) = (&self.waker, &self.resolve);
        let start = || Helpers::new(waker.clone(), resolve.clone());
        let helpers = self.helpers.get_or_insert_with(start);
        helpers.query(name, self.queries)?;
        self.queries += 1;
        Ok(())
    }

    /// Evicts a name if the cache is full and `name` is not in it.
    fn evict_for(&mut self, name: &str) {
        if self.names.len() < NAMES_MAX || self.names.contains_key(name) {
            return;
        }
        let idle = self.names.iter().filter(|(_, entry)| !entry.is_queried);
        let oldest = idle.min_by_key(|(_, entry)| entry.last_used).map(|(name, _)| name.clone());
        self.names.retain(|name, _| Some(name) != oldest.as_ref());
    }
}

impl Entry {
    /// Whether the name should be queried now.
    fn is_due(&self, now: Moment) -> bool {
        let interval = match self.failures {
            0 if self.addresses.is_empty() => Duration::ZERO,
            0 => REFRESH,
            failures => REFRESH.min(RETRY * 2u32.saturating_pow(failures.min(16) - 1)),
        };
        !self.is_queried && now.since(self.updated) >= interval
    }

    fn update(&mut self, found: io::Result<Vec<SocketAddr>>, now: Moment) {
        self.is_queried = false;
        self.updated = now;
        match found {
            Ok(addresses) if !addresses.is_empty() => {
                self.addresses = addresses;
                self.error = None;
                self.failures = 0;
                return;
            }
            Ok(_) => self.error = Some("the name has no address".to_string()),
            Err(error) => self.error = Some(error.to_string()),
        }
        self.failures = self.failures.saturating_add(1);
    }

    fn result(&self, port: u16, now: Moment) -> Lookup {
        let is_stale = self.failures == 0 && now.since(self.updated) >= STALE;
        if self.is_queried && (is_stale || self.addresses.is_empty()) {
            return Lookup::Pending;
        }
        if self.addresses.is_empty() {
            let full = "too many names are being looked up";
            return Lookup::Failed(self.error.clone().unwrap_or_else(|| full.to_string()));
        }
        let with_port = |address: &SocketAddr| {
            let mut address = *address;
            address.set_port(port);
            address
        };
        Lookup::Known(self.addresses.iter().map(with_port).collect())
    }
}

/// The threads that resolve names. One is started when there are more queries than threads. When
/// this is dropped, each thread ends after its current query. They are not joined, so they do not
/// delay the exit of the process.
struct Helpers {
    queries: SyncSender<String>,
    answers: Receiver<Answer>,
    threads: usize,
    shared: Shared,
}

/// What each thread has a clone of.
#[derive(Clone)]
struct Shared {
    /// An idle thread waits here for a query, or for the lock.
    queries: Arc<Mutex<Receiver<String>>>,
    answers: SyncSender<Answer>,
    waker: Arc<Waker>,
    resolve: ResolveFn,
}

struct Answer {
    name: String,
    found: io::Result<Vec<SocketAddr>>,
}

impl Helpers {
    fn new(waker: Arc<Waker>, resolve: ResolveFn) -> Helpers {
        // The channels hold all queries in progress, so sending never blocks.
        let (queries, received) = sync_channel(QUERIES_MAX);
        let (sender, answers) = sync_channel(QUERIES_MAX);
        let received = Arc::new(Mutex::new(received));
        let shared = Shared { queries: received, answers: sender, waker, resolve };
        Helpers { queries, answers, threads: 0, shared }
    }

    /// Queries a name, while `others` queries are in progress.
    fn query(&mut self, name: &str, others: usize) -> io::Result<()> {
        if others >= self.threads && self.threads < HELPERS_MAX {
            match self.start_helper() {
                Ok(()) => self.threads += 1,
                // The running threads will handle it.
                Err(_) if self.threads > 0 => {}
                Err(error) => return Err(error),
            }
        }
        let sent = self.queries.try_send(name.to_string());
        sent.map_err(|_| io::Error::other("the resolver's threads have ended"))
    }

    fn start_helper(&self) -> io::Result<()> {
        let shared = self.shared.clone();
        let builder = thread::Builder::new().name("oneloop-resolve".to_string());
        builder.spawn(move || while shared.resolve_next().is_some() {}).map(drop)
    }

    fn answer(&self) -> Option<Answer> {
        self.answers.try_recv().ok()
    }
}

impl Shared {
    /// Waits for a query and resolves it. Returns None if the loop has ended: the thread then ends.
    fn resolve_next(&self) -> Option<()> {
        let next = self.queries.lock().ok()?.recv();
        let name = next.ok()?;
        self.answers.send(Answer { found: (self.resolve)(&name), name }).ok()?;
        self.waker.wake().ok()
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut f = f.debug_struct("Resolver");
        f.field("queries", &self.queries).field("names", &self.names).finish()
    }
}

#[cfg(test)]
mod tests;
