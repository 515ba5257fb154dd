//! The socket of a talk in datagrams, and which address of the target it speaks with. A name may
//! have several, and which of them nobody serves shows only when a refusal comes back: then what
//! was sent goes out again, to the next one.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use mio::{Interest, Registry};

use super::turns::token;
use crate::config::{Address, Host};
use crate::core::{ConnIds, Event, Key, Moment, Observer, Peer, Ready, Reason, Side, SysError};
use crate::net::address::SystemName;
use crate::net::datagram_socket::DatagramSocket;
use crate::net::recv_batch::RecvBatch;
use crate::net::remote::Remote;
use crate::net::{Lookup, Resolver};

/// Until the first answer, so much of what was sent is remembered, to be sent again. Whoever sends
/// more before the first answer has found somebody who does not refuse.
const ASKED_BYTES: usize = 65_536;

/// One socket at a time, and what is needed to try the next.
pub struct Post {
    /// The target, as the user wrote it.
    target: Address,
    conn_ids: ConnIds,
    /// The key of the socket in use.
    pub key: Key,
    socket: Option<(DatagramSocket, Peer)>,
    /// What may be tried at the socket.
    ready: Ready,
    /// Those that were not tried yet. None: the target's name is still to be looked up.
    addresses: Option<VecDeque<Remote>>,
    attempts: u32,
    /// What goes out before anything new.
    again: VecDeque<Vec<u8>>,
    asked: Vec<Vec<u8>>,
    pub answered: bool,
    pub sent_bytes: u64,
    pub received_bytes: u64,
}

/// What the post needs to open a socket.
pub struct Office<'a> {
    pub resolver: &'a mut Resolver,
    pub registry: &'a Registry,
    pub now: Moment,
    pub seen: &'a mut dyn Observer,
}

/// What became of a datagram.
pub enum SendOutcome {
    Done(usize),
    /// Not now; the system will say when.
    Blocked,
    /// The socket in use was given up; another one may be had.
    Refused,
}

impl Post {
    /// `first` goes out as soon as there is a socket.
    pub fn new(target: &Address, first: Option<Vec<u8>>) -> Post {
        let mut conn_ids = ConnIds::default();
        Post {
            target: target.clone(),
            key: Key::new(conn_ids.next(), 0),
            conn_ids,
            socket: None,
            ready: Ready::NONE,
            addresses: None,
            attempts: 0,
            again: first.into_iter().collect(),
            asked: Vec::new(),
            answered: false,
            sent_bytes: 0,
            received_bytes: 0,
        }
    }

    pub fn is_open(&self) -> bool {
        self.socket.is_some()
    }

    /// Whether all that was to be sent again has been.
    pub fn is_done(&self) -> bool {
        self.again.is_empty()
    }

    /// Who is spoken with.
    pub fn peer(&self) -> Option<&Peer> {
        self.socket.as_ref().map(|(_, peer)| peer)
    }

    pub fn is_writable(&self) -> bool {
        self.is_open() && self.ready.has(Ready::WRITE)
    }

    pub fn is_readable(&self) -> bool {
        // A refusal waits where an answer would.
        self.is_open() && self.ready.any(Ready::READ.with(Ready::ERROR))
    }

    /// The system named a socket, perhaps one that is gone.
    pub fn mark(&mut self, key: Key, ready: Ready, seen: &mut dyn Observer) {
        if key.id == self.key.id && self.is_open() {
            self.ready = self.ready.with(ready);
            seen.on(key, &Event::Marked { ready });
        } else {
            seen.on(key, &Event::Stale);
        }
    }

    /// Opens a socket, if there is none and an address is known. An error: there is none left.
    pub fn open(&mut self, office: &mut Office<'_>) -> Result<(), Reason> {
        if self.is_open() || !self.find(office)? {
            return Ok(());
        }
        let mut last = SysError::from(io::ErrorKind::NotFound);
        while let Some(remote) = self.addresses.as_mut().and_then(VecDeque::pop_front) {
            self.attempts += 1;
            let (target, attempt) = (self.called(&remote), self.attempts);
            office.seen.on(self.key.at(1), &Event::Dialing { target: &target, attempt });
            match self.open_to(&remote, office.registry) {
                Ok(socket) => {
                    self.socket = Some((socket, remote.peer()));
                    // What is true of the new socket is found out by trying.
                    self.ready = Ready::READ.with(Ready::WRITE);
                    let after = office.now.since(Moment(0));
                    office.seen.on(self.key.at(1), &Event::Connected { after });
                    return Ok(());
                }
                Err(error) => last = self.failed(&error, office.seen),
            }
        }
        Err(Reason::not_connected(last))
    }

