//! One poll of a daemon: everything that any view shows, so that a frozen display has all of it.
//! Rates follow from two polls.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::super::ctl::endpoint::{AdminRequest, Endpoint};
use super::super::ctl::error::CtlError;
use super::super::ctl::unexpected;
use super::rows::Filter;
use crate::admin::resources::{
    ConnectionResource, ConnectionRow, ConnectionsResource, ListenerRow, ListenersResource,
    LoopResource, RouteRow, RoutesResource, VersionResource,
};
use crate::config::TopSort;
use crate::core::Moment;

/// Maximum connections of a poll: the maximum of a sorted list.
pub const ROWS: usize = 1000;

/// What to ask the daemon for, besides what every poll asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PollRequest {
    pub sort: TopSort,
    /// A connection whose report is wanted.
    pub connection: Option<u32>,
}

/// The answers of one poll.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Sample {
    pub version: VersionResource,
    #[serde(rename = "loop")]
    pub event_loop: LoopResource,
    pub routes: Vec<RouteRow>,
    pub listeners: Vec<ListenerRow>,
    pub connections: Vec<ConnectionRow>,
    /// The column that decided which connections are in the list.
    #[serde(skip)]
    pub sort: TopSort,
    #[serde(skip)]
    pub report: Option<RequestedReport>,
    /// Time since top was started, in seconds.
    #[serde(skip)]
    pub taken_at: f64,
}

/// The report of a connection.
#[derive(Clone, Debug, PartialEq)]
pub struct RequestedReport {
    pub id: u32,
    /// None: there is no such connection any more.
    pub connection: Option<Box<ConnectionResource>>,
}

/// What happened between two polls, for each second.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Rates {
    pub turns_per_second: f64,
    pub events_per_second: f64,
    /// The share of the time in `poll`.
    pub poll_share: f64,
    pub accepted_per_second: f64,
    pub received_bytes_per_second: f64,
    pub sent_bytes_per_second: f64,
}

impl Sample {
    /// Polls the daemon. `now` returns the time since top was started, in seconds.
    pub fn take(
        endpoint: &Endpoint,
        wanted: PollRequest,
        now: impl Fn() -> f64,
    ) -> Result<Sample, CtlError> {
        let version = fetch(endpoint, &AdminRequest::get("/version"))?;
        let routes: RoutesResource = fetch(endpoint, &AdminRequest::get("/routes"))?;
        let event_loop = fetch(endpoint, &AdminRequest::get("/loop"))?;
        let taken_at = now();
        let listeners: ListenersResource = fetch(endpoint, &AdminRequest::get("/listeners"))?;
        let list = AdminRequest::get("/connections").with("sort", Some(wanted.sort.name()));
        let list = list.with("limit", Some(&ROWS.to_string()));
        let connections: ConnectionsResource = fetch(endpoint, &list)?;
        let report = wanted.connection.map(|id| report(endpoint, id)).transpose()?;
        Ok(Sample {
            version,
            event_loop,
            routes: routes.routes,
            listeners: listeners.listeners,
            connections: connections.connections,
            sort: wanted.sort,
            report,
            taken_at,
        })
    }

    /// Returns a time since top was started as one of the daemon: it is up since its loop was
    /// created.
    pub fn moment(&self, now: f64) -> Moment {
        let up = self.version.up_seconds + (now - self.taken_at);
        Moment((up.max(0.0) * 1e6) as u64)
    }

    /// Whether both are of the same process. Its counters only grow.
    pub fn is_same_process(&self, other: &Sample) -> bool {
        let process = |sample: &Sample| (sample.version.pid, sample.version.started_at.clone());
        process(self) == process(other)
    }

    /// Returns the sample with the rows that the filter admits, sorted.
    pub fn filtered(mut self, filter: &Filter, sort: TopSort) -> Sample {
        self.connections =
            filter.connections(&self.connections, sort).into_iter().cloned().collect();
        self.routes.retain(|row| filter.has_route(row));
        self.listeners.retain(|row| filter.has_listener(row));
        self
    }
}

fn report(endpoint: &Endpoint, id: u32) -> Result<RequestedReport, CtlError> {
    let body = endpoint.find(&AdminRequest::get(format!("/connections/{id}")))?;
    let connection = body.map(|body| parse(endpoint, &body)).transpose()?;
    Ok(RequestedReport { id, connection })
}

fn fetch<T: DeserializeOwned>(endpoint: &Endpoint, request: &AdminRequest) -> Result<T, CtlError> {
    parse(endpoint, &endpoint.fetch(request)?)
}

fn parse<T: DeserializeOwned>(endpoint: &Endpoint, body: &str) -> Result<T, CtlError> {
    serde_json::from_str(body).map_err(|error| unexpected(endpoint, &error))
}

