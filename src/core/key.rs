//! A `Key` identifies one end of one connection, and is never reused. Events, queue entries and
//! deadlines hold keys instead of references to connections.

/// Eight bytes, the size of one `mio::Token`: the connection's id, and its place (slot and end).
///
/// A slot is reused at once, an id is not. The id counts connections: it is the generation that
/// makes stale events harmless, and the `#1207` of the log. It wraps after 2^32 connections. A key
/// outlives its connection by at most one timeout, so a false match would need four billion
/// connections within one timeout. No connection has id 0: those keys identify the other event
/// sources (listeners, datagram sockets, signals).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    pub id: u32,
    place: u32,
}

// A key is stored in the token of an event, which has the size of a pointer.
const _: () = assert!(usize::BITS == 64, "oneloop needs a 64-bit system");

/// Slots from here on are those of datagram flows, which are stored in a separate table.
const FIRST_FLOW: u32 = 1 << 30;

/// Slots from here on are those of admin connections, which a second engine stores.
const FIRST_ADMIN: u32 = 1 << 29;

/// Layout of a source's place above the bit of the end: 16 bits of slot, 10 of generation, 4 of
/// kind.
const SOURCE_SLOT_BITS: u32 = 16;
const GENERATION_BITS: u32 = 10;

/// The kind of an event source that is not a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceKind {
    Signals,
    /// Called by other threads to end a sleep.
    Waker,
    Timer,
    /// Standard input or output.
    Stdio,
    /// The output of a child process.
    Child,
    /// A listener for connections.
    Listener,
    /// A bound datagram socket.
    Datagram,
    /// A listener of the admin endpoint.
    AdminListener,
    /// The loop itself, which is only the subject of events.
    Loop,
}

impl SourceKind {
    const ALL: [SourceKind; 9] = [
        SourceKind::Signals,
        SourceKind::Waker,
        SourceKind::Timer,
        SourceKind::Stdio,
        SourceKind::Child,
        SourceKind::Listener,
        SourceKind::Datagram,
        SourceKind::AdminListener,
        SourceKind::Loop,
    ];
}

impl Key {
    /// The loop itself, as the subject of an event.
    pub const LOOP: Key = Key { id: 0, place: u32::MAX };

    pub fn new(id: u32, slot: usize) -> Key {
        debug_assert!(slot < FIRST_ADMIN as usize);
        Key { id, place: (slot as u32) << 1 }
    }

    /// Returns the key of an event source that is not a connection. If it is closed while the loop
    /// runs, its slot is used again with the next generation, so that a stale event never reaches a
    /// later source. The generation wraps after 1,024 sources: a key is only compared within the
    /// turn of its event.
    pub fn source(kind: SourceKind, slot: usize, generation: u16) -> Key {
        debug_assert!(slot < Key::SOURCES);
        let generation = u32::from(generation) & ((1 << GENERATION_BITS) - 1);
        let place = (kind as u32) << GENERATION_BITS | generation;
        Key { id: 0, place: (place << SOURCE_SLOT_BITS | slot as u32) << 1 }
    }

    /// Maximum number of sources of one kind.
    pub const SOURCES: usize = 1 << SOURCE_SLOT_BITS;

    /// Returns the kind of a source.
    pub fn source_kind(self) -> SourceKind {
        let kind = self.place >> (1 + SOURCE_SLOT_BITS + GENERATION_BITS) & 15;
        SourceKind::ALL.get(kind as usize).copied().unwrap_or(SourceKind::Loop)
    }

    /// Returns the slot of a source.
    pub fn source_slot(self) -> usize {
        (self.place >> 1) as usize & (Key::SOURCES - 1)
    }

    /// Returns the key of a datagram flow's own socket.
    pub fn flow(id: u32, slot: usize) -> Key {
        debug_assert!(slot < FIRST_FLOW as usize);
        Key { id, place: (FIRST_FLOW | slot as u32) << 1 }
    }

    /// Returns the key under which the socket of an admin connection is registered. Its engine uses
    /// the plain key.
    pub fn admin(self) -> Key {
        Key { id: self.id, place: self.place | FIRST_ADMIN << 1 }
    }

