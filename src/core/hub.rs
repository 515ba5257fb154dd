//! The hub: each message goes to all members but its sender. Messages are stored once, in one ring,
//! and each member has a cursor. It reads and writes no socket: its owner asks for the bytes that a
//! member receives next, and reports how many of them the socket accepted.
//!
//! A member that does not read never delays the others. Its cursor stays where it is, until the
//! messages there are overwritten; then it skips them or is closed.

use std::collections::{BTreeMap, BTreeSet};

use super::frame::Frame;
use super::key::Key;
use super::message_ring::{ENTRY_BYTES, MessageRing};

#[cfg(test)]
mod tests;

/// Maximum bytes of one delivery: a full socket buffer takes about as much.
const DELIVERY_BYTES: usize = 64 * 1024;

/// Maximum messages of one delivery: so many entries are looked at for it.
const DELIVERY_MESSAGES: usize = 1024;

/// Action for a member whose next message was overwritten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnLag {
    /// It continues at the oldest message, and receives a notice.
    Skip,
    /// It is closed.
    Close,
}

/// The settings of a hub. Its ring holds at least one message: see `buffer_min`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HubSettings {
    pub frame: Frame,
    /// Maximum bytes of a message, without what frames it.
    pub max_message: usize,
    /// Size of the ring in bytes.
    pub buffer: usize,
    pub on_lag: OnLag,
}

/// What a member receives next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery<'a> {
    /// Bytes, never none. `Hub::advance` takes how many of them were sent.
    Bytes(&'a [u8]),
    /// This many messages of others were overwritten before it received them. Returned once; a
    /// notice for the member follows as bytes, if there can be one between messages.
    Missed(u64),
    /// It must be closed: it is too far behind.
    Lagged,
    /// It has everything.
    CaughtUp,
}

/// One ring of messages, and the members that receive them.
pub struct Hub {
    settings: HubSettings,
    ring: MessageRing,
    members: Members,
    /// Cursor and slot of the members that an overwritten message concerns at once: those in the
    /// middle of it, and, if they are closed for it, those that wait for their socket.
    waiting: BTreeSet<(u64, u32)>,
    /// By slot: what a member receives before its next message.
    pending: BTreeMap<u32, Remainder>,
    /// Bytes in `pending`, at most as many as the ring has.
    pending_bytes: usize,
    /// By slot: how many of the messages that a member missed were its own.
    own_missed: BTreeMap<u32, u64>,
    /// Messages that members received completely.
    delivered: u64,
    /// Messages that members missed.
    missed: u64,
}

/// What a hub has counted so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HubCounts {
    /// Messages published.
    pub published: u64,
    /// Messages sent to a member completely: each counts once per member.
    pub delivered: u64,
    /// Messages that a member missed because it was behind.
    pub missed: u64,
}

/// The rest of an overwritten message that was sent in part, or a notice.
struct Remainder {
    bytes: Box<[u8]>,
    sent: usize,
    /// Its last byte completes a message.
    is_message: bool,
}

impl HubCounts {
    /// Returns the sum of two hubs.
    pub fn and(self, other: HubCounts) -> HubCounts {
        HubCounts {
            published: self.published + other.published,
            delivered: self.delivered + other.delivered,
            missed: self.missed + other.missed,
        }
    }
}

