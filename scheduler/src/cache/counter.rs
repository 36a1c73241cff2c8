//! Counts of the pods that a constraint is about, by node and by topology domain, kept up to date as pods come and go.
//!
//! ```text
//! Matcher (which pods) -> Counter: a count a row -> Tables: those counts summed up by domain of a key,
//!                                                   over all nodes or over a set of them
//! ```
//!
//! A counter is made when a pod first asks for it, by one pass over the shapes of pods that exist, and lives for as long as
//! somebody holds a [`CountHandle`]. From then on each pod that comes or goes costs one addition a matching counter.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::nodeset::{NodeSetHandle, NodeSets};
use super::term::PodMatch;
use super::topology::{DomainId, Topologies, Topology, TopologyId};
use super::{RowId, RowSet};

/// Which pods are counted: those that every part picks.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Matcher {
    pub all_of: Box<[PodMatch]>,
    /// Whether pods that are being deleted are left out (topology spread) or not (inter-pod affinity).
    pub skip_deleting: bool,
}

/// Counts by domain of one key.
#[derive(Debug)]
pub struct Table {
    pub key: TopologyId,
    /// Only these nodes take part; `None` for all.
    nodes: Option<NodeSetHandle>,
    counts: Vec<i64>,
    /// How many nodes that take part are in each domain.
    members: Vec<u32>,
    domains: usize,
    total: i64,
    /// How many domains with members have each count.
    levels: BTreeMap<i64, u32>,
    /// The domains with pods, and all rows in them, whether they take part or not.
    busy: BTreeSet<DomainId>,
    occupied: RowSet,
}

impl Table {
    fn new(key: TopologyId, nodes: Option<NodeSetHandle>) -> Self {
        Self {
            key,
            nodes,
            counts: vec![],
            members: vec![],
            domains: 0,
            total: 0,
            levels: BTreeMap::new(),
            busy: BTreeSet::new(),
            occupied: RowSet::default(),
        }
    }

    /// The number of pods in a domain.
    pub fn count(&self, domain: DomainId) -> i64 {
        self.counts.get(domain.0 as usize).copied().unwrap_or(0)
    }

    /// The number of pods in all domains.
    pub fn total(&self) -> i64 {
        self.total
    }

    /// Domains with pods, and how many each has.
    pub fn busy(&self) -> impl Iterator<Item = (DomainId, i64)> + '_ {
        self.busy.iter().map(|domain| (*domain, self.count(*domain)))
    }

    /// The rows whose domains have pods.
    pub fn occupied(&self) -> &RowSet {
        &self.occupied
    }

    /// The number of domains that have a node.
    pub fn domains(&self) -> usize {
        self.domains
    }

    /// The smallest count of a domain that has a node.
    pub fn min(&self) -> Option<i64> {
        self.levels.first_key_value().map(|(count, _)| *count)
    }

    fn grow(&mut self, domain: DomainId) -> usize {
        let at = domain.0 as usize;
        if self.counts.len() <= at {
            self.counts.resize(at + 1, 0);
            self.members.resize(at + 1, 0);
        }
        at
    }

    fn level(&mut self, count: i64, sign: i32) {
        let held = self.levels.entry(count).or_insert(0);
        *held = held.saturating_add_signed(sign);
        if *held == 0 {
            self.levels.remove(&count);
        }
    }

    fn add_pods(&mut self, domain: DomainId, delta: i64, topology: &Topology) {
        let at = self.grow(domain);
        let before = self.counts[at];
        self.counts[at] += delta;
        self.total += delta;
        let (was_busy, is_busy) = (before > 0, before + delta > 0);
        if was_busy != is_busy
            && let Some(members) = topology.members(domain)
        {
            if is_busy {
                self.busy.insert(domain);
                members.join(&mut self.occupied);
            } else {
                self.busy.remove(&domain);
                members.leave(&mut self.occupied);
            }
        }
        if self.members[at] > 0 {
            self.level(before, -1);
            self.level(before + delta, 1);
        }
    }

    fn add_node(&mut self, domain: DomainId, sign: i32) {
        let at = self.grow(domain);
        let had = self.members[at] > 0;
        self.members[at] = self.members[at].saturating_add_signed(sign);
        let has = self.members[at] > 0;
        if had != has {
            self.level(self.counts[at], if has { 1 } else { -1 });
            self.domains = if has {
                self.domains + 1
            } else {
                self.domains.saturating_sub(1)
            };
        }
    }

    fn takes(&self, row: RowId, sets: &NodeSets) -> bool {
        self.nodes
            .as_ref()
            .is_none_or(|set| sets.rows(set).is_some_and(|rows| rows.contains(row)))
    }
}

/// Counts by row of the pods that one matcher picks.
#[derive(Debug)]
pub struct Counter {
    pub matcher: Arc<Matcher>,
    per_row: Vec<u32>,
    /// The rows with pods, by their number.
    by_count: BTreeMap<u32, RowSet>,
    tables: Vec<Table>,
    holder: Arc<()>,
}

impl Counter {
    /// The number of pods on a row.
    pub fn on_row(&self, row: RowId) -> u32 {
        self.per_row.get(row.0 as usize).copied().unwrap_or(0)
    }

    /// The rows with pods, by their number.
    pub fn by_count(&self) -> &BTreeMap<u32, RowSet> {
        &self.by_count
    }

