//! Owns the clients of a chat, their run queue and their idle timers. Accepting connections and
//! reading the input are left to `chat`.

use std::collections::VecDeque;
use std::time::Duration;

use slab::Slab;

use super::member::{Member, MemberCx};
use super::ring::Ring;
use super::screen::{Screen, StatusLines};
use crate::config::unit::show_duration;
use crate::core::time::ticks;
use crate::core::{ConnIds, Deadline, Event, Key, Moment, Peer, Ready, Reason, Tick, Timers, Turn};
use crate::net::Socket;

/// Maximum bytes per read of a member.
const READ_BYTES: usize = 4096;

/// The clients, by slot.
pub struct Members {
    members: Slab<Member>,
    conn_ids: ConnIds,
    run: VecDeque<Key>,
    timers: Timers,
    idle: Option<Duration>,
    scratch: Box<[u8]>,
}

/// The parts of the chat that its members use.
pub struct ChatCx<'a> {
    pub ring: &'a Ring,
    pub screen: &'a mut Screen,
    pub status_lines: &'a mut StatusLines,
    /// The chat is ending.
    pub shutting_down: bool,
    pub turn: Turn<'a>,
}

impl Members {
    /// Creates an empty set. Members that send nothing for `idle` are closed.
    pub fn new(idle: Option<Duration>) -> Members {
        Members {
            members: Slab::new(),
            conn_ids: ConnIds::default(),
            run: VecDeque::new(),
            timers: Timers::default(),
            idle,
            scratch: vec![0; READ_BYTES].into_boxed_slice(),
        }
    }

    pub fn len(&self) -> usize {
        self.members.len()
    }

    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    pub fn queued(&self) -> usize {
        self.run.len()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().map(|(_, member)| member)
    }

    /// Returns the bytes received from and sent to the present members.
    pub fn bytes_moved(&self) -> (u64, u64) {
        self.iter().fold((0, 0), |(up, down), member| (up + member.up, down + member.down))
    }

    /// Returns how many bytes the fastest member is behind. `None` without members.
    pub fn min_behind(&self, ring: &Ring) -> Option<u64> {
        self.iter().map(|member| member.behind(ring)).min()
    }

    /// Returns the key for the next member.
    pub fn vacant(&mut self) -> Key {
        Key::new(self.conn_ids.next(), self.members.vacant_key())
    }

    /// Adds a member under a key returned by `vacant`.
    pub fn join(&mut self, key: Key, socket: Socket, peer: &Peer, cx: &mut ChatCx<'_>) {
        let member = Member::new(socket, peer, key.id, cx.ring.head(), cx.turn.now);
        cx.status_lines.print(format_args!("* {} joined", member.name));
        let slot = self.members.insert(member);
        debug_assert_eq!(slot, key.slot());
        self.queue(slot);
        self.arm(slot, cx);
    }

    /// Sets readiness bits from an event and queues the member.
    pub fn mark(&mut self, key: Key, ready: Ready, turn: &mut Turn<'_>) {
        match get(&mut self.members, key) {
            Some(member) => {
                member.mark(ready);
                turn.step(key, || Event::Marked { ready });
                self.queue(key.slot());
            }
            None => turn.step(key, || Event::Stale),
        }
    }

    /// Queues all members, after input was added to the ring or the chat began to end.
    pub fn queue_all(&mut self) {
        self.queue_if(|_| true);
    }

    /// Queues the members that can be read, after the screen has room again.
    pub fn queue_readable(&mut self) {
        self.queue_if(Member::is_readable);
    }

    /// Drives each queued member once. Returns true if one was closed.
    pub fn run(&mut self, cx: &mut ChatCx<'_>) -> bool {
        let before = self.len();
        for _ in 0..self.run.len() {
            let Some(key) = self.run.pop_front() else { break };
            let Some(member) = get(&mut self.members, key) else { continue };
            member.queued = false;
            let had_left = member.has_left;
            let driven = member.drive(key, &mut member_cx(&mut self.scratch, cx));
            if member.has_left && !had_left {
                cx.screen.add_status(format!("* {} left", member.name));
            }
            match driven {
                Ok(true) => self.queue(key.slot()),
                Ok(false) => {}
                Err(reason) => self.close(key, reason, cx),
            }
        }
        self.len() < before
    }

