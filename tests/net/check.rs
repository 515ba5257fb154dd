//! Checks that hold in every turn, whatever the network does.

use std::collections::HashSet;
use std::time::Duration;

use oneloop::core::conn::Conn;
use oneloop::core::flow::{Flow, Step};
use oneloop::core::pump::STEP_BUDGET;
use oneloop::core::{End, Ready};
use oneloop::core::{Key, Reason, Tick};
use oneloop::service::MESSAGE_BYTES;

use super::answers;
use super::faults::Model;
use super::kernel::{Kernel, Sock};
use super::peer::Expected;
use super::socket::Socket;
use super::talk::{Kind, Talk};
use super::world::World;

/// Time a service waits for the peer's end of file, in ticks.
pub const LINGER: Tick = 20;
/// During a drain, idle connections are closed after this many ticks.
pub const DRAIN_IDLE: Tick = 10;

/// Maximum calls per turn: two flows of `STEP_BUDGET` steps, each at most a read and a write, plus
/// two half-closes, two reads of the socket's error and one check of the connection attempt.
const CALLS: u64 = 2 * 2 * STEP_BUDGET as u64 + 5;

/// Returns the connections that are queued and have work.
pub fn before_run(world: &World) -> HashSet<Key> {
    let runnable = |(_, conn): &(Key, &Conn<Socket>)| conn.queued && has_work(conn);
    world.engine.iter().filter(runnable).map(|(key, _)| key).collect()
}

/// Checks that each of them was driven, none exceeded its budget, and none is queued twice.
pub fn after_run(world: &World, had_work: &HashSet<Key>) {
    let kernel = world.net.borrow();
    let mut queued = 0;
    for (key, conn) in world.engine.iter() {
        queued += usize::from(conn.queued);
        let socks = socks(&kernel, conn);
        let calls: u64 = socks.iter().map(|(_, sock)| sock.stats.calls).sum();
        let bytes: u64 = socks.iter().map(|(_, sock)| sock.stats.bytes).sum();
        // The socket of a failed attempt is already closed. An owner is asked without a call.
        let asked = conn.ends.end(1).is_local() && !conn.ends.bits(1).has(Ready::READ);
        let served = calls > 0 || asked || matches!(conn.ends.end(1), End::Unconnected);
        assert!(served || !had_work.contains(&key), "#{} was not served", key.id);
        assert!(calls <= CALLS, "#{} made {calls} calls in a turn", key.id);
        // The owner of a local end writes later.
        if !asked {
            notices_blocking(key, conn, &socks);
        }
        let share = CALLS * largest(world, &world.talks[&key.id]) as u64;
        assert!(bytes <= share, "#{} moved {bytes} bytes in a turn", key.id);
    }
    assert_eq!(world.engine.queued(), queued, "the queue has a duplicate, or a closed connection");
}

/// Checks that an end is not called writable after a write that would block.
fn notices_blocking(key: Key, conn: &Conn<Socket>, socks: &[(usize, &Sock)]) {
    let spins =
        |(end, sock): &(usize, &Sock)| sock.stats.blocked && conn.ends.bits(*end).has(Ready::WRITE);
    assert!(!socks.iter().any(spins), "#{} ignores that its write would block", key.id);
}

