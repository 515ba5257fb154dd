//! Builds the plan of trace.

use super::Command;
use super::args::{Arg, ParsedArgs, dashed};
use super::error::UsageError;
use crate::config::parse::{self, Spanned, shown};
use crate::config::{ParseError, TraceKind, TracePlan, options, unit};

/// What a recording is converted into, and the number that it needs.
const KINDS: [(&str, TraceKind); 6] = [
    ("log", TraceKind::Log),
    ("explain", TraceKind::Explain(0)),
    ("flags", TraceKind::Flags),
    ("jsonl", TraceKind::Jsonl),
    ("pcapng", TraceKind::Pcapng),
    ("perfetto", TraceKind::Perfetto),
];

/// The options of `log`.
const OF_LOG: [&str; 2] = ["level", "explain"];

pub fn build(args: ParsedArgs) -> Result<Command, UsageError> {
    const EXAMPLE: &str = "for example: oneloop trace run.rec explain 7";
    let [source, what, rest @ ..] = args.words.as_slice() else {
        let wrong = "trace needs a recording, and what to convert it into";
        return Err(UsageError::missing(wrong).detail(EXAMPLE));
    };
    let kind = KINDS.iter().find(|(name, _)| *name == what.text);
    let Some((_, kind)) = kind else {
        let names = KINDS.iter().map(|(name, _)| *name);
        let wrong = format!("unknown conversion: {}", shown(&what.text));
        let error = UsageError::at(what.at, wrong);
        return Err(match parse::nearest(&what.text, names) {
            Some(name) => error.detail(format!("did you mean {name}?")),
            None => error.detail("it is one of log, explain, flags, jsonl, pcapng, perfetto"),
        });
    };
    let (kind, rest) = match (kind, rest) {
        (TraceKind::Explain(_), [id, rest @ ..]) => (TraceKind::Explain(number(id)?), rest),
        (TraceKind::Explain(_), []) => {
            let wrong = "explain needs the number of a connection";
            return Err(UsageError::missing(wrong).detail(EXAMPLE));
        }
        (kind, rest) => (*kind, rest),
    };
    if let Some(extra) = rest.first() {
        let wrong = format!("unexpected argument: {}", shown(&extra.text));
        return Err(UsageError::at(extra.at, wrong));
    }
    if kind != TraceKind::Log {
        check_options(what, &args)?;
    }
    let (source, token_file) = (source.text.clone(), args.settings.ctl.token_file);
    let plan = TracePlan { source, what: kind, token_file, ..args.settings.trace };
    Ok(Command::Trace(Box::new(plan)))
}

/// Refuses options of `log`, which another conversion would ignore.
fn check_options(what: &Arg, args: &ParsedArgs) -> Result<(), UsageError> {
    match options::changed("trace", &args.settings)
        .find(|(option, _)| OF_LOG.contains(&option.name))
    {
        None => Ok(()),
        Some((option, _)) => {
            let wrong = format!("{} does not apply to trace {}", dashed(option), what.text);
            Err(UsageError::missing(wrong).detail("only available with log"))
        }
    }
}

fn number(arg: &Arg) -> Result<u32, UsageError> {
    let read = unit::read_id(Spanned::whole(&arg.text));
    read.map_err(|span_error| {
        arg.parse_error(&ParseError::new("connection", arg.text.as_str(), span_error))
    })
}