    /// Closes members that have sent nothing for the idle timeout.
    pub fn expire(&mut self, cx: &mut ChatCx<'_>) {
        let now = cx.turn.now.tick();
        while let Some((due, key)) = self.timers.pop(now) {
            let member = get(&mut self.members, key).filter(|member| member.armed == due);
            let Some(member) = member else { continue };
            member.armed = 0;
            let deadline = self.idle.map_or(Tick::MAX, |idle| member.active + ticks(idle));
            let again = deadline > now;
            cx.turn.step(key, || Event::Fired { deadline: Deadline::Idle, again });
            match again {
                true => self.arm(key.slot(), cx),
                false => self.close(key, Reason::IdleTimeout, cx),
            }
        }
    }

    /// Returns how long the loop may sleep.
    pub fn sleep(&self, now: Moment) -> Option<Duration> {
        match self.run.is_empty() {
            false => Some(Duration::ZERO),
            true => self.timers.next().map(|due| now.until(due)),
        }
    }

    /// Closes the first member that has sent a FIN, so that another can be accepted.
    pub fn evict_left(&mut self, cx: &mut ChatCx<'_>) {
        let left = self.members.iter().find(|(_, member)| member.has_left);
        if let Some((slot, member)) = left {
            let key = Key::new(member.id, slot);
            self.close(key, Reason::Evicted, cx);
        }
    }

    /// Closes all members at the end of the chat.
    pub fn close_all(&mut self, cx: &mut ChatCx<'_>) {
        let keys: Vec<(Key, bool)> = self
            .members
            .iter()
            .map(|(slot, member)| (Key::new(member.id, slot), member.fin_sent))
            .collect();
        for (key, fin_sent) in keys {
            self.close(key, if fin_sent { Reason::Drained } else { Reason::Cut }, cx);
        }
    }

    fn close(&mut self, key: Key, reason: Reason, cx: &mut ChatCx<'_>) {
        let mut member = self.members.remove(key.slot());
        member.end_line(cx.screen);
        if let Some(departure) = self.departure(&member, reason) {
            cx.screen.add_status(format!("* {} {departure}", member.name));
        }
        member.close(key, reason, &mut member_cx(&mut self.scratch, cx));
    }

    /// Describes why a member is closed. `None` if nothing is printed: a FIN was reported when it
    /// was received.
    fn departure(&self, member: &Member, reason: Reason) -> Option<String> {
        match reason {
            _ if member.has_left => None,
            Reason::Reset { fault, .. } => Some(format!("left: {fault}")),
            Reason::Lagged => Some("disconnected: it does not read and fell behind".to_string()),
            Reason::IdleTimeout => {
                let idle = show_duration(self.idle.unwrap_or_default());
                Some(format!("disconnected: idle for {idle}"))
            }
            _ => None,
        }
    }

    fn queue(&mut self, slot: usize) {
        queue(&mut self.run, &mut self.members[slot], slot);
    }

    fn queue_if(&mut self, matches: impl Fn(&Member) -> bool) {
        for (slot, member) in &mut self.members {
            if matches(member) {
                queue(&mut self.run, member, slot);
            }
        }
    }

    fn arm(&mut self, slot: usize, cx: &mut ChatCx<'_>) {
        let (Some(idle), member) = (self.idle, &mut self.members[slot]) else { return };
        let (due, now) = (member.active + ticks(idle), cx.turn.now);
        let key = Key::new(member.id, slot);
        member.armed = due;
        self.timers.arm(due, key);
        cx.turn.step(key, || Event::Armed { deadline: Deadline::Idle, due, now });
    }
}

/// Returns the member of a key, unless its slot has been reused.
fn get(members: &mut Slab<Member>, key: Key) -> Option<&mut Member> {
    members.get_mut(key.slot()).filter(|member| member.id == key.id)
}

/// Queues a member unless it is queued already.
fn queue(run: &mut VecDeque<Key>, member: &mut Member, slot: usize) {
    if !member.queued {
        member.queued = true;
        run.push_back(Key::new(member.id, slot));
    }
}

fn member_cx<'a, 't>(scratch: &'a mut [u8], cx: &'a mut ChatCx<'t>) -> MemberCx<'a, 't> {
    MemberCx {
        ring: cx.ring,
        screen: cx.screen,
        shutting_down: cx.shutting_down,
        scratch,
        turn: &mut cx.turn,
    }
}
