//! Strings that are not ours: whatever a user, another program or the system puts into them, none
//! of them reaches a terminal, a page or JSON as a control character.
#![cfg(unix)]
#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Output, Stdio};
use std::thread;

use scratch::Scratch;

#[path = "support/scratch.rs"]
mod scratch;

/// A terminal clears its screen, rings, and finds itself on a line that looks like one of ours; the
/// rest is shown from right to left.
const EVIL: &str = "\x1b[2J\x07\nERROR \u{202e}x";

fn oneloop(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_oneloop"));
    command.args(arguments).stdin(Stdio::null()).env("NO_COLOR", "1").output().unwrap()
}

/// The text, which must not steer a terminal. Lines of our own are allowed.
fn harmless(bytes: &[u8]) -> String {
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    let is_evil = |c: char| c.is_control() && c != '\n' || c == '\u{202e}';
    assert!(!text.contains(is_evil), "{text:?}");
    assert!(!text.lines().any(|line| line.starts_with("ERROR")), "{text:?}");
    text
}

fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            thread::spawn(move || {
                let mut room = [0; 4096];
                while let Ok(bytes @ 1..) = stream.read(&mut room) {
                    stream.write_all(&room[..bytes])?;
                }
                std::io::Result::Ok(())
            });
        }
    });
    address
}

#[test]
fn an_argument_that_is_echoed_in_an_error_steers_no_terminal() {
    let path = format!("unix:/no/such/{EVIL}");
    let file = format!("/no/such/{EVIL}");
    let name = format!("tcp://{EVIL}:7");
    let option = format!("--{EVIL}");
    let lines: [&[&str]; 7] = [
        &["echo", &path],
        &["relay", ":0", &name],
        &["connect", &path],
        &["stress", "127.0.0.1:9", "--json", &file, "--conns", "1", "--duration", "10ms"],
        &["stress", "127.0.0.1:9", "--direction", EVIL],
        &["doctor", &option],
        &[EVIL],
    ];
    for line in lines {
        let output = oneloop(line);
        assert_ne!(output.status.code(), Some(0), "{line:?}");
        let told = harmless(&output.stderr) + &harmless(&output.stdout);
        assert!(told.contains("[2J"), "{line:?}: {told}");
    }
}

#[test]
fn an_address_with_invisible_characters_is_shown_with_them_wherever_it_is_named() {
    let path = "unix:/no/such/\u{202e}x";
    let lines: [&[&str]; 7] = [
        &["echo", path],
        &["chat", path],
        &["connect", path],
        &["stress", path, "--conns", "1", "--duration", "10ms"],
        &["stress", "--sink", path],
        &["doctor", path],
        &["doctor", "--json", path],
    ];
    for line in lines {
        let output = oneloop(line);
        let told = harmless(&output.stderr) + &harmless(&output.stdout);
        let shown = ["\\xe2\\x80\\xaex", "\\u202ex"];
        assert!(shown.iter().any(|shown| told.contains(shown)), "{line:?}: {told}");
    }
}

/// The name of this process, which listens, is changed to one that is not even UTF-8.
#[cfg(target_os = "linux")]
#[test]
fn a_server_s_process_name_is_escaped_in_every_report_and_hides_no_measurement() {
    std::fs::write("/proc/self/comm", b"\xff\x1b[2J\x07\n<b>) x").unwrap();
    let (scratch, address) = (Scratch::new(), echo().to_string());
    let files = ["r.html", "r.json"].map(|name| scratch.path(name));
    let paths = [&files[0], &files[1]].map(|path| path.to_str().unwrap());
    let line = ["stress", &address, "--load", "idle=250,echo=2", "--duration", "300ms"];
    let files = ["--hold", "300ms", "--report", paths[0], "--json", paths[1]];
    let output = oneloop(&[&line[..], &files].concat());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let summary = harmless(&output.stdout);
    let pid = std::process::id();
    let name = "\u{fffd}\\x1b[2J\\x07\\n<b>) x";
    assert!(summary.contains(&format!("{name} (process {pid})")), "{summary}");
    assert!(summary.contains("of a core"), "{summary}");
    let page = harmless(&std::fs::read(paths[0]).unwrap());
    let name = "\u{fffd}\\x1b[2J\\x07\\n&lt;b&gt;) x";
    assert!(page.contains(&format!("{name} (process {pid})")), "{page}");
    let json = harmless(&std::fs::read(paths[1]).unwrap());
    let name = "\u{fffd}\\u001b[2J\\u0007\\n<b>) x";
    assert!(json.contains(&format!("\"name\": \"{name}\"")), "{json}");
    assert!(!json.contains("\"cpu_s\": null"), "{json}");
}
