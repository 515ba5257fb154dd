//! The outcome of a run, from which the summary, the JSON and the page are made.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::config::options::stress_arguments;
use crate::config::{Direction, LoadMode, StressPlan};
use crate::text::count::plural;
use crate::text::escape::shell_quoted;

#[cfg(unix)]
use super::coordinator::Combined;
use super::cost::Cost;
use super::environment::Environment;
use super::group::LoadGroup;
use super::histogram::Histogram;
use super::idle_probe::ProbeResult;
use super::load_stats::{GIBIBYTE, LoadStats, RATE_WINDOW_MIN, WorkUnit, per_second};
use super::protocol::WorkerResult;
use super::ramp_curve::RampCurve;
use super::report::format::percent;
use super::results::FinishedRun;
use super::runner::Runner;
use super::server_usage::{Backlog, LoopUsage, ServerUsage};
use super::timeline::Timeline;

/// The outcome of a run.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The plan as carried out, with its seed.
    pub plan: StressPlan,
    pub environment: Environment,
    pub began: SystemTime,
    pub loads: Vec<LoadOutcome>,
    /// Time until all persistent connections were open.
    pub ramp: Duration,
    pub ramp_curve: RampCurve,
    /// Duration of the whole run.
    pub whole: Duration,
    /// Start and end of the measured window, from the start of the timeline.
    pub measured: Option<(Duration, Duration)>,
    /// The run was ended early.
    pub interrupted: bool,
    pub processes: usize,
    pub busy: LoopUsage,
    pub timeline: Timeline,
    pub server: Option<Server>,
    /// Result of the search for an idle timeout.
    pub probe: Option<ProbeResult>,
}

/// The outcome of one load.
#[derive(Clone, Debug)]
pub struct LoadOutcome {
    pub mode: LoadMode,
    pub conns: usize,
    /// It was the sink.
    pub far: bool,
    pub direction: Direction,
    pub stats: LoadStats,
}

/// Costs of the server at the phase boundaries that were reached.
#[derive(Clone, Debug)]
pub struct Server {
    pub pid: u32,
    pub name: String,
    pub base: Option<Cost>,
    pub open: Option<Cost>,
    pub begin: Option<Cost>,
    pub end: Option<Cost>,
    pub close: Option<Cost>,
    /// Connections not accepted when all were open, and length of the accept queue before closing.
    pub backlog: Backlog,
    pub queue_at_close: Option<u64>,
}

impl Outcome {
    /// Creates the outcome of a run in this process.
    pub fn of(runner: Runner) -> Outcome {
        let FinishedRun { plan, whole, groups, result, server_usage, probe } = runner.finish();
        let loads = groups.0.into_iter().map(LoadOutcome::of).collect();
        Outcome { probe, ..Outcome::new(&plan, loads, result, server_usage, whole) }
    }

    /// Creates the outcome of a run in several processes.
    #[cfg(unix)]
    pub fn combine(plan: &StressPlan, all: Combined, processes: usize) -> Outcome {
        let Combined { mut result, server_usage, whole } = all;
        let stats = std::mem::take(&mut result.load_stats);
        let loads = plan.groups().into_iter().zip(stats);
        let loads = loads.map(|((mode, conns), stats)| LoadOutcome {
            mode,
            conns,
            far: false,
            direction: plan.direction,
            stats,
        });
        Outcome { processes, ..Outcome::new(plan, loads.collect(), result, server_usage, whole) }
    }

    fn new(
        plan: &StressPlan,
        loads: Vec<LoadOutcome>,
        result: WorkerResult,
        server_usage: ServerUsage,
        whole: Duration,
    ) -> Outcome {
        Outcome {
            plan: plan.clone(),
            environment: Environment::default(),
            began: UNIX_EPOCH,
            loads,
            ramp: result.ramp,
            ramp_curve: result.ramp_curve,
            whole,
            measured: result.measured,
            interrupted: result.interrupted,
            processes: 1,
            busy: result.busy,
            timeline: result.timeline,
            server: Server::of(server_usage),
            probe: None,
        }
    }

