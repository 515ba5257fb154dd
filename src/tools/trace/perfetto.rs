//! Writes a Perfetto trace (https://perfetto.dev): the turns of the loop, the life of each
//! connection, and an instant for each step, joined by arrows from readiness to read to write.
//!
//! All steps of a turn have one time in a recording. The turn's end is known from the next one, so
//! the steps are spread evenly over the turn: their order is real, their distance is not.

use std::collections::{HashMap, HashSet};
use std::io::{self, Write};
use std::time::Duration;

use serde_json::Value;

use crate::core::{Event, Key, Moment, Observer, Phase, Ready, ServiceKind, TurnDetail, Wants};
use crate::observe::ending::FarEnd;
use crate::observe::explain::explain;
use crate::observe::line::PeerName;
use crate::recording::{KnownConnection, ReplayObserver, SegmentHead};
use crate::text::escape::plain;

use super::jsonl::fields;
use super::perfetto_packets::{
    CounterUnit, PacketWriter, Track, TrackEventType, TrackKind, add_flow,
};
use super::perfetto_tracks::{ConnectionPlace, ConnectionSteps, ConnectionTracks};
use super::protobuf::ProtoMessage;

// The numbers of the tracks of a process, and the bits before them.
const PROCESS: u64 = 1;
const LOOP: u64 = 2;
const LISTENERS: u64 = 3;
const CONNECTIONS: u64 = 4;
const REST: u64 = 5;
const COUNTERS: u64 = 16;
const SHARED: u64 = 1 << 16;
const OWN: u64 = 1 << 32;
const RUN_SHIFT: u32 = 40;

/// The counters, in the order of `PerfettoConverter::values`.
const COUNTER_TRACKS: [(&str, CounterUnit); 4] = [
    ("open connections", CounterUnit::Count),
    ("events per turn", CounterUnit::Count),
    ("bytes read per turn", CounterUnit::Bytes),
    ("bytes written per turn", CounterUnit::Bytes),
];

/// The rank of the shared tracks, behind those of single connections, and of the rest.
const SHARED_RANK: u64 = 1 << 16;
const REST_RANK: u64 = 1 << 17;

/// Latest time that is written: 146 years. A damaged recording may have any, and Perfetto's times
/// are signed.
const MAX_NANOS: u64 = 1 << 62;

const LOOP_NOTE: &str = "A turn lasts from the end of one poll to the beginning of the next. The \
     phases of a turn of a millisecond or more were measured. Steps are spread evenly over their \
     turn: their order is real, their distance is not, since a recording has one time for all of \
     them.";
const REST_NOTE: &str =
    "The events of connections that were opened when all other tracks were taken.";

/// Writes the packets as the events come, one turn later.
pub struct PerfettoConverter<W: Write> {
    packets: PacketWriter<W>,
    tracks: ConnectionTracks,
    run: ProcessRun,
    /// A turn that has begun, before its first event.
    upcoming: Option<Moment>,
    turn: PendingTurn,
    is_started: bool,
    /// The last time that was written, in nanoseconds.
    last: u64,
    flows: u64,
    /// Names of connections that were opened before.
    known: HashMap<u32, ConnectionTitle>,
    /// Tracks that were described.
    described: HashSet<u64>,
    /// The present values of the counters, and those that were written last.
    values: [u64; COUNTER_TRACKS.len()],
    written: [Option<u64>; COUNTER_TRACKS.len()],
}

/// One of the processes that a recording has events of.
struct ProcessRun {
    number: u64,
    pid: u32,
    /// The time of day, in microseconds since 1970, of time zero of the trace.
    wall: u64,
    /// Microseconds from there to the creation of this loop.
    offset: u64,
}

/// How a connection is called.
struct ConnectionTitle {
    service: Option<ServiceKind>,
    /// The name of its track, and that of the slice of its life.
    track: String,
    life: String,
}

/// The events of the present turn: their times follow from its length.
#[derive(Default)]
struct PendingTurn {
    begin: u64,
    has_slice: bool,
    number: Option<u64>,
    /// What its time was spent on, if that was measured.
    detail: Option<TurnDetail>,
    events: Vec<PendingEvent>,
    chains: HashMap<u32, FlowChain>,
}

struct PendingEvent {
    message: ProtoMessage,
    /// The arrows that end or begin here.
    flows: Vec<u64>,
}

