//! The small services on datagrams: what they answer, and what they must not answer.

use std::net::UdpSocket;
use std::time::Duration;

use crate::test_loop::{DRAIN_IDLE, TestLoop, bytes, client, receive};

#[test]
fn an_echo_sends_the_same_bytes_back_at_every_length() {
    let (mut test, echo) = TestLoop::with("udp://127.0.0.1:0=echo");
    let client = client();
    for length in [0, 1, 1472, 9000, 65_507] {
        let sent = bytes(length, 1);
        assert_eq!(test.ask(&client, echo, &sent), sent, "{length} bytes");
    }
    assert_eq!((test.facts.count("received"), test.facts.count("sent")), (5, 5));
}

#[test]
fn what_is_discarded_has_no_answer() {
    let (mut test, discard) = TestLoop::with("udp://127.0.0.1:0=discard");
    let client = client();
    client.send_to(b"hello", discard).unwrap();
    test.until_event(1, "received 5");
    test.expect_silence(&client);
    assert_eq!(test.facts.count("dropped"), 0);
}

#[test]
fn chargen_never_sends_more_than_it_was_asked_with() {
    let (mut test, chargen) = TestLoop::with("udp://127.0.0.1:0=chargen");
    let client = client();
    let mut longest = 0;
    for length in (0..40).map(|n| n * 25) {
        let answer = test.ask(&client, chargen, &bytes(length, 0));
        assert!(answer.len() <= length.min(512), "{} for {length}", answer.len());
        assert!(answer.starts_with(&b" !\"#"[..answer.len().min(4)]));
        longest = longest.max(answer.len());
    }
    assert!(longest > 100, "{longest}");
}

#[test]
fn daytime_time_and_whoami_answer_what_is_as_long_as_the_answer() {
    let mut test = TestLoop::new();
    let client = client();
    let own = client.local_addr().unwrap();
    for (service, answer) in [
        ("daytime", "Friday, November 20, 2026 18:17:05-UTC\r\n".to_string()),
        ("time", "\u{0}".to_string()),
        ("whoami", format!("you: {own}\r\nme: 127.0.0.1:")),
    ] {
        let address = test.add(&format!("udp://127.0.0.1:0={service}"));
        let full = test.ask(&client, address, &[0; 200]);
        if service == "time" {
            assert_eq!(full, (1_795_198_625_u32.wrapping_add(2_208_988_800)).to_be_bytes());
        } else {
            assert!(full.starts_with(answer.as_bytes()), "{}", String::from_utf8_lossy(&full));
        }
        assert_eq!(test.ask(&client, address, &vec![0; full.len()]).len(), full.len());
        let drops = test.facts.count("shorter than the reply");
        client.send_to(&vec![0; full.len() - 1], address).unwrap();
        client.send_to(b"", address).unwrap();
        test.until_event(drops + 2, "shorter than the reply");
        test.expect_silence(&client);
    }
}

#[test]
fn a_datagram_that_seems_to_come_from_ourselves_is_dropped() {
    let mut test = TestLoop::new();
    let (echo, forger) = test.add_with_forger("udp://127.0.0.1:0=echo");
    let other = test.add("udp://127.0.0.1:0=echo");
    forger.send_to(b"to itself", echo).unwrap();
    forger.send_to(b"to another listener", other).unwrap();
    test.until_event(2, "source is our own address");
    assert_eq!(test.facts.count("sent"), 0);
}

#[test]
fn a_forged_loop_of_two_echoes_dies() {
    let (mut left, mut right) = (TestLoop::new(), TestLoop::new());
    let (_, forger) = left.add_with_forger("udp://127.0.0.1:0=echo");
    let to = right.add("udp://127.0.0.1:0=echo");
    forger.send_to(b"for ever?", to).unwrap();
    let broken = |test: &TestLoop| test.facts.count("loop protection");
    left.until(|left| {
        for _ in 0..20 {
            right.turn(Duration::from_millis(1));
            left.turn(Duration::from_millis(1));
        }
        (broken(left) + broken(&right) > 0).then_some(())
    });
    let rounds = right.facts.count("sent");
    assert!(rounds > 0, "the loop never was one");
    for _ in 0..10 {
        right.turn(Duration::from_millis(1));
        left.turn(Duration::from_millis(1));
    }
    assert_eq!((broken(&left) + broken(&right), right.facts.count("sent")), (1, rounds));
}