impl Rates {
    /// Returns None for polls of two processes.
    pub fn between(before: &Sample, after: &Sample) -> Option<Rates> {
        let spent = after.taken_at - before.taken_at;
        if spent <= 0.0 || !before.is_same_process(after) {
            return None;
        }
        let per_second = |from: u64, to: u64| to.saturating_sub(from) as f64 / spent;
        // The counters of a removed route are gone, and those of a new one began at zero.
        let sum = |counter: fn(&RouteRow) -> u64| {
            let growth = |row: &RouteRow| {
                let earlier = before.routes.iter().find(|earlier| earlier.name == row.name);
                counter(row).saturating_sub(earlier.map_or(0, counter))
            };
            after.routes.iter().map(growth).sum::<u64>() as f64 / spent
        };
        let (from, to) = (&before.event_loop, &after.event_loop);
        Some(Rates {
            turns_per_second: per_second(from.turns, to.turns),
            events_per_second: per_second(from.events, to.events),
            poll_share: ((to.poll_seconds - from.poll_seconds) / spent).clamp(0.0, 1.0),
            accepted_per_second: sum(|row| row.accepted),
            received_bytes_per_second: sum(|row| row.received_bytes),
            sent_bytes_per_second: sum(|row| row.sent_bytes),
        })
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A connection with this number of received bytes, and other columns that order it otherwise.
    pub fn connection(id: u32, received: u64) -> ConnectionRow {
        ConnectionRow {
            id,
            route: "tcp://127.0.0.1:7007".to_string(),
            service: "echo".to_string(),
            state: "streaming".to_string(),
            peer: Some(format!("10.0.0.{id}:5123{}", id % 10)),
            target: None,
            age_seconds: f64::from(id),
            idle_seconds: 100.0 - f64::from(id),
            received_bytes: received,
            sent_bytes: 1_000_000 - received,
            unsent_bytes: 0,
            at: "2026-11-20T16:11:58.641Z".to_string(),
        }
    }

    /// A sample of a daemon with these connections, at a time.
    pub fn sample(taken_at: f64, connections: Vec<ConnectionRow>) -> Sample {
        let text = r#"{"turns":1000,"events":2000,"events_per_turn":2.0,"turns_at_once":1,
            "turns_slept":999,"poll_seconds":50.0,"poll_share":0.5,"waiting_to_run_seconds":0.1,
            "ran_seconds":1.5,"connections_queued":0,"longest_turn":{"turn":88,"seconds":0.00018,
            "ended_seconds_ago":45.0,"phase":"run","phase_seconds":0.0001,"connection":7,
            "not_scheduled_seconds":0.0},"verdict":"The loop is on time."}"#;
        let mut event_loop: LoopResource = serde_json::from_str(text).unwrap();
        event_loop.turns += (taken_at * 10.0) as u64;
        event_loop.events += (taken_at * 20.0) as u64;
        event_loop.poll_seconds += taken_at * 0.75;
        let route = RouteRow {
            name: "tcp://127.0.0.1:7007".to_string(),
            service: "echo".to_string(),
            targets: Vec::new(),
            retired: false,
            active: connections.len(),
            flows: 0,
            accepted: 300 + (taken_at * 3.0) as u64,
            received_bytes: (taken_at * 5e6) as u64,
            sent_bytes: (taken_at * 7e3) as u64,
        };
        let listener = ListenerRow {
            address: "tcp://127.0.0.1:7007".to_string(),
            route: "tcp://127.0.0.1:7007".to_string(),
            service: "echo".to_string(),
            state: "accepting".to_string(),
            paused_by: None,
            queue: Some(3),
            queue_limit: Some(128),
        };
        Sample {
            version: VersionResource {
                version: "0.1.0".to_string(),
                pid: 4711,
                started_at: "2026-11-20T16:11:58.641Z".to_string(),
                up_seconds: 182.0 + taken_at,
                state: "running".to_string(),
            },
            event_loop,
            routes: vec![route],
            listeners: vec![listener],
            connections,
            sort: TopSort::Received,
            report: None,
            taken_at,
        }
    }

    #[test]
    fn rates_follow_from_two_polls_of_one_process() {
        let (before, after) = (sample(1.0, Vec::new()), sample(3.0, Vec::new()));
        let expected = Rates {
            turns_per_second: 10.0,
            events_per_second: 20.0,
            poll_share: 0.75,
            accepted_per_second: 3.0,
            received_bytes_per_second: 5e6,
            sent_bytes_per_second: 7e3,
        };
        assert_eq!(Rates::between(&before, &after), Some(expected));
        assert_eq!(Rates::between(&after, &before), None, "time does not run backwards");
        let mut restarted = after.clone();
        restarted.version.pid += 1;
        assert_eq!(Rates::between(&before, &restarted), None);
    }

    #[test]
    fn a_route_that_is_removed_makes_no_rate_negative_and_a_new_one_counts_from_zero() {
        let mut before = sample(1.0, Vec::new());
        before.routes.push(RouteRow { name: "old".to_string(), ..before.routes[0].clone() });
        let mut after = sample(2.0, Vec::new());
        let new = RouteRow { accepted: 4, ..after.routes[0].clone() };
        after.routes.push(RouteRow { name: "new".to_string(), ..new });
        let rates = Rates::between(&before, &after).unwrap();
        assert_eq!(rates.accepted_per_second, 3.0 + 4.0);
    }
}
