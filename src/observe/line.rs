//! Formats an event as a log line: the subject first, then one fact, in a fixed vocabulary.
//! Connections are identified by number (`#1207`), their ends as `#1207.a` and `#1207.b`.

use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use crate::core::event::{Client, DropReason};
use crate::core::{Close, Event, Key, Moment, Peer, SysError, TurnDetail};
use crate::recording::KnownConnection;
use crate::text::count::Count;

use super::ending::FarEnd;
use super::explain::explain;
use super::format::Span;
use crate::text::escape::{Form, Shown, plain, quoted};

/// The log line of one event.
pub struct Line<'a> {
    pub key: Key,
    pub event: &'a Event<'a>,
    /// The address of the listener or datagram socket, if that is the subject and it is known.
    pub listener: Option<&'a str>,
    /// How long each end of a connection has stalled, if this event closes it.
    pub stalled: [Duration; 2],
    /// Whether to add the explanation, and what is known of end b.
    pub explain: Option<FarEnd>,
}

/// The line of a connection that was opened before a recording.
pub struct KnownLine<'a> {
    pub key: Key,
    pub known: &'a KnownConnection<'a>,
    /// The time of its first event in the recording.
    pub now: Moment,
}

impl Display for KnownLine<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let KnownConnection { opened, service, listen, peer, target, .. } = self.known;
        let (ago, peer, listen) = (Span(self.now.since(*opened)), PeerName(peer), plain(listen));
        write!(f, "#{} was opened {ago} ago: {peer} -> {listen}, {service}", self.key.id)?;
        match target {
            Some(target) => write!(f, ", target {}", plain(target)),
            None => Ok(()),
        }
    }
}

impl Display for Line<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.event(f)?;
        match self.explain {
            Some(far) => explain(self.key, self.event, far).fmt(f),
            None => Ok(()),
        }
    }
}

