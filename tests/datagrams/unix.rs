//! Unix datagrams: answered by name, relayed to and from UDP.

use std::os::unix::net::UnixDatagram;
use std::path::Path;

use crate::scratch::Scratch;
use crate::test_loop::{TestLoop, at, client, receive};

impl Scratch {
    fn bind(&self, name: &str) -> UnixDatagram {
        bind(&self.path(name))
    }
}

fn bind(path: &Path) -> UnixDatagram {
    let socket = UnixDatagram::bind(path).unwrap();
    socket.set_nonblocking(true).unwrap();
    socket
}

fn received(socket: &UnixDatagram) -> Option<Vec<u8>> {
    let mut buffer = vec![0; 1 << 18];
    socket.recv(&mut buffer).ok().map(|bytes| buffer[..bytes].to_vec())
}

#[test]
fn a_client_with_a_name_is_answered() {
    let scratch = Scratch::new();
    let path = scratch.path("echo");
    let (mut test, _) = TestLoop::with(&format!("unix-dgram:{}=echo", path.display()));
    let client = scratch.bind("client");
    for length in [0, 1, 65_507, 150_000] {
        let sent = crate::test_loop::bytes(length, 9);
        client.send_to(&sent, &path).unwrap();
        assert_eq!(test.until(|_| received(&client)), sent);
    }
    assert!(path.exists());
    drop(test);
    assert!(!path.exists(), "the file of the listener remains");
}

#[test]
fn a_datagram_longer_than_the_buffer_is_dropped_and_not_truncated() {
    let scratch = Scratch::new();
    let path = scratch.path("echo");
    let (mut test, _) = TestLoop::with(&format!("unix-dgram:{}=echo", path.display()));
    let client = scratch.bind("client");
    socket2::SockRef::from(&client).set_send_buffer_size(400_000).unwrap();
    // Where the system refuses a datagram of this length, nothing can be truncated.
    if client.send_to(&vec![1; 300_000], &path).is_err() {
        return;
    }
    test.until_event(1, "longer than the maximum");
    assert_eq!(received(&client), None);
    client.send_to(b"short", &path).unwrap();
    assert_eq!(test.until(|_| received(&client)), b"short");
}

#[test]
fn a_client_without_a_name_cannot_be_answered() {
    let scratch = Scratch::new();
    let path = scratch.path("echo");
    let (mut test, _) = TestLoop::with(&format!("unix-dgram:{}=echo", path.display()));
    UnixDatagram::unbound().unwrap().send_to(b"hello", &path).unwrap();
    test.until_event(1, "dropped 5 from unix:: no destination address");
}

#[test]
fn the_daytime_answers_an_empty_unix_datagram() {
    let scratch = Scratch::new();
    let path = scratch.path("daytime");
    let (mut test, _) = TestLoop::with(&format!("unix-dgram:{}=daytime", path.display()));
    let client = scratch.bind("client");
    client.send_to(b"", &path).unwrap();
    assert_eq!(test.until(|_| received(&client)), b"Friday, November 20, 2026 18:17:05-UTC\r\n");
}

#[test]
fn a_client_that_does_not_read_loses_its_answers_and_delays_no_other() {
    let scratch = Scratch::new();
    let path = scratch.path("echo");
    let (mut test, _) = TestLoop::with(&format!("unix-dgram:{}=echo", path.display()));
    let (non_reading, client) = (scratch.bind("non_reading"), scratch.bind("client"));
    let mut sent = 0;
    while test.facts.count("send buffer full") == 0 {
        assert!(sent < 100_000, "its buffer never fills");
        sent += non_reading.send_to(&[7; 8192], &path).unwrap();
        test.turn(std::time::Duration::ZERO);
    }
    client.send_to(b"hello", &path).unwrap();
    assert_eq!(test.until(|_| received(&client)), b"hello");
}

