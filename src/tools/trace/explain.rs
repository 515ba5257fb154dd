//! Explains the life of one connection: a sequence diagram with a sentence for each step, and how
//! it ended. Repeated traffic is folded, so the memory needed does not grow with the recording.

use std::io::{self, Write};
use std::time::Duration;

use crate::core::{Close, Event, Key, Moment, Observer, Peer, Ready, ServiceKind, Wants};
use crate::observe::ending::{self, FarEnd};
use crate::observe::explain::{Explained, explain};
use crate::observe::format::Span;
use crate::observe::line::{Line, PeerName};
use crate::recording::{KnownConnection, ReplayObserver};
use crate::text::count::Count;
use crate::text::escape::plain;
use crate::text::quantity::short_bytes;
use crate::text::wrap::{COLUMNS, fit};

use super::diagram::{Arrow, Diagram, DiagramRow};
use super::traffic::{Candidate, Folded, StoryRow, Traffic};

/// The labels of arrows.
const FIN: &str = " FIN ";
const RST: &str = " RST ";

/// Collects the events of one connection.
pub struct ExplainConverter {
    id: u32,
    now: Moment,
    /// The time of the first event, and whether that was the accept.
    start: Option<(Moment, bool)>,
    head: Head,
    rows: Vec<StoryRow>,
    traffic: Traffic,
    explained: Explained,
    stalls: [EndStalls; 2],
    /// Each FIN and RST, in order.
    closing: Vec<String>,
    /// When the FIN of each end was reported, and its place in `closing`.
    fins: [Option<(Moment, usize)>; 2],
    /// Which ends have sent their end of file, and to which one was sent.
    ended: [bool; 2],
    shut_down: [bool; 2],
    has_end_b: bool,
    has_unsent: bool,
}

/// What is known of the connection as a whole.
struct Head {
    opened: Option<String>,
    is_flow: bool,
    far: FarEnd,
    is_relay: bool,
    target: Option<String>,
    connected: Option<Duration>,
    /// When it was opened, if that was before the recording.
    opened_before: Option<Moment>,
    closed: Option<String>,
    /// The names of the peers of both ends.
    names: [&'static str; 2],
}

#[derive(Default)]
struct EndStalls {
    count: usize,
    total: Duration,
    since: Option<Moment>,
}

impl ExplainConverter {
    /// Creates the converter for the connection or flow with this number.
    pub fn new(id: u32) -> ExplainConverter {
        let names = ["client", "target"];
        ExplainConverter {
            id,
            now: Moment::default(),
            start: None,
            head: Head {
                opened: None,
                is_flow: false,
                far: FarEnd::Unknown,
                is_relay: true,
                target: None,
                connected: None,
                opened_before: None,
                closed: None,
                names,
            },
            rows: Vec::new(),
            traffic: Traffic::default(),
            explained: Explained::default(),
            stalls: Default::default(),
            closing: Vec::new(),
            fins: [None; 2],
            ended: [false; 2],
            shut_down: [false; 2],
            has_end_b: false,
            has_unsent: false,
        }
    }

    /// Returns whether the recording had an event of this connection.
    pub fn is_found(&self) -> bool {
        self.start.is_some()
    }

    /// Writes the explanation.
    pub fn finish(mut self, out: &mut dyn Write) -> io::Result<()> {
        let Some((start, _)) = self.start else {
            let id = self.id;
            return writeln!(out, "Connection {id} has no event in this recording.");
        };
        self.traffic.flush(&mut self.rows);
        self.write_head(out)?;
        let mut parties = vec![self.head.names[0], "oneloop"];
        if self.has_end_b {
            parties.push(self.head.names[1]);
        }
        writeln!(out)?;
        let mut diagram = Diagram::begin(out, parties)?;
        for row in &self.rows {
            match row {
                StoryRow::Folded(folded) => diagram.remark(&folded.to_string())?,
                StoryRow::Shown(row) => {
                    let micros = row.micros.saturating_sub(start.0);
                    diagram.row(&DiagramRow { micros, ..row.clone() })?;
                }
            }
        }
        self.write_ending(out)
    }

