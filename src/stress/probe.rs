//! Asking those who were silent: after the hold, each idle connection says one message and must
//! have it back.

use std::time::Duration;

use crate::config::{LoadKind, Probe};
use crate::core::{Key, Reason};

use super::line::Line;
use super::phase::Phase;
use super::phases::GRACE;
use super::runner::Runner;
use super::script::{Script, ScriptKind};
use super::stream_echo::StreamEcho;

impl Runner {
    /// Whether idle connections are asked at the end of the hold.
    pub(super) fn probes(&self) -> bool {
        self.plan.probe == Probe::Echo
    }

    /// Puts a script where nobody was, and lets it speak.
    pub(super) fn probe(&mut self, now: Duration) {
        self.record_held(now);
        for group in self.groups.iter().filter(|group| group.kind == LoadKind::Idle) {
            group.load.started.set(true);
        }
        for key in self.idle() {
            let load = &self.groups[self.watch.group(key)].load;
            let script = Script::new(load, key, ScriptKind::StreamEcho(StreamEcho::permitting(1)));
            let Some(conn) = self.engine.get(key) else { continue };
            if let Some(line) = conn.ends.socket(0) {
                *line = Line::Script(Box::new(script));
            }
            self.wake(key.at(0));
        }
        self.phase = Phase::Probe { until: now + self.plan.timeout() + GRACE };
    }

    /// Those that have not answered by now carry nothing any more.
    pub(super) fn give_up_probes(&mut self) {
        for key in self.idle() {
            self.end(key, Reason::IdleTimeout);
        }
        self.record_closed();
    }

    fn idle(&self) -> Vec<Key> {
        let groups = &self.groups;
        let is_idle = |key: &Key| groups[self.watch.group(*key)].kind == LoadKind::Idle;
        self.engine.iter().map(|(key, _)| key).filter(is_idle).collect()
    }
}
