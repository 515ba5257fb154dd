//! Dials the targets of relays: the targets of a route in turn, every address of a name, and the
//! next one at once when one fails. An attempt is removed when it is over, so an established pair
//! keeps nothing here.
//!
//! Failover never loses bytes: the core reads nothing from a client before a target is connected.

use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use mio::{Registry, Token};

use crate::core::event::Client;
use crate::core::{Dial, Engine, Event, Key, Moment, Peer, Reason, Stream, SysError, Turn};

use super::loops::{Origin, RecentDials};
use super::pool::{Selection, Target, TargetAddr};
use super::retries::Retries;
use crate::config::Address;
use crate::net::address::SocketAddress;
use crate::net::resolver::{Lookup, Resolver};
use crate::net::socket::interests;
use crate::net::socket::{Socket, connect, connect_named};
use crate::runtime::routes::RouteId;

/// All attempts in progress.
#[derive(Default)]
pub struct Dialer {
    /// Boxed, because the table never shrinks after a burst.
    attempts: HashMap<u32, Box<Attempt>>,
    /// Attempts whose target has a full accept queue.
    retries: Retries,
    recent: RecentDials,
}

/// The attempt to connect one connection to a target.
struct Attempt {
    key: Key,
    route: RouteId,
    origin: Origin,
    /// None if the other end is standard input and output.
    client: Option<ClientInfo>,
    /// The targets, as they were when the attempt began, and how many were tried so far.
    targets: Selection,
    tried: usize,
    /// Addresses of the current target that are still to be tried.
    addresses: VecDeque<SocketAddress>,
    /// The name of the current target is being resolved.
    resolving: bool,
    /// It waits in `retries` to dial the first address again, whose accept queue is full.
    parked: bool,
    count: u32,
    last: Option<SysError>,
}

/// The route of a connection, and the targets that it may be connected to.
pub struct Upstream {
    pub route: RouteId,
    pub targets: Selection,
}

/// The peer and the listener of a client, for the log if a target fails.
pub struct ClientInfo {
    pub peer: Peer,
    pub listen: Arc<str>,
}

/// What a dialer needs from the rest of the loop.
pub struct DialCx<'a, 't> {
    pub engine: &'a mut Engine<Socket>,
    pub registry: &'a Registry,
    pub resolver: &'a mut Resolver,
    pub turn: &'a mut Turn<'t>,
}

