//! The ranges of one family: equal parts of the cluster's range, handed out in turn.

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The most bits by which a node's IPv6 range may be smaller than the cluster's, as upstream has it.
const MOST_BITS: u8 = 16;

/// Why a range cannot be had or taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PoolError {
    #[error("the cluster's range {0} cannot be divided into ranges of /{1} for nodes")]
    Division(IpNet, u8),
    #[error("no range is left in {0}")]
    Exhausted(IpNet),
    #[error("the range {0} is not part of the cluster's range {1}")]
    Outside(IpNet, IpNet),
}

/// Which parts of a cluster's range are taken.
#[derive(Debug, Clone)]
pub struct Pool {
    cluster: IpNet,
    mask: u8,
    count: usize,
    taken: usize,
    next: usize,
    /// One bit a part, as far as any was ever taken.
    bits: Vec<u64>,
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u32::from(v4).into(),
        IpAddr::V6(v6) => v6.into(),
    }
}

/// Whether the two have an address in common.
fn overlap(a: &IpNet, b: &IpNet) -> bool {
    a.contains(b) || b.contains(a)
}

impl Pool {
    /// Ranges of `/mask` out of `cluster`.
    ///
    /// # Errors
    /// `mask` is shorter than the cluster's, too long for its family, or would make too many ranges.
    pub fn new(cluster: IpNet, mask: u8) -> Result<Self, PoolError> {
        let cluster = cluster.trunc();
        let width = mask.checked_sub(cluster.prefix_len());
        let most = if matches!(cluster, IpNet::V6(_)) {
            MOST_BITS
        } else {
            32
        };
        match width {
            Some(width) if mask <= cluster.max_prefix_len() && width <= most => {
                let count = 1_usize << width;
                Ok(Self {
                    cluster,
                    mask,
                    count,
                    taken: 0,
                    next: 0,
                    bits: Vec::new(),
                })
            }
            _ => Err(PoolError::Division(cluster, mask)),
        }
    }

    /// The cluster's range.
    pub fn cluster(&self) -> &IpNet {
        &self.cluster
    }

    /// How many ranges are taken, and how many there are.
    pub fn usage(&self) -> (usize, usize) {
        (self.taken, self.count)
    }

    /// Takes the next free range, after the one that was taken last: a range rests as long as can be before it is used again.
    ///
    /// # Errors
    /// None is free.
    pub fn take(&mut self) -> Result<IpNet, PoolError> {
        let free = (self.next..self.count)
            .chain(0..self.next)
            .find(|index| !self.is_taken(*index));
        let index = free.ok_or(PoolError::Exhausted(self.cluster))?;
        self.next = (index + 1) % self.count;
        self.mark(index, true);
        Ok(self.range(index))
    }

    /// Marks what `range` covers as taken.
    ///
    /// # Errors
    /// It covers nothing of the cluster's range.
    pub fn occupy(&mut self, range: &IpNet) -> Result<(), PoolError> {
        self.mark_all(range, true)
    }

    /// Marks what `range` covers as free.
    ///
    /// # Errors
    /// It covers nothing of the cluster's range.
    pub fn release(&mut self, range: &IpNet) -> Result<(), PoolError> {
        self.mark_all(range, false)
    }

    /// Keeps `range` out of what is handed out, if it touches the cluster's range at all.
    pub fn exclude(&mut self, range: &IpNet) {
        if overlap(&self.cluster, range) {
            let _ = self.occupy(range);
        }
    }

    fn mark_all(&mut self, range: &IpNet, taken: bool) -> Result<(), PoolError> {
        if !overlap(&self.cluster, range) {
            return Err(PoolError::Outside(*range, self.cluster));
        }
        let (first, last) = if range.contains(&self.cluster) {
            (0, self.count - 1)
        } else {
            (self.index(range.network()), self.index(range.broadcast()))
        };
        for index in first..=last {
            self.mark(index, taken);
        }
        Ok(())
    }

    fn shift(&self) -> u32 {
        u32::from(self.cluster.max_prefix_len() - self.mask)
    }

    /// The part that an address of the cluster's range is in.
    fn index(&self, address: IpAddr) -> usize {
        let offset = number(address).saturating_sub(number(self.cluster.network()));
        let index = offset.checked_shr(self.shift()).unwrap_or(0);
        usize::try_from(index).unwrap_or(usize::MAX).min(self.count - 1)
    }

