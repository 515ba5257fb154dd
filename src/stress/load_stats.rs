//! Statistics of one load: counts and histograms, which can be merged.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::config::{LoadKind, parse};

use super::failure::LoadFailure;
use super::histogram::Histogram;

/// Statistics of one load. Fields of the window are counted while the load is measured; failures
/// are counted over the whole run.
#[derive(Clone, Debug, Default)]
pub struct LoadStats {
    /// Length of the measured window.
    pub window: Duration,
    /// Answers in the window, and bytes in both directions.
    pub answered: u64,
    pub bytes_out: u64,
    pub bytes_in: u64,
    /// Time from sending a message to its complete answer.
    pub latency: Histogram,
    /// Time from when a message was due to its complete answer. Empty without a rate or bursts.
    pub since_due: Histogram,
    /// Time to establish a connection, of all connections.
    pub connect: Histogram,
    /// Lifetime of short connections, in the window.
    pub life: Histogram,
    /// Duration of bursts, until the last answer or close.
    pub rounds: Histogram,
    /// Connections established; those that completed their exchange in the window; those open at
    /// the end of it.
    pub opened: u64,
    pub exchanged: u64,
    pub open: u64,
    /// Messages started but not answered; datagrams lost; datagrams echoed too late.
    pub unanswered: u64,
    pub lost: u64,
    pub late: u64,
    pub partial: Partial,
    pub failures: BTreeMap<LoadFailure, u64>,
    pub deaths: Deaths,
    pub integrity_errors: IntegrityErrors,
}

/// Answers still incomplete when their connections ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Partial {
    pub count: u64,
    /// Minimum and maximum bytes received of one.
    pub bytes: (u64, u64),
    /// Minimum and maximum time from the last byte to the end of the connection.
    pub quiet: (Duration, Duration),
}

/// Connections that died while they were held.
#[derive(Clone, Debug, Default)]
pub struct Deaths {
    pub fin: u64,
    pub rst: u64,
    pub black_hole: u64,
    pub list: Vec<Death>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Death {
    /// Time since the start of the run.
    pub at: Duration,
    /// Time since it last sent or received data.
    pub idle: Duration,
    pub how: DeathCause,
}

/// How a held connection died.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeathCause {
    Fin,
    Rst,
    BlackHole,
}

/// Received bytes that differ from those sent.
#[derive(Clone, Debug, Default)]
pub struct IntegrityErrors {
    pub count: u64,
    /// Descriptions of the first few.
    pub list: Vec<String>,
}

/// Minimum time for a rate. Less would be an extrapolation, and the CPU time of a process advances
/// in steps of up to 10 ms.
pub const RATE_WINDOW_MIN: Duration = Duration::from_millis(100);

/// Maximum number of deaths and of integrity errors listed one by one.
const DEATHS_LISTED: usize = 10_000;
const ERRORS_LISTED: usize = 16;

impl LoadStats {
    /// Counts a failure.
    pub fn fail(&mut self, failure: LoadFailure) {
        *self.failures.entry(failure).or_default() += 1;
    }

    /// Clears the measurements, but keeps failures.
    pub fn restart(&mut self) {
        self.answered = 0;
        self.bytes_out = 0;
        self.bytes_in = 0;
        self.exchanged = 0;
        for histogram in [&mut self.latency, &mut self.since_due, &mut self.life, &mut self.rounds]
        {
            histogram.clear();
        }
    }

    /// Adds the statistics of another process.
    pub fn merge(&mut self, other: &LoadStats) {
        self.window = self.window.max(other.window);
        let mut other = other.clone();
        for ((_, sum), (_, more)) in self.counts().into_iter().zip(other.counts()) {
            *sum += *more;
        }
        for ((_, sum), (_, more)) in self.histograms().into_iter().zip(other.histograms()) {
            sum.merge(more);
        }
        for (failure, count) in &other.failures {
            *self.failures.entry(failure.clone()).or_default() += count;
        }
        self.partial.merge(other.partial);
        self.deaths.merge(&other.deaths);
        self.integrity_errors.merge(&other.integrity_errors);
    }

