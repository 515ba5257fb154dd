//! The doors: listening sockets, which of them have somebody waiting, and which of them rest
//! because we are full.
//!
//! A listener is announced once for all that wait in its queue. So a door that was announced stays
//! *knocked* until accepting says that nobody waits any more, however many turns that takes; and a
//! paused door is tried again by us, since no new event will come for those who wait already.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::core::{Event, Fault, Key, Moment, Observer, Peer, Stream};
use crate::plan::Service;

use super::listener::{Listener, Verdict};
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
pub struct Doors {
    doors: Vec<Door>,
    /// How many of them are knocked; most turns need not look further.
    knocked: usize,
}

/// One listening socket.
pub struct Door {
    listener: Listener,
    route: u16,
    pub address: Arc<str>,
    key: Key,
    knocked: bool,
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
pub struct Guest {
    pub socket: Socket,
    /// The key under which its socket is registered.
    pub key: Key,
    pub address: Arc<str>,
    pub peer: Peer,
    pub route: u16,
}

impl Doors {
    pub fn add(&mut self, listener: Listener, route: u16, key: Key) {
        let address = listener.address().into();
        let (knocked, pause, closing) = (false, None, None);
        self.doors.push(Door { listener, route, address, key, knocked, pause, closing });
    }

    /// The system announced a listener.
    pub fn knock(&mut self, key: Key) -> bool {
        let Some(door) = self.doors.iter_mut().find(|door| door.key == key) else { return false };
        if !std::mem::replace(&mut door.knocked, true) {
            self.knocked += 1;
        }
        true
    }

    /// The route of a listener.
    pub fn route(&self, index: usize) -> u16 {
        self.doors[index].route
    }

    pub fn iter(&self) -> impl Iterator<Item = &Door> {
        self.doors.iter()
    }

    pub fn is_empty(&self) -> bool {
        self.doors.is_empty()
    }

    /// Closes each listener as soon as its accept queue is empty: the system resets the clients
    /// that still wait in the queue of a listener that is closed. A listener accepts one queue's
    /// worth at most, so that new clients cannot keep it open.
    pub fn close_when_empty(&mut self) {
        for door in &mut self.doors {
            door.closing.get_or_insert(door.listener.backlog() + 1);
            door.knocked = true;
        }
        self.knocked = self.doors.len();
    }

    /// Closes the listeners that were to close and have an empty accept queue.
    pub fn close_empty(&mut self) {
        let is_done = |door: &Door| door.closing.is_some_and(|left| left == 0 || !door.knocked);
        self.doors.retain(|door| !is_done(door));
        self.knocked = self.doors.iter().filter(|door| door.knocked).count();
    }

    /// Closes all listeners now. Clients in their accept queues are reset.
    pub fn close_now(&mut self) {
        self.doors.clear();
        self.knocked = 0;
    }

    /// How long the loop may sleep for the doors' sake.
    #[inline]
    pub fn sleep(&self, now: Moment, room: usize) -> Option<Duration> {
        if self.is_quiet() { None } else { self.sleep_knocked(now, room) }
    }

    #[inline(never)]
    fn sleep_knocked(&self, now: Moment, room: usize) -> Option<Duration> {
        let of = |door: &Door| match &door.pause {
            _ if !door.knocked => None,
            None => Some(Duration::ZERO),
            Some(Pause::Limit) => (room > 0).then_some(Duration::ZERO),
            Some(Pause::System { again, .. }) => Some(again.since(now)),
        };
        self.doors.iter().filter_map(of).min()
    }

