//! Statistics of one load: counts and histograms, which can be merged.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::config::LoadKind;

use super::failure::LoadFailure;
use super::histogram::Histogram;
use super::seconds;

/// Statistics of one load. Fields of the window are counted while the load is measured; failures
/// are counted over the whole run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
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
    #[serde(serialize_with = "write_pairs", deserialize_with = "read_pairs")]
    pub failures: BTreeMap<LoadFailure, u64>,
    pub deaths: Deaths,
    pub integrity_errors: IntegrityErrors,
}

/// Answers still incomplete when their connections ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Partial {
    pub count: u64,
    /// Bytes received of one.
    pub bytes_min: u64,
    pub bytes_max: u64,
    /// Time from the last byte to the end of the connection.
    #[serde(rename = "idle_min_s", with = "seconds")]
    pub idle_min: Duration,
    #[serde(rename = "idle_max_s", with = "seconds")]
    pub idle_max: Duration,
}

/// Connections that died while they were held.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deaths {
    pub fin: u64,
    pub rst: u64,
    pub black_hole: u64,
    pub list: Vec<Death>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Death {
    /// Time since the start of the run.
    #[serde(rename = "at_s", with = "seconds")]
    pub at: Duration,
    /// Time since it last sent or received data.
    #[serde(rename = "idle_s", with = "seconds")]
    pub idle: Duration,
    pub how: DeathCause,
}

/// How a held connection died.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeathCause {
    #[serde(rename = "FIN")]
    Fin,
    #[serde(rename = "RST")]
    Rst,
    #[serde(rename = "black hole")]
    BlackHole,
}

/// Received bytes that differ from those sent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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
        self.answered += other.answered;
        self.bytes_out += other.bytes_out;
        self.bytes_in += other.bytes_in;
        self.latency.merge(&other.latency);
        self.since_due.merge(&other.since_due);
        self.connect.merge(&other.connect);
        self.life.merge(&other.life);
        self.rounds.merge(&other.rounds);
        self.opened += other.opened;
        self.exchanged += other.exchanged;
        self.open += other.open;
        self.unanswered += other.unanswered;
        self.lost += other.lost;
        self.late += other.late;
        self.partial.merge(other.partial);
        for (failure, count) in &other.failures {
            *self.failures.entry(failure.clone()).or_default() += count;
        }
        self.deaths.merge(&other.deaths);
        self.integrity_errors.merge(&other.integrity_errors);
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

/// Writes failures as a list of pairs: the key of a JSON object is a string.
fn write_pairs<S: Serializer>(
    failures: &BTreeMap<LoadFailure, u64>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(failures)
}

fn read_pairs<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<LoadFailure, u64>, D::Error> {
    Ok(Vec::deserialize(deserializer)?.into_iter().collect())
}

/// Computes a rate per second, if the time is long enough.
pub fn per_second(count: u64, time: Duration) -> Option<f64> {
    (time >= RATE_WINDOW_MIN).then(|| count as f64 / time.as_secs_f64())
}

impl Partial {
    pub fn add(&mut self, bytes: u64, idle: Duration) {
        let (bytes_min, bytes_max, idle_min, idle_max) = (bytes, bytes, idle, idle);
        self.merge(Partial { count: 1, bytes_min, bytes_max, idle_min, idle_max });
    }

    fn merge(&mut self, other: Partial) {
        if self.count == 0 || other.count == 0 {
            *self = if self.count == 0 { other } else { *self };
            return;
        }
        self.count += other.count;
        self.bytes_min = self.bytes_min.min(other.bytes_min);
        self.bytes_max = self.bytes_max.max(other.bytes_max);
        self.idle_min = self.idle_min.min(other.idle_min);
        self.idle_max = self.idle_max.max(other.idle_max);
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
    pub fn name(self) -> &'static str {
        match self {
            DeathCause::Fin => "FIN",
            DeathCause::Rst => "RST",
            DeathCause::BlackHole => "black hole",
        }
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
        let (idle_min, idle_max) = (millis(10), millis(20));
        let partial = Partial { count: 2, bytes_min: 10, bytes_max: 20, idle_min, idle_max };
        assert_eq!(one.partial, partial);
        one.merge(&LoadStats::default());
        assert_eq!(one.partial.count, 2);
    }

    #[test]
    fn a_cause_of_death_has_one_name_everywhere() {
        for how in [DeathCause::Fin, DeathCause::Rst, DeathCause::BlackHole] {
            assert_eq!(serde_json::to_value(how).unwrap(), how.name());
        }
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
