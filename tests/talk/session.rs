//! Runs connect or chat: the test writes the input, reads the output or leaves it unread, and the
//! standard error is captured.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process};

use crate::command::oneloop;
use crate::target::Target;
use crate::wait::{PATIENCE, until};

/// A running session. It is killed when this is dropped.
pub struct Session {
    child: Child,
    input: Option<ChildStdin>,
    output: Option<ChildStdout>,
    out: Arc<Captured>,
    err: Arc<Captured>,
}

/// The bytes read so far, and whether the end was reached.
#[derive(Default)]
struct Captured {
    bytes: Mutex<(Vec<u8>, bool)>,
    news: Condvar,
}

/// An output that the test reads at its own pace. A read blocks for at most `PATIENCE`.
pub struct Output(ChildStdout);

/// The result of a session.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub out: Vec<u8>,
    pub err: String,
}

/// Returns the command line that connects to this target.
pub fn line(target: &Target, options: &str) -> String {
    format!("connect {} {options}", target.address())
}

/// Runs a command line with an empty input, and discards its output.
pub fn ended(line: &str) -> Ended {
    Session::with_stdio(line, Stdio::null(), Stdio::null()).ended()
}

impl Session {
    /// Starts a session with pipes, and captures its output.
    pub fn start(line: &str) -> Session {
        Session::with_stdio(line, Stdio::piped(), Stdio::piped()).capture_output()
    }

    /// Starts a session with this input and output. A pipe as output is left unread.
    pub fn with_stdio(line: &str, input: Stdio, output: Stdio) -> Session {
        Session::run(oneloop(line), input, output)
    }

    pub fn run(mut command: Command, input: Stdio, output: Stdio) -> Session {
        command.stdin(input).stdout(output).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let err = Captured::from(child.stderr.take().unwrap());
        let (input, output) = (child.stdin.take(), child.stdout.take());
        Session { child, input, output, out: Arc::default(), err }
    }

    /// Starts a session with a terminal as input, output and error. Its output is captured.
    pub fn on_terminal(mut command: Command, keyboard: &File, terminal: &OwnedFd) -> Session {
        let end = || Stdio::from(terminal.try_clone().unwrap());
        command.stdin(end()).stdout(end()).stderr(end());
        let child = command.spawn().unwrap();
        let out = Captured::from(keyboard.try_clone().unwrap());
        Session { child, input: None, output: None, out, err: Arc::default() }
    }

    /// Captures the output from now on.
    pub fn capture_output(mut self) -> Session {
        self.out = Captured::from(self.output.take().unwrap());
        self
    }

    pub fn type_in(&mut self, text: impl AsRef<[u8]>) {
        self.input.as_mut().unwrap().write_all(text.as_ref()).unwrap();
    }

    /// Writes more input than the pipe holds, in a thread, and then closes it if `ends`.
    pub fn feed(&mut self, text: Vec<u8>, ends: bool) -> thread::JoinHandle<Option<ChildStdin>> {
        let mut input = self.input.take().unwrap();
        thread::spawn(move || {
            let _ = input.write_all(&text);
            (!ends).then_some(input)
        })
    }

    pub fn end_input(&mut self) {
        self.input = None;
    }

    /// Closes the reading end of the output.
    pub fn close_output(&mut self) {
        self.output = None;
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits until the output contains this.
    pub fn until_stdout(&self, text: &str) {
        self.out.wait(text, |bytes| find(bytes, text.as_bytes()).then_some(()));
    }

    /// Waits for a line on standard error that contains this, and returns it.
    pub fn until_stderr(&self, text: &str) -> String {
        self.err.wait(text, |bytes| {
            let all = String::from_utf8_lossy(bytes);
            all.lines().find(|line| line.contains(text)).map(str::to_string)
        })
    }

    pub fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.out.bytes.lock().unwrap().0).into_owned()
    }

    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.err.bytes.lock().unwrap().0).into_owned()
    }

    /// Returns the address on which a chat listens.
    pub fn address(&self) -> String {
        let line = self.until_stderr(" listening on ");
        let (_, rest) = line.split_once(" listening on ").unwrap();
        rest.rsplit_once(": ").unwrap().0.to_string()
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Counts the turns while nothing happens. Its log must show each turn.
    pub fn idle_turns(&self) -> u64 {
        let last = || {
            let stderr = self.stderr();
            let mut turns = stderr.lines().filter_map(|line| line.split_once(" turn "));
            let number = turns.next_back().and_then(|(_, rest)| rest.split_once(':'));
            number.map_or(0, |(number, _)| number.parse::<u64>().unwrap())
        };
        // Pending work finishes first.
        thread::sleep(Duration::from_millis(200));
        let before = last();
        assert!(before > 0, "the log shows no turns:\n{}", self.stderr());
        thread::sleep(Duration::from_millis(300));
        last() - before
    }

    /// Waits for its end, and returns its exit code. More output may follow from others.
    pub fn code(&mut self) -> Option<i32> {
        until("the end", || self.child.try_wait().unwrap()).code()
    }

    /// Waits for its end.
    pub fn ended(mut self) -> Ended {
        let status = until("the end", || self.child.try_wait().unwrap());
        let out = if self.output.is_none() { self.out.all() } else { Vec::new() };
        let err = String::from_utf8_lossy(&self.err.all()).into_owned();
        Ended { code: status.code(), out, err }
    }

    /// Returns the output, to be read by the test.
    pub fn take_output(&mut self) -> Output {
        Output(self.output.take().unwrap())
    }
}

impl Read for Output {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let limit = Timespec::try_from(PATIENCE).unwrap();
        let mut asked = [PollFd::new(&self.0, PollFlags::IN)];
        assert!(poll(&mut asked, Some(&limit)).unwrap() > 0, "nothing more is printed");
        self.0.read(into)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            println!("---- standard error:\n{}", self.stderr());
            println!("---- standard output:\n{:?}", self.stdout());
        }
    }
}

impl Captured {
    fn from(mut source: impl Read + Send + 'static) -> Arc<Captured> {
        let captured: Arc<Captured> = Arc::default();
        let writer = captured.clone();
        thread::spawn(move || {
            let mut room = vec![0; 1 << 16];
            while let Ok(bytes @ 1..) = source.read(&mut room) {
                writer.bytes.lock().unwrap().0.extend_from_slice(&room[..bytes]);
                writer.news.notify_all();
            }
            writer.bytes.lock().unwrap().1 = true;
            writer.news.notify_all();
        });
        captured
    }

    fn wait<T>(&self, what: &str, mut found: impl FnMut(&[u8]) -> Option<T>) -> T {
        let begun = Instant::now();
        let mut captured = self.bytes.lock().unwrap();
        loop {
            if let Some(found) = found(&captured.0) {
                return found;
            }
            if captured.1 || begun.elapsed() > PATIENCE {
                let all = String::from_utf8_lossy(&captured.0).into_owned();
                drop(captured);
                panic!("it never prints {what:?}, but:\n{all}");
            }
            captured = self.news.wait_timeout(captured, PATIENCE).unwrap().0;
        }
    }

    /// Waits for the end and returns all bytes. A source that was never read has none.
    fn all(self: &Arc<Captured>) -> Vec<u8> {
        if Arc::strong_count(self) == 1 && !self.bytes.lock().unwrap().1 {
            return Vec::new();
        }
        let begun = Instant::now();
        let mut captured = self.bytes.lock().unwrap();
        while !captured.1 && begun.elapsed() < PATIENCE {
            captured = self.news.wait_timeout(captured, PATIENCE).unwrap().0;
        }
        captured.0.clone()
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}
