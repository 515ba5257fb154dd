//! Writes pcapng: the packets that would have carried what the loop read and wrote, with
//! the decisions of the loop as comments. Their headers are made up from events, so they show what
//! the program saw, not what the network did.

use std::collections::HashMap;
use std::io::{self, ErrorKind, Write};
use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::core::{Close, Event, Key, Moment, Observer, Peer, ServiceKind, SysError, Wants};
use crate::recording::{KnownConnection, ReplayObserver, SegmentHead};
use crate::text::count::Count;

use super::ending::{self, FarEnd};
use super::line::{KnownLine, Line};
use blocks::{ACK, FIN, PSH, Packet, RST, SYN, Segment};
use names::{Names, same_family};
use payload::Payload;

mod blocks;
mod names;
mod payload;

/// Maximum payload of a packet: with the headers of IPv4 and TCP, 65,535 bytes.
const MAX_PAYLOAD: usize = 65_495;
/// Maximum bytes of an event that become packets: more than any call moves, so that a damaged
/// number does not become packets without end.
const MAX_EVENT: usize = 16 << 20;
/// Maximum payload of a datagram: with the header of UDP, what its length field can say.
const MAX_DATAGRAM: usize = 65_507;
/// Bytes after which the receiver acknowledges: far less than the window in the headers.
const ACK_BYTES: u32 = 1 << 20;
/// Decisions without a packet of their own that are kept for the next packet.
const MAX_COMMENTS: usize = 16;

/// Writes the packets as the events come.
pub struct PcapngConverter<W: Write> {
    /// Microseconds from 1970 to the creation of the loop.
    start: u64,
    now: Moment,
    names: Names,
    conns: HashMap<u32, PacketConn>,
    /// The addresses of datagram sockets, and as the log shows them.
    listeners: HashMap<Key, (SocketAddr, String)>,
    /// The payload of the datagram that follows, and its socket or flow.
    datagram: (Key, Vec<u8>),
    /// Packets that were not written; how many of them the last packet has announced, and the
    /// statistics.
    missing: u64,
    announced: u64,
    reported: u64,
    /// No packet is written.
    is_withholding: bool,
    out: W,
    /// The first error. Nothing is written after it.
    error: io::Result<()>,
}

/// A connection or a flow.
struct PacketConn {
    far: FarEnd,
    has_target: bool,
    has_unsent: bool,
    /// By end. None for what is no socket, or not dialed yet.
    ends: [Option<PacketEnd>; 2],
    /// Decisions for the comments of the next packet.
    comments: Vec<String>,
    payload: Payload,
}

/// One end: both directions of a TCP connection.
struct PacketEnd {
    peer: SocketAddr,
    own: SocketAddr,
    from_peer: Direction,
    from_own: Direction,
    is_connected: bool,
    is_reset: bool,
}

#[derive(Default)]
struct Direction {
    /// The next sequence number.
    next: u32,
    acknowledged: u32,
    is_closed: bool,
}

impl<W: Write> PcapngConverter<W> {
    /// `start`: when the loop was created.
    pub fn new(mut out: W, start: SystemTime) -> PcapngConverter<W> {
        let error = begin(&mut out);
        let start = start.duration_since(UNIX_EPOCH).unwrap_or_default().as_micros() as u64;
        PcapngConverter {
            start,
            now: Moment::default(),
            names: Names::default(),
            conns: HashMap::new(),
            listeners: HashMap::new(),
            datagram: (Key::LOOP, Vec::new()),
            missing: 0,
            announced: 0,
            reported: 0,
            is_withholding: false,
            out,
            error,
        }
    }

    /// Where the packets are written.
    pub fn out(&self) -> &W {
        &self.out
    }

    pub fn out_mut(&mut self) -> &mut W {
        &mut self.out
    }

    /// Sets whether packets are counted instead of written. The next one that is written says how
    /// many were not.
    pub fn set_withholding(&mut self, is_withholding: bool) {
        self.is_withholding = is_withholding;
    }

