//! Counts everything since the start, for the totals at stop and in a dump.

use std::fmt::{self, Display, Formatter};

use crate::core::{Event, Key, Moment, Observer, Wants};
use crate::text::count::Count;

/// Counters since the start. They only grow.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Totals {
    pub opened: u64,
    /// Closed connections and flows, by reason.
    pub closed: Counts,
    /// Bytes of closed connections and flows, from clients and to clients. The totals of a dump add
    /// those of the open ones.
    pub up: u64,
    pub down: u64,
    /// Datagrams, and their bytes.
    pub received: u64,
    pub received_bytes: u64,
    pub sent: u64,
    pub sent_bytes: u64,
    /// Dropped datagrams, by reason.
    pub dropped: Counts,
    /// Accept pauses.
    pub pauses: u64,
    /// Accept failures.
    pub not_accepted: u64,
    /// Failed connects to targets.
    pub dials_failed: u64,
    /// Messages that members of hubs did not receive.
    pub missed: u64,
    /// Lost log lines. Set by `Watch::totals`; the events do not show it.
    pub lost_lines: u64,
}

/// Counters by name, in the order of their first count.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Counts(Vec<(&'static str, u64)>);

impl Counts {
    pub fn count(&mut self, name: &'static str) {
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, count)) => *count += 1,
            None => self.0.push((name, 1)),
        }
    }

    pub fn of(&self, name: &str) -> u64 {
        self.0.iter().find(|(known, _)| *known == name).map_or(0, |(_, count)| *count)
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
            Event::Missed { messages } => self.missed += messages,
            Event::Turn { .. }
            | Event::SlowTurn { .. }
            | Event::PolledAgain { .. }
            | Event::Listening { .. }
            | Event::AcceptResumed { .. }
            | Event::Signal { .. }
            | Event::Draining { .. }
            | Event::Resolved { .. }
            | Event::InProgress { .. }
            | Event::Dump { .. }
            | Event::AdminRequest { .. }
            | Event::Reloading { .. }
            | Event::Reloaded { .. }
            | Event::ReloadFailed { .. }
            | Event::EndOfFile
            | Event::ShutDown
            | Event::Message { .. }
            | Event::CutOff { .. }
            | Event::Stalled { .. }
            | Event::Resumed { .. }
            | Event::Marked { .. }
            | Event::Stale
            | Event::Payload { .. }
            | Event::Read { .. }
            | Event::Wrote { .. }
            | Event::ReadBlocked
            | Event::WriteBlocked { .. }
            | Event::ReadOff
            | Event::ReadOn
            | Event::Interrupted
            | Event::Yielded { .. }
            | Event::Armed { .. }
            | Event::Fired { .. }
            | Event::Dialing { .. }
            | Event::Connected { .. } => {}
        }
    }

    fn begin_turn(&mut self, _: Moment) -> Wants {
        Wants::default()
    }
}

/// ` (2 finished, 1 reset)`, or nothing.
impl Display for Counts {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (at, (name, count)) in self.0.iter().enumerate() {
            write!(f, "{}{count} {name}", if at == 0 { " (" } else { ", " })?;
        }
        f.write_str(if self.0.is_empty() { "" } else { ")" })
    }
}

/// One line. Counters that are zero are left out, apart from connections and bytes.
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
            (self.pauses, "accept pause"),
            (self.not_accepted, "accept failure"),
            (self.dials_failed, "connect failure"),
            (self.missed, "hub message: missed"),
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
    use crate::core::event::{DropReason, PauseCause};
    use crate::core::{Close, CloseKind, Peer, Reason, Side, SysError};

    fn closed(reason: Reason) -> Event<'static> {
        let ending = Close { reason, first: Side::Client, by: CloseKind::Fin };
        Event::Closed { ending, up: 5, down: 7, lasted: Duration::ZERO }
    }

    #[test]
    fn events_are_counted_and_shown_in_one_line() {
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
            Event::AcceptPaused { address: "a", cause: PauseCause::Limit, connections: 1 },
            Event::Missed { messages: 17 },
            Event::DialFailed { target: "a", fault, left: 1, client: None },
            Event::DialFailed { target: "b", fault, left: 0, client: None },
        ] {
            totals.on(Key::LOOP, &event);
        }
        assert_eq!((totals.closed.of("finished"), totals.closed.of("reset")), (2, 1));
        assert_eq!(
            totals.to_string(),
            "0 opened, 3 closed (2 finished, 1 reset), 15 B up, 21 B down, \
             7 datagrams received (53 B), 6 sent (43 B), 1 dropped (1 own), 1 accept pause, \
             2 connect failures, 17 hub messages missed"
        );
    }

    #[test]
    fn counters_that_are_zero_are_left_out() {
        let line = Totals::default().to_string();
        assert_eq!(line, "0 opened, 0 closed, 0 B up, 0 B down");
    }
}
