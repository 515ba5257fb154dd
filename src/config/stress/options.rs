//! The options of a stress run: parses them, and prints a plan back as arguments.

use super::{Direction, Probe, StressPlan, Worker, read_loads, show_loads};
use crate::config::parse::{self, SpanError, Spanned, put};
use crate::config::source::read_sources;
use crate::config::unit::{self, Rate, show_duration};
use crate::config::{Address, listen};

/// An option that sets one field of the plan.
#[derive(Debug)]
pub struct StressOption {
    pub name: &'static str,
    /// Name of its value. None: it takes no value.
    pub value: Option<&'static str>,
    pub default: &'static str,
    /// Empty: hidden from help.
    pub help: &'static str,
    pub part: Part,
    pub set: fn(&mut StressPlan, Spanned<'_>) -> Result<(), SpanError>,
    /// Prints the value as a user would type it. None: the option is not needed.
    pub show: fn(&StressPlan) -> Option<String>,
}

/// The heading under which help lists an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Load,
    Much,
    Report,
}

impl StressPlan {
    /// Returns the arguments that produce this plan, without defaults.
    pub fn arguments(&self) -> Vec<String> {
        let untouched = StressPlan::default();
        let mut arguments: Vec<String> = self.targets.iter().map(Address::to_string).collect();
        for option in &OPTIONS {
            let shown = (option.show)(self);
            if let Some(value) =
                shown.filter(|value| Some(value) != (option.show)(&untouched).as_ref())
            {
                arguments.push(format!("--{}", option.name));
                arguments.extend(option.value.map(|_| value));
            }
        }
        arguments
    }
}

