//! One direction of traffic: bytes read from end `from` are written to end `to`. While bytes are
//! unsent, nothing more is read.
//!
//! ```text
//!            read                       write
//!   from ----------->  at most one   ----------->  to
//!                      read's worth
//! ```

use super::buffers::UnsentId;
use super::ready::Ready;

/// One direction of a connection. Sixteen bytes.
#[derive(Debug)]
pub struct Flow {
    /// Bytes written to `to` since the connection was opened.
    pub moved: u64,
    /// Bytes read and not yet written.
    pub unsent: Option<UnsentId>,
    pub from: u8,
    pub to: u8,
    /// The end of file has been read and propagated.
    pub done: bool,
    /// The last read was large: the next one is a splice, if the sockets support it.
    pub bulk: bool,
}

/// The next step of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Read,
    Write,
    /// The flow is done, or has to wait for an event.
    Rest,
}

impl Flow {
    pub fn new(from: u8, to: u8) -> Flow {
        Flow { moved: 0, unsent: None, from, to, done: false, bulk: false }
    }

    /// A flow that begins with bytes to send: `unsent` is written before anything is read.
    pub fn starting_with(unsent: Option<UnsentId>, from: u8, to: u8) -> Flow {
        Flow { unsent, ..Flow::new(from, to) }
    }

    /// The absent second direction: it connects nothing, and is done from the start.
    pub fn none() -> Flow {
        Flow { done: true, ..Flow::new(1, 1) }
    }

    /// Returns the indices of the end that is read and the end that is written. The mask shows the
    /// compiler that both are below two.
    #[inline(always)]
    pub fn route(&self) -> (usize, usize) {
        (self.from as usize & 1, self.to as usize & 1)
    }

    pub fn is_absent(&self) -> bool {
        (self.from, self.to) == (1, 1)
    }

    /// Returns the next step. All policy of the pump is here.
    ///
    /// Backpressure: while `to` is not writable, nothing is read. Connecting: an end that is not
    /// connected is not ready. Order: unsent bytes are written first, so an end of file is only
    /// read when nothing is unsent, and propagating it loses nothing.
    #[inline(always)]
    pub fn next(&self, from: Ready, to: Ready) -> Step {
        if self.done || !to.has(Ready::WRITE) {
            Step::Rest
        } else if self.unsent.is_some() {
            Step::Write
        } else if from.has(Ready::READ) {
            Step::Read
        } else {
            Step::Rest
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::buffers::Unsent;
    use crate::core::pipes::NoPipe;

    #[test]
    fn the_truth_table_of_next() {
        use Step::{Read, Rest, Write};
        // done, unsent, from readable, to writable => the next step
        let table = [
            (false, false, false, false, Rest),
            (false, false, false, true, Rest),
            (false, false, true, false, Rest),
            (false, false, true, true, Read),
            (false, true, false, false, Rest),
            (false, true, false, true, Write),
            (false, true, true, false, Rest),
            (false, true, true, true, Write),
            (true, false, false, false, Rest),
            (true, false, false, true, Rest),
            (true, false, true, false, Rest),
            (true, false, true, true, Rest),
            (true, true, false, false, Rest),
            (true, true, false, true, Rest),
            (true, true, true, false, Rest),
            (true, true, true, true, Rest),
        ];
        let mut storage = Unsent::<NoPipe>::default();
        for (done, unsent, readable, writable, expected) in table {
            let mut flow = Flow { done, ..Flow::new(0, 1) };
            flow.unsent = unsent.then(|| storage.store(b"x"));
            let bit = |on: bool, bit| if on { bit } else { Ready::NONE };
            // Bits of the other direction, and hints, must not matter.
            for noise in [Ready::NONE, Ready::READ_CLOSED, Ready::URGENT, Ready::ERROR] {
                let from = bit(readable, Ready::READ).with(Ready::WRITE).with(noise);
                let to = bit(writable, Ready::WRITE).with(Ready::READ).with(noise);
                let row = (done, unsent, readable, writable);
                assert_eq!(flow.next(from, to), expected, "{row:?} with {noise}");
            }
        }
    }
}
