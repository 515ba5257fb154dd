//! At the limit of files or of connections: new clients wait in the accept queue, open connections
//! continue, nothing spins, and accepting resumes by itself.

use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

use crate::command::oneloop_after;
use crate::scratch::Scratch;
use crate::target::Target;
use crate::test_daemon::{TestDaemon, ended};
use crate::test_stream::TestStream;
use crate::wait::until;

/// Sets the limit of open files of a daemon so that it can open exactly this many more.
pub fn leave(daemon: &TestDaemon, more: usize) {
    // The lowest free descriptor is used, and the limit is one above the highest.
    let open = daemon.descriptors();
    let free = (0..).filter(|number| !open.contains(number)).nth(more).unwrap();
    let maximum = getrlimit(Resource::Nofile).maximum;
    set_files(daemon, Rlimit { current: Some(free), maximum });
}

fn set_files(daemon: &TestDaemon, limit: Rlimit) {
    let pid = Pid::from_raw(daemon.pid() as i32);
    prlimit(pid, Resource::Nofile, limit).unwrap();
}

/// A client in the accept queue: it has sent data and received nothing.
fn waiting(daemon: &TestDaemon, bytes: &[u8]) -> TestStream {
    let mut client = daemon.client(0);
    client.send(bytes);
    client
}

#[test]
fn without_descriptors_accepting_pauses_and_resumes_by_itself() {
    let daemon = TestDaemon::start("echo 127.0.0.1:0 -v");
    let limit = getrlimit(Resource::Nofile);
    let mut inside = daemon.client(0);
    inside.echo(b"in");
    leave(&daemon, 2);
    let mut two: Vec<TestStream> = (0..2).map(|_| daemon.client(0)).collect();
    two.iter_mut().for_each(|client| client.echo(b"in too"));
    let mut waiting: Vec<TestStream> = (0..20).map(|_| waiting(&daemon, b"patience")).collect();
    let line = daemon.says("accept paused on tcp://");
    assert!(line.ends_with(": Too many open files (3 open)"), "{line}");
    // Open connections continue; the pause costs almost no CPU time.
    inside.echo(&[7; 100_000]);
    assert!(daemon.cpu_in_a_second() < Duration::from_millis(200));
    (0..100).for_each(|_| inside.echo(b"at full speed"));
    // It is logged once, however often accepting is retried.
    assert_eq!(daemon.count("accept paused"), 1);
    set_files(&daemon, limit);
    for client in &mut waiting {
        assert_eq!(client.get(8), b"patience");
    }
    daemon.says("accept resumed on tcp://");
}

#[test]
fn whoever_leaves_makes_room_for_one_who_waits() {
    let daemon = TestDaemon::start("echo 127.0.0.1:0 -v");
    daemon.client(0).echo(b"first");
    daemon.says("closed: finished");
    leave(&daemon, 1);
    let mut inside = daemon.client(0);
    inside.echo(b"in");
    let mut waiting: Vec<TestStream> = (0..3).map(|_| waiting(&daemon, b"next")).collect();
    daemon.says("accept paused");
    // Each close lets exactly one client in, and the pause continues.
    for client in &mut waiting {
        inside.finish();
        assert_eq!(inside.rest(), b"");
        assert_eq!(client.get(4), b"next");
        inside = client.duplicate();
    }
}

#[test]
fn the_limit_of_connections_is_kept_and_each_that_leaves_lets_one_in() {
    let daemon = TestDaemon::start("echo 127.0.0.1:0 -v --max-connections 3");
    let mut inside: Vec<TestStream> = (0..3).map(|_| daemon.client(0)).collect();
    inside.iter_mut().for_each(|client| client.echo(b"in"));
    let outside: Vec<TestStream> = (0..5).map(|_| waiting(&daemon, b"wait")).collect();
    let line = daemon.says("accept paused on tcp://");
    assert!(line.ends_with(": connection limit reached (3 open)"), "{line}");
    assert!(daemon.cpu_in_a_second() < Duration::from_millis(200));
    inside.iter_mut().for_each(|client| client.echo(b"still in"));
    assert_eq!(daemon.count(" opened: "), 3);
    for mut client in outside {
        let mut first = inside.remove(0);
        first.finish();
        assert_eq!(first.rest(), b"");
        assert_eq!(client.get(4), b"wait");
        client.echo(b"in at last");
        inside.push(client);
    }
    daemon.says_often(8, " opened: ");
    assert_eq!(daemon.count(" opened: "), 8);
}

