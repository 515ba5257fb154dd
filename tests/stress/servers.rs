//! Tests of idle timeouts of real servers, where they are installed.
#![cfg(unix)]

use std::fs;
use std::io::Read;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use oneloop::config::{LoadKind, StressPlan};
use oneloop::stress::idle_probe::Mode;
use oneloop::stress::load_stats::DeathCause;

use crate::kept::Kept;
use crate::scratch::Scratch;
use crate::tool::{plan, run, server};

/// Whether a program is installed. If not, the test prints that and passes.
fn has(program: &str) -> bool {
    let mut command = Command::new(program);
    let quiet = command.arg("-v").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let has = quiet.status().is_ok();
    if !has {
        println!("skipped: {program} is not installed");
    }
    has
}

/// Returns an address whose port was just free.
fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Starts a server, and waits until it listens on this address.
fn start(command: &mut Command, at: SocketAddr) -> Kept {
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut server = Kept(quiet.spawn().unwrap());
    let started = Instant::now();
    while TcpStream::connect(at).is_err() {
        assert!(started.elapsed() < Duration::from_secs(60), "it never listens");
        assert!(server.0.try_wait().unwrap().is_none(), "it does not run");
        thread::sleep(Duration::from_millis(10));
    }
    server
}

/// Checks that the search finds a server that closes connections idle for a second or so.
fn closes_the_silent(to: SocketAddr) {
    let find_idle_timeout = Some(Duration::from_secs(20));
    let outcome = run(&StressPlan { find_idle_timeout, ..plan(to, LoadKind::Idle, 1) });
    assert!(outcome.is_ok(), "{outcome:?}");
    let result = outcome.probe.unwrap();
    assert_eq!(result.mode, Some(Mode::Silent), "{result:?}");
    let (died, how) = result.died.unwrap();
    assert!(died > Duration::from_millis(500) && how == DeathCause::Fin, "{result:?}");
}

/// Writes a configuration file.
fn written(scratch: &Scratch, text: &str) -> PathBuf {
    let path = scratch.path("conf");
    fs::write(&path, text).unwrap();
    path
}

#[test]
fn the_idle_timeout_of_redis_is_found() {
    if !has("redis-server") {
        return;
    }
    let (at, scratch) = (free(), Scratch::new());
    let text = format!("port {}\nbind 127.0.0.1\nsave \"\"\ntimeout 1\n", at.port());
    let mut redis = Command::new("redis-server");
    let _redis = start(redis.arg(written(&scratch, &text)).current_dir(scratch.path("")), at);
    closes_the_silent(at);
}

#[test]
fn the_header_timeout_of_nginx_is_found() {
    if !has("nginx") {
        return;
    }
    let (at, scratch) = (free(), Scratch::new());
    let text = format!(
        "daemon off; master_process off; pid pid; error_log log; events {{}}\n\
         http {{ access_log off; client_header_timeout 1s; client_body_temp_path a;\n\
         proxy_temp_path b; fastcgi_temp_path c; uwsgi_temp_path d; scgi_temp_path e;\n\
         server {{ listen {at}; return 204; }} }}\n"
    );
    let mut nginx = Command::new("nginx");
    nginx.arg("-p").arg(scratch.path("")).arg("-c").arg(written(&scratch, &text));
    let _nginx = start(&mut nginx, at);
    closes_the_silent(at);
}

#[test]
fn the_client_timeout_of_haproxy_is_found() {
    if !has("haproxy") {
        return;
    }
    let (at, scratch) = (free(), Scratch::new());
    let to = server(|mut stream| while let Ok(1..) = stream.read(&mut [0; 100]) {});
    let text = format!(
        "defaults\n mode tcp\n timeout connect 5s\n timeout client 1s\n timeout server 50s\n\
         listen relay\n bind {at}\n server target {to}\n"
    );
    let mut haproxy = Command::new("haproxy");
    let _haproxy = start(haproxy.arg("-db").arg("-f").arg(written(&scratch, &text)), at);
    closes_the_silent(at);
}