impl Dialer {
    /// Replaces the stream listeners of this process, which dials may lead back to.
    pub fn set_listeners<'a>(&mut self, listeners: impl Iterator<Item = (&'a Address, RouteId)>) {
        self.recent.set_listeners(listeners);
    }

    /// Returns the origin of an accepted connection.
    pub fn origin(&mut self, socket: &Socket, peer: &Peer, relays: bool) -> Origin {
        self.recent.origin(socket, peer, relays)
    }

    /// Starts to dial one of the targets for a new connection. One that has passed its route
    /// already is reset.
    pub fn start(
        &mut self,
        key: Key,
        Upstream { route, targets }: Upstream,
        origin: Origin,
        client: Option<ClientInfo>,
        cx: &mut DialCx<'_, '_>,
    ) {
        let is_loop = origin.has_passed(route);
        let mut attempt = Box::new(Attempt {
            key,
            route,
            origin,
            client,
            targets,
            tried: 0,
            addresses: VecDeque::new(),
            resolving: false,
            parked: false,
            count: 0,
            last: None,
        });
        if is_loop {
            attempt.tried = attempt.targets.size();
            attempt.failed(SysError::ITSELF, cx);
            return attempt.give_up(cx);
        }
        self.advance(attempt, cx);
    }

    /// Continues the attempts whose result, name or retry is due. `answered`: the resolver has
    /// answers.
    pub fn advance_all(&mut self, answered: bool, cx: &mut DialCx<'_, '_>) {
        self.decide(cx);
        if answered {
            self.resolved(cx);
        }
        self.retry(cx);
    }

    /// Handles the attempts that succeeded or failed since the last call.
    fn decide(&mut self, cx: &mut DialCx<'_, '_>) {
        for (key, dial) in cx.engine.dials() {
            let Some(mut attempt) = self.attempts.remove(&key.id) else { continue };
            if let Some(address) = attempt.addresses.front().filter(|_| attempt.parked) {
                self.retries.remove(address, key.id);
            }
            if let Dial::Failed(error) = dial {
                // The connect timeout also ends resolving and waiting for a retry.
                attempt.resolving = false;
                if std::mem::take(&mut attempt.parked) {
                    attempt.addresses.pop_front();
                }
                attempt.failed(SysError::from(&error), cx);
                self.advance(attempt, cx);
            }
        }
    }

    /// Continues the attempts that wait for a name.
    fn resolved(&mut self, cx: &mut DialCx<'_, '_>) {
        let waiting = self.attempts.iter().filter(|(_, attempt)| attempt.resolving);
        let conn_ids: Vec<u32> = waiting.map(|(id, _)| *id).collect();
        for id in conn_ids {
            if let Some(attempt) = self.attempts.remove(&id) {
                self.advance(attempt, cx);
            }
        }
    }

    /// Dials targets again whose accept queue was full, within the budget of one turn.
    fn retry(&mut self, cx: &mut DialCx<'_, '_>) {
        let (due, share) = self.retries.due(cx.turn.now);
        for target in due {
            for _ in 0..share {
                let Some(id) = self.retries.take(&target, cx.turn.now) else { break };
                if let Some(attempt) = self.attempts.remove(&id) {
                    self.advance(attempt, cx);
                }
            }
        }
    }

    /// Returns how long the loop may sleep until a retry is due.
    #[inline]
    pub fn sleep(&self, now: Moment) -> Option<Duration> {
        if self.is_empty() { None } else { self.retries.sleep(now) }
    }

    /// The target that is being dialed for this connection.
    pub fn target(&self, id: u32) -> Option<&str> {
        let attempt = self.attempts.get(&id)?;
        (attempt.tried > 0).then(|| attempt.target().text.as_str())
    }

    /// Number of connections that are not connected to a target yet.
    pub fn len(&self) -> usize {
        self.attempts.len()
    }

    pub fn is_empty(&self) -> bool {
        self.attempts.is_empty()
    }

    /// Tries targets until a connect is in progress, the attempt has to wait, or none is left.
    fn advance(&mut self, mut attempt: Box<Attempt>, cx: &mut DialCx<'_, '_>) {
        // A retried attempt is next. Any other waits behind those that wait already.
        let mut is_next = std::mem::take(&mut attempt.parked);
        loop {
            let address = if let Some(address) = attempt.addresses.pop_front() {
                address
            } else if attempt.resolving {
                attempt.resolving = attempt.look_up(cx);
                if attempt.resolving {
                    break;
                }
                continue;
            } else if attempt.tried < attempt.targets.size() {
                attempt.tried += 1;
                match &attempt.target().addr {
                    TargetAddr::Known { address, .. } => address.clone(),
                    TargetAddr::Name(..) => {
                        attempt.resolving = true;
                        continue;
                    }
                }
            } else {
                return attempt.give_up(cx);
            };
            let id = attempt.key.id;
            attempt.announce(&address, cx);
            if !std::mem::take(&mut is_next) && self.retries.is_waited_for(&address) {
                self.retries.wait(&address, id, cx.turn.now);
                attempt.park(address);
                break;
            }
            match attempt.dial(&address, &mut self.recent, cx) {
                Ok(()) => break,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.retries.refused(&address, id, cx.turn.now);
                    attempt.park(address);
                    break;
                }
                Err(error) => {
                    let fault = SysError::from(&error);
                    attempt.failed(fault, cx);
                    if is_exhaustion(fault) {
                        return attempt.give_up(cx);
                    }
                }
            }
        }
        self.attempts.insert(attempt.key.id, attempt);
    }
}

impl Attempt {
    /// The target that is being dialed.
    fn target(&self) -> &Target {
        self.targets.target(self.tried - 1)
    }

