//! The protocol between the processes of one run: each message is one line of JSON.

use std::time::Duration;

use super::failure::{LoadFailure, Stage};
use super::histogram::Histogram;
use super::json::{Json, object};
use super::load_stats::{Death, DeathCause, Deaths, LoadStats, Partial};
use super::ramp_curve::RampCurve;
use super::server_usage::LoopUsage;
use super::snapshot::Snapshot;
use super::timeline::{Point, Timeline};

/// A message of a worker.
#[derive(Clone, Debug)]
pub enum Message {
    /// All persistent connections are open, as far as possible.
    Ready,
    /// Progress, a few times per second.
    Progress(Snapshot),
    Done(Box<WorkerResult>),
}

/// The result of one worker.
#[derive(Clone, Debug, Default)]
pub struct WorkerResult {
    pub load_stats: Vec<LoadStats>,
    pub timeline: Timeline,
    pub busy: LoopUsage,
    pub ramp: Duration,
    pub ramp_curve: RampCurve,
    pub measured: Option<(Duration, Duration)>,
    pub interrupted: bool,
}

/// The message to a worker to start its loads.
#[cfg(unix)]
pub const GO: &str = "go";

impl WorkerResult {
    /// Adds the result of another process.
    pub fn merge(&mut self, other: &WorkerResult) {
        if self.load_stats.is_empty() {
            self.load_stats.resize(other.load_stats.len(), LoadStats::default());
        }
        for (stats, more) in self.load_stats.iter_mut().zip(&other.load_stats) {
            stats.merge(more);
        }
        self.timeline.merge(&other.timeline);
        self.busy.merge(&other.busy);
        self.ramp = self.ramp.max(other.ramp);
        self.ramp_curve.merge(&other.ramp_curve);
        self.measured = self.measured.or(other.measured);
        self.interrupted |= other.interrupted;
    }
}

impl Message {
    /// Formats the message as one line.
    pub fn line(&self) -> String {
        let value = match self {
            Message::Ready => object([("message", "ready".into())]),
            Message::Progress(snapshot) => {
                object([("message", "progress".into()), ("snapshot", write_snapshot(snapshot))])
            }
            Message::Done(result) => {
                object([("message", "done".into()), ("result", write_result(result))])
            }
        };
        format!("{value}\n")
    }

    /// Parses a line. `None`: it is no valid message.
    pub fn read(line: &str) -> Option<Message> {
        let value = Json::parse(line)?;
        match value.get("message")?.text()? {
            "ready" => Some(Message::Ready),
            "progress" => read_snapshot(value.get("snapshot")?).map(Message::Progress),
            "done" => {
                read_result(value.get("result")?).map(|result| Message::Done(Box::new(result)))
            }
            _ => None,
        }
    }
}

fn write_snapshot(snapshot: &Snapshot) -> Json {
    object([
        ("phase", snapshot.phase.as_str().into()),
        ("share", snapshot.share.into()),
        ("open", snapshot.open.into()),
        ("wanted", snapshot.wanted.into()),
        ("answered", snapshot.answered.into()),
        ("exchanged", snapshot.exchanged.into()),
        ("bytes", snapshot.bytes.into()),
        ("errors", snapshot.errors.into()),
        ("p50", nanos(snapshot.p50)),
        ("p99", nanos(snapshot.p99)),
    ])
}

fn read_snapshot(value: &Json) -> Option<Snapshot> {
    Some(Snapshot {
        phase: value.get("phase")?.text()?.to_string(),
        share: number(value, "share")?,
        open: count(value, "open")?,
        wanted: count(value, "wanted")?,
        answered: number(value, "answered")?,
        exchanged: number(value, "exchanged")?,
        bytes: number(value, "bytes")?,
        errors: count(value, "errors")?,
        p50: time(value, "p50")?,
        p99: time(value, "p99")?,
    })
}

