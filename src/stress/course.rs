//! The course of a run: open what stays, measure what speaks, hold what is idle, close all.

use std::time::Duration;

use crate::core::{Key, Ready, Reason};
use crate::plan::LoadKind;

use super::group::Group;
use super::phase::Phase;
use super::runner::Runner;
use super::server_usage::LoopUsage;

/// A server that has not taken in its connections by then is measured as it is.
const SETTLE_MAX: Duration = Duration::from_secs(2);

/// Whoever overruns a timeout is told so by the timeout itself; only then comes the end for all.
pub(super) const GRACE: Duration = Duration::from_secs(1);

impl Runner {
    /// Goes on to the phase whose time it is. False, when all is over.
    pub(super) fn advance(&mut self) -> bool {
        loop {
            let before = self.phase;
            self.step();
            if self.phase == before {
                return self.phase != Phase::Over;
            }
        }
    }

    /// Goes on to the next phase if this one is over.
    fn step(&mut self) {
        let now = self.clock.now();
        let phase = self.phase;
        match phase {
            Phase::Ramp if self.ramp_is_over() => self.settle_in(now),
            Phase::Settle { .. } if self.waits_for_word => {}
            Phase::Settle { .. } if self.is_settled(now) => self.begin(now),
            Phase::Warm { .. } if self.phase.is_due(now) => self.measure(now),
            Phase::Load { until, .. } if self.window_is_over(until, now) => self.finish(now),
            Phase::Finish { .. } if self.talkers() == 0 => self.hold(now),
            Phase::Finish { .. } if self.phase.is_due(now) => {
                self.cut(|kind| kind != LoadKind::Idle);
                self.hold(now);
            }
            Phase::Hold { .. } if self.engine.is_empty() => self.close(now),
            Phase::Hold { .. } if self.phase.is_due(now) && self.probes() => self.probe(now),
            Phase::Hold { .. } if self.phase.is_due(now) => self.close(now),
            Phase::Probe { .. } if self.engine.is_empty() => self.close(now),
            Phase::Probe { .. } if self.phase.is_due(now) => {
                self.give_up_probes();
                self.close(now);
            }
            Phase::Find if !self.find() => self.close(now),
            Phase::Close { .. } if self.engine.is_empty() => self.phase = Phase::Over,
            Phase::Close { .. } if self.phase.is_due(now) => {
                self.cut(|_| true);
                self.phase = Phase::Over;
            }
            _ => {}
        }
    }

    /// Somebody wants it to end: what was measured so far stands. Once more: at once.
    pub(super) fn interrupt(&mut self) {
        let now = self.clock.now();
        if self.interrupted {
            // Whoever cannot wait does not learn how the connections would have ended.
            self.hurried = true;
            self.cut(|_| true);
            self.phase = Phase::Over;
            return;
        }
        self.early = !matches!(self.phase, Phase::Serve { .. });
        self.interrupted = true;
        self.forget_dialing();
        if self.phase == Phase::Ramp {
            self.ramp = now;
            self.ramp_curve.end(now, self.open_now());
        }
        match self.phase {
            Phase::Load { .. } | Phase::Serve { .. } => self.finish(now),
            Phase::Finish { .. } | Phase::Close { .. } | Phase::Over => {}
            _ => self.close(now),
        }
    }

    fn ramp_is_over(&self) -> bool {
        let mut staying = self.groups.iter().filter(|group| group.stays());
        staying.all(|group| group.lacks() == 0 && group.opening == 0)
    }

    /// All that stay are there.
    fn settle_in(&mut self, now: Duration) {
        self.ramp = now;
        self.ramp_curve.end(now, self.open_now());
        self.phase = Phase::Settle { until: now + SETTLE_MAX };
    }

    fn is_settled(&mut self, now: Duration) -> bool {
        self.phase.is_due(now) || self.engine.is_empty() || self.server_usage.is_at_rest(now)
    }

    fn begin(&mut self, now: Duration) {
        let staying = self.groups.iter().filter(|group| group.stays() && !group.load.far);
        let conns = staying.map(|group| group.open as u64).sum();
        self.server_usage.open(now, conns);
        (self.held_since, self.held_until) = (now, now + self.plan.hold);
        if self.plan.find_timeout.is_some() {
            self.groups[0].load.going.set(true);
            self.phase = Phase::Find;
            return;
        }
        if self.plan.targets.is_empty() {
            self.busy = LoopUsage::begin(now);
            self.phase = Phase::Serve { since: now };
            return;
        }
        let can_speak = |group: &Group| match group.stays() {
            true => group.open > 0 && group.kind != LoadKind::Idle,
            false => true,
        };
        if !self.groups.iter().any(can_speak) {
            return self.hold(now);
        }
        self.pace_anew();
        self.start_clocks(now);
        for group in &self.groups {
            group.load.going.set(true);
        }
        self.mark_talkers();
        match self.plan.warmup {
            Duration::ZERO => self.measure(now),
            warmup => self.phase = Phase::Warm { since: now, until: now + warmup },
        }
    }

