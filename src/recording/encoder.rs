//! Encodes events into segments. It does not decide where the segments go.

use std::collections::HashMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::core::{Event, Key, Moment, Peer, ServiceKind, SysError};

use super::names;
use super::reader::KnownConnection;
use super::schema;
use super::writer::{SegmentHead, SegmentWriter, subject_of};

/// Encodes events. Its owner asks after each event whether the segment is complete, and begins the
/// next one.
pub struct Encoder {
    writer: SegmentWriter,
    open: HashMap<u64, OpenConnection>,
    listeners: Vec<KnownListener>,
    segment: u64,
    /// The number of the next event.
    next: u64,
    /// The number of the first event of the segment.
    first: u64,
    /// When the recording began. None: a turn has begun since.
    begun: Option<Moment>,
}

/// What a segment repeats of a connection that was opened in an earlier one.
struct OpenConnection {
    opened: Moment,
    route: u16,
    service: ServiceKind,
    listen: Box<str>,
    peer: Peer,
    /// The target that was dialed last.
    target: Option<Box<str>>,
}

/// What a segment repeats of a listener.
struct KnownListener {
    key: Key,
    service: ServiceKind,
    address: Box<str>,
}

/// A complete segment.
#[derive(Debug)]
pub struct Segment {
    pub bytes: Vec<u8>,
    /// Its events.
    pub events: u64,
}

impl Encoder {
    /// Begins a recording.
    pub fn new(now: Moment) -> Encoder {
        let writer = SegmentWriter::new(Vec::new(), &head(0, 0, now), false);
        let (open, listeners) = (HashMap::new(), Vec::new());
        Encoder { writer, open, listeners, segment: 0, next: 0, first: 0, begun: Some(now) }
    }

    /// Adds a connection that was opened before the recording, unless it is known.
    pub fn add_connection(&mut self, key: Key, known: &KnownConnection<'_>) {
        self.open.entry(subject_of(key)).or_insert_with(|| OpenConnection {
            opened: known.opened,
            route: known.route,
            service: known.service,
            listen: known.listen.into(),
            peer: known.peer.clone(),
            target: known.target.map(Into::into),
        });
    }

    /// Makes room for connections that were opened before the recording, so that the table is not
    /// moved while they are added one by one.
    pub fn reserve(&mut self, connections: usize) {
        self.open.reserve(connections);
    }

    /// Adds a listener that was bound before the recording.
    pub fn add_listener(&mut self, key: Key, service: ServiceKind, address: &str) {
        let place = |key: Key| (key.source_kind(), key.source_slot());
        self.listeners.retain(|known| place(known.key) != place(key));
        let address = address.into();
        self.listeners.push(KnownListener { key: key.at(0), service, address });
    }

    /// Begins the recording again, at this moment and without an event. What is known of
    /// connections and listeners is kept.
    pub fn restart(&mut self, now: Moment) {
        self.writer = SegmentWriter::new(Vec::new(), &head(0, 0, now), false);
        (self.segment, self.next, self.first) = (0, 0, 0);
        self.begun = Some(now);
    }

    /// Starts a turn.
    pub fn begin_turn(&mut self, now: Moment) {
        // Before the first turn the clock of the loop may stand while names are resolved.
        if let Some(begun) = self.begun.take() {
            self.writer.set_wall(wall_micros().saturating_sub(now.0.saturating_sub(begun.0)));
        }
        self.writer.begin_turn(now);
    }

    /// Encodes an event.
    pub fn on(&mut self, key: Key, event: &Event<'_>) {
        if self.writer.place(key) && !matches!(event, Event::Opened { .. }) {
            self.repeat(key);
        }
        encode(&mut self.writer, event);
        self.next += 1;
        self.track(key, event, self.writer.now());
    }

    /// Forgets a connection of which no more events follow, although it is open.
    pub fn forget(&mut self, key: Key) {
        self.open.remove(&subject_of(key));
    }

