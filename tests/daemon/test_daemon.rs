//! Runs the real binary, keeps its log, and kills it when the test ends. A test that fails prints
//! the command and the log.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::command::oneloop;
use crate::kept::Kept;
use crate::stream_ops::read_all_at;
use crate::test_stream::{End, TestStream};
use crate::wait::{PATIENCE, PAUSE, until};

/// A running daemon. It is killed when this is dropped.
pub struct TestDaemon {
    child: Child,
    command: String,
    log: Arc<Log>,
    addresses: Vec<String>,
}

/// The lines read so far.
#[derive(Default)]
struct Log {
    lines: Mutex<(Vec<String>, bool)>,
    news: Condvar,
}

/// The result of a command that does not serve.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

/// Runs a command that ends by itself.
pub fn ended(mut command: Command) -> Ended {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut kept = Kept(child);
    let out = drain(kept.0.stdout.take().unwrap());
    let err = drain(kept.0.stderr.take().unwrap());
    let code = exit_code(&mut kept.0).unwrap_or_else(|| panic!("{command:?} does not end"));
    Ended { code, out: out.join().unwrap(), err: err.join().unwrap() }
}

/// Runs a command line that must fail, and returns its exit code and message.
pub fn fails(line: &str) -> (i32, String) {
    let ended = ended(oneloop(line));
    let complaint = ended.err.lines().find(|line| line.starts_with("oneloop: "));
    let complaint = complaint.unwrap_or_else(|| panic!("{line}: {ended:?}")).to_string();
    (ended.code.unwrap(), complaint)
}

fn drain(mut from: impl Read + Send + 'static) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = from.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// Waits for the exit code. Returns None if the process does not end.
fn exit_code(child: &mut Child) -> Option<Option<i32>> {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status.code());
        }
        thread::sleep(PAUSE);
    }
    None
}

impl TestDaemon {
    /// Runs this command line and waits until it serves.
    pub fn start(line: &str) -> TestDaemon {
        TestDaemon::run(oneloop(line))
    }

    /// Runs a command and waits until it serves.
    pub fn run(command: Command) -> TestDaemon {
        TestDaemon::spawn(command).serving(" limits: ")
    }

    /// Runs this command line and waits until it serves. Returns None if one of its addresses is in
    /// use.
    pub fn try_start(line: &str) -> Option<TestDaemon> {
        let daemon = TestDaemon::spawn(oneloop(line)).serving(": Address already in use");
        (!daemon.addresses.is_empty()).then_some(daemon)
    }

    /// Waits until it serves or logs this, and stores its addresses.
    fn serving(mut self, or: &str) -> TestDaemon {
        let lines = self.wait("it serves", |lines| {
            let serves = |line: &String| line.contains(" limits: ") || line.contains(or);
            lines.iter().any(serves).then(|| lines.to_vec())
        });
        let plain = lines.iter().filter_map(|line| line.split(" -- ").next());
        let listening = plain.filter_map(|line| line.split_once(" listening on "));
        let addresses = listening.filter_map(|(_, rest)| rest.rsplit_once(": "));
        self.addresses = addresses.map(|(address, _)| address.to_string()).collect();
        self
    }

    /// Runs a command whose log does not show when it serves.
    pub fn spawn(mut command: Command) -> TestDaemon {
        let text = format!("{command:?}");
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let stderr = child.stderr.take().unwrap();
        let daemon = TestDaemon::silent(child, text);
        let log = daemon.log.clone();
        thread::spawn(move || log.fill(BufReader::new(stderr)));
        daemon
    }

    /// Wraps a running daemon whose log is not kept.
    pub fn silent(child: Child, command: String) -> TestDaemon {
        TestDaemon { child, command, log: Arc::default(), addresses: Vec::new() }
    }

    /// Returns the address of a listener, from the log.
    pub fn address(&self, listener: usize) -> &str {
        &self.addresses[listener]
    }

    pub fn addresses(&self) -> &[String] {
        &self.addresses
    }

    /// Returns the socket address of a listener; for a wildcard listener the loopback address.
    pub fn at(&self, listener: usize) -> SocketAddr {
        let (_, place) = self.address(listener).split_once("://").unwrap();
        let place = if place.starts_with(':') { format!("127.0.0.1{place}") } else { place.into() };
        place.parse().unwrap()
    }

    /// Connects a client to a listener.
    pub fn client(&self, listener: usize) -> TestStream {
        match self.address(listener).starts_with("unix:") {
            true => TestStream::connect(self.address(listener)),
            false => TestStream::connect(&format!("tcp://{}", self.at(listener))),
        }
    }

