//! Who may ask for what: two listeners with two powers, the token, names of the host, browsers.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use crate::http::{Http, get};
use crate::scratch::Scratch;
use crate::test_daemon::{TestDaemon, fails};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// A token file with this mode.
fn token_file(scratch: &Scratch, mode: u32) -> PathBuf {
    let path = scratch.path("token");
    fs::write(&path, format!("{TOKEN}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    path
}

#[test]
fn the_listener_for_metrics_has_three_resources_and_accepts_any_name() {
    let daemon = TestDaemon::start("echo 127.0.0.1:0 --metrics 127.0.0.1:0");
    let mut client = Http::connect(&daemon, 1);
    assert_eq!(client.get("/livez").json()["status"], "ok");
    assert_eq!(client.get("/readyz").json()["status"], "ok");
    let metrics = client.get("/metrics");
    assert_eq!(
        (metrics.status, metrics.header("Content-Type")),
        (200, Some("text/plain; version=0.0.4; charset=utf-8"))
    );
    for path in ["/", "/connections", "/config", "/events", "/log/level", "/connections/1"] {
        client.get(path).problem(404);
    }
    for path in ["/drain", "/pause", "/metrics"] {
        let reply = client.ask("POST", path, "", "");
        assert!([404, 405].contains(&reply.status), "{path}: {reply:?}");
    }
    let mut pod = Http::connect(&daemon, 1);
    pod.stream.send(b"GET /readyz HTTP/1.1\r\nHost: 10.244.3.7:9900\r\n\r\n");
    assert_eq!(pod.reply(true).status, 200);
    let two = b"GET /readyz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n";
    let mut odd = Http::connect(&daemon, 1);
    odd.stream.send(two);
    odd.reply(true).problem(400);
}

#[test]
fn on_loopback_reading_just_works_and_changing_needs_the_token() {
    let daemon = TestDaemon::start("echo 127.0.0.1:0 --admin 127.0.0.1:0");
    let mut admin = Http::connect(&daemon, 1);
    assert_eq!(admin.get("/version").json()["state"], "running");
    let detail = admin.ask("POST", "/drain", "", "").problem(403);
    assert!(detail.contains("--admin-token-file"), "{detail}");
    let scratch = Scratch::new();
    let file = token_file(&scratch, 0o600);
    let line =
        format!("echo 127.0.0.1:0 --admin 127.0.0.1:0 --admin-token-file {}", file.display());
    let mut daemon = TestDaemon::start(&line);
    let mut admin = Http::connect(&daemon, 1);
    assert_eq!(admin.get("/version").status, 200);
    let refused = admin.ask("POST", "/drain", "", "");
    assert_eq!(refused.header("WWW-Authenticate"), Some("Bearer"));
    refused.problem(401);
    let wrong = TOKEN.replace('0', "1");
    admin.ask("POST", "/drain", &format!("Authorization: Bearer {wrong}\r\n"), "").problem(401);
    let right = admin.ask("POST", "/drain", &format!("Authorization: Bearer {TOKEN}\r\n"), "");
    assert_eq!(right.status, 200);
    assert_eq!(daemon.code(), Some(0));
    assert!(daemon.lines().iter().all(|line| !line.contains(TOKEN)), "the log has the token");
}

#[test]
fn what_would_open_the_daemon_to_others_is_refused_at_the_start() {
    let scratch = Scratch::new();
    let readable = token_file(&scratch, 0o640);
    let cases = [
        ("echo 127.0.0.1:0 --admin 0.0.0.0:0".to_owned(), 2, "other machines"),
        ("echo 127.0.0.1:0 --admin udp://127.0.0.1:0".to_owned(), 2, "udp://127.0.0.1:0"),
        (
            format!(
                "echo 127.0.0.1:0 --admin 127.0.0.1:0 --admin-token-file {}",
                readable.display()
            ),
            1,
            "token",
        ),
        (
            "echo 127.0.0.1:0 --admin 127.0.0.1:0 --admin-token-file /nowhere".to_owned(),
            1,
            "/nowhere",
        ),
        ("echo 127.0.0.1:0 --admin-host a".to_owned(), 2, "--admin"),
    ];
    for (line, code, part) in cases {
        let (is, said) = fails(&line);
        assert!(is == code && said.contains(part), "{line}: {is} {said}");
    }
}

#[test]
fn only_our_own_names_are_accepted_as_the_host() {
    let daemon = TestDaemon::start("echo 127.0.0.1:0 --admin 127.0.0.1:0 --admin-host ops.example");
    let port = daemon.at(1).port();
    let status = |host: &str| {
        let mut client = Http::connect(&daemon, 1);
        client.stream.send(format!("GET /version HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes());
        client.reply(true).status
    };
    for (host, expected) in [
        (format!("127.0.0.1:{port}"), 200),
        (format!("localhost:{port}"), 200),
        (format!("[::1]:{port}"), 200),
        (format!("ops.example:{port}"), 200),
        ("ops.example".to_owned(), 200),
        ("127.0.0.1:1".to_owned(), 421),
        ("rebind.evil.example".to_owned(), 421),
        (format!("rebind.evil.example:{port}"), 421),
        ("[".to_owned(), 400),
        ("a b".to_owned(), 400),
        (String::new(), 400),
    ] {
        let is = status(&host);
        assert!(is == expected || expected == 421 && is == 400, "{host:?}: {is}");
    }
}

#[test]
fn a_page_of_another_origin_gets_nothing() {
    let daemon = TestDaemon::start("echo 127.0.0.1:0 --admin 127.0.0.1:0");
    let mut admin = Http::connect(&daemon, 1);
    let foreign = "Sec-Fetch-Site: cross-site\r\nOrigin: http://evil.example\r\n";
    admin.ask("GET", "/events", foreign, "").problem(403);
    admin.ask("GET", "/connections", foreign, "").problem(403);
    admin.ask("POST", "/drain", foreign, "").problem(403);
    admin.ask("POST", "/drain", "Origin: null\r\n", "").problem(403);
    let reply = admin.get("/version");
    for (name, value) in [
        ("Cross-Origin-Resource-Policy", "same-origin"),
        ("X-Content-Type-Options", "nosniff"),
        ("X-Frame-Options", "DENY"),
        ("Cache-Control", "no-store"),
    ] {
        assert_eq!(reply.header(name), Some(value));
    }
    assert!(reply.header("Content-Security-Policy").unwrap().contains("frame-ancestors 'none'"));
    assert!(reply.headers.iter().all(|(name, _)| !name.starts_with("Access-Control")));
    assert_eq!(get(&daemon, 1, "/version").status, 200);
}
