//! The resolver with answers that the tests control.

use std::sync::Mutex;
use std::sync::mpsc::{Sender, channel};

use mio::{Events, Poll, Token};

use super::*;
use crate::core::{Observer, Turn};

type Found = io::Result<Vec<SocketAddr>>;

/// A loop that sleeps until it is woken, and a resolver whose answers the test controls.
struct Bench {
    poll: Poll,
    resolver: Resolver,
    answers: Sender<Found>,
    asked: Receiver<String>,
    log: EventLog,
}

#[derive(Default)]
struct EventLog(Vec<String>);

impl Observer for EventLog {
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
    let resolver = Resolver::with_resolve(waker, Arc::new(ask));
    Bench { poll, resolver, answers, asked, log: EventLog::default() }
}

impl Bench {
    fn lookup(&mut self, name: &str, second: u64) -> Lookup {
        self.resolver.lookup(name, 80, Moment(second * 1_000_000))
    }

    /// Sends the answer, and sleeps until it is collected.
    fn answer(&mut self, found: Found, second: u64) {
        self.answers.send(found).unwrap();
        self.wait_for_answer(second);
    }

    fn wait_for_answer(&mut self, second: u64) {
        let mut events = Events::with_capacity(8);
        while !self.resolver.collect(&mut Turn::new(Moment(second * 1_000_000), &mut self.log)) {
            self.poll.poll(&mut events, Some(Duration::from_secs(20))).unwrap();
            assert!(!events.is_empty(), "the loop was not woken");
        }
    }

    fn next_query(&self) -> String {
        self.asked.recv_timeout(Duration::from_secs(20)).unwrap()
    }
}

fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

#[test]
fn a_name_is_pending_until_its_answer_wakes_the_loop() {
    let mut bench = bench();
    assert!(!bench.resolver.collect(&mut Turn::new(Moment(0), &mut ())));
    assert!(bench.resolver.helpers.is_none(), "a thread without a name to look up");
    assert_eq!(bench.lookup("both", 0), Lookup::Pending);
    assert_eq!(bench.lookup("both", 0), Lookup::Pending);
    bench.answer(Ok(addresses(&["[::1]:0", "127.0.0.1:0", "[fe80::1%3]:0"])), 1);
    let known = addresses(&["[::1]:80", "127.0.0.1:80", "[fe80::1%3]:80"]);
    assert_eq!(bench.lookup("both", 1), Lookup::Known(known));
    assert_eq!(bench.next_query(), "both");
    assert!(bench.asked.try_recv().is_err(), "asked twice");
    assert_eq!(bench.log.0, ["Resolved { name: \"both\", addresses: 3, error: None }"]);
}

#[test]
fn an_old_answer_is_used_while_it_is_refreshed_and_while_that_fails() {
    let mut bench = bench();
    bench.lookup("name", 0);
    bench.answer(Ok(addresses(&["127.0.0.1:0"])), 0);
    let old = Lookup::Known(addresses(&["127.0.0.1:80"]));
    assert_eq!(bench.lookup("name", 29), old);
    assert_eq!(bench.resolver.queries, 0);
    assert_eq!(bench.lookup("name", 30), old);
    assert_eq!(bench.resolver.queries, 1);
    bench.answer(Err(io::Error::other("server unreachable")), 31);
    assert_eq!(bench.lookup("name", 31), old);
    assert_eq!(bench.resolver.queries, 0, "asked again too soon");
    assert_eq!(bench.lookup("name", 32), old);
    bench.answer(Ok(addresses(&["127.0.0.2:0"])), 33);
    let new = Lookup::Known(addresses(&["127.0.0.2:80"]));
    assert_eq!(bench.lookup("name", 62), new);
    assert_eq!(bench.resolver.queries, 0);
    assert!(bench.log.0[1].contains("server unreachable"));
}

#[test]
fn a_stale_answer_is_used_only_if_a_fresh_one_cannot_be_had() {
    let mut bench = bench();
    bench.lookup("name", 0);
    bench.answer(Ok(addresses(&["127.0.0.1:0"])), 0);
    assert_eq!(bench.lookup("name", 300), Lookup::Pending);
    bench.answer(Err(io::Error::other("server unreachable")), 301);
    let old = Lookup::Known(addresses(&["127.0.0.1:80"]));
    assert_eq!(bench.lookup("name", 301), old);
    assert_eq!(bench.lookup("name", 900), old);
    assert_eq!(bench.resolver.queries, 1);
}

