//! The table of datagram flows. Finding by source, touching, expiring and evicting take constant
//! time.
//!
//! Each listener of a relay has a flow list in the order of the last touch. The flow that expires
//! or is evicted next is always the last one of its list.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use slab::Slab;

use super::source_hash::SourceHash;
use crate::core::Moment;

/// `A` is the address of a source, `T` the owner's state of a flow.
#[derive(Debug)]
pub struct Table<A, T> {
    entries: Slab<Entry<A, T>>,
    lists: Slab<FlowList<A>>,
    /// No flow is due before this time. It may be too early, because touches do not move it.
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
    /// It is in the list's `parked` order.
    parked: bool,
}

#[derive(Debug)]
struct FlowList<A> {
    /// The route that its flows were opened by.
    route: u16,
    slots: HashMap<A, usize, SourceHash>,
    touched: Order,
    /// Flows that wait for an answer during a drain, in the same order.
    parked: Order,
    limit: usize,
}

/// Flows in the order of the last touch, and their idle timeout.
#[derive(Debug)]
struct Order {
    newest: Option<usize>,
    oldest: Option<usize>,
    idle: Duration,
}

impl<A, T> Default for Table<A, T> {
    fn default() -> Table<A, T> {
        Table { entries: Slab::new(), lists: Slab::new(), due: None }
    }
}

impl<A: Clone + Eq + Hash, T> Table<A, T> {
    /// Adds a flow list of a route, with a limit of `limit` flows (at least one) and the idle
    /// timeout `idle`.
    pub fn add_list(&mut self, route: u16, limit: usize, idle: Duration) -> usize {
        let limit = limit.max(1);
        let order = || Order { newest: None, oldest: None, idle };
        let (slots, touched, parked) = (HashMap::default(), order(), order());
        self.lists.insert(FlowList { route, slots, touched, parked, limit })
    }

    /// Removes a flow list. It must be empty.
    pub fn remove_list(&mut self, list: usize) {
        let removed = self.lists.remove(list);
        debug_assert!(removed.slots.is_empty());
    }

    /// Changes the limit and the idle timeout of a flow list, for its open flows too.
    pub fn set_limits(&mut self, list: usize, limit: usize, idle: Duration) {
        let list = &mut self.lists[list];
        (list.limit, list.touched.idle, list.parked.idle) = (limit.max(1), idle, idle);
        self.check_soon();
    }

    /// The route of a flow list.
    pub fn route(&self, list: usize) -> u16 {
        self.lists[list].route
    }

    /// Number of flows in a list.
    pub fn list_len(&self, list: usize) -> usize {
        self.lists[list].slots.len()
    }

    /// Number of flows of a route.
    pub fn live(&self, route: u16) -> usize {
        let lists = self.lists.iter().filter(|(_, list)| list.route == route);
        lists.map(|(_, list)| list.slots.len()).sum()
    }

    /// The oldest flow of a list with more flows than its limit, which was lowered.
    pub fn overfull(&self) -> Option<usize> {
        let list = self.lists.iter().find(|(_, list)| list.slots.len() > list.limit);
        list.and_then(|(_, list)| list.oldest())
    }

    pub fn find(&self, list: usize, source: &A) -> Option<usize> {
        self.lists[list].slots.get(source).copied()
    }

    /// The slot of the next flow that is inserted.
    pub fn vacant(&self) -> usize {
        self.entries.vacant_key()
    }

    /// The flow to evict before another one can be inserted into this list.
    pub fn surplus(&self, list: usize) -> Option<usize> {
        let list = &self.lists[list];
        list.oldest().filter(|_| list.slots.len() >= list.limit)
    }

    /// Inserts a flow. Its source must be new to the list.
    pub fn insert(&mut self, list: usize, source: A, id: u32, flow: T, now: Moment) -> usize {
        debug_assert!(self.find(list, &source).is_none());
        let key = source.clone();
        let (newer, older) = (None, None);
        let parked = false;
        let entry = Entry { id, list, source, active: now, flow, newer, older, parked };
        let slot = self.entries.insert(entry);
        self.lists[list].slots.insert(key, slot);
        self.push_newest(slot);
        self.set_due_by(now.after(self.lists[list].touched.idle));
        slot
    }

    pub fn get(&mut self, slot: usize) -> Option<&mut Entry<A, T>> {
        self.entries.get_mut(slot)
    }

    pub fn peek(&self, slot: usize) -> Option<&Entry<A, T>> {
        self.entries.get(slot)
    }

    /// Records a datagram: moves the flow to the front of its list.
    pub fn touch(&mut self, slot: usize, now: Moment) {
        let entry = &mut self.entries[slot];
        entry.active = now;
        if entry.parked {
            self.unlink(slot);
            self.entries[slot].parked = false;
            self.push_newest(slot);
            self.set_due_by(now.after(self.lists[self.entries[slot].list].touched.idle));
        } else if entry.newer.is_some() {
            self.unlink(slot);
            self.push_newest(slot);
        }
    }

    /// Parks an expired flow until it is touched, or reaches the idle timeout from before
    /// `limit_idle`. Returns false if it is parked already.
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

