//! The list of connections, its filters, and one connection in full.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::http::{Http, get};
use crate::scratch::Scratch;
use crate::target::Target;
use crate::test_daemon::TestDaemon;
use crate::test_stream::TestStream;
use crate::wait::until;

const ADMIN: usize = 1;

/// An echo daemon with an admin listener, and this many clients.
fn echo(clients: usize) -> (TestDaemon, Vec<TestStream>) {
    let daemon = TestDaemon::start("echo 127.0.0.1:0 --admin 127.0.0.1:0 -v");
    let mut clients: Vec<TestStream> = (0..clients).map(|_| daemon.client(0)).collect();
    clients.iter_mut().for_each(|client| client.echo(b"hello"));
    (daemon, clients)
}

fn ids(list: &Value) -> Vec<u64> {
    let rows = list["connections"].as_array().unwrap();
    rows.iter().map(|row| row["id"].as_u64().unwrap()).collect()
}

#[test]
fn every_connection_is_listed_once_in_one_part_or_in_many() {
    let (daemon, _clients) = echo(200);
    let mut admin = Http::connect(&daemon, ADMIN);
    let whole = admin.get("/connections").json();
    let expected: BTreeSet<u64> = (1..=200).collect();
    assert_eq!(ids(&whole).into_iter().collect::<BTreeSet<u64>>(), expected);
    assert_eq!(
        (&whole["count"], &whole["next"], &whole["snapshot"]),
        (&200.into(), &Value::Null, &false.into())
    );
    let (mut met, mut path) = (Vec::new(), "/connections?limit=7".to_owned());
    loop {
        let part = admin.get(&path).json();
        met.extend(ids(&part));
        let Some(next) = part["next"].as_str() else { break };
        assert_eq!(ids(&part).len(), 7);
        path = format!("/connections?limit=7&after={next}");
    }
    assert_eq!(met.len(), 200);
    assert_eq!(met.into_iter().collect::<BTreeSet<u64>>(), expected);
}

#[test]
fn a_list_is_filtered_and_sorted() {
    let (daemon, mut clients) = echo(20);
    clients[4].echo(&[7; 5000]);
    clients[11].echo(&[7; 50_000]);
    let mut admin = Http::connect(&daemon, ADMIN);
    let mut list = |query: &str| admin.get(&format!("/connections?{query}")).json();
    assert_eq!(ids(&list("sort=received&limit=3"))[..2], [12, 5]);
    assert_eq!(ids(&list("sort=age&limit=2")), [1, 2]);
    let port = clients[2].local().port();
    assert_eq!(ids(&list(&format!("peer=127.0.0.1:{port}"))), [3]);
    assert_eq!(ids(&list("peer=127.0.0.0/8")).len(), 20);
    assert_eq!(ids(&list("peer=10.0.0.0/8")).len(), 0);
    assert_eq!(ids(&list("state=streaming")).len(), 20);
    assert_eq!(ids(&list("state=opening")).len(), 0);
    assert_eq!(ids(&list("idle_longer=1h")).len(), 0);
    let route = list("limit=1")["connections"][0]["route"].as_str().unwrap().to_owned();
    assert_eq!(ids(&list(&format!("route={route}"))).len(), 20);
    assert_eq!(ids(&list("route=tcp://127.0.0.1:1")).len(), 0);
}

#[test]
fn a_burst_is_sorted_by_the_time_of_opening_in_whatever_parts_it_is_visited() {
    let scratch = Scratch::new();
    let admin = scratch.unix("admin");
    let daemon = TestDaemon::start(&format!("echo 127.0.0.1:0 --admin {admin} -v"));
    let mut clients: Vec<TestStream> = (0..3).map(|_| daemon.client(0)).collect();
    clients.iter_mut().for_each(|client| client.echo(b"hello"));
    let mut admin = Http::connect(&daemon, ADMIN);
    // What waits while the listener is paused is accepted in few turns.
    admin.ask("POST", "/pause", "", "").json();
    clients.extend((0..60).map(|_| daemon.client(0)));
    admin.ask("POST", "/resume", "", "").json();
    let mut list = |query: &str| admin.get(&format!("/connections?{query}")).json();
    until("all are open", || (ids(&list("")).len() == 63).then_some(()));
    for sort in ["age", "idle"] {
        let first = list(&format!("sort={sort}&limit=40"));
        assert_eq!(ids(&first), (1..=40).collect::<Vec<u64>>(), "{sort}");
        let rows = first["connections"].as_array().unwrap();
        let shown: Vec<f64> =
            rows.iter().map(|row| row[format!("{sort}_seconds")].as_f64().unwrap()).collect();
        assert!(shown.is_sorted_by(|one, next| one >= next), "{sort}: {shown:?}");
    }
}

