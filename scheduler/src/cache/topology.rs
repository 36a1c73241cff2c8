//! Topology keys in use: for each, the domain of every row as a column of small numbers.

use machinery::meta::Istr;
use rustc_hash::FxHashMap;

use super::RowId;

/// A topology key that some pod's constraint names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopologyId(u32);

/// A value of a topology key, numbered from zero within the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DomainId(pub u32);

/// What a row without the key has in the column.
const NONE: u32 = u32::MAX;

/// One key's column.
#[derive(Debug, Default)]
pub struct Topology {
    key: Istr,
    of_row: Vec<u32>,
    domains: FxHashMap<Istr, u32>,
    values: Vec<Istr>,
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

    pub fn value(&self, domain: DomainId) -> Option<&Istr> {
        self.values.get(domain.0 as usize)
    }

    fn place(&mut self, row: RowId, value: Option<&str>) {
        let row = row.0 as usize;
        if self.of_row.len() <= row {
            self.of_row.resize(row + 1, NONE);
        }
        self.of_row[row] = match value {
            None => NONE,
            Some(value) => match self.domains.get(value) {
                Some(domain) => *domain,
                None => {
                    let domain = self.values.len() as u32;
                    let value = Istr::from(value);
                    self.values.push(value.clone());
                    self.domains.insert(value, domain);
                    domain
                }
            },
        };
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