    fn measure(&mut self, now: Duration) {
        self.groups.iter_mut().for_each(|group| group.tally.restart());
        self.busy = LoopUsage::begin(now);
        self.server_usage.begin(now);
        self.phase = Phase::Load { since: now, until: now + self.plan.duration };
    }

    /// A window has its time, and as much more as the first storm takes.
    fn window_is_over(&self, until: Duration, now: Duration) -> bool {
        let told = self.storms_are_told() || now >= until + self.plan.timeout();
        let silent = self.talkers() == 0 && self.groups.iter().all(Group::stays);
        now >= until && told || silent
    }

    /// The window is over: what was measured is noted, and those who speak come to their end.
    fn finish(&mut self, now: Duration) {
        if let Phase::Load { since, .. } | Phase::Serve { since } = self.phase {
            self.server_usage.end(now);
            self.busy.end(now);
            self.measured = Some((since, now));
            for group in &mut self.groups {
                group.tally.window = now - since;
                group.tally.open = group.open as u64;
            }
        }
        self.phase = Phase::Finish { until: now + self.plan.closing_timeout() + GRACE };
        for group in self.groups.iter().filter(|group| group.kind != LoadKind::Idle) {
            group.load.ending.set(true);
        }
        self.mark_talkers();
    }

    fn hold(&mut self, now: Duration) {
        match self.engine.is_empty() || self.interrupted {
            true => self.close(now),
            false => self.phase = Phase::Hold { since: now, until: self.held_until },
        }
    }

    /// Everything still there says its end.
    fn close(&mut self, now: Duration) {
        if !matches!(self.phase, Phase::Probe { .. }) {
            self.note_held(now);
        }
        self.listeners.close_now();
        for group in &self.groups {
            group.load.going.set(false);
            group.load.ending.set(true);
        }
        self.phase = Phase::Close { until: now + self.plan.closing_timeout() + GRACE };
        let keys: Vec<Key> = self.engine.iter().map(|(key, _)| key).collect();
        for key in keys {
            self.engine.mark(key.at(0), Ready::READ, &mut self.watch);
        }
    }

    /// What idle connections came to, before anybody asks or ends them.
    pub(super) fn note_held(&mut self, now: Duration) {
        self.server_usage.note_queue();
        self.server_usage.close(now);
        for group in self.groups.iter_mut().filter(|group| group.kind == LoadKind::Idle) {
            group.tally.open = group.open as u64;
            group.tally.window = now.saturating_sub(self.held_since);
        }
    }

    /// Connections that are not merely idle.
    fn talkers(&self) -> usize {
        let talking = self.groups.iter().filter(|group| group.kind != LoadKind::Idle);
        talking.map(|group| group.open + group.opening).sum()
    }

    fn mark_talkers(&mut self) {
        for group in 0..self.groups.len() {
            let keys = std::mem::take(&mut self.groups[group].keys);
            for key in &keys {
                self.engine.mark(*key, Ready::READ, &mut self.watch);
            }
            self.groups[group].keys = keys;
        }
    }

    /// Whoever ends a run early does not wait for connections that are not made yet, and how they
    /// would have ended nobody knows.
    fn forget_dialing(&mut self) {
        let dialing = self.engine.iter().filter(|(_, conn)| conn.dialing());
        let keys: Vec<Key> = dialing.map(|(key, _)| key).collect();
        let now = self.moment();
        self.hurried = true;
        for key in keys {
            self.engine.end(key, Reason::ConnectTimeout, now, &mut self.watch);
        }
        self.settle_closed();
        self.hurried = false;
    }

    /// Ends connections of these loads at once.
    fn cut(&mut self, which: impl Fn(LoadKind) -> bool) {
        let groups = &self.groups;
        let chosen =
            self.engine.iter().filter(|(key, _)| which(groups[self.watch.group(*key)].kind));
        let keys: Vec<(Key, bool)> = chosen.map(|(key, conn)| (key, conn.dialing())).collect();
        let now = self.moment();
        for (key, dialing) in keys {
            let reason = if dialing { Reason::ConnectTimeout } else { Reason::Cut };
            self.engine.end(key, reason, now, &mut self.watch);
        }
        // What their scripts told at the end counts too.
        self.settle();
    }
}