impl OnLag {
    pub const NAMES: [(&'static str, OnLag); 2] = [("skip", OnLag::Skip), ("close", OnLag::Close)];
}

impl HubSettings {
    /// Maximum bytes of a message that can be configured: each member may hold an incomplete one.
    pub const MESSAGE_MAX: usize = 16 << 20;

    /// Maximum size of a ring that can be configured.
    pub const BUFFER_MAX: usize = 1 << 30;

    /// Returns the smallest ring that holds the longest message.
    pub fn buffer_min(frame: Frame, max_message: usize) -> usize {
        max_message + frame.overhead() + ENTRY_BYTES
    }
}

impl Default for HubSettings {
    fn default() -> HubSettings {
        HubSettings {
            frame: Frame::Line,
            max_message: 64 << 10,
            buffer: 1 << 20,
            on_lag: OnLag::Skip,
        }
    }
}

impl Hub {
    /// Creates a hub. The memory of the ring is used when messages are written.
    pub fn new(settings: HubSettings) -> Hub {
        Hub {
            settings,
            ring: MessageRing::new(settings.buffer),
            members: Members::default(),
            waiting: BTreeSet::new(),
            pending: BTreeMap::new(),
            pending_bytes: 0,
            own_missed: BTreeMap::new(),
            delivered: 0,
            missed: 0,
        }
    }

    pub fn settings(&self) -> &HubSettings {
        &self.settings
    }

    /// Returns the number of members.
    pub fn len(&self) -> usize {
        self.members.list.len()
    }

    /// Returns the number of messages published so far.
    pub fn published(&self) -> u64 {
        self.ring.next_number()
    }

    /// Returns what was counted so far.
    pub fn counts(&self) -> HubCounts {
        let (delivered, missed) = (self.delivered, self.missed);
        HubCounts { published: self.published(), delivered, missed }
    }

    /// Returns how many messages the slowest member has not received. It looks at each member.
    pub fn most_behind(&self) -> u64 {
        let slowest = self.members.list.iter().map(|member| member.cursor).min();
        slowest.map_or(0, |cursor| self.ring.next_number() - cursor)
    }

    /// Returns the number of messages in the ring.
    pub fn messages(&self) -> usize {
        (self.ring.next_number() - self.ring.oldest()) as usize
    }

    pub fn is_empty(&self) -> bool {
        self.members.list.is_empty()
    }

    /// Whether a member has something to receive and is not blocked.
    pub fn has_ready(&self) -> bool {
        self.members.ready > 0
    }

    /// Whether a member has everything.
    pub fn is_caught_up(&self) -> bool {
        self.members.ready < self.members.unblocked
    }

    /// Returns how many bytes a member has not received, messages of its own included, but not
    /// those that were overwritten.
    pub fn behind(&self, key: Key) -> u64 {
        let Some(at) = self.members.find(key) else { return 0 };
        let Member { key, cursor, offset, .. } = self.members.list[at];
        let pending = self.pending.get(&(key.slot() as u32));
        let left = pending.map_or(0, |pending| (pending.bytes.len() - pending.sent) as u64);
        left + self.ring.bytes_from(cursor, offset)
    }

    /// Adds a connection. It receives what is published from now on. An earlier connection with the
    /// same slot has been closed, and leaves.
    pub fn join(&mut self, key: Key) {
        if let Some(earlier) = self.members.at_slot(key.slot()) {
            self.leave(self.members.list[earlier].key);
        }
        self.members.add(Member {
            key: key.at(0),
            cursor: self.ring.next_number(),
            offset: 0,
            lagged: false,
        });
    }

    /// Removes a connection. What it published stays.
    pub fn leave(&mut self, key: Key) {
        let Some(at) = self.members.find(key) else { return };
        let Member { cursor, .. } = self.members.remove(at);
        let slot = key.slot() as u32;
        self.waiting.remove(&(cursor, slot));
        self.own_missed.remove(&slot);
        if let Some(pending) = self.pending.remove(&slot) {
            self.pending_bytes -= pending.bytes.len();
        }
    }

    /// Adds a message, with what frames it, for all members but its sender. The oldest messages are
    /// overwritten for it. `None`: the sender is no member.
    pub fn publish(&mut self, sender: Option<Key>, message: &[u8]) {
        while !self.ring.fits(message.len()) && self.ring.oldest() < self.ring.next_number() {
            self.overwrite_oldest();
        }
        self.ring.push(sender.map_or(Key::LOOP, |key| key.at(0)), message);
        self.members.ready_all();
    }

    /// Returns a member that has something to receive and is not blocked: each in turn. It stays
    /// ready until it has everything (`next` returns `CaughtUp`, or `advance` was called with the
    /// rest), is blocked, or leaves.
    pub fn next_ready(&mut self) -> Option<Key> {
        self.members.next_ready()
    }

    /// Returns what a member that is not blocked receives next. A connection that has left has
    /// everything.
    pub fn next(&mut self, key: Key) -> Delivery<'_> {
        let Some(at) = self.members.find(key) else { return Delivery::CaughtUp };
        debug_assert!(at < self.members.unblocked, "{key:?} is blocked");
        let slot = key.slot() as u32;
        if self.members.list[at].lagged {
            return Delivery::Lagged;
        }
        if self.pending.contains_key(&slot) {
            let pending = &self.pending[&slot];
            return Delivery::Bytes(&pending.bytes[pending.sent..]);
        }
        match self.skip_overwritten(at, slot) {
            0 => {}
            _ if self.settings.on_lag == OnLag::Close => {
                self.members.list[at].lagged = true;
                return Delivery::Lagged;
            }
            missed => {
                self.missed += missed;
                self.add_notice(at, missed);
                return Delivery::Missed(missed);
            }
        }
        let member = &mut self.members.list[at];
        let next_number = self.ring.next_number();
        while member.cursor < next_number && self.ring.sender(member.cursor) == member.key {
            member.cursor += 1;
        }
        if member.cursor == next_number {
            self.members.rest(at);
            return Delivery::CaughtUp;
        }
        let Member { key, cursor, offset, .. } = *member;
        Delivery::Bytes(self.ring.run(cursor, offset, key, DELIVERY_BYTES, DELIVERY_MESSAGES))
    }

    /// Moves a member by `bytes` of what `next` returned. Called before anything is published, and
    /// before `blocked`.
    pub fn advance(&mut self, key: Key, bytes: usize) {
        let Some(at) = self.members.find(key) else { return };
        debug_assert!(at < self.members.unblocked, "{key:?} is blocked");
        let slot = key.slot() as u32;
        if let Some(pending) = self.pending.get_mut(&slot) {
            pending.sent += bytes;
            if pending.sent == pending.bytes.len() {
                self.pending_bytes -= pending.bytes.len();
                self.delivered += u64::from(pending.is_message);
                self.pending.remove(&slot);
            }
            return;
        }
        let member = &mut self.members.list[at];
        if member.offset > 0 {
            self.waiting.remove(&(member.cursor, slot));
        }
        let before = member.cursor;
        (member.cursor, member.offset) = self.ring.advance(before, member.offset, bytes);
        // What is sent at once contains no message of the member itself.
        self.delivered += member.cursor - before;
        if member.offset > 0 {
            self.waiting.insert((member.cursor, slot));
        } else if member.cursor == self.ring.next_number() {
            self.members.rest(at);
        }
    }

    /// The socket of a member accepts nothing more: it is not ready until it is unblocked.
    pub fn blocked(&mut self, key: Key) {
        let Some(at) = self.members.find(key) else { return };
        let member = &self.members.list[at];
        if member.lagged {
            return;
        }
        if self.settings.on_lag == OnLag::Close {
            self.waiting.insert((member.cursor, key.slot() as u32));
        }
        self.members.block(at);
    }

    /// The socket of a member accepts bytes again.
    pub fn unblocked(&mut self, key: Key) {
        let Some(at) = self.members.find(key) else { return };
        let member = &self.members.list[at];
        if member.offset == 0 {
            self.waiting.remove(&(member.cursor, key.slot() as u32));
        }
        self.members.ready(at);
    }

    /// Removes the oldest message, after what this means for the members that wait at it.
    fn overwrite_oldest(&mut self) {
        let number = self.ring.oldest();
        let sender = self.ring.sender(number);
        while let Some((cursor, slot)) = self.waiting.first().copied().filter(|w| w.0 <= number) {
            self.waiting.remove(&(cursor, slot));
            let Some(at) = self.members.at_slot(slot as usize) else { continue };
            if self.members.list[at].key == sender {
                // It does not receive this one.
                self.members.list[at].cursor += 1;
                self.waiting.insert((cursor + 1, slot));
            } else if self.settings.on_lag == OnLag::Close || !self.keep_tail(at) {
                self.members.list[at].lagged = true;
                self.members.ready(at);
            }
        }
        if let Some(at) = self.members.find(sender)
            && self.members.list[at].cursor <= number
        {
            *self.own_missed.entry(sender.slot() as u32).or_default() += 1;
        }
        self.ring.remove_oldest();
    }

    /// Copies the rest of the oldest message for a member that has received a part of it. Returns
    /// false if there is no room for it.
    fn keep_tail(&mut self, at: usize) -> bool {
        let member = &mut self.members.list[at];
        let tail = self.ring.tail(member.cursor, member.offset).concat();
        (member.cursor, member.offset) = (member.cursor + 1, 0);
        self.add_pending(at, tail, true)
    }

    /// Moves a member to the oldest message. Returns how many messages of others it missed.
    fn skip_overwritten(&mut self, at: usize, slot: u32) -> u64 {
        let (member, oldest) = (&mut self.members.list[at], self.ring.oldest());
        if member.cursor >= oldest {
            return 0;
        }
        let own = self.own_missed.remove(&slot).unwrap_or_default();
        let missed = oldest - member.cursor - own;
        member.cursor = oldest;
        missed
    }

    /// Adds a notice for a member, where one can be told from a message.
    fn add_notice(&mut self, at: usize, missed: u64) {
        let notice = match (self.settings.frame, missed) {
            (Frame::Line, 1) => "* 1 message missed\n".to_string(),
            (Frame::Line, _) => format!("* {missed} messages missed\n"),
            (Frame::Len32 | Frame::Raw, _) => return,
        };
        if !self.add_pending(at, notice.into_bytes(), false) {
            self.members.list[at].lagged = true;
        }
    }

    /// Adds what a member receives before its next message. Returns false if that would be more
    /// than the size of the ring for all members together.
    fn add_pending(&mut self, at: usize, bytes: Vec<u8>, is_message: bool) -> bool {
        let fits = self.pending_bytes + bytes.len() <= self.ring.capacity();
        if fits {
            self.pending_bytes += bytes.len();
            let pending = Remainder { bytes: bytes.into_boxed_slice(), sent: 0, is_message };
            let replaced = self.pending.insert(self.members.list[at].key.slot() as u32, pending);
            debug_assert!(replaced.is_none(), "a member receives one of them before the next");
        }
        fits
    }
}

/// A member: 24 bytes, and 4 for the position of its slot.
#[derive(Clone, Copy, Debug)]
struct Member {
    key: Key,
    /// The number of its next message; one that was overwritten if it is behind.
    cursor: u64,
    /// Bytes of that message that were sent.
    offset: u32,
    /// It must be closed.
    lagged: bool,
}

/// All members, in three groups: ready, resting (they have everything), and blocked. To move one
/// to another group is an exchange at its border, and a message makes all resting ones ready by
/// moving a border.
#[derive(Default)]
struct Members {
    list: Vec<Member>,
    /// The number of ready members, which come first.
    ready: usize,
    /// The number of ready and resting members.
    unblocked: usize,
    /// The ready member that is next.
    turn: usize,
    /// By the slot of a connection: its position in the list, if it is a member.
    positions: Vec<u32>,
}

/// Members for which space is reserved with the first one. Growing step by step would leave unused
/// memory behind; pages not yet written cost nothing.
const MEMBERS_RESERVED: usize = 1 << 16;

/// The position of connections that are no members.
const ABSENT: u32 = u32::MAX;

impl Members {
    fn add(&mut self, member: Member) {
        let slot = member.key.slot();
        if self.list.capacity() == 0 {
            self.list.reserve(MEMBERS_RESERVED);
            self.positions.reserve(MEMBERS_RESERVED);
        }
        if slot >= self.positions.len() {
            self.positions.resize(slot + 1, ABSENT);
        }
        debug_assert_eq!(self.positions[slot], ABSENT, "{:?} is already a member", member.key);
        let at = self.list.len();
        self.positions[slot] = at as u32;
        self.list.push(member);
        self.swap(at, self.unblocked);
        self.unblocked += 1;
    }

