//! docs/events.md and the binary: each example line on the page must come out of a real run.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use rustix::process::Signal;

use crate::command::{oneloop, oneloop_after};
use crate::datagrams;
use crate::pattern::byte;
use crate::relay::{RelayedPair, pair};
use crate::scratch::Scratch;
use crate::target::{RefusingAddress, Target};
use crate::test_daemon::TestDaemon;
use crate::test_stream::TestStream;
use crate::wait::until;

/// Lines that no test can provoke reliably. Only tests/events.rs checks them.
const RARE: [&str; 8] = [
    // The machine must be slow in the right moment: tests/trace/slow.rs makes a loop slow.
    "TRACE turn 812 took ",
    // The log has no payload. Traces of recordings with payload have this line.
    "TRACE #1207.a payload recorded, ",
    // The client must leave between the event and accept(2).
    "DEBUG accept failed on ",
    // A late event and an interrupted call depend on microseconds.
    "TRACE #1207.a stale event ignored",
    "TRACE #1207.a interrupted",
    // It replaces single steps while no observer wants them, and then steps are not logged.
    "TRACE loop received ",
    // A source port below 1024 needs privileges.
    "WARN  udp://127.0.0.1:7007 dropped a datagram of ",
    // The text comes from the system's resolver and depends on the network.
    "WARN  cannot resolve ",
];

#[test]
fn every_line_on_the_page_about_events_comes_out_of_a_real_run() {
    let mut real = BTreeSet::new();
    for lines in [
        services(),
        relay(),
        full(),
        timed(),
        stop(),
        targets(),
        hub(),
        datagram_relay(),
        operator(),
        reload(),
    ] {
        for line in lines {
            let Some((_, line)) = line.split_once("Z ") else { continue };
            real.insert(shape(line));
            if let Some((line, _)) = line.split_once(" -- ") {
                real.insert(shape(line));
            }
        }
    }
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/events.md");
    let page = fs::read_to_string(page).unwrap();
    let levels = ["WARN  ", "INFO  ", "DEBUG ", "TRACE "];
    let examples = page.lines().filter(|line| levels.iter().any(|level| line.starts_with(level)));
    let examples: Vec<&str> = examples.collect();
    assert!(examples.len() > 45, "only {} examples found", examples.len());
    for rare in RARE {
        assert!(examples.iter().any(|line| line.starts_with(rare)), "not on the page: {rare}");
    }
    let is_rare = |line: &&str| RARE.iter().any(|rare| line.starts_with(rare));
    let missing = examples.iter().filter(|line| !is_rare(line) && !real.contains(&shape(line)));
    let missing: Vec<String> =
        missing.map(|line| format!("{line}\n    as {}", shape(line))).collect();
    assert!(missing.is_empty(), "never printed:\n{}", missing.join("\n"));
}

/// Replaces everything that differs between runs: numbers, addresses, ends, readiness.
fn shape(line: &str) -> String {
    let mut words: Vec<String> = Vec::new();
    // A dump may show an end before its first event.
    let line = line.replace(" not ready", " readable");
    for word in line.split_whitespace() {
        let core = word.trim_end_matches([':', ',', ')', ';']);
        let tail = &word[core.len()..];
        let open = if core.starts_with('(') { "(" } else { "" };
        let core = &core[open.len()..];
        let before = words.last().map(String::as_str).unwrap_or_default();
        let shape = if core.contains("://") || core.starts_with("unix:") || is_peer(core) {
            "ADDRESS"
        } else if core.starts_with('/') {
            "PATH"
        } else if let Some(rest) = core.strip_prefix('#') {
            if rest.contains('.') { "#N.E" } else { "#N" }
        } else if core.starts_with(|c: char| c.is_ascii_digit()) {
            "N"
        } else if core.split('+').all(|bit| matches!(bit, "readable" | "writable")) {
            "READY"
        } else if before.ends_with('N') {
            // Singular and plural count as the same.
            match core {
                "address" | "addresses" => "address",
                _ => core.strip_suffix('s').filter(|one| one.len() > 2).unwrap_or(core),
            }
        } else if before == "resolved" {
            "NAME"
        } else {
            core
        };
        words.push(format!("{open}{shape}{tail}"));
    }
    words.join(" ")
}

fn is_peer(word: &str) -> bool {
    word.parse::<std::net::SocketAddr>().is_ok()
}

/// Stops a daemon and returns its log.
fn ended(mut daemon: TestDaemon) -> Vec<String> {
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.code(), Some(0));
    daemon.last_lines()
}

/// Sends messages to an echo without reading, until the daemon has unsent bytes. Returns the bytes
/// sent. Each message is read before the next is sent: several read together would count as a bulk
/// transfer.
fn fill(client: &mut TestStream, daemon: &TestDaemon) -> usize {
    let read = |lines: &[String]| -> usize {
        let sizes = lines.iter().filter_map(|line| line.split_once("#1.a read "));
        sizes.filter_map(|(_, size)| size.split(' ').next()?.parse::<usize>().ok()).sum()
    };
    let before = read(&daemon.lines());
    let mut sent = 0;
    loop {
        client.send(&[1; 12_000]);
        sent += 12_000;
        let is_full = until("the message is read", || {
            let lines = daemon.lines();
            let is_full = lines.iter().any(|line| line.contains(".a write would block, "));
            (is_full || read(&lines) == before + sent).then_some(is_full)
        });
        if is_full {
            return sent;
        }
    }
}

