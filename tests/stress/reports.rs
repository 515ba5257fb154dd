//! Tests of reports: the page, files that cannot be written, the sink alone, and interrupts.
#![cfg(unix)]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::browser::{self, Loaded};
use crate::kept::Kept;
use crate::program::{interrupt, number, oneloop, run_report, stress};
use crate::tool::{echo, server};

/// A report file that is removed at the end of the test.
struct Page(PathBuf);

impl Page {
    fn new(name: &str) -> Page {
        Page(std::env::temp_dir().join(format!("oneloop-{}-{name}.html", std::process::id())))
    }

    fn text(&self) -> String {
        fs::read_to_string(&self.0).unwrap()
    }

    /// Checks in a browser, if there is one, which charts the page has, at both widths.
    fn has_charts(&self, charts: &[&str], none_of: &[&str]) {
        let url = format!("file://{}", self.0.display());
        for width in [1280, 390] {
            let Some(Loaded { dom, console }) = browser::load(&url, width) else { return };
            assert_eq!(console, [""; 0], "in the console");
            let is_there = |chart: &&&str| dom.contains(&format!("<figcaption><b>{chart}</b>"));
            let missing: Vec<_> = charts.iter().filter(|chart| !is_there(chart)).collect();
            let extra: Vec<_> = none_of.iter().filter(is_there).collect();
            assert!(missing.is_empty() && extra.is_empty(), "-{missing:?} +{extra:?} in {dom}");
            assert_eq!(dom.matches("<figure").count(), dom.matches("role=\"img\"").count());
        }
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[test]
fn a_page_is_written_and_progress_is_shown_only_on_a_terminal() {
    let (address, page) = (server(echo), Page::new("page"));
    let line = format!("{address} --load idle=20,echo=4 --duration 1s --hold 1s --seed 99");
    let output = stress(&format!("{line} --report {}", page.0.display()));
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
    let text = page.text();
    assert!(text.contains("--seed 99") && text.contains("echo: latency, corrected"), "{text}");
    assert!(text.contains("no errors") && !text.contains("Failures</h2>"), "{text}");
    for foreign in ["http:", "https:", "src=", "url("] {
        let text = text.replace("\"http://www.w3.org/2000/svg\"", "");
        assert!(!text.contains(foreign), "{foreign}");
    }
    let charts = ["Open connections", "Ramp", "Rate", "Latency of echo by percentile"];
    page.has_charts(&charts, &["Deaths", "Failures"]);
}

#[test]
fn a_page_shows_when_connections_died_and_how_long_they_were_idle() {
    let page = Page::new("deaths");
    let address = server(|stream| {
        thread::sleep(Duration::from_millis(250));
        drop(stream);
    });
    let line = format!("{address} --load idle --conns 5 --hold 5s");
    let output = stress(&format!("{line} --report {}", page.0.display()));
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let text = page.text();
    for words in ["5 idle connections died by FIN: idle for ", "failed: 5 connections died"] {
        assert!(text.contains(words), "{words} in {text}");
    }
    assert!(text.find("died by FIN").unwrap() < text.find("Charts</h2>").unwrap(), "{text}");
    page.has_charts(&["Open connections", "Deaths"], &["Failures", "Rate"]);
    let summary = String::from_utf8_lossy(&output.stdout).to_string();
    assert!(summary.contains("5 connections died: 5 by FIN; idle for"), "{summary}");
}

/// Number of connections to the server of the test below.
static CONNECTED: AtomicUsize = AtomicUsize::new(0);

#[test]
fn a_report_that_cannot_be_opened_is_refused_before_anything_is_connected() {
    let address = server(|_| {
        CONNECTED.fetch_add(1, Ordering::Relaxed);
    });
    for option in ["--json", "--report"] {
        let output = stress(&format!("{address} --duration 100ms {option} /no/such/folder/x"));
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(stderr.contains("cannot write /no/such/folder/x: "), "{stderr}");
    }
    assert_eq!(CONNECTED.load(Ordering::Relaxed), 0);
}

#[test]
fn a_report_replaces_the_whole_file_and_a_failed_start_leaves_it() {
    let (address, page) = (server(echo), Page::new("kept"));
    let old = "an old report ".repeat(10_000);
    fs::write(&page.0, &old).unwrap();
    let file = page.0.display();
    let output = stress(&format!("{address} --pid 4194999 --json {file}"));
    assert_eq!((output.status.code(), page.text()), (Some(1), old));
    let output = stress(&format!("{address} --conns 2 --duration 100ms --json {file}"));
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(serde_json::from_str::<Value>(&page.text()).is_ok(), "{}", page.text());
}

#[cfg(target_os = "linux")]
#[test]
fn a_report_that_cannot_be_written_does_not_prevent_the_others() {
    let (address, page) = (server(echo), Page::new("other"));
    let line = format!("{address} --conns 2 --duration 100ms --json /dev/full");
    let output = stress(&format!("{line} --report {}", page.0.display()));
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let summary = String::from_utf8_lossy(&output.stdout);
    assert!(summary.contains("no errors"), "{output:?}");
    assert!(page.text().ends_with("</html>\n"));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.starts_with("oneloop: cannot write /dev/full: "), "{stderr}");
}

#[test]
fn a_wrong_byte_makes_the_run_fail() {
    let address = server(|mut stream: TcpStream| {
        let mut buffer = [0; 64];
        while stream.read_exact(&mut buffer).is_ok() {
            buffer[3] ^= 1;
            let _ = stream.write_all(&buffer);
        }
    });
    let report = run_report(&format!("{address} --conns 3 --duration 200ms"), 1);
    assert_eq!(number(&report, "loads.0.integrity_errors"), 3.0);
    let output = stress(&format!("{address} --conns 9 --duration 200ms"));
    let text = String::from_utf8_lossy(&output.stdout).to_string();
    for words in ["9 integrity errors", "byte 3 is", "and 5 more", "does the target echo"] {
        assert!(text.contains(words), "{words} in {text}");
    }
}

#[test]
fn a_sink_alone_serves_until_it_is_interrupted_and_then_reports() {
    let command = ["stress", "--sink", "127.0.0.1:0", "--json", "-"];
    let mut sink = Kept(
        oneloop().args(command).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap(),
    );
    let mut note = String::new();
    BufReader::new(sink.0.stderr.take().unwrap()).read_line(&mut note).unwrap();
    let address = note.trim().split("tcp://").nth(1).expect(&note).to_string();
    let near = run_report(
        &format!("{address} --load stream --direction both --conns 2 --duration 300ms"),
        0,
    );
    assert!(number(&near, "loads.0.bytes_sent") > 1e6, "{}", near);
    interrupt(&sink);
    let mut text = String::new();
    sink.0.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(sink.0.wait().unwrap().code(), Some(0), "{text}");
    let far = serde_json::from_str::<Value>(&text).expect(&text);
    assert_eq!(number(&far, "loads.0.connections_opened"), 2.0);
    assert!(number(&far, "loads.0.bytes_received") > 1e6, "{text}");
}

/// Number of connections the server below has accepted.
static ACCEPTED: AtomicUsize = AtomicUsize::new(0);

#[test]
fn a_second_interrupt_does_not_wait_and_reports_no_failures() {
    let address = server(|mut stream| {
        ACCEPTED.fetch_add(1, Ordering::Relaxed);
        while let Ok(1..) = stream.read(&mut [0; 100]) {}
        // It does not close for a minute.
        thread::sleep(Duration::from_secs(60));
    });
    let line = format!("stress {address} --load idle --conns 3 --hold 60s --timeout 60s --json -");
    let mut run =
        Kept(oneloop().args(line.split_whitespace()).stdout(Stdio::piped()).spawn().unwrap());
    while ACCEPTED.load(Ordering::Relaxed) < 3 {
        thread::sleep(Duration::from_millis(10));
    }
    interrupt(&run);
    thread::sleep(Duration::from_millis(200));
    interrupt(&run);
    let mut text = String::new();
    run.0.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    let report = serde_json::from_str::<Value>(&text).expect(&text);
    assert_eq!(run.0.wait().unwrap().code(), Some(0), "{text}");
    assert_eq!(report.get("interrupted"), Some(&Value::Bool(true)), "{text}");
    assert!(number(&report, "seconds") < 50.0, "{text}");
}
