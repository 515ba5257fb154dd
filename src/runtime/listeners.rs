//! The listeners of the loop: which have pending connections, and which are paused at a limit.
//!
//! epoll reports a listener once, however many connections are in its accept queue. So a reported
//! listener stays *pending* until `accept` returns EAGAIN, however many turns that takes. A paused
//! listener is retried by the loop, because no event follows for connections already in the queue.
//! A listener that an operator has paused is not pending: it waits for the operator.

use std::io;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use mio::{Interest, Registry, Token};

use crate::config::{Address, Service};
use crate::core::event::PauseCause;
use crate::core::{Event, Key, Moment, Peer, SourceKind, Stream, SysError, Turn};

use super::sources::Sources;
use crate::net::listener::{AcceptResult, Listener};
use crate::net::socket::Socket;
use crate::net::tcp_info::AcceptQueue;

/// Maximum number of connections that one listener accepts per turn; the others wait for the next.
pub const ACCEPT_BUDGET: usize = 64;

/// Cost of a relayed connection in units of the accept budget. Its dial creates, connects and
/// registers a socket, which costs about three times as much as the accept.
const RELAY_COST: usize = 4;

/// Delay until `accept` is retried after the system was out of descriptors or memory. It doubles
/// with each failure, up to the maximum.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(1);

/// All listening sockets of the loop. They can be opened and closed at any time.
pub struct Listeners {
    slots: Sources<ListenerSlot>,
    /// Number of pending listeners. If it is zero, as in most turns, no slot is looked at.
    accept_pending: usize,
    /// Number of closing listeners.
    closing: usize,
}

/// One listening socket.
pub struct ListenerSlot {
    listener: Listener,
    route: u16,
    pub address: Arc<str>,
    accept_pending: bool,
    pause: Option<Pause>,
    /// The listener closes when its accept queue is empty, or after accepting this many more.
    closing: Option<usize>,
}

/// Why a listener is paused.
enum Pause {
    /// The connection limit is reached.
    Limit,
    /// The system is out of a resource. Retried at `again`, or after a connection closes.
    System { again: Moment, wait: Duration, fault: SysError },
    /// An operator has stopped it, until an operator resumes it or it closes.
    Operator,
}

impl Pause {
    fn cause(&self) -> PauseCause {
        match self {
            Pause::Limit => PauseCause::Limit,
            Pause::System { fault, .. } => PauseCause::System(*fault),
            Pause::Operator => PauseCause::Operator,
        }
    }
}

/// An accepted connection.
pub struct Accepted {
    pub socket: Socket,
    /// The key under which its socket is registered.
    pub key: Key,
    pub address: Arc<str>,
    pub peer: Peer,
    pub route: u16,
}

impl Default for Listeners {
    fn default() -> Listeners {
        Listeners::new(SourceKind::Listener)
    }
}

impl Listeners {
    /// Creates a table of listeners whose keys are of this kind.
    pub fn new(kind: SourceKind) -> Listeners {
        Listeners { slots: Sources::new(kind), accept_pending: 0, closing: 0 }
    }

    /// Registers a listener of a route, and returns its key.
    pub fn open(
        &mut self,
        mut listener: Listener,
        route: u16,
        registry: &Registry,
    ) -> io::Result<Key> {
        let key = self.slots.vacant().ok_or(io::ErrorKind::QuotaExceeded)?;
        let token = Token(key.to_token());
        registry.register(listener.source(), token, Interest::READABLE)?;
        self.add(listener, route, key);
        Ok(key)
    }

    fn add(&mut self, listener: Listener, route: u16, key: Key) {
        let address = listener.address().into();
        let (accept_pending, pause, closing) = (false, None, None);
        let slot = ListenerSlot { listener, route, address, accept_pending, pause, closing };
        self.slots.insert(key, slot);
    }

