//! The tables of connections, routes, listeners and close reasons.

use super::table::{Cell, Column, ColumnKind, table};
use super::view::{View, safe, seconds};
use crate::admin::resources::{
    ConnectionRow, ListenerRow, ListenersResource, ReasonsResource, RoutesResource,
};
use crate::text::count::grouped;
use crate::text::quantity::{short_age, short_bytes};

/// A shorter address is not recognized any more. One with an IPv4 address has up to 21 columns.
const ADDRESS: ColumnKind = ColumnKind::Address(15);

const fn column(title: &'static str, kind: ColumnKind, spare: u8) -> Column {
    Column { title, kind, spare }
}

const CONNECTIONS: [Column; 10] = [
    column("ID", ColumnKind::Number, 0),
    column("ROUTE", ColumnKind::Text(8), 4),
    column("STATE", ColumnKind::Name, 0),
    column("PEER", ADDRESS, 0),
    column("TARGET", ColumnKind::Address(11), 2),
    column("AGE", ColumnKind::Number, 3),
    column("IDLE", ColumnKind::Number, 0),
    column("IN", ColumnKind::Number, 1),
    column("OUT", ColumnKind::Number, 1),
    column("UNSENT", ColumnKind::Number, 0),
];

/// Formats connections. The route is left out if it is the same for all.
pub fn connections(rows: &[ConnectionRow], view: &View) -> String {
    let same_route = rows.iter().all(|row| row.route == rows[0].route);
    let cells = |row: &ConnectionRow| {
        vec![
            Cell::new(row.id.to_string()),
            Cell::blank_if(same_route, safe(&row.route)),
            Cell::warning_if(row.state != "streaming", safe(&row.state)),
            optional(row.peer.as_deref()),
            // TCP is the default of every command that takes an address.
            optional(row.target.as_deref().map(|text| text.strip_prefix("tcp://").unwrap_or(text))),
            Cell::new(short_age(seconds(row.age_seconds))),
            Cell::new(short_age(seconds(row.idle_seconds))),
            Cell::new(short_bytes(row.received_bytes)),
            Cell::new(short_bytes(row.sent_bytes)),
            match row.unsent_bytes {
                0 => Cell::blank_if(true, "0 B"),
                unsent => Cell::warning_if(true, short_bytes(unsent)),
            },
        ]
    };
    table(&CONNECTIONS, &rows.iter().map(cells).collect::<Vec<_>>(), view)
}

fn optional(text: Option<&str>) -> Cell {
    text.map_or_else(Cell::none, |text| Cell::new(safe(text)))
}

const ROUTES: [Column; 8] = [
    column("ROUTE", ColumnKind::Text(12), 0),
    column("SERVICE", ColumnKind::Text(7), 1),
    column("TARGETS", ColumnKind::Text(12), 2),
    column("ACTIVE", ColumnKind::Number, 0),
    column("FLOWS", ColumnKind::Number, 0),
    column("ACCEPTED", ColumnKind::Number, 0),
    column("IN", ColumnKind::Number, 0),
    column("OUT", ColumnKind::Number, 0),
];

pub fn routes(resource: &RoutesResource, view: &View) -> String {
    let rows = resource.routes.iter().map(|row| {
        let retired = if row.retired { " (retired)" } else { "" };
        let targets = row.targets.iter().map(|text| text.strip_prefix("tcp://").unwrap_or(text));
        let targets = targets.collect::<Vec<_>>().join(", ");
        vec![
            Cell::warning_if(row.retired, safe(&row.name) + retired),
            Cell::new(safe(&row.service)),
            optional(Some(targets.as_str()).filter(|text| !text.is_empty())),
            Cell::new(grouped(row.active as u64)),
            Cell::blank_if(row.flows == 0, grouped(row.flows as u64)),
            Cell::new(grouped(row.accepted)),
            Cell::new(short_bytes(row.received_bytes)),
            Cell::new(short_bytes(row.sent_bytes)),
        ]
    });
    table(&ROUTES, &rows.collect::<Vec<_>>(), view)
}

const LISTENERS: [Column; 5] = [
    column("LISTENER", ADDRESS, 0),
    column("ROUTE", ColumnKind::Text(8), 2),
    column("SERVICE", ColumnKind::Text(7), 1),
    column("STATE", ColumnKind::Name, 0),
    column("QUEUE", ColumnKind::Number, 0),
];

pub fn listeners(resource: &ListenersResource, view: &View) -> String {
    let rows = resource.listeners.iter().map(|row| {
        let state = match &row.paused_by {
            Some(by) => format!("{} ({})", safe(&row.state), safe(by)),
            None => safe(&row.state),
        };
        let is_serving = ["accepting", "receiving"].contains(&row.state.as_str());
        // The route of a single listener is usually named after its address.
        let route = Cell::blank_if(row.route == row.address, safe(&row.route));
        vec![
            Cell::new(safe(&row.address)),
            route,
            Cell::new(safe(&row.service)),
            Cell::warning_if(!is_serving, state),
            queue(row),
        ]
    });
    table(&LISTENERS, &rows.collect::<Vec<_>>(), view)
}

/// Formats the accept queue: `3 of 128`.
fn queue(row: &ListenerRow) -> Cell {
    let Some(waiting) = row.queue else { return Cell::none() };
    let waiting = u64::from(waiting);
    let limit = row.queue_limit.map(u64::from);
    let is_full = limit.is_some_and(|limit| waiting >= limit);
    Cell::warning_if(
        is_full,
        match limit {
            Some(limit) => format!("{} of {}", grouped(waiting), grouped(limit)),
            None => grouped(waiting),
        },
    )
}

