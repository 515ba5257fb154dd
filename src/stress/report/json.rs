//! Writes the outcome as JSON. docs/stress.md documents the schema; fields are only ever added.

use std::time::{Duration, UNIX_EPOCH};

use crate::stress::cost::Cost;
use crate::stress::environment::Environment;
use crate::stress::failure::LoadFailure;
use crate::stress::histogram::Histogram;
use crate::stress::idle_probe::{Mode, ProbeResult, Reply};
use crate::stress::json::{Json, object};
use crate::stress::load_stats::WorkUnit;
use crate::stress::load_stats::{Death, DeathCause, Deaths, LoadStats, Partial};
use crate::stress::outcome::{LoadOutcome, Outcome, Server};
use crate::stress::timeline::{Point, Timeline};

use super::format::utc;

/// The name of the schema, and its version.
pub const SCHEMA: &str = "oneloop-stress/1";

pub fn json(outcome: &Outcome) -> Json {
    let began = outcome.began.duration_since(UNIX_EPOCH).unwrap_or_default();
    let targets = outcome.plan.targets.iter().map(ToString::to_string);
    object([
        ("schema", SCHEMA.into()),
        ("oneloop", env!("CARGO_PKG_VERSION").into()),
        ("ok", outcome.is_ok().into()),
        ("verdict", outcome.verdict().into()),
        ("interrupted", outcome.interrupted.into()),
        ("started", utc(began).into()),
        ("seconds", seconds(outcome.whole)),
        ("command", outcome.command().into()),
        ("seed", outcome.plan.seed.map_or(Json::Null, |seed| seed.to_string().into())),
        ("targets", targets.collect()),
        ("host", host(&outcome.environment)),
        ("ramp", ramp(outcome)),
        ("loads", outcome.loads.iter().map(|load| one_load(load, outcome)).collect()),
        ("idle_timeout", outcome.probe.as_ref().map(idle_timeout).into()),
        ("server", outcome.server.as_ref().map(|server| costs(server, outcome)).into()),
        ("generator", generator(outcome)),
        ("timeline", timeline(&outcome.timeline)),
    ])
}

fn host(host: &Environment) -> Json {
    object([
        ("system", host.system.as_str().into()),
        ("processor", host.processor.as_str().into()),
        ("cores", host.cores.into()),
        ("memory_bytes", host.memory_bytes.into()),
        ("open_files", host.files.into()),
        ("port_range", host.port_range.as_str().into()),
        ("somaxconn", host.somaxconn.as_str().into()),
    ])
}

fn ramp(outcome: &Outcome) -> Json {
    let persistent = outcome.loads.iter().filter(|load| load.is_persistent());
    let mut connect = Histogram::new();
    persistent.for_each(|load| connect.merge(&load.stats.connect));
    let (opened, took) = (outcome.persistent_opened(), outcome.ramp.as_secs_f64());
    object([
        ("wanted", outcome.persistent_planned().into()),
        ("connected", opened.into()),
        ("seconds", took.into()),
        ("per_second", outcome.ramp_rate().into()),
        ("connect_us", histogram(&connect)),
        ("step_s", seconds(outcome.ramp_curve.step)),
        ("open", outcome.ramp_curve.open.iter().map(|open| *open as f64).collect()),
    ])
}

