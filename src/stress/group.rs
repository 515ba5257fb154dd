//! The running loads: how many connections each has and still needs, when it sends next, and its
//! statistics. Opening, sending and closing is done by the runner.

use std::ops::{Index, IndexMut};
use std::rc::Rc;
use std::time::Duration;

use crate::config::{LoadKind, StressPlan};
use crate::core::time::ticks;
use crate::core::{Key, Random, Timeouts};

use super::datagram_echo::DatagramEcho;
use super::failure::LoadFailure;
use super::load::{Load, Pace, RunClock};
use super::load_stats::LoadStats;
use super::pacer::Pacer;
use super::pattern::Pattern;
use super::script::{Script, ScriptKind};
use super::stream_echo::StreamEcho;

/// All loads of a run. The load of a sink is the last.
pub struct LoadGroups(Vec<LoadGroup>);

/// The loop's state of one load.
pub struct LoadGroup {
    kind: LoadKind,
    planned: usize,
    load: Rc<Load>,
    /// Connections attempted: all persistent ones, or those of the current storm.
    attempted: usize,
    /// Connections being established, and established ones.
    opening: usize,
    open: usize,
    /// Persistent connections that send.
    keys: Vec<Key>,
    stats: LoadStats,
    /// No connection is attempted before this time, since the last one failed.
    retry_at: Duration,
    /// When the last pulse was sent, or the current storm started.
    round: Duration,
    /// Answers missing in the current round.
    missing: usize,
    /// The pacer of a load with a rate, once it has started.
    pacer: Option<Pacer>,
}

/// Delay of the next connection of a load after a failed one, so that a server that refuses all
/// connections does not keep the loop busy.
const RETRY_DELAY: Duration = Duration::from_millis(10);

impl LoadGroups {
    pub fn new(plan: &StressPlan, pattern: Rc<Pattern>, clock: RunClock) -> LoadGroups {
        let load = |kind, far| {
            let mut load = Load::new(pattern.clone(), clock, plan.size, pace(kind, plan));
            (load.direction, load.count_only, load.far) = (plan.direction, plan.no_verify, far);
            (load.is_datagram, load.gso) = (plan.is_datagram(), plan.gso);
            load
        };
        let planned = plan.groups().into_iter();
        let near = planned.map(|(kind, conns)| LoadGroup::new(kind, conns, load(kind, false)));
        let stream = LoadKind::Stream;
        let far = plan.sink.iter().map(|_| LoadGroup::new(stream, 0, load(stream, true)));
        LoadGroups(near.chain(far).collect())
    }

    /// Returns the indexes of the loads.
    pub fn indexes(&self) -> std::ops::Range<usize> {
        0..self.0.len()
    }

    /// Returns the index of the load of a sink.
    pub fn sink_index(&self) -> usize {
        self.0.len() - 1
    }

