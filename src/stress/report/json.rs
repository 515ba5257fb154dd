//! Writes the outcome as JSON. docs/stress.md documents the schema; fields are only ever added.

use std::time::{Duration, UNIX_EPOCH};

use serde::Serialize;

use crate::stress::cost::Cost;
use crate::stress::environment::Environment;
use crate::stress::failure::{LoadFailure, Stage};
use crate::stress::histogram::Histogram;
use crate::stress::idle_probe::{Mode, ProbeResult, Reply};
use crate::stress::load_stats::{Death, DeathCause, Deaths, Partial, WorkUnit};
use crate::stress::outcome::{LoadOutcome, Outcome, Server};
use crate::stress::timeline::{Point, Timeline};
use crate::text::json;

use super::format::utc;

/// The name of the schema, and its version.
pub const SCHEMA: &str = "oneloop-stress/1";

/// Maximum number of deaths listed one by one.
const DEATHS_LISTED: usize = 1000;

/// The report. `None` and NaN become `null`.
#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    oneloop: &'static str,
    ok: bool,
    verdict: String,
    interrupted: bool,
    started: String,
    seconds: f64,
    command: String,
    seed: Option<String>,
    targets: Vec<String>,
    host: &'a Environment,
    ramp: Ramp<'a>,
    loads: Vec<LoadObject<'a>>,
    idle_timeout: Option<IdleTimeout>,
    server: Option<ServerObject<'a>>,
    generator: Generator,
    timeline: Series,
}

#[derive(Serialize)]
struct Ramp<'a> {
    wanted: usize,
    connected: u64,
    seconds: f64,
    per_second: Option<f64>,
    connect_us: Option<Distribution>,
    step_s: f64,
    open: &'a [u64],
}

#[derive(Serialize)]
struct LoadObject<'a> {
    load: &'static str,
    conns: usize,
    size: usize,
    depth: usize,
    burst: bool,
    abort: bool,
    direction: &'static str,
    unverified: bool,
    ok: bool,
    seconds: f64,
    messages: u64,
    messages_per_second: Option<f64>,
    exchanges: u64,
    exchanges_per_second: Option<f64>,
    bytes_sent: u64,
    bytes_received: u64,
    bytes_sent_per_second: Option<f64>,
    bytes_received_per_second: Option<f64>,
    connections_opened: u64,
    connections_open_at_end: u64,
    latency_us: Option<Distribution>,
    latency_corrected_us: Option<Distribution>,
    connect_us: Option<Distribution>,
    lifetime_us: Option<Distribution>,
    round_us: Option<Distribution>,
    unanswered: u64,
    incomplete: Option<&'a Partial>,
    lost: u64,
    late: u64,
    failures: Vec<Failure<'a>>,
    deaths: DeathList<'a>,
    integrity_errors: u64,
    integrity_first: &'a [String],
}

#[derive(Serialize)]
struct Failure<'a> {
    stage: Stage,
    error: &'a str,
    meaning: String,
    limit: Option<&'static str>,
    count: u64,
}

#[derive(Serialize)]
struct DeathList<'a> {
    count: u64,
    fin: u64,
    rst: u64,
    black_hole: u64,
    list: &'a [Death],
}

#[derive(Serialize)]
struct IdleTimeout {
    mode: Option<&'static str>,
    probe_reply: Option<&'static str>,
    survived_s: Option<f64>,
    died_after_s: Option<f64>,
    how: Option<DeathCause>,
    trials: Vec<Trial>,
}

#[derive(Serialize)]
struct Trial {
    idle_s: f64,
    died: Option<DeathCause>,
}

#[derive(Serialize)]
struct ServerObject<'a> {
    pid: u32,
    name: &'a str,
    not_accepted: u64,
    never_accepted: u64,
    accept_queue: Option<u64>,
    accept_queue_at_close: Option<u64>,
    cpu_s: Option<f64>,
    cpu_share: Option<f64>,
    cpu_us_per_message: Option<f64>,
    cpu_us_per_connection: Option<f64>,
    cpu_s_per_gib: Option<f64>,
    user_bytes_per_connection: Option<f64>,
    user_bytes_per_connection_used: Option<f64>,
    kernel_socket_bytes: Option<u64>,
    kernel_slab_bytes: Option<u64>,
    kernel_slab_bytes_per_connection: Option<f64>,
    base: Option<Cost>,
    open: Option<Cost>,
    begin: Option<Cost>,
    end: Option<Cost>,
    close: Option<Cost>,
}

#[derive(Serialize)]
struct Generator {
    processes: usize,
    busy_share: f64,
    cpu_share: f64,
    turns: u64,
    bottleneck: bool,
}

