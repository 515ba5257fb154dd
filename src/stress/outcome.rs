//! What a run came to: what is shown, written as JSON, and drawn.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::config::{Direction, LoadKind, StressPlan};
use crate::text::digits::plural;
use crate::text::shell::quoted;

use super::backlog::Backlog;
#[cfg(unix)]
use super::coordinator::Combined;
use super::cost::Cost;
use super::environment::Environment;
use super::histogram::Histogram;
use super::idle_probe::Found;
use super::load_stats::{LoadStats, RATE_WINDOW_MIN, per_second};
use super::ramp_curve::RampCurve;
use super::report::words::percent;
use super::runner::Runner;
use super::server_usage::{LoopUsage, ServerUsage};
use super::timeline::Timeline;
use super::unit::{GIBIBYTE, Unit};

/// Everything a report is made of.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// As it was carried out: with its seed.
    pub plan: StressPlan,
    pub host: Environment,
    pub began: SystemTime,
    pub loads: Vec<LoadOutcome>,
    /// How long it took until all connections that stay were there.
    pub ramp: Duration,
    pub ramp_curve: RampCurve,
    pub whole: Duration,
    /// From when to when the loads were measured, since the beginning of the timeline.
    pub measured: Option<(Duration, Duration)>,
    /// It was ended before its time.
    pub interrupted: bool,
    pub processes: usize,
    pub busy: LoopUsage,
    pub timeline: Timeline,
    pub server: Option<Server>,
    /// What a search for the deadly silence came to.
    pub found: Option<Found>,
}

/// One load and what it came to.
#[derive(Clone, Debug)]
pub struct LoadOutcome {
    pub kind: LoadKind,
    pub conns: usize,
    /// It was the far end of streams.
    pub far: bool,
    pub direction: Direction,
    pub stats: LoadStats,
}

/// What the server spent, at the turning points of the run that were reached.
#[derive(Clone, Debug)]
pub struct Server {
    pub pid: u32,
    pub name: String,
    pub base: Option<Cost>,
    pub open: Option<Cost>,
    pub begin: Option<Cost>,
    pub end: Option<Cost>,
    pub close: Option<Cost>,
    /// What it had not accepted when all connections were there, and how many waited in its accept
    /// queue before they were closed.
    pub backlog: Backlog,
    pub queue_at_close: Option<u64>,
}

impl Outcome {
    /// What the loop of this process came to.
    pub fn of(runner: Runner) -> Outcome {
        let whole = runner.now();
        let loads = runner.groups.into_iter().map(|group| LoadOutcome {
            kind: group.kind,
            conns: group.wanted,
            far: group.load.far,
            direction: group.load.direction,
            stats: group.stats,
        });
        Outcome {
            host: Environment::default(),
            began: UNIX_EPOCH,
            loads: loads.collect(),
            ramp: runner.ramp,
            ramp_curve: runner.ramp_curve,
            whole,
            measured: runner.measured,
            interrupted: runner.interrupted,
            processes: 1,
            busy: runner.busy,
            timeline: runner.timeline,
            server: Server::of(runner.server_usage),
            found: runner.idle_probe.map(|idle_probe| idle_probe.found),
            plan: runner.plan,
        }
    }

    /// What several processes came to.
    #[cfg(unix)]
    pub fn combine(plan: &StressPlan, all: Combined, processes: usize) -> Outcome {
        let groups = plan.groups().into_iter();
        let loads = groups.zip(all.result.load_stats).map(|((kind, conns), stats)| LoadOutcome {
            kind,
            conns,
            far: false,
            direction: plan.direction,
            stats,
        });
        Outcome {
            host: Environment::default(),
            began: UNIX_EPOCH,
            loads: loads.collect(),
            ramp: all.result.ramp,
            ramp_curve: all.result.ramp_curve,
            whole: all.whole,
            measured: all.result.measured,
            interrupted: all.result.interrupted,
            processes,
            busy: all.result.busy,
            timeline: all.result.timeline,
            server: Server::of(all.server_usage),
            found: None,
            plan: plan.clone(),
        }
    }

    /// The same, with where and when it was.
    pub fn in_environment(self, host: Environment, began: SystemTime) -> Outcome {
        Outcome { host, began, ..self }
    }

    /// Whether nothing went wrong.
    pub fn is_ok(&self) -> bool {
        self.loads.iter().all(LoadOutcome::is_ok) && self.never_accepted() == 0
    }

    /// Connections that look open to us, and that the server has never accepted.
    pub fn never_accepted(&self) -> u64 {
        self.server.as_ref().map_or(0, Server::never_accepted)
    }

