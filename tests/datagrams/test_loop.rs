//! A test loop for `Datagrams`: poll, mark, run, expire. The test sets its clock.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use mio::{Events, Poll};
use oneloop::config::{Address, Host, Policy, Route};
use oneloop::core::{ConnIds, Event, Key, Moment, Observer, Ready, Reason, Turn};
use oneloop::net::bind_datagram;
use oneloop::net::datagram_socket::DatagramSocket;
use oneloop::runtime::datagrams::{DatagramCx, Datagrams};
use oneloop::runtime::routes::Routes;

/// 20 November 2026, 18:17:05 UTC.
const NOW: i64 = 1_795_198_625;

/// Upper bound for any wait, on the busiest machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// The idle time after which a drain closes flows in these tests.
pub const DRAIN_IDLE: Duration = Duration::from_secs(1);

/// How long a client is watched that must receive nothing.
const SILENCE: Duration = Duration::from_millis(50);

pub struct TestLoop {
    poll: Poll,
    events: Events,
    conn_ids: ConnIds,
    pub routes: Routes,
    pub warnings: Vec<String>,
    pub datagrams: Datagrams,
    pub now: Moment,
    pub names: HashMap<String, Vec<SocketAddr>>,
    pub facts: Facts,
}

/// The observed events: the id of the flow (0: a listener) and the event as text.
#[derive(Default)]
pub struct Facts(pub Vec<(u32, String)>);

impl TestLoop {
    pub fn new() -> TestLoop {
        TestLoop {
            poll: Poll::new().unwrap(),
            events: Events::with_capacity(64),
            conn_ids: ConnIds::default(),
            routes: Routes::default(),
            warnings: Vec::new(),
            datagrams: Datagrams::new(7),
            now: Moment(1_000_000),
            names: HashMap::new(),
            facts: Facts::default(),
        }
    }

    /// A loop with one route, and the address of its listener.
    pub fn with(route: &str) -> (TestLoop, SocketAddr) {
        let mut test = TestLoop::new();
        let address = test.add(route);
        (test, address)
    }

    /// Adds the listener of a route, and returns its address if it is UDP.
    pub fn add(&mut self, route: &str) -> SocketAddr {
        self.open(route).0
    }

    /// The same, with a second handle on the socket: what it sends seems to come from the listener.
    pub fn add_with_forger(&mut self, route: &str) -> (SocketAddr, UdpSocket) {
        let (address, forger) = self.open(route);
        (address, forger.unwrap())
    }

    fn open(&mut self, route: &str) -> (SocketAddr, Option<UdpSocket>) {
        let route = Route::parse(route, &Policy::default()).unwrap();
        let bound = bind_datagram(&route.listen).unwrap().remove(0);
        let (mut address, mut handle) = (SocketAddr::from(([0, 0, 0, 0], 0)), None);
        if let DatagramSocket::Udp(socket) = &bound.socket {
            address = socket.local_addr().unwrap();
            handle = Some(UdpSocket::from(socket.as_fd().try_clone_to_owned().unwrap()));
        }
        let (index, registry) = (self.routes.add(route.clone(), Vec::new()), self.poll.registry());
        let key = self.datagrams.open(bound, index, &route, registry).unwrap();
        self.routes[index].listeners.push(key);
        self.warnings.extend(self.datagrams.warning(key, &route.service));
        (address, handle)
    }

    /// Hands the socket of a route over to a new one, and returns the index of that.
    pub fn hand_over(&mut self, old: u16, route: &str) -> u16 {
        let route = Route::parse(route, &Policy::default()).unwrap();
        let key = self.routes[old].listeners[0];
        let index = self.routes.add(route.clone(), Vec::new());
        self.datagrams.set_route(key, index, &route);
        self.routes[index].listeners.push(key);
        index
    }

    /// The bound address of a socket.
    pub fn address(&self, key: Key) -> SocketAddr {
        match self.datagrams.at(key) {
            Some(Address::Udp(Host::Ip(ip), port)) => SocketAddr::new(*ip, *port),
            other => panic!("{other:?} is not bound to an IP address"),
        }
    }

    /// Runs one turn that sleeps for at most `longest`.
    pub fn turn(&mut self, longest: Duration) {
        let sleep = self.datagrams.sleep(self.now).map_or(longest, |sleep| sleep.min(longest));
        self.poll.poll(&mut self.events, Some(sleep)).unwrap();
        for event in &self.events {
            let mut ready = Ready::NONE;
            if event.is_readable() {
                ready = ready.with(Ready::READ);
            }
            if event.is_error() {
                ready = ready.with(Ready::ERROR);
            }
            let turn = &mut Turn::new(self.now, &mut self.facts);
            self.datagrams.mark(Key::from_token(event.token().0), ready, turn);
        }
        self.call(|datagrams, cx| {
            datagrams.run(cx);
            datagrams.expire(cx);
        });
    }

