//! Builds the resources that are small: what the loop, its routes, listeners and limits are now.

use std::time::Duration;

use crate::core::event::PauseCause;
use crate::net::proc::schedstat;
use crate::observe::format::Stamp;
use crate::runtime::inspect::Inspect;
use crate::runtime::listeners::ListenerSlot;
use crate::runtime::reactor::Reactor;

use super::endpoint::PATHS;
use super::http::method::Method;
use super::resources::*;
use super::rows::seconds;
use super::settings::CLIENTS;
use super::viewer::STREAMS;

/// What each reason of a close means, in the order of docs/events.md.
pub const REASONS: [(&str, &str); 18] = [
    ("finished", "both directions reached end of file"),
    ("served", "the service had sent everything, and closed"),
    ("reset", "the client or the target reset the connection, or its network did"),
    ("abandoned", "the client left before a target was connected"),
    ("refused", "no target accepted the connection; the last one refused it"),
    ("unreachable", "no target could be reached"),
    ("connect-timeout", "no target answered in time"),
    ("idle-timeout", "no bytes moved for the idle timeout"),
    ("half-close-timeout", "one side had ended, the other was silent"),
    ("lifetime", "the connection reached the maximum age of its route"),
    ("drained", "during a drain, the connection was at rest"),
    ("cut", "the daemon stopped, and the connection did not finish in time"),
    ("exhausted", "descriptors, ports or memory ran out"),
    ("evicted", "it was the oldest datagram flow, and the table was full"),
    ("lagged", "a member of a hub did not read, and fell too far behind"),
    ("message-too-long", "a member of a hub sent a message longer than allowed"),
    ("admin", "an operator closed it"),
    ("reload", "a reload removed or changed its route, and the file says to cut it"),
];

pub fn index() -> IndexResource {
    let rows = PATHS.iter().skip(1).map(|(path, endpoint)| EndpointRow {
        path: (*path).to_owned(),
        methods: Method::list(endpoint.methods()),
    });
    IndexResource { resources: rows.collect() }
}

pub fn health(draining: bool) -> HealthResource {
    HealthResource { status: if draining { "draining" } else { "ok" }.to_owned() }
}

pub fn version(reactor: &Reactor) -> VersionResource {
    let inspect = reactor.inspect();
    VersionResource {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        started_at: Stamp(reactor.started()).to_string(),
        up_seconds: seconds(Duration::from_micros(inspect.now.0)),
        state: if inspect.is_draining() { "draining" } else { "running" }.to_owned(),
    }
}

pub fn routes(reactor: &Reactor) -> RoutesResource {
    let inspect = reactor.inspect();
    let routes = inspect.routes();
    let rows = routes.iter().map(|(index, route)| {
        let (active, flows) = inspect.live(index);
        let counts = reactor.engine_counts().route(index);
        let service = &route.config.service;
        let targets = crate::runtime::routes::targets(service).iter();
        RouteRow {
            name: route.name().to_owned(),
            service: service.name().to_owned(),
            targets: targets.map(ToString::to_string).collect(),
            retired: routes.is_retired(index),
            active,
            flows,
            accepted: counts.accepted,
            received_bytes: counts.received,
            sent_bytes: counts.sent,
        }
    });
    RoutesResource { routes: rows.collect() }
}

pub fn listeners(inspect: Inspect<'_>) -> ListenersResource {
    let routes = inspect.routes();
    let row = |address: &str, route: u16, state: &str| {
        let config = &routes[route].config;
        ListenerRow {
            address: address.to_owned(),
            route: routes[route].name().to_owned(),
            service: config.service.name().to_owned(),
            state: state.to_owned(),
            paused_by: None,
            queue: None,
            queue_limit: None,
        }
    };
    let streams = inspect.listeners().map(|(_, slot)| {
        let queue = slot.accept_queue();
        ListenerRow {
            paused_by: slot.paused().map(|cause| cause.name().to_owned()),
            queue: queue.map(|queue| queue.waiting),
            queue_limit: queue.map(|queue| queue.limit),
            ..row(&slot.address, slot.route(), state(slot))
        }
    });
    let datagrams = inspect.datagram_sockets().map(|(address, route, is_open)| {
        row(address, route, if is_open { "receiving" } else { "closing" })
    });
    ListenersResource { listeners: streams.chain(datagrams).collect() }
}

