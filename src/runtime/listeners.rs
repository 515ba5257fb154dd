//! The listeners of the loop: which have pending connections, and which are paused at a limit.
//!
//! epoll reports a listener once, however many connections are in its accept queue. So a reported
//! listener stays *pending* until `accept` returns EAGAIN, however many turns that takes. A paused
//! listener is retried by the loop, because no event follows for connections already in the queue.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::config::Service;
use crate::core::{Event, Key, Moment, Peer, Stream, SysError, Turn};

use crate::net::listener::{AcceptResult, Listener};
use crate::net::socket::Socket;

/// Maximum number of connections that one listener accepts per turn; the others wait for the next.
pub const ACCEPT_BUDGET: usize = 64;

/// Cost of a relayed connection in units of the accept budget. Its dial creates, connects and
/// registers a socket, which costs about three times as much as the accept.
const RELAY_COST: usize = 4;

/// Delay until `accept` is retried after the system was out of descriptors or memory. It doubles
/// with each failure, up to the maximum.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(1);

/// All listening sockets of the loop.
#[derive(Default)]
pub struct Listeners {
    slots: Vec<ListenerSlot>,
    /// Number of pending listeners. If it is zero, as in most turns, no slot is looked at.
    accept_pending: usize,
}

/// One listening socket.
pub struct ListenerSlot {
    listener: Listener,
    route: u16,
    pub address: Arc<str>,
    key: Key,
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
    System { again: Moment, wait: Duration },
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

impl Listeners {
    pub fn add(&mut self, listener: Listener, route: u16, key: Key) {
        let address = listener.address().into();
        let (accept_pending, pause, closing) = (false, None, None);
        self.slots.push(ListenerSlot {
            listener,
            route,
            address,
            key,
            accept_pending,
            pause,
            closing,
        });
    }

    /// Marks a reported listener as pending. Returns false if the key is not one of a listener.
    pub fn set_pending(&mut self, key: Key) -> bool {
        let Some(slot) = self.slots.iter_mut().find(|slot| slot.key == key) else { return false };
        if !std::mem::replace(&mut slot.accept_pending, true) {
            self.accept_pending += 1;
        }
        true
    }

    /// The route of a listener.
    pub fn route(&self, index: usize) -> u16 {
        self.slots[index].route
    }

    pub fn iter(&self) -> impl Iterator<Item = &ListenerSlot> {
        self.slots.iter()
    }

    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Closes each listener as soon as its accept queue is empty, because closing a listener resets
    /// the connections in its queue. Each accepts at most one full queue more, so that new clients
    /// cannot keep it open.
    pub fn close_when_empty(&mut self) {
        for slot in &mut self.slots {
            slot.closing.get_or_insert(slot.listener.backlog() + 1);
            slot.accept_pending = true;
        }
        self.accept_pending = self.slots.len();
    }

    /// Closes the closing listeners whose accept queue is empty.
    pub fn close_empty(&mut self) {
        let is_done = |slot: &ListenerSlot| {
            slot.closing.is_some_and(|left| left == 0 || !slot.accept_pending)
        };
        self.slots.retain(|slot| !is_done(slot));
        self.accept_pending = self.slots.iter().filter(|slot| slot.accept_pending).count();
    }

    /// Closes all listeners now. The connections in their accept queues are reset.
    pub fn close_now(&mut self) {
        self.slots.clear();
        self.accept_pending = 0;
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
        };
        self.slots.iter().filter_map(of).min()
    }