    /// Returns a flow that has reached its idle timeout.
    pub fn expired(&mut self, now: Moment) -> Option<usize> {
        if self.due.is_none_or(|due| due > now) {
            return None;
        }
        let orders = self.lists.iter().flat_map(|(_, list)| [&list.touched, &list.parked]);
        let ends = orders.filter_map(|order| {
            let slot = order.oldest?;
            Some((self.entries[slot].active.after(order.idle), slot))
        });
        let next = ends.min();
        self.due = next.map(|(due, _)| due);
        next.filter(|(due, _)| *due <= now).map(|(_, slot)| slot)
    }

    /// The time of the next call of `expired`.
    pub fn due(&self) -> Option<Moment> {
        self.due
    }

    /// Lowers the idle timeout of all flows except parked ones.
    pub fn limit_idle(&mut self, idle: Duration) {
        for (_, list) in &mut self.lists {
            list.touched.idle = list.touched.idle.min(idle);
        }
        self.check_soon();
    }

    /// Makes the next call of `expired` compute the due time.
    fn check_soon(&mut self) {
        self.due = self.due.map(|_| Moment::default());
    }

    /// Returns any one of the flows.
    pub fn any(&self) -> Option<usize> {
        self.lists.iter().find_map(|(_, list)| list.oldest())
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// All slots from here on are empty.
    pub fn slots(&self) -> usize {
        self.entries.capacity()
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

    /// Moves `due` forward to this time.
    fn set_due_by(&mut self, due: Moment) {
        self.due = Some(self.due.map_or(due, |earlier| earlier.min(due)));
    }
}

impl<A> FlowList<A> {
    fn order(&mut self, parked: bool) -> &mut Order {
        if parked { &mut self.parked } else { &mut self.touched }
    }

    /// The flow with the longest idle time.
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
        table.add_list(0, limit, IDLE);
        table
    }

    /// Removes all expired flows and returns their sources.
    fn expire(table: &mut Table<u32, ()>, now: u64) -> Vec<u32> {
        let mut gone = Vec::new();
        while let Some(slot) = table.expired(Moment(now)) {
            gone.push(table.remove(slot).source);
        }
        gone
    }

    #[test]
    fn a_flow_expires_at_its_idle_timeout_and_not_before() {
        let mut table = table(10);
        let first = table.insert(0, 1, 1, (), Moment(0));
        table.insert(0, 2, 2, (), Moment(10));
        table.touch(first, Moment(50));
        assert_eq!(table.due(), Some(Moment(100)), "a touch does not move the due time");
        assert!(expire(&mut table, 109).is_empty());
        assert_eq!(table.due(), Some(Moment(110)), "`expired` corrects it");
        assert_eq!(expire(&mut table, 110), [2]);
        assert_eq!(expire(&mut table, 150), [1]);
        assert_eq!((table.due(), table.len()), (None, 0));
    }

    #[test]
    fn the_flow_that_was_idle_longest_is_evicted() {
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
    fn flow_lists_are_independent() {
        let mut table = table(1);
        table.add_list(0, 1, IDLE * 10);
        table.insert(0, 7, 1, (), Moment(0));
        assert_eq!((table.find(1, &7), table.surplus(1)), (None, None));
        table.insert(1, 7, 2, (), Moment(0));
        assert_eq!(expire(&mut table, 999), [7]);
        assert_eq!(table.due(), Some(Moment(1000)));
    }

    #[test]
    fn a_lower_idle_timeout_applies_to_open_flows() {
        let mut table = table(9);
        table.insert(0, 1, 1, (), Moment(50));
        table.limit_idle(IDLE / 10);
        assert!(expire(&mut table, 59).is_empty());
        assert_eq!(expire(&mut table, 60), [1]);
    }

    #[test]
    fn other_limits_apply_to_open_flows() {
        let mut table = table(9);
        let slots: Vec<usize> =
            (0..4).map(|id| table.insert(0, id, id, (), Moment(u64::from(id)))).collect();
        table.set_limits(0, 2, IDLE * 3);
        assert_eq!(table.due(), Some(Moment(0)), "that is checked at once");
        for slot in &slots[..2] {
            assert_eq!(table.overfull(), Some(*slot), "the oldest first");
            table.remove(*slot);
        }
        assert_eq!((table.overfull(), table.live(0), table.live(1)), (None, 2, 0));
        assert!(expire(&mut table, 301).is_empty());
        assert_eq!(expire(&mut table, 302), [2]);
        assert_eq!((table.list_len(0), expire(&mut table, 303)), (1, vec![3]));
    }

    #[test]
    fn a_parked_flow_is_idle_for_as_long_as_before_unless_it_is_touched() {
        let mut table = table(9);
        let (unanswered, answered) =
            (table.insert(0, 1, 1, (), Moment(50)), table.insert(0, 2, 2, (), Moment(50)));
        table.limit_idle(IDLE / 10);
        assert_eq!(table.expired(Moment(60)), Some(unanswered));
        assert!(table.park(unanswered));
        assert_eq!(table.expired(Moment(60)), Some(answered));
        assert!(table.park(answered));
        assert_eq!((table.expired(Moment(149)), table.due()), (None, Some(Moment(150))));
        table.touch(answered, Moment(100));
        assert_eq!(table.due(), Some(Moment(110)), "a touched flow is due in time");
        assert_eq!(expire(&mut table, 110), [2]);
        assert_eq!(table.expired(Moment(150)), Some(unanswered));
        assert!(!table.park(unanswered), "it has reached its full timeout");
        assert_eq!(
            (table.any(), table.remove(unanswered).source, table.any()),
            (Some(unanswered), 1, None)
        );
    }

    /// The model is a list of sources and their last touch, searched linearly.
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