    /// Datagrams that did not come back in time, of all loads.
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

    fn loss(&self, lost: u64) -> String {
        let datagrams = plural(lost, "datagram");
        // What was answered before the measured time is not counted.
        if !self.plan.warmup.is_zero() {
            return format!("{datagrams} lost");
        }
        let answered: u64 = self.loads.iter().map(|load| load.stats.answered).sum();
        let share = percent(lost as f64 / (lost + answered) as f64);
        format!("{datagrams} lost ({share})")
    }

    /// All connections that were made, of all loads.
    pub fn opened(&self) -> u64 {
        self.loads.iter().map(|load| load.stats.opened).sum()
    }

    /// Connections that stayed, as many as were there after the ramp.
    pub fn stayed(&self) -> u64 {
        self.loads.iter().filter(|load| load.stays()).map(|load| load.stats.opened).sum()
    }

    /// Connections that were to stay.
    pub fn wanted(&self) -> usize {
        self.loads.iter().filter(|load| load.stays()).map(|load| load.conns).sum()
    }

    /// How many of those that stayed were made in a second.
    pub fn ramp_rate(&self) -> Option<f64> {
        per_second(self.stayed(), self.ramp)
    }

    /// The command that gives this run again.
    pub fn command(&self) -> String {
        let arguments = self.plan.arguments();
        let quoted = arguments.iter().map(|argument| quoted(argument));
        std::iter::once("oneloop stress".to_string()).chain(quoted).collect::<Vec<_>>().join(" ")
    }
}

impl LoadOutcome {
    /// Loss is counted and is no failure: datagrams may be lost. Loss of everything is one.
    pub fn is_ok(&self) -> bool {
        let LoadStats { failures, deaths, integrity_errors, answered, lost, partial, .. } =
            &self.stats;
        let any_answered = *lost == 0 || *answered > 0;
        let whole = partial.count == 0 && integrity_errors.count == 0;
        failures.is_empty() && deaths.count() == 0 && whole && any_answered
    }

    pub fn name(&self) -> &'static str {
        if self.far { "sink" } else { self.kind.name() }
    }

    /// Its connections were opened at the beginning, to stay.
    pub fn stays(&self) -> bool {
        self.kind.stays() && !self.far
    }

    /// Latencies corrected for coordinated omission, of loads that speak again and again.
    pub fn corrected(&self) -> Option<Histogram> {
        let speaks = self.unit() == Unit::Message && !self.stats.latency.is_empty();
        speaks.then(|| self.stats.corrected())
    }

    /// What the load is measured by.
    pub fn unit(&self) -> Unit {
        Unit::of(self.kind)
    }

    /// How many units were done in the window.
    pub fn done(&self) -> f64 {
        match self.unit() {
            _ if self.far => 0.0,
            Unit::None => 0.0,
            Unit::Message => self.stats.answered as f64,
            Unit::Connection => self.stats.exchanged as f64,
            Unit::Gibibyte => self.streamed() as f64 / GIBIBYTE,
        }
    }

    /// Bytes that went the whole way: of an echo, there and back.
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

    /// Connections that it had accepted neither when all were there nor before they were closed.
    pub fn never_accepted(&self) -> u64 {
        self.queue_at_close.unwrap_or(u64::MAX).min(self.backlog.waiting())
    }

    /// Processor time in the measured window.
    pub fn cpu(&self) -> Option<Duration> {
        Some(self.end?.cpu_since(&self.begin?))
    }

    /// The same, if the window was long enough for it to be shared out.
    pub fn cpu_to_share(&self) -> Option<Duration> {
        let window = self.end?.at.saturating_sub(self.begin?.at);
        self.cpu().filter(|cpu| window >= RATE_WINDOW_MIN && !cpu.is_zero())
    }

    /// The share of the window in which it had a processor.
    pub fn cpu_share(&self) -> Option<f64> {
        let window = self.end?.at.saturating_sub(self.begin?.at);
        (window >= RATE_WINDOW_MIN).then_some(self.cpu()?.as_secs_f64() / window.as_secs_f64())
    }

    /// What it held in its own memory with all connections there, used or not, more than before.
    pub fn user_bytes(&self, read: Option<Cost>) -> Option<u64> {
        Some(read?.user_bytes.saturating_sub(self.base?.user_bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_that_between_both_ends_of_the_window() {
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
        assert_eq!((short.cpu_share(), short.cpu_to_share()), (None, None));
    }
}
