//! Prints the small resources: aligned names and values, or one line.

use super::details::size;
use super::view::{View, pair, pairs, safe, seconds};
use crate::admin::resources::{
    ClosedResource, DrainingResource, LimitsResource, LogLevelResource, LongTurn, LoopResource,
    PausedResource, RecordResource, ReloadResource, TimersResource, VersionResource, WatchResource,
};
use crate::text::count::{grouped, plural};
use crate::text::quantity::{digits, duration, percent};
use crate::text::wrap::fit;

fn time(value: f64) -> String {
    duration(seconds(value))
}

/// Adds the sentence about the numbers, before them.
fn with_verdict(verdict: &str, rows: &[(String, String)], view: &View) -> String {
    let sentence = view.paint.strong(&safe(verdict));
    fit(&format!("{sentence}\n"), view.columns) + &pairs(rows, view)
}

pub fn event_loop(resource: &LoopResource, view: &View) -> String {
    let mut rows = vec![
        pair("turns", grouped(resource.turns)),
        pair("turns that slept", grouped(resource.turns_slept)),
        pair("turns at once", grouped(resource.turns_at_once)),
        pair("events", grouped(resource.events)),
        pair("events per turn", digits(resource.events_per_turn)),
        pair(
            "in poll",
            format!("{}, {}", time(resource.poll_seconds), percent(resource.poll_share.max(0.0))),
        ),
    ];
    rows.extend(resource.ran_seconds.map(|ran| pair("ran", time(ran))));
    let waiting = resource.waiting_to_run_seconds;
    rows.extend(waiting.map(|waiting| pair("waited to run", time(waiting))));
    rows.push(pair("connections queued", grouped(resource.connections_queued as u64)));
    if let Some(turn) = &resource.longest_turn {
        rows.push(pair("longest turn", long_turn(turn)));
    }
    with_verdict(&resource.verdict, &rows, view)
}

fn long_turn(turn: &LongTurn) -> String {
    let mut text = format!(
        "{}: turn {}, {} ago",
        time(turn.seconds),
        grouped(turn.turn),
        time(turn.ended_seconds_ago)
    );
    if let Some(phase) = &turn.phase {
        text += &format!(", {}", safe(phase));
        text += &turn.phase_seconds.map(|spent| format!(" {}", time(spent))).unwrap_or_default();
    }
    text + &turn.connection.map(|id| format!(", #{id}")).unwrap_or_default()
}

pub fn timers(resource: &TimersResource, view: &View) -> String {
    let next = match resource.next_wakeup_seconds {
        Some(due) => format!("in {}", time(due)),
        None => "none: the loop sleeps until an event".to_string(),
    };
    let mut rows = vec![
        pair("deadlines", grouped(resource.deadlines as u64)),
        pair("next wake-up", next),
        pair("fired", grouped(resource.fired)),
        pair("mean lag", time(resource.mean_lag_seconds)),
    ];
    rows.extend(resource.drain.as_ref().map(|drain| {
        let left = remaining(drain.connections_left, drain.flows_left);
        pair("drain", format!("{left} left, reset in {}", time(drain.due_seconds)))
    }));
    pairs(&rows, view)
}

/// Formats what a drain waits for: `3 connections`, `3 connections and 1 flow`.
fn remaining(connections: usize, flows: usize) -> String {
    let connections = plural(connections as u64, "connection");
    match flows {
        0 => connections,
        flows => format!("{connections} and {}", plural(flows as u64, "flow")),
    }
}

/// Formats two lines for each limit: its use, and what happens when it is reached.
pub fn limits(resource: &LimitsResource, view: &View) -> String {
    let mut rows = Vec::new();
    for row in &resource.limits {
        let share = match row.limit {
            0 => String::new(),
            limit => format!(", {}", percent(row.used as f64 / limit as f64)),
        };
        let numbers = match row.name.ends_with("bytes") {
            true => format!("{} of {}", size(row.used), size(row.limit)),
            false => format!("{} of {}", grouped(row.used), grouped(row.limit)),
        };
        rows.push(pair(&safe(&row.name.replace('_', " ")), numbers + &share));
        rows.push(pair("", format!("at the limit: {}", safe(&row.effect))));
    }
    pairs(&rows, view)
}

