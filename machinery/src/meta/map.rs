//! Labels and annotations: small, sorted, in one allocation.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::Istr;

/// A small map from interned keys, held as a sorted vector.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SortedMap<V>(Vec<(Istr, V)>);

/// Labels: keys and values repeat from object to object, so both are interned.
pub type Labels = SortedMap<Istr>;
/// Annotations: keys repeat, values seldom do.
pub type Annotations = SortedMap<Box<str>>;

impl<V> Default for SortedMap<V> {
    fn default() -> Self {
        SortedMap(Vec::new())
    }
}

impl<V: AsRef<str>> SortedMap<V> {
    /// An empty map.
    pub const fn new() -> Self {
        SortedMap(Vec::new())
    }

    fn find(&self, key: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(held, _)| held.as_str().cmp(key))
    }

    /// The value under `key`.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.find(key)
            .ok()
            .and_then(|at| self.0.get(at))
            .map(|(_, value)| value.as_ref())
    }

    /// Whether there is a value under `key`.
    pub fn contains_key(&self, key: &str) -> bool {
        self.find(key).is_ok()
    }

    /// Sets `key` to `value`; returns what it replaced.
    pub fn insert(&mut self, key: impl Into<Istr>, value: impl Into<V>) -> Option<V> {
        let (key, value) = (key.into(), value.into());
        match self.find(&key) {
            Ok(at) => self
                .0
                .get_mut(at)
                .map(|held| std::mem::replace(&mut held.1, value)),
            Err(at) => {
                self.0.insert(at, (key, value));
                None
            }
        }
    }

    /// Takes `key` out.
    pub fn remove(&mut self, key: &str) -> Option<V> {
        self.find(key).ok().map(|at| self.0.remove(at).1)
    }

    /// Keys and values in the order of the keys.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&Istr, &V)> + '_ {
        self.0.iter().map(|(key, value)| (key, value))
    }

    /// Keys in order.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = &Istr> + '_ {
        self.0.iter().map(|(key, _)| key)
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn from_vec(mut entries: Vec<(Istr, V)>) -> Self {
        // Later entries win, as in a map: sort is stable, so keep the last of each run.
        entries.sort_by(|a, b| a.0.as_str().cmp(b.0.as_str()));
        entries.dedup_by(|later, earlier| {
            let same = later.0 == earlier.0;
            if same {
                std::mem::swap(later, earlier);
            }
            same
        });
        entries.shrink_to_fit();
        SortedMap(entries)
    }
}

impl<V: AsRef<str>, K: Into<Istr>, W: Into<V>> FromIterator<(K, W)> for SortedMap<V> {
    fn from_iter<I: IntoIterator<Item = (K, W)>>(entries: I) -> Self {
        Self::from_vec(
            entries
                .into_iter()
                .map(|(key, value)| (key.into(), value.into()))
                .collect(),
        )
    }
}

impl<V: fmt::Debug> fmt::Debug for SortedMap<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(self.0.iter().map(|(key, value)| (key, value)))
            .finish()
    }
}

impl<V: Serialize> Serialize for SortedMap<V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, value) in &self.0 {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

impl<'de, V: Deserialize<'de> + AsRef<str>> Deserialize<'de> for SortedMap<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries<V>(PhantomData<V>);
        impl<'de, V: Deserialize<'de> + AsRef<str>> Visitor<'de> for Entries<V> {
            type Value = SortedMap<V>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of strings")
            }
            fn visit_unit<E>(self) -> Result<SortedMap<V>, E> {
                Ok(SortedMap::default())
            }
            fn visit_none<E>(self) -> Result<SortedMap<V>, E> {
                Ok(SortedMap::default())
            }
            fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<SortedMap<V>, D::Error> {
                deserializer.deserialize_map(self)
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<SortedMap<V>, A::Error> {
                let mut entries = Vec::with_capacity(map.size_hint().unwrap_or(4).min(64));
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(SortedMap::from_vec(entries))
            }
        }
        deserializer.deserialize_option(Entries(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_reads_sorts_and_writes_back() {
        let labels: Labels = serde_json::from_str(r#"{"b":"2","a":"1","b":"3"}"#).unwrap();
        assert_eq!(labels.get("b"), Some("3"));
        assert_eq!(serde_json::to_string(&labels).unwrap(), r#"{"a":"1","b":"3"}"#);
        assert!(serde_json::from_str::<Labels>("null").unwrap().is_empty());
    }

    #[test]
    fn insert_and_remove_keep_the_order() {
        let mut notes: Annotations = [("m", "1")].into_iter().collect();
        assert_eq!(notes.insert("z", "2"), None);
        assert_eq!(notes.insert("a", "3"), None);
        assert_eq!(notes.insert("m", "4").as_deref(), Some("1"));
        assert_eq!(notes.remove("z").as_deref(), Some("2"));
        assert_eq!(notes.keys().map(|k| k.as_str()).collect::<Vec<_>>(), ["a", "m"]);
    }
}
