//! The relay of datagrams: flows, their ends, and what becomes of refusals.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use oneloop::core::Turn;

use crate::test_loop::{CUT, DRAIN_IDLE, TestLoop, at, bytes, client, receive, refusing_address};

/// A loop that relays to these targets.
fn relay(targets: &[SocketAddr], options: &str) -> (TestLoop, SocketAddr) {
    let targets: Vec<String> = targets.iter().map(|target| format!("udp://{target}")).collect();
    TestLoop::with(&format!("udp://127.0.0.1:0=relay:{}{options}", targets.join(",")))
}

/// A target and its address.
fn target() -> (UdpSocket, SocketAddr) {
    let target = client();
    let address = target.local_addr().unwrap();
    (target, address)
}

#[test]
fn datagrams_of_every_length_pass_both_ways() {
    let (target, address) = target();
    let (mut test, listener) = relay(&[address], "");
    let client = client();
    for length in [0, 1, 1472, 9000, 65_507] {
        let (there, back) = (bytes(length, 3), bytes(length, 5));
        client.send_to(&there, listener).unwrap();
        let (received, flow) = test.until(|_| receive(&target));
        assert_eq!(received, there, "{length} bytes there");
        target.send_to(&back, flow).unwrap();
        let (received, from) = test.until(|_| receive(&client));
        assert_eq!((received, from), (back, listener), "{length} bytes back");
    }
    assert_eq!((test.datagrams.len(), test.facts.count("opened")), (1, 1));
    test.call(|datagrams, cx| datagrams.close_all(CUT, cx));
    let sum = 1 + 1472 + 9000 + 65_507;
    assert_eq!(test.facts.count(&format!("closed cut up {sum} down {sum}")), 1);
    assert!(test.datagrams.is_empty());
}

#[test]
fn two_clients_are_kept_apart() {
    let (target, address) = target();
    let (mut test, listener) = relay(&[address], "");
    let clients = [client(), client()];
    let mut flows = Vec::new();
    for (client, name) in clients.iter().zip([b"a", b"b"]) {
        client.send_to(name, listener).unwrap();
        flows.push(test.until(|_| receive(&target)).1);
    }
    assert_ne!(flows[0], flows[1]);
    target.send_to(b"for b", flows[1]).unwrap();
    target.send_to(b"for a", flows[0]).unwrap();
    assert_eq!(test.until(|_| receive(&clients[0])).0, b"for a");
    assert_eq!(test.until(|_| receive(&clients[1])).0, b"for b");
    test.expect_silence(&clients[0]);
    assert_eq!(test.facts.conn_ids("opened"), [1, 2]);
}

#[test]
fn answers_that_come_at_once_go_to_the_clients_they_belong_to() {
    let (target, address) = target();
    let (mut test, listener) = relay(&[address], "");
    let clients: Vec<UdpSocket> = (0..20).map(|_| client()).collect();
    let mut flows = Vec::new();
    for client in &clients {
        client.send_to(b"?", listener).unwrap();
        flows.push(test.until(|_| receive(&target)).1);
    }
    test.facts.0.clear();
    for (number, flow) in flows.iter().enumerate() {
        // One of them sends more than all others together.
        for round in 0..if number == 5 { 30 } else { 1 + number % 2 } {
            target.send_to(&bytes(number * 7, round as u8), *flow).unwrap();
        }
    }
    for (number, client) in clients.iter().enumerate() {
        for round in 0..if number == 5 { 30 } else { 1 + number % 2 } {
            let received = test.until(|_| receive(client)).0;
            assert_eq!(received, bytes(number * 7, round as u8), "{number}, {round}");
        }
        assert_eq!(receive(client), None);
    }
    assert_eq!((test.facts.count("sent"), test.facts.count("dropped")), (58, 0));
    test.call(|datagrams, cx| datagrams.close_all(CUT, cx));
    assert_eq!(test.facts.count("closed cut up 1 down 1050"), 1);
}

#[test]
fn answers_that_come_at_once_are_sent_by_the_listeners_they_belong_to() {
    let (target, address) = target();
    let mut test = TestLoop::new();
    let client = client();
    let mut flows = Vec::new();
    for _ in 0..6 {
        let listener = test.add(&format!("udp://127.0.0.1:0=relay:udp://{address}"));
        client.send_to(b"?", listener).unwrap();
        flows.push((test.until(|_| receive(&target)).1, listener));
    }
    for (number, (flow, _)) in flows.iter().enumerate() {
        target.send_to(&[number as u8], *flow).unwrap();
    }
    for _ in &flows {
        let (bytes, from) = test.until(|_| receive(&client));
        assert_eq!(from, flows[bytes[0] as usize].1, "{bytes:?}");
    }
}

