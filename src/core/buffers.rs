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
    pub shelf: Shelf<P>,
}

/// The bytes that were read and could not be written yet: copies, or pipes that they lie in.
pub struct Shelf<P> {
    kept: Slab<Kept<P>>,
    bytes: usize,
    pub pipes: Pipes<P>,
}

/// The right to one place on the shelf. It cannot be copied: whoever has it must give it back.
#[derive(Debug, PartialEq, Eq)]
pub struct Loan(NonZeroU32);

/// One place on the shelf.
pub enum Kept<P> {
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

impl<P> Kept<P> {
    /// How many bytes are still to be written.
    pub fn len(&self) -> usize {
        match self {
            Kept::Bytes { bytes, start } => bytes.len() - start,
            Kept::Pipe { left, .. } => *left,
            Kept::Taken => 0,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes, if they lie where we can see them.
    pub fn data(&self) -> &[u8] {
        match self {
            Kept::Bytes { bytes, start } => &bytes[*start..],
            Kept::Pipe { .. } | Kept::Taken => &[],
        }
    }
}

impl Loan {
    /// The number is one more than the place, so that an `Option<Loan>` costs nothing.
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
        Buffers { scratch: vec![0; bytes].into_boxed_slice(), shelf: Shelf::default() }
    }
}

impl<P> Default for Shelf<P> {
    fn default() -> Self {
        Shelf { kept: Slab::new(), bytes: 0, pipes: Pipes::default() }
    }
}

impl<P: Pipe> Shelf<P> {
    /// Keeps a copy of `bytes`.
    pub fn keep(&mut self, bytes: &[u8]) -> Loan {
        self.place(Kept::Bytes { bytes: bytes.to_vec(), start: 0 })
    }

    /// Keeps a pipe with so many bytes in it.
    pub fn keep_pipe(&mut self, pipe: P, left: usize) -> Loan {
        self.place(Kept::Pipe { pipe, left })
    }

    fn place(&mut self, kept: Kept<P>) -> Loan {
        self.bytes += kept.len();
        let place = self.kept.insert(kept);
        Loan(NonZeroU32::MIN.saturating_add(place as u32))
    }

    /// How many bytes are still to be written.
    pub fn left(&self, loan: &Loan) -> usize {
        self.kept[loan.place()].len()
    }

    /// The same, if they lie where we can see them.
    pub fn data(&self, loan: &Loan) -> &[u8] {
        self.kept[loan.place()].data()
    }

    /// Takes the bytes off the shelf for the time of one write; `put` brings them back.
    pub fn take(&mut self, loan: &Loan) -> Kept<P> {
        std::mem::replace(&mut self.kept[loan.place()], Kept::Taken)
    }

    pub fn put(&mut self, loan: &Loan, kept: Kept<P>) {
        self.kept[loan.place()] = kept;
    }

    /// Adds to what is kept: a message is gathered this way.
    pub fn append(&mut self, loan: &Loan, bytes: &[u8]) {
        if let Kept::Bytes { bytes: kept, .. } = &mut self.kept[loan.place()] {
            kept.extend_from_slice(bytes);
            self.bytes += bytes.len();
        }
    }

    /// So many bytes have been written. With the last of them the loan ends.
    pub fn consume(&mut self, slot: &mut Option<Loan>, bytes: usize) {
        let Some(loan) = slot else { return };
        let kept = &mut self.kept[loan.place()];
        match kept {
            Kept::Bytes { start, .. } => *start += bytes,
            Kept::Pipe { left, .. } => *left -= bytes,
            Kept::Taken => return,
        }
        self.bytes -= bytes;
        if kept.is_empty() {
            self.give_back(slot);
        }
    }

    /// Ends a loan, whatever it still holds.
    pub fn give_back(&mut self, slot: &mut Option<Loan>) {
        if let Some(loan) = slot.take() {
            let kept = self.kept.remove(loan.place());
            self.bytes -= kept.len();
            if let Kept::Pipe { pipe, left } = kept {
                self.pipes.give_back(pipe, left == 0);
            }
        }
    }

    /// How many loans are out.
    pub fn lent(&self) -> usize {
        self.kept.len()
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
        let mut shelf = Shelf::<NoPipe>::default();
        let mut loan = Some(shelf.keep(b"hello"));
        shelf.consume(&mut loan, 3);
        assert_eq!(shelf.data(loan.as_ref().unwrap()), b"lo");
        assert_eq!((shelf.lent(), shelf.bytes()), (1, 2));
        shelf.consume(&mut loan, 2);
        assert!(loan.is_none());
        assert_eq!((shelf.lent(), shelf.bytes()), (0, 0));
    }

    #[test]
    fn a_loan_may_end_early() {
        let mut shelf = Shelf::<NoPipe>::default();
        let mut loan = Some(shelf.keep(b"hel"));
        shelf.append(loan.as_ref().unwrap(), b"lo");
        shelf.give_back(&mut loan);
        assert_eq!((shelf.lent(), shelf.bytes()), (0, 0));
    }

    #[test]
    fn what_is_left_is_what_was_not_consumed() {
        let mut shelf = Shelf::<NoPipe>::default();
        let mut loan = Some(shelf.keep(b"hello"));
        assert_eq!(shelf.left(loan.as_ref().unwrap()), 5);
        shelf.consume(&mut loan, 3);
        assert_eq!(shelf.left(loan.as_ref().unwrap()), 2);
        let kept = shelf.take(loan.as_ref().unwrap());
        assert_eq!((kept.len(), kept.data(), kept.is_empty()), (2, &b"lo"[..], false));
        assert_eq!(shelf.left(loan.as_ref().unwrap()), 0, "they are being written");
        assert_eq!(SCRATCH_BYTES, 65_536);
    }
}
