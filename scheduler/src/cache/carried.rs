//! Terms of inter-pod affinity that existing pods carry, counted by node and by topology domain.
//!
//! The other direction of [`super::counter`]: not which pods match an incoming pod's terms, but whose terms an incoming pod
//! matches. Equal terms of the pods of one workload are one entry with a count.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

use super::term::Term;
use super::topology::{DomainId, Topologies, Topology, TopologyId};
use super::{RowId, RowSet};

/// What a carried term does to pods that it matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pull {
    /// Keeps them out of the carrier's domain.
    Repels,
    /// Scores for the carrier's domain, by the plugin's weight for required terms.
    Requires,
    /// Scores by this weight; negative for anti-affinity.
    Prefers(i32),
}

/// One term and where its carriers are.
#[derive(Debug)]
pub struct Carried {
    pub term: Term,
    pub pull: Pull,
    pub key: TopologyId,
    carriers: u64,
    rows: FxHashMap<RowId, u32>,
    domains: FxHashMap<DomainId, i64>,
    occupied: RowSet,
}

impl Carried {
    /// Domains with carriers, and how many each has.
    pub fn domains(&self) -> impl Iterator<Item = (DomainId, i64)> + '_ {
        self.domains.iter().map(|(domain, count)| (*domain, *count))
    }

    /// The number of carriers in a domain.
    pub fn count(&self, domain: DomainId) -> i64 {
        self.domains.get(&domain).copied().unwrap_or(0)
    }

    /// The rows whose domains have carriers.
    pub fn occupied(&self) -> &RowSet {
        &self.occupied
    }

    fn add_domain(&mut self, domain: DomainId, delta: i64, topology: &Topology) {
        let held = self.domains.entry(domain).or_insert(0);
        let before = *held;
        *held += delta;
        let after = *held;
        if after == 0 {
            self.domains.remove(&domain);
        }
        if (before == 0) != (after == 0)
            && let Some(members) = topology.members(domain)
        {
            if after == 0 {
                members.leave(&mut self.occupied);
            } else {
                members.join(&mut self.occupied);
            }
        }
    }

    fn place(&mut self, row: RowId, sign: i64, topologies: &Topologies) {
        let topology = topologies.get(self.key);
        let domain = topology.domain(row);
        if let Some(domain) = domain
            && let Some(count) = self.rows.get(&row).copied()
        {
            self.add_domain(domain, sign * i64::from(count), topology);
        }
        let occupied = sign > 0 && domain.is_some_and(|domain| self.count(domain) != 0);
        self.occupied.assign(row, occupied);
    }
}

/// A carried term; ids are never given twice.
pub type CarriedId = u64;

/// All carried terms, oldest first.
#[derive(Debug, Default)]
pub struct CarriedTerms {
    terms: BTreeMap<CarriedId, Carried>,
    by_term: FxHashMap<(Term, Pull), CarriedId>,
    next: CarriedId,
}

impl CarriedTerms {
    pub fn get(&self, id: CarriedId) -> Option<&Carried> {
        self.terms.get(&id)
    }

    /// The terms with ids from `from` on.
    pub fn since(&self, from: CarriedId) -> impl Iterator<Item = (CarriedId, &Carried)> {
        self.terms.range(from..).map(|(id, term)| (*id, term))
    }

    /// The id that the next new term gets.
    pub fn next(&self) -> CarriedId {
        self.next
    }

    /// The id of a term; it stays for as long as the term has carriers.
    pub(super) fn intern(&mut self, term: &Term, pull: Pull, key: TopologyId) -> CarriedId {
        let next = self.next;
        let id = *self.by_term.entry((term.clone(), pull)).or_insert(next);
        if id == next {
            self.next += 1;
            let (rows, domains) = (FxHashMap::default(), FxHashMap::default());
            self.terms.insert(
                id,
                Carried {
                    term: term.clone(),
                    pull,
                    key,
                    carriers: 0,
                    rows,
                    domains,
                    occupied: RowSet::default(),
                },
            );
        }
        id
    }

    /// A pod with this term came to a row.
    pub(super) fn add(&mut self, id: CarriedId, row: RowId, topologies: &Topologies) {
        if let Some(carried) = self.terms.get_mut(&id) {
            carried.carriers += 1;
            *carried.rows.entry(row).or_insert(0) += 1;
            let topology = topologies.get(carried.key);
            if let Some(domain) = topology.domain(row) {
                carried.add_domain(domain, 1, topology);
            }
        }
    }

    /// A pod with this term left a row.
    pub(super) fn remove(&mut self, id: CarriedId, row: RowId, topologies: &Topologies) {
        let Some(carried) = self.terms.get_mut(&id) else {
            return;
        };
        carried.carriers = carried.carriers.saturating_sub(1);
        let topology = topologies.get(carried.key);
        if let Some(domain) = topology.domain(row) {
            carried.add_domain(domain, -1, topology);
        }
        if let Some(count) = carried.rows.get_mut(&row) {
            *count -= 1;
            if *count == 0 {
                carried.rows.remove(&row);
            }
        }
        if carried.carriers == 0
            && let Some(carried) = self.terms.remove(&id)
        {
            self.by_term.remove(&(carried.term, carried.pull));
        }
    }

    /// Takes the carriers on a row out of the domains that it is in (`sign` -1), or puts them in (1).
    pub(super) fn place(&mut self, row: RowId, sign: i64, topologies: &Topologies) {
        for carried in self.terms.values_mut() {
            carried.place(row, sign, topologies);
        }
    }
}
