//! Which node gets which ranges.

use super::pool::{Pool, PoolError};
use ipnet::IpNet;
use machinery::meta::Istr;
use rustc_hash::FxHashMap;

/// A node's ranges cannot be reconciled with the cluster's.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    #[error("{0:?} is not an address range")]
    Garbage(Box<str>),
    #[error("the node has more ranges than --cluster-cidr ({0})")]
    TooMany(IpNet),
    #[error(transparent)]
    Pool(#[from] PoolError),
}

/// The ranges of all nodes.
#[derive(Debug)]
pub struct Ledger {
    pools: Vec<Pool>,
    /// By node uid: given away, but not yet seen in the node.
    promised: FxHashMap<Istr, Vec<IpNet>>,
}

fn parse(held: &[Box<str>]) -> Result<Vec<IpNet>, Mismatch> {
    held.iter()
        .map(|text| text.parse().map_err(|_| Mismatch::Garbage(text.clone())))
        .collect()
}

impl Ledger {
    /// All of `pools` is free.
    pub fn new(pools: Vec<Pool>) -> Self {
        Self {
            pools,
            promised: FxHashMap::default(),
        }
    }

    /// Its pools.
    pub fn pools(&self) -> &[Pool] {
        &self.pools
    }

    /// A node holds these ranges.
    ///
    /// # Errors
    /// They are not part of the pools.
    pub fn holds(&mut self, node: &Istr, held: &[Box<str>]) -> Result<(), Mismatch> {
        if held.is_empty() {
            return Ok(());
        }
        let held = parse(held)?;
        if let Some(promised) = self.promised.remove(node) {
            // Somebody else was faster with other ranges.
            self.free(
                &promised
                    .into_iter()
                    .filter(|range| !held.contains(range))
                    .collect::<Vec<_>>(),
            );
        }
        for (at, range) in held.iter().enumerate() {
            self.pools
                .get_mut(at)
                .ok_or(Mismatch::TooMany(*range))?
                .occupy(range)?;
        }
        Ok(())
    }

    /// The ranges of a node that has none: the same again until it shows them.
    ///
    /// # Errors
    /// Nothing is left of one family.
    pub fn promise(&mut self, node: &Istr) -> Result<Vec<IpNet>, PoolError> {
        if let Some(promised) = self.promised.get(node) {
            return Ok(promised.clone());
        }
        let mut ranges = Vec::with_capacity(self.pools.len());
        for pool in &mut self.pools {
            match pool.take() {
                Ok(range) => ranges.push(range),
                Err(exhausted) => {
                    self.free(&ranges);
                    return Err(exhausted);
                }
            }
        }
        self.promised.insert(node.clone(), ranges.clone());
        Ok(ranges)
    }

    /// The node did certainly not get what it was promised.
    pub fn retract(&mut self, node: &Istr) {
        if let Some(promised) = self.promised.remove(node) {
            self.free(&promised);
        }
    }

    /// A node is gone.
    ///
    /// # Errors
    /// Its ranges make no sense.
    pub fn gone(&mut self, node: &Istr, held: &[Box<str>]) -> Result<(), Mismatch> {
        self.retract(node);
        let held = parse(held)?;
        self.free(&held);
        Ok(())
    }

    fn free(&mut self, ranges: &[IpNet]) {
        for range in ranges {
            if let Some(pool) = self.pools.iter_mut().find(|pool| pool.cluster().contains(range)) {
                let _ = pool.release(range);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger() -> Ledger {
        let pool = |cluster: &str, mask| Pool::new(cluster.parse().unwrap(), mask).unwrap();
        Ledger::new(vec![pool("10.0.0.0/23", 24), pool("fd00::/62", 64)])
    }

    fn texts(ranges: &[IpNet]) -> Vec<Box<str>> {
        ranges.iter().map(|range| range.to_string().into()).collect()
    }

    #[test]
    fn a_node_keeps_what_it_was_promised() {
        let (mut ledger, a, b, c) = (ledger(), Istr::from("a"), Istr::from("b"), Istr::from("c"));
        ledger
            .holds(&a, &["10.0.0.0/24".into(), "fd00::/64".into()])
            .unwrap();
        let first = ledger.promise(&b).unwrap();
        assert_eq!(
            texts(&first),
            ["10.0.1.0/24".into(), Box::<str>::from("fd00:0:0:1::/64")]
        );
        assert_eq!(
            ledger.promise(&b).unwrap(),
            first,
            "asked again before the cache shows it"
        );
        assert!(ledger.promise(&c).is_err());
        ledger.holds(&b, &texts(&first)).unwrap();
        assert!(ledger.promise(&c).is_err());
        ledger
            .gone(&a, &["10.0.0.0/24".into(), "fd00::/64".into()])
            .unwrap();
        let third = ledger.promise(&c).unwrap();
        assert_eq!(
            texts(&third),
            ["10.0.0.0/24".into(), Box::<str>::from("fd00:0:0:2::/64")],
            "nothing of the second family was lost"
        );
        ledger.retract(&c);
        assert_eq!(texts(&ledger.promise(&c).unwrap())[0], "10.0.0.0/24".into());
    }

    #[test]
    fn ranges_that_do_not_fit_are_told() {
        let (mut ledger, a) = (ledger(), Istr::from("a"));
        for held in [
            &["x"][..],
            &["10.9.0.0/24"],
            &["10.0.0.0/24", "fd00::/64", "10.0.1.0/24"],
            &["fd00::/64"],
        ] {
            let held: Vec<Box<str>> = held.iter().map(|text| Box::from(*text)).collect();
            assert!(ledger.holds(&a, &held).is_err(), "{held:?}");
        }
    }

    #[test]
    fn when_somebody_else_gave_ranges_ours_are_free_again() {
        let (mut ledger, a, b) = (ledger(), Istr::from("a"), Istr::from("b"));
        ledger.promise(&a).unwrap();
        ledger
            .holds(&a, &["10.0.1.0/24".into(), "fd00::/64".into()])
            .unwrap();
        assert_eq!(texts(&ledger.promise(&b).unwrap())[0], "10.0.0.0/24".into());
    }
}