/// Checks the structure of everything that is left after a turn.
pub fn after_turn(world: &World) {
    let kernel = world.net.borrow();
    let (mut entries, mut bytes, mut pipes) = (0, 0, 0);
    let (mut inboxes, mut received) = (0, 0);
    let locals = &world.engine.buffers.locals;
    for (key, conn) in world.engine.iter() {
        let talk = &world.talks[&key.id];
        assert_eq!((talk.key, talk.ended), (key, None), "#{} lives on", key.id);
        let unsent = unsent(world, key, conn, largest(world, talk));
        entries += unsent.0;
        bytes += unsent.1;
        pipes += unsent.2;
        for flow in conn.flows.iter().filter(|flow| !flow.is_absent()) {
            counts(world, &kernel, key, conn, flow);
        }
        if let End::Local(inbox) = conn.ends.end(1) {
            notices_blocking(key, conn, &socks(&kernel, conn));
            let waiting = locals.waiting(inbox).len();
            let limit = if talk.kind == Kind::Greet { MESSAGE_BYTES } else { answers::INBOX };
            assert!(waiting < limit + world.mix.scratch, "#{} has an endless inbox", key.id);
            inboxes += usize::from(inbox.is_some());
            received += waiting;
        }
        no_orphan(world, &kernel, key, conn);
        let due = due(world, talk, conn);
        let late = !conn.queued && due.is_some_and(|due| due <= world.now.tick());
        let late = late && !world.reloaded();
        assert!(!late, "#{} should have ended at {due:?}", key.id);
    }
    let unsent = &world.engine.buffers.unsent;
    assert_eq!((unsent.in_use(), unsent.bytes()), (entries, bytes), "entries without an owner");
    assert_eq!((locals.in_use(), locals.bytes()), (inboxes, received), "inboxes without an end");
    assert_eq!(unsent.pipes.in_use(), pipes, "pipes without an owner");
    let living = world.talks.values().filter(|talk| talk.ended.is_none()).count();
    assert_eq!(world.engine.len(), living, "connections without a conversation");
    assert_eq!(world.watch.facts.len(), living, "a close that was not reported");
}

/// Checks that the loop sleeps exactly as long as there is nothing to do.
pub fn sleep(world: &World, sleep: Option<Duration>) {
    let none = sleep == Some(Duration::ZERO);
    if none && world.reloaded() {
        return;
    }
    assert_eq!(none, world.engine.queued() > 0, "sleeps {sleep:?} with this much queued");
    if none {
        return;
    }
    for (key, conn) in world.engine.iter() {
        let Some(due) = due(world, &world.talks[&key.id], conn) else { continue };
        let wait = world.now.until(due);
        assert!(sleep.is_some_and(|sleep| sleep <= wait), "#{} would be late", key.id);
    }
}

/// Checks what a connection holds, in entries, bytes and pipes: at most one read's worth per flow.
fn unsent(world: &World, key: Key, conn: &Conn<Socket>, most: usize) -> (usize, usize, usize) {
    let unsent = &world.engine.buffers.unsent;
    let flows = conn.flows.iter().filter_map(|flow| flow.unsent.as_ref());
    // The bytes in a pipe cannot be accessed.
    let pipes = flows.clone().filter(|unsent_id| unsent.data(unsent_id).is_empty()).count();
    let sizes: Vec<usize> = flows.map(|unsent_id| unsent.left(unsent_id)).collect();
    for size in &sizes {
        assert!((1..=most).contains(size), "#{} holds {size} bytes of {most}", key.id);
    }
    (sizes.len(), sizes.iter().sum(), pipes)
}

/// Checks that everything read was written, except the unsent bytes.
fn counts(world: &World, kernel: &Kernel, key: Key, conn: &Conn<Socket>, flow: &Flow) {
    let unsent = &world.engine.buffers.unsent;
    let unsent = flow.unsent.as_ref().map_or(0, |unsent_id| unsent.left(unsent_id)) as u64;
    let sock = |end: u8| match conn.ends.end(end as usize) {
        End::Socket(socket) => Some(&kernel.socks[socket.id]),
        _ => None,
    };
    if let Some(from) = sock(flow.from) {
        assert_eq!(from.rx.taken, flow.moved + unsent, "#{} lost what it read", key.id);
        assert!(!flow.done || from.rx.fin, "#{}: an end of file that was not sent", key.id);
    }
    if let Some(to) = sock(flow.to) {
        assert_eq!(to.tx.put, flow.moved, "#{} has a wrong count", key.id);
        let propagated = if flow.done { to.tx.fin || to.dead } else { !to.tx.fin };
        assert!(propagated, "#{}: an end of file is propagated too late, or too early", key.id);
    }
}