/// All options, in the order of help.
pub const OPTIONS: [StressOption; 25] = [
    StressOption {
        name: "load",
        value: Some("LOAD[=N],..."),
        default: "echo",
        help: "loads to run: idle, echo, churn, stream, storm, pulse, reset (see above)",
        part: Part::Load,
        set: |plan, value| read_loads(value).map(|loads| plan.loads.extend(loads)),
        show: |plan| (!plan.loads.is_empty()).then(|| show_loads(&plan.loads)),
    },
    StressOption {
        name: "conns",
        value: Some("N"),
        default: "64",
        help: "connections of each load without a number of its own",
        part: Part::Much,
        set: |plan, value| put(&mut plan.conns, unit::read_limit(value)),
        show: |plan| Some(plan.conns.to_string()),
    },
    StressOption {
        name: "active-conns",
        value: Some("N"),
        default: "0",
        help: "additional echo connections beside the other loads",
        part: Part::Much,
        set: |plan, value| put(&mut plan.active_conns, read_number(value)),
        show: |plan| Some(plan.active_conns.to_string()),
    },
    StressOption {
        name: "connect-rate",
        value: Some("RATE"),
        default: "10k/s; churn and reset: no limit",
        help: "maximum rate of new connections",
        part: Part::Much,
        set: |plan, value| put(&mut plan.connect_rate, read_pace(value).map(Some)),
        show: |plan| plan.connect_rate.map(show_rate),
    },
    StressOption {
        name: "duration",
        value: Some("TIME"),
        default: "10s",
        help: "measurement time of loads that send",
        part: Part::Much,
        set: |plan, value| put(&mut plan.duration, unit::read_wait(value)),
        show: |plan| Some(show_duration(plan.duration)),
    },
    StressOption {
        name: "hold",
        value: Some("TIME"),
        default: "10s",
        help: "hold idle connections for this long",
        part: Part::Much,
        set: |plan, value| put(&mut plan.hold, unit::read_bounded(value)),
        show: |plan| Some(show_duration(plan.hold)),
    },
    StressOption {
        name: "warmup",
        value: Some("TIME"),
        default: "0s",
        help: "run the loads for this long before measuring",
        part: Part::Much,
        set: |plan, value| put(&mut plan.warmup, unit::read_bounded(value)),
        show: |plan| Some(show_duration(plan.warmup)),
    },
    StressOption {
        name: "size",
        value: Some("SIZE"),
        default: "64",
        help: "message size in bytes; every byte is verified",
        part: Part::Load,
        set: |plan, value| put(&mut plan.size, read_size(value)),
        show: |plan| Some(plan.size.to_string()),
    },
    StressOption {
        name: "depth",
        value: Some("N"),
        default: "1",
        help: "messages in flight per connection",
        part: Part::Load,
        set: |plan, value| put(&mut plan.depth, unit::read_limit(value)),
        show: |plan| Some(plan.depth.to_string()),
    },
    StressOption {
        name: "rate",
        value: Some("RATE"),
        default: "closed loop: the next message follows the answer",
        help: "send messages at this total rate, without waiting for answers",
        part: Part::Load,
        set: |plan, value| put(&mut plan.rate, read_pace(value).map(Some)),
        show: |plan| plan.rate.map(show_rate),
    },
    StressOption {
        name: "direction",
        value: Some("DIR"),
        default: "echo",
        help: "stream direction: echo, discard, or with a --sink behind a relay up, down, both",
        part: Part::Load,
        set: |plan, value| put(&mut plan.direction, parse::choice(value, &Direction::WORDS)),
        show: |plan| Some(plan.direction.name().to_string()),
    },
    StressOption {
        name: "no-verify",
        value: None,
        default: "",
        help: "only count the bytes of a stream: higher throughput (up and discard)",
        part: Part::Load,
        set: |plan, _| put(&mut plan.no_verify, Ok(true)),
        show: |plan| plan.no_verify.then(String::new),
    },
    StressOption {
        name: "burst-interval",
        value: Some("TIME"),
        default: "1s",
        help: "time between two pulses",
        part: Part::Load,
        set: |plan, value| put(&mut plan.burst_interval, unit::read_wait(value)),
        show: |plan| Some(show_duration(plan.burst_interval)),
    },
    StressOption {
        name: "probe",
        value: Some("PROBE"),
        default: "auto",
        help: "test of an idle connection: echo (send a message, expect its echo), none (only \
               watch), auto (with --find-idle-timeout: echo if the server echoes, otherwise none)",
        part: Part::Load,
        set: |plan, value| put(&mut plan.probe, parse::choice(value, &Probe::WORDS)),
        show: |plan| Some(plan.probe.name().to_string()),
    },
    StressOption {
        name: "find-idle-timeout",
        value: Some("TIME"),
        default: "off",
        help: "find the server's idle timeout, testing up to TIME",
        part: Part::Load,
        set: |plan, value| put(&mut plan.find_idle_timeout, unit::read_timeout(value)),
        show: |plan| plan.find_idle_timeout.map(show_duration),
    },
    StressOption {
        name: "timeout",
        value: Some("TIME"),
        default: "10s; datagrams: 1s",
        help: "maximum time for a connect or an answer; a later datagram is lost",
        part: Part::Much,
        set: |plan, value| put(&mut plan.timeout, unit::read_wait(value).map(Some)),
        show: |plan| plan.timeout.map(show_duration),
    },
    StressOption {
        name: "source",
        value: Some("ADDRESS[/BITS],..."),
        default: "chosen by the system; on loopback from 127.0.0.1 on",
        help: "local addresses to connect from",
        part: Part::Much,
        set: |plan, value| read_sources(value).map(|sources| plan.sources.extend(sources)),
        show: |plan| {
            let shown: Vec<String> = plan.sources.iter().map(ToString::to_string).collect();
            (!shown.is_empty()).then(|| shown.join(","))
        },
    },
    StressOption {
        name: "processes",
        value: Some("N"),
        default: "from the open-file limit",
        help: "number of worker processes",
        part: Part::Much,
        set: |plan, value| put(&mut plan.processes, read_processes(value).map(Some)),
        show: |plan| plan.processes.map(|count| count.to_string()),
    },
    StressOption {
        name: "gso",
        value: None,
        default: "",
        help: "send UDP with segmentation offload: many datagrams per system call",
        part: Part::Load,
        set: |plan, _| put(&mut plan.gso, Ok(true)),
        show: |plan| plan.gso.then(String::new),
    },
    StressOption {
        name: "sink",
        value: Some("LISTEN"),
        default: "off",
        help: "listen here as the far end of streams, with or without a load",
        part: Part::Load,
        set: |plan, value| put(&mut plan.sink, listen::read(value).map(Some)),
        show: |plan| plan.sink.as_ref().map(ToString::to_string),
    },
    StressOption {
        name: "pid",
        value: Some("PID"),
        default: "the local process that owns the port",
        help: "measure CPU and memory of this process",
        part: Part::Report,
        set: |plan, value| put(&mut plan.pid, read_pid(value).map(Some)),
        show: |plan| plan.pid.map(|pid| pid.to_string()),
    },
    StressOption {
        name: "json",
        value: Some("FILE"),
        default: "off",
        help: "write all results as JSON; - is standard output",
        part: Part::Report,
        set: |plan, value| put(&mut plan.json, Ok(Some(value.text.into()))),
        show: |plan| plan.json.as_ref().map(|path| path.display().to_string()),
    },
    StressOption {
        name: "report",
        value: Some("FILE"),
        default: "off",
        help: "write a self-contained HTML report with charts",
        part: Part::Report,
        set: |plan, value| put(&mut plan.report, Ok(Some(value.text.into()))),
        show: |plan| plan.report.as_ref().map(|path| path.display().to_string()),
    },
    StressOption {
        name: "seed",
        value: Some("N"),
        default: "random",
        help: "seed of the message contents",
        part: Part::Report,
        set: |plan, value| put(&mut plan.seed, read_seed(value).map(Some)),
        show: |plan| plan.seed.map(|seed| seed.to_string()),
    },
    StressOption {
        name: "worker",
        value: Some("N/N"),
        default: "",
        help: "",
        part: Part::Report,
        set: |plan, value| put(&mut plan.worker, read_worker(value).map(Some)),
        show: |plan| plan.worker.map(|worker| format!("{}/{}", worker.index, worker.count)),
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
