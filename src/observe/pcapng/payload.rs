//! The payload of a connection's packets: recorded before each read, and found again for each
//! write, since the loop writes what it has read.

use crate::core::Event;

/// Maximum bytes that are kept for the next read or write. A recording that is damaged may have
/// more.
pub(super) const MAX_BYTES: usize = 1 << 20;

/// What is known of a connection's payload.
#[derive(Default)]
pub(super) struct Payload {
    /// Recorded for the read or write that follows.
    next: Vec<u8>,
    /// By the end that was read: bytes that were not written yet.
    unwritten: [Vec<u8>; 2],
    /// Some payload was recorded.
    is_recorded: bool,
}

/// The bytes of one read or write.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct PacketBytes {
    /// Empty if they are not known.
    pub bytes: Vec<u8>,
    /// They are not known, although payload is recorded.
    pub is_gap: bool,
}

impl Payload {
    /// Handles an event of an end. `has_target`: what is read at one end is written to the other.
    pub fn on(&mut self, end: usize, event: &Event<'_>, has_target: bool) -> PacketBytes {
        match *event {
            Event::Payload { bytes, .. } => {
                self.is_recorded = true;
                if self.next.len() + bytes.len() > MAX_BYTES {
                    self.next.clear();
                }
                self.next.extend_from_slice(bytes);
                PacketBytes::default()
            }
            Event::Read { bytes, .. } => self.read(end, bytes),
            Event::Wrote { bytes, left } => self.wrote(end, bytes, left, has_target),
            _ => PacketBytes::default(),
        }
    }

    fn read(&mut self, end: usize, length: usize) -> PacketBytes {
        let mut bytes = std::mem::take(&mut self.next);
        if bytes.len() != length {
            bytes.clear();
        }
        // Nothing is read while earlier bytes are unsent.
        self.unwritten[end].clone_from(&bytes);
        self.packet(bytes, length)
    }

    fn wrote(&mut self, end: usize, length: usize, left: usize, has_target: bool) -> PacketBytes {
        let next = std::mem::take(&mut self.next);
        if !next.is_empty() && next.len() == length {
            return self.packet(next, length);
        }
        // An echo writes to the end that it reads; what a service makes is read at its own end.
        let sources: &[usize] = match (has_target, end) {
            (true, 0) => &[1],
            (true, _) | (false, 1) => &[0],
            (false, _) => &[0, 1],
        };
        for source in sources {
            let unwritten = &mut self.unwritten[*source];
            if unwritten.len() == length + left {
                let bytes = unwritten.drain(..length).collect();
                return self.packet(bytes, length);
            }
        }
        self.packet(Vec::new(), length)
    }

    fn packet(&self, bytes: Vec<u8>, length: usize) -> PacketBytes {
        PacketBytes { is_gap: self.is_recorded && bytes.len() != length, bytes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::ReadHint;

    fn payload(payload: &mut Payload, bytes: &[u8]) {
        let (end, event) = (0, Event::Payload { bytes, sent: false });
        assert_eq!(payload.on(end, &event, true), PacketBytes::default());
    }

    fn read(payload: &mut Payload, end: usize, bytes: usize) -> PacketBytes {
        payload.on(end, &Event::Read { bytes, room: 9, hint: ReadHint::Short }, true)
    }

    fn known(bytes: &[u8]) -> PacketBytes {
        PacketBytes { bytes: bytes.to_vec(), is_gap: false }
    }

    const GAP: PacketBytes = PacketBytes { bytes: Vec::new(), is_gap: true };

    #[test]
    fn what_was_read_is_found_again_when_it_is_written_in_pieces() {
        let mut all = Payload::default();
        payload(&mut all, b"hel");
        payload(&mut all, b"lo");
        assert_eq!(read(&mut all, 0, 5), known(b"hello"));
        let wrote = |all: &mut Payload, bytes, left| all.on(1, &Event::Wrote { bytes, left }, true);
        assert_eq!(wrote(&mut all, 2, 3), known(b"he"));
        assert_eq!(wrote(&mut all, 3, 0), known(b"llo"));
    }

    #[test]
    fn bytes_from_before_the_recording_are_a_gap_and_no_later_ones_take_their_place() {
        let mut all = Payload::default();
        let none = PacketBytes::default();
        assert_eq!(read(&mut all, 0, 5), none, "no payload was asked for");
        let wrote = |all: &mut Payload, bytes, left| all.on(1, &Event::Wrote { bytes, left }, true);
        assert_eq!(wrote(&mut all, 2, 3), none);
        payload(&mut all, b"from b");
        assert_eq!(read(&mut all, 1, 6), known(b"from b"));
        assert_eq!(wrote(&mut all, 3, 0), GAP);
        assert_eq!(all.on(0, &Event::Wrote { bytes: 6, left: 0 }, true), known(b"from b"));
        assert_eq!(read(&mut all, 0, 5), GAP);
        assert_eq!(wrote(&mut all, 5, 0), GAP);
    }

    #[test]
    fn a_service_writes_what_it_made_or_what_it_echoes() {
        let mut all = Payload::default();
        payload(&mut all, b"hi");
        let wrote = Event::Wrote { bytes: 2, left: 0 };
        assert_eq!(all.on(0, &wrote, false), known(b"hi"));
        payload(&mut all, b"echo");
        assert_eq!(read(&mut all, 0, 4), known(b"echo"));
        assert_eq!(all.on(0, &Event::Wrote { bytes: 4, left: 0 }, false), known(b"echo"));
    }
}
