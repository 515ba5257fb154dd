//! Probes idle connections after the hold: each sends one message, which the server must echo.

use std::time::Duration;

use crate::config::{LoadKind, Probe};
use crate::core::{Key, Reason};

use super::endpoint::Endpoint;
use super::phase::Phase;
use super::phases::GRACE;
use super::runner::Runner;
use super::script::{Script, ScriptKind};
use super::stream_echo::StreamEcho;

impl Runner {
    /// Whether idle connections are probed at the end of the hold.
    pub(super) fn probes(&self) -> bool {
        self.plan.probe == Probe::Echo
    }

    /// Gives every idle connection a script, and lets it send one message.
    pub(super) fn probe(&mut self, now: Duration) {
        self.record_held(now);
        for group in self.groups.iter().filter(|group| group.kind == LoadKind::Idle) {
            group.load.started.set(true);
        }
        for key in self.idle_conns() {
            let load = &self.groups[self.watch.group(key)].load;
            let script =
                Script::new(load, key, ScriptKind::StreamEcho(StreamEcho::with_permits(1)));
            let Some(conn) = self.engine.get(key) else { continue };
            if let Some(line) = conn.ends.socket(0) {
                *line = Endpoint::Script(Box::new(script));
            }
            self.wake(key.at(0));
        }
        self.phase = Phase::Probe { until: now + self.plan.timeout() + GRACE };
    }

    /// Closes connections that have not echoed their message: they are black holes.
    pub(super) fn give_up_probes(&mut self) {
        for key in self.idle_conns() {
            self.end(key, Reason::IdleTimeout);
        }
        self.record_closed();
    }

    /// Returns the keys of all idle connections.
    fn idle_conns(&self) -> Vec<Key> {
        let groups = &self.groups;
        let is_idle = |key: &Key| groups[self.watch.group(*key)].kind == LoadKind::Idle;
        self.engine.iter().map(|(key, _)| key).filter(is_idle).collect()
    }
}
