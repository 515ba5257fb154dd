//! Writes each event as one line of JSON, with field names that do not change. docs/tracing.md has
//! the fields of each event.

use std::io::{self, Write};
use std::time::Duration;

use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::core::event::{DropReason, PauseCause};
use crate::core::{
    Close, CloseKind, Event, Key, Moment, Observer, Peer, ReadHint, Reason, ServiceKind, Side,
    SourceKind, SysError, TurnDetail, Wants,
};
use crate::observe::line::PeerName;
use crate::recording::{KnownConnection, ReplayObserver, SegmentHead};
use crate::text::json;

/// Writes the events as they come.
pub struct JsonlConverter<W: Write> {
    now: Moment,
    out: W,
    /// The first error. Nothing is written after it.
    error: io::Result<()>,
}

/// The fields of an object, in their order.
struct Fields(Vec<(&'static str, Value)>);

impl Serialize for Fields {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

impl<W: Write> JsonlConverter<W> {
    pub fn new(out: W) -> JsonlConverter<W> {
        JsonlConverter { now: Moment::default(), out, error: Ok(()) }
    }

    fn write(&mut self, object: Fields) {
        if self.error.is_ok() {
            let mut line = json::line(&object);
            line.push('\n');
            self.error = self.out.write_all(line.as_bytes());
        }
    }

    /// Returns the first error.
    pub fn finish(mut self) -> io::Result<()> {
        self.error?;
        self.out.flush()
    }
}

impl<W: Write> Observer for JsonlConverter<W> {
    fn on(&mut self, key: Key, event: &Event<'_>) {
        self.write(object(self.now, key, event));
    }

    fn begin_turn(&mut self, now: Moment) -> Wants {
        self.now = now;
        Wants { steps: true, stalls: true }
    }
}

impl<W: Write> ReplayObserver for JsonlConverter<W> {
    /// Writes an object that says of which process the following events are, and when its loop was
    /// created.
    fn process(&mut self, head: &SegmentHead) {
        let mut all = self::head(head.moment, Key::LOOP, "process");
        all.extend([
            ("pid", head.pid.into()),
            ("version", (*head.program).into()),
            ("started_unix_us", head.wall_micros_of(Moment(0)).into()),
        ]);
        self.write(Fields(all));
    }

    fn known_connection(&mut self, key: Key, known: &KnownConnection<'_>) {
        let KnownConnection { opened, route, service, listen, peer: client, target } = known;
        let fields = [
            ("opened_us", opened.0.into()),
            ("route", (*route).into()),
            ("service", service.name().into()),
            ("listen", (*listen).into()),
            ("peer", peer(client)),
            ("target", target.map_or(Value::Null, Value::from)),
        ];
        let mut all = head(self.now, key, "known-connection");
        all.extend(fields);
        self.write(Fields(all));
    }

    fn lost(&mut self, events: u64) {
        let mut all = head(self.now, Key::LOOP, "lost");
        all.push(("events", events.into()));
        self.write(Fields(all));
    }

    fn known_listener(&mut self, key: Key, service: ServiceKind, address: &str) {
        let mut all = head(self.now, key, "known-listener");
        all.extend([("address", address.into()), ("service", service.name().into())]);
        self.write(Fields(all));
    }
}
fn object(now: Moment, key: Key, event: &Event<'_>) -> Fields {
    let mut all = head(now, key, event.name());
    all.extend(fields(event));
    Fields(all)
}

/// Returns what every object has.
fn head(now: Moment, key: Key, name: &'static str) -> Vec<(&'static str, Value)> {
    let mut all: Vec<(&'static str, Value)> = vec![("us", now.0.into()), ("event", name.into())];
    match key.is_source() {
        false => {
            all.push(("connection", key.id.into()));
            all.push(("end", ["a", "b"][key.end()].into()));
        }
        true => {
            all.push(("source", source(key.source_kind()).into()));
            if key != Key::LOOP {
                all.push(("slot", key.source_slot().into()));
            }
        }
    }
    all
}

/// Returns the fields of an event: numbers of bytes, durations in microseconds, and names.
pub(super) fn fields(event: &Event<'_>) -> Vec<(&'static str, Value)> {
    match *event {
        Event::Turn { number, slept, limit, events, queued } => vec![
            ("turn", number.into()),
            ("slept_us", micros(slept)),
            ("limit_us", limit.map_or(Value::Null, micros)),
            ("events", events.into()),
            ("queued", queued.into()),
        ],
        Event::SlowTurn { number, took, detail } => slow_turn(number, took, detail),
        Event::PolledAgain { events } => vec![("events", events.into())],
        Event::Listening { address, service } => {
            vec![("address", address.into()), ("service", service.name().into())]
        }
        Event::AcceptPaused { address, cause, connections }
        | Event::AcceptResumed { address, cause, connections } => {
            let mut all = vec![("address", address.into()), ("cause", cause.name().into())];
            all.extend(pause_error(cause));
            all.push(("connections", connections.into()));
            all
        }
        Event::AcceptFailed { address, fault } => {
            vec![("address", address.into()), ("error", text(fault))]
        }
        Event::Signal { signal } => vec![("signal", signal.name().into())],
        Event::Draining { connections, deadline } => {
            vec![("connections", connections.into()), ("timeout_us", micros(deadline))]
        }
        Event::Resolved { name, addresses, error } => vec![
            ("name", name.into()),
            ("addresses", addresses.into()),
            ("error", error.map_or(Value::Null, Value::from)),
        ],
        Event::InProgress { connections, up, down } => vec![
            ("connections", connections.into()),
            ("up_bytes", up.into()),
            ("down_bytes", down.into()),
        ],
        Event::Dump { line } => vec![("line", line.into())],
        Event::AdminRequest { method, target, status, peer: client, changes } => vec![
            ("method", method.into()),
            ("target", target.into()),
            ("status", status.into()),
            ("peer", peer(client)),
            ("changes", changes.into()),
        ],
        Event::Reloading { file } => vec![("file", file.into())],
        Event::Reloaded { added, changed, removed, unchanged } => vec![
            ("added", added.into()),
            ("changed", changed.into()),
            ("removed", removed.into()),
            ("unchanged", unchanged.into()),
        ],
        Event::ReloadFailed { error } => vec![("error", error.into())],
        Event::Opened { route, service, listen, peer: client } => vec![
            ("route", route.into()),
            ("service", service.name().into()),
            ("listen", listen.into()),
            ("peer", peer(client)),
        ],
        Event::Dialing { target, attempt } => {
            vec![("target", target.into()), ("attempt", attempt.into())]
        }
        Event::DialFailed { target, fault, left, client } => {
            let mut all =
                vec![("target", target.into()), ("error", text(fault)), ("left", left.into())];
            if let Some(client) = client {
                all.push(("listen", client.listen.into()));
                all.push(("peer", peer(client.peer)));
            }
            all
        }
        Event::Connected { after } => vec![("after_us", micros(after))],
        Event::EndOfFile
        | Event::ShutDown
        | Event::Stale
        | Event::ReadBlocked
        | Event::ReadOff
        | Event::ReadOn
        | Event::Interrupted => vec![],
        Event::Message { message } => vec![
            ("message", String::from_utf8_lossy(message).into()),
            ("bytes", message.len().into()),
        ],
        Event::Missed { messages } => vec![("messages", messages.into())],
        Event::CutOff { bytes } => vec![("bytes", bytes.into())],
        Event::Stalled { unsent, since, now: _ } => {
            vec![("unsent", unsent.into()), ("since_us", since.0.into())]
        }
        Event::Resumed { stalled } => vec![("stalled_us", micros(stalled))],
        Event::Closed { ending, up, down, lasted } => {
            let mut all = closing(ending);
            all.extend([
                ("up_bytes", up.into()),
                ("down_bytes", down.into()),
                ("lasted_us", micros(lasted)),
            ]);
            all
        }
        Event::Marked { ready } => {
            vec![("ready", ready.to_string().split('+').collect::<Vec<&str>>().into())]
        }
        Event::Payload { bytes, sent } => vec![
            ("sent", sent.into()),
            ("bytes", bytes.len().into()),
            ("hex", bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into()),
        ],
        Event::Read { bytes, room, hint } => {
            vec![("bytes", bytes.into()), ("room", room.into()), ("hint", hint_name(hint).into())]
        }
        Event::Wrote { bytes, left } => vec![("bytes", bytes.into()), ("unsent", left.into())],
        Event::WriteBlocked { left } => vec![("unsent", left.into())],
        Event::Yielded { steps } => vec![("steps", steps.into())],
        Event::Armed { deadline, due, now: _ } => {
            let due = Moment::at_tick(due);
            vec![("deadline", deadline.name().into()), ("due_us", due.0.into())]
        }
        Event::Fired { deadline, again } => {
            vec![("deadline", deadline.name().into()), ("again", again.into())]
        }
        Event::Received { bytes, from } => vec![("bytes", bytes.into()), ("peer", peer(from))],
        Event::Sent { bytes, to } => vec![("bytes", bytes.into()), ("peer", peer(to))],
        Event::Passed { received, received_bytes, sent, sent_bytes } => vec![
            ("received", received.into()),
            ("received_bytes", received_bytes.into()),
            ("sent", sent.into()),
            ("sent_bytes", sent_bytes.into()),
        ],
        Event::Dropped { bytes, from, why } => {
            let mut all = vec![
                ("bytes", bytes.map_or(Value::Null, Value::from)),
                ("peer", from.map_or(Value::Null, peer)),
                ("reason", why.name().into()),
            ];
            if let DropReason::Refused(fault) | DropReason::Failed(fault) = why {
                all.push(("error", text(fault)));
            }
            all
        }
    }
}

fn slow_turn(number: u64, took: Duration, detail: &TurnDetail) -> Vec<(&'static str, Value)> {
    let names =
        ["mark_us", "accept_us", "dial_us", "run_us", "expire_us", "datagrams_us", "admin_us"];
    let mut all = vec![("turn", number.into()), ("took_us", micros(took))];
    all.extend(names.into_iter().zip(detail.phases.map(micros)));
    let (id, took) = detail.connection.unzip();
    all.push(("slowest_connection", id.map_or(Value::Null, Value::from)));
    all.push(("slowest_connection_us", took.map_or(Value::Null, micros)));
    all.push(("not_scheduled_us", detail.not_scheduled.map_or(Value::Null, micros)));
    all
}

fn closing(ending: Close) -> Vec<(&'static str, Value)> {
    let side = |side: Side| Value::from(side.to_string());
    let Close { reason, first, by } = ending;
    let by = match by {
        CloseKind::Fin => "fin",
        CloseKind::Rst => "rst",
    };
    let mut all = vec![("reason", reason.name().into()), ("first", side(first)), ("by", by.into())];
    match reason {
        Reason::Reset { by, fault } => all.extend([("failed", side(by)), ("error", text(fault))]),
        Reason::Abandoned { fault }
        | Reason::Refused { fault }
        | Reason::Unreachable { fault }
        | Reason::Exhausted { fault } => all.push(("error", text(fault))),
        Reason::Finished
        | Reason::Served
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
        | Reason::Reloaded => {}
    }
    all
}

fn pause_error(cause: PauseCause) -> Option<(&'static str, Value)> {
    match cause {
        PauseCause::System(fault) => Some(("error", text(fault))),
        PauseCause::Limit | PauseCause::Operator => None,
    }
}

fn hint_name(hint: ReadHint) -> &'static str {
    match hint {
        ReadHint::Full => "full",
        ReadHint::Short => "short",
        ReadHint::EndWaits => "end-waits",
        ReadHint::Urgent => "urgent",
        ReadHint::NoPromise => "no-promise",
        ReadHint::Spliced => "spliced",
    }
}

fn source(kind: SourceKind) -> &'static str {
    match kind {
        SourceKind::Signals => "signals",
        SourceKind::Waker => "waker",
        SourceKind::Timer => "timer",
        SourceKind::Stdio => "stdio",
        SourceKind::Child => "child",
        SourceKind::Listener => "listener",
        SourceKind::Datagram => "datagram",
        SourceKind::AdminListener => "admin-listener",
        SourceKind::Loop => "loop",
    }
}

fn micros(duration: Duration) -> Value {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX).into()
}

fn text(fault: SysError) -> Value {
    fault.to_string().into()
}

fn peer(peer: &Peer) -> Value {
    PeerName(peer).to_string().into()
}
