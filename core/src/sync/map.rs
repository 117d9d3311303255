//! A hash map for many goroutines and threads at once.
//!
//! *Where it sits*: layer 4. Rules MP-01 and MP-02, after Go's `sync.Map`. The map itself is the crate `papaya`: it is
//! lock-free, so nothing is locked while a key is hashed or compared, a value cloned, or a [`range`](Map::range) runs user
//! code. Maps with locked shards (`dashmap`) would lock up a thread when such code parks or uses the map again.

use papaya::{Compute, HashMap, Operation};
use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash, RandomState};

/// A concurrent hash map. Values are cloned on their way out: use `Arc` for what is expensive to clone.
///
/// ```
/// use zokor::sync::Map;
/// let m = Map::new();
/// m.store("a", 1);
/// assert_eq!(m.load_or_store("a", 7), (1, true));
/// assert_eq!(m.load_or_store("b", 2), (2, false));
/// assert!(m.compare_and_swap("b", &2, 3));
/// assert_eq!(m.load_and_delete("b"), Some(3));
/// assert_eq!((m.load("a"), m.load("b")), (Some(1), None));
/// ```
pub struct Map<K, V, S = RandomState> {
    map: HashMap<K, V, S>,
}

impl<K, V> Map<K, V> {
    /// An empty map.
    pub fn new() -> Map<K, V> {
        Map { map: HashMap::new() }
    }
}

impl<K, V, S: Default> Default for Map<K, V, S> {
    fn default() -> Map<K, V, S> {
        Map { map: HashMap::with_hasher(S::default()) }
    }
}

impl<K: Hash + Eq, V: Clone, S: BuildHasher> Map<K, V, S> {
    /// The value of `key`.
    pub fn load<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        self.map.pin().get(key).cloned()
    }

    /// Whether `key` is in the map.
    pub fn contains_key<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.map.pin().contains_key(key)
    }

    /// Sets the value of `key`.
    pub fn store(&self, key: K, value: V) {
        self.map.pin().insert(key, value);
    }

    /// Sets the value of `key` and returns the former one.
    pub fn swap(&self, key: K, value: V) -> Option<V> {
        self.map.pin().insert(key, value).cloned()
    }

    /// The value of `key`, which is set to `value` if it has none; and whether it had one.
    pub fn load_or_store(&self, key: K, value: V) -> (V, bool) {
        match self.map.pin().try_insert(key, value) {
            Ok(stored) => (stored.clone(), false),
            Err(there) => (there.current.clone(), true),
        }
    }

    /// Removes `key` and returns its value.
    pub fn load_and_delete<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        self.map.pin().remove(key).cloned()
    }

    /// Removes `key`.
    pub fn delete<Q: Hash + Eq + ?Sized>(&self, key: &Q)
    where
        K: Borrow<Q>,
    {
        self.map.pin().remove(key);
    }

    /// Sets the value of `key` to `new` if it is `old`. False if it is another, or if there is none.
    pub fn compare_and_swap(&self, key: K, old: &V, new: V) -> bool
    where
        V: PartialEq,
    {
        let pinned = self.map.pin();
        let done = pinned.compute(key, |entry| match entry {
            Some((_, value)) if value == old => Operation::Insert(new.clone()),
            _ => Operation::Abort(()),
        });
        matches!(done, Compute::Updated { .. })
    }

    /// Removes `key` if its value is `old`. False if it is another, or if there is none.
    pub fn compare_and_delete<Q: Hash + Eq + ?Sized>(&self, key: &Q, old: &V) -> bool
    where
        K: Borrow<Q>,
        V: PartialEq,
    {
        matches!(self.map.pin().remove_if(key, |_, value| value == old), Ok(Some(_)))
    }

    /// Removes everything.
    pub fn clear(&self) {
        self.map.pin().clear();
    }

    /// Calls `f` for each entry until it returns false. No key comes twice. It is no snapshot: entries that change meanwhile may
    /// come as they were or as they are, or not at all. `f` may use and change the map, and may wait.
    pub fn range(&self, mut f: impl FnMut(&K, &V) -> bool) {
        // A guard that belongs to no thread: `f` may park.
        let guard = self.map.owned_guard();
        for (key, value) in self.map.iter(&guard) {
            if !f(key, value) {
                return;
            }
        }
    }

    /// How many entries there are. A snapshot.
    pub fn len(&self) -> usize {
        self.map.len()
    }

    /// Whether there is none. A snapshot.
    pub fn is_empty(&self) -> bool {
        self.map.is_empty()
    }
}

impl<K, V, S> std::fmt::Debug for Map<K, V, S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Map").finish_non_exhaustive()
    }
}
