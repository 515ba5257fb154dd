//! The connections of the load generator: owns the engine, its observer, the dialer and the sink,
//! and knows the load of each connection. The runner decides what is opened, woken and closed.

use std::io;
use std::time::Duration;

use mio::Registry;

use crate::config::Listen;
use crate::core::time::Tick;
use crate::core::{
    Buffers, Conn, ConnIds, Dial, Engine, Key, Moment, Ready, Reason, SysError, Timeouts, Turn,
};
use crate::net::listener::Listener;
use crate::net::{CannotListen, Socket, interests};
use crate::runtime::event_loop::{EventLoop, Source, token};
use crate::runtime::listeners::{Accepted, Listeners};

use super::dial::LoadDialer;
use super::endpoint::Endpoint;
use super::load::RunClock;
use super::load_watch::LoadWatch;
use super::script::Script;

/// All connections of this process.
pub struct Conns {
    engine: Engine<Endpoint>,
    /// What the engine has reported since the loop last took it.
    pub watch: LoadWatch,
    ids: ConnIds,
    dialer: LoadDialer,
    clock: RunClock,
    pub sink: Sink,
}

/// The listeners that accept streams as their far end. A header at the start of each stream
/// describes it.
#[derive(Default)]
pub struct Sink {
    pub listeners: Listeners,
    pub addresses: Vec<String>,
}

impl Sink {
    /// Listens for streams, which belong to this load.
    pub fn open(
        &mut self,
        listen: &Listen,
        group: usize,
        registry: &Registry,
    ) -> Result<(), CannotListen> {
        for listener in Listener::bind(listen)? {
            self.addresses.push(listener.address().to_string());
            self.listeners
                .open(listener, group as u16, registry)
                .map_err(|error| CannotListen { address: listen.address.clone(), error })?;
        }
        Ok(())
    }
}

impl Conns {
    /// Prepares for `capacity` connections of as many loads as there are timeouts.
    pub fn new(
        timeouts: Vec<Timeouts>,
        capacity: usize,
        dialer: LoadDialer,
        clock: RunClock,
    ) -> Conns {
        let watch = LoadWatch::new(timeouts.len());
        let engine = Engine::new(timeouts, capacity, Buffers::default());
        Conns { engine, watch, ids: ConnIds::default(), dialer, clock, sink: Sink::default() }
    }

    pub fn moment(&self) -> Moment {
        Moment(self.clock.now().as_micros() as u64)
    }

