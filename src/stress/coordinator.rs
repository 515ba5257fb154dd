//! Runs one load in several worker processes: starts them, starts their loads at the same moment,
//! and merges their results.

use std::fmt;
use std::io::{self, Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use mio::Interest;
use mio::unix::pipe::Receiver;

use crate::config::options::stress_arguments;
use crate::config::{LoadKind, StressPlan, Worker};
use crate::core::{Signal, Turn};
use crate::net::signals;
use crate::runtime::event_loop::{EventLoop, Source};

use super::load::RunClock;
use super::partition::partition;
use super::progress::Progress;
use super::protocol::{GO, Message, MessageReader, Snapshot, WorkerResult};
use super::server_usage::ServerUsage;
use super::timeline::Timeline;

/// All worker processes of a run.
pub struct Coordinator {
    plan: StressPlan,
    clock: RunClock,
    server_usage: ServerUsage,
    workers: Vec<WorkerProcess>,
    event_loop: EventLoop,
    stopping: bool,
    /// When the start message was sent to the workers.
    began: Option<Duration>,
    /// Server costs over time. The workers do not read them.
    costs: Timeline,
}

/// One worker process, and what it has sent.
struct WorkerProcess {
    child: Child,
    /// Closing it stops the worker.
    stdin: Option<ChildStdin>,
    stdout: Receiver,
    messages: MessageReader,
    ready: bool,
    snapshot: Snapshot,
    done: Option<Box<WorkerResult>>,
    /// Its output has ended.
    ended: bool,
}

/// The merged results of a run.
pub struct Combined {
    pub result: WorkerResult,
    pub server_usage: ServerUsage,
    pub whole: Duration,
}

/// Maximum events per poll.
const EVENTS: usize = 64;

/// Maximum time between two checks of what is due.
const SCAN_INTERVAL: Duration = Duration::from_millis(50);

impl Coordinator {
    /// Starts `count` processes of this program.
    pub fn start(
        plan: &StressPlan,
        count: usize,
        server_usage: ServerUsage,
    ) -> io::Result<Coordinator> {
        let mut event_loop = EventLoop::new(EVENTS)?;
        event_loop.handle_signals()?;
        let mut started = Coordinator {
            plan: plan.clone(),
            clock: RunClock::start(),
            server_usage,
            workers: Vec::new(),
            event_loop,
            stopping: false,
            began: None,
            costs: Timeline::new(),
        };
        for index in 0..count {
            let own = partition(plan, Worker { index, count });
            // On an error, workers already running stop when their stdin is dropped.
            let mut worker = WorkerProcess::start(&own)?;
            let source = Source::Child(index);
            started.event_loop.register(&mut worker.stdout, source, Interest::READABLE)?;
            started.workers.push(worker);
        }
        Ok(started)
    }

    /// Runs until all workers have ended, and merges their results.
    pub fn run(mut self) -> io::Result<Combined> {
        let mut progress = Progress::new(self.plan.color);
        while !self.workers.iter().all(|worker| worker.ended) {
            let before = self.event_loop.before_sleep();
            self.event_loop.sleep(before, Some(SCAN_INTERVAL), 0, &mut ())?;
            let mut signals = false;
            for (source, _) in self.event_loop.wakeups() {
                match source {
                    Source::Child(index) => {
                        let read = self.workers[index].read_messages();
                        read.map_err(|error| self.worker_failed(index, &error))?;
                    }
                    Source::Signals => signals = true,
                    Source::Waker | Source::Timer | Source::Stdio => {}
                    Source::Listener(_) | Source::Datagram(_) => {}
                    Source::Conn(_) | Source::DatagramFlow(_) => {}
                    Source::Admin(_) | Source::AdminListener(_) => {}
                }
            }
            if signals {
                self.handle_signals();
            }
            self.coordinate();
            progress.show(self.clock.now(), || self.snapshot());
        }
        progress.clear();
        self.combine()
    }

    /// Starts the loads once all workers are ready, and reads the server's costs when due.
    fn coordinate(&mut self) {
        let now = self.clock.now();
        if now >= self.costs.due() {
            // After the hold, workers may already be closing.
            let held = self.began.is_some_and(|began| now < began + self.plan.hold);
            if held && !self.stopping {
                self.server_usage.record_queue();
            }
            let cost = self.server_usage.lately(now);
            self.costs.advance(now, 0, cost);
        }
        let Some(began) = self.began else {
            let is_awaited = |worker: &WorkerProcess| !worker.ready && !worker.ended;
            if !self.workers.iter().any(is_awaited) && self.server_usage.is_at_rest(now) {
                self.begin(now);
            }
            return;
        };
        let sends = self.plan.groups().iter().any(|(mode, _)| mode.kind != LoadKind::Idle);
        let measured = began + self.plan.warmup;
        let window = measured + self.plan.duration;
        if sends && self.server_usage.begin.is_none() && now >= measured {
            self.server_usage.begin(now);
        }
        if sends && self.server_usage.end.is_none() && now >= window {
            self.server_usage.end(now);
        }
        if self.server_usage.close.is_none() && now >= began + self.plan.hold {
            self.server_usage.close(now);
        }
    }

    /// Starts the loads of all workers.
    fn begin(&mut self, now: Duration) {
        let conns = self.workers.iter().map(|worker| worker.snapshot.open).sum();
        self.server_usage.open(now, conns);
        for worker in &mut self.workers {
            if let Some(stdin) = &mut worker.stdin {
                // A dead worker is noticed by the end of its output.
                let _ = stdin.write_all(format!("{GO}\n").as_bytes());
            }
        }
        self.began = Some(now);
        self.coordinate();
    }

    /// Handles signals: the first stops all workers, the second kills them.
    fn handle_signals(&mut self) {
        let observer = &mut ();
        let received = self.event_loop.signals(&mut Turn::new(self.event_loop.now(), observer));
        let wanted = |signal: &&Signal| matches!(signal, Signal::Interrupt | Signal::Terminate);
        for _ in received.iter().filter(wanted) {
            for worker in &mut self.workers {
                worker.stdin = None;
                if self.stopping {
                    // It may have exited already.
                    let _ = worker.child.kill();
                }
            }
            self.stopping = true;
            if self.server_usage.begin.is_some() && self.server_usage.end.is_none() {
                self.server_usage.end(self.clock.now());
            }
        }
    }

    /// Adds up the progress of all workers. The phase is that of the slowest.
    fn snapshot(&self) -> Snapshot {
        let mut sum = Snapshot::default();
        for worker in &self.workers {
            sum.add(&worker.snapshot);
        }
        let slowest =
            self.workers.iter().filter(|worker| !worker.ended).map(|worker| &worker.snapshot);
        if let Some(slowest) = slowest.min_by(|a, b| a.share.total_cmp(&b.share)) {
            (sum.phase, sum.share) = (slowest.phase.clone(), slowest.share);
        }
        sum
    }

    /// Waits for the workers to exit, and merges their results.
    fn combine(mut self) -> io::Result<Combined> {
        let whole = self.clock.now();
        let mut sum = WorkerResult::default();
        for index in 0..self.workers.len() {
            let worker = &mut self.workers[index];
            let status = worker.child.wait()?;
            match worker.done.take() {
                Some(result) => sum.merge(&result),
                None if self.stopping => {}
                None => {
                    let reason = format!("exited without a report: {status}");
                    return Err(self.worker_failed(index, &reason));
                }
            }
        }
        sum.timeline.merge(&self.costs);
        sum.interrupted |= self.stopping;
        Ok(Combined { result: sum, server_usage: self.server_usage, whole })
    }

    /// Returns the error of a worker, with its number and process.
    fn worker_failed(&self, index: usize, reason: &dyn fmt::Display) -> io::Error {
        let (count, pid) = (self.workers.len(), self.workers[index].child.id());
        io::Error::other(format!("worker {} of {count} (process {pid}): {reason}", index + 1))
    }
}

impl WorkerProcess {
    fn start(plan: &StressPlan) -> io::Result<WorkerProcess> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("stress").args(stress_arguments(plan));
        let mut child = signals::spawn(command.stdin(Stdio::piped()).stdout(Stdio::piped()))?;
        let missing = || io::Error::other("worker process has no pipes");
        let stdout = child.stdout.take().ok_or_else(missing)?;
        let stdout = Receiver::from(stdout);
        stdout.set_nonblocking(true)?;
        Ok(WorkerProcess {
            stdin: child.stdin.take(),
            child,
            stdout,
            messages: MessageReader::default(),
            ready: false,
            snapshot: Snapshot::default(),
            done: None,
            ended: false,
        })
    }

    /// Reads all available messages.
    fn read_messages(&mut self) -> io::Result<()> {
        let mut chunk = [0; 65_536];
        loop {
            let bytes = match self.stdout.read(&mut chunk) {
                Ok(0) => {
                    self.ended = true;
                    return Ok(());
                }
                Ok(bytes) => bytes,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            for message in self.messages.read(&chunk[..bytes])? {
                match message {
                    Message::Ready => self.ready = true,
                    Message::Progress(snapshot) => self.snapshot = snapshot,
                    Message::Done(result) => self.done = Some(result),
                }
            }
        }
    }
}

impl Drop for WorkerProcess {
    /// Kills the worker, so that none survives the run.
    fn drop(&mut self) {
        self.stdin = None;
        if !self.ended {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