    pub fn iter(&self) -> impl Iterator<Item = &LoadGroup> {
        self.0.iter()
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut LoadGroup> {
        self.0.iter_mut()
    }

    /// Returns the engine's timeouts for each load.
    pub fn timeouts(&self, plan: &StressPlan) -> Vec<Timeouts> {
        self.iter().map(|group| timeouts(group.kind, plan)).collect()
    }

    /// Returns the number of open connections.
    pub fn open(&self) -> u64 {
        self.iter().map(|group| group.open as u64).sum()
    }

    /// Returns the number of open persistent connections to the targets.
    pub fn persistent_open(&self) -> u64 {
        let persistent = self.iter().filter(|group| group.is_persistent() && !group.load.far);
        persistent.map(|group| group.open as u64).sum()
    }

    /// Returns the number of persistent connections of the plan.
    pub fn persistent_planned(&self) -> u64 {
        let persistent = self.iter().filter(|group| group.is_persistent());
        persistent.map(|group| group.planned as u64).sum()
    }

    /// Returns the number of idle connections, including those being established.
    pub fn idle_conns(&self) -> usize {
        self.iter().filter(|group| group.is_idle()).map(LoadGroup::conns).sum()
    }

    /// Returns the number of all other connections, including those being established.
    pub fn active_conns(&self) -> usize {
        self.iter().filter(|group| !group.is_idle()).map(LoadGroup::conns).sum()
    }

    /// Whether all persistent connections are open, or have failed.
    pub fn ramp_is_over(&self) -> bool {
        let mut persistent = self.iter().filter(|group| group.is_persistent());
        persistent.all(|group| group.unopened() == 0 && group.opening == 0)
    }

    /// Whether any load can send.
    pub fn can_send(&self) -> bool {
        self.iter().any(|group| match group.is_persistent() {
            true => group.open > 0 && !group.is_idle(),
            false => true,
        })
    }

    /// Whether every storm load has completed at least one storm.
    pub fn storms_measured(&self) -> bool {
        let mut storms = self.iter().filter(|group| group.kind == LoadKind::Storm);
        storms.all(|group| !group.stats.rounds.is_empty())
    }

    /// Starts the pacers of loads with a rate, and lets all loads send.
    pub fn start(&mut self, plan: &StressPlan, now: Duration) {
        let echo = |group: &&LoadGroup| group.kind == LoadKind::Echo;
        let senders: usize = self.iter().filter(echo).map(|group| group.keys.len()).sum();
        for group in self.iter_mut() {
            group.start_pacer(plan, senders, now);
            group.load.started.set(true);
        }
    }

    /// Lets no load send new messages. Connections close when their messages are answered.
    pub fn stop(&mut self) {
        for group in self.iter_mut() {
            group.load.started.set(false);
            group.load.ending.set(true);
        }
    }

    /// Stops the loads that send. Idle connections stay.
    pub fn stop_active(&mut self) {
        self.iter().filter(|group| !group.is_idle()).for_each(|group| group.load.ending.set(true));
    }

    /// Starts the measured window: clears what was measured before.
    pub fn start_window(&mut self) {
        self.iter_mut().for_each(|group| group.stats.restart());
    }

    /// Ends the measured window, which started at `since`.
    pub fn end_window(&mut self, since: Duration, now: Duration) {
        self.iter_mut().for_each(|group| group.record_window(since, now));
    }

    /// Ends the hold of idle connections, which started at `since`.
    pub fn end_hold(&mut self, since: Duration, now: Duration) {
        let idle = self.iter_mut().filter(|group| group.is_idle());
        idle.for_each(|group| group.record_window(since, now));
    }

    /// Returns when the next paced message is due.
    pub fn next_send(&self) -> Option<Duration> {
        let pacers = self.iter().filter_map(|group| group.pacer.as_ref());
        pacers.map(|pacer| pacer.due_at(pacer.sent)).min()
    }
}

impl IntoIterator for LoadGroups {
    type Item = LoadGroup;
    type IntoIter = std::vec::IntoIter<LoadGroup>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl Index<usize> for LoadGroups {
    type Output = LoadGroup;

    fn index(&self, index: usize) -> &LoadGroup {
        &self.0[index]
    }
}

impl IndexMut<usize> for LoadGroups {
    fn index_mut(&mut self, index: usize) -> &mut LoadGroup {
        &mut self.0[index]
    }
}

impl LoadGroup {
    pub fn new(kind: LoadKind, planned: usize, mut load: Load) -> LoadGroup {
        load.ends_after = match kind {
            kind if !kind.stays() => Some(u64::from(load.size > 0)),
            // Only with a probe.
            LoadKind::Idle if load.pace != Pace::Loop => Some(1),
            _ => None,
        };
        // Short connections send at once; persistent ones wait until all are open.
        load.started.set(!kind.stays());
        LoadGroup {
            kind,
            planned,
            load: Rc::new(load),
            attempted: 0,
            opening: 0,
            open: 0,
            keys: Vec::new(),
            stats: LoadStats::default(),
            retry_at: Duration::ZERO,
            round: Duration::ZERO,
            missing: 0,
            pacer: None,
        }
    }

    pub fn kind(&self) -> LoadKind {
        self.kind
    }

    /// Returns the number of connections of the plan.
    pub fn planned(&self) -> usize {
        self.planned
    }

    /// Returns the state shared with the scripts.
    pub fn load(&self) -> &Rc<Load> {
        &self.load
    }

    pub fn stats(&self) -> &LoadStats {
        &self.stats
    }

    pub fn stats_mut(&mut self) -> &mut LoadStats {
        &mut self.stats
    }

    pub fn into_stats(self) -> LoadStats {
        self.stats
    }

    pub fn is_idle(&self) -> bool {
        self.kind == LoadKind::Idle
    }