/// The last steps of a connection in this turn.
#[derive(Clone, Copy, Default)]
struct FlowChain {
    /// The last step of the bytes that are read at each end.
    read: [Option<FlowStep>; 2],
    /// The last report that each end is writable.
    writable: [Option<FlowStep>; 2],
}

/// A position in the events of the turn, and the flow that goes on from there.
#[derive(Clone, Copy)]
struct FlowStep {
    at: usize,
    flow: Option<u64>,
}

impl<W: Write> PerfettoConverter<W> {
    /// `head`: that of the first segment. `steps`: what a first pass has counted.
    pub fn new(out: W, head: &SegmentHead, steps: ConnectionSteps) -> PerfettoConverter<W> {
        let wall = head.wall_micros_of(Moment(0));
        let mut converter = PerfettoConverter {
            packets: PacketWriter::new(out),
            tracks: ConnectionTracks::new(steps),
            run: ProcessRun { number: 0, pid: head.pid, wall, offset: 0 },
            upcoming: None,
            turn: PendingTurn::default(),
            is_started: false,
            last: 0,
            flows: 0,
            known: HashMap::new(),
            described: HashSet::new(),
            values: Default::default(),
            written: Default::default(),
        };
        converter.packets.clocks(0, wall.saturating_mul(1000));
        converter.describe_process();
        converter
    }

    /// Writes the last turn. Returns the first error. Slices of connections that are still open
    /// stay open.
    pub fn finish(mut self) -> io::Result<()> {
        // When it ended is not recorded.
        self.end_turn(None);
        self.packets.finish()
    }

    fn id(&self, number: u64) -> u64 {
        self.run.number << RUN_SHIFT | number
    }

    fn describe_process(&mut self) {
        let pid = self.run.pid;
        let (process, connections) = (self.id(PROCESS), self.id(CONNECTIONS));
        let plain = TrackKind::Plain;
        let mut tracks = vec![
            (process, TrackKind::Process { pid }, "oneloop", "", None, 0),
            (self.id(LOOP), TrackKind::Thread { pid }, "loop", LOOP_NOTE, Some(process), 0),
            (self.id(LISTENERS), plain, "listeners and datagram sockets", "", Some(process), 9),
            (connections, plain, "connections", "", Some(process), 10),
        ];
        for (at, (name, unit)) in (0..).zip(COUNTER_TRACKS) {
            let kind = TrackKind::Counter(unit);
            tracks.push((self.id(COUNTERS + at), kind, name, "", Some(process), 1 + at));
        }
        for (id, kind, name, description, parent, rank) in tracks {
            self.packets.track(&Track { id, kind, name, description, parent, rank });
        }
    }

    fn nanos(&self, moment: Moment) -> u64 {
        self.run.offset.saturating_add(moment.0).saturating_mul(1000).min(MAX_NANOS)
    }

    /// Ends a turn, and begins the next one with its first event.
    fn next_turn(&mut self, now: Moment, event: &Event<'_>) {
        let (slept, number) = match *event {
            Event::Turn { slept, number, .. } => (Some(slept.as_micros() as u64), Some(number)),
            _ => (None, None),
        };
        // Turns in between may not be recorded.
        let is_next = self.turn.number.and_then(|last| last.checked_add(1)) == number;
        let before = self.nanos(Moment(now.0.saturating_sub(slept.unwrap_or(0))));
        self.end_turn((is_next || number.is_none()).then_some(before));
        let begin = self.nanos(now).max(self.last + 1);
        let track = self.id(LOOP);
        // The first turn slept before the recording began.
        let asleep = self.last.max(if is_next { 0 } else { before });
        if slept.is_some_and(|slept| slept > 0) && self.is_started && asleep + 1 < begin {
            let sleep = self.packets.event(track, TrackEventType::Begin, Some("sleep"));
            self.packets.write(asleep, &sleep);
            let end = self.packets.event(track, TrackEventType::End, None);
            self.packets.write(begin, &end);
        }
        if slept.is_some() {
            let mut turn = self.packets.event(track, TrackEventType::Begin, Some("turn"));
            self.annotate(&mut turn, Key::LOOP, event, None);
            self.packets.write(begin, &turn);
        }
        let has_slice = slept.is_some();
        self.turn = PendingTurn { begin, has_slice, number, ..PendingTurn::default() };
        (self.last, self.is_started) = (begin, true);
    }

