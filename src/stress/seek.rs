//! The search for the silence that kills, carried out: connections are opened, asked and let go as
//! the finder wants it, and it is told what became of them.

use std::time::Duration;

use crate::core::{Key, Reason};

use super::failure::{self, Failure, NO_ANSWER};
use super::find::{Finder, Step};
use super::load_stats::How;
use super::phase::Phase;
use super::runner::Runner;

impl Runner {
    pub(super) fn find_due(&self) -> Option<Duration> {
        self.finder.as_ref().and_then(Finder::due)
    }

    /// Begins a round if none is under way, and does what is due in it. False, when all is known.
    pub(super) fn find(&mut self) -> bool {
        let Some(mut finder) = self.finder.take() else { return false };
        let now = self.clock.now();
        if finder.is_round_over() {
            let silences = finder.next_round();
            self.groups[0].sends = finder.sends();
            for silence in silences {
                match self.open_one(0) {
                    Ok(key) => finder.begin(key, silence),
                    Err(error) => self.refused(0, (&error).into()),
                }
            }
            if finder.is_round_over() {
                self.finder = Some(finder);
                return false;
            }
        }
        for step in finder.steps(now) {
            match step {
                Step::Ask(key) => drop(self.allow(key, now)),
                Step::GiveUp(key) => {
                    let now = self.moment();
                    self.engine.end(key, Reason::Drained, now, &mut self.watch);
                }
            }
        }
        self.finder = Some(finder);
        true
    }

    pub(super) fn found_connected(&mut self, key: Key) {
        let now = self.clock.now();
        if let Some(finder) = &mut self.finder {
            finder.connected(key, now);
        }
    }

    /// Whether a wrong answer only tells the search that the server does not echo.
    pub(super) fn may_be_no_echo(&self) -> bool {
        self.finder.as_ref().is_some_and(Finder::is_deciding)
    }

    /// True, if this connection belongs to the search, which has taken note of its answer.
    pub(super) fn found_answer(&mut self, key: Key) -> bool {
        let now = self.clock.now();
        let Some(finder) = &mut self.finder else { return false };
        if finder.answered(key, now) {
            let now = self.moment();
            self.engine.end(key, Reason::Drained, now, &mut self.watch);
        }
        true
    }

    /// The search need not wait for this connection: it failed.
    pub(super) fn found_failure(&mut self, key: Key) {
        if let Some(finder) = &mut self.finder {
            finder.failed(key);
        }
    }

    /// The search need not wait for this connection: its answer was wrong.
    pub(super) fn found_garbled(&mut self, key: Key) {
        if let Some(finder) = &mut self.finder {
            finder.garbled(key);
        }
    }

    /// True, if this connection belongs to the search, which has taken note of its end.
    pub(super) fn found_end(&mut self, key: Key, how: Option<How>) -> bool {
        let now = self.clock.now();
        let finding = self.phase == Phase::Find;
        let Some(finder) = &mut self.finder else { return false };
        if finding && !finder.closed(key, how, now) {
            self.groups[0].tally.fail(Failure::new(failure::Stage::Exchange, NO_ANSWER));
        }
        true
    }
}