    /// Sends what is to be sent again, or else `next`, which is then taken.
    pub fn send(
        &mut self,
        next: &mut Option<Vec<u8>>,
        seen: &mut dyn Observer,
    ) -> Result<SendOutcome, Reason> {
        let Some((socket, to)) = &self.socket else { return Ok(SendOutcome::Blocked) };
        let from_again = !self.again.is_empty();
        let Some(letter) = self.again.pop_front().or_else(|| next.take()) else {
            return Ok(SendOutcome::Blocked);
        };
        match socket.send(&letter) {
            Ok(()) => {
                let bytes = letter.len();
                seen.on(self.key.at(1), &Event::Sent { bytes, to });
                self.sent_bytes += bytes as u64;
                self.remember(letter);
                Ok(SendOutcome::Done(bytes))
            }
            Err(error) => {
                match from_again {
                    true => self.again.push_front(letter),
                    false => *next = Some(letter),
                }
                self.trouble(error, Ready::WRITE, seen)
            }
        }
    }

    /// Receives one datagram.
    pub fn receive(
        &mut self,
        into: &mut RecvBatch,
        seen: &mut dyn Observer,
    ) -> Result<SendOutcome, Reason> {
        let Some((socket, from)) = &self.socket else { return Ok(SendOutcome::Blocked) };
        match socket.recv(into) {
            Ok(bytes) => {
                seen.on(self.key.at(1), &Event::Received { bytes, from });
                self.received_bytes += bytes as u64;
                self.answered = true;
                self.asked = Vec::new();
                Ok(SendOutcome::Done(bytes))
            }
            Err(error) => self.trouble(error, Ready::READ.with(Ready::ERROR), seen),
        }
    }

    /// True if addresses are known, even if none is left.
    fn find(&mut self, office: &mut Office<'_>) -> Result<bool, Reason> {
        if self.addresses.is_some() {
            return Ok(true);
        }
        let inet_at = |at: SocketAddr| Remote::Inet(at, None);
        let inet = |ip: IpAddr, port: u16| inet_at(SocketAddr::new(ip, port));
        let found = match &self.target {
            Address::Unix(name) | Address::UnixDatagram(name) => {
                vec![Remote::Unix(SystemName::from(name))]
            }
            Address::Tcp(host, port) | Address::Udp(host, port) => match host {
                Host::Any => vec![inet(IpAddr::from(Ipv4Addr::LOCALHOST), *port)],
                Host::Ip(ip) => vec![inet(*ip, *port)],
                Host::Name(name) => match office.resolver.lookup(name, *port, office.now) {
                    Lookup::Pending => return Ok(false),
                    Lookup::Known(addresses) => addresses.into_iter().map(inet_at).collect(),
                    Lookup::Failed(_) => {
                        return Err(Reason::not_connected(SysError::UNRESOLVED));
                    }
                },
            },
        };
        self.addresses = Some(found.into());
        Ok(true)
    }

    fn open_to(&mut self, remote: &Remote, registry: &Registry) -> io::Result<DatagramSocket> {
        let mut socket = DatagramSocket::connected(remote)?;
        let both = Interest::READABLE | Interest::WRITABLE;
        registry.register(socket.source(), token(self.key.at(1)), both)?;
        Ok(socket)
    }

    /// The target in the user's words, with the address if those do not name it.
    fn called(&self, remote: &Remote) -> String {
        let (target, address) = (self.target.to_string(), remote.to_string());
        match self.target {
            Address::Udp(Host::Name(_) | Host::Any, _) => {
                format!("{target} ({})", address.trim_start_matches("udp://"))
            }
            _ => target,
        }
    }

    /// Keeps what may have to be sent again.
    fn remember(&mut self, letter: Vec<u8>) {
        let others = self.addresses.as_ref().is_some_and(|left| !left.is_empty());
        if self.answered || !others {
            return;
        }
        self.asked.push(letter);
        if self.asked.iter().map(|letter| letter.len().max(1)).sum::<usize>() > ASKED_BYTES {
            self.asked = Vec::new();
            self.addresses = Some(VecDeque::new());
        }
    }

    /// What an error of the socket means: wait, try the next address, or give up.
    fn trouble(
        &mut self,
        error: io::Error,
        tried: Ready,
        seen: &mut dyn Observer,
    ) -> Result<SendOutcome, Reason> {
        match error.kind() {
            io::ErrorKind::WouldBlock => {
                self.ready = self.ready.without(tried);
                return Ok(SendOutcome::Blocked);
            }
            io::ErrorKind::Interrupted => return Ok(SendOutcome::Done(0)),
            _ => {}
        }
        let fault = self.failed(&error, seen);
        if self.answered {
            return Err(Reason::Reset { by: Side::Target, fault });
        }
        if self.addresses.as_ref().is_none_or(VecDeque::is_empty) {
            return Err(Reason::not_connected(fault));
        }
        // The old ones first: they were sent before.
        for letter in self.asked.drain(..).rev() {
            self.again.push_front(letter);
        }
        self.socket = None;
        self.key = Key::new(self.conn_ids.next(), 0);
        Ok(SendOutcome::Refused)
    }