#[test]
fn an_answer_is_sent_before_its_flow_is_evicted() {
    if cfg!(mio_unsupported_force_poll_poll) {
        // poll(2) reports the listener and the flow in any order.
        return;
    }
    let (target, address) = target();
    let (mut test, listener) = relay(&[address], ",udp-flows=1");
    let (old, new) = (client(), client());
    old.send_to(b"question", listener).unwrap();
    let (_, flow) = test.until(|_| receive(&target));
    test.turn(Duration::ZERO);
    // The answer arrives first, so it is read first.
    target.send_to(b"answer", flow).unwrap();
    new.send_to(b"buffer, please", listener).unwrap();
    assert_eq!(test.until(|_| receive(&target)).0, b"buffer, please");
    assert_eq!(receive(&old).unwrap().0, b"answer");
    assert_eq!(test.facts.conn_ids("closed evicted up 8 down 6"), [1]);
}

#[test]
fn a_flows_socket_receives_from_its_target_alone() {
    let (target, address) = target();
    let (mut test, listener) = relay(&[address], "");
    let (client, stranger) = (client(), client());
    client.send_to(b"hello", listener).unwrap();
    let (_, flow) = test.until(|_| receive(&target));
    stranger.send_to(b"forged", flow).unwrap();
    target.send_to(b"true", flow).unwrap();
    assert_eq!(test.until(|_| receive(&client)).0, b"true");
    test.expect_silence(&client);
}

#[test]
fn an_idle_flow_expires_and_an_active_one_stays() {
    let (target, address) = target();
    let (mut test, listener) = relay(&[address], ",udp-timeout=10s");
    let (steady, resting) = (client(), client());
    for client in [&steady, &resting] {
        client.send_to(b"hello", listener).unwrap();
        test.until(|_| receive(&target));
    }
    assert_eq!(test.datagrams.sleep(test.now), Some(Duration::from_secs(10)));
    test.pass(Duration::from_secs(6));
    steady.send_to(b"still here", listener).unwrap();
    test.until(|_| receive(&target));
    test.pass(Duration::from_secs(4));
    assert_eq!(test.facts.conn_ids("closed idle-timeout up 5 down 0"), [2]);
    assert_eq!(test.datagrams.sleep(test.now), Some(Duration::from_secs(6)));
    resting.send_to(b"again", listener).unwrap();
    test.until(|_| receive(&target));
    assert_eq!(test.facts.conn_ids("opened"), [1, 2, 3]);
    test.pass(Duration::from_secs(10));
    assert_eq!((test.datagrams.len(), test.datagrams.sleep(test.now)), (0, None));
}

#[test]
fn an_answer_keeps_a_flow_alive_too() {
    let (target, address) = target();
    let (mut test, listener) = relay(&[address], ",udp-timeout=10s");
    let client = client();
    client.send_to(b"subscribe", listener).unwrap();
    let (_, flow) = test.until(|_| receive(&target));
    for _ in 0..3 {
        test.pass(Duration::from_secs(6));
        target.send_to(b"news", flow).unwrap();
        assert_eq!(test.until(|_| receive(&client)).0, b"news");
    }
    assert_eq!(test.datagrams.len(), 1);
}

#[test]
fn the_oldest_flow_is_evicted() {
    let (target, address) = target();
    let (mut test, listener) = relay(&[address], ",udp-flows=3");
    let steady = client();
    let others: Vec<UdpSocket> = (0..10).map(|_| client()).collect();
    for other in &others {
        steady.send_to(b"steady", listener).unwrap();
        test.until(|_| receive(&target));
        other.send_to(b"other", listener).unwrap();
        test.until(|_| receive(&target));
        assert!(test.datagrams.len() <= 3);
    }
    assert_eq!(test.facts.conn_ids("closed evicted"), [2, 3, 4, 5, 6, 7, 8, 9]);
}

