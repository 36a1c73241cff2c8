//! What the node has, what of it is kept back, and what pods may therefore ask for.
//!
//! Amounts are whole numbers in the unit the resource is counted in: millicores for `cpu`, bytes for memory,
//! storage and huge pages, a count for `pods` and anything else.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use machinery::arith;
use machinery::arith::quantity::Format;

/// Amounts by resource name, in the units above.
pub type Amounts = BTreeMap<String, i64>;

pub const CPU: &str = "cpu";
pub const MEMORY: &str = "memory";
pub const PODS: &str = "pods";
pub const EPHEMERAL_STORAGE: &str = "ephemeral-storage";
pub const HUGE_PAGES_PREFIX: &str = "hugepages-";

/// A hard eviction threshold: an amount, or a share of the capacity.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Threshold {
    Amount(i64),
    /// A fraction, 0.1 for "10%". Upstream keeps it in 32 bits and so do we: the rounding shows in allocatable.
    Share(f32),
}

impl Threshold {
    /// The amount this threshold stands for on a node with `capacity`.
    pub fn of(self, capacity: i64) -> i64 {
        match self {
            Threshold::Amount(amount) => amount,
            Threshold::Share(share) => (capacity as f64 * f64::from(share)) as i64,
        }
    }
}

/// What the node keeps for itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reservation {
    pub system: Amounts,
    pub kube: Amounts,
    /// `memory.available` and `nodefs.available` of `evictionHard`.
    pub eviction_memory: Option<Threshold>,
    pub eviction_storage: Option<Threshold>,
}

impl Reservation {
    fn of(&self, resource: &str, capacity: i64) -> i64 {
        let kept = |amounts: &Amounts| amounts.get(resource).copied().unwrap_or(0);
        let eviction = match resource {
            MEMORY => self.eviction_memory,
            EPHEMERAL_STORAGE => self.eviction_storage,
            _ => None,
        };
        kept(&self.system) + kept(&self.kube) + eviction.map_or(0, |threshold| threshold.of(capacity))
    }
}

/// The amounts the machine itself offers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Machine {
    pub cores: i64,
    pub memory: i64,
    /// Page size in bytes -> number of pages.
    pub huge_pages: BTreeMap<i64, i64>,
    /// Capacity of the file system under the kubelet's root folder; unknown while it cannot be read.
    pub storage: Option<i64>,
}

/// The node's capacity, given `maxPods` and `podsPerCore` (0: no limit by cores).
pub fn capacity(machine: &Machine, max_pods: i64, pods_per_core: i64) -> Amounts {
    let mut amounts = Amounts::new();
    amounts.insert(CPU.into(), machine.cores * 1000);
    amounts.insert(MEMORY.into(), machine.memory);
    for (size, pages) in &machine.huge_pages {
        amounts.insert(
            format!("{HUGE_PAGES_PREFIX}{}", arith::Quantity::from_bytes(*size)),
            size * pages,
        );
    }
    if let Some(storage) = machine.storage {
        amounts.insert(EPHEMERAL_STORAGE.into(), storage);
    }
    let pods = if pods_per_core > 0 {
        max_pods.min(machine.cores * pods_per_core)
    } else {
        max_pods
    };
    amounts.insert(PODS.into(), pods);
    amounts
}

/// Capacity less what is reserved, never below nothing; huge pages also come off the memory.
pub fn allocatable(capacity: &Amounts, reservation: &Reservation) -> Amounts {
    let mut amounts: Amounts = capacity
        .iter()
        .map(|(name, have)| (name.clone(), (have - reservation.of(name, *have)).max(0)))
        .collect();
    let huge: i64 = capacity
        .iter()
        .filter(|(name, _)| name.starts_with(HUGE_PAGES_PREFIX))
        .map(|(_, have)| have)
        .sum();
    if let Some(memory) = amounts.get_mut(MEMORY) {
        *memory = (*memory - huge).max(0);
    }
    amounts
}

/// An amount in the API's canonical form.
pub fn quantity(resource: &str, amount: i64) -> Quantity {
    let exact = match resource {
        CPU => arith::Quantity::from_millis(amount),
        MEMORY => arith::Quantity::from_bytes(amount),
        _ if resource.starts_with(HUGE_PAGES_PREFIX) => arith::Quantity::from_bytes(amount),
        _ => arith::Quantity::new(amount, Format::DecimalSi),
    };
    Quantity(exact.to_string())
}

/// Canonical quantities for all of `amounts`.
pub fn quantities(amounts: &Amounts) -> BTreeMap<String, Quantity> {
    amounts
        .iter()
        .map(|(name, amount)| (name.clone(), quantity(name, *amount)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn amounts(of: &[(&str, i64)]) -> Amounts {
        of.iter()
            .map(|(name, amount)| ((*name).to_owned(), *amount))
            .collect()
    }

    fn machine() -> Machine {
        Machine {
            cores: 2,
            memory: 16 << 30,
            huge_pages: [(2 << 20, 8), (1 << 30, 0)].into(),
            storage: Some(62_725_623_808),
        }
    }

    #[test]
    fn capacity_lists_every_huge_page_size_even_an_empty_one() {
        let have = capacity(&machine(), 110, 0);
        assert_eq!(
            have,
            amounts(&[
                ("cpu", 2000),
                ("ephemeral-storage", 62_725_623_808),
                ("hugepages-1Gi", 0),
                ("hugepages-2Mi", 16 << 20),
                ("memory", 16 << 30),
                ("pods", 110),
            ])
        );
    }

    #[test]
    fn pods_per_core_only_lowers_the_limit() {
        let pods = |per_core| capacity(&machine(), 110, per_core).get(PODS).copied();
        assert_eq!(pods(0), Some(110));
        assert_eq!(pods(10), Some(20));
        assert_eq!(pods(100), Some(110));
    }

    #[test]
    fn allocatable_is_what_the_reservations_leave() {
        let reservation = Reservation {
            system: amounts(&[("cpu", 100), ("memory", 1 << 20)]),
            kube: amounts(&[("cpu", 250)]),
            eviction_memory: Some(Threshold::Amount(100 << 20)),
            eviction_storage: Some(Threshold::Share(0.1)),
        };
        let left = allocatable(&capacity(&machine(), 110, 0), &reservation);
        assert_eq!(left["cpu"], 1650);
        assert_eq!(left["memory"], (16 << 30) - (1 << 20) - (100 << 20) - (16 << 20));
        assert_eq!(
            left["ephemeral-storage"],
            62_725_623_808 - (62_725_623_808_f64 * f64::from(0.1_f32)) as i64
        );
        assert_eq!(left["pods"], 110);
    }

    #[test]
    fn a_reservation_larger_than_the_node_leaves_nothing() {
        let reservation = Reservation {
            system: amounts(&[("cpu", 5000)]),
            ..Reservation::default()
        };
        assert_eq!(allocatable(&capacity(&machine(), 110, 0), &reservation)["cpu"], 0);
    }

    #[test]
    fn quantities_are_canonical() {
        for (resource, amount, want) in [
            ("cpu", 2000, "2"),
            ("cpu", 1650, "1650m"),
            ("cpu", 0, "0"),
            ("memory", 16_459_452_416, "16073684Ki"),
            ("memory", 0, "0"),
            ("memory", 7, "7"),
            ("hugepages-2Mi", 16 << 20, "16Mi"),
            ("ephemeral-storage", 62_725_623_808, "62725623808"),
            ("ephemeral-storage", 60_000_000_000, "60G"),
            ("pods", 110, "110"),
        ] {
            assert_eq!(quantity(resource, amount).0, want, "{resource} {amount}");
        }
    }
}
