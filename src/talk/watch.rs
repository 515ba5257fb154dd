//! Records the facts of one session from its events: when each step was complete, and how the
//! connection ended. `--timing` and the exit code are derived from them.

use std::fmt::Write;

use crate::core::{Close, CloseKind, Event, Key, Moment, Observer, Side, Wants};
use crate::text::count::Count;
use crate::text::escape::plain;

/// Records facts and forwards the events to another observer.
pub struct SessionWatch<'a> {
    next: &'a mut dyn Observer,
    /// Failed attempts are not forwarded: the last one is reported at the end, in one line.
    quiet: bool,
    /// The time of the turn, which most events do not contain.
    pub now: Moment,
    pub facts: SessionFacts,
}

/// The facts of a session so far.
#[derive(Debug, Default)]
pub struct SessionFacts {
    /// The session uses datagrams, which have no end of file.
    pub datagrams: bool,
    pub resolved: Option<Resolved>,
    /// The last target dialed, with the address if it is a name.
    pub target: String,
    pub connected: Option<Moment>,
    pub first_byte: Option<Moment>,
    pub closed: Option<ClosedSession>,
}

/// Result of resolving the target's name.
#[derive(Debug)]
pub struct Resolved {
    at: Moment,
    name: String,
    /// The number of addresses, or the error.
    pub found: Result<usize, String>,
}

/// The end of the connection, with the bytes sent and received.
#[derive(Debug)]
pub struct ClosedSession {
    at: Moment,
    pub ending: Close,
    up: u64,
    down: u64,
}

impl<'a> SessionWatch<'a> {
    pub fn new(next: &'a mut dyn Observer, quiet: bool) -> SessionWatch<'a> {
        SessionWatch { next, quiet, now: Moment(0), facts: SessionFacts::default() }
    }
}

impl Observer for SessionWatch<'_> {
    fn on(&mut self, key: Key, event: &Event<'_>) {
        let (at, facts) = (self.now, &mut self.facts);
        match *event {
            Event::Resolved { name, addresses, error } => {
                let found = error.map_or(Ok(addresses), |error| Err(error.to_string()));
                facts.resolved = Some(Resolved { at, name: name.to_string(), found });
            }
            Event::Dialing { target, .. } => facts.target = target.to_string(),
            Event::Connected { .. } => facts.connected = Some(at),
            Event::Read { .. } if key.end() == 1 => {
                facts.first_byte.get_or_insert(at);
            }
            Event::Received { .. } => {
                facts.first_byte.get_or_insert(at);
            }
            Event::Closed { ending, up, down, .. } => {
                facts.closed = Some(ClosedSession { at, ending, up, down });
            }
            _ => {}
        }
        let is_attempt = matches!(event, Event::Resolved { .. } | Event::DialFailed { .. });
        if !(self.quiet && is_attempt) {
            self.next.on(key, event);
        }
    }

    fn begin_turn(&mut self, now: Moment) -> Wants {
        self.now = now;
        // The first byte is a step.
        Wants { steps: true, ..self.next.begin_turn(now) }
    }
}

impl SessionFacts {
    /// Formats a line for each step: the time from the start until it was complete, and its result.
    pub fn timing(&self) -> String {
        let mut text = String::new();
        let mut line = |step: &str, at: Moment, result: &str| {
            // Writing to a string does not fail.
            let _ =
                writeln!(text, "{}", format!("{step:<10} {:>10}  {result}", millis(at)).trim_end());
        };
        if let Some(resolved) = &self.resolved {
            line("resolve", resolved.at, &resolved.describe());
        }
        if let Some(at) = self.connected {
            line("connect", at, &plain(&self.target).to_string());
        }
        if let Some(at) = self.first_byte {
            line("first byte", at, "");
        }
        if let Some(closed) = &self.closed {
            match self.connected {
                Some(_) => line("close", closed.at, &closed.describe(self.datagrams)),
                None => line("failed", closed.at, &closed.ending.reason.to_string()),
            }
        }
        text
    }
}

impl Resolved {
    fn describe(&self) -> String {
        let name = plain(&self.name);
        match &self.found {
            Ok(addresses) => format!("{name}: {}", Count(*addresses, "address")),
            Err(error) => format!("{name}: {}", plain(error)),
        }
    }
}

impl ClosedSession {
    /// `FIN from peer first; finished; 5 B sent, 5 B received`.
    fn describe(&self, datagrams: bool) -> String {
        let Close { reason, first, by } = self.ending;
        let side = if first == Side::Target { "peer" } else { "this side" };
        let kind = match by {
            CloseKind::Fin => "FIN",
            CloseKind::Rst => "RST",
        };
        let (up, down) = (self.up, self.down);
        if datagrams {
            return format!("{reason}; {up} B sent, {down} B received");
        }
        format!("{kind} from {side} first; {reason}; {up} B sent, {down} B received")
    }
}

/// Formats a time after the start in milliseconds.
pub fn millis(at: Moment) -> String {
    format!("{:.1} ms", at.0 as f64 / 1000.0)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::core::{ReadHint, Reason};

    #[test]
    fn each_step_gets_a_line_with_its_time() {
        let mut next = ();
        let mut watch = SessionWatch::new(&mut next, false);
        let key = Key::new(1, 0);
        let read = Event::Read { bytes: 1, room: 9, hint: ReadHint::Short };
        let ending = Close { reason: Reason::Finished, first: Side::Target, by: CloseKind::Fin };
        let lasted = Duration::ZERO;
        let resolved = Event::Resolved { name: "\x1bx", addresses: 2, error: None };
        for (at, key, event) in [
            (400, Key::LOOP, resolved),
            (500, key.at(1), Event::Connected { after: lasted }),
            (400, key, Event::Dialing { target: "tcp://x:7 (127.0.0.1:7)", attempt: 1 }),
            (1_000, key, read),
            (60_100, key.at(1), Event::Read { bytes: 1, room: 9, hint: ReadHint::Short }),
            (70_000, key.at(1), Event::Read { bytes: 1, room: 9, hint: ReadHint::Short }),
            (80_000, key, Event::Closed { ending, up: 3, down: 2, lasted }),
        ] {
            watch.begin_turn(Moment(at));
            watch.on(key, &event);
        }
        let expected = "\
            resolve        0.4 ms  \\x1bx: 2 addresses\n\
            connect        0.5 ms  tcp://x:7 (127.0.0.1:7)\n\
            first byte    60.1 ms\n\
            close         80.0 ms  FIN from peer first; \
            finished; 3 B sent, 2 B received\n";
        assert_eq!(watch.facts.timing(), expected);
        assert_eq!(watch.facts.target, "tcp://x:7 (127.0.0.1:7)");
    }
}