    /// Whether the segment is complete.
    #[inline]
    pub fn is_full(&self) -> bool {
        self.writer.is_full()
    }

    /// Whether the segment has no events.
    pub fn is_empty(&self) -> bool {
        self.next == self.first
    }

    /// Returns the bytes of the present segment.
    pub fn bytes(&self) -> &[u8] {
        self.writer.bytes()
    }

    /// Ends the segment, and begins the next one in `buffer`, an old one whose bytes are of no more
    /// use, or an empty one.
    pub fn next_segment(&mut self, buffer: Vec<u8>) -> Segment {
        let now = self.writer.now();
        self.segment += 1;
        let head = head(self.segment, self.next, now);
        let next = SegmentWriter::new(buffer, &head, self.writer.turn_pending());
        let complete = std::mem::replace(&mut self.writer, next);
        let events = self.next - self.first;
        self.first = self.next;
        Segment { bytes: complete.into_bytes(), events }
    }

    /// Writes what the segment needs to say of a subject that is older than it.
    fn repeat(&mut self, key: Key) {
        let writer = &mut self.writer;
        if let Some(open) = self.open.get(&subject_of(key)) {
            writer.unsigned(open.opened.0).unsigned(u64::from(open.route));
            writer.text(open.service.name()).text(&open.listen).peer(Some(&open.peer));
            writer.optional_text(open.target.as_deref()).table(schema::CONNECTION);
        } else if let Some(known) = self.listeners.iter().find(|known| known.key == key.at(0)) {
            writer.text(known.service.name()).text(&known.address).table(schema::LISTENER);
        }
    }

    /// Keeps what later segments need: who is connected to whom. An event that is not recorded is
    /// only tracked.
    #[inline]
    pub fn track(&mut self, key: Key, event: &Event<'_>, opened: Moment) {
        if let Event::Opened { route, service, listen, peer } = *event {
            let peer = peer.clone();
            let listen = listen.into();
            let open = OpenConnection { opened, route, service, listen, peer, target: None };
            self.open.insert(subject_of(key), open);
        } else if let Event::Dialing { target, .. } = *event {
            if let Some(open) = self.open.get_mut(&subject_of(key)) {
                open.target = Some(target.into());
            }
        } else if let Event::Closed { .. } = *event {
            self.open.remove(&subject_of(key));
        } else if let Event::Listening { address, service } = *event
            && key.is_source()
        {
            self.add_listener(key, service, address);
        }
    }
}

