//! What ctl says if it cannot do what it was asked for.

use std::path::Path;

use crate::scratch::Scratch;
use crate::server::{HttpServer, answer, ctl, file, finish, ok, refusing, run};

/// Runs `ctl version` with this answer. Returns standard error after the name of the program and
/// the address.
fn error(bytes: &[u8]) -> String {
    let server = HttpServer::tcp(vec![bytes.to_vec()]);
    let finished = finish(ctl(&["--admin", &server.address, "version"]));
    assert_eq!((finished.status, finished.out.as_str()), (1, ""), "{}", finished.err);
    let start = format!("oneloop: tcp://{}: ", server.address);
    server.requests();
    let rest = finished.err.strip_prefix(&start);
    rest.unwrap_or_else(|| panic!("no address: {}", finished.err)).to_string()
}

#[test]
fn a_daemon_that_cannot_be_reached_is_named() {
    let address = refusing().to_string();
    let finished = finish(ctl(&["--admin", &address, "version"]));
    assert_eq!(finished.status, 1);
    let expected = format!("oneloop: tcp://{address}: cannot connect: Connection refused\n");
    assert_eq!(finished.err, expected);
    let scratch = Scratch::new();
    let path = scratch.path("admin.sock").display().to_string();
    let finished = finish(ctl(&["--admin", &path, "version"]));
    let expected = format!("oneloop: unix:{path}: cannot connect: No such file or directory\n");
    assert_eq!((finished.status, finished.err), (1, expected));
}

#[test]
fn an_error_of_the_daemon_is_printed_with_its_detail() {
    let problem = r#"{"title":"not found","status":404,"detail":"no connection \u001b[2J7"}"#;
    let problem = answer("404 Not Found", problem);
    assert_eq!(error(&problem), "not found: no connection \\x1b[2J7\n");
    assert_eq!(error(&answer("503 Service Unavailable", "")), "503 Service Unavailable\n");
    let page = answer("502 Bad Gateway", "<html>\x1b]0;x\x07\n<body>");
    assert_eq!(error(&page), "502 Bad Gateway: <html>\\x1b]0;x\\x07\n");
    let denied = answer("401 Unauthorized", r#"{"title":"no token","status":401,"detail":""}"#);
    let hint = "no token\n  give the token of the daemon with --token-file FILE\n";
    assert_eq!(error(&denied), hint);
    assert_eq!(error(&answer("301 Moved", "")), "301 Moved\n");
}

#[test]
fn an_answer_that_is_no_answer_is_refused() {
    let cases: [(&[u8], &str); 7] = [
        (b"", "the connection was closed without an answer\n"),
        (b"HTTP/1.1 200 OK\r\n", "the connection was closed in the head of the answer\n"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "not an HTTP answer (invalid HTTP version)\n"),
        (b"\x16\x03\x01\x00\xff", "not an HTTP answer (invalid HTTP version)\n"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{",
            "the connection was closed before the end of the answer\n",
        ),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "bad chunk\n"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n{",
            "the answer is larger than 67108864 bytes\n",
        ),
    ];
    for (bytes, expected) in cases {
        assert_eq!(error(bytes), expected, "{:?}", String::from_utf8_lossy(bytes));
    }
    let text = error(&ok("{\"version\": 7}"));
    assert!(text.starts_with("unexpected answer: invalid type: integer `7`"), "{text}");
    let text = error(&ok("\x1b[2J"));
    assert!(text.starts_with("unexpected answer: expected value"), "{text}");
    let (finished, _) = run(&["events"], vec![ok("{}")]);
    assert_eq!(finished.status, 1);
    assert!(finished.err.ends_with(": the answer is not a stream of events\n"), "{finished:?}");
}

#[test]
fn a_probe_has_an_exit_status_and_at_most_one_line() {
    let (finished, _) = run(&["ready"], vec![ok(r#"{"status":"ok"}"#)]);
    assert_eq!((finished.status, finished.out, finished.err), (0, String::new(), String::new()));
    let draining = answer("503 Service Unavailable", r#"{"status":"draining"}"#);
    let problem = r#"{"title":"too many clients","status":503,"detail":"try\nagain"}"#;
    let problem = answer("503 Service Unavailable", problem);
    let cases = [
        (draining, ": not ready: draining\n"),
        (problem, ": not ready: too many clients: try\\nagain\n"),
        (Vec::new(), ": the connection was closed without an answer\n"),
    ];
    for (bytes, end) in cases {
        let (finished, _) = run(&["ready"], vec![bytes]);
        assert_eq!((finished.status, finished.out.as_str()), (1, ""));
        assert!(finished.err.ends_with(end), "{}", finished.err);
        assert_eq!(finished.err.lines().count(), 1, "{}", finished.err);
    }
    let finished = finish(ctl(&["--admin", &refusing().to_string(), "ready"]));
    assert_eq!((finished.status, finished.err.lines().count()), (1, 1));
}

#[test]
fn a_list_that_breaks_off_fails() {
    let first = r#"{"snapshot":false,"connections":[],"count":0,"next":"t"}"#;
    for form in ["--json", "--color=never"] {
        let (finished, _) = run(&["connections", "--limit=0", form], vec![ok(first), Vec::new()]);
        assert_eq!(finished.status, 1, "{finished:?}");
        assert!(finished.err.ends_with("closed without an answer\n"), "{finished:?}");
    }
}

#[test]
fn without_an_address_it_says_where_it_looked() {
    if Path::new("/run/oneloop/admin.sock").exists() {
        return;
    }
    let finished = finish(ctl(&["version"]));
    assert_eq!((finished.status, finished.out.as_str()), (1, ""));
    for line in ["no admin endpoint found", "/run/oneloop/admin.sock: does not exist", "--admin"] {
        assert!(finished.err.contains(line), "{}", finished.err);
    }
}

#[test]
fn usage_errors_have_status_2() {
    let mut command = ctl(&["version"]);
    command.env("ONELOOP_ADMIN", "udp://\x1b:7");
    let finished = finish(command);
    assert_eq!(finished.status, 2);
    assert!(finished.err.starts_with("oneloop: ONELOOP_ADMIN: bad address: "), "{}", finished.err);
    assert!(!finished.err.contains('\x1b'));
    assert_eq!(finish(ctl(&["nothing"])).status, 2);
    assert_eq!(finish(ctl(&[])).status, 2);
    let scratch = Scratch::new();
    for content in ["", "two\nlines", "a b", "\u{e9}"] {
        let path = file(&scratch, "token", content);
        let path = path.to_str().unwrap();
        let finished = finish(ctl(&["--admin", ":1", "--token-file", path, "version"]));
        assert_eq!(finished.status, 2, "{content:?}");
        assert!(finished.err.contains("one line of visible ASCII"), "{}", finished.err);
    }
    let missing = scratch.path("missing").display().to_string();
    let finished = finish(ctl(&["--admin", ":1", "--token-file", &missing, "version"]));
    assert_eq!(finished.status, 2);
    assert!(finished.err.ends_with("missing: No such file or directory\n"), "{}", finished.err);
}
