//! Sends what is due by time rather than after an answer: messages at a rate, pulses and storms.

use std::time::Duration;

use crate::config::LoadKind;

use super::conns::Conns;
use super::group::{LoadGroup, LoadGroups};
use super::phases::Phase;

/// Sends what is due in this phase.
pub fn send_due(groups: &mut LoadGroups, conns: &mut Conns, phase: Phase, now: Duration) {
    if !phase.sends() {
        return;
    }
    for group in groups.iter_mut() {
        match group.kind() {
            LoadKind::Echo => send_messages(group, conns, now),
            LoadKind::Pulse => send_pulse(group, conns, now),
            LoadKind::Storm => repeat_storm(group, phase, now),
            LoadKind::Idle | LoadKind::Churn | LoadKind::Reset | LoadKind::Stream => {}
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

/// Permits one message to all connections at once.
fn send_pulse(group: &mut LoadGroup, conns: &mut Conns, now: Duration) {
    if group.due_count(now) == 0 {
        return;
    }
    let Some(due) = group.next_pulse() else { return };
    let permitted = group.keys().iter().filter(|key| conns.permit(**key, due)).count();
    group.pulse_sent(permitted);
}

/// Starts the next storm once all connections of the current one are closed.
fn repeat_storm(group: &mut LoadGroup, phase: Phase, now: Duration) {
    if !group.storm_is_over() {
        return;
    }
    if phase.measures() {
        group.record_storm(now);
    }
    if phase.due().is_some_and(|until| now < until) {
        group.start_storm(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{LoadPlan, StressPlan};
    use crate::stress::dial::LoadDialer;
    use crate::stress::load::RunClock;
    use crate::stress::pattern::Pattern;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn storms_follow_each_other_until_the_phase_ends() {
        let targets = vec![crate::config::Address::parse("127.0.0.1:7").unwrap()];
        let loads = vec![LoadPlan { kind: LoadKind::Storm, conns: Some(1) }];
        let plan = StressPlan { targets, loads, ..StressPlan::default() };
        let clock = RunClock::start();
        let mut groups = LoadGroups::new(&plan, Pattern::new(1).into(), clock);
        let dialer = LoadDialer::new(Vec::new(), &[]);
        let mut conns = Conns::new(groups.timeouts(&plan), 1, dialer, clock);
        let mut storm = |phase, now| {
            groups[0].dialed();
            groups[0].closed(false);
            send_due(&mut groups, &mut conns, phase, now);
            (groups[0].unopened(), groups[0].stats().rounds.count())
        };
        let (warm, load) = (
            Phase::Warm { since: MS, until: 10 * MS },
            Phase::Load { since: 10 * MS, until: 20 * MS },
        );
        assert_eq!(storm(warm, 5 * MS), (1, 0));
        assert_eq!(storm(load, 15 * MS), (1, 1));
        // The last one is measured, and none follows it.
        assert_eq!(storm(load, 20 * MS), (0, 2));
        assert_eq!(storm(Phase::Finish { until: 30 * MS }, 25 * MS), (0, 2));
    }
}