    /// Whether its connections are persistent: opened once, before measuring.
    pub fn is_persistent(&self) -> bool {
        self.kind.stays()
    }

    /// Returns the number of connections, including those being established.
    fn conns(&self) -> usize {
        self.opening + self.open
    }

    /// Returns the number of connections still to open.
    pub fn unopened(&self) -> usize {
        match self.kind {
            LoadKind::Churn | LoadKind::Reset if self.load.ending.get() => 0,
            LoadKind::Churn | LoadKind::Reset => self.planned - self.conns(),
            // A search for an idle timeout opens more than planned, on demand.
            _ => self.planned.saturating_sub(self.attempted),
        }
    }

    /// Returns the time before which no connection is attempted.
    pub fn retry_at(&self) -> Duration {
        self.retry_at
    }

    /// Counts a connection that is being established.
    pub fn dialed(&mut self) {
        self.attempted += 1;
        self.opening += 1;
    }

    /// Counts a connection that could not even be attempted.
    pub fn dial_failed(&mut self, failure: LoadFailure, now: Duration) {
        self.attempted += 1;
        self.stats.fail(failure);
        self.back_off(now);
    }

    /// Counts an established connection.
    pub fn connected(&mut self, key: Key, after: Duration) {
        self.opening -= 1;
        self.open += 1;
        self.stats.opened += 1;
        self.stats.connect.record(after);
        if self.is_persistent() && !self.is_idle() {
            self.keys.push(key.at(0));
        }
    }

    /// Counts a connection that the sink has accepted.
    pub fn accepted(&mut self) {
        self.open += 1;
        self.stats.opened += 1;
    }

    /// Counts a closed connection, which may never have been established.
    pub fn closed(&mut self, was_open: bool) {
        match was_open {
            true => self.open -= 1,
            false => self.opening -= 1,
        }
    }

    /// Delays the next connection after a failure.
    pub fn back_off(&mut self, now: Duration) {
        if !self.is_persistent() {
            self.retry_at = now + RETRY_DELAY;
        }
    }

    /// Returns the persistent connections that send. Closed ones may be among them.
    pub fn keys(&self) -> &[Key] {
        &self.keys
    }

    pub fn retain_keys(&mut self, is_kept: impl FnMut(&Key) -> bool) {
        self.keys.retain(is_kept);
    }

    /// Whether closed connections are among the keys.
    pub fn has_closed_keys(&self) -> bool {
        self.keys.len() > self.open
    }

    /// Returns how long a connection of this age has been idle.
    pub fn idle_time(&self, now: Duration, age: Duration) -> Duration {
        match self.kind {
            LoadKind::Pulse => age.min(now.saturating_sub(self.round)),
            _ => age,
        }
    }

    fn record_window(&mut self, since: Duration, now: Duration) {
        self.stats.open = self.open as u64;
        self.stats.window = now.saturating_sub(since);
    }

    /// Starts the pacer of a load with a rate. `senders`: connections that share the rate.
    fn start_pacer(&mut self, plan: &StressPlan, senders: usize, now: Duration) {
        let count = self.keys.len();
        self.round = now;
        match (self.kind, plan.rate) {
            (LoadKind::Pulse, _) => {
                self.load.interval.set(plan.burst_interval);
                self.pacer = Some(Pacer::new(now, 1.0 / plan.burst_interval.as_secs_f64()));
            }
            (LoadKind::Echo, Some(rate)) if count > 0 => {
                let share = rate.per_second() * count as f64 / senders as f64;
                // In turn, but not in the order of connecting.
                Random::new(self.load.pattern.seed()).shuffle(&mut self.keys);
                let pacer = Pacer::new(now, share);
                self.load.interval.set(pacer.interval(count));
                self.pacer = Some(pacer);
            }
            _ => {}
        }
    }

    /// Returns the number of messages or pulses that are due and not sent yet.
    pub fn due_count(&self, now: Duration) -> u64 {
        self.pacer.map_or(0, |pacer| pacer.due_count(now))
    }

    /// Returns the connection that sends the next message of a load with a rate, and when that was
    /// due. Each connection sends in turn.
    pub fn next_message(&mut self) -> Option<(Key, Duration)> {
        let pacer = self.pacer.as_mut()?;
        let (number, due) = (pacer.sent, pacer.due_at(pacer.sent));
        pacer.sent += 1;
        // All its connections may have failed while another load continues.
        let key = self.keys.get((number % self.keys.len().max(1) as u64) as usize)?;
        Some((*key, due))
    }

