//! The options of trace. It shares the file of the token with ctl.

use super::common::{explain, explain_name};
use super::{Field, OptionSpec, PLAIN, Scope, Takes};
use crate::config::TracePlan;
use crate::config::parse::put;

const TRACE: OptionSpec = OptionSpec { scope: Scope::Only(&["trace"]), ..PLAIN };

pub(super) const OPTIONS: [OptionSpec; 3] = [
    OptionSpec {
        name: "output",
        short: Some('o'),
        takes: Takes::Value("FILE"),
        default: "standard output",
        help: "write to this file",
        field: Field::Trace(
            |trace, value| {
                put(&mut trace.output, super::ctl::text(value).map(|path| Some(path.into())))
            },
            |trace| trace.output.as_ref().map(|path| path.display().to_string()),
        ),
        ..TRACE
    },
    OptionSpec {
        name: "level",
        takes: Takes::Value("LEVEL"),
        help: "log: the level, or a filter as RUST_LOG has it",
        field: Field::Trace(
            |trace: &mut TracePlan, value| put(&mut trace.level, super::ctl::text(value)),
            |trace| Some(trace.level.clone()),
        ),
        ..TRACE
    },
    OptionSpec {
        name: "explain",
        takes: Takes::OptionalValue,
        help: "log: add the reason to the first line of each kind; always: to every line",
        field: Field::Trace(
            |trace, value| put(&mut trace.explain, explain(value)),
            |trace| explain_name(trace.explain),
        ),
        ..TRACE
    },
];