#[test]
fn a_wrong_parameter_is_named_with_what_is_accepted() {
    let (daemon, _clients) = echo(0);
    let mut admin = Http::connect(&daemon, ADMIN);
    for (query, parts) in [
        ("sort=size", &["sort", "size", "received"][..]),
        ("state=open", &["state", "opening"]),
        ("limit=x", &["limit"]),
        ("idle_longer=5", &["idle_longer"]),
        ("rout=x", &["rout", "route"]),
        ("after=zz", &["after"]),
        ("sort=age&after=c0", &["after", "sort"]),
        ("limit=1&limit=2", &["limit"]),
    ] {
        let detail = admin.get(&format!("/connections?{query}")).problem(400);
        for part in parts {
            assert!(detail.contains(part), "{query}: {detail}");
        }
    }
}

#[test]
fn one_connection_shows_both_ends_and_what_it_waits_for() {
    let target = Target::tcp();
    let daemon = TestDaemon::start(&format!(
        "relay 127.0.0.1:0 {} --admin 127.0.0.1:0 -v --idle-timeout 1h",
        target.address()
    ));
    let mut client = daemon.client(0);
    client.send(b"question");
    let mut server = target.accept();
    assert_eq!(server.get(8), b"question");
    let shown = until("bytes are counted", || {
        let shown = get(&daemon, ADMIN, "/connections/1").json();
        (shown["received_bytes"] == 8).then_some(shown)
    });
    assert_eq!(shown["state"], "streaming");
    assert_eq!(shown["peer"].as_str().unwrap(), client.local().to_string());
    assert_eq!(shown["timers"][0]["name"], "idle");
    let ends = shown["ends"].as_array().unwrap();
    assert_eq!((&ends[0]["end"], &ends[1]["end"]), (&"client".into(), &"target".into()));
    assert!(ends[1]["tcp"]["rtt_seconds"].as_f64().unwrap() > 0.0, "{shown}");
    // The client does not read what the target sends: the bytes pile up in front of it.
    server.set_nonblocking(true);
    let sent = fill(&mut server);
    let stuck = until("the client's window is closed", || {
        let shown = get(&daemon, ADMIN, "/connections/1").json();
        let verdict = shown["verdict"].as_str().unwrap().to_owned();
        (verdict.contains("client") && verdict.contains("window")).then_some(shown)
    });
    assert!(stuck["unsent_bytes"].as_u64().unwrap() > 0, "{stuck}");
    let down = &stuck["flows"][1];
    assert_eq!((&down["from"], &down["to"]), (&"target".into(), &"client".into()));
    assert!(down["moved_bytes"].as_u64().unwrap() < sent as u64, "{stuck}");
    println!("{stuck:#}");
}

/// Sends until the socket has accepted nothing for a while. Returns how much it accepted.
fn fill(stream: &mut TestStream) -> usize {
    use std::io::Write;
    let (mut sent, mut quiet) = (0, 0);
    while quiet < 100 {
        match stream.write(&[7; 64 * 1024]) {
            Ok(bytes) => (sent, quiet) = (sent + bytes, 0),
            Err(_) => {
                quiet += 1;
                std::thread::sleep(crate::wait::PAUSE);
            }
        }
    }
    sent
}

#[test]
fn datagram_flows_are_listed_and_can_be_closed() {
    let target = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let at = target.local_addr().unwrap();
    let daemon =
        TestDaemon::start(&format!("relay udp://127.0.0.1:0 udp://{at} --admin 127.0.0.1:0 -v"));
    let client = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    client.send_to(b"hello", daemon.address(0).strip_prefix("udp://").unwrap()).unwrap();
    daemon.says("#1 opened: ");
    let list = get(&daemon, ADMIN, "/connections?state=flow").json();
    let row = &list["connections"][0];
    assert_eq!((&row["id"], &row["state"]), (&1.into(), &"flow".into()));
    assert_eq!(row["peer"].as_str().unwrap(), client.local_addr().unwrap().to_string());
    assert_eq!(get(&daemon, ADMIN, "/connections/1").json()["id"], 1);
    assert_eq!(ids(&get(&daemon, ADMIN, "/connections?state=streaming").json()).len(), 0);
}
