//! Owns the datagram socket of `connect` and the choice among the target's addresses. Does not
//! touch standard input or output.
//!
//! UDP reports a refusal only after a datagram was sent. Then the datagrams sent so far are sent
//! again, to the next address of the name.

use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use mio::{Interest, Registry};

use crate::config::{Address, Host};
use crate::core::{ConnIds, Event, Key, Moment, Peer, Ready, Reason, Side, SysError, Turn};
use crate::net::address::SystemName;
use crate::net::datagram_socket::DatagramSocket;
use crate::net::recv_batch::RecvBatch;
use crate::net::remote::Remote;
use crate::net::{Lookup, Resolver};
use crate::runtime::event_loop::token;

/// Maximum bytes kept for sending again before the first answer. An address to which more was sent
/// without a refusal is the final one.
const MAX_RESEND_BYTES: usize = 65_536;

/// The socket to the current address of the target, and the state needed to try the next address.
pub struct DatagramPeer {
    /// The target as the user wrote it.
    target: Address,
    conn_ids: ConnIds,
    /// Key of the current socket. Each socket has a new one.
    pub key: Key,
    socket: Option<(DatagramSocket, Peer)>,
    /// Readiness bits of the socket.
    ready: Ready,
    /// Addresses not tried yet. `None`: the name is not resolved yet.
    addresses: Option<VecDeque<Remote>>,
    attempts: u32,
    /// Datagrams to send again, before any new one.
    resend: VecDeque<Vec<u8>>,
    /// Datagrams sent before the first answer.
    unanswered: Vec<Vec<u8>>,
    /// A datagram was received.
    pub answered: bool,
    pub sent_bytes: u64,
    pub received_bytes: u64,
}

/// Result of a send or a receive.
pub enum SendOutcome {
    /// Number of bytes sent or received.
    Done(usize),
    /// The call would block; epoll reports when it can be repeated.
    Blocked,
    /// The address refused and the socket was closed. `open` tries the next address.
    Refused,
}

impl DatagramPeer {
    /// Creates a peer without a socket. `first` is sent as soon as there is one.
    pub fn new(target: &Address, first: Option<Vec<u8>>) -> DatagramPeer {
        let mut conn_ids = ConnIds::default();
        DatagramPeer {
            target: target.clone(),
            key: Key::new(conn_ids.next(), 0),
            conn_ids,
            socket: None,
            ready: Ready::NONE,
            addresses: None,
            attempts: 0,
            resend: first.into_iter().collect(),
            unanswered: Vec::new(),
            answered: false,
            sent_bytes: 0,
            received_bytes: 0,
        }
    }

    pub fn is_open(&self) -> bool {
        self.socket.is_some()
    }

    /// Whether no datagram is left to be sent again.
    pub fn has_resent_all(&self) -> bool {
        self.resend.is_empty()
    }

    /// Returns the address that the socket is connected to.
    pub fn address(&self) -> Option<&Peer> {
        self.socket.as_ref().map(|(_, address)| address)
    }

    pub fn is_writable(&self) -> bool {
        self.is_open() && self.ready.has(Ready::WRITE)
    }

    pub fn is_readable(&self) -> bool {
        // A refusal is returned by the next receive.
        self.is_open() && self.ready.any(Ready::READ.with(Ready::ERROR))
    }

    /// Sets readiness bits from an event, unless it is for an earlier socket.
    pub fn mark(&mut self, key: Key, ready: Ready, turn: &mut Turn<'_>) {
        if key.id == self.key.id && self.is_open() {
            self.ready = self.ready.with(ready);
            turn.step(key, || Event::Marked { ready });
        } else {
            turn.step(key, || Event::Stale);
        }
    }

    /// Opens a socket to the next address, if there is none and the name is resolved. Fails if no
    /// address is left.
    pub fn open(
        &mut self,
        resolver: &mut Resolver,
        registry: &Registry,
        turn: &mut Turn<'_>,
    ) -> Result<(), Reason> {
        if self.is_open() || !self.resolve(resolver, turn.now)? {
            return Ok(());
        }
        let mut last = SysError::from(io::ErrorKind::NotFound);
        while let Some(remote) = self.addresses.as_mut().and_then(VecDeque::pop_front) {
            self.attempts += 1;
            let (target, attempt) = (self.display_target(&remote), self.attempts);
            turn.on(self.key.at(1), &Event::Dialing { target: &target, attempt });
            match self.open_to(&remote, registry) {
                Ok(socket) => {
                    self.socket = Some((socket, remote.peer()));
                    // Assumed ready: a call that would block clears the bit.
                    self.ready = Ready::READ.with(Ready::WRITE);
                    let after = turn.now.since(Moment(0));
                    turn.on(self.key.at(1), &Event::Connected { after });
                    return Ok(());
                }
                Err(error) => last = self.dial_failed(&error, turn),
            }
        }
        Err(Reason::not_connected(last))
    }

