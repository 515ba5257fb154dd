//! One drive of a connection: whose it is, when, and what it is done with.

use super::buffers::Buffers;
use super::event::{Event, Seen};
use super::key::Key;
use super::time::Moment;

/// What all that moves the bytes of one connection has at hand. One pointer to it is passed on
/// instead of each of these: what a message seldom needs then costs it nothing.
pub struct DriveCx<'a, P> {
    /// The connection.
    pub key: Key,
    pub now: Moment,
    pub buffers: &'a mut Buffers<P>,
    pub seen: Seen<'a>,
}

impl<P> DriveCx<'_, P> {
    /// Something happened at an end.
    pub fn on(&mut self, end: usize, event: &Event<'_>) {
        self.seen.on(self.key.at(end), event);
    }

    /// The same of a small step.
    #[inline(always)]
    pub fn step<'e>(&mut self, end: usize, step: impl FnOnce() -> Event<'e>) {
        self.seen.step(self.key.at(end), step);
    }
}