fn one_load(load: &LoadOutcome, outcome: &Outcome) -> Json {
    let (stats, plan) = (&load.stats, &outcome.plan);
    object([
        ("load", load.name().into()),
        ("conns", load.conns.into()),
        ("size", plan.size.into()),
        ("depth", plan.depth.into()),
        ("burst", load.mode.burst.into()),
        ("abort", load.mode.abort.into()),
        ("direction", plan.direction.name().into()),
        ("unverified", plan.no_verify.into()),
        ("ok", load.is_ok().into()),
        ("seconds", seconds(stats.window)),
        ("messages", stats.answered.into()),
        ("messages_per_second", stats.per_second(stats.answered).into()),
        ("exchanges", stats.exchanged.into()),
        ("exchanges_per_second", stats.per_second(stats.exchanged).into()),
        ("bytes_sent", stats.bytes_out.into()),
        ("bytes_received", stats.bytes_in.into()),
        ("bytes_sent_per_second", stats.per_second(stats.bytes_out).into()),
        ("bytes_received_per_second", stats.per_second(stats.bytes_in).into()),
        ("connections_opened", stats.opened.into()),
        ("connections_open_at_end", stats.open.into()),
        ("latency_us", histogram(&stats.latency)),
        ("latency_corrected_us", histogram(&load.corrected().unwrap_or_default())),
        ("connect_us", histogram(&stats.connect)),
        ("lifetime_us", histogram(&stats.life)),
        ("round_us", histogram(&stats.rounds)),
        ("unanswered", stats.unanswered.into()),
        ("incomplete", incomplete(&stats.partial)),
        ("lost", stats.lost.into()),
        ("late", stats.late.into()),
        ("failures", failures(stats)),
        ("deaths", deaths(&stats.deaths)),
        ("integrity_errors", stats.integrity_errors.count.into()),
        ("integrity_first", stats.integrity_errors.list.iter().map(String::as_str).collect()),
    ])
}

/// Answers that did not arrive completely.
fn incomplete(partial: &Partial) -> Json {
    let Partial { count, bytes, quiet } = *partial;
    if count == 0 {
        return Json::Null;
    }
    object([
        ("count", count.into()),
        ("bytes_min", bytes.0.into()),
        ("bytes_max", bytes.1.into()),
        ("idle_min_s", seconds(quiet.0)),
        ("idle_max_s", seconds(quiet.1)),
    ])
}

fn failures(stats: &LoadStats) -> Json {
    let one = |(failure, count): (&LoadFailure, &u64)| {
        object([
            ("stage", failure.stage.name().into()),
            ("error", failure.name.as_str().into()),
            ("meaning", failure.meaning().into()),
            ("limit", failure.limit().into()),
            ("count", (*count).into()),
        ])
    };
    stats.failures.iter().map(one).collect()
}

/// Maximum number of deaths listed one by one.
const DEATHS_LISTED: usize = 1000;

fn deaths(deaths: &Deaths) -> Json {
    let one = |death: &Death| {
        object([
            ("at_s", seconds(death.at)),
            ("idle_s", seconds(death.idle)),
            ("how", death.how.name().into()),
        ])
    };
    object([
        ("count", deaths.count().into()),
        ("fin", deaths.fin.into()),
        ("rst", deaths.rst.into()),
        ("black_hole", deaths.black_hole.into()),
        ("list", deaths.list.iter().take(DEATHS_LISTED).map(one).collect()),
    ])
}

fn idle_timeout(result: &ProbeResult) -> Json {
    let trial = |(idle_time, how): &(Duration, Option<DeathCause>)| {
        object([("idle_s", seconds(*idle_time)), ("died", how.map(DeathCause::name).into())])
    };
    object([
        ("mode", result.mode.map(Mode::name).into()),
        ("probe_reply", result.reply.map(Reply::name).into()),
        ("survived_s", result.survived.map(|idle_time| idle_time.as_secs_f64()).into()),
        ("died_after_s", result.died.map(|(idle_time, _)| idle_time.as_secs_f64()).into()),
        ("how", result.died.map(|(_, how)| how.name()).into()),
        ("trials", result.trials.iter().map(trial).collect()),
    ])
}

