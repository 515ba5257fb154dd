//! The doors: listening sockets, which of them have somebody waiting, and which of them rest
//! because we are full.
//!
//! A listener is announced once for all that wait in its queue. So a door that was announced stays
//! *knocked* until accepting says that nobody waits any more, however many turns that takes; and a
//! paused door is tried again by us, since no new event will come for those who wait already.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::core::{Event, Key, Moment, Observer, Peer, Stream, SysError};
use crate::plan::Service;

use super::listener::{AcceptResult, Listener};
use super::socket::Socket;

/// Maximum number of connections that one listener accepts per turn; the others wait for the next.
pub const ACCEPT_BUDGET: usize = 64;

/// What a relayed connection takes of the accept budget. Its dial makes a socket, connects and
/// registers it, which costs about three times as much as the accept.
const RELAY_COST: usize = 4;

/// The system had no room (descriptors, memory): so long until accepting is tried again. It doubles
/// with each failure up to the longest.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_LONGEST: Duration = Duration::from_secs(1);

/// All listening sockets of the loop.
#[derive(Default)]
pub struct Listeners {
    slots: Vec<ListenerSlot>,
    /// How many of them are knocked; most turns need not look further.
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
    /// The listener closes when its accept queue is empty, or after it has accepted so many more.
    closing: Option<usize>,
}

/// Why a door rests.
enum Pause {
    /// We hold as many connections as we may.
    Limit,
    /// The system is out of something; tried again at a time, or after a close.
    System { again: Moment, wait: Duration },
}

