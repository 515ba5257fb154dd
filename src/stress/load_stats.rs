//! What one load came to: counts and spreads. Two tallies of the same load are one.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::plan::word;

use super::failure::Failure;
use super::histogram::Histogram;

/// Everything that is counted of one load. `seconds` and what is said to be of the window were
/// counted while it was measured; failures are counted from the beginning to the end.
#[derive(Clone, Debug, Default)]
pub struct LoadStats {
    /// How long was measured.
    pub window: Duration,
    /// Answers in the window, and the bytes both ways.
    pub answered: u64,
    pub bytes_out: u64,
    pub bytes_in: u64,
    /// From sending a message to having its answer whole.
    pub latency: Histogram,
    /// The same, from when it should have been sent. Empty, where answers set the pace.
    pub waited: Histogram,
    /// From the first packet to a connection, of all connections.
    pub connect: Histogram,
    /// The whole life of connections that come and go, in the window.
    pub life: Histogram,
    /// How long it took until all had an answer: of storms and pulses.
    pub rounds: Histogram,
    /// Connections made since the beginning; those that had their exchange in the window; those
    /// that were open at the end of it.
    pub opened: u64,
    pub exchanged: u64,
    pub open: u64,
    /// Messages that were begun and not answered; datagrams lost, and those that came too late.
    pub unanswered: u64,
    pub lost: u64,
    pub late: u64,
    pub partial: Partial,
    pub failures: BTreeMap<Failure, u64>,
    pub deaths: Deaths,
    pub wrongs: Wrongs,
}

/// Answers of which only a part came before their connections ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Partial {
    pub count: u64,
    /// The least and the most bytes that came of one.
    pub bytes: (u64, u64),
    /// The shortest and the longest time from the last byte to the end of the connection.
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
    /// Since it last heard or said something.
    pub silent: Duration,
    pub how: How,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    Fin,
    Rst,
    BlackHole,
}

/// Bytes that came back other than they were sent.
#[derive(Clone, Debug, Default)]
pub struct Wrongs {
    pub count: u64,
    /// The first few, in words.
    pub list: Vec<String>,
}

/// No rate is told of less time than this: it would be an extrapolation, and the processor time of
/// a process moves in steps of up to 10 ms.
pub const RATE_WINDOW_MIN: Duration = Duration::from_millis(100);

/// So many deaths are told one by one, and so many wrong bytes.
const DEATHS_LISTED: usize = 10_000;
const WRONGS_LISTED: usize = 16;

impl LoadStats {
    pub fn fail(&mut self, failure: Failure) {
        *self.failures.entry(failure).or_default() += 1;
    }

    /// Forgets what was measured so far; what went wrong is not forgotten.
    pub fn restart(&mut self) {
        self.answered = 0;
        self.bytes_out = 0;
        self.bytes_in = 0;
        self.exchanged = 0;
        for spread in [&mut self.latency, &mut self.waited, &mut self.life, &mut self.rounds] {
            spread.clear();
        }
    }

    pub fn merge(&mut self, other: &LoadStats) {
        self.window = self.window.max(other.window);
        let mut other = other.clone();
        for ((_, sum), (_, more)) in self.counts().into_iter().zip(other.counts()) {
            *sum += *more;
        }
        for ((_, sum), (_, more)) in self.spreads().into_iter().zip(other.spreads()) {
            sum.merge(more);
        }
        for (failure, count) in &other.failures {
            *self.failures.entry(failure.clone()).or_default() += count;
        }
        self.partial.merge(other.partial);
        self.deaths.merge(&other.deaths);
        self.wrongs.merge(&other.wrongs);
    }

    /// Everything that is added up, by name.
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

    /// Everything that is spread, by name.
    pub fn spreads(&mut self) -> [(&'static str, &mut Histogram); 5] {
        [
            ("latency", &mut self.latency),
            ("waited", &mut self.waited),
            ("connect", &mut self.connect),
            ("life", &mut self.life),
            ("rounds", &mut self.rounds),
        ]
    }

    /// Latencies as they would be without the pause that a late answer makes: measured, where the
    /// clock sets the pace; computed, where answers do. There the usual distance from one message
    /// to the next that takes its place is the mean latency.
    pub fn corrected(&self) -> Histogram {
        match self.waited.is_empty() {
            true => self.latency.corrected(self.latency.mean()),
            false => self.waited.clone(),
        }
    }

    pub fn failed(&self) -> u64 {
        self.failures.values().sum()
    }

    /// How many that are a second. None: the time measured was too short to tell.
    pub fn per_second(&self, count: u64) -> Option<f64> {
        per_second(count, self.window)
    }
}

/// How many a second, if the time is long enough to tell.
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

