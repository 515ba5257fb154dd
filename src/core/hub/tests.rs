//! Tests of the hub: single promises, and random runs beside a model with unbounded lists.

use super::*;
use crate::core::Random;

fn key(id: u32) -> Key {
    Key::new(id, id as usize)
}

/// A hub with the members 1, 2, 3 … and room for `messages` messages of `bytes` bytes.
fn hub(members: u32, frame: Frame, on_lag: OnLag, messages: usize, bytes: usize) -> Hub {
    let buffer = messages * (bytes + ENTRY_BYTES);
    let mut hub = Hub::new(HubSettings { frame, max_message: bytes, buffer, on_lag });
    (1..=members).for_each(|id| hub.join(key(id)));
    hub
}

fn lines(members: u32, on_lag: OnLag) -> Hub {
    hub(members, Frame::Line, on_lag, 4, 8)
}

fn publish(hub: &mut Hub, sender: u32, text: &str) {
    hub.publish(Some(key(sender)), text.as_bytes());
}

/// Returns all that a member receives, and how many messages it missed.
fn received(hub: &mut Hub, id: u32) -> (String, u64) {
    let (mut bytes, mut missed) = (Vec::new(), 0);
    loop {
        match hub.next(key(id)) {
            Delivery::Bytes(run) => {
                bytes.extend_from_slice(run);
                let length = run.len();
                hub.advance(key(id), length);
            }
            Delivery::Missed(messages) => missed += messages,
            Delivery::CaughtUp => return (String::from_utf8(bytes).unwrap(), missed),
            Delivery::Lagged => panic!("member {id} lagged"),
        }
    }
}

fn text_of(hub: &mut Hub, id: u32) -> String {
    received(hub, id).0
}

/// A member sends the first bytes of what is next, and its socket is full.
fn send_some(hub: &mut Hub, id: u32, bytes: usize) {
    assert!(matches!(hub.next(key(id)), Delivery::Bytes(run) if run.len() >= bytes));
    hub.advance(key(id), bytes);
    hub.blocked(key(id));
}

#[test]
fn a_member_is_small() {
    assert_eq!(size_of::<Member>(), 24);
}

#[test]
fn a_message_goes_to_all_but_its_sender() {
    let mut hub = lines(3, OnLag::Skip);
    publish(&mut hub, 1, "one\n");
    publish(&mut hub, 2, "two\n");
    assert_eq!(text_of(&mut hub, 1), "two\n");
    assert_eq!(text_of(&mut hub, 2), "one\n");
    assert_eq!(text_of(&mut hub, 3), "one\ntwo\n");
    hub.publish(None, b"all\n");
    assert!((1..=3).all(|id| text_of(&mut hub, id) == "all\n"));
    assert_eq!(hub.next_ready(), None);
}

#[test]
fn a_member_that_was_sent_everything_has_no_other_turn() {
    let mut hub = lines(3, OnLag::Skip);
    for round in 0..3 {
        publish(&mut hub, 3, "one\n");
        publish(&mut hub, 3, "two\n");
        let mut turns = 0;
        while let Some(key) = hub.next_ready() {
            turns += 1;
            if let Delivery::Bytes(run) = hub.next(key) {
                let length = run.len();
                hub.advance(key, length);
            }
        }
        assert_eq!(turns, 3, "round {round}: a turn for each, the sender's is empty");
    }
}

#[test]
fn a_member_receives_what_follows_its_join_and_nothing_of_an_earlier_one_in_its_slot() {
    let mut hub = lines(2, OnLag::Skip);
    publish(&mut hub, 2, "old\n");
    hub.leave(key(1));
    assert_eq!(hub.next(key(1)), Delivery::CaughtUp, "it has left");
    let later = Key::new(7, 1);
    hub.join(later);
    assert_eq!(hub.next(later), Delivery::CaughtUp);
    publish(&mut hub, 2, "new\n");
    assert_eq!(hub.next(later), Delivery::Bytes(b"new\n"));
    assert_eq!(hub.next(key(1)), Delivery::CaughtUp);
    assert_eq!(hub.len(), 2);
}