/// Checks that a connection with work is queued, or that the kernel owes it an event.
fn no_orphan(world: &World, kernel: &Kernel, key: Key, conn: &Conn<Socket>) {
    assert!(conn.queued || !has_work(conn), "#{} has work and is not queued: {conn}", key.id);
    for (end, sock) in socks(kernel, conn) {
        let bits = conn.ends.bits(end);
        assert_eq!(bits.has(Ready::READ_OFF), sock.read_off, "#{}.{end}: {conn}", key.id);
        for (bit, ready) in [(Ready::READ, sock.readable()), (Ready::WRITE, sock.writable())] {
            let known = bits.has(bit) || sock.owes(bit);
            assert!(known || !ready, "#{}.{end} waits for {bit}: {conn}", key.id);
        }
        // With complete events, an error is noticed even at an end that is not read.
        let hinted = sock.owes(Ready::READ) || sock.owes(Ready::WRITE) || conn.queued;
        let missed = world.mix.model == Model::Epoll && sock.error.is_some() && !hinted;
        assert!(!missed, "#{}.{end} has not noticed its error: {conn}", key.id);
    }
}

/// Whether a flow has a next step, or an attempt or an error has to be checked.
fn has_work(conn: &Conn<Socket>) -> bool {
    let ready = |end: u8| conn.ends.ready(end as usize);
    let next = |flow: &Flow| flow.next(ready(flow.from), ready(flow.to));
    let decided = Ready::WRITE.with(Ready::ERROR).with(Ready::READ_CLOSED);
    let bits = conn.ends.bits(1);
    let asks = conn.ends.end(1).is_socket() && bits.has(Ready::OPENING) && bits.any(decided);
    let fails = [0, 1].iter().any(|end| ready(*end).has(Ready::ERROR));
    asks || fails || conn.flows.iter().any(|flow| next(flow) != Step::Rest)
}

/// Returns when this connection has to end if nothing more happens, computed from its events alone.
pub fn due(world: &World, talk: &Talk, conn: &Conn<Socket>) -> Option<Tick> {
    let facts = world.watch.facts[&talk.key.id];
    let timeouts = &world.mix.timeouts[talk.route as usize];
    let half = facts.ended[0] != facts.ended[1];
    let unanswered = talk.kind == Kind::Relay && facts.client_spoke_last() != Some(false);
    let wait = if talk.kind == Kind::Relay && !facts.connected {
        timeouts.connect
    } else if facts.lingers {
        Some(LINGER)
    } else if world.drained && talk.kind == Kind::Chargen {
        Some(0)
    } else if world.drained && (!half || talk.is_local()) && !conn.has_unsent() && !unanswered {
        Some(DRAIN_IDLE)
    } else if half && timeouts.half_close.is_some() {
        timeouts.half_close
    } else {
        timeouts.idle
    };
    let life = timeouts.lifetime.map(|life| facts.opened + life);
    wait.map(|wait| facts.active + wait).into_iter().chain(life).min()
}

/// Checks that no idle deadline closed it while bytes were waiting that could have been forwarded.
pub fn was_silent(kernel: &Kernel, talk: &Talk, reason: Reason) {
    let silence = [Reason::IdleTimeout, Reason::HalfCloseTimeout, Reason::Drained];
    if !silence.contains(&reason) || talk.kind == Kind::Chargen {
        return;
    }
    let socks: Vec<&Sock> = talk.peers.iter().map(|peer| &kernel.socks[peer.sock]).collect();
    for (at, from) in socks.iter().enumerate() {
        let to = if talk.kind == Kind::Relay { socks.get(1 - at) } else { Some(from) };
        let takes = to.is_some_and(|to| talk.kind == Kind::Discard || !to.stats.blocked);
        let waits = from.stats.unread && takes && !from.stats.lied;
        assert!(!waits, "#{} ends by {reason} while bytes are waiting", talk.key.id);
    }
}

/// Returns the most bytes that one step may move.
fn largest(world: &World, talk: &Talk) -> usize {
    let text = match &talk.peers[0].expected {
        Expected::Text(text) => text.len(),
        _ => 0,
    };
    world.mix.scratch.max(text).max(world.mix.splice.min(2 * world.mix.pipe))
}

fn socks<'a>(kernel: &'a Kernel, conn: &Conn<Socket>) -> Vec<(usize, &'a Sock)> {
    let sock = |end| match conn.ends.end(end) {
        End::Socket(socket) => Some((end, &kernel.socks[socket.id])),
        _ => None,
    };
    [sock(0), sock(1)].into_iter().flatten().collect()
}
