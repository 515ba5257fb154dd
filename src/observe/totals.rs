//! What happened since the start, as plain counters: for the line at stop, and for a dump.

use std::fmt::{self, Display, Formatter};

use crate::core::{Event, Key, Observer};
use crate::text::count::Count;

/// Counters of everything. They only grow.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Totals {
    pub opened: u64,
    /// Ended connections and flows, by reason.
    pub closed: LoadStats,
    /// Bytes of ended connections and flows, from clients and to clients. A totals line adds those
    /// of the open ones, which are counted when it is due.
    pub up: u64,
    pub down: u64,
    /// Datagrams, and their bytes.
    pub received: u64,
    pub received_bytes: u64,
    pub sent: u64,
    pub sent_bytes: u64,
    /// Dropped datagrams, by why.
    pub dropped: LoadStats,
    /// How often accepting paused.
    pub pauses: u64,
    /// Connections that could not be accepted.
    pub not_accepted: u64,
    /// Attempts to connect to a target that failed.
    pub dials_failed: u64,
    /// Lines that did not get into the log. Filled in by whoever knows.
    pub lost_lines: u64,
}

/// Counters by a word of ours, in the order in which they came up.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct LoadStats(Vec<(&'static str, u64)>);

impl LoadStats {
    pub fn count(&mut self, word: &'static str) {
        match self.0.iter_mut().find(|(known, _)| *known == word) {
            Some((_, count)) => *count += 1,
            None => self.0.push((word, 1)),
        }
    }

    pub fn of(&self, word: &str) -> u64 {
        self.0.iter().find(|(known, _)| *known == word).map_or(0, |(_, count)| *count)
    }

    pub fn sum(&self) -> u64 {
        self.0.iter().map(|(_, count)| count).sum()
    }

    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.0.iter().copied()
    }
}

impl Observer for Totals {
    fn on(&mut self, _: Key, event: &Event<'_>) {
        match event {
            Event::Opened { .. } => self.opened += 1,
            Event::Closed { ending, up, down, .. } => {
                self.closed.count(ending.reason.name());
                self.up += up;
                self.down += down;
            }
            Event::Received { bytes, .. } => {
                self.received += 1;
                self.received_bytes += *bytes as u64;
            }
            Event::Sent { bytes, .. } => {
                self.sent += 1;
                self.sent_bytes += *bytes as u64;
            }
            Event::Passed { received, received_bytes, sent, sent_bytes } => {
                self.received += received;
                self.received_bytes += received_bytes;
                self.sent += sent;
                self.sent_bytes += sent_bytes;
            }
            Event::Dropped { why, .. } => self.dropped.count(why.name()),
            Event::AcceptPaused { .. } => self.pauses += 1,
            Event::AcceptFailed { .. } => self.not_accepted += 1,
            Event::DialFailed { .. } => self.dials_failed += 1,
            _ => {}
        }
    }

    fn wants_steps(&self) -> bool {
        false
    }
}

/// ` (2 finished, 1 reset)`, or nothing.
impl Display for LoadStats {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (at, (word, count)) in self.0.iter().enumerate() {
            write!(f, "{}{count} {word}", if at == 0 { " (" } else { ", " })?;
        }
        f.write_str(if self.0.is_empty() { "" } else { ")" })
    }
}

/// One line. What never happened is not mentioned, apart from connections.
impl Display for Totals {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} opened, {} closed{}, ", self.opened, self.closed.sum(), self.closed)?;
        write!(f, "{} B up, {} B down", self.up, self.down)?;
        if self.received + self.sent + self.dropped.sum() > 0 {
            let received = Count(self.received as usize, "datagram: received");
            write!(f, ", {received} ({} B), ", self.received_bytes)?;
            write!(f, "{} sent ({} B), ", self.sent, self.sent_bytes)?;
            write!(f, "{} dropped{}", self.dropped.sum(), self.dropped)?;
        }
        for (count, what) in [
            (self.pauses, "pause: of accepting"),
            (self.not_accepted, "connection: not accepted"),
            (self.dials_failed, "attempt: to connect failed"),
            (self.lost_lines, "log line: lost"),
        ] {
            if count > 0 {
                write!(f, ", {}", Count(count as usize, what))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::core::event::DropReason;
    use crate::core::{Close, CloseKind, Moment, Peer, Reason, Side, SysError};

    fn closed(reason: Reason) -> Event<'static> {
        let ending = Close { reason, first: Side::Client, by: CloseKind::Fin };
        Event::Closed { ending, up: 5, down: 7, lasted: Duration::ZERO, now: Moment(0) }
    }

    #[test]
    fn what_happened_is_counted_and_told_in_one_line() {
        let fault = SysError::from(std::io::ErrorKind::ConnectionReset);
        let reset = Reason::Reset { by: Side::Client, fault };
        let from = Peer::Stdio;
        let mut totals = Totals::default();
        for event in [
            closed(Reason::Finished),
            closed(reset),
            closed(Reason::Finished),
            Event::Received { bytes: 3, from: &from },
            Event::Sent { bytes: 3, to: &from },
            Event::Passed { received: 6, received_bytes: 50, sent: 5, sent_bytes: 40 },
            Event::Dropped { bytes: Some(3), from: None, why: DropReason::Own },
            Event::AcceptPaused { address: "a", fault: None, connections: 1 },
            Event::DialFailed { target: "a", fault, left: 1, client: None },
            Event::DialFailed { target: "b", fault, left: 0, client: None },
        ] {
            totals.on(Key::LOOP, &event);
        }
        assert_eq!((totals.closed.of("finished"), totals.closed.of("reset")), (2, 1));
        assert_eq!(
            totals.to_string(),
            "0 opened, 3 closed (2 finished, 1 reset), 15 B up, 21 B down, \
             7 datagrams received (53 B), 6 sent (43 B), 1 dropped (1 own), 1 pause of accepting, \
             2 attempts to connect failed"
        );
    }

    #[test]
    fn what_never_happened_is_not_mentioned() {
        let line = Totals::default().to_string();
        assert_eq!(line, "0 opened, 0 closed, 0 B up, 0 B down");
    }
}