    /// One pod more or less on a row.
    pub(super) fn add(&mut self, row: RowId, delta: i64, topologies: &Topologies, sets: &NodeSets) {
        let at = row.0 as usize;
        if self.per_row.len() <= at {
            self.per_row.resize(at + 1, 0);
        }
        let before = self.per_row[at];
        let after = u32::try_from(i64::from(before) + delta).unwrap_or(0);
        self.per_row[at] = after;
        if let Some(rows) = self.by_count.get_mut(&before) {
            rows.remove(row);
            if rows.is_empty() {
                self.by_count.remove(&before);
            }
        }
        if after > 0 {
            self.by_count.entry(after).or_default().insert(row);
        }
        for table in &mut self.tables {
            let topology = topologies.get(table.key);
            if let Some(domain) = topology.domain(row)
                && table.takes(row, sets)
            {
                table.add_pods(domain, delta, topology);
            }
        }
    }

    /// Takes a row's pods and itself out of the domains that it is in (`sign` -1), or puts them in (1).
    pub(super) fn place(&mut self, row: RowId, sign: i32, topologies: &Topologies, sets: &NodeSets) {
        let pods = i64::from(self.on_row(row));
        for table in &mut self.tables {
            let topology = topologies.get(table.key);
            let domain = topology.domain(row);
            if let Some(domain) = domain
                && table.takes(row, sets)
            {
                table.add_pods(domain, i64::from(sign) * pods, topology);
                table.add_node(domain, sign);
            }
            let occupied = sign > 0 && domain.is_some_and(|domain| table.count(domain) > 0);
            table.occupied.assign(row, occupied);
        }
    }

    fn table(
        &mut self,
        key: TopologyId,
        nodes: Option<&NodeSetHandle>,
        topologies: &Topologies,
        sets: &NodeSets,
        live: &RowSet,
    ) -> usize {
        if let Some(found) = self
            .tables
            .iter()
            .position(|table| table.key == key && table.nodes.as_ref() == nodes)
        {
            return found;
        }
        let mut table = Table::new(key, nodes.cloned());
        let topology = topologies.get(key);
        for row in live.iter() {
            if let Some(domain) = topology.domain(row)
                && table.takes(row, sets)
            {
                table.add_node(domain, 1);
                table.add_pods(domain, i64::from(self.on_row(row)), topology);
            }
        }
        self.tables.push(table);
        self.tables.len() - 1
    }
}

/// Keeps a counter and one of its tables alive, and finds them.
#[derive(Clone, Debug)]
pub struct CountHandle {
    counter: usize,
    table: usize,
    _holder: Arc<()>,
}

/// The counters that somebody holds.
#[derive(Debug, Default)]
pub struct Counters {
    slots: Vec<Option<Counter>>,
    by_matcher: FxHashMap<Arc<Matcher>, usize>,
}

impl Counters {
    pub fn counter(&self, handle: &CountHandle) -> &Counter {
        // A handle's counter is there for as long as the handle is.
        match &self.slots[handle.counter] {
            Some(counter) => counter,
            None => unreachable!("a counter was dropped that is still held"),
        }
    }

    pub fn table(&self, handle: &CountHandle) -> &Table {
        &self.counter(handle).tables[handle.table]
    }

    pub(super) fn find(&self, matcher: &Matcher) -> Option<usize> {
        self.by_matcher.get(matcher).copied()
    }

    /// Adds a counter whose counts by row are `per_row`.
    pub(super) fn insert(&mut self, matcher: Matcher, per_row: Vec<u32>) -> usize {
        let matcher = Arc::new(matcher);
        let mut by_count: BTreeMap<u32, RowSet> = BTreeMap::new();
        for (row, pods) in (0..).map(RowId).zip(&per_row).filter(|(_, pods)| **pods > 0) {
            by_count.entry(*pods).or_default().insert(row);
        }
        let counter = Counter {
            matcher: matcher.clone(),
            per_row,
            by_count,
            tables: Vec::new(),
            holder: Arc::new(()),
        };
        let index = match self.slots.iter().position(Option::is_none) {
            Some(index) => {
                self.slots[index] = Some(counter);
                index
            }
            None => {
                self.slots.push(Some(counter));
                self.slots.len() - 1
            }
        };
        self.by_matcher.insert(matcher, index);
        index
    }

    pub(super) fn hold(
        &mut self,
        index: usize,
        key: TopologyId,
        nodes: Option<&NodeSetHandle>,
        topologies: &Topologies,
        sets: &NodeSets,
        live: &RowSet,
    ) -> Option<CountHandle> {
        let counter = self.slots.get_mut(index)?.as_mut()?;
        let table = counter.table(key, nodes, topologies, sets, live);
        Some(CountHandle {
            counter: index,
            table,
            _holder: counter.holder.clone(),
        })
    }

    pub(super) fn get_mut(&mut self, index: usize) -> Option<&mut Counter> {
        self.slots.get_mut(index)?.as_mut()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &Counter)> {
        self.slots
            .iter()
            .enumerate()
            .filter_map(|(index, slot)| Some((index, slot.as_ref()?)))
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Counter> {
        self.slots.iter_mut().flatten()
    }

    /// Drops the counters that nobody holds; their indexes.
    pub(super) fn sweep(&mut self) -> Vec<usize> {
        let mut dropped = Vec::new();
        for (index, slot) in self.slots.iter_mut().enumerate() {
            if slot
                .as_ref()
                .is_some_and(|held| Arc::strong_count(&held.holder) == 1)
                && let Some(counter) = slot.take()
            {
                self.by_matcher.remove(&counter.matcher);
                dropped.push(index);
            }
        }
        dropped
    }
}
