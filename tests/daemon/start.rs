//! The start: all addresses or none, and a message that names the one that failed.

use std::net::{TcpListener, UdpSocket};

use rustix::process::{Resource, getrlimit};

use crate::command::{oneloop, oneloop_after, oneloop_redirected};
use crate::scratch::Scratch;
use crate::test_daemon::{TestDaemon, ended, fails, is_there};
use crate::test_stream::TestStream;
use crate::wait::until;

#[test]
fn an_address_in_use_is_named_and_leaves_nothing_behind() {
    let scratch = Scratch::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = format!("tcp://{}", taken.local_addr().unwrap());
    let line = format!("echo {} 127.0.0.1:0 {taken} udp://127.0.0.1:0", scratch.unix("x"));
    let ended = ended(oneloop(&line));
    let complaint = format!("oneloop: cannot listen on {taken}: Address already in use");
    assert_eq!(ended.code, Some(1));
    assert_eq!(ended.err.lines().last(), Some(complaint.as_str()));
    assert!(!ended.err.contains("listening on"), "{}", ended.err);
    assert!(!is_there(&scratch.path("x")), "the socket's file was left behind");
}

#[test]
fn whoever_has_the_address_is_not_disturbed_by_a_second_start() {
    let first = TestDaemon::start("echo 127.0.0.1:0 udp://127.0.0.1:0");
    let mut before = first.client(0);
    for listener in [0, 1] {
        let (code, complaint) = fails(&format!("discard {}", first.address(listener)));
        assert_eq!(code, 1);
        assert!(complaint.ends_with(": Address already in use"), "{complaint}");
    }
    before.echo(b"before");
    first.client(0).echo(b"after");
}

#[test]
fn every_address_that_cannot_be_had_is_named_with_the_reason() {
    let scratch = Scratch::new();
    std::fs::write(scratch.path("file"), "").unwrap();
    let table = [
        (scratch.unix("no/such/directory"), "No such file or directory"),
        (scratch.unix("file/x"), "Not a directory"),
        ("tcp://203.0.113.7:0".to_string(), "Cannot assign requested address"),
        ("udp://203.0.113.7:0".to_string(), "Cannot assign requested address"),
        ("tcp://no-such-name.invalid:0".to_string(), ""),
        ("unix:/proc/oneloop".to_string(), ""),
    ];
    for (address, reason) in table {
        let (code, complaint) = fails(&format!("echo {} {address}", scratch.unix("x")));
        assert_eq!(code, 1);
        let named = format!("oneloop: cannot listen on {address}: ");
        let told = complaint.strip_prefix(&named).unwrap_or_else(|| panic!("{complaint}"));
        assert!(told.starts_with(reason) && told.len() > 5, "{complaint}");
        assert!(!is_there(&scratch.path("x")), "{address}");
    }
}

#[test]
fn a_port_that_is_not_ours_to_bind_is_refused_in_the_words_of_the_system() {
    let first = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    if first.is_ok_and(|first| first.trim().parse().is_ok_and(|first: u16| first < 2)) {
        return println!("skipped: every port is everybody's here");
    }
    // A user who may bind every port first drops that capability.
    let command = match rustix::process::geteuid().is_root() {
        true => {
            let words = "setpriv --bounding-set=-net_bind_service --inh-caps=-net_bind_service";
            oneloop_after(&format!("exec {words} \"$@\";"), "echo 127.0.0.1:1")
        }
        false => oneloop("echo 127.0.0.1:1"),
    };
    let ended = ended(command);
    if ended.err.contains("setpriv") {
        return println!("skipped: capabilities cannot be dropped here: {}", ended.err);
    }
    assert_eq!(ended.code, Some(1));
    let complaint = "oneloop: cannot listen on tcp://127.0.0.1:1: Permission denied";
    assert_eq!(ended.err.lines().last(), Some(complaint));
}

#[test]
fn port_0_is_told_as_the_port_that_was_chosen() {
    let daemon = TestDaemon::start("echo 127.0.0.1:0 127.0.0.1:0 udp://127.0.0.1:0");
    assert_eq!(daemon.addresses().len(), 3);
    assert_ne!(daemon.at(0), daemon.at(1));
    for listener in [0, 1] {
        daemon.client(listener).echo(b"here");
    }
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.send_to(b"here", daemon.at(2)).unwrap();
    assert_eq!(client.recv_from(&mut [0; 9]).unwrap(), (4, daemon.at(2)));
}

