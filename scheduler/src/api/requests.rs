//! Amounts of resources, as integers.

use std::collections::BTreeMap;

use machinery::arith::quantity::Quantity;
use machinery::meta::Istr;
use smallvec::SmallVec;

/// The name of a resource that is not cpu, memory or ephemeral-storage: an extended resource or huge pages.
pub type ResourceName = Istr;

/// What the API writes: names to quantities.
pub type ResourceList = BTreeMap<Istr, Quantity>;

/// Amounts by resource: cpu in thousandths of a core, everything else in whole units (bytes, devices), rounded up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Requests {
    pub milli_cpu: i64,
    pub memory: i64,
    pub ephemeral: i64,
    /// Other resources, sorted by name.
    pub scalars: SmallVec<[(ResourceName, i64); 1]>,
}

impl Requests {
    /// Reads a list; names that no pod is scheduled by (`pods`, `storage`) stay among the scalars.
    pub fn from_list(list: &ResourceList) -> Self {
        let mut requests = Self::default();
        for (name, quantity) in list {
            match name.as_str() {
                "cpu" => requests.milli_cpu = quantity.milli_value(),
                "memory" => requests.memory = quantity.value(),
                "ephemeral-storage" => requests.ephemeral = quantity.value(),
                _ => requests.scalars.push((name.clone(), quantity.value())),
            }
        }
        requests.scalars.sort();
        requests
    }

    pub fn scalar(&self, name: &str) -> i64 {
        self.scalars
            .iter()
            .find(|(held, _)| held == name)
            .map_or(0, |(_, amount)| *amount)
    }

    fn scalar_mut(&mut self, name: &ResourceName) -> &mut i64 {
        let at = match self.scalars.binary_search_by(|(held, _)| held.cmp(name)) {
            Ok(at) => at,
            Err(at) => {
                self.scalars.insert(at, (name.clone(), 0));
                at
            }
        };
        &mut self.scalars[at].1
    }

    /// Adds each amount.
    pub fn add(&mut self, other: &Requests) {
        self.milli_cpu = self.milli_cpu.saturating_add(other.milli_cpu);
        self.memory = self.memory.saturating_add(other.memory);
        self.ephemeral = self.ephemeral.saturating_add(other.ephemeral);
        for (name, amount) in &other.scalars {
            let held = self.scalar_mut(name);
            *held = held.saturating_add(*amount);
        }
    }

    /// Takes the larger of each amount.
    pub fn raise_to(&mut self, other: &Requests) {
        self.milli_cpu = self.milli_cpu.max(other.milli_cpu);
        self.memory = self.memory.max(other.memory);
        self.ephemeral = self.ephemeral.max(other.ephemeral);
        for (name, amount) in &other.scalars {
            let held = self.scalar_mut(name);
            *held = (*held).max(*amount);
        }
    }

    /// Replaces the amounts that `list` names and that may be asked for a whole pod (KEP-2837).
    pub fn replace_pod_level(&mut self, list: &ResourceList) {
        for (name, quantity) in list {
            match name.as_str() {
                "cpu" => self.milli_cpu = quantity.milli_value(),
                "memory" => self.memory = quantity.value(),
                other if other.starts_with("hugepages-") => *self.scalar_mut(name) = quantity.value(),
                _ => {}
            }
        }
    }

    /// Whether nothing is asked for.
    pub fn is_zero(&self) -> bool {
        self.milli_cpu == 0 && self.memory == 0 && self.ephemeral == 0 && self.scalars.is_empty()
    }
}
