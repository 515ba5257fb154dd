//! Plans that are applied to a running loop, on real sockets: listeners open and close one by one,
//! and connections go on.
#![allow(clippy::unwrap_used, clippy::expect_used)]
#![cfg(target_os = "linux")]

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::{Duration, Instant};

use oneloop::config::{AdminPlan, Plan, Policy, Route};
use oneloop::core::{Event, Key, Observer, Turn};
use oneloop::net::ListenNames;
use oneloop::runtime::apply::CannotApply;
use oneloop::runtime::reactor::Reactor;
use oneloop::runtime::start;

use black_hole::BlackHole;
use scratch::Scratch;

#[path = "support/black_hole.rs"]
mod black_hole;
#[path = "support/scratch.rs"]
mod scratch;

/// Upper bound for any wait, on the busiest machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A route of each plan here. Its datagrams wake the loop, so that no turn sleeps for long.
const WAKER: &str = "udp://127.0.0.1:0=discard";

struct TestLoop {
    reactor: Reactor,
    log: Log,
    waker: UdpSocket,
}

/// The events that matter, as text. An address is logged when its listener opens.
#[derive(Default)]
struct Log {
    events: Vec<String>,
    listening: Vec<(Key, String)>,
}

impl Observer for Log {
    fn on(&mut self, key: Key, event: &Event<'_>) {
        match event {
            Event::Listening { address, service } => {
                self.listening.push((key, address.to_string()));
                self.events.push(format!("listening {service} {address}"));
            }
            Event::Opened { service, route, .. } => {
                self.events.push(format!("opened {service} {route}"))
            }
            Event::Closed { ending, .. } => {
                self.events.push(format!("closed {}", ending.reason.name()))
            }
            Event::AcceptPaused { .. } => self.events.push("paused".to_string()),
            _ => {}
        }
    }
}

fn plan(routes: &[&str]) -> Plan {
    let routes = [WAKER].iter().chain(routes);
    let parse = |text: &&str| {
        Route::parse(text, &Policy::default()).unwrap_or_else(|error| panic!("{error}"))
    };
    Plan {
        routes: routes.map(parse).collect(),
        max_connections: Some(100),
        drain_timeout: Duration::from_secs(10),
        drain_idle: None,
        busy_poll: None,
        admin: AdminPlan::default(),
        record: None,
        record_bytes: false,
    }
}

impl TestLoop {
    fn start(routes: &[&str]) -> TestLoop {
        let mut log = Log::default();
        let (reactor, _) = start::bind(&plan(routes), &mut log).unwrap();
        let waker = UdpSocket::bind("127.0.0.1:0").unwrap();
        let test = TestLoop { reactor, log, waker };
        test.waker.connect(test.inet(0)).unwrap();
        test
    }

    fn apply(&mut self, routes: &[&str]) -> Result<(), CannotApply> {
        self.apply_plan(&plan(routes))
    }

    fn apply_plan(&mut self, plan: &Plan) -> Result<(), CannotApply> {
        let turn = &mut Turn::new(self.reactor.now(), &mut self.log);
        let names = ListenNames::resolve(plan.routes.iter().map(|route| &route.listen));
        self.reactor.apply(plan, &names, turn).map(drop)
    }

    /// The address that was reported as the `number`th one, without its scheme.
    fn address(&self, number: usize) -> &str {
        self.log.listening[number].1.split_once(":").unwrap().1.trim_start_matches('/')
    }

    fn inet(&self, number: usize) -> SocketAddr {
        self.address(number).parse().unwrap()
    }

    fn turn(&mut self) {
        self.waker.send(b"turn").unwrap();
        assert!(self.reactor.turn(&mut self.log).unwrap().is_none());
    }

    fn until<T>(&mut self, what: &str, mut there: impl FnMut(&mut TestLoop) -> Option<T>) -> T {
        let begin = Instant::now();
        loop {
            if let Some(found) = there(self) {
                return found;
            }
            assert!(begin.elapsed() < PATIENCE, "{what} never comes: {:?}", self.log.events);
            self.turn();
        }
    }