fn state(slot: &ListenerSlot) -> &'static str {
    match slot.paused() {
        _ if slot.is_closing() => "closing",
        Some(PauseCause::Limit | PauseCause::System(_) | PauseCause::Operator) => "paused",
        None => "accepting",
    }
}

pub fn event_loop(reactor: &Reactor) -> LoopResource {
    let (stats, inspect, turns) = (reactor.loop_stats(), reactor.inspect(), reactor.turns());
    let up = Duration::from_micros(inspect.now.0);
    let scheduled = schedstat();
    let ratio = |part: f64, whole: f64| if whole > 0.0 { part / whole } else { 0.0 };
    let longest = stats.longest().map(|turn| LongTurn {
        turn: turn.number,
        seconds: turn.took.as_secs_f64(),
        ended_seconds_ago: seconds(inspect.now.since(turn.at.after(turn.took))),
        phase: turn.detail.map(|detail| detail.slowest().0.name().to_owned()),
        phase_seconds: turn.detail.map(|detail| detail.slowest().1.as_secs_f64()),
        connection: turn.detail.and_then(|detail| detail.slowest_connection()).map(|(id, _)| id),
        not_scheduled_seconds: turn
            .detail
            .and_then(|detail| detail.not_scheduled)
            .map(|time| time.as_secs_f64()),
    });
    LoopResource {
        turns,
        events: stats.events,
        events_per_turn: round(ratio(stats.events as f64, turns as f64), 1e2),
        turns_at_once: turns.saturating_sub(stats.slept),
        turns_slept: stats.slept,
        poll_seconds: seconds(stats.polled),
        poll_share: round(ratio(stats.polled.as_secs_f64(), up.as_secs_f64()).min(1.0), 1e4),
        waiting_to_run_seconds: scheduled.map(|times| times.waited.as_secs_f64()),
        ran_seconds: scheduled.map(|times| times.ran.as_secs_f64()),
        connections_queued: inspect.queued(),
        verdict: verdict(longest.as_ref(), scheduled.map(|times| (times.ran, times.waited))),
        longest_turn: longest,
    }
}

/// A turn longer than this is worth a sentence.
const LATE_SECONDS: f64 = 0.01;

/// Whether turns lasted long because of the loop, or because it was not scheduled.
fn verdict(longest: Option<&LongTurn>, ran_and_waited: Option<(Duration, Duration)>) -> String {
    let share = ran_and_waited.map(|(ran, waited)| {
        let whole = (ran + waited).as_secs_f64();
        if whole > 0.0 { 100.0 * waited.as_secs_f64() / whole } else { 0.0 }
    });
    let scheduling = share.map_or(String::new(), |share| {
        format!(
            "; the process waited for a processor in {share:.1} % of the time in which it could run"
        )
    });
    let Some(turn) = longest.filter(|turn| turn.seconds >= LATE_SECONDS) else {
        let limit = LATE_SECONDS * 1e3;
        return format!("no turn of the last minutes took {limit} ms or more{scheduling}");
    };
    let millis = turn.seconds * 1e3;
    let not_scheduled = turn.not_scheduled_seconds.unwrap_or(0.0);
    let cause = if not_scheduled > turn.seconds / 2.0 {
        format!("for {:.1} ms of it the process was not scheduled", not_scheduled * 1e3)
    } else {
        match (&turn.phase, turn.phase_seconds, turn.connection) {
            (Some(phase), Some(took), Some(id)) => {
                format!("{:.1} ms of it in {phase}, most for connection {id}", took * 1e3)
            }
            (Some(phase), Some(took), None) => format!("{:.1} ms of it in {phase}", took * 1e3),
            _ => "its phases were not watched: ask again while it is late".to_owned(),
        }
    };
    format!("turn {} took {millis:.1} ms: {cause}{scheduling}", turn.turn)
}

