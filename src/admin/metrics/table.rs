//! The table of all metrics, in the order of the text and of docs/metrics.md.

use std::collections::BTreeMap;
use std::time::{Duration, UNIX_EPOCH};

use super::text::Samples;
use super::{Metric, MetricKind, MetricsCx};
use crate::core::event::DropReason;
use crate::net::tcp_info::AcceptQueue;
use crate::net::{own_process, proc};
use crate::runtime::route_totals::NamedCounts;

type Write = fn(&MetricsCx<'_>, &mut Samples<'_>);

pub const METRICS: &[Metric] = &[
    // ---- connections ---------------------------------------------------------------------------
    gauge(
        "oneloop_connections_active",
        "connections",
        &["route"],
        "Open connections.",
        |cx, out| by_route(cx, out, |route| route.active as u64),
    ),
    counter(
        "oneloop_connections_accepted_total",
        "connections",
        &["route"],
        "Connections accepted.",
        |cx, out| by_route(cx, out, |route| route.counts.accepted),
    ),
    counter(
        "oneloop_connections_closed_total",
        "connections",
        &["reason"],
        "Connections closed, by the reason in the log.",
        |cx, out| {
            cx.reactor.engine_counts().closed().for_each(|(name, count)| out.labelled(name, count));
        },
    ),
    gauge(
        "oneloop_connections_limit",
        "connections",
        &[],
        "Maximum number of open connections. Others wait in the accept queue.",
        |cx, out| out.value(cx.reactor.max_connections()),
    ),
    // ---- traffic -------------------------------------------------------------------------------
    counter(
        "oneloop_received_bytes_total",
        "bytes",
        &["route"],
        "Bytes received from clients and forwarded.",
        |cx, out| by_route(cx, out, |route| route.counts.received),
    ),
    counter(
        "oneloop_sent_bytes_total",
        "bytes",
        &["route"],
        "Bytes written to clients.",
        |cx, out| by_route(cx, out, |route| route.counts.sent),
    ),
    gauge(
        "oneloop_unsent_bytes",
        "bytes",
        &[],
        "Bytes that were read and could not be written yet.",
        |cx, out| out.value(cx.reactor.unsent_bytes()),
    ),
    gauge(
        "oneloop_pipes_in_use",
        "pipes",
        &[],
        "Pipes that hold bytes of bulk transfers.",
        |cx, out| out.value(cx.reactor.pipes_in_use()),
    ),
    counter(
        "oneloop_short_writes_total",
        "writes",
        &[],
        "Writes that a socket accepted only in part, or not at all.",
        |cx, out| out.value(cx.reactor.pump_counts().short_writes),
    ),
    // ---- latency -------------------------------------------------------------------------------
    histogram(
        "oneloop_connect_seconds",
        "Time from the accept of a connection until its target was connected, failed attempts \
         included.",
        |cx, out| out.histogram(&cx.reactor.pump_counts().connect),
    ),
    histogram(
        "oneloop_first_byte_seconds",
        "Time from the accept of a connection to the first byte written to its client.",
        |cx, out| out.histogram(&cx.reactor.engine_counts().first_byte),
    ),
    histogram(
        "oneloop_lifetime_seconds",
        "Time from the accept of a connection to its close.",
        |cx, out| out.histogram(&cx.reactor.engine_counts().lifetime),
    ),
    // ---- limits and failures -------------------------------------------------------------------
    counter(
        "oneloop_accept_pauses_total",
        "pauses",
        &[],
        "Times that accepting was paused at the connection limit or at a limit of the system.",
        |cx, out| out.value(cx.watch.totals.pauses),
    ),
    counter(
        "oneloop_accept_failures_total",
        "connections",
        &[],
        "Connections that could not be accepted.",
        |cx, out| out.value(cx.watch.totals.not_accepted),
    ),
    gauge(
        "oneloop_accept_queue_length",
        "connections",
        &["listener"],
        "Connections waiting in the accept queue of a TCP listener.",
        |cx, out| by_listener(cx, out, |queue| queue.waiting),
    ),
    gauge(
        "oneloop_accept_queue_limit",
        "connections",
        &["listener"],
        "Maximum length of the accept queue. A full one drops handshakes.",
        |cx, out| by_listener(cx, out, |queue| queue.limit),
    ),
    counter(
        "oneloop_dial_failures_total",
        "attempts",
        &[],
        "Failed attempts to connect to a target.",
        |cx, out| out.value(cx.watch.totals.dials_failed),
    ),
    // ---- the loop ------------------------------------------------------------------------------
    counter("oneloop_turns_total", "turns", &[], "Turns of the event loop.", |cx, out| {
        out.value(cx.reactor.turns());
    }),
    counter(
        "oneloop_slept_turns_total",
        "turns",
        &[],
        "Turns that slept before events arrived. The others found events at once.",
        |cx, out| out.value(cx.reactor.loop_stats().slept),
    ),
    counter("oneloop_events_total", "events", &[], "Events returned by polls.", |cx, out| {
        out.value(cx.reactor.loop_stats().events);
    }),
    histogram(
        "oneloop_turn_seconds",
        "Duration of a turn, from the end of its poll to the next poll.",
        |cx, out| out.histogram(&cx.reactor.loop_stats().turn_time),
    ),
    counter(
        "oneloop_poll_seconds_total",
        "seconds",
        &[],
        "Time in polls, sleeps included. Its rate is the idle share of the loop.",
        |cx, out| seconds(out, cx.reactor.loop_stats().polled),
    ),
    histogram(
        "oneloop_timer_lag_seconds",
        "Time from the tick for which a deadline was armed to its check.",
        |cx, out| out.histogram(&cx.reactor.engine_counts().timer_lag),
    ),
    counter(
        "oneloop_sched_wait_seconds_total",
        "seconds",
        &[],
        "Time that the loop was runnable and waited for a CPU.",
        |_, out| {
            if let Some(stat) = proc::schedstat() {
                seconds(out, stat.waited);
            }
        },
    ),
    counter(
        "oneloop_budget_exhausted_total",
        "flows",
        &[],
        "Times that a flow or a datagram socket used up its budget and continued in the next turn.",
        |cx, out| out.value(cx.reactor.budget_exhausted()),
    ),
    counter(
        "oneloop_stale_events_total",
        "events",
        &[],
        "Events that arrived for a closed connection or socket.",
        |cx, out| out.value(cx.reactor.stale_events()),
    ),
    // ---- datagrams -----------------------------------------------------------------------------
    gauge(
        "oneloop_datagram_flows",
        "flows",
        &["route"],
        "Open datagram flows: sources with a socket of their own to the target.",
        |cx, out| {
            for route in cx.reactor.route_sums().iter().filter(|route| route.datagrams) {
                out.labelled(route.name, route.flows);
            }
        },
    ),
    counter(
        "oneloop_datagrams_received_total",
        "datagrams",
        &[],
        "Datagrams received.",
        |cx, out| out.value(cx.watch.totals.received),
    ),
    counter(
        "oneloop_datagrams_received_bytes_total",
        "bytes",
        &[],
        "Bytes of the datagrams received.",
        |cx, out| out.value(cx.watch.totals.received_bytes),
    ),
    counter("oneloop_datagrams_sent_total", "datagrams", &[], "Datagrams sent.", |cx, out| {
        out.value(cx.watch.totals.sent);
    }),
    counter(
        "oneloop_datagrams_sent_bytes_total",
        "bytes",
        &[],
        "Bytes of the datagrams sent.",
        |cx, out| out.value(cx.watch.totals.sent_bytes),
    ),
    counter(
        "oneloop_datagrams_dropped_total",
        "datagrams",
        &["reason"],
        "Datagrams dropped, by the reason in the log.",
        |cx, out| {
            for name in DropReason::NAMES {
                out.labelled(name, cx.watch.totals.dropped.of(name));
            }
        },
    ),
    // ---- hubs ----------------------------------------------------------------------------------
    gauge("oneloop_hub_members", "connections", &[], "Members of all hubs.", |cx, out| {
        out.value(cx.reactor.hub_sums().members);
    }),
    counter(
        "oneloop_hub_messages_total",
        "messages",
        &[],
        "Messages published in all hubs.",
        |cx, out| out.value(cx.reactor.hub_sums().counts.published),
    ),
    counter(
        "oneloop_hub_deliveries_total",
        "messages",
        &[],
        "Messages sent to a member. One message counts once for each member.",
        |cx, out| out.value(cx.reactor.hub_sums().counts.delivered),
    ),
    counter(
        "oneloop_hub_missed_total",
        "messages",
        &[],
        "Messages that a member did not receive because it read too slowly.",
        |cx, out| out.value(cx.reactor.hub_sums().counts.missed),
    ),
    gauge(
        "oneloop_hub_lag_messages",
        "messages",
        &[],
        "Messages that the slowest member has not received.",
        |cx, out| out.value(cx.reactor.hub_sums().lag),
    ),
    // ---- observation ---------------------------------------------------------------------------
    counter(
        "oneloop_log_lines_lost_total",
        "lines",
        &[],
        "Log lines that were lost because their reader was too slow.",
        |cx, out| out.value(cx.watch.totals().lost_lines),
    ),
    gauge(
        "oneloop_admin_clients",
        "clients",
        &[],
        "Open clients of the admin and metrics listeners.",
        |cx, out| out.value(cx.admin.clients),
    ),
    gauge(
        "oneloop_admin_streams",
        "clients",
        &[],
        "Clients of the admin listener that receive a stream of events.",
        |cx, out| out.value(cx.admin.streams),
    ),
    counter(
        "oneloop_admin_accepted_total",
        "clients",
        &[],
        "Clients accepted by the admin and metrics listeners.",
        |cx, out| out.value(cx.admin.accepted),
    ),
    counter(
        "oneloop_admin_requests_total",
        "requests",
        &["code"],
        "Requests answered by the admin and metrics listeners, by class of status.",
        |cx, out| {
            for (class, count) in (1..).zip(cx.admin.requests) {
                out.labelled(&format!("{class}xx"), count);
            }
        },
    ),
    // ---- the process ---------------------------------------------------------------------------
    gauge(
        "oneloop_build_info",
        "",
        &["version"],
        "Always 1. The label is the version.",
        |_, out| {
            out.labelled(env!("CARGO_PKG_VERSION"), 1);
        },
    ),
    counter(
        "process_cpu_seconds_total",
        "seconds",
        &[],
        "CPU time of the process, in user and system mode.",
        |_, out| {
            if let Some(time) = own_process::cpu_time() {
                seconds(out, time);
            }
        },
    ),
    gauge(
        "process_resident_memory_bytes",
        "bytes",
        &[],
        "Resident memory of the process.",
        |_, out| {
            if let Some(memory) = own_process::memory() {
                out.value(memory.resident_bytes);
            }
        },
    ),
    gauge(
        "process_virtual_memory_bytes",
        "bytes",
        &[],
        "Virtual memory of the process.",
        |_, out| {
            if let Some(memory) = own_process::memory() {
                out.value(memory.virtual_bytes);
            }
        },
    ),
    gauge("process_open_fds", "descriptors", &[], "Open file descriptors.", |_, out| {
        if let Some(files) = own_process::open_files() {
            out.value(files);
        }
    }),
    gauge("process_max_fds", "descriptors", &[], "Maximum number of open files.", |_, out| {
        if let Some(files) = own_process::max_files() {
            out.value(files);
        }
    }),
    counter(
        "oneloop_reloads_total",
        "reloads",
        &["result"],
        "Reloads of the configuration file: applied, or failed without an effect.",
        |cx, out| {
            let counts = cx.reactor.reload_counts();
            out.labelled("applied", counts.applied);
            out.labelled("failed", counts.failed);
        },
    ),
    gauge(
        "oneloop_config_applied_time_seconds",
        "seconds",
        &[],
        "When the configuration in force was applied, in seconds since 1970.",
        |cx, out| {
            let applied = cx.reactor.config_applied_at().duration_since(UNIX_EPOCH);
            seconds(out, applied.unwrap_or_default());
        },
    ),
    gauge(
        "process_start_time_seconds",
        "seconds",
        &[],
        "Start of the event loop, in seconds since 1970.",
        |cx, out| seconds(out, cx.reactor.started().duration_since(UNIX_EPOCH).unwrap_or_default()),
    ),
];

