//! The mutants of the engine: keys, queue, attempts, time.

use super::list::{Mutant, mutant};

/// Faults of the engine: keys, queue, generations, attempts.
pub const ENGINE: &[Mutant] = &[
    mutant(
        "a mark ignores the generation",
        "engine.rs",
        "let Some(conn) = get(&mut self.conns, key) else {\nreturn",
        "let Some(conn) = self.conns.get_mut(key.slot()) else {\nreturn",
    ),
    mutant(
        "a look-up ignores the generation",
        "engine.rs",
        "conns.get_mut(key.slot()).filter(|conn| conn.birth == key.birth)\n}",
        "conns.get_mut(key.slot())\n}",
    ),
    mutant(
        "the queue ignores the generation",
        "engine.rs",
        "let Some(conn) = get(&mut self.conns, key) else { return };\nconn.queued",
        "let Some(conn) = self.conns.get_mut(key.slot()) else { return };\nconn.queued",
    ),
    mutant(
        "a deadline ignores the generation",
        "engine.rs",
        "get(&mut self.conns, key).filter(|conn| conn.armed == due)",
        "self.conns.get_mut(key.slot()).filter(|conn| conn.armed == due)",
    ),
    mutant(
        "a connection is queued twice",
        "engine.rs",
        "if !conn.queued {\nconn.queued = true;\nself.run.push(key);\n}\n}\n\n",
        "{\nconn.queued = true;\nself.run.push(key);\n}\n}\n\n",
    ),
    mutant(
        "an end stays muted for ever",
        "tunings.rs",
        "if bits.has(Ready::MUTED) && !bits.has(Ready::READ) {",
        "if false {",
    ),
    mutant(
        "an end is heard again, and nobody asks the system for it",
        "tunings.rs",
        "ends.clear(end, Ready::MUTED);\nself.0.push(key.at(end));",
        "ends.clear(end, Ready::MUTED);",
    ),
    mutant(
        "an end is muted at its first word",
        "engine.rs",
        "if conn.ends.bits(key.end()).has(ready) && !conn.queued {",
        "if !conn.queued {",
    ),
    mutant(
        "one that used its budget goes first",
        "engine.rs",
        "self.run.push(key);\n}\nself.deadlines.arm(",
        "self.run.insert(0, key);\n}\nself.deadlines.arm(",
    ),
    mutant(
        "one that used its budget is forgotten",
        "engine.rs",
        "self.run.push(key);\n}\nself.deadlines.arm(",
        "}\nself.deadlines.arm(",
    ),
    mutant(
        "only the second flow is asked for more",
        "conn.rs",
        "self.flows.iter().any(|flow| self.ends.next(flow) != Step::Rest)",
        "self.ends.next(&self.flows[1]) != Step::Rest",
    ),
    mutant(
        "more work is not noticed",
        "conn.rs",
        "self.flows.iter().any(|flow| self.ends.next(flow) != Step::Rest)",
        "false",
    ),
    mutant(
        "only one connection is driven in a turn",
        "engine.rs",
        "let waiting = self.run.len();",
        "let waiting = self.run.len().min(1);",
    ),
    mutant(
        "the loop sleeps over its queue",
        "engine.rs",
        "!self.run.is_empty() || !self.dials.is_empty()",
        "!self.dials.is_empty()",
    ),
    mutant(
        "a failed attempt is not told",
        "engine.rs",
        "self.dials.push((key.at(0), Dial::Failed(error)));",
        "drop(error);",
    ),
    mutant(
        "an attempt that came through is not told",
        "engine.rs",
        "if dialing && !conn.dialing() {",
        "if dialing && conn.birth == 0 {",
    ),
];