fn head(segment: u64, first: u64, moment: Moment) -> SegmentHead {
    SegmentHead {
        segment,
        first,
        moment,
        wall_micros: wall_micros(),
        pid: std::process::id(),
        program: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

fn wall_micros() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_micros() as u64
}

/// Packs two numbers into the value of a head, if they fit.
#[inline]
fn halves(low: u64, high: u64) -> Option<u64> {
    let fit = low <= u64::from(u32::MAX) && high <= u64::from(u32::MAX);
    fit.then_some(high << 32 | low)
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

fn choice(number: u8) -> u8 {
    number << schema::CHOICE_SHIFT
}

fn flag(set: bool) -> u8 {
    u8::from(set) * schema::FLAG
}

fn fault(w: &mut SegmentWriter, fault: Option<SysError>) {
    let name = fault.map(names::fault_name);
    // The bits of the signed code.
    let code = fault.and_then(|fault| fault.code).map(|code| u64::from(code as u32));
    w.optional_text(name.as_deref()).optional(code);
}

fn encode(w: &mut SegmentWriter, event: &Event<'_>) {
    match *event {
        Event::Turn { number, slept, limit, events, queued } => {
            w.unsigned(number).time_span(slept).optional_time_span(limit);
            w.unsigned(events as u64).unsigned(queued as u64).long(schema::TURN_BEGINS, 0);
        }
        Event::SlowTurn { number, took, detail } => {
            w.unsigned(number).time_span(took);
            detail.phases.iter().for_each(|took| {
                w.unsigned(micros(*took));
            });
            let (id, took) = detail.connection.unzip();
            w.optional(id.map(u64::from)).unsigned(took.map_or(0, micros));
            w.optional(detail.not_scheduled.map(micros)).long(schema::SLOW_TURN, 0);
        }
        Event::PolledAgain { events } => w.short(schema::POLLED_AGAIN, 0, events as u64),
        Event::Listening { address, service } => {
            w.text(address).text(service.name()).long(schema::LISTENING, 0);
        }
        Event::AcceptPaused { address, cause, connections } => {
            w.text(address).text(cause.name());
            fault(w, names::fault_of_cause(cause));
            w.unsigned(connections as u64).long(schema::ACCEPT_PAUSED, 0);
        }
        Event::AcceptResumed { address, cause, connections } => {
            w.text(address).text(cause.name());
            fault(w, names::fault_of_cause(cause));
            w.unsigned(connections as u64).long(schema::ACCEPT_RESUMED, 0);
        }
        Event::AcceptFailed { address, fault: error } => {
            w.text(address);
            fault(w, Some(error));
            w.long(schema::ACCEPT_FAILED, 0);
        }
        Event::Signal { signal } => w.text(signal.name()).long(schema::SIGNAL, 0),
        Event::Draining { connections, deadline } => {
            w.unsigned(connections as u64).time_span(deadline).long(schema::DRAINING, 0);
        }
        Event::Resolved { name, addresses, error } => {
            w.text(name).unsigned(addresses as u64).optional_text(error);
            w.long(schema::RESOLVED, 0);
        }
        Event::InProgress { connections, up, down } => {
            w.unsigned(connections as u64).unsigned(up).unsigned(down);
            w.long(schema::IN_PROGRESS, 0);
        }
        Event::Dump { line } => w.put_bytes(line.as_bytes()).long(schema::DUMP, 0),
        Event::AdminRequest { method, target, status, peer, changes } => {
            w.put_bytes(method.as_bytes()).put_bytes(target.as_bytes());
            w.unsigned(u64::from(status)).peer(Some(peer));
            w.long(schema::ADMIN_REQUEST, flag(changes));
        }
        Event::Reloading { file } => w.put_bytes(file.as_bytes()).long(schema::RELOADING, 0),
        Event::Reloaded { added, changed, removed, unchanged } => {
            w.unsigned(added as u64).unsigned(changed as u64).unsigned(removed as u64);
            w.unsigned(unchanged as u64).long(schema::RELOADED, 0);
        }
        Event::ReloadFailed { error } => {
            w.put_bytes(error.as_bytes()).long(schema::RELOAD_FAILED, 0);
        }
        Event::Opened { route, service, listen, peer } => {
            w.unsigned(u64::from(route)).text(service.name()).text(listen).peer(Some(peer));
            w.long(schema::OPENED, 0);
        }
        Event::Dialing { target, attempt } => {
            w.text(target).unsigned(u64::from(attempt)).long(schema::DIALING, 0);
        }
        Event::DialFailed { target, fault: error, left, client } => {
            w.text(target);
            fault(w, Some(error));
            w.unsigned(left as u64).peer(client.map(|client| client.peer));
            w.optional_text(client.map(|client| client.listen)).long(schema::DIAL_FAILED, 0);
        }
        Event::Connected { after } => w.time_span(after).long(schema::CONNECTED, 0),
        Event::EndOfFile => w.short(schema::END_OF_FILE, 0, 0),
        Event::ShutDown => w.short(schema::SHUT_DOWN, 0, 0),
        Event::Message { message } => w.put_bytes(message).long(schema::MESSAGE, 0),
        Event::Missed { messages } => w.short(schema::MISSED, 0, messages),
        Event::CutOff { bytes } => w.short(schema::CUT_OFF, 0, bytes as u64),
        Event::Stalled { unsent, since, now } => {
            w.unsigned(unsent as u64).unsigned(since.0).unsigned(now.0).long(schema::STALLED, 0);
        }
        Event::Resumed { stalled } => w.time_span(stalled).long(schema::RESUMED, 0),
        Event::Closed { ending, up, down, lasted } => {
            let (by, error) = names::parts_of_reason(ending.reason);
            w.text(ending.reason.name()).optional_text(by.map(names::side_name));
            fault(w, error);
            w.text(names::side_name(ending.first)).text(names::close_kind_name(ending.by));
            w.unsigned(up).unsigned(down).time_span(lasted).long(schema::CLOSED, 0);
        }
        Event::Marked { ready } => w.short(schema::MARKED, 0, u64::from(ready.to_bits())),
        Event::Stale => w.short(schema::STALE, 0, 0),
        Event::Payload { bytes, sent } => w.raw(schema::PAYLOAD, flag(sent), bytes),
        Event::Read { bytes, room, hint } => {
            let hint = choice(names::hint_number(hint));
            match halves(bytes as u64, room as u64) {
                Some(value) => w.short(schema::READ, hint, value),
                None => {
                    w.unsigned(bytes as u64).unsigned(room as u64).long(schema::READ_LONG, hint)
                }
            }
        }
        Event::Wrote { bytes, left } => match halves(bytes as u64, left as u64) {
            Some(value) => w.short(schema::WROTE, 0, value),
            None => w.unsigned(bytes as u64).unsigned(left as u64).long(schema::WROTE_LONG, 0),
        },
        Event::ReadBlocked => w.short(schema::READ_BLOCKED, 0, 0),
        Event::WriteBlocked { left } => w.short(schema::WRITE_BLOCKED, 0, left as u64),
        Event::ReadOff => w.short(schema::READ_OFF, 0, 0),
        Event::ReadOn => w.short(schema::READ_ON, 0, 0),
        Event::Interrupted => w.short(schema::INTERRUPTED, 0, 0),
        Event::Yielded { steps } => w.short(schema::YIELDED, 0, u64::from(steps)),
        Event::Armed { deadline, due, now } => {
            let deadline = choice(names::deadline_number(deadline));
            let ago = w.now().0.checked_sub(now.0);
            match ago.and_then(|ago| halves(u64::from(due), ago)) {
                Some(value) => w.short(schema::ARMED, deadline, value),
                None => {
                    w.unsigned(u64::from(due)).unsigned(now.0).long(schema::ARMED_LONG, deadline);
                }
            }
        }
        Event::Fired { deadline, again } => {
            w.short(schema::FIRED, choice(names::deadline_number(deadline)) | flag(again), 0);
        }
        Event::Received { bytes, from } => {
            let peer = u64::from(w.peer_number(from));
            match halves(bytes as u64, peer) {
                Some(value) => w.short(schema::RECEIVED, 0, value),
                None => w.unsigned(bytes as u64).unsigned(peer).long(schema::RECEIVED_LONG, 0),
            }
        }
        Event::Sent { bytes, to } => {
            let peer = u64::from(w.peer_number(to));
            match halves(bytes as u64, peer) {
                Some(value) => w.short(schema::SENT, 0, value),
                None => w.unsigned(bytes as u64).unsigned(peer).long(schema::SENT_LONG, 0),
            }
        }
        Event::Passed { received, received_bytes, sent, sent_bytes } => {
            w.unsigned(received).unsigned(received_bytes).unsigned(sent).unsigned(sent_bytes);
            w.long(schema::PASSED, 0);
        }
        Event::Dropped { bytes, from, why } => {
            w.optional(bytes.map(|bytes| bytes as u64)).peer(from).text(why.name());
            fault(w, names::fault_of_drop(why));
            w.long(schema::DROPPED, 0);
        }
    }
}
