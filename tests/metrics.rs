//! The metrics of a running loop: their text is strict, their values are what happened, and the
//! page and the dashboard name no others.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]
#![cfg(target_os = "linux")]

use std::collections::BTreeSet;
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use oneloop::admin::metrics::{self, AdminCounts, MetricsCx};
use oneloop::config::{AdminPlan, Color, LogPlan, Plan, Policy, Route};
use oneloop::core::event::DropReason;
use oneloop::core::{Event, Key, Moment, Observer, Reason, Turn, Wants};
use oneloop::net::ListenNames;
use oneloop::observe::{self, Watch};
use oneloop::runtime::reactor::Reactor;
use oneloop::runtime::start;

use metrics_text::{Metrics, parse};

#[path = "support/metrics_text.rs"]
mod metrics_text;

/// Upper bound for any wait, on the busiest machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A route of each plan here. Its datagrams wake the loop, so that no turn sleeps for long.
const WAKER: &str = "udp://127.0.0.1:0=discard";

const ADMIN: AdminCounts =
    AdminCounts { clients: 2, streams: 1, accepted: 7, requests: [0, 5, 1, 3, 0] };

/// A loop that is driven by the test, with the observers of the daemon.
struct TestLoop {
    reactor: Reactor,
    observer: Listening,
    waker: UdpSocket,
}

/// The observers, and the addresses that were reported.
struct Listening {
    watch: Watch,
    addresses: Vec<String>,
}

impl Observer for Listening {
    fn on(&mut self, key: Key, event: &Event<'_>) {
        self.watch.on(key, event);
        if let Event::Listening { address, .. } = event {
            self.addresses.push(address.to_string());
        }
    }

    fn begin_turn(&mut self, now: Moment) -> Wants {
        self.watch.begin_turn(now)
    }
}

fn plan(routes: &[&str]) -> Plan {
    let routes = [WAKER].iter().chain(routes);
    Plan {
        routes: routes.map(|text| Route::parse(text, &Policy::default()).unwrap()).collect(),
        max_connections: Some(100),
        drain_timeout: Duration::from_secs(10),
        drain_idle: None,
        busy_poll: None,
        admin: AdminPlan::default(),
        record: None,
        record_bytes: false,
    }
}

impl TestLoop {
    fn start(routes: &[&str]) -> TestLoop {
        let watch = observe::start(&quiet());
        let mut observer = Listening { watch, addresses: Vec::new() };
        let (mut reactor, _) = start::bind(&plan(routes), &mut observer).unwrap();
        reactor.set_timed(true);
        let waker = UdpSocket::bind("127.0.0.1:0").unwrap();
        let test = TestLoop { reactor, observer, waker };
        test.waker.connect(test.address(0)).unwrap();
        test
    }

    fn address(&self, number: usize) -> SocketAddr {
        self.observer.addresses[number].split("://").nth(1).unwrap().parse().unwrap()
    }

    fn apply(&mut self, routes: &[&str]) {
        let turn = &mut Turn::new(self.reactor.now(), &mut self.observer);
        let plan = plan(routes);
        let names = ListenNames::resolve(plan.routes.iter().map(|route| &route.listen));
        self.reactor.apply(&plan, &names, turn).unwrap();
    }

    fn turn(&mut self) {
        self.waker.send(b"turn").unwrap();
        assert!(self.reactor.turn(&mut self.observer).unwrap().is_none());
    }

    fn client(&self, number: usize) -> TcpStream {
        let client = TcpStream::connect(self.address(number)).unwrap();
        client.set_nonblocking(true).unwrap();
        client
    }

    /// Takes turns until this many bytes have been read, or to the end.
    fn read(&mut self, from: &mut impl Read, count: usize) -> Vec<u8> {
        let (begin, mut bytes) = (Instant::now(), Vec::new());
        while bytes.len() < count {
            self.turn();
            let mut buffer = [0; 4096];
            match from.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => bytes.extend_from_slice(&buffer[..count]),
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
            assert!(begin.elapsed() < PATIENCE, "{} of {count} bytes", bytes.len());
        }
        bytes
    }

    fn text(&self) -> String {
        let cx = MetricsCx { reactor: &self.reactor, watch: &self.observer.watch, admin: ADMIN };
        let mut text = String::new();
        for index in 0..metrics::families() + 1 {
            metrics::write_family(index, &cx, &mut text);
        }
        text
    }

    fn metrics(&self) -> Metrics {
        let text = self.text();
        parse(&text).unwrap_or_else(|wrong| panic!("{wrong}\n{text}"))
    }
}

fn quiet() -> LogPlan {
    LogPlan {
        verbosity: 0,
        quiet: true,
        explain: Default::default(),
        access: None,
        color: Color::Never,
    }
}