    fn failed(&self, error: &io::Error, seen: &mut dyn Observer) -> SysError {
        let fault = SysError::from(error);
        let left = self.addresses.as_ref().map_or(0, VecDeque::len);
        let target = self.target.to_string();
        seen.on(self.key.at(1), &Event::DialFailed { target: &target, fault, left, client: None });
        fault
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::sync::Arc;
    use std::time::Duration;

    use mio::{Events, Poll, Token, Waker};

    use super::*;

    /// A post that knows these addresses, and all that it needs.
    struct Stand {
        poll: Poll,
        resolver: Resolver,
        post: Post,
    }

    fn stand(addresses: &[SocketAddr]) -> Stand {
        let poll = Poll::new().unwrap();
        let waker = Waker::new(poll.registry(), Token(0)).unwrap();
        let target = Address::parse("udp://name:7").unwrap();
        let mut post = Post::new(&target, None);
        let remotes = addresses.iter().map(|at| Remote::Inet(*at, None));
        post.addresses = Some(remotes.collect());
        Stand { poll, resolver: Resolver::new(Arc::new(waker)), post }
    }

    impl Stand {
        fn open(&mut self) -> Result<(), Reason> {
            let (resolver, registry) = (&mut self.resolver, self.poll.registry());
            let mut office = Office { resolver, registry, now: Moment(0), seen: &mut () };
            self.post.open(&mut office)
        }

        fn send(&mut self, letter: &mut Option<Vec<u8>>) {
            assert!(matches!(self.post.send(letter, &mut ()), Ok(SendOutcome::Done(3))));
        }

        /// Waits until the socket in use has something to tell, and receives it.
        fn receive(&mut self) -> Result<SendOutcome, Reason> {
            let (mut events, mut room) = (Events::with_capacity(8), RecvBatch::new());
            loop {
                match self.post.receive(&mut room, &mut ())? {
                    SendOutcome::Blocked => {}
                    carried => return Ok(carried),
                }
                self.poll.poll(&mut events, Some(Duration::from_secs(20))).unwrap();
                assert!(!events.is_empty(), "nothing comes back");
            }
        }
    }

    fn letter(text: &str) -> Option<Vec<u8>> {
        Some(text.as_bytes().to_vec())
    }

    fn home() -> (UdpSocket, SocketAddr) {
        let home = UdpSocket::bind("127.0.0.1:0").unwrap();
        home.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let address = home.local_addr().unwrap();
        (home, address)
    }

    /// One that refuses: the socket there hears one other only.
    fn deaf() -> (UdpSocket, SocketAddr) {
        let (deaf, address) = home();
        deaf.connect("127.0.0.1:9").unwrap();
        (deaf, address)
    }

    fn heard(home: &UdpSocket) -> Vec<u8> {
        let mut room = [0; 64];
        let (bytes, from) = home.recv_from(&mut room).unwrap();
        home.send_to(b"answer", from).unwrap();
        room[..bytes].to_vec()
    }

    #[test]
    fn what_one_address_refuses_is_sent_to_the_next_and_then_what_is_new() {
        let ((_deaf, first), (home, second)) = (deaf(), home());
        let mut stand = stand(&[first, second]);
        stand.open().unwrap();
        let before = stand.post.key;
        stand.send(&mut letter("one"));
        assert!(matches!(stand.receive(), Ok(SendOutcome::Refused)));
        assert!(!stand.post.is_open() && !stand.post.is_done());
        stand.open().unwrap();
        assert_ne!(stand.post.key, before, "an event of the old socket must not count");
        let mut two = letter("two");
        stand.send(&mut two);
        assert_eq!((heard(&home), two.is_some()), (b"one".to_vec(), true));
        stand.send(&mut two);
        assert!(matches!(stand.receive(), Ok(SendOutcome::Done(6))));
        assert_eq!((heard(&home), two), (b"two".to_vec(), None));
        assert!(stand.post.answered);
    }

    #[test]
    fn the_refusal_of_the_last_address_is_the_end() {
        let (_deaf, address) = deaf();
        let mut stand = stand(&[address]);
        stand.open().unwrap();
        stand.send(&mut letter("one"));
        let Err(Reason::Refused { fault }) = stand.receive().map(drop) else {
            panic!("no refusal")
        };
        assert_eq!(fault.kind, io::ErrorKind::ConnectionRefused);
    }
}