    /// Retries paused listeners now: a closed connection may have freed the missing resource.
    pub fn retry_paused(&mut self, now: Moment) {
        for slot in &mut self.slots {
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
        index: usize,
        capacity_left: usize,
        connections: usize,
        turn: &mut Turn<'_>,
        register: impl FnOnce(&mut Socket) -> io::Result<Key>,
    ) -> Option<Accepted> {
        let slot = &mut self.slots[index];
        if !slot.may_try(capacity_left, turn.now) {
            return None;
        }
        if capacity_left == 0 {
            slot.set_paused(Pause::Limit, None, connections, turn);
            return None;
        }
        loop {
            match slot.listener.accept() {
                AcceptResult::Accepted(mut socket, peer) => match register(&mut socket) {
                    Ok(key) => {
                        slot.resume(connections, turn);
                        if let Some(left) = &mut slot.closing {
                            *left = left.saturating_sub(1);
                        }
                        let (address, route) = (slot.address.clone(), slot.route);
                        return Some(Accepted { socket, key, address, peer, route });
                    }
                    Err(error) => {
                        // Its events would never be reported. A FIN would look like a clean end.
                        socket.reset_on_drop();
                        let fault = SysError::from(&error);
                        turn.on(slot.key, &Event::AcceptFailed { address: &slot.address, fault });
                        slot.pause_for_system(fault, connections, turn);
                        return None;
                    }
                },
                AcceptResult::Retry(fault) => {
                    turn.on(slot.key, &Event::AcceptFailed { address: &slot.address, fault });
                }
                AcceptResult::WouldBlock => {
                    slot.accept_pending = false;
                    self.accept_pending -= 1;
                    slot.resume(connections, turn);
                    return None;
                }
                AcceptResult::Pause(fault) => {
                    slot.pause_for_system(fault, connections, turn);
                    return None;
                }
            }
        }
    }

    /// Whether any listener is pending.
    pub fn has_pending(&self) -> bool {
        self.accept_pending > 0
    }

    pub fn len(&self) -> usize {
        self.slots.len()
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
    /// The state in a dump.
    pub fn state(&self) -> &'static str {
        match (&self.pause, self.accept_pending) {
            (Some(Pause::Limit), _) => "paused, connection limit reached",
            (Some(Pause::System { .. }), _) => "paused, out of descriptors or memory",
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
            }
    }

    /// Pauses because the system is out of a resource, for longer each time until an accept
    /// succeeds.
    fn pause_for_system(&mut self, fault: SysError, connections: usize, turn: &mut Turn<'_>) {
        let wait = match self.pause {
            Some(Pause::System { wait, .. }) => (wait * 2).min(RETRY_MAX),
            _ => RETRY_FIRST,
        };
        let again = turn.now.after(wait);
        self.set_paused(Pause::System { again, wait }, Some(fault), connections, turn);
    }

    /// Pauses, and reports it if the listener was not paused before.
    fn set_paused(
        &mut self,
        pause: Pause,
        fault: Option<SysError>,
        connections: usize,
        turn: &mut Turn<'_>,
    ) {
        if self.pause.replace(pause).is_none() {
            let address = &self.address;
            turn.on(self.key, &Event::AcceptPaused { address, fault, connections });
        }
    }

    fn resume(&mut self, connections: usize, turn: &mut Turn<'_>) {
        if self.pause.take().is_some() {
            turn.on(self.key, &Event::AcceptResumed { address: &self.address, connections });
        }
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use std::io::Read;
    use std::net::TcpStream;

    use super::*;
    use crate::core::Observer;

    #[derive(Default)]
    struct Log(Vec<String>);

    impl Observer for Log {
        fn on(&mut self, _: Key, event: &Event<'_>) {
            let code = |fault: &SysError| fault.code.unwrap_or(0);
            self.0.push(match event {
                Event::AcceptPaused { fault, .. } => {
                    format!("paused {}", fault.as_ref().map_or(0, code))
                }
                Event::AcceptFailed { fault, .. } => format!("failed {}", code(fault)),
                Event::AcceptResumed { .. } => "resumed".to_string(),
                other => format!("{other:?}"),
            });
        }
    }

    const KEY: Key = Key::LOOP;

    /// One listener, and clients in its accept queue.
    fn slots(clients: usize) -> (Listeners, Vec<TcpStream>) {
        let listener = Listener::bind(&"127.0.0.1:0".parse().unwrap()).unwrap().remove(0);
        let at = ("127.0.0.1", listener.at().port().unwrap());
        let mut slots = Listeners::default();
        slots.add(listener, 0, Key::source(2));
        let clients = (0..clients).map(|_| TcpStream::connect(at).unwrap()).collect();
        assert!(slots.set_pending(Key::source(2)));
        (slots, clients)
    }

    #[test]
    fn a_client_that_the_poll_refuses_to_watch_is_reset_and_accepting_pauses() {
        for code in [libc::ENOSPC, libc::ENOMEM] {
            let (mut slots, mut clients) = slots(4);
            let mut log = Log::default();
            let refuse = |_: &mut Socket| Err(io::Error::from_raw_os_error(code));
            let mut now = Moment(0);
            for wait in [100, 200] {
                assert!(slots.accept(0, 9, 0, &mut Turn::new(now, &mut log), refuse).is_none());
                let wait = Duration::from_millis(wait);
                assert_eq!(slots.sleep(now, 9), Some(wait));
                now = now.after(wait);
            }
            // One attempt per pause: the other clients stay in the queue.
            for client in clients.drain(..2) {
                let error = (&client).read(&mut [0]).unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
            }
            let accepted =
                slots.accept(0, 9, 0, &mut Turn::new(now, &mut log), |_| Ok(KEY)).unwrap();
            assert_eq!(accepted.peer, Peer::Inet(clients[0].local_addr().unwrap()));
            let failed = format!("failed {code}");
            let expected = [&failed, &format!("paused {code}"), &failed, "resumed"];
            assert_eq!(log.0, expected);
        }
    }

    #[test]
    fn a_relay_accepts_fewer_clients_per_turn_than_a_service_that_does_not_dial() {
        assert_eq!(Listeners::budget(&Service::Echo), ACCEPT_BUDGET);
        assert_eq!(Listeners::budget(&Service::Relay(Vec::new())), ACCEPT_BUDGET / RELAY_COST);
    }
}