#[test]
fn a_member_that_skips_misses_what_others_sent_and_not_its_own() {
    let mut hub = lines(2, OnLag::Skip);
    for n in 0..9 {
        publish(&mut hub, 1 + u32::from(n % 3 == 0), &format!("{n}234567\n"));
    }
    // Overwritten: 0 to 4. The first member sent 1, 2 and 4, the second 0 and 3.
    let rest = "* 2 messages missed\n6234567\n".to_string();
    assert_eq!(received(&mut hub, 1), (rest, 2));
    let rest = "* 3 messages missed\n5234567\n7234567\n8234567\n".to_string();
    assert_eq!(received(&mut hub, 2), (rest, 3));
}

#[test]
fn a_notice_counts_one_message_in_the_singular_and_is_for_lines_alone() {
    for (frame, expected) in [(Frame::Line, "* 1 message missed\n"), (Frame::Len32, "")] {
        let mut hub = hub(2, frame, OnLag::Skip, 1, 8);
        publish(&mut hub, 1, "first--\n");
        publish(&mut hub, 1, "second-\n");
        assert_eq!(received(&mut hub, 2), (format!("{expected}second-\n"), 1), "{frame:?}");
    }
}

#[test]
fn only_its_own_messages_are_nothing_to_miss() {
    for on_lag in [OnLag::Skip, OnLag::Close] {
        let mut hub = lines(2, on_lag);
        (0..99).for_each(|_| publish(&mut hub, 1, "0234567\n"));
        assert_eq!(received(&mut hub, 1), (String::new(), 0));
        hub.blocked(key(1));
        (0..99).for_each(|_| publish(&mut hub, 1, "0234567\n"));
        hub.unblocked(key(1));
        assert_eq!(received(&mut hub, 1), (String::new(), 0));
    }
}

#[test]
fn a_message_that_was_sent_in_part_is_completed_before_the_notice() {
    let mut hub = lines(2, OnLag::Skip);
    publish(&mut hub, 1, "first--\n");
    send_some(&mut hub, 2, 3);
    for n in 0..6 {
        publish(&mut hub, 1, &format!("{n}------\n"));
    }
    assert_eq!(hub.next_ready(), Some(key(1)), "the other one is blocked");
    assert_eq!(hub.next(key(1)), Delivery::CaughtUp);
    assert_eq!(hub.next_ready(), None);
    hub.unblocked(key(2));
    send_some(&mut hub, 2, 1);
    publish(&mut hub, 1, "6------\n");
    hub.unblocked(key(2));
    let rest = "t--\n* 3 messages missed\n3------\n4------\n5------\n6------\n".to_string();
    assert_eq!(received(&mut hub, 2), (rest, 3));
    assert_eq!(hub.pending_bytes, 0);
}

#[test]
fn a_notice_is_completed_too() {
    let mut hub = lines(2, OnLag::Skip);
    (0..5).for_each(|_| publish(&mut hub, 1, "0------\n"));
    assert_eq!(hub.next(key(2)), Delivery::Missed(1));
    send_some(&mut hub, 2, 4);
    (0..5).for_each(|_| publish(&mut hub, 1, "1------\n"));
    hub.unblocked(key(2));
    let (text, missed) = received(&mut hub, 2);
    assert!(text.starts_with("message missed\n* 5 messages missed\n1------\n"), "{text}");
    assert_eq!(missed, 5);
}

