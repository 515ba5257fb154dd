//! Host names: looked up by a helper thread, because the system's resolver knows only to wait.
//!
//! The loop asks and goes on; an answer wakes it. Answers are kept, and asked for again in the
//! background when they have grown old: while a name server is away, its last word still serves.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
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
/// So many names may be asked for at once. The helper takes them one by one.
pub const ASKED_MAX: usize = 64;
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
    helper: Option<Helper>,
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
        Resolver { waker, ask, helper: None, asked: 0, names: HashMap::new() }
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
        while let Some(answer) = self.helper.as_ref().and_then(Helper::answer) {
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
        let helper = match self.helper.take() {
            Some(helper) => helper,
            None => Helper::start(self.waker.clone(), self.ask.clone())?,
        };
        self.helper.insert(helper).question(name)?;
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

/// The thread that waits in our place. It ends, once it has no question at hand, when this is
/// dropped.
struct Helper {
    questions: SyncSender<String>,
    answers: Receiver<Answer>,
}

struct Answer {
    name: String,
    found: io::Result<Vec<SocketAddr>>,
}

impl Helper {
    fn start(waker: Arc<Waker>, ask: Ask) -> io::Result<Helper> {
        // There is room for as many as may be on their way, so neither side ever waits to send.
        let (questions, asked) = sync_channel::<String>(ASKED_MAX);
        let (found, answers) = sync_channel(ASKED_MAX);
        thread::Builder::new().name("oneloop-resolve".to_string()).spawn(move || {
            for name in asked {
                let answer = Answer { found: ask(&name), name };
                // If nobody takes the answer, the loop has ended, and so do we.
                if found.send(answer).is_err() || waker.wake().is_err() {
                    return;
                }
            }
        })?;
        Ok(Helper { questions, answers })
    }

    fn question(&self, name: &str) -> io::Result<()> {
        let sent = self.questions.try_send(name.to_string());
        sent.map_err(|_| io::Error::other("the resolver's thread has ended"))
    }

    fn answer(&self) -> Option<Answer> {
        self.answers.try_recv().ok()
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver").field("asked", &self.asked).field("names", &self.names).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::mpsc::{Sender, channel};

    use mio::{Events, Poll, Token};

    use super::*;

    type Found = io::Result<Vec<SocketAddr>>;

    /// A loop that sleeps until it is woken, and a resolver whose answers the test gives by hand.
    struct Bench {
        poll: Poll,
        resolver: Resolver,
        answers: Sender<Found>,
        asked: Receiver<String>,
        seen: Seen,
    }

    #[derive(Default)]
    struct Seen(Vec<String>);

    impl Observer for Seen {
        fn on(&mut self, key: Key, event: &Event<'_>) {
            assert_eq!(key, Key::LOOP);
            self.0.push(format!("{event:?}"));
        }
    }

    fn bench() -> Bench {
        let poll = Poll::new().unwrap();
        let waker = Arc::new(Waker::new(poll.registry(), Token(1)).unwrap());
        let (answers, given) = channel();
        let (asking, asked) = channel();
        let given = Mutex::new((given, asking));
        let ask = move |name: &str| {
            let (given, asking) = &*given.lock().unwrap();
            let _ = asking.send(name.to_string());
            given.recv().unwrap_or_else(|_| Ok(Vec::new()))
        };
        let resolver = Resolver::with(waker, Arc::new(ask));
        Bench { poll, resolver, answers, asked, seen: Seen::default() }
    }

    impl Bench {
        fn lookup(&mut self, name: &str, second: u64) -> Lookup {
            self.resolver.lookup(name, 80, Moment(second * 1_000_000))
        }

        /// Gives the answer, and sleeps until it has come back.
        fn answer(&mut self, found: Found, second: u64) {
            self.answers.send(found).unwrap();
            let mut events = Events::with_capacity(8);
            while !self.resolver.collect(Moment(second * 1_000_000), &mut self.seen) {
                self.poll.poll(&mut events, Some(Duration::from_secs(20))).unwrap();
                assert!(!events.is_empty(), "the loop was not woken");
            }
        }

        fn next_question(&self) -> String {
            self.asked.recv_timeout(Duration::from_secs(20)).unwrap()
        }
    }

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn a_name_is_pending_until_its_answer_wakes_the_loop() {
        let mut bench = bench();
        assert!(!bench.resolver.collect(Moment(0), &mut ()));
        assert!(bench.resolver.helper.is_none(), "a thread without a name to look up");
        assert_eq!(bench.lookup("both", 0), Lookup::Pending);
        assert_eq!(bench.lookup("both", 0), Lookup::Pending);
        bench.answer(Ok(addresses(&["[::1]:0", "127.0.0.1:0", "[fe80::1%3]:0"])), 1);
        let known = addresses(&["[::1]:80", "127.0.0.1:80", "[fe80::1%3]:80"]);
        assert_eq!(bench.lookup("both", 1), Lookup::Known(known));
        assert_eq!(bench.next_question(), "both");
        assert!(bench.asked.try_recv().is_err(), "asked twice");
        assert_eq!(bench.seen.0, ["Resolved { name: \"both\", addresses: 3, error: None }"]);
    }

    #[test]
    fn an_old_answer_serves_while_it_is_refreshed_and_while_that_fails() {
        let mut bench = bench();
        bench.lookup("name", 0);
        bench.answer(Ok(addresses(&["127.0.0.1:0"])), 0);
        let old = Lookup::Known(addresses(&["127.0.0.1:80"]));
        assert_eq!(bench.lookup("name", 29), old);
        assert_eq!(bench.resolver.asked, 0);
        assert_eq!(bench.lookup("name", 30), old);
        assert_eq!(bench.resolver.asked, 1);
        bench.answer(Err(io::Error::other("server is away")), 31);
        assert_eq!(bench.lookup("name", 31), old);
        assert_eq!(bench.resolver.asked, 0, "asked again too soon");
        assert_eq!(bench.lookup("name", 32), old);
        bench.answer(Ok(addresses(&["127.0.0.2:0"])), 33);
        let new = Lookup::Known(addresses(&["127.0.0.2:80"]));
        assert_eq!(bench.lookup("name", 62), new);
        assert_eq!(bench.resolver.asked, 0);
        assert!(bench.seen.0[1].contains("server is away"));
    }

    #[test]
    fn a_very_old_answer_serves_only_if_a_fresh_one_is_not_to_be_had() {
        let mut bench = bench();
        bench.lookup("name", 0);
        bench.answer(Ok(addresses(&["127.0.0.1:0"])), 0);
        assert_eq!(bench.lookup("name", 300), Lookup::Pending);
        bench.answer(Err(io::Error::other("server is away")), 301);
        let old = Lookup::Known(addresses(&["127.0.0.1:80"]));
        assert_eq!(bench.lookup("name", 301), old);
        assert_eq!(bench.lookup("name", 900), old);
        assert_eq!(bench.resolver.asked, 1);
    }

    #[test]
    fn a_name_that_never_had_an_answer_fails_and_is_tried_again_later_and_later() {
        let mut bench = bench();
        let mut now = 0;
        for patience in [1, 2, 4, 8, 16, 30, 30] {
            assert_eq!(bench.lookup("none", now), Lookup::Pending);
            bench.answer(Err(io::Error::other("no such name")), now);
            let failed = Lookup::Failed("no such name".to_string());
            assert_eq!(bench.lookup("none", now), failed);
            now += patience;
            assert_eq!(bench.lookup("none", now - 1), failed, "after {patience} s");
        }
        assert_eq!(bench.lookup("none", now), Lookup::Pending);
        bench.answer(Ok(Vec::new()), now);
        let failed = Lookup::Failed("the name has no address".to_string());
        assert_eq!(bench.lookup("none", now), failed);
    }

    #[test]
    fn questions_and_names_are_limited() {
        let mut bench = bench();
        for number in 0..ASKED_MAX {
            assert_eq!(bench.lookup(&format!("name{number}"), 0), Lookup::Pending);
        }
        let refused = bench.lookup("one-more", 0);
        assert_eq!(refused, Lookup::Failed("too many names are being looked up".to_string()));
        bench.answer(Ok(addresses(&["127.0.0.1:0"])), 0);
        assert_eq!(bench.lookup("one-more", 0), Lookup::Pending);
        for number in 0..2 * NAMES_MAX {
            bench.lookup(&format!("other{number}"), 1);
        }
        assert_eq!(bench.resolver.names.len(), NAMES_MAX);
        assert_eq!(bench.lookup("one-more", 1), Lookup::Pending, "forgotten while it was asked");
    }

    #[test]
    fn the_system_is_asked_for_localhost() {
        let mut poll = Poll::new().unwrap();
        let waker = Arc::new(Waker::new(poll.registry(), Token(1)).unwrap());
        let mut resolver = Resolver::new(waker);
        assert_eq!(resolver.lookup("localhost", 7, Moment(0)), Lookup::Pending);
        let mut events = Events::with_capacity(8);
        while !resolver.collect(Moment(1), &mut ()) {
            poll.poll(&mut events, Some(Duration::from_secs(60))).unwrap();
        }
        let Lookup::Known(found) = resolver.lookup("localhost", 7, Moment(1)) else {
            panic!("localhost is not known")
        };
        assert!(found.iter().all(|address| address.ip().is_loopback() && address.port() == 7));
    }
}