#[test]
fn one_listener_does_not_delay_another() {
    let (mut test, flooded) = TestLoop::with("udp://127.0.0.1:0=discard");
    let quiet = test.add("udp://127.0.0.1:0=echo");
    let client = client();
    for _ in 0..200 {
        client.send_to(b"flood", flooded).unwrap();
    }
    client.send_to(b"hello", quiet).unwrap();
    let answer = test.until(|_| receive(&client)).0;
    assert_eq!(answer, b"hello");
    assert!(test.facts.count("received 5 from") < 200, "the flood was served first");
    test.until_event(201, "received 5 from");
    assert!(test.facts.count("yielded") >= 3);
}

#[test]
fn a_listener_on_all_addresses_answers_from_the_address_it_was_asked_at() {
    let mut test = TestLoop::new();
    for route in ["udp://0.0.0.0:0=whoami", "udp://:0=whoami"] {
        let port = test.add(route).port();
        for host in ["127.0.0.1", "127.0.0.2"] {
            // On other systems 127.0.0.2 is not a local address.
            if host == "127.0.0.2" && !cfg!(target_os = "linux") {
                continue;
            }
            let client = client();
            client.connect((host, port)).unwrap();
            client.send(&[0; 200]).unwrap();
            let answer = String::from_utf8(test.until(|_| receive(&client)).0).unwrap();
            if cfg!(target_os = "linux") {
                assert!(answer.contains(&format!("me: {host}:{port}\r\n")), "{answer}");
            }
        }
    }
}

#[test]
fn an_ipv6_client_is_answered_by_a_dual_stack_listener() {
    let Ok(client) = UdpSocket::bind("[::1]:0") else { return };
    client.set_nonblocking(true).unwrap();
    let (mut test, echo) = TestLoop::with("udp://:0=echo");
    client.connect(("::1", echo.port())).unwrap();
    client.send(b"six").unwrap();
    assert_eq!(test.until(|_| receive(&client)).0, b"six");
}

#[test]
fn an_operator_is_warned_of_answers_to_the_open_internet() {
    let mut test = TestLoop::new();
    test.add("udp://127.0.0.1:0=echo");
    test.add("udp://0.0.0.0:0=discard");
    test.add("udp://0.0.0.0:0=relay:udp://127.0.0.1:9");
    assert_eq!(test.warnings, Vec::<String>::new());
    let port = test.add("udp://0.0.0.0:0=echo").port();
    let warnings = &test.warnings;
    assert_eq!(warnings.len(), 1);
    let start = format!("echo answers UDP at udp://0.0.0.0:{port}, which may be a public address");
    assert!(warnings[0].starts_with(&start), "{warnings:?}");
}

#[test]
fn an_idle_listener_needs_no_turn() {
    let (mut test, echo) = TestLoop::with("udp://127.0.0.1:0=echo");
    assert_eq!(test.datagrams.sleep(test.now), None);
    test.ask(&client(), echo, b"hello");
    test.turn(Duration::ZERO);
    assert_eq!(test.datagrams.sleep(test.now), None);
    assert_eq!(test.datagrams.queued(), 0);
}

#[test]
fn a_drain_answers_what_was_received_before_it() {
    let (mut test, echo) = TestLoop::with("udp://127.0.0.1:0=echo");
    let client = client();
    for number in 0..100 {
        client.send_to(&bytes(9, number), echo).unwrap();
    }
    test.call(|datagrams, cx| datagrams.drain(DRAIN_IDLE, cx));
    let answers = std::iter::from_fn(|| receive(&client)).count();
    assert_eq!(answers, 100);
}

#[test]
fn a_drain_closes_small_services_at_once() {
    let (mut test, echo) = TestLoop::with("udp://127.0.0.1:0=echo");
    test.call(|datagrams, cx| datagrams.drain(DRAIN_IDLE, cx));
    let client = client();
    client.send_to(b"too late", echo).unwrap();
    test.expect_silence(&client);
    assert_eq!(test.facts.0, []);
    assert!(UdpSocket::bind(echo).is_ok(), "the listener is still open");
}
