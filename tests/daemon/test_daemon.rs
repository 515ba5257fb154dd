//! The stand: runs the real binary, keeps all that it says, and ends it with its test. A test that
//! fails prints the command and the log.

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
use crate::moves::heard;
use crate::wait::{PATIENCE, PAUSE, until};
use crate::wire::{End, Wire};

/// A running daemon. It ends when this is dropped.
pub struct Daemon {
    child: Child,
    command: String,
    log: Arc<Log>,
    addresses: Vec<String>,
}

/// The lines that came so far.
#[derive(Default)]
struct Log {
    lines: Mutex<(Vec<String>, bool)>,
    news: Condvar,
}

/// How a command that does not serve ended.
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

/// Runs a command line that must fail, and gives its code and the words it fails with.
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

/// Some(code) once it has ended; None if it never does.
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

impl Daemon {
    /// Runs this command line and waits until it serves.
    pub fn start(line: &str) -> Daemon {
        Daemon::run(oneloop(line))
    }

    /// Runs a command and waits until it serves.
    pub fn run(command: Command) -> Daemon {
        Daemon::spawn(command).serving(" limits: ")
    }

    /// The same of a command line, one of whose addresses may be in use: then there is none.
    pub fn try_start(line: &str) -> Option<Daemon> {
        let daemon = Daemon::spawn(oneloop(line)).serving(": Address already in use");
        (!daemon.addresses.is_empty()).then_some(daemon)
    }

    /// Waits until it serves, or says this, and takes note of its addresses.
    fn serving(mut self, or: &str) -> Daemon {
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

    /// Runs a command whose log does not tell when it serves.
    pub fn spawn(mut command: Command) -> Daemon {
        let text = format!("{command:?}");
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let stderr = child.stderr.take().unwrap();
        let daemon = Daemon::silent(child, text);
        let log = daemon.log.clone();
        thread::spawn(move || log.fill(BufReader::new(stderr)));
        daemon
    }

    /// A daemon that is running already, and whose log is not kept.
    pub fn silent(child: Child, command: String) -> Daemon {
        Daemon { child, command, log: Arc::default(), addresses: Vec::new() }
    }

    /// The address of a listener, from the log.
    pub fn address(&self, listener: usize) -> &str {
        &self.addresses[listener]
    }

    pub fn addresses(&self) -> &[String] {
        &self.addresses
    }

    /// The same as a socket address; for a wildcard listener the loopback address.
    pub fn at(&self, listener: usize) -> SocketAddr {
        let (_, place) = self.address(listener).split_once("://").unwrap();
        let place = if place.starts_with(':') { format!("127.0.0.1{place}") } else { place.into() };
        place.parse().unwrap()
    }

    /// Connects a client to a listener.
    pub fn client(&self, listener: usize) -> Wire {
        match self.address(listener).starts_with("unix:") {
            true => Wire::connect(self.address(listener)),
            false => Wire::connect(&format!("tcp://{}", self.at(listener))),
        }
    }

    /// All that a client of a listener receives, and how that ends: a reset may come as early as
    /// during the connect.
    pub fn hear(&self, listener: usize) -> (Vec<u8>, End) {
        heard(&format!("tcp://{}", self.at(listener)))
    }

    /// Expects a client of this listener to be reset.
    pub fn resets(&self, listener: usize) {
        assert_eq!(self.hear(listener), (Vec::new(), End::Rst));
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal. One that is stopped has stopped when this returns.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
        if signal == Signal::STOP {
            until("it has stopped", || self.state().starts_with('T').then_some(()));
        }
    }

    /// Asks it for a dump, and gives the line about memory and timers. A dump of a crowd is more
    /// than a pipe holds, so the line may get lost: then it is asked for again.
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

    /// Waits for its end, and gives its code.
    pub fn code(&mut self) -> Option<i32> {
        exit_code(&mut self.child).unwrap_or_else(|| panic!("it does not end"))
    }

    pub fn lines(&self) -> Vec<String> {
        self.log.lines.lock().unwrap().0.clone()
    }

    /// All that it says until it ends. It must be ending.
    pub fn last_lines(&mut self) -> Vec<String> {
        self.code();
        let begun = Instant::now();
        let mut lines = self.log.lines.lock().unwrap();
        while !lines.1 && begun.elapsed() < PATIENCE {
            lines = self.log.news.wait_timeout(lines, PATIENCE).unwrap().0;
        }
        lines.0.clone()
    }

    /// How many lines contain this, of all that it had to tell before it was asked.
    pub fn count(&self, text: &str) -> usize {
        self.catch_up();
        self.counted(text)
    }

    fn counted(&self, text: &str) -> usize {
        self.log.lines.lock().unwrap().0.iter().filter(|line| line.contains(text)).count()
    }

    /// What it has written may not have been read here yet. A signal that changes nothing is told
    /// too, and behind all that came before it.
    fn catch_up(&self) {
        const TOLD: &str = "received SIGHUP";
        let before = self.counted(TOLD);
        // One that does not serve yet would be ended by it.
        if !self.addresses.is_empty()
            && kill_process(Pid::from_child(&self.child), Signal::HUP).is_ok()
        {
            let told = || self.counted(TOLD) > before || self.log.lines.lock().unwrap().1;
            until("its log", || told().then_some(()));
        }
    }

    /// Waits for a line that contains this, and gives the first.
    pub fn says(&self, text: &str) -> String {
        self.wait(text, |lines| lines.iter().find(|line| line.contains(text)).cloned())
    }

    /// Waits for so many lines that contain this.
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

impl Drop for Daemon {
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

/// Whether a file is there, whatever it is.
pub fn is_there(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}
