//! `oneloop plan` and `--print-config`: what would change, before it does.

use std::fs;

use crate::command::oneloop;
use crate::file_daemon::FileDaemon;
use crate::scratch::Scratch;
use crate::test_daemon::{TestDaemon, ended};
use crate::test_stream::TestStream;

#[test]
fn two_files_are_compared_line_by_line() {
    let scratch = Scratch::new();
    let [old, new] = ["old.toml", "new.toml"].map(|name| scratch.path(name));
    let text =
        "[route.a]\nlisten = \":7\"\necho = true\n[route.b]\nlisten = \":8\"\nrelay = \"x:1\"\n";
    fs::write(&old, text).unwrap();
    fs::write(&new, text).unwrap();
    let plan = || ended(oneloop(&format!("plan {} {}", new.display(), old.display())));
    assert_eq!((plan().code, plan().out.as_str()), (Some(0), "no changes\n"));
    let text = "[process]\nbusy-poll = \"50us\"\n[log]\ncolor = \"never\"\n\
                [route.a]\nlisten = [\":7,v6only\", \":9\"]\ndiscard = true\nexisting = \"cut\"\n\
                [route.c]\nlisten = [\"/x\", \":11\"]\nhub = {name = \"all\"}\n\
                [route.d]\nlisten = \":10\"\ngreet = {text = \"hello\\n\"}\n";
    fs::write(&new, text).unwrap();
    let expected = "~ process.busy-poll off → 50us\n\
                    ! log.color auto → never: needs a restart\n\
                    ! route a: tcp://:7 → tcp://:7,v6only: closed and bound again: a gap\n\
                    + route a: listens on tcp://:9\n\
                    ~ route a: echo → discard (cuts connections)\n\
                    ~ route a: existing keep → cut\n\
                    + route c: unix:/x, tcp://:11, hub all\n\
                    + route d: tcp://:10, greet hello\\n\n\
                    - route b (keeps connections)\n";
    assert_eq!((plan().code, plan().out.as_str()), (Some(2), expected));
    fs::write(&new, "[route.a]\nlisten = 7\necho = true\n").unwrap();
    let wrong = plan();
    assert_eq!((wrong.code, wrong.out.as_str()), (Some(1), ""));
    assert!(
        wrong.err.contains("new.toml:2:10: expected a text in quotes or a list of them"),
        "{}",
        wrong.err
    );
}

#[test]
fn a_plan_counts_the_connections_of_a_running_daemon() {
    let text = "[route.a]\nlisten = \"127.0.0.1:0\"\necho = true\nidle-timeout = \"1h\"\n\
                [route.b]\nlisten = \"127.0.0.2:0\"\ndiscard = true\n";
    let file = FileDaemon::start(text);
    let connect = |number| TestStream::connect(&format!("tcp://{}", file.at(number)));
    let mut clients: Vec<TestStream> = [0, 0, 1].map(connect).into();
    clients[..2].iter_mut().for_each(|client| client.echo(b"x"));
    let plan = || ended(oneloop(&format!("plan {} {}", file.file().display(), file.admin())));
    crate::wait::until("all are open", || {
        (file.metric("oneloop_connections_active{route=\"b\"}") == 1).then_some(())
    });
    assert_eq!((plan().code, plan().out.as_str()), (Some(0), "no changes\n"));
    let (kept, _) = text.split_once("[route.b]").unwrap();
    file.write(&kept.replace("1h", "1ms"));
    let due = "~ route a: idle-timeout 1h → 1ms (2 connections, 2 of them would be closed now)\n";
    let gone = "- route b (keeps 1 connection)\n";
    assert_eq!((plan().code, plan().out.as_str()), (Some(2), format!("{due}{gone}").as_str()));
    file.write(&kept.replace("1h", "30m"));
    let none =
        "~ route a: idle-timeout 1h → 30m (2 connections, none of them would be closed now)\n";
    assert!(plan().out.starts_with(none), "{}", plan().out);
    clients.iter_mut().take(2).for_each(|client| client.echo(b"nothing was changed"));
    assert_eq!(file.ctl("reload").code, Some(0));
    assert_eq!((plan().code, plan().out.as_str()), (Some(0), "no changes\n"));
}

#[test]
fn a_printed_command_line_is_a_file_that_changes_nothing() {
    let scratch = Scratch::new();
    let admin = scratch.path("admin").display().to_string();
    let line = format!(
        "run 127.0.0.1:0=echo,idle-timeout=5m udp://127.0.0.1:0=relay:udp://127.0.0.1:9 \
         127.0.0.1:0=hub,frame=raw:lobby --max-lifetime 2h --drain-timeout 20s --admin {admin}"
    );
    let printed = ended(oneloop(&format!("{line} --print-config")));
    assert_eq!((printed.code, printed.err.as_str()), (Some(0), ""));
    let file = scratch.path("a.toml");
    fs::write(&file, &printed.out).unwrap();
    let _daemon = TestDaemon::start(&line);
    let plan = ended(oneloop(&format!("plan {} {admin}", file.display())));
    assert_eq!((plan.code, plan.out.as_str()), (Some(0), "no changes\n"), "{plan:?}");
    let again = ended(oneloop(&format!("serve -c {} --print-config", file.display())));
    assert_eq!(again.out, printed.out);
}

#[test]
fn a_plan_without_a_daemon_says_where_it_looked() {
    let scratch = Scratch::new();
    let file = scratch.path("a.toml");
    fs::write(&file, "[route.a]\nlisten = \":7\"\necho = true\n").unwrap();
    let other = scratch.path("none");
    let plan = ended(oneloop(&format!("plan {} {}", file.display(), other.display())));
    assert_eq!((plan.code, plan.out.as_str()), (Some(1), ""));
    assert!(plan.err.contains(&other.display().to_string()), "{}", plan.err);
}
