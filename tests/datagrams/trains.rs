//! Trains: datagrams that are sent in one call (GSO). They are handled one by one, and sent on in
//! one call.

use std::io::{IoSlice, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;

use nix::cmsg_space;
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, sendmsg, setsockopt,
    sockopt,
};
use oneloop::net::recv_batch::MAX_RECEIVED;

use crate::test_loop::{CUT, TestLoop, at, bytes, client, receive};

/// Sends these bytes in one call as datagrams of `each` bytes.
fn send(from: &UdpSocket, bytes: &[u8], each: u16, to: SocketAddr) {
    let (parts, to) = ([IoSlice::new(bytes)], SockaddrStorage::from(to));
    let train = [ControlMessage::UdpGsoSegments(&each)];
    let descriptor = from.as_raw_fd();
    sendmsg(descriptor, &parts, &train, MsgFlags::empty(), Some(&to)).unwrap();
}

/// A client with GRO enabled.
fn gro_client() -> UdpSocket {
    let client = client();
    setsockopt(&client, sockopt::UdpGroSegment, &true).unwrap();
    client
}

/// Receives a train, if there is one: its bytes, its segment size, and its sender.
fn receive_train(client: &UdpSocket) -> Option<(Vec<u8>, usize, SocketAddr)> {
    let (mut buffer, mut control) = (vec![0; 70_000], cmsg_space!(i32));
    let mut parts = [IoSliceMut::new(&mut buffer)];
    let descriptor = client.as_raw_fd();
    let message =
        recvmsg::<SockaddrStorage>(descriptor, &mut parts, Some(&mut control), MsgFlags::empty());
    let message = message.ok()?;
    let each = message.cmsgs().unwrap().find_map(|control| match control {
        ControlMessageOwned::UdpGroSegments(each) => Some(each as usize),
        _ => None,
    });
    let (bytes, from) = (message.bytes, message.address.unwrap());
    let from = SocketAddr::V4((*from.as_sockaddr_in().unwrap()).into());
    Some((buffer[..bytes].to_vec(), each.unwrap_or(bytes), from))
}

/// Makes a socket of the loop enable GRO. Before that, it receives trains as single datagrams.
fn enable_gro(test: &mut TestLoop, from: &UdpSocket, at: SocketAddr, receiver: &UdpSocket) {
    send(from, &[0; MAX_RECEIVED], 1, at);
    for _ in 0..MAX_RECEIVED {
        assert_eq!(test.until(|_| receive(receiver)).0, [0]);
    }
}

/// Receives `number` datagrams at this client.
fn collect(test: &mut TestLoop, client: &UdpSocket, number: usize) -> Vec<Vec<u8>> {
    (0..number).map(|_| test.until(|_| receive(client)).0).collect()
}

/// Trains as (bytes, each). Linux splits longer ones.
const TRAINS: [(usize, u16); 11] = [
    (2, 1),
    (3, 2),
    (64, 1),
    (100, 99),
    (127, 2),
    (640, 10),
    (1_200 * 5, 1_200),
    (1_200 * 54, 1_200),
    (1_200 * 53 + 1, 1_200),
    (65_400, 1_024),
    (65_400, 65_399),
];

#[test]
fn each_datagram_of_a_train_is_echoed() {
    let (mut test, echo) = TestLoop::with("udp://127.0.0.1:0=echo");
    let longest = [(65_507, 1_024), (65_507, 65_506)];
    // The first round is without GRO, the second with it.
    let twice = TRAINS.into_iter().chain(longest).chain(TRAINS).chain(longest);
    for (number, (length, each)) in twice.enumerate() {
        let (client, sent) = (client(), bytes(length, number as u8));
        send(&client, &sent, each, echo);
        let datagrams: Vec<&[u8]> = sent.chunks(each.into()).collect();
        test.facts.0.clear();
        let echoed = collect(&mut test, &client, datagrams.len());
        assert_eq!(echoed, datagrams, "{length} bytes, {each} each");
        assert_eq!(receive(&client), None);
        let counts = (test.facts.count("received"), test.facts.count("sent"));
        assert_eq!(counts, (datagrams.len(), datagrams.len()));
        let last = format!("sent {} to", datagrams.last().unwrap().len());
        assert!(test.facts.count(&last) > 0, "{last}");
    }
}

#[test]
fn a_train_is_echoed_as_a_train() {
    let (mut test, echo) = TestLoop::with("udp://127.0.0.1:0=echo");
    let first = client();
    enable_gro(&mut test, &first, echo, &first);
    for (number, (length, each)) in TRAINS.into_iter().enumerate() {
        let (taker, sent) = (gro_client(), bytes(length, number as u8));
        send(&taker, &sent, each, echo);
        let (received, each_received, from) = test.until(|_| receive_train(&taker));
        assert!(received == sent, "{length} bytes, {each} each");
        assert_eq!((each_received, from), (each.into(), echo));
    }
}

