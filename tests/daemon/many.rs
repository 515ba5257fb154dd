//! Many idle connections: they cost almost no memory, no wake-up and no CPU time.

use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::test_daemon::TestDaemon;
use crate::test_stream::TestStream;
use crate::wait::until;

/// The number of connections, if the limit of open files allows them.
const MANY: usize = 10_000;

/// The least number of connections with which the tests run.
const FEW: usize = 1_000;

/// Descriptors left for the other tests of this process, and for the daemon itself.
const RESERVE: usize = 1_500;

/// One crowd at a time, because all share the descriptors of this process.
pub fn alone() -> MutexGuard<'static, ()> {
    static CROWD: Mutex<()> = Mutex::new(());
    CROWD.lock().unwrap_or_else(|poison| poison.into_inner())
}

/// Returns how many connections are possible with `each` descriptors per connection in the daemon.
pub fn room(wanted: usize, each: usize) -> Option<usize> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let files = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    let files = files.map_or(usize::MAX, |files| files as usize);
    let room = wanted.min(files.saturating_sub(RESERVE) / each);
    match room {
        FEW.. => {
            if room < wanted {
                println!("only {room} of {wanted}: the limit of files is {files}");
            }
            Some(room)
        }
        _ => {
            println!("skipped: the limit of files is {files}");
            None
        }
    }
}

/// Connects `size` clients. The kernel chooses each local port: an explicit bind would take the
/// port from all other connections of the machine.
fn crowd(daemon: &TestDaemon, size: usize) -> Vec<TestStream> {
    (0..size).map(|_| daemon.client(0)).collect()
}

/// Waits until the daemon has `files` descriptors for connections.
fn settle(daemon: &TestDaemon, files: usize) {
    until("all are in", || (daemon.files() >= files).then_some(()));
}

#[test]
fn ten_thousand_idle_connections_cost_nothing_while_an_echo_runs_through_them() {
    let _alone = alone();
    let Some(size) = room(MANY, 1) else { return };
    let daemon = TestDaemon::start("echo 127.0.0.1:0");
    let before = daemon.files();
    let mut clients = crowd(&daemon, size);
    settle(&daemon, before + size);
    // One in a hundred sends a message; then all are idle.
    clients.iter_mut().step_by(100).for_each(|client| client.echo(b"here"));
    let cpu = daemon.cpu();
    assert_eq!(daemon.sleeps_in(Duration::from_secs(5)), 0, "somebody wakes it");
    assert!(daemon.cpu() - cpu <= Duration::from_millis(100), "it does not rest");
    let busy = &mut clients[size / 2];
    (0..1000).for_each(|_| busy.echo(b"through all of them"));
    assert!(daemon.dump().contains("memory: 0 buffers in use, 0 bytes unsent"));
    // The last client is served like the first.
    clients[0].echo(b"first");
    clients[size - 1].echo(b"last");
    drop(clients);
    until("all are gone", || (daemon.files() == before).then_some(()));
    daemon.client(0).echo(b"and the next one");
}

/// The memory promise is for release builds on epoll.
pub fn is_shipped() -> bool {
    if cfg!(debug_assertions) {
        println!("skipped: debug builds need more memory (cargo test --release)");
    } else if cfg!(mio_unsupported_force_poll_poll) {
        println!("skipped: poll(2) needs a list of all sockets in user memory");
    }
    !cfg!(debug_assertions) && !cfg!(mio_unsupported_force_poll_poll)
}

#[test]
fn it_starts_with_little_memory() {
    if !is_shipped() {
        return;
    }
    let daemon = TestDaemon::start("echo 127.0.0.1:0");
    let [resident, anonymous] = ["VmRSS", "RssAnon"].map(|name| daemon.status(name));
    println!("{resident} kB resident at start, {anonymous} kB of it anonymous");
    assert!(anonymous <= 600, "{anonymous} kB");
    // The others are file pages, mapped at least 64 KiB at a time around each executed address. How
    // many that are depends on the page cache: a fresh copy of the program had a fifth more.
    let most = if cfg!(target_feature = "crt-static") { 6_000 } else { 8_000 };
    assert!(resident <= most, "{resident} kB");
}

/// Returns the bytes of user memory per idle connection.
fn bytes_each(daemon: &TestDaemon, size: usize, each: usize) -> f64 {
    // The first connection pays for everything that is allocated once.
    daemon.client(0).echo(b"warm");
    until("it is alone", || daemon.dump().contains("0 bytes unsent").then_some(()));
    let (files, before) = (daemon.files(), daemon.memory());
    let mut clients = crowd(daemon, size);
    settle(daemon, files + (size - 1) * each);
    clients.iter_mut().for_each(|client| client.echo(b"all have spoken once"));
    let grown = daemon.memory() - before;
    let bytes = grown as f64 / size as f64;
    println!("{bytes:.1} bytes of user memory for each of {size}");
    bytes
}

#[test]
fn an_idle_echo_takes_at_most_100_bytes() {
    let _alone = alone();
    let Some(size) = is_shipped().then(|| room(9_000, 1)).flatten() else { return };
    let daemon = TestDaemon::start("echo 127.0.0.1:0");
    let bytes = bytes_each(&daemon, size, 1);
    assert!(bytes <= 100.0, "{bytes:.1}");
}

#[test]
fn an_idle_relayed_pair_takes_at_most_110_bytes() {
    let _alone = alone();
    let Some(size) = is_shipped().then(|| room(9_000, 2)).flatten() else { return };
    let backend = TestDaemon::start("echo 127.0.0.1:0");
    let daemon = TestDaemon::start(&format!("relay 127.0.0.1:0 {}", backend.address(0)));
    let bytes = bytes_each(&daemon, size, 2);
    assert!(bytes <= 110.0, "{bytes:.1}");
}

#[test]
fn idle_relayed_pairs_wake_nobody() {
    let _alone = alone();
    let Some(size) = room(2_000, 2) else { return };
    let backend = TestDaemon::start("echo 127.0.0.1:0");
    // The deadline of each connection attempt is checked once, when it is due.
    let line = format!("relay 127.0.0.1:0 {} --connect-timeout 100ms", backend.address(0));
    let daemon = TestDaemon::start(&line);
    let files = daemon.files();
    let mut clients = crowd(&daemon, size);
    settle(&daemon, files + size * 2);
    clients.iter_mut().step_by(100).for_each(|client| client.echo(b"here"));
    until("no deadline is left", || daemon.dump().contains("timers: 0 deadlines").then_some(()));
    assert_eq!(daemon.sleeps_in(Duration::from_secs(2)), 0, "somebody wakes it");
}
