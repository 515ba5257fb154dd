//! Each command: its request and its output.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::process::Stdio;

use crate::scratch::Scratch;
use crate::server::{HttpServer, accept, ctl, file, finish, ok, request, run};

const ROW: &str = r#"{"id":7,"route":"web","service":"relay","state":"streaming",
"peer":"10.0.0.9:51234","target":"tcp://10.0.0.1:80","age_seconds":200.5,"idle_seconds":0.3,
"received_bytes":1234567,"sent_bytes":999,"unsent_bytes":0,"at":"2026-11-20T16:11:58Z"}"#;

/// Returns a page of rows with these numbers.
fn page(ids: std::ops::Range<u32>, next: &str) -> String {
    let count = ids.len();
    let rows = ids.map(|id| ROW.replace("\"id\":7", &format!("\"id\":{id}")));
    let rows = rows.collect::<Vec<_>>().join(",");
    format!(r#"{{"snapshot":false,"connections":[{rows}],"count":{count},"next":{next}}}"#)
}

/// Returns the first line and the body of a request.
fn line_and_body(request: &str) -> (&str, &str) {
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    (head.lines().next().unwrap().strip_suffix(" HTTP/1.1").unwrap(), body)
}

/// Arguments, request line, body of the request, answer, and output.
type Case = (&'static [&'static str], &'static str, &'static str, &'static str, &'static str);