    /// Starts the next pulse. Returns when it was due.
    pub fn next_pulse(&mut self) -> Option<Duration> {
        let pacer = self.pacer.as_mut()?;
        self.round = pacer.due_at(pacer.sent);
        pacer.sent += 1;
        Some(self.round)
    }

    /// Records the number of connections that send in the current pulse.
    pub fn pulse_sent(&mut self, conns: usize) {
        self.missing = conns;
    }

    /// Counts one missing answer of a pulse less, and records the round after the last.
    pub fn count_missing(&mut self, now: Duration, measures: bool) {
        if self.kind != LoadKind::Pulse {
            return;
        }
        self.missing = self.missing.saturating_sub(1);
        if self.missing == 0 && measures && self.round > Duration::ZERO {
            self.stats.rounds.record(now.saturating_sub(self.round));
        }
    }

    /// Whether all connections of the current storm are closed.
    pub fn storm_is_over(&self) -> bool {
        self.unopened() == 0 && self.conns() == 0
    }

    /// Records the duration of a storm.
    pub fn record_storm(&mut self, now: Duration) {
        self.stats.rounds.record(now.saturating_sub(self.round));
    }

    /// Starts a new storm: all its connections are to be opened.
    pub fn start_storm(&mut self, now: Duration) {
        (self.attempted, self.round) = (0, now);
    }

    /// Creates the script of a new connection; `None` if it is only held. `probes`: an idle
    /// connection sends a message.
    pub fn script(&self, key: Key, probes: bool) -> Option<Box<Script>> {
        let script = match self.kind {
            LoadKind::Idle if probes => self.probe_script(key),
            LoadKind::Idle => return None,
            LoadKind::Stream => Script::bulk(&self.load, key),
            _ if self.load.is_datagram => {
                Script::new(&self.load, key, ScriptKind::DatagramEcho(DatagramEcho::default()))
            }
            _ => Script::new(&self.load, key, ScriptKind::StreamEcho(StreamEcho::default())),
        };
        Some(Box::new(script))
    }

    /// Creates a script that may send one message at once, and more when the loop permits.
    pub fn probe_script(&self, key: Key) -> Script {
        Script::new(&self.load, key, ScriptKind::StreamEcho(StreamEcho::with_permits(1)))
    }

    /// Creates the script of a connection that the sink has accepted.
    pub fn sink_script(&self, key: Key) -> Script {
        Script::new(&self.load, key, ScriptKind::Far(Vec::new()))
    }

    /// Whether this many received bytes end inside an answer.
    pub fn is_partial(&self, down: u64) -> bool {
        down.checked_rem(self.load.size as u64).is_some_and(|bytes| bytes > 0)
    }

