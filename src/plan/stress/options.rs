//! The options of a stress run: as they are typed, and as they are printed back.

use super::{Probe, StressPlan, Way, Worker, read_loads, show_loads};
use crate::plan::parse_error::{Piece, SpanError, put};
use crate::plan::source::read_sources;
use crate::plan::unit::{self, Rate, show_duration};
use crate::plan::{Address, listen, word};

/// One field of the plan as it is typed behind `--`.
#[derive(Debug)]
pub struct StressOption {
    pub name: &'static str,
    /// What its value is called; none if it takes none.
    pub value: Option<&'static str>,
    pub default: &'static str,
    /// Empty: help does not show it.
    pub help: &'static str,
    pub part: Part,
    pub set: fn(&mut StressPlan, Piece<'_>) -> Result<(), SpanError>,
    /// The value as one would type it. None: nothing needs to be typed.
    pub show: fn(&StressPlan) -> Option<String>,
}

/// Under which heading help shows an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Load,
    Much,
    Report,
}

impl StressPlan {
    /// The arguments that give this plan again, without those that change nothing.
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

/// Every option, in the order of help.
pub const OPTIONS: [StressOption; 25] = [
    StressOption {
        name: "load",
        value: Some("LOAD[=N],…"),
        default: "echo",
        help: "idle, echo, churn, stream, storm, pulse, reset, each with its own number (above)",
        part: Part::Load,
        set: |plan, value| read_loads(value).map(|loads| plan.loads.extend(loads)),
        show: |plan| (!plan.loads.is_empty()).then(|| show_loads(&plan.loads)),
    },
    StressOption {
        name: "conns",
        value: Some("N"),
        default: "64",
        help: "connections of each load that gives no number",
        part: Part::Much,
        set: |plan, value| put(&mut plan.conns, unit::read_limit(value)),
        show: |plan| Some(plan.conns.to_string()),
    },
    StressOption {
        name: "active-conns",
        value: Some("N"),
        default: "0",
        help: "so many ping-pong connections beside the others",
        part: Part::Much,
        set: |plan, value| put(&mut plan.active, read_number(value)),
        show: |plan| Some(plan.active.to_string()),
    },
    StressOption {
        name: "connect-rate",
        value: Some("RATE"),
        default: "10k/s, no limit for churn and reset",
        help: "open so many connections in a second",
        part: Part::Much,
        set: |plan, value| put(&mut plan.connect_rate, read_pace(value).map(Some)),
        show: |plan| plan.connect_rate.map(show_rate),
    },
    StressOption {
        name: "duration",
        value: Some("TIME"),
        default: "10s",
        help: "measure the loads that speak for so long",
        part: Part::Much,
        set: |plan, value| put(&mut plan.duration, unit::read_wait(value)),
        show: |plan| Some(show_duration(plan.duration)),
    },
    StressOption {
        name: "hold",
        value: Some("TIME"),
        default: "10s",
        help: "hold idle connections for so long",
        part: Part::Much,
        set: |plan, value| put(&mut plan.hold, unit::read_bounded(value)),
        show: |plan| Some(show_duration(plan.hold)),
    },
    StressOption {
        name: "warmup",
        value: Some("TIME"),
        default: "0s",
        help: "let the loads run so long before they are measured",
        part: Part::Much,
        set: |plan, value| put(&mut plan.warmup, unit::read_bounded(value)),
        show: |plan| Some(show_duration(plan.warmup)),
    },
    StressOption {
        name: "size",
        value: Some("SIZE"),
        default: "64",
        help: "bytes in a message; each of them is verified",
        part: Part::Load,
        set: |plan, value| put(&mut plan.size, read_size(value)),
        show: |plan| Some(plan.size.to_string()),
    },
    StressOption {
        name: "depth",
        value: Some("N"),
        default: "1",
        help: "messages of one connection that are on the way at once",
        part: Part::Load,
        set: |plan, value| put(&mut plan.depth, unit::read_limit(value)),
        show: |plan| Some(plan.depth.to_string()),
    },
    StressOption {
        name: "rate",
        value: Some("RATE"),
        default: "as fast as answers come",
        help: "send so many messages in a second over all, answered or not",
        part: Part::Load,
        set: |plan, value| put(&mut plan.rate, read_pace(value).map(Some)),
        show: |plan| plan.rate.map(show_rate),
    },
    StressOption {
        name: "direction",
        value: Some("DIR"),
        default: "echo",
        help: "where a stream flows: echo, discard; up, down, both need a --sink behind a relay",
        part: Part::Load,
        set: |plan, value| put(&mut plan.way, word::read(value, &Way::WORDS)),
        show: |plan| Some(plan.way.name().to_string()),
    },
    StressOption {
        name: "no-verify",
        value: None,
        default: "",
        help: "only count the bytes of a stream that goes up or to discard: more go through",
        part: Part::Load,
        set: |plan, _| put(&mut plan.unverified, Ok(true)),
        show: |plan| plan.unverified.then(String::new),
    },
    StressOption {
        name: "burst-interval",
        value: Some("TIME"),
        default: "1s",
        help: "from one pulse to the next",
        part: Part::Load,
        set: |plan, value| put(&mut plan.every, unit::read_wait(value)),
        show: |plan| Some(show_duration(plan.every)),
    },
    StressOption {
        name: "probe",
        value: Some("PROBE"),
        default: "auto",
        help: "test a silent connection: echo (it must echo a message), none (send nothing, \
               watch), auto (--find-idle-timeout: echo if the server echoes, otherwise none)",
        part: Part::Load,
        set: |plan, value| put(&mut plan.probe, word::read(value, &Probe::WORDS)),
        show: |plan| Some(plan.probe.name().to_string()),
    },
    StressOption {
        name: "find-idle-timeout",
        value: Some("TIME"),
        default: "off",
        help: "find the silence that kills a connection, up to this one",
        part: Part::Load,
        set: |plan, value| put(&mut plan.find_timeout, unit::read_timeout(value)),
        show: |plan| plan.find_timeout.map(show_duration),
    },
    StressOption {
        name: "timeout",
        value: Some("TIME"),
        default: "10s; 1s for datagrams",
        help: "what takes longer has failed: a connect, an answer, a datagram",
        part: Part::Much,
        set: |plan, value| put(&mut plan.timeout, unit::read_wait(value).map(Some)),
        show: |plan| plan.timeout.map(show_duration),
    },
    StressOption {
        name: "source",
        value: Some("ADDRESS[/BITS],…"),
        default: "the system's choice; on loopback 127.0.0.1 and on, each for half of its ports",
        help: "spread connections over these addresses of this machine",
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
        default: "as the limit of open files demands",
        help: "share the work among so many processes",
        part: Part::Much,
        set: |plan, value| put(&mut plan.processes, read_processes(value).map(Some)),
        show: |plan| plan.processes.map(|count| count.to_string()),
    },
    StressOption {
        name: "gso",
        value: None,
        default: "",
        help: "UDP: let the system cut many datagrams out of one call",
        part: Part::Load,
        set: |plan, _| put(&mut plan.gso, Ok(true)),
        show: |plan| plan.gso.then(String::new),
    },
    StressOption {
        name: "sink",
        value: Some("LISTEN"),
        default: "off",
        help: "be the far end of streams here, beside the load or alone",
        part: Part::Load,
        set: |plan, value| put(&mut plan.sink, listen::read(value).map(Some)),
        show: |plan| plan.sink.as_ref().map(ToString::to_string),
    },
    StressOption {
        name: "pid",
        value: Some("PID"),
        default: "found by the port, if the server is on this machine",
        help: "measure what this process spends",
        part: Part::Report,
        set: |plan, value| put(&mut plan.pid, read_pid(value).map(Some)),
        show: |plan| plan.pid.map(|pid| pid.to_string()),
    },
    StressOption {
        name: "json",
        value: Some("FILE"),
        default: "off",
        help: "write all figures there; - is standard output",
        part: Part::Report,
        set: |plan, value| put(&mut plan.json, Ok(Some(value.text.into()))),
        show: |plan| plan.json.as_ref().map(|path| path.display().to_string()),
    },
    StressOption {
        name: "report",
        value: Some("FILE"),
        default: "off",
        help: "write a page with charts there, complete in one HTML file",
        part: Part::Report,
        set: |plan, value| put(&mut plan.report, Ok(Some(value.text.into()))),
        show: |plan| plan.report.as_ref().map(|path| path.display().to_string()),
    },
    StressOption {
        name: "seed",
        value: Some("N"),
        default: "drawn anew",
        help: "what the messages are made from",
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

/// A message is made and verified in memory; a larger one is a stream.
const MESSAGE_BYTES_MAX: u64 = 1 << 30;

fn read_size(piece: Piece<'_>) -> Result<usize, SpanError> {
    let size = unit::read_size(piece)?;
    match size <= MESSAGE_BYTES_MAX {
        true => Ok(size as usize),
        false => Err(piece.wrong("larger than 1G").or_accepts("0 to 1G")),
    }
}

fn read_number(piece: Piece<'_>) -> Result<usize, SpanError> {
    unit::read_count(piece).map(|count| count as usize)
}

fn read_processes(piece: Piece<'_>) -> Result<usize, SpanError> {
    const ACCEPTED: &str = "1 to 256: each process runs a loop of its own, and with more than \
                            there are processors they only compete";
    let count = unit::read_limit(piece).map_err(|span_error| span_error.or_accepts(ACCEPTED))?;
    match count <= StressPlan::PROCESSES_MAX {
        true => Ok(count),
        false => Err(piece.wrong("more than 256 processes").or_accepts(ACCEPTED)),
    }
}

/// A rate of more than nothing.
fn read_pace(piece: Piece<'_>) -> Result<Rate, SpanError> {
    let read = match unit::read_rate(piece) {
        Ok(Rate { count: 0, .. }) => Err(piece.wrong("nothing at all")),
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

fn read_pid(piece: Piece<'_>) -> Result<u32, SpanError> {
    piece.text.parse().map_err(|_| piece.wrong("not the number of a process"))
}

fn read_seed(piece: Piece<'_>) -> Result<u64, SpanError> {
    piece.text.parse().map_err(|_| piece.wrong("a seed is a whole number below 2^64"))
}

fn read_worker(piece: Piece<'_>) -> Result<Worker, SpanError> {
    let number = |piece: Piece<'_>| {
        piece.text.parse::<usize>().map_err(|_| piece.wrong("not a whole number"))
    };
    let (index, count) = piece.split('/');
    let count = number(count.unwrap_or(index))?;
    let index = number(index)?;
    match index < count {
        true => Ok(Worker { index, count }),
        false => Err(piece.wrong("no such process")),
    }
}