    /// Returns all counters, by name.
    pub fn counts(&mut self) -> [(&'static str, &mut u64); 9] {
        [
            ("answered", &mut self.answered),
            ("bytes_out", &mut self.bytes_out),
            ("bytes_in", &mut self.bytes_in),
            ("opened", &mut self.opened),
            ("exchanged", &mut self.exchanged),
            ("open", &mut self.open),
            ("unanswered", &mut self.unanswered),
            ("lost", &mut self.lost),
            ("late", &mut self.late),
        ]
    }

    /// Returns all histograms, by name.
    pub fn histograms(&mut self) -> [(&'static str, &mut Histogram); 5] {
        [
            ("latency", &mut self.latency),
            ("since_due", &mut self.since_due),
            ("connect", &mut self.connect),
            ("life", &mut self.life),
            ("rounds", &mut self.rounds),
        ]
    }

    /// Returns latencies without coordinated omission: measured with a rate, otherwise computed as
    /// if messages had been sent at intervals of the mean latency.
    pub fn corrected(&self) -> Histogram {
        match self.since_due.is_empty() {
            true => self.latency.corrected(self.latency.mean()),
            false => self.since_due.clone(),
        }
    }

    /// Returns the number of failures.
    pub fn failed(&self) -> u64 {
        self.failures.values().sum()
    }

    /// Computes a rate. `None`: the window was too short.
    pub fn per_second(&self, count: u64) -> Option<f64> {
        per_second(count, self.window)
    }
}

/// Computes a rate per second, if the time is long enough.
pub fn per_second(count: u64, time: Duration) -> Option<f64> {
    (time >= RATE_WINDOW_MIN).then(|| count as f64 / time.as_secs_f64())
}

impl Partial {
    pub fn add(&mut self, bytes: u64, quiet: Duration) {
        self.merge(Partial { count: 1, bytes: (bytes, bytes), quiet: (quiet, quiet) });
    }

    fn merge(&mut self, other: Partial) {
        if self.count == 0 || other.count == 0 {
            *self = if self.count == 0 { other } else { *self };
            return;
        }
        let (bytes, quiet) = (other.bytes, other.quiet);
        self.count += other.count;
        self.bytes = (self.bytes.0.min(bytes.0), self.bytes.1.max(bytes.1));
        self.quiet = (self.quiet.0.min(quiet.0), self.quiet.1.max(quiet.1));
    }
}

impl Deaths {
    pub fn add(&mut self, death: Death) {
        match death.how {
            DeathCause::Fin => self.fin += 1,
            DeathCause::Rst => self.rst += 1,
            DeathCause::BlackHole => self.black_hole += 1,
        }
        if self.list.len() < DEATHS_LISTED {
            self.list.push(death);
        }
    }

    pub fn count(&self) -> u64 {
        self.fin + self.rst + self.black_hole
    }

    /// Counts deaths by kind, without empty kinds.
    pub fn kinds(&self) -> impl Iterator<Item = (DeathCause, u64)> {
        let all = [
            (DeathCause::Fin, self.fin),
            (DeathCause::Rst, self.rst),
            (DeathCause::BlackHole, self.black_hole),
        ];
        all.into_iter().filter(|(_, count)| *count > 0)
    }

    pub fn merge(&mut self, other: &Deaths) {
        self.fin += other.fin;
        self.rst += other.rst;
        self.black_hole += other.black_hole;
        let free = DEATHS_LISTED - self.list.len();
        self.list.extend(other.list.iter().take(free));
        self.list.sort_by_key(|death| death.at);
    }
}

impl DeathCause {
    pub const NAMES: [(&'static str, DeathCause); 3] =
        [("FIN", DeathCause::Fin), ("RST", DeathCause::Rst), ("black hole", DeathCause::BlackHole)];

    pub fn name(self) -> &'static str {
        parse::choice_name(&DeathCause::NAMES, self)
    }
}

impl IntegrityErrors {
    pub fn add(&mut self, description: String) {
        self.count += 1;
        if self.list.len() < ERRORS_LISTED {
            self.list.push(description);
        }
    }

    fn merge(&mut self, other: &IntegrityErrors) {
        self.count += other.count;
        let free = ERRORS_LISTED - self.list.len();
        self.list.extend(other.list.iter().take(free).cloned());
    }
}

/// The unit of work of a load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkUnit {
    None,
    Message,
    Connection,
    Gibibyte,
}

impl WorkUnit {
    /// Returns the unit of this kind of load.
    pub fn of(kind: LoadKind) -> WorkUnit {
        match kind {
            LoadKind::Idle => WorkUnit::None,
            LoadKind::Echo => WorkUnit::Message,
            LoadKind::Churn => WorkUnit::Connection,
            LoadKind::Stream => WorkUnit::Gibibyte,
        }
    }
}

/// Bytes in a gibibyte.
pub const GIBIBYTE: f64 = (1u64 << 30) as f64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stress::failure::Stage;

    fn millis(value: u64) -> Duration {
        Duration::from_millis(value)
    }

    fn stats(base: u64) -> LoadStats {
        let mut stats = LoadStats { window: millis(base), answered: base, ..LoadStats::default() };
        stats.latency.record(millis(base));
        stats.fail(LoadFailure::new(Stage::Exchange, "EPIPE"));
        stats.deaths.add(Death { at: millis(base), idle: millis(1), how: DeathCause::Rst });
        stats.integrity_errors.add(format!("wrong {base}"));
        stats.partial.add(base, millis(base));
        stats
    }

    #[test]
    fn statistics_of_two_processes_are_merged() {
        let (mut one, two) = (stats(20), stats(10));
        one.merge(&two);
        assert_eq!((one.answered, one.window, one.latency.count()), (30, millis(20), 2));
        assert_eq!((one.failed(), one.deaths.rst, one.deaths.count()), (2, 2, 2));
        let times: Vec<Duration> = one.deaths.list.iter().map(|death| death.at).collect();
        assert_eq!(times, [millis(10), millis(20)]);
        assert_eq!(one.integrity_errors.list, ["wrong 20", "wrong 10"]);
        let quiet = (millis(10), millis(20));
        assert_eq!(one.partial, Partial { count: 2, bytes: (10, 20), quiet });
        one.merge(&LoadStats::default());
        assert_eq!(one.partial.count, 2);
    }

    #[test]
    fn a_restart_clears_measurements_and_keeps_failures() {
        let mut stats = stats(10);
        stats.restart();
        assert_eq!((stats.answered, stats.latency.count()), (0, 0));
        assert_eq!((stats.failed(), stats.deaths.count(), stats.integrity_errors.count), (1, 1, 1));
    }

    #[test]
    fn latencies_are_corrected_by_due_times_or_by_the_mean() {
        let mut stats = LoadStats::default();
        (0..100).for_each(|_| stats.latency.record(millis(1)));
        stats.latency.record(millis(100));
        // The mean is 2 ms: 48 more would have waited behind the one that took 100 ms.
        assert_eq!(stats.corrected().count(), 150);
        stats.since_due.record(millis(7));
        assert_eq!(stats.corrected().count(), 1);
    }

    #[test]
    fn no_rate_is_computed_from_a_few_milliseconds() {
        let stats = |window| LoadStats { window, ..LoadStats::default() };
        assert_eq!(stats(millis(7)).per_second(152), None);
        assert_eq!(stats(Duration::ZERO).per_second(0), None);
        assert_eq!(stats(RATE_WINDOW_MIN).per_second(50), Some(500.0));
    }

    #[test]
    fn lists_are_limited_and_counts_are_not() {
        let mut stats = LoadStats::default();
        (0..20).for_each(|_| stats.integrity_errors.add(String::new()));
        assert_eq!(
            (stats.integrity_errors.count, stats.integrity_errors.list.len()),
            (20, ERRORS_LISTED)
        );
    }
}