    /// Marks a reported listener as pending, if it is still open and no operator has paused it.
    pub fn set_pending(&mut self, key: Key) {
        let Some(slot) = self.slots.get_mut(key) else { return };
        if !slot.awaits_operator() && !mem::replace(&mut slot.accept_pending, true) {
            self.accept_pending += 1;
        }
    }

    /// Stops accepting for an operator: clients wait in the accept queue. Returns false if an
    /// operator has paused the listener already, or if it is closing. `connections` are open now.
    pub fn pause(&mut self, key: Key, connections: usize, turn: &mut Turn<'_>) -> bool {
        let Some(slot) = self.slots.get_mut(key) else { return false };
        if slot.closing.is_some() || slot.awaits_operator() {
            return false;
        }
        self.accept_pending -= usize::from(mem::take(&mut slot.accept_pending));
        slot.pause = None;
        slot.set_paused(key, Pause::Operator, connections, turn);
        true
    }

    /// Accepts again after `pause`, beginning with the connections in the accept queue. Returns
    /// false if no operator has paused the listener.
    pub fn resume(&mut self, key: Key, connections: usize, turn: &mut Turn<'_>) -> bool {
        let Some(slot) = self.slots.get_mut(key) else { return false };
        if !matches!(slot.pause, Some(Pause::Operator)) {
            return false;
        }
        slot.resume(key, connections, turn);
        self.set_pending(key);
        true
    }

    /// The route of a listener.
    pub fn route(&self, key: Key) -> Option<u16> {
        self.slots.get(key).map(|slot| slot.route)
    }

    /// Hands a listener over to another route. Its socket stays open with its accept queue; it is
    /// no longer closing.
    pub fn set_route(&mut self, key: Key, route: u16) {
        let Some(slot) = self.slots.get_mut(key) else { return };
        slot.route = route;
        if slot.closing.take().is_some() {
            self.closing -= 1;
        }
    }

    /// Changes the requested length of the accept queue.
    pub fn set_backlog(&mut self, key: Key, backlog: Option<u32>) {
        if let Some(slot) = self.slots.get_mut(key) {
            slot.listener.set_backlog(backlog);
        }
    }

    pub fn get(&self, key: Key) -> Option<&ListenerSlot> {
        self.slots.get(key)
    }

    pub fn iter(&self) -> impl Iterator<Item = (Key, &ListenerSlot)> {
        self.slots.iter()
    }

    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Closes a listener as soon as its accept queue is empty, because closing a listener resets
    /// the connections in its queue. It accepts at most one full queue more, so that new clients
    /// cannot keep it open.
    pub fn close_when_empty(&mut self, key: Key) {
        let Some(slot) = self.slots.get_mut(key) else { return };
        if slot.closing.is_none() {
            slot.closing = Some(slot.listener.backlog() + 1);
            self.closing += 1;
        }
        self.set_pending(key);
    }

    /// Closes each listener as soon as its accept queue is empty.
    pub fn close_all_when_empty(&mut self) {
        let keys: Vec<Key> = self.slots.iter().map(|(key, _)| key).collect();
        keys.into_iter().for_each(|key| self.close_when_empty(key));
    }

    /// Whether listeners are to be closed when their accept queue is empty.
    pub fn has_closing(&self) -> bool {
        self.closing > 0
    }

    /// Closes the closing listeners whose accept queue is empty. Returns whether there were any.
    pub fn close_empty(&mut self, registry: &Registry) -> bool {
        let is_done = |slot: &ListenerSlot| {
            slot.closing.is_some_and(|left| left == 0 || !slot.accept_pending)
        };
        let done = self.slots.iter().filter(|(_, slot)| is_done(slot));
        let keys: Vec<Key> = done.map(|(key, _)| key).collect();
        keys.iter().for_each(|key| self.close(*key, registry));
        !keys.is_empty()
    }

