//! Clients whose target has a full accept queue, and the time when each target is dialed again. The
//! system reports no event when the queue of a Unix socket has space again.
//!
//! There is one timer per target, however many clients wait for it: while the first one is refused,
//! the others would be too.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::core::Moment;
use crate::net::address::SocketAddress;

/// Delay before a target with a full accept queue is dialed again.
const RETRY_AFTER: Duration = Duration::from_millis(20);

/// Maximum number of waiting clients that are dialed again per turn, over all targets.
const RETRY_BUDGET: usize = 16;

/// The targets that clients wait for, by address: routes that share a target share its queue too.
#[derive(Default)]
pub struct Retries {
    targets: BTreeMap<SocketAddress, Waiting>,
}

/// The clients of one target.
struct Waiting {
    due: Moment,
    /// Ordered by connection id: the oldest client is dialed first.
    clients: BTreeSet<u32>,
}

impl Retries {
    /// Whether clients wait for this target. Then a new one must wait behind them.
    pub fn is_waited_for(&self, target: &SocketAddress) -> bool {
        self.targets.contains_key(target)
    }

    /// Adds a client of a target that others wait for already.
    pub fn wait(&mut self, target: &SocketAddress, client: u32, now: Moment) {
        let due = now.after(RETRY_AFTER);
        let waiting = || Waiting { due, clients: BTreeSet::new() };
        self.targets.entry(target.clone()).or_insert_with(waiting).clients.insert(client);
    }

    /// Adds a client that has just been refused, and restarts the target's delay.
    pub fn refused(&mut self, target: &SocketAddress, client: u32, now: Moment) {
        self.wait(target, client, now);
        if let Some(waiting) = self.targets.get_mut(target) {
            waiting.due = now.after(RETRY_AFTER);
        }
    }

    /// Removes a client that waits no longer.
    pub fn remove(&mut self, target: &SocketAddress, client: u32) {
        if let Some(waiting) = self.targets.get_mut(target) {
            waiting.clients.remove(&client);
            if waiting.clients.is_empty() {
                self.targets.remove(target);
            }
        }
    }

    /// Returns the targets that are due, and how many clients of each may be dialed.
    pub fn due(&self, now: Moment) -> (Vec<SocketAddress>, usize) {
        let due = self.targets.iter().filter(|(_, waiting)| waiting.due <= now);
        let due: Vec<SocketAddress> = due.map(|(target, _)| target.clone()).collect();
        let share = (RETRY_BUDGET / due.len().max(1)).max(1);
        (due, share)
    }

    /// Removes and returns the oldest client, if its target is still due.
    pub fn take(&mut self, target: &SocketAddress, now: Moment) -> Option<u32> {
        let waiting = self.targets.get(target).filter(|waiting| waiting.due <= now)?;
        let client = *waiting.clients.first()?;
        self.remove(target, client);
        Some(client)
    }

    /// Returns how long the loop may sleep until a target is due.
    pub fn sleep(&self, now: Moment) -> Option<Duration> {
        self.targets.values().map(|waiting| waiting.due.since(now)).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(port: u16) -> SocketAddress {
        SocketAddress::Inet(([127, 0, 0, 1], port).into())
    }

    fn at(ms: u64) -> Moment {
        Moment(ms * 1000)
    }

    #[test]
    fn one_timer_stands_for_all_who_wait_for_a_target() {
        let a = &target(1);
        let mut retries = Retries::default();
        assert_eq!(retries.sleep(at(0)), None);
        retries.refused(a, 7, at(0));
        (8..3000).for_each(|client| retries.wait(a, client, at(10)));
        assert_eq!(retries.sleep(at(10)), Some(Duration::from_millis(10)));
        assert_eq!(retries.take(a, at(19)), None);
        assert_eq!(retries.due(at(20)), (vec![a.clone()], RETRY_BUDGET));
        assert_eq!(retries.take(a, at(20)), Some(7));
        retries.refused(a, 7, at(20));
        // While the first client is refused, no other is dialed.
        assert_eq!(retries.take(a, at(20)), None);
        assert_eq!(retries.sleep(at(20)), Some(RETRY_AFTER));
        // While the target accepts, the next clients follow at once.
        assert_eq!(retries.take(a, at(40)), Some(7));
        assert_eq!(retries.take(a, at(40)), Some(8));
        assert_eq!(retries.sleep(at(40)), Some(Duration::ZERO));
    }

    #[test]
    fn targets_share_the_budget_and_are_removed_with_their_last_client() {
        let (a, b) = (&target(1), &target(2));
        let mut retries = Retries::default();
        retries.refused(a, 1, at(0));
        retries.refused(b, 2, at(5));
        assert_eq!(retries.due(at(20)), (vec![a.clone()], RETRY_BUDGET));
        assert_eq!(retries.due(at(25)), (vec![a.clone(), b.clone()], RETRY_BUDGET / 2));
        retries.remove(a, 1);
        assert!(!retries.is_waited_for(a) && retries.is_waited_for(b));
        assert_eq!(retries.take(b, at(25)), Some(2));
        assert_eq!(retries.sleep(at(25)), None);
    }
}