#[test]
fn several_routes_share_one_loop_and_one_thread() {
    let scratch = Scratch::new();
    let line = format!(
        "run 127.0.0.1:0=echo 127.0.0.1:0=discard {}=daytime udp://127.0.0.1:0=echo",
        scratch.unix("x")
    );
    let daemon = TestDaemon::start(&line);
    daemon.client(0).echo(b"echo");
    let mut discard = daemon.client(1);
    discard.send(b"nothing comes of this");
    discard.finish();
    assert_eq!(discard.rest(), b"");
    assert!(daemon.client(2).rest().ends_with(b"-UTC\r\n"));
    assert_eq!(daemon.status("Threads:"), 1);
}

#[test]
fn the_start_tells_how_many_unsent_bytes_there_can_be() {
    // A flow holds 64 KiB at most. Pipes, between TCP sockets, hold a mebibyte if they are few.
    let piped = cfg!(not(mio_unsupported_force_poll_poll));
    for (line, most) in [
        ("echo 127.0.0.1:0 -m 8", "at most 512 KiB of unsent bytes"),
        ("echo 127.0.0.1:0 -m 100", "at most 7 MiB of unsent bytes"),
        ("discard 127.0.0.1:0 -m 100", "no unsent bytes are held"),
        ("run 127.0.0.1:0=discard 127.0.0.1:0=time -m 16", "at most 1 MiB of unsent bytes"),
        ("run 127.0.0.1:0=echo 127.0.0.1:0=relay:/x -m 16", "at most 2 MiB of unsent bytes"),
        ("relay 127.0.0.1:0 127.0.0.1:9 -m 2", ["256 KiB", "4 MiB"][usize::from(piped)]),
        // 4 large pipes, 60 smaller ones, 64 KiB for each of the 136 other flows.
        ("relay 127.0.0.1:0 127.0.0.1:9 -m 100", ["13 MiB", "28 MiB"][usize::from(piped)]),
    ] {
        let said = TestDaemon::start(line).says(" limits: ");
        assert!(said.contains(most), "{line}: {said}");
    }
}

#[test]
fn the_soft_limit_of_files_is_raised_to_the_hard_one_and_told() {
    let hard = getrlimit(Resource::Nofile).maximum;
    let daemon = TestDaemon::run(oneloop_after("ulimit -Sn 100;", "echo 127.0.0.1:0"));
    let line = daemon.says(" limits: ");
    assert!(line.ends_with(" MiB of unsent bytes") && line.contains("(raised from 100)"), "{line}");
    if let Some(hard) = hard {
        assert!(line.contains(&format!("({hard} open files ")), "{line}");
    }
}

#[test]
fn the_limits_line_says_how_its_number_of_connections_comes_about() {
    for (line, expected) in [
        ("echo 127.0.0.1:0", "at most 67 connections (100 open files, 1 each, 33 in reserve); "),
        (
            "echo 127.0.0.1:0 -m 1",
            "at most 1 connection (as given; 100 open files, 1 each, 33 in reserve); ",
        ),
        (
            "relay 127.0.0.1:0 :9",
            "at most 30 connections (100 open files, 2 each, 39 in reserve); ",
        ),
    ] {
        let line = TestDaemon::run(oneloop_after("ulimit -n 100;", line)).says(" limits: ");
        assert!(line.contains(expected), "{line}");
    }
}

#[test]
fn more_connections_than_the_files_allow_are_refused_with_the_reason() {
    let with = |line: &str| {
        let ended = ended(oneloop_after("ulimit -n 100;", line));
        assert_eq!(ended.code, Some(1), "{ended:?}");
        ended.err.lines().last().unwrap().to_string()
    };
    let scratch = Scratch::new();
    let echo = with(&format!("echo {} --max-connections 68", scratch.unix("x")));
    assert!(echo.starts_with("oneloop: 68 connections need 101 open files"), "{echo}");
    assert!(echo.ends_with("or request at most 67"), "{echo}");
    let relay = with("relay 127.0.0.1:0 127.0.0.1:1 -m 34");
    assert!(relay.contains("(2 each,") && relay.contains("ulimit -Hn"), "{relay}");
    assert!(!is_there(&scratch.path("x")));
    let none = ended(oneloop_after("ulimit -n 20;", "echo 127.0.0.1:0"));
    assert_eq!(none.code, Some(1), "{none:?}");
    TestDaemon::run(oneloop_after("ulimit -n 100;", "echo 127.0.0.1:0 -m 67"))
        .client(0)
        .echo(b"fits");
}

