//! Host names: looked up by helper threads, because the system's resolver knows only to wait.
//!
//! The loop asks and goes on; an answer wakes it. A name that is slow to resolve holds up one
//! helper, and others go on with other names. Answers are kept, and asked for again in the
//! background when they have grown old: while a name server is away, its last word still serves.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use mio::Waker;

use crate::core::{Event, Key, Moment, Observer};

/// How long an answer is taken for fresh. The system does not tell how long its source vouches for
/// it.
pub const REFRESH: Duration = Duration::from_secs(30);
/// An answer older than this is no longer served at once, only if a fresh one is not to be had:
/// nobody wanted the name for so long that it was not refreshed.
pub const STALE: Duration = Duration::from_secs(300);
/// How long a failure stands before the name is asked for again: this long at first, twice as long
/// after each further failure, and never longer than an answer is fresh.
pub const RETRY: Duration = Duration::from_secs(1);
/// So many names may be asked for at once. Each helper takes them one by one.
pub const ASKED_MAX: usize = 64;
/// Maximum number of helper threads. So many names that do not resolve do not delay others.
pub const HELPERS_MAX: usize = 4;
/// So many names are kept. They come from the plan and not from peers, so this is not met in
/// practice; if it is, the name that was wanted least recently makes room.
pub const NAMES_MAX: usize = 1024;

/// What is known of a name now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// All its addresses, of both families, in the order in which the system prefers them.
    Known(Vec<SocketAddr>),
    /// It is being asked for. The waker tells when there is an answer.
    Pending,
    /// It has no address that we know of, and why.
    Failed(String),
}

/// Asks for the addresses of a name, whatever the port. It may wait as long as it likes.
pub type Ask = Arc<dyn Fn(&str) -> io::Result<Vec<SocketAddr>> + Send + Sync>;

pub struct Resolver {
    waker: Arc<Waker>,
    ask: Ask,
    helpers: Option<Helpers>,
    /// How many questions are on their way.
    asked: usize,
    names: HashMap<String, Known>,
}

/// What is known of one name.
#[derive(Debug, Default)]
struct Known {
    /// The last answer; empty only if there never was one.
    addresses: Vec<SocketAddr>,
    /// Why the last question had no answer, if it had none.
    error: Option<String>,
    /// How many questions in a row had no answer.
    failures: u32,
    /// Whether a question is on its way.
    asked: bool,
    settled: Moment,
    wanted: Moment,
}

impl Resolver {
    /// No thread is started before the first name is looked up.
    pub fn new(waker: Arc<Waker>) -> Resolver {
        Resolver::with(waker, Arc::new(|name| Ok((name, 0).to_socket_addrs()?.collect())))
    }

    /// With another source of answers than the system.
    pub fn with(waker: Arc<Waker>, ask: Ask) -> Resolver {
        Resolver { waker, ask, helpers: None, asked: 0, names: HashMap::new() }
    }

    /// Does not wait: what is not known is asked for, and `Pending` until it is settled.
    pub fn lookup(&mut self, name: &str, port: u16, now: Moment) -> Lookup {
        self.make_room(name);
        let is_due = match self.names.get(name) {
            Some(known) => known.is_due(now),
            None => true,
        };
        let question = (is_due && self.asked < ASKED_MAX).then(|| self.question(name));
        let known = self.names.entry(name.to_string()).or_default();
        known.wanted = now;
        match question {
            Some(Ok(())) => known.asked = true,
            Some(Err(error)) => known.settle(Err(error), now),
            None => {}
        }
        known.tell(port, now)
    }

    /// Takes the answers that have come. True if there was one.
    pub fn collect(&mut self, now: Moment, seen: &mut dyn Observer) -> bool {
        let mut any = false;
        while let Some(answer) = self.helpers.as_ref().and_then(Helpers::answer) {
            any = true;
            self.asked -= 1;
            let Some(known) = self.names.get_mut(&answer.name) else { continue };
            let addresses = answer.found.as_ref().map_or(0, Vec::len);
            known.settle(answer.found, now);
            let error = known.error.as_deref();
            seen.on(Key::LOOP, &Event::Resolved { name: &answer.name, addresses, error });
        }
        any
    }