    fn range(&self, index: usize) -> IpNet {
        let offset = (index as u128).checked_shl(self.shift()).unwrap_or(0);
        let start = number(self.cluster.network()) + offset;
        match self.cluster {
            IpNet::V4(_) => {
                let start = Ipv4Addr::from(u32::try_from(start).unwrap_or(u32::MAX));
                Ipv4Net::new(start, self.mask).map_or(self.cluster, IpNet::V4)
            }
            IpNet::V6(_) => Ipv6Net::new(Ipv6Addr::from(start), self.mask).map_or(self.cluster, IpNet::V6),
        }
    }

    fn is_taken(&self, index: usize) -> bool {
        self.bits
            .get(index / 64)
            .is_some_and(|word| word & (1 << (index % 64)) != 0)
    }

    fn mark(&mut self, index: usize, taken: bool) {
        if self.is_taken(index) == taken {
            return;
        }
        let at = index / 64;
        if self.bits.len() <= at {
            self.bits.resize(at + 1, 0);
        }
        if let Some(word) = self.bits.get_mut(at) {
            *word ^= 1 << (index % 64);
        }
        self.taken = if taken { self.taken + 1 } else { self.taken - 1 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pool(cluster: &str, mask: u8) -> Pool {
        Pool::new(cluster.parse().unwrap(), mask).unwrap()
    }

    fn take(pool: &mut Pool) -> String {
        pool.take()
            .map(|range| range.to_string())
            .unwrap_or_else(|error| error.to_string())
    }

    #[test]
    fn ranges_are_parts_of_the_clusters() {
        for (cluster, mask, first, second) in [
            ("10.244.0.0/16", 24, "10.244.0.0/24", "10.244.1.0/24"),
            ("10.0.0.0/8", 24, "10.0.0.0/24", "10.0.1.0/24"),
            ("0.0.0.0/0", 8, "0.0.0.0/8", "1.0.0.0/8"),
            ("10.1.2.3/31", 32, "10.1.2.2/32", "10.1.2.3/32"),
            ("fd00:10:244::/56", 64, "fd00:10:244::/64", "fd00:10:244:1::/64"),
            ("2001:db8::/48", 64, "2001:db8::/64", "2001:db8:0:1::/64"),
            ("2001:db8::/60", 68, "2001:db8::/68", "2001:db8:0:0:1000::/68"),
        ] {
            let mut pool = pool(cluster, mask);
            assert_eq!([take(&mut pool), take(&mut pool)], [first, second], "{cluster}");
        }
        for (cluster, mask) in [("10.0.0.0/24", 16), ("10.0.0.0/24", 33), ("fd00::/32", 64)] {
            assert!(Pool::new(cluster.parse().unwrap(), mask).is_err(), "{cluster}");
        }
    }

    #[test]
    fn what_is_taken_is_not_given_again_until_all_the_rest_was() {
        let mut pool = pool("10.0.0.0/22", 24);
        pool.occupy(&"10.0.1.0/24".parse().unwrap()).unwrap();
        assert_eq!([take(&mut pool), take(&mut pool)], ["10.0.0.0/24", "10.0.2.0/24"]);
        pool.release(&"10.0.0.0/24".parse().unwrap()).unwrap();
        assert_eq!([take(&mut pool), take(&mut pool)], ["10.0.3.0/24", "10.0.0.0/24"]);
        assert_eq!(
            pool.take(),
            Err(PoolError::Exhausted("10.0.0.0/22".parse().unwrap()))
        );
        assert_eq!(pool.usage(), (4, 4));
        assert!(pool.occupy(&"10.1.0.0/24".parse().unwrap()).is_err());
    }

    #[test]
    fn service_ranges_are_left_out_however_they_overlap() {
        for (services, left) in [
            ("10.0.2.0/23", 2),
            ("10.0.1.128/28", 3),
            ("10.0.0.0/8", 0),
            ("192.168.0.0/16", 4),
            ("fd00::/108", 4),
        ] {
            let mut pool = pool("10.0.0.0/22", 24);
            pool.exclude(&services.parse().unwrap());
            assert_eq!((0..5).filter(|_| pool.take().is_ok()).count(), left, "{services}");
        }
    }

    proptest! {
        #[test]
        fn no_two_hold_the_same_addresses(steps in prop::collection::vec(any::<(bool, u8)>(), 0..200)) {
            let mut pool = pool("fd00::/120", 125);
            let mut held: Vec<IpNet> = Vec::new();
            for (take, which) in steps {
                if take || held.is_empty() {
                    match pool.take() {
                        Ok(range) => {
                            prop_assert!(held.iter().all(|other| !overlap(other, &range)));
                            held.push(range);
                        }
                        Err(_) => prop_assert_eq!(held.len(), 32),
                    }
                } else {
                    let range = held.swap_remove(usize::from(which) % held.len());
                    pool.release(&range).unwrap();
                }
                prop_assert_eq!(pool.usage().0, held.len());
            }
        }
    }
}