    /// How many died in each way in which any did.
    pub fn kinds(&self) -> impl Iterator<Item = (How, u64)> {
        let all = [(How::Fin, self.fin), (How::Rst, self.rst), (How::BlackHole, self.black_hole)];
        all.into_iter().filter(|(_, count)| *count > 0)
    }

    pub fn merge(&mut self, other: &Deaths) {
        self.fin += other.fin;
        self.rst += other.rst;
        self.black_hole += other.black_hole;
        let room = DEATHS_LISTED - self.list.len();
        self.list.extend(other.list.iter().take(room));
        self.list.sort_by_key(|death| death.at);
    }
}

impl How {
    pub const WORDS: [(&'static str, How); 3] =
        [("FIN", How::Fin), ("RST", How::Rst), ("black hole", How::BlackHole)];

    pub fn name(self) -> &'static str {
        word::of(&How::WORDS, self)
    }
}

impl Wrongs {
    pub fn add(&mut self, words: String) {
        self.count += 1;
        if self.list.len() < WRONGS_LISTED {
            self.list.push(words);
        }
    }

    fn merge(&mut self, other: &Wrongs) {
        self.count += other.count;
        let room = WRONGS_LISTED - self.list.len();
        self.list.extend(other.list.iter().take(room).cloned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stress::failure::Stage;

    fn millis(value: u64) -> Duration {
        Duration::from_millis(value)
    }

    fn tally(base: u64) -> LoadStats {
        let mut tally = LoadStats { window: millis(base), answered: base, ..LoadStats::default() };
        tally.latency.record(millis(base));
        tally.fail(Failure::new(Stage::Exchange, "EPIPE"));
        tally.deaths.add(Death { at: millis(base), silent: millis(1), how: How::Rst });
        tally.wrongs.add(format!("wrong {base}"));
        tally.partial.add(base, millis(base));
        tally
    }

    #[test]
    fn two_tallies_are_one() {
        let (mut one, two) = (tally(20), tally(10));
        one.merge(&two);
        assert_eq!((one.answered, one.window, one.latency.count()), (30, millis(20), 2));
        assert_eq!((one.failed(), one.deaths.rst, one.deaths.count()), (2, 2, 2));
        let times: Vec<Duration> = one.deaths.list.iter().map(|death| death.at).collect();
        assert_eq!(times, [millis(10), millis(20)]);
        assert_eq!(one.wrongs.list, ["wrong 20", "wrong 10"]);
        let quiet = (millis(10), millis(20));
        assert_eq!(one.partial, Partial { count: 2, bytes: (10, 20), quiet });
        one.merge(&LoadStats::default());
        assert_eq!(one.partial.count, 2);
    }

    #[test]
    fn a_restart_forgets_what_was_measured_and_not_what_went_wrong() {
        let mut tally = tally(10);
        tally.restart();
        assert_eq!((tally.answered, tally.latency.count()), (0, 0));
        assert_eq!((tally.failed(), tally.deaths.count(), tally.wrongs.count), (1, 1, 1));
    }

    #[test]
    fn latencies_are_corrected_by_measure_or_by_the_mean() {
        let mut tally = LoadStats::default();
        (0..100).for_each(|_| tally.latency.record(millis(1)));
        tally.latency.record(millis(100));
        // The mean is 2 ms: 48 more would have waited behind the one that took 100 ms.
        assert_eq!(tally.corrected().count(), 150);
        tally.waited.record(millis(7));
        assert_eq!(tally.corrected().count(), 1);
    }

    #[test]
    fn no_rate_is_made_of_a_few_milliseconds() {
        let tally = |window| LoadStats { window, ..LoadStats::default() };
        assert_eq!(tally(millis(7)).per_second(152), None);
        assert_eq!(tally(Duration::ZERO).per_second(0), None);
        assert_eq!(tally(RATE_WINDOW_MIN).per_second(50), Some(500.0));
    }

    #[test]
    fn lists_have_an_end_and_counts_go_on() {
        let mut tally = LoadStats::default();
        (0..20).for_each(|_| tally.wrongs.add(String::new()));
        assert_eq!((tally.wrongs.count, tally.wrongs.list.len()), (20, WRONGS_LISTED));
    }
}
