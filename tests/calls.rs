//! What a message costs in system calls, counted by strace: one read and one write for each end
//! that it passes, a share of one wait, and no change of what is waited for.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

const MESSAGES: usize = 500;

/// What may happen beside the messages: the last wait, a message in two pieces.
const ODD: usize = 20;

#[test]
fn an_echoed_message_costs_one_read_one_write_and_a_wait() {
    let Some(calls) = counted("echo 127.0.0.1:0", None) else { return };
    calls.are("recvfrom", MESSAGES);
    calls.are("sendto", MESSAGES);
    calls.at_most("epoll_wait", MESSAGES);
    calls.at_most("epoll_ctl", 0);
}

#[test]
fn a_relayed_message_and_its_answer_cost_two_of_each() {
    let target = TcpListener::bind("127.0.0.1:0").unwrap();
    let line = format!("relay 127.0.0.1:0 {}", target.local_addr().unwrap());
    let Some(calls) = counted(&line, Some(target)) else { return };
    calls.are("recvfrom", 2 * MESSAGES);
    calls.are("sendto", 2 * MESSAGES);
    calls.at_most("epoll_wait", 2 * MESSAGES);
    calls.at_most("epoll_ctl", 0);
}

/// The table that `strace -c` prints.
struct Calls(String);

impl Calls {
    fn of(&self, name: &str) -> usize {
        let row = self.0.lines().find(|line| line.split_whitespace().last() == Some(name));
        row.map_or(0, |row| row.split_whitespace().nth(3).unwrap().parse().unwrap())
    }

    fn are(&self, name: &str, wanted: usize) {
        let found = self.of(name);
        assert!((wanted..=wanted + ODD).contains(&found), "{name} {found}\n{}", self.0);
    }

    fn at_most(&self, name: &str, wanted: usize) {
        let allowed = if wanted == 0 { 0 } else { wanted + ODD };
        assert!(self.of(name) <= allowed, "{name}\n{}", self.0);
    }
}

/// Ends what it started, whatever happens.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Counts the daemon's calls while small messages go to and fro. None: there is no strace, or it
/// may not look.
fn counted(line: &str, target: Option<TcpListener>) -> Option<Calls> {
    if cfg!(mio_unsupported_force_poll_poll) {
        println!("skipped: poll(2) proves nothing by a short read");
        return None;
    }
    let mut daemon = Ended(
        Command::new(env!("CARGO_BIN_EXE_oneloop"))
            .args(line.split_whitespace())
            .env_remove("RUST_LOG")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    let mut log = BufReader::new(daemon.0.stderr.take().unwrap());
    let address = listening(&mut log);
    std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
    let mut client = TcpStream::connect(address).unwrap();
    client.set_nodelay(true).unwrap();
    let mut far = target.map(|target| target.accept().unwrap().0);
    if let Some(far) = &far {
        far.set_nodelay(true).unwrap();
    }
    // The first one is not counted: connecting is over when it comes back.
    talk(&mut client, &mut far, 1);
    let tracer = Tracer::on(daemon.0.id())?;
    talk(&mut client, &mut far, MESSAGES);
    Some(Calls(tracer.table()))
}

fn listening(log: &mut impl BufRead) -> String {
    let mut line = String::new();
    loop {
        line.clear();
        assert!(log.read_line(&mut line).unwrap() > 0, "it ended before it listened");
        if let Some((_, rest)) = line.split_once("listening at tcp://") {
            return rest.split(": ").next().unwrap().to_owned();
        }
    }
}

fn talk(client: &mut TcpStream, far: &mut Option<TcpStream>, times: usize) {
    let mut message = [7; 64];
    for _ in 0..times {
        client.write_all(&message).unwrap();
        if let Some(far) = far {
            far.read_exact(&mut message).unwrap();
            far.write_all(&message).unwrap();
        }
        client.read_exact(&mut message).unwrap();
    }
}

struct Tracer {
    strace: Ended,
    says: BufReader<std::process::ChildStderr>,
}

impl Tracer {
    fn on(pid: u32) -> Option<Tracer> {
        let started = Command::new("strace")
            .args(["-c", "-f", "-p", &pid.to_string()])
            .stderr(Stdio::piped())
            .spawn();
        let Ok(child) = started else {
            println!("skipped: there is no strace");
            return None;
        };
        let mut strace = Ended(child);
        let mut says = BufReader::new(strace.0.stderr.take().unwrap());
        let mut line = String::new();
        says.read_line(&mut line).unwrap();
        if !line.contains("attached") {
            println!("skipped: strace may not look: {line}");
            return None;
        }
        Some(Tracer { strace, says })
    }

    /// Ends it, and reads what it counted.
    fn table(mut self) -> String {
        let pid = Pid::from_child(&self.strace.0);
        kill_process(pid, Signal::INT).unwrap();
        let mut table = String::new();
        self.says.read_to_string(&mut table).unwrap();
        table
    }
}
