//! Real clients of the admin endpoint, where they are installed: curl, socat, ncat and Prometheus.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use crate::http::Http;
use crate::kept::Kept;
use crate::programs::{answer, has, spawn};
use crate::scratch::Scratch;
use crate::test_daemon::TestDaemon;
use crate::wait::until;

/// An echo daemon with an admin listener on TCP, and then one on a Unix socket.
fn daemons(scratch: &Scratch) -> (TestDaemon, TestDaemon) {
    let unix = format!("echo 127.0.0.1:0 --admin {}", scratch.path("admin.sock").display());
    (TestDaemon::start("echo 127.0.0.1:0 --admin 127.0.0.1:0"), TestDaemon::start(&unix))
}

/// Runs curl with these arguments, which are split at spaces, and returns its output.
fn curl(arguments: &str) -> String {
    let mut curl = Command::new("curl");
    curl.args(["-sS", "--max-time", "60"]).args(arguments.split_whitespace());
    String::from_utf8(answer(&mut curl, b"")).unwrap()
}

#[test]
fn curl_reads_over_tcp_and_unix_in_every_version_that_it_speaks() {
    if !has("curl") {
        return;
    }
    let scratch = Scratch::new();
    let (tcp, unix) = daemons(&scratch);
    let mut client = tcp.client(0);
    client.echo(b"hello");
    let socket = scratch.path("admin.sock");
    let unix_url = format!("--unix-socket {} http://localhost", socket.display());
    for base in [format!("http://{}", tcp.at(1)), unix_url] {
        for version in ["", "--http1.0", "--http1.1", "--http2"] {
            let health = curl(&format!("-i {version} {base}/livez"));
            let (head, body) = health.split_once("\r\n\r\n").unwrap();
            assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{version} {health}");
            assert_eq!(serde_json::from_str::<Value>(body).unwrap()["status"], "ok");
        }
        // A client that asks in HTTP/1.0 receives a list without chunks, up to the end of file.
        let list = curl(&format!("--raw --http1.0 {base}/connections"));
        let list: Value = serde_json::from_str(&list).unwrap();
        assert_eq!(list["count"], if base.contains("unix") { 0 } else { 1 });
        // curl would wait for a body that it was promised.
        let head = curl(&format!("-I {base}/metrics"));
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.ends_with("\r\n\r\n"), "{head}");
    }
    drop(unix);
}

#[test]
fn curl_uses_one_connection_for_several_requests_and_may_change_things_over_unix() {
    if !has("curl") {
        return;
    }
    let scratch = Scratch::new();
    let (tcp, unix) = daemons(&scratch);
    let base = format!("http://{}", tcp.at(1));
    // The second is chunked, and the third an error: both leave the connection in order.
    let urls =
        ["/version", "/connections", "/nowhere", "/loop"].map(|path| format!("{base}{path}"));
    let format = "-o /dev/null ".repeat(urls.len()) + "-w %{http_code}:%{num_connects}\\n ";
    let lines = curl(&(format + &urls.join(" ")));
    assert_eq!(lines, "200:1\n200:0\n404:0\n200:0\n");
    let socket = format!("--unix-socket {}", scratch.path("admin.sock").display());
    let code = "-o /dev/null -w %{http_code}";
    assert_eq!(curl(&format!("{code} -X POST {base}/pause")), "403");
    assert_eq!(curl(&format!("{code} {socket} -X POST http://localhost/pause")), "200");
    assert_eq!(curl(&format!("{code} {socket} -X POST http://localhost/resume")), "200");
    let level = format!("{socket} http://localhost/log/level");
    // The type that curl gives a body by itself is that of a form, which any page could send.
    assert_eq!(curl(&format!("{code} -d {{\"level\":\"debug\"}} {level}")), "415");
    assert!(curl(&level).contains("info"));
    let json = "-H Content-Type:application/json -d {\"level\":\"debug\"}";
    assert_eq!(curl(&format!("{code} {json} {level}")), "200");
    assert!(curl(&level).contains("debug"));
    drop(unix);
}