    /// Computes the numbers of started and answered messages from the bytes sent and received.
    pub fn messages(&self, up: u64, down: u64) -> (u64, u64) {
        match self.load.size as u64 {
            0 => (0, 0),
            _ if self.kind == LoadKind::Stream || self.load.is_datagram => (0, 0),
            size => (up.div_ceil(size), down / size),
        }
    }
}

/// Returns what triggers the messages of a load.
fn pace(kind: LoadKind, plan: &StressPlan) -> Pace {
    match kind {
        LoadKind::Pulse => Pace::Loop,
        LoadKind::Idle if plan.find_idle_timeout.is_some() => Pace::Loop,
        LoadKind::Echo if plan.rate.is_some() => Pace::Loop,
        LoadKind::Echo => Pace::Answers(plan.depth as u64),
        _ => Pace::Answers(1),
    }
}

/// Returns the engine's timeouts for a load. Persistent connections may be idle for long, so the
/// loop itself checks for missing answers.
fn timeouts(kind: LoadKind, plan: &StressPlan) -> Timeouts {
    let timeout = Some(ticks(plan.timeout()));
    let idle = timeout.filter(|_| !kind.stays());
    let half_close = Some(ticks(plan.closing_timeout()));
    Timeouts { connect: timeout, idle, half_close, lifetime: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::LoadPlan;
    use crate::config::unit::Rate;
    use crate::stress::failure::{NO_ANSWER, Stage};

    const MS: Duration = Duration::from_millis(1);

    fn groups(kind: LoadKind, conns: usize, plan: StressPlan) -> (LoadGroups, StressPlan) {
        let targets = vec![crate::config::Address::parse("127.0.0.1:7").unwrap()];
        let loads = vec![LoadPlan { kind, conns: Some(conns) }];
        let plan = StressPlan { targets, loads, ..plan };
        (LoadGroups::new(&plan, Rc::new(Pattern::new(1)), RunClock::start()), plan)
    }

    fn connect(group: &mut LoadGroup, slots: std::ops::Range<u32>) {
        for slot in slots {
            group.dialed();
            group.connected(Key::new(1 + slot, slot as usize), MS);
        }
    }

    #[test]
    fn a_ramp_is_over_when_all_persistent_connections_are_open_or_have_failed() {
        let (mut groups, _) = groups(LoadKind::Idle, 3, StressPlan::default());
        connect(&mut groups[0], 0..1);
        groups[0].dial_failed(LoadFailure::new(Stage::Connect, NO_ANSWER), MS);
        assert_eq!((groups[0].unopened(), groups[0].retry_at()), (1, Duration::ZERO));
        groups[0].dialed();
        assert!(!groups.ramp_is_over());
        groups[0].closed(false);
        assert!(groups.ramp_is_over());
        assert_eq!((groups.open(), groups.idle_conns(), groups.active_conns()), (1, 1, 0));
    }

    #[test]
    fn short_connections_are_replaced_and_wait_after_a_failure() {
        let (mut groups, _) = groups(LoadKind::Churn, 2, StressPlan::default());
        connect(&mut groups[0], 0..2);
        assert_eq!(groups[0].unopened(), 0);
        groups[0].closed(true);
        groups[0].back_off(MS);
        assert_eq!((groups[0].unopened(), groups[0].retry_at()), (1, MS + RETRY_DELAY));
        groups.stop();
        assert_eq!(groups[0].unopened(), 0);
    }

    #[test]
    fn at_a_rate_each_connection_sends_once_before_one_sends_again() {
        let rate = Some(Rate { count: 1000, per: Duration::from_secs(1) });
        let (mut groups, plan) =
            groups(LoadKind::Echo, 8, StressPlan { rate, ..StressPlan::default() });
        connect(&mut groups[0], 0..8);
        groups.start(&plan, MS);
        assert_eq!((groups[0].due_count(8 * MS), groups.next_send()), (8, Some(MS)));
        let mut sent: Vec<(Key, Duration)> =
            (0..8).filter_map(|_| groups[0].next_message()).collect();
        assert_eq!((sent[0].1, sent[7].1), (MS, 8 * MS));
        sent.sort_by_key(|(key, _)| key.slot());
        assert!(sent.iter().enumerate().all(|(slot, (key, _))| key.slot() == slot), "{sent:?}");
        assert_eq!(groups[0].due_count(8 * MS), 0);
        groups[0].retain_keys(|_| false);
        assert_eq!((groups[0].next_message(), groups.next_send()), (None, Some(10 * MS)));
    }

    #[test]
    fn a_pulse_is_a_round_that_lasts_until_its_last_answer() {
        let burst_interval = 50 * MS;
        let plan = StressPlan { burst_interval, ..StressPlan::default() };
        let (mut groups, plan) = groups(LoadKind::Pulse, 2, plan);
        connect(&mut groups[0], 0..2);
        groups.start(&plan, MS);
        assert_eq!((groups[0].due_count(MS), groups[0].next_pulse()), (1, Some(MS)));
        groups[0].pulse_sent(2);
        groups[0].count_missing(3 * MS, true);
        assert!(groups[0].stats().rounds.is_empty());
        groups[0].count_missing(4 * MS, true);
        assert_eq!(groups[0].stats().rounds.count(), 1);
        assert_eq!(groups[0].idle_time(21 * MS, 60 * MS), 20 * MS);
    }

    #[test]
    fn a_storm_is_over_when_all_its_connections_are_closed() {
        let (mut groups, _) = groups(LoadKind::Storm, 2, StressPlan::default());
        connect(&mut groups[0], 0..2);
        groups[0].closed(true);
        assert!(!groups[0].storm_is_over());
        groups[0].closed(true);
        assert!(groups[0].storm_is_over() && !groups.storms_measured());
        groups[0].record_storm(MS);
        groups[0].start_storm(MS);
        assert!(groups.storms_measured() && groups[0].unopened() == 2);
    }
}
