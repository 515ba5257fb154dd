//! The table of datagram flows: found by source, touched, expired and evicted in constant time.
//!
//! Each lane (the flows of one door) is a list in the order of the last touch. So the flow that
//! expires next, and the one that makes room when the lane is full, is always the one at its end.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use slab::Slab;

use super::source_hash::SourceHash;
use crate::core::Moment;

/// `A` is the address of a source; `T` is what the owner of the table keeps of a flow.
#[derive(Debug)]
pub struct Table<A, T> {
    entries: Slab<Entry<A, T>>,
    lists: Vec<FlowList<A>>,
    /// No flow is due before this. It may be too early, as touches do not move it.
    due: Option<Moment>,
}

/// One flow and its neighbours in the order of the last touch.
#[derive(Debug)]
pub struct Entry<A, T> {
    pub id: u32,
    pub list: usize,
    pub source: A,
    pub active: Moment,
    pub flow: T,
    newer: Option<usize>,
    older: Option<usize>,
    /// It is in the lane's list of those that wait for an answer during a drain.
    parked: bool,
}

#[derive(Debug)]
struct FlowList<A> {
    slots: HashMap<A, usize, SourceHash>,
    touched: Order,
    /// During a drain: those that wait for an answer, in the same order.
    parked: Order,
    limit: usize,
}

/// A list of flows in the order of the last touch, and for how long each may be idle.
#[derive(Debug)]
struct Order {
    newest: Option<usize>,
    oldest: Option<usize>,
    idle: Duration,
}

impl<A, T> Default for Table<A, T> {
    fn default() -> Table<A, T> {
        Table { entries: Slab::new(), lists: Vec::new(), due: None }
    }
}

impl<A: Clone + Eq + Hash, T> Table<A, T> {
    /// A new lane for at most `limit` flows (and for one at least), each of which may rest for
    /// `idle`.
    pub fn list(&mut self, limit: usize, idle: Duration) -> usize {
        let limit = limit.max(1);
        let order = || Order { newest: None, oldest: None, idle };
        let (slots, touched, parked) = (HashMap::default(), order(), order());
        self.lists.push(FlowList { slots, touched, parked, limit });
        self.lists.len() - 1
    }

    pub fn find(&self, list: usize, source: &A) -> Option<usize> {
        self.lists[list].slots.get(source).copied()
    }

    /// The slot that the next flow will have.
    pub fn vacant(&self) -> usize {
        self.entries.vacant_key()
    }

    /// The flow that must go before this lane can take another one.
    pub fn surplus(&self, list: usize) -> Option<usize> {
        let list = &self.lists[list];
        list.oldest().filter(|_| list.slots.len() >= list.limit)
    }

    /// Takes a flow in. Its source must be new to the lane, and the lane must have room.
    pub fn insert(&mut self, list: usize, source: A, id: u32, flow: T, now: Moment) -> usize {
        debug_assert!(self.surplus(list).is_none() && self.find(list, &source).is_none());
        let key = source.clone();
        let (newer, older) = (None, None);
        let parked = false;
        let entry = Entry { id, list, source, active: now, flow, newer, older, parked };
        let slot = self.entries.insert(entry);
        self.lists[list].slots.insert(key, slot);
        self.push_newest(slot);
        self.ask_at(now.after(self.lists[list].touched.idle));
        slot
    }

    pub fn get(&mut self, slot: usize) -> Option<&mut Entry<A, T>> {
        self.entries.get_mut(slot)
    }

    pub fn peek(&self, slot: usize) -> Option<&Entry<A, T>> {
        self.entries.get(slot)
    }

    /// A datagram passed: from now on this flow is the youngest of its lane.
    pub fn touch(&mut self, slot: usize, now: Moment) {
        let entry = &mut self.entries[slot];
        entry.active = now;
        if entry.parked {
            self.unlink(slot);
            self.entries[slot].parked = false;
            self.push_newest(slot);
            self.ask_at(now.after(self.lists[self.entries[slot].list].touched.idle));
        } else if entry.newer.is_some() {
            self.unlink(slot);
            self.push_newest(slot);
        }
    }

