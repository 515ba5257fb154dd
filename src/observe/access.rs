//! Writes the access log: one line for each connection and each datagram flow when it closes.
//!
//! The core keeps no addresses. This observer stores them while a connection is open, so they cost
//! memory only if the access log is on.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use log::Level;

use crate::config::AccessFormat;
use crate::core::{Close, Event, Key, Moment, Observer, Peer, ServiceKind, Wants};

use super::access_line::{AccessLine, Entry, Frontend};
use super::format::{ACCESS, Stamp};

/// An observer that writes the access log.
pub struct AccessObserver {
    format: AccessFormat,
    open: HashMap<Key, Opened>,
    listeners: Vec<Frontend>,
    targets: Vec<Target>,
}

/// An open connection.
struct Opened {
    peer: Peer,
    /// Index into `listeners`.
    listener: usize,
    /// Index into `targets` of the last target tried.
    target: Option<usize>,
    tries: u32,
    connect: Option<Duration>,
}

/// A target. An entry without live connections is reused for another target, so there are at most
/// as many entries as connections.
#[derive(Default)]
struct Target {
    name: String,
    live: usize,
}

impl AccessObserver {
    pub fn new(format: AccessFormat) -> AccessObserver {
        let (listeners, targets) = (Vec::new(), Vec::new());
        AccessObserver { format, open: HashMap::new(), listeners, targets }
    }

    /// Returns the line of a connection that closes now. It still counts as live.
    fn entry(&self, key: Key, closed: &Closed, now: SystemTime) -> Option<Entry<'_>> {
        let opened = self.open.get(&key.at(0))?;
        let target = opened.target.map(|index| &self.targets[index]);
        Some(Entry {
            conn: key.id,
            ended: Stamp(now),
            opened: Stamp(now.checked_sub(closed.life).unwrap_or(now)),
            peer: &opened.peer,
            listener: &self.listeners[opened.listener],
            target: target.map(|target| target.name.as_str()),
            target_live: target.map_or(0, |target| target.live),
            live: self.open.len(),
            tries: opened.tries,
            connect: opened.connect,
            life: closed.life,
            up: closed.up,
            down: closed.down,
            ending: closed.ending,
        })
    }

    fn opened(&mut self, key: Key, route: u16, service: ServiceKind, listen: &str, peer: &Peer) {
        let listener = listener(&mut self.listeners, route, service, listen);
        self.listeners[listener].live += 1;
        let peer = peer.clone();
        let opened = Opened { peer, listener, target: None, tries: 0, connect: None };
        self.open.insert(key.at(0), opened);
    }

    fn dialing(&mut self, key: Key, name: &str, attempt: u32) {
        let Some(opened) = self.open.get_mut(&key.at(0)) else { return };
        if let Some(last) = opened.target {
            self.targets[last].live -= 1;
        }
        let target = target(&mut self.targets, name);
        self.targets[target].live += 1;
        opened.target = Some(target);
        opened.tries = attempt;
    }

    fn closed(&mut self, key: Key, closed: &Closed, now: SystemTime) {
        if let Some(entry) = self.entry(key, closed, now) {
            let line = AccessLine { entry: &entry, format: self.format };
            log::log!(target: ACCESS, Level::Info, "{line}");
        }
        let Some(opened) = self.open.remove(&key.at(0)) else { return };
        self.listeners[opened.listener].live -= 1;
        if let Some(target) = opened.target {
            self.targets[target].live -= 1;
        }
    }
}

