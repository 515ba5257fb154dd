//! Watches the one connection of a talk for its user: what happened when, and how it ended. This
//! makes the lines of `--timing`, and the exit status.

use std::fmt::Write;

use crate::core::{Close, CloseKind, Event, Key, Moment, Observer, Side};
use crate::text::count::Count;
use crate::text::escape::plain;

/// An observer of one connection, in front of those who watch all of it.
pub struct Watch<'a> {
    seen: &'a mut dyn Observer,
    /// What goes wrong on the way is told at the end, in one line, and not in the log too.
    quiet: bool,
    /// When the turn began: events of a connection do not all say it themselves.
    pub now: Moment,
    pub facts: Facts,
}

/// What is known of the connection so far.
#[derive(Debug, Default)]
pub struct Facts {
    /// It is a talk of datagrams, which know no end.
    pub datagrams: bool,
    pub resolved: Option<Resolved>,
    /// What was dialled last, with the address of a name.
    pub target: String,
    pub connected: Option<Moment>,
    pub first_byte: Option<Moment>,
    pub closed: Option<Closed>,
}

/// What became of the target's name.
#[derive(Debug)]
pub struct Resolved {
    at: Moment,
    name: String,
    /// How many addresses it has, or why it has none.
    pub found: Result<usize, String>,
}

#[derive(Debug)]
pub struct Closed {
    at: Moment,
    pub ending: Close,
    up: u64,
    down: u64,
}

impl<'a> Watch<'a> {
    pub fn new(seen: &'a mut dyn Observer, quiet: bool) -> Watch<'a> {
        Watch { seen, quiet, now: Moment(0), facts: Facts::default() }
    }
}

impl Observer for Watch<'_> {
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
                facts.closed = Some(Closed { at, ending, up, down });
            }
            _ => {}
        }
        let told = matches!(event, Event::Resolved { .. } | Event::DialFailed { .. });
        if !(self.quiet && told) {
            self.seen.on(key, event);
        }
    }
}

impl Facts {
    /// A line for each step that was taken: how long after the start it was done, and what came of
    /// it.
    pub fn timing(&self) -> String {
        let mut text = String::new();
        let mut line = |step: &str, at: Moment, what: &str| {
            // Writing to a string does not fail.
            let _ =
                writeln!(text, "{}", format!("{step:<10} {:>10}  {what}", millis(at)).trim_end());
        };
        if let Some(resolved) = &self.resolved {
            line("resolve", resolved.at, &resolved.told());
        }
        if let Some(at) = self.connected {
            line("connect", at, &plain(&self.target).to_string());
        }
        if let Some(at) = self.first_byte {
            line("first byte", at, "");
        }
        if let Some(closed) = &self.closed {
            match self.connected {
                Some(_) => line("close", closed.at, &closed.told(self.datagrams)),
                None => line("failed", closed.at, &closed.ending.reason.to_string()),
            }
        }
        text
    }
}

impl Resolved {
    fn told(&self) -> String {
        let name = plain(&self.name);
        match &self.found {
            Ok(addresses) => format!("{name}: {}", Count(*addresses, "address")),
            Err(error) => format!("{name}: {}", plain(error)),
        }
    }
}

impl Closed {
    /// `FIN from peer first; finished; 5 B sent, 5 B received`.
    fn told(&self, datagrams: bool) -> String {
        let Close { reason, first, by } = self.ending;
        let who = if first == Side::Target { "peer" } else { "this side" };
        let how = match by {
            CloseKind::Fin => "FIN",
            CloseKind::Rst => "RST",
        };
        let (up, down) = (self.up, self.down);
        if datagrams {
            return format!("{reason}; {up} B sent, {down} B received");
        }
        format!("{how} from {who} first; {reason}; {up} B sent, {down} B received")
    }
}

/// A time after the start, for people.
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
        let mut watch_all = ();
        let mut watch = Watch::new(&mut watch_all, false);
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
            (80_000, key, Event::Closed { ending, up: 3, down: 2, lasted, now: Moment(0) }),
        ] {
            watch.now = Moment(at);
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
