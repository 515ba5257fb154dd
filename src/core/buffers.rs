//! The stock of buffers. One is shared by all reads; bytes that could not be written yet are kept
//! on a shelf, on loan to the flow that still has to write them.
//!
//! So a connection with nothing unsent holds no buffer at all, and one that is blocked holds
//! exactly its unsent bytes: at most one scratch buffer's worth a flow, because nothing is read
//! while bytes are kept.

use std::num::NonZeroU32;

use slab::Slab;

/// The most that one read takes, and so the most that one flow can ever hold.
pub const SCRATCH_BYTES: usize = 64 * 1024;

/// All the buffers there are.
pub struct Buffers {
    pub scratch: Box<[u8]>,
    pub shelf: Shelf,
}

/// The bytes that were read and could not be written yet.
#[derive(Default)]
pub struct Shelf {
    kept: Slab<Kept>,
    bytes: usize,
}

/// The right to one place on the shelf. It cannot be copied: whoever has it must give it back.
#[derive(Debug, PartialEq, Eq)]
pub struct Loan(NonZeroU32);

/// Bytes on the shelf: those before `start` have been written.
#[derive(Default)]
pub struct Kept {
    bytes: Vec<u8>,
    start: usize,
}

impl Kept {
    pub fn data(&self) -> &[u8] {
        &self.bytes[self.start..]
    }
}

impl Loan {
    /// The number is one more than the place, so that an `Option<Loan>` costs nothing.
    fn place(&self) -> usize {
        self.0.get() as usize - 1
    }
}

impl Default for Buffers {
    fn default() -> Self {
        Buffers::with_scratch(SCRATCH_BYTES)
    }
}

impl Buffers {
    /// A stock whose reads take at most so many bytes; the simulation uses small ones.
    pub fn with_scratch(bytes: usize) -> Buffers {
        Buffers { scratch: vec![0; bytes].into_boxed_slice(), shelf: Shelf::default() }
    }
}

impl Shelf {
    /// Keeps a copy of `bytes`.
    pub fn keep(&mut self, bytes: &[u8]) -> Loan {
        self.bytes += bytes.len();
        let place = self.kept.insert(Kept { bytes: bytes.to_vec(), start: 0 });
        Loan(NonZeroU32::MIN.saturating_add(place as u32))
    }

    /// What is still to be written.
    pub fn data(&self, loan: &Loan) -> &[u8] {
        self.kept[loan.place()].data()
    }

    /// Takes the bytes off the shelf for the time of one write; `put` brings them back.
    pub fn take(&mut self, loan: &Loan) -> Kept {
        std::mem::take(&mut self.kept[loan.place()])
    }

    pub fn put(&mut self, loan: &Loan, kept: Kept) {
        self.kept[loan.place()] = kept;
    }

    /// Adds to what is kept: a message is gathered this way.
    pub fn append(&mut self, loan: &Loan, bytes: &[u8]) {
        self.bytes += bytes.len();
        self.kept[loan.place()].bytes.extend_from_slice(bytes);
    }

    /// So many bytes have been written. With the last of them the loan ends.
    pub fn consume(&mut self, slot: &mut Option<Loan>, bytes: usize) {
        let Some(loan) = slot else { return };
        let kept = &mut self.kept[loan.place()];
        kept.start += bytes;
        self.bytes -= bytes;
        if kept.start == kept.bytes.len() {
            self.give_back(slot);
        }
    }

    /// Ends a loan, whatever it still holds.
    pub fn give_back(&mut self, slot: &mut Option<Loan>) {
        if let Some(loan) = slot.take() {
            let kept = self.kept.remove(loan.place());
            self.bytes -= kept.bytes.len() - kept.start;
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

    #[test]
    fn a_loan_ends_with_its_last_byte() {
        let mut shelf = Shelf::default();
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
        let mut shelf = Shelf::default();
        let mut loan = Some(shelf.keep(b"hel"));
        shelf.append(loan.as_ref().unwrap(), b"lo");
        shelf.give_back(&mut loan);
        assert_eq!((shelf.lent(), shelf.bytes()), (0, 0));
    }
}
