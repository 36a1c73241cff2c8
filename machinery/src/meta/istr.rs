//! Interned strings: one allocation per distinct text in the process, freed with its last holder.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{BuildHasher, Hash, Hasher};
use std::ops::Deref;
use std::sync::{Arc, LazyLock, Weak};

use hashbrown::HashTable;
use parking_lot::Mutex;
use rustc_hash::FxBuildHasher;
use serde::de::{Deserialize, Deserializer, Visitor};
use serde::ser::{Serialize, Serializer};

const SHARDS: usize = 16;

/// An interned string: cheap to clone, compared by address, hashed as the `str` it holds.
///
/// The empty string takes no allocation. Equal texts share one allocation for as long as anybody holds it.
///
/// ```
/// use machinery::meta::Istr;
/// let a = Istr::from("kube-system");
/// assert_eq!(a, Istr::from("kube-system"));
/// assert_eq!(a, "kube-system");
/// ```
#[derive(Clone, Default)]
pub struct Istr(Option<Arc<Entry>>);

struct Entry {
    hash: u64,
    text: Box<str>,
}

type Shard = Mutex<HashTable<(u64, Weak<Entry>)>>;

static TABLE: LazyLock<[Shard; SHARDS]> =
    LazyLock::new(|| std::array::from_fn(|_| Mutex::new(HashTable::new())));

fn shard(hash: u64) -> &'static Shard {
    // The top bits choose the shard, the table uses the rest.
    &TABLE[(hash >> 60) as usize % SHARDS]
}

impl Drop for Entry {
    fn drop(&mut self) {
        let this: *const Entry = self;
        let mut table = shard(self.hash).lock();
        if let Ok(found) = table.find_entry(self.hash, |(_, held)| std::ptr::eq(held.as_ptr(), this)) {
            found.remove();
        }
        if table.capacity() > 64 && table.len() * 4 < table.capacity() {
            table.shrink_to_fit(|(hash, _)| *hash);
        }
    }
}

impl Istr {
    /// Interns `text`.
    pub fn new(text: &str) -> Self {
        if text.is_empty() {
            return Istr(None);
        }
        let hash = FxBuildHasher.hash_one(text);
        // Entries of the same hash and another text: dropped only after the lock is, since the last holder's drop takes it.
        let mut others: Vec<Arc<Entry>> = Vec::new();
        let found = {
            let mut table = shard(hash).lock();
            let mut live = None;
            for (other, held) in table.iter_hash(hash) {
                if *other != hash {
                    continue;
                }
                // An entry that is being dropped no longer upgrades; it takes its own place out of the table.
                if let Some(entry) = held.upgrade() {
                    if &*entry.text == text {
                        live = Some(entry);
                        break;
                    }
                    others.push(entry);
                }
            }
            live.unwrap_or_else(|| {
                let entry = Arc::new(Entry {
                    hash,
                    text: text.into(),
                });
                table.insert_unique(hash, (hash, Arc::downgrade(&entry)), |(hash, _)| *hash);
                entry
            })
        };
        drop(others);
        Istr(Some(found))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        self.0.as_ref().map_or("", |entry| &entry.text)
    }

    /// How many distinct strings the process holds now.
    pub fn interned() -> usize {
        TABLE.iter().map(|shard| shard.lock().len()).sum()
    }
}

impl PartialEq for Istr {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (None, None) => true,
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }
}
impl Eq for Istr {}
impl PartialEq<str> for Istr {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}
impl PartialEq<&str> for Istr {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}
impl PartialEq<Istr> for str {
    fn eq(&self, other: &Istr) -> bool {
        self == other.as_str()
    }
}
impl PartialEq<Istr> for &str {
    fn eq(&self, other: &Istr) -> bool {
        *self == other.as_str()
    }
}
impl PartialEq<String> for Istr {
    fn eq(&self, other: &String) -> bool {
        self.as_str() == other
    }
}
impl PartialOrd for Istr {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Istr {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_str().cmp(other.as_str())
    }
}
impl Hash for Istr {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}
impl Deref for Istr {
    type Target = str;
    fn deref(&self) -> &str {
        self.as_str()
    }
}
impl AsRef<str> for Istr {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}
impl Borrow<str> for Istr {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}
impl From<&str> for Istr {
    fn from(text: &str) -> Self {
        Istr::new(text)
    }
}
impl From<String> for Istr {
    fn from(text: String) -> Self {
        Istr::new(&text)
    }
}
impl From<&String> for Istr {
    fn from(text: &String) -> Self {
        Istr::new(text)
    }
}
impl From<&Istr> for Istr {
    fn from(text: &Istr) -> Self {
        text.clone()
    }
}
impl From<Istr> for String {
    fn from(text: Istr) -> Self {
        text.as_str().to_owned()
    }
}
impl fmt::Display for Istr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
impl fmt::Debug for Istr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}
impl Serialize for Istr {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}
impl<'de> Deserialize<'de> for Istr {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Istr;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_str<E>(self, text: &str) -> Result<Istr, E> {
                Ok(Istr::new(text))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_share_one_allocation() {
        let a = Istr::from("istr-test-shared");
        let b: Istr = serde_json::from_str("\"istr-test-shared\"").unwrap();
        assert_eq!(a, b);
        assert_eq!(a.as_ptr(), b.as_ptr());
        assert_ne!(a, Istr::from("istr-test-other"));
        assert_eq!(Istr::default(), Istr::from(""));
    }

    #[test]
    fn an_entry_that_nobody_holds_is_freed() {
        let holds = |text: &str| {
            let hash = FxBuildHasher.hash_one(text);
            shard(hash)
                .lock()
                .iter_hash(hash)
                .any(|(other, _)| *other == hash)
        };
        let a = Istr::from("istr-test-freed");
        let b = a.clone();
        drop(a);
        assert!(holds("istr-test-freed"));
        drop(b);
        assert!(!holds("istr-test-freed"));
    }

    #[test]
    fn concurrent_holders_neither_leak_nor_split() {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                std::thread::spawn(|| {
                    for n in 0..5_000 {
                        let text = format!("istr-race-{}", n % 7);
                        let a = Istr::from(&text);
                        let b = Istr::from(&text);
                        assert_eq!(a, b);
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        for n in 0..7 {
            let text = format!("istr-race-{n}");
            let hash = FxBuildHasher.hash_one(text.as_str());
            assert!(
                !shard(hash)
                    .lock()
                    .iter_hash(hash)
                    .any(|(other, _)| *other == hash)
            );
        }
    }
}
