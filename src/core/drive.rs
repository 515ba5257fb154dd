//! The context of one drive of a connection.

use super::buffers::Buffers;
use super::event::{Event, Seen};
use super::key::Key;
use super::time::Moment;

/// What driving a connection needs. Passed as one pointer, so that values used rarely cost no
/// registers on the common path.
pub struct DriveCx<'a, P> {
    /// The connection that is driven.
    pub key: Key,
    pub now: Moment,
    pub buffers: &'a mut Buffers<P>,
    pub seen: Seen<'a>,
}

impl<P> DriveCx<'_, P> {
    /// Reports an event of an end.
    pub fn on(&mut self, end: usize, event: &Event<'_>) {
        self.seen.on(self.key.at(end), event);
    }

    /// Reports a step of an end.
    #[inline(always)]
    pub fn step<'e>(&mut self, end: usize, step: impl FnOnce() -> Event<'e>) {
        self.seen.step(self.key.at(end), step);
    }
}