    /// Writes how many packets were not written so far, if that has changed.
    pub fn report_missing(&mut self) {
        if self.missing > self.reported && self.error.is_ok() {
            self.reported = self.missing;
            let micros = self.start.saturating_add(self.now.0);
            self.error = blocks::statistics(&mut self.out, micros, Some(self.missing));
        }
    }

    /// Writes a block that says nothing, so that nothing in between closes the connection of a
    /// reader.
    pub fn keep_alive(&mut self) {
        if self.error.is_ok() {
            self.error = blocks::statistics(&mut self.out, self.start + self.now.0, None);
        }
    }

    /// Returns the first error.
    pub fn finish(mut self) -> io::Result<()> {
        self.error?;
        self.out.flush()
    }

    fn opened(&mut self, key: Key, listen: &str, peer: &Peer, service: ServiceKind) {
        let peer = self.names.peer(peer);
        let own = same_family(self.names.listen(listen), peer);
        let ends = [Some(PacketEnd::new(peer, own)), None];
        self.conns.insert(
            key.id,
            PacketConn {
                far: FarEnd::of(service),
                has_target: ending::has_target(service),
                has_unsent: false,
                ends,
                comments: Vec::new(),
                payload: Payload::default(),
            },
        );
    }

    fn dialing(&mut self, key: Key, target: &str) {
        let Some(conn) = self.conns.get_mut(&key.id) else { return };
        let peer = self.names.listen(target);
        conn.ends[1] = Some(PacketEnd::new(peer, self.names.own(peer)));
    }

    /// Writes the segments of an event, with its sentence at the first of them.
    fn segments(&mut self, key: Key, event: &Event<'_>) {
        let (micros, end) = (self.start.saturating_add(self.now.0), key.end());
        let Some(conn) = self.conns.get_mut(&key.id) else { return };
        let data = conn.payload.on(end, event, conn.has_target);
        if data.is_gap {
            conn.comments.push("the bytes of this packet were not recorded".to_owned());
        }
        conn.comment(key, event);
        if let Event::Wrote { left, .. } | Event::WriteBlocked { left } = *event {
            conn.has_unsent = left > 0;
        }
        let mut segments = Vec::new();
        if let Event::Closed { ending, .. } = *event {
            conn.close(ending, &mut segments);
        } else if let Some(side) = &mut conn.ends[end] {
            side.on(event, &mut |segment| segments.push((end, segment)));
        }
        for (end, planned) in segments {
            let Some(side) = &conn.ends[end] else { continue };
            let (from, to) = side.addresses(planned.is_inbound);
            if self.is_withholding {
                self.missing += 1;
                conn.comments.clear();
                continue;
            }
            if self.missing > self.announced {
                let lost = Count((self.missing - self.announced) as usize, "packet");
                conn.comments.insert(0, format!("{lost} lost here: the reader is too slow"));
            }
            let bytes = data.bytes.get(planned.at..planned.at + planned.payload);
            let packet = Packet {
                interface: end as u32,
                micros,
                is_inbound: planned.is_inbound,
                headers: blocks::tcp(from, to, &planned.segment, planned.payload),
                payload: planned.payload,
                bytes: bytes.unwrap_or_default(),
                lost: self.missing - std::mem::replace(&mut self.announced, self.missing),
                comments: &std::mem::take(&mut conn.comments),
            };
            write_packet(&mut self.out, &mut self.error, &mut self.names, &packet);
        }
    }

    fn datagram_payload(&mut self, key: Key, bytes: &[u8]) {
        if self.datagram.0 != key {
            self.datagram = (key, Vec::new());
        }
        if self.datagram.1.len() < payload::MAX_BYTES {
            self.datagram.1.extend_from_slice(bytes);
        }
    }

