//! Detects flows whose unsent bytes are not accepted: reports when one stalls and when it resumes.
//!
//! The state is kept here and not in the connection, and only if an observer wants it. A stalled
//! flow is checked once, and needs no timer while it stays stalled.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use slab::Slab;

use super::buffers::Unsent;
use super::conn::Conn;
use super::event::Event;
use super::key::Key;
use super::pipes::Pipe;
use super::time::{Moment, Tick};
use super::turn::Turn;

/// Time without progress after which a flow is stalled, in ticks: one second, and the tick in which
/// it began. A peer that reads makes space in the send buffer much sooner.
const STALL: Tick = 11;

/// The flows with unsent bytes, or that had some at their last check. A key identifies a flow here:
/// its end is the index of the flow.
#[derive(Debug, Default)]
pub struct Stalls {
    flows: HashMap<Key, Blocked>,
    /// When each flow that has not stalled yet is checked: one entry per flow.
    checks: BinaryHeap<Reverse<(Tick, Key)>>,
}

#[derive(Debug)]
struct Blocked {
    /// Bytes moved at `since`.
    moved: u64,
    since: Moment,
    /// The stall has been reported.
    reported: bool,
}

impl Stalls {
    /// Updates the flows of a driven connection that had unsent bytes before or has some now.
    #[inline(never)]
    pub fn driven<S>(&mut self, conn: &Conn<S>, key: Key, turn: &mut Turn<'_>) {
        for (index, flow) in conn.flows.iter().enumerate() {
            let id = key.at(index);
            let moving = Blocked { moved: flow.moved, since: turn.now, reported: false };
            match self.flows.get_mut(&id) {
                None if flow.unsent.is_some() => {
                    self.flows.insert(id, moving);
                    self.checks.push(Reverse((turn.now.tick() + STALL, id)));
                }
                Some(blocked) if blocked.moved != flow.moved => {
                    let before = std::mem::replace(blocked, moving);
                    if before.reported {
                        let stalled = turn.now.since(before.since);
                        turn.on(key.at(flow.to as usize), &Event::Resumed { stalled });
                        self.checks.push(Reverse((turn.now.tick() + STALL, id)));
                    }
                }
                _ => {}
            }
        }
    }

    /// Checks the flows that are due.
    pub fn check<S, P: Pipe>(
        &mut self,
        conns: &Slab<Conn<S>>,
        unsent: &Unsent<P>,
        turn: &mut Turn<'_>,
    ) {
        if !turn.stalls {
            *self = Stalls::default();
            return;
        }
        while let Some(Reverse((due, id))) = self.checks.peek().copied()
            && due <= turn.now.tick()
        {
            self.checks.pop();
            let Some(blocked) = self.flows.get_mut(&id) else { continue };
            let conn = conns.get(id.slot()).filter(|conn| conn.id == id.id);
            let flow = conn.map(|conn| &conn.flows[id.end()]);
            let Some((flow, unsent_id)) = flow.and_then(|flow| Some((flow, flow.unsent.as_ref()?)))
            else {
                self.flows.remove(&id);
                continue;
            };
            let due = blocked.since.tick() + STALL;
            if due > turn.now.tick() {
                self.checks.push(Reverse((due, id)));
                continue;
            }
            blocked.reported = true;
            let (unsent, since) = (unsent.left(unsent_id), blocked.since);
            let now = turn.now;
            turn.on(id.at(flow.to as usize), &Event::Stalled { unsent, since, now });
        }
    }

    /// Whether a flow is due for its check.
    #[inline]
    pub fn is_due(&self, now: Moment) -> bool {
        self.next().is_some_and(|due| due <= now.tick())
    }

    /// Returns the time of the next check.
    #[inline]
    pub fn next(&self) -> Option<Tick> {
        self.checks.peek().map(|Reverse((due, _))| *due)
    }

    /// Removes the flows of a closed connection.
    pub fn forget(&mut self, key: Key) {
        if !self.flows.is_empty() {
            self.flows.remove(&key.at(0));
            self.flows.remove(&key.at(1));
        }
    }
}