    /// Whether the run passed.
    pub fn is_ok(&self) -> bool {
        self.loads.iter().all(LoadOutcome::is_ok) && self.never_accepted() == 0
    }

    /// Returns the number of connections that the server has never accepted.
    pub fn never_accepted(&self) -> u64 {
        self.server.as_ref().map_or(0, Server::never_accepted)
    }

    /// Returns the number of datagrams lost, of all loads.
    pub fn lost(&self) -> u64 {
        self.loads.iter().map(|load| load.stats.lost).sum()
    }

    /// Describes the result in a few words. After an interrupt it covers the run until then.
    pub fn verdict(&self) -> String {
        let until = if self.interrupted { " until interrupted" } else { "" };
        match (self.is_ok(), self.lost()) {
            (false, _) => format!("failed: {}", self.failures()),
            (true, 0) => format!("no errors{until}"),
            (true, lost) => format!("no errors{until}, but {}", self.loss(lost)),
        }
    }

    /// Counts what failed: `64 errors, 200 connections died`.
    fn failures(&self) -> String {
        let sum = |of: fn(&LoadStats) -> u64| self.loads.iter().map(|load| of(&load.stats)).sum();
        let counts: [(u64, &str, &str); 6] = [
            (sum(LoadStats::failed), "error", ""),
            (sum(|stats| stats.deaths.count()), "connection", " died"),
            (sum(|stats| stats.integrity_errors.count), "integrity error", ""),
            (sum(|stats| stats.partial.count), "incomplete answer", ""),
            (self.never_accepted(), "connection", " never accepted"),
            (self.lost(), "datagram", " lost"),
        ];
        let counts = counts.into_iter().filter(|(count, ..)| *count > 0);
        let parts = counts.map(|(count, noun, what)| plural(count, noun) + what);
        parts.collect::<Vec<_>>().join(", ")
    }

    /// Describes lost datagrams.
    fn loss(&self, lost: u64) -> String {
        let datagrams = plural(lost, "datagram");
        // Answers during the warm-up are not counted, so the share is unknown.
        if !self.plan.warmup.is_zero() {
            return format!("{datagrams} lost");
        }
        let answered: u64 = self.loads.iter().map(|load| load.stats.answered).sum();
        let share = percent(lost as f64 / (lost + answered) as f64);
        format!("{datagrams} lost ({share})")
    }

    /// Returns the number of connections established, of all loads.
    pub fn opened(&self) -> u64 {
        self.loads.iter().map(|load| load.stats.opened).sum()
    }

    /// Returns the number of persistent connections that were established.
    pub fn persistent_opened(&self) -> u64 {
        self.loads.iter().filter(|load| load.is_persistent()).map(|load| load.stats.opened).sum()
    }

    /// Returns the number of persistent connections of the plan.
    pub fn persistent_planned(&self) -> usize {
        self.loads.iter().filter(|load| load.is_persistent()).map(|load| load.conns).sum()
    }

    /// Returns the rate at which persistent connections were established.
    pub fn ramp_rate(&self) -> Option<f64> {
        per_second(self.persistent_opened(), self.ramp)
    }

    /// Returns the command that repeats this run.
    pub fn command(&self) -> String {
        let arguments = stress_arguments(&self.plan);
        let quoted = arguments.iter().map(|argument| shell_quoted(argument));
        std::iter::once("oneloop stress".to_string()).chain(quoted).collect::<Vec<_>>().join(" ")
    }
}

impl LoadOutcome {
    fn of(group: LoadGroup) -> LoadOutcome {
        LoadOutcome {
            mode: group.mode,
            conns: group.planned,
            far: group.load.far,
            direction: group.load.direction,
            stats: group.stats,
        }
    }

    /// Whether the load passed. Lost datagrams are not a failure, unless all are lost.
    pub fn is_ok(&self) -> bool {
        let LoadStats { failures, deaths, integrity_errors, answered, lost, partial, .. } =
            &self.stats;
        let any_answered = *lost == 0 || *answered > 0;
        let is_intact = partial.count == 0 && integrity_errors.count == 0;
        failures.is_empty() && deaths.count() == 0 && is_intact && any_answered
    }

