//! The context of one drive of a connection.

use super::buffers::Buffers;
use super::event::Event;
use super::key::Key;
use super::turn::Turn;

/// What driving a connection needs. Passed as one pointer, so that values used rarely cost no
/// registers on the common path.
pub struct DriveCx<'a, 't, P> {
    /// The connection that is driven.
    pub key: Key,
    pub buffers: &'a mut Buffers<P>,
    pub turn: &'a mut Turn<'t>,
}

impl<P> DriveCx<'_, '_, P> {
    /// Reports an event of an end.
    pub fn on(&mut self, end: usize, event: &Event<'_>) {
        self.turn.on(self.key.at(end), event);
    }

    /// Reports a step of an end.
    #[inline(always)]
    pub fn step<'e>(&mut self, end: usize, step: impl FnOnce() -> Event<'e>) {
        self.turn.step(self.key.at(end), step);
    }
}