fn costs(server: &Server, outcome: &Outcome) -> Json {
    let stayed = outcome.persistent_opened() as f64;
    let each = |bytes: Option<u64>| {
        let is_known = stayed > 0.0 && server.backlog.waiting() == 0;
        Json::from(bytes.filter(|_| is_known).map(|bytes| bytes as f64 / stayed))
    };
    let cpu = server.cpu().map(|cpu| cpu.as_secs_f64());
    let per = |unit: WorkUnit, scale: f64| {
        let of = outcome.loads.iter().filter(|load| load.unit() == unit);
        let done: f64 = of.map(LoadOutcome::done).sum();
        let cpu = server.divisible_cpu().filter(|_| done > 0.0);
        Json::from(cpu.map(|cpu| cpu.as_secs_f64() * scale / done))
    };
    let kernel = |read: fn(&Cost) -> u64| {
        let grown = server.open.zip(server.base);
        grown.map(|(open, base)| read(&open).saturating_sub(read(&base)))
    };
    object([
        ("pid", f64::from(server.pid).into()),
        ("name", server.name.as_str().into()),
        ("not_accepted", server.backlog.waiting().into()),
        ("never_accepted", server.never_accepted().into()),
        ("accept_queue", server.backlog.queue.into()),
        ("accept_queue_at_close", server.queue_at_close.into()),
        ("cpu_s", cpu.into()),
        ("cpu_share", server.cpu_share().into()),
        ("cpu_us_per_message", per(WorkUnit::Message, 1e6)),
        ("cpu_us_per_connection", per(WorkUnit::Connection, 1e6)),
        ("cpu_s_per_gib", per(WorkUnit::Gibibyte, 1.0)),
        ("user_bytes_per_connection", each(server.user_bytes(server.open))),
        ("user_bytes_per_connection_used", each(server.user_bytes(server.end.or(server.close)))),
        ("kernel_socket_bytes", kernel(|cost| cost.socket_bytes).into()),
        ("kernel_slab_bytes", kernel(|cost| cost.slab_bytes).into()),
        ("kernel_slab_bytes_per_connection", each(kernel(|cost| cost.slab_bytes))),
        ("base", cost(server.base)),
        ("open", cost(server.open)),
        ("begin", cost(server.begin)),
        ("end", cost(server.end)),
        ("close", cost(server.close)),
    ])
}

fn cost(read: Option<Cost>) -> Json {
    let Some(read) = read else { return Json::Null };
    object([
        ("at_s", seconds(read.at)),
        ("user_bytes", read.user_bytes.into()),
        ("resident_bytes", read.resident_bytes.into()),
        ("descriptors", read.descriptors.into()),
        ("kernel_socket_bytes", read.socket_bytes.into()),
        ("kernel_slab_bytes", read.slab_bytes.into()),
    ])
}

fn generator(outcome: &Outcome) -> Json {
    let busy = &outcome.busy;
    object([
        ("processes", outcome.processes.into()),
        ("busy_share", busy.busy_share().into()),
        ("cpu_share", busy.cpu_share().into()),
        ("turns", busy.turns.into()),
        ("bottleneck", busy.is_bottleneck().into()),
    ])
}

fn timeline(timeline: &Timeline) -> Json {
    let numbers = |of: fn(&Point) -> f64| -> Json { timeline.points.iter().map(of).collect() };
    object([
        ("step_s", seconds(timeline.step)),
        ("answered", numbers(|point| point.answered as f64)),
        ("bytes", numbers(|point| point.bytes as f64)),
        ("opened", numbers(|point| point.opened as f64)),
        ("exchanged", numbers(|point| point.exchanged as f64)),
        ("failed", numbers(|point| point.failed as f64)),
        ("died", numbers(|point| point.died as f64)),
        ("open", numbers(|point| point.open as f64)),
        ("p50_us", numbers(|point| micros(point.p50))),
        ("p99_us", numbers(|point| micros(point.p99))),
        ("user_bytes", numbers(|point| point.user_bytes as f64)),
        ("cpu_s", numbers(|point| point.cpu.as_secs_f64())),
    ])
}

fn histogram(histogram: &Histogram) -> Json {
    if histogram.is_empty() {
        return Json::Null;
    }
    let at = |share: f64| Json::from(micros(histogram.at(share)));
    object([
        ("count", histogram.count().into()),
        ("min", micros(histogram.min()).into()),
        ("mean", micros(histogram.mean()).into()),
        ("p50", at(0.5)),
        ("p90", at(0.9)),
        ("p99", at(0.99)),
        ("p99_9", at(0.999)),
        ("max", micros(histogram.max()).into()),
    ])
}

fn micros(duration: Duration) -> f64 {
    duration.as_nanos() as f64 / 1000.0
}

fn seconds(duration: Duration) -> Json {
    duration.as_secs_f64().into()
}