/// The value of the series with this label value. Empty: of the series without labels.
fn value(metrics: &Metrics, name: &str, label: &str) -> f64 {
    let samples = &metrics.get(name).unwrap_or_else(|| panic!("no {name}")).samples;
    let is_it = |labels: &[(String, String)]| match labels {
        [] => label.is_empty(),
        labels => labels.iter().any(|(_, value)| value == label),
    };
    let mut found = samples.iter().filter(|sample| is_it(&sample.labels));
    let sample = found.next().unwrap_or_else(|| panic!("no {name} of {label}"));
    sample.value
}

fn histogram_count(metrics: &Metrics, name: &str) -> f64 {
    let samples = &metrics[name].samples;
    samples.iter().find(|sample| sample.name.ends_with("_count")).unwrap().value
}

#[test]
fn the_metrics_are_what_happened() {
    let target = TcpListener::bind("127.0.0.1:0").unwrap();
    let relay = format!("tcp://127.0.0.1:0=relay:{}", target.local_addr().unwrap());
    let routes = [&relay, "tcp://localhost:0=hub", "udp://127.0.0.1:0=echo"];
    let mut test = TestLoop::start(&routes);
    let mut client = test.client(1);
    client.write_all(b"five!").unwrap();
    while test.reactor.engine_counts().route(1).accepted == 0 {
        test.turn();
    }
    let (mut far, _) = target.accept().unwrap();
    far.set_nonblocking(true).unwrap();
    assert_eq!(test.read(&mut far, 5), b"five!");
    far.write_all(b"an answer").unwrap();
    assert_eq!(test.read(&mut client, 9), b"an answer");
    let route = "tcp://127.0.0.1:0";
    let metrics = test.metrics();
    assert_eq!(value(&metrics, "oneloop_connections_active", route), 1.0);
    assert_eq!(value(&metrics, "oneloop_connections_accepted_total", route), 1.0);
    assert_eq!(value(&metrics, "oneloop_received_bytes_total", route), 5.0);
    assert_eq!(value(&metrics, "oneloop_sent_bytes_total", route), 9.0);
    assert_eq!(value(&metrics, "oneloop_connections_limit", ""), 100.0);
    assert_eq!(histogram_count(&metrics, "oneloop_connect_seconds"), 1.0);
    assert_eq!(histogram_count(&metrics, "oneloop_first_byte_seconds"), 1.0);
    assert_eq!(histogram_count(&metrics, "oneloop_lifetime_seconds"), 0.0);
    // Once more, as the first byte is counted once.
    far.write_all(b"more").unwrap();
    assert_eq!(test.read(&mut client, 4), b"more");
    for socket in [&client, &far] {
        socket.shutdown(Shutdown::Write).unwrap();
    }
    assert_eq!(test.read(&mut client, 1), b"");
    // Two members of the hub: a message is delivered to the other one.
    let (mut one, mut two) = (test.client(2), test.client(2));
    while test.metrics()["oneloop_hub_members"].samples[0].value < 2.0 {
        test.turn();
    }
    one.write_all(b"hello\nhub\n").unwrap();
    assert_eq!(test.read(&mut two, 10), b"hello\nhub\n");
    let metrics = test.metrics();
    assert_eq!(value(&metrics, "oneloop_connections_active", route), 0.0);
    assert_eq!(value(&metrics, "oneloop_connections_closed_total", "finished"), 1.0);
    assert_eq!(value(&metrics, "oneloop_sent_bytes_total", route), 13.0);
    assert_eq!(histogram_count(&metrics, "oneloop_first_byte_seconds"), 2.0);
    assert_eq!(histogram_count(&metrics, "oneloop_lifetime_seconds"), 1.0);
    assert_eq!(value(&metrics, "oneloop_hub_messages_total", ""), 2.0);
    assert_eq!(value(&metrics, "oneloop_hub_deliveries_total", ""), 2.0);
    assert_eq!(value(&metrics, "oneloop_hub_lag_messages", ""), 0.0);
    assert_eq!(value(&metrics, "oneloop_received_bytes_total", "tcp://localhost:0"), 10.0);
    assert_eq!(value(&metrics, "oneloop_sent_bytes_total", "tcp://localhost:0"), 10.0);
    assert!(value(&metrics, "oneloop_datagrams_received_total", "") >= 2.0);
    assert_eq!(value(&metrics, "oneloop_datagram_flows", "udp://127.0.0.1:0"), 0.0);
    assert_eq!(value(&metrics, "oneloop_admin_requests_total", "4xx"), 3.0);
    assert_eq!(value(&metrics, "oneloop_turns_total", ""), test.reactor.turns() as f64);
    let turns = histogram_count(&metrics, "oneloop_turn_seconds");
    assert_eq!(turns, test.reactor.turns() as f64 - 1.0, "the present turn is not over");
    assert!(value(&metrics, "oneloop_events_total", "") >= turns);
    drop(one.read(&mut [0]));
}

