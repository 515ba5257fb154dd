//! The running loads: how many connections each has and still needs, when it sends next, and its
//! statistics. Opening, sending and closing is done by the runner.

use std::ops::{Deref, DerefMut};
use std::rc::Rc;
use std::time::Duration;

use crate::config::{LoadKind, LoadMode, StressPlan};
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
pub struct LoadGroups(pub Vec<LoadGroup>);

/// The loop's state of one load.
pub struct LoadGroup {
    pub mode: LoadMode,
    /// Number of connections of the plan.
    pub planned: usize,
    /// State shared with the scripts.
    pub load: Rc<Load>,
    /// Connections attempted: all persistent ones, or those of the current burst.
    attempted: usize,
    /// Connections being established, and established ones.
    opening: usize,
    open: usize,
    /// Persistent connections that send. Closed ones may be among them.
    pub keys: Vec<Key>,
    pub stats: LoadStats,
    /// No connection is attempted before this time, since the last one failed.
    pub retry_at: Duration,
    /// When the last burst was due, and whether it still runs.
    burst_since: Duration,
    is_bursting: bool,
    /// Answers missing in the burst. Not counted for short connections.
    missing: u64,
    /// The pacer of a load with a rate or a burst interval, once it has started.
    pacer: Option<Pacer>,
}

/// Delay of the next connection of a load after a failed one, so that a server that refuses all
/// connections does not keep the loop busy.
const RETRY_DELAY: Duration = Duration::from_millis(10);

impl LoadGroups {
    pub fn new(plan: &StressPlan, pattern: Rc<Pattern>, clock: RunClock) -> LoadGroups {
        let group = |mode, conns, far| {
            let mut load = Load::new(pattern.clone(), clock, plan.size, pace(mode, plan));
            (load.direction, load.count_only, load.far) = (plan.direction, plan.no_verify, far);
            (load.is_datagram, load.gso) = (plan.is_datagram(), plan.gso);
            LoadGroup::new(mode, conns, load)
        };
        let near = plan.groups().into_iter().map(|(mode, conns)| group(mode, conns, false));
        let far = plan.sink.iter().map(|_| group(LoadKind::Stream.into(), 0, true));
        LoadGroups(near.chain(far).collect())
    }