    /// Waits for a retry, which dials this address first.
    fn park(&mut self, address: SocketAddress) {
        self.addresses.push_front(address);
        self.parked = true;
    }

    /// Looks up the addresses of the target's name. Returns true if they are not known yet.
    fn look_up(&mut self, cx: &mut DialCx<'_, '_>) -> bool {
        let TargetAddr::Name(name, port) = &self.target().addr else { return false };
        match cx.resolver.lookup(name, *port, cx.turn.now) {
            Lookup::Pending => return true,
            Lookup::Known(addresses) => {
                let is_own = |to: &SocketAddr| self.targets.is_own(*to);
                let (own, others): (Vec<_>, Vec<_>) = addresses.into_iter().partition(is_own);
                self.addresses.extend(others.into_iter().map(SocketAddress::Inet));
                if !own.is_empty() {
                    // Each connection to our own listener would open another one.
                    self.count += 1;
                    self.failed(SysError::ITSELF, cx);
                }
            }
            Lookup::Failed(_) => {
                self.count += 1;
                self.failed(SysError::UNRESOLVED, cx);
            }
        }
        false
    }

    /// Reports an attempt to connect.
    fn announce(&mut self, address: &SocketAddress, cx: &mut DialCx<'_, '_>) {
        self.count += 1;
        let Target { text, addr } = self.target();
        let target = match (addr, address) {
            (TargetAddr::Known { shown, .. }, _) => Cow::Borrowed(shown),
            (_, SocketAddress::Inet(address)) => Cow::Owned(format!("{text} ({address})")),
            (_, SocketAddress::Unix(_)) => Cow::Borrowed(text),
        };
        cx.turn.on(self.key.at(1), &Event::Dialing { target: &target, attempt: self.count });
    }

    /// Starts to connect to an address.
    fn dial(
        &mut self,
        address: &SocketAddress,
        recent: &mut RecentDials,
        cx: &mut DialCx<'_, '_>,
    ) -> io::Result<()> {
        let mut socket = match recent.unix_route(address) {
            Some(route) if route == self.route => return Err(SysError::ITSELF.kind.into()),
            Some(_) => connect_named(address)?,
            None => connect(address)?,
        };
        let (token, interests) = (Token(self.key.at(1).to_token()), interests(&socket));
        if let Err(error) = cx.registry.register(socket.source(), token, interests) {
            // It may be connected already. The target must not read a clean end of file.
            socket.reset_on_drop();
            return Err(error);
        }
        recent.record(&socket, address, &self.origin, self.route);
        cx.engine.attach(self.key.at(1), socket, cx.turn);
        Ok(())
    }

    fn failed(&mut self, fault: SysError, cx: &mut DialCx<'_, '_>) {
        self.last = Some(fault);
        let left = self.addresses.len() + self.targets.size() - self.tried;
        let target = &self.target().text;
        let client = self.client.as_ref();
        let client = client.map(|ClientInfo { peer, listen }| Client { peer, listen });
        let failed = Event::DialFailed { target, fault, left, client };
        cx.turn.on(self.key.at(1), &failed);
    }

    /// Closes the connection: no target is left.
    fn give_up(self, cx: &mut DialCx<'_, '_>) {
        let fault = self.last.unwrap_or(SysError::from(io::ErrorKind::NotFound));
        let reason = match is_exhaustion(fault) {
            true => Reason::Exhausted { fault },
            false => Reason::not_connected(fault),
        };
        cx.engine.end(self.key, reason, cx.turn);
    }
}

/// Whether the error is resource exhaustion, which any other target would meet too.
fn is_exhaustion(fault: SysError) -> bool {
    #[cfg(unix)]
    {
        // ENOSPC: the user's limit of epoll registrations (max_user_watches).
        let codes = [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM, libc::ENOSPC];
        fault.code.is_some_and(|code| codes.contains(&code))
    }
    #[cfg(not(unix))]
    {
        fault.kind == io::ErrorKind::OutOfMemory
    }
}
