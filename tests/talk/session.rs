//! One who talks: the binary with an input that the test types, an output that it reads or leaves
//! unread, and all that is told on standard error.

use std::io::{self, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process};

use crate::command::oneloop;
use crate::target::Target;
use crate::wait::{PATIENCE, until};

/// A running talk. It ends when this is dropped.
pub struct Speaker {
    child: Child,
    input: Option<ChildStdin>,
    output: Option<ChildStdout>,
    out: Arc<Heard>,
    err: Arc<Heard>,
}

/// What came so far, and whether that is all.
#[derive(Default)]
struct Heard {
    bytes: Mutex<(Vec<u8>, bool)>,
    news: Condvar,
}

/// An output that the test reads at its own pace. A read waits, but not for ever.
pub struct Output(ChildStdout);

/// How a talk ended.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub out: Vec<u8>,
    pub err: String,
}

/// The command line that connects to this target.
pub fn line(target: &Target, options: &str) -> String {
    format!("connect {} {options}", target.address())
}

/// Runs a command line with nothing to say and nobody to show it to.
pub fn ended(line: &str) -> Ended {
    Speaker::between(line, Stdio::null(), Stdio::null()).ended()
}

impl Speaker {
    /// Types into a pipe, and reads what is shown.
    pub fn start(line: &str) -> Speaker {
        Speaker::between(line, Stdio::piped(), Stdio::piped()).reading()
    }

    /// Talks between these two. An output that is a pipe is left unread.
    pub fn between(line: &str, input: Stdio, output: Stdio) -> Speaker {
        Speaker::run(oneloop(line), input, output)
    }

    pub fn run(mut command: Command, input: Stdio, output: Stdio) -> Speaker {
        command.stdin(input).stdout(output).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let err = Heard::from(child.stderr.take().unwrap());
        let (input, output) = (child.stdin.take(), child.stdout.take());
        Speaker { child, input, output, out: Arc::default(), err }
    }

    /// From now on what is shown is read.
    pub fn reading(mut self) -> Speaker {
        self.out = Heard::from(self.output.take().unwrap());
        self
    }

    pub fn type_in(&mut self, text: impl AsRef<[u8]>) {
        self.input.as_mut().unwrap().write_all(text.as_ref()).unwrap();
    }

    /// Types so much that it has to be waited for, and then ends the input, if it is to end.
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

    /// Nobody will ever read what is shown.
    pub fn close_output(&mut self) {
        self.output = None;
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits until this has been shown.
    pub fn shows(&self, text: &str) {
        self.out.wait(text, |bytes| find(bytes, text.as_bytes()).then_some(()));
    }

    /// Waits until this has been told on standard error; the line with it.
    pub fn tells(&self, text: &str) -> String {
        self.err.wait(text, |bytes| {
            let all = String::from_utf8_lossy(bytes);
            all.lines().find(|line| line.contains(text)).map(str::to_string)
        })
    }

    pub fn shown(&self) -> String {
        String::from_utf8_lossy(&self.out.bytes.lock().unwrap().0).into_owned()
    }

    pub fn told(&self) -> String {
        String::from_utf8_lossy(&self.err.bytes.lock().unwrap().0).into_owned()
    }

    /// The address at which a chat listens.
    pub fn address(&self) -> String {
        let line = self.tells(" listening on ");
        let (_, rest) = line.split_once(" listening on ").unwrap();
        rest.rsplit_once(": ").unwrap().0.to_string()
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// How many turns it makes while nothing happens: its log must tell each.
    pub fn turns_at_rest(&self) -> u64 {
        let last = || {
            let told = self.told();
            let mut turns = told.lines().filter_map(|line| line.split_once(" turn "));
            let number = turns.next_back().and_then(|(_, rest)| rest.split_once(':'));
            number.map_or(0, |(number, _)| number.parse::<u64>().unwrap())
        };
        // What was under way comes to rest first.
        thread::sleep(Duration::from_millis(200));
        let before = last();
        assert!(before > 0, "the log tells no turns:\n{}", self.told());
        thread::sleep(Duration::from_millis(300));
        last() - before
    }

    /// Waits for its end.
    pub fn ended(mut self) -> Ended {
        let status = until("the end", || self.child.try_wait().unwrap());
        let out = if self.output.is_none() { self.out.all() } else { Vec::new() };
        let err = String::from_utf8_lossy(&self.err.all()).into_owned();
        Ended { code: status.code(), out, err }
    }

    /// The output, to be read by the test.
    pub fn take_output(&mut self) -> Output {
        Output(self.output.take().unwrap())
    }
}

impl Read for Output {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let limit = Timespec::try_from(PATIENCE).unwrap();
        let mut asked = [PollFd::new(&self.0, PollFlags::IN)];
        assert!(poll(&mut asked, Some(&limit)).unwrap() > 0, "nothing more is shown");
        self.0.read(into)
    }
}

impl Drop for Speaker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            println!("---- told on standard error:\n{}", self.told());
        }
    }
}

impl Heard {
    fn from(mut source: impl Read + Send + 'static) -> Arc<Heard> {
        let heard: Arc<Heard> = Arc::default();
        let ours = heard.clone();
        // Until the first byte comes nothing is expected to be here; `all` waits for the end.
        thread::spawn(move || {
            let mut room = vec![0; 1 << 16];
            while let Ok(bytes @ 1..) = source.read(&mut room) {
                ours.bytes.lock().unwrap().0.extend_from_slice(&room[..bytes]);
                ours.news.notify_all();
            }
            ours.bytes.lock().unwrap().1 = true;
            ours.news.notify_all();
        });
        heard
    }

    fn wait<T>(&self, what: &str, mut found: impl FnMut(&[u8]) -> Option<T>) -> T {
        let begun = Instant::now();
        let mut heard = self.bytes.lock().unwrap();
        loop {
            if let Some(found) = found(&heard.0) {
                return found;
            }
            if heard.1 || begun.elapsed() > PATIENCE {
                let all = String::from_utf8_lossy(&heard.0).into_owned();
                drop(heard);
                panic!("it never says {what:?}, but:\n{all}");
            }
            heard = self.news.wait_timeout(heard, PATIENCE).unwrap().0;
        }
    }

    /// All of it, once it has ended. A source that was never read has nothing.
    fn all(self: &Arc<Heard>) -> Vec<u8> {
        if Arc::strong_count(self) == 1 && !self.bytes.lock().unwrap().1 {
            return Vec::new();
        }
        let begun = Instant::now();
        let mut heard = self.bytes.lock().unwrap();
        while !heard.1 && begun.elapsed() < PATIENCE {
            heard = self.news.wait_timeout(heard, PATIENCE).unwrap().0;
        }
        heard.0.clone()
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}
