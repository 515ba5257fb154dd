//! Scans connections for overdue answers, and closes those that have waited too long.

use std::time::Duration;

use crate::config::StressPlan;
use crate::core::time::ticks;
use crate::core::{Moment, Reason};

use super::conns::Conns;
use super::group::{LoadGroup, LoadGroups};
use super::phases::Phase;

/// Scans the connections that send, at most once per interval.
#[derive(Clone, Copy, Debug)]
pub struct AnswerScan {
    /// Maximum time for an answer.
    timeout: Duration,
    is_datagram: bool,
    next: Duration,
}

/// Minimum interval between two scans.
const SCAN_INTERVAL: Duration = Duration::from_millis(100);

impl AnswerScan {
    pub fn new(plan: &StressPlan) -> AnswerScan {
        let (timeout, is_datagram) = (plan.timeout(), plan.is_datagram());
        AnswerScan { timeout, is_datagram, next: Duration::ZERO }
    }

    /// Closes connections whose answers are overdue, if a scan is due.
    pub fn run(&mut self, groups: &mut LoadGroups, conns: &mut Conns, phase: Phase, now: Duration) {
        if !self.start(now) {
            return;
        }
        match self.is_datagram {
            true => groups.iter_mut().for_each(|group| self.expire_datagrams(group, conns, now)),
            false if phase.sends() => self.end_overdue(groups, conns),
            false => {}
        }
    }

    /// Whether a scan is due. If so, starts the next interval.
    fn start(&mut self, now: Duration) -> bool {
        let is_due = now >= self.next;
        if is_due {
            self.next = now + SCAN_INTERVAL;
        }
        is_due
    }

    /// Closes connections that have waited too long for an answer. The next scan takes place when
    /// another one can be overdue: there may be a million to scan.
    fn end_overdue(&mut self, groups: &mut LoadGroups, conns: &mut Conns) {
        let (now, timeout) = (conns.moment().tick(), ticks(self.timeout));
        let (mut overdue, mut longest) = (Vec::new(), now);
        let senders = groups.iter().filter(|group| !group.is_idle());
        for key in senders.flat_map(|group| &group.keys) {
            match conns.waits_since(*key) {
                None => {}
                Some(since) if now.saturating_sub(since) > timeout => overdue.push(*key),
                Some(since) => longest = longest.min(since),
            }
        }
        overdue.into_iter().for_each(|key| conns.end(key, Reason::IdleTimeout));
        for group in groups.iter_mut().filter(|group| group.has_closed_keys()) {
            group.keys.retain(|key| conns.contains(*key));
        }
        let due = Moment::at_tick(longest + timeout + 1).since(Moment(0));
        self.next = self.next.max(due);
    }

    /// Counts overdue datagrams of a load as lost, and lets its sockets send again. Closes finished
    /// sockets, since datagrams have no end of file.
    fn expire_datagrams(&self, group: &mut LoadGroup, conns: &mut Conns, now: Duration) {
        let sent_before = now.saturating_sub(self.timeout);
        let is_ending = group.load.ending.get();
        group.keys.retain(|key| {
            let Some(script) = conns.script(*key) else { return false };
            script.expire(sent_before);
            let is_finished = is_ending && !script.waits();
            match is_finished {
                true => conns.end(*key, Reason::Drained),
                false => conns.wake(*key),
            }
            !is_finished
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scan_is_due_once_per_interval() {
        let mut scan = AnswerScan::new(&StressPlan::default());
        let ms = Duration::from_millis;
        assert_eq!(
            [0, 50, 99, 100, 150].map(|at| scan.start(ms(at))),
            [true, false, false, true, false]
        );
    }
}