#[test]
fn one_that_is_closed_for_its_lag_is_reported_while_its_socket_is_full() {
    for sent in [0, 3] {
        let mut hub = lines(2, OnLag::Close);
        publish(&mut hub, 1, "first--\n");
        send_some(&mut hub, 2, sent);
        (0..3).for_each(|_| publish(&mut hub, 1, "more---\n"));
        assert_eq!(text_of(&mut hub, 1), "");
        assert_eq!(hub.next_ready(), None);
        publish(&mut hub, 1, "last---\n");
        assert_eq!(text_of(&mut hub, 1), "");
        assert_eq!(hub.next_ready(), Some(key(2)));
        hub.blocked(key(2));
        assert_eq!(hub.next_ready(), Some(key(2)), "it is closed whatever its socket does");
        assert_eq!(hub.next(key(2)), Delivery::Lagged);
        hub.leave(key(2));
        assert_eq!((hub.next_ready(), hub.waiting.len()), (None, 0));
    }
}

#[test]
fn one_that_has_not_had_its_turn_is_closed_as_well() {
    let mut hub = lines(2, OnLag::Close);
    (0..5).for_each(|_| publish(&mut hub, 1, "0------\n"));
    assert_eq!(hub.next(key(2)), Delivery::Lagged);
    assert_eq!(hub.next(key(2)), Delivery::Lagged, "until it leaves");
}

#[test]
fn what_is_kept_for_all_members_is_limited_to_the_size_of_the_ring() {
    let mut hub = hub(40, Frame::Line, OnLag::Skip, 2, 100);
    let long = "x".repeat(99) + "\n";
    publish(&mut hub, 40, &long);
    (1..40).for_each(|id| send_some(&mut hub, id, 10));
    publish(&mut hub, 40, "a\n");
    publish(&mut hub, 40, &long);
    // The ring has 232 bytes: enough for two tails of 90.
    assert_eq!((hub.pending_bytes, hub.pending.len()), (180, 2));
    let lagged = (1..40).filter(|id| hub.members.list[hub.members.find(key(*id)).unwrap()].lagged);
    assert_eq!(lagged.count(), 37);
    (1..=40).for_each(|id| hub.leave(key(id)));
    assert_eq!((hub.pending_bytes, hub.is_empty()), (0, true));
}

#[test]
fn ready_members_take_turns_whatever_the_others_do() {
    let mut hub = hub(5, Frame::Line, OnLag::Skip, 99, 8);
    let turns = |hub: &mut Hub, n| -> Vec<u32> {
        (0..n).map(|_| hub.next_ready().map_or(0, |key| key.id)).collect()
    };
    (0..3).for_each(|_| publish(&mut hub, 5, "x\n"));
    assert_eq!(turns(&mut hub, 6), [1, 2, 3, 4, 5, 1]);
    assert_eq!(text_of(&mut hub, 1), "x\nx\nx\n");
    // The one that took the place of the first is next, and is not passed over.
    assert_eq!(turns(&mut hub, 4), [5, 2, 3, 4]);
    hub.blocked(key(4));
    assert_eq!(turns(&mut hub, 3), [5, 2, 3]);
    hub.leave(key(3));
    assert_eq!(turns(&mut hub, 2), [5, 2]);
    hub.unblocked(key(4));
    assert_eq!(turns(&mut hub, 3), [4, 5, 2]);
    [2, 4, 5].iter().for_each(|id| drop(text_of(&mut hub, *id)));
    assert_eq!(turns(&mut hub, 2), [0, 0]);
}

/// The model: all messages, and how far each member is.
struct Model {
    hub: Hub,
    all: Vec<(Key, Vec<u8>)>,
    members: Vec<ModelMember>,
    ids: u32,
    random: Random,
    lagged: u32,
    missed: u64,
    delivered: u64,
}

struct ModelMember {
    key: Key,
    /// Its next message, and how many bytes of it were sent.
    next: usize,
    sent: usize,
    /// The rest of a notice.
    notice: Vec<u8>,
    blocked: bool,
    /// It is known to have lagged.
    lagged: bool,
}

/// Longest message of the model in bytes, with what frames it.
const LONGEST: usize = 60;

