//! Taps: each turns the events of one connection, with its payload, into the bytes of a pcapng file
//! that a reader takes away as they come. A reader that is too slow loses packets, never time of
//! the loop.

use std::time::SystemTime;

use crate::core::{Event, Key, Moment, Observer};
use crate::recording::{KnownConnection, ReplayObserver};

use super::pcapng::PcapngConverter;

/// Maximum number of taps.
pub const TAPS: usize = 4;

/// Bytes that wait for the reader of a tap, beside those of the last event. While there are more,
/// packets are lost.
const TAP_BYTES: usize = 1 << 20;

/// Identifies a tap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TapId(u64);

/// All taps.
#[derive(Default)]
pub struct Taps {
    taps: Vec<Tap>,
    opened: u64,
}

struct Tap {
    id: TapId,
    /// The number of the connection.
    connection: u32,
    packets: PcapngConverter<Vec<u8>>,
    /// The connection is closed: nothing follows.
    is_over: bool,
}

impl Taps {
    /// Whether there are any.
    #[inline]
    pub fn is_on(&self) -> bool {
        !self.taps.is_empty()
    }

    /// Opens a tap of an open connection. `start`: when the loop was created; `now`: the time of
    /// the turn. None: there are too many.
    pub fn open(
        &mut self,
        key: Key,
        known: &KnownConnection<'_>,
        start: SystemTime,
        now: Moment,
    ) -> Option<TapId> {
        if self.taps.len() >= TAPS {
            return None;
        }
        self.opened += 1;
        let id = TapId(self.opened);
        let mut packets = PcapngConverter::new(Vec::new(), start);
        // Or the connection would be younger than it is.
        packets.begin_turn(now);
        packets.known_connection(key, known);
        self.taps.push(Tap { id, connection: key.id, packets, is_over: false });
        Some(id)
    }

    /// Starts a turn.
    pub fn begin_turn(&mut self, now: Moment) {
        for tap in &mut self.taps {
            let _ = tap.packets.begin_turn(now);
        }
    }

    /// Whether the events of this connection are taken.
    pub fn takes(&self, key: Key) -> bool {
        !key.is_source() && self.taps.iter().any(|tap| tap.connection == key.id && !tap.is_over)
    }

    pub fn on(&mut self, key: Key, event: &Event<'_>) {
        if key.is_source() {
            return;
        }
        for tap in self.taps.iter_mut().filter(|tap| tap.connection == key.id && !tap.is_over) {
            let is_full = tap.packets.out().len() >= TAP_BYTES;
            tap.is_over = matches!(event, Event::Closed { .. });
            // The last packets are few, and say how many were lost before.
            tap.packets.set_withholding(is_full && !tap.is_over);
            tap.packets.on(key, event);
        }
    }

    /// Whether something can be taken, or the tap is over.
    pub fn has_news(&self, id: TapId) -> bool {
        let tap = self.taps.iter().find(|tap| tap.id == id);
        tap.is_none_or(|tap| tap.is_over || !tap.packets.out().is_empty())
    }

    /// Moves at most `most` bytes to `out`. Returns whether nothing follows.
    pub fn take(&mut self, id: TapId, most: usize, out: &mut Vec<u8>) -> bool {
        let Some(tap) = self.find(id) else { return true };
        if tap.packets.out().len() <= most {
            // No packet may follow that would say so.
            tap.packets.report_missing();
        }
        let (waiting, is_over) = (tap.packets.out_mut(), tap.is_over);
        let taken = waiting.len().min(most);
        out.extend(waiting.drain(..taken));
        is_over && waiting.is_empty()
    }

    /// Lets the reader see that the tap is open, if nothing waits.
    pub fn keep_alive(&mut self, id: TapId) {
        if let Some(tap) = self.find(id) {
            tap.packets.keep_alive();
        }
    }

    pub fn close(&mut self, id: TapId) {
        self.taps.retain(|tap| tap.id != id);
    }