    /// Closes a listener now. The connections in its accept queue are reset.
    pub fn close(&mut self, key: Key, registry: &Registry) {
        let Some(mut slot) = self.slots.remove(key) else { return };
        self.accept_pending -= usize::from(slot.accept_pending);
        self.closing -= usize::from(slot.closing.is_some());
        // Closing it is not enough: another process may have a descriptor of the same socket.
        let _ = registry.deregister(slot.listener.source());
    }

    /// Closes all listeners now. The connections in their accept queues are reset.
    pub fn close_now(&mut self) {
        let keys: Vec<Key> = self.slots.iter().map(|(key, _)| key).collect();
        keys.into_iter().for_each(|key| drop(self.slots.remove(key)));
        (self.accept_pending, self.closing) = (0, 0);
    }

    /// Returns how long the loop may sleep until a listener is to be tried.
    #[inline]
    pub fn sleep(&self, now: Moment, capacity_left: usize) -> Option<Duration> {
        if self.has_pending() { self.sleep_pending(now, capacity_left) } else { None }
    }

    #[inline(never)]
    fn sleep_pending(&self, now: Moment, capacity_left: usize) -> Option<Duration> {
        let of = |slot: &ListenerSlot| match &slot.pause {
            _ if !slot.accept_pending => None,
            None => Some(Duration::ZERO),
            Some(Pause::Limit) => (capacity_left > 0).then_some(Duration::ZERO),
            Some(Pause::System { again, .. }) => Some(again.since(now)),
            Some(Pause::Operator) => slot.closing.map(|_| Duration::ZERO),
        };
        self.slots.iter().filter_map(|(_, slot)| of(slot)).min()
    }

    /// Retries paused listeners now: a closed connection may have freed the missing resource.
    pub fn retry_paused(&mut self, now: Moment) {
        for slot in self.slots.iter_mut() {
            if let Some(Pause::System { again, .. }) = &mut slot.pause {
                *again = now;
            }
        }
    }

    /// Accepts the next connection of a listener, if it is pending and the limit allows one more.
    /// `connections` are open now. `register` registers the new socket. If that fails (ENOSPC,
    /// ENOMEM), the client is reset and the listener is paused.
    pub fn accept(
        &mut self,
        key: Key,
        capacity_left: usize,
        connections: usize,
        turn: &mut Turn<'_>,
        register: impl FnOnce(&mut Socket) -> io::Result<Key>,
    ) -> Option<Accepted> {
        let slot = self.slots.get_mut(key)?;
        if !slot.may_try(capacity_left, turn.now) {
            return None;
        }
        if capacity_left == 0 {
            slot.set_paused(key, Pause::Limit, connections, turn);
            return None;
        }
        loop {
            match slot.listener.accept() {
                AcceptResult::Accepted(mut socket, peer) => match register(&mut socket) {
                    Ok(conn) => {
                        slot.resume(key, connections, turn);
                        if let Some(left) = &mut slot.closing {
                            *left = left.saturating_sub(1);
                        }
                        let (address, route) = (slot.address.clone(), slot.route);
                        return Some(Accepted { socket, key: conn, address, peer, route });
                    }
                    Err(error) => {
                        // Its events would never be reported. A FIN would look like a clean end.
                        socket.reset_on_drop();
                        let fault = SysError::from(&error);
                        turn.on(key, &Event::AcceptFailed { address: &slot.address, fault });
                        slot.pause_for_system(key, fault, connections, turn);
                        return None;
                    }
                },
                AcceptResult::Retry(fault) => {
                    turn.on(key, &Event::AcceptFailed { address: &slot.address, fault });
                }
                AcceptResult::WouldBlock => {
                    slot.accept_pending = false;
                    self.accept_pending -= 1;
                    slot.resume(key, connections, turn);
                    return None;
                }
                AcceptResult::Pause(fault) => {
                    slot.pause_for_system(key, fault, connections, turn);
                    return None;
                }
            }
        }
    }