/// Services and their clients, with explanations.
fn services() -> Vec<String> {
    let line = "run 127.0.0.1:0=echo 127.0.0.1:0=discard -vv --explain=always";
    let daemon = TestDaemon::start(line);
    let mut client = daemon.client(0);
    client.echo(b"hello");
    daemon.says("#1.a read 5");
    let sent = fill(&mut client, &daemon);
    // The first one sets the readable bit; the second switches read interest off.
    let mut more = 0;
    while !daemon.lines().iter().any(|line| line.contains(".a read interest off")) {
        client.send(b"more");
        more += 4;
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(client.get(sent + more).len(), sent + more);
    client.finish();
    assert_eq!(client.rest(), b"");
    let mut discarded = daemon.client(1);
    discarded.send(b"hello");
    discarded.finish();
    assert_eq!(discarded.rest(), b"");
    let mut lines = ended(daemon);
    // The socket accepts more than the budget of one turn.
    let daemon = TestDaemon::start("chargen 127.0.0.1:0 -vv");
    let client = daemon.client(0);
    daemon.says(" budget used up after ");
    client.reset();
    lines.extend(ended(daemon));
    let daemon = TestDaemon::start("greet 127.0.0.1:0 --text hello --read-one");
    let mut client = daemon.client(0);
    client.send(b"hello\n");
    assert_eq!(client.rest(), b"hello");
    daemon.says(" message ");
    lines.extend(ended(daemon));
    lines
}

/// A relay with a stall, a bulk, and a client that closes early; and totals of one of each.
fn relay() -> Vec<String> {
    let RelayedPair { mut client, mut target, relay } = pair(("tcp", "unix"), "");
    let sent = client.flood(&relay.daemon, |at| byte(1, at));
    relay.daemon.says(" stalled: ");
    assert_eq!(target.get(sent).len(), sent);
    relay.daemon.says(" resumed after ");
    drop((client, target));
    let mut lines = ended(relay.daemon);

    let RelayedPair { mut client, mut target, relay } = pair(("tcp", "tcp"), "-v");
    let sending = std::thread::spawn(move || {
        client.send(&vec![1; 100_000_000]);
        client.finish();
        client
    });
    assert_eq!(target.rest().len(), 100_000_000);
    drop(target);
    assert_eq!(sending.join().unwrap().rest(), b"");
    relay.daemon.says("#1 closed: ");
    let client = relay.daemon.client(0);
    let mut target = relay.listener.accept();
    drop(client);
    relay.daemon.says("#2.a end of file");
    target.send(b"too late");
    relay.daemon.says("#2.b read 8");
    // The RST may arrive after the next write.
    let _ = std::io::Write::write_all(&mut target, b"too late");
    relay.daemon.says("#2 closed: client closed without waiting");
    let client = relay.daemon.client(0);
    let target = relay.listener.accept();
    relay.daemon.says("#3.b connected");
    relay.daemon.dump();
    relay.daemon.says("#3 127.0.0.1:");
    drop((client, target));
    lines.extend(ended(relay.daemon));
    lines
}

/// Limits that are reached: the connection limit and the open-file limit.
fn full() -> Vec<String> {
    let daemon = TestDaemon::start("echo 127.0.0.1:0 -m 1");
    let mut first = daemon.client(0);
    first.echo(b"hello");
    let mut second = daemon.client(0);
    second.send(b"hello");
    daemon.says("accept paused");
    drop(first);
    assert_eq!(second.get(5), b"hello");
    daemon.says("accept resumed");
    let mut lines = ended(daemon);
    let daemon = TestDaemon::run(oneloop_after("ulimit -n 60;", "echo 127.0.0.1:0"));
    // No lower than what is open: poll(2) refuses to watch more files than the limit.
    let open = daemon.descriptors().into_iter().filter(|number| *number < 60).max().unwrap() + 1;
    let limit = rustix::process::Rlimit { current: Some(open), maximum: Some(60) };
    let pid = rustix::process::Pid::from_raw(daemon.pid() as i32);
    rustix::process::prlimit(pid, rustix::process::Resource::Nofile, limit).unwrap();
    let _clients: Vec<TestStream> = (0..10).map(|_| daemon.client(0)).collect();
    daemon.says("accept paused");
    lines.extend(ended(daemon));
    lines
}

/// An idle timeout that is postponed, and expires.
fn timed() -> Vec<String> {
    let daemon = TestDaemon::start("echo 127.0.0.1:0 -vv --idle-timeout 500ms");
    let mut client = daemon.client(0);
    std::thread::sleep(Duration::from_millis(200));
    client.echo(b"hello");
    assert_eq!(client.rest(), b"");
    ended(daemon)
}

/// An operator who looks, pauses, and once forgets the token.
fn operator() -> Vec<String> {
    const TOKEN: &str = "0123456789abcdef0123456789abcdef";
    let scratch = Scratch::new();
    let token = scratch.path("token");
    fs::write(&token, TOKEN).unwrap();
    fs::set_permissions(&token, fs::Permissions::from_mode(0o600)).unwrap();
    let options = format!("--admin 127.0.0.1:0 --admin-token-file {}", token.display());
    let daemon = TestDaemon::start(&format!("echo 127.0.0.1:0 -v --explain {options}"));
    let header = format!("Authorization: Bearer {TOKEN}\r\n");
    for (request, header, status) in [
        ("GET /connections", "", "200"),
        ("POST /pause", &*header, "200"),
        ("POST /drain", "", "401"),
    ] {
        let mut client = daemon.client(1);
        client.send(format!("{request} HTTP/1.0\r\n{header}\r\n").as_bytes());
        let answer = String::from_utf8(client.rest()).unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request}: {answer}");
    }
    ended(daemon)
}

