//! More work than one turn does: nothing pending is forgotten, and no new event is needed.

use std::net::UdpSocket;

use rustix::process::Signal;

use crate::many::{alone, room};
use crate::pattern::bytes;
use crate::target::Target;
use crate::test_daemon::TestDaemon;
use crate::test_stream::TestStream;
use crate::wait::PATIENCE;

#[test]
fn more_clients_than_a_turn_lets_in_are_all_let_in() {
    // No more than the accept queue holds: 128 on an old kernel. A turn accepts 64.
    let places = std::fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap();
    let number = places.trim().parse::<u64>().unwrap().min(500);
    let daemon = TestDaemon::start("echo 127.0.0.1:0");
    daemon.signal(Signal::STOP);
    let clients: Vec<TestStream> = (0..number)
        .map(|number| {
            let mut client = daemon.client(0);
            client.send(&bytes(number, 20));
            client
        })
        .collect();
    daemon.signal(Signal::CONT);
    for (number, mut client) in clients.into_iter().enumerate() {
        assert_eq!(client.get(20), bytes(number as u64, 20));
    }
}

#[test]
fn a_relay_lets_in_so_few_clients_per_turn_that_their_dials_hold_up_nobody_for_long() {
    let target = Target::tcp();
    let daemon = TestDaemon::start(&format!("relay 127.0.0.1:0 {} -vv", target.address()));
    daemon.signal(Signal::STOP);
    let _clients: Vec<TestStream> = (0..40).map(|_| daemon.client(0)).collect();
    daemon.signal(Signal::CONT);
    daemon.says_often(40, " opened: ");
    let mut opened = vec![0];
    for line in daemon.lines() {
        match line.contains(" turn ") {
            true => opened.push(0),
            false => *opened.last_mut().unwrap() += usize::from(line.contains(" opened: ")),
        }
    }
    // An echo accepts 64 per turn; a relay fewer, since a dial costs several times an accept.
    assert_eq!(opened.iter().max(), Some(&16), "{opened:?}");
}

#[test]
fn more_events_than_a_turn_takes_are_all_handled() {
    let _alone = alone();
    // A turn handles 1,024 events.
    let Some(size) = room(1500, 1) else { return };
    let daemon = TestDaemon::start("echo 127.0.0.1:0");
    let mut clients: Vec<TestStream> = (0..size).map(|_| daemon.client(0)).collect();
    clients.iter_mut().for_each(|client| client.echo(b"in"));
    for round in 0..3 {
        daemon.signal(Signal::STOP);
        for (number, client) in clients.iter_mut().enumerate() {
            client.send(&bytes(round << 32 | number as u64, 30));
        }
        daemon.signal(Signal::CONT);
        for (number, client) in clients.iter_mut().enumerate() {
            assert_eq!(client.get(30), bytes(round << 32 | number as u64, 30));
        }
    }
}

#[test]
fn more_datagrams_than_a_turn_takes_are_all_answered() {
    let daemon = TestDaemon::start("echo udp://127.0.0.1:0");
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    for round in 0..5 {
        daemon.signal(Signal::STOP);
        // A turn reads 64. This many fit into both socket buffers: each counts as less than 1 KiB,
        // and the default buffer on Linux is at least 200 KiB.
        for number in 0..150_u8 {
            client.send_to(&[round, number], daemon.at(0)).unwrap();
        }
        daemon.signal(Signal::CONT);
        for number in 0..150 {
            let mut room = [0; 9];
            assert_eq!(client.recv(&mut room).unwrap(), 2);
            assert_eq!(room[..2], [round, number]);
        }
    }
}

#[test]
fn a_burst_of_clients_of_a_relay_all_reach_the_target() {
    let target = Target::tcp();
    let daemon = TestDaemon::start(&format!("relay 127.0.0.1:0 {}", target.address()));
    daemon.signal(Signal::STOP);
    let clients: Vec<TestStream> = (0..100)
        .map(|number| {
            let mut client = daemon.client(0);
            client.send(&[number]);
            client.finish();
            client
        })
        .collect();
    daemon.signal(Signal::CONT);
    let mut received: Vec<u8> = (0..100).map(|_| target.accept().rest()[0]).collect();
    received.sort_unstable();
    assert_eq!(received, (0..100).collect::<Vec<u8>>());
    for mut client in clients {
        assert_eq!(client.rest(), b"");
    }
}

#[test]
fn a_loop_that_looks_again_before_it_sleeps_still_sleeps_when_nothing_comes() {
    let daemon = TestDaemon::start("echo 127.0.0.1:0 udp://127.0.0.1:0 --busy-poll 1ms");
    let mut clients: Vec<TestStream> = (0..20).map(|_| daemon.client(0)).collect();
    for round in 0..50 {
        clients.iter_mut().for_each(|client| client.echo(&bytes(round, 10)));
    }
    assert_eq!(daemon.sleeps_in(std::time::Duration::from_secs(1)), 0);
}