impl Line<'_> {
    fn event(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match *self.event {
            Event::Turn { number, slept, events, queued, .. } => {
                let (slept, events) = (Span(slept), Count(events, "event"));
                write!(f, "turn {number}: slept {slept}, {events}, {queued} queued")
            }
            Event::SlowTurn { number, took, detail } => slow_turn(f, number, took, detail),
            Event::PolledAgain { events } => {
                write!(f, "polled again before deadlines fire: {}", Count(events, "event"))
            }
            Event::Listening { address, service } => {
                write!(f, "listening on {}: {service}", plain(address))
            }
            Event::AcceptPaused { address, cause, connections } => {
                write!(f, "accept paused on {}: {cause} ({connections} open)", plain(address))
            }
            Event::AcceptResumed { address, connections, .. } => {
                write!(f, "accept resumed on {} ({connections} open)", plain(address))
            }
            Event::AcceptFailed { address, fault } => {
                write!(f, "accept failed on {}: {fault}", plain(address))
            }
            Event::Signal { signal } => write!(f, "received {signal}"),
            Event::Draining { connections, deadline } => {
                let connections = Count(connections, "connection");
                write!(f, "draining {connections}, at most {}", Span(deadline))
            }
            Event::Resolved { name, error: Some(error), .. } => {
                write!(f, "cannot resolve {}: {}", plain(name), plain(error))
            }
            Event::Resolved { name, addresses, error: None } => {
                write!(f, "resolved {}: {}", plain(name), Count(addresses, "address"))
            }
            Event::InProgress { connections, up, down } => {
                let connections = Count(connections, "connection");
                write!(f, "in progress: {connections}, {up} B up, {down} B down so far")
            }
            Event::Dump { line } => Shown::new(line.as_bytes(), Form::Ours).within(4000).fmt(f),
            Event::AdminRequest { method, target, status, peer, .. } => write!(
                f,
                "admin: {} {} from {}: {status}",
                plain(method),
                plain(target),
                PeerName(peer)
            ),
            Event::Reloading { file } => write!(f, "reloading {}", plain(file)),
            Event::Reloaded { added, changed, removed, unchanged } => write!(
                f,
                "reloaded: {added} added, {changed} changed, {removed} removed, {unchanged} \
                 unchanged"
            ),
            Event::ReloadFailed { error } => {
                let error = Shown::new(error.as_bytes(), Form::Ours).within(4000);
                write!(f, "not reloaded: {error}")
            }
            Event::Opened { service, listen, peer, .. } => write!(
                f,
                "{} opened: {} -> {}, {service}",
                self.subject(),
                PeerName(peer),
                plain(listen)
            ),
            Event::Dialing { target, attempt } => {
                write!(f, "{} dialing {}, attempt {attempt}", self.end(), plain(target))
            }
            Event::DialFailed { target, fault, left, client } => {
                self.dial_failed(f, target, fault, left, client)
            }
            Event::Connected { after } => {
                write!(f, "{} connected after {}", self.end(), Span(after))
            }
            Event::EndOfFile => write!(f, "{} end of file", self.end()),
            Event::ShutDown => write!(f, "{} shut down", self.end()),
            Event::Message { message } => {
                write!(f, "{} message {}, {} B", self.subject(), quoted(message), message.len())
            }
            Event::Missed { messages } => {
                write!(f, "{} missed {}", self.subject(), Count(messages as usize, "message"))
            }
            Event::CutOff { bytes } => {
                write!(f, "{} ended in a message, {bytes} B dropped", self.subject())
            }
            Event::Stalled { unsent, since, now } => write!(
                f,
                "{} stalled: nothing accepted for {}, {unsent} B unsent",
                self.end(),
                Span(now.since(since))
            ),
            Event::Resumed { stalled } => {
                write!(f, "{} resumed after a stall of {}", self.end(), Span(stalled))
            }
            Event::Closed { ending, up, down, lasted, .. } => {
                self.closed(f, ending, up, down, lasted)
            }
            Event::Marked { ready } => write!(f, "{} {ready:#}", self.end()),
            Event::Stale => write!(f, "{} stale event ignored", self.end()),
            Event::Payload { bytes, .. } => {
                write!(f, "{} payload recorded, {} B", self.end(), bytes.len())
            }
            Event::Read { bytes, .. } => write!(f, "{} read {bytes}", self.end()),
            Event::Wrote { bytes, left } => {
                write!(f, "{} wrote {bytes}, {left} unsent", self.end())
            }
            Event::ReadBlocked => write!(f, "{} read would block", self.end()),
            Event::WriteBlocked { left } => {
                write!(f, "{} write would block, {left} unsent", self.end())
            }
            Event::ReadOff => write!(f, "{} read interest off", self.end()),
            Event::ReadOn => write!(f, "{} read interest on", self.end()),
            Event::Interrupted => write!(f, "{} interrupted", self.end()),
            Event::Yielded { steps } => {
                let steps = Count(steps as usize, "step");
                write!(f, "{} budget used up after {steps}", self.subject())
            }
            Event::Armed { deadline, due, now } => write!(
                f,
                "{} {} deadline set, due in {}",
                self.subject(),
                deadline.name(),
                Span(now.until(due))
            ),
            Event::Fired { deadline, again: true } => {
                write!(f, "{} {} deadline not reached, set again", self.subject(), deadline.name())
            }
            Event::Fired { deadline, again: false } => {
                write!(f, "{} {} deadline expired", self.subject(), deadline.name())
            }
            Event::Received { bytes, from } => {
                write!(f, "{} received {bytes} from {}", self.end(), PeerName(from))
            }
            Event::Sent { bytes, to } => {
                write!(f, "{} sent {bytes} to {}", self.end(), PeerName(to))
            }
            Event::Passed { received, received_bytes, sent, sent_bytes } => write!(
                f,
                "{} received {received} datagrams ({received_bytes} B), \
                 sent {sent} ({sent_bytes} B)",
                self.subject()
            ),
            Event::Dropped { bytes, from, why } => self.dropped(f, bytes, from, why),
        }
    }

    fn dial_failed(
        &self,
        f: &mut Formatter<'_>,
        target: &str,
        fault: SysError,
        left: usize,
        client: Option<Client<'_>>,
    ) -> fmt::Result {
        write!(f, "{}", self.subject())?;
        if let Some(Client { peer, listen }) = client {
            write!(f, " {} via {}", PeerName(peer), plain(listen))?;
        }
        write!(f, ": connect to {} failed: {fault}; ", plain(target))?;
        match left {
            0 if client.is_none() || self.key.is_flow() => f.write_str("no targets left"),
            0 => f.write_str("no targets left, resetting the client"),
            _ => write!(f, "{} left", Count(left, "target")),
        }
    }

    fn closed(
        &self,
        f: &mut Formatter<'_>,
        ending: Close,
        up: u64,
        down: u64,
        lasted: Duration,
    ) -> fmt::Result {
        write!(f, "{} closed: ", self.subject())?;
        match self.key.is_flow() {
            // Neither side closes: datagrams have no FIN.
            true => ending.reason.fmt(f)?,
            false => ending.fmt(f)?,
        }
        write!(f, ", {up} B up, {down} B down, {}", Span(lasted))?;
        for (end, stalled) in ["a", "b"].into_iter().zip(self.stalled) {
            if !stalled.is_zero() {
                write!(f, ", {end} stalled for {}", Span(stalled))?;
            }
        }
        Ok(())
    }

    fn dropped(
        &self,
        f: &mut Formatter<'_>,
        bytes: Option<usize>,
        from: Option<&Peer>,
        why: DropReason,
    ) -> fmt::Result {
        match bytes {
            Some(bytes) => write!(f, "{} dropped a datagram of {bytes} B", self.end())?,
            None => write!(f, "{} dropped an earlier datagram", self.end())?,
        }
        if let Some(from) = from {
            write!(f, " from {}", PeerName(from))?;
        }
        write!(f, ": {why}")
    }

    /// Returns the name of the connection, the listener, the datagram socket, or the loop.
    fn subject(&self) -> Name<'_> {
        match self.listener {
            _ if self.key == Key::LOOP => Name::Loop,
            _ if !self.key.is_source() => Name::Connection(self.key),
            Some(address) => Name::Address(address),
            None => Name::Source(self.key),
        }
    }

    /// Returns the name of one end of a connection, of a listener or of a datagram socket.
    fn end(&self) -> Name<'_> {
        if self.key.is_source() { self.subject() } else { Name::End(self.key) }
    }
}

