//! The transport of the admin endpoint: its listeners and its connections. They have an engine of
//! their own, so they count nowhere: not as connections, not for limits, not for a drain. Knows
//! nothing of HTTP; the owner of the local ends does.

use std::io;
use std::mem;
use std::time::Duration;

use crate::config::{AdminPlan, is_loopback};
use crate::core::{
    Buffers, Conn, ConnIds, Engine, Event, Key, Mail, Message, Moment, Peer, Ready, Reason,
    ServiceKind, SourceKind, Timeouts, Turn,
};
use crate::net::CannotListen;
use crate::net::inspect::peer_is_trusted;
use crate::net::limits::ADMIN_CLIENTS;
use crate::net::listener::Listener;
use crate::net::socket::{Socket, interests, update_interest};

use super::event_loop::{EventLoop, Source};
use super::listeners::{Accepted, Listeners};

/// Bytes that one read of an admin client returns at most. A request head has at most half of it.
const SCRATCH_BYTES: usize = 16 * 1024;

/// Clients of which only the admin listener may have: a listener for metrics may be public, and
/// its clients must not keep an operator out.
const OPERATORS: usize = 16;

/// Maximum number of admin clients accepted per turn.
const ACCEPT_BUDGET: usize = 8;

/// The listeners and clients of the admin endpoint.
pub struct AdminPort {
    engine: Engine<Socket>,
    listeners: Listeners,
    conn_ids: ConnIds,
    /// Clients accepted since the last call of `opened`.
    opened: Vec<AdminClient>,
    /// When the owner of the clients wants to run next.
    wake_at: Option<Moment>,
    /// A client was closed while a listener was paused: the next turn tries it again.
    tries_again: bool,
    accepted: u64,
}

/// What a listener of the admin endpoint offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdminRole {
    /// Everything.
    Admin,
    /// Health and metrics only.
    Metrics,
}

/// A client that was accepted.
#[derive(Debug)]
pub struct AdminClient {
    /// The key of its local end.
    pub key: Key,
    pub role: AdminRole,
    pub peer: Peer,
    /// The port of the listener, if it is a TCP listener.
    pub port: Option<u16>,
    /// The listener is bound to a loopback address.
    pub is_loopback: bool,
    /// The peer of a Unix socket is our user or root.
    pub is_trusted: bool,
}

impl AdminRole {
    fn index(self) -> u16 {
        self as u16
    }

    fn of_index(index: u16) -> AdminRole {
        if index == AdminRole::Admin.index() { AdminRole::Admin } else { AdminRole::Metrics }
    }

    fn service(self) -> ServiceKind {
        match self {
            AdminRole::Admin => ServiceKind::Admin,
            AdminRole::Metrics => ServiceKind::Metrics,
        }
    }
}

impl AdminPort {
    /// Binds the listeners that a plan asks for. None: it asks for none.
    pub(super) fn bind(
        plan: &AdminPlan,
        event_loop: &EventLoop,
        turn: &mut Turn<'_>,
    ) -> Result<Option<Box<AdminPort>>, CannotListen> {
        let roles = [(&plan.admin, AdminRole::Admin), (&plan.metrics, AdminRole::Metrics)];
        let mut port = None;
        for (listen, role) in roles {
            let Some(listen) = listen else { continue };
            let port = port.get_or_insert_with(|| Box::new(AdminPort::new()));
            for listener in Listener::bind(listen)? {
                let address = listener.at().clone();
                let opened = port.open(listener, role, event_loop, turn);
                opened.map_err(|error| CannotListen { address, error })?;
            }
        }
        Ok(port)
    }

    fn new() -> AdminPort {
        let buffers = Buffers::with_scratch(SCRATCH_BYTES);
        AdminPort {
            engine: Engine::new(vec![Timeouts::default(); 2], ADMIN_CLIENTS, buffers),
            listeners: Listeners::new(SourceKind::AdminListener),
            conn_ids: ConnIds::default(),
            opened: Vec::new(),
            wake_at: None,
            tries_again: false,
            accepted: 0,
        }
    }

    /// Registers a bound listener.
    fn open(
        &mut self,
        listener: Listener,
        role: AdminRole,
        event_loop: &EventLoop,
        turn: &mut Turn<'_>,
    ) -> io::Result<()> {
        let address = listener.address().to_owned();
        let key = self.listeners.open(listener, role.index(), event_loop.registry())?;
        turn.on(key, &Event::Listening { address: &address, service: role.service() });
        Ok(())
    }

    pub(super) fn mark_listener(&mut self, key: Key) {
        self.listeners.set_pending(key);
    }

    pub(super) fn mark(&mut self, key: Key, ready: Ready, now: Moment) {
        self.engine.mark(key, ready, &mut Turn::new(now, &mut ()));
    }

    /// Returns how long the loop may sleep.
    pub(super) fn sleep(&self, now: Moment) -> Option<Duration> {
        let limit = [
            self.engine.sleep(now),
            // Listeners have limits of their own, so room is not decided here.
            self.listeners.sleep(now, 0),
            self.tries_again.then_some(Duration::ZERO),
            self.wake_at.map(|at| at.since(now)),
            (!self.opened.is_empty()).then_some(Duration::ZERO),
        ];
        limit.into_iter().flatten().min()
    }

