//! Checks at the end: of one direction, of a connection, of a whole run.

use std::io::ErrorKind;

use oneloop::core::timers::Deadline;
use oneloop::core::{CloseKind, Key, Moment, Reason, Side, Turn};
use oneloop::service::MESSAGE_BYTES;

use super::answers;
use super::check;
use super::kernel::{Kernel, Sock};
use super::payload;
use super::peer::{Expected, Saw};
use super::reload;
use super::talk::{Facts, Kind, Talk};
use super::watch::Closed;
use super::world::World;

/// Maximum number of calls that forward what a side sent before it failed.
const MAX_FLUSH_CALLS: u64 = 256;

/// Checks a peer that saw an end of file: it received everything, and the other side ended with a
/// FIN.
pub fn clean_end(kernel: &Kernel, talk: &Talk, end: usize) {
    let (peer, conn_id) = (&talk.peers[end], talk.key.id);
    let own = &kernel.socks[peer.sock];
    let reason = talk.ended.map(|(ending, _)| ending.reason);
    match talk.kind {
        Kind::Echo => {
            let ended = own.rx.fin || reason.is_some();
            assert!(ended, "#{conn_id}: an end of file that was not sent");
            assert_eq!(peer.received, own.rx.put, "#{conn_id}: a FIN after a loss");
        }
        Kind::Relay => {
            let Some(other) = talk.peers.get(1 - end) else {
                panic!("#{conn_id}: a clean end, and no target was connected")
            };
            let far = &kernel.socks[other.sock];
            let ended = far.rx.fin || reason == Some(Reason::Drained);
            assert!(
                ended,
                "#{conn_id}: end {end} received a FIN, but the other side did not end with one"
            );
            let all = peer.received == far.rx.put || far.stats.lied;
            assert!(all, "#{conn_id}: a FIN after a loss");
        }
        Kind::Say | Kind::Greet => {
            let Expected::Text(text) = &peer.expected else { return };
            assert_eq!(peer.received, text.len() as u64, "#{conn_id}: the text was cut");
        }
        Kind::Answer => {
            let ended = own.rx.fin || reason.is_some();
            assert!(ended, "#{conn_id}: an end of file that was not sent");
            let all = answers::total(peer.stream, own.rx.put);
            assert_eq!(peer.received, all, "#{conn_id}: a FIN after a loss");
        }
        Kind::Discard | Kind::Chargen => {}
    }
}

/// Checks a closed connection: its reason is true, and its sockets were closed as the reason
/// demands.
pub fn ending(world: &World, closed: &Closed) {
    let kernel = world.net.borrow();
    let talk = &world.talks[&closed.key.id];
    let conn_id = talk.key.id;
    let socks = socks(&kernel, talk, closed);
    let fault = |side: Side| match side {
        Side::Client => socks[0].stats.fault,
        Side::Target => socks.get(1).and_then(|sock| sock.stats.fault),
        Side::Proxy => None,
    };
    let reason = closed.ending.reason;
    check::was_silent(&kernel, talk, reason);
    assert!(socks.iter().all(|sock| sock.closed), "#{conn_id} leaves a socket open");
    match reason {
        Reason::Finished | Reason::Served => {
            let ours = talk.kind != Kind::Relay && closed.facts.first == Some(1);
            assert_eq!(ours, reason == Reason::Served, "#{conn_id}: {reason}?");
            finished(&socks, talk);
        }
        Reason::Reset { by, fault: reported } => {
            assert_eq!(fault(by), Some(reported.kind), "#{conn_id}: reset by the {by}?");
            assert!(talk.kind != Kind::Relay || closed.facts.connected, "#{conn_id}: too early");
            flush_after_error(&socks, talk, by);
        }
        Reason::Abandoned { fault: reported } => {
            assert_eq!(fault(Side::Client), Some(reported.kind), "#{conn_id} was not abandoned");
            assert!(!closed.facts.connected && talk.kind == Kind::Relay);
        }
        Reason::Refused { .. } | Reason::Unreachable { .. } | Reason::ConnectTimeout => {
            assert!(!closed.facts.connected && talk.attempts.is_empty(), "#{conn_id} was refused?");
        }
        Reason::Drained => {
            assert!(world.drained, "#{conn_id} is drained too early");
            let asked = talk.kind == Kind::Relay && closed.facts.client_spoke_last() == Some(true);
            assert!(!asked, "#{conn_id} is drained while its client waits for an answer");
        }
        Reason::Cut => assert!(world.cut, "#{conn_id} is cut too early"),
        _ => {}
    }
    let resets = match reason {
        Reason::Finished | Reason::Served | Reason::Drained => Some(false),
        Reason::IdleTimeout | Reason::HalfCloseTimeout | Reason::Lifetime | Reason::Cut => {
            (talk.kind == Kind::Relay).then_some(true)
        }
        _ => Some(true),
    };
    let wrong = socks.iter().any(|sock| resets.is_some_and(|resets| sock.linger_zero != resets));
    assert!(!wrong, "#{conn_id} ended by {reason}: wrong kind of close");
    moved(&socks, closed, talk);
    first(closed, talk);
}