    fn write_head(&self, out: &mut dyn Write) -> io::Result<()> {
        let (id, head) = (self.id, &self.head);
        let is_accept = self.start.is_some_and(|(_, is_accept)| is_accept);
        let what = if head.is_flow { "Flow" } else { "Connection" };
        let mut lines = match &head.opened {
            Some(opened) => format!("{what} {id}: {opened}\n"),
            None => format!("{what} {id}\n"),
        };
        if let Some(target) = &head.target {
            lines += &format!("Target: {target}");
            lines += &match (head.connected, head.opened_before) {
                (Some(after), _) => format!(", connected after {}\n", Span(after)),
                (None, None) if is_accept && !head.is_flow => ", not connected\n".to_string(),
                (None, _) => "\n".to_string(),
            };
        }
        match (self.start, head.opened_before) {
            (Some((start, false)), Some(opened)) => {
                lines += &format!(
                    "It was opened {} before its first event here; times are since that event.\n",
                    Span(start.since(opened))
                );
            }
            (Some((_, false)), None) => {
                lines += "It was open before the recording began: times are since its first \
                          event here.\n";
            }
            (Some((_, true)) | None, _) => {}
        }
        for (stalls, name) in self.stalls.iter().zip(head.names) {
            let (count, total) = stalls.sum(self.now);
            if count > 0 {
                let times = Count(count, "time");
                lines += &format!(
                    "The {name} accepted nothing for a second or more: {times}, {} in total\n",
                    Span(total)
                );
            }
        }
        match &head.closed {
            Some(closed) => lines += &format!("It was {closed}\n"),
            None => lines += "It is still open at the end of the recording.\n",
        }
        out.write_all(fit(&lines, COLUMNS).as_bytes())
    }

    fn write_ending(&self, out: &mut dyn Write) -> io::Result<()> {
        if self.closing.is_empty() {
            return Ok(());
        }
        let mut lines = match self.head.closed {
            Some(_) => "\nHow it ended, in order:\n".to_string(),
            None => "\nWhat has ended so far, in order:\n".to_string(),
        };
        for (at, what) in self.closing.iter().enumerate() {
            lines += &format!("{:>3}  {what}\n", at + 1);
        }
        out.write_all(fit(&lines, COLUMNS).as_bytes())
    }

    /// Records what the whole story needs to know of this event.
    fn learn(&mut self, key: Key, event: &Event<'_>) {
        match *event {
            Event::Opened { service, listen, peer, .. } => self.learn_peer(service, listen, peer),
            Event::Dialing { target, .. } => self.head.target = Some(plain(target).to_string()),
            Event::Connected { after } => self.head.connected = Some(after),
            Event::Stalled { since, .. } => {
                self.stalls[key.end()].count += 1;
                self.stalls[key.end()].since = Some(since);
            }
            Event::Resumed { stalled } => {
                let total = &mut self.stalls[key.end()].total;
                // The numbers of a recording may be any.
                *total = total.saturating_add(stalled);
                self.stalls[key.end()].since = None;
            }
            Event::Wrote { left, .. } | Event::WriteBlocked { left } => self.has_unsent = left > 0,
            Event::Marked { ready } if ready.has(Ready::READ_CLOSED) => {
                self.learn_fin(key.end(), ready.has(Ready::ERROR));
            }
            Event::EndOfFile => self.learn_end(key.end()),
            Event::ShutDown => {
                self.shut_down[key.end()] = true;
                let (end, at) = (key.end(), self.since_start());
                let what = if self.is_socket(end) { "FIN" } else { "end of file" };
                self.closing.push(format!("{at}: {what} to the {}", self.head.names[end]));
            }
            Event::Closed { ending, .. } => self.learn_close(key, event, ending),
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
            | Event::DialFailed { .. }
            | Event::Message { .. }
            | Event::Missed { .. }
            | Event::CutOff { .. }
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
            | Event::Received { .. }
            | Event::Sent { .. }
            | Event::Passed { .. }
            | Event::Dropped { .. } => {}
        }
    }

    fn learn_peer(&mut self, service: ServiceKind, listen: &str, peer: &Peer) {
        let opened = format!("{} -> {}, {service}", PeerName(peer), plain(listen));
        self.head.opened = Some(opened);
        self.head.far = FarEnd::of(service);
        self.head.is_relay = ending::has_target(service);
        self.has_end_b |= self.head.is_relay;
        let far = if self.head.is_relay { "target" } else { "service" };
        let near = if *peer == Peer::Stdio { "stdio" } else { "client" };
        self.head.names = [near, far];
    }

