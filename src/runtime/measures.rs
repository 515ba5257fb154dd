//! Read-only figures of the loop, for the metrics and the admin endpoint. They cost nothing until
//! they are read.

use std::time::SystemTime;

use super::hubs::HubSums;
use super::loop_stats::LoopStats;
use super::reactor::Reactor;
use super::route_totals::{NamedCounts, OpenRoute};
use crate::core::{EngineCounts, PumpCounts};

impl Reactor {
    /// Lets the loop read the clock once more per turn, which the times of `loop_stats` need.
    pub fn set_timed(&mut self, timed: bool) {
        self.event_loop.set_timed(timed);
    }

    pub fn loop_stats(&self) -> &LoopStats {
        self.event_loop.stats()
    }

    pub fn engine_counts(&self) -> &EngineCounts {
        self.engine.counts()
    }

    pub fn pump_counts(&self) -> &PumpCounts {
        &self.engine.buffers.counts
    }

    /// The counters of all routes by name, of removed ones too.
    pub fn route_sums(&self) -> Vec<NamedCounts<'_>> {
        self.route_totals.sums(&self.routes, |index| OpenRoute {
            counts: self.engine.counts().route(index),
            active: self.engine.live(index),
            flows: self.datagrams.live(index),
        })
    }

    pub fn hub_sums(&self) -> HubSums {
        self.hubs.sums()
    }

    /// Maximum number of open connections.
    pub fn max_connections(&self) -> usize {
        self.capacity.max_connections
    }

    /// Number of bytes that were read and could not be written yet.
    pub fn unsent_bytes(&self) -> usize {
        self.engine.buffers.unsent.bytes()
    }

    pub fn pipes_in_use(&self) -> usize {
        self.engine.buffers.unsent.pipes.in_use()
    }

    /// Events that arrived for a closed connection or socket.
    pub fn stale_events(&self) -> u64 {
        self.engine.counts().stale_events + self.datagrams.counts().stale_events
    }

    /// Times that a flow or a datagram socket used up its budget of a turn.
    pub fn budget_exhausted(&self) -> u64 {
        self.pump_counts().budget_exhausted + self.datagrams.counts().budget_exhausted
    }

    /// When the loop was created.
    pub fn started(&self) -> SystemTime {
        self.started
    }
}