    /// A connection was closed: what it held may be what was missing.
    pub fn room_was_made(&mut self, now: Moment) {
        for door in &mut self.doors {
            if let Some(Pause::System { again, .. }) = &mut door.pause {
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
    ) -> Option<Guest> {
        let door = &mut self.doors[index];
        if !door.may_try(room, now) {
            return None;
        }
        if room == 0 {
            door.rest(Pause::Limit, None, connections, seen);
            return None;
        }
        loop {
            match door.listener.accept() {
                Verdict::Taken(mut socket, peer) => match register(&mut socket) {
                    Ok(key) => {
                        door.resume(connections, seen);
                        if let Some(left) = &mut door.closing {
                            *left = left.saturating_sub(1);
                        }
                        let (address, route) = (door.address.clone(), door.route);
                        return Some(Guest { socket, key, address, peer, route });
                    }
                    Err(error) => {
                        // Its events would never be reported. A FIN would look like an answer.
                        socket.reset_on_drop();
                        let fault = Fault::from(&error);
                        seen.on(door.key, &Event::AcceptFailed { address: &door.address, fault });
                        door.rest_for_system(fault, connections, now, seen);
                        return None;
                    }
                },
                Verdict::Retry(fault) => {
                    seen.on(door.key, &Event::AcceptFailed { address: &door.address, fault });
                }
                Verdict::Rest => {
                    door.knocked = false;
                    self.knocked -= 1;
                    door.resume(connections, seen);
                    return None;
                }
                Verdict::Pause(fault) => {
                    door.rest_for_system(fault, connections, now, seen);
                    return None;
                }
            }
        }
    }

    /// Whether nobody waits at any of them.
    pub fn is_quiet(&self) -> bool {
        self.knocked == 0
    }

    pub fn len(&self) -> usize {
        self.doors.len()
    }

    /// Maximum number of connections that a listener of this service accepts per turn.
    pub fn budget(service: &Service) -> usize {
        match service {
            Service::Relay(_) => ACCEPT_BUDGET / RELAY_COST,
            _ => ACCEPT_BUDGET,
        }
    }
}

impl Door {
    /// A word or two for a dump.
    pub fn state(&self) -> &'static str {
        match (&self.pause, self.knocked) {
            (Some(Pause::Limit), _) => "rests, all connections are taken",
            (Some(Pause::System { .. }), _) => "rests, the system has no room",
            (None, true) => "somebody waits",
            (None, false) => "nobody waits",
        }
    }

    fn may_try(&self, room: usize, now: Moment) -> bool {
        self.knocked
            && self.closing != Some(0)
            && match &self.pause {
                None => true,
                Some(Pause::Limit) => room > 0,
                Some(Pause::System { again, .. }) => *again <= now,
            }
    }

    /// Rests because the system is out of something, longer each time until a client gets in.
    fn rest_for_system(
        &mut self,
        fault: Fault,
        connections: usize,
        now: Moment,
        seen: &mut dyn Observer,
    ) {
        let wait = match self.pause {
            Some(Pause::System { wait, .. }) => (wait * 2).min(RETRY_LONGEST),
            _ => RETRY_FIRST,
        };
        let again = now.after(wait);
        self.rest(Pause::System { again, wait }, Some(fault), connections, seen);
    }

    /// Says once that it rests, and why; to go on resting is no news.
    fn rest(
        &mut self,
        pause: Pause,
        fault: Option<Fault>,
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
            let code = |fault: &Fault| fault.code.unwrap_or(0);
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
    fn doors(clients: usize) -> (Doors, Vec<TcpStream>) {
        let listener = Listener::bind(&"127.0.0.1:0".parse().unwrap()).unwrap().remove(0);
        let at = ("127.0.0.1", listener.at().port().unwrap());
        let mut doors = Doors::default();
        doors.add(listener, 0, Key::door(2));
        let clients = (0..clients).map(|_| TcpStream::connect(at).unwrap()).collect();
        assert!(doors.knock(Key::door(2)));
        (doors, clients)
    }

    #[test]
    fn a_client_that_the_poll_refuses_to_watch_is_reset_and_accepting_pauses() {
        for code in [libc::ENOSPC, libc::ENOMEM] {
            let (mut doors, mut clients) = doors(4);
            let mut log = Log::default();
            let refuse = |_: &mut Socket| Err(io::Error::from_raw_os_error(code));
            let mut now = Moment(0);
            for wait in [100, 200] {
                assert!(doors.accept(0, 9, (0, now), &mut log, refuse).is_none());
                let wait = Duration::from_millis(wait);
                assert_eq!(doors.sleep(now, 9), Some(wait));
                now = now.after(wait);
            }
            // One try a pause: the clients that wait are not used up.
            for client in clients.drain(..2) {
                let error = (&client).read(&mut [0]).unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
            }
            let guest = doors.accept(0, 9, (0, now), &mut log, |_| Ok(KEY)).unwrap();
            assert_eq!(guest.peer, Peer::Inet(clients[0].local_addr().unwrap()));
            let failed = format!("failed {code}");
            let told = [&failed, &format!("paused {code}"), &failed, "resumed"];
            assert_eq!(log.0, told);
        }
    }

    #[test]
    fn a_relay_accepts_fewer_clients_per_turn_than_a_service_that_dials_nobody() {
        assert_eq!(Doors::budget(&Service::Echo), ACCEPT_BUDGET);
        assert_eq!(Doors::budget(&Service::Relay(Vec::new())), ACCEPT_BUDGET / RELAY_COST);
    }
}