    fn datagram(&mut self, key: Key, event: &Event<'_>, bytes: usize, peer: &Peer, inbound: bool) {
        let (of, payload) = std::mem::replace(&mut self.datagram, (Key::LOOP, Vec::new()));
        let is_known = of == key && payload.len() == bytes;
        let (bytes, peer) = (bytes.min(MAX_DATAGRAM), self.names.peer(peer));
        let listener = self.listeners.get(&key.at(0)).filter(|_| key.is_source());
        let own = match key.is_source() {
            true => listener.map(|(socket, _)| *socket),
            false => self.conns.get_mut(&key.id).and_then(|conn| conn.datagram_end(key, peer)),
        };
        let own = own.unwrap_or_else(|| self.names.own(peer));
        let mut comments = Vec::new();
        if let Some(conn) = self.conns.get_mut(&key.id).filter(|_| key.is_flow()) {
            if key.end() == 1 {
                conn.ends[1].get_or_insert_with(|| PacketEnd::new(peer, own));
            }
            comments = std::mem::take(&mut conn.comments);
        }
        if self.is_withholding {
            self.missing += 1;
            return;
        }
        let listener = listener.map(|(_, address)| address.as_str());
        comments.push(sentence(key, event, listener, FarEnd::Target));
        let own = same_family(own, peer);
        let (from, to) = if inbound { (peer, own) } else { (own, peer) };
        let packet = Packet {
            interface: key.end() as u32,
            micros: self.start.saturating_add(self.now.0),
            is_inbound: inbound,
            headers: blocks::udp(from, to, bytes),
            payload: bytes,
            bytes: if is_known { &payload[..bytes] } else { &[] },
            lost: self.missing - std::mem::replace(&mut self.announced, self.missing),
            comments: &comments,
        };
        write_packet(&mut self.out, &mut self.error, &mut self.names, &packet);
    }
}

impl<W: Write> Observer for PcapngConverter<W> {
    fn on(&mut self, key: Key, event: &Event<'_>) {
        if self.error.is_err() {
            return;
        }
        if let Event::Listening { address, .. } = *event {
            let socket = self.names.listen(address);
            self.listeners.insert(key, (socket, address.to_string()));
        } else if let Event::Received { bytes, from } = *event {
            self.datagram(key, event, bytes, from, true);
        } else if let Event::Sent { bytes, to } = *event {
            self.datagram(key, event, bytes, to, false);
        } else if let Event::Payload { bytes, .. } = *event
            && (key.is_source() || key.is_flow())
        {
            self.datagram_payload(key, bytes);
        } else if !key.is_source() {
            if let Event::Opened { listen, peer, service, .. } = *event {
                self.opened(key, listen, peer, service);
            } else if let Event::Dialing { target, .. } = *event {
                self.dialing(key, target);
            }
            if !key.is_flow() {
                self.segments(key, event);
            } else if let Some(conn) = self.conns.get_mut(&key.id) {
                conn.comment(key, event);
            }
            if let Event::Closed { .. } = event {
                self.conns.remove(&key.id);
            }
        }
    }

    fn begin_turn(&mut self, now: Moment) -> Wants {
        self.now = now;
        Wants { steps: true, stalls: true }
    }
}

impl<W: Write> ReplayObserver for PcapngConverter<W> {
    /// Each process has a section of its own.
    fn process(&mut self, head: &SegmentHead) {
        self.start = head.wall_micros_of(Moment(0));
        self.conns.clear();
        self.listeners.clear();
        self.names.begin_section();
        if self.error.is_ok() {
            self.error = begin(&mut self.out);
        }
    }

    fn known_connection(&mut self, key: Key, known: &KnownConnection<'_>) {
        if self.conns.contains_key(&key.id) {
            return;
        }
        self.opened(key, known.listen, &known.peer, known.service);
        if let Some(target) = known.target {
            self.dialing(key, target);
        }
        let line = KnownLine { key, known, now: self.now }.to_string();
        let Some(conn) = self.conns.get_mut(&key.id) else { return };
        conn.comments.push(line);
        // Their handshakes are over, or one ends with an event.
        conn.ends.iter_mut().flatten().for_each(|end| end.is_connected = true);
    }

