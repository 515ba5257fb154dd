//! CPU and memory of the server at phase boundaries, and of this process.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::cost::{Cost, Meter};
use super::dial::ResolvedTarget;
use super::find_process::accept_queue;

/// Reads the server's costs: before the first connection, with all connections open, at both ends
/// of the measured window, and before closing.
#[derive(Debug, Default)]
pub struct ServerUsage {
    pub meter: Option<Meter>,
    pub base: Option<Cost>,
    pub open: Option<Cost>,
    pub begin: Option<Cost>,
    pub end: Option<Cost>,
    pub close: Option<Cost>,
    /// Connections not accepted when all were open, and length of the accept queue before closing.
    pub backlog: Backlog,
    pub queue_at_close: Option<u64>,
    /// The targets. Empty if they have no accept queue.
    targets: Vec<ResolvedTarget>,
    /// Whether the measured process or its children accept all connections.
    is_acceptor: bool,
    /// Number of the server's descriptors, and since when it has not changed.
    unchanged: (u64, Duration),
    read: Option<Cost>,
}

/// The state of the server when all persistent connections were open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Open persistent connections.
    pub conns: u64,
    /// Connections in the accept queues of the listeners. `None`: unknown.
    pub queue: Option<u64>,
    /// Descriptors the server has opened since before the first connection. `None`: unknown, or
    /// another process may accept.
    pub gained: Option<u64>,
}

/// Load of this process in the measured window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoopUsage {
    #[serde(skip)]
    since: Duration,
    pub window: Duration,
    pub turns: u64,
    /// Time the loop slept because there was nothing to do.
    pub slept: Duration,
    #[serde(skip)]
    cpu_before: Duration,
    pub cpu: Duration,
}

/// Time without a change of descriptors after which the server has accepted all connections.
const REST_TIME: Duration = Duration::from_millis(200);

/// Interval of readings for the timeline.
const READ_INTERVAL: Duration = Duration::from_secs(1);

impl ServerUsage {
    pub fn new(meter: Option<Meter>) -> ServerUsage {
        let base = meter.as_ref().map(|meter| meter.read(Duration::ZERO));
        ServerUsage { meter, base, read: base, ..ServerUsage::default() }
    }

    /// Enables checking whether the server accepts the connections to these targets.
    pub fn watching(self, targets: &[ResolvedTarget], is_acceptor: bool) -> ServerUsage {
        ServerUsage { targets: targets.to_vec(), is_acceptor, ..self }
    }

    /// Reads the costs with all `conns` persistent connections open.
    pub fn open(&mut self, now: Duration, conns: u64) {
        self.open = self.read(now);
        if self.targets.is_empty() {
            return;
        }
        let descriptors = |cost: Option<Cost>| cost.map(|cost| cost.descriptors);
        let known = descriptors(self.open).filter(|open| self.is_acceptor && *open > 0);
        let gained =
            known.zip(descriptors(self.base)).map(|(open, base)| open.saturating_sub(base));
        self.backlog = Backlog { conns, queue: accept_queue(&self.targets), gained };
    }

    /// Reads the costs at the start of the measured window.
    pub fn begin(&mut self, now: Duration) {
        self.begin = self.read_quickly(now);
    }

    /// Reads the costs at the end of the measured window.
    pub fn end(&mut self, now: Duration) {
        self.end = self.read_quickly(now);
    }

    /// Reads the costs before the connections are closed.
    pub fn close(&mut self, now: Duration) {
        self.close = self.read(now);
    }

    /// Records the accept queue. The last call before closing counts.
    pub fn record_queue(&mut self) {
        if !self.targets.is_empty() {
            self.queue_at_close = accept_queue(&self.targets);
        }
    }

    /// Returns the latest reading for the timeline, renewed when due.
    pub fn lately(&mut self, now: Duration) -> Option<Cost> {
        match self.read {
            Some(read) if now.saturating_sub(read.at) >= READ_INTERVAL => self.read_quickly(now),
            read => read,
        }
    }

    /// Whether the server has settled after the ramp, as far as known.
    pub fn is_at_rest(&mut self, now: Duration) -> bool {
        let Some(meter) = &self.meter else { return true };
        let descriptors = meter.descriptors();
        if descriptors != self.unchanged.0 {
            self.unchanged = (descriptors, now);
        }
        now.saturating_sub(self.unchanged.1) >= REST_TIME
    }

    fn read(&mut self, now: Duration) -> Option<Cost> {
        let cost = self.meter.as_ref().map(|meter| meter.read(now));
        self.read = cost.or(self.read);
        cost
    }

