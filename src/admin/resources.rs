//! The JSON resources of the admin endpoint. Field names are stable: docs/admin.md documents each,
//! and a test compares it with real answers. `oneloop ctl` reads the same structs.
//!
//! Units are part of the name: `_seconds`, `_bytes`. `at` is the time of day in RFC 3339.

use serde::{Deserialize, Serialize};

pub use super::diagnosis::{WhereBytes, WhoIsSlow};

/// `GET /`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IndexResource {
    pub resources: Vec<EndpointRow>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EndpointRow {
    pub path: String,
    /// As the header `Allow` lists them.
    pub methods: String,
}

/// `GET /version`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VersionResource {
    pub version: String,
    pub pid: u32,
    pub started_at: String,
    pub up_seconds: f64,
    /// `running`, or `draining` after TERM, INT or `POST /drain`.
    pub state: String,
}

/// `GET /livez` and `GET /readyz`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HealthResource {
    /// `ok`, or `draining`.
    pub status: String,
}

/// `GET /routes`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RoutesResource {
    pub routes: Vec<RouteRow>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RouteRow {
    pub name: String,
    pub service: String,
    pub targets: Vec<String>,
    /// A retired route takes no new connections.
    pub retired: bool,
    /// Open connections.
    pub active: usize,
    /// Open datagram flows.
    pub flows: usize,
    pub accepted: u64,
    /// Bytes forwarded from clients, and bytes written to clients.
    pub received_bytes: u64,
    pub sent_bytes: u64,
}

/// `GET /listeners`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ListenersResource {
    pub listeners: Vec<ListenerRow>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ListenerRow {
    pub address: String,
    pub route: String,
    pub service: String,
    /// `accepting`, `paused`, `closing`, or `receiving` for a datagram socket.
    pub state: String,
    /// Why it is paused: `connection-limit`, `system` or `operator`.
    pub paused_by: Option<String>,
    /// Connections waiting in the accept queue, and its limit. None where the system does not say.
    pub queue: Option<u32>,
    pub queue_limit: Option<u32>,
}

/// `GET /connections`. Produced row by row while the loop serves others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConnectionsResource {
    /// Always false: rows are of different times.
    pub snapshot: bool,
    pub connections: Vec<ConnectionRow>,
    /// Rows in the list.
    pub count: usize,
    /// The value of `after` that continues the list. None at its end.
    pub next: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConnectionRow {
    pub id: u32,
    pub route: String,
    pub service: String,
    /// `opening`, `streaming`, `half-closed` or `lingering`.
    pub state: String,
    pub peer: Option<String>,
    /// The target of a relay: connected, or being dialed.
    pub target: Option<String>,
    pub age_seconds: f64,
    /// Time since bytes last moved, in steps of 0.1 s.
    pub idle_seconds: f64,
    pub received_bytes: u64,
    pub sent_bytes: u64,
    pub unsent_bytes: u64,
    /// The time of this row.
    pub at: String,
}

