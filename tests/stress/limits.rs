//! Tests of system limits: more connections than one process may have, and failures at a limit.
#![cfg(unix)]

use std::process::{Command, Output, Stdio};
use std::time::Duration;

use oneloop::config::unit::Rate;
use oneloop::config::{LoadKind, StressPlan};
use serde_json::Value;

use crate::program::number;
use crate::tool::{echo, plan, run, server};

/// Runs the program with a limit of open files.
fn confined(files: usize, line: &str) -> Output {
    let program = env!("CARGO_BIN_EXE_oneloop");
    let command = format!("ulimit -n {files}; exec {program} stress {line} --json -");
    Command::new("sh").args(["-c", &command]).stdin(Stdio::null()).output().unwrap()
}

fn report(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn more_connections_than_one_process_may_have_are_divided_among_several() {
    let address = server(echo);
    let output = confined(120, &format!("{address} --load idle --conns 150 --hold 300ms"));
    let report = report(&output);
    assert_eq!(output.status.code(), Some(0), "{}", report);
    assert!(number(&report, "generator.processes") >= 3.0);
    assert_eq!(number(&report, "ramp.connected"), 150.0);
    assert_eq!(number(&report, "loads.0.connections_open_at_end"), 150.0);
}

#[test]
fn a_limit_that_made_connections_fail_is_named() {
    let address = server(echo);
    let line = format!("{address} --load idle --conns 100 --hold 100ms --processes 1");
    let output = confined(60, &line);
    let report = report(&output);
    assert_eq!(output.status.code(), Some(1), "{}", report);
    let failures = &report["loads"][0]["failures"];
    let text = |name: &str| failures[0][name].as_str().unwrap();
    assert_eq!((text("stage"), text("error")), ("connect", "EMFILE"));
    assert!(text("limit").contains("RLIMIT_NOFILE"), "{}", failures);
    let (failed, open) = (number(failures, "0.count"), number(&report, "ramp.connected"));
    assert!(failed + open == 100.0 && open < 60.0, "{failed} {open}");
}

#[test]
fn connections_are_opened_at_the_connect_rate_and_held_for_the_hold_time() {
    let pace = Some(Rate { count: 100, per: Duration::from_secs(1) });
    let hold = Duration::from_millis(300);
    let plan = StressPlan { connect_rate: pace, hold, ..plan(server(echo), LoadKind::Idle, 41) };
    let outcome = run(&plan);
    assert!(outcome.is_ok() && outcome.ramp >= Duration::from_millis(390), "{outcome:?}");
    assert!(outcome.loads[0].stats.window >= hold && outcome.whole >= outcome.ramp + hold);
    assert_eq!(outcome.ramp_curve.open.last(), Some(&41));
    assert!(outcome.ramp_curve.open.windows(2).all(|pair| pair[0] <= pair[1]), "{outcome:?}");
}