/// The timeline: one list per figure.
#[derive(Serialize)]
struct Series {
    step_s: f64,
    answered: Vec<u64>,
    bytes: Vec<u64>,
    opened: Vec<u64>,
    exchanged: Vec<u64>,
    failed: Vec<u64>,
    died: Vec<u64>,
    open: Vec<u64>,
    p50_us: Vec<f64>,
    p99_us: Vec<f64>,
    user_bytes: Vec<u64>,
    cpu_s: Vec<f64>,
}

#[derive(Serialize)]
struct Distribution {
    count: u64,
    min: f64,
    mean: f64,
    p50: f64,
    p90: f64,
    p99: f64,
    p99_9: f64,
    max: f64,
}

/// Formats the report.
pub fn text(outcome: &Outcome) -> String {
    let busy = &outcome.busy;
    json::report(&Document {
        schema: SCHEMA,
        oneloop: env!("CARGO_PKG_VERSION"),
        ok: outcome.is_ok(),
        verdict: outcome.verdict(),
        interrupted: outcome.interrupted,
        started: utc(outcome.began.duration_since(UNIX_EPOCH).unwrap_or_default()),
        seconds: outcome.whole.as_secs_f64(),
        command: outcome.command(),
        seed: outcome.plan.seed.map(|seed| seed.to_string()),
        targets: outcome.plan.targets.iter().map(ToString::to_string).collect(),
        host: &outcome.environment,
        ramp: ramp(outcome),
        loads: outcome.loads.iter().map(|load| load_object(load, outcome)).collect(),
        idle_timeout: outcome.probe.as_ref().map(idle_timeout),
        server: outcome.server.as_ref().map(|server| server_object(server, outcome)),
        generator: Generator {
            processes: outcome.processes,
            busy_share: busy.busy_share(),
            cpu_share: busy.cpu_share(),
            turns: busy.turns,
            bottleneck: busy.is_bottleneck(),
        },
        timeline: series(&outcome.timeline),
    })
}

fn ramp(outcome: &Outcome) -> Ramp<'_> {
    let persistent = outcome.loads.iter().filter(|load| load.is_persistent());
    let mut connect = Histogram::new();
    persistent.for_each(|load| connect.merge(&load.stats.connect));
    Ramp {
        wanted: outcome.persistent_planned(),
        connected: outcome.persistent_opened(),
        seconds: outcome.ramp.as_secs_f64(),
        per_second: outcome.ramp_rate(),
        connect_us: distribution(&connect),
        step_s: outcome.ramp_curve.step.as_secs_f64(),
        open: &outcome.ramp_curve.open,
    }
}

fn load_object<'a>(load: &'a LoadOutcome, outcome: &Outcome) -> LoadObject<'a> {
    let (stats, plan) = (&load.stats, &outcome.plan);
    LoadObject {
        load: load.name(),
        conns: load.conns,
        size: plan.size,
        depth: plan.depth,
        burst: load.mode.burst,
        abort: load.mode.abort,
        direction: plan.direction.name(),
        unverified: plan.no_verify,
        ok: load.is_ok(),
        seconds: stats.window.as_secs_f64(),
        messages: stats.answered,
        messages_per_second: stats.per_second(stats.answered),
        exchanges: stats.exchanged,
        exchanges_per_second: stats.per_second(stats.exchanged),
        bytes_sent: stats.bytes_out,
        bytes_received: stats.bytes_in,
        bytes_sent_per_second: stats.per_second(stats.bytes_out),
        bytes_received_per_second: stats.per_second(stats.bytes_in),
        connections_opened: stats.opened,
        connections_open_at_end: stats.open,
        latency_us: distribution(&stats.latency),
        latency_corrected_us: load.corrected().as_ref().and_then(distribution),
        connect_us: distribution(&stats.connect),
        lifetime_us: distribution(&stats.life),
        round_us: distribution(&stats.rounds),
        unanswered: stats.unanswered,
        incomplete: Some(&stats.partial).filter(|partial| partial.count > 0),
        lost: stats.lost,
        late: stats.late,
        failures: stats.failures.iter().map(failure).collect(),
        deaths: death_list(&stats.deaths),
        integrity_errors: stats.integrity_errors.count,
        integrity_first: &stats.integrity_errors.list,
    }
}

fn failure<'a>((failure, count): (&'a LoadFailure, &u64)) -> Failure<'a> {
    let (meaning, limit) = (failure.meaning(), failure.limit());
    Failure { stage: failure.stage, error: &failure.name, meaning, limit, count: *count }
}

