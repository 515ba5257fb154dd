//! What becomes of connections and listeners through several reloads: the last file decides.

use std::net::TcpListener;

use crate::command::oneloop;
use crate::file_daemon::FileDaemon;
use crate::scratch::Scratch;
use crate::target::Target;
use crate::test_daemon::ended;
use crate::test_stream::TestStream;

/// Connections that a route has kept on an earlier address follow what is decided for it later.
#[test]
fn what_a_file_decides_for_a_route_applies_to_all_that_it_has_kept() {
    let target = Target::tcp();
    let route = |port: &str, rest: &str| {
        format!("[route.r]\nlisten = \"{port}\"\nrelay = \"{}\"\n{rest}", target.address())
    };
    let scratch = Scratch::new();
    let [one, two] = ["one", "two"].map(|name| scratch.unix(name));
    let file = FileDaemon::start(&route(&one, "existing = \"cut\"\n"));
    let relayed = |address: &str| {
        let mut client = TestStream::connect(address);
        client.send(b"hello");
        let mut server = target.accept();
        assert_eq!(server.get(5), b"hello");
        (client, server)
    };
    let (mut early, _one) = relayed(&one);
    file.applies(&route(&two, "existing = \"cut\"\n"));
    let (mut late, _two) = relayed(&two);
    early.send(b"moved only");
    let keeper = "[route.other]\nlisten = \"127.0.0.1:0\"\necho = true\n";
    file.write(keeper);
    let line = format!("plan {} {}", file.file().display(), file.admin());
    let plan = ended(oneloop(&line));
    assert!(plan.out.contains("- route r (cuts 2 connections)"), "{plan:?}");
    file.applies(keeper);
    early.ending();
    late.ending();
    assert_eq!(file.metric("oneloop_connections_closed_total{reason=\"reload\"}"), 2);
}

/// The last file decides, also about what an earlier one has scheduled.
#[test]
fn a_later_file_takes_back_a_cut_that_waits() {
    let scratch = Scratch::new();
    let address = scratch.unix("x");
    let route = |service: &str, existing: &str| {
        format!("[route.r]\nlisten = \"{address}\"\n{service} = true\nexisting = \"{existing}\"\n")
    };
    let file = FileDaemon::start(&route("echo", "keep"));
    let mut client = TestStream::connect(&address);
    client.echo(b"before");
    file.applies(&route("discard", "after 400ms"));
    file.applies(&route("echo", "keep"));
    // A connection of the route between them is cut when the other would have been.
    file.applies(&route("discard", "after 500ms"));
    file.applies(&route("echo", "keep"));
    // Nothing but the decision has changed.
    file.applies(&route("discard", "after 300ms"));
    file.applies(&route("discard", "keep"));
    let other = format!("[route.o]\nlisten = \"{}\"\necho = true\n", scratch.unix("o"));
    file.applies(&(route("discard", "keep") + &other + "existing = \"after 1s\"\n"));
    let mut witness = TestStream::connect(&scratch.unix("o"));
    witness.echo(b"hello");
    file.applies(&route("discard", "keep"));
    witness.ending();
    assert_eq!(file.metric("oneloop_connections_closed_total{reason=\"reload\"}"), 1);
    client.echo(b"longer than the cuts");
}

#[test]
fn a_listener_that_is_bound_again_stays_paused_and_a_failure_says_what_was_lost() {
    let route = |listen: &str| format!("[route.r]\nlisten = \"{listen}\"\necho = true\n");
    // The port of a socket that is closed again: a file needs one that does not change.
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let file = FileDaemon::start(&route(&format!("127.0.0.1:{free}")));
    assert_eq!(file.ctl("pause").code, Some(0));
    file.applies(&route(&format!("127.0.0.1:{free},reuseport")));
    assert!(file.ctl("listeners").out.contains("paused"), "{:?}", file.ctl("listeners"));
    // The address is the route's own until it is closed.
    file.write(&route(&format!(":{free}")));
    let plan = ended(oneloop(&format!("plan {} {}", file.file().display(), file.admin())));
    assert!(plan.out.contains("! route r: the reload is refused: tcp://:"), "{plan:?}");
    let wider = file.ctl("reload");
    assert_eq!(wider.code, Some(1), "{wider:?}");
    let reason = "Address already in use by route r, which listens on tcp://127.0.0.1:";
    assert!(wider.err.contains(reason), "{wider:?}");
    assert!(file.ctl("listeners").out.contains("paused"));
    file.daemon.says("not reloaded: cannot listen on tcp://");
}

/// A socket that stays open would keep another one from being bound again: nothing is closed.
#[test]
fn a_listener_that_cannot_be_bound_again_is_not_closed() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let route = |name: &str, options: &str| {
        format!("[route.{name}]\nlisten = \"127.0.0.1:{free}{options}\"\necho = true\n")
    };
    let file = FileDaemon::start(&(route("a", ",reuseport") + &route("b", ",reuseport")));
    assert_eq!(file.ctl("pause").code, Some(0));
    let mut waiting = TestStream::connect(&format!("tcp://127.0.0.1:{free}"));
    let refused = file.reload(&route("a", ""));
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.err.contains("in use by route b"), "{refused:?}");
    assert!(!refused.err.contains("were reset"), "{refused:?}");
    assert_eq!(file.ctl("resume").code, Some(0));
    waiting.echo(b"still in the queue");
}