    /// Returns the plain key of an admin connection. None for other keys.
    pub fn as_admin(self) -> Option<Key> {
        let is_admin = !self.is_source() && !self.is_flow() && self.place >> 1 >= FIRST_ADMIN;
        is_admin.then_some(Key { id: self.id, place: self.place & !(FIRST_ADMIN << 1) })
    }

    /// Whether it is the plain key of a connection.
    #[inline(always)]
    pub fn is_conn(self) -> bool {
        self.id != 0 && self.place >> 1 < FIRST_ADMIN
    }

    pub fn slot(self) -> usize {
        ((self.place >> 1) & (FIRST_FLOW - 1)) as usize
    }

    /// Returns the end of the connection, 0 or 1.
    pub fn end(self) -> usize {
        (self.place & 1) as usize
    }

    /// Returns the key of the given end of the same connection.
    pub fn at(self, end: usize) -> Key {
        Key { id: self.id, place: self.place & !1 | end as u32 }
    }

    pub fn is_source(self) -> bool {
        self.id == 0
    }

    pub fn is_flow(self) -> bool {
        self.place >> 1 >= FIRST_FLOW
    }

    /// Encodes the key as the token of an event.
    pub fn to_token(self) -> usize {
        (self.id as usize) << 32 | self.place as usize
    }

    pub fn from_token(token: usize) -> Key {
        Key { id: (token >> 32) as u32, place: token as u32 }
    }
}

/// Generates connection ids: 1, 2, 3 … and never 0, which is reserved for other event sources.
#[derive(Debug, Default)]
pub struct ConnIds(u32);

impl ConnIds {
    /// Returns the next id. It never ends, so this is not an `Iterator`.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_add(1).max(1);
        self.0
    }

    /// Returns the last id: the number of connections so far, until it wraps.
    pub fn last(&self) -> u32 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_survives_the_round_trip_through_a_token() {
        for key in [Key::new(7, 3).at(1), Key::flow(u32::MAX, 9), Key::LOOP] {
            assert_eq!(Key::from_token(key.to_token()), key);
        }
    }

    #[test]
    fn a_key_has_a_slot_an_end_and_a_kind() {
        let key = Key::new(1207, 42).at(1);
        assert_eq!((key.id, key.slot(), key.end()), (1207, 42, 1));
        assert!(!key.is_source() && !key.is_flow());
        let flow = Key::flow(8, 5);
        assert!(flow.is_flow() && flow.slot() == 5);
        assert!(key.is_conn() && !flow.is_conn() && !Key::LOOP.is_conn());
        assert_eq!(key.as_admin().or(flow.as_admin()).or(Key::LOOP.as_admin()), None);
        let admin = key.admin();
        assert!(!admin.is_conn() && !admin.is_flow() && !admin.is_source());
        assert_eq!((admin.as_admin(), admin.end()), (Some(key), 1));
    }

    #[test]
    fn a_source_has_a_kind_a_slot_and_a_generation() {
        let last = Key::SOURCES - 1;
        for kind in SourceKind::ALL.into_iter().filter(|kind| *kind != SourceKind::Loop) {
            for (slot, generation) in [(0, 0), (7, 1), (last, 1023)] {
                let key = Key::source(kind, slot, generation);
                assert_eq!((key.source_kind(), key.source_slot()), (kind, slot));
                assert!(key.is_source() && !key.is_flow() && key.end() == 0);
                assert_ne!(key, Key::source(kind, slot, generation + 1));
                assert_eq!(key, Key::source(kind, slot, generation + 1024));
            }
        }
        assert_eq!(Key::LOOP.source_kind(), SourceKind::Loop);
    }

    #[test]
    fn ids_count_up_and_are_never_0() {
        let mut conn_ids = ConnIds::default();
        assert_eq!([conn_ids.next(), conn_ids.next(), conn_ids.next()], [1, 2, 3]);
        assert_eq!(conn_ids.last(), 3);
        conn_ids.0 = u32::MAX;
        assert_eq!(conn_ids.next(), 1);
    }
}