    /// Writes the present turn, which ended at this time.
    fn end_turn(&mut self, until: Option<u64>) {
        let turn = std::mem::take(&mut self.turn);
        if !turn.has_slice && turn.events.is_empty() {
            return;
        }
        let parts = turn.events.len() as u64 + 1;
        let begin = turn.begin;
        let measured: Duration = turn.detail.iter().flat_map(|detail| detail.phases).sum();
        let measured = u64::try_from(measured.as_nanos()).unwrap_or(MAX_NANOS);
        // A damaged recording may have any times.
        let measured = Some(begin.saturating_add(measured)).filter(|end| *end <= MAX_NANOS);
        let end = until.or(measured).unwrap_or(0).max(begin + parts);
        let step = (end - begin) / parts;
        self.values[0] = self.tracks.len() as u64;
        self.write_counters(begin);
        let mut messages =
            turn.detail.map_or(Vec::new(), |detail| self.phases(&detail, begin, end));
        for (at, PendingEvent { mut message, flows }) in (1..).zip(turn.events) {
            flows.iter().for_each(|flow| add_flow(&mut message, *flow));
            messages.push((begin + at * step, message));
        }
        messages.sort_by_key(|(at, _)| *at);
        messages.iter().for_each(|(at, message)| self.packets.write(*at, message));
        if turn.has_slice {
            let end_of_slice = self.packets.event(self.id(LOOP), TrackEventType::End, None);
            self.packets.write(end, &end_of_slice);
        }
        // What counts the turn is over with it.
        self.values[1..].fill(0);
        self.write_counters(end);
        self.last = end;
    }

    /// Returns the slices of the phases that were measured in a turn, with their times.
    fn phases(&mut self, detail: &TurnDetail, begin: u64, end: u64) -> Vec<(u64, ProtoMessage)> {
        let (track, mut at, mut messages) = (self.id(LOOP), begin, Vec::new());
        for (phase, took) in Phase::ALL.into_iter().zip(detail.phases) {
            let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
            let until = at.saturating_add(nanos).min(end);
            if at < until {
                let mut slice =
                    self.packets.event(track, TrackEventType::Begin, Some(phase.name()));
                if let Some((id, _)) = detail.connection.filter(|_| phase == Phase::Run) {
                    self.packets.annotate(&mut slice, &[("slowest_connection", id.into())]);
                }
                messages.push((at, slice));
                messages.push((until, self.packets.event(track, TrackEventType::End, None)));
            }
            at = until;
        }
        messages
    }

    fn write_counters(&mut self, at: u64) {
        for number in 0..self.values.len() {
            let value = self.values[number];
            if self.written[number].replace(value) != Some(value) {
                self.packets.counter(self.id(COUNTERS + number as u64), at, value);
            }
        }
    }

    /// Adds the fields of an event, and why it happened.
    fn annotate(&mut self, to: &mut ProtoMessage, key: Key, event: &Event<'_>, conn: Option<u32>) {
        let mut all = fields(event);
        all.extend(conn.map(|id| ("connection", Value::from(id))));
        let why = explain(key, event, FarEnd::Unknown).to_string();
        all.extend(why.strip_prefix(" -- ").map(|why| ("why", Value::from(why))));
        self.packets.annotate(to, &all);
    }

    fn push(&mut self, message: ProtoMessage) -> usize {
        self.turn.events.push(PendingEvent { message, flows: Vec::new() });
        self.turn.events.len() - 1
    }

    fn instant(&mut self, track: u64, name: &str, key: Key, event: &Event<'_>) -> usize {
        let mut instant = self.packets.event(track, TrackEventType::Instant, Some(name));
        let is_own = track & OWN != 0;
        let conn = (!key.is_source() && !is_own).then_some(key.id);
        self.annotate(&mut instant, key, event, conn);
        self.push(instant)
    }

    fn on_source(&mut self, key: Key, event: &Event<'_>) {
        if let Event::Turn { events, .. } | Event::PolledAgain { events } = *event {
            self.values[1] += events as u64;
        }
        if matches!(event, Event::Turn { .. }) {
            return;
        }
        if let Event::SlowTurn { detail, .. } = event {
            self.turn.detail = Some(**detail);
        }
        let track = if key == Key::LOOP { LOOP } else { LISTENERS };
        self.instant(self.id(track), event.name(), key, event);
    }

