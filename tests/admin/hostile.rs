//! Clients that send nonsense, too much, or nothing, and clients that do not read.

use std::io::Write;
use std::time::Duration;

use crate::http::Http;
use crate::test_daemon::TestDaemon;
use crate::wait::until;

fn daemon() -> TestDaemon {
    TestDaemon::start("echo 127.0.0.1:0 --admin 127.0.0.1:0 --metrics 127.0.0.1:0 -v")
}

/// The status of the answer to these bytes.
fn status(daemon: &TestDaemon, bytes: &[u8]) -> u16 {
    let mut client = Http::connect(daemon, 1);
    client.stream.send(bytes);
    client.reply(true).status
}

#[test]
fn nonsense_gets_its_status_and_the_daemon_goes_on() {
    let daemon = daemon();
    let port = daemon.at(1).port();
    let with = |line: &str, rest: &str| {
        format!("{line}\r\nHost: localhost:{port}\r\n{rest}\r\n").into_bytes()
    };
    let many: String = (0..40).map(|n| format!("X-{n}: {n}\r\n")).collect();
    let long = format!("X: {}\r\n", "y".repeat(9000));
    let cases = [
        (b"hello\r\n\r\n".to_vec(), 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n".to_vec(), 400),
        (with("GET /nowhere HTTP/1.1", ""), 404),
        (with("POST /routes HTTP/1.1", ""), 405),
        (with("BREW /routes HTTP/1.1", ""), 501),
        (with("GET /routes HTTP/1.1", &many), 431),
        (with("GET /routes HTTP/1.1", &long), 431),
        (
            with(
                "POST /drain HTTP/1.1",
                "Content-Type: application/json\r\nContent-Length: 5000\r\n",
            ),
            413,
        ),
        (with("POST /drain HTTP/1.1", "Content-Type: text/plain\r\nContent-Length: 2\r\n"), 415),
        (with("POST /drain HTTP/1.1", "Transfer-Encoding: chunked\r\n"), 501),
        (with("POST /drain HTTP/1.1", "Content-Length: 2\r\nContent-Length: 3\r\n"), 400),
        (with("GET /connections/99 HTTP/1.1", ""), 404),
        (with("GET /connections?limit=%zz HTTP/1.1", ""), 400),
    ];
    for (bytes, expected) in cases {
        let is = status(&daemon, &bytes);
        assert_eq!(is, expected, "{}", String::from_utf8_lossy(&bytes[..bytes.len().min(200)]));
    }
    daemon.client(0).echo(b"hello");
}

#[test]
fn requests_sent_at_once_are_answered_in_order() {
    let daemon = daemon();
    let mut client = Http::connect(&daemon, 1);
    let paths = ["/version", "/routes", "/connections", "/livez", "/limits"];
    for round in 0..8 {
        client.send("GET", paths[round % paths.len()], "", "");
    }
    client.send("HEAD", "/connections", "", "");
    client.send("GET", "/reasons", "", "");
    for round in 0..8 {
        let key = ["version", "routes", "connections", "status", "limits"][round % paths.len()];
        assert!(client.reply(true).json().get(key).is_some(), "{round}");
    }
    assert_eq!(client.reply(false).status, 200);
    assert!(client.reply(true).json().get("reasons").is_some());
}

#[test]
fn a_client_of_http_1_0_gets_its_answer_and_the_end() {
    let daemon = daemon();
    let mut client = Http::connect(&daemon, 1);
    client.stream.send(b"GET /connections HTTP/1.0\r\n\r\n");
    let text = String::from_utf8(client.stream.rest()).unwrap();
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n") && !text.contains("chunked"), "{text}");
    assert!(text.ends_with("\"next\":null}\n"), "{text}");
}

#[test]
fn a_request_that_never_ends_is_given_up_and_others_are_served_meanwhile() {
    let daemon = daemon();
    let mut slow = Http::connect(&daemon, 1);
    slow.stream.send(b"GET /version HTTP/1.1\r\nHos");
    for _ in 0..20 {
        assert_eq!(Http::connect(&daemon, 1).get("/livez").status, 200);
    }
    slow.reply(true).problem(408);
    slow.stream.rest();
}

#[test]
fn idle_clients_make_room_for_new_ones() {
    let daemon = daemon();
    let mut idle: Vec<Http> = (0..64).map(|_| Http::connect(&daemon, 1)).collect();
    for client in &mut idle {
        assert_eq!(client.get("/livez").status, 200);
    }
    let mut more: Vec<Http> = (0..20).map(|_| Http::connect(&daemon, 1)).collect();
    for client in &mut more {
        assert_eq!(client.get("/livez").status, 200);
    }
    idle[0].stream.rest();
    assert_eq!(idle[63].get("/livez").status, 200, "the newest of them is still there");
}

#[test]
fn busy_clients_keep_new_ones_out_with_an_answer_and_those_for_metrics_never_an_operator() {
    let daemon = daemon();
    // Each has begun a request, so none can be closed to make room once that has arrived.
    let mut busy: Vec<Http> = Vec::new();
    let refused = until("one more is refused", || {
        let mut client = Http::connect(&daemon, 2);
        client.stream.send(b"GET /metr");
        busy.push(client);
        let reply = Http::connect(&daemon, 2).get("/livez");
        (reply.status == 503).then_some(reply)
    });
    assert!(refused.header("Retry-After").is_some());
    assert_eq!(Http::connect(&daemon, 1).get("/version").status, 200);
    drop(busy);
    until("there is room again", || {
        (Http::connect(&daemon, 2).get("/livez").status == 200).then_some(())
    });
}

#[test]
fn a_client_that_does_not_read_holds_one_part_of_its_answer() {
    let daemon = daemon();
    let clients: Vec<_> = (0..300).map(|_| daemon.client(0)).collect();
    daemon.says("#300 opened: ");
    let before = daemon.memory();
    let mut greedy: Vec<Http> = (0..10).map(|_| Http::connect(&daemon, 1)).collect();
    for client in &mut greedy {
        client.stream.set_nonblocking(true);
        for _ in 0..2000 {
            let request = b"GET /connections HTTP/1.1\r\nHost: localhost\r\n\r\n";
            let host = format!("localhost:{}", daemon.at(1).port());
            let text = String::from_utf8_lossy(request).replace("localhost", &host);
            if client.stream.write(text.as_bytes()).is_err() {
                break;
            }
        }
    }
    for client in clients.iter().take(20) {
        client.duplicate().echo(b"undisturbed");
    }
    until("it waits for their sockets", || {
        (daemon.cpu_in_a_second() < Duration::from_millis(100)).then_some(())
    });
    let more = daemon.memory() - before;
    assert!(more < 8 * 1024 * 1024, "{more} bytes more");
}