#[test]
fn trains_and_single_datagrams_of_many_clients_are_kept_apart() {
    let (mut test, echo) = TestLoop::with("udp://127.0.0.1:0=echo");
    // The first round is without GRO, the second with it.
    mix(&mut test, echo);
    let first = client();
    enable_gro(&mut test, &first, echo, &first);
    mix(&mut test, echo);
}

/// Many clients send trains of many lengths, with an empty, a short and a longest datagram between
/// them. No client repeats itself: one in a thousand repeated datagrams is dropped.
fn mix(test: &mut TestLoop, echo: SocketAddr) {
    test.facts.0.clear();
    let clients: Vec<UdpSocket> = (0..20).map(|_| client()).collect();
    let mut wanted = vec![Vec::new(); clients.len()];
    for (number, client) in clients.iter().enumerate() {
        for (each, length) in [(10 + number, 35 + 2 * number), (21 - number, 40 + 3 * number)] {
            let sent = bytes(length, number as u8);
            send(client, &sent, each as u16, echo);
            wanted[number].extend(sent.chunks(each).map(<[u8]>::to_vec));
            let single = &sent[..if length % 2 == 0 { 0 } else { 7 }];
            client.send_to(single, echo).unwrap();
            wanted[number].push(single.to_vec());
        }
        if number % 5 == 0 {
            // All of them would exceed the listener's receive buffer.
            let all = wanted.iter().map(Vec::len).sum();
            test.until_event(all, "received");
        }
    }
    let longest = bytes(65_507, 1);
    clients[0].send_to(&longest, echo).unwrap();
    wanted[0].push(longest);
    for (client, wanted) in clients.iter().zip(&wanted) {
        assert_eq!(&collect(test, client, wanted.len()), wanted);
        assert_eq!(receive(client), None);
    }
    let all = wanted.iter().map(Vec::len).sum::<usize>();
    assert_eq!((test.facts.count("received"), test.facts.count("sent")), (all, all));
}

#[test]
fn the_loop_breaker_asks_for_each_datagram_of_a_train() {
    let (mut test, echo) = TestLoop::with("udp://127.0.0.1:0=echo");
    let client = client();
    let (mut sent, mut received, train) = (0, 0, [7; 64 * 20]);
    while test.facts.count("loop protection") < 3 {
        assert!(sent < 64 * 1_000, "nothing is ever dropped");
        send(&client, &train, 20, echo);
        sent += 64;
        test.until_event(sent, "received 20");
        while let Some((datagram, _)) = receive(&client) {
            assert_eq!(datagram, &train[..20]);
            received += 1;
        }
    }
    let dropped = test.facts.count("loop protection");
    assert_eq!(
        (test.facts.count(&format!("dropped 20 from {}: loop protection", at(&client))), dropped),
        (dropped, dropped)
    );
    assert!(dropped < 64, "a whole train was dropped");
    assert_eq!((test.facts.count("sent 20"), received), (sent - dropped, sent - dropped));
}

#[test]
fn a_train_that_seems_to_come_from_ourselves_is_dropped() {
    let mut test = TestLoop::new();
    let (echo, forger) = test.add_with_forger("udp://127.0.0.1:0=echo");
    send(&forger, &bytes(35, 0), 10, echo);
    test.until_event(4, "source is our own address");
    assert_eq!(test.facts.count(&format!("dropped 5 from {echo}: source is our own address")), 1);
    assert_eq!(test.facts.count("sent"), 0);
}

#[test]
fn the_other_services_answer_each_datagram_of_a_train() {
    let mut test = TestLoop::new();
    let client = client();
    let daytime = test.add("udp://127.0.0.1:0=daytime");
    // Enables GRO at the listener.
    send(&client, &bytes(50 * MAX_RECEIVED, 0), 50, daytime);
    collect(&mut test, &client, MAX_RECEIVED);
    test.facts.0.clear();
    send(&client, &bytes(50 * 3 + 5, 0), 50, daytime);
    for answer in collect(&mut test, &client, 3) {
        assert_eq!(answer, b"Friday, November 20, 2026 18:17:05-UTC\r\n");
    }
    assert_eq!(
        test.facts.count(&format!("dropped 5 from {}: shorter than the reply", at(&client))),
        1
    );
    assert_eq!(test.facts.count("sent 40"), 3);

    let discard = test.add("udp://127.0.0.1:0=discard");
    send(&client, &bytes(35, 0), 10, discard);
    test.until_event(3, "received 10 from");
    test.until_event(1, "received 5 from");
    test.expect_silence(&client);
}

#[test]
fn a_listener_on_all_addresses_answers_a_train_from_the_address_it_was_sent_to() {
    let mut test = TestLoop::new();
    for route in ["udp://0.0.0.0:0=echo", "udp://:0=echo"] {
        let (port, first) = (test.add(route).port(), client());
        enable_gro(&mut test, &first, ([127, 0, 0, 1], port).into(), &first);
        for host in [[127, 0, 0, 1], [127, 0, 0, 2]] {
            let (taker, sent, listener) =
                (gro_client(), bytes(95, host[3]), SocketAddr::from((host, port)));
            send(&taker, &sent, 10, listener);
            assert_eq!(test.until(|_| receive_train(&taker)), (sent, 10, listener), "{route}");
        }
    }
}