impl Model {
    fn new(seed: u64) -> Model {
        let mut random = Random::new(seed);
        let frame = Frame::NAMES[random.below(3) as usize].1;
        let on_lag = match frame {
            Frame::Raw => OnLag::Close,
            Frame::Line | Frame::Len32 => OnLag::NAMES[random.below(2) as usize].1,
        };
        let max_message = LONGEST - frame.overhead();
        let buffer = HubSettings::buffer_min(frame, max_message) + random.below(900) as usize;
        let hub = Hub::new(HubSettings { frame, max_message, buffer, on_lag });
        let (all, members) = (Vec::new(), Vec::new());
        Model { hub, all, members, ids: 0, random, lagged: 0, missed: 0, delivered: 0 }
    }

    fn settings(&self) -> HubSettings {
        *self.hub.settings()
    }

    /// The oldest message that fits into the buffer with all later ones.
    fn oldest(&self) -> usize {
        let mut left = self.settings().buffer;
        let fits = |(_, bytes): &&(Key, Vec<u8>)| {
            let cost = bytes.len() + ENTRY_BYTES;
            let fits = cost <= left;
            left = left.saturating_sub(cost);
            fits
        };
        self.all.len() - self.all.iter().rev().take_while(fits).count()
    }

    fn pick(&mut self) -> Option<usize> {
        let members = self.members.len() as u64;
        (members > 0).then(|| self.random.below(members) as usize)
    }

    fn join(&mut self) {
        let slot = self.random.below(12) as usize;
        if self.members.iter().any(|member| member.key.slot() == slot) {
            return;
        }
        self.ids += 1;
        let (key, next) = (Key::new(self.ids, slot), self.all.len());
        self.hub.join(key);
        let notice = Vec::new();
        self.members.push(ModelMember {
            key,
            next,
            sent: 0,
            notice,
            blocked: false,
            lagged: false,
        });
    }

    fn leave(&mut self) {
        if let Some(at) = self.pick() {
            self.hub.leave(self.members.swap_remove(at).key);
        }
    }

    fn publish(&mut self) {
        let sender = match self.random.below(8) {
            0 => None,
            _ => self.pick().map(|at| self.members[at].key),
        };
        let frame = self.settings().frame;
        let length = self.random.below((LONGEST - frame.overhead()) as u64 + 1) as usize;
        let length = if frame == Frame::Raw { length.max(1) } else { length };
        let random = &mut self.random;
        let payload: Vec<u8> = (0..length).map(|_| b'a' + random.below(26) as u8).collect();
        let message = match frame {
            Frame::Line => [&payload[..], b"\n"].concat(),
            Frame::Len32 => [&(length as u32).to_be_bytes(), &payload[..]].concat(),
            Frame::Raw => payload,
        };
        self.hub.publish(sender, &message);
        self.all.push((sender.unwrap_or(Key::LOOP), message));
        self.check_bounds();
        self.check_lagged();
    }

    /// Checks that members have lagged only for a reason.
    fn check_lagged(&mut self) {
        let (oldest, settings) = (self.oldest(), self.settings());
        for at in 0..self.members.len() {
            let member = &self.members[at];
            let found = self.hub.members.find(member.key).expect("a member");
            if self.hub.members.list[found].lagged && !member.lagged {
                match settings.on_lag {
                    OnLag::Close => assert!(self.others(member, member.next..oldest) > 0),
                    OnLag::Skip => assert!(self.hub.pending_bytes + LONGEST > settings.buffer),
                }
                self.members[at].lagged = true;
            }
        }
    }

    fn check_counts(&self) {
        let (published, delivered, missed) = (self.all.len() as u64, self.delivered, self.missed);
        assert_eq!(self.hub.counts(), HubCounts { published, delivered, missed });
        let left =
            self.members.iter().map(|member| self.others(member, member.next..self.all.len()));
        // The rest of a message that was overwritten is no message behind.
        assert!(left.max().unwrap_or(0) <= self.hub.most_behind() + 1);
    }