/// Faults with time.
pub const TIME: &[Mutant] = &[
    mutant(
        "events count as activity",
        "conn.rs",
        "!lingered && (ended || self.flows[0].moved + self.flows[1].moved != before)",
        "!lingered",
    ),
    mutant(
        "bytes are no activity",
        "conn.rs",
        "ended || self.flows[0].moved + self.flows[1].moved != before",
        "ended",
    ),
    mutant(
        "an end of file is no activity",
        "conn.rs",
        "ended || self.flows[0].moved",
        "self.flows[0].moved",
    ),
    mutant("who lingers may do so for ever", "conn.rs", "if !lingered && (ended", "if (ended"),
    mutant(
        "a deadline is never set anew",
        "engine.rs",
        "again: true });\nself.deadlines.arm(conn, key, now, seen);",
        "again: true });",
    ),
    mutant(
        "a superseded deadline counts",
        "engine.rs",
        "get(&mut self.conns, key).filter(|conn| conn.armed == due)",
        "get(&mut self.conns, key)",
    ),
    mutant(
        "an earlier deadline waits for the later one",
        "deadlines.rs",
        "conn.armed == 0 || due < conn.armed",
        "conn.armed == 0",
    ),
    mutant(
        "a rest sets no deadline",
        "engine.rs",
        "Driven::Rest if !dialing => self.deadlines.arm(conn, key, now, seen),",
        "Driven::Rest if !dialing => {}",
    ),
    mutant(
        "an attempt has no time of its own",
        "engine.rs",
        "conn.ends.dial(1, socket);\nconn.active = now.tick();",
        "conn.ends.dial(1, socket);",
    ),
    mutant("who is in passing is not timed", "deadlines.rs", " || conn.is_in_passing()", ""),
    mutant("a drain times nobody who was untimed", "deadlines.rs", "self.untimed = false;", ""),
    mutant(
        "one route without timeouts stands for all",
        "deadlines.rs",
        "timeouts.iter().all(",
        "timeouts.iter().any(",
    ),
    mutant(
        "a failed attempt sets no deadline",
        "engine.rs",
        "Dial::Failed(error)));\nself.deadlines.arm(conn, key, now, seen);",
        "Dial::Failed(error)));",
    ),
    mutant(
        "a connection never ends of old age",
        "conn.rs",
        "[activity, lifetime].into_iter().flatten()",
        "[activity, lifetime.filter(|_| false)].into_iter().flatten()",
    ),
    mutant(
        "the later of two deadlines counts",
        "conn.rs",
        ".min_by_key(|(_, due)| *due)",
        ".max_by_key(|(_, due)| *due)",
    ),
    mutant(
        "a half-closed one counts as idle",
        "conn.rs",
        "self.half_closed() && timeouts.half_close.is_some()",
        "false && timeouts.half_close.is_some()",
    ),
    mutant("draining cuts off what is held", "conn.rs", "quiet.filter(|_| !self.holds())", "quiet"),
    mutant(
        "draining ends what is half-closed",
        "conn.rs",
        "(draining && !self.half_closed())",
        "(draining)",
    ),
    mutant(
        "draining does not look once more",
        "engine.rs",
        "Deadline::Quiet if self.is_quiet(key, now, seen) =>",
        "Deadline::Quiet if self.deadlines.draining =>",
    ),
    mutant(
        "draining waits for an event",
        "engine.rs",
        "for (slot, conn) in &mut self.conns {",
        "for (slot, conn) in self.conns.iter_mut().take(0) {",
    ),
    mutant(
        "the cut leaves one",
        "engine.rs",
        "for key in self.keys() {\nself.end(key, Reason::Cut",
        "for key in self.keys().into_iter().skip(1) {\nself.end(key, Reason::Cut",
    ),
    mutant(
        "one deadline is looked at in a turn",
        "engine.rs",
        "for _ in 0..EXPIRE_BUDGET {",
        "for _ in 0..EXPIRE_BUDGET.min(1) {",
    ),
    mutant(
        "living deadlines are swept out",
        "timers.rs",
        "retain(|Reverse((due, key))| holds(*due, *key))",
        "retain(|Reverse((due, key))| !holds(*due, *key))",
    ),
];