    /// Sends these bytes and expects them back.
    fn echoes(&mut self, client: &mut (impl Read + Write), bytes: &[u8]) {
        client.write_all(bytes).unwrap();
        let mut back = Vec::new();
        while back.len() < bytes.len() {
            back.extend(self.read(client));
        }
        assert_eq!(back, bytes);
    }

    /// Reads what comes next. Empty: the end.
    fn read(&mut self, from: &mut impl Read) -> Vec<u8> {
        self.until("a byte", |_| {
            let mut buffer = [0; 1000];
            match from.read(&mut buffer) {
                Ok(count) => Some(buffer[..count].to_vec()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => None,
                Err(error) => panic!("{error}"),
            }
        })
    }

    /// Runs turns until the loop has this many routes, retired ones included.
    fn until_routes(&mut self, count: usize) {
        self.until("a freed route", |test| (test.reactor.routes().len() == count).then_some(()));
    }
}

fn connect(to: SocketAddr) -> TcpStream {
    let client = TcpStream::connect(to).unwrap();
    client.set_nonblocking(true).unwrap();
    client
}

/// A target that accepts clients, and its address as a target of a relay.
fn target() -> (TcpListener, String) {
    let target = TcpListener::bind("127.0.0.1:0").unwrap();
    target.set_nonblocking(true).unwrap();
    let address = target.local_addr().unwrap().to_string();
    (target, address)
}

fn accept(test: &mut TestLoop, target: &TcpListener) -> TcpStream {
    let (socket, _) = test.until("a connection", |_| target.accept().ok());
    socket.set_nonblocking(true).unwrap();
    socket
}

fn refused(at: SocketAddr) -> bool {
    TcpStream::connect(at).is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
}

#[test]
fn a_removed_listener_accepts_its_queue_and_its_connections_go_on() {
    let mut test = TestLoop::start(&["127.0.0.2:0=echo", "127.0.0.3:0=echo"]);
    let (removed, kept) = (test.inet(1), test.inet(2));
    let mut clients = vec![connect(removed), connect(kept)];
    for client in &mut clients {
        test.echoes(client, b"before");
    }
    clients.extend((0..3).map(|_| connect(removed)));
    test.apply(&["127.0.0.3:0=echo"]).unwrap();
    test.until("the end of the listener", |_| refused(removed).then_some(()));
    clients.push(connect(kept));
    for client in &mut clients {
        test.echoes(client, b"after");
    }
    assert_eq!(test.reactor.routes().len(), 3, "its connections hold the route");
    test.apply(&["127.0.0.3:0=echo", "127.0.0.4:0=echo"]).unwrap();
    let indices: Vec<u16> = test.reactor.routes().iter().map(|(index, _)| index).collect();
    assert_eq!(indices, [0, 1, 2, 3], "its index is not reused");
    drop(clients);
    test.until_routes(3);
    test.apply(&["127.0.0.3:0=echo", "127.0.0.4:0=echo", "127.0.0.5:0=echo"]).unwrap();
    let indices: Vec<u16> = test.reactor.routes().iter().map(|(index, _)| index).collect();
    assert_eq!(indices, [0, 1, 2, 3], "now it is");
    let last = test.inet(4);
    test.echoes(&mut connect(last), b"the new one serves");
}

#[test]
fn a_plan_that_cannot_be_bound_changes_nothing() {
    let mut test = TestLoop::start(&["127.0.0.2:0=echo"]);
    let (in_use, address) = target();
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (events, mut client) = (test.log.events.len(), connect(test.inet(1)));
    let scratch = Scratch::new();
    let file = scratch.path("socket");
    let routes = [
        "127.0.0.2:0=discard",
        &format!("{free}=echo"),
        &format!("unix:{}=echo", file.display()),
        "udp://127.0.0.9:0=echo",
        &format!("{address}=echo"),
    ];
    let error = test.apply(&routes).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("cannot listen on tcp://{address}: Address already in use")
    );
    assert_eq!((test.reactor.routes().len(), test.log.events.len()), (2, events));
    assert!(refused(free) && !file.exists(), "what was bound is released");
    drop(TcpListener::bind(free).unwrap());
    test.echoes(&mut client, b"still an echo");
    drop(in_use);
    test.apply(&routes).unwrap();
    test.echoes(&mut client, b"opened as an echo");
    test.echoes(&mut connect(free), b"now it serves");
}

