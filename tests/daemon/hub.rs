//! The hub: each message goes to all other members.

use std::io::Read;
use std::time::Duration;

use rustix::process::Signal;

use crate::many::{alone, is_shipped, room};
use crate::scratch::Scratch;
use crate::test_daemon::TestDaemon;
use crate::test_stream::TestStream;
use crate::wait::until;

/// Joins, and waits until the daemon has accepted the connection.
fn join(daemon: &TestDaemon, number: usize) -> TestStream {
    let client = daemon.client(0);
    daemon.says(&format!("#{number} opened: "));
    client
}

#[test]
fn a_message_goes_to_all_other_members_and_not_back() {
    let scratch = Scratch::new();
    let line = format!("hub 127.0.0.1:0 {} -v", scratch.path("hub.sock").display());
    let daemon = TestDaemon::start(&line);
    let (mut one, mut two) = (join(&daemon, 1), join(&daemon, 2));
    let mut unix = daemon.client(1);
    daemon.says("#3 opened: ");
    one.send(b"hello\nwor");
    assert_eq!((two.get(6), unix.get(6)), (b"hello\n".to_vec(), b"hello\n".to_vec()));
    unix.send(b"between\n");
    assert_eq!((one.get(8), two.get(8)), (b"between\n".to_vec(), b"between\n".to_vec()));
    one.send(b"ld\n");
    assert_eq!((two.get(6), unix.get(6)), (b"world\n".to_vec(), b"world\n".to_vec()));
    // Nothing came back to its sender: the next bytes are those of another.
    two.send(b"last\n");
    assert_eq!(one.get(5), b"last\n");
}

#[test]
fn routes_with_the_same_name_share_a_hub_and_others_do_not() {
    let line = "run 127.0.0.1:0=hub:a 127.0.0.1:0=hub:b 127.0.0.1:0=hub:a -v";
    let daemon = TestDaemon::start(line);
    let mut clients: Vec<TestStream> = (0..3).map(|listener| daemon.client(listener)).collect();
    daemon.says("#3 opened: ");
    clients[1].send(b"b\n");
    clients[0].send(b"a\n");
    assert_eq!(clients[2].get(2), b"a\n");
    clients[2].send(b"c\n");
    assert_eq!(clients[0].get(2), b"c\n");
}

#[test]
fn who_has_sent_a_fin_still_receives_and_its_last_line_is_delivered() {
    let daemon = TestDaemon::start("hub 127.0.0.1:0 -v");
    let (mut one, mut two) = (join(&daemon, 1), join(&daemon, 2));
    one.send(b"first\nwithout an end");
    one.finish();
    assert_eq!(two.get(21), b"first\nwithout an end\n");
    two.send(b"answer\n");
    assert_eq!(one.get(7), b"answer\n");
}

#[test]
fn a_message_that_is_too_long_closes_its_sender() {
    for (options, message) in [
        ("--max-message 10", &b"short\n0123456789\n01234567890"[..]),
        ("--max-message 10 --frame len32", b"\0\0\0\x01x\0\0\0\x0b"),
    ] {
        let daemon = TestDaemon::start(&format!("hub 127.0.0.1:0 -v {options}"));
        let (mut one, mut two) = (join(&daemon, 1), join(&daemon, 2));
        two.send(message);
        daemon.says("#2 closed: message-too-long, RST from proxy first");
        let complete = if options.contains("len32") { 5 } else { 17 };
        assert_eq!(one.get(complete), message[..complete]);
        join(&daemon, 3).send(&message[..complete]);
        assert_eq!(one.get(complete), message[..complete], "the hub goes on");
    }
}

/// Sends lines `from..to` of about 1,000 bytes.
fn send_lines(client: &mut TestStream, lines: std::ops::Range<usize>) {
    for number in lines {
        client.send(format!("{number:06} {}\n", "x".repeat(1_000)).as_bytes());
    }
}

#[test]
fn a_member_that_does_not_read_delays_no_one_and_learns_what_it_missed() {
    let daemon = TestDaemon::start("hub 127.0.0.1:0 -v --hub-buffer 100k");
    let (mut silent, mut reader, mut sender) =
        (join(&daemon, 1), join(&daemon, 2), join(&daemon, 3));
    let lines = 20_000;
    let sending = std::thread::spawn(move || {
        for from in (0..lines).step_by(50) {
            send_lines(&mut sender, from..from + 50);
            // The reader is not to lag: it confirms each batch.
            assert_eq!(sender.get(1), b"\n");
        }
        sender
    });
    for number in 0..lines {
        let line = reader.get(1_008);
        assert!(line.starts_with(format!("{number:06} ").as_bytes()), "line {number}");
        if number % 50 == 49 {
            reader.send(b"\n");
        }
    }
    let mut sender = sending.join().unwrap();
    sender.send(b"end\n");
    // Lines and notices are whole, and together there are as many as were sent.
    let (mut received, mut missed, mut confirmed) = (0, 0, 0);
    let mut input = Vec::new();
    loop {
        let Some(end) = input.iter().position(|byte| *byte == b'\n') else {
            let mut some = [0; 65_536];
            let bytes = silent.read(&mut some).unwrap();
            assert!(bytes > 0, "closed");
            input.extend_from_slice(&some[..bytes]);
            continue;
        };
        let line: Vec<u8> = input.drain(..=end).collect();
        let line = String::from_utf8(line).unwrap();
        match line.trim_end() {
            "end" => break,
            "" => confirmed += 1,
            notice if notice.starts_with("* ") => {
                let count = notice.split(' ').nth(1).unwrap().parse::<usize>().unwrap();
                assert!(notice.contains(" message") && notice.ends_with(" missed"), "{notice}");
                missed += count;
            }
            line => {
                assert_eq!(line.len(), 1_007, "{line:?}");
                received += 1;
            }
        }
    }
    assert_eq!(received + missed + confirmed, lines + lines / 50);
    assert!(missed > 0 && received > 0, "{received} received, {missed} missed");
    daemon.says("#1 missed ");
}

