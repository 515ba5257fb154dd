//! Looking disturbs nobody: while clients list all connections again and again and viewers read no
//! event, every byte is echoed, probes are answered, and memory stays bounded.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use serde_json::Value;

use crate::http::{Http, get};
use crate::test_daemon::TestDaemon;
use crate::test_stream::TestStream;

const IDLE: usize = 300;
const ECHOING: usize = 50;

/// Lists that each client must have received before the test ends.
const LISTS: usize = 5;

/// Connections that come and go in each round. Each makes some events.
const BRIEF: usize = 150;

/// Rounds of messages at least. The sockets of viewers hold some megabytes of events that nobody
/// reads; those of so many connections are more, so a daemon that kept them would exceed the bound.
const ROUNDS: usize = 150;

/// Maximum growth of the memory of the daemon.
const MEMORY: u64 = 3 * 1024 * 1024;

/// What the threads share.
#[derive(Default)]
struct Shared {
    is_over: AtomicBool,
    /// Lists received by each client.
    lists: [AtomicUsize; 2],
}

#[test]
fn a_long_list_is_produced_over_many_turns() {
    const CONNECTIONS: usize = 800;
    let daemon = TestDaemon::start("echo 127.0.0.1:0 --admin 127.0.0.1:0");
    let mut clients: Vec<TestStream> = (0..CONNECTIONS).map(|_| daemon.client(0)).collect();
    clients.iter_mut().for_each(|client| client.echo(b"hello"));
    let mut admin = Http::connect(&daemon, 1);
    let mut turns = || admin.get("/loop").json()["turns"].as_u64().unwrap();
    let before = turns();
    let asked = turns() - before;
    let list = get(&daemon, 1, "/connections").json();
    assert_eq!(ids(&list).len(), CONNECTIONS);
    // A part is eight rows. However fast the machine, few of a hundred parts fit into one turn.
    let took = turns() - before - asked;
    assert!(took >= 12, "{took} turns");
}

#[test]
fn lists_and_viewers_that_do_not_read_disturb_no_echo_and_no_probe() {
    let daemon = TestDaemon::start("echo 127.0.0.1:0 --admin 127.0.0.1:0");
    let mut idle: Vec<TestStream> = (0..IDLE).map(|_| daemon.client(0)).collect();
    idle.iter_mut().for_each(|client| client.echo(b"hello"));
    let ids = ids(&get(&daemon, 1, "/connections").json());
    assert_eq!(ids.len(), IDLE);
    let mut echoing: Vec<TestStream> = (0..ECHOING).map(|_| daemon.client(0)).collect();
    let mut probe = Http::connect(&daemon, 1);
    let _unread = [viewer(&daemon), viewer(&daemon)];
    let before = daemon.memory();
    let shared = Shared::default();
    thread::scope(|scope| {
        let start = |client: usize| {
            let (daemon, shared, ids) = (&daemon, &shared, &ids);
            scope.spawn(move || list(daemon, shared, client, ids))
        };
        let listers = [start(0), start(1)];
        let _over = Over(&shared.is_over);
        let is_behind = || shared.lists.iter().any(|lists| lists.load(Ordering::SeqCst) < LISTS);
        let mut round = 0;
        while round < ROUNDS || is_behind() {
            assert!(!listers.iter().any(|lister| lister.is_finished()), "a list was wrong");
            exchange(&mut echoing, round);
            for _ in 0..BRIEF {
                let mut brief = daemon.client(0);
                brief.finish();
                brief.rest();
            }
            assert_eq!(probe.get("/readyz").json()["status"], "ok");
            round += 1;
        }
    });
    let after = daemon.memory();
    assert!(after < before + MEMORY, "{before} bytes before, {after} after");
    idle.iter_mut().for_each(|client| client.echo(b"still here"));
}

/// Lets the clients that list end, also those of a test that has failed.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Sends a message over each connection, and expects it back.
fn exchange(clients: &mut [TestStream], round: usize) {
    let message = |client: usize| {
        let bytes = (0..1000 + client).map(move |at| (at * 7 + client * 31 + round * 13) as u8);
        bytes.collect::<Vec<u8>>()
    };
    for (index, client) in clients.iter_mut().enumerate() {
        client.send(&message(index));
    }
    for (index, client) in clients.iter_mut().enumerate() {
        let sent = message(index);
        assert!(client.get(sent.len()) == sent, "round {round}, client {index}");
    }
}

/// Lists all connections again and again. The idle ones must be in each list exactly once.
fn list(daemon: &TestDaemon, shared: &Shared, client: usize, idle: &BTreeSet<u64>) {
    let mut http = Http::connect(daemon, 1);
    while !shared.is_over.load(Ordering::SeqCst) {
        let list = http.get("/connections").json();
        let (rows, listed) = (list["connections"].as_array().unwrap().len(), ids(&list));
        assert_eq!((rows, list["count"].as_u64()), (listed.len(), Some(rows as u64)));
        assert!(listed.is_superset(idle), "{:?} are missing", idle.difference(&listed));
        shared.lists[client].fetch_add(1, Ordering::SeqCst);
    }
}

fn ids(list: &Value) -> BTreeSet<u64> {
    let rows = list["connections"].as_array().unwrap();
    rows.iter().map(|row| row["id"].as_u64().unwrap()).collect()
}

/// A viewer of all events that reads none of them.
fn viewer(daemon: &TestDaemon) -> Http {
    let mut viewer = Http::connect(daemon, 1);
    socket2::SockRef::from(&viewer.stream).set_recv_buffer_size(4096).unwrap();
    viewer.send("GET", "/events", "", "");
    viewer
}