    fn on_conn(&mut self, key: Key, event: &Event<'_>) {
        let id = key.id;
        let is_known = self.tracks.get_mut(id).is_some();
        if let Event::Opened { service, listen, peer, .. } = *event {
            if !is_known {
                let title = ConnectionTitle::new(id, service, listen, &PeerName(peer));
                self.open(key, title, Some(event));
            }
            return;
        }
        if !is_known {
            if matches!(event, Event::Stale) {
                self.instant(self.id(LISTENERS), "stale", key, event);
                return;
            }
            let title = self.known.remove(&id).unwrap_or_else(|| ConnectionTitle::unknown(id));
            self.open(key, title, None);
        }
        if let Event::Closed { .. } = event {
            return self.close(key, event);
        }
        let Some(conn) = self.tracks.get_mut(id) else { return };
        let (place, is_echo) = (conn.place, conn.service == Some(ServiceKind::Echo));
        conn.learn(key, event);
        let name = format!("{} {}", ["a", "b"][key.end()], event.name());
        let at = self.instant(self.track(id, place), &name, key, event);
        self.link(key, event, at, is_echo);
        self.update_levels(id);
    }

    fn track(&self, id: u32, place: ConnectionPlace) -> u64 {
        self.id(match place {
            ConnectionPlace::Own(_) => OWN | u64::from(id),
            ConnectionPlace::Shared(number) => SHARED + number as u64,
            ConnectionPlace::Rest => REST,
        })
    }

    /// Begins the slice of a life. `event`: None if it was opened before the recording began.
    fn open(&mut self, key: Key, title: ConnectionTitle, event: Option<&Event<'_>>) {
        let place = self.tracks.open(key.id, title.service);
        let id = self.track(key.id, place);
        if self.described.insert(id) {
            let (kind, parent) = (TrackKind::Plain, Some(self.id(CONNECTIONS)));
            let (name, description, rank) = match place {
                ConnectionPlace::Own(rank) => (title.track, "", rank),
                ConnectionPlace::Shared(number) => {
                    (format!("one at a time, {}", number + 1), "", SHARED_RANK + number as u64)
                }
                ConnectionPlace::Rest => ("all others".to_owned(), REST_NOTE, REST_RANK),
            };
            self.packets.track(&Track { id, kind, name: &name, description, parent, rank });
        }
        if place == ConnectionPlace::Rest {
            if let Some(event) = event {
                self.instant(id, "a opened", key, event);
            }
            return;
        }
        let mut life = self.packets.begin_named(id, &title.life);
        match event {
            Some(event) => self.annotate(&mut life, key, event, Some(key.id)),
            None => {
                let note = "before the recording began".into();
                self.packets.annotate(&mut life, &[("opened", note)]);
            }
        }
        self.push(life);
        if let Some((conn, event)) = self.tracks.get_mut(key.id).zip(event) {
            conn.learn(key, event);
        }
        self.update_levels(key.id);
    }

    fn close(&mut self, key: Key, event: &Event<'_>) {
        let Some(conn) = self.tracks.close(key.id) else { return };
        let track = self.track(key.id, conn.place);
        if conn.place == ConnectionPlace::Rest {
            self.instant(track, "a closed", key, event);
            return;
        }
        for _ in conn.levels.iter().flatten() {
            let end = self.packets.event(track, TrackEventType::End, None);
            self.push(end);
        }
        let mut end = self.packets.event(track, TrackEventType::End, None);
        self.annotate(&mut end, key, event, None);
        self.push(end);
    }

    /// Ends the slices of a connection that no longer apply, and begins those that do.
    fn update_levels(&mut self, id: u32) {
        let Some(conn) = self.tracks.get_mut(id) else { return };
        let (place, wanted) = (conn.place, conn.wanted());
        let open = std::mem::replace(&mut conn.levels, wanted);
        if place == ConnectionPlace::Rest || open == wanted {
            return;
        }
        let track = self.track(id, place);
        // An inner slice ends with the outer one, and begins again in the next.
        let same = open.iter().zip(&wanted).take_while(|(open, wanted)| open == wanted).count();
        for _ in open[same..].iter().flatten() {
            let end = self.packets.event(track, TrackEventType::End, None);
            self.push(end);
        }
        for name in wanted[same..].iter().flatten() {
            let begin = self.packets.event(track, TrackEventType::Begin, Some(name));
            self.push(begin);
        }
    }

