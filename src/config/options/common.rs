//! The options of all commands: the log, colors, help and version.

use super::file::LOG_TABLE;
use super::{Field, FileKey, OptionSpec, PLAIN, Scope, Section, Takes};
use crate::config::parse::{SpanError, Spanned, choice, choice_name, put};
use crate::config::{AccessFormat, Color, Explain};

const LOG: OptionSpec = OptionSpec { section: Section::Log, scope: Scope::Logged, ..PLAIN };
const OTHER: OptionSpec = OptionSpec { section: Section::Other, scope: Scope::All, ..PLAIN };

pub(super) const OPTIONS: [OptionSpec; 7] = [
    OptionSpec {
        name: "verbose",
        short: Some('v'),
        help: "log the lifecycle of each connection; -vv: also every step of the event loop",
        field: Field::Log(
            |log, _| {
                log.quiet = false;
                let more = log.verbosity.saturating_add(1);
                put(&mut log.verbosity, Ok(more.min(2)))
            },
            |log| (log.verbosity > 0).then(|| log.verbosity.to_string()),
        ),
        ..LOG
    },
    OptionSpec {
        name: "quiet",
        short: Some('q'),
        help: "log only warnings and errors",
        field: Field::Log(
            |log, _| {
                log.verbosity = 0;
                put(&mut log.quiet, Ok(true))
            },
            |log| log.quiet.then(String::new),
        ),
        ..LOG
    },
    OptionSpec {
        name: "explain",
        in_file: Some(FileKey { name: "explain", ..LOG_TABLE }),
        takes: Takes::OptionalValue,
        help: "add the reason to the first line of each kind; always: to every line",
        field: Field::Log(
            |log, value| put(&mut log.explain, explain(value)),
            |log| explain_name(log.explain),
        ),
        ..LOG
    },
    OptionSpec {
        name: "access-log",
        in_file: Some(FileKey { name: "access-log", ..LOG_TABLE }),
        takes: Takes::Value("FORMAT"),
        default: "off",
        help: "log one line when a connection ends: logfmt, json or haproxy",
        scope: Scope::Servers,
        field: Field::Log(
            |log, value| put(&mut log.access, choice(value, &AccessFormat::NAMES).map(Some)),
            |log| log.access.map(|format| choice_name(&AccessFormat::NAMES, format).to_string()),
        ),
        ..LOG
    },
    OptionSpec {
        name: "color",
        in_file: Some(FileKey { name: "color", ..LOG_TABLE }),
        takes: Takes::Value("WHEN"),
        help: "color the output: auto (on a terminal, unless NO_COLOR is set), always or never",
        field: Field::Log(
            |log, value| put(&mut log.color, choice(value, &Color::NAMES)),
            |log| Some(choice_name(&Color::NAMES, log.color).to_string()),
        ),
        ..OTHER
    },
    OptionSpec {
        name: "help",
        short: Some('h'),
        help: "print this help",
        field: Field::Help,
        ..OTHER
    },
    OptionSpec {
        name: "version",
        short: Some('V'),
        help: "print the version",
        field: Field::Version,
        ..OTHER
    },
];

/// Reads the value of `--explain`.
pub(super) fn explain(value: Spanned<'_>) -> Result<Explain, SpanError> {
    // The empty name is not offered as a value.
    choice(value, &Explain::NAMES[usize::from(!value.is_empty())..])
}

/// Returns the value of `--explain`. None: the option is not given.
pub(super) fn explain_name(explain: Explain) -> Option<String> {
    match explain {
        Explain::Off => None,
        Explain::First | Explain::Always => Some(choice_name(&Explain::NAMES, explain).to_string()),
    }
}
