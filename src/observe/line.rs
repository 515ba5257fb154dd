//! Formats an event as a log line: the subject first, then one fact, in a fixed vocabulary.
//! Connections are identified by number (`#1207`), their ends as `#1207.a` and `#1207.b`.

use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use crate::core::event::Client;
use crate::core::{Deadline, Event, Key, Peer};
use crate::text::count::Count;

use super::clock::Span;
use super::explain::explain;
use crate::text::escape::{Form, Shown, plain, quoted};

/// The log line of one event.
pub struct Line<'a> {
    pub key: Key,
    pub event: &'a Event<'a>,
    /// The address of the listener or datagram socket, if that is the subject and it is known.
    pub listener: Option<&'a str>,
    /// How long each end of a connection has stalled, if this event closes it.
    pub stalled: [Duration; 2],
    /// Whether to add the explanation.
    pub explain: bool,
}

impl Display for Line<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.loop_event(f)?;
        if self.explain { explain(f, self.key, self.event) } else { Ok(()) }
    }
}

impl Line<'_> {
    fn loop_event(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match *self.event {
            Event::Turn { number, slept, events, queued, .. } => {
                let (slept, events) = (Span(slept), Count(events, "event"));
                write!(f, "turn {number}: slept {slept}, {events}, {queued} queued")
            }
            Event::Listening { address, service } => {
                write!(f, "listening on {}: {}", plain(address), plain(service))
            }
            Event::PolledAgain { events } => {
                write!(f, "polled again before deadlines fire: {}", Count(events, "event"))
            }
            Event::AcceptPaused { address, fault, connections } => {
                write!(f, "accept paused on {}: ", plain(address))?;
                match fault {
                    Some(fault) => write!(f, "{fault}")?,
                    None => f.write_str("connection limit reached")?,
                }
                write!(f, " ({connections} open)")
            }
            Event::AcceptResumed { address, connections } => {
                write!(f, "accept resumed on {} ({connections} open)", plain(address))
            }
            Event::AcceptFailed { address, fault } => {
                write!(f, "accept failed on {}: {fault}", plain(address))
            }
            Event::Signal { name } => write!(f, "received {}", plain(name)),
            Event::Draining { connections, deadline } => {
                let connections = Count(connections, "connection");
                write!(f, "draining {connections}, at most {}", Span(deadline))
            }
            Event::Resolved { name, error: Some(error), .. } => {
                write!(f, "cannot resolve {}: {}", plain(name), plain(error))
            }
            Event::Resolved { name, addresses, .. } => {
                write!(f, "resolved {}: {}", plain(name), Count(addresses, "address"))
            }
            Event::InProgress { connections, up, down } => {
                let connections = Count(connections, "connection");
                write!(f, "in progress: {connections}, {up} B up, {down} B down so far")
            }
            Event::Dump { line } => Shown::new(line.as_bytes(), Form::Ours).within(4000).fmt(f),
            _ => self.connection_event(f),
        }
    }

    fn connection_event(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (subject, end) = (Subject(self), End(self.key));
        match *self.event {
            Event::Opened { service, listen, peer, .. } => {
                let (listen, service) = (plain(listen), plain(service));
                write!(f, "{subject} opened: {} -> {listen}, {service}", PeerName(peer))
            }
            Event::Dialing { target, attempt } => {
                write!(f, "{end} dialing {}, attempt {attempt}", plain(target))
            }
            Event::DialFailed { target, fault, left, client } => {
                subject.fmt(f)?;
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
            Event::Connected { after } => write!(f, "{end} connected after {}", Span(after)),
            Event::EndOfFile => write!(f, "{end} end of file"),
            Event::ShutDown => write!(f, "{end} shut down"),
            Event::Stalled { unsent, since, now } => {
                let time = Span(now.since(since));
                write!(f, "{end} stalled: nothing accepted for {time}, {unsent} B unsent")
            }
            Event::Resumed { stalled } => {
                write!(f, "{end} resumed after a stall of {}", Span(stalled))
            }
            Event::Message { message } => {
                write!(f, "{subject} message {}, {} B", quoted(message), message.len())
            }
            Event::Closed { ending, up, down, lasted, .. } => {
                write!(
                    f,
                    "{subject} closed: {ending}, {up} B up, {down} B down, {}",
                    Span(lasted)
                )?;
                for (end, stalled) in ["a", "b"].into_iter().zip(self.stalled) {
                    if !stalled.is_zero() {
                        write!(f, ", {end} stalled for {}", Span(stalled))?;
                    }
                }
                Ok(())
            }
            _ => self.step_event(f),
        }
    }

    fn step_event(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (subject, end) = (Subject(self), End(self.key));
        match *self.event {
            Event::Marked { ready } => write!(f, "{} {ready:#}", EndOrSource(self)),
            Event::Stale => write!(f, "{} stale event ignored", EndOrSource(self)),
            Event::Read { bytes, .. } => write!(f, "{end} read {bytes}"),
            Event::Wrote { bytes, left } => write!(f, "{end} wrote {bytes}, {left} unsent"),
            Event::ReadBlocked => write!(f, "{end} read would block"),
            Event::WriteBlocked { left } => write!(f, "{end} write would block, {left} unsent"),
            Event::ReadOff => write!(f, "{end} read interest off"),
            Event::ReadOn => write!(f, "{end} read interest on"),
            Event::Interrupted => write!(f, "{} interrupted", EndOrSource(self)),
            Event::Yielded { steps } => write!(f, "{subject} budget used up after {steps} steps"),
            Event::Armed { deadline, due, now } => {
                let (name, due) = (DeadlineName(deadline), Span(now.until(due)));
                write!(f, "{subject} {name} deadline set, due in {due}")
            }
            Event::Fired { deadline, again } => {
                let what = if again { "not reached, set again" } else { "expired" };
                write!(f, "{subject} {} deadline {what}", DeadlineName(deadline))
            }
            _ => self.datagram_event(f),
        }
    }

    fn datagram_event(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let subject = EndOrSource(self);
        match *self.event {
            Event::Received { bytes, from } => {
                write!(f, "{subject} received {bytes} from {}", PeerName(from))
            }
            Event::Sent { bytes, to } => write!(f, "{subject} sent {bytes} to {}", PeerName(to)),
            Event::Passed { received, received_bytes, sent, sent_bytes } => write!(
                f,
                "{} received {received} datagrams ({received_bytes} B), \
                 sent {sent} ({sent_bytes} B)",
                Subject(self)
            ),
            Event::Dropped { bytes, from, why } => {
                match bytes {
                    Some(bytes) => write!(f, "{subject} dropped a datagram of {bytes} B")?,
                    None => write!(f, "{subject} dropped an earlier datagram")?,
                }
                from.map_or(Ok(()), |from| write!(f, " from {}", PeerName(from)))?;
                write!(f, ": {why}")
            }
            _ => Ok(()),
        }
    }
}

