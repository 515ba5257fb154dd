//! Sends what is due by time rather than after an answer: messages at a rate, and bursts.

use std::time::Duration;

use super::conns::Conns;
use super::group::{LoadGroup, LoadGroups};
use super::phases::Phase;

/// Sends what is due in this phase.
pub fn send_due(groups: &mut LoadGroups, conns: &mut Conns, phase: Phase, now: Duration) {
    for group in groups.iter_mut().filter(|_| phase.sends()) {
        match group.mode.burst {
            true => send_burst(group, conns, phase, now),
            false => send_messages(group, conns, now),
        }
    }
}

/// Permits one message per due time, to each connection in turn.
fn send_messages(group: &mut LoadGroup, conns: &mut Conns, now: Duration) {
    for _ in 0..group.due_count(now) {
        if let Some((key, due)) = group.next_message() {
            conns.permit(key, due);
        }
    }
}

/// Ends the current burst if it is over, and starts the next one if it is due.
fn send_burst(group: &mut LoadGroup, conns: &mut Conns, phase: Phase, now: Duration) {
    group.end_burst(now, phase.measures());
    if let Some(due) = group.start_burst(now) {
        let permitted = group.keys.iter().filter(|key| conns.permit(**key, due)).count();
        group.burst_sent(permitted);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{LoadKind, LoadPlan, StressPlan};
    use crate::stress::dial::LoadDialer;
    use crate::stress::load::RunClock;
    use crate::stress::pattern::Pattern;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn bursts_follow_each_other_until_the_phase_ends() {
        let targets = vec![crate::config::Address::parse("127.0.0.1:7").unwrap()];
        let loads = vec![LoadPlan { mode: LoadKind::Churn.into(), conns: Some(1) }];
        let plan = StressPlan { targets, loads, burst: true, ..StressPlan::default() };
        let clock = RunClock::start();
        let mut groups = LoadGroups::new(&plan, Pattern::new(1).into(), clock);
        let dialer = LoadDialer::new(Vec::new(), &[]);
        let mut conns = Conns::new(groups.timeouts(&plan), 1, dialer, clock);
        let mut burst = |phase, now| {
            if groups[0].unopened() > 0 {
                groups[0].dialed();
                groups[0].closed(false);
            }
            send_due(&mut groups, &mut conns, phase, now);
            (groups[0].unopened(), groups[0].stats.rounds.count())
        };
        let (warm, load) = (
            Phase::Warm { since: MS, until: 10 * MS },
            Phase::Load { since: 10 * MS, until: 20 * MS },
        );
        assert_eq!(burst(Phase::Ramp, MS), (0, 0));
        assert_eq!(burst(warm, 2 * MS), (1, 0));
        assert_eq!(burst(warm, 5 * MS), (1, 0));
        assert_eq!(burst(load, 15 * MS), (1, 1));
        // The last one is measured even if it ends late.
        assert_eq!(burst(load, 25 * MS), (1, 2));
        let finish = Phase::Finish { until: 30 * MS };
        assert_eq!(burst(finish, 26 * MS), (0, 2));
        assert_eq!(burst(finish, 27 * MS), (0, 2));
    }
}
