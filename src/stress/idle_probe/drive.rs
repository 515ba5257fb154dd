//! Drives the search for an idle timeout: opens, probes and closes connections as the search
//! requests, and passes it the results.

use std::time::Duration;

use crate::core::{Key, Reason};

use super::{IdleProbe, ProbeAction};
use crate::stress::failure::{self, LoadFailure, NO_ANSWER};
use crate::stress::load_stats::DeathCause;
use crate::stress::phase::Phase;
use crate::stress::runner::Runner;

impl Runner {
    /// Returns when the search has to act next.
    pub(in crate::stress) fn idle_probe_due(&self) -> Option<Duration> {
        self.idle_probe.as_ref().and_then(IdleProbe::due)
    }

    /// Starts a round if none is running, and executes what is due. Returns false at the end of the
    /// search.
    pub(in crate::stress) fn run_idle_probe(&mut self) -> bool {
        let Some(mut idle_probe) = self.idle_probe.take() else { return false };
        let now = self.clock.now();
        if idle_probe.is_round_over() {
            let idle_times = idle_probe.next_round();
            self.groups[0].sends = idle_probe.sends();
            for idle_time in idle_times {
                match self.open_one(0) {
                    Ok(key) => idle_probe.begin(key, idle_time),
                    Err(error) => self.connect_failed(0, (&error).into()),
                }
            }
            if idle_probe.is_round_over() {
                self.idle_probe = Some(idle_probe);
                return false;
            }
        }
        for action in idle_probe.actions(now) {
            match action {
                ProbeAction::Send(key) => drop(self.permit(key, now)),
                ProbeAction::Close(key) => {
                    self.end(key, Reason::Drained);
                }
            }
        }
        self.idle_probe = Some(idle_probe);
        true
    }

    /// Passes an established connection to the search.
    pub(in crate::stress) fn idle_probe_connected(&mut self, key: Key) {
        let now = self.clock.now();
        if let Some(idle_probe) = &mut self.idle_probe {
            idle_probe.connected(key, now);
        }
    }

    /// Whether a wrong answer only means that the server does not echo.
    pub(in crate::stress) fn is_deciding_mode(&self) -> bool {
        self.idle_probe.as_ref().is_some_and(IdleProbe::is_deciding)
    }

    /// Passes an answer to the search. Returns false if there is none.
    pub(in crate::stress) fn idle_probe_answered(&mut self, key: Key) -> bool {
        let now = self.clock.now();
        let Some(idle_probe) = &mut self.idle_probe else { return false };
        if idle_probe.answered(key, now) {
            self.end(key, Reason::Drained);
        }
        true
    }

    /// Passes a failed connection to the search.
    pub(in crate::stress) fn idle_probe_failed(&mut self, key: Key) {
        if let Some(idle_probe) = &mut self.idle_probe {
            idle_probe.failed(key);
        }
    }

    /// Passes a wrong answer to the search.
    pub(in crate::stress) fn idle_probe_wrong_answer(&mut self, key: Key) {
        if let Some(idle_probe) = &mut self.idle_probe {
            idle_probe.wrong_answer(key);
        }
    }

    /// Passes the end of a connection to the search. Returns false if there is none.
    pub(in crate::stress) fn idle_probe_closed(
        &mut self,
        key: Key,
        how: Option<DeathCause>,
    ) -> bool {
        let now = self.clock.now();
        let is_searching = self.phase == Phase::IdleProbe;
        let Some(idle_probe) = &mut self.idle_probe else { return false };
        if is_searching && !idle_probe.closed(key, how, now) {
            self.groups[0].stats.fail(LoadFailure::new(failure::Stage::Exchange, NO_ANSWER));
        }
        true
    }
}
