//! The options of top. It shares the file of the token with ctl.

use super::{Field, OptionSpec, PLAIN, Scope, Takes};
use crate::config::parse::{SpanError, Spanned, choice, put};
use crate::config::unit::{self, show_duration};
use crate::config::{TopPlan, TopSort, TopView};

const TOP: OptionSpec = OptionSpec { scope: Scope::Only(&["top"]), ..PLAIN };

pub(super) const OPTIONS: [OptionSpec; 6] = [
    OptionSpec {
        name: "interval",
        takes: Takes::Value("TIME"),
        help: "time between two polls",
        field: Field::Top(
            |top, value| put(&mut top.interval, read_interval(value)),
            |top| Some(show_duration(top.interval)),
        ),
        ..TOP
    },
    OptionSpec {
        name: "once",
        help: "print one frame as text, after two polls, and exit",
        field: Field::Top(|top, _| put(&mut top.once, Ok(true)), |top| top.once.then(String::new)),
        ..TOP
    },
    OptionSpec {
        name: "json",
        help: "print a line of JSON for each poll; with --once: only one",
        field: Field::Top(|top, _| put(&mut top.json, Ok(true)), |top| top.json.then(String::new)),
        ..TOP
    },
    OptionSpec {
        name: "view",
        takes: Takes::Value("VIEW"),
        help: "first view: connections, routes, listeners or loop",
        field: Field::Top(
            |top, value| put(&mut top.view, choice(value, &TopView::NAMES)),
            |top| Some(top.view.name().to_string()),
        ),
        ..TOP
    },
    OptionSpec {
        name: "sort",
        takes: Takes::Value("COLUMN"),
        help: "sort connections by received, sent, unsent, age or idle",
        field: Field::Top(
            |top, value| put(&mut top.sort, choice(value, &TopSort::NAMES)),
            |top| Some(top.sort.name().to_string()),
        ),
        ..TOP
    },
    OptionSpec {
        name: "filter",
        takes: Takes::Value("TEXT"),
        default: "any",
        help: "show the rows that contain this text",
        field: Field::Top(
            |top, value| put(&mut top.filter, super::ctl::text(value)),
            |top| (!top.filter.is_empty()).then(|| top.filter.clone()),
        ),
        ..TOP
    },
];

fn read_interval(input: Spanned<'_>) -> Result<std::time::Duration, SpanError> {
    let interval = unit::read_duration(input)?;
    match interval >= TopPlan::INTERVAL_MIN {
        true => Ok(interval),
        false => Err(input.wrong("too short").or_accepts("100ms, 1s, 1m, ...")),
    }
}