    /// Whether any listener is pending.
    pub fn has_pending(&self) -> bool {
        self.accept_pending > 0
    }

    /// The next pending listener from this slot on. Moves the cursor behind it.
    pub fn next_pending(&self, cursor: &mut usize) -> Option<Key> {
        while let Some(key) = self.slots.next_from(*cursor) {
            *cursor = key.source_slot() + 1;
            if self.slots.get(key).is_some_and(|slot| slot.accept_pending) {
                return Some(key);
            }
        }
        None
    }

    /// Maximum number of connections that a listener of this service accepts per turn.
    pub fn budget(service: &Service) -> usize {
        match service {
            Service::Relay(_) => ACCEPT_BUDGET / RELAY_COST,
            _ => ACCEPT_BUDGET,
        }
    }
}

impl ListenerSlot {
    /// The bound address.
    pub fn at(&self) -> &Address {
        self.listener.at()
    }

    pub fn route(&self) -> u16 {
        self.route
    }

    /// Why accepting is paused. None: it is not.
    pub fn paused(&self) -> Option<PauseCause> {
        self.pause.as_ref().map(Pause::cause)
    }

    /// Whether connections may be waiting that the loop is about to accept.
    pub fn is_pending(&self) -> bool {
        self.accept_pending
    }

    /// Whether it closes as soon as its accept queue is empty.
    pub fn is_closing(&self) -> bool {
        self.closing.is_some()
    }

    /// The accept queue, where the system reports it.
    pub fn accept_queue(&self) -> Option<AcceptQueue> {
        self.listener.accept_queue()
    }

    /// Whether it accepts nothing until an operator resumes it. A closing one accepts its queue.
    fn awaits_operator(&self) -> bool {
        matches!(self.pause, Some(Pause::Operator)) && self.closing.is_none()
    }

    /// The state in a dump.
    pub fn state(&self) -> &'static str {
        match (&self.pause, self.accept_pending) {
            _ if self.closing.is_some() => "closing",
            (Some(Pause::Limit), _) => "paused, connection limit reached",
            (Some(Pause::System { .. }), _) => "paused, out of descriptors or memory",
            (Some(Pause::Operator), _) => "paused by an operator",
            (None, true) => "connections pending",
            (None, false) => "no connections pending",
        }
    }

    fn may_try(&self, capacity_left: usize, now: Moment) -> bool {
        self.accept_pending
            && self.closing != Some(0)
            && match &self.pause {
                None => true,
                Some(Pause::Limit) => capacity_left > 0,
                Some(Pause::System { again, .. }) => *again <= now,
                Some(Pause::Operator) => self.closing.is_some(),
            }
    }

    /// Pauses because the system is out of a resource, for longer each time until an accept
    /// succeeds.
    fn pause_for_system(
        &mut self,
        key: Key,
        fault: SysError,
        connections: usize,
        turn: &mut Turn<'_>,
    ) {
        let wait = match self.pause {
            Some(Pause::System { wait, .. }) => (wait * 2).min(RETRY_MAX),
            Some(Pause::Limit | Pause::Operator) | None => RETRY_FIRST,
        };
        let again = turn.now.after(wait);
        self.set_paused(key, Pause::System { again, wait, fault }, connections, turn);
    }

    /// Pauses, and reports it if the listener was not paused before.
    fn set_paused(&mut self, key: Key, pause: Pause, connections: usize, turn: &mut Turn<'_>) {
        let cause = pause.cause();
        if self.pause.replace(pause).is_none() {
            let address = &self.address;
            turn.on(key, &Event::AcceptPaused { address, cause, connections });
        }
    }

    fn resume(&mut self, key: Key, connections: usize, turn: &mut Turn<'_>) {
        if let Some(pause) = self.pause.take() {
            let (address, cause) = (&self.address, pause.cause());
            turn.on(key, &Event::AcceptResumed { address, cause, connections });
        }
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests;