/// A connection, a listener, a datagram socket, or the loop.
struct Subject<'a>(&'a Line<'a>);

/// One end of a connection.
struct End(Key);

/// A listener, a datagram socket, or one end of a connection.
struct EndOrSource<'a>(&'a Line<'a>);

impl Display for Subject<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let key = self.0.key;
        match self.0.listener {
            _ if key == Key::LOOP => f.write_str("loop"),
            _ if !key.is_source() => write!(f, "#{}", key.id),
            Some(address) => plain(address).fmt(f),
            None => write!(f, "listener {}", key.slot()),
        }
    }
}

impl Display for End {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "#{}.{}", self.0.id, ["a", "b"][self.0.end()])
    }
}

impl Display for EndOrSource<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let key = self.0.key;
        if key.is_source() { Subject(self.0).fmt(f) } else { End(key).fmt(f) }
    }
}

/// A peer. The path of a Unix socket is chosen by the peer, so it is escaped.
pub struct PeerName<'a>(pub &'a Peer);

impl Display for PeerName<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            Peer::Unix(Some(name)) => write!(f, "unix:{}", plain(name)),
            Peer::Unix(None) => f.write_str("unix"),
            other => other.fmt(f),
        }
    }
}

/// The name of a deadline in the log.
struct DeadlineName(Deadline);

impl Display for DeadlineName {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Deadline::Connect => "connect",
            Deadline::Idle => "idle",
            Deadline::HalfClose => "half-close",
            Deadline::Lifetime => "lifetime",
            Deadline::Linger => "linger",
            Deadline::Quiet => "quiet",
        })
    }
}
