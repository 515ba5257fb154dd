//! The options of a stress run: as they are typed, and as they are printed back.

use super::misread::{Piece, Slip, put};
use super::source::read_sources;
use super::stress::{StressPlan, Way, Worker, read_loads, read_word, show_loads};
use super::unit::{self, Rate, show_duration};
use super::{Address, listen};

/// One field of the plan as it is typed behind `--`.
#[derive(Debug)]
pub struct StressOption {
    pub name: &'static str,
    /// What its value is called; none if it takes none.
    pub value: Option<&'static str>,
    pub default: &'static str,
    /// Empty: help does not show it.
    pub help: &'static str,
    pub set: fn(&mut StressPlan, Piece<'_>) -> Result<(), Slip>,
    /// The value as one would type it. None: nothing needs to be typed.
    pub show: fn(&StressPlan) -> Option<String>,
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
pub const OPTIONS: [StressOption; 24] = [
    StressOption {
        name: "load",
        value: Some("LOAD[=N],…"),
        default: "echo",
        help: "idle, echo, churn, stream, storm, pulse, reset, each with its own number (below)",
        set: |plan, value| put(&mut plan.loads, read_loads(value)),
        show: |plan| Some(show_loads(&plan.loads)),
    },
    StressOption {
        name: "conns",
        value: Some("N"),
        default: "64",
        help: "connections of each load that gives no number",
        set: |plan, value| put(&mut plan.conns, unit::read_limit(value)),
        show: |plan| Some(plan.conns.to_string()),
    },
    StressOption {
        name: "active",
        value: Some("N"),
        default: "0",
        help: "so many ping-pong connections beside the others",
        set: |plan, value| put(&mut plan.active, read_number(value)),
        show: |plan| Some(plan.active.to_string()),
    },
    StressOption {
        name: "connect-rate",
        value: Some("RATE"),
        default: "10k/s, no limit for churn and reset",
        help: "open so many connections in a second",
        set: |plan, value| put(&mut plan.connect_rate, read_pace(value).map(Some)),
        show: |plan| plan.connect_rate.map(show_rate),
    },
    StressOption {
        name: "duration",
        value: Some("TIME"),
        default: "10s",
        help: "measure the loads that speak for so long",
        set: |plan, value| put(&mut plan.duration, unit::read_wait(value)),
        show: |plan| Some(show_duration(plan.duration)),
    },
    StressOption {
        name: "hold",
        value: Some("TIME"),
        default: "10s",
        help: "hold idle connections for so long",
        set: |plan, value| put(&mut plan.hold, unit::read_duration(value)),
        show: |plan| Some(show_duration(plan.hold)),
    },
    StressOption {
        name: "warmup",
        value: Some("TIME"),
        default: "0s",
        help: "let the loads run so long before they are measured",
        set: |plan, value| put(&mut plan.warmup, unit::read_duration(value)),
        show: |plan| Some(show_duration(plan.warmup)),
    },
    StressOption {
        name: "size",
        value: Some("SIZE"),
        default: "64",
        help: "bytes in a message; each of them is verified",
        set: |plan, value| put(&mut plan.size, read_size(value)),
        show: |plan| Some(plan.size.to_string()),
    },
    StressOption {
        name: "depth",
        value: Some("N"),
        default: "1",
        help: "messages of one connection that are on the way at once",
        set: |plan, value| put(&mut plan.depth, unit::read_limit(value)),
        show: |plan| Some(plan.depth.to_string()),
    },
    StressOption {
        name: "rate",
        value: Some("RATE"),
        default: "as fast as answers come",
        help: "send so many messages in a second over all, answered or not",
        set: |plan, value| put(&mut plan.rate, read_pace(value).map(Some)),
        show: |plan| plan.rate.map(show_rate),
    },
    StressOption {
        name: "way",
        value: Some("WAY"),
        default: "echo",
        help: "where a stream flows: echo, discard; up, down, both need a --sink behind a relay",
        set: |plan, value| put(&mut plan.way, read_word(value, &Way::WORDS)),
        show: |plan| Some(plan.way.word().to_string()),
    },
    StressOption {
        name: "every",
        value: Some("TIME"),
        default: "1s",
        help: "from one pulse to the next",
        set: |plan, value| put(&mut plan.every, unit::read_wait(value)),
        show: |plan| Some(show_duration(plan.every)),
    },
    StressOption {
        name: "probe",
        value: None,
        default: "",
        help: "after the hold each idle connection must answer a message",
        set: |plan, _| put(&mut plan.probe, Ok(true)),
        show: |plan| plan.probe.then(String::new),
    },
    StressOption {
        name: "find-timeout",
        value: Some("TIME"),
        default: "off",
        help: "find the silence that kills a connection, up to this one",
        set: |plan, value| put(&mut plan.find_timeout, unit::read_wait(value).map(Some)),
        show: |plan| plan.find_timeout.map(show_duration),
    },
    StressOption {
        name: "timeout",
        value: Some("TIME"),
        default: "10s",
        help: "what takes longer has failed: a connect, an answer, a datagram",
        set: |plan, value| put(&mut plan.timeout, unit::read_wait(value)),
        show: |plan| Some(show_duration(plan.timeout)),
    },
    StressOption {
        name: "source",
        value: Some("ADDRESS[/BITS],…"),
        default: "the system's choice; 127.0.0.0/8 when ports run out",
        help: "spread connections over these addresses of this machine",
        set: |plan, value| put(&mut plan.sources, read_sources(value)),
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
        set: |plan, value| put(&mut plan.processes, unit::read_limit(value).map(Some)),
        show: |plan| plan.processes.map(|count| count.to_string()),
    },
    StressOption {
        name: "gso",
        value: None,
        default: "",
        help: "UDP: let the system cut many datagrams out of one call",
        set: |plan, _| put(&mut plan.gso, Ok(true)),
        show: |plan| plan.gso.then(String::new),
    },
    StressOption {
        name: "sink",
        value: Some("LISTEN"),
        default: "off",
        help: "be the far end of streams here, beside the load or alone",
        set: |plan, value| put(&mut plan.sink, listen::read(value).map(Some)),
        show: |plan| plan.sink.as_ref().map(ToString::to_string),
    },
    StressOption {
        name: "pid",
        value: Some("PID"),
        default: "found by the port, if the server is on this machine",
        help: "measure what this process spends",
        set: |plan, value| put(&mut plan.pid, read_pid(value).map(Some)),
        show: |plan| plan.pid.map(|pid| pid.to_string()),
    },
    StressOption {
        name: "json",
        value: Some("FILE"),
        default: "off",
        help: "write all figures there; - is standard output",
        set: |plan, value| put(&mut plan.json, Ok(Some(value.text.into()))),
        show: |plan| plan.json.as_ref().map(|path| path.display().to_string()),
    },
    StressOption {
        name: "report",
        value: Some("FILE"),
        default: "off",
        help: "write a page with charts there, complete in one HTML file",
        set: |plan, value| put(&mut plan.report, Ok(Some(value.text.into()))),
        show: |plan| plan.report.as_ref().map(|path| path.display().to_string()),
    },
    StressOption {
        name: "seed",
        value: Some("N"),
        default: "drawn anew",
        help: "what the messages are made from",
        set: |plan, value| put(&mut plan.seed, read_seed(value).map(Some)),
        show: |plan| plan.seed.map(|seed| seed.to_string()),
    },
    StressOption {
        name: "worker",
        value: Some("N/N"),
        default: "",
        help: "",
        set: |plan, value| put(&mut plan.worker, read_worker(value).map(Some)),
        show: |plan| plan.worker.map(|worker| format!("{}/{}", worker.index, worker.count)),
    },
];

/// A message is made and verified in memory; a larger one is a stream.
const MESSAGE_BYTES_MAX: u64 = 1 << 30;

fn read_size(piece: Piece<'_>) -> Result<usize, Slip> {
    let size = unit::read_size(piece)?;
    match size <= MESSAGE_BYTES_MAX {
        true => Ok(size as usize),
        false => Err(piece.wrong("larger than 1G").or_accepts("0 to 1G")),
    }
}

fn read_number(piece: Piece<'_>) -> Result<usize, Slip> {
    unit::read_count(piece).map(|count| count as usize)
}

/// A rate of more than nothing.
fn read_pace(piece: Piece<'_>) -> Result<Rate, Slip> {
    match unit::read_rate(piece)? {
        Rate { count: 0, .. } => Err(piece.wrong("nothing at all")),
        rate => Ok(rate),
    }
}

fn show_rate(rate: Rate) -> String {
    match rate.per.as_secs() {
        60 => format!("{}/m", rate.count),
        3_600 => format!("{}/h", rate.count),
        _ => format!("{}/s", rate.count),
    }
}

fn read_pid(piece: Piece<'_>) -> Result<u32, Slip> {
    piece.text.parse().map_err(|_| piece.wrong("not the number of a process"))
}

fn read_seed(piece: Piece<'_>) -> Result<u64, Slip> {
    piece.text.parse().map_err(|_| piece.wrong("a seed is a whole number below 2^64"))
}

fn read_worker(piece: Piece<'_>) -> Result<Worker, Slip> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::LoadKind;

    fn read(arguments: &[&str]) -> StressPlan {
        let mut plan = StressPlan::default();
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            match argument.strip_prefix("--") {
                None => plan.targets.push(Address::parse_target(argument).unwrap()),
                Some(name) => {
                    let option = OPTIONS.iter().find(|option| option.name == name).expect(name);
                    let value = option.value.and_then(|_| rest.next()).copied().unwrap_or("");
                    (option.set)(&mut plan, Piece::whole(value)).expect(name);
                }
            }
        }
        plan
    }

    #[test]
    fn the_defaults_that_help_tells_are_the_ones_in_force() {
        let untouched = StressPlan::default();
        for option in &OPTIONS {
            let Some(shown) = (option.show)(&untouched) else { continue };
            assert!(!option.default.is_empty(), "{}", option.name);
            let mut plan = StressPlan::default();
            (option.set)(&mut plan, Piece::whole(option.default)).expect(option.name);
            assert_eq!((option.show)(&plan), Some(shown), "{}", option.name);
            assert_eq!(plan, untouched, "{}", option.name);
        }
    }

    #[test]
    fn a_plan_prints_as_arguments_that_give_it_again() {
        assert_eq!(read(&["127.0.0.1:7"]).arguments(), ["tcp://127.0.0.1:7"]);
        let all = "tcp://127.0.0.1:7 unix:/x --load idle=18000,stream --conns 9 --active 3 \
            --connect-rate 2000/s --duration 2s --hold 10m --warmup 500ms --size 1200 --depth 16 \
            --rate 600/m --way both --every 5s --probe --find-timeout 1h --timeout 1s \
            --source 127.0.0.0/28,::1 --processes 4 --gso --sink tcp://:9000 --pid 17 --json - \
            --report r.html --seed 18446744073709551615 --worker 1/4";
        let arguments: Vec<&str> = all.split_whitespace().collect();
        let plan = read(&arguments);
        assert_eq!(plan.arguments(), arguments);
        assert_eq!(plan.way, Way::Both);
        assert_eq!(plan.loads[0].kind, LoadKind::Idle);
    }

    #[test]
    fn each_option_sets_its_own_field_and_no_other() {
        let values = [
            ("LOAD[=N],…", "reset"),
            ("N", "77"),
            ("RATE", "77/s"),
            ("TIME", "77s"),
            ("SIZE", "77"),
            ("WAY", "down"),
            ("ADDRESS[/BITS],…", "::1"),
            ("LISTEN", ":77"),
            ("PID", "77"),
            ("FILE", "x"),
            ("N/N", "0/7"),
        ];
        let mut seen = vec![StressPlan::default()];
        for option in &OPTIONS {
            let known = values.iter().find(|(name, _)| Some(*name) == option.value);
            let mut plan = StressPlan::default();
            let value = known.map_or("", |(_, value)| value);
            (option.set)(&mut plan, Piece::whole(value)).expect(option.name);
            assert!(!seen.contains(&plan), "{} repeats another one's work", option.name);
            seen.push(plan);
        }
    }

    #[test]
    fn a_wrong_value_is_shown_at_its_place() {
        let wrong = [
            ("rate", "0/s", "0/s"),
            ("size", "64q", "q"),
            ("size", "2G", "2G"),
            ("pid", "-1", "-1"),
            ("worker", "4/4", "4/4"),
            ("source", "127.0.0.0/99", "99"),
            ("way", "upp", "upp"),
        ];
        for (name, value, place) in wrong {
            let option = OPTIONS.iter().find(|option| option.name == name).unwrap();
            let slip = (option.set)(&mut StressPlan::default(), Piece::whole(value)).unwrap_err();
            assert_eq!(&value[slip.span], place, "{name}");
        }
    }
}
