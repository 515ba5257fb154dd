//! The connections that were open at an earlier time, as far as a recording shows them: what it
//! does not show is None.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use crate::core::{Event, Key, Moment, Observer, Peer, ServiceKind, State, Wants};
use crate::observe::ending;
use crate::observe::format::Stamp;
use crate::observe::line::{KnownLine, Line, PeerName};
use crate::recording::{KnownConnection, ReplayObserver};

/// What a replay wants: everything.
const WANTS: Wants = Wants { steps: true, stalls: true };
/// The state of a datagram flow, as the admin endpoint names it.
const FLOW: &str = "flow";

/// A connection at an earlier time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastRow {
    pub id: u32,
    pub service: ServiceKind,
    /// The address of the listener.
    pub listen: String,
    pub peer: String,
    pub target: Option<String>,
    pub opened: Moment,
    /// Bytes read from the client, and bytes written to it, within the recording.
    pub received: u64,
    pub sent: u64,
    /// There may have been more bytes: before the recording, or among events that were lost.
    pub is_partial: bool,
    is_flow: bool,
    is_opening: Option<bool>,
    /// Whether each end has sent its end of file.
    ended: [Option<bool>; 2],
    /// Bytes to each end that are not written yet.
    unsent: [Option<usize>; 2],
    /// When bytes were moved last, or when it was opened.
    moved: Option<Moment>,
}

impl PastRow {
    /// Creates the row of a connection that the recording has from its beginning.
    fn opened(key: Key, service: ServiceKind, listen: &str, peer: &Peer, now: Moment) -> PastRow {
        PastRow {
            id: key.id,
            service,
            listen: listen.to_string(),
            peer: PeerName(peer).to_string(),
            target: None,
            opened: now,
            received: 0,
            sent: 0,
            is_partial: false,
            is_flow: key.is_flow(),
            is_opening: Some(ending::has_target(service)),
            ended: [Some(false); 2],
            unsent: [Some(0); 2],
            moved: Some(now),
        }
    }

    /// Creates the row of a connection that was opened before the recording.
    fn known(key: Key, known: &KnownConnection<'_>) -> PastRow {
        let KnownConnection { opened, service, listen, peer, target, .. } = known;
        let mut row = PastRow::opened(key, *service, listen, peer, *opened);
        row.target = target.map(str::to_string);
        row.forget();
        row
    }

    /// Forgets what events change: some of them are not in the recording.
    fn forget(&mut self) {
        let has_target = ending::has_target(self.service);
        self.is_partial = true;
        self.is_opening = if has_target { None } else { Some(false) };
        self.ended = [None; 2];
        // Only a socket can leave bytes unsent.
        self.unsent = [None, if has_target { None } else { Some(0) }];
        self.moved = None;
    }

    /// Records what an event of this end changes.
    fn learn(&mut self, end: usize, event: &Event<'_>, now: Moment) {
        match *event {
            Event::Dialing { target, .. } => {
                self.target = Some(target.to_string());
                self.is_opening = Some(!self.is_flow);
            }
            Event::Connected { .. } => self.is_opening = Some(false),
            Event::EndOfFile => {
                self.is_opening = Some(false);
                self.ended[end] = Some(true);
            }
            Event::Read { bytes: bytes @ 1.., .. } | Event::Received { bytes, .. } => {
                self.is_opening = Some(false);
                self.ended[end].get_or_insert(false);
                self.moved = Some(now);
                if end == 0 {
                    self.received = self.received.saturating_add(bytes as u64);
                }
            }
            Event::Wrote { bytes, left } => {
                self.unsent[end] = Some(left);
                // An end of file is read when nothing is unsent: the other end has not ended.
                self.ended[1 - end].get_or_insert(false);
                self.wrote(end, bytes, now);
            }
            Event::Sent { bytes, .. } => self.wrote(end, bytes, now),
            Event::WriteBlocked { left } => self.unsent[end] = Some(left),
            Event::Turn { .. }
            | Event::SlowTurn { .. }
            | Event::PolledAgain { .. }
            | Event::Listening { .. }
            | Event::AcceptPaused { .. }
            | Event::AcceptResumed { .. }
            | Event::AcceptFailed { .. }
            | Event::Signal { .. }
            | Event::Draining { .. }
            | Event::Resolved { .. }
            | Event::InProgress { .. }
            | Event::Dump { .. }
            | Event::AdminRequest { .. }
            | Event::Reloading { .. }
            | Event::Reloaded { .. }
            | Event::ReloadFailed { .. }
            | Event::Opened { .. }
            | Event::DialFailed { .. }
            | Event::ShutDown
            | Event::Message { .. }
            | Event::Missed { .. }
            | Event::CutOff { .. }
            | Event::Stalled { .. }
            | Event::Resumed { .. }
            | Event::Closed { .. }
            | Event::Marked { .. }
            | Event::Stale
            | Event::Payload { .. }
            | Event::Read { .. }
            | Event::ReadBlocked
            | Event::ReadOff
            | Event::ReadOn
            | Event::Interrupted
            | Event::Yielded { .. }
            | Event::Armed { .. }
            | Event::Fired { .. }
            | Event::Passed { .. }
            | Event::Dropped { .. } => {}
        }
    }

    fn wrote(&mut self, end: usize, bytes: usize, now: Moment) {
        self.is_opening = Some(false);
        self.moved = Some(now);
        if end == 0 {
            self.sent = self.sent.saturating_add(bytes as u64);
        }
    }

