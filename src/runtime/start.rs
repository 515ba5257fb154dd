//! Builds the event loop, and applies the first plan to it.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::io;

use crate::config::Plan;
use crate::core::{Observer, SysError, Turn};
use crate::net::bind::ListenNames;
use crate::net::limits;

use super::admin_port::AdminPort;
use super::apply::CannotApply;
use super::reactor::Reactor;

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
    let mut reactor = Reactor::new(limits::raise_files(), seed())?;
    let turn = &mut Turn::new(reactor.now(), observer);
    let names = ListenNames::resolve(plan.routes.iter().map(|route| &route.listen));
    let warnings = reactor.apply(plan, &names, turn)?.warnings;
    reactor.admin =
        AdminPort::bind(&plan.admin, &reactor.event_loop, turn).map_err(CannotApply::Listen)?;
    reactor.set_timed(reactor.admin.is_some());
    Ok((reactor, warnings))
}

/// Returns a random seed.
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