#[test]
fn a_train_that_is_too_long_for_one_call_goes_on_in_several() {
    let mut test = TestLoop::new();
    let echo = test.add("udp://[::1]:0=echo");
    let target = gro_client();
    let relay = test.add(&format!("udp://[::1]:0=relay:udp://{}", at(&target)));
    let client = UdpSocket::bind("[::1]:0").unwrap();
    client.set_nonblocking(true).unwrap();
    enable_gro(&mut test, &client, echo, &client);
    enable_gro(&mut test, &client, relay, &target);
    // Over IPv6 a train may be 20 bytes longer than over IPv4, and longer than one of our calls
    // sends.
    let (sent, each) = (bytes(65_527, 3), 1_200);
    let datagrams: Vec<&[u8]> = sent.chunks(each).collect();
    send(&client, &sent, each as u16, echo);
    assert_eq!(collect(&mut test, &client, datagrams.len()), datagrams);
    send(&client, &sent, each as u16, relay);
    let mut received = Vec::new();
    while received.len() < sent.len() {
        let (bytes, each_received, _) = test.until(|_| receive_train(&target));
        assert_eq!(each_received, each.min(bytes.len()));
        received.extend(bytes);
    }
    assert!(received == sent);
    assert_eq!(test.facts.count("dropped"), 0);
}

#[test]
fn a_relay_passes_trains_on_as_trains_both_ways() {
    let (target, client) = (gro_client(), gro_client());
    let address = target.local_addr().unwrap();
    let (mut test, listener) = TestLoop::with(&format!("udp://127.0.0.1:0=relay:udp://{address}"));
    enable_gro(&mut test, &client, listener, &target);
    let flow = {
        client.send_to(b"flow?", listener).unwrap();
        test.until(|_| receive(&target)).1
    };
    enable_gro(&mut test, &target, flow, &client);
    test.facts.0.clear();
    let mut passed = 0;
    for (number, (length, each)) in TRAINS.into_iter().enumerate() {
        let (there, back) = (bytes(length, number as u8), bytes(length, !number as u8));
        send(&client, &there, each, listener);
        let (received, each_received, flow) = test.until(|_| receive_train(&target));
        assert!(
            received == there && each_received == usize::from(each),
            "{length} bytes, {each} each"
        );
        send(&target, &back, each, flow);
        let received = test.until(|_| receive_train(&client));
        assert!(received == (back, each.into(), listener), "{length} bytes, {each} each");
        passed += length;
    }
    let datagrams: usize =
        TRAINS.iter().map(|(length, each)| length.div_ceil(*each as usize)).sum();
    assert_eq!(test.facts.count("received"), 2 * datagrams);
    assert_eq!((test.facts.count("sent"), test.datagrams.len()), (2 * datagrams, 1));
    test.call(|datagrams, cx| datagrams.close_all(CUT, cx));
    let (up, down) = (passed + MAX_RECEIVED + 5, passed + MAX_RECEIVED);
    assert_eq!(test.facts.count(&format!("closed cut up {up} down {down}")), 1);
}

#[test]
fn a_unix_target_gets_a_train_datagram_by_datagram() {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram};
    let name = format!("oneloop-trains-{}", std::process::id());
    let target = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    target.set_nonblocking(true).unwrap();
    let (mut test, listener) =
        TestLoop::with(&format!("udp://127.0.0.1:0=relay:unix-dgram:@{name}"));
    send(&client(), &bytes(35, 1), 10, listener);
    let mut buffer = [0; 99];
    for datagram in bytes(35, 1).chunks(10) {
        let length = test.until(|_| target.recv(&mut buffer).ok());
        assert_eq!(&buffer[..length], datagram);
    }
    assert_eq!((test.facts.count("sent"), test.facts.count("dropped")), (4, 0));
}

#[test]
fn an_earlier_refusal_does_not_cost_the_next_train() {
    let (target, client) = (client(), client());
    let address = target.local_addr().unwrap();
    let (mut test, listener) = TestLoop::with(&format!("udp://127.0.0.1:0=relay:udp://{address}"));
    enable_gro(&mut test, &client, listener, &target);
    // Connected, it receives from one other address alone, and keeps its port.
    target.connect("127.0.0.1:9").unwrap();
    test.facts.0.clear();
    client.send_to(b"anybody?", listener).unwrap();
    // Both are sent before the turn, so sending the train returns the refusal of the first one.
    send(&client, &bytes(35, 1), 10, listener);
    test.until_event(3, "received 10");
    assert_eq!(test.facts.count("sent"), 5);
    assert_eq!(
        (test.facts.count("dropped an earlier one: refused"), test.facts.count("dropped")),
        (1, 1)
    );
}
