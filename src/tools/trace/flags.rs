//! Finds what went wrong or took long in a trace: slow turns, stalls, starved connections, pauses,
//! slow targets. States only what follows from events.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};
use std::time::Duration;

use crate::core::event::PauseCause;
use crate::core::{
    Event, Key, Moment, Observer, Ready, Reason, ServiceKind, Side, SysError, Wants,
};
use crate::observe::format::Span;
use crate::recording::{KnownConnection, ReplayObserver};
use crate::text::count::plural;
use crate::text::escape::{plain, shell_quoted};
use crate::text::quantity::bytes as size;
use crate::text::wrap::{COLUMNS, fit};

use super::findings::{self, FindingLevel, TraceFinding, Worst};
use super::gaps::RecordingGaps;
use super::slow_turns::SlowTurns;
use crate::observe::ending;

/// A connection that is ready for this long and is not driven is starved.
const STARVED: Duration = Duration::from_millis(100);
/// A pause of accepting that is shorter is hardly noticed: a connection takes as long.
const SHORT_PAUSE: Duration = Duration::from_millis(100);
/// Connecting to a target that takes longer is slow.
const SLOW_CONNECT: Duration = Duration::from_secs(1);
/// Consecutive turns in which a connection used up its budget, from which it is reported: 64 MiB.
const BUDGET_TURNS: u64 = 64;

/// Collects findings.
#[derive(Default)]
pub struct FlagsConverter {
    now: Moment,
    start: Option<Moment>,
    turns: u64,
    slow_turns: SlowTurns,
    conns: HashMap<u32, ConnFlags>,
    stalls: Worst,
    starved: Worst,
    pauses: HashMap<String, (Moment, PauseCause)>,
    pauses_over: Worst,
    operator_pauses: Worst,
    slow_connects: Worst,
    failed_dials: BTreeMap<String, FailedDials>,
    budgets: Worst,
    /// Connections that were reset by each side, and those for which resources ran out.
    abrupt: [AbruptEnds; 3],
    opened: u64,
    stale: Counted,
    dropped: BTreeMap<String, Counted>,
}

/// How often something happened, and when first.
#[derive(Clone, Copy, Default)]
struct Counted {
    count: u64,
    first: Moment,
}

/// Connections that did not end in order, of one kind.
#[derive(Default)]
struct AbruptEnds {
    count: u64,
    first: Moment,
    connection: u32,
}

/// What is known of an open connection.
#[derive(Default)]
struct ConnFlags {
    is_echo: bool,
    /// It can be read: it has a target, or needs none.
    is_connected: bool,
    /// One direction has ended, so not every mark is followed by a read.
    is_closing: bool,
    unsent: [bool; 2],
    stalled: [Option<(Moment, usize)>; 2],
    /// Marked readable, or its budget was used up: since when, and in which turn.
    ready: Option<(Moment, u64)>,
    budget: Option<BudgetRun>,
}

/// Consecutive turns in which a connection used up its budget.
#[derive(Clone, Copy)]
struct BudgetRun {
    since: Moment,
    until: Moment,
    first: u64,
    last: u64,
}

#[derive(Default)]
struct FailedDials {
    count: u64,
    /// Of these, the last target of a connection failed.
    lost: u64,
    first: Moment,
    connection: u32,
    error: String,
}

impl FlagsConverter {
    /// Writes the findings, worst first. `file` is shown in the commands.
    pub fn finish(
        mut self,
        file: &str,
        gaps: &RecordingGaps,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        self.end_of_recording();
        let start = self.start.unwrap_or_default();
        let lasted = self.now.since(start);
        let (turns, opened) = (plural(self.turns, "turn"), plural(self.opened, "connection"));
        let head = format!("{turns} in {}, {opened} opened.\n", Span(lasted));
        let findings = self.into_findings(gaps);
        let found = match findings.len() {
            0 => "Nothing stands out.\n".to_string(),
            _ => "Times are since the beginning of the recording.\n\n".to_string(),
        };
        out.write_all(fit(&format!("{head}{found}"), COLUMNS).as_bytes())?;
        findings::write(&findings, &shell_quoted(file), start, out)
    }