    fn remove(&mut self, at: usize) -> Member {
        let at = self.block(at);
        self.swap(at, self.list.len() - 1);
        let member = self.list.swap_remove(self.list.len() - 1);
        self.positions[member.key.slot()] = ABSENT;
        member
    }

    fn find(&self, key: Key) -> Option<usize> {
        let at = *self.positions.get(key.slot())? as usize;
        self.list.get(at).filter(|member| member.key == key.at(0)).map(|_| at)
    }

    /// Returns the position of the member with this slot.
    fn at_slot(&self, slot: usize) -> Option<usize> {
        self.positions.get(slot).filter(|at| **at != ABSENT).map(|at| *at as usize)
    }

    fn next_ready(&mut self) -> Option<Key> {
        if self.turn >= self.ready {
            self.turn = 0;
        }
        let member = self.list[..self.ready].get(self.turn)?;
        self.turn += 1;
        Some(member.key)
    }

    /// Makes all resting members ready.
    fn ready_all(&mut self) {
        self.ready = self.unblocked;
    }

    /// Makes a member ready.
    fn ready(&mut self, mut at: usize) {
        if at >= self.unblocked {
            at = self.swap(at, self.unblocked);
            self.unblocked += 1;
        }
        if at >= self.ready {
            self.swap(at, self.ready);
            self.ready += 1;
        }
    }

    /// Lets a ready member rest. Returns its new position.
    fn rest(&mut self, at: usize) -> usize {
        if at >= self.ready {
            return at;
        }
        self.ready -= 1;
        // The one that is exchanged for it must not miss its turn.
        if at + 1 == self.turn {
            self.turn = at;
        }
        self.swap(at, self.ready)
    }

    /// Blocks a member. Returns its new position.
    fn block(&mut self, at: usize) -> usize {
        let at = self.rest(at);
        if at >= self.unblocked {
            return at;
        }
        self.unblocked -= 1;
        self.swap(at, self.unblocked)
    }

    /// Exchanges two members. Returns the new position of the first.
    fn swap(&mut self, at: usize, to: usize) -> usize {
        self.list.swap(at, to);
        for at in [at, to] {
            self.positions[self.list[at].key.slot()] = at as u32;
        }
        to
    }
}
