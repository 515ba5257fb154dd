//! Connect over UDP and Unix datagram sockets: message boundaries are kept.

use std::fs::File;
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::process::Stdio;

use crate::pattern::bytes;
use crate::scratch::Scratch;
use crate::session::{Session, ended};
use crate::wait::PATIENCE;

fn server() -> (UdpSocket, String) {
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    server.set_read_timeout(Some(PATIENCE)).unwrap();
    let address = format!("udp://{}", server.local_addr().unwrap());
    (server, address)
}

fn receive(server: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut room = vec![0; 1 << 16];
    let (bytes, from) = server.recv_from(&mut room).unwrap();
    room.truncate(bytes);
    (room, from)
}

/// An address that refuses: its socket is connected elsewhere.
fn refusing_server() -> (UdpSocket, String) {
    let (refusing, address) = server();
    refusing.connect("127.0.0.1:9").unwrap();
    (refusing, address)
}

#[test]
fn what_is_typed_at_once_is_a_datagram_and_empty_ones_show_nothing() {
    let (server, address) = server();
    let mut session = Session::start(&format!("connect {address}"));
    let mut from = None;
    for text in ["one\n", "two\nlines\n", "no line"] {
        session.type_in(text);
        let (datagram, sender) = receive(&server);
        assert_eq!(String::from_utf8(datagram).unwrap(), text);
        from = Some(sender);
    }
    let answer = |text: &[u8]| server.send_to(text, from.unwrap()).unwrap();
    answer(b"an");
    answer(b"");
    answer(b"swer\n");
    session.until_stdout("answer\n");
    session.type_in("-C is off\n");
    assert_eq!(receive(&server).0, b"-C is off\n");
    session.end_input();
    let ended = session.ended();
    assert_eq!((ended.code, &*ended.out, &*ended.err), (Some(0), &b"answer\n"[..], ""));
}

#[test]
fn a_file_is_one_datagram_as_far_as_one_can_hold_it() {
    let ((server, address), scratch) = (server(), Scratch::new());
    let text = bytes(5, 65_507 + 100);
    std::fs::write(scratch.path("in"), &text).unwrap();
    let input = File::open(scratch.path("in")).unwrap();
    let line = format!("connect --linger 3s {address}");
    let session = Session::with_stdio(&line, input.into(), Stdio::piped()).capture_output();
    for expected in [&text[..65_507], &text[65_507..]] {
        let (datagram, from) = receive(&server);
        assert!(datagram == expected, "{} bytes", datagram.len());
        server.send_to(&datagram, from).unwrap();
    }
    let ended = session.ended();
    assert!(ended.code == Some(0) && ended.out == text, "{} bytes", ended.out.len());
}

#[test]
fn answers_are_waited_for_after_the_end_of_the_input() {
    let (server, address) = server();
    let mut session = Session::start(&format!("connect -C --linger 3s {address}"));
    session.type_in("ask\n");
    session.end_input();
    let (datagram, from) = receive(&server);
    assert_eq!(datagram, b"ask\r\n");
    server.send_to(b"late", from).unwrap();
    let ended = session.ended();
    assert_eq!((ended.code, &*ended.out), (Some(0), &b"late"[..]));
}

#[test]
fn a_refusal_comes_back_and_is_told() {
    let (_refusing, address) = refusing_server();
    let mut session = Session::start(&format!("connect {address}"));
    session.type_in("anybody?\n");
    let ended = session.ended();
    let message = format!("oneloop: cannot connect to {address}: Connection refused\n");
    assert_eq!((ended.code, ended.err), (Some(7), message));
}

#[test]
fn a_probe_tells_a_refusal_an_answer_and_silence_apart() {
    let (_refusing, address) = refusing_server();
    assert_eq!(ended(&format!("connect -z {address}")).code, Some(7));

    let (server, address) = server();
    let silent = ended(&format!("connect -z --linger 200ms {address}"));
    let why = "no reply or refusal within 200ms";
    let message = format!("oneloop: no answer from {address}: {why}\n");
    assert_eq!((silent.code, silent.err), (Some(28), message));
    assert_eq!(receive(&server).0, b"");

    let line = format!("connect -z --linger 60s {address}");
    let session = Session::with_stdio(&line, Stdio::null(), Stdio::piped()).capture_output();
    server.send_to(b"here", receive(&server).1).unwrap();
    let answered = session.ended();
    assert_eq!((answered.code, &*answered.out), (Some(0), &b""[..]));
    assert!(answered.err.starts_with(&format!("{address}: answered after ")), "{}", answered.err);
}

#[test]
fn silence_ends_it_only_if_asked_for() {
    let (_server, address) = server();
    let session = Session::start(&format!("connect -i 300ms {address}"));
    let ended = session.ended();
    let message = format!("oneloop: no answer from {address}: no data for 300ms\n");
    assert_eq!((ended.code, ended.err), (Some(28), message));
}

#[test]
fn silence_behind_an_answer_is_an_ordinary_end() {
    let (server, address) = server();
    let mut session = Session::start(&format!("connect -i 300ms {address}"));
    session.type_in("ask");
    server.send_to(b"answer", receive(&server).1).unwrap();
    let ended = session.ended();
    assert_eq!((ended.code, &*ended.out, &*ended.err), (Some(0), &b"answer"[..], ""));
}

#[test]
fn who_is_asked_and_says_nothing_fails_only_those_who_set_a_time_for_it() {
    let (_server, address) = server();
    for (options, code) in [("--linger 200ms", 0), ("-i 200ms", 28), ("-z -i 200ms", 28)] {
        let mut session = Session::start(&format!("connect {options} {address}"));
        if !options.starts_with("-z") {
            session.type_in("ask");
        }
        session.end_input();
        assert_eq!(session.ended().code, Some(code), "{options}");
    }
}

#[test]
fn unix_datagrams_are_sent_and_answered() {
    let scratch = Scratch::new();
    let server = UnixDatagram::bind(scratch.path("server")).unwrap();
    server.set_read_timeout(Some(PATIENCE)).unwrap();
    let address = format!("unix-dgram:{}", scratch.path("server").display());
    assert_eq!(ended(&format!("connect -z {address}")).code, Some(0));
    let mut session = Session::start(&format!("connect --timing {address}"));
    session.type_in("one\n");
    let mut room = [0; 64];
    let (bytes, from) = server.recv_from(&mut room).unwrap();
    assert_eq!(&room[..bytes], b"one\n");
    server.send_to_addr(b"two", &from).unwrap();
    session.until_stdout("two");
    session.end_input();
    let ended = session.ended();
    assert_eq!(ended.code, Some(0));
    assert!(ended.err.ends_with("finished; 4 B sent, 3 B received\n"), "{}", ended.err);
    let nowhere = format!("unix-dgram:{}", scratch.path("none").display());
    assert_eq!(self::ended(&format!("connect {nowhere}")).code, Some(7));
}

#[test]
fn it_sleeps_while_nothing_moves_and_ends_if_nobody_reads() {
    let (server, address) = server();
    let line = format!("connect -vv --linger off {address}");
    let mut session = Session::with_stdio(&line, Stdio::piped(), Stdio::piped());
    session.type_in("x");
    let (_, from) = receive(&server);
    // More than the pipe holds: the rest waits, or is lost as datagrams may be.
    for _ in 0..50 {
        server.send_to(&[b'x'; 8000], from).unwrap();
    }
    assert!(session.idle_turns() < 50);
    session.end_input();
    assert!(session.idle_turns() < 50);
    session.close_output();
    assert_eq!(session.ended().code, Some(0));
}
