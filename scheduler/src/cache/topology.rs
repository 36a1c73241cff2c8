//! Topology keys in use: for each, the domain of every row as a column of small numbers.

use machinery::meta::Istr;
use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use super::{RowId, RowSet};

/// A topology key that some pod's constraint names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopologyId(u32);

/// A value of a topology key, numbered from zero within the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DomainId(pub u32);

/// What a row without the key has in the column.
const NONE: u32 = u32::MAX;

/// A domain with more rows than this keeps them as a bit set.
const FEW: usize = 16;

/// The rows of one domain: few for a host, many for a zone.
#[derive(Clone, Debug)]
pub enum Members {
    Few(SmallVec<[RowId; 4]>),
    Many(RowSet),
}

impl Default for Members {
    fn default() -> Self {
        Self::Few(SmallVec::new())
    }
}

impl Members {
    /// Adds them to a set.
    pub fn join(&self, rows: &mut RowSet) {
        match self {
            Self::Few(members) => members.iter().for_each(|row| rows.insert(*row)),
            Self::Many(members) => rows.unite(members),
        }
    }

    /// Takes them out of a set.
    pub fn leave(&self, rows: &mut RowSet) {
        match self {
            Self::Few(members) => members.iter().for_each(|row| rows.remove(*row)),
            Self::Many(members) => rows.subtract(members),
        }
    }

    /// Whether any of them is in a set.
    pub fn meets(&self, rows: &RowSet) -> bool {
        match self {
            Self::Few(members) => members.iter().any(|row| rows.contains(*row)),
            Self::Many(members) => members.meets(rows),
        }
    }

    fn insert(&mut self, row: RowId) {
        match self {
            Self::Few(members) if members.len() < FEW => members.push(row),
            Self::Few(members) => {
                let mut many: RowSet = members.iter().copied().collect();
                many.insert(row);
                *self = Self::Many(many);
            }
            Self::Many(members) => members.insert(row),
        }
    }

    fn remove(&mut self, row: RowId) {
        match self {
            Self::Few(members) => members.retain(|held| *held != row),
            Self::Many(members) => members.remove(row),
        }
    }
}

/// One key's column.
#[derive(Debug, Default)]
pub struct Topology {
    key: Istr,
    of_row: Vec<u32>,
    domains: FxHashMap<Istr, u32>,
    values: Vec<Istr>,
    members: Vec<Members>,
    labelled: RowSet,
}

impl Topology {
    pub fn key(&self) -> &Istr {
        &self.key
    }

    /// The domain that the row is in, if its node has the key.
    pub fn domain(&self, row: RowId) -> Option<DomainId> {
        self.of_row
            .get(row.0 as usize)
            .copied()
            .filter(|domain| *domain != NONE)
            .map(DomainId)
    }

    /// How many domains were ever seen: one more than the largest [`DomainId`].
    pub fn len(&self) -> usize {
        self.values.len()
    }

    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The domains that were ever seen, and the rows that are in them now.
    pub fn domains(&self) -> impl Iterator<Item = (DomainId, &Members)> {
        (0..).map(DomainId).zip(&self.members)
    }

    /// The rows of a domain.
    pub fn members(&self, domain: DomainId) -> Option<&Members> {
        self.members.get(domain.0 as usize)
    }

    /// The rows that are in any domain.
    pub fn labelled(&self) -> &RowSet {
        &self.labelled
    }

    pub fn value(&self, domain: DomainId) -> Option<&Istr> {
        self.values.get(domain.0 as usize)
    }

    fn place(&mut self, row: RowId, value: Option<&str>) {
        let at = row.0 as usize;
        if self.of_row.len() <= at {
            self.of_row.resize(at + 1, NONE);
        }
        let domain = match value {
            None => NONE,
            Some(value) => match self.domains.get(value) {
                Some(domain) => *domain,
                None => {
                    let domain = self.values.len() as u32;
                    let value = Istr::from(value);
                    self.values.push(value.clone());
                    self.members.push(Members::default());
                    self.domains.insert(value, domain);
                    domain
                }
            },
        };
        let before = std::mem::replace(&mut self.of_row[at], domain);
        if before == domain {
            return;
        }
        if let Some(members) = self.members.get_mut(before as usize) {
            members.remove(row);
        }
        if let Some(members) = self.members.get_mut(domain as usize) {
            members.insert(row);
        }
        self.labelled.assign(row, domain != NONE);
    }
}

/// All keys in use.
#[derive(Debug, Default)]
pub struct Topologies {
    keys: Vec<Topology>,
    by_key: FxHashMap<Istr, TopologyId>,
}

impl Topologies {
    pub fn get(&self, id: TopologyId) -> &Topology {
        &self.keys[id.0 as usize]
    }

    pub fn find(&self, key: &str) -> Option<TopologyId> {
        self.by_key.get(key).copied()
    }

    /// The id of `key`; on first use its column is filled from `label_of`, the label of a row.
    pub(super) fn intern<'a>(
        &mut self,
        key: &Istr,
        rows: usize,
        label_of: impl Fn(RowId, &str) -> Option<&'a str>,
    ) -> TopologyId {
        if let Some(id) = self.by_key.get(key) {
            return *id;
        }
        let mut topology = Topology {
            key: key.clone(),
            ..Topology::default()
        };
        for row in (0..rows as u32).map(RowId) {
            topology.place(row, label_of(row, key));
        }
        let id = TopologyId(self.keys.len() as u32);
        self.keys.push(topology);
        self.by_key.insert(key.clone(), id);
        id
    }

    /// Puts a row into the domains that its labels say.
    pub(super) fn place<'a>(&mut self, row: RowId, label_of: impl Fn(&str) -> Option<&'a str>) {
        for topology in &mut self.keys {
            let value = label_of(&topology.key.clone());
            topology.place(row, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_the_same_few_or_many() {
        for count in [1, FEW as u32, FEW as u32 + 1, 200] {
            let mut members = Members::default();
            (0..count).for_each(|row| members.insert(RowId(row * 3)));
            members.remove(RowId(0));
            let mut rows = RowSet::of([RowId(1)]);
            members.join(&mut rows);
            assert_eq!(rows.len(), count as usize, "{count}");
            assert_eq!(members.meets(&RowSet::of([RowId(3)])), count > 1);
            assert!(!members.meets(&RowSet::of([RowId(0), RowId(1)])));
            members.leave(&mut rows);
            assert_eq!(rows.single(), Some(RowId(1)), "{count}");
        }
    }
}