impl Observer for AccessObserver {
    fn on(&mut self, key: Key, event: &Event<'_>) {
        match *event {
            Event::Opened { route, service, listen, peer, .. } => {
                if log::log_enabled!(target: ACCESS, Level::Info) {
                    self.opened(key, route, service, listen, peer);
                }
            }
            Event::Dialing { target, attempt } => self.dialing(key, target, attempt),
            Event::Connected { after } => {
                if let Some(opened) = self.open.get_mut(&key.at(0)) {
                    opened.connect = Some(after);
                }
            }
            Event::Closed { ending, up, down, lasted: life, .. } => {
                self.closed(key, &Closed { ending, up, down, life }, SystemTime::now());
            }
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
            | Event::DialFailed { .. }
            | Event::EndOfFile
            | Event::ShutDown
            | Event::Message { .. }
            | Event::Missed { .. }
            | Event::CutOff { .. }
            | Event::Stalled { .. }
            | Event::Resumed { .. }
            | Event::Marked { .. }
            | Event::Stale
            | Event::Payload { .. }
            | Event::Read { .. }
            | Event::Wrote { .. }
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

    fn begin_turn(&mut self, _: Moment) -> Wants {
        Wants::default()
    }
}

struct Closed {
    ending: Close,
    up: u64,
    down: u64,
    life: Duration,
}

fn listener(
    listeners: &mut Vec<Frontend>,
    route: u16,
    service: ServiceKind,
    listen: &str,
) -> usize {
    // The index of a route is reused, for another service too.
    let known = listeners.iter().position(|known| {
        known.route == route && known.service == service && known.listen == listen
    });
    known.unwrap_or_else(|| {
        listeners.push(Frontend { route, service, listen: listen.to_string(), live: 0 });
        listeners.len() - 1
    })
}

fn target(targets: &mut Vec<Target>, name: &str) -> usize {
    if let Some(known) = targets.iter().position(|target| target.name == name) {
        return known;
    }
    let free = targets.iter().position(|target| target.live == 0).unwrap_or_else(|| {
        targets.push(Target::default());
        targets.len() - 1
    });
    targets[free].name = name.to_string();
    free
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::{CloseKind, Reason, Side};

    fn observer() -> AccessObserver {
        AccessObserver::new(AccessFormat::Logfmt)
    }

    fn open(access: &mut AccessObserver, id: u32) -> Key {
        let key = Key::new(id, id as usize);
        access.opened(key, 0, ServiceKind::Relay, "tcp://127.0.0.1:7", &Peer::Stdio);
        key
    }

    fn closed() -> Closed {
        let ending = Close { reason: Reason::Finished, first: Side::Client, by: CloseKind::Fin };
        Closed { ending, up: 1, down: 2, life: Duration::from_secs(1) }
    }

    #[test]
    fn an_entry_has_the_last_target_tried_and_the_live_connections() {
        let mut access = observer();
        let (one, two) = (open(&mut access, 1), open(&mut access, 2));
        access.dialing(one, "tcp://[::1]:1", 1);
        access.dialing(one, "tcp://[::1]:2", 2);
        access.dialing(two, "tcp://[::1]:2", 1);
        access.on(one.at(1), &Event::Connected { after: Duration::from_millis(3) });
        let entry = access.entry(one, &closed(), SystemTime::now()).expect("known");
        assert_eq!((entry.conn, entry.tries, entry.live), (1, 2, 2));
        assert_eq!((entry.target, entry.target_live), (Some("tcp://[::1]:2"), 2));
        assert_eq!(entry.connect, Some(Duration::from_millis(3)));
        assert_eq!(entry.listener.live, 2);
        let lasted = entry.ended.0.duration_since(entry.opened.0).expect("in order");
        assert_eq!(lasted, Duration::from_secs(1));
    }

    #[test]
    fn closed_connections_leave_no_entries() {
        let mut access = observer();
        for id in 1..=1000 {
            let key = open(&mut access, id);
            access.dialing(key, &format!("tcp://127.0.0.1:{id}"), 1);
            access.closed(key.at(1), &closed(), SystemTime::now());
        }
        assert!(access.open.is_empty());
        assert_eq!((access.listeners.len(), access.listeners[0].live), (1, 0));
        assert_eq!((access.targets.len(), access.targets[0].live), (1, 0));
    }

    #[test]
    fn a_connection_that_was_not_opened_here_is_ignored() {
        let mut access = observer();
        let key = Key::new(1, 1);
        access.on(key, &Event::Dialing { target: "x", attempt: 1 });
        let Closed { ending, up, down, life: lasted } = closed();
        access.on(key, &Event::Closed { ending, up, down, lasted });
        assert!(access.targets.is_empty());
    }
}
