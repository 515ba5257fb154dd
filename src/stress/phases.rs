//! The phases of a run: open persistent connections, measure loads, hold idle connections, close
//! all. `Phases` decides when the next phase starts. What starting it takes is done by the runner.

use std::time::Duration;

use crate::config::{LoadKind, Probe, StressPlan};

/// The current phase, and the conditions of the next one.
#[derive(Debug)]
pub struct Phases {
    pub current: Phase,
    pub plan: StressPlan,
    /// Start of the hold of idle connections.
    pub held_since: Duration,
    /// A signal ended the run; `is_interrupted`: early.
    pub is_stopping: bool,
    pub is_interrupted: bool,
    /// The loads must not start before the start message of the parent.
    pub awaiting_start: bool,
}

/// The state of a run that, besides time, ends a phase.
#[derive(Clone, Copy, Debug, Default)]
pub struct Situation {
    /// All persistent connections are open, or have failed.
    pub ramp_is_over: bool,
    /// The server accepts no more connections, as far as known.
    pub server_is_at_rest: bool,
    /// Connections of idle loads, and of all others.
    pub idle_conns: usize,
    pub active_conns: usize,
    /// Any load can send.
    pub can_send: bool,
    /// All loads have persistent connections, none of which is opened again.
    pub all_persistent: bool,
    /// Every load with bursts has completed one.
    pub bursts_measured: bool,
    /// The search for an idle timeout has ended.
    pub search_is_over: bool,
}

/// Maximum time for the server to accept all connections before it is measured.
const SETTLE_MAX: Duration = Duration::from_secs(2);

/// Additional time after a timeout, so that the timeout itself reports first.
const GRACE: Duration = Duration::from_secs(1);

impl Phases {
    pub fn new(plan: &StressPlan) -> Phases {
        Phases {
            current: Phase::Ramp,
            plan: plan.clone(),
            held_since: Duration::ZERO,
            is_stopping: false,
            is_interrupted: false,
            awaiting_start: false,
        }
    }

    /// Returns the next phase, if the current one is over.
    pub fn next(&self, now: Duration, situation: &Situation) -> Option<Phase> {
        let Situation { idle_conns, active_conns, .. } = *situation;
        let (is_due, is_empty) = (self.current.is_due(now), idle_conns + active_conns == 0);
        let is_over = match self.current {
            Phase::Ramp => situation.ramp_is_over,
            Phase::Settle { .. } => {
                !self.awaiting_start && (is_due || is_empty || situation.server_is_at_rest)
            }
            Phase::Warm { .. } => is_due,
            Phase::Load { until, .. } => self.window_is_over(until, now, situation),
            Phase::Finish { .. } => is_due || active_conns == 0,
            Phase::Hold { .. } | Phase::Probe { .. } | Phase::Close { .. } => is_due || is_empty,
            Phase::IdleProbe => situation.search_is_over,
            Phase::Serve { .. } | Phase::Done => false,
        };
        is_over.then(|| match self.current {
            Phase::Ramp => Phase::Settle { until: now + SETTLE_MAX },
            Phase::Settle { .. } => self.after_ramp(now, situation),
            Phase::Warm { .. } => self.load(now),
            Phase::Load { .. } | Phase::Serve { .. } => self.finish(now),
            Phase::Finish { .. } => self.hold(now, self.held_since, idle_conns),
            Phase::Hold { .. } if self.plan.probe == Probe::Echo && !is_empty => {
                Phase::Probe { until: now + self.plan.timeout() + GRACE }
            }
            Phase::Hold { .. } | Phase::Probe { .. } | Phase::IdleProbe => self.close(now),
            Phase::Close { .. } | Phase::Done => Phase::Done,
        })
    }

    /// Starts a phase. Returns the last one.
    pub fn enter(&mut self, phase: Phase, now: Duration) -> Phase {
        let last = std::mem::replace(&mut self.current, phase);
        if matches!(last, Phase::Settle { .. }) && !self.is_stopping {
            self.held_since = now;
        }
        last
    }

