//! Draws an earlier time: the rows and the lines that follow from a recording.

use super::super::ctl::details;
use super::super::ctl::table::{Cell, Column, ColumnKind, table};
use super::super::ctl::view::{View, cut_end, first_fit, pair, pairs, safe};
use super::past::{PastRow, time_of_day};
use super::travel::PastView;
use crate::core::Moment;
use crate::text::count::plural;
use crate::text::quantity::{duration, short_age, short_bytes};

const fn column(title: &'static str, kind: ColumnKind, spare: u8) -> Column {
    Column { title, kind, spare }
}

/// The columns of the list of the present, with the listener in place of the route: its name is not
/// recorded.
const CONNECTIONS: [Column; 11] = [
    column("ID", ColumnKind::Number, 0),
    column("LISTENER", ColumnKind::Address(11), 4),
    column("SERVICE", ColumnKind::Name, 5),
    column("STATE", ColumnKind::Name, 0),
    column("PEER", ColumnKind::Address(15), 0),
    column("TARGET", ColumnKind::Address(11), 2),
    column("AGE", ColumnKind::Number, 3),
    column("IDLE", ColumnKind::Number, 0),
    column("IN", ColumnKind::Number, 1),
    column("OUT", ColumnKind::Number, 1),
    column("UNSENT", ColumnKind::Number, 0),
];

/// Formats the rows. What is the same for all is left out.
pub fn connections(rows: &[&PastRow], at: Moment, view: &View) -> String {
    let same_listener = rows.iter().all(|row| row.listen == rows[0].listen);
    let same_service = rows.iter().all(|row| row.service == rows[0].service);
    let bare = |text: &str| safe(text.strip_prefix("tcp://").unwrap_or(text));
    let cells = |row: &&PastRow| {
        let bytes = |count: u64| short_bytes(count) + if row.is_partial { "+" } else { "" };
        vec![
            Cell::new(row.id.to_string()),
            Cell::blank_if(same_listener, bare(&row.listen)),
            Cell::blank_if(same_service, row.service.name()),
            row.state().map_or_else(Cell::none, |state| {
                Cell::warning_if(!["streaming", "flow"].contains(&state), state)
            }),
            Cell::new(safe(&row.peer)),
            row.target.as_deref().map_or_else(Cell::none, |target| Cell::new(bare(target))),
            Cell::new(short_age(row.age(at))),
            row.idle(at).map_or_else(Cell::none, |idle| Cell::new(short_age(idle))),
            Cell::new(bytes(row.received)),
            Cell::new(bytes(row.sent)),
            match row.unsent() {
                Some(0) | None => Cell::none(),
                Some(unsent) => Cell::warning_if(true, short_bytes(unsent)),
            },
        ]
    };
    table(&CONNECTIONS, &rows.iter().map(cells).collect::<Vec<_>>(), view)
}

/// Formats an opened row: its last lines, and then what had become of it.
pub fn report(past: &PastView, id: u32, view: &View) -> String {
    let mut text: String =
        past.lines.iter().map(|line| cut_end(&safe(line), view.columns) + "\n").collect();
    if text.is_empty() {
        text = format!("#{id}: no event up to this time is recorded\n");
    }
    text.push('\n');
    match past.rows.iter().find(|row| row.id == id) {
        Some(row) => text + &row_facts(row, past.at, view),
        None => text + &view.paint.warning(&format!("#{id} is not open at this time")) + "\n",
    }
}

fn row_facts(row: &PastRow, at: Moment, view: &View) -> String {
    let least = if row.is_partial { "at least " } else { "" };
    let mut facts = vec![
        pair("listener", format!("{}, {}", safe(&row.listen), row.service.name())),
        pair("client", safe(&row.peer)),
    ];
    facts.extend(row.target.as_deref().map(|target| pair("target", safe(target))));
    facts.extend(row.state().map(|state| pair("state", state)));
    facts.push(pair("age", duration(row.age(at))));
    facts.extend(row.idle(at).map(|idle| pair("idle", duration(idle))));
    facts.push(pair("received", format!("{least}{}", details::size(row.received))));
    facts.push(pair("sent", format!("{least}{}", details::size(row.sent))));
    facts.extend(row.unsent().map(|unsent| pair("unsent", details::size(unsent))));
    pairs(&facts, view)
}

/// Formats the line of the head: the time, what the recording has, and what it lacks.
pub fn summary(past: &PastView, view: &View) -> String {
    let time = |moment| time_of_day(past.start, moment);
    let report = &past.report;
    let (at, from, to) = (time(past.at), time(report.from), time(report.to));
    let events = plural(report.records, "event");
    let text = format!("recorded     shown {at} UTC, {events} from {from} to {to}");
    if report.lost > 0 {
        let lost = format!("{} lost", plural(report.lost, "event"));
        let texts = [
            format!("{lost}: a row may be of a closed connection; {text}"),
            format!("{lost}: a row may be of a closed connection; shown {at} UTC"),
            format!("{lost}; shown {at} UTC"),
        ];
        return view.paint.bad(&first_fit(&texts, view.columns));
    }
    let is_whole = !report.truncated && report.damaged == 0 && report.unknown == 0;
    let lack = if is_whole { "" } else { ", incomplete" };
    let range = format!("recorded     {at}, from {from} to {to} UTC");
    let texts =
        [format!("{text}{lack}"), format!("{range}, {events}{lack}"), format!("{range}{lack}")];
    first_fit(&texts, view.columns)
}