pub fn version(resource: &VersionResource, view: &View) -> String {
    let rows = [
        pair("version", safe(&resource.version)),
        pair("process", resource.pid.to_string()),
        pair("state", safe(&resource.state)),
        pair("started", safe(&resource.started_at)),
        pair("up", time(resource.up_seconds)),
    ];
    pairs(&rows, view)
}

pub fn log_level(resource: &LogLevelResource, _view: &View) -> String {
    format!("{}\n", safe(&resource.level))
}

pub fn closed(resource: &ClosedResource, _view: &View) -> String {
    format!("#{} closed: {}\n", resource.id, safe(&resource.reason))
}

pub fn recording(resource: &RecordResource, _view: &View) -> String {
    match &resource.record {
        Some(record) => {
            let is_of_watched = resource.of.as_deref() == Some("watched");
            let of = if is_of_watched { ", watched connections only" } else { "" };
            let with = if resource.bytes { ", with payload" } else { "" };
            format!("recording: {}{of}{with}\n", safe(record))
        }
        None if resource.watches == 0 => "not recording, watching nothing\n".to_owned(),
        None => "not recording\n".to_owned(),
    }
}

/// Lists the watches, and says where their events are recorded.
pub fn watches(resource: &WatchResource, _view: &View) -> String {
    let mut text = String::new();
    for row in &resource.watches {
        let subject = match (row.connection, &row.peer, &row.route) {
            (Some(id), ..) => format!("#{id}"),
            (None, Some(peer), _) => format!("peer {}", safe(peer)),
            (None, None, Some(route)) => format!("route {}", safe(route)),
            (None, None, None) => "unknown".to_owned(),
        };
        let with = if row.bytes { ", with payload" } else { "" };
        text += &format!("watching {subject} for {}{with}\n", time(row.left_seconds));
    }
    if resource.watches.is_empty() {
        text += "watching nothing\n";
    } else {
        text += &format!("{} now\n", plural(resource.connections as u64, "open connection"));
    }
    if resource.left_out > 0 {
        text += &format!("not watched, too many: {}\n", grouped(resource.left_out));
    }
    match (&resource.record, resource.kept_seconds) {
        (None, _) => {}
        (Some(record), None) => text += &format!("recording: {}\n", safe(record)),
        (Some(record), Some(kept)) => {
            text += &format!("recording: {}, kept for {}\n", safe(record), time(kept));
        }
    }
    text
}

pub fn draining(resource: &DrainingResource, _view: &View) -> String {
    let left = remaining(resource.connections, resource.flows);
    format!("draining {left}, at most {}\n", time(resource.timeout_seconds))
}

pub fn reloaded(resource: &ReloadResource, _view: &View) -> String {
    let ReloadResource { added, changed, removed, unchanged, warnings } = resource;
    let mut text = format!(
        "reloaded: {added} added, {changed} changed, {removed} removed, {unchanged} unchanged\n"
    );
    text.extend(warnings.iter().map(|warning| format!("warning: {}\n", safe(warning))));
    text
}

pub fn paused(resource: &PausedResource, _view: &View) -> String {
    changed("paused", resource)
}

pub fn resumed(resource: &PausedResource, _view: &View) -> String {
    changed("resumed", resource)
}