#[test]
fn counters_survive_the_removal_of_their_route() {
    // The name does not depend on the port that the system chooses.
    let name = "tcp://127.0.0.1:0";
    let echo = format!("{name}=echo");
    let mut test = TestLoop::start(&[&echo]);
    let mut client = test.client(1);
    client.write_all(b"12345").unwrap();
    test.read(&mut client, 5);
    let received = |test: &TestLoop| value(&test.metrics(), "oneloop_received_bytes_total", name);
    // The route is retired, and its connection goes on.
    test.apply(&[]);
    client.write_all(b"678").unwrap();
    test.read(&mut client, 3);
    assert_eq!(received(&test), 8.0);
    client.shutdown(Shutdown::Write).unwrap();
    test.read(&mut client, 1);
    test.turn();
    assert_eq!(test.reactor.routes().len(), 1, "the route is freed");
    assert_eq!(received(&test), 8.0);
    // Another option of the listener, and another service: the same name.
    for (service, bytes) in [("backlog=9=echo", 2), ("backlog=8=discard", 0), ("backlog=7=echo", 2)]
    {
        test.apply(&[&format!("{name},{service}")]);
        let mut client = test.client(test.observer.addresses.len() - 1);
        client.write_all(b"90").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(test.read(&mut client, 3).len(), bytes);
    }
    let metrics = test.metrics();
    assert_eq!(value(&metrics, "oneloop_received_bytes_total", name), 14.0);
    assert_eq!(value(&metrics, "oneloop_connections_accepted_total", name), 4.0);
    assert_eq!(value(&metrics, "oneloop_connections_closed_total", "finished"), 4.0);
    assert_eq!(metrics["oneloop_connections_active"].samples.len(), 1, "one series of one name");
}

#[test]
fn every_reason_is_always_there() {
    let metrics = TestLoop::start(&[]).metrics();
    for (name, reasons) in [
        ("oneloop_connections_closed_total", &Reason::NAMES[..]),
        ("oneloop_datagrams_dropped_total", &DropReason::NAMES[..]),
    ] {
        let labels = metrics[name].samples.iter().map(|sample| &*sample.labels[0].1);
        assert_eq!(labels.collect::<Vec<&str>>(), reasons);
        assert_eq!(reasons.iter().collect::<BTreeSet<_>>().len(), reasons.len());
    }
}

#[test]
fn promtool_accepts_the_text() {
    let text = TestLoop::start(&["tcp://127.0.0.1:0=echo"]).text();
    let promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut promtool = match promtool {
        Ok(promtool) => promtool,
        Err(error) => return println!("skipped: promtool is not here: {error}"),
    };
    promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success() && said.is_empty(), "{said}\n{text}");
}

#[test]
fn the_page_has_the_table_of_the_metrics() {
    let (page, table) = (read("docs/metrics.md"), metrics::document());
    assert!(page.contains(&table), "docs/metrics.md does not contain this table:\n\n{table}");
}

#[test]
fn every_metric_that_is_written_is_in_the_table_and_most_are_written() {
    let metrics = TestLoop::start(&["tcp://127.0.0.1:0=echo"]).metrics();
    let known: BTreeSet<&str> = metrics::names().collect();
    assert_eq!(known.len(), metrics::families(), "a name is used twice");
    let missing: Vec<&&str> = known.iter().filter(|name| !metrics.contains_key(**name)).collect();
    // A kernel may not count descriptors or waits.
    assert!(
        metrics.keys().all(|name| known.contains(&**name)) && missing.len() <= 2,
        "{missing:?}"
    );
}

#[test]
fn the_page_names_metrics_of_the_table_only() {
    let (page, known) = (read("docs/metrics.md"), metrics::names().collect::<BTreeSet<_>>());
    let code: Vec<&str> = page.split('`').skip(1).step_by(2).collect();
    let names: Vec<&str> = code.into_iter().flat_map(metric_names).collect();
    assert!(names.len() > known.len());
    names.iter().for_each(|name| assert!(known.contains(family(name, &known)), "{name}"));
}

