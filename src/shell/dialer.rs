//! Who is dialled for a relay: the targets of its route in turn, each address of a name, and the
//! next one at once when one fails. What is remembered of an attempt goes when the attempt is over,
//! so an idle pair keeps nothing here.
//!
//! Nothing is lost on the way: the core reads nothing from a client before a target is connected.

use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use mio::{Registry, Token};

use crate::core::event::Client;
use crate::core::{Dial, Engine, Event, Key, Moment, Observer, Peer, Reason, Stream, SysError};

use super::address::SocketAddress;
use super::interests::interests;
use super::loops::{Origin, RecentDials};
use super::pool::{Place, Pool, Target};
use super::resolver::{Lookup, Resolver};
use super::retries::{Retries, TargetId};
use super::socket::{Socket, connect, connect_named};

/// All attempts under way, and whose turn it is in each route.
#[derive(Default)]
pub struct Dialer {
    /// By route.
    pools: Vec<Pool>,
    /// In boxes: the table keeps the size that the largest burst has given it.
    attempts: HashMap<u32, Box<Attempt>>,
    /// Attempts whose target has a full queue.
    retries: Retries,
    recent: RecentDials,
}

/// What is still to be tried for one connection.
struct Attempt {
    key: Key,
    route: u16,
    origin: Origin,
    /// None where the other end is no client, but our own standard input.
    client: Option<ClientInfo>,
    /// The target that was tried first, and how many have been taken up.
    first: usize,
    taken: usize,
    /// Addresses of the target that are still to be tried.
    addresses: VecDeque<SocketAddress>,
    /// The addresses of the target's name are waited for.
    awaits: bool,
    /// It waits among the retries for the first address, whose queue is full.
    parked: bool,
    count: u32,
    last: Option<SysError>,
}

/// Who connected, and where: for the log, if a target fails.
pub struct ClientInfo {
    pub peer: Peer,
    pub listen: Arc<str>,
}

/// What a dialer needs of the rest of the shell.
pub struct DialCx<'a> {
    pub engine: &'a mut Engine<Socket>,
    pub registry: &'a Registry,
    pub resolver: &'a mut Resolver,
    pub now: Moment,
    pub seen: &'a mut dyn Observer,
}

impl Dialer {
    /// The pool of each route, by its number, and what this process listens on.
    pub fn new(pools: Vec<Pool>, recent: RecentDials) -> Dialer {
        Dialer { pools, recent, ..Dialer::default() }
    }

    /// Where a connection came from that has just been accepted.
    pub fn origin(&mut self, socket: &Socket, peer: &Peer, relays: bool) -> Origin {
        self.recent.origin(socket, peer, relays)
    }

    /// Begins to dial for a new connection. One that has passed its route already is reset.
    pub fn start(
        &mut self,
        key: Key,
        route: u16,
        origin: Origin,
        client: Option<ClientInfo>,
        with: &mut DialCx<'_>,
    ) {
        let is_loop = origin.has_passed(route);
        let mut attempt = Box::new(Attempt {
            key,
            route,
            origin,
            client,
            first: self.pools[route as usize].first(),
            taken: 0,
            addresses: VecDeque::new(),
            awaits: false,
            parked: false,
            count: 0,
            last: None,
        });
        if is_loop {
            let pool = &self.pools[route as usize];
            attempt.taken = pool.size();
            attempt.failed(SysError::ITSELF, pool, with);
            return attempt.give_up(with);
        }
        self.advance(attempt, with);
    }

    /// Attempts that were decided since the last call: the next target's turn, or the end.
    pub fn decide(&mut self, with: &mut DialCx<'_>) {
        for (key, dial) in with.engine.dials() {
            let Some(mut attempt) = self.attempts.remove(&key.id) else { continue };
            let pool = &self.pools[attempt.route as usize];
            if attempt.parked {
                self.retries.remove(attempt.target_id(pool), key.id);
            }
            if let Dial::Failed(error) = dial {
                // What was waited for has had its time.
                attempt.awaits = false;
                if std::mem::take(&mut attempt.parked) {
                    attempt.addresses.pop_front();
                }
                attempt.failed(SysError::from(&error), pool, with);
                self.advance(attempt, with);
            }
        }
    }