/// A reload that is applied, and one that is not.
fn reload() -> Vec<String> {
    let scratch = Scratch::new();
    let file = scratch.path("oneloop.toml");
    let route =
        |name: &str, listen: &str| format!("[route.{name}]\nlisten = \"{listen}\"\necho = true\n");
    fs::write(&file, route("a", "127.0.0.1:0")).unwrap();
    let daemon = TestDaemon::start(&format!("serve -c {}", file.display()));
    fs::write(&file, route("a", "127.0.0.2:0")).unwrap();
    daemon.signal(Signal::HUP);
    daemon.says(" reloaded: 1 added, 0 changed, 1 removed, ");
    fs::write(&file, route("a", ":7007") + &route("b", ":7007")).unwrap();
    daemon.signal(Signal::HUP);
    daemon.says(" not reloaded: ");
    ended(daemon)
}

/// A stop with a connection that does not finish.
fn stop() -> Vec<String> {
    let daemon = TestDaemon::start("echo 127.0.0.1:0 --drain-timeout 100ms");
    let mut client = daemon.client(0);
    client.flood(&daemon, |at| byte(1, at));
    daemon.dump();
    daemon.says("memory: 1 buffer");
    ended(daemon)
}

/// Targets that fail, and a host name.
fn targets() -> Vec<String> {
    let (refusing, target) = (RefusingAddress::new(), Target::tcp());
    let line = format!("relay 127.0.0.1:0 {} {} -v", refusing.address(), target.address());
    let daemon = TestDaemon::start(&line);
    let _client = daemon.client(0);
    let _accepted = target.accept();
    let mut lines = ended(daemon);
    let daemon = TestDaemon::start(&format!("relay 127.0.0.1:0 {}", refusing.address()));
    daemon.resets(0);
    lines.extend(ended(daemon));
    let (_, port) =
        target.address().rsplit_once(':').map(|(_, port)| ((), port.to_owned())).unwrap();
    let daemon = TestDaemon::run(oneloop(&format!("relay 127.0.0.1:0 localhost:{port} -v")));
    let _client: TestStream = daemon.client(0);
    let _accepted = target.accept();
    lines.extend(ended(daemon));
    lines
}

/// A member of a hub that reads too slowly, and one that ends in the middle of a message.
fn hub() -> Vec<String> {
    let daemon = TestDaemon::start("hub 127.0.0.1:0 -v --frame len32 --hub-buffer 80k");
    let (_silent, mut loud) = (daemon.client(0), daemon.client(0));
    daemon.says("#2 opened");
    let message = [&60_000_u32.to_be_bytes()[..], &[b'x'; 60_000]].concat();
    // The silent member accepts some, misses the others, and reads no more.
    (0..200).for_each(|_| loud.send(&message));
    loud.send(&message[..100]);
    loud.finish();
    daemon.says(" ended in a message");
    let mut silent = _silent;
    until("it reads again", || {
        silent.get(1000);
        (daemon.count(" missed ") > 0).then_some(())
    });
    ended(daemon)
}

/// Datagrams: answered, relayed, and refused.
fn datagram_relay() -> Vec<String> {
    let daemon = TestDaemon::start("echo udp://127.0.0.1:0 -vv");
    let client = datagrams::client();
    client.send_to(b"hello", daemon.at(0)).unwrap();
    assert_eq!(datagrams::receive(&client).0, b"hello");
    let mut lines = ended(daemon);
    let target = datagrams::client();
    let refusing = target.local_addr().unwrap();
    let line = format!("relay udp://127.0.0.1:0 udp://{refusing} -vv --udp-timeout 1s");
    let daemon = TestDaemon::start(&line);
    drop(target);
    while daemon.count("dropped an earlier datagram") == 0 {
        client.send_to(b"hello", daemon.at(0)).unwrap();
    }
    daemon.says(" closed: idle-timeout, ");
    lines.extend(ended(daemon));
    lines
}