fn death_list(deaths: &Deaths) -> DeathList<'_> {
    let Deaths { fin, rst, black_hole, ref list } = *deaths;
    let list = &list[..list.len().min(DEATHS_LISTED)];
    DeathList { count: deaths.count(), fin, rst, black_hole, list }
}

fn idle_timeout(result: &ProbeResult) -> IdleTimeout {
    let trial = |(idle_time, died): &(Duration, Option<DeathCause>)| Trial {
        idle_s: idle_time.as_secs_f64(),
        died: *died,
    };
    IdleTimeout {
        mode: result.mode.map(Mode::name),
        probe_reply: result.reply.map(Reply::name),
        survived_s: result.survived.map(|idle_time| idle_time.as_secs_f64()),
        died_after_s: result.died.map(|(idle_time, _)| idle_time.as_secs_f64()),
        how: result.died.map(|(_, how)| how),
        trials: result.trials.iter().map(trial).collect(),
    }
}

fn server_object<'a>(server: &'a Server, outcome: &Outcome) -> ServerObject<'a> {
    let stayed = outcome.persistent_opened() as f64;
    let each = |bytes: Option<u64>| {
        let is_known = stayed > 0.0 && server.backlog.waiting() == 0;
        bytes.filter(|_| is_known).map(|bytes| bytes as f64 / stayed)
    };
    let per = |unit: WorkUnit, scale: f64| {
        let of = outcome.loads.iter().filter(|load| load.unit() == unit);
        let done: f64 = of.map(LoadOutcome::done).sum();
        let cpu = server.divisible_cpu().filter(|_| done > 0.0);
        cpu.map(|cpu| cpu.as_secs_f64() * scale / done)
    };
    let kernel = |read: fn(&Cost) -> u64| {
        let grown = server.open.zip(server.base);
        grown.map(|(open, base)| read(&open).saturating_sub(read(&base)))
    };
    ServerObject {
        pid: server.pid,
        name: &server.name,
        not_accepted: server.backlog.waiting(),
        never_accepted: server.never_accepted(),
        accept_queue: server.backlog.queue,
        accept_queue_at_close: server.queue_at_close,
        cpu_s: server.cpu().map(|cpu| cpu.as_secs_f64()),
        cpu_share: server.cpu_share(),
        cpu_us_per_message: per(WorkUnit::Message, 1e6),
        cpu_us_per_connection: per(WorkUnit::Connection, 1e6),
        cpu_s_per_gib: per(WorkUnit::Gibibyte, 1.0),
        user_bytes_per_connection: each(server.user_bytes(server.open)),
        user_bytes_per_connection_used: each(server.user_bytes(server.end.or(server.close))),
        kernel_socket_bytes: kernel(|cost| cost.socket_bytes),
        kernel_slab_bytes: kernel(|cost| cost.slab_bytes),
        kernel_slab_bytes_per_connection: each(kernel(|cost| cost.slab_bytes)),
        base: server.base,
        open: server.open,
        begin: server.begin,
        end: server.end,
        close: server.close,
    }
}

fn series(timeline: &Timeline) -> Series {
    fn list<T>(timeline: &Timeline, of: fn(&Point) -> T) -> Vec<T> {
        timeline.points.iter().map(of).collect()
    }
    Series {
        step_s: timeline.step.as_secs_f64(),
        answered: list(timeline, |point| point.answered),
        bytes: list(timeline, |point| point.bytes),
        opened: list(timeline, |point| point.opened),
        exchanged: list(timeline, |point| point.exchanged),
        failed: list(timeline, |point| point.failed),
        died: list(timeline, |point| point.died),
        open: list(timeline, |point| point.open),
        p50_us: list(timeline, |point| micros(point.p50)),
        p99_us: list(timeline, |point| micros(point.p99)),
        user_bytes: list(timeline, |point| point.user_bytes),
        cpu_s: list(timeline, |point| point.cpu.as_secs_f64()),
    }
}

/// Returns microseconds. `None`: nothing was recorded.
fn distribution(histogram: &Histogram) -> Option<Distribution> {
    let at = |share: f64| micros(histogram.at(share));
    (!histogram.is_empty()).then(|| Distribution {
        count: histogram.count(),
        min: micros(histogram.min()),
        mean: micros(histogram.mean()),
        p50: at(0.5),
        p90: at(0.9),
        p99: at(0.99),
        p99_9: at(0.999),
        max: micros(histogram.max()),
    })
}

fn micros(duration: Duration) -> f64 {
    duration.as_nanos() as f64 / 1000.0
}