    /// Names were answered: those who waited for them go on.
    pub fn resolved(&mut self, with: &mut DialCx<'_>) {
        let waiting = self.attempts.iter().filter(|(_, attempt)| attempt.awaits);
        let conn_ids: Vec<u32> = waiting.map(|(id, _)| *id).collect();
        for id in conn_ids {
            if let Some(attempt) = self.attempts.remove(&id) {
                self.advance(attempt, with);
            }
        }
    }

    /// Dials targets again whose queue was full, as many clients as one turn allows.
    pub fn wake(&mut self, with: &mut DialCx<'_>) {
        let (due, share) = self.retries.due(with.now);
        for target in due {
            for _ in 0..share {
                let Some(id) = self.retries.take(target, with.now) else { break };
                if let Some(attempt) = self.attempts.remove(&id) {
                    self.advance(attempt, with);
                }
            }
        }
    }

    /// How long the loop may sleep for the attempts' sake.
    #[inline]
    pub fn sleep(&self, now: Moment) -> Option<Duration> {
        if self.is_empty() { None } else { self.retries.sleep(now) }
    }

    /// The target that is tried for this connection.
    pub fn target(&self, id: u32) -> Option<&str> {
        let attempt = self.attempts.get(&id)?;
        let pool = &self.pools[attempt.route as usize];
        (attempt.taken > 0).then(|| attempt.target(pool).text.as_str())
    }

    /// How many connections wait for a target.
    pub fn len(&self) -> usize {
        self.attempts.len()
    }

    pub fn is_empty(&self) -> bool {
        self.attempts.is_empty()
    }

    /// Tries until an attempt is under way, something must be waited for, or nothing is left.
    fn advance(&mut self, mut attempt: Box<Attempt>, with: &mut DialCx<'_>) {
        let pool = &self.pools[attempt.route as usize];
        // One that has waited is next; all others wait behind those who wait already.
        let mut is_next = std::mem::take(&mut attempt.parked);
        loop {
            let address = if let Some(address) = attempt.addresses.pop_front() {
                address
            } else if attempt.awaits {
                attempt.awaits = attempt.look_up(pool, with);
                if attempt.awaits {
                    break;
                }
                continue;
            } else if attempt.taken < pool.size() {
                attempt.taken += 1;
                match &attempt.target(pool).place {
                    Place::Known(address, _) => address.clone(),
                    Place::Name(..) => {
                        attempt.awaits = true;
                        continue;
                    }
                }
            } else {
                return attempt.give_up(with);
            };
            let (target, id) = (attempt.target_id(pool), attempt.key.id);
            attempt.announce(&address, pool, with);
            if !std::mem::take(&mut is_next) && self.retries.is_waited_for(target) {
                self.retries.wait(target, id, with.now);
                attempt.park(address);
                break;
            }
            match attempt.dial(&address, &mut self.recent, with) {
                Ok(()) => break,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.retries.refused(target, id, with.now);
                    attempt.park(address);
                    break;
                }
                Err(error) => {
                    let fault = SysError::from(&error);
                    attempt.failed(fault, pool, with);
                    if is_exhaustion(fault) {
                        return attempt.give_up(with);
                    }
                }
            }
        }
        self.attempts.insert(attempt.key.id, attempt);
    }
}