fn write_result(result: &WorkerResult) -> Json {
    object([
        ("loads", result.load_stats.iter().map(write_stats).collect()),
        ("step", nanos(result.timeline.step)),
        ("points", result.timeline.points.iter().map(write_point).collect()),
        ("turns", result.busy.turns.into()),
        ("slept", nanos(result.busy.slept)),
        ("busy_window", nanos(result.busy.window)),
        ("cpu", nanos(result.busy.cpu)),
        ("ramp", nanos(result.ramp)),
        ("ramp_step", nanos(result.ramp_curve.step)),
        ("ramp_open", result.ramp_curve.open.iter().map(|open| *open as f64).collect()),
        (
            "measured",
            result.measured.iter().flat_map(|(from, to)| [nanos(*from), nanos(*to)]).collect(),
        ),
        ("interrupted", result.interrupted.into()),
    ])
}

fn read_result(value: &Json) -> Option<WorkerResult> {
    let mut timeline = Timeline::new();
    timeline.step = time(value, "step")?;
    timeline.points = value.get("points")?.items().iter().map(read_point).collect::<Option<_>>()?;
    let ramp_curve = value.get("ramp_open")?.items();
    let ramp_curve = ramp_curve.iter().map(|open| open.number().map(|open| open as u64));
    let ramp_curve =
        RampCurve { step: time(value, "ramp_step")?, open: ramp_curve.collect::<Option<_>>()? };
    let mut busy = LoopUsage::default();
    busy.turns = count(value, "turns")?;
    busy.slept = time(value, "slept")?;
    busy.window = time(value, "busy_window")?;
    busy.cpu = time(value, "cpu")?;
    Some(WorkerResult {
        load_stats: value.get("loads")?.items().iter().map(read_stats).collect::<Option<_>>()?,
        timeline,
        busy,
        ramp: time(value, "ramp")?,
        ramp_curve,
        measured: match value.get("measured")?.items() {
            [from, to] => Some((read_nanos(from)?, read_nanos(to)?)),
            _ => None,
        },
        interrupted: value.get("interrupted")? == &Json::Bool(true),
    })
}

fn write_stats(stats: &LoadStats) -> Json {
    let mut stats = stats.clone();
    let mut fields = vec![("window".to_string(), nanos(stats.window))];
    let counts = stats.counts().map(|(name, count)| (name.to_string(), (*count).into()));
    fields.extend(counts);
    let histograms =
        stats.histograms().map(|(name, histogram)| (name.to_string(), write_histogram(histogram)));
    fields.extend(histograms);
    let failure = |(failure, count): (&LoadFailure, &u64)| {
        let (stage, name) = (failure.stage.name(), failure.name.as_str());
        object([("stage", stage.into()), ("name", name.into()), ("count", (*count).into())])
    };
    let integrity_errors = stats.integrity_errors.list.iter().map(String::as_str);
    fields.extend([
        ("failures".to_string(), stats.failures.iter().map(failure).collect()),
        ("partial".to_string(), write_partial(&stats.partial)),
        ("deaths".to_string(), write_deaths(&stats.deaths)),
        ("wrong".to_string(), stats.integrity_errors.count.into()),
        ("integrity_errors".to_string(), integrity_errors.collect()),
    ]);
    Json::Object(fields)
}

fn read_stats(value: &Json) -> Option<LoadStats> {
    let mut stats = LoadStats { window: time(value, "window")?, ..LoadStats::default() };
    for (name, field) in stats.counts() {
        *field = count(value, name)?;
    }
    for (name, field) in stats.histograms() {
        *field = read_histogram(value.get(name)?)?;
    }
    for failure in value.get("failures")?.items() {
        let stage = failure.get("stage")?.text()?;
        let (_, stage) = Stage::NAMES.iter().find(|(word, _)| *word == stage)?;
        let failed = LoadFailure::new(*stage, failure.get("name")?.text()?);
        stats.failures.insert(failed, count(failure, "count")?);
    }
    stats.partial = read_partial(value.get("partial")?)?;
    stats.deaths = read_deaths(value.get("deaths")?)?;
    stats.integrity_errors.count = count(value, "wrong")?;
    for text in value.get("integrity_errors")?.items() {
        stats.integrity_errors.list.push(text.text()?.to_string());
    }
    Some(stats)
}