    /// Returns a turn at the current time.
    pub fn turn(&mut self) -> Turn<'_> {
        Turn::new(self.moment(), &mut self.watch)
    }

    /// Returns how long the loop may sleep until a deadline or a queued connection.
    pub fn sleep(&self) -> Option<Duration> {
        self.engine.sleep(self.moment())
    }

    /// Returns the number of connections with work left from the last turn.
    pub fn queued(&self) -> usize {
        self.engine.queued()
    }

    /// Marks what epoll reported for a connection.
    pub fn mark(&mut self, key: Key, ready: Ready, now: Moment) {
        self.engine.mark(key, ready, &mut Turn::new(now, &mut self.watch));
    }

    /// Queues the script of a connection: it has something to send or to read.
    pub fn wake(&mut self, key: Key) {
        self.mark(key.at(0), Ready::READ, self.moment());
    }

    /// Closes a connection.
    pub fn end(&mut self, key: Key, reason: Reason) {
        let turn = &mut Turn::new(self.moment(), &mut self.watch);
        self.engine.end(key, reason, turn);
    }

    /// Runs the queued connections.
    pub fn run(&mut self) {
        let turn = &mut Turn::new(self.moment(), &mut self.watch);
        self.engine.run(turn);
    }

    /// Runs the queued connections again, and closes those at a deadline.
    pub fn run_and_expire(&mut self) {
        let turn = &mut Turn::new(self.moment(), &mut self.watch);
        self.engine.run(turn);
        self.engine.expire(turn);
    }

    pub fn update_interest(&mut self, registry: &Registry) {
        let turn = &mut Turn::new(self.moment(), &mut self.watch);
        self.engine.update_interest(turn, |endpoint, key, muted| {
            endpoint.update_interest(registry, token(key), muted)
        });
    }

    /// Starts a connection of a load to the next target. `script` creates its script, if it has
    /// one.
    pub fn dial(
        &mut self,
        load: usize,
        registry: &Registry,
        script: impl FnOnce(Key) -> Option<Box<Script>>,
    ) -> io::Result<Key> {
        let id = self.ids.next();
        let key = self.engine.vacant(id);
        // On loopback the connect completes within the call, so take the time before.
        let now = self.moment();
        let mut endpoint = self.dialer.dial()?;
        endpoint.register(registry, token(key.at(1)))?;
        let (own, ready) = match script(key) {
            Some(script) => (Endpoint::Script(script), Ready::READ.with(Ready::WRITE)),
            None => (Endpoint::Null, Ready::WRITE),
        };
        self.watch.assign(key, load);
        let turn = &mut Turn::new(now, &mut self.watch);
        self.engine.insert(Conn::relay(own), id, load as u16, turn);
        self.engine.attach(key.at(1), endpoint, turn);
        self.engine.mark(key.at(0), ready, turn);
        Ok(key)
    }

    /// Accepts and registers a connection of the sink. `None`: no connection is pending.
    pub fn accept(
        &mut self,
        listener: Key,
        event_loop: &EventLoop,
    ) -> Result<Option<Accepted>, SysError> {
        let (now, live) = (self.moment(), self.engine.len());
        let (engine, ids, listeners) = (&self.engine, &mut self.ids, &mut self.sink.listeners);
        let mut fault = None;
        let register = |socket: &mut Socket| {
            let key = engine.vacant(ids.next());
            let (source, interests) = (Source::Conn(key.at(1)), interests(socket));
            let registered = event_loop.register(socket.source(), source, interests);
            registered.map(|()| key).inspect_err(|error| fault = Some(SysError::from(error)))
        };
        let turn = &mut Turn::new(now, &mut self.watch);
        let accepted = listeners.accept(listener, usize::MAX, live, turn, register);
        match (accepted, fault) {
            (None, Some(fault)) => Err(fault),
            (accepted, _) => Ok(accepted),
        }
    }

    /// Adds an accepted connection of a load.
    pub fn insert(&mut self, load: usize, accepted: Accepted, script: Script) {
        let key = accepted.key;
        self.watch.assign(key, load);
        let turn = &mut Turn::new(self.moment(), &mut self.watch);
        let conn = Conn::join(Endpoint::Script(Box::new(script)), accepted.socket.into());
        self.engine.insert(conn, key.id, load as u16, turn);
        self.engine.mark(key.at(0), Ready::READ.with(Ready::WRITE), turn);
    }

    /// Returns the load of a connection.
    pub fn load(&self, key: Key) -> usize {
        self.watch.group(key)
    }

    pub fn contains(&mut self, key: Key) -> bool {
        self.engine.get(key).is_some()
    }

    /// Returns the script of a connection, if it has one.
    pub fn script(&mut self, key: Key) -> Option<&mut Script> {
        match self.engine.get(key)?.ends.socket(0) {
            Some(Endpoint::Script(script)) => Some(script),
            _ => None,
        }
    }

    /// Permits a connection to send one more message. Returns false if the connection is gone.
    pub fn permit(&mut self, key: Key, due: Duration) -> bool {
        let Some(script) = self.script(key) else { return false };
        script.permit(due);
        self.wake(key);
        true
    }

    /// Gives a connection a script, and wakes it.
    pub fn set_script(&mut self, key: Key, script: Script) {
        if let Some(endpoint) = self.engine.get(key).and_then(|conn| conn.ends.socket(0)) {
            *endpoint = Endpoint::Script(Box::new(script));
            self.wake(key);
        }
    }

    /// Lets a socket only count the bytes it receives.
    pub fn count_only(&mut self, key: Key) {
        if let Some(endpoint) = self.engine.get(key).and_then(|conn| conn.ends.socket(1)) {
            endpoint.count_only();
        }
    }

    /// Returns since when a connection has waited for an answer. `None`: it does not wait.
    pub fn waits_since(&mut self, key: Key) -> Option<Tick> {
        let conn = self.engine.get(key)?;
        match conn.ends.socket(0) {
            Some(Endpoint::Script(script)) if script.waits() => Some(conn.active),
            _ => None,
        }
    }

    /// Returns the connections of the chosen loads, and whether each is still connecting.
    pub fn of_loads(&self, is_chosen: impl Fn(usize) -> bool) -> Vec<(Key, bool)> {
        let chosen = self.engine.iter().filter(|(key, _)| is_chosen(self.watch.group(*key)));
        chosen.map(|(key, conn)| (key, conn.is_opening())).collect()
    }

    /// Closes connections whose connect has failed.
    pub fn end_failed_dials(&mut self) {
        for (key, dial) in self.engine.dials() {
            if let Dial::Failed(error) = dial {
                let fault = SysError::from(&error);
                self.end(key, Reason::Refused { fault });
            }
        }
    }
}