    /// Takes a flow that has expired out of the order until it is touched, or was idle for as long
    /// as before `hasten`. False: it is there already.
    pub fn park(&mut self, slot: usize) -> bool {
        if self.entries[slot].parked {
            return false;
        }
        self.unlink(slot);
        self.entries[slot].parked = true;
        self.push_newest(slot);
        true
    }

    pub fn remove(&mut self, slot: usize) -> Entry<A, T> {
        self.unlink(slot);
        let entry = self.entries.remove(slot);
        self.lists[entry.list].slots.remove(&entry.source);
        entry
    }

    /// A flow that has rested for as long as it may.
    pub fn expired(&mut self, now: Moment) -> Option<usize> {
        if self.due.is_none_or(|due| due > now) {
            return None;
        }
        let orders = self.lists.iter().flat_map(|list| [&list.touched, &list.parked]);
        let ends = orders.filter_map(|order| {
            let slot = order.oldest?;
            Some((self.entries[slot].active.after(order.idle), slot))
        });
        let next = ends.min();
        self.due = next.map(|(due, _)| due);
        next.filter(|(due, _)| *due <= now).map(|(_, slot)| slot)
    }

    /// When to ask for expired flows again.
    pub fn due(&self) -> Option<Moment> {
        self.due
    }

    /// From now on no flow may rest for longer than this, but for those that are parked.
    pub fn hasten(&mut self, idle: Duration) {
        for list in &mut self.lists {
            list.touched.idle = list.touched.idle.min(idle);
        }
        // Too early is harmless: the next question corrects it.
        self.due = self.due.map(|_| Moment::default());
    }

    /// Any one of the flows.
    pub fn any(&self) -> Option<usize> {
        self.lists.iter().find_map(FlowList::oldest)
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn iter(&self) -> impl Iterator<Item = (usize, &Entry<A, T>)> {
        self.entries.iter()
    }

    fn unlink(&mut self, slot: usize) {
        let entry = &self.entries[slot];
        let (newer, older) = (entry.newer, entry.older);
        let order = self.lists[entry.list].order(entry.parked);
        if newer.is_none() {
            order.newest = older;
        }
        if older.is_none() {
            order.oldest = newer;
        }
        if let Some(newer) = newer {
            self.entries[newer].older = older;
        }
        if let Some(older) = older {
            self.entries[older].newer = newer;
        }
    }

    fn push_newest(&mut self, slot: usize) {
        let entry = &self.entries[slot];
        let order = self.lists[entry.list].order(entry.parked);
        let older = order.newest.replace(slot);
        match older {
            Some(older) => self.entries[older].newer = Some(slot),
            None => order.oldest = Some(slot),
        }
        self.entries[slot].newer = None;
        self.entries[slot].older = older;
    }

    /// A flow may expire at this time.
    fn ask_at(&mut self, due: Moment) {
        self.due = Some(self.due.map_or(due, |earlier| earlier.min(due)));
    }
}

impl<A> FlowList<A> {
    fn order(&mut self, parked: bool) -> &mut Order {
        if parked { &mut self.parked } else { &mut self.touched }
    }

