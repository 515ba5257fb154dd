//! Real clients and real targets, where they are installed.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::pattern::bytes;
use crate::programs::{answer, has, spawn};
use crate::scratch::Scratch;
use crate::test_daemon::TestDaemon;
use crate::test_stream::TestStream;
use crate::wait::until;

fn port(daemon: &TestDaemon) -> String {
    daemon.at(0).port().to_string()
}

#[test]
fn socat_and_ncat_talk_to_an_echo_and_hear_all_of_it() {
    let daemon = TestDaemon::start("echo 127.0.0.1:0");
    let text = bytes(1, 500_000);
    if has("socat") {
        let target = format!("TCP:127.0.0.1:{}", port(&daemon));
        let said = answer(Command::new("socat").args(["-t60", "-", &target]), &text);
        assert!(said == text, "socat heard {} bytes", said.len());
    }
    if has("ncat") {
        let said = answer(Command::new("ncat").args(["127.0.0.1", &port(&daemon)]), &text);
        assert!(said == text, "ncat heard {} bytes", said.len());
    }
}

#[test]
fn socat_talks_to_a_unix_echo_and_to_udp() {
    if !has("socat") {
        return;
    }
    let scratch = Scratch::new();
    let line = format!("echo {} udp://127.0.0.1:0", scratch.unix("x"));
    let daemon = TestDaemon::start(&line);
    let target = format!("UNIX-CONNECT:{}", scratch.path("x").display());
    let text = bytes(2, 200_000);
    assert!(answer(Command::new("socat").args(["-t60", "-", &target]), &text) == text);
    let target = format!("UDP:127.0.0.1:{}", daemon.at(1).port());
    let said = answer(Command::new("socat").args(["-t1", "-T1", "-", &target]), b"ping");
    assert_eq!(said, b"ping");
}

#[test]
fn socat_is_a_target_that_answers_after_the_end_of_the_question() {
    if !has("socat") {
        return;
    }
    let scratch = Scratch::new();
    let listen = format!("UNIX-LISTEN:{},fork", scratch.path("wc").display());
    let mut socat = Command::new("socat");
    // It reports an error for the connection that only checks whether it listens.
    socat.args(["-t60", &listen, "SYSTEM:wc -c"]).stderr(Stdio::null());
    let _target = spawn(&mut socat);
    until("socat listens", || TestStream::try_connect(&scratch.unix("wc")).ok());
    let daemon = TestDaemon::start(&format!("relay 127.0.0.1:0 {}", scratch.unix("wc")));
    let mut client = daemon.client(0);
    client.send(&bytes(3, 123_456));
    client.finish();
    assert_eq!(String::from_utf8(client.rest()).unwrap().trim(), "123456");
}

/// Fetches a file through a relay, several times, and compares.
fn fetch(daemon: &TestDaemon, path: &str, expected: &[u8]) {
    let url = format!("http://127.0.0.1:{}/{path}", port(daemon));
    for _ in 0..3 {
        let said = answer(Command::new("curl").args(["-sS", "--max-time", "60", &url]), b"");
        assert!(said == expected, "curl got {} bytes", said.len());
    }
}

