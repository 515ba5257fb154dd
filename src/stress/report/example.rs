//! An example outcome for report tests: two loads, some deaths, and a server.

use std::time::{Duration, UNIX_EPOCH};

use crate::config::{Address, Direction, LoadKind, StressPlan};
use crate::stress::cost::Cost;
use crate::stress::environment::Environment;
use crate::stress::failure::{LoadFailure, NO_ANSWER, Stage};
use crate::stress::load_stats::{Death, DeathCause, LoadStats};
use crate::stress::outcome::{LoadOutcome, Outcome, Server};
use crate::stress::ramp_curve::RampCurve;
use crate::stress::server_usage::Backlog;
use crate::stress::server_usage::LoopUsage;
use crate::stress::timeline::Timeline;

pub fn example() -> Outcome {
    let plan = StressPlan {
        targets: vec![Address::parse_target("127.0.0.1:7007").unwrap()],
        seed: Some(77),
        active_conns: 16,
        ..StressPlan::default()
    };
    Outcome {
        plan,
        environment: Environment {
            system: "Linux 6".to_string(),
            cores: 2,
            ..Environment::default()
        },
        began: UNIX_EPOCH + Duration::from_secs(1_790_000_000),
        loads: vec![load(LoadKind::Idle, 1000, idle()), load(LoadKind::Echo, 16, echo())],
        ramp: Duration::from_millis(120),
        ramp_curve: ramp_curve(),
        whole: Duration::from_millis(2400),
        measured: Some((Duration::from_millis(400), Duration::from_millis(2400))),
        interrupted: false,
        processes: 1,
        busy: LoopUsage::default(),
        timeline: timeline(),
        server: Some(server()),
        probe: None,
    }
}

fn load(kind: LoadKind, conns: usize, stats: LoadStats) -> LoadOutcome {
    LoadOutcome { mode: kind.into(), conns, far: false, direction: Direction::Echo, stats }
}

fn idle() -> LoadStats {
    let mut stats = LoadStats { opened: 1000, open: 998, ..LoadStats::default() };
    stats.window = Duration::from_secs(2);
    for at in [700, 1900] {
        let at = Duration::from_millis(at);
        stats.deaths.add(Death { at, idle: at / 2, how: DeathCause::Fin });
    }
    stats
}

fn echo() -> LoadStats {
    let mut stats = LoadStats { opened: 16, open: 15, answered: 20_000, ..LoadStats::default() };
    stats.window = Duration::from_secs(2);
    for step in 0..20_000u64 {
        stats.latency.record(Duration::from_nanos(90_000 + (step * step) % 700_001));
        stats.connect.record(Duration::from_nanos(40_000 + step));
    }
    stats.unanswered = 1;
    stats.fail(LoadFailure::new(Stage::Exchange, NO_ANSWER));
    stats
}

fn ramp_curve() -> RampCurve {
    let mut ramp_curve = RampCurve::new();
    (0..120).for_each(|at| ramp_curve.record(Duration::from_millis(at), 8 * at));
    ramp_curve
}

fn timeline() -> Timeline {
    let mut timeline = Timeline::new();
    for step in 1..=24u64 {
        timeline.current().opened += if step < 3 { 500 } else { 0 };
        timeline.current().died += u64::from(step == 7 || step == 19);
        (0..100).for_each(|_| timeline.answered(Duration::from_micros(90 + 10 * step)));
        let cost = cost(step);
        timeline.advance(Duration::from_millis(100 * step), 1016.min(step * 500), Some(cost));
    }
    timeline
}

fn cost(step: u64) -> Cost {
    Cost {
        at: Duration::from_millis(100 * step),
        cpu_fine: Duration::from_millis(30 * step),
        user_bytes: 1_000_000 + 10_000 * step,
        descriptors: 1030,
        ..Cost::default()
    }
}

fn server() -> Server {
    let at = |step| Some(cost(step));
    let name = "oneloop".to_string();
    Server {
        pid: 1234,
        name,
        base: at(0),
        open: at(4),
        begin: at(4),
        end: at(24),
        close: at(24),
        backlog: Backlog::default(),
        queue_at_close: None,
    }
}