/// Checks a deadline that fired: not too early, and not without a cause.
pub fn struck(world: &World, key: Key, deadline: Deadline, facts: &Facts) {
    let talk = &world.talks[&key.id];
    let timeouts = &world.mix.timeouts[talk.route as usize];
    let half = facts.ended[0] != facts.ended[1];
    let connected = facts.connected || talk.kind != Kind::Relay;
    let (since, wait, cause) = match deadline {
        Deadline::Connect => (facts.active, timeouts.connect, !connected),
        Deadline::Idle => (facts.active, timeouts.idle, connected),
        Deadline::HalfClose => (facts.active, timeouts.half_close, half),
        Deadline::Lifetime => (facts.opened, timeouts.lifetime, true),
        Deadline::Linger => (facts.active, Some(check::LINGER), facts.lingers),
        Deadline::Quiet => match talk.kind {
            Kind::Chargen => (facts.active, Some(0), world.drained),
            Kind::Relay if facts.client_spoke_last() == Some(true) => (0, None, false),
            _ => {
                (facts.active, Some(check::DRAIN_IDLE), world.drained && (!half || talk.is_local()))
            }
        },
    };
    let due = wait.map(|wait| since + wait);
    let meant = cause && due.is_some_and(|due| world.now.tick() >= due);
    assert!(meant, "#{}: {deadline:?} fired before {due:?}: {facts:?}", key.id);
}

/// Checks that the message is the peer's first line, or the part of it that was sent.
pub fn message(world: &World, key: Key, message: &[u8]) {
    let talk = &world.talks[&key.id];
    let kernel = world.net.borrow();
    let sock = &kernel.socks[talk.peers[0].sock];
    assert_eq!(
        message,
        payload(talk.peers[0].stream, 0, message.len()),
        "wrong bytes in the message"
    );
    let newline = message.iter().position(|byte| *byte == b'\n');
    let whole = match newline {
        Some(at) => at + 1 == message.len(),
        None => {
            message.len() == MESSAGE_BYTES || sock.rx.fin && sock.rx.put == message.len() as u64
        }
    };
    assert!(whole, "#{}: {} bytes are not a complete message", key.id, message.len());
}

/// Checks a conversation that is over on both sides.
pub fn over(kernel: &Kernel, talk: &Talk) {
    let Some((ending, _)) = talk.ended else { return };
    for peer in talk.peers.iter().filter(|peer| !peer.rude) {
        let unread = kernel.socks[peer.sock].stats.unread;
        let clean = ending.reason == Reason::Finished || ending.reason == Reason::Served && !unread;
        let reset = clean && peer.saw == Some(Saw::Reset);
        assert!(!reset, "#{}: {} ended for its peer with a reset", talk.key.id, ending.reason);
    }
}

/// Checks after a run that no bytes are unsent, no connection is queued, and no socket is open.
pub fn nothing_left(world: &mut World) {
    let later = Moment(world.now.0 + 1_000_000_000_000);
    let turn = &mut Turn::new(later, &mut world.watch);
    world.engine.run(turn);
    world.engine.expire(turn);
    let engine = &world.engine;
    assert!(engine.is_empty() && engine.queued() == 0, "connections are left: {}", world.left());
    assert_eq!((engine.deadlines(), engine.sleep(later)), (0, None), "deadlines are left");
    let unsent = &engine.buffers.unsent;
    assert_eq!((unsent.in_use(), unsent.bytes()), (0, 0), "unsent entries are left");
    let locals = &engine.buffers.locals;
    assert_eq!((locals.in_use(), locals.bytes()), (0, 0), "inboxes are left");
    assert!(world.answers.is_empty(), "answers are left");
    assert!(world.net.borrow().socks.iter().all(|sock| sock.closed), "a socket is left open");
    reload::nothing_left(world);
}

