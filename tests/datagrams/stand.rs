//! A stand that turns the loop for `Datagrams`: poll, mark, run, expire. Its clock is set by hand.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use mio::{Events, Poll};
use oneloop::core::{ConnIds, Event, Key, Moment, Observer, Ready, Reason};
use oneloop::plan::{Policy, Route};
use oneloop::shell::bind_datagram;
use oneloop::shell::datagram::{DatagramCx, Datagrams};
use oneloop::shell::datagram_socket::DatagramSocket;

/// 20 November 2026, 18:17:05 UTC.
const NOW: i64 = 1_795_198_625;

/// Longer than anything takes on the busiest machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// What drains in these tests is closed after it was quiet for so long.
pub const DRAIN_IDLE: Duration = Duration::from_secs(1);

/// What has to stay silent is watched for so long.
const SILENCE: Duration = Duration::from_millis(50);

pub struct Stand {
    poll: Poll,
    events: Events,
    conn_ids: ConnIds,
    listeners: usize,
    pub datagrams: Datagrams,
    pub now: Moment,
    pub names: HashMap<String, Vec<SocketAddr>>,
    pub facts: Facts,
}

/// What was seen: the birth number of the flow (0: a door) and the event in words.
#[derive(Default)]
pub struct Facts(pub Vec<(u32, String)>);

impl Stand {
    pub fn new() -> Stand {
        Stand {
            poll: Poll::new().unwrap(),
            events: Events::with_capacity(64),
            conn_ids: ConnIds::default(),
            listeners: 0,
            datagrams: Datagrams::new(7),
            now: Moment(1_000_000),
            names: HashMap::new(),
            facts: Facts::default(),
        }
    }

    /// A stand with one route. Its first address is where clients send to.
    pub fn with(route: &str) -> (Stand, SocketAddr) {
        let mut stand = Stand::new();
        let address = stand.add(route);
        (stand, address)
    }

    /// Opens the door of a route; its address, if it is one of UDP.
    pub fn add(&mut self, route: &str) -> SocketAddr {
        self.open(route).0
    }

    /// The same, with a second handle on the socket: what is sent there seems to come from the
    /// door.
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
        let (key, registry) = (Key::source(self.listeners), self.poll.registry());
        self.datagrams.add(bound, (0, &route), key, registry).unwrap();
        self.listeners += 1;
        (address, handle)
    }

    /// One turn that sleeps for at most so long.
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
            self.datagrams.mark(Key::from_token(event.token().0), ready, &mut self.facts);
        }
        self.call(|datagrams, cx| {
            datagrams.run(cx);
            datagrams.expire(cx);
        });
    }

    pub fn call(&mut self, action: impl FnOnce(&mut Datagrams, &mut DatagramCx<'_>)) {
        let names = &self.names;
        let mut cx = DatagramCx {
            now: self.now,
            unix_seconds: NOW,
            registry: self.poll.registry(),
            conn_ids: &mut self.conn_ids,
            names: &mut |name, _| names.get(name).cloned().unwrap_or_default(),
            seen: &mut self.facts,
        };
        action(&mut self.datagrams, &mut cx);
    }

    /// Lets time pass.
    pub fn pass(&mut self, time: Duration) {
        self.now = self.now.after(time);
        self.turn(Duration::ZERO);
    }

    /// Turns until something is there.
    pub fn until<T>(&mut self, mut there: impl FnMut(&mut Stand) -> Option<T>) -> T {
        let begin = Instant::now();
        loop {
            if let Some(found) = there(self) {
                return found;
            }
            assert!(begin.elapsed() < PATIENCE, "nothing came; seen: {:?}", self.facts.0);
            self.turn(Duration::from_millis(5));
        }
    }

    /// Turns until so many facts contain this text.
    pub fn until_seen(&mut self, count: usize, text: &str) {
        self.until(|stand| (stand.facts.count(text) >= count).then_some(()));
    }

    /// What comes back to a client that sends this.
    pub fn ask(&mut self, client: &UdpSocket, to: SocketAddr, bytes: &[u8]) -> Vec<u8> {
        client.send_to(bytes, to).unwrap();
        self.until(|_| receive(client)).0
    }

    /// Turns for a while, in which nothing may come to this client.
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

    /// The birth numbers of the flows that have such a fact.
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

/// A client at a port of its own.
pub fn client() -> UdpSocket {
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.set_nonblocking(true).unwrap();
    client
}

/// An address at which nobody hears, and nobody else can, as long as this lives: the socket there
/// hears one other alone.
pub fn nobody() -> (UdpSocket, SocketAddr) {
    let deaf = client();
    deaf.connect("127.0.0.1:9").unwrap();
    let address = deaf.local_addr().unwrap();
    (deaf, address)
}

/// What has come, if anything has, and from where.
pub fn receive(client: &UdpSocket) -> Option<(Vec<u8>, SocketAddr)> {
    let mut room = vec![0; 65_536];
    match client.recv_from(&mut room) {
        Ok((bytes, from)) => Some((room[..bytes].to_vec(), from)),
        Err(error) if error.kind() == ErrorKind::WouldBlock => None,
        Err(error) => panic!("a client failed to receive: {error}"),
    }
}

/// Where a client is, as it stands in facts.
pub fn at(client: &UdpSocket) -> SocketAddr {
    client.local_addr().unwrap()
}

/// Bytes that are unlike those of another seed or another length.
pub fn bytes(length: usize, seed: u8) -> Vec<u8> {
    (0..length).map(|at| (at % 251) as u8 ^ seed ^ (length % 256) as u8).collect()
}

/// The end of a flow, for tests that end all.
pub const CUT: Reason = Reason::Cut;