    fn into_findings(mut self, gaps: &RecordingGaps) -> Vec<TraceFinding> {
        let mut all = gaps.findings();
        all.extend(self.slow_turns.into_findings());
        let failed = std::mem::take(&mut self.failed_dials);
        let mut failed_dials = Worst::default();
        failed.into_iter().for_each(|(target, failed)| failed_dials.push(failed.finding(&target)));
        let [client, target, resources] = self.abrupt;
        let mut abrupt = Worst::default();
        abrupt.extend(client.finding(FindingLevel::Note, "reset by the client"));
        abrupt.extend(target.finding(FindingLevel::Warning, "reset by the target"));
        abrupt.extend(
            resources.finding(
                FindingLevel::Problem,
                "closed because descriptors, ports or memory ran out",
            ),
        );
        for kind in [
            abrupt,
            self.stalls,
            self.starved,
            self.pauses_over,
            self.operator_pauses,
            self.slow_connects,
            failed_dials,
            self.budgets,
        ] {
            all.extend(kind.into_shown());
        }
        let counted = |level, Counted { count, first }: Counted, text: String, more: &str| {
            let (at, more) = (Some(first), Some(more.to_owned()));
            TraceFinding { level, at, weight: count, text, more }
        };
        for (why, dropped) in self.dropped {
            let text = format!("{} dropped: {why}.", plural(dropped.count, "datagram"));
            all.push(counted(FindingLevel::Warning, dropped, text, "log --level warn"));
        }
        if self.stale.count > 0 {
            let text = format!(
                "{} arrived for connections that were closed before. They were ignored, as they \
                 should be.",
                plural(self.stale.count, "event")
            );
            all.push(counted(FindingLevel::Note, self.stale, text, "log --level trace"));
        }
        all.sort_by_key(|finding| finding.level);
        all
    }

    /// Ends what is still going on: stalls, pauses, runs of used up budgets.
    fn end_of_recording(&mut self) {
        let now = self.now;
        for (id, mut conn) in std::mem::take(&mut self.conns) {
            conn.end(id, now, "recording", &mut self.stalls, &mut self.budgets);
            conn.check_starved(id, now, self.turns, &mut self.starved);
        }
        for (address, (since, cause)) in std::mem::take(&mut self.pauses) {
            self.paused(&address, since, cause, true);
        }
    }

    fn paused(&mut self, address: &str, since: Moment, cause: PauseCause, is_open: bool) {
        let finding = pause(address, since, self.now, cause, is_open);
        match cause {
            PauseCause::Operator => self.operator_pauses.push(finding),
            PauseCause::Limit | PauseCause::System(_) => self.pauses_over.push(finding),
        }
    }

    fn on_loop(&mut self, event: &Event<'_>) {
        if let Event::Turn { number, slept, events, .. } = *event {
            self.turns += 1;
            self.slow_turns.begin(number, self.now, slept, events);
        } else if let Event::SlowTurn { took, detail, .. } = event {
            self.slow_turns.turn.measured = Some((*took, **detail));
        } else if let Event::AcceptPaused { address, cause, .. } = *event {
            self.pauses.entry(address.to_string()).or_insert((self.now, cause));
        } else if let Event::AcceptResumed { address, .. } = *event
            && let Some((since, cause)) = self.pauses.remove(address)
        {
            self.paused(address, since, cause, false);
        } else if let Event::Dropped { why, .. } = *event {
            self.dropped.entry(why.to_string()).or_default().add(self.now);
        } else if matches!(event, Event::Stale) {
            self.stale.add(self.now);
        }
    }

    fn on_conn(&mut self, key: Key, event: &Event<'_>) {
        let (id, now) = (key.id, self.now);
        if let Event::Opened { service, .. } = *event {
            self.opened += 1;
            self.slow_turns.turn.opened += 1;
            self.add(id, service);
            return;
        }
        if let Event::Closed { ending, .. } = event {
            self.slow_turns.turn.closed += 1;
            self.ended(id, ending.reason);
            let Some(mut conn) = self.conns.remove(&id) else { return };
            return conn.end(id, now, "connection", &mut self.stalls, &mut self.budgets);
        }
        if is_driven(event) {
            let conn = self.conns.entry(key.id).or_default();
            conn.driven(key.id, self.now, self.turns, &mut self.starved);
        }
        self.slow_turns.turn.step(id, event);
        self.on_step(key, event);
    }

    fn add(&mut self, id: u32, service: ServiceKind) {
        let conn = self.conns.entry(id).or_default();
        conn.is_echo = service == ServiceKind::Echo;
        conn.is_connected |= !ending::has_target(service) && service != ServiceKind::Hub;
    }

    fn ended(&mut self, id: u32, reason: Reason) {
        let kind = match reason {
            Reason::Reset { by: Side::Client, .. } => 0,
            Reason::Reset { by: Side::Target, .. } => 1,
            Reason::Exhausted { .. } => 2,
            Reason::Reset { by: Side::Proxy, .. }
            | Reason::Finished
            | Reason::Served
            | Reason::Abandoned { .. }
            | Reason::Refused { .. }
            | Reason::Unreachable { .. }
            | Reason::ConnectTimeout
            | Reason::IdleTimeout
            | Reason::HalfCloseTimeout
            | Reason::Lifetime
            | Reason::Drained
            | Reason::Cut
            | Reason::Evicted
            | Reason::Lagged
            | Reason::TooLong
            | Reason::Admin
            | Reason::Reloaded => return,
        };
        let ends = &mut self.abrupt[kind];
        if ends.count == 0 {
            (ends.first, ends.connection) = (self.now, id);
        }
        ends.count += 1;
    }