    /// Joins this step with the one of this turn that it follows from.
    fn link(&mut self, key: Key, event: &Event<'_>, at: usize, is_echo: bool) {
        let end = key.end();
        let mut chain = self.turn.chains.get(&key.id).copied().unwrap_or_default();
        let step = FlowStep { at, flow: None };
        if let Event::Marked { ready } = *event {
            if ready.has(Ready::READ) {
                chain.read[end] = Some(step);
            }
            if ready.has(Ready::WRITE) {
                chain.writable[end] = Some(step);
            }
        } else if let Event::Read { bytes, .. } | Event::Received { bytes, .. } = *event {
            self.values[2] += bytes as u64;
            chain.read[end] = Some(self.join(chain.read[end], step));
        } else if let Event::Wrote { bytes, .. } | Event::Sent { bytes, .. } = *event {
            self.values[3] += bytes as u64;
            let from = if is_echo { end } else { 1 - end };
            let before = chain.read[from].or(chain.writable[end]);
            chain.read[from] = Some(self.join(before, step));
        } else {
            return;
        }
        self.turn.chains.insert(key.id, chain);
    }

    /// Draws an arrow between two steps. A flow cannot fork, so a step from which two arrows begin
    /// has two flows.
    fn join(&mut self, before: Option<FlowStep>, step: FlowStep) -> FlowStep {
        let Some(before) = before else { return step };
        let flow = before.flow.unwrap_or_else(|| {
            self.flows += 1;
            self.turn.events[before.at].flows.push(self.flows);
            self.flows
        });
        self.turn.events[step.at].flows.push(flow);
        FlowStep { flow: Some(flow), ..step }
    }

    /// Begins the events of another process.
    fn next_run(&mut self, head: &SegmentHead) {
        // When its last turn ended is not recorded, nor what became of its connections.
        self.upcoming = None;
        self.end_turn(None);
        for (id, conn) in self.tracks.next_run() {
            let track = self.track(id, conn.place);
            let life = usize::from(conn.place != ConnectionPlace::Rest);
            for _ in 0..life * (1 + conn.levels.iter().flatten().count()) {
                let end = self.packets.event(track, TrackEventType::End, None);
                self.packets.write(self.last, &end);
            }
        }
        self.known.clear();
        self.values.fill(0);
        self.write_counters(self.last);
        self.written.fill(None);
        let offset = head.wall_micros_of(Moment(0)).saturating_sub(self.run.wall);
        let (number, wall) = (self.run.number + 1, self.run.wall);
        self.run = ProcessRun { number, pid: head.pid, wall, offset };
        self.is_started = false;
        self.describe_process();
    }
}

impl<W: Write> Observer for PerfettoConverter<W> {
    fn on(&mut self, key: Key, event: &Event<'_>) {
        if let Some(now) = self.upcoming.take() {
            self.next_turn(now, event);
        }
        // It goes with the read or the write that follows.
        if let Event::Payload { .. } = event {
            return;
        }
        match key.is_source() {
            true => self.on_source(key, event),
            false => self.on_conn(key, event),
        }
    }

    fn begin_turn(&mut self, now: Moment) -> Wants {
        self.upcoming = Some(now);
        Wants { steps: true, stalls: true }
    }
}

impl<W: Write> ReplayObserver for PerfettoConverter<W> {
    fn process(&mut self, head: &SegmentHead) {
        self.next_run(head);
    }

    fn known_connection(&mut self, key: Key, known: &KnownConnection<'_>) {
        if self.tracks.get_mut(key.id).is_none() {
            let KnownConnection { service, listen, peer, .. } = known;
            let title = ConnectionTitle::new(key.id, *service, listen, &PeerName(peer));
            self.known.insert(key.id, title);
        }
    }

    fn lost(&mut self, events: u64) {
        let track = self.id(LOOP);
        let mut instant = self.packets.event(track, TrackEventType::Instant, Some("events lost"));
        self.packets.annotate(&mut instant, &[("events", events.into())]);
        self.push(instant);
    }
}

impl ConnectionTitle {
    fn new(id: u32, service: ServiceKind, listen: &str, peer: &PeerName<'_>) -> ConnectionTitle {
        let life = format!("#{id} {peer}");
        let track = format!("{life} -> {}, {service}", plain(listen));
        ConnectionTitle { service: Some(service), track, life }
    }

    fn unknown(id: u32) -> ConnectionTitle {
        let name = format!("#{id}");
        ConnectionTitle { service: None, track: name.clone(), life: name }
    }
}
