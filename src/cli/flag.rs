//! The table of options: each entry drives parsing, help and suggestions.

use super::values::OptionValues;
use crate::config::parse::{self, SpanError, Spanned, put};
use crate::config::policy::{self, On, PolicyOption};
use crate::config::service::Service;
use crate::config::stress::options::{self as stress_options, Part, StressOption};
use crate::config::{AccessFormat, Color, Explain, Policy, StressPlan, template, unit};

/// One option.
#[derive(Clone, Debug)]
pub struct Flag {
    pub long: &'static str,
    pub short: Option<char>,
    /// Name of its value. None: it takes no value.
    pub value: Option<&'static str>,
    /// The default, as help shows it.
    pub default: &'static str,
    pub help: &'static str,
    pub section: Section,
    pub on: Where,
    pub set: Set,
}

/// The commands that accept an option.
#[derive(Clone, Copy, Debug)]
pub enum Where {
    All,
    /// All commands that run an event loop and so have something to log.
    Logged,
    /// All commands that serve connections under a policy.
    Servers,
    Only(&'static [&'static str]),
    /// The services to which a policy option applies, and run.
    Policy(On),
    Stress,
}

/// What an option sets.
#[derive(Clone, Copy, Debug)]
pub enum Set {
    Policy(fn(&mut Policy, Spanned<'_>) -> Result<(), SpanError>),
    OptionValues(fn(&mut OptionValues, Spanned<'_>) -> Result<(), SpanError>),
    /// Takes an optional value, only as `--name=VALUE`; without one the value is empty.
    Optional(fn(&mut OptionValues, Spanned<'_>) -> Result<(), SpanError>),
    Stress(fn(&mut StressPlan, Spanned<'_>) -> Result<(), SpanError>),
    Help,
    Version,
}

/// The heading under which help lists an option.
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
        (Section::Stress(Part::Load), "Load"),
        (Section::Stress(Part::Much), "Amount and duration"),
        (Section::Stress(Part::Report), "Report"),
        (Section::Limits, "Limits and timeouts"),
        (Section::Log, "Logging, to standard error (RUST_LOG overrides -v and -q)"),
        (Section::Other, "Other"),
    ];
}

impl Flag {
    /// Returns every option of every command, in the order of help.
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

    /// Whether `args`, with its dashes, names this option.
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

/// Defaults of a flag without a value.
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

/// Options of one or two commands.
const OWN: [Flag; 14] = [
    Flag {
        long: "text",
        value: Some("TEXT"),
        help: "text to send, with \\n \\r \\t \\xNN and placeholders (see above)",
        on: Where::Only(&["greet"]),
        set: Set::OptionValues(|values, value| {
            put(&mut values.text, template::read(value).map(Some))
        }),
        ..PLAIN
    },
    Flag {
        long: "read-one",
        help: "then read one message, up to a newline or end of file, and log it",
        on: Where::Only(&["greet"]),
        set: Set::OptionValues(|values, _| put(&mut values.read_one, Ok(true))),
        ..PLAIN
    },
    Flag {
        long: "crlf",
        short: Some('C'),
        help: "send line ends as CR LF",
        on: Where::Only(TALK),
        set: Set::OptionValues(|values, _| put(&mut values.crlf, Ok(true))),
        ..PLAIN
    },
    Flag {
        long: "wait",
        short: Some('w'),
        value: Some("TIME"),
        default: "5s",
        help: "give up connecting after this long",
        on: Where::Only(CONNECT),
        set: Set::OptionValues(|values, value| put(&mut values.wait, unit::read_timeout(value))),
        ..PLAIN
    },
    Flag {
        long: "idle-timeout",
        short: Some('i'),
        value: Some("TIME"),
        default: "off",
        help: "close connections idle for this long",
        on: Where::Only(TALK),
        set: Set::OptionValues(|values, value| put(&mut values.idle, unit::read_timeout(value))),
        ..PLAIN
    },
    Flag {
        long: "probe",
        short: Some('z'),
        help: "only test whether the target accepts a connection",
        on: Where::Only(CONNECT),
        set: Set::OptionValues(|values, _| put(&mut values.probe, Ok(true))),
        ..PLAIN
    },
    Flag {
        long: "timing",
        help: "report how long each step took, and how the connection ended",
        on: Where::Only(CONNECT),
        set: Set::OptionValues(|values, _| put(&mut values.timing, Ok(true))),
        ..PLAIN
    },
    Flag {
        long: "no-half-close",
        help: "do not shut down the local side at the end of the input",
        on: Where::Only(CONNECT),
        set: Set::OptionValues(|values, _| put(&mut values.half_close, Ok(false))),
        ..PLAIN
    },
    Flag {
        long: "linger",
        value: Some("TIME"),
        default: "off; 1s for datagrams",
        help: "wait at most this long for the peer after the input ends",
        on: Where::Only(CONNECT),
        set: Set::OptionValues(|values, value| {
            put(&mut values.linger, unit::read_timeout(value).map(Some))
        }),
        ..PLAIN
    },
    Flag {
        long: "udp",
        short: Some('u'),
        help: "use UDP; same as udp://TARGET",
        on: Where::Only(CONNECT),
        set: Set::OptionValues(|values, _| put(&mut values.udp, Ok(true))),
        ..PLAIN
    },
    Flag {
        long: "unix",
        short: Some('U'),
        help: "use a Unix socket; same as unix:TARGET",
        on: Where::Only(CONNECT),
        set: Set::OptionValues(|values, _| put(&mut values.unix, Ok(true))),
        ..PLAIN
    },
    Flag {
        long: "max-clients",
        short: Some('m'),
        value: Some("N"),
        default: "100",
        help: "maximum concurrent clients",
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
        default: "report the maximum",
        help: "check whether this many connections fit, as a server, client and relay",
        on: Where::Only(DOCTOR),
        set: Set::OptionValues(|values, value| {
            put(&mut values.conns, unit::read_limit(value).map(Some))
        }),
        ..PLAIN
    },
    Flag {
        long: "json",
        help: "print one JSON object",
        on: Where::Only(DOCTOR),
        set: Set::OptionValues(|values, _| put(&mut values.json, Ok(true))),
        ..PLAIN
    },
];

/// Limits of the daemon as a whole. Help lists them before the policy options.
const LIMITS: [Flag; 4] = [
    Flag {
        long: "max-connections",
        short: Some('m'),
        value: Some("N"),
        default: "from the open-file limit",
        help: "maximum concurrent connections; others wait in the accept queue",
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
        help: "during a drain, close connections at rest after this long",
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
        help: "poll without sleeping for this long before each sleep: lower latency, one busy core",
        section: Section::Limits,
        on: Where::Servers,
        set: Set::OptionValues(|values, value| {
            put(&mut values.busy_poll, unit::read_timeout(value))
        }),
        ..PLAIN
    },
];

/// Options of every command.
const REST: [Flag; 7] = [
    Flag {
        long: "verbose",
        short: Some('v'),
        help: "log the lifecycle of each connection; -vv: also every step of the event loop",
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
        help: "log only warnings and errors",
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
        help: "add the reason to the first line of each kind; --explain=always: to every line",
        section: Section::Log,
        on: Where::Logged,
        set: Set::Optional(|values, value| {
            let explain =
                parse::choice(value, &Explain::WORDS[usize::from(!value.text.is_empty())..]);
            put(&mut values.log.explain, explain)
        }),
        ..PLAIN
    },
    Flag {
        long: "access-log",
        value: Some("FORMAT"),
        default: "off",
        help: "log one line when a connection ends: logfmt, json or haproxy",
        section: Section::Log,
        on: Where::Servers,
        set: Set::OptionValues(|values, value| {
            put(&mut values.log.access, parse::choice(value, &AccessFormat::WORDS).map(Some))
        }),
        ..PLAIN
    },
    Flag {
        long: "color",
        value: Some("WHEN"),
        default: "auto",
        help: "color the output: auto (on a terminal, unless NO_COLOR is set), always or never",
        section: Section::Other,
        set: Set::OptionValues(|values, value| {
            put(&mut values.log.color, parse::choice(value, &Color::WORDS))
        }),
        ..PLAIN
    },
    Flag {
        long: "help",
        short: Some('h'),
        help: "print this help",
        section: Section::Other,
        set: Set::Help,
        ..PLAIN
    },
    Flag {
        long: "version",
        short: Some('V'),
        help: "print the version",
        section: Section::Other,
        set: Set::Version,
        ..PLAIN
    },
];

const CONNECT: &[&str] = &["connect"];
const TALK: &[&str] = &["connect", "chat"];
const DOCTOR: &[&str] = &["doctor"];
const UNLOGGED: &[&str] = &["doctor", "stress"];
