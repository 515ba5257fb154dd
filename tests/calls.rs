//! System calls per message and per connection, counted by strace. A message costs one read and one
//! write for each end that it passes, a share of one epoll_wait, and no epoll_ctl.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Command, Stdio};

use kept::Kept;
use rustix::process::{Pid, Signal, kill_process};

#[path = "support/kept.rs"]
mod kept;

const MESSAGES: usize = 500;

const VISITS: usize = 100;

/// Allowance for extra calls: the last wait, a message in two pieces.
const ODD: usize = 20;

#[test]
fn an_echoed_message_costs_one_read_one_write_and_a_wait() {
    let daemon = TestDaemon::new("echo 127.0.0.1:0");
    let (mut client, mut far) = (daemon.client(), None);
    talk(&mut client, &mut far, 1);
    let Some(calls) = daemon.counted(|| talk(&mut client, &mut far, MESSAGES)) else { return };
    calls.are("recvfrom", MESSAGES);
    calls.are("sendto", MESSAGES);
    calls.at_most("epoll_wait", MESSAGES);
    calls.at_most("epoll_ctl", 0);
}

#[test]
fn a_relayed_message_and_its_answer_cost_two_of_each() {
    let target = TcpListener::bind("127.0.0.1:0").unwrap();
    let daemon = TestDaemon::new(&format!("relay 127.0.0.1:0 {}", target.local_addr().unwrap()));
    let (mut client, mut far) = (daemon.client(), Some(accept(&target)));
    // The first message is not counted: when its answer arrives, connecting is complete.
    talk(&mut client, &mut far, 1);
    let Some(calls) = daemon.counted(|| talk(&mut client, &mut far, MESSAGES)) else { return };
    calls.are("recvfrom", 2 * MESSAGES);
    calls.are("sendto", 2 * MESSAGES);
    calls.at_most("epoll_wait", 2 * MESSAGES);
    calls.at_most("epoll_ctl", 0);
}

#[test]
fn an_echoed_connection_costs_no_call_that_can_be_spared() {
    let daemon = TestDaemon::new("echo 127.0.0.1:0");
    let Some(calls) = daemon.counted(|| visits(&daemon, None)) else { return };
    // Accepting goes on until EAGAIN, and one read returns the end of file.
    calls.at_most("accept4", 2 * VISITS);
    calls.at_most("recvfrom", 2 * VISITS);
    calls.at_most_of_each(&["epoll_ctl", "sendto", "shutdown", "close"], VISITS);
    calls.at_most_of_each(&["setsockopt", "getsockopt", "getsockname", "getpeername"], 0);
}

#[test]
fn a_relayed_connection_costs_no_call_that_can_be_spared() {
    let target = TcpListener::bind("127.0.0.1:0").unwrap();
    let daemon = TestDaemon::new(&format!("relay 127.0.0.1:0 {}", target.local_addr().unwrap()));
    let Some(calls) = daemon.counted(|| visits(&daemon, Some(&target))) else { return };
    calls.at_most("accept4", 2 * VISITS);
    calls.at_most("recvfrom", 4 * VISITS);
    calls.at_most_of_each(&["epoll_ctl", "sendto", "shutdown", "close"], 2 * VISITS);
    calls.at_most_of_each(&["socket", "connect", "setsockopt", "getpeername"], VISITS);
    // The system could have chosen the target's port for the client end: only the local address
    // shows whether the socket is connected to itself.
    calls.at_most("getsockname", VISITS);
    calls.at_most("getsockopt", 0);
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
        // The answer to the last call may arrive before the tracer has counted it.
        assert!((wanted - 1..=wanted + ODD).contains(&found), "{name} {found}\n{}", self.0);
    }

    fn at_most(&self, name: &str, wanted: usize) {
        let allowed = if wanted == 0 { 0 } else { wanted + ODD };
        assert!(self.of(name) <= allowed, "{name}\n{}", self.0);
    }

    fn at_most_of_each(&self, names: &[&str], wanted: usize) {
        names.iter().for_each(|name| self.at_most(name, wanted));
    }
}

/// A listening daemon.
struct TestDaemon {
    child: Kept,
    address: String,
}

impl TestDaemon {
    fn new(line: &str) -> TestDaemon {
        let mut child = Kept(
            Command::new(env!("CARGO_BIN_EXE_oneloop"))
                .args(line.split_whitespace())
                .env_remove("RUST_LOG")
                .stderr(Stdio::piped())
                .spawn()
                .unwrap(),
        );
        let mut log = BufReader::new(child.0.stderr.take().unwrap());
        let address = listening(&mut log);
        std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        TestDaemon { child, address }
    }

    fn client(&self) -> TcpStream {
        let client = TcpStream::connect(&self.address).unwrap();
        client.set_nodelay(true).unwrap();
        client
    }

    /// Counts the daemon's calls while `act` runs. Returns None if strace is missing or not
    /// permitted.
    fn counted(&self, act: impl FnOnce()) -> Option<Calls> {
        if cfg!(mio_unsupported_force_poll_poll) {
            println!("skipped: poll(2) proves nothing by a short read");
            return None;
        }
        let tracer = Tracer::on(self.child.0.id())?;
        act();
        Some(Calls(tracer.table()))
    }
}

fn listening(log: &mut impl BufRead) -> String {
    let mut line = String::new();
    loop {
        line.clear();
        assert!(log.read_line(&mut line).unwrap() > 0, "it ended before it listened");
        if let Some((_, rest)) = line.split_once("listening on tcp://") {
            return rest.split(": ").next().unwrap().to_owned();
        }
    }
}

fn accept(target: &TcpListener) -> TcpStream {
    let far = target.accept().unwrap().0;
    far.set_nodelay(true).unwrap();
    far
}

/// Each client sends a byte, reads the answer, and closes its side. Then the other side closes too.
fn visits(daemon: &TestDaemon, target: Option<&TcpListener>) {
    for _ in 0..VISITS {
        let mut client = daemon.client();
        client.write_all(b"x").unwrap();
        let mut far = target.map(accept);
        if let Some(far) = &mut far {
            far.read_exact(&mut [0]).unwrap();
            far.write_all(b"x").unwrap();
        }
        client.read_exact(&mut [0]).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        if let Some(far) = &mut far {
            assert_eq!(far.read(&mut [0]).unwrap(), 0);
            far.shutdown(Shutdown::Write).unwrap();
        }
        assert_eq!(client.read(&mut [0]).unwrap(), 0);
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
    strace: Kept,
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
        let mut strace = Kept(child);
        let mut says = BufReader::new(strace.0.stderr.take().unwrap());
        let mut line = String::new();
        says.read_line(&mut line).unwrap();
        if !line.contains("attached") {
            println!("skipped: strace may not look: {line}");
            return None;
        }
        Some(Tracer { strace, says })
    }

    /// Stops strace, and returns its table.
    fn table(mut self) -> String {
        let pid = Pid::from_child(&self.strace.0);
        kill_process(pid, Signal::INT).unwrap();
        let mut table = String::new();
        self.says.read_to_string(&mut table).unwrap();
        table
    }
}