    fn known_listener(&mut self, key: Key, _service: ServiceKind, address: &str) {
        let socket = self.names.listen(address);
        self.listeners.insert(key, (socket, address.to_string()));
    }
}
/// A segment to be written, and who sends it.
struct Planned {
    is_inbound: bool,
    segment: Segment,
    /// Length of its payload, and where it begins in what was read or written.
    payload: usize,
    at: usize,
}

impl PacketConn {
    /// Plans the segments of a close.
    fn close(&mut self, close: Close, segments: &mut Vec<(usize, Planned)>) {
        let failed = ending::failed_end(close.reason).map(|(end, _)| end);
        let is_reset = ending::is_reset(close, self.has_target, self.has_unsent);
        for (end, side) in self.ends.iter_mut().enumerate() {
            let Some(side) = side.as_mut().filter(|side| side.is_connected) else { continue };
            let plan = &mut |segment| segments.push((end, segment));
            match is_reset {
                _ if side.is_over() => {}
                true => side.reset(failed == Some(end), plan),
                false => side.fin(false, plan),
            }
        }
    }

    /// Keeps the sentence of an event for the next packet.
    fn comment(&mut self, key: Key, event: &Event<'_>) {
        if has_comment(event) && self.comments.len() < MAX_COMMENTS {
            self.comments.push(sentence(key, event, None, self.far));
        }
    }

    /// Returns the local address of a flow's end.
    fn datagram_end(&mut self, key: Key, peer: SocketAddr) -> Option<SocketAddr> {
        let side = self.ends[key.end()].as_mut()?;
        side.peer = peer;
        Some(side.own)
    }
}

impl PacketEnd {
    fn new(peer: SocketAddr, own: SocketAddr) -> PacketEnd {
        let (from_peer, from_own) = Default::default();
        PacketEnd { peer, own, from_peer, from_own, is_connected: false, is_reset: false }
    }

    fn addresses(&self, is_inbound: bool) -> (SocketAddr, SocketAddr) {
        if is_inbound { (self.peer, self.own) } else { (self.own, self.peer) }
    }

    fn is_over(&self) -> bool {
        self.is_reset || self.from_own.is_closed && self.from_peer.is_closed
    }

    /// Plans the segments of an event.
    fn on(&mut self, event: &Event<'_>, plan: &mut dyn FnMut(Planned)) {
        match *event {
            Event::Opened { .. } => {
                self.plan(true, SYN, 0, plan);
                self.accept(false, plan);
            }
            Event::Dialing { .. } => self.plan(false, SYN, 0, plan),
            Event::Connected { .. } => self.accept(true, plan),
            Event::DialFailed { fault, .. } => self.refuse(fault, plan),
            Event::Read { bytes, .. } => self.data(true, bytes, plan),
            Event::Wrote { bytes, .. } => self.data(false, bytes, plan),
            Event::EndOfFile => self.fin(true, plan),
            Event::ShutDown => self.fin(false, plan),
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
            | Event::Received { .. }
            | Event::Sent { .. }
            | Event::Passed { .. }
            | Event::Dropped { .. } => {}
        }
    }

    /// Plans the rest of the handshake: `is_inbound` is the direction of the second segment.
    fn accept(&mut self, is_inbound: bool, plan: &mut dyn FnMut(Planned)) {
        self.plan(is_inbound, SYN | ACK, 0, plan);
        self.plan(!is_inbound, ACK, 0, plan);
        self.is_connected = true;
    }

    fn refuse(&mut self, fault: SysError, plan: &mut dyn FnMut(Planned)) {
        // A target that does not answer sends no segment.
        if matches!(fault.kind, ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset) {
            self.reset(true, plan);
        }
    }

