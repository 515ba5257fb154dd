//! Sockets that are closed, or get another route or policy, while they have flows.

use std::net::UdpSocket;
use std::time::Duration;

use oneloop::config::{Policy, Route};
use oneloop::core::Key;

use crate::test_loop::{DRAIN_IDLE, TestLoop, at, client, receive, refusing_address};

/// The idle timeout of flows in these tests. The clock only moves when a test moves it.
const IDLE: Duration = Duration::from_secs(60);

fn route(text: &str) -> Route {
    Route::parse(text, &Policy::default()).unwrap()
}

/// A loop with one relay, its target, and the key of its socket.
fn relay(options: &str) -> (TestLoop, UdpSocket, Key) {
    let target = client();
    let (test, _) = TestLoop::with(&format!("udp://127.0.0.1:0=relay:{}{options}", udp(&target)));
    let key = test.routes[0].listeners[0];
    (test, target, key)
}

fn udp(target: &UdpSocket) -> String {
    format!("udp://{}", at(target))
}

/// Sends a request through the relay, and its answer back.
fn exchange(test: &mut TestLoop, client: &UdpSocket, target: &UdpSocket, key: Key) {
    client.send_to(b"request", test.address(key)).unwrap();
    let (request, flow) = test.until(|_| receive(target));
    assert_eq!(request, b"request");
    target.send_to(b"answer", flow).unwrap();
    let (answer, from) = test.until(|_| receive(client));
    assert_eq!((&answer[..], from), (&b"answer"[..], test.address(key)));
}

#[test]
fn a_closing_relay_keeps_its_flows_and_takes_no_new_sources() {
    let (mut test, target, key) = relay("");
    let (known, new) = (client(), client());
    exchange(&mut test, &known, &target, key);
    test.call(|datagrams, _| datagrams.close_when_done(key));
    test.turn(Duration::ZERO);
    new.send_to(b"too late", test.address(key)).unwrap();
    test.until_event(1, "dropped 8");
    exchange(&mut test, &known, &target, key);
    assert_eq!((test.datagrams.len(), test.datagrams.live(0)), (1, 1));
    assert!(test.datagrams.uses(key, 0));
    test.pass(IDLE);
    assert_eq!(test.facts.count("closed idle-timeout"), 1);
    assert!(test.datagrams.at(key).is_none(), "it is closed with its last flow");
    assert!(!test.datagrams.uses(key, 0));
}

#[test]
fn a_closing_relay_accepts_the_sources_of_pending_datagrams() {
    let (mut test, target, key) = relay("");
    let clients = [client(), client(), client()];
    for client in &clients {
        client.send_to(b"in time", test.address(key)).unwrap();
    }
    test.call(|datagrams, _| datagrams.close_when_done(key));
    for _ in &clients {
        assert_eq!(test.until(|_| receive(&target)).0, b"in time");
    }
    assert_eq!(test.datagrams.live(0), 3);
}

#[test]
fn a_closing_service_answers_what_it_has_received_and_closes() {
    let (mut test, address) = TestLoop::with("udp://127.0.0.1:0=echo");
    let (key, client) = (test.routes[0].listeners[0], client());
    for text in [b"one", b"two"] {
        client.send_to(text, address).unwrap();
    }
    test.call(|datagrams, _| datagrams.close_when_done(key));
    assert_eq!(test.until(|_| receive(&client)).0, b"one");
    assert_eq!(test.until(|_| receive(&client)).0, b"two");
    test.until(|test| test.datagrams.at(key).is_none().then_some(()));
    assert!(UdpSocket::bind(address).is_ok(), "its address is free");
    test.expect_silence(&client);
}

#[test]
fn a_flood_cannot_keep_a_closing_socket_open() {
    let (mut test, address) = TestLoop::with("udp://127.0.0.1:0=discard");
    let (key, client) = (test.routes[0].listeners[0], client());
    test.call(|datagrams, _| datagrams.close_when_done(key));
    let mut turns = 0;
    while test.datagrams.at(key).is_some() {
        for _ in 0..100 {
            let _ = client.send_to(b"more", address);
        }
        test.turn(Duration::ZERO);
        turns += 1;
    }
    assert!(turns <= 20, "{turns} turns");
}

