//! The buffers: one scratch buffer shared by all reads, and the bytes that could not be written
//! yet.
//!
//! A connection with nothing unsent holds no buffer at all. A blocked one holds exactly its unsent
//! bytes: at most one scratch buffer's worth per flow, because nothing is read while bytes are
//! unsent.

use std::num::NonZeroU32;

use slab::Slab;

use super::counters::PumpCounts;
use super::local::Locals;
use super::pipes::{Pipe, Pipes};

/// Size of the scratch buffer in bytes: the most that one read returns, so the most that one flow
/// can hold as a copy.
pub const SCRATCH_BYTES: usize = 64 * 1024;

/// All buffers of the engine.
pub struct Buffers<P> {
    pub scratch: Box<[u8]>,
    pub unsent: Unsent<P>,
    pub locals: Locals,
    pub counts: PumpCounts,
}

/// Bytes that were read and could not be written yet: copies, or pipes that hold them.
pub struct Unsent<P> {
    pending: Slab<Pending<P>>,
    bytes: usize,
    pub pipes: Pipes<P>,
}

/// Identifies one entry of `Unsent`. It is not `Copy`: its owner has to release it.
#[derive(Debug, PartialEq, Eq)]
pub struct UnsentId(NonZeroU32);

/// One entry of `Unsent`.
pub enum Pending<P> {
    /// The bytes before `start` have been written.
    Bytes {
        bytes: Vec<u8>,
        start: usize,
    },
    Pipe {
        pipe: P,
        left: usize,
    },
}

impl<P> Pending<P> {
    /// Returns the number of bytes still to be written.
    pub fn len(&self) -> usize {
        match self {
            Pending::Bytes { bytes, start } => bytes.len() - start,
            Pending::Pipe { left, .. } => *left,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the bytes if they are a copy; those in a pipe cannot be accessed.
    pub fn data(&self) -> &[u8] {
        match self {
            Pending::Bytes { bytes, start } => &bytes[*start..],
            Pending::Pipe { .. } => &[],
        }
    }
}

impl UnsentId {
    /// Returns the slab index. The id is one more, so that an `Option<UnsentId>` needs no extra
    /// space.
    fn index(&self) -> usize {
        self.0.get() as usize - 1
    }
}

impl<P> Default for Buffers<P> {
    fn default() -> Self {
        Buffers::with_scratch(SCRATCH_BYTES)
    }
}

impl<P> Buffers<P> {
    /// Creates buffers with a scratch buffer of `bytes` bytes. The simulation uses small ones.
    pub fn with_scratch(bytes: usize) -> Buffers<P> {
        Buffers {
            scratch: vec![0; bytes].into_boxed_slice(),
            unsent: Unsent::default(),
            locals: Locals::default(),
            counts: PumpCounts::default(),
        }
    }
}

impl<P> Default for Unsent<P> {
    fn default() -> Self {
        Unsent { pending: Slab::new(), bytes: 0, pipes: Pipes::default() }
    }
}

impl<P: Pipe> Unsent<P> {
    /// Stores a copy of `bytes`.
    pub fn store(&mut self, bytes: &[u8]) -> UnsentId {
        self.insert(Pending::Bytes { bytes: bytes.to_vec(), start: 0 })
    }

    /// Stores a pipe with `left` bytes in it.
    pub fn store_pipe(&mut self, pipe: P, left: usize) -> UnsentId {
        self.insert(Pending::Pipe { pipe, left })
    }

    fn insert(&mut self, pending: Pending<P>) -> UnsentId {
        self.bytes += pending.len();
        let index = self.pending.insert(pending);
        UnsentId(NonZeroU32::MIN.saturating_add(index as u32))
    }

    /// Returns the number of bytes still to be written.
    pub fn left(&self, unsent_id: &UnsentId) -> usize {
        self.pending[unsent_id.index()].len()
    }

    /// Returns the bytes still to be written, if they are a copy.
    pub fn data(&self, unsent_id: &UnsentId) -> &[u8] {
        self.pending[unsent_id.index()].data()
    }

    /// Returns an entry for one write. `consume` must follow.
    pub fn get_mut(&mut self, unsent_id: &UnsentId) -> &mut Pending<P> {
        &mut self.pending[unsent_id.index()]
    }

    /// Removes `bytes` written bytes. Releases the entry with its last byte.
    pub fn consume(&mut self, slot: &mut Option<UnsentId>, bytes: usize) {
        let Some(unsent_id) = slot else { return };
        let pending = &mut self.pending[unsent_id.index()];
        match pending {
            Pending::Bytes { start, .. } => *start += bytes,
            Pending::Pipe { left, .. } => *left -= bytes,
        }
        self.bytes -= bytes;
        if pending.is_empty() {
            self.release(slot);
        }
    }

    /// Releases an entry, with whatever bytes it still holds.
    pub fn release(&mut self, slot: &mut Option<UnsentId>) {
        if let Some(unsent_id) = slot.take() {
            let pending = self.pending.remove(unsent_id.index());
            self.bytes -= pending.len();
            if let Pending::Pipe { pipe, left } = pending {
                self.pipes.release(pipe, left == 0);
            }
        }
    }

    /// Returns the number of entries in use.
    pub fn in_use(&self) -> usize {
        self.pending.len()
    }

    /// Returns the number of bytes stored in all entries.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::pipes::NoPipe;

    #[test]
    fn an_entry_is_released_with_its_last_byte() {
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
    fn an_entry_may_be_released_early() {
        let mut unsent = Unsent::<NoPipe>::default();
        let mut unsent_id = Some(unsent.store(b"hello"));
        unsent.release(&mut unsent_id);
        assert_eq!((unsent.in_use(), unsent.bytes()), (0, 0));
    }

    #[test]
    fn the_bytes_left_are_those_not_consumed() {
        let mut unsent = Unsent::<NoPipe>::default();
        let mut unsent_id = Some(unsent.store(b"hello"));
        assert_eq!(unsent.left(unsent_id.as_ref().unwrap()), 5);
        unsent.consume(&mut unsent_id, 3);
        assert_eq!(unsent.left(unsent_id.as_ref().unwrap()), 2);
        let pending = unsent.get_mut(unsent_id.as_ref().unwrap());
        assert_eq!((pending.len(), pending.data(), pending.is_empty()), (2, &b"lo"[..], false));
        assert_eq!(SCRATCH_BYTES, 65_536);
    }
}
