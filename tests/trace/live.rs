//! Loops that the test drives turn by turn, and their traffic.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use oneloop::config::{AdminPlan, Plan, Policy, Route};
use oneloop::core::{Event, Key, Moment, Observer, Wants};
use oneloop::runtime::reactor::Reactor;
use oneloop::runtime::start;

/// Upper bound for any wait, on the busiest machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A route of each plan here. Its datagrams wake the loop, so that no turn sleeps for long.
const WAKER: &str = "udp://127.0.0.1:0=discard";

/// A loop, and the observer of the test.
pub struct TracedLoop<'a> {
    reactor: Reactor,
    observer: Addresses<'a>,
    waker: UdpSocket,
}

struct Addresses<'a> {
    observer: &'a mut dyn Observer,
    addresses: Vec<String>,
}

impl Observer for Addresses<'_> {
    fn on(&mut self, key: Key, event: &Event<'_>) {
        self.observer.on(key, event);
        if let Event::Listening { address, .. } = event {
            self.addresses.push(address.to_string());
        }
    }

    fn begin_turn(&mut self, now: Moment) -> Wants {
        self.observer.begin_turn(now)
    }
}

impl<'a> TracedLoop<'a> {
    pub fn start(routes: &[&str], observer: &'a mut dyn Observer) -> TracedLoop<'a> {
        let routes = [WAKER].iter().chain(routes);
        let plan = Plan {
            routes: routes.map(|text| Route::parse(text, &Policy::default()).unwrap()).collect(),
            max_connections: Some(100),
            drain_timeout: Duration::from_secs(10),
            drain_idle: None,
            busy_poll: None,
            admin: AdminPlan::default(),
            record: None,
            record_bytes: false,
        };
        let mut observer = Addresses { observer, addresses: Vec::new() };
        let (reactor, _) = start::bind(&plan, &mut observer).unwrap();
        let waker = UdpSocket::bind("127.0.0.1:0").unwrap();
        let traced = TracedLoop { reactor, observer, waker };
        traced.waker.connect(traced.address(0)).unwrap();
        traced
    }

    /// The address of a route: 1 is the first of the test.
    pub fn address(&self, number: usize) -> SocketAddr {
        self.observer.addresses[number].split("://").nth(1).unwrap().parse().unwrap()
    }

    pub fn turn(&mut self) {
        self.waker.send(b"turn").unwrap();
        assert!(self.reactor.turn(&mut self.observer).unwrap().is_none());
    }

    pub fn client(&self, number: usize) -> TcpStream {
        let client = TcpStream::connect(self.address(number)).unwrap();
        client.set_nonblocking(true).unwrap();
        client
    }

    /// Takes turns until this many bytes have been read, or to the end.
    pub fn read(&mut self, from: &mut impl Read, count: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.until("read", |_| {
            let mut buffer = vec![0; (count - bytes.len()).min(1 << 20)];
            match from.read(&mut buffer) {
                Ok(0) => return true,
                Ok(count) => bytes.extend_from_slice(&buffer[..count]),
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
            bytes.len() == count
        });
        bytes
    }

    /// Takes turns until this many bytes have been written.
    pub fn write(&mut self, to: &mut impl Write, count: usize) {
        let mut left = count;
        self.until("written", |_| {
            match to.write(&vec![7; left.min(1 << 20)]) {
                Ok(count) => left -= count,
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
            left == 0
        });
    }

    /// Takes turns until this many bytes have gone from one end to the other.
    pub fn transfer(&mut self, from: &mut impl Write, to: &mut impl Read, count: usize) {
        let (mut unsent, mut unread) = (count, count);
        let mut buffer = vec![0; 1 << 20];
        self.until("transferred", |_| {
            if unsent > 0 {
                unsent -= from.write(&vec![7; unsent]).unwrap_or_default();
            }
            unread -= to.read(&mut buffer).unwrap_or_default();
            unread == 0
        });
    }

    /// Takes turns until a connection of this listener arrives.
    pub fn accept(&mut self, listener: &TcpListener) -> TcpStream {
        let mut accepted = None;
        self.until("accepted", |_| {
            accepted = listener.accept().ok();
            accepted.is_some()
        });
        let stream = accepted.unwrap().0;
        stream.set_nonblocking(true).unwrap();
        stream
    }

    fn until(&mut self, what: &str, mut is_done: impl FnMut(&mut Self) -> bool) {
        let begin = Instant::now();
        while !is_done(self) {
            self.turn();
            assert!(begin.elapsed() < PATIENCE, "not {what}");
        }
    }
}

/// A target of the test, and its address.
pub fn target() -> (TcpListener, String) {
    let target = TcpListener::bind("127.0.0.1:0").unwrap();
    target.set_nonblocking(true).unwrap();
    let address = format!("tcp://{}", target.local_addr().unwrap());
    (target, address)
}

/// Relays a request and a reply: connection 1. The client sends its FIN first, the target answers
/// after it.
pub fn half_close(observer: &mut dyn Observer) {
    let (listener, address) = target();
    let mut traced = TracedLoop::start(&[&format!("tcp://127.0.0.1:0=relay:{address}")], observer);
    let mut client = traced.client(1);
    client.write_all(b"hello").unwrap();
    let mut served = traced.accept(&listener);
    assert_eq!(traced.read(&mut served, 5), b"hello");
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(traced.read(&mut served, 1), b"");
    served.write_all(b"answer").unwrap();
    assert_eq!(traced.read(&mut client, 6), b"answer");
    drop(served);
    assert_eq!(traced.read(&mut client, 1), b"");
    traced.turn();
}

/// Relays a request: connection 1. Then the client resets it.
pub fn reset(observer: &mut dyn Observer) {
    let (listener, address) = target();
    let mut traced = TracedLoop::start(&[&format!("tcp://127.0.0.1:0=relay:{address}")], observer);
    let mut client = traced.client(1);
    client.write_all(b"hello").unwrap();
    let mut served = traced.accept(&listener);
    assert_eq!(traced.read(&mut served, 5), b"hello");
    // Unread data at the close makes it a reset.
    served.write_all(b"answer").unwrap();
    let mut first = [0; 1];
    traced.until("answered", |_| client.peek(&mut first).is_ok());
    drop(client);
    let mut byte = [0; 1];
    traced.until("reset", |_| {
        served.read(&mut byte).is_err_and(|error| error.kind() == ErrorKind::ConnectionReset)
    });
}

/// Echoes much data to a client that reads all of it: connection 1.
pub fn bulk_echo(observer: &mut dyn Observer, bytes: usize) {
    let mut traced = TracedLoop::start(&["tcp://127.0.0.1:0=echo"], observer);
    let mut client = traced.client(1);
    let mut sent = 0;
    while sent < bytes {
        traced.write(&mut client, 100_000);
        assert_eq!(traced.read(&mut client, 100_000).len(), 100_000);
        sent += 100_000;
    }
    client.shutdown(Shutdown::Write).unwrap();
    traced.read(&mut client, 1);
    traced.turn();
}

/// Relays much data from the client to the target: connection 1. Both sides close in order.
pub fn bulk_relay(observer: &mut dyn Observer, bytes: usize) {
    let (listener, address) = target();
    let mut traced = TracedLoop::start(&[&format!("tcp://127.0.0.1:0=relay:{address}")], observer);
    let mut client = traced.client(1);
    let mut served = traced.accept(&listener);
    let mut received = 0;
    while received < bytes {
        let more = (bytes - received).min(500_000);
        traced.transfer(&mut client, &mut served, more);
        received += more;
    }
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(traced.read(&mut served, 1), b"");
    drop(served);
    assert_eq!(traced.read(&mut client, 1), b"");
    traced.turn();
}

/// Echoes a datagram of 1,000 bytes.
pub fn datagrams(observer: &mut dyn Observer) {
    let mut traced = TracedLoop::start(&["udp://127.0.0.1:0=echo"], observer);
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.set_nonblocking(true).unwrap();
    client.send_to(&[7; 1000], traced.address(1)).unwrap();
    let mut buffer = [0; 2000];
    traced.until("echoed", |_| client.recv(&mut buffer).is_ok_and(|bytes| bytes == 1000));
}
