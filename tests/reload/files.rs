//! Files: what is served, what is refused with its places, and what a reload changes.

use std::fs;
use std::io::Write;
use std::net::{TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;

use rustix::process::Signal;

use crate::command::oneloop;
use crate::file_daemon::FileDaemon;
use crate::scratch::Scratch;
use crate::target::Target;
use crate::test_daemon::{TestDaemon, ended};
use crate::test_stream::{End, TestStream};
use crate::wait::until;

const ECHO: &str = "[route.echo]\nlisten = \"127.0.0.1:0\"\necho = true\n";

fn connect(file: &FileDaemon, number: usize) -> TestStream {
    TestStream::connect(&format!("tcp://{}", file.at(number)))
}

#[test]
fn a_reload_adds_changes_and_removes_routes_under_live_connections() {
    let file = FileDaemon::start(ECHO);
    let mut first = connect(&file, 0);
    first.echo(b"before");
    assert_eq!(file.applies(ECHO), "reloaded: 0 added, 0 changed, 0 removed, 1 unchanged\n");
    let more = format!(
        "{ECHO}idle-timeout = \"1h\"\n[route.say]\nlisten = \"127.0.0.2:0\"\n\
                        greet = {{text = \"hello\\n\"}}\n"
    );
    assert_eq!(file.applies(&more), "reloaded: 1 added, 1 changed, 0 removed, 0 unchanged\n");
    assert_eq!(connect(&file, 1).rest(), b"hello\n");
    first.echo(b"after a change of policy");
    let other = ECHO.replace("echo = true", "discard = true");
    assert_eq!(file.applies(&other), "reloaded: 0 added, 1 changed, 1 removed, 0 unchanged\n");
    first.echo(b"a connection goes on as it was opened");
    let mut sink = connect(&file, 0);
    sink.send(b"nothing comes back");
    sink.finish();
    assert_eq!(sink.rest(), b"");
    assert!(TcpStream::connect(file.at(1)).is_err(), "its address is closed");
    assert_eq!(file.metric("oneloop_reloads_total{result=\"applied\"}"), 3);
    file.daemon.says("reloaded: 0 added, 1 changed, 1 removed, 0 unchanged");
}

#[test]
fn a_broken_file_changes_nothing_and_every_error_has_its_place() {
    let file = FileDaemon::start(ECHO);
    let mut client = connect(&file, 0);
    let broken = "[route.echo]\nlisten = \"127.0.0.1:0\"\nech = true\n[polcy]\n[log]\nlevel = 3\n";
    let refused = file.reload(broken);
    let name = file.file().display().to_string();
    assert_eq!((refused.code, refused.out.as_str()), (Some(1), ""));
    for place in ["3:1: unknown key; did you mean echo?", "4:2: unknown table", "6:9: expected"] {
        assert!(refused.err.contains(&format!("\n{name}:{place}")), "{}", refused.err);
        file.daemon.says(&format!("not reloaded: {name}:{place}"));
    }
    assert!(refused.err.contains("\n  3 | ech = true\n    | ^^^\n"), "{}", refused.err);
    file.daemon.signal(Signal::HUP);
    file.daemon.says_often(2, "3:1: unknown key");
    client.echo(b"nothing has changed");
    connect(&file, 0).echo(b"for new connections either");
    assert_eq!(file.metric("oneloop_reloads_total{result=\"failed\"}"), 2);
    // Nothing is left of the errors.
    file.applies(ECHO);
}

#[test]
fn what_is_no_file_is_refused_in_one_line() {
    let file = FileDaemon::start(ECHO);
    let path = file.file();
    let refused = |what: &str, wrong: &str| {
        let ended = file.ctl("reload");
        assert_eq!(ended.code, Some(1), "{what}");
        let line = format!("\ncannot read {}: {wrong}\n", path.display());
        assert!(ended.err.ends_with(&line), "{what}: {}", ended.err);
    };
    fs::write(&path, vec![b'#'; (1 << 20) + 1]).unwrap();
    refused("a long file", "it is longer than 1048576 bytes");
    fs::write(&path, b"a = \"\xff\"").unwrap();
    refused("Latin-1", "line 1 is not valid UTF-8");
    fs::write(&path, b"\n\0").unwrap();
    refused("a binary", "it is not a text: line 2 has a zero byte");
    fs::remove_file(&path).unwrap();
    refused("nothing", "No such file or directory");
    fs::create_dir(&path).unwrap();
    refused("a directory", "it is not a regular file");
    fs::remove_dir(&path).unwrap();
    fs::write(&path, b"").unwrap();
    let empty = file.ctl("reload");
    assert!(empty.err.contains(":1:1: no route\n"), "{}", empty.err);
    connect(&file, 0).echo(b"all the time");
}

#[test]
fn an_address_in_use_keeps_everything_as_it_is() {
    let file = FileDaemon::start(ECHO);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let holder = std::net::TcpListener::bind(taken).unwrap();
    let more = format!(
        "[route.a]\nlisten = \"127.0.0.3:0\"\ndiscard = true\n\
         [route.b]\nlisten = \"{taken}\"\ndiscard = true\n"
    );
    let refused = file.reload(&more);
    let expected = format!("cannot listen on tcp://{taken}: Address already in use");
    assert!(refused.err.contains(&expected), "{}", refused.err);
    connect(&file, 0).echo(b"as before");
    drop(holder);
    file.applies(&more);
    let file_of = |name: &str| file.ctl("config").out.contains(name);
    assert!(file_of("[route.b]") && !file_of("[route.echo]"));
}

#[test]
fn the_file_says_what_becomes_of_connections() {
    let target = TestDaemon::start("echo 127.0.0.1:0 udp://127.0.0.1:0");
    let (to, udp_to) = (target.address(0), target.address(1));
    let relay = |name: &str, existing: &str, to: &str| {
        format!(
            "[route.{name}]\nlisten = \"127.0.0.1:0\"\nrelay = \"{to}\"\n\
             existing = \"{existing}\"\n"
        )
    };
    let udp = |rest: &str| {
        format!("[route.udp]\nlisten = \"udp://127.0.0.1:0\"\n{rest}existing = \"cut\"\n")
    };
    let text = [
        relay("keep", "keep", to),
        relay("cut", "cut", to),
        relay("later", "after 300ms", to),
        relay("policy", "cut", to),
        udp(&format!("relay = \"{udp_to}\"\n")),
    ]
    .concat();
    let file = FileDaemon::start(&text);
    let mut clients: Vec<TestStream> = (0..4).map(|number| connect(&file, number)).collect();
    clients.iter_mut().for_each(|client| client.echo(b"before"));
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    let line = file.daemon.says("listening on udp://");
    let (_, at) = line.split_once("udp://").unwrap();
    sender.connect(at.split_once(": ").unwrap().0).unwrap();
    sender.send(b"flow").unwrap();
    sender.recv(&mut [0; 10]).unwrap();
    // Routes without targets of their own: two are removed, one has another service.
    let rest = format!("{}idle-timeout = \"1h\"\n", relay("policy", "cut", to))
        + &relay("keep", "keep", to)
            .replace("relay = ", "existing = \"keep\"\n#")
            .replace("existing = \"keep\"\n#", "discard = true\n#")
        + &udp("echo = true\n");
    file.applies(&rest);
    let [mut keep, cut, later, mut policy] = <[_; 4]>::try_from(clients).unwrap();
    let ends = |mut client: TestStream| client.ending().1;
    assert_eq!(ends(cut), End::Rst);
    assert_eq!(ends(later), End::Rst);
    keep.echo(b"kept");
    policy.echo(b"an edit of the policy never cuts");
    let reason = || file.metric("oneloop_connections_closed_total{reason=\"reload\"}");
    until("both are counted", || (reason() == 2).then_some(()));
    until("the flow is cut", || {
        (file.metric("oneloop_datagram_flows{route=\"udp\"}") == 0).then_some(())
    });
}

#[test]
fn live_connections_get_the_new_timeouts() {
    let file = FileDaemon::start(ECHO);
    let mut client = connect(&file, 0);
    client.echo(b"no timeout");
    file.applies(&format!("{ECHO}idle-timeout = \"100ms\"\n"));
    assert_eq!(client.ending(), (Vec::new(), End::Fin));
    let text = file.ctl("GET /metrics").out;
    assert!(text.contains("closed_total{reason=\"idle-timeout\"} 1\n"), "{text}");
}

#[test]
fn a_socket_with_other_options_is_bound_again() {
    let scratch = Scratch::new();
    let path = scratch.path("socket");
    let text = |options: &str| {
        format!("[route.a]\nlisten = \"{}{options}\"\necho = true\n", path.display())
    };
    let file = FileDaemon::start(&text(""));
    let mut before = TestStream::Unix(UnixStream::connect(&path).unwrap());
    before.echo(b"before");
    file.applies(&text(",mode=0600"));
    let mode = std::os::unix::fs::MetadataExt::mode(&fs::metadata(&path).unwrap()) & 0o777;
    assert_eq!(mode, 0o600);
    before.echo(b"the connection goes on");
    TestStream::Unix(UnixStream::connect(&path).unwrap()).echo(b"the new socket");
}

#[test]
fn settings_that_need_a_restart_are_named_and_the_level_of_the_log_is_changed() {
    let scratch = Scratch::new();
    let path = scratch.path("a.toml");
    let text = |rest: &str| {
        let admin = scratch.path("admin");
        format!("{rest}\n[admin]\nlisten = \"{}\"\n{ECHO}", admin.display())
    };
    fs::write(&path, text("")).unwrap();
    let daemon = TestDaemon::start(&format!("serve -c {}", path.display()));
    fs::write(&path, text("[log]\ncolor = \"never\"\nlevel = \"debug\"\n")).unwrap();
    let ctl = |what: &str| {
        ended(oneloop(&format!("ctl --admin {} {what}", scratch.path("admin").display())))
    };
    let warning = "log.color differs in the file, but needs a restart; it stays as it is";
    for time in ["first", "again, as long as it differs"] {
        let reloaded = ctl("reload");
        assert!(reloaded.out.ends_with(&format!("\nwarning: {warning}\n")), "{time}: {reloaded:?}");
    }
    daemon.says(warning);
    let config = ctl("config").out;
    assert!(config.contains("level = \"debug\"") && !config.contains("color"), "{config}");
    let mut client = daemon.client(0);
    client.echo(b"seen in the log now");
    daemon.says("opened: ");
}

#[test]
fn a_daemon_without_a_file_says_so() {
    let scratch = Scratch::new();
    let admin = scratch.path("admin").display().to_string();
    let _daemon = TestDaemon::start(&format!("echo 127.0.0.1:0 --admin {admin}"));
    let refused = ended(oneloop(&format!("ctl --admin {admin} reload")));
    assert_eq!(refused.code, Some(1));
    assert!(refused.err.contains("started without a configuration file"), "{}", refused.err);
}

#[test]
fn a_file_with_errors_is_not_served_and_check_says_the_same() {
    let scratch = Scratch::new();
    let path = scratch.path("a.toml");
    let mut out = fs::File::create(&path).unwrap();
    out.write_all(b"[route.a]\nlisten = \":0\"\n").unwrap();
    for command in ["serve -c", "check"] {
        let refused = ended(oneloop(&format!("{command} {}", path.display())));
        assert_eq!((refused.code, refused.out.as_str()), (Some(1), ""), "{command}");
        let place = format!("{}:1:8: the route has no service\n", path.display());
        assert!(refused.err.starts_with(&place), "{command}: {}", refused.err);
    }
    out.write_all(b"echo = true\n").unwrap();
    let checked = ended(oneloop(&format!("check {}", path.display())));
    assert_eq!((checked.code, checked.err.as_str()), (Some(0), ""));
}

#[test]
fn a_relay_that_dials_keeps_its_targets_through_a_reload() {
    let target = Target::tcp();
    let text = format!("[route.a]\nlisten = \"127.0.0.1:0\"\nrelay = [\"{}\"]\n", target.address());
    let file = FileDaemon::start(&text);
    let mut client = connect(&file, 0);
    client.send(b"request");
    let mut at_target = target.accept();
    let other = Target::tcp();
    file.applies(&text.replace(&target.address(), &other.address()));
    assert_eq!(at_target.get(7), b"request");
    at_target.send(b"answer");
    assert_eq!(client.get(6), b"answer");
    let mut next = connect(&file, 0);
    next.send(b"x");
    assert_eq!(other.accept().get(1), b"x");
}