#[test]
fn curl_fetches_from_a_plain_server_through_a_relay() {
    if !has("curl") || !has("python3") {
        return;
    }
    let scratch = Scratch::new();
    let text = bytes(4, 3_000_000);
    fs::write(scratch.path("file"), &text).unwrap();
    let arguments = ["-u", "-m", "http.server", "0", "--bind", "127.0.0.1"];
    let mut python = Command::new("python3");
    let mut server =
        spawn(python.args(arguments).current_dir(scratch.path(".")).stderr(Stdio::null()));
    let mut line = String::new();
    BufReader::new(server.0.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let target = line.split("port ").nth(1).and_then(|rest| rest.split(' ').next());
    let target = target.unwrap_or_else(|| panic!("{line}"));
    let daemon = TestDaemon::start(&format!("relay 127.0.0.1:0 127.0.0.1:{target}"));
    fetch(&daemon, "file", &text);
}

fn nginx_conf(directory: &Path) -> String {
    let directory = directory.display();
    format!(
        "daemon off; master_process off; pid {directory}/pid; error_log {directory}/error;\n\
         events {{ }}\n\
         http {{ access_log off; client_body_temp_path {directory}/t1; \
         proxy_temp_path {directory}/t2; fastcgi_temp_path {directory}/t3; \
         uwsgi_temp_path {directory}/t4; scgi_temp_path {directory}/t5;\n\
         server {{ listen unix:{directory}/nginx.sock; root {directory}/www; }} }}\n"
    )
}

#[test]
fn curl_fetches_from_nginx_on_a_unix_socket_through_a_relay() {
    if !has("curl") || !has("nginx") {
        return;
    }
    let scratch = Scratch::new();
    let text = bytes(5, 5_000_000);
    fs::create_dir(scratch.path("www")).unwrap();
    fs::write(scratch.path("www/file"), &text).unwrap();
    let conf = scratch.path("conf");
    fs::write(&conf, nginx_conf(&scratch.path(""))).unwrap();
    let mut nginx = Command::new("nginx");
    nginx.arg("-p").arg(scratch.path("")).arg("-c").arg(&conf);
    let _nginx = spawn(nginx.stderr(Stdio::null()));
    until("nginx listens", || TestStream::try_connect(&scratch.unix("nginx.sock")).ok());
    let daemon = TestDaemon::start(&format!("relay 127.0.0.1:0 {}", scratch.unix("nginx.sock")));
    // The user of the server may not be allowed to read our directory.
    let url = format!("http://127.0.0.1:{}/file", port(&daemon));
    let probe = ["-sS", "-o", "/dev/null", "-w", "%{http_code}", &url];
    match answer(Command::new("curl").args(probe), b"").as_slice() {
        b"200" => fetch(&daemon, "file", &text),
        other => println!("skipped: nginx answers {}", String::from_utf8_lossy(other)),
    }
}

#[test]
fn redis_serves_single_commands_and_long_pipelines_through_a_relay() {
    if !has("redis-server") || !has("redis-cli") {
        return;
    }
    let scratch = Scratch::new();
    let socket = scratch.path("redis.sock");
    let arguments = ["--port", "0", "--save", "", "--appendonly", "no", "--unixsocket"];
    let mut server = Command::new("redis-server");
    server.args(arguments).arg(&socket).arg("--dir").arg(scratch.path(""));
    let _redis = spawn(&mut server);
    until("redis listens", || TestStream::try_connect(&scratch.unix("redis.sock")).ok());
    let daemon = TestDaemon::start(&format!("relay 127.0.0.1:0 {}", scratch.unix("redis.sock")));
    let port = port(&daemon);
    let ask = |words: &[&str]| {
        let said = answer(Command::new("redis-cli").args(["-p", &port]).args(words), b"");
        String::from_utf8(said).unwrap()
    };
    assert_eq!(ask(&["set", "key", "value"]), "OK\n");
    assert_eq!(ask(&["get", "key"]), "value\n");
    // Ten thousand commands in a pipeline, and one large value.
    let mut client = daemon.client(0);
    let mut writer = client.duplicate();
    let writing = std::thread::spawn(move || {
        (0..10_000).for_each(|_| writer.send(b"INCR counter\r\n"));
        writer.send(b"SET large ");
        writer.send(&[b'x'; 30_000]);
        writer.send(b"\r\nSTRLEN large\r\nQUIT\r\n");
    });
    let text = String::from_utf8(client.rest()).unwrap();
    writing.join().unwrap();
    assert!(text.ends_with(":9999\r\n:10000\r\n+OK\r\n:30000\r\n+OK\r\n"));
    assert_eq!(text.lines().count(), 10_003);
}

#[test]
fn an_echo_of_a_small_message_costs_one_read_and_one_write() {
    const MESSAGES: usize = 1000;
    if cfg!(mio_unsupported_force_poll_poll) {
        return println!("skipped: poll(2) promises less, and each message is read twice");
    }
    if !has("strace") {
        return;
    }
    let scratch = Scratch::new();
    let trace = scratch.path("trace");
    let daemon = TestDaemon::start("echo 127.0.0.1:0");
    let mut strace = Command::new("strace");
    strace.arg("-o").arg(&trace).args(["-p", &daemon.pid().to_string()]);
    let mut strace = spawn(strace.stderr(Stdio::piped()));
    let mut line = String::new();
    BufReader::new(strace.0.stderr.as_mut().unwrap()).read_line(&mut line).unwrap();
    if !line.contains("attached") {
        return println!("skipped: strace may not trace here: {line}");
    }
    let mut client = daemon.client(0);
    (0..MESSAGES).for_each(|_| client.echo(b"small"));
    client.finish();
    assert_eq!(client.rest(), b"");
    let count = |call: &str| {
        let text = fs::read_to_string(&trace).unwrap();
        text.lines().filter(|line| line.starts_with(&format!("{call}("))).count()
    };
    until("the end is traced", || (count("shutdown") == 1).then_some(()));
    let reads = count("recvfrom") + count("read");
    let writes = count("sendto");
    assert!((MESSAGES..MESSAGES + 100).contains(&reads), "{reads} reads");
    assert!((MESSAGES..MESSAGES + 20).contains(&writes), "{writes} writes");
    assert!(count("epoll_ctl") < 20, "{} calls of epoll_ctl", count("epoll_ctl"));
    assert!(count("epoll_wait") < MESSAGES + 20, "{} sleeps", count("epoll_wait"));
}
