//! Servers, plans and runs for the stress tests.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use oneloop::config::{Address, LoadKind, LoadPlan, StressPlan};
use oneloop::stress::dial::{LoadDialer, resolve};
use oneloop::stress::outcome::Outcome;
use oneloop::stress::pattern::Pattern;
use oneloop::stress::runner::Runner;
use oneloop::stress::server_usage::ServerUsage;

/// Starts a server with a thread per connection. It ends with the process.
pub fn server(serve: fn(TcpStream)) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || serve(stream));
        }
    });
    address
}

pub fn echo(mut stream: TcpStream) {
    let mut buffer = vec![0; 65_536];
    while let Ok(bytes @ 1..) = stream.read(&mut buffer) {
        if stream.write_all(&buffer[..bytes]).is_err() {
            return;
        }
    }
}

pub fn plan(to: SocketAddr, kind: LoadKind, conns: usize) -> StressPlan {
    StressPlan {
        targets: vec![Address::parse_target(&to.to_string()).unwrap()],
        loads: vec![LoadPlan { mode: kind.into(), conns: None }],
        conns,
        duration: Duration::from_millis(300),
        hold: Duration::from_millis(100),
        timeout: Some(Duration::from_secs(5)),
        ..StressPlan::default()
    }
}

pub fn run(plan: &StressPlan) -> Outcome {
    let mut dialer = LoadDialer::new(resolve(&plan.targets).unwrap(), &plan.sources);
    if plan.gso {
        dialer.set_segment_size(plan.size);
    }
    let pattern = Rc::new(Pattern::new(1));
    let mut runner = Runner::new(plan, dialer, pattern, ServerUsage::default()).unwrap();
    if let Some(listen) = &plan.sink {
        runner.open_sink(listen).unwrap();
    }
    while runner.turn().unwrap() {}
    Outcome::of(runner)
}

/// Reserves a port without listening on it: the system assigns it to no other socket, but it can be
/// bound explicitly.
pub struct Spare(Socket);

impl Spare {
    pub fn new() -> Spare {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        #[cfg(unix)]
        socket.set_reuse_address(true).unwrap();
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        Spare(socket)
    }

    pub fn address(&self) -> SocketAddr {
        self.0.local_addr().unwrap().as_socket().unwrap()
    }
}
