//! The small services on streams, over TCP and over Unix sockets.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::command::oneloop;
use crate::pattern::bytes;
use crate::scratch::Scratch;
use crate::test_daemon::TestDaemon;
use crate::test_stream::{End, TestStream};

/// The service on TCP and on a Unix socket, in one loop; the directory must outlive it.
fn both(service: &str) -> (TestDaemon, Scratch) {
    let scratch = Scratch::new();
    let line = format!("run 127.0.0.1:0={service} {}={service} -v", scratch.unix("x"));
    (TestDaemon::start(&line), scratch)
}

/// Returns what a service sends on each of its listeners until it closes.
fn said(service: &str) -> Vec<(TestStream, Vec<u8>)> {
    let (daemon, _scratch) = both(service);
    let hear = |listener| {
        let mut client = daemon.client(listener);
        let heard = client.rest();
        (client, heard)
    };
    [0, 1].map(hear).into()
}

#[test]
fn an_echo_sends_back_what_comes_and_then_the_end() {
    let (daemon, _scratch) = both("echo");
    for listener in [0, 1] {
        let mut client = daemon.client(listener);
        for length in [1, 2, 1000, 65_535, 65_536, 65_537] {
            client.echo(&bytes(length as u64, length));
        }
        client.finish();
        assert_eq!(client.rest(), b"");
    }
    daemon.says_often(2, "closed: finished, FIN from client first, 197611 B up, 197611 B down");
}

#[test]
fn an_echo_sends_back_what_came_before_the_end_and_with_it() {
    let (daemon, _scratch) = both("echo");
    for listener in [0, 1] {
        let mut client = daemon.client(listener);
        client.send(b"last words");
        client.finish();
        assert_eq!(client.rest(), b"last words");
        let silent = daemon.client(listener);
        silent.finish();
        assert_eq!({ silent }.rest(), b"");
    }
}

#[test]
fn a_discard_takes_everything_and_says_nothing() {
    let (daemon, _scratch) = both("discard");
    for listener in [0, 1] {
        let mut client = daemon.client(listener);
        for _ in 0..160 {
            client.send(&[7; 65_536]);
        }
        client.finish();
        assert_eq!(client.rest(), b"");
    }
    daemon.says_often(2, "10485760 B up, 0 B down");
}

#[test]
fn a_chargen_turns_the_characters_by_one_each_line() {
    let (daemon, _scratch) = both("chargen");
    for listener in [0, 1] {
        let mut client = daemon.client(listener);
        let text = client.get(74 * 190);
        for (number, line) in text.chunks(74).enumerate() {
            let letters = (0..72).map(|at| b' ' + ((number + at) % 95) as u8);
            let expected: Vec<u8> = letters.chain(*b"\r\n").collect();
            assert_eq!(line, expected, "line {number}");
        }
        // A client that has sent a FIN is still reading.
        client.finish();
        client.get(1 << 20);
    }
}

#[test]
fn a_daytime_is_one_line_and_the_end() {
    for (_, line) in said("daytime") {
        let line = String::from_utf8(line).unwrap();
        let words: Vec<&str> = line.trim_end().split([' ', ',', ':']).collect();
        assert!(line.ends_with("-UTC\r\n") && words.len() == 9, "{line}");
        assert!(words[0].ends_with("day") && words[5].parse::<u16>().is_ok(), "{line}");
    }
}

#[test]
fn a_time_is_four_bytes_and_the_end() {
    for (_, time) in said("time") {
        let since_1900 = u32::from_be_bytes(time.try_into().unwrap());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let expected = (now + 2_208_988_800) as u32;
        assert!(expected.wrapping_sub(since_1900) < 120, "{since_1900} instead of {expected}");
    }
}

#[test]
fn a_whoami_tells_both_addresses_the_transport_and_what_the_kernel_knows() {
    let (daemon, scratch) = both("whoami");
    let mut client = daemon.client(0);
    let text = String::from_utf8(client.rest()).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], format!("you: {}", client.local()));
    assert_eq!(lines[1], format!("me: {}", daemon.at(0)));
    assert_eq!(lines[2], "transport: tcp");
    assert!(lines[3].starts_with("tcp: ") && lines[3].contains("rtt"), "{text}");
    let text = String::from_utf8(daemon.client(1).rest()).unwrap();
    let me = format!("me: {}", scratch.unix("x"));
    assert_eq!(text.lines().collect::<Vec<_>>(), ["you: unix:", &me, "transport: unix"]);
}

/// A greet at a Unix socket and at TCP.
fn greet(text: &str, options: &str) -> (TestDaemon, Scratch) {
    let scratch = Scratch::new();
    let line = format!("greet 127.0.0.1:0 {} {options}", scratch.unix("x"));
    let mut command = oneloop(&line);
    command.args(["--text", text]);
    (TestDaemon::run(command), scratch)
}

#[test]
fn a_greeting_is_filled_in_and_followed_by_the_end() {
    let (daemon, _scratch) = greet("welcome {peer.ip} to {service}\\n", "");
    assert_eq!(daemon.client(0).rest(), b"welcome 127.0.0.1 to greet\n");
    assert_eq!(daemon.client(1).rest(), b"welcome unix to greet\n");
}

#[test]
fn a_client_that_talks_while_it_is_greeted_hears_all_of_it_and_no_reset() {
    let (daemon, _scratch) = greet("bye\\n", "-v");
    for listener in [0, 1] {
        let mut client = daemon.client(listener);
        client.send(&bytes(1, 300_000));
        assert_eq!(client.ending(), (b"bye\n".to_vec(), End::Fin));
        client.finish();
    }
    daemon.says_often(2, "closed: served, FIN from proxy first");
}

#[test]
fn a_greeted_client_is_heard_up_to_its_newline_and_the_message_is_logged_harmless() {
    let (daemon, _scratch) = greet("name? ", "--read-one");
    for listener in [0, 1] {
        let mut client = daemon.client(listener);
        assert_eq!(client.get(6), b"name? ");
        client.send(b"Ada \x1b[2J\"\xff");
        client.send(b"\xe2\x80\xae\\ INFO forged\r\nnever heard");
        assert_eq!(client.rest(), b"");
    }
    let heard = r#" message "Ada \x1b[2J\"\xff\xe2\x80\xae\\ INFO forged\r\n", 28 B"#;
    daemon.says_often(2, heard);
    assert_eq!((daemon.count("never heard"), daemon.count("INFO forged")), (0, 2));
}

#[test]
fn a_message_ends_with_the_stream_too_or_at_the_limit() {
    let (daemon, _scratch) = greet("? ", "--read-one");
    let mut client = daemon.client(0);
    client.send(b"no newline");
    client.finish();
    assert_eq!(client.rest(), b"? ");
    daemon.says(r#"message "no newline", 10 B"#);
    let silent = daemon.client(1);
    silent.finish();
    daemon.says(r#"message "", 0 B"#);
    let mut endless = daemon.client(0);
    endless.send(&[b'x'; 20_000]);
    assert_eq!(endless.rest(), b"? ");
    let line = daemon.says("message \"xxx");
    assert!(line.ends_with("8192 B") && line.len() < 4096, "{line}");
}
