//! Everything that is triggered by time rather than by an answer: messages at a rate, pulses,
//! storms, and timeouts of missing answers.

use std::time::Duration;

use crate::config::LoadKind;
use crate::core::{Key, Moment, Random, Reason};

use super::endpoint::Endpoint;
use super::pacer::Pacer;
use super::phase::Phase;
use super::runner::Runner;

/// Minimum interval between two scans for missing answers.
const SCAN_INTERVAL: Duration = Duration::from_millis(100);

impl Runner {
    /// Starts the pacers of loads with a rate.
    pub(super) fn start_pacers(&mut self, now: Duration) {
        let senders: usize = self
            .groups
            .iter()
            .filter(|group| group.kind == LoadKind::Echo)
            .map(|group| group.keys.len())
            .sum();
        let (rate, interval) = (self.plan.rate, self.plan.burst_interval);
        for group in &mut self.groups {
            let count = group.keys.len();
            group.round = now;
            match group.kind {
                LoadKind::Pulse => {
                    group.load.interval.set(interval);
                    group.pacer = Some(Pacer::new(now, 1.0 / interval.as_secs_f64()));
                }
                LoadKind::Echo if rate.is_some() && count > 0 => {
                    let all = rate.map_or(0.0, |rate| rate.per_second());
                    let share = all * count as f64 / senders as f64;
                    // In turn, but not in the order of connecting.
                    Random::new(group.load.pattern.seed()).shuffle(&mut group.keys);
                    let pacer = Pacer::new(now, share);
                    group.load.interval.set(pacer.interval(count));
                    group.pacer = Some(pacer);
                }
                _ => {}
            }
        }
    }

    /// Sends what is due, and handles missing answers.
    pub(super) fn send_due(&mut self) {
        let now = self.clock.now();
        for group in 0..self.groups.len() {
            match self.groups[group].kind {
                LoadKind::Echo => self.send_paced(group, now),
                LoadKind::Pulse => self.pulse(group, now),
                LoadKind::Storm => self.storm(group, now),
                _ => {}
            }
        }
        if now >= self.next_scan {
            self.next_scan = now + SCAN_INTERVAL;
            match self.plan.is_datagram() {
                true => self.give_up_datagrams(now),
                false => self.next_scan = self.next_scan.max(self.give_up_waiting()),
            }
        }
    }

    /// Returns when the next paced message is due.
    pub(super) fn next_send(&self) -> Option<Duration> {
        if !self.phase.sends() {
            return None;
        }
        let pacers = self.groups.iter().filter_map(|group| group.pacer.as_ref());
        pacers.map(|pacer| pacer.due_at(pacer.sent)).min()
    }

    /// Permits one message per due time, to each connection in turn.
    fn send_paced(&mut self, group: usize, now: Duration) {
        let Some(mut pacer) = self.groups[group].pacer.filter(|_| self.phase.sends()) else {
            return;
        };
        let keys = std::mem::take(&mut self.groups[group].keys);
        for _ in 0..pacer.due_count(now) {
            let key = keys[(pacer.sent % keys.len() as u64) as usize];
            self.permit(key, pacer.due_at(pacer.sent));
            pacer.sent += 1;
        }
        self.groups[group].keys = keys;
        self.groups[group].pacer = Some(pacer);
    }

    /// Permits one message to all connections at once.
    fn pulse(&mut self, group: usize, now: Duration) {
        let Some(mut pacer) = self.groups[group].pacer.filter(|_| self.phase.sends()) else {
            return;
        };
        if pacer.due_count(now) == 0 {
            return;
        }
        let due = pacer.due_at(pacer.sent);
        pacer.sent += 1;
        let keys = std::mem::take(&mut self.groups[group].keys);
        let permitted = keys.iter().filter(|key| self.permit(**key, due)).count();
        let of = &mut self.groups[group];
        (of.keys, of.pacer, of.round, of.missing) = (keys, Some(pacer), due, permitted);
    }

    /// Permits one more message. Returns false if the connection is gone.
    pub(super) fn permit(&mut self, key: Key, due: Duration) -> bool {
        let line = self.engine.get(key).and_then(|conn| conn.ends.socket(0));
        let Some(Endpoint::Script(script)) = line else { return false };
        script.permit(due);
        self.wake(key);
        true
    }

    /// Starts the next storm once all connections of the current one are closed.
    fn storm(&mut self, group: usize, now: Duration) {
        let of = &mut self.groups[group];
        let is_over = of.unopened() == 0 && of.opening + of.open == 0;
        if !self.phase.sends() || !is_over {
            return;
        }
        if self.phase.measures() {
            of.stats.rounds.record(now.saturating_sub(of.round));
        }
        if self.phase.due().is_some_and(|until| now < until) {
            (of.attempted, of.round) = (0, now);
        }
    }

    /// Whether every storm load has completed at least one storm.
    pub(super) fn storms_measured(&self) -> bool {
        let mut storms = self.groups.iter().filter(|group| group.kind == LoadKind::Storm);
        storms.all(|group| !group.stats.rounds.is_empty())
    }

    /// Counts overdue datagrams as lost and permits new ones. Closes finished sockets, since
    /// datagrams have no end of file.
    fn give_up_datagrams(&mut self, now: Duration) {
        let sent_before = now.saturating_sub(self.plan.timeout());
        for group in 0..self.groups.len() {
            let ending = self.groups[group].load.ending.get();
            for key in std::mem::take(&mut self.groups[group].keys) {
                let line = self.engine.get(key).and_then(|conn| conn.ends.socket(0));
                let Some(Endpoint::Script(script)) = line else { continue };
                script.expire(sent_before);
                if ending && !script.waits() {
                    self.end(key, Reason::Drained);
                    continue;
                }
                self.wake(key);
                self.groups[group].keys.push(key);
            }
        }
    }

    /// Closes connections that have waited too long for an answer. Returns when the next one can be
    /// due: there may be a million to scan.
    fn give_up_waiting(&mut self) -> Duration {
        let timeout = crate::core::time::ticks(self.plan.timeout());
        if !matches!(self.phase, Phase::Load { .. } | Phase::Warm { .. }) {
            return Duration::ZERO;
        }
        let now = self.moment();
        let (mut late, mut longest) = (Vec::new(), now.tick());
        let senders = self.groups.iter().filter(|group| group.kind != LoadKind::Idle);
        for key in senders.flat_map(|group| &group.keys) {
            let Some(conn) = self.engine.get(*key) else { continue };
            if !matches!(conn.ends.socket(0), Some(Endpoint::Script(s)) if s.waits()) {
                continue;
            }
            match now.tick().saturating_sub(conn.active) > timeout {
                true => late.push(*key),
                false => longest = longest.min(conn.active),
            }
        }
        for key in late {
            self.end(key, Reason::IdleTimeout);
        }
        for group in &mut self.groups {
            // Closed connections receive no more permits.
            if group.keys.len() > group.open {
                let engine = &mut self.engine;
                group.keys.retain(|key| engine.get(*key).is_some());
            }
        }
        Moment::at_tick(longest + timeout + 1).since(Moment(0))
    }
}