    /// Accepts clients and moves their bytes. Failed accepts are reported; nothing else is, since
    /// the numbers of these connections are their own.
    pub(super) fn run(&mut self, event_loop: &EventLoop, turn: &mut Turn<'_>) {
        self.tries_again = false;
        if self.listeners.has_pending() {
            self.accept(event_loop, turn);
        }
        let nobody = &mut ();
        let quiet = &mut Turn::new(turn.now, nobody);
        let open = self.engine.len();
        self.engine.run(quiet);
        self.engine.expire(quiet);
        self.engine.update_interest(quiet, |socket, key, read_off| {
            update_interest(socket, event_loop.registry(), Source::Admin(key).token(), read_off)
        });
        if self.engine.len() < open {
            self.listeners.retry_paused(turn.now);
            self.tries_again = self.listeners.has_pending();
        }
    }

    /// How many more clients a listener of this role may accept.
    fn capacity_left(&self, role: AdminRole) -> usize {
        let limit = match role {
            AdminRole::Admin => ADMIN_CLIENTS,
            AdminRole::Metrics => ADMIN_CLIENTS - OPERATORS,
        };
        limit.saturating_sub(self.engine.len())
    }

    fn accept(&mut self, event_loop: &EventLoop, turn: &mut Turn<'_>) {
        let mut cursor = 0;
        while let Some(listener) = self.listeners.next_pending(&mut cursor) {
            let Some(route) = self.listeners.route(listener) else { continue };
            for _ in 0..ACCEPT_BUDGET {
                let clients = self.engine.len();
                let capacity_left = self.capacity_left(AdminRole::of_index(route));
                let (engine, conn_ids) = (&self.engine, &mut self.conn_ids);
                let register = |socket: &mut Socket| {
                    let key = engine.vacant(conn_ids.next());
                    let interests = interests(socket);
                    event_loop.register(socket.source(), Source::Admin(key), interests)?;
                    Ok(key)
                };
                match self.listeners.accept(listener, capacity_left, clients, turn, register) {
                    Some(accepted) => self.add(listener, accepted, turn.now),
                    None => break,
                }
            }
        }
    }

    fn add(&mut self, listener: Key, accepted: Accepted, now: Moment) {
        let Accepted { socket, key, peer, route, .. } = accepted;
        let at = self.listeners.get(listener).map(|slot| slot.at());
        self.accepted += 1;
        self.opened.push(AdminClient {
            key: key.at(1),
            role: AdminRole::of_index(route),
            peer,
            port: at.and_then(|at| at.port()),
            is_loopback: at.is_some_and(is_loopback),
            is_trusted: peer_is_trusted(&socket),
        });
        let conn = Conn::local(socket, None);
        self.engine.insert(conn, key.id, route, &mut Turn::new(now, &mut ()));
    }

    /// Takes the clients accepted since the last call.
    pub fn opened(&mut self) -> Vec<AdminClient> {
        mem::take(&mut self.opened)
    }

    /// Takes what happened at the local ends since the last call, in order.
    pub fn mail(&mut self) -> Vec<Mail> {
        self.engine.mail()
    }

    /// What a client has sent and `consume` has not removed. None if it is gone.
    pub fn received(&mut self, key: Key) -> Option<Message<'_>> {
        self.engine.message(key)
    }

    /// Removes bytes that were handled. Reads more if fewer than `limit` are left.
    pub fn consume(&mut self, key: Key, bytes: usize, limit: usize) {
        self.engine.consume(key, bytes, limit);
    }

    /// Writes bytes to a client. Returns how many its socket accepted. If it did not accept all,
    /// a `Mail::Drained` follows. `last` closes the connection after the bytes.
    pub fn reply(&mut self, key: Key, bytes: &[u8], last: bool, now: Moment) -> usize {
        self.engine.reply(key, bytes, last, &mut Turn::new(now, &mut ()))
    }

    /// Resets a client.
    pub fn reset(&mut self, key: Key, now: Moment) {
        self.engine.end(key.at(0), Reason::Cut, &mut Turn::new(now, &mut ()));
    }

    /// Whether the owner of the clients has something to do.
    pub fn has_work(&self, now: Moment) -> bool {
        !self.opened.is_empty()
            || self.engine.has_mail()
            || self.wake_at.is_some_and(|at| at <= now)
    }

    /// Sets when the owner of the clients wants to run next, if nothing happens before.
    pub fn set_wake_at(&mut self, at: Option<Moment>) {
        self.wake_at = at;
    }

    /// Lets the owner of the clients run then at the latest.
    pub fn wake_by(&mut self, at: Moment) {
        self.wake_at = Some(self.wake_at.map_or(at, |known| known.min(at)));
    }

    /// Number of open clients.
    pub fn len(&self) -> usize {
        self.engine.len()
    }

    pub fn is_empty(&self) -> bool {
        self.engine.is_empty()
    }

    /// Number of clients accepted so far.
    pub fn accepted(&self) -> u64 {
        self.accepted
    }
}