#[test]
fn the_dashboard_asks_for_metrics_of_the_table_only() {
    let known: BTreeSet<&str> = metrics::names().collect();
    let dashboard: serde_json::Value =
        serde_json::from_str(&read("packaging/grafana.json")).unwrap();
    let mut queries = Vec::new();
    collect_queries(&dashboard, &mut queries);
    assert!(queries.len() > 20, "only {} queries found", queries.len());
    let mut used = BTreeSet::new();
    for query in &queries {
        let names = metric_names(query);
        assert!(!names.is_empty(), "no metric in {query}");
        for name in names {
            let name = family(name, &known);
            assert!(known.contains(name), "{name} does not exist: {query}");
            used.insert(name);
        }
    }
    assert!(used.len() > 20, "only {used:?}");
}

/// Returns the metric that a series belongs to: a histogram has three kinds of them.
fn family<'a>(name: &'a str, known: &BTreeSet<&str>) -> &'a str {
    let suffixes = ["_bucket", "_sum", "_count"];
    let family = suffixes.iter().find_map(|suffix| name.strip_suffix(suffix));
    family.filter(|family| known.contains(family)).unwrap_or(name)
}

/// Collects the queries of all panels and variables.
fn collect_queries(value: &serde_json::Value, queries: &mut Vec<String>) {
    match value {
        serde_json::Value::Object(fields) => {
            for (name, value) in fields {
                match value.as_str() {
                    Some(text) if ["expr", "query", "definition"].contains(&&**name) => {
                        // The variable of the data source has the kind of the source as its query.
                        if text != "prometheus" {
                            queries.push(text.to_owned());
                        }
                    }
                    _ => collect_queries(value, queries),
                }
            }
        }
        serde_json::Value::Array(items) => {
            items.iter().for_each(|item| collect_queries(item, queries));
        }
        _ => {}
    }
}

/// Returns the names in a query that begin as those of metrics do.
fn metric_names(query: &str) -> Vec<&str> {
    let words = query.split(|ch: char| !ch.is_ascii_alphanumeric() && ch != '_');
    words.filter(|word| word.starts_with("oneloop_") || word.starts_with("process_")).collect()
}

#[test]
fn names_are_found_in_queries() {
    let query =
        "histogram_quantile(0.9, sum by (le) (rate(oneloop_x_bucket{a=\"b\"}[5m]))) / process_y";
    assert_eq!(metric_names(query), ["oneloop_x_bucket", "process_y"]);
}

#[test]
fn the_strict_parser_rejects_what_is_wrong() {
    let histogram = "# HELP h A.\n# TYPE h histogram\n\
                     h_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_sum 3\nh_count 2\n";
    let counter = "# HELP c_total A \\\\ b.\n# TYPE c_total counter\nc_total{a=\"x\\\"\\n\"} 1\n";
    let metrics = parse(&format!("{histogram}{counter}")).unwrap();
    assert_eq!(metrics["c_total"].help, "A \\ b.");
    assert_eq!(value(&metrics, "c_total", "x\"\n"), 1.0);
    let wrong = [
        (counter, "1\n", "1", "does not end"),
        (counter, "A \\\\ b", "A \\t b", "escape"),
        (counter, "\\\"\\n", "\\x", "escape"),
        (counter, "# HELP c_total A \\\\ b.\n", "", "TYPE without HELP"),
        (counter, "# TYPE c_total counter\n", "", "without TYPE"),
        (counter, "counter", "summary", "not the one TYPE"),
        (counter, "c_total{", "d_total{", "another metric"),
        (counter, "} 1", "} -1", "below zero"),
        (counter, "} 1", "} 1e3", "number"),
        (counter, "} 1", "}1", "no space"),
        (counter, "{a=", "{A=", "label"),
        (histogram, "le=\"1\"", "le=\"nan\"", "bound"),
        (
            histogram,
            "h_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 2\n",
            "h_bucket{le=\"+Inf\"} 2\nh_bucket{le=\"1\"} 1\n",
            "order",
        ),
        (histogram, "h_bucket{le=\"+Inf\"} 2\n", "", "order"),
        (histogram, "h_count 2", "h_count 3", "not the count"),
        (histogram, "le=\"1\"} 1", "le=\"1\"} 5", "cumulative"),
        (histogram, "h_sum 3\n", "", "one sum"),
        (histogram, "h_sum 3", "h_count 3", "second sample"),
    ];
    for (text, from, to, expected) in wrong {
        assert!(text.contains(from), "{from}");
        let error = parse(&text.replace(from, to)).expect_err(to);
        assert!(error.contains(expected), "{from} -> {to}: {error}");
    }
    let twice = format!("{counter}{}", counter.lines().last().unwrap());
    assert!(parse(&format!("{twice}\n")).unwrap_err().contains("second sample"));
    assert!(parse(&format!("{counter}{counter}")).unwrap_err().contains("second HELP"));
    assert!(parse("# HELP x A.\n# TYPE x gauge\n").unwrap_err().contains("no samples"));
}

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
