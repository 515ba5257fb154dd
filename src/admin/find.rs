//! Looks up a connection by its number, in parts: connections are stored by slot.

use crate::core::Key;
use crate::runtime::inspect::Inspect;
use crate::runtime::sweep::SweepCursor;

use super::http::response::StreamHead;

/// Slots visited per part. It takes about 50 us.
const SLOTS_PER_PART: usize = 16 * 1024;

/// A lookup in progress.
pub struct FindJob {
    id: u32,
    cursor: SweepCursor,
    pub then: Then,
}

/// What is done with the connection that was found.
#[derive(Clone, Debug)]
pub enum Then {
    Show,
    Close,
    /// Its packets are sent as they come.
    Tap(StreamHead),
}

/// The result of one part.
pub enum Found {
    Open(Key),
    Gone,
    /// More slots are to be visited.
    More,
}

impl FindJob {
    pub fn new(id: u32, then: Then) -> FindJob {
        FindJob { id, cursor: SweepCursor::default(), then }
    }

    pub fn id(&self) -> u32 {
        self.id
    }

    pub fn part(&mut self, inspect: Inspect<'_>) -> Found {
        match inspect.find(self.id, &mut self.cursor, SLOTS_PER_PART) {
            None => Found::Gone,
            Some(None) => Found::More,
            Some(Some(key)) => Found::Open(key),
        }
    }
}