#[test]
fn curl_follows_the_events() {
    if !has("curl") {
        return;
    }
    let scratch = Scratch::new();
    let (tcp, _unix) = daemons(&scratch);
    let url = format!("http://{}/events?event=opened,closed", tcp.at(1));
    let mut curl = spawn(Command::new("curl").args(["-sSN", "--max-time", "60", &url]));
    let mut lines = BufReader::new(curl.0.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut until_line = |start: &str| {
        let line = lines.find(|line| line.starts_with(start));
        line.unwrap_or_else(|| panic!("no line starts with {start}"))
    };
    // Now the viewer is known, and misses nothing.
    until_line("retry:");
    tcp.client(0).echo(b"hello");
    assert_eq!(until_line("event:"), "event: opened");
    let data: Value = serde_json::from_str(&until_line("data: ")[6..]).unwrap();
    assert_eq!(data["connection"], 1);
    assert_eq!(until_line("event:"), "event: closed");
}

/// The end of a list without chunks is the end of the connection, and its head says so.
#[test]
fn an_old_client_that_asks_for_the_head_of_a_list_is_left_as_the_head_says() {
    let scratch = Scratch::new();
    let (tcp, _unix) = daemons(&scratch);
    for (path, word) in [("/livez", "keep-alive"), ("/connections", "close"), ("/metrics", "close")]
    {
        let mut client = Http::connect(&tcp, 1);
        let request = format!("HEAD {path} HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
        let last = "HEAD /livez HTTP/1.0\r\n\r\n";
        client.stream.send((request + last).as_bytes());
        let reply = client.reply(false);
        assert_eq!((reply.status, reply.header("connection")), (200, Some(word)), "{path}");
        if word == "keep-alive" {
            assert_eq!(client.reply(false).header("connection"), Some("close"), "{path}");
        }
        assert_eq!(client.stream.rest(), b"", "{path}");
    }
}

#[test]
fn a_client_that_ends_after_its_request_still_receives_the_answer() {
    let scratch = Scratch::new();
    let (tcp, _unix) = daemons(&scratch);
    let request = b"GET /livez HTTP/1.0\r\n\r\n";
    let is_whole = |said: Vec<u8>, who: &str| {
        let said = String::from_utf8(said).unwrap();
        let (head, body) = said.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{who}: {said:?}"));
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{who}: {head}");
        assert_eq!(serde_json::from_str::<Value>(body).unwrap()["status"], "ok", "{who}");
    };
    // Two requests and the end of file wait together, and each request is answered.
    let mut stopped = Http::connect(&tcp, 1);
    tcp.signal(Signal::STOP);
    stopped.send("GET", "/livez", "", "");
    stopped.send("GET", "/connections", "", "");
    stopped.stream.finish();
    tcp.signal(Signal::CONT);
    assert_eq!(stopped.reply(true).json()["status"], "ok");
    assert_eq!(stopped.reply(true).json()["count"], 0);
    // Because of its end of file, and not after the minute that a silent client may stay.
    stopped.stream.set_patience(Some(Duration::from_secs(30)));
    assert_eq!(stopped.stream.rest(), b"");
    let socket = scratch.path("admin.sock");
    let port = tcp.at(1).port();
    if has("socat") {
        let to_unix = format!("UNIX-CONNECT:{}", socket.display());
        for target in [to_unix, format!("TCP:127.0.0.1:{port}")] {
            let mut socat = Command::new("socat");
            is_whole(answer(socat.args(["-t60", "-", &target]), request), "socat");
        }
    }
    if has("ncat") {
        let mut ncat = Command::new("ncat");
        is_whole(answer(ncat.arg("-U").arg(&socket), request), "ncat -U");
        let mut ncat = Command::new("ncat");
        is_whole(answer(ncat.args(["127.0.0.1", &port.to_string()]), request), "ncat");
    }
}

/// A Prometheus that scrapes one target, with its storage in a directory of the test.
struct Prometheus {
    /// Where its HTTP API is.
    place: String,
    scratch: Scratch,
    _process: Kept,
}

impl Prometheus {
    fn start(target: &str) -> Prometheus {
        let scratch = Scratch::new();
        let [config, log] = ["prometheus.yml", "log"].map(|name| scratch.path(name));
        let text = format!(
            "global: {{ scrape_interval: 1s, scrape_timeout: 1s }}\n\
             scrape_configs:\n\
             - job_name: oneloop\n  static_configs: [{{ targets: ['{target}'] }}]\n"
        );
        fs::write(&config, text).unwrap();
        let mut command = Command::new("prometheus");
        command.arg(format!("--config.file={}", config.display()));
        command.arg(format!("--storage.tsdb.path={}", scratch.path("data").display()));
        command.arg("--web.listen-address=127.0.0.1:0");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&log).unwrap());
        let process = Kept(command.spawn().unwrap());
        let place = until("Prometheus is ready", || {
            let log = fs::read_to_string(&log).unwrap();
            let line = log.lines().find(|line| line.contains("msg=\"Listening on\""))?;
            let place = line.rsplit("address=").next()?.to_owned();
            log.contains("ready to receive web requests").then_some(place)
        });
        Prometheus { place, scratch, _process: process }
    }

    /// The data of an answer of its API.
    fn get(&self, path: &str) -> Value {
        let reply = Http::connect_to(&self.place).get(path).json();
        assert_eq!(reply["status"], "success", "{reply}");
        reply["data"].clone()
    }

    /// The value of a query that has one. None: it has none yet.
    fn value(&self, query: &str) -> Option<f64> {
        let data = self.get(&format!("/api/v1/query?query={query}"));
        data["result"][0]["value"][1].as_str().map(|value| value.parse().unwrap())
    }

    /// Waits until a query has this value. It scrapes once a second.
    fn expect(&self, query: &str, expected: f64) {
        until(query, || {
            let is_there = self.value(query) == Some(expected);
            if !is_there {
                thread::sleep(Duration::from_millis(100));
            }
            is_there.then_some(())
        });
    }
}

