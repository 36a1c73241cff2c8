//! Images that nodes have: for each image, on which nodes and how large there.

use machinery::meta::Istr;
use rustc_hash::FxHashMap;

use super::RowId;

/// The nodes that have one image, with its size in bytes on each.
pub type Holders = FxHashMap<RowId, i64>;

/// Images by name.
#[derive(Debug, Default)]
pub struct Images {
    by_name: FxHashMap<Istr, Holders>,
    epoch: u64,
}

impl Images {
    pub fn holders(&self, image: &str) -> Option<&Holders> {
        self.by_name.get(image)
    }

    /// Changes whenever an image comes to or leaves a node.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    pub(super) fn replace(&mut self, row: RowId, old: &[(Istr, i64)], new: &[(Istr, i64)]) {
        if old == new {
            return;
        }
        self.epoch += 1;
        for (name, _) in old {
            if let Some(holders) = self.by_name.get_mut(name) {
                holders.remove(&row);
                if holders.is_empty() {
                    self.by_name.remove(name);
                }
            }
        }
        for (name, size) in new {
            self.by_name.entry(name.clone()).or_default().insert(row, *size);
        }
    }
}
