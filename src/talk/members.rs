//! All who take part in a chat, and whose turn it is.

use std::collections::VecDeque;
use std::time::Duration;

use slab::Slab;

use super::member::{Drive, Member};
use super::notice::StatusLines;
use super::ring::Ring;
use super::screen::Screen;
use crate::config::unit::show_duration;
use crate::core::time::ticks;
use crate::core::{
    ConnIds, Deadline, Event, Key, Moment, Observer, Peer, Ready, Reason, Tick, Timers,
};
use crate::net::Socket;

/// So much is read of a member at a time.
const READ_BYTES: usize = 4096;

/// Those who are there, by slot.
pub struct Members {
    members: Slab<Member>,
    conn_ids: ConnIds,
    run: VecDeque<Key>,
    timers: Timers,
    idle: Option<Duration>,
    scratch: Box<[u8]>,
}

/// What is around the members: the ring they hear from, the screen they are shown on, and who is
/// told of their coming and going.
pub struct ChatCx<'a> {
    pub ring: &'a Ring,
    pub screen: &'a mut Screen,
    pub notices: &'a mut StatusLines,
    pub farewell: bool,
    pub now: Moment,
    pub seen: &'a mut dyn Observer,
}

impl Members {
    /// Who says nothing for the time `idle` is let go.
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

    /// Bytes that those who are here have sent and been sent so far.
    pub fn moved(&self) -> (u64, u64) {
        self.iter().fold((0, 0), |(up, down), member| (up + member.up, down + member.down))
    }

    /// How far the quickest is behind. None: nobody is there.
    pub fn quickest_behind(&self, ring: &Ring) -> Option<u64> {
        self.iter().map(|member| member.behind(ring)).min()
    }

    /// The key that the next one who joins will have.
    pub fn vacant(&mut self) -> Key {
        Key::new(self.conn_ids.next(), self.members.vacant_key())
    }

    /// Takes one in, under the key that `vacant` gave.
    pub fn join(&mut self, key: Key, socket: Socket, peer: &Peer, cx: &mut ChatCx<'_>) {
        let member = Member::new(socket, peer, key.id, cx.ring.head(), cx.now);
        cx.notices.say(format_args!("* {} joined", member.name));
        let slot = self.members.insert(member);
        debug_assert_eq!(slot, key.slot());
        self.queue(slot);
        self.arm(slot, cx);
    }

    pub fn mark(&mut self, key: Key, ready: Ready, seen: &mut dyn Observer) {
        match get(&mut self.members, key) {
            Some(member) => {
                member.mark(ready);
                seen.on(key, &Event::Marked { ready });
                self.queue(key.slot());
            }
            None => seen.on(key, &Event::Stale),
        }
    }

    /// Something was said to all, or it is time to say farewell.
    pub fn queue_all(&mut self) {
        self.queue_those(|_| true);
    }

    /// The screen has room again.
    pub fn queue_speakers(&mut self) {
        self.queue_those(Member::would_speak);
    }

    /// Drives each that is queued once. True: somebody left.
    pub fn run(&mut self, cx: &mut ChatCx<'_>) -> bool {
        let before = self.len();
        for _ in 0..self.run.len() {
            let Some(key) = self.run.pop_front() else { break };
            let Some(member) = get(&mut self.members, key) else { continue };
            member.queued = false;
            let had_left = member.has_left;
            let driven = member.drive(key, &mut with(&mut self.scratch, cx));
            if member.has_left && !had_left {
                cx.screen.note(format!("* {} left", member.name));
            }
            match driven {
                Ok(true) => self.queue(key.slot()),
                Ok(false) => {}
                Err(reason) => self.close(key, reason, cx),
            }
        }
        self.len() < before
    }

    /// Lets go of those who were silent for too long.
    pub fn expire(&mut self, cx: &mut ChatCx<'_>) {
        let now = cx.now.tick();
        while let Some((due, key)) = self.timers.pop(now) {
            let member = get(&mut self.members, key).filter(|member| member.armed == due);
            let Some(member) = member else { continue };
            member.armed = 0;
            let meant = self.idle.map_or(Tick::MAX, |idle| member.active + ticks(idle));
            let again = meant > now;
            cx.seen.on(key, &Event::Fired { deadline: Deadline::Idle, again });
            match again {
                true => self.arm(key.slot(), cx),
                false => self.close(key, Reason::IdleTimeout, cx),
            }
        }
    }

    /// How long the loop may sleep for the members' sake.
    pub fn sleep(&self, now: Moment) -> Option<Duration> {
        match self.run.is_empty() {
            false => Some(Duration::ZERO),
            true => self.timers.next().map(|due| now.until(due)),
        }
    }

    /// Of those who have ended their side, and may not even be there any more, the first makes
    /// room for somebody new.
    pub fn make_room(&mut self, cx: &mut ChatCx<'_>) {
        let left = self.members.iter().find(|(_, member)| member.has_left);
        if let Some((slot, member)) = left {
            let key = Key::new(member.id, slot);
            self.close(key, Reason::Evicted, cx);
        }
    }

    /// The chat is over for all who are left.
    pub fn cut(&mut self, cx: &mut ChatCx<'_>) {
        let keys: Vec<(Key, bool)> = self
            .members
            .iter()
            .map(|(slot, member)| (Key::new(member.id, slot), member.told_end))
            .collect();
        for (key, told_end) in keys {
            self.close(key, if told_end { Reason::Drained } else { Reason::Cut }, cx);
        }
    }

    fn close(&mut self, key: Key, reason: Reason, cx: &mut ChatCx<'_>) {
        let mut member = self.members.remove(key.slot());
        member.say_rest(cx.screen);
        if let Some(news) = self.news(&member, reason) {
            cx.screen.note(format!("* {} {news}", member.name));
        }
        member.close(key, reason, &mut with(&mut self.scratch, cx));
    }

    /// What is told of an end. That somebody left was told when that showed.
    fn news(&self, member: &Member, reason: Reason) -> Option<String> {
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

    fn queue_those(&mut self, which: impl Fn(&Member) -> bool) {
        for (slot, member) in &mut self.members {
            if which(member) {
                queue(&mut self.run, member, slot);
            }
        }
    }

    fn arm(&mut self, slot: usize, cx: &mut ChatCx<'_>) {
        let (Some(idle), member) = (self.idle, &mut self.members[slot]) else { return };
        let (due, now) = (member.active + ticks(idle), cx.now);
        let key = Key::new(member.id, slot);
        member.armed = due;
        self.timers.arm(due, key);
        cx.seen.on(key, &Event::Armed { deadline: Deadline::Idle, due, now });
    }
}

/// The only way from a key to a member: it compares the generations.
fn get(members: &mut Slab<Member>, key: Key) -> Option<&mut Member> {
    members.get_mut(key.slot()).filter(|member| member.id == key.id)
}

/// Nobody stands in the queue twice.
fn queue(run: &mut VecDeque<Key>, member: &mut Member, slot: usize) {
    if !member.queued {
        member.queued = true;
        run.push_back(Key::new(member.id, slot));
    }
}

fn with<'a>(scratch: &'a mut [u8], cx: &'a mut ChatCx<'_>) -> Drive<'a> {
    Drive {
        ring: cx.ring,
        screen: cx.screen,
        farewell: cx.farewell,
        scratch,
        now: cx.now,
        seen: cx.seen,
    }
}