#[test]
fn the_doctor_promises_what_the_daemon_grants() {
    for files in [100, 512, 1024] {
        let after = format!("ulimit -n {files};");
        let report = ended(oneloop_after(&after, "doctor --json")).out;
        for (role, line) in
            [("server", "echo 127.0.0.1:0"), ("relay", "relay 127.0.0.1:0 127.0.0.1:1")]
        {
            let (_, rest) =
                report.split_once(&format!("\"role\": \"{role}\", \"holds\": ")).unwrap();
            let holds: usize = rest.split(',').next().unwrap().parse().unwrap();
            let more = ended(oneloop_after(&after, &format!("{line} -m {}", holds + 1)));
            assert!(more.err.contains(&format!("or request at most {holds}")), "{more:?}");
            let words = more.err.split("ulimit -Hn ").nth(1).unwrap();
            let needed: usize = words.split(',').next().unwrap().parse().unwrap();
            TestDaemon::run(oneloop_after(&after, &format!("{line} -m {holds}")));
            let after = format!("ulimit -n {needed};");
            TestDaemon::run(oneloop_after(&after, &format!("{line} -m {}", holds + 1)));
        }
    }
}

#[test]
fn a_start_without_standard_descriptors_serves_and_says_nothing_to_its_clients() {
    let scratch = Scratch::new();
    let line = format!("echo {} -vv", scratch.unix("x"));
    let child = oneloop_redirected("", &line, "<&- >&- 2>&-").spawn().unwrap();
    let daemon = TestDaemon::silent(child, line);
    let mut clients: Vec<TestStream> = Vec::new();
    for _ in 0..5 {
        let client = until("it serves", || TestStream::try_connect(&scratch.unix("x")).ok());
        clients.push(client);
    }
    for client in &mut clients {
        client.echo(b"only this comes back");
        client.finish();
        assert_eq!(client.rest(), b"");
    }
    for number in 0..3 {
        let file = std::fs::read_link(format!("/proc/{}/fd/{number}", daemon.pid())).unwrap();
        assert_eq!(file.to_str(), Some("/dev/null"));
    }
}

#[test]
fn a_relay_to_its_own_listener_is_refused_however_it_is_written() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let scratch = Scratch::new();
    let path = scratch.unix("x");
    for (listen, target) in [
        (format!("127.0.0.1:{port}"), format!("127.0.0.1:{port}")),
        (format!("127.0.0.1:{port}"), format!("localhost:{port}")),
        (format!(":{port}"), format!("[::1]:{port}")),
        (format!("localhost:{port}"), format!("127.0.0.1:{port}")),
        (format!("udp://:{port}"), format!("udp://127.0.0.1:{port}")),
        (path.clone(), path),
    ] {
        let (code, complaint) = fails(&format!("relay {listen} {target}"));
        assert_eq!(code, 2, "{complaint}");
        assert!(complaint.contains("bad target: "), "{complaint}");
    }
    let ring = format!("run :{port}=relay:/tmp/ring /tmp/ring=relay:127.0.0.1:{port}");
    assert!(fails(&ring).1.contains("would connect to itself through other routes"));
}

#[test]
fn a_relay_to_an_address_of_this_machine_that_it_listens_at_itself_is_refused() {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    // Nothing is sent by this: it only asks which of our addresses would be the source.
    let route = socket.connect("192.0.2.1:9").and_then(|()| socket.local_addr());
    let Some(own) = route.ok().map(|own| own.ip()).filter(|own| !own.is_loopback()) else {
        return println!("skipped: this machine has no address but the loopback");
    };
    let refusal = until("a port that nobody else takes meanwhile", || {
        let port = TcpListener::bind((own, 0)).unwrap().local_addr().unwrap().port();
        let refusal = fails(&format!("relay :{port} {own}:{port}"));
        (!refusal.1.ends_with("already in use")).then_some(refusal)
    });
    assert_eq!(refusal.0, 1);
    assert!(refusal.1.contains("would connect to itself"), "{}", refusal.1);
}

#[test]
fn none_of_its_descriptors_would_pass_to_another_program() {
    let scratch = Scratch::new();
    let line = format!("run {}=echo udp://127.0.0.1:0=echo 127.0.0.1:0=relay:localhost:1", {
        scratch.unix("x")
    });
    let daemon = TestDaemon::start(&line);
    let _client = daemon.client(0);
    daemon.resets(2);
    let mut checked = 0;
    for number in daemon.descriptors() {
        let of = |what: &str| format!("/proc/{}/{what}/{number}", daemon.pid());
        let file = std::fs::read_link(of("fd")).unwrap();
        // Inherited descriptors belong to other processes.
        if file.to_string_lossy().starts_with("socket:") || file.ends_with("anon_inode:[eventpoll]")
        {
            let info = std::fs::read_to_string(of("fdinfo")).unwrap();
            let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).unwrap();
            let flags = u32::from_str_radix(flags.trim(), 8).unwrap();
            assert!(flags & 0o2_000_000 != 0, "descriptor {number}: {flags:o}");
            checked += 1;
        }
    }
    assert!(checked >= 6, "{checked}");
}