const fn counter(
    name: &'static str,
    unit: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
    write: Write,
) -> Metric {
    Metric { name, kind: MetricKind::Counter, unit, labels, help, write }
}

const fn gauge(
    name: &'static str,
    unit: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
    write: Write,
) -> Metric {
    Metric { name, kind: MetricKind::Gauge, unit, labels, help, write }
}

const fn histogram(name: &'static str, help: &'static str, write: Write) -> Metric {
    let (kind, unit, labels) = (MetricKind::Histogram, "seconds", &[]);
    Metric { name, kind, unit, labels, help, write }
}

/// Appends a sample for each route that serves streams.
/// Writes one sample for each address of TCP listeners, where the system knows the queue. Several
/// listeners may share an address (`reuseport`).
fn by_listener(cx: &MetricsCx<'_>, out: &mut Samples<'_>, value: fn(AcceptQueue) -> u32) {
    let mut sums: BTreeMap<&str, u64> = BTreeMap::new();
    for (_, slot) in cx.reactor.inspect().listeners() {
        if let Some(queue) = slot.accept_queue() {
            *sums.entry(&slot.address).or_default() += u64::from(value(queue));
        }
    }
    sums.into_iter().for_each(|(address, sum)| out.labelled(address, sum));
}

fn by_route(cx: &MetricsCx<'_>, out: &mut Samples<'_>, value: fn(&NamedCounts<'_>) -> u64) {
    for route in cx.reactor.route_sums().iter().filter(|route| route.streams) {
        out.labelled(route.name, value(route));
    }
}

fn seconds(out: &mut Samples<'_>, time: Duration) {
    out.value(time.as_secs_f64());
}