    /// Stops the run on a signal. Returns the phase to enter: at the first signal the run ends in
    /// order, at the second at once.
    pub fn interrupt(&mut self, now: Duration) -> Option<Phase> {
        if std::mem::replace(&mut self.is_stopping, true) {
            return Some(Phase::Done);
        }
        self.is_interrupted = !matches!(self.current, Phase::Serve { .. });
        match self.current {
            Phase::Load { .. } | Phase::Serve { .. } => Some(self.finish(now)),
            Phase::Finish { .. } | Phase::Close { .. } | Phase::Done => None,
            _ => Some(self.close(now)),
        }
    }

    /// Returns the phase after all persistent connections are open.
    fn after_ramp(&self, now: Duration, situation: &Situation) -> Phase {
        match self.plan.warmup {
            _ if self.plan.find_idle_timeout.is_some() => Phase::IdleProbe,
            _ if self.plan.targets.is_empty() => Phase::Serve { since: now },
            _ if !situation.can_send => {
                self.hold(now, now, situation.idle_conns + situation.active_conns)
            }
            Duration::ZERO => self.load(now),
            warmup => Phase::Warm { since: now, until: now + warmup },
        }
    }

    /// Whether the measured window is over: its time, plus what the first burst needs.
    fn window_is_over(&self, until: Duration, now: Duration, situation: &Situation) -> bool {
        let is_measured = situation.bursts_measured || now >= until + self.plan.timeout();
        let is_inactive = situation.active_conns == 0 && situation.all_persistent;
        now >= until && is_measured || is_inactive
    }

    fn load(&self, now: Duration) -> Phase {
        Phase::Load { since: now, until: now + self.plan.duration }
    }

    fn finish(&self, now: Duration) -> Phase {
        Phase::Finish { until: now + self.plan.closing_timeout() + GRACE }
    }

    /// Holds the connections that remain, if there are any.
    fn hold(&self, now: Duration, held_since: Duration, conns: usize) -> Phase {
        match conns == 0 || self.is_stopping {
            true => self.close(now),
            false => Phase::Hold { since: now, until: held_since + self.plan.hold },
        }
    }

    fn close(&self, now: Duration) -> Phase {
        Phase::Close { until: now + self.plan.closing_timeout() + GRACE }
    }
}

/// A phase of a run. Times count from the start of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Persistent connections are opened.
    Ramp,
    /// The server gets time to accept all connections before its memory is read.
    Settle {
        until: Duration,
    },
    /// The loads run, but nothing is measured yet.
    Warm {
        since: Duration,
        until: Duration,
    },
    /// The loads run and are measured.
    Load {
        since: Duration,
        until: Duration,
    },
    /// Only the sink runs: the load comes from other processes.
    Serve {
        since: Duration,
    },
    /// Loads that send receive their last answers and close.
    Finish {
        until: Duration,
    },
    /// Idle connections are held.
    Hold {
        since: Duration,
        until: Duration,
    },
    /// Each idle connection must answer once.
    Probe {
        until: Duration,
    },
    /// The search for the server's idle timeout runs.
    IdleProbe,
    /// All remaining connections are closed.
    Close {
        until: Duration,
    },
    Done,
}

impl Phase {
    /// Whether connections of this kind of load are opened.
    pub fn opens(self, kind: LoadKind) -> bool {
        match self {
            Phase::Ramp => kind.stays(),
            Phase::Warm { .. } | Phase::Load { .. } => !kind.stays(),
            _ => false,
        }
    }

    /// Whether results count.
    pub fn measures(self) -> bool {
        matches!(self, Phase::Load { .. } | Phase::Serve { .. })
    }

    /// Whether new messages are sent.
    pub fn sends(self) -> bool {
        matches!(self, Phase::Warm { .. } | Phase::Load { .. })
    }

    /// Whether this process is closing all connections.
    pub fn closes(self) -> bool {
        matches!(self, Phase::Close { .. } | Phase::Done)
    }

