//! Who is dialled for a relay: the targets of its route in turn, each address of a name, and the
//! next one at once when one fails. What is remembered of an attempt goes when the attempt is over,
//! so an idle pair keeps nothing here.
//!
//! Nothing is lost on the way: the core reads nothing from a client before a target is connected.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use mio::{Registry, Token};

use crate::core::{Dial, Engine, Event, Fault, Key, Moment, Observer, Reason};
use crate::plan::{Address, Host};

use super::address::SocketAddress;
use super::interests::interests;
use super::itself::OwnDoor;
use super::resolver::{Lookup, Resolver};
use super::socket::{Socket, connect};

/// A Unix socket whose backlog is full cannot be waited for: it is tried again after so long.
const KNOCK_AGAIN: Duration = Duration::from_millis(20);

/// All attempts under way, and whose turn it is in each route.
#[derive(Default)]
pub struct Dialer {
    /// By route: the targets, and the one that is next in turn. Empty where nothing is relayed.
    pools: Vec<Pool>,
    /// In boxes: the table keeps the size that the largest burst has given it.
    attempts: HashMap<u32, Box<Attempt>>,
    /// Attempts that wait for a time.
    again: VecDeque<(Moment, u32)>,
}

/// The targets of one route.
#[derive(Default)]
pub struct Pool {
    targets: Vec<Address>,
    next: usize,
    /// What the route listens at: a name must not lead back there.
    own: Vec<OwnDoor>,
}

/// What is still to be tried for one connection.
struct Attempt {
    key: Key,
    route: u16,
    targets: VecDeque<Address>,
    /// The target that is being tried, as the user wrote it.
    target: String,
    addresses: VecDeque<SocketAddress>,
    /// The name whose addresses are waited for.
    awaits: Option<(String, u16)>,
    /// The first address is waited for: its queue is full.
    parked: bool,
    count: u32,
    last: Option<Fault>,
}

/// What a dialer needs of the rest of the shell.
pub struct Dialling<'a> {
    pub engine: &'a mut Engine<Socket>,
    pub registry: &'a Registry,
    pub resolver: &'a mut Resolver,
    pub now: Moment,
    pub seen: &'a mut dyn Observer,
}

impl Dialer {
    /// The pool of each route, by its number.
    pub fn new(pools: Vec<Pool>) -> Dialer {
        Dialer { pools, ..Dialer::default() }
    }

    /// Begins to dial for a new connection.
    pub fn start(&mut self, key: Key, route: u16, with: &mut Dialling<'_>) {
        let targets = self.pools[route as usize].in_turn();
        let attempt = Box::new(Attempt {
            key,
            route,
            targets,
            target: String::new(),
            addresses: VecDeque::new(),
            awaits: None,
            parked: false,
            count: 0,
            last: None,
        });
        self.advance(attempt, with);
    }

    /// Attempts that were decided since the last call: the next target's turn, or the end.
    pub fn decide(&mut self, with: &mut Dialling<'_>) {
        for (key, dial) in with.engine.dials() {
            let Some(mut attempt) = self.attempts.remove(&key.birth) else { continue };
            if let Dial::Failed(error) = dial {
                // What was waited for has had its time.
                attempt.awaits = None;
                if std::mem::take(&mut attempt.parked) {
                    attempt.addresses.pop_front();
                }
                attempt.failed(Fault::from(&error), with);
                self.advance(attempt, with);
            }
        }
    }

    /// Names were answered: those who waited for them go on.
    pub fn resolved(&mut self, with: &mut Dialling<'_>) {
        let waiting = self.attempts.iter().filter(|(_, attempt)| attempt.awaits.is_some());
        let births: Vec<u32> = waiting.map(|(birth, _)| *birth).collect();
        for birth in births {
            if let Some(attempt) = self.attempts.remove(&birth) {
                self.advance(attempt, with);
            }
        }
    }

    /// Attempts whose time has come go on.
    pub fn wake(&mut self, with: &mut Dialling<'_>) {
        while self.again.front().is_some_and(|(time, _)| *time <= with.now) {
            let Some((_, birth)) = self.again.pop_front() else { return };
            let parked = self.attempts.get(&birth).is_some_and(|attempt| attempt.parked);
            if let Some(mut attempt) = parked.then(|| self.attempts.remove(&birth)).flatten() {
                attempt.parked = false;
                self.advance(attempt, with);
            }
        }
    }

    /// How long the loop may sleep for the attempts' sake.
    pub fn sleep(&self, now: Moment) -> Option<Duration> {
        self.again.front().map(|(time, _)| time.since(now))
    }

    /// How many connections wait for a target.
    pub fn len(&self) -> usize {
        self.attempts.len()
    }

    pub fn is_empty(&self) -> bool {
        self.attempts.is_empty()
    }

