//! Tests of the `stress` command, with the real program as client and once as server.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::kept::Kept;
#[cfg(unix)]
use crate::program::interrupt;
use crate::program::{daemon, number, oneloop, run_report, stress};
use crate::tool::{Spare, echo, server};

#[test]
fn a_report_has_the_fields_that_are_documented() {
    let address = server(echo);
    let pid = std::process::id();
    let line = format!("{address} --load idle=20,echo=4 --duration 300ms --hold 400ms --pid {pid}");
    let report = run_report(&line, 0);
    assert_eq!(report.get("schema").and_then(Value::as_str), Some("oneloop-stress/1"));
    assert_eq!(report.get("ok"), Some(&Value::Bool(true)));
    assert_eq!(number(&report, "ramp.connected"), 24.0);
    assert_eq!(number(&report, "loads.0.connections_open_at_end"), 20.0);
    assert!(number(&report, "loads.1.messages_per_second") > 1.0);
    let at = |share: &str| number(&report, &format!("loads.1.latency_us.{share}"));
    assert!(at("p50") <= at("p90") && at("p99") <= at("p99_9") && at("p99_9") <= at("max"));
    assert!(number(&report, "loads.1.latency_corrected_us.count") >= at("count"));
    assert_eq!(number(&report, "loads.1.integrity_errors"), 0.0);
    assert_eq!(number(&report, "generator.processes"), 1.0);
    assert!(number(&report, "timeline.step_s") > 0.0);
    #[cfg(target_os = "linux")]
    {
        assert_eq!(number(&report, "server.pid"), f64::from(pid));
        assert!(number(&report, "server.cpu_us_per_message") > 0.0);
        assert!(number(&report, "server.user_bytes_per_connection") >= 0.0);
        assert!(number(&report, "server.open.descriptors") > 24.0);
    }
}

#[cfg(unix)]
#[test]
fn several_processes_make_one_report() {
    let address = server(echo);
    let loads = "idle=11,echo=4,churn+burst+abort=6";
    let line = format!("{address} --processes 2 --load {loads} --duration 300ms --hold 400ms");
    let report = run_report(&line, 0);
    assert_eq!(number(&report, "generator.processes"), 2.0);
    assert_eq!(number(&report, "ramp.connected"), 15.0);
    assert_eq!(number(&report, "loads.0.connections_open_at_end"), 11.0);
    let answered = number(&report, "loads.1.messages");
    assert!(answered > 1.0 && answered == number(&report, "loads.1.latency_us.count"));
    assert!(number(&report, "loads.2.round_us.count") >= 2.0);
}

#[test]
fn failures_and_usage_errors_have_different_exit_codes() {
    let spare = Spare::new();
    let vacant = spare.address();
    let report = run_report(&format!("{vacant} --conns 3 --duration 100ms"), 1);
    assert_eq!(number(&report, "loads.0.failures.0.count"), 3.0);
    assert_eq!(report.get("ok"), Some(&Value::Bool(false)));
    for line in ["", "127.0.0.1:7 --load storm", "127.0.0.1:7 --load idle --burst"] {
        assert_eq!(stress(line).status.code(), Some(2), "{line}");
    }
}

#[test]
fn the_summary_shows_the_load_and_its_result() {
    let (daemon, address) = daemon(&["echo", "127.0.0.1:0"]);
    let output = stress(&format!("{address} --conns 5 --depth 4 --duration 200ms"));
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    for words in ["5 connections, 64 B each, depth 4", "messages/s", "no errors", "p99.9"] {
        assert!(text.contains(words), "{words} in {text}");
    }
    #[cfg(target_os = "linux")]
    assert!(text.contains(&format!("oneloop (process {})", daemon.0.id())), "{text}");
    assert!(!text.contains('\x1b'));
}

#[cfg(target_os = "linux")]
#[test]
fn connections_that_the_server_has_not_accepted_are_reported_as_a_failure() {
    let socket = std::env::temp_dir().join(format!("oneloop-{}-queue", std::process::id()));
    let socket = format!("unix:{}", socket.display());
    for listen in ["127.0.0.1:0", &socket] {
        // The others wait in the accept queue, and look open.
        let (_daemon, address) = daemon(&["echo", listen, "-m", "100"]);
        for processes in [1, 2] {
            let line = format!("{address} --load idle --conns 300 --processes {processes}");
            let report = run_report(&format!("{line} --hold 300ms"), 1);
            assert_eq!(number(&report, "loads.0.connections_open_at_end"), 300.0);
            for name in ["not_accepted", "never_accepted"] {
                assert_eq!(number(&report, &format!("server.{name}")), 200.0, "{line} {name}");
            }
            let server = report.get("server").unwrap();
            assert_eq!(server.get("user_bytes_per_connection"), Some(&Value::Null));
        }
    }
    let (_daemon, address) = daemon(&["echo", "127.0.0.1:0"]);
    let report = run_report(&format!("{address} --load idle --conns 300 --hold 300ms"), 0);
    assert_eq!(number(&report, "server.not_accepted"), 0.0);
    assert!(number(&report, "server.user_bytes_per_connection") >= 0.0);
}

/// Number of reads the server below has echoed.
static ECHOED: AtomicUsize = AtomicUsize::new(0);

fn counting_echo(mut stream: TcpStream) {
    let mut buffer = [0; 4096];
    while let Ok(bytes @ 1..) = stream.read(&mut buffer) {
        ECHOED.fetch_add(1, Ordering::Relaxed);
        if stream.write_all(&buffer[..bytes]).is_err() {
            return;
        }
    }
}

#[cfg(unix)]
#[test]
fn an_interrupted_run_ends_early_and_still_reports() {
    for processes in [1, 2] {
        let address = server(counting_echo);
        let line = format!("{address} --conns 4 --duration 60s --processes {processes}");
        let mut run = Kept(
            oneloop()
                .arg("stress")
                .args(line.split_whitespace())
                .args(["--json", "-"])
                .stdout(Stdio::piped())
                .spawn()
                .unwrap(),
        );
        let before = ECHOED.load(Ordering::Relaxed);
        while ECHOED.load(Ordering::Relaxed) < before + 100 {
            thread::sleep(Duration::from_millis(10));
        }
        interrupt(&run);
        let mut text = String::new();
        run.0.stdout.take().unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(run.0.wait().unwrap().code(), Some(0), "{text}");
        let report = serde_json::from_str::<Value>(&text).expect(&text);
        assert_eq!(report.get("interrupted"), Some(&Value::Bool(true)), "{text}");
        assert!(number(&report, "loads.0.messages") > 0.0 && number(&report, "seconds") < 30.0);
    }
}
