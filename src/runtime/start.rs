//! Builds the event loop, and applies the first plan to it.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::time::Duration;

use crate::config::Plan;
use crate::core::{Buffers, ConnIds, Engine, Observer, SysError, Turn};
use crate::net::limits;
use crate::net::resolver::Resolver;

use super::apply::CannotApply;
use super::capacity::Capacity;
use super::datagrams::Datagrams;
use super::event_loop::EventLoop;
use super::listeners::Listeners;
use super::reactor::{EVENTS, Reactor};
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
    let mut event_loop = EventLoop::new(EVENTS)?;
    event_loop.handle_signals()?;
    Ok(Reactor {
        conn_ids: ConnIds::default(),
        routes: Routes::default(),
        capacity: Capacity::none(limits),
        drain_timeout: Plan::DRAIN_TIMEOUT,
        drain_idle: Duration::ZERO,
        engine: Engine::new(Vec::new(), 0, Buffers::default()),
        listeners: Listeners::default(),
        dialer: Dialer::default(),
        resolver: Resolver::new(event_loop.waker()),
        datagrams: Datagrams::new(seed()),
        event_loop,
        stopping: None,
    })
}

/// Returns a random seed. Outsiders must not be able to predict which reply of a loop is dropped.
fn seed() -> u64 {
    RandomState::new().hash_one("oneloop")
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
