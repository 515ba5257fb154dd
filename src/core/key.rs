//! A `Key` names one end of one connection, and is never reused. It is what an event, a queue entry
//! or a deadline holds instead of the connection itself.

/// Eight bytes, the size of one `mio::Token`: the birth number, and the place (slot and end).
///
/// A slot is reused at once; a birth number never is. It counts connections, so it is the
/// generation that makes late events harmless, and the `#1207` of the log. It wraps after 2^32
/// connections; a key outlives its connection by at most one timeout, so a false match would need
/// four billion births within one timeout. Birth 0 is never given to a connection: those keys name
/// the doors of the shell (listeners, datagram sockets, signals).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    pub id: u32,
    place: u32,
}

// A key is one word of the operating system's event; on 32 bits it would not fit.
const _: () = assert!(usize::BITS == 64, "oneloop needs a 64-bit system");

/// From this slot on, a place names a datagram flow, which lives in a table of its own.
const FIRST_FLOW: u32 = 1 << 30;

impl Key {
    /// The loop itself, as the subject of an event.
    pub const LOOP: Key = Key { id: 0, place: u32::MAX };

    pub fn new(id: u32, slot: usize) -> Key {
        debug_assert!(slot < FIRST_FLOW as usize);
        Key { id, place: (slot as u32) << 1 }
    }

    /// The key of a listener or of another descriptor of the shell.
    pub fn source(slot: usize) -> Key {
        Key::new(0, slot)
    }

    /// The key of a datagram flow's own socket.
    pub fn flow(id: u32, slot: usize) -> Key {
        debug_assert!(slot < FIRST_FLOW as usize);
        Key { id, place: (FIRST_FLOW | slot as u32) << 1 }
    }

    pub fn slot(self) -> usize {
        ((self.place >> 1) & (FIRST_FLOW - 1)) as usize
    }

    /// 0 or 1: which end of the connection.
    pub fn end(self) -> usize {
        (self.place & 1) as usize
    }

    /// The same connection, its other aspect.
    pub fn at(self, end: usize) -> Key {
        Key { id: self.id, place: self.place & !1 | end as u32 }
    }

    pub fn is_source(self) -> bool {
        self.id == 0
    }

    pub fn is_flow(self) -> bool {
        self.place >> 1 >= FIRST_FLOW
    }

    /// The word that travels through the operating system.
    pub fn to_token(self) -> usize {
        (self.id as usize) << 32 | self.place as usize
    }

    pub fn from_token(token: usize) -> Key {
        Key { id: (token >> 32) as u32, place: token as u32 }
    }
}

/// Gives out birth numbers: 1, 2, 3 … and never 0, which is the doors'.
#[derive(Debug, Default)]
pub struct ConnIds(u32);

impl ConnIds {
    pub fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_add(1).max(1);
        self.0
    }

    /// How many there have been (until the count wraps).
    pub fn last(&self) -> u32 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_survives_the_journey_through_the_system() {
        for key in [Key::new(7, 3).at(1), Key::flow(u32::MAX, 9), Key::source(2), Key::LOOP] {
            assert_eq!(Key::from_token(key.to_token()), key);
        }
    }

    #[test]
    fn a_key_tells_its_slot_its_end_and_its_kind() {
        let key = Key::new(1207, 42).at(1);
        assert_eq!((key.id, key.slot(), key.end()), (1207, 42, 1));
        assert!(!key.is_source() && !key.is_flow());
        assert!(Key::source(5).is_source());
        let flow = Key::flow(8, 5);
        assert!(flow.is_flow() && flow.slot() == 5);
    }

    #[test]
    fn birth_numbers_count_up_and_are_never_0() {
        let mut conn_ids = ConnIds::default();
        assert_eq!([conn_ids.next(), conn_ids.next(), conn_ids.next()], [1, 2, 3]);
        assert_eq!(conn_ids.last(), 3);
        conn_ids.0 = u32::MAX;
        assert_eq!(conn_ids.next(), 1);
    }
}