    /// Handles an event in the life of an open connection.
    fn on_step(&mut self, key: Key, event: &Event<'_>) {
        let (id, end, now, turn) = (key.id, key.end(), self.now, self.turns);
        let conn = self.conns.entry(id).or_default();
        match *event {
            Event::Marked { ready } if ready.has(Ready::READ) => conn.marked(now, turn),
            Event::Wrote { left, .. } | Event::WriteBlocked { left } => conn.unsent[end] = left > 0,
            Event::EndOfFile | Event::ShutDown => conn.is_closing = true,
            Event::Yielded { .. } => conn.yielded(id, now, turn, &mut self.budgets),
            Event::Connected { after } => {
                conn.is_connected = true;
                if after >= SLOW_CONNECT {
                    self.slow_connects.push(slow_connect(id, now, after));
                }
            }
            Event::DialFailed { target, fault, left, .. } => self
                .failed_dials
                .entry(plain(target).to_string())
                .or_default()
                .add(id, now, fault, left),
            Event::Stalled { unsent, since, .. } => conn.stalled[end] = Some((since, unsent)),
            Event::Resumed { .. } => conn.resumed(id, end, now, None, &mut self.stalls),
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
            | Event::Dialing { .. }
            | Event::Message { .. }
            | Event::Missed { .. }
            | Event::CutOff { .. }
            | Event::Closed { .. }
            | Event::Marked { .. }
            | Event::Stale
            | Event::Read { .. }
            | Event::Payload { .. }
            | Event::ReadOn
            | Event::ReadBlocked
            | Event::ReadOff
            | Event::Interrupted
            | Event::Armed { .. }
            | Event::Fired { .. }
            | Event::Received { .. }
            | Event::Sent { .. }
            | Event::Passed { .. }
            | Event::Dropped { .. } => {}
        }
    }
}

impl Observer for FlagsConverter {
    fn on(&mut self, key: Key, event: &Event<'_>) {
        self.on_loop(event);
        if !key.is_source() {
            self.on_conn(key, event);
        }
    }

    fn begin_turn(&mut self, now: Moment) -> Wants {
        self.now = now;
        self.start.get_or_insert(now);
        Wants { steps: true, stalls: true }
    }
}

impl ReplayObserver for FlagsConverter {
    fn known_connection(&mut self, key: Key, known: &KnownConnection<'_>) {
        self.add(key.id, known.service);
    }

    /// What waits or goes on may have ended in what was lost.
    fn lost(&mut self, _: u64) {
        self.slow_turns.lose_turn();
        for conn in self.conns.values_mut() {
            (conn.ready, conn.budget) = (None, None);
        }
    }
}

impl Counted {
    fn add(&mut self, now: Moment) {
        if self.count == 0 {
            self.first = now;
        }
        self.count += 1;
    }
}
impl ConnFlags {
    fn marked(&mut self, now: Moment, turn: u64) {
        let waits = !self.is_connected || self.is_closing || self.unsent.contains(&true);
        if !waits {
            self.ready.get_or_insert((now, turn));
        }
    }

    fn driven(&mut self, id: u32, now: Moment, turn: u64, starved: &mut Worst) {
        self.is_connected = true;
        self.check_starved(id, now, turn, starved);
    }

    fn check_starved(&mut self, id: u32, now: Moment, turn: u64, starved: &mut Worst) {
        let Some((since, first)) = self.ready.take() else { return };
        let waited = now.since(since);
        if waited < STARVED {
            return;
        }
        let turns = plural(turn - first, "turn");
        starved.push(TraceFinding {
            level: FindingLevel::Problem,
            at: Some(since),
            weight: waited.as_micros() as u64,
            text: format!(
                "Connection {id} was ready and was not driven for {}, over {turns}.",
                Span(waited)
            ),
            more: Some(format!("explain {id}")),
        });
    }

    /// Records that the budget of this turn is used up: it is queued for the next one.
    fn yielded(&mut self, id: u32, now: Moment, turn: u64, budgets: &mut Worst) {
        self.ready = Some((now, turn));
        match &mut self.budget {
            Some(run) if run.last + 1 >= turn => (run.last, run.until) = (turn, now),
            _ => {
                self.end_budget(id, budgets);
                self.budget = Some(BudgetRun { since: now, until: now, first: turn, last: turn });
            }
        }
    }