/// One who came in.
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

    /// The system announced a listener.
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

    /// Closes each listener as soon as its accept queue is empty: the system resets the clients
    /// that still wait in the queue of a listener that is closed. A listener accepts one queue's
    /// worth at most, so that new clients cannot keep it open.
    pub fn close_when_empty(&mut self) {
        for slot in &mut self.slots {
            slot.closing.get_or_insert(slot.listener.backlog() + 1);
            slot.accept_pending = true;
        }
        self.accept_pending = self.slots.len();
    }

    /// Closes the listeners that were to close and have an empty accept queue.
    pub fn close_empty(&mut self) {
        let is_done = |slot: &ListenerSlot| {
            slot.closing.is_some_and(|left| left == 0 || !slot.accept_pending)
        };
        self.slots.retain(|slot| !is_done(slot));
        self.accept_pending = self.slots.iter().filter(|slot| slot.accept_pending).count();
    }

    /// Closes all listeners now. Clients in their accept queues are reset.
    pub fn close_now(&mut self) {
        self.slots.clear();
        self.accept_pending = 0;
    }

    /// How long the loop may sleep for the doors' sake.
    #[inline]
    pub fn sleep(&self, now: Moment, room: usize) -> Option<Duration> {
        if self.is_quiet() { None } else { self.sleep_pending(now, room) }
    }

    #[inline(never)]
    fn sleep_pending(&self, now: Moment, room: usize) -> Option<Duration> {
        let of = |slot: &ListenerSlot| match &slot.pause {
            _ if !slot.accept_pending => None,
            None => Some(Duration::ZERO),
            Some(Pause::Limit) => (room > 0).then_some(Duration::ZERO),
            Some(Pause::System { again, .. }) => Some(again.since(now)),
        };
        self.slots.iter().filter_map(of).min()
    }

    /// A connection was closed: what it held may be what was missing.
    pub fn retry_paused(&mut self, now: Moment) {
        for slot in &mut self.slots {
            if let Some(Pause::System { again, .. }) = &mut slot.pause {
                *again = now;
            }
        }
    }

    /// The next one that waits at a door, if there is room for so many more beside the
    /// `connections` that there are. `register` has the poll watch the new socket; if the system
    /// refuses that (ENOSPC, ENOMEM), the client is reset and the door rests.
    pub fn accept(
        &mut self,
        index: usize,
        room: usize,
        (connections, now): (usize, Moment),
        seen: &mut dyn Observer,
        register: impl FnOnce(&mut Socket) -> io::Result<Key>,
    ) -> Option<Accepted> {
        let slot = &mut self.slots[index];
        if !slot.may_try(room, now) {
            return None;
        }
        if room == 0 {
            slot.set_paused(Pause::Limit, None, connections, seen);
            return None;
        }
        loop {
            match slot.listener.accept() {
                AcceptResult::Accepted(mut socket, peer) => match register(&mut socket) {
                    Ok(key) => {
                        slot.resume(connections, seen);
                        if let Some(left) = &mut slot.closing {
                            *left = left.saturating_sub(1);
                        }
                        let (address, route) = (slot.address.clone(), slot.route);
                        return Some(Accepted { socket, key, address, peer, route });
                    }
                    Err(error) => {
                        // Its events would never be reported. A FIN would look like an answer.
                        socket.reset_on_drop();
                        let fault = SysError::from(&error);
                        seen.on(slot.key, &Event::AcceptFailed { address: &slot.address, fault });
                        slot.pause_for_system(fault, connections, now, seen);
                        return None;
                    }
                },
                AcceptResult::Retry(fault) => {
                    seen.on(slot.key, &Event::AcceptFailed { address: &slot.address, fault });
                }
                AcceptResult::WouldBlock => {
                    slot.accept_pending = false;
                    self.accept_pending -= 1;
                    slot.resume(connections, seen);
                    return None;
                }
                AcceptResult::Pause(fault) => {
                    slot.pause_for_system(fault, connections, now, seen);
                    return None;
                }
            }
        }
    }

    /// Whether nobody waits at any of them.
    pub fn is_quiet(&self) -> bool {
        self.accept_pending == 0
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
    /// A word or two for a dump.
    pub fn state(&self) -> &'static str {
        match (&self.pause, self.accept_pending) {
            (Some(Pause::Limit), _) => "rests, all connections are taken",
            (Some(Pause::System { .. }), _) => "rests, the system has no room",
            (None, true) => "somebody waits",
            (None, false) => "nobody waits",
        }
    }

    fn may_try(&self, room: usize, now: Moment) -> bool {
        self.accept_pending
            && self.closing != Some(0)
            && match &self.pause {
                None => true,
                Some(Pause::Limit) => room > 0,
                Some(Pause::System { again, .. }) => *again <= now,
            }
    }

    /// Rests because the system is out of something, longer each time until a client gets in.
    fn pause_for_system(
        &mut self,
        fault: SysError,
        connections: usize,
        now: Moment,
        seen: &mut dyn Observer,
    ) {
        let wait = match self.pause {
            Some(Pause::System { wait, .. }) => (wait * 2).min(RETRY_LONGEST),
            _ => RETRY_FIRST,
        };
        let again = now.after(wait);
        self.set_paused(Pause::System { again, wait }, Some(fault), connections, seen);
    }

    /// Says once that it rests, and why; to go on resting is no news.
    fn set_paused(
        &mut self,
        pause: Pause,
        fault: Option<SysError>,
        connections: usize,
        seen: &mut dyn Observer,
    ) {
        if self.pause.replace(pause).is_none() {
            let address = &self.address;
            seen.on(self.key, &Event::AcceptPaused { address, fault, connections });
        }
    }

    fn resume(&mut self, connections: usize, seen: &mut dyn Observer) {
        if self.pause.take().is_some() {
            seen.on(self.key, &Event::AcceptResumed { address: &self.address, connections });
        }
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use std::io::Read;
    use std::net::TcpStream;

    use super::*;

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

    /// One listener, and clients that wait in its queue.
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
                assert!(slots.accept(0, 9, (0, now), &mut log, refuse).is_none());
                let wait = Duration::from_millis(wait);
                assert_eq!(slots.sleep(now, 9), Some(wait));
                now = now.after(wait);
            }
            // One try a pause: the clients that wait are not used up.
            for client in clients.drain(..2) {
                let error = (&client).read(&mut [0]).unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
            }
            let accepted = slots.accept(0, 9, (0, now), &mut log, |_| Ok(KEY)).unwrap();
            assert_eq!(accepted.peer, Peer::Inet(clients[0].local_addr().unwrap()));
            let failed = format!("failed {code}");
            let told = [&failed, &format!("paused {code}"), &failed, "resumed"];
            assert_eq!(log.0, told);
        }
    }

    #[test]
    fn a_relay_accepts_fewer_clients_per_turn_than_a_service_that_dials_nobody() {
        assert_eq!(Listeners::budget(&Service::Echo), ACCEPT_BUDGET);
        assert_eq!(Listeners::budget(&Service::Relay(Vec::new())), ACCEPT_BUDGET / RELAY_COST);
    }
}
