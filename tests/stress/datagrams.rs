//! Tests of datagrams: answered, lost, refused, and segmented by the kernel.

use std::net::{SocketAddr, UdpSocket};
use std::thread;
use std::time::Duration;

use oneloop::config::{Address, LoadKind, StressPlan};

use crate::tool::{plan, run};

/// Starts a server that echoes all but every `skip`th datagram.
fn datagram_echo(skip: usize) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    thread::spawn(move || {
        let mut buffer = vec![0; 65_536];
        for count in 1.. {
            let (bytes, from) = socket.recv_from(&mut buffer).unwrap();
            if count % skip != 0 {
                socket.send_to(&buffer[..bytes], from).unwrap();
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
fn datagrams_are_answered_and_missing_ones_counted_as_lost() {
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
fn datagrams_are_sent_in_bursts_and_lost_ones_do_not_hold_up_the_next() {
    for burst_interval in [None, Some(Duration::from_millis(200))] {
        let (timeout, duration) = (Some(Duration::from_millis(20)), Duration::from_secs(1));
        let lossy = StressPlan { timeout, duration, ..datagram_plan(datagram_echo(7)) };
        let outcome = run(&StressPlan { burst: true, burst_interval, ..lossy });
        let stats = &outcome.loads[0].stats;
        assert!(outcome.is_ok() && stats.lost > 0 && stats.answered > 4, "{stats:?}");
        assert!(stats.rounds.count() > 1, "{stats:?}");
    }
}

#[test]
fn a_refused_datagram_is_reported_by_its_error_name() {
    // A bound socket keeps the port, and a connected one refuses other senders.
    let unreachable = UdpSocket::bind("127.0.0.1:0").unwrap();
    unreachable.connect("127.0.0.1:9").unwrap();
    let outcome = run(&datagram_plan(unreachable.local_addr().unwrap()));
    let stats = &outcome.loads[0].stats;
    let names: Vec<&str> = stats.failures.keys().map(|failure| failure.name.as_str()).collect();
    assert_eq!(names, ["ECONNREFUSED"], "{stats:?}");
}

#[cfg(target_os = "linux")]
#[test]
fn segmented_datagrams_are_answered_one_by_one() {
    let timeout = Some(Duration::from_millis(300));
    let plan = StressPlan { timeout, gso: true, ..datagram_plan(datagram_echo(usize::MAX)) };
    let plan = StressPlan { size: 500, depth: 100, ..plan };
    let outcome = run(&plan);
    let stats = &outcome.loads[0].stats;
    assert!(outcome.is_ok() && stats.answered > 100, "{stats:?}");
}
