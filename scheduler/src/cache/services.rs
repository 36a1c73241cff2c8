//! The objects from which a pod's default spreading is deduced: Services, ReplicationControllers, ReplicaSets, StatefulSets.

use machinery::arith::selector::{Requirement, Selector, Test};
use machinery::meta::{Istr, Labels, ObjectKey};
use rustc_hash::FxHashMap;

use super::Shape;

/// A kind of workload that owns pods by a selector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Owner {
    ReplicationController,
    ReplicaSet,
    StatefulSet,
}

/// Selectors of Services by namespace, and of workloads by kind and name.
#[derive(Debug, Default)]
pub struct Workloads {
    services: FxHashMap<Istr, FxHashMap<Istr, Labels>>,
    owners: FxHashMap<(Owner, ObjectKey), Selector>,
    epoch: u64,
}

impl Workloads {
    /// Changes whenever one of the selectors does.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Takes a Service's selector in. One without a selector picks no pods.
    pub(crate) fn set_service(&mut self, key: &ObjectKey, selector: Option<Labels>) {
        let services = self.services.entry(key.namespace.clone()).or_default();
        let changed = match selector {
            Some(selector) => services.insert(key.name.clone(), selector.clone()).as_ref() != Some(&selector),
            None => services.remove(&key.name).is_some(),
        };
        if services.is_empty() {
            self.services.remove(&key.namespace);
        }
        self.epoch += u64::from(changed);
    }

    pub(crate) fn set_owner(&mut self, owner: Owner, key: &ObjectKey, selector: Option<Selector>) {
        let at = (owner, key.clone());
        let changed = match selector {
            Some(selector) => self.owners.insert(at, selector.clone()).as_ref() != Some(&selector),
            None => self.owners.remove(&at).is_some(),
        };
        self.epoch += u64::from(changed);
    }

    /// What selects the pods that a pod of this shape is spread with: its Services' selectors together, and its controller's.
    pub fn selector_of(&self, shape: &Shape) -> Selector {
        let mut requirements: Vec<Requirement> = Vec::new();
        let mut require = |requirement: &Requirement| {
            if !requirements.contains(requirement) {
                requirements.push(requirement.clone());
            }
        };
        let labels = &shape.body.labels;
        for selector in self
            .services
            .get(&shape.namespace)
            .into_iter()
            .flat_map(FxHashMap::values)
        {
            if selector
                .iter()
                .all(|(key, value)| labels.get(key) == Some(value.as_str()))
            {
                for (key, value) in selector.iter() {
                    require(&Requirement {
                        key: key.as_str().into(),
                        test: Test::In([value.as_str().into()].into()),
                    });
                }
            }
        }
        if let Some(controller) = &shape.body.controller {
            let owner = match (controller.api_version.as_str(), controller.kind.as_str()) {
                ("v1", "ReplicationController") => Some(Owner::ReplicationController),
                ("apps/v1", "ReplicaSet") => Some(Owner::ReplicaSet),
                ("apps/v1", "StatefulSet") => Some(Owner::StatefulSet),
                _ => None,
            };
            let key = ObjectKey {
                namespace: shape.namespace.clone(),
                name: controller.name.clone(),
            };
            let selector = owner.and_then(|owner| self.owners.get(&(owner, key)));
            selector
                .into_iter()
                .flat_map(Selector::requirements)
                .for_each(require);
        }
        Selector::new(requirements)
    }
}