const CASES: [Case; 21] = [
    (
        &["connection", "7"],
        "GET /connections/7",
        "",
        r#"{"id":7,"route":"web","service":"echo","state":"streaming","peer":"10.0.0.9:51234",
        "target":null,"age_seconds":2.5,"idle_seconds":0.3,"received_bytes":5,"sent_bytes":5,
        "unsent_bytes":0,"at":"T","opened_at":"T0","closed_first":null,"timers":[],"ends":[],
        "flows":[{"from":"client","to":"client","moved_bytes":5,"unsent_bytes":0,"ended":false,
        "where_are_the_bytes":{"unsent_bytes":0,"peer_window_bytes":65536},"who_is_slow":null}],
        "verdict":"waits for the client"}"#,
        "#7 waits for the client\n  route     web, echo\n  client    10.0.0.9:51234\n  \
         state     streaming\n  opened    T0, 2.50 s ago\n  idle      300 ms\n  received  5 B\n  \
         sent      5 B\n  unsent    0 B\n  timers    none\n\nclient to client\n  \
         moved        5 B\n  unsent       0 B\n  end of file  not yet\n  \
         where are the bytes:\n    read, unsent         0 B\n    \
         peer's window, free  65.5 kB (65,536 B)\n",
    ),
    (
        &["close", "7"],
        "DELETE /connections/7",
        "",
        r#"{"id":7,"reason":"admin"}"#,
        "#7 closed: admin\n",
    ),
    (
        &["watch", "peer=10.0.0.0/8", "--for", "90s", "--bytes"],
        "POST /watch?peer=10.0.0.0/8&for=90s&bytes=yes",
        "",
        r#"{"watches":[{"connection":null,"peer":"10.0.0.0/8","route":null,
        "left_seconds":90.0,"bytes":true},{"connection":7,"peer":null,"route":null,
        "left_seconds":2.5,"bytes":false}],
        "connections":3,"left_out":1,"record":"16M","kept_seconds":null}"#,
        "watching peer 10.0.0.0/8 for 90.0 s, with payload\nwatching #7 for 2.50 s\n\
         3 open connections now\nnot watched, too many: 1\nrecording: 16M\n",
    ),
    (
        &["watch", "off"],
        "DELETE /watch",
        "",
        r#"{"watches":[],"connections":0,"left_out":0,"record":"16M","kept_seconds":600.0}"#,
        "watching nothing\nrecording: 16M, kept for 10 min\n",
    ),
    (
        &["watch"],
        "GET /watch",
        "",
        r#"{"watches":[],"connections":0,"left_out":0,"record":null,"kept_seconds":null}"#,
        "watching nothing\n",
    ),
    (
        &["routes"],
        "GET /routes",
        "",
        r#"{"routes":[{"name":"web","service":"echo","targets":[],"retired":false,"active":3,
        "flows":0,"accepted":12,"received_bytes":5,"sent_bytes":5000}]}"#,
        "ROUTE  SERVICE  ACTIVE  ACCEPTED   IN     OUT\n\
         web    echo          3        12  5 B  5.0 kB\n",
    ),
    (
        &["listeners"],
        "GET /listeners",
        "",
        r#"{"listeners":[{"address":"tcp://:7","route":"web","service":"echo",
        "state":"accepting","paused_by":null,"queue":0,"queue_limit":128}]}"#,
        "LISTENER  ROUTE  SERVICE  STATE         QUEUE\n\
         tcp://:7  web    echo     accepting  0 of 128\n",
    ),
    (
        &["loop"],
        "GET /loop",
        "",
        r#"{"turns":10,"events":20,"events_per_turn":2.0,"turns_at_once":4,"turns_slept":6,
        "poll_seconds":1.5,"poll_share":0.5,"waiting_to_run_seconds":null,"ran_seconds":0.25,
        "connections_queued":0,"longest_turn":null,"verdict":"no turn was late"}"#,
        "no turn was late\n  turns               10\n  turns that slept    6\n  \
         turns at once       4\n  events              20\n  events per turn     2.00\n  \
         in poll             1.50 s, 50 %\n  ran                 250 ms\n  connections queued  0\n",
    ),
    (
        &["timers"],
        "GET /timers",
        "",
        r#"{"deadlines":0,"next_wakeup_seconds":0.5,"fired":0,"mean_lag_seconds":0.0,
        "drain":null}"#,
        "  deadlines     0\n  next wake-up  in 500 ms\n  fired         0\n  mean lag      0 ns\n",
    ),
    (
        &["limits"],
        "GET /limits",
        "",
        r#"{"limits":[{"name":"connections","used":5,"limit":1000,"effect":"accepting pauses"}]}"#,
        "  connections  5 of 1,000, 0.5 %\n               at the limit: accepting pauses\n",
    ),
    (
        &["reasons"],
        "GET /reasons",
        "",
        r#"{"reasons":[{"name":"finished","closed":12345,
        "meaning":"both sides closed in order"}]}"#,
        "REASON    CLOSED  MEANING\nfinished  12,345  both sides closed in order\n",
    ),
    (&["level"], "GET /log/level", "", r#"{"level":"info"}"#, "info\n"),
    (
        &["level", "info,oneloop::loop=trace"],
        "POST /log/level",
        r#"{"level":"info,oneloop::loop=trace"}"#,
        r#"{"level":"info,oneloop::loop=trace"}"#,
        "info,oneloop::loop=trace\n",
    ),
    (
        &["pause"],
        "POST /pause",
        "",
        r#"{"changed":["tcp://:7"],"paused":["tcp://:7"]}"#,
        "paused now: tcp://:7\npaused by an operator: tcp://:7\n",
    ),
    (
        &["resume", "7"],
        "POST /resume?listener=tcp://:7",
        "",
        r#"{"changed":["tcp://:7"],"paused":[]}"#,
        "resumed now: tcp://:7\npaused by an operator: none\n",
    ),
    (
        &["drain"],
        "POST /drain",
        "",
        r#"{"connections":3,"flows":1,"timeout_seconds":10.0}"#,
        "draining 3 connections and 1 flow, at most 10.0 s\n",
    ),
    (&["ready"], "GET /readyz", "", r#"{"status":"ok"}"#, ""),
    (
        &["version"],
        "GET /version",
        "",
        r#"{"version":"0.1.0","pid":7,"started_at":"T","up_seconds":1.0,"state":"running"}"#,
        "  version  0.1.0\n  process  7\n  state    running\n  started  T\n  up       1.00 s\n",
    ),
    (
        &["config"],
        "GET /config",
        "",
        "[route.a]\nlisten = \":7\"\n",
        "[route.a]\nlisten = \":7\"\n",
    ),
    (
        &["reload"],
        "POST /reload",
        "",
        r#"{"added":1,"changed":2,"removed":0,"unchanged":3,"warnings":["log.color needs\u001b"]}"#,
        "reloaded: 1 added, 2 changed, 0 removed, 3 unchanged\nwarning: log.color needs\\x1b\n",
    ),
    (&["GET", "/x?y=%20"], "GET /x?y=%20", "", "any\x1b[1m text", "any\x1b[1m text"),
];

#[test]
fn each_command_is_one_request_and_prints_the_answer() {
    for (arguments, line, body, answer, out) in CASES {
        let (finished, requests) = run(arguments, vec![ok(answer)]);
        assert_eq!((finished.out.as_str(), finished.err.as_str()), (out, ""), "{arguments:?}");
        assert_eq!(finished.status, 0, "{arguments:?}");
        assert_eq!(line_and_body(&requests[0]), (line, body));
    }
}

#[test]
fn json_is_printed_with_the_fields_and_numbers_of_the_daemon() {
    for (arguments, line, _, answer, _) in CASES {
        if ["ready", "config", "GET"].contains(&arguments[0]) {
            continue;
        }
        // A field that this version does not know, and a number that no f64 holds.
        let more = r#","z_new":18446744073709551615,"a_new":"\u009b"}"#;
        let answer = format!("{}{more}", answer.strip_suffix('}').unwrap());
        let mut with_json = vec!["--json"];
        with_json.extend(arguments);
        let (finished, requests) = run(&with_json, vec![ok(&answer)]);
        assert_eq!((finished.status, finished.err.as_str()), (0, ""));
        assert_eq!(line_and_body(&requests[0]).0, line);
        let is_space = |c: &char| c.is_ascii_whitespace();
        let bare = |text: &str| text.chars().filter(|c| !is_space(c)).collect::<String>();
        assert_eq!(bare(&finished.out), bare(&answer));
        assert!(finished.out.lines().count() > 2 && finished.out.ends_with("\n}\n"));
    }
}

#[test]
fn connections_are_a_table_of_50_rows_unless_told_otherwise() {
    let answers = || vec![ok(&page(1..51, "\"t=1\""))];
    let (finished, requests) = run(&["connections"], answers());
    assert_eq!(line_and_body(&requests[0]).0, "GET /connections?limit=50");
    let lines: Vec<&str> = finished.out.lines().collect();
    assert_eq!(lines.len(), 52, "{}", finished.out);
    let title = "ID  STATE      PEER            TARGET         AGE   IDLE      IN    OUT";
    assert_eq!(lines[0], title);
    let row = " 7  streaming  10.0.0.9:51234  10.0.0.1:80  3 min  0.3 s  1.2 MB  999 B";
    assert_eq!(lines[7], row);
    assert_eq!(lines[51], "… there may be more: --limit N, 0 for all");
    let (finished, _) = run(&["connections"], vec![ok(&page(1..3, "null"))]);
    assert_eq!(finished.out.lines().count(), 3);
    let (finished, _) = run(&["connections"], vec![ok(&page(0..0, "null"))]);
    assert_eq!((finished.status, finished.out.lines().count()), (0, 1));
    let (finished, _) = run(&["connections", "--color", "always"], answers());
    assert!(finished.out.starts_with("\x1b[1mID  STATE"), "{}", finished.out);
}

#[test]
fn all_connections_are_requested_page_by_page() {
    let pages = || {
        let pages = [page(0..1000, "\"t=1\""), page(0..0, "\"t=2\""), page(1000..1005, "null")];
        pages.iter().map(|page| ok(page)).collect::<Vec<_>>()
    };
    let targets = ["limit=1000", "limit=1000&after=t%3D1", "limit=1000&after=t%3D2"];
    let targets = targets.map(|query| format!("GET /connections?{query}"));
    let (table, requests) = run(&["connections", "--limit", "0"], pages());
    let lines: Vec<_> = requests.iter().map(|request| line_and_body(request).0).collect();
    assert_eq!(lines, targets);
    assert_eq!(table.out.lines().filter(|line| line.contains("streaming")).count(), 1005);
    let (json, requests) = run(&["connections", "--json"], pages());
    let lines: Vec<_> = requests.iter().map(|request| line_and_body(request).0).collect();
    assert_eq!(lines, targets);
    let value: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    let rows = value["connections"].as_array().unwrap();
    assert_eq!((rows.len(), rows[1004]["id"].as_u64()), (1005, Some(1004)));
    assert_eq!((&value["count"], &value["next"]), (&1005.into(), &serde_json::Value::Null));
    // One page and several have the same form.
    let (one, _) = run(&["connections", "--json", "--limit", "2"], vec![ok(&page(0..2, "\"t\""))]);
    let row = |text: &str| text.lines().nth(3).unwrap().to_string();
    assert_eq!(row(&one.out), row(&json.out));
    assert_eq!(one.out.lines().last(), json.out.lines().last());
    assert!(one.out.ends_with("\n  ],\n  \"count\": 2,\n  \"next\": \"t\"\n}\n"), "{}", one.out);
}

#[test]
fn filters_become_a_query() {
    let arguments = [
        "connections",
        "--route=a b",
        "--peer=10.0.0.0/8",
        "--state=half-closed",
        "--idle-longer=90s",
        "--sort=idle",
        "--limit=2",
    ];
    let (finished, requests) = run(&arguments, vec![ok(&page(0..2, "null"))]);
    let query = "route=a%20b&peer=10.0.0.0/8&state=half-closed&idle_longer=90s&sort=idle&limit=2";
    assert_eq!(line_and_body(&requests[0]).0, format!("GET /connections?{query}"));
    assert!(finished.out.ends_with("0 for all\n"), "{}", finished.out);
    // A sorted list has no second page.
    let all = ["connections", "--sort=idle", "--limit=0"];
    let (finished, _) = run(&all, vec![ok(&page(0..1000, "null"))]);
    assert!(finished.out.ends_with("a sorted list has at most 1000 rows\n"));
    let (finished, _) = run(&all, vec![ok(&page(0..999, "null"))]);
    assert_eq!(finished.out.lines().count(), 1000);
}

#[test]
fn a_token_is_sent_with_every_request() {
    let scratch = Scratch::new();
    let path = file(&scratch, "token", "secret-token-of-32-characters-xx\n");
    let path = path.to_str().unwrap();
    let version = CASES.iter().find(|case| case.0 == ["version"]).unwrap().3;
    let (finished, requests) = run(&["version", "--token-file", path], vec![ok(version)]);
    assert_eq!(finished.status, 0, "{finished:?}");
    let header = "\r\nAuthorization: Bearer secret-token-of-32-characters-xx\r\n";
    assert!(requests[0].contains(header), "{}", requests[0]);
    let (_, requests) = run(&["version"], vec![ok(version)]);
    assert!(!requests[0].contains("Authorization"));
}

#[test]
fn the_address_comes_from_the_option_or_the_environment() {
    let version = CASES.iter().find(|case| case.0 == ["version"]).unwrap().3;
    let server = HttpServer::unix(vec![ok(version)]);
    let mut command = ctl(&["version"]);
    command.env("ONELOOP_ADMIN", format!("unix:{}", server.address));
    assert_eq!(finish(command).status, 0);
    assert!(server.requests()[0].contains("\r\nHost: localhost\r\n"));
    // A daemon of the system would be preferred to that of the user.
    if std::path::Path::new("/run/oneloop/admin.sock").exists() {
        return;
    }
    let scratch = Scratch::new();
    std::fs::create_dir(scratch.path("oneloop")).unwrap();
    let path = scratch.path("oneloop/admin.sock");
    let server = HttpServer::unix_at(&path, vec![ok(version)]);
    let mut command = ctl(&["version"]);
    command.env("XDG_RUNTIME_DIR", scratch.path(""));
    assert_eq!(finish(command).status, 0);
    server.requests();
}

#[test]
fn events_are_printed_as_they_arrive() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let arguments = ["--admin", &address, "events", "--level", "warning", "--connection", "7"];
    let mut child = ctl(&arguments).stdout(Stdio::piped()).spawn().unwrap();
    let mut stream = accept(&listener);
    let asked = request(&mut stream);
    assert_eq!(line_and_body(&asked).0, "GET /events?level=warning&connection=7");
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
        Transfer-Encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    let mut send = |text: &str| {
        let chunk = format!("{:x}\r\n{text}\r\n", text.len());
        stream.write_all(chunk.as_bytes()).unwrap();
    };
    let event = |at: &str| {
        format!(
            "id: 1\nevent: paused\ndata: {{\"at\":\"{at}\",\"event\":\"paused\",\
             \"level\":\"warning\",\"connection\":7,\"text\":\"accept \\u001b paused\"}}\n\n"
        )
    };
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    send(&event("T1"));
    assert_eq!(lines.next().unwrap().unwrap(), "T1 warning   accept \\x1b paused");
    send(&event("T2")[..20]);
    send(&event("T2")[20..]);
    assert_eq!(lines.next().unwrap().unwrap(), "T2 warning   accept \\x1b paused");
    stream.write_all(b"0\r\n\r\n").unwrap();
    assert!(lines.next().is_none());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_reader_that_left_is_no_failure() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let arguments = ["--admin", &address, "connections"];
    let mut command = ctl(&arguments);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stream = accept(&listener);
    request(&mut stream);
    drop(child.stdout.take());
    stream.write_all(&ok(&page(0..50, "null"))).unwrap();
    drop(stream);
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
}