    fn find(&mut self, id: TapId) -> Option<&mut Tap> {
        self.taps.iter_mut().find(|tap| tap.id == id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::{Close, CloseKind, Peer, ReadHint, Reason, ServiceKind, Side};
    use std::time::{Duration, UNIX_EPOCH};

    /// When the taps are opened.
    const NOW: Moment = Moment(2_000_000);

    fn known() -> KnownConnection<'static> {
        KnownConnection {
            opened: Moment(0),
            route: 0,
            service: ServiceKind::Echo,
            listen: "tcp://127.0.0.1:7",
            peer: Peer::Inet("127.0.0.1:5000".parse().unwrap()),
            target: None,
        }
    }

    fn read(taps: &mut Taps, key: Key, bytes: &[u8]) {
        taps.on(key, &Event::Payload { bytes, sent: false });
        let (bytes, room) = (bytes.len(), 65_536);
        taps.on(key, &Event::Read { bytes, room, hint: ReadHint::Short });
    }

    fn has(bytes: &[u8], part: &[u8]) -> bool {
        bytes.windows(part.len()).any(|window| window == part)
    }

    #[test]
    fn a_tap_has_the_bytes_of_its_connection_and_ends_with_it() {
        let (mut taps, key) = (Taps::default(), Key::new(7, 3));
        let id = taps.open(key, &known(), UNIX_EPOCH, NOW).unwrap();
        assert!(taps.takes(key.at(1)) && !taps.takes(Key::new(8, 3)));
        read(&mut taps, key, b"hello");
        read(&mut taps, Key::new(8, 3), b"others");
        let mut out = Vec::new();
        while taps.has_news(id) {
            assert!(!taps.take(id, 100, &mut out));
        }
        assert!(has(&out, b"hello") && !has(&out, b"others"));
        assert!(has(&out, b"#7 was opened 2s ago"));
        let ending = Close { reason: Reason::Finished, first: Side::Client, by: CloseKind::Fin };
        taps.on(key, &Event::Closed { ending, up: 0, down: 0, lasted: Duration::ZERO });
        assert!(taps.has_news(id) && taps.take(id, 10_000, &mut out));
        taps.close(id);
        assert!(!taps.is_on());
    }

    #[test]
    fn a_slow_reader_loses_packets_and_the_next_one_says_how_many() {
        let (mut taps, key) = (Taps::default(), Key::new(7, 3));
        let id = taps.open(key, &known(), UNIX_EPOCH, NOW).unwrap();
        for _ in 0..100 {
            read(&mut taps, key, &[b'x'; 16_000]);
        }
        let mut out = Vec::new();
        assert!(!taps.take(id, usize::MAX, &mut out));
        assert!(out.len() >= TAP_BYTES && out.len() < TAP_BYTES + 20_000, "{}", out.len());
        assert!(!has(&out, b"lost here"));
        // The statistics of the interface have their number, once.
        let option = [5, 0, 8, 0];
        let at = out.windows(4).rposition(|window| window == option).unwrap() + option.len();
        let lost = u64::from_le_bytes(*out[at..].first_chunk().unwrap());
        assert!(lost >= 34, "{lost} of 100 reads of 16,000 bytes");
        assert!(!taps.has_news(id));
        read(&mut taps, key, b"after");
        out.clear();
        taps.take(id, usize::MAX, &mut out);
        let comment = format!("{lost} packets lost here");
        assert!(has(&out, comment.as_bytes()) && has(&out, b"after"));
    }

    #[test]
    fn a_connection_that_closes_while_the_reader_is_behind_ends_with_its_last_packets() {
        let (mut taps, key) = (Taps::default(), Key::new(7, 3));
        let id = taps.open(key, &known(), UNIX_EPOCH, NOW).unwrap();
        for _ in 0..100 {
            read(&mut taps, key, &[b'x'; 16_000]);
        }
        let ending = Close { reason: Reason::Finished, first: Side::Client, by: CloseKind::Fin };
        taps.on(key, &Event::Closed { ending, up: 0, down: 0, lasted: Duration::ZERO });
        let mut out = Vec::new();
        assert!(taps.take(id, usize::MAX, &mut out));
        assert!(has(&out, b"packets lost here") && has(&out, b"#7 closed"));
    }

    #[test]
    fn there_are_at_most_a_few() {
        let (mut taps, key) = (Taps::default(), Key::new(7, 3));
        let ids: Vec<_> = (0..=TAPS).map(|_| taps.open(key, &known(), UNIX_EPOCH, NOW)).collect();
        assert_eq!(ids.iter().flatten().count(), TAPS);
        taps.close(ids[0].unwrap());
        assert!(taps.open(key, &known(), UNIX_EPOCH, NOW).is_some());
        assert!(taps.has_news(ids[0].unwrap()) && taps.take(ids[0].unwrap(), 9, &mut Vec::new()));
    }
}
