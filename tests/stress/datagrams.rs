//! Datagrams: answered, lost, refused, and cut by the system.

use std::net::{SocketAddr, UdpSocket};
use std::thread;
use std::time::Duration;

use oneloop::config::{Address, LoadKind, StressPlan};

use crate::tool::{plan, run};

/// A server that sends each datagram back but every `skip`th.
fn datagram_echo(skip: usize) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    thread::spawn(move || {
        let mut room = vec![0; 65_536];
        for count in 1.. {
            let (bytes, from) = socket.recv_from(&mut room).unwrap();
            if count % skip != 0 {
                socket.send_to(&room[..bytes], from).unwrap();
            }
        }
    });
    address
}

fn datagram_plan(to: SocketAddr) -> StressPlan {
    let targets = vec![Address::parse_target(&format!("udp://{to}")).unwrap()];
    StressPlan { targets, ..plan(to, LoadKind::Echo, 4) }
}

#[test]
fn datagrams_come_back_and_those_that_do_not_are_counted_lost() {
    for (size, depth) in [(1, 1), (64, 4), (1200, 16)] {
        let plan = StressPlan { size, depth, ..datagram_plan(datagram_echo(usize::MAX)) };
        let outcome = run(&plan);
        let stats = &outcome.loads[0].stats;
        assert!(outcome.is_ok() && stats.answered > 10, "{stats:?}");
    }
    let timeout = Some(Duration::from_millis(50));
    let outcome = run(&StressPlan { timeout, ..datagram_plan(datagram_echo(10)) });
    let stats = &outcome.loads[0].stats;
    assert!(outcome.is_ok() && stats.answered > 0 && stats.lost > 0, "{stats:?}");
    let verdict = outcome.verdict();
    assert!(verdict.starts_with("no errors, but ") && verdict.contains(" lost ("), "{verdict}");
}

#[test]
fn a_datagram_target_that_is_not_there_is_refused_by_name() {
    // Its port is nobody else's, and it hears one other alone.
    let refusing = UdpSocket::bind("127.0.0.1:0").unwrap();
    refusing.connect("127.0.0.1:9").unwrap();
    let outcome = run(&datagram_plan(refusing.local_addr().unwrap()));
    let stats = &outcome.loads[0].stats;
    let names: Vec<&str> = stats.failures.keys().map(|failure| failure.name.as_str()).collect();
    assert_eq!(names, ["ECONNREFUSED"], "{stats:?}");
}

#[cfg(target_os = "linux")]
#[test]
fn datagrams_that_the_system_cuts_come_back_one_by_one() {
    let timeout = Some(Duration::from_millis(300));
    let plan = StressPlan { timeout, gso: true, ..datagram_plan(datagram_echo(usize::MAX)) };
    let plan = StressPlan { size: 500, depth: 100, ..plan };
    let outcome = run(&plan);
    let stats = &outcome.loads[0].stats;
    assert!(outcome.is_ok() && stats.answered > 100, "{stats:?}");
}