    /// Sends the first datagram to be sent again. If there is none, takes and sends `next`.
    pub fn send(
        &mut self,
        next: &mut Option<Vec<u8>>,
        turn: &mut Turn<'_>,
    ) -> Result<SendOutcome, Reason> {
        let Some((socket, to)) = &self.socket else { return Ok(SendOutcome::Blocked) };
        let is_resent = !self.resend.is_empty();
        let Some(datagram) = self.resend.pop_front().or_else(|| next.take()) else {
            return Ok(SendOutcome::Blocked);
        };
        match socket.send(&datagram) {
            Ok(()) => {
                let bytes = datagram.len();
                turn.step(self.key.at(1), || Event::Sent { bytes, to });
                self.sent_bytes += bytes as u64;
                self.keep_unanswered(datagram);
                Ok(SendOutcome::Done(bytes))
            }
            Err(error) => {
                match is_resent {
                    true => self.resend.push_front(datagram),
                    false => *next = Some(datagram),
                }
                self.handle_error(error, Ready::WRITE, turn)
            }
        }
    }

    /// Receives one datagram.
    pub fn receive(
        &mut self,
        into: &mut RecvBatch,
        turn: &mut Turn<'_>,
    ) -> Result<SendOutcome, Reason> {
        let Some((socket, from)) = &self.socket else { return Ok(SendOutcome::Blocked) };
        match socket.recv(into) {
            Ok(bytes) => {
                turn.step(self.key.at(1), || Event::Received { bytes, from });
                self.received_bytes += bytes as u64;
                self.answered = true;
                self.unanswered = Vec::new();
                Ok(SendOutcome::Done(bytes))
            }
            Err(error) => self.handle_error(error, Ready::READ.with(Ready::ERROR), turn),
        }
    }

