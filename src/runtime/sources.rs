//! A table of event sources that are opened and closed while the loop runs: listeners, or datagram
//! sockets. It numbers their keys, and knows nothing of what they do.

use crate::core::{Key, SourceKind};

/// The sources of one kind. A slot is reused, a key is not: it holds the generation of its slot.
#[derive(Debug)]
pub struct Sources<T> {
    kind: SourceKind,
    slots: Vec<Slot<T>>,
    /// Slots without a source.
    free: Vec<usize>,
}

#[derive(Debug)]
struct Slot<T> {
    generation: u16,
    source: Option<T>,
}

impl<T> Sources<T> {
    pub fn new(kind: SourceKind) -> Sources<T> {
        Sources { kind, slots: Vec::new(), free: Vec::new() }
    }

    /// The key of the next source that is inserted. None if the table is full.
    pub fn vacant(&self) -> Option<Key> {
        match self.free.last() {
            Some(slot) => Some(self.key(*slot)),
            None if self.slots.len() < Key::SOURCES => {
                Some(Key::source(self.kind, self.slots.len(), 0))
            }
            None => None,
        }
    }

    /// Inserts a source under the key that `vacant` returned.
    pub fn insert(&mut self, key: Key, source: T) {
        debug_assert_eq!(self.vacant(), Some(key));
        match self.free.pop() {
            Some(slot) => self.slots[slot].source = Some(source),
            None => self.slots.push(Slot { generation: 0, source: Some(source) }),
        }
    }

    #[inline]
    pub fn get(&self, key: Key) -> Option<&T> {
        self.slots.get(self.index(key)?)?.source.as_ref()
    }

    #[inline]
    pub fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        let index = self.index(key)?;
        self.slots.get_mut(index)?.source.as_mut()
    }

    pub fn remove(&mut self, key: Key) -> Option<T> {
        let index = self.index(key)?;
        let slot = &mut self.slots[index];
        let source = slot.source.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(index);
        Some(source)
    }

    /// The first source in this slot or a later one. A cursor over sources that are removed
    /// meanwhile.
    pub fn next_from(&self, slot: usize) -> Option<Key> {
        let found = self.slots.get(slot..)?.iter().position(|slot| slot.source.is_some())?;
        Some(self.key(slot + found))
    }

    pub fn iter(&self) -> impl Iterator<Item = (Key, &T)> {
        let sources = self.slots.iter().enumerate();
        sources.filter_map(|(slot, Slot { source, .. })| Some((self.key(slot), source.as_ref()?)))
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.slots.iter_mut().filter_map(|slot| slot.source.as_mut())
    }

    pub fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn key(&self, slot: usize) -> Key {
        Key::source(self.kind, slot, self.slots[slot].generation)
    }

    /// The slot of a key, if it is the present one of that slot.
    #[inline]
    fn index(&self, key: Key) -> Option<usize> {
        let slot = key.source_slot();
        (slot < self.slots.len() && self.key(slot) == key).then_some(slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(sources: &mut Sources<u32>, value: u32) -> Key {
        let key = sources.vacant().unwrap();
        sources.insert(key, value);
        key
    }

    #[test]
    fn a_key_never_leads_to_a_later_source_in_its_slot() {
        let mut sources = Sources::new(SourceKind::Listener);
        let (first, second) = (add(&mut sources, 1), add(&mut sources, 2));
        assert_eq!(sources.remove(first), Some(1));
        assert_eq!((sources.get(first), sources.len()), (None, 1));
        assert_eq!(sources.remove(first), None);
        let third = add(&mut sources, 3);
        assert_eq!(third.source_slot(), first.source_slot(), "the slot is used again");
        assert_eq!((sources.get(first), sources.get(third)), (None, Some(&3)));
        assert_eq!(sources.remove(first), None);
        assert_eq!(sources.get_mut(second), Some(&mut 2));
        let other = Key::source(SourceKind::Datagram, second.source_slot(), 0);
        assert_eq!(sources.get(other), None, "another kind");
    }

    #[test]
    fn a_cursor_meets_each_source_once_though_some_are_removed_on_the_way() {
        let mut sources = Sources::new(SourceKind::Datagram);
        let keys: Vec<Key> = (0..5).map(|value| add(&mut sources, value)).collect();
        sources.remove(keys[1]);
        let (mut met, mut slot) = (Vec::new(), 0);
        while let Some(key) = sources.next_from(slot) {
            met.push(sources.remove(key).unwrap());
            slot = key.source_slot() + 1;
        }
        assert_eq!(met, [0, 2, 3, 4]);
        assert!(sources.is_empty() && sources.iter().next().is_none());
    }

    #[test]
    fn a_full_table_has_no_vacant_key() {
        let mut sources = Sources::new(SourceKind::Listener);
        for value in 0..Key::SOURCES {
            add(&mut sources, value as u32);
        }
        assert_eq!(sources.vacant(), None);
        let last = Key::source(SourceKind::Listener, Key::SOURCES - 1, 0);
        sources.remove(last);
        assert!(sources.vacant().is_some_and(|key| key != last));
    }
}
