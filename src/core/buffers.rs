//! The stock of buffers. One is shared by all reads; bytes that could not be written yet are kept
//! on a shelf, on loan to the flow that still has to write them.
//!
//! So a connection with nothing unsent holds no buffer at all, and one that is blocked holds
//! exactly its unsent bytes: at most one scratch buffer's worth a flow, because nothing is read
//! while bytes are kept.

use std::num::NonZeroU32;

use slab::Slab;

use super::pipes::{Pipe, Pipes};

/// The most that one read takes, and so the most that one flow can ever hold.
pub const SCRATCH_BYTES: usize = 64 * 1024;

/// All the buffers there are.
pub struct Buffers<P> {
    pub scratch: Box<[u8]>,
    pub unsent: Unsent<P>,
}

/// The bytes that were read and could not be written yet: copies, or pipes that they lie in.
pub struct Unsent<P> {
    pending: Slab<Pending<P>>,
    bytes: usize,
    pub pipes: Pipes<P>,
}

/// The right to one place on the shelf. It cannot be copied: whoever has it must give it back.
#[derive(Debug, PartialEq, Eq)]
pub struct UnsentId(NonZeroU32);

/// One place on the shelf.
pub enum Pending<P> {
    /// Those before `start` have been written.
    Bytes {
        bytes: Vec<u8>,
        start: usize,
    },
    Pipe {
        pipe: P,
        left: usize,
    },
    /// What lay here is being written.
    Taken,
}

impl<P> Pending<P> {
    /// How many bytes are still to be written.
    pub fn len(&self) -> usize {
        match self {
            Pending::Bytes { bytes, start } => bytes.len() - start,
            Pending::Pipe { left, .. } => *left,
            Pending::Taken => 0,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes, if they lie where we can see them.
    pub fn data(&self) -> &[u8] {
        match self {
            Pending::Bytes { bytes, start } => &bytes[*start..],
            Pending::Pipe { .. } | Pending::Taken => &[],
        }
    }
}

impl UnsentId {
    /// The number is one more than the place, so that an `Option<UnsentId>` costs nothing.
    fn place(&self) -> usize {
        self.0.get() as usize - 1
    }
}

impl<P> Default for Buffers<P> {
    fn default() -> Self {
        Buffers::with_scratch(SCRATCH_BYTES)
    }
}

impl<P> Buffers<P> {
    /// A stock whose reads take at most so many bytes; the simulation uses small ones.
    pub fn with_scratch(bytes: usize) -> Buffers<P> {
        Buffers { scratch: vec![0; bytes].into_boxed_slice(), unsent: Unsent::default() }
    }
}

impl<P> Default for Unsent<P> {
    fn default() -> Self {
        Unsent { pending: Slab::new(), bytes: 0, pipes: Pipes::default() }
    }
}

impl<P: Pipe> Unsent<P> {
    /// Keeps a copy of `bytes`.
    pub fn store(&mut self, bytes: &[u8]) -> UnsentId {
        self.place(Pending::Bytes { bytes: bytes.to_vec(), start: 0 })
    }

    /// Keeps a pipe with so many bytes in it.
    pub fn store_pipe(&mut self, pipe: P, left: usize) -> UnsentId {
        self.place(Pending::Pipe { pipe, left })
    }

    fn place(&mut self, pending: Pending<P>) -> UnsentId {
        self.bytes += pending.len();
        let place = self.pending.insert(pending);
        UnsentId(NonZeroU32::MIN.saturating_add(place as u32))
    }

    /// How many bytes are still to be written.
    pub fn left(&self, unsent_id: &UnsentId) -> usize {
        self.pending[unsent_id.place()].len()
    }

    /// The same, if they lie where we can see them.
    pub fn data(&self, unsent_id: &UnsentId) -> &[u8] {
        self.pending[unsent_id.place()].data()
    }

    /// Takes the bytes off the shelf for the time of one write; `put` brings them back.
    pub fn take(&mut self, unsent_id: &UnsentId) -> Pending<P> {
        std::mem::replace(&mut self.pending[unsent_id.place()], Pending::Taken)
    }

    pub fn put(&mut self, unsent_id: &UnsentId, pending: Pending<P>) {
        self.pending[unsent_id.place()] = pending;
    }

    /// Adds to what is kept: a message is gathered this way.
    pub fn append(&mut self, unsent_id: &UnsentId, bytes: &[u8]) {
        if let Pending::Bytes { bytes: pending, .. } = &mut self.pending[unsent_id.place()] {
            pending.extend_from_slice(bytes);
            self.bytes += bytes.len();
        }
    }

    /// So many bytes have been written. With the last of them the loan ends.
    pub fn consume(&mut self, slot: &mut Option<UnsentId>, bytes: usize) {
        let Some(unsent_id) = slot else { return };
        let pending = &mut self.pending[unsent_id.place()];
        match pending {
            Pending::Bytes { start, .. } => *start += bytes,
            Pending::Pipe { left, .. } => *left -= bytes,
            Pending::Taken => return,
        }
        self.bytes -= bytes;
        if pending.is_empty() {
            self.release(slot);
        }
    }

    /// Ends a loan, whatever it still holds.
    pub fn release(&mut self, slot: &mut Option<UnsentId>) {
        if let Some(unsent_id) = slot.take() {
            let pending = self.pending.remove(unsent_id.place());
            self.bytes -= pending.len();
            if let Pending::Pipe { pipe, left } = pending {
                self.pipes.release(pipe, left == 0);
            }
        }
    }

    /// How many loans are out.
    pub fn in_use(&self) -> usize {
        self.pending.len()
    }

    /// How many bytes are kept in all.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::pipes::NoPipe;

    #[test]
    fn a_loan_ends_with_its_last_byte() {
        let mut unsent = Unsent::<NoPipe>::default();
        let mut unsent_id = Some(unsent.store(b"hello"));
        unsent.consume(&mut unsent_id, 3);
        assert_eq!(unsent.data(unsent_id.as_ref().unwrap()), b"lo");
        assert_eq!((unsent.in_use(), unsent.bytes()), (1, 2));
        unsent.consume(&mut unsent_id, 2);
        assert!(unsent_id.is_none());
        assert_eq!((unsent.in_use(), unsent.bytes()), (0, 0));
    }

    #[test]
    fn a_loan_may_end_early() {
        let mut unsent = Unsent::<NoPipe>::default();
        let mut unsent_id = Some(unsent.store(b"hel"));
        unsent.append(unsent_id.as_ref().unwrap(), b"lo");
        unsent.release(&mut unsent_id);
        assert_eq!((unsent.in_use(), unsent.bytes()), (0, 0));
    }

    #[test]
    fn what_is_left_is_what_was_not_consumed() {
        let mut unsent = Unsent::<NoPipe>::default();
        let mut unsent_id = Some(unsent.store(b"hello"));
        assert_eq!(unsent.left(unsent_id.as_ref().unwrap()), 5);
        unsent.consume(&mut unsent_id, 3);
        assert_eq!(unsent.left(unsent_id.as_ref().unwrap()), 2);
        let pending = unsent.take(unsent_id.as_ref().unwrap());
        assert_eq!((pending.len(), pending.data(), pending.is_empty()), (2, &b"lo"[..], false));
        assert_eq!(unsent.left(unsent_id.as_ref().unwrap()), 0, "they are being written");
        assert_eq!(SCRATCH_BYTES, 65_536);
    }
}