#[test]
fn a_flow_goes_on_when_its_socket_gets_another_route() {
    let (mut test, target, key) = relay("");
    let (known, new) = (client(), client());
    exchange(&mut test, &known, &target, key);
    let echo = test.hand_over(0, "udp://127.0.0.1:0=echo");
    exchange(&mut test, &known, &target, key);
    assert_eq!(test.ask(&new, test.address(key), b"hello"), b"hello");
    assert_eq!((test.datagrams.live(0), test.datagrams.live(echo)), (1, 0));
    assert!(test.datagrams.uses(key, 0) && test.datagrams.uses(key, echo));
    test.pass(IDLE);
    assert!(!test.datagrams.uses(key, 0), "the first route is free");
    assert_eq!(test.ask(&known, test.address(key), b"hello"), b"hello");
    // And back to a relay.
    let relay = test.hand_over(echo, &format!("udp://127.0.0.1:0=relay:{}", udp(&target)));
    exchange(&mut test, &new, &target, key);
    assert_eq!((test.datagrams.live(relay), test.facts.conn_ids("opened")), (1, vec![1, 2]));
}

#[test]
fn a_closing_socket_that_is_handed_over_stays_open() {
    let (mut test, target, key) = relay("");
    let (known, new) = (client(), client());
    exchange(&mut test, &known, &target, key);
    test.call(|datagrams, _| datagrams.close_when_done(key));
    test.turn(Duration::ZERO);
    let other = client();
    let second = test.hand_over(0, &format!("udp://127.0.0.1:0=relay:{}", udp(&other)));
    exchange(&mut test, &new, &other, key);
    exchange(&mut test, &known, &target, key);
    assert_eq!((test.datagrams.live(0), test.datagrams.live(second)), (1, 1));
    test.pass(IDLE);
    assert!(test.datagrams.is_empty() && test.datagrams.at(key).is_some());
}

#[test]
fn other_limits_apply_to_open_flows() {
    let (mut test, target, key) = relay("");
    for client in [client(), client(), client()] {
        exchange(&mut test, &client, &target, key);
    }
    let policy = Policy { udp_flows: 1, udp_timeout: IDLE / 10, ..Policy::default() };
    test.call(|datagrams, _| datagrams.set_policy(key, &policy));
    test.turn(Duration::ZERO);
    assert_eq!(test.facts.conn_ids("closed evicted"), [1, 2], "the oldest are too many");
    test.pass(IDLE / 10 - Duration::from_micros(1));
    assert_eq!(test.datagrams.len(), 1);
    test.pass(Duration::from_micros(1));
    assert_eq!(test.facts.conn_ids("closed idle-timeout"), [3]);
}

#[test]
fn a_refused_flow_moves_to_the_targets_that_its_route_has_now() {
    let (_refusing, address) = refusing_address();
    let (mut test, listener) = TestLoop::with(&format!("udp://127.0.0.1:0=relay:udp://{address}"));
    let (client, target) = (client(), client());
    client.send_to(b"lost", listener).unwrap();
    test.until_event(1, "dropped an earlier one");
    test.routes.change(0, route(&format!("udp://127.0.0.1:0=relay:{}", udp(&target))));
    client.send_to(b"arrives", listener).unwrap();
    assert_eq!(test.until(|_| receive(&target)).0, b"arrives");
    assert_eq!((test.facts.count("opened"), test.facts.count("attempt 2")), (1, 1));
}

#[test]
fn a_drain_closes_a_service_that_has_flows_of_an_earlier_route_last() {
    let (mut test, target, key) = relay("");
    let (known, new) = (client(), client());
    exchange(&mut test, &known, &target, key);
    test.hand_over(0, "udp://127.0.0.1:0=echo");
    test.call(|datagrams, cx| datagrams.drain(DRAIN_IDLE, cx));
    new.send_to(b"too late", test.address(key)).unwrap();
    test.until_event(1, "dropped 8");
    exchange(&mut test, &known, &target, key);
    test.pass(DRAIN_IDLE);
    assert_eq!(test.facts.count("closed drained"), 1);
    assert!(test.datagrams.at(key).is_none());
}