    pub fn name(&self) -> &'static str {
        if self.far { "sink" } else { self.mode.kind.name() }
    }

    /// Whether its connections are persistent: opened once, before measuring.
    pub fn is_persistent(&self) -> bool {
        self.mode.kind.stays() && !self.far
    }

    /// Returns latencies corrected for coordinated omission, of loads counted in messages.
    pub fn corrected(&self) -> Option<Histogram> {
        let is_known = self.unit() == WorkUnit::Message && !self.stats.latency.is_empty();
        is_known.then(|| self.stats.corrected())
    }

    /// Returns the unit of work.
    pub fn unit(&self) -> WorkUnit {
        WorkUnit::of(self.mode.kind)
    }

    /// Returns the work done in the window, in units.
    pub fn done(&self) -> f64 {
        match self.unit() {
            _ if self.far => 0.0,
            WorkUnit::None => 0.0,
            WorkUnit::Message => self.stats.answered as f64,
            WorkUnit::Connection => self.stats.exchanged as f64,
            WorkUnit::Gibibyte => self.streamed() as f64 / GIBIBYTE,
        }
    }

    /// Returns the bytes moved end to end; of an echo, those that came back.
    fn streamed(&self) -> u64 {
        match self.direction {
            Direction::Up | Direction::Discard => self.stats.bytes_out,
            Direction::Down | Direction::Echo => self.stats.bytes_in,
            Direction::Both => self.stats.bytes_in + self.stats.bytes_out,
        }
    }
}

impl Server {
    fn of(server_usage: ServerUsage) -> Option<Server> {
        let ServerUsage { meter, base, open, begin, end, close, backlog, queue_at_close, .. } =
            server_usage;
        let meter = meter?;
        let (pid, name) = (meter.pid(), meter.name);
        Some(Server { pid, name, base, open, begin, end, close, backlog, queue_at_close })
    }

    /// Returns the number of connections not accepted when all were open nor before closing.
    pub fn never_accepted(&self) -> u64 {
        self.queue_at_close.unwrap_or(u64::MAX).min(self.backlog.waiting())
    }

    /// Returns the CPU time in the measured window.
    pub fn cpu(&self) -> Option<Duration> {
        Some(self.end?.cpu_since(&self.begin?))
    }

    /// Returns the CPU time, if the window was long enough to divide it by the work done.
    pub fn divisible_cpu(&self) -> Option<Duration> {
        let window = self.end?.at.saturating_sub(self.begin?.at);
        self.cpu().filter(|cpu| window >= RATE_WINDOW_MIN && !cpu.is_zero())
    }

    /// Returns the CPU time as a share of the window.
    pub fn cpu_share(&self) -> Option<f64> {
        let window = self.end?.at.saturating_sub(self.begin?.at);
        (window >= RATE_WINDOW_MIN).then_some(self.cpu()?.as_secs_f64() / window.as_secs_f64())
    }

    /// Returns the user memory of a reading, minus that before the first connection.
    pub fn user_bytes(&self, read: Option<Cost>) -> Option<u64> {
        Some(read?.user_bytes.saturating_sub(self.base?.user_bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_the_difference_between_both_ends_of_the_window() {
        let at = |seconds, cpu_millis| Cost {
            at: Duration::from_secs(seconds),
            cpu_fine: Duration::from_millis(cpu_millis),
            user_bytes: seconds * 1000,
            ..Cost::default()
        };
        let server = Server {
            pid: 1,
            name: String::new(),
            base: Some(at(0, 0)),
            open: Some(at(1, 5)),
            begin: Some(at(2, 10)),
            end: Some(at(4, 510)),
            close: None,
            backlog: Backlog::default(),
            queue_at_close: None,
        };
        assert_eq!(server.cpu(), Some(Duration::from_millis(500)));
        assert_eq!(server.cpu_share(), Some(0.25));
        assert_eq!(server.user_bytes(server.open), Some(1000));
        assert_eq!(server.user_bytes(server.close), None);
        let short =
            Server { end: Some(Cost { at: Duration::from_millis(2007), ..at(4, 510) }), ..server };
        assert_eq!((short.cpu_share(), short.divisible_cpu()), (None, None));
    }
}