    /// Connects to a listener, and returns all that it sends and how the stream ended. A reset may
    /// arrive as early as during the connect.
    pub fn read_all(&self, listener: usize) -> (Vec<u8>, End) {
        read_all_at(&format!("tcp://{}", self.at(listener)))
    }

    /// Expects a client of this listener to be reset.
    pub fn resets(&self, listener: usize) {
        assert_eq!(self.read_all(listener), (Vec::new(), End::Rst));
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal. After SIGSTOP, waits until the daemon has stopped.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
        if signal == Signal::STOP {
            until("it has stopped", || self.state().starts_with('T').then_some(()));
        }
    }

    /// Requests a dump, and returns its line about memory and timers. A large dump exceeds the
    /// pipe, so the line may be dropped: then the dump is requested again.
    pub fn dump(&self) -> String {
        let is_it = |line: &&String| line.contains(" memory: ");
        let before = self.lines().iter().filter(is_it).count();
        let mut asked: Option<Instant> = None;
        until("a dump", || {
            if asked.is_none_or(|asked| asked.elapsed() > Duration::from_secs(1)) {
                self.signal(Signal::QUIT);
                asked = Some(Instant::now());
            }
            self.lines().iter().filter(is_it).nth(before).cloned()
        })
    }

    /// Waits for its end, and returns the exit code.
    pub fn code(&mut self) -> Option<i32> {
        exit_code(&mut self.child).unwrap_or_else(|| panic!("it does not end"))
    }

    pub fn lines(&self) -> Vec<String> {
        self.log.lines.lock().unwrap().0.clone()
    }

    /// Waits for its end, and returns the whole log.
    pub fn last_lines(&mut self) -> Vec<String> {
        self.code();
        let begun = Instant::now();
        let mut lines = self.log.lines.lock().unwrap();
        while !lines.1 && begun.elapsed() < PATIENCE {
            lines = self.log.news.wait_timeout(lines, PATIENCE).unwrap().0;
        }
        lines.0.clone()
    }

    /// Counts the lines that contain this, among all that were logged before the call.
    pub fn count(&self, text: &str) -> usize {
        self.catch_up();
        self.counted(text)
    }

    fn counted(&self, text: &str) -> usize {
        self.log.lines.lock().unwrap().0.iter().filter(|line| line.contains(text)).count()
    }

    /// Waits until all lines logged so far are read here. A signal that changes nothing is logged
    /// after them.
    fn catch_up(&self) {
        const LOGGED: &str = "received SIGHUP";
        let before = self.counted(LOGGED);
        // It would end a daemon that does not serve yet.
        if !self.addresses.is_empty()
            && kill_process(Pid::from_child(&self.child), Signal::HUP).is_ok()
        {
            let logged = || self.counted(LOGGED) > before || self.log.lines.lock().unwrap().1;
            until("its log", || logged().then_some(()));
        }
    }

    /// Waits for a line that contains this, and returns the first.
    pub fn says(&self, text: &str) -> String {
        self.wait(text, |lines| lines.iter().find(|line| line.contains(text)).cloned())
    }

    /// Waits for `count` lines that contain this.
    pub fn says_often(&self, count: usize, text: &str) {
        self.wait(text, |lines| {
            let found = lines.iter().filter(|line| line.contains(text)).count();
            (found >= count).then_some(())
        });
    }

    fn wait<T>(&self, what: &str, mut found: impl FnMut(&[String]) -> Option<T>) -> T {
        let begun = Instant::now();
        let mut lines = self.log.lines.lock().unwrap();
        loop {
            let over = lines.1 || begun.elapsed() > PATIENCE;
            if let Some(found) = found(&lines.0) {
                return found;
            }
            if over {
                drop(lines);
                panic!("it never says: {what}");
            }
            lines = self.log.news.wait_timeout(lines, PATIENCE).unwrap().0;
        }
    }
}

impl Drop for TestDaemon {
    fn drop(&mut self) {
        let ended = self.child.try_wait();
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            let lines = self.log.lines.lock().unwrap_or_else(|poison| poison.into_inner());
            let from = lines.0.len().saturating_sub(400);
            println!("---- {}\n---- ended before: {ended:?}; the end of its log:", self.command);
            lines.0[from..].iter().for_each(|line| println!("{line}"));
        }
    }
}

impl Log {
    fn fill(&self, from: impl BufRead) {
        for line in from.split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).into_owned();
            self.lines.lock().unwrap().0.push(line);
            self.news.notify_all();
        }
        self.lines.lock().unwrap().1 = true;
        self.news.notify_all();
    }
}

/// Whether a file of any type exists.
pub fn is_there(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}