    fn check_bounds(&self) {
        self.check_counts();
        let (hub, oldest) = (&self.hub, self.oldest());
        assert_eq!(hub.ring.oldest(), oldest as u64);
        assert_eq!(hub.ring.next_number(), self.all.len() as u64);
        assert!(hub.ring.allocated() <= 2 * self.settings().buffer);
        assert!(hub.pending_bytes <= self.settings().buffer);
        let pending: usize = hub.pending.values().map(|pending| pending.bytes.len()).sum();
        assert_eq!(hub.pending_bytes, pending);
        for count in [hub.pending.len(), hub.waiting.len(), hub.own_missed.len(), hub.len()] {
            assert!(count <= self.members.len());
        }
        for member in &self.members {
            let at = hub.members.find(member.key).expect("a member");
            let is_ready = at < hub.members.ready;
            let has_lost = self.others(member, member.next..oldest) > 0;
            let must_close = has_lost && self.settings().on_lag == OnLag::Close;
            assert_eq!(is_ready, !member.blocked || hub.members.list[at].lagged);
            assert!(is_ready || !must_close, "one that is closed must not wait for its socket");
        }
    }

    /// How many messages of a range are from others.
    fn others(&self, member: &ModelMember, range: std::ops::Range<usize>) -> u64 {
        let range = range.start..range.end.max(range.start);
        self.all[range].iter().filter(|(sender, _)| *sender != member.key).count() as u64
    }

    /// Serves ready members until none is left or the budget is used up.
    fn serve(&mut self, budget: u64) {
        for _ in 0..budget {
            let Some(key) = self.hub.next_ready() else {
                for member in self.members.iter().filter(|member| !member.blocked) {
                    assert!(self.has_everything(member));
                }
                return;
            };
            let at = self.members.iter().position(|member| member.key == key).expect("a member");
            for _ in 0..self.random.below(4) {
                if !self.deliver(at) {
                    break;
                }
            }
        }
    }

    /// Makes one delivery. Returns false if nothing more is to be asked for now.
    fn deliver(&mut self, at: usize) -> bool {
        let (oldest, settings) = (self.oldest(), self.settings());
        let member = &self.members[at];
        let key = member.key;
        match self.hub.next(key) {
            Delivery::Bytes(bytes) => {
                let bytes = bytes.to_vec();
                assert!(!bytes.is_empty() && bytes.len() <= DELIVERY_BYTES);
                assert!(!member.blocked);
                assert_eq!(bytes, self.expected(member, bytes.len()));
                return self.accept(at, bytes.len());
            }
            Delivery::Missed(missed) => {
                assert_eq!(settings.on_lag, OnLag::Skip);
                assert!(missed > 0 && member.sent == 0 && member.notice.is_empty());
                assert_eq!(missed, self.others(member, member.next..oldest));
                self.missed += missed;
                let member = &mut self.members[at];
                member.next = oldest;
                if settings.frame == Frame::Line {
                    let noun = if missed == 1 { "message" } else { "messages" };
                    member.notice = format!("* {missed} {noun} missed\n").into_bytes();
                }
                self.check_lagged();
            }
            Delivery::Lagged => {
                self.check_lagged();
                assert!(self.members[at].lagged);
                self.lagged += 1;
                self.hub.leave(key);
                self.members.swap_remove(at);
                return false;
            }
            Delivery::CaughtUp => {
                assert!(self.has_everything(member));
                return false;
            }
        }
        true
    }

    /// The next bytes of a member, at most so many.
    fn expected(&self, member: &ModelMember, bytes: usize) -> Vec<u8> {
        let mut expected = member.notice.clone();
        let mut skipped = member.sent;
        for (sender, message) in &self.all[member.next..] {
            if expected.len() >= bytes {
                break;
            }
            if *sender != member.key {
                expected.extend_from_slice(&message[std::mem::take(&mut skipped)..]);
            }
        }
        expected.truncate(bytes);
        expected
    }