/// Checks that both directions ended in order: nothing failed, and all bytes were forwarded.
fn finished(socks: &[&Sock], talk: &Talk) {
    let conn_id = talk.key.id;
    for sock in socks {
        assert_eq!(sock.stats.fault, None, "#{conn_id} failed, and ended with a FIN");
    }
    match (talk.kind, socks) {
        (Kind::Relay, [a, b]) => {
            assert!(a.rx.fin && b.rx.fin && a.tx.fin && b.tx.fin, "#{conn_id}: not both ended");
            assert_eq!((a.rx.put, b.rx.put), (b.tx.put, a.tx.put), "#{conn_id} lost bytes");
        }
        (Kind::Echo, [a]) => {
            assert!(a.rx.fin, "#{conn_id} ended by itself");
            assert_eq!(a.rx.put, a.tx.put, "#{conn_id} lost bytes");
        }
        _ => assert!(socks[0].tx.fin, "#{conn_id} did not send a FIN"),
    }
}

/// Checks that what a side sent before it failed was forwarded, as far as the other side accepted
/// it.
fn flush_after_error(socks: &[&Sock], talk: &Talk, by: Side) {
    let [a, b] = socks else { return };
    let (from, to) = if by == Side::Client { (a, b) } else { (b, a) };
    let all = from.stats.lied || from.rx.bytes.is_empty() && from.rx.taken == to.tx.put;
    let taken = to.stats.blocked || to.stats.fault.is_some() || to.dead;
    let enough = from.stats.calls + to.stats.calls >= MAX_FLUSH_CALLS;
    assert!(all || taken || enough, "#{}: the last bytes of the {by} are lost", talk.key.id);
}

/// Checks that the counts of the event are those of the network.
fn moved(socks: &[&Sock], closed: &Closed, talk: &Talk) {
    let (client, target) = (socks[0], socks.get(1));
    let up = match talk.kind {
        Kind::Relay => target.map_or(0, |target| target.tx.put),
        Kind::Echo => client.tx.put,
        _ => client.rx.taken,
    };
    assert_eq!((closed.up, closed.down), (up, client.tx.put), "#{}", talk.key.id);
}

/// Checks which side ended first, and how: by the first end of file, if there was one.
fn first(closed: &Closed, talk: &Talk) {
    let ending = closed.ending;
    let (side, by) = match (closed.facts.first, ending.reason) {
        (Some(0), _) => (Side::Client, CloseKind::Fin),
        (Some(_), _) if talk.kind == Kind::Relay => (Side::Target, CloseKind::Fin),
        (Some(_), _) => (Side::Proxy, CloseKind::Fin),
        // EPIPE follows a FIN that has not been read yet.
        (None, Reason::Reset { by, fault }) if fault.kind == ErrorKind::BrokenPipe => {
            (by, CloseKind::Fin)
        }
        (None, Reason::Reset { by, .. }) => (by, CloseKind::Rst),
        (None, Reason::Abandoned { .. }) => (Side::Client, CloseKind::Rst),
        (None, Reason::Refused { .. }) => (Side::Target, CloseKind::Rst),
        (None, _) => (Side::Proxy, ending.by),
    };
    assert_eq!((ending.first, ending.by), (side, by), "#{}: {ending:?}", closed.key.id);
}

/// Returns the sockets of the conversation: the client's, and the target's if it was connected.
fn socks<'a>(kernel: &'a Kernel, talk: &Talk, closed: &Closed) -> Vec<&'a Sock> {
    let connected = closed.facts.connected || talk.kind != Kind::Relay;
    let peers = if connected { &talk.peers[..] } else { &talk.peers[..1] };
    peers.iter().map(|peer| &kernel.socks[peer.sock]).collect()
}