#[test]
fn a_late_event_of_a_flow_that_is_gone_is_stale() {
    use oneloop::core::{Key, Ready};
    let (target, address) = target();
    let (mut test, listener) = relay(&[address], ",udp-flows=1");
    for client in [client(), client()] {
        client.send_to(b"hello", listener).unwrap();
        test.until(|_| receive(&target));
    }
    let stale = Key::flow(1, 0).at(1);
    test.datagrams.mark(stale, Ready::READ, &mut Turn::new(test.now, &mut test.facts));
    assert_eq!((test.facts.conn_ids("stale"), test.datagrams.queued()), (vec![1], 0));
}

#[test]
fn a_refusal_is_counted_and_the_flow_goes_on() {
    let (refusing, address) = refusing_address();
    let (mut test, listener) = relay(&[address], "");
    let client = client();
    client.send_to(b"anybody?", listener).unwrap();
    test.until_event(1, "dropped an earlier one: refused (Connection refused)");
    drop(refusing);
    let target = UdpSocket::bind(address).unwrap();
    target.set_nonblocking(true).unwrap();
    client.send_to(b"hello", listener).unwrap();
    let (received, flow) = test.until(|_| receive(&target));
    assert_eq!(received, b"hello");
    target.send_to(b"here", flow).unwrap();
    assert_eq!(test.until(|_| receive(&client)).0, b"here");
    assert_eq!((test.facts.count("opened"), test.facts.count("dialing")), (1, 1));
}

#[test]
fn an_earlier_refusal_does_not_cost_the_next_datagram() {
    let (_refusing, address) = refusing_address();
    let (mut test, listener) = relay(&[address], "");
    let client = client();
    // Both are sent before the turn, so sending the second returns the refusal of the first.
    client.send_to(b"one", listener).unwrap();
    client.send_to(b"three", listener).unwrap();
    test.until_event(1, "dropped an earlier one: refused");
    test.until_event(1, "received 5");
    assert_eq!(test.facts.count("sent"), 2);
    test.call(|datagrams, cx| datagrams.close_all(CUT, cx));
    assert_eq!(test.facts.count("closed cut up 8 down 0"), 1);
}

#[test]
fn flows_take_turns_at_the_targets() {
    let (targets, addresses): (Vec<_>, Vec<_>) = (0..3).map(|_| target()).unzip();
    let (mut test, listener) = relay(&addresses, "");
    let clients: Vec<UdpSocket> = (0..6).map(|_| client()).collect();
    for (number, client) in clients.iter().enumerate() {
        client.send_to(&[number as u8], listener).unwrap();
        let (received, _) = test.until(|_| receive(&targets[number % 3]));
        assert_eq!(received, [number as u8]);
    }
}

#[test]
fn after_a_refusal_a_flow_goes_to_the_next_target() {
    let (target, address) = target();
    let (_socket, refusing) = refusing_address();
    let (mut test, listener) = relay(&[refusing, address], "");
    let client = client();
    client.send_to(b"lost", listener).unwrap();
    test.until_event(1, "dropped an earlier one: refused");
    client.send_to(b"found", listener).unwrap();
    let (received, flow) = test.until(|_| receive(&target));
    assert_eq!(received, b"found");
    target.send_to(b"here", flow).unwrap();
    assert_eq!(test.until(|_| receive(&client)).0, b"here");
    assert_eq!(test.facts.count("dial failed"), 1);
    assert_eq!(test.facts.count(&format!("dialing udp://{address} attempt 2")), 1);
}

#[test]
fn a_name_is_looked_up_when_a_flow_opens() {
    let ((target, address), (_socket, refusing)) = (target(), refusing_address());
    let (mut test, listener) =
        TestLoop::with(&format!("udp://127.0.0.1:0=relay:udp://target.test:{}", address.port()));
    let client = client();
    client.send_to(b"early", listener).unwrap();
    test.until_event(1, &format!("dropped 5 from {}: no destination address", at(&client)));
    test.names.insert("target.test".to_string(), vec![refusing, address]);
    client.send_to(b"lost", listener).unwrap();
    test.until_event(1, "dropped an earlier one: refused");
    client.send_to(b"hello", listener).unwrap();
    assert_eq!(test.until(|_| receive(&target)).0, b"hello");
}

#[test]
fn a_relay_never_sends_to_its_own_listener() {
    let mut test = TestLoop::new();
    let (free, address) = target();
    test.names.insert("itself.test".to_string(), vec![address]);
    drop(free);
    test.add(&format!("udp://{address}=relay:udp://itself.test:{}", address.port()));
    let client = client();
    client.send_to(b"round and round", address).unwrap();
    test.until_event(1, &format!("dropped 15 from {}: no destination address", at(&client)));
    assert_eq!(test.datagrams.len(), 0);
}