    fn end_budget(&mut self, id: u32, budgets: &mut Worst) {
        let Some(BudgetRun { since, until, first, last }) = self.budget.take() else { return };
        let turns = last - first + 1;
        if turns < BUDGET_TURNS {
            return;
        }
        budgets.push(TraceFinding {
            level: FindingLevel::Note,
            at: Some(since),
            weight: turns,
            text: format!(
                "Connection {id} used up its budget in {} in a row, for {}: it always had more \
                 data, and the loop did not sleep.",
                plural(turns, "turn"),
                Span(until.since(since))
            ),
            more: Some(format!("explain {id}")),
        });
    }

    /// Ends a stall. `end_of`: it lasted to the end of that.
    fn resumed(
        &mut self,
        id: u32,
        end: usize,
        now: Moment,
        end_of: Option<&str>,
        stalls: &mut Worst,
    ) {
        let Some((since, unsent)) = self.stalled[end].take() else { return };
        let (stalled, peer) = (now.since(since), ["client", "target"][end]);
        let then = end_of.map_or(String::new(), |what| format!(", to the end of the {what}"));
        let source = if self.is_echo { "it" } else { "the other side" };
        stalls.push(TraceFinding {
            level: FindingLevel::Warning,
            at: Some(since),
            weight: stalled.as_micros() as u64,
            text: format!(
                "The {peer} of connection {id} accepted nothing for {}{then}: its window was \
                 closed, or it did not answer. {} were unsent, and {source} was not read.",
                Span(stalled),
                size(unsent as f64)
            ),
            more: Some(format!("explain {id}")),
        });
    }

    /// Ends what goes on, at the end of the connection or of the recording.
    fn end(&mut self, id: u32, now: Moment, end_of: &str, stalls: &mut Worst, budgets: &mut Worst) {
        self.end_budget(id, budgets);
        (0..2).for_each(|end| self.resumed(id, end, now, Some(end_of), stalls));
    }
}

impl AbruptEnds {
    fn finding(&self, level: FindingLevel, how: &str) -> Option<TraceFinding> {
        let AbruptEnds { count, first, connection } = *self;
        let verb = if count == 1 { "was" } else { "were" };
        (count > 0).then(|| TraceFinding {
            level,
            at: Some(first),
            weight: count,
            text: format!(
                "{} {verb} {how}: data may be lost. The first was connection {connection}.",
                plural(count, "connection")
            ),
            more: Some(format!("explain {connection}")),
        })
    }
}

impl FailedDials {
    fn add(&mut self, id: u32, now: Moment, fault: SysError, left: usize) {
        if self.count == 0 {
            (self.first, self.connection) = (now, id);
        }
        self.count += 1;
        self.lost += u64::from(left == 0);
        self.error = fault.to_string();
    }

    fn finding(&self, target: &str) -> TraceFinding {
        let FailedDials { count, lost, first, connection, error } = self;
        let (level, what) = match lost {
            0 => (FindingLevel::Warning, "another target was tried each time.".to_string()),
            lost => (
                FindingLevel::Problem,
                format!(
                    "{} had no target left after it, and the client was reset.",
                    plural(*lost, "connection")
                ),
            ),
        };
        let text = format!(
            "Connecting to {target} failed {}, the last time with \"{error}\": {what}",
            plural(*count, "time")
        );
        let more = Some(format!("explain {connection}"));
        TraceFinding { level, at: Some(*first), weight: *count, text, more }
    }
}

/// Whether this step of a connection shows that it was driven.
fn is_driven(event: &Event<'_>) -> bool {
    matches!(
        event,
        Event::Read { .. }
            | Event::Wrote { .. }
            | Event::ReadBlocked
            | Event::WriteBlocked { .. }
            | Event::ReadOff
            | Event::EndOfFile
            | Event::ShutDown
            | Event::Yielded { .. }
    )
}

fn slow_connect(id: u32, now: Moment, after: Duration) -> TraceFinding {
    let since = Moment(now.0.saturating_sub(after.as_micros() as u64));
    let text = format!("Connection {id} waited {} until its target was connected.", Span(after));
    TraceFinding {
        level: FindingLevel::Warning,
        at: Some(since),
        weight: after.as_micros() as u64,
        text,
        more: Some(format!("explain {id}")),
    }
}

fn pause(address: &str, since: Moment, now: Moment, cause: PauseCause, open: bool) -> TraceFinding {
    let level = match cause {
        PauseCause::Operator => FindingLevel::Note,
        PauseCause::Limit | PauseCause::System(_) if now.since(since) < SHORT_PAUSE => {
            FindingLevel::Warning
        }
        PauseCause::Limit | PauseCause::System(_) => FindingLevel::Problem,
    };
    let (lasted, still) = (now.since(since), if open { " and still is" } else { "" });
    let text = format!(
        "Accepting was paused on {} for {}{still}: {cause}. New clients waited in the accept \
         queue.",
        plain(address),
        Span(lasted)
    );
    let more = Some("log".to_string());
    TraceFinding { level, at: Some(since), weight: lasted.as_micros() as u64, text, more }
}
