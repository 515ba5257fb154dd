//! One run in several processes: they are started with a share of the work each, begin to speak at
//! one word, and their shares are put together.

use std::io::{self, Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use mio::unix::pipe::Receiver;
use mio::{Events, Interest, Poll, Token};

use crate::plan::{LoadKind, StressPlan, Worker};
use crate::shell::{Signal, Signals, signals};

use super::load::Clock;
use super::progress::{Progress, Snapshot};
use super::server_usage::ServerUsage;
use super::share::share;
use super::timeline::Timeline;
use super::wire::{GO, Share, Told};

/// All processes of a run, seen by the one that started them.
pub struct Workers {
    plan: StressPlan,
    clock: Clock,
    server_usage: ServerUsage,
    workers: Vec<One>,
    poll: Poll,
    signals: Signals,
    interrupted: bool,
    /// When they were told to begin.
    began: Option<Duration>,
    /// What the server spends, which the workers do not read.
    costs: Timeline,
}

/// One of them.
struct One {
    child: Child,
    /// Closed, it tells the worker to come to an end.
    stdin: Option<ChildStdin>,
    stdout: Receiver,
    heard: Vec<u8>,
    ready: bool,
    snapshot: Snapshot,
    done: Option<Box<Share>>,
    /// It will say nothing any more.
    ended: bool,
}

/// What the processes of a run came to together.
pub struct Together {
    pub share: Share,
    pub server_usage: ServerUsage,
    pub whole: Duration,
}

/// The signals' token; below it each worker has its number.
const SIGNALS: Token = Token(usize::MAX >> 1);

/// The longest line that a worker may send: its histograms have some ten thousand buckets.
const LINE_BYTES: usize = 64 << 20;

const LOOK_EVERY: Duration = Duration::from_millis(50);

impl Workers {
    /// Starts so many processes of this program.
    pub fn start(
        plan: &StressPlan,
        count: usize,
        server_usage: ServerUsage,
    ) -> io::Result<Workers> {
        let poll = Poll::new()?;
        let signals = Signals::new(poll.registry(), SIGNALS)?;
        let mut started = Workers {
            plan: plan.clone(),
            clock: Clock::start(),
            server_usage,
            workers: Vec::new(),
            poll,
            signals,
            interrupted: false,
            began: None,
            costs: Timeline::new(),
        };
        for index in 0..count {
            let own = share(plan, Worker { index, count });
            // Those that run already end when what they are told by is dropped.
            let mut one = One::start(&own)?;
            let registry = started.poll.registry();
            registry.register(&mut one.stdout, Token(index), Interest::READABLE)?;
            started.workers.push(one);
        }
        Ok(started)
    }

    /// Hears all of them to their end.
    pub fn run(mut self) -> io::Result<Together> {
        let mut progress = Progress::new(self.plan.color);
        let mut events = Events::with_capacity(64);
        while !self.workers.iter().all(|one| one.ended) {
            match self.poll.poll(&mut events, Some(LOOK_EVERY)) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                polled => polled?,
            }
            for event in &events {
                match self.workers.get_mut(event.token().0) {
                    Some(one) => one.hear()?,
                    None => self.handle(),
                }
            }
            self.conduct();
            progress.show(self.clock.now(), || self.snapshot());
        }
        progress.clear();
        self.put_together()
    }

    /// Does what is due between the workers: gives the word, reads what the server has spent.
    fn conduct(&mut self) {
        let now = self.clock.now();
        if now >= self.costs.due() {
            // Later the workers may have begun to close.
            let held = self.began.is_some_and(|began| now < began + self.plan.hold);
            if held && !self.interrupted {
                self.server_usage.note_queue();
            }
            let cost = self.server_usage.lately(now);
            self.costs.turn(now, 0, cost);
        }
        let Some(began) = self.began else {
            let waited_for = |one: &One| !one.ready && !one.ended;
            if !self.workers.iter().any(waited_for) && self.server_usage.is_at_rest(now) {
                self.begin(now);
            }
            return;
        };
        let speaks = self.plan.groups().iter().any(|(kind, _)| *kind != LoadKind::Idle);
        let measured = began + self.plan.warmup;
        let window = measured + self.plan.duration;
        if speaks && self.server_usage.begin.is_none() && now >= measured {
            self.server_usage.begin(now);
        }
        if speaks && self.server_usage.end.is_none() && now >= window {
            self.server_usage.end(now);
        }
        if self.server_usage.close.is_none() && now >= began + self.plan.hold {
            self.server_usage.close(now);
        }
    }

    fn begin(&mut self, now: Duration) {
        let conns = self.workers.iter().map(|one| one.snapshot.open).sum();
        self.server_usage.open(now, conns);
        for one in &mut self.workers {
            if let Some(stdin) = &mut one.stdin {
                // One that is gone already is noticed by its end.
                let _ = stdin.write_all(format!("{GO}\n").as_bytes());
            }
        }
        self.began = Some(now);
        self.conduct();
    }

    /// The first signal asks all to come to an end, the second makes one.
    fn handle(&mut self) {
        let wanted = |signal: &Signal| matches!(signal, Signal::Interrupt | Signal::Terminate);
        let count = self.signals.drain().filter(wanted).count();
        for _ in 0..count {
            for one in &mut self.workers {
                one.stdin = None;
                if self.interrupted {
                    // It may have ended by itself.
                    let _ = one.child.kill();
                }
            }
            self.interrupted = true;
            if self.server_usage.begin.is_some() && self.server_usage.end.is_none() {
                self.server_usage.end(self.clock.now());
            }
        }
    }

    fn snapshot(&self) -> Snapshot {
        let mut sum = Snapshot::default();
        for one in &self.workers {
            sum.add(&one.snapshot);
        }
        let slowest = self.workers.iter().filter(|one| !one.ended).map(|one| &one.snapshot);
        if let Some(slowest) = slowest.min_by(|a, b| a.share.total_cmp(&b.share)) {
            (sum.phase, sum.share) = (slowest.phase.clone(), slowest.share);
        }
        sum
    }

    fn put_together(mut self) -> io::Result<Together> {
        let whole = self.clock.now();
        let mut sum = Share::default();
        for one in &mut self.workers {
            let status = one.child.wait()?;
            let Some(share) = one.done.take() else {
                if self.interrupted {
                    continue;
                }
                return Err(io::Error::other(format!(
                    "worker process exited without a report: {status}"
                )));
            };
            sum.merge(&share);
        }
        sum.timeline.merge(&self.costs);
        sum.early |= self.interrupted;
        Ok(Together { share: sum, server_usage: self.server_usage, whole })
    }
}