    /// The flow that was idle for longest.
    fn oldest(&self) -> Option<usize> {
        self.parked.oldest.or(self.touched.oldest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::Random;

    const IDLE: Duration = Duration::from_micros(100);

    fn table(limit: usize) -> Table<u32, ()> {
        let mut table = Table::default();
        table.list(limit, IDLE);
        table
    }

    /// Takes the sources of all expired flows out.
    fn expire(table: &mut Table<u32, ()>, now: u64) -> Vec<u32> {
        let mut gone = Vec::new();
        while let Some(slot) = table.expired(Moment(now)) {
            gone.push(table.remove(slot).source);
        }
        gone
    }

    #[test]
    fn a_flow_expires_when_it_has_rested_and_not_before() {
        let mut table = table(10);
        let first = table.insert(0, 1, 1, (), Moment(0));
        table.insert(0, 2, 2, (), Moment(10));
        table.touch(first, Moment(50));
        assert_eq!(table.due(), Some(Moment(100)), "a touch does not move the question");
        assert_eq!(expire(&mut table, 109), []);
        assert_eq!(table.due(), Some(Moment(110)), "the answer corrects it");
        assert_eq!(expire(&mut table, 110), [2]);
        assert_eq!(expire(&mut table, 150), [1]);
        assert_eq!((table.due(), table.len()), (None, 0));
    }

    #[test]
    fn the_one_that_rested_longest_makes_room() {
        let mut table = table(2);
        let first = table.insert(0, 1, 1, (), Moment(0));
        let second = table.insert(0, 2, 2, (), Moment(1));
        assert_eq!(table.surplus(0), Some(first));
        table.touch(first, Moment(2));
        assert_eq!(table.surplus(0), Some(second));
        assert_eq!(table.remove(second).source, 2);
        assert_eq!((table.surplus(0), table.find(0, &2)), (None, None));
    }

    #[test]
    fn lanes_are_apart() {
        let mut table = table(1);
        table.list(1, IDLE * 10);
        table.insert(0, 7, 1, (), Moment(0));
        assert_eq!((table.find(1, &7), table.surplus(1)), (None, None));
        table.insert(1, 7, 2, (), Moment(0));
        assert_eq!(expire(&mut table, 999), [7]);
        assert_eq!(table.due(), Some(Moment(1000)));
    }

    #[test]
    fn hastened_flows_expire_sooner() {
        let mut table = table(9);
        table.insert(0, 1, 1, (), Moment(50));
        table.hasten(IDLE / 10);
        assert_eq!(expire(&mut table, 59), []);
        assert_eq!(expire(&mut table, 60), [1]);
    }

    #[test]
    fn a_parked_flow_is_idle_for_as_long_as_before_unless_it_is_touched() {
        let mut table = table(9);
        let (waits, answered) =
            (table.insert(0, 1, 1, (), Moment(50)), table.insert(0, 2, 2, (), Moment(50)));
        table.hasten(IDLE / 10);
        assert_eq!(table.expired(Moment(60)), Some(waits));
        assert!(table.park(waits));
        assert_eq!(table.expired(Moment(60)), Some(answered));
        assert!(table.park(answered));
        assert_eq!((table.expired(Moment(149)), table.due()), (None, Some(Moment(150))));
        table.touch(answered, Moment(100));
        assert_eq!(table.due(), Some(Moment(110)), "a touched one is asked for in time");
        assert_eq!(expire(&mut table, 110), [2]);
        assert_eq!(table.expired(Moment(150)), Some(waits));
        assert!(!table.park(waits), "it has waited for as long as it may");
        assert_eq!((table.any(), table.remove(waits).source, table.any()), (Some(waits), 1, None));
    }

    /// The same as the table, but simple: sources and their last touch, found by searching.
    #[test]
    fn the_table_agrees_with_a_simple_model() {
        let mut random = Random::new(3);
        let (mut table, mut model) = (table(8), Vec::<(u64, u32)>::new());
        for now in 0..20_000 {
            let source = random.below(12) as u32;
            model.sort();
            let gone = model.iter().take_while(|(active, _)| active + 100 <= now).count();
            let gone: Vec<u32> = model.drain(..gone).map(|(_, source)| source).collect();
            assert_eq!(expire(&mut table, now), gone);
            let known = model.iter().position(|(_, known)| *known == source);
            assert_eq!(table.find(0, &source).is_some(), known.is_some());
            match (known, random.below(40)) {
                (Some(at), 0) => drop(table.remove(table.find(0, &model.remove(at).1).unwrap())),
                (Some(at), _) => {
                    model[at].0 = now;
                    table.touch(table.find(0, &source).unwrap(), Moment(now));
                }
                (None, chance) if chance < 5 => {
                    if let Some(slot) = table.surplus(0) {
                        assert_eq!(table.remove(slot).source, model.remove(0).1);
                    }
                    table.insert(0, source, now as u32, (), Moment(now));
                    model.push((now, source));
                }
                _ => {}
            }
            assert_eq!(table.len(), model.len());
        }
    }
}