const REASONS: [Column; 3] = [
    column("REASON", ColumnKind::Name, 0),
    column("CLOSED", ColumnKind::Number, 0),
    column("MEANING", ColumnKind::Text(20), 1),
];

pub fn reasons(resource: &ReasonsResource, view: &View) -> String {
    let rows = resource.reasons.iter().map(|row| {
        vec![
            Cell::new(safe(&row.name)),
            Cell::new(grouped(row.closed)),
            Cell::new(safe(&row.meaning)),
        ]
    });
    table(&REASONS, &rows.collect::<Vec<_>>(), view)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::resources::{ReasonRow, RouteRow};
    use crate::text::terminal::Paint;
    use crate::text::wrap::width;

    const VIEW: View = View { paint: Paint(false), columns: 80 };

    fn row(id: u32, peer: &str) -> ConnectionRow {
        ConnectionRow {
            id,
            route: "web".to_string(),
            service: "relay".to_string(),
            state: "streaming".to_string(),
            peer: Some(peer.to_string()),
            target: Some("tcp://10.0.0.1:80".to_string()),
            age_seconds: 200.0,
            idle_seconds: 0.3,
            received_bytes: 1_234_567,
            sent_bytes: 999,
            unsent_bytes: 0,
            at: "2026-11-20T16:11:58Z".to_string(),
        }
    }

    #[test]
    fn connections_fit_a_terminal() {
        let rows = [row(7, "10.0.0.9:51234"), row(1207, "192.168.100.200:51234")];
        let expected =
            "  ID  STATE      PEER                   TARGET         AGE   IDLE      IN    OUT
   7  streaming  10.0.0.9:51234         10.0.0.1:80  3 min  0.3 s  1.2 MB  999 B
1207  streaming  192.168.100.200:51234  10.0.0.1:80  3 min  0.3 s  1.2 MB  999 B
";
        assert_eq!(connections(&rows, &VIEW), expected);
    }

    #[test]
    fn a_slow_connection_shows_what_is_unsent() {
        let slow = ConnectionRow {
            state: "half-closed".to_string(),
            unsent_bytes: 65_536,
            route: "db".to_string(),
            peer: Some("unix:\x1b[2J".to_string()),
            target: None,
            ..row(8, "")
        };
        let text = connections(&[row(7, "10.0.0.9:51234"), slow], &VIEW);
        let expected = "\
ID  STATE        PEER            TARGET        IDLE      IN    OUT  UNSENT
 7  streaming    10.0.0.9:51234  10.0.0.1:80  0.3 s  1.2 MB  999 B     0 B
 8  half-closed  unix:\\x1b[2J    -            0.3 s  1.2 MB  999 B   66 kB
";
        assert_eq!(text, expected);
        assert_eq!(connections(&[], &VIEW).lines().count(), 1);
    }

    #[test]
    fn routes_show_their_load() {
        let route = |name: &str, retired, flows| RouteRow {
            name: name.to_string(),
            service: "relay".to_string(),
            targets: vec!["tcp://10.0.0.1:80".to_string(), "unix:/b".to_string()],
            retired,
            active: 1234,
            flows,
            accepted: 19_936,
            received_bytes: 5_000_000_000,
            sent_bytes: 0,
        };
        let resource = RoutesResource { routes: vec![route("web", false, 0), route("x", true, 0)] };
        let expected = "\
ROUTE        SERVICE  TARGETS               ACTIVE  ACCEPTED      IN  OUT
web          relay    10.0.0.1:80, unix:/b   1,234    19,936  5.0 GB  0 B
x (retired)  relay    10.0.0.1:80, unix:/b   1,234    19,936  5.0 GB  0 B
";
        assert_eq!(routes(&resource, &VIEW), expected);
        let resource = RoutesResource { routes: vec![route("web", false, 5)] };
        assert!(routes(&resource, &VIEW).contains("FLOWS"));
    }

    #[test]
    fn listeners_show_their_queue_and_why_they_are_paused() {
        let row = |address: &str, route: &str, paused_by: Option<&str>, queue| ListenerRow {
            address: address.to_string(),
            route: route.to_string(),
            service: "echo".to_string(),
            state: if paused_by.is_some() { "paused" } else { "accepting" }.to_string(),
            paused_by: paused_by.map(str::to_string),
            queue,
            queue_limit: queue.map(|_| 4096),
        };
        let listeners = ListenersResource {
            listeners: vec![
                row("tcp://127.0.0.1:7007", "echo", None, Some(3)),
                row("unix:/run/x.sock", "x", Some("operator"), None),
            ],
        };
        let expected = "\
LISTENER              ROUTE  SERVICE  STATE                   QUEUE
tcp://127.0.0.1:7007  echo   echo     accepting          3 of 4,096
unix:/run/x.sock      x      echo     paused (operator)           -
";
        assert_eq!(super::listeners(&listeners, &VIEW), expected);
    }

    #[test]
    fn a_long_meaning_is_cut() {
        let meaning = "the peer closed its side and the other side was silent for too long a time";
        let row = ReasonRow {
            name: "half-close-timeout".to_string(),
            closed: 12_345,
            meaning: meaning.to_string(),
        };
        let text = reasons(&ReasonsResource { reasons: vec![row] }, &VIEW);
        assert!(text.lines().all(|line| width(line) <= 80) && text.ends_with("…\n"), "{text}");
    }
}
