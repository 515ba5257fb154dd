//! What the run cost: the server, read at the turning points of the run, and this process itself.

use std::time::Duration;

use super::backlog::Backlog;
use super::cost::{Cost, Meter};
use super::dial::Place;
use super::whose::accept_queue;

/// Reads what the server has spent: before the first connection, with all of them there, at both
/// ends of the measured window, and before they are closed.
#[derive(Debug, Default)]
pub struct ServerUsage {
    pub meter: Option<Meter>,
    pub base: Option<Cost>,
    pub open: Option<Cost>,
    pub begin: Option<Cost>,
    pub end: Option<Cost>,
    pub close: Option<Cost>,
    /// What the server had not accepted when all connections were there, and how many waited in its
    /// accept queue before they were closed.
    pub backlog: Backlog,
    pub queue_at_close: Option<u64>,
    /// Where connections go. Empty: nowhere where they could wait to be accepted.
    places: Vec<Place>,
    /// Every connection is accepted by the process that is measured, or by one that it started.
    is_acceptor: bool,
    /// The descriptors of the server, and since when there have been so many.
    still: (u64, Duration),
    read: Option<Cost>,
}

/// How much of the measured window this process had work.
#[derive(Clone, Copy, Debug, Default)]
pub struct LoopUsage {
    since: Duration,
    pub window: Duration,
    pub turns: u64,
    /// What the loop slept because there was nothing to do.
    pub slept: Duration,
    cpu_before: Duration,
    pub cpu: Duration,
}

/// A server whose descriptors have not changed for so long has taken in all connections.
const STILL: Duration = Duration::from_millis(200);

/// The server is asked so often for the timeline.
const READ_EVERY: Duration = Duration::from_secs(1);

impl ServerUsage {
    pub fn new(meter: Option<Meter>) -> ServerUsage {
        let base = meter.as_ref().map(|meter| meter.read(Duration::ZERO));
        ServerUsage { meter, base, read: base, ..ServerUsage::default() }
    }

    /// From now on it is looked whether the server accepts the connections to these places.
    pub fn watching(self, places: &[Place], is_acceptor: bool) -> ServerUsage {
        ServerUsage { places: places.to_vec(), is_acceptor, ..self }
    }

    /// All connections that stay are there, so many.
    pub fn open(&mut self, now: Duration, conns: u64) {
        self.open = self.read(now);
        if self.places.is_empty() {
            return;
        }
        let descriptors = |cost: Option<Cost>| cost.map(|cost| cost.descriptors);
        let known = descriptors(self.open).filter(|open| self.is_acceptor && *open > 0);
        let gained =
            known.zip(descriptors(self.base)).map(|(open, base)| open.saturating_sub(base));
        self.backlog = Backlog { conns, queue: accept_queue(&self.places), gained };
    }

    pub fn begin(&mut self, now: Duration) {
        self.begin = self.glance(now);
    }

    pub fn end(&mut self, now: Duration) {
        self.end = self.glance(now);
    }

    pub fn close(&mut self, now: Duration) {
        self.close = self.read(now);
    }

    /// Connections are still held: the last time that this was called counts.
    pub fn note_queue(&mut self) {
        if !self.places.is_empty() {
            self.queue_at_close = accept_queue(&self.places);
        }
    }

    /// For the timeline: the last reading, made anew from time to time.
    pub fn lately(&mut self, now: Duration) -> Option<Cost> {
        match self.read {
            Some(read) if now.saturating_sub(read.at) >= READ_EVERY => self.glance(now),
            read => read,
        }
    }

    /// Whether the server has come to rest after the ramp, as far as can be told.
    pub fn is_at_rest(&mut self, now: Duration) -> bool {
        let Some(meter) = &self.meter else { return true };
        let descriptors = meter.descriptors();
        if descriptors != self.still.0 {
            self.still = (descriptors, now);
        }
        now.saturating_sub(self.still.1) >= STILL
    }

    fn read(&mut self, now: Duration) -> Option<Cost> {
        let cost = self.meter.as_ref().map(|meter| meter.read(now));
        self.read = cost.or(self.read);
        cost
    }

    /// While the loads run, they are not kept waiting for it.
    fn glance(&mut self, now: Duration) -> Option<Cost> {
        let (meter, before) = (self.meter.as_ref()?, self.read?);
        self.read = Some(meter.glance(now, &before));
        self.read
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

    /// The share of the window in which the loop was not asleep.
    pub fn awake(&self) -> f64 {
        share(self.window.saturating_sub(self.slept), self.window)
    }

    /// The share in which it had a processor.
    pub fn running(&self) -> f64 {
        share(self.cpu, self.window)
    }

    /// It hardly ever slept: the figures may be its own limit and not the server's.
    pub fn is_bottleneck(&self) -> bool {
        !self.window.is_zero() && self.awake() >= BOTTLENECK
    }

    pub fn merge(&mut self, other: &LoopUsage) {
        // The busiest process of several may have been the limit of all.
        if other.awake() > self.awake() {
            (self.slept, self.window) = (other.slept, other.window);
        }
        self.turns += other.turns;
        self.cpu += other.cpu;
    }
}

/// A generator that is awake for more than this share of the time may be what limits the figures.
const BOTTLENECK: f64 = 0.95;

fn share(part: Duration, whole: Duration) -> f64 {
    match whole.is_zero() {
        true => 0.0,
        false => part.as_secs_f64() / whole.as_secs_f64(),
    }
}

/// The processor time of this process.
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
}