    /// Records that a FIN was reported. It is read after the data before it.
    fn learn_fin(&mut self, end: usize, is_error: bool) {
        if self.fins[end].is_none() && !is_error {
            self.fins[end] = Some((self.now, self.closing.len()));
            let (at, name) = (self.since_start(), self.head.names[end]);
            self.closing.push(format!("{at}: FIN from the {name}, which is read later"));
        }
    }

    fn learn_end(&mut self, end: usize) {
        self.ended[end] = true;
        let (at, name) = (self.since_start(), self.head.names[end]);
        match self.fins[end] {
            Some((reported, place)) if reported == self.now => {
                self.closing[place] = format!("{at}: FIN from the {name}");
            }
            Some(_) => {
                let read = "the FIN was read, and all data before it";
                self.closing.push(format!("{at}: {name}: {read}"));
            }
            None if self.is_socket(end) => self.closing.push(format!("{at}: FIN from the {name}")),
            None => self.closing.push(format!("{at}: end of file from the {name}")),
        }
    }

    /// Whether the end is a socket, whose end of file is a FIN.
    fn is_socket(&self, end: usize) -> bool {
        match end {
            0 => self.head.names[0] != "stdio",
            _ => self.head.is_relay,
        }
    }

    fn learn_close(&mut self, key: Key, event: &Event<'_>, ending: Close) {
        self.head.closed = Some(self.fact(key, event));
        let at = self.since_start();
        if let Some((end, fault)) = ending::failed_end(ending.reason) {
            let name = self.head.names[end];
            self.closing.push(format!("{at}: the {name}'s side failed: {fault}"));
        }
        for label in [FIN, RST] {
            let arrows = self.closing_arrows(ending).into_iter().zip(self.head.names);
            let sent = arrows.filter(|(arrow, _)| {
                arrow.as_ref().is_some_and(|arrow| !arrow.inward && arrow.label == label)
            });
            let names: Vec<String> = sent.map(|(_, name)| format!("the {name}")).collect();
            if !names.is_empty() {
                self.closing.push(format!("{at}: {} to {}", label.trim(), names.join(" and ")));
            }
        }
        let why = explain(key, event, self.head.far).to_string();
        self.closing.push(format!("{at}: closed{why}").replace("closed -- ", "closed: "));
    }

    fn since_start(&self) -> String {
        let start = self.start.map_or(self.now, |(start, _)| start);
        let micros = self.now.since(start).as_micros();
        format!("{}.{:03} ms", micros / 1000, micros % 1000)
    }

    /// Returns what happened, without the name of the connection.
    fn fact(&self, key: Key, event: &Event<'_>) -> String {
        let name = self.head.names[key.end()];
        if let Event::Read { bytes, .. } = *event {
            return format!("read {bytes} B from the {name}");
        }
        if let Event::Wrote { bytes, left } = *event {
            return format!("wrote {bytes} B to the {name}, {left} unsent");
        }
        if let Event::DialFailed { target, fault, left, .. } = *event {
            let left = match left {
                0 => String::new(),
                left => format!("; {} left", Count(left, "target")),
            };
            return format!("connect to {} failed: {fault}{left}", plain(target));
        }
        let line = Line { key, event, listener: None, stalled: Default::default(), explain: None };
        let line = line.to_string();
        let (subject, end) = (format!("#{}", key.id), ["a", "b"][key.end()]);
        match line.strip_prefix(&subject) {
            None => line,
            Some(rest) => match rest.strip_prefix(&format!(".{end} ")) {
                Some(rest) => format!("{name}: {rest}"),
                None => rest.trim_start_matches([':', ' ']).to_string(),
            },
        }
    }

    fn row(&mut self, key: Key, event: &Event<'_>) -> (DiagramRow, bool) {
        let why = explain(key, event, self.head.far);
        let is_first = self.explained.is_first(&why);
        let mut text = self.fact(key, event);
        // Why it was closed is in the summary of its end.
        if is_first && !matches!(event, Event::Closed { .. }) {
            text += &why.to_string().replacen(" -- ", ": ", 1);
        }
        let arrows = self.arrows(key, event);
        (DiagramRow { micros: self.now.0, arrows, text }, is_first)
    }

    fn arrows(&self, key: Key, event: &Event<'_>) -> [Option<Arrow>; 2] {
        if let Event::Closed { ending, .. } = *event {
            return self.closing_arrows(ending);
        }
        let mut arrows = [None, None];
        if key.is_flow() && matches!(event, Event::Opened { .. } | Event::Dialing { .. }) {
            // Nothing passes there: the datagram follows.
            return arrows;
        }
        arrows[key.end()] = arrow(event, self.is_socket(key.end()));
        arrows
    }

