//! Builds the event loop, and applies the first plan to it.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use mio::{Events, Poll, Token, Waker};

use crate::config::Plan;
use crate::core::{Buffers, ConnIds, Engine, Key, Moment, Observer, SysError, Turn};
use crate::net::limits;
use crate::net::resolver::Resolver;
use crate::net::signals::Signals;

use super::apply::CannotApply;
use super::capacity::Capacity;
use super::clock::Clock;
use super::datagrams::Datagrams;
use super::listeners::Listeners;
use super::reactor::{EVENTS, Reactor, SIGNALS, WAKER};
use super::routes::Routes;
use super::upstream::dialer::Dialer;

/// Why the loop cannot start.
#[derive(Debug)]
pub enum CannotStart {
    Plan(CannotApply),
    System(io::Error),
}

/// Builds the loop and binds every address of the plan. Returns warnings for the operator too, one
/// sentence each. On error everything is released.
pub fn bind(
    plan: &Plan,
    observer: &mut dyn Observer,
) -> Result<(Reactor, Vec<String>), CannotStart> {
    let mut reactor = empty()?;
    let warnings = reactor.apply(plan, &mut Turn::new(reactor.now(), observer))?;
    Ok((reactor, warnings))
}

/// Builds a loop without routes.
fn empty() -> io::Result<Reactor> {
    let limits = limits::raise_files();
    let poll = Poll::new()?;
    let signals = Signals::new(poll.registry(), token(SIGNALS))?;
    let waker = Arc::new(Waker::new(poll.registry(), token(WAKER))?);
    Ok(Reactor {
        events: Events::with_capacity(EVENTS),
        poll,
        clock: Clock::start(),
        woke: Moment(0),
        is_timed: false,
        turns: 0,
        conn_ids: ConnIds::default(),
        routes: Routes::default(),
        capacity: Capacity::none(limits),
        drain_timeout: Plan::DRAIN_TIMEOUT,
        drain_idle: Duration::ZERO,
        spin: None,
        engine: Engine::new(Vec::new(), 0, Buffers::default()),
        listeners: Listeners::default(),
        dialer: Dialer::default(),
        resolver: Resolver::new(waker),
        datagrams: Datagrams::new(seed()),
        signals,
        stopping: None,
    })
}

/// Returns a random seed. Outsiders must not be able to predict which reply of a loop is dropped.
fn seed() -> u64 {
    RandomState::new().hash_one("oneloop")
}

fn token(source: usize) -> Token {
    Token(Key::source(source).to_token())
}

impl fmt::Display for CannotStart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CannotStart::Plan(error) => error.fmt(f),
            CannotStart::System(error) => write!(f, "cannot start: {}", SysError::from(error)),
        }
    }
}

impl From<io::Error> for CannotStart {
    fn from(error: io::Error) -> Self {
        CannotStart::System(error)
    }
}

impl From<CannotApply> for CannotStart {
    fn from(error: CannotApply) -> Self {
        CannotStart::Plan(error)
    }
}