    fn data(&mut self, is_inbound: bool, bytes: usize, plan: &mut dyn FnMut(Planned)) {
        let bytes = bytes.min(MAX_EVENT);
        let mut at = 0;
        while at < bytes {
            let payload = (bytes - at).min(MAX_PAYLOAD);
            let push = if at + payload == bytes { PSH } else { 0 };
            let place = &mut |planned| plan(Planned { at, ..planned });
            self.plan(is_inbound, push | ACK, payload, place);
            at += payload;
            let sent = if is_inbound { &self.from_peer } else { &self.from_own };
            if sent.next.wrapping_sub(sent.acknowledged) >= ACK_BYTES {
                self.plan(!is_inbound, ACK, 0, plan);
            }
        }
    }

    fn fin(&mut self, is_inbound: bool, plan: &mut dyn FnMut(Planned)) {
        let sent = if is_inbound { &mut self.from_peer } else { &mut self.from_own };
        if !std::mem::replace(&mut sent.is_closed, true) {
            self.plan(is_inbound, FIN | ACK, 0, plan);
            self.plan(!is_inbound, ACK, 0, plan);
        }
    }

    fn reset(&mut self, is_inbound: bool, plan: &mut dyn FnMut(Planned)) {
        self.plan(is_inbound, RST | ACK, 0, plan);
        self.is_reset = true;
    }

    /// Plans one segment, and counts what it carries and what it acknowledges.
    fn plan(&mut self, is_inbound: bool, flags: u8, payload: usize, plan: &mut dyn FnMut(Planned)) {
        let (sent, received) = match is_inbound {
            true => (&mut self.from_peer, &mut self.from_own),
            false => (&mut self.from_own, &mut self.from_peer),
        };
        let acknowledged = if flags & ACK == 0 { 0 } else { received.next };
        received.acknowledged = received.next;
        let segment = Segment { sequence: sent.next, acknowledged, flags };
        let counted = u32::from(flags & (SYN | FIN) != 0);
        sent.next = sent.next.wrapping_add(payload as u32 + counted);
        plan(Planned { is_inbound, segment, payload, at: 0 });
    }
}

fn begin(out: &mut dyn Write) -> io::Result<()> {
    blocks::section_header(out)?;
    blocks::interface(out, "clients", "made up from events: end a of each connection")?;
    blocks::interface(out, "targets", "made up from events: end b of each connection")
}

fn write_packet(
    out: &mut dyn Write,
    error: &mut io::Result<()>,
    names: &mut Names,
    packet: &Packet<'_>,
) {
    if error.is_err() {
        return;
    }
    let mut named = names.fresh.drain(..);
    *error = named
        .try_for_each(|(address, name)| blocks::name(out, address, &name))
        .and_then(|()| blocks::packet(out, packet));
}

/// Returns the line of the log, with its explanation.
fn sentence(key: Key, event: &Event<'_>, listener: Option<&str>, far: FarEnd) -> String {
    let stalled = [Duration::ZERO; 2];
    Line { key, event, listener, stalled, explain: Some(far) }.to_string()
}

/// Whether an event is a comment of the next packet: what passed, and what the loop decided.
fn has_comment(event: &Event<'_>) -> bool {
    match *event {
        Event::Opened { .. }
        | Event::Dialing { .. }
        | Event::DialFailed { .. }
        | Event::Connected { .. }
        | Event::EndOfFile
        | Event::ShutDown
        | Event::CutOff { .. }
        | Event::Missed { .. }
        | Event::Stalled { .. }
        | Event::Resumed { .. }
        | Event::Closed { .. }
        | Event::Read { .. }
        | Event::Wrote { .. }
        | Event::ReadBlocked
        | Event::WriteBlocked { .. }
        | Event::ReadOff
        | Event::ReadOn
        | Event::Yielded { .. }
        | Event::Fired { .. }
        | Event::Dropped { .. } => true,
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
        | Event::Marked { .. }
        | Event::Stale
        | Event::Payload { .. }
        | Event::Interrupted
        | Event::Armed { .. }
        | Event::Received { .. }
        | Event::Sent { .. }
        | Event::Passed { .. } => false,
    }
}
