//! Reloads under adverse conditions: at limits, during a drain, and many at once.

use std::net::TcpListener;
use std::thread;

use rustix::process::Signal;

use crate::file_daemon::FileDaemon;
use crate::test_stream::TestStream;
use crate::wait::until;

const ECHO: &str = "[route.echo]\nlisten = \"127.0.0.1:0\"\necho = true\n";

fn connect(file: &FileDaemon, number: usize) -> TestStream {
    TestStream::connect(&format!("tcp://{}", file.at(number)))
}

#[test]
fn a_paused_listener_keeps_its_queue_through_a_reload() {
    let file = FileDaemon::start(&format!("[process]\nmax-connections = 1\n{ECHO}"));
    let mut first = connect(&file, 0);
    first.echo(b"one");
    let mut second = connect(&file, 0);
    second.send(b"two");
    file.daemon.says("paused");
    file.applies(&format!("[process]\nmax-connections = 2\n{ECHO}idle-timeout = \"1h\"\n"));
    assert_eq!(second.get(3), b"two", "there is room now");
    first.echo(b"and one goes on");
}

#[test]
fn a_reload_without_descriptors_changes_nothing() {
    let file = FileDaemon::start_after("ulimit -n 128;", ECHO);
    let mut client = connect(&file, 0);
    client.echo(b"before");
    let holders: Vec<TcpListener> =
        (0..120).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let ports: Vec<String> =
        holders.iter().map(|holder| format!("\"{}\"", holder.local_addr().unwrap())).collect();
    drop(holders);
    let many = format!(
        "[process]\nmax-connections = 1\n[route.many]\nlisten = [{}]\necho = true\n",
        ports.join(", ")
    );
    let refused = file.reload(&many);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    let before = file.daemon.files();
    assert_eq!(file.ctl("reload").code, Some(1));
    until("the client of that command is gone", || (file.daemon.files() <= before).then_some(()));
    client.echo(b"as before");
    connect(&file, 0).echo(b"also for others");
    file.applies(ECHO);
}

#[test]
fn a_drain_wins_over_a_reload() {
    let file = FileDaemon::start(ECHO);
    let mut client = connect(&file, 0);
    client.echo(b"in progress");
    file.daemon.signal(Signal::TERM);
    file.daemon.says("draining");
    let refused = file.ctl("reload");
    assert_eq!(refused.code, Some(1), "{refused:?}");
    file.daemon.signal(Signal::HUP);
    file.daemon.says_often(2, "not reloaded: the daemon is draining");
    client.finish();
    let mut daemon = file.daemon;
    assert_eq!(daemon.code(), Some(0));
}

#[test]
fn a_storm_of_requests_is_folded_and_each_gets_a_verdict() {
    let file = FileDaemon::start(ECHO);
    let mut client = connect(&file, 0);
    for _ in 0..300 {
        file.daemon.signal(Signal::HUP);
    }
    thread::scope(|scope| {
        let asked: Vec<_> = (0..16).map(|_| scope.spawn(|| file.ctl("reload"))).collect();
        for asked in asked {
            let ended = asked.join().unwrap();
            assert_eq!(ended.code, Some(0), "{ended:?}");
        }
    });
    client.echo(b"through all of them");
    let reloads = file.metric("oneloop_reloads_total{result=\"applied\"}");
    assert!((1..=316).contains(&reloads), "{reloads}");
    until("the thread has ended", || (file.daemon.status("Threads:") == 1).then_some(()));
    connect(&file, 0).echo(b"still served");
}