#[test]
fn a_name_that_never_had_an_answer_fails_and_is_tried_again_later_and_later() {
    let mut bench = bench();
    let mut now = 0;
    for delay in [1, 2, 4, 8, 16, 30, 30] {
        assert_eq!(bench.lookup("none", now), Lookup::Pending);
        bench.answer(Err(io::Error::other("no such name")), now);
        let failed = Lookup::Failed("no such name".to_string());
        assert_eq!(bench.lookup("none", now), failed);
        now += delay;
        assert_eq!(bench.lookup("none", now - 1), failed, "after {delay} s");
    }
    assert_eq!(bench.lookup("none", now), Lookup::Pending);
    bench.answer(Ok(Vec::new()), now);
    let failed = Lookup::Failed("the name has no address".to_string());
    assert_eq!(bench.lookup("none", now), failed);
}

#[test]
fn queries_and_names_are_limited() {
    let mut bench = bench();
    for number in 0..QUERIES_MAX {
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
    assert_eq!(bench.lookup("one-more", 1), Lookup::Pending, "evicted while it was queried");
}

#[test]
fn names_that_do_not_resolve_delay_no_other_name_and_no_end() {
    let poll = Poll::new().unwrap();
    let waker = Arc::new(Waker::new(poll.registry(), Token(1)).unwrap());
    let (asking, asked) = channel();
    let (release, stuck) = channel::<()>();
    let shared = Mutex::new(asking);
    let stuck = Arc::new(Mutex::new(stuck));
    let ask = move |name: &str| {
        let _ = shared.lock().unwrap().send(name.to_string());
        if name.starts_with("slow") {
            // Blocks until the end of the test.
            let _ = stuck.lock().map(|stuck| stuck.recv());
        }
        Ok(addresses(&["127.0.0.1:0"]))
    };
    let resolver = Resolver::with_resolve(waker, Arc::new(ask));
    let (answers, _) = channel();
    let mut bench = Bench { poll, resolver, answers, asked, log: EventLog::default() };
    for name in ["slow1", "slow2", "slow3", "quick", "slow1"] {
        assert_eq!(bench.lookup(name, 0), Lookup::Pending);
    }
    bench.wait_for_answer(1);
    assert_eq!(bench.log.0, ["Resolved { name: \"quick\", addresses: 1, error: None }"]);
    let mut began: Vec<String> = (0..4).map(|_| bench.next_query()).collect();
    began.sort();
    assert_eq!(began, ["quick", "slow1", "slow2", "slow3"], "one was asked for twice");
    // The number of threads is limited: the other queries wait.
    for number in 4..20 {
        assert_eq!(bench.lookup(&format!("slow{number}"), 1), Lookup::Pending);
    }
    assert_eq!(bench.next_query(), "slow4");
    assert_eq!(bench.resolver.helpers.as_ref().unwrap().threads, HELPERS_MAX);
    assert!(bench.asked.try_recv().is_err(), "more names at once than there may be threads");
    // Does not wait for the threads.
    drop(bench);
    drop(release);
}

#[test]
fn the_system_is_asked_for_localhost() {
    let mut poll = Poll::new().unwrap();
    let waker = Arc::new(Waker::new(poll.registry(), Token(1)).unwrap());
    let mut resolver = Resolver::new(waker);
    assert_eq!(resolver.lookup("localhost", 7, Moment(0)), Lookup::Pending);
    let mut events = Events::with_capacity(8);
    while !resolver.collect(&mut Turn::new(Moment(1), &mut ())) {
        poll.poll(&mut events, Some(Duration::from_secs(60))).unwrap();
    }
    let Lookup::Known(found) = resolver.lookup("localhost", 7, Moment(1)) else {
        panic!("localhost is not known")
    };
    assert!(found.iter().all(|address| address.ip().is_loopback() && address.port() == 7));
}
