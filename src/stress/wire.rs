//! What the processes of one run tell each other: each message one line of JSON.

use std::time::Duration;

use super::failure::{Failure, Stage};
use super::histogram::Histogram;
use super::json::{Json, object};
use super::load_stats::{Death, Deaths, How, LoadStats, Partial};
use super::progress::Snapshot;
use super::ramp_curve::RampCurve;
use super::server_usage::LoopUsage;
use super::timeline::{Point, Timeline};

/// What a worker tells.
#[derive(Clone, Debug)]
pub enum Told {
    /// All connections that stay were made, as far as they could be.
    Ready,
    /// How it stands.
    Progress(Snapshot),
    Done(Box<Share>),
}

/// What a worker's share of the work came to.
#[derive(Clone, Debug, Default)]
pub struct Share {
    pub tallies: Vec<LoadStats>,
    pub timeline: Timeline,
    pub busy: LoopUsage,
    pub ramp: Duration,
    pub ramp_curve: RampCurve,
    pub measured: Option<(Duration, Duration)>,
    pub early: bool,
}

/// What a worker is told: to begin to speak.
pub const GO: &str = "go";

impl Share {
    /// Adds what another process did.
    pub fn merge(&mut self, other: &Share) {
        if self.tallies.is_empty() {
            self.tallies.resize(other.tallies.len(), LoadStats::default());
        }
        for (tally, more) in self.tallies.iter_mut().zip(&other.tallies) {
            tally.merge(more);
        }
        self.timeline.merge(&other.timeline);
        self.busy.merge(&other.busy);
        self.ramp = self.ramp.max(other.ramp);
        self.ramp_curve.merge(&other.ramp_curve);
        self.measured = self.measured.or(other.measured);
        self.early |= other.early;
    }
}

impl Told {
    pub fn line(&self) -> String {
        let value = match self {
            Told::Ready => object([("told", "ready".into())]),
            Told::Progress(snapshot) => {
                object([("told", "progress".into()), ("snapshot", show_snapshot(snapshot))])
            }
            Told::Done(share) => object([("told", "done".into()), ("share", show_share(share))]),
        };
        format!("{value}\n")
    }

    pub fn read(line: &str) -> Option<Told> {
        let value = Json::parse(line)?;
        match value.get("told")?.text()? {
            "ready" => Some(Told::Ready),
            "progress" => read_snapshot(value.get("snapshot")?).map(Told::Progress),
            "done" => read_share(value.get("share")?).map(|share| Told::Done(Box::new(share))),
            _ => None,
        }
    }
}