    fn question(&mut self, name: &str) -> io::Result<()> {
        let (waker, ask) = (&self.waker, &self.ask);
        let helpers = self.helpers.get_or_insert_with(|| Helpers::new(waker.clone(), ask.clone()));
        helpers.question(name, self.asked)?;
        self.asked += 1;
        Ok(())
    }

    fn make_room(&mut self, name: &str) {
        if self.names.len() < NAMES_MAX || self.names.contains_key(name) {
            return;
        }
        let settled = self.names.iter().filter(|(_, known)| !known.asked);
        let oldest = settled.min_by_key(|(_, known)| known.wanted).map(|(name, _)| name.clone());
        self.names.retain(|name, _| Some(name) != oldest.as_ref());
    }
}

impl Known {
    /// Whether it should be asked for now.
    fn is_due(&self, now: Moment) -> bool {
        let patience = match self.failures {
            0 if self.addresses.is_empty() => Duration::ZERO,
            0 => REFRESH,
            failures => REFRESH.min(RETRY * 2u32.saturating_pow(failures.min(16) - 1)),
        };
        !self.asked && now.since(self.settled) >= patience
    }

    fn settle(&mut self, found: io::Result<Vec<SocketAddr>>, now: Moment) {
        self.asked = false;
        self.settled = now;
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

    fn tell(&self, port: u16, now: Moment) -> Lookup {
        let is_stale = self.failures == 0 && now.since(self.settled) >= STALE;
        if self.asked && (is_stale || self.addresses.is_empty()) {
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

/// The threads that wait in our place. They are started when there is more to ask than there are
/// threads, and end, each once it has no question at hand, when this is dropped. Nobody waits for
/// that: an exit of the process does not either.
struct Helpers {
    questions: SyncSender<String>,
    answers: Receiver<Answer>,
    threads: usize,
    shared: Shared,
}

/// What each helper has a copy of.
#[derive(Clone)]
struct Shared {
    /// A helper without a name to resolve waits for the next one, or for its turn to do so.
    asked: Arc<Mutex<Receiver<String>>>,
    found: SyncSender<Answer>,
    waker: Arc<Waker>,
    ask: Ask,
}

struct Answer {
    name: String,
    found: io::Result<Vec<SocketAddr>>,
}

impl Helpers {
    fn new(waker: Arc<Waker>, ask: Ask) -> Helpers {
        // There is room for as many as may be on their way, so neither side ever waits to send.
        let (questions, asked) = sync_channel(ASKED_MAX);
        let (found, answers) = sync_channel(ASKED_MAX);
        let shared = Shared { asked: Arc::new(Mutex::new(asked)), found, waker, ask };
        Helpers { questions, answers, threads: 0, shared }
    }

    /// Asks for a name, beside so many others whose answers are still to come.
    fn question(&mut self, name: &str, others: usize) -> io::Result<()> {
        if others >= self.threads && self.threads < HELPERS_MAX {
            match self.start_helper() {
                Ok(()) => self.threads += 1,
                // The others will come to it.
                Err(_) if self.threads > 0 => {}
                Err(error) => return Err(error),
            }
        }
        let sent = self.questions.try_send(name.to_string());
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
    /// Waits for a name and resolves it. None: the loop has ended, and so does this helper.
    fn resolve_next(&self) -> Option<()> {
        let next = self.asked.lock().ok()?.recv();
        let name = next.ok()?;
        self.found.send(Answer { found: (self.ask)(&name), name }).ok()?;
        self.waker.wake().ok()
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver").field("asked", &self.asked).field("names", &self.names).finish()
    }
}

#[cfg(test)]
mod tests;