    /// Returns its state, with the names of the admin endpoint.
    pub fn state(&self) -> Option<&'static str> {
        if self.is_flow {
            return Some(FLOW);
        }
        let state = match self.service {
            // They have one direction only.
            ServiceKind::Echo | ServiceKind::Discard => State::Streaming,
            _ if self.is_opening? => State::Opening,
            service => match (ending::has_target(service), self.ended) {
                (false, [_, Some(true)]) => State::Lingering,
                (_, [Some(a), Some(b)]) if a == b => State::Streaming,
                (_, [Some(true), _] | [_, Some(true)]) => State::HalfClosed,
                (_, [None, _] | [_, None] | [Some(false), Some(false)]) => return None,
            },
        };
        Some(state.name())
    }

    pub fn age(&self, at: Moment) -> Duration {
        at.since(self.opened)
    }

    /// Returns when bytes were moved last, or when it was opened.
    pub fn moved(&self) -> Option<Moment> {
        self.moved
    }

    /// Returns the time since bytes were moved.
    pub fn idle(&self, at: Moment) -> Option<Duration> {
        self.moved.map(|moved| at.since(moved))
    }

    /// Returns the bytes that wait to be written.
    pub fn unsent(&self) -> Option<u64> {
        match self.unsent {
            [Some(a), Some(b)] => Some((a as u64).saturating_add(b as u64)),
            [Some(left @ 1..), None] | [None, Some(left @ 1..)] => Some(left as u64),
            [Some(0) | None, None] | [None, Some(0)] => None,
        }
    }
}

/// Collects the connections that were open at one time.
pub struct PastConnections {
    at: Moment,
    now: Moment,
    rows: HashMap<u32, PastRow>,
    /// A connection whose events are counted.
    followed: Option<u32>,
    events: u64,
}

impl PastConnections {
    pub fn new(at: Moment, followed: Option<u32>) -> PastConnections {
        let (now, rows) = (Moment::default(), HashMap::new());
        PastConnections { at, now, rows, followed, events: 0 }
    }

    /// Returns the rows, and how many lines the followed connection has up to then.
    pub fn finish(self) -> (Vec<PastRow>, u64) {
        (self.rows.into_values().collect(), self.events)
    }

    fn count(&mut self, key: Key) {
        self.events += u64::from(self.followed == Some(key.id));
    }
}

impl Observer for PastConnections {
    fn on(&mut self, key: Key, event: &Event<'_>) {
        if self.now > self.at || key.is_source() {
            return;
        }
        self.count(key);
        if let Event::Opened { service, listen, peer, .. } = *event {
            let row = PastRow::opened(key, service, listen, peer, self.now);
            self.rows.insert(key.id, row);
        } else if let Event::Closed { .. } = event {
            self.rows.remove(&key.id);
        } else if let Some(row) = self.rows.get_mut(&key.id) {
            row.learn(key.end(), event, self.now);
        }
    }

    fn begin_turn(&mut self, now: Moment) -> Wants {
        self.now = now;
        WANTS
    }
}

impl ReplayObserver for PastConnections {
    /// Its first event in the recording may follow later, but it was open all the time.
    fn known_connection(&mut self, key: Key, known: &KnownConnection<'_>) {
        if known.opened <= self.at {
            self.rows.insert(key.id, PastRow::known(key, known));
        }
        if self.now <= self.at {
            self.count(key);
        }
    }

    fn lost(&mut self, _events: u64) {
        if self.now <= self.at {
            self.rows.values_mut().for_each(PastRow::forget);
        }
    }
}

/// Collects the last lines of the log of one connection, up to one time.
pub struct PastLines {
    id: u32,
    at: Moment,
    now: Moment,
    /// Lines before those that are collected.
    skipped: u64,
    /// When the loop was created.
    start: SystemTime,
    lines: Vec<String>,
}

impl PastLines {
    /// Maximum lines of a connection: several pages of a terminal.
    const LINES: u64 = 200;

    /// `events`: the number of lines that the connection has up to this time.
    pub fn new(id: u32, at: Moment, events: u64, start: SystemTime) -> PastLines {
        let skipped = events.saturating_sub(PastLines::LINES);
        PastLines { id, at, now: Moment::default(), skipped, start, lines: Vec::new() }
    }

    pub fn finish(self) -> Vec<String> {
        self.lines
    }

    fn add(&mut self, key: Key, line: &dyn std::fmt::Display) {
        if key.is_source() || key.id != self.id || self.now > self.at {
            return;
        }
        match self.skipped {
            0 => {
                let time = time_of_day(self.start, self.now);
                self.lines.push(format!("{time} {line}"));
            }
            _ => self.skipped -= 1,
        }
    }
}

impl Observer for PastLines {
    fn on(&mut self, key: Key, event: &Event<'_>) {
        let stalled = [Duration::ZERO; 2];
        self.add(key, &Line { key, event, listener: None, stalled, explain: None });
    }

    fn begin_turn(&mut self, now: Moment) -> Wants {
        self.now = now;
        WANTS
    }
}

impl ReplayObserver for PastLines {
    fn known_connection(&mut self, key: Key, known: &KnownConnection<'_>) {
        let now = self.now;
        self.add(key, &KnownLine { key, known, now });
    }
}

/// Formats the time of day of a moment, in UTC: `16:11:58.641`.
pub fn time_of_day(start: SystemTime, moment: Moment) -> String {
    let time = start.checked_add(Duration::from_micros(moment.0)).unwrap_or(start);
    let (civil, millis) = Stamp(time).parts();
    format!("{:02}:{:02}:{:02}.{millis:03}", civil.hour, civil.minute, civil.second)
}

#[cfg(test)]
#[path = "past_tests.rs"]
mod tests;