    pub fn call(&mut self, action: impl FnOnce(&mut Datagrams, &mut DatagramCx<'_, '_>)) {
        let names = &self.names;
        let mut cx = DatagramCx {
            unix_seconds: NOW,
            registry: self.poll.registry(),
            routes: &mut self.routes,
            conn_ids: &mut self.conn_ids,
            names: &mut |name, _| names.get(name).cloned().unwrap_or_default(),
            turn: &mut Turn::new(self.now, &mut self.facts),
        };
        action(&mut self.datagrams, &mut cx);
    }

    /// Advances the clock, and runs a turn.
    pub fn pass(&mut self, time: Duration) {
        self.now = self.now.after(time);
        self.turn(Duration::ZERO);
    }

    /// Runs turns until `found` returns something.
    pub fn until<T>(&mut self, mut there: impl FnMut(&mut TestLoop) -> Option<T>) -> T {
        let begin = Instant::now();
        loop {
            if let Some(found) = there(self) {
                return found;
            }
            assert!(begin.elapsed() < PATIENCE, "nothing came; events: {:?}", self.facts.0);
            self.turn(Duration::from_millis(5));
        }
    }

    /// Runs turns until `count` events contain this text.
    pub fn until_event(&mut self, count: usize, text: &str) {
        self.until(|test| (test.facts.count(text) >= count).then_some(()));
    }

    /// Sends a datagram from a client, and returns the reply.
    pub fn ask(&mut self, client: &UdpSocket, to: SocketAddr, bytes: &[u8]) -> Vec<u8> {
        client.send_to(bytes, to).unwrap();
        self.until(|_| receive(client)).0
    }

    /// Runs turns for a while, in which this client must receive nothing.
    pub fn expect_silence(&mut self, client: &UdpSocket) {
        let begin = Instant::now();
        while begin.elapsed() < SILENCE {
            self.turn(Duration::from_millis(5));
            assert_eq!(receive(client), None);
        }
    }
}

impl Facts {
    pub fn count(&self, text: &str) -> usize {
        self.0.iter().filter(|(_, fact)| fact.contains(text)).count()
    }

    /// The ids of the flows with an event that contains this text.
    pub fn conn_ids(&self, text: &str) -> Vec<u32> {
        self.0.iter().filter(|(_, fact)| fact.contains(text)).map(|(id, _)| *id).collect()
    }
}

impl Observer for Facts {
    fn on(&mut self, key: Key, event: &Event<'_>) {
        let fact = match event {
            Event::Opened { service, peer, .. } => format!("opened {service} {peer}"),
            Event::Closed { ending, up, down, .. } => {
                format!("closed {} up {up} down {down}", ending.reason.name())
            }
            Event::Dialing { target, attempt } => format!("dialing {target} attempt {attempt}"),
            Event::DialFailed { target, .. } => format!("dial failed {target}"),
            Event::Received { bytes, from } => format!("received {bytes} from {from}"),
            Event::Sent { bytes, to } => format!("sent {bytes} to {to}"),
            Event::Dropped { bytes: Some(bytes), from: Some(from), why } => {
                format!("dropped {bytes} from {from}: {why}")
            }
            Event::Dropped { bytes: Some(bytes), why, .. } => format!("dropped {bytes}: {why}"),
            Event::Dropped { why, .. } => format!("dropped an earlier one: {why}"),
            Event::Stale => "stale".to_string(),
            Event::Yielded { .. } => "yielded".to_string(),
            Event::Dump { line } => format!("dump {line}"),
            _ => return,
        };
        self.0.push((key.id, fact));
    }
}

/// A client with its own port.
pub fn client() -> UdpSocket {
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.set_nonblocking(true).unwrap();
    client
}

/// An address that refuses datagrams, and that no other process can bind while the socket lives:
/// the socket is connected elsewhere.
pub fn refusing_address() -> (UdpSocket, SocketAddr) {
    let refusing = client();
    refusing.connect("127.0.0.1:9").unwrap();
    let address = refusing.local_addr().unwrap();
    (refusing, address)
}

/// Receives a datagram and its sender, if there is one.
pub fn receive(client: &UdpSocket) -> Option<(Vec<u8>, SocketAddr)> {
    let mut buffer = vec![0; 65_536];
    match client.recv_from(&mut buffer) {
        Ok((bytes, from)) => Some((buffer[..bytes].to_vec(), from)),
        Err(error) if error.kind() == ErrorKind::WouldBlock => None,
        Err(error) => panic!("a client failed to receive: {error}"),
    }
}

/// The address of a client, as the events show it.
pub fn at(client: &UdpSocket) -> SocketAddr {
    client.local_addr().unwrap()
}

/// Bytes that differ for each seed and length.
pub fn bytes(length: usize, seed: u8) -> Vec<u8> {
    (0..length).map(|at| (at % 251) as u8 ^ seed ^ (length % 256) as u8).collect()
}

/// The reason with which tests close all flows.
pub const CUT: Reason = Reason::Cut;