fn write_partial(partial: &Partial) -> Json {
    let Partial { count, bytes, quiet } = *partial;
    let counts = [count, bytes.0, bytes.1].map(Json::from).into_iter();
    counts.chain([nanos(quiet.0), nanos(quiet.1)]).collect()
}

fn read_partial(value: &Json) -> Option<Partial> {
    let [count, least, most, shortest, longest] = value.items() else { return None };
    let number = |value: &Json| value.number().map(|number| number as u64);
    Some(Partial {
        count: number(count)?,
        bytes: (number(least)?, number(most)?),
        quiet: (read_nanos(shortest)?, read_nanos(longest)?),
    })
}

fn write_deaths(deaths: &Deaths) -> Json {
    let death = |death: &Death| -> Json {
        let how = DeathCause::NAMES.iter().position(|(_, how)| *how == death.how).unwrap_or(0);
        [nanos(death.at), nanos(death.idle), how.into()].into_iter().collect()
    };
    object([
        ("fin", deaths.fin.into()),
        ("rst", deaths.rst.into()),
        ("black_hole", deaths.black_hole.into()),
        ("list", deaths.list.iter().map(death).collect()),
    ])
}

fn read_deaths(value: &Json) -> Option<Deaths> {
    let death = |value: &Json| {
        let [at, idle, how] = value.items() else { return None };
        let (_, how) = DeathCause::NAMES.get(how.number()? as usize)?;
        Some(Death { at: read_nanos(at)?, idle: read_nanos(idle)?, how: *how })
    };
    Some(Deaths {
        fin: count(value, "fin")?,
        rst: count(value, "rst")?,
        black_hole: count(value, "black_hole")?,
        list: value.get("list")?.items().iter().map(death).collect::<Option<_>>()?,
    })
}

/// Writes pairs of duration and count.
fn write_histogram(histogram: &Histogram) -> Json {
    histogram.buckets().flat_map(|(took, count)| [nanos(took), count.into()]).collect()
}

fn read_histogram(value: &Json) -> Option<Histogram> {
    let mut histogram = Histogram::new();
    for pair in value.items().chunks(2) {
        let [took, count] = pair else { return None };
        histogram.record_many(read_nanos(took)?, count.number()? as u64);
    }
    Some(histogram)
}

fn write_point(point: &Point) -> Json {
    let counts = [
        point.answered,
        point.bytes,
        point.opened,
        point.exchanged,
        point.failed,
        point.died,
        point.open,
    ];
    let counts = counts.map(Json::from).into_iter();
    counts.chain([nanos(point.p50), nanos(point.p99)]).collect()
}

fn read_point(value: &Json) -> Option<Point> {
    let numbers: Vec<u64> =
        value.items().iter().map(|item| item.number().map(|n| n as u64)).collect::<Option<_>>()?;
    let [answered, bytes, opened, exchanged, failed, died, open, p50, p99] = numbers[..] else {
        return None;
    };
    let (p50, p99) = (Duration::from_nanos(p50), Duration::from_nanos(p99));
    let costs = Point::default();
    Some(Point { answered, bytes, opened, exchanged, failed, died, open, p50, p99, ..costs })
}

fn number(value: &Json, name: &str) -> Option<f64> {
    value.get(name)?.number()
}

fn count(value: &Json, name: &str) -> Option<u64> {
    number(value, name).map(|number| number as u64)
}

fn nanos(duration: Duration) -> Json {
    Json::Number(duration.as_nanos() as f64)
}

fn read_nanos(value: &Json) -> Option<Duration> {
    value.number().map(|nanos| Duration::from_nanos(nanos as u64))
}