#[test]
fn the_limit_is_one_for_all_listeners_and_each_listener_resumes() {
    let daemon = TestDaemon::start("run 127.0.0.1:0=echo 127.0.0.1:0=echo -m 1");
    let mut first = daemon.client(0);
    first.echo(b"in");
    let mut second = daemon.client(1);
    second.send(b"second port");
    daemon.says("accept paused on ");
    let mut third = daemon.client(0);
    third.send(b"first port");
    first.finish();
    assert_eq!(first.rest(), b"");
    // In either order.
    until("one of them", || second.peek().or(third.peek()));
    let (mut now, mut then, said) = match second.peek() {
        Some(()) => (second, third, "second port"),
        None => (third, second, "first port"),
    };
    assert_eq!(now.get(said.len()), said.as_bytes());
    assert!(then.peek().is_none());
    drop(now);
    then.finish();
    assert!(then.rest().ends_with(b" port"));
}

#[test]
fn a_relay_without_a_descriptor_for_its_target_resets_the_client_and_goes_on() {
    let target = Target::tcp();
    let daemon = TestDaemon::start(&format!("relay 127.0.0.1:0 {} -v", target.address()));
    let limit = getrlimit(Resource::Nofile);
    let mut inside = daemon.client(0);
    let mut other = target.accept();
    leave(&daemon, 1);
    for round in 1..=3 {
        daemon.resets(0);
        daemon.says_often(round, "closed: exhausted (Too many open files), RST from proxy first");
    }
    inside.send(b"goes on");
    assert_eq!(other.get(7), b"goes on");
    set_files(&daemon, limit);
    let mut client = daemon.client(0);
    client.send(b"again");
    assert_eq!(target.accept().get(5), b"again");
}

#[test]
fn a_lack_of_descriptors_does_not_condemn_the_other_targets() {
    // No other target would succeed either, so none is tried, and none counts as failed.
    let targets = [Target::tcp(), Target::tcp()];
    let line = format!("relay 127.0.0.1:0 {} {} -v", targets[0].address(), targets[1].address());
    let daemon = TestDaemon::start(&line);
    leave(&daemon, 1);
    daemon.resets(0);
    daemon.says("closed: exhausted");
    assert_eq!(daemon.count(" dialing "), 1);
}

#[test]
fn the_default_limit_leaves_room_for_upkeep_when_all_connections_are_taken() {
    let target = Target::tcp();
    let line = format!("relay 127.0.0.1:0 localhost:{} -v", port(&target));
    let daemon = TestDaemon::run(oneloop_after("ulimit -n 80;", &line));
    let line = daemon.says(" limits: ");
    let most: usize =
        line.split("at most ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
    // 33 descriptors are reserved, and 5 are for the pipes of a bulk transfer.
    assert_eq!(most, (80 - 33 - 5) / 2);
    let mut pairs: Vec<(TestStream, TestStream)> =
        (0..most).map(|_| (daemon.client(0), target.accept())).collect();
    for (client, other) in &mut pairs {
        client.send(b"all of them");
        assert_eq!(other.get(11), b"all of them");
    }
    let late = waiting(&daemon, b"late");
    daemon.says("connection limit reached");
    assert_eq!(daemon.count("Too many open files"), 0);
    pairs.pop();
    assert_eq!(target.accept().get(4), b"late");
    late.finish();
}

fn port(target: &Target) -> String {
    target.address().rsplit(':').next().unwrap().to_string()
}

#[test]
fn without_ports_for_its_targets_a_relay_ends_those_clients_and_goes_on() {
    // In a network namespace with two ephemeral ports.
    let range = "/proc/sys/net/ipv4/ip_local_port_range";
    let script = format!("ip link set lo up && echo 40000 40001 > {range} && exec \"$@\"");
    let words = format!("exec unshare -rn sh -c '{script}' sh \"$@\";");
    let may = ended(oneloop_after(&words, "--version"));
    if may.code != Some(0) {
        return println!("skipped: {}", may.err.trim());
    }
    let scratch = Scratch::new();
    let line = format!("run {}=relay:127.0.0.1:7007 127.0.0.1:7007=echo -v", scratch.unix("x"));
    let daemon = TestDaemon::run(oneloop_after(&words, &line));
    let mut two = [daemon.client(0), daemon.client(0)];
    two.iter_mut().for_each(|client| client.echo(b"a port each"));
    for round in 1..=3 {
        assert_eq!(daemon.client(0).ending().0, b"");
        daemon.says_often(round, "closed: exhausted (Cannot assign requested address)");
    }
    assert!(daemon.cpu_in_a_second() < Duration::from_millis(200));
    two.iter_mut().for_each(|client| client.echo(b"go on"));
}