#[test]
fn another_service_takes_the_socket_over_with_its_queue() {
    let mut test = TestLoop::start(&["127.0.0.2:0=echo"]);
    let address = test.inet(1);
    let mut before = connect(address);
    test.echoes(&mut before, b"before");
    let mut waits = connect(address);
    test.apply(&["127.0.0.2:0=daytime"]).unwrap();
    assert_eq!(test.inet(2), address, "it is listened on by the new service");
    assert!(test.read(&mut waits).len() > 20, "a date");
    test.echoes(&mut before, b"after");
    assert!(test.read(&mut connect(address)).len() > 20);
    assert_eq!(test.reactor.routes().len(), 3);
    drop((before, waits));
    test.until_routes(2);
}

#[test]
fn established_relays_keep_their_target_and_new_ones_have_the_new_targets() {
    let ((first, first_address), (second, second_address)) = (target(), target());
    let relay = |to: &str| format!("127.0.0.2:0=relay:{to}");
    let mut test = TestLoop::start(&[&relay(&first_address)]);
    let mut before = connect(test.inet(1));
    let mut there = accept(&mut test, &first);
    test.apply(&[&relay(&second_address)]).unwrap();
    before.write_all(b"to the first").unwrap();
    assert_eq!(test.read(&mut there), b"to the first");
    let mut after = connect(test.inet(1));
    let mut other = accept(&mut test, &second);
    other.write_all(b"from the second").unwrap();
    assert_eq!(test.read(&mut after), b"from the second");
    assert_eq!(test.reactor.routes().len(), 2, "it is the same route");
    assert!(first.accept().is_err());
}

#[test]
fn an_attempt_in_progress_keeps_the_targets_that_it_began_with() {
    let ((first, first_address), (second, second_address)) = (target(), target());
    // The first of the targets does not answer, so the attempt lasts until its timeout.
    let (silent, options) = (BlackHole::new(), "connect-timeout=300ms");
    let relay = |to: &str| format!("127.0.0.2:0=relay:{},{to},{options}", silent.address());
    let mut test = TestLoop::start(&[&relay(&first_address)]);
    let _client = connect(test.inet(1));
    test.until("the attempt", |test| {
        test.log.events.iter().any(|event| event.starts_with("opened")).then_some(())
    });
    test.apply(&[&relay(&second_address)]).unwrap();
    accept(&mut test, &first);
    assert!(second.accept().is_err());
}

#[test]
fn new_timeouts_apply_to_open_connections() {
    let mut test = TestLoop::start(&["127.0.0.2:0=echo", "127.0.0.3:0=echo"]);
    let (mut changed, mut kept) = (connect(test.inet(1)), connect(test.inet(2)));
    test.echoes(&mut changed, b"before");
    test.echoes(&mut kept, b"before");
    test.apply(&["127.0.0.2:0=echo,idle-timeout=100ms", "127.0.0.3:0=echo"]).unwrap();
    assert_eq!(test.read(&mut changed), b"", "closed with a FIN");
    assert_eq!(test.log.events.last().unwrap(), "closed idle-timeout");
    test.echoes(&mut kept, b"after");
}

#[test]
fn a_closing_listener_that_is_wanted_again_is_taken_over() {
    let mut full = Plan { max_connections: Some(1), ..plan(&["127.0.0.2:0=echo"]) };
    let mut test = TestLoop::start(&["127.0.0.2:0=echo"]);
    test.apply_plan(&full).unwrap();
    let address = test.inet(1);
    let mut first = connect(address);
    test.echoes(&mut first, b"the only one");
    let mut second = connect(address);
    full.routes.truncate(1);
    // No stream route is left, but the connection and the queue are still there.
    test.apply_plan(&full).unwrap();
    (0..5).for_each(|_| test.turn());
    test.apply(&["127.0.0.2:0=echo"]).unwrap();
    assert_eq!(test.inet(2), address, "the same socket");
    test.echoes(&mut second, b"it has waited");
    test.echoes(&mut first, b"and this one goes on");
    test.echoes(&mut connect(address), b"a new one");
    drop(first);
    test.until_routes(2);
}