#[test]
fn a_member_that_lags_is_reset_if_asked_for() {
    let daemon = TestDaemon::start("hub 127.0.0.1:0 -v --hub-buffer 100k --on-lag close");
    let (_silent, mut sender) = (join(&daemon, 1), join(&daemon, 2));
    until("it is closed", || {
        send_lines(&mut sender, 0..100);
        (daemon.count("#1 closed: lagged, RST from proxy first") > 0).then_some(())
    });
    let mut other = join(&daemon, 3);
    sender.send(b"after\n");
    assert_eq!(other.get(6), b"after\n");
}

#[test]
fn raw_bytes_are_forwarded_as_they_come() {
    let daemon = TestDaemon::start("hub 127.0.0.1:0 -v --frame raw");
    let (mut one, mut two) = (join(&daemon, 1), join(&daemon, 2));
    one.send(b"no newline");
    assert_eq!(two.get(10), b"no newline");
    let bytes: Vec<u8> = (0..400_000).map(|at: u32| (at % 251) as u8).collect();
    let sent = bytes.clone();
    let sending = std::thread::spawn(move || one.send(&sent));
    assert_eq!(two.get(bytes.len()), bytes);
    sending.join().unwrap();
}

#[test]
fn a_thousand_members_receive_each_message_and_a_storm_of_resets_leaves_nothing() {
    let _alone = alone();
    let Some(size) = room(1_000, 1) else { return };
    let daemon = TestDaemon::start("hub 127.0.0.1:0");
    let before = daemon.files();
    let mut members: Vec<TestStream> = (0..size).map(|_| daemon.client(0)).collect();
    until("all are in", || (daemon.files() >= before + size).then_some(()));
    for number in 0..3 {
        members[number].send(format!("message {number}\n").as_bytes());
        for (at, member) in members.iter_mut().enumerate() {
            if at != number {
                assert_eq!(member.get(10), format!("message {number}\n").as_bytes());
            }
        }
    }
    for (at, mut member) in members.drain(..).enumerate() {
        member.send(format!("line {at}\nand a part").as_bytes());
        member.reset();
    }
    until("all are gone", || (daemon.files() == before).then_some(()));
    assert!(daemon.dump().contains("memory: 0 buffers in use, 0 bytes unsent"));
    let (mut one, mut two) = (daemon.client(0), daemon.client(0));
    until("both are in", || (daemon.files() == before + 2).then_some(()));
    one.send(b"alive\n");
    assert_eq!(two.get(6), b"alive\n");
    two.send(b"yes\n");
    assert_eq!(one.get(4), b"yes\n");
}

#[test]
fn an_idle_member_takes_at_most_112_bytes_and_wakes_nothing() {
    let _alone = alone();
    let Some(size) = is_shipped().then(|| room(9_000, 1)).flatten() else { return };
    let daemon = TestDaemon::start("hub 127.0.0.1:0");
    let (mut first, mut second) = (daemon.client(0), daemon.client(0));
    let files = daemon.files();
    until("both are in", || (daemon.files() >= files).then_some(()));
    let all = |sender: &mut TestStream, members: &mut [TestStream]| {
        sender.send(b"to all\n");
        members.iter_mut().for_each(|member| assert_eq!(member.get(7), b"to all\n"));
    };
    std::thread::sleep(Duration::from_millis(100));
    all(&mut first, std::slice::from_mut(&mut second));
    let (files, before) = (daemon.files(), daemon.memory());
    let mut members: Vec<TestStream> = (0..size).map(|_| daemon.client(0)).collect();
    until("all are in", || (daemon.files() >= files + size).then_some(()));
    all(&mut first, &mut members);
    let bytes = (daemon.memory() - before) as f64 / size as f64;
    println!("{bytes:.1} bytes of user memory for each of {size} members");
    assert!(bytes <= 112.0, "{bytes:.1}");
    assert_eq!(daemon.sleeps_in(Duration::from_secs(2)), 0, "an idle member wakes it");
}

#[test]
fn a_stop_closes_members_at_rest_and_waits_for_those_that_are_behind() {
    let line = "hub 127.0.0.1:0 -v --drain-timeout 20s --drain-idle 200ms --hub-buffer 8M";
    let mut daemon = TestDaemon::start(line);
    let (mut at_rest, mut behind, mut sender) =
        (join(&daemon, 1), join(&daemon, 2), join(&daemon, 3));
    send_lines(&mut sender, 0..7_000);
    assert_eq!(at_rest.get(7_000 * 1_008).len(), 7_000 * 1_008);
    daemon.signal(Signal::TERM);
    assert_eq!(at_rest.rest(), b"", "it ends with a FIN");
    assert_eq!(behind.rest().len(), 7_000 * 1_008, "it receives the rest");
    assert_eq!(daemon.code(), Some(0));
    assert_eq!(daemon.last_lines().iter().filter(|line| line.contains(": drained")).count(), 3);
}

#[test]
fn bytes_that_are_followed_by_a_reset_are_delivered_if_they_are_a_message() {
    let daemon = TestDaemon::start("hub 127.0.0.1:0 -v");
    let (mut one, mut two) = (join(&daemon, 1), join(&daemon, 2));
    // What it never reads makes its close a reset.
    one.send(b"read\nunread\n");
    assert_eq!(two.get(5), b"read\n");
    two.send(b"goodbye\nand a part");
    drop(two);
    assert_eq!(one.get(8), b"goodbye\n");
    daemon.says("#2 closed: reset");
}