fn show_snapshot(snapshot: &Snapshot) -> Json {
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

fn show_share(share: &Share) -> Json {
    object([
        ("tallies", share.tallies.iter().map(show_tally).collect()),
        ("step", nanos(share.timeline.step)),
        ("points", share.timeline.points.iter().map(show_point).collect()),
        ("turns", share.busy.turns.into()),
        ("slept", nanos(share.busy.slept)),
        ("busy_window", nanos(share.busy.window)),
        ("cpu", nanos(share.busy.cpu)),
        ("ramp", nanos(share.ramp)),
        ("climb_step", nanos(share.ramp_curve.step)),
        ("climb", share.ramp_curve.open.iter().map(|open| *open as f64).collect()),
        (
            "measured",
            share.measured.iter().flat_map(|(from, to)| [nanos(*from), nanos(*to)]).collect(),
        ),
        ("early", share.early.into()),
    ])
}

fn read_share(value: &Json) -> Option<Share> {
    let mut timeline = Timeline::new();
    timeline.step = time(value, "step")?;
    timeline.points = value.get("points")?.items().iter().map(read_point).collect::<Option<_>>()?;
    let ramp_curve = value.get("climb")?.items();
    let ramp_curve = ramp_curve.iter().map(|open| open.number().map(|open| open as u64));
    let ramp_curve =
        RampCurve { step: time(value, "climb_step")?, open: ramp_curve.collect::<Option<_>>()? };
    let mut busy = LoopUsage::default();
    busy.turns = count(value, "turns")?;
    busy.slept = time(value, "slept")?;
    busy.window = time(value, "busy_window")?;
    busy.cpu = time(value, "cpu")?;
    Some(Share {
        tallies: value.get("tallies")?.items().iter().map(read_tally).collect::<Option<_>>()?,
        timeline,
        busy,
        ramp: time(value, "ramp")?,
        ramp_curve,
        measured: match value.get("measured")?.items() {
            [from, to] => Some((read_nanos(from)?, read_nanos(to)?)),
            _ => None,
        },
        early: value.get("early")? == &Json::Bool(true),
    })
}

fn show_tally(tally: &LoadStats) -> Json {
    let mut tally = tally.clone();
    let mut fields = vec![("window".to_string(), nanos(tally.window))];
    let counts = tally.counts().map(|(name, count)| (name.to_string(), (*count).into()));
    fields.extend(counts);
    let spreads = tally.spreads().map(|(name, spread)| (name.to_string(), show_spread(spread)));
    fields.extend(spreads);
    let failure = |(failure, count): (&Failure, &u64)| {
        let (stage, name) = (failure.stage.name(), failure.name.as_str());
        object([("stage", stage.into()), ("name", name.into()), ("count", (*count).into())])
    };
    let wrongs = tally.wrongs.list.iter().map(String::as_str);
    fields.extend([
        ("failures".to_string(), tally.failures.iter().map(failure).collect()),
        ("partial".to_string(), show_partial(&tally.partial)),
        ("deaths".to_string(), show_deaths(&tally.deaths)),
        ("wrong".to_string(), tally.wrongs.count.into()),
        ("wrongs".to_string(), wrongs.collect()),
    ]);
    Json::Object(fields)
}

fn read_tally(value: &Json) -> Option<LoadStats> {
    let mut tally = LoadStats { window: time(value, "window")?, ..LoadStats::default() };
    for (name, field) in tally.counts() {
        *field = count(value, name)?;
    }
    for (name, field) in tally.spreads() {
        *field = read_spread(value.get(name)?)?;
    }
    for failure in value.get("failures")?.items() {
        let stage = failure.get("stage")?.text()?;
        let (_, stage) = Stage::WORDS.iter().find(|(word, _)| *word == stage)?;
        let failed = Failure::new(*stage, failure.get("name")?.text()?);
        tally.failures.insert(failed, count(failure, "count")?);
    }
    tally.partial = read_partial(value.get("partial")?)?;
    tally.deaths = read_deaths(value.get("deaths")?)?;
    tally.wrongs.count = count(value, "wrong")?;
    for words in value.get("wrongs")?.items() {
        tally.wrongs.list.push(words.text()?.to_string());
    }
    Some(tally)
}

fn show_partial(partial: &Partial) -> Json {
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

fn show_deaths(deaths: &Deaths) -> Json {
    let death = |death: &Death| -> Json {
        let how = How::WORDS.iter().position(|(_, how)| *how == death.how).unwrap_or(0);
        [nanos(death.at), nanos(death.silent), how.into()].into_iter().collect()
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
        let [at, silent, how] = value.items() else { return None };
        let (_, how) = How::WORDS.get(how.number()? as usize)?;
        Some(Death { at: read_nanos(at)?, silent: read_nanos(silent)?, how: *how })
    };
    Some(Deaths {
        fin: count(value, "fin")?,
        rst: count(value, "rst")?,
        black_hole: count(value, "black_hole")?,
        list: value.get("list")?.items().iter().map(death).collect::<Option<_>>()?,
    })
}

/// A duration and how often it was measured, in turn.
fn show_spread(spread: &Histogram) -> Json {
    spread.buckets().flat_map(|(took, count)| [nanos(took), count.into()]).collect()
}

fn read_spread(value: &Json) -> Option<Histogram> {
    let mut spread = Histogram::new();
    for pair in value.items().chunks(2) {
        let [took, count] = pair else { return None };
        spread.record_many(read_nanos(took)?, count.number()? as u64);
    }
    Some(spread)
}

fn show_point(point: &Point) -> Json {
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

    fn tally() -> LoadStats {
        let mut tally = LoadStats { window: Duration::from_secs(2), ..LoadStats::default() };
        for (number, (_, field)) in (1..).zip(tally.counts()) {
            *field = number * 1_000_003;
        }
        for (number, (_, field)) in (1..).zip(tally.spreads()) {
            (0..100).for_each(|step| field.record(Duration::from_micros(number * 7 + step * step)));
        }
        tally.fail(Failure::new(Stage::Connect, "ECONNREFUSED"));
        tally.fail(Failure::new(Stage::Hold, "no answer"));
        let at = Duration::from_millis(1500);
        tally.deaths.add(Death { at, silent: at / 2, how: How::Rst });
        tally.wrongs.add("byte 7 is \"x\"\n".to_string());
        tally.partial.add(63, at);
        tally.partial.add(7, at / 2);
        tally
    }

    #[test]
    fn a_share_survives_the_journey() {
        let mut timeline = Timeline::new();
        timeline.now().answered = 5;
        timeline.answered(Duration::from_micros(77));
        timeline.turn(Duration::from_millis(250), 9, None);
        let mut busy = LoopUsage::default();
        busy.turns = 12;
        let (ramp, tallies) =
            (Duration::from_nanos(123_456_789), vec![tally(), LoadStats::default()]);
        let measured = Some((ramp, 2 * ramp));
        let ramp_curve = RampCurve { step: ramp, open: vec![3, 5] };
        let share = Share { tallies, timeline, busy, ramp, ramp_curve, measured, early: true };
        let line = Told::Done(Box::new(share.clone())).line();
        assert!(line.ends_with('\n') && line.trim_end().lines().count() == 1);
        let Some(Told::Done(read)) = Told::read(line.trim_end()) else { panic!("{line}") };
        assert_eq!((read.ramp, read.early, read.busy.turns), (share.ramp, true, 12));
        assert_eq!((read.measured, read.ramp_curve), (share.measured, share.ramp_curve));
        assert_eq!(read.timeline.points, share.timeline.points);
        let (mut is, mut should) = (read.tallies[0].clone(), tally());
        for ((name, is), (_, should)) in is.counts().into_iter().zip(should.counts()) {
            assert_eq!(is, should, "{name}");
        }
        for ((name, is), (_, should)) in is.spreads().into_iter().zip(should.spreads()) {
            assert!(is.buckets().eq(should.buckets()), "{name}");
        }
        assert_eq!(is.failures, should.failures);
        assert_eq!(is.deaths.list, should.deaths.list);
        assert_eq!(is.wrongs.list, should.wrongs.list);
        assert_eq!(is.partial, should.partial);
        assert_eq!(is.window, should.window);
    }

    #[test]
    fn two_shares_are_one() {
        let one =
            Share { tallies: vec![tally()], ramp: Duration::from_secs(2), ..Share::default() };
        let mut sum = Share::default();
        sum.merge(&one);
        sum.merge(&Share { ramp: Duration::from_secs(1), ..one.clone() });
        assert_eq!(sum.ramp, Duration::from_secs(2));
        assert_eq!(sum.tallies[0].answered, 2 * one.tallies[0].answered);
        assert_eq!(sum.tallies[0].latency.count(), 2 * one.tallies[0].latency.count());
        assert_eq!(sum.tallies[0].failed(), 4);
    }

    #[test]
    fn progress_survives_the_journey_and_nonsense_is_nothing() {
        let snapshot = Snapshot { phase: "hold".to_string(), open: 7, ..Snapshot::default() };
        let line = Told::Progress(snapshot.clone()).line();
        let Some(Told::Progress(read)) = Told::read(&line) else { panic!("{line}") };
        assert_eq!(read, snapshot);
        assert!(matches!(Told::read(&Told::Ready.line()), Some(Told::Ready)));
        for bad in ["", "x", "{}", "{\"told\": \"done\"}", "{\"told\": \"more\"}"] {
            assert!(Told::read(bad).is_none(), "{bad}");
        }
    }
}