    /// The socket accepts some of the bytes.
    fn accept(&mut self, at: usize, offered: usize) -> bool {
        let accepted = match self.random.below(3) {
            0 => offered,
            _ => self.random.below(offered as u64 + 1) as usize,
        };
        let member = &mut self.members[at];
        self.hub.advance(member.key, accepted);
        let mut left = accepted;
        let of_notice = left.min(member.notice.len());
        member.notice.drain(..of_notice);
        left -= of_notice;
        while left > 0 {
            let (sender, message) = &self.all[member.next];
            let rest = message.len() - member.sent;
            if *sender == member.key {
                member.next += 1;
            } else if left >= rest {
                (member.next, member.sent, left) = (member.next + 1, 0, left - rest);
                self.delivered += 1;
            } else {
                (member.sent, left) = (member.sent + left, 0);
            }
        }
        if accepted < offered && !self.random.once_in(3) {
            member.blocked = true;
            self.hub.blocked(member.key);
        }
        !member.blocked
    }

    fn has_everything(&self, member: &ModelMember) -> bool {
        member.notice.is_empty() && self.others(member, member.next..self.all.len()) == 0
    }

    fn unblock(&mut self) {
        if let Some(at) = self.pick() {
            self.members[at].blocked = false;
            self.hub.unblocked(self.members[at].key);
        }
    }

    fn run(mut self) -> (u32, u64) {
        // Every run has its own pace, so that some members always lag and others hardly ever.
        let pace = 1 + self.random.below(40);
        for _ in 0..600 {
            match self.random.below(20) {
                0 | 1 => self.join(),
                2 if self.random.once_in(2) => self.leave(),
                3..=9 => self.publish(),
                10..=12 => self.unblock(),
                _ => {
                    let budget = self.random.below(pace);
                    self.serve(budget);
                }
            }
        }
        for member in &mut self.members {
            member.blocked = false;
            self.hub.unblocked(member.key);
        }
        self.serve(100_000);
        assert_eq!(self.hub.next_ready(), None);
        self.check_counts();
        while !self.members.is_empty() {
            self.leave();
        }
        let hub = &self.hub;
        let held = [hub.pending_bytes, hub.pending.len(), hub.waiting.len(), hub.own_missed.len()];
        assert_eq!(held, [0; 4]);
        (self.lagged, self.missed)
    }
}

#[test]
fn every_member_receives_what_the_model_says() {
    let (mut lagged, mut missed) = (0, 0);
    for seed in 0..400 {
        let run = std::panic::catch_unwind(|| Model::new(seed).run());
        let run = run.unwrap_or_else(|_| panic!("seed {seed}"));
        (lagged, missed) = (lagged + run.0, missed + run.1);
    }
    assert!(lagged > 500 && missed > 5_000, "{lagged} lagged, {missed} missed: no laps");
}

#[test]
fn the_bytes_that_a_member_is_behind_are_counted() {
    let mut hub = hub(2, Frame::Raw, OnLag::Close, 2, 8);
    assert!(hub.is_caught_up() && !hub.has_ready());
    hub.publish(None, b"12345678");
    assert!(!hub.is_caught_up() && hub.has_ready());
    assert_eq!((hub.behind(key(1)), hub.behind(key(3)), hub.most_behind()), (8, 0, 1));
    send_some(&mut hub, 1, 3);
    assert_eq!((hub.behind(key(1)), hub.behind(key(2))), (5, 8));
    assert_eq!(text_of(&mut hub, 2), "12345678");
    assert!(hub.is_caught_up() && !hub.has_ready(), "the other one is blocked");
    hub.publish(None, b"abcdefgh");
    assert_eq!((hub.behind(key(1)), hub.behind(key(2))), (13, 8));
    hub.publish(None, b"x");
    assert_eq!(hub.behind(key(1)), 9, "what was overwritten does not count");
    assert_eq!(hub.most_behind(), 3, "but it is a message behind");
    hub.leave(key(1));
    hub.leave(key(2));
    assert_eq!(hub.most_behind(), 0);
    assert!(!Hub::new(HubSettings::default()).is_caught_up());
}