    /// Takes a cheap reading that does not delay the loads.
    fn read_quickly(&mut self, now: Duration) -> Option<Cost> {
        let (meter, before) = (self.meter.as_ref()?, self.read?);
        self.read = Some(meter.read_quickly(now, &before));
        self.read
    }
}

impl Backlog {
    /// Returns the number of connections not accepted. The queue length is exact. Without it the
    /// number of descriptors is used: an accepted connection takes at least one.
    pub fn waiting(&self) -> u64 {
        match (self.queue, self.gained) {
            (Some(queue), _) => queue.min(self.conns),
            (None, Some(gained)) => self.conns.saturating_sub(gained),
            (None, None) => 0,
        }
    }
}

impl LoopUsage {
    pub fn begin(now: Duration) -> LoopUsage {
        LoopUsage { since: now, cpu_before: own_cpu(), ..LoopUsage::default() }
    }

    pub fn end(&mut self, now: Duration) {
        self.window = now.saturating_sub(self.since);
        self.cpu = own_cpu().saturating_sub(self.cpu_before);
    }

    /// Share of the window in which the loop was not asleep.
    pub fn busy_share(&self) -> f64 {
        share(self.window.saturating_sub(self.slept), self.window)
    }

    /// Share of one CPU used in the window.
    pub fn cpu_share(&self) -> f64 {
        share(self.cpu, self.window)
    }

    /// Whether the loop hardly slept, so that it may limit the results.
    pub fn is_bottleneck(&self) -> bool {
        !self.window.is_zero() && self.busy_share() >= BOTTLENECK
    }

    pub fn merge(&mut self, other: &LoopUsage) {
        // The busiest process may have limited all.
        if other.busy_share() > self.busy_share() {
            (self.slept, self.window) = (other.slept, other.window);
        }
        self.turns += other.turns;
        self.cpu += other.cpu;
    }
}

/// Share of busy time from which the generator may limit the results.
const BOTTLENECK: f64 = 0.95;

fn share(part: Duration, whole: Duration) -> f64 {
    match whole.is_zero() {
        true => 0.0,
        false => part.as_secs_f64() / whole.as_secs_f64(),
    }
}

/// Returns the CPU time of this process.
#[cfg(unix)]
fn own_cpu() -> Duration {
    use rustix::time::{ClockId, clock_gettime};
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.max(0) as u64, time.tv_nsec.max(0) as u32)
}

#[cfg(not(unix))]
fn own_cpu() -> Duration {
    Duration::ZERO
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generator_that_never_slept_is_the_bottleneck() {
        let second = Duration::from_secs(1);
        let busy = |slept| LoopUsage { window: second, slept, ..LoopUsage::default() };
        assert!(busy(Duration::ZERO).is_bottleneck());
        assert!(!busy(Duration::from_millis(100)).is_bottleneck());
        assert!(!LoopUsage::default().is_bottleneck());
        let mut both = busy(second / 2);
        both.merge(&busy(Duration::ZERO));
        assert!(both.is_bottleneck());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_server_is_at_rest_when_its_descriptors_have_not_changed() {
        let mut server_usage = ServerUsage::new(Meter::of(std::process::id()));
        let far = Duration::from_secs(100);
        // Other tests open files meanwhile, so only the beginning is certain.
        assert!(server_usage.base.is_some() && !server_usage.is_at_rest(Duration::ZERO));
        assert_eq!(server_usage.lately(Duration::ZERO), server_usage.base);
        assert_eq!(server_usage.lately(far).unwrap().at, far);
        assert!(ServerUsage::new(None).is_at_rest(Duration::ZERO));
    }

    #[test]
    fn waiting_connections_are_counted_by_the_queue_or_by_the_descriptors() {
        let waiting = |queue, gained| Backlog { conns: 1000, queue, gained }.waiting();
        let table = [
            // The server has closed something else meanwhile.
            (Some(900), Some(99), 900),
            // A relay has two descriptors for each.
            (Some(400), Some(1200), 400),
            // A server whose sockets are no descriptors of its own.
            (Some(0), Some(0), 0),
            (None, Some(100), 900),
            (None, Some(1003), 0),
            (Some(7), None, 7),
            // Other clients wait there too.
            (Some(5000), None, 1000),
            (None, None, 0),
        ];
        for (queue, gained, expected) in table {
            assert_eq!(waiting(queue, gained), expected, "{queue:?} {gained:?}");
        }
    }
}