    /// Returns what a close sends at each end, or what has come there and led to it.
    fn closing_arrows(&self, ending: Close) -> [Option<Arrow>; 2] {
        let failed = ending::failed_end(ending.reason);
        let is_reset = ending::is_reset(ending, self.head.is_relay, self.has_unsent);
        let is_accept = self.start.is_some_and(|(_, is_accept)| is_accept);
        let is_dialed = self.head.connected.is_some() || !is_accept;
        [0, 1].map(|end| {
            let arrow = |inward, label: &str| Some(Arrow { inward, label: label.to_string() });
            let is_open = self.is_socket(end) && (end == 0 || is_dialed) && !self.head.is_flow;
            match failed {
                Some((failed, fault)) if failed == end => {
                    arrow(true, RST).filter(|_| ending::is_reset_by_peer(fault))
                }
                _ if !is_open || self.shut_down[end] && (self.ended[end] || !is_reset) => None,
                _ => arrow(false, if is_reset { RST } else { FIN }),
            }
        })
    }
}

impl Observer for ExplainConverter {
    fn on(&mut self, key: Key, event: &Event<'_>) {
        if key.id != self.id || key.is_source() || matches!(event, Event::Payload { .. }) {
            return;
        }
        let is_opened = matches!(event, Event::Opened { .. });
        self.start.get_or_insert((self.now, is_opened));
        self.head.is_flow = key.is_flow();
        self.learn(key, event);
        self.has_end_b |= key.end() == 1;
        let (row, is_first) = self.row(key, event);
        match Folded::of(self.now, event) {
            None => {
                self.traffic.flush(&mut self.rows);
                self.rows.push(StoryRow::Shown(row));
            }
            Some(count) => self.traffic.add(Candidate { row, count, is_first }, &mut self.rows),
        }
    }

    fn begin_turn(&mut self, now: Moment) -> Wants {
        self.now = now;
        Wants { steps: true, stalls: true }
    }
}

impl ReplayObserver for ExplainConverter {
    fn known_connection(&mut self, key: Key, known: &KnownConnection<'_>) {
        if key.id == self.id {
            self.learn_peer(known.service, known.listen, &known.peer);
            self.head.target = known.target.map(|target| plain(target).to_string());
            self.head.opened_before = Some(known.opened);
        }
    }
}
impl EndStalls {
    /// Returns how often the end has stalled, and for how long in total.
    fn sum(&self, now: Moment) -> (usize, Duration) {
        let open = self.since.map_or(Duration::ZERO, |since| now.since(since));
        (self.count, self.total.saturating_add(open))
    }
}

/// Returns the arrow of an event at its end, if something passed there.
fn arrow(event: &Event<'_>, is_socket: bool) -> Option<Arrow> {
    let label = |bytes: usize| format!(" {} ", short_bytes(bytes as u64));
    let arrow = |inward, label: String| Some(Arrow { inward, label });
    let end = if is_socket { FIN } else { " end " };
    match *event {
        Event::Read { bytes, .. } | Event::Received { bytes, .. } => arrow(true, label(bytes)),
        Event::Wrote { bytes, .. } | Event::Sent { bytes, .. } => arrow(false, label(bytes)),
        Event::Opened { .. } => arrow(true, " connect ".to_string()),
        Event::Dialing { .. } => arrow(false, " connect ".to_string()),
        Event::Connected { .. } => arrow(true, "connected".to_string()),
        Event::DialFailed { .. } => arrow(true, " failed ".to_string()),
        Event::EndOfFile => arrow(true, end.to_string()),
        Event::ShutDown => arrow(false, end.to_string()),
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
        | Event::Message { .. }
        | Event::Missed { .. }
        | Event::CutOff { .. }
        | Event::Stalled { .. }
        | Event::Resumed { .. }
        | Event::Closed { .. }
        | Event::Marked { .. }
        | Event::Stale
        | Event::Payload { .. }
        | Event::ReadBlocked
        | Event::WriteBlocked { .. }
        | Event::ReadOff
        | Event::ReadOn
        | Event::Interrupted
        | Event::Yielded { .. }
        | Event::Armed { .. }
        | Event::Fired { .. }
        | Event::Passed { .. }
        | Event::Dropped { .. } => None,
    }
}