fn time(value: &Json, name: &str) -> Option<Duration> {
    read_nanos(value.get(name)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stats() -> LoadStats {
        let mut stats = LoadStats { window: Duration::from_secs(2), ..LoadStats::default() };
        for (number, (_, field)) in (1..).zip(stats.counts()) {
            *field = number * 1_000_003;
        }
        for (number, (_, field)) in (1..).zip(stats.histograms()) {
            (0..100).for_each(|step| field.record(Duration::from_micros(number * 7 + step * step)));
        }
        stats.fail(LoadFailure::new(Stage::Connect, "ECONNREFUSED"));
        stats.fail(LoadFailure::new(Stage::Hold, "no answer"));
        let at = Duration::from_millis(1500);
        stats.deaths.add(Death { at, idle: at / 2, how: DeathCause::Rst });
        stats.integrity_errors.add("byte 7 is \"x\"\n".to_string());
        stats.partial.add(63, at);
        stats.partial.add(7, at / 2);
        stats
    }

    #[test]
    fn a_result_is_read_as_it_was_written() {
        let mut timeline = Timeline::new();
        timeline.current().answered = 5;
        timeline.answered(Duration::from_micros(77));
        timeline.advance(Duration::from_millis(250), 9, None);
        let mut busy = LoopUsage::default();
        busy.turns = 12;
        let (ramp, load_stats) =
            (Duration::from_nanos(123_456_789), vec![stats(), LoadStats::default()]);
        let measured = Some((ramp, 2 * ramp));
        let ramp_curve = RampCurve { step: ramp, open: vec![3, 5] };
        let written = WorkerResult {
            load_stats,
            timeline,
            busy,
            ramp,
            ramp_curve,
            measured,
            interrupted: true,
        };
        let line = Message::Done(Box::new(written.clone())).line();
        assert!(line.ends_with('\n') && line.trim_end().lines().count() == 1);
        let Some(Message::Done(read)) = Message::read(line.trim_end()) else { panic!("{line}") };
        assert_eq!((read.ramp, read.interrupted, read.busy.turns), (written.ramp, true, 12));
        assert_eq!((read.measured, read.ramp_curve), (written.measured, written.ramp_curve));
        assert_eq!(read.timeline.points, written.timeline.points);
        let (mut actual, mut expected) = (read.load_stats[0].clone(), stats());
        for ((name, actual), (_, expected)) in actual.counts().into_iter().zip(expected.counts()) {
            assert_eq!(actual, expected, "{name}");
        }
        for ((name, actual), (_, expected)) in
            actual.histograms().into_iter().zip(expected.histograms())
        {
            assert!(actual.buckets().eq(expected.buckets()), "{name}");
        }
        assert_eq!(actual.failures, expected.failures);
        assert_eq!(actual.deaths.list, expected.deaths.list);
        assert_eq!(actual.integrity_errors.list, expected.integrity_errors.list);
        assert_eq!(actual.partial, expected.partial);
        assert_eq!(actual.window, expected.window);
    }

    #[test]
    fn results_of_two_processes_are_merged() {
        let one = WorkerResult {
            load_stats: vec![stats()],
            ramp: Duration::from_secs(2),
            ..WorkerResult::default()
        };
        let mut sum = WorkerResult::default();
        sum.merge(&one);
        sum.merge(&WorkerResult { ramp: Duration::from_secs(1), ..one.clone() });
        assert_eq!(sum.ramp, Duration::from_secs(2));
        assert_eq!(sum.load_stats[0].answered, 2 * one.load_stats[0].answered);
        assert_eq!(sum.load_stats[0].latency.count(), 2 * one.load_stats[0].latency.count());
        assert_eq!(sum.load_stats[0].failed(), 4);
    }

    #[test]
    fn progress_is_read_as_it_was_written_and_invalid_lines_are_ignored() {
        let snapshot = Snapshot { phase: "hold".to_string(), open: 7, ..Snapshot::default() };
        let line = Message::Progress(snapshot.clone()).line();
        let Some(Message::Progress(read)) = Message::read(&line) else { panic!("{line}") };
        assert_eq!(read, snapshot);
        assert!(matches!(Message::read(&Message::Ready.line()), Some(Message::Ready)));
        for bad in ["", "x", "{}", "{\"message\": \"done\"}", "{\"message\": \"more\"}"] {
            assert!(Message::read(bad).is_none(), "{bad}");
        }
    }
}