    /// Resolves the target. Returns true if its addresses are known, even if none is left.
    fn resolve(&mut self, resolver: &mut Resolver, now: Moment) -> Result<bool, Reason> {
        if self.addresses.is_some() {
            return Ok(true);
        }
        let inet = |at: SocketAddr| Remote::Inet(at, None);
        let found = match &self.target {
            Address::Unix(name) | Address::UnixDatagram(name) => {
                vec![Remote::Unix(SystemName::from(name))]
            }
            Address::Tcp(host, port) | Address::Udp(host, port) => match host {
                Host::Any => vec![inet((Ipv4Addr::LOCALHOST, *port).into())],
                Host::Ip(ip) => vec![inet((*ip, *port).into())],
                Host::Name(name) => match resolver.lookup(name, *port, now) {
                    Lookup::Pending => return Ok(false),
                    Lookup::Known(addresses) => addresses.into_iter().map(inet).collect(),
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

    /// Returns the target as the user wrote it, with the address if that does not contain it.
    fn display_target(&self, remote: &Remote) -> String {
        let (target, address) = (self.target.to_string(), remote.to_string());
        match self.target {
            Address::Udp(Host::Name(_) | Host::Any, _) => {
                format!("{target} ({})", address.trim_start_matches("udp://"))
            }
            _ => target,
        }
    }

    /// Keeps a datagram that may have to be sent again.
    fn keep_unanswered(&mut self, datagram: Vec<u8>) {
        let others = self.addresses.as_ref().is_some_and(|left| !left.is_empty());
        if self.answered || !others {
            return;
        }
        self.unanswered.push(datagram);
        // An empty datagram counts as one byte, so that their number is bounded too.
        let kept: usize = self.unanswered.iter().map(|datagram| datagram.len().max(1)).sum();
        if kept > MAX_RESEND_BYTES {
            self.unanswered = Vec::new();
            self.addresses = Some(VecDeque::new());
        }
    }

    /// Handles an error of the socket: wait, try the next address, or fail.
    fn handle_error(
        &mut self,
        error: io::Error,
        blocked: Ready,
        turn: &mut Turn<'_>,
    ) -> Result<SendOutcome, Reason> {
        match error.kind() {
            io::ErrorKind::WouldBlock => {
                self.ready = self.ready.without(blocked);
                return Ok(SendOutcome::Blocked);
            }
            io::ErrorKind::Interrupted => return Ok(SendOutcome::Done(0)),
            _ => {}
        }
        let fault = self.dial_failed(&error, turn);
        if self.answered {
            return Err(Reason::Reset { by: Side::Target, fault });
        }
        if self.addresses.as_ref().is_none_or(VecDeque::is_empty) {
            return Err(Reason::not_connected(fault));
        }
        // In the order in which they were sent.
        for datagram in self.unanswered.drain(..).rev() {
            self.resend.push_front(datagram);
        }
        self.socket = None;
        self.key = Key::new(self.conn_ids.next(), 0);
        Ok(SendOutcome::Refused)
    }

    /// Reports that the current address failed.
    fn dial_failed(&self, error: &io::Error, turn: &mut Turn<'_>) -> SysError {
        let fault = SysError::from(error);
        let left = self.addresses.as_ref().map_or(0, VecDeque::len);
        let target = self.target.to_string();
        turn.on(self.key.at(1), &Event::DialFailed { target: &target, fault, left, client: None });
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

    /// A peer with known addresses, and the parts of a loop that it uses.
    struct TestLoop {
        poll: Poll,
        resolver: Resolver,
        peer: DatagramPeer,
    }

    fn test_loop(addresses: &[SocketAddr]) -> TestLoop {
        let poll = Poll::new().unwrap();
        let waker = Waker::new(poll.registry(), Token(0)).unwrap();
        let target = Address::parse("udp://name:7").unwrap();
        let mut peer = DatagramPeer::new(&target, None);
        let remotes = addresses.iter().map(|at| Remote::Inet(*at, None));
        peer.addresses = Some(remotes.collect());
        TestLoop { poll, resolver: Resolver::new(Arc::new(waker)), peer }
    }

    impl TestLoop {
        fn open(&mut self) -> Result<(), Reason> {
            let (resolver, registry) = (&mut self.resolver, self.poll.registry());
            let mut observer = ();
            let turn = &mut Turn::new(Moment(0), &mut observer);
            self.peer.open(resolver, registry, turn)
        }

        fn send(&mut self, datagram: &mut Option<Vec<u8>>) {
            let mut observer = ();
            let turn = &mut Turn::new(Moment(0), &mut observer);
            assert!(matches!(self.peer.send(datagram, turn), Ok(SendOutcome::Done(3))));
        }

        /// Waits until the current socket is readable, and receives.
        fn receive(&mut self) -> Result<SendOutcome, Reason> {
            let (mut events, mut batch) = (Events::with_capacity(8), RecvBatch::new());
            loop {
                match self.peer.receive(&mut batch, &mut Turn::new(Moment(0), &mut ()))? {
                    SendOutcome::Blocked => {}
                    outcome => return Ok(outcome),
                }
                self.poll.poll(&mut events, Some(Duration::from_secs(20))).unwrap();
                assert!(!events.is_empty(), "nothing is received");
            }
        }
    }

    fn datagram(text: &str) -> Option<Vec<u8>> {
        Some(text.as_bytes().to_vec())
    }

    fn server() -> (UdpSocket, SocketAddr) {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        server.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let address = server.local_addr().unwrap();
        (server, address)
    }

    /// An address that refuses: its socket is connected elsewhere.
    fn refusing_server() -> (UdpSocket, SocketAddr) {
        let (server, address) = server();
        server.connect("127.0.0.1:9").unwrap();
        (server, address)
    }

    /// Receives a datagram at the server and answers it.
    fn answer(server: &UdpSocket) -> Vec<u8> {
        let mut buffer = [0; 64];
        let (bytes, from) = server.recv_from(&mut buffer).unwrap();
        server.send_to(b"answer", from).unwrap();
        buffer[..bytes].to_vec()
    }

    #[test]
    fn a_refused_datagram_is_sent_to_the_next_address_before_a_new_one() {
        let ((_refusing, first), (server, second)) = (refusing_server(), server());
        let mut test = test_loop(&[first, second]);
        test.open().unwrap();
        let before = test.peer.key;
        test.send(&mut datagram("one"));
        assert!(matches!(test.receive(), Ok(SendOutcome::Refused)));
        assert!(!test.peer.is_open() && !test.peer.has_resent_all());
        test.open().unwrap();
        assert_ne!(test.peer.key, before, "an event of the old socket must be stale");
        let mut two = datagram("two");
        test.send(&mut two);
        assert_eq!((answer(&server), two.is_some()), (b"one".to_vec(), true));
        test.send(&mut two);
        assert!(matches!(test.receive(), Ok(SendOutcome::Done(6))));
        assert_eq!((answer(&server), two), (b"two".to_vec(), None));
        assert!(test.peer.answered);
    }

    #[test]
    fn a_refusal_by_the_last_address_is_an_error() {
        let (_refusing, address) = refusing_server();
        let mut test = test_loop(&[address]);
        test.open().unwrap();
        test.send(&mut datagram("one"));
        let Err(Reason::Refused { fault }) = test.receive().map(drop) else { panic!("no refusal") };
        assert_eq!(fault.kind, io::ErrorKind::ConnectionRefused);
    }
}