#[test]
fn an_option_that_only_bind_can_set_is_refused_for_datagrams_and_a_backlog_is_not() {
    let mut test = TestLoop::start(&["127.0.0.2:0=echo", "udp://127.0.0.2:0=echo"]);
    let error = test.apply(&["udp://127.0.0.2:0,reuseport=echo"]).unwrap_err();
    assert!(matches!(error, CannotApply::Rebound { .. }), "{error}");
    assert!(error.to_string().contains("udp://127.0.0.2:0,reuseport"), "{error}");
    test.apply(&["127.0.0.2:0,backlog=7=echo"]).unwrap();
    let address = test.inet(1);
    test.echoes(&mut connect(address), b"the same listener");
    assert_eq!(test.log.listening.len(), 3);
}

#[test]
fn a_relay_that_would_lead_to_its_open_listener_is_refused() {
    let mut test = TestLoop::start(&["127.0.0.2:0=echo"]);
    let own = test.inet(1);
    let error = test.apply(&[&format!("127.0.0.2:0=relay:{own}")]).unwrap_err();
    assert!(matches!(error, CannotApply::SelfConnect { .. }), "{error}");
    test.echoes(&mut connect(own), b"still an echo");
}

#[test]
fn a_socket_file_goes_with_its_listener_after_the_queue() {
    let scratch = Scratch::new();
    let file = scratch.path("socket");
    let route = format!("unix:{}=echo", file.display());
    let mut test = TestLoop::start(&[&route]);
    let mut client = UnixStream::connect(&file).unwrap();
    client.set_nonblocking(true).unwrap();
    test.apply(&[]).unwrap();
    test.echoes(&mut client, b"it was in the queue");
    assert!(!file.exists());
    // The path may be used by others, and by us again.
    drop(UnixListener::bind(&file).unwrap());
    test.apply(&[&route]).unwrap();
    let mut next = UnixStream::connect(&file).unwrap();
    next.set_nonblocking(true).unwrap();
    test.echoes(&mut next, b"a new socket");
    test.echoes(&mut client, b"the old connection");
}

#[test]
fn a_datagram_socket_keeps_its_flows_through_two_changes_of_service() {
    let target = UdpSocket::bind("127.0.0.1:0").unwrap();
    target.set_nonblocking(true).unwrap();
    let relay = format!("udp://127.0.0.2:0=relay:udp://{}", target.local_addr().unwrap());
    let mut test = TestLoop::start(&[&relay]);
    let (address, client) = (test.inet(1), UdpSocket::bind("127.0.0.2:0").unwrap());
    client.set_nonblocking(true).unwrap();
    client.connect(address).unwrap();
    let exchange = |test: &mut TestLoop| {
        let mut buffer = [0; 100];
        client.send(b"request").unwrap();
        let (_, flow) = test.until("a request", |_| target.recv_from(&mut buffer).ok());
        target.send_to(b"answer", flow).unwrap();
        let length = test.until("an answer", |_| client.recv(&mut buffer).ok());
        assert_eq!(&buffer[..length], b"answer");
        flow
    };
    let flow = exchange(&mut test);
    for routes in [&["udp://127.0.0.2:0=echo"][..], &[&relay], &[]] {
        test.apply(routes).unwrap();
        (0..3).for_each(|_| test.turn());
        assert_eq!(exchange(&mut test), flow, "{routes:?}");
    }
    assert!(UdpSocket::bind(address).is_err(), "its flow needs the address");
}

#[test]
fn a_hundred_plans_leave_nothing_behind() {
    let mut test = TestLoop::start(&[]);
    let scratch = Scratch::new();
    let unix = format!("unix:{}=echo", scratch.path("socket").display());
    let routes = ["127.0.0.2:0=echo", "udp://127.0.0.3:0=echo", &unix, "127.0.0.4:0=discard"];
    let mut keys = std::collections::HashSet::new();
    for round in 0..100 {
        test.apply(&routes[..round % 5]).unwrap();
        let new: Vec<Key> = test.log.listening.drain(..).map(|(key, _)| key).collect();
        for key in new {
            assert!(keys.insert(key), "{key:?} is used again");
        }
        (0..3).for_each(|_| test.turn());
        test.until_routes(1 + round % 5);
    }
    assert!(keys.len() > 80);
}