#[test]
fn prometheus_scrapes_the_metrics() {
    if !has("prometheus") {
        return;
    }
    let daemon = TestDaemon::start("echo 127.0.0.1:0 --metrics 127.0.0.1:0");
    let mut clients: Vec<_> = (0..3).map(|_| daemon.client(0)).collect();
    clients.iter_mut().for_each(|client| client.echo(b"hello"));
    let prometheus = Prometheus::start(&daemon.at(1).to_string());
    prometheus.expect("up", 1.0);
    prometheus.expect("sum(oneloop_connections_accepted_total)", 3.0);
    prometheus.expect("oneloop_connections_active", 3.0);
    clients.pop();
    prometheus.expect("oneloop_connections_active", 2.0);
    prometheus.expect("sum(oneloop_connections_closed_total)", 1.0);
    // What it has understood: a counter with a help text, and samples without a complaint.
    let described = prometheus.get("/api/v1/metadata?metric=oneloop_connections_accepted_total");
    let described = &described["oneloop_connections_accepted_total"][0];
    assert_eq!(described["type"], "counter", "{described}");
    assert!(described["help"].as_str().is_some_and(|help| !help.is_empty()), "{described}");
    let targets = prometheus.get("/api/v1/targets");
    let target = &targets["activeTargets"][0];
    assert_eq!((&target["health"], &target["lastError"]), (&"up".into(), &"".into()), "{target}");
    let log = fs::read_to_string(prometheus.scratch.path("log")).unwrap();
    let complaints: Vec<&str> = log.lines().filter(|line| !line.contains(" level=info ")).collect();
    assert!(complaints.is_empty(), "{complaints:#?}");
}
