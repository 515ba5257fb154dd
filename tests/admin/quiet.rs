//! Looking costs nobody: admin clients are not connections, and an idle daemon sleeps.

use std::time::Duration;

use crate::http::{Http, get};
use crate::test_daemon::TestDaemon;
use crate::wait::until;

#[test]
fn an_idle_daemon_with_both_listeners_never_wakes_up() {
    let daemon = TestDaemon::start("echo 127.0.0.1:0 --admin 127.0.0.1:0 --metrics 127.0.0.1:0");
    let _client = daemon.client(0);
    until("it sleeps", || daemon.is_asleep().then_some(()));
    assert_eq!(daemon.sleeps_in(Duration::from_secs(2)), 0);
    // After its clients have gone it sleeps again.
    get(&daemon, 1, "/connections").json();
    get(&daemon, 2, "/metrics");
    until("no timer is left", || (daemon.sleeps_in(Duration::from_secs(1)) == 0).then_some(()));
}

#[test]
fn admin_clients_count_as_no_connection_and_do_not_hold_a_drain() {
    let mut daemon = TestDaemon::start("echo 127.0.0.1:0 -m 1 --admin 127.0.0.1:0 -v");
    let mut admin: Vec<Http> = (0..5).map(|_| Http::connect(&daemon, 1)).collect();
    for client in &mut admin {
        assert_eq!(client.get("/routes").json()["routes"][0]["active"], 0);
    }
    let metrics = admin[0].get("/metrics").body;
    assert!(
        metrics
            .lines()
            .any(|line| line.starts_with("oneloop_connections_active") && line.ends_with(" 0"))
    );
    // The only connection that the limit allows is that of a client.
    let mut client = daemon.client(0);
    client.echo(b"hello");
    assert_eq!(admin[1].get("/connections").json()["count"], 1);
    drop(client);
    daemon.says("#1 closed: ");
    daemon.signal(rustix::process::Signal::TERM);
    assert_eq!(daemon.code(), Some(0));
    assert!(daemon.last_lines().iter().any(|line| line.contains("totals: 1 opened")));
}

#[test]
fn an_operator_gets_in_when_the_daemon_is_full() {
    let daemon = TestDaemon::start("echo 127.0.0.1:0 -m 2 --admin 127.0.0.1:0 -v");
    let mut inside: Vec<_> = (0..2).map(|_| daemon.client(0)).collect();
    inside.iter_mut().for_each(|client| client.echo(b"in"));
    let mut waiting = daemon.client(0);
    waiting.send(b"waiting");
    daemon.says("accept paused on ");
    let limits = get(&daemon, 1, "/limits").json();
    let row = &limits["limits"][0];
    assert_eq!(
        (&row["name"], &row["used"], &row["limit"]),
        (&"connections".into(), &2.into(), &2.into())
    );
    let listeners = get(&daemon, 1, "/listeners").json();
    assert_eq!(listeners["listeners"][0]["paused_by"], "connection-limit");
    inside.pop();
    assert_eq!(waiting.get(7), b"waiting");
}
