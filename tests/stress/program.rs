//! Starts the real program, reads its report, and ends it.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Output, Stdio};
use std::thread;

use serde_json::Value;

use crate::kept::Kept;

/// Returns the command of the real program.
pub fn oneloop() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_oneloop"));
    command.stdin(Stdio::null()).env("NO_COLOR", "1");
    command
}

/// Runs `oneloop stress`.
pub fn stress(line: &str) -> Output {
    oneloop().arg("stress").args(line.split_whitespace()).output().unwrap()
}

/// Starts a daemon, and returns it with its address.
pub fn daemon(arguments: &[&str]) -> (Kept, String) {
    let mut command = oneloop();
    let command = command.args(arguments).args(["--color", "never"]).stderr(Stdio::piped());
    let mut daemon = Kept(command.spawn().unwrap());
    let mut log = BufReader::new(daemon.0.stderr.take().unwrap());
    let address = loop {
        let mut line = String::new();
        assert!(log.read_line(&mut line).unwrap() > 0, "the daemon does not listen");
        if let Some((_, address)) = line.split_once("listening on ") {
            break address.rsplit_once(": ").unwrap().0.to_string();
        }
    };
    // The daemon keeps logging, so its output must be read.
    thread::spawn(move || drop(log.read_to_string(&mut String::new())));
    (daemon, address)
}

/// Runs the program, which must exit with this code, and returns its JSON report.
pub fn run_report(line: &str, code: i32) -> Value {
    let output = stress(&format!("{line} --json -"));
    let text = String::from_utf8(output.stdout).unwrap();
    let notes = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{line}\n{text}\n{notes}");
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Returns the number at this path, such as `loads.0.latency_us.p99`.
pub fn number(value: &Value, path: &str) -> f64 {
    let found = value.pointer(&format!("/{}", path.replace('.', "/")));
    let number = found.and_then(Value::as_f64);
    number.unwrap_or_else(|| panic!("{path} in {}", value))
}

/// Sends SIGINT, as Ctrl-C does.
#[cfg(unix)]
pub fn interrupt(run: &Kept) {
    let pid = rustix::process::Pid::from_child(&run.0);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
}
