//! Stress runs against small servers on loopback.
#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::rc::Rc;
use std::thread;
use std::time::{Duration, SystemTime};

use oneloop::plan::{Address, LoadKind, LoadPlan, StressPlan};
use oneloop::stress::books::Books;
use oneloop::stress::dial::{Dialer, resolve};
use oneloop::stress::host::Host;
use oneloop::stress::loader::Loader;
use oneloop::stress::outcome::Outcome;
use oneloop::stress::pattern::Pattern;

/// A server with a thread for each connection. It ends with the process.
fn server(serve: fn(TcpStream)) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || serve(stream));
        }
    });
    address
}

fn echo(mut stream: TcpStream) {
    let mut room = vec![0; 65_536];
    while let Ok(bytes @ 1..) = stream.read(&mut room) {
        if stream.write_all(&room[..bytes]).is_err() {
            return;
        }
    }
}

fn plan(to: SocketAddr, kind: LoadKind, conns: usize) -> StressPlan {
    StressPlan {
        targets: vec![Address::parse_target(&to.to_string()).unwrap()],
        loads: vec![LoadPlan { kind, conns: None }],
        conns,
        duration: Duration::from_millis(300),
        hold: Duration::from_millis(100),
        timeout: Duration::from_secs(5),
        ..StressPlan::default()
    }
}

fn run(plan: &StressPlan) -> Outcome {
    let dialer = Dialer::new(resolve(&plan.targets).unwrap(), &plan.sources);
    let pattern = Rc::new(Pattern::new(1));
    let mut loader = Loader::new(plan, dialer, pattern, Books::default()).unwrap();
    while loader.turn().unwrap() {}
    Outcome::of(loader, Host::default(), SystemTime::now())
}

#[test]
fn an_echo_is_spoken_to_and_all_is_well() {
    for (size, depth) in [(64, 1), (64, 16), (100_000, 2), (1, 3)] {
        let plan = StressPlan { size, depth, ..plan(server(echo), LoadKind::Echo, 8) };
        let outcome = run(&plan);
        let tally = &outcome.loads[0].tally;
        assert!(outcome.is_well(), "{tally:?}");
        assert!(tally.answered > 0 && tally.opened == 8 && tally.unanswered == 0, "{tally:?}");
        assert_eq!(tally.latency.count(), tally.answered);
    }
}

#[test]
fn connections_come_and_go() {
    for kind in [LoadKind::Churn, LoadKind::Reset] {
        for size in [0, 100] {
            let outcome = run(&StressPlan { size, ..plan(server(echo), kind, 4) });
            let tally = &outcome.loads[0].tally;
            assert!(outcome.is_well(), "{kind:?} {size} {tally:?}");
            assert!(tally.exchanged > 4, "{kind:?} {size} {tally:?}");
        }
    }
}

#[test]
fn idle_connections_are_held() {
    let outcome = run(&plan(server(echo), LoadKind::Idle, 100));
    let tally = &outcome.loads[0].tally;
    assert!(outcome.is_well(), "{tally:?}");
    assert_eq!((tally.opened, tally.open), (100, 100));
}
