//! Counters of the engine: each is counted where its fact happens, and none ever falls. So a
//! reader needs no observer and no sum over the open connections.

use std::time::Duration;

use super::reason::Reason;

/// What the connections of one route have done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RouteCounts {
    /// Connections opened.
    pub accepted: u64,
    /// Connections closed.
    pub closed: u64,
    /// Bytes forwarded from clients. Echoed bytes count as received and as sent.
    pub received: u64,
    /// Bytes written to clients.
    pub sent: u64,
}

/// What all connections of an engine have done, by route or in sum.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EngineCounts {
    routes: Vec<RouteCounts>,
    /// Closed connections by the index of their reason.
    closed: [u64; Reason::NAMES.len()],
    /// Time from the accept of a connection to the first byte written to its client.
    pub first_byte: DurationHistogram<RESPONSE>,
    /// Time from the accept of a connection to its close.
    pub lifetime: DurationHistogram<LIFETIME>,
    /// Time from the tick for which a deadline was armed to its check.
    pub timer_lag: DurationHistogram<RESPONSE>,
    /// Events that arrived for a closed connection.
    pub stale_events: u64,
}

/// What happened while bytes were moved. It is counted in the rare branches only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PumpCounts {
    /// Writes that the socket accepted only in part, or not at all.
    pub short_writes: u64,
    /// Times that a flow used up its budget of a turn and continued in the next.
    pub budget_exhausted: u64,
    /// Time from the accept of a connection until its target was connected.
    pub connect: DurationHistogram<RESPONSE>,
}

/// Durations, counted in buckets. The upper bound of bucket `n` is 4^(`FROM` + `n`) microseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DurationHistogram<const FROM: u32> {
    /// Durations of each bucket, and last those longer than every bound.
    counts: [u64; BUCKETS + 1],
    sum_micros: u64,
}

/// Number of buckets with an upper bound. The last bound is 4^11 times the first one.
const BUCKETS: usize = 12;

/// Turns of the loop: from 1 us to 4.2 s.
pub const TURN: u32 = 0;
/// Waits for a peer or for the loop: from 64 us to 4.5 min.
pub const RESPONSE: u32 = 3;
/// Lives of connections: from 4 ms to 4.8 h.
pub const LIFETIME: u32 = 6;

impl RouteCounts {
    /// Returns the sum of two routes.
    pub fn and(self, other: RouteCounts) -> RouteCounts {
        RouteCounts {
            accepted: self.accepted + other.accepted,
            closed: self.closed + other.closed,
            received: self.received + other.received,
            sent: self.sent + other.sent,
        }
    }
}

impl EngineCounts {
    pub fn new(routes: usize) -> EngineCounts {
        EngineCounts { routes: vec![RouteCounts::default(); routes], ..EngineCounts::default() }
    }

    /// Adds the counters of a route, unless it has some.
    pub fn add_route(&mut self, route: u16) {
        let routes = self.routes.len().max(usize::from(route) + 1);
        self.routes.resize(routes, RouteCounts::default());
    }

    /// Returns the counters of a route.
    pub fn route(&self, route: u16) -> RouteCounts {
        self.routes.get(usize::from(route)).copied().unwrap_or_default()
    }

    /// Takes the counters of a route that is freed: its index may belong to another one next.
    pub fn take_route(&mut self, route: u16) -> RouteCounts {
        self.routes.get_mut(usize::from(route)).map(std::mem::take).unwrap_or_default()
    }

    /// Returns the closed connections of each reason, with its name.
    pub fn closed(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Reason::NAMES.into_iter().zip(self.closed)
    }

    pub(super) fn accept(&mut self, route: u16) {
        self.routes[usize::from(route)].accepted += 1;
    }

    pub(super) fn close(&mut self, route: u16, reason: Reason, lasted: Duration) {
        self.routes[usize::from(route)].closed += 1;
        self.closed[reason.index()] += 1;
        self.lifetime.record(lasted);
    }

    /// Counts bytes forwarded from a client.
    #[inline(always)]
    pub(super) fn received(&mut self, route: u16, bytes: u64) {
        self.routes[usize::from(route)].received += bytes;
    }

    /// Counts bytes written to a client.
    #[inline(always)]
    pub(super) fn sent(&mut self, route: u16, bytes: u64) {
        self.routes[usize::from(route)].sent += bytes;
    }

    /// Records that a client received its first byte.
    #[cold]
    pub(super) fn answered(&mut self, after: Duration) {
        self.first_byte.record(after);
    }
}

impl<const FROM: u32> DurationHistogram<FROM> {
    pub fn record(&mut self, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        // The smallest exponent of two whose power is not less, and from it that of four.
        let twos = u64::BITS - micros.saturating_sub(1).leading_zeros();
        let bucket = twos.div_ceil(2).saturating_sub(FROM) as usize;
        self.counts[bucket.min(BUCKETS)] += 1;
        self.sum_micros = self.sum_micros.saturating_add(micros);
    }

    /// Returns the upper bound of each bucket, and how many durations are not longer.
    pub fn buckets(&self) -> impl Iterator<Item = (Duration, u64)> {
        let mut sum = 0;
        (FROM..).zip(&self.counts[..BUCKETS]).map(move |(exponent, count)| {
            sum += count;
            (Duration::from_micros(1 << (2 * exponent)), sum)
        })
    }

    /// Number of durations.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Sum of all durations.
    pub fn sum(&self) -> Duration {
        Duration::from_micros(self.sum_micros)
    }
}

impl<const FROM: u32> Default for DurationHistogram<FROM> {
    fn default() -> Self {
        DurationHistogram { counts: [0; BUCKETS + 1], sum_micros: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_counted_in_the_first_bucket_that_is_not_shorter() {
        let micros = [0, 1, 2, 4, 5, 16, 17, 4_194_304, 4_194_305, u64::MAX];
        let mut turns = DurationHistogram::<TURN>::default();
        for micros in micros {
            turns.record(Duration::from_micros(micros));
        }
        let bounds: Vec<u64> = turns.buckets().map(|(to, _)| to.as_micros() as u64).collect();
        assert_eq!((bounds.len(), bounds[0], bounds[11]), (12, 1, 4_194_304));
        for (to, count) in turns.buckets() {
            let expected = micros.iter().filter(|micros| u128::from(**micros) <= to.as_micros());
            assert_eq!(count, expected.count() as u64, "up to {to:?}");
        }
        assert_eq!((turns.count(), turns.sum()), (10, Duration::from_micros(u64::MAX)));
    }

    #[test]
    fn the_bounds_suit_what_is_measured() {
        fn bounds<const FROM: u32>() -> (Duration, Duration) {
            let histogram = DurationHistogram::<FROM>::default();
            let (first, last) = (histogram.buckets().next(), histogram.buckets().last());
            (first.unwrap().0, last.unwrap().0)
        }
        let micros = Duration::from_micros;
        assert_eq!(bounds::<RESPONSE>(), (micros(64), micros(268_435_456)));
        assert_eq!(bounds::<LIFETIME>(), (micros(4096), micros(17_179_869_184)));
    }
}