/// How the log identifies the subject of an event.
enum Name<'a> {
    Loop,
    Connection(Key),
    End(Key),
    Address(&'a str),
    /// A listener or datagram socket whose address is not known.
    Source(Key),
}

impl Display for Name<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Name::Loop => f.write_str("loop"),
            Name::Connection(key) => write!(f, "#{}", key.id),
            Name::End(key) => write!(f, "#{}.{}", key.id, ["a", "b"][key.end()]),
            Name::Address(address) => plain(address).fmt(f),
            Name::Source(key) => write!(f, "listener {}", key.source_slot()),
        }
    }
}

/// A peer. The path of a Unix socket is chosen by the peer, so it is escaped.
pub struct PeerName<'a>(pub &'a Peer);

impl Display for PeerName<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            Peer::Unix(Some(name)) => write!(f, "unix:{}", plain(name)),
            Peer::Unix(None) => f.write_str("unix"),
            Peer::Inet(_) | Peer::Stdio => self.0.fmt(f),
        }
    }
}

fn slow_turn(
    f: &mut Formatter<'_>,
    number: u64,
    took: Duration,
    detail: &TurnDetail,
) -> fmt::Result {
    let (phase, most) = detail.slowest();
    write!(f, "turn {number} took {}, {} of it in {}", Span(took), Span(most), phase.name())?;
    if let Some((id, took)) = detail.slowest_connection() {
        write!(f, " ({} for #{id})", Span(took))?;
    }
    match detail.not_scheduled {
        Some(time) if !time.is_zero() => write!(f, ", {} not scheduled", Span(time)),
        _ => Ok(()),
    }
}