    /// Returns the engine's timeouts for each load.
    pub fn timeouts(&self, plan: &StressPlan) -> Vec<Timeouts> {
        self.iter().map(|group| timeouts(group.mode.kind, plan)).collect()
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

    /// Whether every load that starts a burst after the last one has completed at least one, if it
    /// has connections.
    pub fn bursts_measured(&self) -> bool {
        let mut bursts = self.iter().filter(|group| group.mode.burst && group.bursts_in_turn());
        bursts.all(|group| !group.stats.rounds.is_empty() || group.is_extinct())
    }

    /// Starts the pacers of loads with a rate, and lets all loads send.
    pub fn start(&mut self, plan: &StressPlan, now: Duration) {
        let paced = self.iter().filter(|group| group.is_steady_echo());
        let senders: usize = paced.map(|group| group.keys.len()).sum();
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

    /// Returns when the next paced message or burst is due.
    pub fn next_send(&self) -> Option<Duration> {
        let ready = self.iter().filter(|group| !(group.mode.burst && group.delays_burst()));
        let pacers = ready.filter_map(|group| group.pacer.as_ref());
        pacers.map(|pacer| pacer.due_at(pacer.sent)).min()
    }
}

impl Deref for LoadGroups {
    type Target = [LoadGroup];

    fn deref(&self) -> &[LoadGroup] {
        &self.0
    }
}

impl DerefMut for LoadGroups {
    fn deref_mut(&mut self) -> &mut [LoadGroup] {
        &mut self.0
    }
}

impl LoadGroup {
    fn new(mode: LoadMode, planned: usize, mut load: Load) -> LoadGroup {
        load.ends_after = match mode.kind {
            LoadKind::Churn => Some(u64::from(load.size > 0)),
            // Only with a probe.
            LoadKind::Idle if load.pace != Pace::Loop => Some(1),
            LoadKind::Idle | LoadKind::Echo | LoadKind::Stream => None,
        };
        load.aborts = mode.abort;
        // Short connections send at once; persistent ones wait until all are open.
        load.started.set(!mode.kind.stays());
        LoadGroup {
            mode,
            planned,
            load: Rc::new(load),
            attempted: 0,
            opening: 0,
            open: 0,
            keys: Vec::new(),
            stats: LoadStats::default(),
            retry_at: Duration::ZERO,
            burst_since: Duration::ZERO,
            is_bursting: false,
            missing: 0,
            pacer: None,
        }
    }

    pub fn is_idle(&self) -> bool {
        self.mode.kind == LoadKind::Idle
    }

    /// Whether it is an echo load whose connections do not send in bursts.
    pub fn is_steady_echo(&self) -> bool {
        self.mode.kind == LoadKind::Echo && !self.mode.burst
    }

    /// Whether its connections are idle most of the time, so that a close by the server is a death.
    pub fn is_held(&self) -> bool {
        let is_burst = self.mode.burst && self.is_persistent() && !self.load.is_datagram;
        self.is_idle() || is_burst
    }

    /// Whether its connections are persistent: opened once, before measuring.
    pub fn is_persistent(&self) -> bool {
        self.mode.kind.stays()
    }

    /// Returns the number of connections, including those being established.
    fn conns(&self) -> usize {
        self.opening + self.open
    }

    /// Returns the number of connections still to open.
    pub fn unopened(&self) -> usize {
        match (self.is_persistent(), self.mode.burst) {
            (false, false) if self.load.ending.get() => 0,
            (false, false) => self.planned - self.conns(),
            (false, true) if !self.is_bursting => 0,
            // A search for an idle timeout opens more than planned, on demand.
            _ => self.planned.saturating_sub(self.attempted),
        }
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

    /// Counts a connection that the sink has accepted, and creates its script.
    pub fn accepted(&mut self, key: Key) -> Script {
        self.open += 1;
        self.stats.opened += 1;
        Script::new(&self.load, key, ScriptKind::Far(Vec::new()))
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

    /// Whether closed connections are among the keys.
    pub fn has_closed_keys(&self) -> bool {
        self.keys.len() > self.open
    }

    /// Returns how long a connection of this age has been idle.
    pub fn idle_time(&self, now: Duration, age: Duration) -> Duration {
        match self.mode.burst {
            true => age.min(now.saturating_sub(self.burst_since)),
            false => age,
        }
    }

    fn record_window(&mut self, since: Duration, now: Duration) {
        self.stats.open = self.open as u64;
        self.stats.window = now.saturating_sub(since);
    }

    /// Starts the pacer of a load with a rate or a burst interval. `senders`: connections that
    /// share the rate.
    fn start_pacer(&mut self, plan: &StressPlan, senders: usize, now: Duration) {
        let count = self.keys.len();
        self.burst_since = now;
        if let Some(interval) = plan.burst_interval.filter(|_| self.mode.burst) {
            self.load.interval.set(interval);
            self.pacer = Some(Pacer::new(now, 1.0 / interval.as_secs_f64()));
        }
        if let Some(rate) = plan.rate.filter(|_| self.is_steady_echo() && count > 0) {
            let share = rate.per_second() * count as f64 / senders as f64;
            // In turn, but not in the order of connecting.
            Random::new(self.load.pattern.seed()).shuffle(&mut self.keys);
            let pacer = Pacer::new(now, share);
            self.load.interval.set(pacer.interval(count));
            self.pacer = Some(pacer);
        }
    }

    /// Returns the number of messages or bursts that are due and not sent yet.
    pub fn due_count(&self, now: Duration) -> u64 {
        self.pacer.map_or(0, |pacer| pacer.due_count(now))
    }

    /// Returns the connection that sends the next message of a load with a rate, and when that was
    /// due. Each connection sends in turn.
    pub fn next_message(&mut self) -> Option<(Key, Duration)> {
        let pacer = self.pacer.as_mut()?;
        let (number, due) = pacer.take();
        // All its connections may have failed while another load continues.
        let key = self.keys.get((number % self.keys.len().max(1) as u64) as usize)?;
        Some((*key, due))
    }

    /// Whether all its connections are persistent and closed.
    fn is_extinct(&self) -> bool {
        self.is_persistent() && self.open == 0
    }

    /// Whether a burst starts only after the last one. At an interval, persistent connections send
    /// whether the last burst is answered or not.
    fn bursts_in_turn(&self) -> bool {
        self.pacer.is_none() || !self.is_persistent()
    }

    /// Whether no burst can start now, even if one is due.
    fn delays_burst(&self) -> bool {
        self.is_extinct() || self.is_bursting && self.bursts_in_turn()
    }

    /// Starts the next burst, if one is due: the connections are to be opened, or to be permitted
    /// to send. Returns when it was due.
    pub fn start_burst(&mut self, now: Duration) -> Option<Duration> {
        if self.delays_burst() {
            return None;
        }
        let due = match &mut self.pacer {
            Some(pacer) if pacer.due_count(now) == 0 => return None,
            Some(pacer) => pacer.take().1,
            None => now,
        };
        if !self.is_persistent() {
            self.attempted = 0;
        }
        // A burst that overlaps the last one extends it.
        if !std::mem::replace(&mut self.is_bursting, true) {
            self.burst_since = due;
        }
        Some(due)
    }

    /// Records the number of connections that send in the burst.
    pub fn burst_sent(&mut self, conns: usize) {
        self.missing += conns as u64;
    }

    /// Counts missing answers of a burst less: they have arrived, or never will.
    pub fn count_missing(&mut self, answers: u64) {
        self.missing = self.missing.saturating_sub(answers);
    }

    /// Ends the burst once all answers have arrived, or all its short connections are closed.
    pub fn end_burst(&mut self, now: Duration, measures: bool) {
        let is_over = match self.is_persistent() {
            true => self.missing == 0,
            false => self.unopened() == 0 && self.conns() == 0,
        };
        if self.is_bursting && is_over {
            self.is_bursting = false;
            if measures {
                self.stats.rounds.record(now.saturating_sub(self.burst_since));
            }
        }
    }

    /// Creates the script of a new connection; `None` if it is only held. `probes`: an idle
    /// connection sends a message.
    pub fn script(&self, key: Key, probes: bool) -> Option<Box<Script>> {
        let script = match self.mode.kind {
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

    /// Whether this many received bytes end inside an answer.
    pub fn is_partial(&self, down: u64) -> bool {
        down.checked_rem(self.load.size as u64).is_some_and(|bytes| bytes > 0)
    }

    /// Computes the numbers of started and answered messages from the bytes sent and received.
    pub fn messages(&self, up: u64, down: u64) -> (u64, u64) {
        match self.load.size as u64 {
            0 => (0, 0),
            _ if self.mode.kind == LoadKind::Stream || self.load.is_datagram => (0, 0),
            size => (up.div_ceil(size), down / size),
        }
    }
}

/// Returns what triggers the messages of a load.
fn pace(mode: LoadMode, plan: &StressPlan) -> Pace {
    match mode.kind {
        LoadKind::Idle if plan.find_idle_timeout.is_some() => Pace::Loop,
        LoadKind::Echo if mode.burst || plan.rate.is_some() => Pace::Loop,
        LoadKind::Echo => Pace::Answers(plan.depth as u64),
        LoadKind::Idle | LoadKind::Churn | LoadKind::Stream => Pace::Answers(1),
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
        let loads = vec![LoadPlan { mode: kind.into(), conns: Some(conns) }];
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
        assert_eq!((groups[0].unopened(), groups[0].retry_at), (1, Duration::ZERO));
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
        assert_eq!((groups[0].unopened(), groups[0].retry_at), (1, MS + RETRY_DELAY));
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
        groups[0].keys.retain(|_| false);
        assert_eq!((groups[0].next_message(), groups.next_send()), (None, Some(10 * MS)));
    }

    #[test]
    fn a_burst_of_messages_lasts_until_its_last_answer() {
        let plan = StressPlan { burst: true, ..StressPlan::default() };
        let (mut groups, plan) = groups(LoadKind::Echo, 2, plan);
        connect(&mut groups[0], 0..2);
        groups.start(&plan, MS);
        assert_eq!((groups[0].start_burst(MS), groups.next_send()), (Some(MS), None));
        groups[0].burst_sent(2);
        groups[0].count_missing(1);
        groups[0].end_burst(3 * MS, true);
        assert!(groups[0].start_burst(3 * MS).is_none() && !groups.bursts_measured());
        groups[0].count_missing(1);
        groups[0].end_burst(4 * MS, true);
        assert_eq!(groups[0].stats.rounds.count(), 1);
        assert!(groups.bursts_measured());
        // Without an interval the next one follows at once.
        assert_eq!(groups[0].start_burst(9 * MS), Some(9 * MS));
        assert_eq!(groups[0].idle_time(21 * MS, 60 * MS), 12 * MS);
    }

    #[test]
    fn bursts_at_an_interval_do_not_wait_for_late_answers() {
        let burst_interval = Some(50 * MS);
        let plan = StressPlan { burst: true, burst_interval, ..StressPlan::default() };
        let (mut groups, plan) = groups(LoadKind::Echo, 2, plan);
        connect(&mut groups[0], 0..2);
        groups.start(&plan, MS);
        for (now, due) in [(1, Some(MS)), (50, None), (60, Some(51 * MS)), (60, None)] {
            groups[0].end_burst(now * MS, true);
            assert_eq!(groups[0].start_burst(now * MS), due, "{now}");
            groups[0].burst_sent(if due.is_some() { 2 } else { 0 });
        }
        assert_eq!(groups.next_send(), Some(101 * MS));
        // The one that was answered late counts as one burst with the other.
        groups[0].count_missing(4);
        groups[0].end_burst(71 * MS, true);
        let rounds = &groups[0].stats.rounds;
        assert_eq!((rounds.count(), rounds.max().as_millis()), (1, 70));
        (0..2).for_each(|_| groups[0].closed(true));
        assert_eq!((groups[0].start_burst(200 * MS), groups.next_send()), (None, None));
    }

    #[test]
    fn a_burst_of_connects_is_over_when_all_its_connections_are_closed() {
        for burst_interval in [None, Some(2 * MS)] {
            let plan = StressPlan { burst: true, burst_interval, ..StressPlan::default() };
            let (mut groups, plan) = groups(LoadKind::Churn, 2, plan);
            groups.start(&plan, MS);
            assert_eq!(groups[0].unopened(), 0);
            assert_eq!((groups[0].start_burst(MS), groups[0].unopened()), (Some(MS), 2));
            connect(&mut groups[0], 0..2);
            for is_over in [false, true] {
                groups[0].closed(true);
                groups[0].end_burst(5 * MS, true);
                assert_eq!(groups.bursts_measured(), is_over);
                // At an interval the next burst has been due, and is measured from then on.
                let due = burst_interval.map_or(5 * MS, |_| 3 * MS);
                let started = groups[0].start_burst(5 * MS);
                assert_eq!(started, is_over.then_some(due));
            }
            assert_eq!(groups[0].unopened(), 2);
        }
    }
}