#[test]
fn every_combination_of_udp_and_unix_is_relayed() {
    let scratch = Scratch::new();
    let (path, target) = (scratch.path("sock"), scratch.bind("target"));
    let target_text = format!("unix-dgram:{}", scratch.path("target").display());
    let inet = client();
    let inet_text = format!("udp://{}", inet.local_addr().unwrap());
    let mut test = TestLoop::new();

    let listener = test.add(&format!("udp://127.0.0.1:0=relay:{target_text}"));
    let udp_client = client();
    udp_client.send_to(b"udp to unix", listener).unwrap();
    let mut buffer = [0; 64];
    let from = test.until(|_| target.recv_from(&mut buffer).ok()).1;
    assert_eq!(&buffer[..11], b"udp to unix");
    target.send_to_addr(b"back", &from).unwrap();
    assert_eq!(test.until(|_| receive(&udp_client)).0, b"back");

    test.add(&format!("unix-dgram:{}=relay:{inet_text}", path.display()));
    let unix_client = scratch.bind("client");
    unix_client.send_to(b"unix to udp", &path).unwrap();
    let (bytes, from) = test.until(|_| receive(&inet));
    assert_eq!(bytes, b"unix to udp");
    inet.send_to(b"back", from).unwrap();
    assert_eq!(test.until(|_| received(&unix_client)), b"back");

    let second = scratch.path("second");
    test.add(&format!("unix-dgram:{}=relay:{target_text}", second.display()));
    unix_client.send_to(b"unix to unix", &second).unwrap();
    let from = test.until(|_| target.recv_from(&mut buffer).ok()).1;
    assert_eq!(&buffer[..12], b"unix to unix");
    target.send_to_addr(b"", &from).unwrap();
    assert_eq!(test.until(|_| received(&unix_client)), b"");
}

#[test]
fn what_an_unnamed_client_sends_is_relayed_and_only_the_answer_is_lost() {
    let scratch = Scratch::new();
    let path = scratch.path("sock");
    let target = client();
    let route =
        format!("unix-dgram:{}=relay:udp://{}", path.display(), target.local_addr().unwrap());
    let (mut test, _) = TestLoop::with(&route);
    UnixDatagram::unbound().unwrap().send_to(b"hello", &path).unwrap();
    let (bytes, from) = test.until(|_| receive(&target));
    assert_eq!(bytes, b"hello");
    target.send_to(b"back", from).unwrap();
    test.until_event(1, &format!("dropped 4 from {}: no destination address", at(&target)));
}

#[test]
fn a_target_that_restarts_at_its_path_is_found_again() {
    let scratch = Scratch::new();
    let path = scratch.path("target");
    let (mut test, listener) =
        TestLoop::with(&format!("udp://127.0.0.1:0=relay:unix-dgram:{}", path.display()));
    let client = client();
    client.send_to(b"too early", listener).unwrap();
    let lost = format!("dropped 9 from {}: send failed (No such file or directory)", at(&client));
    test.until_event(1, &lost);
    let target = bind(&path);
    client.send_to(b"first", listener).unwrap();
    assert_eq!(test.until(|_| received(&target)), b"first");
    drop(target);
    client.send_to(b"gone", listener).unwrap();
    test.until_event(1, &format!("dropped 4 from {}: refused", at(&client)));
    assert_eq!(test.facts.count("refused"), 1);
    std::fs::remove_file(&path).unwrap();
    let target = bind(&path);
    client.send_to(b"second", listener).unwrap();
    assert_eq!(test.until(|_| received(&target)), b"second");
    assert_eq!(test.datagrams.len(), 1);
}

#[test]
fn an_abstract_name_needs_no_file() {
    let name = format!("oneloop-datagrams-{}", std::process::id());
    let (mut test, _) = TestLoop::with(&format!("unix-dgram:@{name}=echo"));
    let scratch = Scratch::new();
    let client = scratch.bind("client");
    use std::os::linux::net::SocketAddrExt;
    let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap();
    client.send_to_addr(b"hello", &address).unwrap();
    assert_eq!(test.until(|_| received(&client)), b"hello");
}