#[test]
fn a_forged_source_makes_no_loop_of_a_relay() {
    let (target, address) = target();
    let mut test = TestLoop::new();
    let route = format!("udp://127.0.0.1:0=relay:udp://{address}");
    let (listener, forger) = test.add_with_forger(&route);
    forger.send_to(b"from listener", listener).unwrap();
    test.until_event(1, "source is our own address");
    target.send_to(b"from the target", listener).unwrap();
    test.until_event(1, "loop protection");
    assert_eq!(test.datagrams.len(), 0);
}

#[test]
fn during_a_drain_a_flow_in_progress_continues_and_no_new_one_is_opened() {
    let (target, address) = target();
    let (mut test, listener) = relay(&[address], "");
    let (client, late) = (client(), client());
    client.send_to(b"question", listener).unwrap();
    let (_, flow) = test.until(|_| receive(&target));
    test.call(|datagrams, cx| datagrams.drain(DRAIN_IDLE, cx));
    late.send_to(b"hello", listener).unwrap();
    test.until_event(1, &format!("dropped 5 from {}: no destination address", at(&late)));
    target.send_to(b"answer", flow).unwrap();
    assert_eq!(test.until(|_| receive(&client)).0, b"answer");
    assert_eq!(test.datagrams.len(), 1);
    test.pass(Duration::from_secs(1));
    assert_eq!(test.facts.conn_ids("closed drained up 8 down 6"), [1]);
    assert_eq!((test.datagrams.len(), test.datagrams.sleep(test.now)), (0, None));
}

#[test]
fn a_drain_waits_for_the_answer_to_a_datagram_for_as_long_as_its_flow_may_be_idle() {
    let (target, address) = target();
    let (mut test, listener) = relay(&[address], ",udp-timeout=30s");
    let (asking, asking_in_vain) = (client(), client());
    asking.send_to(b"question", listener).unwrap();
    let (_, flow) = test.until(|_| receive(&target));
    asking_in_vain.send_to(b"anybody?", listener).unwrap();
    test.until(|_| receive(&target));
    test.call(|datagrams, cx| datagrams.drain(DRAIN_IDLE, cx));
    test.pass(Duration::from_secs(20));
    assert_eq!(test.datagrams.len(), 2, "neither was answered");
    target.send_to(b"answer", flow).unwrap();
    assert_eq!(test.until(|_| receive(&asking)).0, b"answer");
    test.pass(DRAIN_IDLE);
    assert_eq!(test.facts.conn_ids("closed drained up 8 down 6"), [1]);
    test.pass(Duration::from_secs(9));
    assert_eq!(test.facts.conn_ids("closed idle-timeout up 8 down 0"), [2]);
}

#[test]
fn a_flow_with_unread_datagrams_is_not_idle() {
    let (target, address) = target();
    let (mut test, listener) = relay(&[address], ",udp-timeout=30s");
    let (busy, silent) = (client(), client());
    for client in [&busy, &silent] {
        client.send_to(b"first", listener).unwrap();
        test.until(|_| receive(&target));
    }
    // More than one turn reads. The last one is from a known source.
    let others = client();
    for _ in 0..64 {
        others.send_to(b"before it", listener).unwrap();
    }
    busy.send_to(b"second", listener).unwrap();
    test.pass(Duration::from_secs(30));
    test.until(|_| receive(&target).filter(|(bytes, _)| bytes == b"second"));
    assert_eq!(test.facts.conn_ids("opened"), [1, 2, 3]);
    test.turn(Duration::ZERO);
    assert_eq!(test.facts.conn_ids("closed idle-timeout"), [2], "that one was silent");
}

#[test]
fn a_dump_shows_listeners_and_flows() {
    let (target, address) = target();
    let (mut test, listener) = relay(&[address], "");
    client().send_to(b"hello", listener).unwrap();
    test.until(|_| receive(&target));
    test.datagrams.dump(&test.routes, &mut Turn::new(test.now, &mut test.facts));
    assert_eq!(test.facts.count(&format!("dump listener udp://{listener} relay")), 1);
    assert_eq!(test.facts.count(&format!(" to udp://{address}: age 0.")), 1);
    assert_eq!(test.facts.count(" s, 5 B up, 0 B down, queued "), 1);
}