impl Attempt {
    /// The target that is being tried.
    fn target<'a>(&self, pool: &'a Pool) -> &'a Target {
        pool.target(self.first, self.taken - 1)
    }

    fn target_id(&self, pool: &Pool) -> TargetId {
        (self.route, (self.first + self.taken - 1) % pool.size())
    }

    /// Waits for this address, which is tried again first.
    fn park(&mut self, address: SocketAddress) {
        self.addresses.push_front(address);
        self.parked = true;
    }

    /// Asks for the addresses of the target's name. True if they must be waited for.
    fn look_up(&mut self, pool: &Pool, with: &mut DialCx<'_>) -> bool {
        let Place::Name(name, port) = &self.target(pool).place else { return false };
        match with.resolver.lookup(name, *port, with.now) {
            Lookup::Pending => return true,
            Lookup::Known(addresses) => {
                let is_own = |to: &SocketAddr| pool.own.iter().any(|door| door.takes(*to));
                let (ours, others): (Vec<_>, Vec<_>) = addresses.into_iter().partition(is_own);
                self.addresses.extend(others.into_iter().map(SocketAddress::Inet));
                if !ours.is_empty() {
                    // To connect to ourselves would make a connection of each connection.
                    self.count += 1;
                    self.failed(SysError::ITSELF, pool, with);
                }
            }
            Lookup::Failed(_) => {
                self.count += 1;
                self.failed(SysError::UNRESOLVED, pool, with);
            }
        }
        false
    }

    /// Reports an attempt to connect.
    fn announce(&mut self, address: &SocketAddress, pool: &Pool, with: &mut DialCx<'_>) {
        self.count += 1;
        let Target { text, place } = self.target(pool);
        let target = match (place, address) {
            (Place::Known(_, shown), _) => Cow::Borrowed(shown),
            (_, SocketAddress::Inet(address)) => Cow::Owned(format!("{text} ({address})")),
            (_, SocketAddress::Unix(_)) => Cow::Borrowed(text),
        };
        with.seen.on(self.key.at(1), &Event::Dialing { target: &target, attempt: self.count });
    }

    /// Begins an attempt to connect.
    fn dial(
        &mut self,
        address: &SocketAddress,
        recent: &mut RecentDials,
        with: &mut DialCx<'_>,
    ) -> io::Result<()> {
        let mut socket = match recent.unix_route(address) {
            Some(route) if route == self.route => return Err(SysError::ITSELF.kind.into()),
            Some(_) => connect_named(address)?,
            None => connect(address)?,
        };
        let (token, interests) = (Token(self.key.at(1).to_token()), interests(&socket));
        if let Err(error) = with.registry.register(socket.source(), token, interests) {
            // It may be connected already, and must not see a clean end.
            socket.reset_on_drop();
            return Err(error);
        }
        recent.note(&socket, address, &self.origin, self.route);
        with.engine.attach(self.key, socket, with.now, with.seen);
        Ok(())
    }

    fn failed(&mut self, fault: SysError, pool: &Pool, with: &mut DialCx<'_>) {
        self.last = Some(fault);
        let left = self.addresses.len() + pool.size() - self.taken;
        let target = &self.target(pool).text;
        let client = self.client.as_ref();
        let client = client.map(|ClientInfo { peer, listen }| Client { peer, listen });
        let failed = Event::DialFailed { target, fault, left, client };
        with.seen.on(self.key.at(1), &failed);
    }

    /// Nothing is left to try.
    fn give_up(self, with: &mut DialCx<'_>) {
        let fault = self.last.unwrap_or(SysError::from(io::ErrorKind::NotFound));
        let reason = match is_exhaustion(fault) {
            true => Reason::Exhausted { fault },
            false => Reason::not_connected(fault),
        };
        with.engine.end(self.key, reason, with.now, with.seen);
    }
}

/// Whether the system is out of something, so that no other target would fare better.
fn is_exhaustion(fault: SysError) -> bool {
    #[cfg(unix)]
    {
        // ENOSPC: the limit of what one user may register with epoll (max_user_watches).
        let codes = [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM, libc::ENOSPC];
        fault.code.is_some_and(|code| codes.contains(&code))
    }
    #[cfg(not(unix))]
    {
        fault.kind == io::ErrorKind::OutOfMemory
    }
}
