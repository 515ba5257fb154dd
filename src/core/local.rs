//! Ends inside the process: the bytes received for their owners, and which owners have work.
//!
//! An owner is the code that serves an `End::Local`: a greeting that waits for one message, or a
//! hub. Bytes for it wait in an inbox. Nothing more is read from the peer until the owner has
//! looked at them and called `Engine::consume`. An end that received nothing has no inbox.

use std::num::NonZeroU32;

use slab::Slab;

use super::key::Key;
use super::reason::Reason;

/// The inboxes of all local ends, and the lists of ends whose owners have work.
#[derive(Default)]
pub struct Locals {
    inboxes: Slab<Inbox>,
    bytes: usize,
    mail: Vec<Mail>,
}

/// What the owner of a local end has to handle.
#[derive(Debug, PartialEq, Eq)]
pub enum Mail {
    /// The end received bytes, or an end of file.
    Received(Key),
    /// The peer accepts the rest of a reply.
    Drained(Key),
    Closed(ClosedLocal),
}

/// Identifies an inbox. It is not `Copy`: its owner has to release it.
#[derive(Debug, PartialEq, Eq)]
pub struct InboxId(NonZeroU32);

/// Received bytes. Those before `start` have been consumed.
struct Inbox {
    bytes: Vec<u8>,
    start: usize,
}

/// What a local end has received and its owner has not consumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    pub bytes: &'a [u8],
    /// The peer has sent a FIN: nothing follows.
    pub last: bool,
}

/// The last that the owner of a local end sees of a connection that was closed.
#[derive(Debug, PartialEq, Eq)]
pub struct ClosedLocal {
    pub key: Key,
    pub route: u16,
    pub reason: Reason,
    /// What it had received and its owner had not consumed. A reset may follow bytes at once.
    pub received: Vec<u8>,
}

impl InboxId {
    fn index(&self) -> usize {
        self.0.get() as usize - 1
    }
}

impl Locals {
    /// Appends received bytes to the inbox of an end, and notifies its owner.
    pub fn receive(&mut self, slot: &mut Option<InboxId>, bytes: &[u8], key: Key) {
        match slot {
            Some(id) => self.inboxes[id.index()].bytes.extend_from_slice(bytes),
            None => {
                let inbox = Inbox { bytes: bytes.to_vec(), start: 0 };
                let index = self.inboxes.insert(inbox);
                *slot = Some(InboxId(NonZeroU32::MIN.saturating_add(index as u32)));
            }
        }
        self.bytes += bytes.len();
        self.mail.push(Mail::Received(key));
    }

    /// Notifies the owner that an end received an end of file.
    pub fn end(&mut self, key: Key) {
        self.mail.push(Mail::Received(key));
    }

    /// Notifies the owner that the peer accepts bytes again.
    pub fn drain(&mut self, key: Key) {
        self.mail.push(Mail::Drained(key));
    }

    /// Releases the inbox of an end whose connection was closed, and notifies its owner.
    pub fn close(&mut self, slot: &mut Option<InboxId>, key: Key, route: u16, reason: Reason) {
        let received = self.release(slot);
        self.mail.push(Mail::Closed(ClosedLocal { key, route, reason, received }));
    }

    /// Returns the bytes that wait for the owner.
    pub fn waiting(&self, slot: &Option<InboxId>) -> &[u8] {
        let inbox = slot.as_ref().map(|id| &self.inboxes[id.index()]);
        inbox.map_or(&[], |inbox| &inbox.bytes[inbox.start..])
    }

    /// Removes bytes from the front of an inbox. Releases it with its last byte.
    pub fn consume(&mut self, slot: &mut Option<InboxId>, bytes: usize) {
        let Some(id) = slot else { return };
        let inbox = &mut self.inboxes[id.index()];
        inbox.start += bytes;
        self.bytes -= bytes;
        if inbox.start == inbox.bytes.len() {
            self.release(slot);
        } else if inbox.start > inbox.bytes.len() / 2 {
            inbox.bytes.drain(..inbox.start);
            inbox.start = 0;
        }
    }

    /// Releases an inbox. Returns the bytes that were not consumed.
    pub fn release(&mut self, slot: &mut Option<InboxId>) -> Vec<u8> {
        let Some(id) = slot.take() else { return Vec::new() };
        let mut inbox = self.inboxes.remove(id.index());
        inbox.bytes.drain(..inbox.start);
        self.bytes -= inbox.bytes.len();
        inbox.bytes
    }

    /// Whether an owner has work.
    pub fn has_mail(&self) -> bool {
        !self.mail.is_empty()
    }

    /// Takes what owners have to handle, in the order in which it happened.
    pub fn mail(&mut self) -> Vec<Mail> {
        std::mem::take(&mut self.mail)
    }

    /// Returns the number of inboxes in use.
    pub fn in_use(&self) -> usize {
        self.inboxes.len()
    }

    /// Returns the number of bytes in all inboxes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inbox_keeps_what_is_not_consumed_and_is_released_with_its_last_byte() {
        let (mut locals, mut slot, key) = (Locals::default(), None, Key::new(7, 0).at(1));
        locals.receive(&mut slot, b"one\ntwo", key);
        locals.consume(&mut slot, 4);
        assert_eq!(locals.waiting(&slot), b"two");
        locals.receive(&mut slot, b"\n", key);
        assert_eq!((locals.waiting(&slot), locals.bytes()), (&b"two\n"[..], 4));
        locals.consume(&mut slot, 0);
        locals.consume(&mut slot, 4);
        assert_eq!((slot.is_none(), locals.in_use(), locals.bytes()), (true, 0, 0));
        assert!(locals.waiting(&slot).is_empty());
        assert_eq!(locals.mail(), [Mail::Received(key), Mail::Received(key)]);
        locals.receive(&mut slot, b"three", key);
        locals.consume(&mut slot, 1);
        locals.close(&mut slot, key, 3, Reason::Cut);
        let closed = ClosedLocal { key, route: 3, reason: Reason::Cut, received: b"hree".to_vec() };
        assert_eq!((locals.in_use(), locals.bytes()), (0, 0));
        assert_eq!(locals.mail(), [Mail::Received(key), Mail::Closed(closed)]);
    }
}
