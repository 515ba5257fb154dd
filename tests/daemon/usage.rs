//! Usage errors, help and version: exit codes, messages, and closed outputs.

use std::fs::File;
use std::io::pipe;
use std::os::unix::ffi::OsStringExt;
use std::process::Stdio;

use crate::command::oneloop;
use crate::test_daemon::ended;

/// Command lines, and the text that the error message must contain.
const WRONG: [(&str, &str); 44] = [
    ("", "no command"),
    ("ecoh", "unknown command: ecoh"),
    ("-v", "option without a command: -v"),
    (":7=echo", "unknown command: :7=echo"),
    ("help ecoh", "unknown command: ecoh"),
    ("echo 127.0.0.1:99999", "bad address: 127.0.0.1:99999"),
    ("echo 127.0.0.1:", "bad address: 127.0.0.1:"),
    ("echo 127.0.0.1:x", "bad address: 127.0.0.1:x"),
    ("echo [::1:7", "bad address: [::1:7"),
    ("echo ::1", "bad address: ::1"),
    ("echo sctp://:7", "bad address: sctp://:7"),
    ("echo unix:", "bad address: unix:"),
    ("echo :7,v7only", "bad address: :7,v7only"),
    ("echo :7,backlog=0", "bad address: :7,backlog=0"),
    ("echo :7,backlog", "bad address: :7,backlog"),
    ("echo 127.0.0.1:7,v6only", "bad address: 127.0.0.1:7,v6only"),
    ("echo :7,mode=0660", "bad address: :7,mode=0660"),
    ("echo unix:/x,mode=rw", "bad address: unix:/x,mode=rw"),
    ("echo unix:/x,reuseport", "bad address: unix:/x,reuseport"),
    ("echo :7 :7", "tcp://:7 is used by two routes"),
    ("echo --idel-timeout 5", "unknown option: --idel-timeout"),
    ("echo -x", "unknown option: -x"),
    ("echo --text x", "unknown option: --text"),
    ("echo --explain=yes", "bad value for --explain: yes"),
    ("echo --max-lifetime", "--max-lifetime takes a value"),
    ("echo --max-lifetime 5x", "bad value for --max-lifetime: 5x"),
    ("echo --max-lifetime -5", "bad value for --max-lifetime: -5"),
    ("echo -m 0", "bad value for -m: 0"),
    ("echo -m 99999999999999999999", "bad value for -m: 99999999999999999999"),
    ("echo --access-log xml", "bad value for --access-log: xml"),
    ("echo --color yes", "bad value for --color: yes"),
    ("discard", "discard needs an address"),
    ("greet :0", "greet needs --text"),
    ("greet --text x", "greet needs an address"),
    ("greet udp://:0 --text x", "bad address: udp://:0"),
    ("greet :0 --text {peer.pi}", "bad value for --text: {peer.pi}"),
    ("relay", "relay needs an address"),
    ("relay :0", "relay needs a target"),
    ("relay :0 127.0.0.1:0", "bad address: 127.0.0.1:0"),
    ("relay :0 udp://127.0.0.1:1", "bad target: udp://127.0.0.1:1"),
    ("relay udp://:0 /x", "bad target: /x"),
    ("run", "run needs a route"),
    ("run :0=discrad", "bad route: :0=discrad"),
    ("run :0=relay:", "bad route: :0=relay:"),
];

#[test]
fn a_wrong_command_line_ends_with_code_2_and_names_what_is_wrong() {
    for (line, wrong) in WRONG {
        let ended = ended(oneloop(line));
        assert_eq!((ended.code, ended.out.as_str()), (Some(2), ""), "{line}: {ended:?}");
        let first = ended.err.lines().next().unwrap();
        assert!(first.starts_with(&format!("oneloop: {wrong}")), "{line}: {first}");
        let last = ended.err.lines().last().unwrap();
        assert!(last.starts_with("  see: oneloop ") && last.ends_with("--help"), "{line}: {last}");
    }
}

#[test]
fn what_is_no_text_or_would_steer_a_terminal_is_refused_and_shown_harmless() {
    for argument in [b"/tmp/\xff\x1b".to_vec(), b"\x1b[2J:7".to_vec(), b"a\nb:7".to_vec()] {
        let mut command = oneloop("echo");
        command.arg(std::ffi::OsString::from_vec(argument));
        let ended = ended(command);
        assert_eq!(ended.code, Some(2));
        assert!(!ended.err.contains('\x1b'), "{:?}", ended.err);
        assert!(ended.err.lines().all(|line| line.starts_with(['o', ' '])), "{:?}", ended.err);
    }
}

#[test]
fn help_and_version_go_to_standard_output_with_code_0() {
    for (line, start) in [
        ("--help", "oneloop"),
        ("help", "oneloop"),
        ("echo --help", "oneloop echo"),
        ("help relay", "oneloop relay"),
        ("--version", concat!("oneloop ", env!("CARGO_PKG_VERSION"), "\n")),
    ] {
        let ended = ended(oneloop(line));
        assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "{line}");
        assert!(ended.out.contains(start), "{line}: {}", ended.out);
    }
}

#[test]
fn help_and_version_survive_a_reader_that_has_gone() {
    for line in ["--help", "echo --help", "--version", "help run"] {
        let (reader, writer) = pipe().unwrap();
        drop(reader);
        let status = oneloop(line).stdout(writer).stderr(Stdio::piped()).output().unwrap();
        assert_eq!(status.status.code(), Some(0), "{line}");
        assert_eq!(status.stderr, b"", "{line}");
    }
}

#[test]
fn help_that_cannot_be_written_is_a_failure_and_no_panic() {
    let full = File::options().write(true).open("/dev/full").unwrap();
    let output = oneloop("--help").stdout(full).stderr(Stdio::piped()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(!String::from_utf8_lossy(&output.stderr).contains("panicked"));
}

#[test]
fn a_complaint_that_nobody_takes_changes_no_code() {
    let full = || File::options().write(true).open("/dev/full").unwrap();
    for (line, code) in [("ecoh", 2), ("echo unix:/no/such/directory/x", 1)] {
        assert_eq!(oneloop(line).stderr(full()).status().unwrap().code(), Some(code), "{line}");
        let (reader, writer) = pipe().unwrap();
        drop(reader);
        assert_eq!(oneloop(line).stderr(writer).status().unwrap().code(), Some(code), "{line}");
    }
}