impl One {
    fn start(plan: &StressPlan) -> io::Result<One> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("stress").args(plan.arguments());
        let mut child = signals::spawn(command.stdin(Stdio::piped()).stdout(Stdio::piped()))?;
        let missing = || io::Error::other("worker process has no pipes");
        let stdout = child.stdout.take().ok_or_else(missing)?;
        let stdout = Receiver::from(stdout);
        stdout.set_nonblocking(true)?;
        Ok(One {
            stdin: child.stdin.take(),
            child,
            stdout,
            heard: Vec::new(),
            ready: false,
            snapshot: Snapshot::default(),
            done: None,
            ended: false,
        })
    }

    /// Takes in all that has come.
    fn hear(&mut self) -> io::Result<()> {
        let mut room = [0; 65_536];
        loop {
            match self.stdout.read(&mut room) {
                Ok(0) => {
                    self.ended = true;
                    return Ok(());
                }
                Ok(bytes) => self.heard.extend_from_slice(&room[..bytes]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
            self.take_lines();
            if self.heard.len() > LINE_BYTES {
                return Err(io::Error::other("message of a worker process is too long"));
            }
        }
        self.take_lines();
        Ok(())
    }

    fn take_lines(&mut self) {
        while let Some(end) = self.heard.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = self.heard.drain(..=end).collect();
            match std::str::from_utf8(&line).ok().and_then(Told::read) {
                Some(Told::Ready) => self.ready = true,
                Some(Told::Progress(snapshot)) => self.snapshot = snapshot,
                Some(Told::Done(share)) => self.done = Some(share),
                None => {}
            }
        }
    }
}

impl Drop for One {
    /// However the run ends, no worker outlives it.
    fn drop(&mut self) {
        self.stdin = None;
        if !self.ended {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