/// `GET /connections/N`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConnectionResource {
    #[serde(flatten)]
    pub row: ConnectionRow,
    pub opened_at: String,
    /// The side whose FIN came first: `client`, `target` or `proxy`.
    pub closed_first: Option<String>,
    pub timers: Vec<ConnectionTimer>,
    /// The client, and the target of a relay.
    pub ends: Vec<EndRow>,
    /// Client to target, and target to client; an echo has one.
    pub flows: Vec<FlowRow>,
    /// What the connection waits for, in one sentence.
    pub verdict: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConnectionTimer {
    /// `connect`, `idle`, `half-close`, `lifetime`, `linger` or `quiet`.
    pub name: String,
    pub due_seconds: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EndRow {
    /// `client` or `target`.
    pub end: String,
    pub address: Option<String>,
    pub local: Option<String>,
    pub transport: String,
    /// Readiness bits, as the debug log shows them.
    pub ready: String,
    /// Bytes in the receive queue of the kernel.
    pub receive_queue_bytes: Option<u64>,
    /// From TCP_INFO. Older kernels know fewer fields.
    pub tcp: Option<TcpRow>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TcpRow {
    pub rtt_seconds: f64,
    pub min_rtt_seconds: Option<f64>,
    pub retransmits: u32,
    pub cwnd_segments: u32,
    pub mss_bytes: u32,
    pub unacked_segments: u32,
    pub not_sent_bytes: Option<u64>,
    pub peer_window_bytes: Option<u64>,
    pub receive_window_bytes: Option<u64>,
    pub delivery_bytes_per_second: Option<u64>,
    pub busy_seconds: Option<f64>,
    pub receive_window_limited_seconds: Option<f64>,
    pub send_buffer_limited_seconds: Option<f64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FlowRow {
    /// `client` or `target`, or `service`: a service reads or writes bytes itself.
    pub from: String,
    pub to: String,
    /// Bytes written to `to`.
    pub moved_bytes: u64,
    pub unsent_bytes: u64,
    /// The end of file of `from` was propagated.
    pub ended: bool,
    pub where_are_the_bytes: WhereBytes,
    pub who_is_slow: Option<WhoIsSlow>,
}

/// `GET /loop`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoopResource {
    pub turns: u64,
    pub events: u64,
    pub events_per_turn: f64,
    /// Turns whose poll returned at once, and turns that slept.
    pub turns_at_once: u64,
    pub turns_slept: u64,
    /// Time in `poll`, and its share of the time since the start.
    pub poll_seconds: f64,
    pub poll_share: f64,
    /// Time in which the process was ready to run and did not run.
    pub waiting_to_run_seconds: Option<f64>,
    pub ran_seconds: Option<f64>,
    pub connections_queued: usize,
    pub longest_turn: Option<LongTurn>,
    /// Whether turns lasted long because of the loop, or because it was not scheduled.
    pub verdict: String,
}

/// The longest of the recent turns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LongTurn {
    pub turn: u64,
    pub seconds: f64,
    pub ended_seconds_ago: f64,
    /// The phase that took most of it, as docs/turn.md calls it. Known if it was watched.
    pub phase: Option<String>,
    pub phase_seconds: Option<f64>,
    /// The connection that took most of it.
    pub connection: Option<u32>,
    /// Time of it in which the process was ready to run and did not run.
    pub not_scheduled_seconds: Option<f64>,
}

/// `GET /timers`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TimersResource {
    /// Armed deadlines, stale ones included.
    pub deadlines: usize,
    /// Time until the loop wakes up if nothing happens. None: it sleeps until an event.
    pub next_wakeup_seconds: Option<f64>,
    /// How late deadlines fired: the number fired, and the mean.
    pub fired: u64,
    pub mean_lag_seconds: f64,
    pub drain: Option<DrainRow>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DrainRow {
    pub due_seconds: f64,
    pub connections_left: usize,
    pub flows_left: usize,
}

/// `GET /limits`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LimitsResource {
    pub limits: Vec<LimitRow>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LimitRow {
    pub name: String,
    pub used: u64,
    pub limit: u64,
    /// What happens at the limit.
    pub effect: String,
}

/// `GET /reasons`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReasonsResource {
    pub reasons: Vec<ReasonRow>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReasonRow {
    pub name: String,
    pub closed: u64,
    pub meaning: String,
}

/// `GET /log/level` and `POST /log/level`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LogLevelResource {
    /// As RUST_LOG: `info`, or `info,oneloop::loop=trace`.
    pub level: String,
}

/// Begins the detail of an error: there is no recording to send.
pub const NOT_RECORDED: &str = "nothing is recorded";

/// The body of `POST /record`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecordRequest {
    /// Memory for the recording: `16M`.
    pub limit: String,
}

/// `POST /record` and `DELETE /record`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecordResource {
    /// As `--record`. None: nothing is recorded.
    pub record: Option<String>,
    /// `all` connections, or those that are `watched`.
    pub of: Option<String>,
    /// It contains payload, or did.
    pub bytes: bool,
    /// Watches that are on.
    pub watches: usize,
}

/// `GET /watch`, `POST /watch` and `DELETE /watch`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WatchResource {
    pub watches: Vec<WatchRow>,
    /// Open connections that are watched, and those that matched and were too many.
    pub connections: usize,
    pub left_out: u64,
    /// The recording, as `--record` has it.
    pub record: Option<String>,
    /// How long a recording is kept after the last watch.
    pub kept_seconds: Option<f64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WatchRow {
    /// One of the three is given.
    pub connection: Option<u32>,
    pub peer: Option<String>,
    pub route: Option<String>,
    pub left_seconds: f64,
    /// Its payload is recorded.
    pub bytes: bool,
}

/// The data of one event of `GET /events`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EventResource {
    pub at: String,
    pub event: String,
    /// `warning`, `notice` or `lifecycle`.
    pub level: String,
    pub connection: Option<u32>,
    /// The line that the log would show.
    pub text: String,
}

/// The answer of `POST /pause` and `POST /resume`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PausedResource {
    /// The listeners that were paused or resumed now.
    pub changed: Vec<String>,
    /// All listeners that an operator has paused.
    pub paused: Vec<String>,
}

/// `POST /reload`: what it has changed. The numbers count addresses to listen on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReloadResource {
    pub added: usize,
    /// Another policy, other targets or another service.
    pub changed: usize,
    pub removed: usize,
    pub unchanged: usize,
    /// What the file says and a reload cannot do.
    pub warnings: Vec<String>,
}

/// The answer of `POST /drain`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DrainingResource {
    pub connections: usize,
    pub flows: usize,
    /// When what is left is reset.
    pub timeout_seconds: f64,
}

/// The answer of `DELETE /connections/N`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClosedResource {
    pub id: u32,
    pub reason: String,
}

/// An error, as RFC 9457 has it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProblemResource {
    pub title: String,
    pub status: u16,
    pub detail: String,
}