pub fn timers(reactor: &Reactor) -> TimersResource {
    let (inspect, lag) = (reactor.inspect(), &reactor.engine_counts().timer_lag);
    let mean = |count: u64| lag.sum().as_secs_f64() / count as f64;
    TimersResource {
        deadlines: inspect.deadlines(),
        next_wakeup_seconds: inspect.next_wakeup().map(seconds),
        fired: lag.count(),
        mean_lag_seconds: if lag.count() == 0 { 0.0 } else { round(mean(lag.count()), 1e6) },
        drain: inspect.drain().map(|drain| DrainRow {
            due_seconds: seconds(drain.due),
            connections_left: drain.connections,
            flows_left: drain.flows,
        }),
    }
}

pub fn limits(streams: usize, inspect: Inspect<'_>) -> LimitsResource {
    let mut limits: Vec<LimitRow> = inspect.limits().iter().map(limit_row).collect();
    // Some more are open while they are refused or closed.
    limits.push(LimitRow {
        name: "admin-clients".to_owned(),
        used: inspect.admin_clients().min(CLIENTS) as u64,
        limit: CLIENTS as u64,
        effect: "an idle client is closed to make room".to_owned(),
    });
    limits.push(LimitRow {
        name: "event-streams".to_owned(),
        used: streams as u64,
        limit: STREAMS as u64,
        effect: "a further viewer is refused".to_owned(),
    });
    LimitsResource { limits }
}

fn limit_row(limit: &crate::runtime::inspect::LimitView) -> LimitRow {
    LimitRow {
        name: limit.name.to_owned(),
        used: limit.used,
        limit: limit.limit,
        effect: limit.effect.to_owned(),
    }
}

pub fn reasons(reactor: &Reactor) -> ReasonsResource {
    let meaning = |name: &str| REASONS.iter().find(|(known, _)| *known == name);
    let rows = reactor.engine_counts().closed().map(|(name, closed)| ReasonRow {
        name: name.to_owned(),
        closed,
        meaning: meaning(name).map_or("", |(_, meaning)| meaning).to_owned(),
    });
    ReasonsResource { reasons: rows.collect() }
}

/// Rounds to `per_unit` steps per unit.
fn round(value: f64, per_unit: f64) -> f64 {
    (value * per_unit).round() / per_unit
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::Reason;

    #[test]
    fn every_reason_has_a_meaning() {
        let names: Vec<&str> = REASONS.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, Reason::NAMES);
    }

    fn turn(seconds: f64) -> LongTurn {
        LongTurn {
            turn: 88_102,
            seconds,
            ended_seconds_ago: 1.0,
            phase: None,
            phase_seconds: None,
            connection: None,
            not_scheduled_seconds: None,
        }
    }

    #[test]
    fn the_verdict_tells_a_late_loop_from_one_that_was_not_scheduled() {
        let run = LongTurn { phase: Some("run".into()), phase_seconds: Some(0.012), ..turn(0.014) };
        let of_one = LongTurn { connection: Some(7), ..run.clone() };
        let kept_waiting = LongTurn { not_scheduled_seconds: Some(0.013), ..run.clone() };
        let table = [
            (None, "no turn of the last minutes took 10 ms or more"),
            (Some(turn(0.001)), "no turn of the last minutes took 10 ms or more"),
            (
                Some(turn(0.014)),
                "turn 88102 took 14.0 ms: its phases were not watched: ask again while it is late",
            ),
            (Some(run), "turn 88102 took 14.0 ms: 12.0 ms of it in run"),
            (Some(of_one), "turn 88102 took 14.0 ms: 12.0 ms of it in run, most for connection 7"),
            (
                Some(kept_waiting),
                "turn 88102 took 14.0 ms: for 13.0 ms of it the process was not scheduled",
            ),
        ];
        for (longest, expected) in table {
            assert_eq!(verdict(longest.as_ref(), None), expected);
        }
        let waited = Some((Duration::from_secs(3), Duration::from_secs(1)));
        assert!(verdict(None, waited).ends_with(
            "; the process waited for a processor in 25.0 % of the time in which it could run"
        ));
    }
}
