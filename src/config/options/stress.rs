//! The options of stress.

use super::{Field, OptionSpec, PLAIN, Scope, Section, Takes};
use crate::config::parse::{self, SpanError, Spanned, put};
use crate::config::source::read_sources;
use crate::config::stress::{read_loads, show_loads};
use crate::config::unit::{self, Rate, show_duration, show_timeout};
use crate::config::{Direction, Probe, StressPlan, Worker, listen};

const LOAD: OptionSpec =
    OptionSpec { section: Section::Load, scope: Scope::Only(&["stress"]), ..PLAIN };
const AMOUNT: OptionSpec = OptionSpec { section: Section::Amount, ..LOAD };
const REPORT: OptionSpec = OptionSpec { section: Section::Report, ..LOAD };

pub(super) const OPTIONS: [OptionSpec; 27] = [
    OptionSpec {
        name: "load",
        takes: Takes::Value("LOAD[=N],..."),
        default: "echo",
        help: "loads to run: idle, echo[+burst], churn[+burst][+abort], stream (see above)",
        field: Field::Stress(
            |plan, value| read_loads(value).map(|loads| plan.loads.extend(loads)),
            |plan| (!plan.loads.is_empty()).then(|| show_loads(&plan.loads)),
        ),
        ..LOAD
    },
    OptionSpec {
        name: "conns",
        takes: Takes::Value("N"),
        help: "connections of each load without a number of its own",
        field: Field::Stress(
            |plan, value| put(&mut plan.conns, unit::read_limit(value)),
            |plan| Some(plan.conns.to_string()),
        ),
        ..AMOUNT
    },
    OptionSpec {
        name: "active-conns",
        takes: Takes::Value("N"),
        help: "additional echo connections beside the other loads",
        field: Field::Stress(
            |plan, value| put(&mut plan.active_conns, read_number(value)),
            |plan| Some(plan.active_conns.to_string()),
        ),
        ..AMOUNT
    },
    OptionSpec {
        name: "connect-rate",
        takes: Takes::Value("RATE"),
        default: "10k/s; churn: no limit",
        help: "maximum rate of new connections",
        field: Field::Stress(
            |plan, value| put(&mut plan.connect_rate, read_pace(value).map(Some)),
            |plan| plan.connect_rate.map(show_rate),
        ),
        ..AMOUNT
    },
    OptionSpec {
        name: "duration",
        takes: Takes::Value("TIME"),
        help: "measurement time of loads that send",
        field: Field::Stress(
            |plan, value| put(&mut plan.duration, unit::read_wait(value)),
            |plan| Some(show_duration(plan.duration)),
        ),
        ..AMOUNT
    },
    OptionSpec {
        name: "hold",
        takes: Takes::Value("TIME"),
        help: "hold idle connections for this long",
        field: Field::Stress(
            |plan, value| put(&mut plan.hold, unit::read_bounded(value)),
            |plan| Some(show_duration(plan.hold)),
        ),
        ..AMOUNT
    },
    OptionSpec {
        name: "warmup",
        takes: Takes::Value("TIME"),
        help: "run the loads for this long before measuring",
        field: Field::Stress(
            |plan, value| put(&mut plan.warmup, unit::read_bounded(value)),
            |plan| Some(show_duration(plan.warmup)),
        ),
        ..AMOUNT
    },
    OptionSpec {
        name: "size",
        takes: Takes::Value("SIZE"),
        help: "message size in bytes; every byte is verified",
        field: Field::Stress(
            |plan, value| put(&mut plan.size, read_size(value)),
            |plan| Some(plan.size.to_string()),
        ),
        ..LOAD
    },
    OptionSpec {
        name: "depth",
        takes: Takes::Value("N"),
        help: "messages in flight per connection",
        field: Field::Stress(
            |plan, value| put(&mut plan.depth, unit::read_limit(value)),
            |plan| Some(plan.depth.to_string()),
        ),
        ..LOAD
    },
    OptionSpec {
        name: "rate",
        takes: Takes::Value("RATE"),
        default: "closed loop: the next message follows the answer",
        help: "send messages at this total rate, without waiting for answers",
        field: Field::Stress(
            |plan, value| put(&mut plan.rate, read_pace(value).map(Some)),
            |plan| plan.rate.map(show_rate),
        ),
        ..LOAD
    },
    OptionSpec {
        name: "direction",
        takes: Takes::Value("DIR"),
        help: "stream direction: echo, discard, or with a --sink behind a relay up, down, both",
        field: Field::Stress(
            |plan, value| put(&mut plan.direction, parse::choice(value, &Direction::NAMES)),
            |plan| Some(plan.direction.name().to_string()),
        ),
        ..LOAD
    },
    OptionSpec {
        name: "no-verify",
        help: "only count the bytes of a stream: higher throughput (up and discard)",
        field: Field::Stress(
            |plan, _| put(&mut plan.no_verify, Ok(true)),
            |plan| plan.no_verify.then(String::new),
        ),
        ..LOAD
    },
    OptionSpec {
        name: "burst",
        help: "all connections of echo send, and all of churn connect, at the same instant, \
               repeatedly",
        field: Field::Stress(
            |plan, _| put(&mut plan.burst, Ok(true)),
            |plan| plan.burst.then(String::new),
        ),
        ..LOAD
    },
    OptionSpec {
        name: "burst-interval",
        takes: Takes::Value("TIME"),
        default: "a burst starts when the last one is over",
        help: "time between the starts of two bursts",
        field: Field::Stress(
            |plan, value| put(&mut plan.burst_interval, unit::read_wait(value).map(Some)),
            |plan| plan.burst_interval.map(show_duration),
        ),
        ..LOAD
    },
    OptionSpec {
        name: "abort",
        help: "connections of churn close with RST",
        field: Field::Stress(
            |plan, _| put(&mut plan.abort, Ok(true)),
            |plan| plan.abort.then(String::new),
        ),
        ..LOAD
    },
    OptionSpec {
        name: "probe",
        takes: Takes::Value("PROBE"),
        help: "test of an idle connection: echo (send a message, expect its echo), none (only \
               watch), auto (with --find-idle-timeout: echo if the server echoes, otherwise none)",
        field: Field::Stress(
            |plan, value| put(&mut plan.probe, parse::choice(value, &Probe::NAMES)),
            |plan| Some(plan.probe.name().to_string()),
        ),
        ..LOAD
    },
    OptionSpec {
        name: "find-idle-timeout",
        takes: Takes::Value("TIME"),
        help: "find the server's idle timeout, testing up to TIME",
        field: Field::Stress(
            |plan, value| put(&mut plan.find_idle_timeout, unit::read_timeout(value)),
            |plan| Some(show_timeout(plan.find_idle_timeout)),
        ),
        ..LOAD
    },
    OptionSpec {
        name: "timeout",
        takes: Takes::Value("TIME"),
        default: "10s; datagrams: 1s",
        help: "maximum time for a connect or an answer; a later datagram is lost",
        field: Field::Stress(
            |plan, value| put(&mut plan.timeout, unit::read_wait(value).map(Some)),
            |plan| plan.timeout.map(show_duration),
        ),
        ..AMOUNT
    },
    OptionSpec {
        name: "source",
        takes: Takes::Value("ADDRESS[/BITS],..."),
        default: "chosen by the system; on loopback from 127.0.0.1 on",
        help: "local addresses to connect from",
        field: Field::Stress(
            |plan, value| read_sources(value).map(|sources| plan.sources.extend(sources)),
            |plan| {
                let shown: Vec<String> = plan.sources.iter().map(ToString::to_string).collect();
                (!shown.is_empty()).then(|| shown.join(","))
            },
        ),
        ..AMOUNT
    },
    OptionSpec {
        name: "processes",
        takes: Takes::Value("N"),
        default: "from the open-file limit",
        help: "number of worker processes",
        field: Field::Stress(
            |plan, value| put(&mut plan.processes, read_processes(value).map(Some)),
            |plan| plan.processes.map(|count| count.to_string()),
        ),
        ..AMOUNT
    },
    OptionSpec {
        name: "gso",
        help: "send UDP with segmentation offload: many datagrams per system call",
        field: Field::Stress(
            |plan, _| put(&mut plan.gso, Ok(true)),
            |plan| plan.gso.then(String::new),
        ),
        ..LOAD
    },
    OptionSpec {
        name: "sink",
        takes: Takes::Value("LISTEN"),
        default: "off",
        help: "listen here as the far end of streams, with or without a load",
        field: Field::Stress(
            |plan, value| put(&mut plan.sink, listen::read(value).map(Some)),
            |plan| plan.sink.as_ref().map(ToString::to_string),
        ),
        ..LOAD
    },
    OptionSpec {
        name: "pid",
        takes: Takes::Value("PID"),
        default: "the local process that owns the port",
        help: "measure CPU and memory of this process",
        field: Field::Stress(
            |plan, value| put(&mut plan.pid, read_pid(value).map(Some)),
            |plan| plan.pid.map(|pid| pid.to_string()),
        ),
        ..REPORT
    },
    OptionSpec {
        name: "json",
        takes: Takes::Value("FILE"),
        default: "off",
        help: "write all results as JSON; - is standard output",
        field: Field::Stress(
            |plan, value| put(&mut plan.json, Ok(Some(value.text.into()))),
            |plan| plan.json.as_ref().map(|path| path.display().to_string()),
        ),
        ..REPORT
    },
    OptionSpec {
        name: "report",
        takes: Takes::Value("FILE"),
        default: "off",
        help: "write a self-contained HTML report with charts",
        field: Field::Stress(
            |plan, value| put(&mut plan.report, Ok(Some(value.text.into()))),
            |plan| plan.report.as_ref().map(|path| path.display().to_string()),
        ),
        ..REPORT
    },
    OptionSpec {
        name: "seed",
        takes: Takes::Value("N"),
        default: "random",
        help: "seed of the message contents",
        field: Field::Stress(
            |plan, value| put(&mut plan.seed, read_seed(value).map(Some)),
            |plan| plan.seed.map(|seed| seed.to_string()),
        ),
        ..REPORT
    },
    OptionSpec {
        name: "worker",
        takes: Takes::Value("N/N"),
        field: Field::Stress(
            |plan, value| put(&mut plan.worker, read_worker(value).map(Some)),
            |plan| plan.worker.map(|worker| format!("{}/{}", worker.index, worker.count)),
        ),
        ..REPORT
    },
];

