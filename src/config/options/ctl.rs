//! The options of ctl. Most belong to one of its commands: `cli` refuses them elsewhere.

use super::{Field, OptionSpec, PLAIN, Scope, Takes};
use crate::config::address;
use crate::config::parse::{SpanError, Spanned, put};
use crate::config::unit::{self, show_duration};

const CTL: OptionSpec = OptionSpec { scope: Scope::Only(&["ctl"]), ..PLAIN };
/// A filter that admits everything unless it is given.
const FILTER: OptionSpec = OptionSpec { default: "any", ..CTL };

pub(super) const OPTIONS: [OptionSpec; 15] = [
    OptionSpec {
        name: "admin",
        takes: Takes::Value("ADDRESS"),
        default: "$ONELOOP_ADMIN, or the socket of a local daemon",
        help: "address of the admin endpoint",
        field: Field::Ctl(
            |ctl, value| put(&mut ctl.admin, address::read_stream_target(value).map(Some)),
            |ctl| ctl.admin.as_ref().map(ToString::to_string),
        ),
        ..CTL
    },
    OptionSpec {
        name: "token-file",
        takes: Takes::Value("FILE"),
        default: "no token",
        help: "file with the token of the admin endpoint",
        scope: Scope::Only(&["ctl", "top", "trace", "plan"]),
        field: Field::Ctl(
            |ctl, value| put(&mut ctl.token_file, text(value).map(|path| Some(path.into()))),
            |ctl| ctl.token_file.as_ref().map(|path| path.display().to_string()),
        ),
        ..CTL
    },
    OptionSpec {
        name: "json",
        help: "print the JSON of the daemon",
        field: Field::Ctl(|ctl, _| put(&mut ctl.json, Ok(true)), |ctl| ctl.json.then(String::new)),
        ..CTL
    },
    // ---- connections ---------------------------------------------------------------------------
    OptionSpec {
        name: "route",
        takes: Takes::Value("ROUTE"),
        help: "connections: those of this route",
        field: Field::Ctl(
            |ctl, value| put(&mut ctl.connections.route, text(value).map(Some)),
            |ctl| ctl.connections.route.clone(),
        ),
        ..FILTER
    },
    OptionSpec {
        name: "peer",
        takes: Takes::Value("PEER"),
        help: "connections: those of this client",
        field: Field::Ctl(
            |ctl, value| put(&mut ctl.connections.peer, text(value).map(Some)),
            |ctl| ctl.connections.peer.clone(),
        ),
        ..FILTER
    },
    OptionSpec {
        name: "state",
        takes: Takes::Value("STATE"),
        help: "connections: opening, streaming, half-closed, lingering, or flow (datagrams)",
        field: Field::Ctl(
            |ctl, value| put(&mut ctl.connections.state, text(value).map(Some)),
            |ctl| ctl.connections.state.clone(),
        ),
        ..FILTER
    },
    OptionSpec {
        name: "idle-longer",
        takes: Takes::Value("TIME"),
        help: "connections: those idle for longer than this",
        field: Field::Ctl(
            |ctl, value| {
                put(&mut ctl.connections.idle_longer, unit::read_duration(value).map(Some))
            },
            |ctl| ctl.connections.idle_longer.map(show_duration),
        ),
        ..FILTER
    },
    OptionSpec {
        name: "sort",
        takes: Takes::Value("KEY"),
        default: "unsorted",
        help: "connections: order, as in age, idle, received, sent or unsent",
        field: Field::Ctl(
            |ctl, value| put(&mut ctl.connections.sort, text(value).map(Some)),
            |ctl| ctl.connections.sort.clone(),
        ),
        ..CTL
    },
    OptionSpec {
        name: "limit",
        takes: Takes::Value("N"),
        default: "50; all with --json",
        help: "connections: maximum number of rows; 0: all",
        field: Field::Ctl(
            |ctl, value| put(&mut ctl.connections.limit, unit::read_count(value).map(Some)),
            |ctl| ctl.connections.limit.map(|limit| limit.to_string()),
        ),
        ..CTL
    },
    // ---- events --------------------------------------------------------------------------------
    OptionSpec {
        name: "event",
        takes: Takes::Value("EVENT"),
        help: "events: those with this name",
        field: Field::Ctl(
            |ctl, value| put(&mut ctl.events.event, text(value).map(Some)),
            |ctl| ctl.events.event.clone(),
        ),
        ..FILTER
    },
    OptionSpec {
        name: "level",
        takes: Takes::Value("LEVEL"),
        help: "events: warning, notice or lifecycle ones",
        field: Field::Ctl(
            |ctl, value| put(&mut ctl.events.level, text(value).map(Some)),
            |ctl| ctl.events.level.clone(),
        ),
        ..FILTER
    },
    OptionSpec {
        name: "connection",
        takes: Takes::Value("ID"),
        help: "events: those of this connection",
        field: Field::Ctl(
            |ctl, value| put(&mut ctl.events.connection, unit::read_id(value).map(Some)),
            |ctl| ctl.events.connection.map(|id| id.to_string()),
        ),
        ..FILTER
    },
    // ---- watch ---------------------------------------------------------------------------------
    OptionSpec {
        name: "for",
        takes: Takes::Value("TIME"),
        default: "60s",
        help: "watch: how long, at most 1h",
        field: Field::Ctl(
            |ctl, value| put(&mut ctl.watch.time, unit::read_duration(value).map(Some)),
            |ctl| ctl.watch.time.map(show_duration),
        ),
        ..CTL
    },
    OptionSpec {
        name: "all",
        help: "watch off: end the recording of what was watched, too",
        field: Field::Ctl(
            |ctl, _| put(&mut ctl.watch.all, Ok(true)),
            |ctl| ctl.watch.all.then(String::new),
        ),
        ..CTL
    },
    OptionSpec {
        name: "bytes",
        help: "watch, record: with what connections carry, which may be secret",
        field: Field::Ctl(
            |ctl, _| put(&mut ctl.watch.bytes, Ok(true)),
            |ctl| ctl.watch.bytes.then(String::new),
        ),
        ..CTL
    },
];

/// Reads any text but the empty one. The daemon knows which names exist.
pub(super) fn text(input: Spanned<'_>) -> Result<String, SpanError> {
    match input.text.is_empty() {
        true => Err(input.lacks("must not be empty")),
        false => Ok(input.text.to_string()),
    }
}
