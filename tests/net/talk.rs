//! A conversation: its kind, its one or two peers, and what was observed of it from outside.

use std::collections::VecDeque;
use std::io::ErrorKind;

use oneloop::core::conn::Conn;
use oneloop::core::{Close, Key, Random, Tick};

use super::faults::Mix;
use super::kernel::Attempt;
use super::payload;
use super::peer::{Expected, Peer};
use super::pipe::Tube;
use super::script::{self, Op, Role};
use super::socket::Socket;
use oneloop::core::buffers::Unsent;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Echo,
    Relay,
    Discard,
    Chargen,
    Say,
    Greet,
    Answer,
}

/// Relays have the most failure modes, and occur twice as often as the others.
pub const KINDS: [Kind; 8] = [
    Kind::Echo,
    Kind::Relay,
    Kind::Discard,
    Kind::Chargen,
    Kind::Say,
    Kind::Greet,
    Kind::Relay,
    Kind::Answer,
];

pub struct Talk {
    pub kind: Kind,
    pub key: Key,
    pub route: u16,
    /// The client, and the target once an attempt has begun.
    pub peers: Vec<Peer>,
    pub role: Role,
    /// Targets not tried yet, and the number of turns until the next attempt.
    pub attempts: VecDeque<Attempt>,
    pub pending: Option<u64>,
    pub ended: Option<(Close, Tick)>,
}

/// What the events reported, each with its tick.
#[derive(Clone, Copy, Debug, Default)]
pub struct Facts {
    pub opened: Tick,
    /// Bytes moved, a side ended, or an attempt began or succeeded.
    pub active: Tick,
    pub connected: bool,
    /// End b is a service, not a socket.
    pub service: bool,
    /// That service has sent everything.
    pub lingers: bool,
    /// Which ends have reported their end of file, and which was first.
    pub ended: [bool; 2],
    pub first: Option<usize>,
    pub closed: u32,
    /// The turn in which bytes were last written to each end.
    pub wrote: [usize; 2],
}

impl Facts {
    /// Whether the client sent last. None if both sides sent in the same turn.
    pub fn client_spoke_last(&self) -> Option<bool> {
        let [to_client, to_target] = self.wrote;
        (to_client != to_target || to_client == 0).then_some(to_target > to_client)
    }
}

impl Talk {
    /// Draws a conversation as its client begins it. `streams` counts up, so every stream is
    /// unique.
    pub fn begin(random: &mut Random, mix: &Mix, key: Key, sock: usize, streams: &mut u64) -> Talk {
        let kind = match mix.kinds.len() as u64 {
            0 => Kind::Echo,
            kinds => KINDS[mix.kinds[random.below(kinds) as usize] as usize],
        };
        let stream = next(streams);
        let (role, others) = match random.below(3) {
            0 => (Role::Last, Role::First),
            1 => (Role::First, Role::Last),
            _ => (Role::First, Role::First),
        };
        let role = match kind {
            Kind::Relay | Kind::Say => role,
            Kind::Chargen => Role::Endless,
            _ => Role::First,
        };
        let expected = match kind {
            Kind::Echo => Expected::Stream(stream),
            Kind::Say | Kind::Greet => {
                let length = if random.once_in(8) { 0 } else { random.below(mix.say * 2) };
                Expected::Text(payload(next(streams), 0, length as usize))
            }
            Kind::Chargen => Expected::Lines,
            Kind::Answer => Expected::Answers(Default::default()),
            Kind::Relay | Kind::Discard => Expected::Nothing,
        };
        let mut client = Peer::new(sock, stream, expected, script::draw(random, mix, role));
        client.listens = !random.once_in(4);
        let attempts = (kind == Kind::Relay).then(|| draw_attempts(random, mix));
        Talk {
            kind,
            key,
            route: random.below(mix.timeouts.len() as u64) as u16,
            peers: vec![client],
            role: others,
            attempts: attempts.unwrap_or_default(),
            pending: (kind == Kind::Relay).then(|| random.below(3) * random.below(10)),
            ended: None,
        }
    }

    /// Draws two peers that are both connected.
    pub fn joined(key: Key, socks: [usize; 2], script: VecDeque<Op>) -> Talk {
        let peer = |end: usize| {
            let expected = Expected::Stream(1 - end as u64);
            let mut peer = Peer::new(socks[end], end as u64, expected, script.clone());
            peer.listens = false;
            peer
        };
        Talk {
            kind: Kind::Relay,
            key,
            route: 0,
            peers: vec![peer(0), peer(1)],
            role: Role::First,
            attempts: VecDeque::new(),
            pending: None,
            ended: None,
        }
    }

    /// Builds its connection.
    pub fn conn(&self, socket: Socket, unsent: &mut Unsent<Tube>) -> Conn<Socket> {
        let text = match &self.peers[0].expected {
            Expected::Text(text) if !text.is_empty() => Some(unsent.store(text)),
            _ => None,
        };
        match self.kind {
            Kind::Echo => Conn::echo(socket),
            Kind::Relay => Conn::relay(socket),
            Kind::Discard => Conn::discard(socket),
            Kind::Chargen => Conn::chargen(socket),
            Kind::Say => Conn::say(socket, text),
            Kind::Greet | Kind::Answer => Conn::local(socket, text),
        }
    }

    /// Draws the target of the next attempt, at this socket.
    pub fn dial(&mut self, random: &mut Random, mix: &Mix, sock: usize, streams: &mut u64) {
        assert_eq!(self.peers[0].received, 0, "bytes came from a target that was not connected");
        let stream = next(streams);
        let expected = Expected::Stream(self.peers[0].stream);
        let mut target = Peer::new(sock, stream, expected, script::draw(random, mix, self.role));
        target.listens = !random.once_in(4);
        self.peers[0].expected = Expected::Stream(stream);
        self.peers.truncate(1);
        self.peers.push(target);
        self.pending = None;
    }

    /// Whether end b is a local end.
    pub fn is_local(&self) -> bool {
        matches!(self.kind, Kind::Greet | Kind::Answer)
    }

    pub fn over(&self) -> bool {
        self.ended.is_some() && self.peers.iter().all(|peer| peer.over)
    }
}

fn next(streams: &mut u64) -> u64 {
    *streams += 1;
    oneloop::core::random::mix(*streams)
}

fn draw_attempts(random: &mut Random, mix: &Mix) -> VecDeque<Attempt> {
    let failures = [
        ErrorKind::ConnectionRefused,
        ErrorKind::TimedOut,
        ErrorKind::HostUnreachable,
        ErrorKind::AddrNotAvailable,
    ];
    let one = |random: &mut Random| {
        let polls = random.below(3) as u32 * random.below(10) as u32;
        match random.below(100) < mix.refuse {
            false if random.once_in(3) => Attempt::Done,
            false => Attempt::Waiting(polls, None),
            true if random.once_in(5) => Attempt::BlackHole,
            true => Attempt::Waiting(polls, Some(failures[random.below(4) as usize])),
        }
    };
    (0..1 + random.below(3)).map(|_| one(random)).collect()
}
