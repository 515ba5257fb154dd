//! Statistics of one load: counts and histograms, which can be merged.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::config::parse;

use super::failure::Failure;
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
    /// From sending a message to its complete answer.
    pub latency: Histogram,
    /// The same, from when it was due. Empty without a rate.
    pub waited: Histogram,
    /// Time to establish a connection, of all connections.
    pub connect: Histogram,
    /// Lifetime of short connections, in the window.
    pub life: Histogram,
    /// Duration of storms and pulses, until the last answer.
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
    pub failures: BTreeMap<Failure, u64>,
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
    /// Since the run began.
    pub at: Duration,
    /// Since it last sent or received data.
    pub silent: Duration,
    pub how: How,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
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
const WRONGS_LISTED: usize = 16;

impl LoadStats {
    pub fn fail(&mut self, failure: Failure) {
        *self.failures.entry(failure).or_default() += 1;
    }

    /// Clears the measurements, but keeps failures.
    pub fn restart(&mut self) {
        self.answered = 0;
        self.bytes_out = 0;
        self.bytes_in = 0;
        self.exchanged = 0;
        for histogram in [&mut self.latency, &mut self.waited, &mut self.life, &mut self.rounds] {
            histogram.clear();
        }
    }

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
            ("waited", &mut self.waited),
            ("connect", &mut self.connect),
            ("life", &mut self.life),
            ("rounds", &mut self.rounds),
        ]
    }

    /// Returns latencies without coordinated omission: measured with a rate, otherwise computed as
    /// if messages had been sent at intervals of the mean latency.
    pub fn corrected(&self) -> Histogram {
        match self.waited.is_empty() {
            true => self.latency.corrected(self.latency.mean()),
            false => self.waited.clone(),
        }
    }

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
            How::Fin => self.fin += 1,
            How::Rst => self.rst += 1,
            How::BlackHole => self.black_hole += 1,
        }
        if self.list.len() < DEATHS_LISTED {
            self.list.push(death);
        }
    }

    pub fn count(&self) -> u64 {
        self.fin + self.rst + self.black_hole
    }

    /// Counts deaths by kind, without empty kinds.
    pub fn kinds(&self) -> impl Iterator<Item = (How, u64)> {
        let all = [(How::Fin, self.fin), (How::Rst, self.rst), (How::BlackHole, self.black_hole)];
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

impl How {
    pub const WORDS: [(&'static str, How); 3] =
        [("FIN", How::Fin), ("RST", How::Rst), ("black hole", How::BlackHole)];

    pub fn name(self) -> &'static str {
        parse::choice_name(&How::WORDS, self)
    }
}

impl IntegrityErrors {
    pub fn add(&mut self, words: String) {
        self.count += 1;
        if self.list.len() < WRONGS_LISTED {
            self.list.push(words);
        }
    }

    fn merge(&mut self, other: &IntegrityErrors) {
        self.count += other.count;
        let free = WRONGS_LISTED - self.list.len();
        self.list.extend(other.list.iter().take(free).cloned());
    }
}

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
        stats.fail(Failure::new(Stage::Exchange, "EPIPE"));
        stats.deaths.add(Death { at: millis(base), silent: millis(1), how: How::Rst });
        stats.integrity_errors.add(format!("wrong {base}"));
        stats.partial.add(base, millis(base));
        stats
    }

    #[test]
    fn two_tallies_are_one() {
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
    fn a_restart_forgets_what_was_measured_and_not_what_went_wrong() {
        let mut stats = stats(10);
        stats.restart();
        assert_eq!((stats.answered, stats.latency.count()), (0, 0));
        assert_eq!((stats.failed(), stats.deaths.count(), stats.integrity_errors.count), (1, 1, 1));
    }

    #[test]
    fn latencies_are_corrected_by_measure_or_by_the_mean() {
        let mut stats = LoadStats::default();
        (0..100).for_each(|_| stats.latency.record(millis(1)));
        stats.latency.record(millis(100));
        // The mean is 2 ms: 48 more would have waited behind the one that took 100 ms.
        assert_eq!(stats.corrected().count(), 150);
        stats.waited.record(millis(7));
        assert_eq!(stats.corrected().count(), 1);
    }

    #[test]
    fn no_rate_is_made_of_a_few_milliseconds() {
        let stats = |window| LoadStats { window, ..LoadStats::default() };
        assert_eq!(stats(millis(7)).per_second(152), None);
        assert_eq!(stats(Duration::ZERO).per_second(0), None);
        assert_eq!(stats(RATE_WINDOW_MIN).per_second(50), Some(500.0));
    }

    #[test]
    fn lists_have_an_end_and_counts_go_on() {
        let mut stats = LoadStats::default();
        (0..20).for_each(|_| stats.integrity_errors.add(String::new()));
        assert_eq!(
            (stats.integrity_errors.count, stats.integrity_errors.list.len()),
            (20, WRONGS_LISTED)
        );
    }
}