/// Maximum size of a message in bytes: it is held in memory.
const MESSAGE_BYTES_MAX: u64 = 1 << 30;

fn read_size(input: Spanned<'_>) -> Result<usize, SpanError> {
    let size = unit::read_size(input)?;
    match size <= MESSAGE_BYTES_MAX {
        true => Ok(size as usize),
        false => Err(input.wrong("larger than 1G").or_accepts("0 to 1G")),
    }
}

fn read_number(input: Spanned<'_>) -> Result<usize, SpanError> {
    unit::read_count(input).map(|count| count as usize)
}

fn read_processes(input: Spanned<'_>) -> Result<usize, SpanError> {
    const ACCEPTED: &str = "1 to 256: each process runs its own event loop, and more processes \
                            than CPUs only compete";
    let count = unit::read_limit(input).map_err(|span_error| span_error.or_accepts(ACCEPTED))?;
    match count <= StressPlan::PROCESSES_MAX {
        true => Ok(count),
        false => Err(input.wrong("more than 256 processes").or_accepts(ACCEPTED)),
    }
}

/// Reads a rate greater than zero.
fn read_pace(input: Spanned<'_>) -> Result<Rate, SpanError> {
    let read = match unit::read_rate(input) {
        Ok(Rate { count: 0, .. }) => Err(input.wrong("must be greater than 0")),
        read => read,
    };
    read.map_err(|span_error| span_error.or_accepts(unit::RATES))
}

fn show_rate(rate: Rate) -> String {
    match rate.per.as_secs() {
        60 => format!("{}/m", rate.count),
        3_600 => format!("{}/h", rate.count),
        _ => format!("{}/s", rate.count),
    }
}

fn read_pid(input: Spanned<'_>) -> Result<u32, SpanError> {
    input.text.parse().map_err(|_| input.wrong("not a process ID"))
}

fn read_seed(input: Spanned<'_>) -> Result<u64, SpanError> {
    input.text.parse().map_err(|_| input.wrong("a seed is a whole number below 2^64"))
}

fn read_worker(input: Spanned<'_>) -> Result<Worker, SpanError> {
    let number = |input: Spanned<'_>| {
        input.text.parse::<usize>().map_err(|_| input.wrong("not a whole number"))
    };
    let (index, count) = input.split('/');
    let count = number(count.unwrap_or(index))?;
    let index = number(index)?;
    match index < count {
        true => Ok(Worker { index, count }),
        false => Err(input.wrong("no such worker")),
    }
}
