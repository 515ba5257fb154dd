//! The table of options: one entry gives parsing, help and guesses.

use super::values::OptionValues;
use crate::plan::parse_error::{Piece, SpanError, put};
use crate::plan::policy::{self, On, PolicyOption};
use crate::plan::service::Service;
use crate::plan::stress::options::{self as stress_options, Part, StressOption};
use crate::plan::{AccessFormat, Color, Explain, Policy, StressPlan, template, unit, word};

/// One option.
#[derive(Clone, Debug)]
pub struct Flag {
    pub long: &'static str,
    pub short: Option<char>,
    /// What its value is called; none if it takes none.
    pub value: Option<&'static str>,
    /// What help says of the value that is in force without it.
    pub default: &'static str,
    pub help: &'static str,
    pub section: Section,
    pub on: Where,
    pub set: Set,
}

/// The commands that have it.
#[derive(Clone, Copy, Debug)]
pub enum Where {
    All,
    /// All that turn a loop, and so have something to log.
    Logged,
    /// All that serve connections by a policy.
    Servers,
    Only(&'static [&'static str]),
    /// The services a policy's option fits, and run.
    Policy(On),
    Stress,
}

/// What it does.
#[derive(Clone, Copy, Debug)]
pub enum Set {
    Policy(fn(&mut Policy, Piece<'_>) -> Result<(), SpanError>),
    OptionValues(fn(&mut OptionValues, Piece<'_>) -> Result<(), SpanError>),
    /// It may have a value, but only behind a `=`; without one the value is empty.
    Optional(fn(&mut OptionValues, Piece<'_>) -> Result<(), SpanError>),
    Stress(fn(&mut StressPlan, Piece<'_>) -> Result<(), SpanError>),
    Help,
    Version,
}

/// Under which heading help shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    Own,
    Stress(Part),
    Limits,
    Log,
    Other,
}

impl Section {
    pub const ALL: [(Section, &'static str); 7] = [
        (Section::Own, "Options"),
        (Section::Stress(Part::Load), "What the connections do"),
        (Section::Stress(Part::Much), "How many, how fast, how long"),
        (Section::Stress(Part::Report), "What is told"),
        (Section::Limits, "Limits and timeouts"),
        (Section::Log, "Log, on standard error (RUST_LOG wins over -v and -q)"),
        (Section::Other, "Other"),
    ];
}

impl Flag {
    /// Every option of every command, in the order of help.
    pub fn all() -> impl Iterator<Item = Flag> {
        let policy = policy::OPTIONS.iter().map(Flag::of_policy);
        let stress = stress_options::OPTIONS.iter().map(Flag::of_stress);
        let own = OWN.iter().chain(LIMITS.iter()).cloned();
        own.chain(policy).chain(stress).chain(REST.iter().cloned())
    }

    fn of_stress(option: &StressOption) -> Flag {
        Flag {
            long: option.name,
            short: None,
            value: option.value,
            default: option.default,
            help: option.help,
            section: Section::Stress(option.part),
            on: Where::Stress,
            set: Set::Stress(option.set),
        }
    }

    fn of_policy(option: &PolicyOption) -> Flag {
        Flag {
            long: option.name,
            short: None,
            value: option.value,
            default: option.default,
            help: option.help,
            section: Section::Limits,
            on: Where::Policy(option.on),
            set: Set::Policy(option.set),
        }
    }

    pub fn is_on(&self, command: &str) -> bool {
        let serves = command == "run" || Service::WORDS.contains(&command);
        match self.on {
            Where::All => true,
            Where::Logged => !UNLOGGED.contains(&command),
            Where::Servers => serves,
            Where::Only(commands) => commands.contains(&command),
            Where::Stress => command == "stress",
            Where::Policy(on) => serves && (command == "run" || on.fits(command)),
        }
    }

    /// Whether `args`, with its dashes, is this option.
    pub fn is_called(&self, args: &str) -> bool {
        match args.strip_prefix("--") {
            Some(long) => long == self.long,
            None => self.short.is_some_and(|short| args.chars().eq(['-', short])),
        }
    }

    pub fn dashed(&self) -> String {
        format!("--{}", self.long)
    }
}

/// A flag that takes no value, to be completed.
const PLAIN: Flag = Flag {
    long: "",
    short: None,
    value: None,
    default: "",
    help: "",
    section: Section::Own,
    on: Where::All,
    set: Set::Help,
};

/// What only one or two commands have.
const OWN: [Flag; 14] = [
    Flag {
        long: "text",
        value: Some("TEXT"),
        help: "what to send, with \\n \\r \\t \\xNN and places to fill in (above)",
        on: Where::Only(&["greet"]),
        set: Set::OptionValues(|values, value| {
            put(&mut values.text, template::read(value).map(Some))
        }),
        ..PLAIN
    },
    Flag {
        long: "read-one",
        help: "then read one message, to a newline or the end, and log it",
        on: Where::Only(&["greet"]),
        set: Set::OptionValues(|values, _| put(&mut values.read_one, Ok(true))),
        ..PLAIN
    },
    Flag {
        long: "crlf",
        short: Some('C'),
        help: "send each line end as CR LF",
        on: Where::Only(TALK),
        set: Set::OptionValues(|values, _| put(&mut values.crlf, Ok(true))),
        ..PLAIN
    },
    Flag {
        long: "wait",
        short: Some('w'),
        value: Some("TIME"),
        default: "5s",
        help: "how long the connection may take to be made",
        on: Where::Only(CONNECT),
        set: Set::OptionValues(|values, value| put(&mut values.wait, unit::read_timeout(value))),
        ..PLAIN
    },
    Flag {
        long: "idle-timeout",
        short: Some('i'),
        value: Some("TIME"),
        default: "off",
        help: "end a connection on which nothing moved for so long",
        on: Where::Only(TALK),
        set: Set::OptionValues(|values, value| put(&mut values.idle, unit::read_timeout(value))),
        ..PLAIN
    },
    Flag {
        long: "probe",
        short: Some('z'),
        help: "only see whether the target takes a connection",
        on: Where::Only(CONNECT),
        set: Set::OptionValues(|values, _| put(&mut values.probe, Ok(true))),
        ..PLAIN
    },
    Flag {
        long: "timing",
        help: "tell how long each step took, and how it ended",
        on: Where::Only(CONNECT),
        set: Set::OptionValues(|values, _| put(&mut values.timing, Ok(true))),
        ..PLAIN
    },
    Flag {
        long: "no-half-close",
        help: "keep our side open when the input ends",
        on: Where::Only(CONNECT),
        set: Set::OptionValues(|values, _| put(&mut values.half_close, Ok(false))),
        ..PLAIN
    },
    Flag {
        long: "linger",
        value: Some("TIME"),
        default: "off; 1s for datagrams",
        help: "wait at most so long for the other side after the input ended",
        on: Where::Only(CONNECT),
        set: Set::OptionValues(|values, value| {
            put(&mut values.linger, unit::read_timeout(value).map(Some))
        }),
        ..PLAIN
    },
    Flag {
        long: "udp",
        short: Some('u'),
        help: "UDP: the same as udp:// before the target",
        on: Where::Only(CONNECT),
        set: Set::OptionValues(|values, _| put(&mut values.udp, Ok(true))),
        ..PLAIN
    },
    Flag {
        long: "unix",
        short: Some('U'),
        help: "a Unix socket: the same as unix: before the target",
        on: Where::Only(CONNECT),
        set: Set::OptionValues(|values, _| put(&mut values.unix, Ok(true))),
        ..PLAIN
    },
    Flag {
        long: "max-clients",
        short: Some('m'),
        value: Some("N"),
        default: "100",
        help: "how many may talk at once",
        on: Where::Only(&["chat"]),
        set: Set::OptionValues(|values, value| {
            put(&mut values.max_clients, unit::read_limit(value))
        }),
        ..PLAIN
    },
    Flag {
        long: "conns",
        short: Some('n'),
        value: Some("N"),
        default: "tell how many fit",
        help: "ask whether so many connections fit, as a server, client and relay",
        on: Where::Only(DOCTOR),
        set: Set::OptionValues(|values, value| {
            put(&mut values.conns, unit::read_limit(value).map(Some))
        }),
        ..PLAIN
    },
    Flag {
        long: "json",
        help: "answer as one JSON object",
        on: Where::Only(DOCTOR),
        set: Set::OptionValues(|values, _| put(&mut values.json, Ok(true))),
        ..PLAIN
    },
];

/// What limits the daemon as a whole. The options of a policy follow these in help.
const LIMITS: [Flag; 4] = [
    Flag {
        long: "max-connections",
        short: Some('m'),
        value: Some("N"),
        default: "what the limit of open files allows",
        help: "serve at most so many at once; more wait",
        section: Section::Limits,
        on: Where::Servers,
        set: Set::OptionValues(|values, value| {
            put(&mut values.max_connections, unit::read_limit(value).map(Some))
        }),
    },
    Flag {
        long: "drain-timeout",
        value: Some("TIME"),
        default: "10s",
        help: "time for connections in progress to finish after TERM or INT",
        section: Section::Limits,
        on: Where::Servers,
        set: Set::OptionValues(|values, value| {
            put(&mut values.drain_timeout, unit::read_bounded(value))
        }),
        ..PLAIN
    },
    Flag {
        long: "drain-idle",
        value: Some("TIME"),
        default: "1s, at most half of --drain-timeout",
        help: "during a drain, close connections at rest and quiet for this long",
        section: Section::Limits,
        on: Where::Servers,
        set: Set::OptionValues(|values, value| {
            put(&mut values.drain_idle, unit::read_bounded(value).map(Some))
        }),
        ..PLAIN
    },
    Flag {
        long: "busy-poll",
        value: Some("TIME"),
        default: "off",
        help: "before each sleep look again for so long (100us): answers sooner, burns a core",
        section: Section::Limits,
        on: Where::Servers,
        set: Set::OptionValues(|values, value| put(&mut values.spin, unit::read_timeout(value))),
        ..PLAIN
    },
];

/// What every command has.
const REST: [Flag; 7] = [
    Flag {
        long: "verbose",
        short: Some('v'),
        help: "show the life of each connection; -vv: each step of the loop too",
        section: Section::Log,
        on: Where::Logged,
        set: Set::OptionValues(|values, _| {
            values.log.quiet = false;
            let more = values.log.verbosity.saturating_add(1);
            put(&mut values.log.verbosity, Ok(more.min(2)))
        }),
        ..PLAIN
    },
    Flag {
        long: "quiet",
        short: Some('q'),
        help: "show warnings and errors only",
        section: Section::Log,
        on: Where::Logged,
        set: Set::OptionValues(|values, _| {
            values.log.verbosity = 0;
            put(&mut values.log.quiet, Ok(true))
        }),
        ..PLAIN
    },
    Flag {
        long: "explain",
        help: "say why the first line of each kind is so; --explain=always: why each line is",
        section: Section::Log,
        on: Where::Logged,
        set: Set::Optional(|values, value| {
            let explain = word::read(value, &Explain::WORDS[usize::from(!value.text.is_empty())..]);
            put(&mut values.log.explain, explain)
        }),
        ..PLAIN
    },
    Flag {
        long: "access-log",
        value: Some("FORMAT"),
        default: "off",
        help: "one line for each connection at its end: logfmt, json or haproxy",
        section: Section::Log,
        on: Where::Servers,
        set: Set::OptionValues(|values, value| {
            put(&mut values.log.access, word::read(value, &AccessFormat::WORDS).map(Some))
        }),
        ..PLAIN
    },
    Flag {
        long: "color",
        value: Some("WHEN"),
        default: "auto",
        help: "auto (on a terminal, unless NO_COLOR is set), always or never",
        section: Section::Other,
        set: Set::OptionValues(|values, value| {
            put(&mut values.log.color, word::read(value, &Color::WORDS))
        }),
        ..PLAIN
    },
    Flag {
        long: "help",
        short: Some('h'),
        help: "show this text",
        section: Section::Other,
        set: Set::Help,
        ..PLAIN
    },
    Flag {
        long: "version",
        short: Some('V'),
        help: "show the version",
        section: Section::Other,
        set: Set::Version,
        ..PLAIN
    },
];

const CONNECT: &[&str] = &["connect"];
const TALK: &[&str] = &["connect", "chat"];
const DOCTOR: &[&str] = &["doctor"];
const UNLOGGED: &[&str] = &["doctor", "stress"];