    /// Tries until an attempt is under way, something must be waited for, or nothing is left.
    fn advance(&mut self, mut attempt: Box<Attempt>, with: &mut Dialling<'_>) {
        loop {
            if let Some(address) = attempt.addresses.pop_front() {
                match attempt.dial(&address, with) {
                    Ok(()) => break,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        attempt.addresses.push_front(address);
                        attempt.parked = true;
                        let time = with.now.after(KNOCK_AGAIN);
                        self.again.push_back((time, attempt.key.birth));
                        break;
                    }
                    Err(error) => {
                        let fault = Fault::from(&error);
                        attempt.failed(fault, with);
                        if is_exhaustion(fault) {
                            return attempt.give_up(with);
                        }
                    }
                }
            } else if let Some((name, port)) = attempt.awaits.take() {
                let own = &self.pools[attempt.route as usize].own;
                if attempt.look_up(&name, port, own, with) {
                    attempt.awaits = Some((name, port));
                    break;
                }
            } else if let Some(target) = attempt.targets.pop_front() {
                attempt.turn_to(&target);
            } else {
                return attempt.give_up(with);
            }
        }
        self.attempts.insert(attempt.key.birth, attempt);
    }
}

impl Pool {
    pub fn new(targets: Vec<Address>, own: Vec<OwnDoor>) -> Pool {
        Pool { targets, next: 0, own }
    }

    /// All targets, beginning with the one whose turn it is.
    fn in_turn(&mut self) -> VecDeque<Address> {
        let mut targets: VecDeque<Address> = self.targets.iter().cloned().collect();
        targets.rotate_left(self.next);
        self.next = (self.next + 1) % self.targets.len().max(1);
        targets
    }
}

impl Attempt {
    /// Takes up a target: its addresses, or the name that stands for them.
    fn turn_to(&mut self, target: &Address) {
        self.target = target.to_string();
        match target {
            Address::Unix(name) | Address::UnixDatagram(name) => {
                self.addresses.push_back(SocketAddress::Unix(name.clone()));
            }
            Address::Tcp(host, port) | Address::Udp(host, port) => match host {
                Host::Any => self.push(IpAddr::from(Ipv4Addr::LOCALHOST), *port),
                Host::Ip(ip) => self.push(*ip, *port),
                Host::Name(name) => self.awaits = Some((name.clone(), *port)),
            },
        }
    }

    fn push(&mut self, ip: IpAddr, port: u16) {
        self.addresses.push_back(SocketAddress::Inet(SocketAddr::new(ip, port)));
    }

    /// True if the name is still being asked for.
    fn look_up(&mut self, name: &str, port: u16, own: &[OwnDoor], with: &mut Dialling<'_>) -> bool {
        match with.resolver.lookup(name, port, with.now) {
            Lookup::Pending => return true,
            Lookup::Known(addresses) => {
                let is_own = |to: &SocketAddr| own.iter().any(|door| door.takes(*to));
                let (ours, others): (Vec<_>, Vec<_>) = addresses.into_iter().partition(is_own);
                self.addresses.extend(others.into_iter().map(SocketAddress::Inet));
                if !ours.is_empty() {
                    // To connect to ourselves would make a connection of each connection.
                    self.count += 1;
                    self.failed(Fault::ITSELF, with);
                }
            }
            Lookup::Failed(_) => {
                self.count += 1;
                self.failed(Fault::UNRESOLVED, with);
            }
        }
        false
    }

    /// Begins an attempt to connect.
    fn dial(&mut self, address: &SocketAddress, with: &mut Dialling<'_>) -> io::Result<()> {
        self.count += 1;
        let target = match address {
            SocketAddress::Inet(address) if !self.target.contains(&address.to_string()) => {
                format!("{} ({address})", self.target)
            }
            _ => self.target.clone(),
        };
        with.seen.on(self.key.at(1), &Event::Dialing { target: &target, attempt: self.count });
        let mut socket = connect(address)?;
        let (token, interests) = (Token(self.key.at(1).to_word()), interests(&socket));
        with.registry.register(socket.source(), token, interests)?;
        with.engine.attach(self.key, socket, with.now, with.seen);
        Ok(())
    }

    fn failed(&mut self, fault: Fault, with: &mut Dialling<'_>) {
        self.last = Some(fault);
        let left = self.addresses.len() + self.targets.len();
        let failed = Event::DialFailed { target: &self.target, fault, left };
        with.seen.on(self.key.at(1), &failed);
    }

    /// Nothing is left to try.
    fn give_up(self, with: &mut Dialling<'_>) {
        let fault = self.last.unwrap_or(Fault::from(io::ErrorKind::NotFound));
        let reason = match is_exhaustion(fault) {
            true => Reason::Exhausted { fault },
            false => Reason::not_connected(fault),
        };
        with.engine.end(self.key, reason, with.now, with.seen);
    }
}

/// Whether the system is out of something, so that no other target would fare better.
fn is_exhaustion(fault: Fault) -> bool {
    #[cfg(unix)]
    {
        let codes = [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM];
        fault.code.is_some_and(|code| codes.contains(&code))
    }
    #[cfg(not(unix))]
    {
        fault.kind == io::ErrorKind::OutOfMemory
    }
}