/// Lists the listeners that changed, and those that an operator has paused now.
fn changed(verb: &str, resource: &PausedResource) -> String {
    let list = |names: &[String]| match names.is_empty() {
        true => "none".to_string(),
        false => names.iter().map(|name| safe(name)).collect::<Vec<_>>().join(", "),
    };
    let (changed, paused) = (list(&resource.changed), list(&resource.paused));
    format!("{verb} now: {changed}\npaused by an operator: {paused}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::resources::{DrainRow, LimitRow};
    use crate::text::terminal::Paint;

    const VIEW: View = View { paint: Paint(false), columns: 80 };

    #[test]
    fn the_loop_is_reported_with_the_verdict_first() {
        let turn = LongTurn {
            turn: 12_345,
            seconds: 0.012,
            ended_seconds_ago: 200.0,
            phase: Some("run".to_string()),
            phase_seconds: Some(0.011),
            connection: Some(7),
            not_scheduled_seconds: None,
        };
        let resource = LoopResource {
            turns: 1_234_567,
            events: 2_000_000,
            events_per_turn: 1.62,
            turns_at_once: 1_000_000,
            turns_slept: 234_567,
            poll_seconds: 3600.0,
            poll_share: 0.97,
            waiting_to_run_seconds: Some(0.02),
            ran_seconds: None,
            connections_queued: 0,
            longest_turn: Some(turn),
            verdict: "no turn was late".to_string(),
        };
        let expected = "\
no turn was late
  turns               1,234,567
  turns that slept    234,567
  turns at once       1,000,000
  events              2,000,000
  events per turn     1.62
  in poll             1 h, 97 %
  waited to run       20.0 ms
  connections queued  0
  longest turn        12.0 ms: turn 12,345, 3 min 20 s ago, run 11.0 ms, #7
";
        assert_eq!(event_loop(&resource, &VIEW), expected);
    }

    #[test]
    fn timers_and_a_drain_are_reported() {
        let resource = TimersResource {
            deadlines: 3,
            next_wakeup_seconds: None,
            fired: 12,
            mean_lag_seconds: 0.0001,
            drain: Some(DrainRow { due_seconds: 9.5, connections_left: 2, flows_left: 1 }),
        };
        let expected = "  \
              deadlines     3
  next wake-up  none: the loop sleeps until an event
  fired         12
  mean lag      100 µs
  drain         2 connections and 1 flow left, reset in 9.50 s
";
        assert_eq!(timers(&resource, &VIEW), expected);
    }

    #[test]
    fn a_limit_says_what_happens_when_it_is_reached() {
        let row = |name: &str, used, limit| LimitRow {
            name: name.to_string(),
            used,
            limit,
            effect: "accepting pauses".to_string(),
        };
        let limits = vec![row("connections", 1000, 19_936), row("unsent_bytes", 0, 0)];
        let expected = "  \
              connections   1,000 of 19,936, 5.0 %
                at the limit: accepting pauses
  unsent bytes  0 B of 0 B
                at the limit: accepting pauses
";
        assert_eq!(super::limits(&LimitsResource { limits }, &VIEW), expected);
    }

    #[test]
    fn short_answers_are_sentences() {
        let version = VersionResource {
            version: "0.1.0".to_string(),
            pid: 7,
            started_at: "2026-11-20T16:08:38Z".to_string(),
            up_seconds: 7200.0,
            state: "running".to_string(),
        };
        let expected = "  version  0.1.0\n  process  7\n  state    running\n  \
            started  2026-11-20T16:08:38Z\n  up       2 h\n";
        assert_eq!(super::version(&version, &VIEW), expected);
        let closed = ClosedResource { id: 7, reason: "admin".to_string() };
        assert_eq!(super::closed(&closed, &VIEW), "#7 closed: admin\n");
        let draining = DrainingResource { connections: 1, flows: 0, timeout_seconds: 10.0 };
        assert_eq!(super::draining(&draining, &VIEW), "draining 1 connection, at most 10.0 s\n");
        let names = vec!["tcp://:7".to_string(), "unix:\x1b".to_string()];
        let paused = PausedResource { changed: names.clone(), paused: names };
        let text =
            "paused now: tcp://:7, unix:\\x1b\npaused by an operator: tcp://:7, unix:\\x1b\n";
        assert_eq!(super::paused(&paused, &VIEW), text);
        let none = PausedResource { changed: Vec::new(), paused: Vec::new() };
        assert_eq!(resumed(&none, &VIEW), "resumed now: none\npaused by an operator: none\n");
    }
}