    /// Returns when the phase ends at the latest.
    pub fn due(self) -> Option<Duration> {
        match self {
            Phase::Ramp | Phase::Serve { .. } | Phase::IdleProbe | Phase::Done => None,
            Phase::Settle { until }
            | Phase::Warm { until, .. }
            | Phase::Load { until, .. }
            | Phase::Finish { until }
            | Phase::Hold { until, .. }
            | Phase::Probe { until }
            | Phase::Close { until } => Some(until),
        }
    }

    /// Returns start and end of a phase with a fixed duration.
    pub fn span(self) -> Option<(Duration, Duration)> {
        match self {
            Phase::Warm { since, until }
            | Phase::Load { since, until }
            | Phase::Hold { since, until } => Some((since, until)),
            _ => None,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Phase::Ramp => "connect",
            Phase::Settle { .. } => "settle",
            Phase::Warm { .. } => "warm up",
            Phase::Load { .. } => "measure",
            Phase::Serve { .. } => "serve",
            Phase::Finish { .. } => "finish",
            Phase::Hold { .. } => "hold",
            Phase::Probe { .. } => "probe",
            Phase::IdleProbe => "idle",
            Phase::Close { .. } | Phase::Done => "close",
        }
    }

    /// Whether its time is over.
    pub fn is_due(self, now: Duration) -> bool {
        self.due().is_some_and(|until| now >= until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Address;

    const S: Duration = Duration::from_secs(1);

    fn plan() -> StressPlan {
        let targets = vec![Address::parse("127.0.0.1:7").unwrap()];
        StressPlan { targets, hold: 5 * S, duration: 3 * S, ..StressPlan::default() }
    }

    fn ready() -> Situation {
        Situation {
            ramp_is_over: true,
            server_is_at_rest: true,
            active_conns: 1,
            can_send: true,
            all_persistent: true,
            bursts_measured: true,
            ..Situation::default()
        }
    }

    /// Enters the next phase, and returns its name.
    fn advance(phases: &mut Phases, now: Duration, situation: Situation) -> Option<&'static str> {
        let next = phases.next(now, &situation)?;
        phases.enter(next, now);
        Some(next.name())
    }

    /// Advances from the ramp to the phase after settling.
    fn start(phases: &mut Phases, now: Duration, situation: Situation) {
        assert_eq!(advance(phases, now, situation), Some("settle"));
        assert!(advance(phases, now, situation).is_some());
    }

    #[test]
    fn a_load_is_measured_and_idle_connections_are_held_after_it() {
        let mut phases = Phases::new(&plan());
        let both = Situation { idle_conns: 1, ..ready() };
        assert_eq!(advance(&mut phases, S, Situation { ramp_is_over: false, ..both }), None);
        assert_eq!(advance(&mut phases, S, both), Some("settle"));
        let unsettled = Situation { server_is_at_rest: false, ..both };
        assert_eq!(advance(&mut phases, S, unsettled), None);
        assert_eq!(advance(&mut phases, 3 * S, unsettled), Some("measure"));
        assert_eq!((phases.held_since, advance(&mut phases, 5 * S, both)), (3 * S, None));
        assert_eq!(advance(&mut phases, 6 * S, both), Some("finish"));
        let idle = Situation { active_conns: 0, ..both };
        assert_eq!(advance(&mut phases, 6 * S, idle), Some("hold"));
        assert_eq!(phases.current.due(), Some(8 * S));
        assert_eq!(advance(&mut phases, 8 * S, idle), Some("close"));
        assert_eq!(advance(&mut phases, 8 * S, idle), None);
        assert_eq!(advance(&mut phases, 8 * S, Situation::default()), Some("close"));
        assert_eq!(phases.current, Phase::Done);
    }

    #[test]
    fn without_idle_connections_nothing_is_held() {
        let mut phases = Phases::new(&StressPlan { warmup: S, ..plan() });
        for (now, name) in [(0, "settle"), (0, "warm up"), (1, "measure"), (4, "finish")] {
            assert_eq!(advance(&mut phases, now * S, ready()), Some(name));
        }
        // The server does not close: the rest is cut when the time is over.
        assert_eq!(advance(&mut phases, 4 * S, ready()), None);
        assert_eq!(advance(&mut phases, 60 * S, ready()), Some("close"));
    }

    #[test]
    fn a_window_lasts_until_the_first_burst_is_measured_or_no_connection_is_left() {
        let mut phases = Phases::new(&plan());
        start(&mut phases, S, ready());
        let burst = Situation { bursts_measured: false, all_persistent: false, ..ready() };
        assert_eq!(phases.next(5 * S, &burst), None);
        assert!(phases.next(4 * S + StressPlan::TIMEOUT, &burst).is_some());
        assert_eq!(phases.next(2 * S, &Situation { active_conns: 0, ..burst }), None);
        assert!(phases.next(2 * S, &Situation { active_conns: 0, ..ready() }).is_some());
    }

    #[test]
    fn idle_connections_are_held_probed_and_closed() {
        let mut phases = Phases::new(&StressPlan { probe: Probe::Echo, ..plan() });
        let idle = Situation { idle_conns: 2, active_conns: 0, can_send: false, ..ready() };
        for (now, name) in [(0, "settle"), (0, "hold"), (5, "probe")] {
            assert_eq!(advance(&mut phases, now * S, idle), Some(name));
        }
        assert_eq!(advance(&mut phases, 6 * S, idle), None);
        assert_eq!(advance(&mut phases, 6 * S, Situation::default()), Some("close"));
        let mut phases = Phases::new(&StressPlan { probe: Probe::Echo, ..plan() });
        start(&mut phases, S, idle);
        // All have died: there is none to hold or to probe.
        assert_eq!(advance(&mut phases, 2 * S, Situation::default()), Some("close"));
    }

    #[test]
    fn a_worker_waits_for_the_start_message() {
        let mut phases = Phases::new(&plan());
        phases.awaiting_start = true;
        assert_eq!(advance(&mut phases, S, ready()), Some("settle"));
        assert_eq!(advance(&mut phases, 60 * S, ready()), None);
        phases.awaiting_start = false;
        assert_eq!(advance(&mut phases, 60 * S, ready()), Some("measure"));
    }

    #[test]
    fn a_search_and_a_sink_alone_have_phases_of_their_own() {
        let find_idle_timeout = Some(S);
        let mut phases = Phases::new(&StressPlan { find_idle_timeout, ..plan() });
        start(&mut phases, S, ready());
        assert_eq!((phases.current, phases.next(9 * S, &ready())), (Phase::IdleProbe, None));
        let over = Situation { search_is_over: true, ..ready() };
        assert_eq!(advance(&mut phases, 9 * S, over), Some("close"));
        let mut phases = Phases::new(&StressPlan { targets: Vec::new(), ..plan() });
        start(&mut phases, S, ready());
        assert_eq!(phases.next(600 * S, &Situation::default()), None);
        assert_eq!(phases.interrupt(600 * S).map(Phase::name), Some("finish"));
        assert!(!phases.is_interrupted);
    }

    #[test]
    fn the_first_signal_ends_a_run_in_order_and_the_second_at_once() {
        let mut phases = Phases::new(&plan());
        assert_eq!(phases.interrupt(S).map(Phase::name), Some("close"));
        assert!(phases.is_interrupted && phases.is_stopping);
        assert_eq!(phases.interrupt(S), Some(Phase::Done));
        let mut phases = Phases::new(&plan());
        let both = Situation { idle_conns: 1, ..ready() };
        start(&mut phases, S, both);
        let finish = phases.interrupt(2 * S).unwrap();
        phases.enter(finish, 2 * S);
        // Idle connections are not held any longer.
        let idle = Situation { active_conns: 0, ..both };
        assert_eq!((finish.name(), advance(&mut phases, 2 * S, idle)), ("finish", Some("close")));
    }
}
