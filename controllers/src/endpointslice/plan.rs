//! Fitting wanted endpoints into slices with as few writes as can be.
//!
//! Slices that exist keep the endpoints that are still wanted, in their order; changed slices are filled up first, then one that is
//! unchanged and just large enough, then new ones. So slices that upstream wrote are taken over as they are.

use super::endpoints::{Family, endpoint, families, has_endpoint, hints, ports};
use crate::api::{Endpoint, EndpointPort, EndpointSlice, Pod, Service};
use machinery::arith::names::is_dns_subdomain;
use machinery::meta::{Istr, Labels, ObjectMeta, OwnerRef, resources};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// The label that names a slice's Service.
pub const SERVICE_NAME: &str = "kubernetes.io/service-name";
/// The label that names who keeps a slice.
pub const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
/// What we, and upstream, put there.
pub const MANAGER: &str = "endpointslice-controller.k8s.io";
/// On slices of Services without an address.
pub const HEADLESS: &str = "service.kubernetes.io/headless";

/// The writes that bring a Service's slices up to date.
#[derive(Debug, Default)]
pub struct Plan {
    pub create: Vec<EndpointSlice>,
    pub update: Vec<EndpointSlice>,
    pub delete: Vec<Arc<EndpointSlice>>,
    /// Pods that were left out since their node is not known (yet), with the node's name.
    pub unknown_nodes: Vec<(Istr, Istr)>,
}

/// What is known about a node.
pub enum NodeZone {
    Unknown,
    Known(Option<Istr>),
}

/// Works out the slices. `existing` are those of the Service that we manage; `zone_of` looks a node up.
pub fn plan(
    service: &Service,
    pods: &[Arc<Pod>],
    zone_of: impl Fn(&str) -> NodeZone,
    existing: &[Arc<EndpointSlice>],
    max_per_slice: usize,
) -> Plan {
    let mut plan = Plan::default();
    let families = families(service);
    for slice in existing.iter().filter(|slice| {
        !families
            .iter()
            .any(|family| slice.address_type == family.as_str())
    }) {
        plan.delete.push(slice.clone());
    }
    for family in families {
        let of_family: Vec<_> = existing
            .iter()
            .filter(|slice| slice.address_type == family.as_str())
            .cloned()
            .collect();
        FamilyPlan {
            service,
            family,
            max: max_per_slice,
        }
        .run(pods, &zone_of, &of_family, &mut plan);
    }
    plan.unknown_nodes.sort();
    plan.unknown_nodes.dedup();
    plan
}

struct FamilyPlan<'a> {
    service: &'a Service,
    family: Family,
    max: usize,
}

/// What makes an endpoint the same one: its addresses, its host name and its pod.
type Identity = (Vec<Istr>, Option<Istr>, Option<(Istr, Istr)>);

fn identity(endpoint: &Endpoint) -> Identity {
    let mut addresses = endpoint.addresses.clone();
    addresses.sort();
    let target = endpoint
        .target_ref
        .as_ref()
        .map(|target| (target.namespace.clone(), target.name.clone()));
    (
        addresses,
        endpoint.hostname.clone().filter(|name| !name.is_empty()),
        target,
    )
}

/// Ports that share slices, in a fixed order.
fn port_key(ports: &[EndpointPort]) -> Vec<EndpointPort> {
    let mut key = ports.to_vec();
    key.sort_unstable();
    key
}

/// Whether rewriting would change what a slice says about an endpoint.
fn is_current(held: &Endpoint, wanted: &Endpoint) -> bool {
    let target = |endpoint: &Endpoint| {
        endpoint
            .target_ref
            .as_ref()
            .map(|t| (t.kind.clone(), t.namespace.clone(), t.name.clone(), t.uid.clone()))
    };
    held.node_name == wanted.node_name
        && held.zone == wanted.zone
        && held.conditions == wanted.conditions
        && target(held) == target(wanted)
}

/// A slice in the making.
struct Draft {
    slice: EndpointSlice,
    held: Arc<EndpointSlice>,
    changed: bool,
}

impl FamilyPlan<'_> {
    fn run(
        &self,
        pods: &[Arc<Pod>],
        zone_of: &impl Fn(&str) -> NodeZone,
        existing: &[Arc<EndpointSlice>],
        plan: &mut Plan,
    ) {
        let (owned, foreign): (Vec<_>, Vec<_>) = existing.iter().cloned().partition(|slice| self.owns(slice));
        let mut create = Vec::new();
        let mut update = Vec::new();
        let mut delete = foreign;
        let mut unchanged = Vec::new();
        let mut by_ports: BTreeMap<Vec<EndpointPort>, Vec<Arc<EndpointSlice>>> = BTreeMap::new();
        for slice in owned {
            by_ports.entry(port_key(&slice.ports)).or_default().push(slice);
        }
        for (key, wanted) in self.wanted(pods, zone_of, plan) {
            let slices = by_ports.remove(&key).unwrap_or_default();
            self.fit(
                &key,
                wanted,
                &slices,
                &mut create,
                &mut update,
                &mut delete,
                &mut unchanged,
            );
        }
        delete.extend(by_ports.into_values().flatten());
        if existing.len() == delete.len() && create.is_empty() {
            // A Service without endpoints keeps one empty slice, so that readers see that there are none.
            let empty = self.new_slice(Vec::new());
            match delete.as_slice() {
                [only] if self.is_empty_slice(only, &empty) => {
                    unchanged.extend(delete.pop());
                }
                _ => create.push(empty),
            }
        }
        self.give_hints(&mut create, &mut update, &unchanged);
        self.reuse(&mut create, &mut update, &mut delete);
        plan.create.append(&mut create);
        plan.update.append(&mut update);
        plan.delete.append(&mut delete);
    }

    fn owns(&self, slice: &EndpointSlice) -> bool {
        let uid = &self.service.metadata.uid;
        slice
            .metadata
            .owner_references
            .iter()
            .any(|owner| owner.uid == *uid && owner.kind == "Service" && owner.api_version == "v1")
    }

    /// Wanted endpoints by their ports.
    fn wanted(
        &self,
        pods: &[Arc<Pod>],
        zone_of: &impl Fn(&str) -> NodeZone,
        plan: &mut Plan,
    ) -> BTreeMap<Vec<EndpointPort>, BTreeMap<Identity, Endpoint>> {
        let mut wanted: BTreeMap<Vec<EndpointPort>, BTreeMap<Identity, Endpoint>> = BTreeMap::new();
        for pod in pods.iter().filter(|pod| has_endpoint(pod)) {
            let of_ports = wanted.entry(ports(self.service, pod)).or_default();
            let zone = match zone_of(&pod.spec.node_name) {
                NodeZone::Known(zone) => zone,
                NodeZone::Unknown if self.service.spec.publish_not_ready_addresses => None,
                NodeZone::Unknown => {
                    plan.unknown_nodes
                        .push((pod.metadata.name.clone(), pod.spec.node_name.clone()));
                    continue;
                }
            };
            if let Some(endpoint) = endpoint(self.service, pod, zone, self.family) {
                of_ports.insert(identity(&endpoint), endpoint);
            }
        }
        wanted
    }

    #[allow(clippy::too_many_arguments)]
    fn fit(
        &self,
        ports: &[EndpointPort],
        mut wanted: BTreeMap<Identity, Endpoint>,
        slices: &[Arc<EndpointSlice>],
        create: &mut Vec<EndpointSlice>,
        update: &mut Vec<EndpointSlice>,
        delete: &mut Vec<Arc<EndpointSlice>>,
        unchanged: &mut Vec<Arc<EndpointSlice>>,
    ) {
        let mut drafts = Vec::with_capacity(slices.len());
        for held in slices {
            let mut slice = EndpointSlice {
                endpoints: Vec::with_capacity(held.endpoints.len()),
                ..EndpointSlice::clone(held)
            };
            let mut changed = false;
            for old in &held.endpoints {
                if let Some(mut new) = wanted.remove(&identity(old)) {
                    changed |= !is_current(old, &new);
                    new.hints.clone_from(&old.hints);
                    slice
                        .endpoints
                        .push(if is_current(old, &new) { old.clone() } else { new });
                }
            }
            changed |= slice.endpoints.len() != held.endpoints.len();
            if changed && slice.endpoints.is_empty() {
                delete.push(held.clone());
                continue;
            }
            let labels = self.labels();
            changed |= self.label_changed(held);
            slice.metadata.labels = labels;
            drafts.push(Draft {
                slice,
                held: held.clone(),
                changed,
            });
        }
        let mut rest: VecDeque<Endpoint> = wanted.into_values().collect();
        // The fullest first, so that the others stay small.
        let mut changed: Vec<&mut Draft> = drafts.iter_mut().filter(|draft| draft.changed).collect();
        changed.sort_by_key(|draft| std::cmp::Reverse(draft.slice.endpoints.len()));
        for draft in changed {
            self.fill(&mut draft.slice, &mut rest);
        }
        while !rest.is_empty() {
            let room = |draft: &&mut Draft| self.max.checked_sub(rest.len() + draft.slice.endpoints.len());
            let fitting = drafts
                .iter_mut()
                .filter(|draft| !draft.changed && room(draft).is_some())
                .min_by_key(|draft| room(draft));
            match fitting {
                Some(draft) if rest.len() < self.max => {
                    draft.changed = true;
                    self.fill(&mut draft.slice, &mut rest);
                }
                _ => {
                    let mut slice = self.new_slice(ports.to_vec());
                    self.fill(&mut slice, &mut rest);
                    create.push(slice);
                }
            }
        }
        for draft in drafts {
            if draft.changed {
                update.push(draft.slice)
            } else {
                unchanged.push(draft.held)
            }
        }
    }

    fn fill(&self, slice: &mut EndpointSlice, rest: &mut VecDeque<Endpoint>) {
        let room = self.max.saturating_sub(slice.endpoints.len()).min(rest.len());
        slice.endpoints.extend(rest.drain(..room));
    }

    fn new_slice(&self, ports: Vec<EndpointPort>) -> EndpointSlice {
        let service = &self.service.metadata;
        let prefix = format!("{}-", service.name);
        EndpointSlice {
            metadata: ObjectMeta {
                // A long name leaves no room for the dash.
                generate_name: if is_dns_subdomain(&format!("{prefix}a")) {
                    prefix.into()
                } else {
                    service.name.clone()
                },
                namespace: service.namespace.clone(),
                labels: self.labels(),
                owner_references: vec![OwnerRef::controller(&resources::SERVICES, service)],
                ..ObjectMeta::default()
            },
            address_type: self.family.as_str().into(),
            endpoints: Vec::new(),
            ports,
        }
    }

    /// The Service's own labels and those that say what the slice is.
    fn labels(&self) -> Labels {
        let service = &self.service;
        let mut labels: Labels = service
            .metadata
            .labels
            .iter()
            .filter(|(key, _)| !is_reserved(key))
            .collect();
        let cluster_ip = &service.spec.cluster_ip;
        if cluster_ip.is_empty() || cluster_ip == "None" {
            labels.insert(HEADLESS, "");
        }
        labels.insert(SERVICE_NAME, &service.metadata.name);
        labels.insert(MANAGED_BY, MANAGER);
        labels
    }

    fn label_changed(&self, held: &EndpointSlice) -> bool {
        let plain = |labels: &Labels| {
            labels
                .iter()
                .filter(|(key, _)| !is_reserved(key))
                .map(|(k, v)| (k.clone(), v.clone()))
                .collect::<Vec<_>>()
        };
        plain(&held.metadata.labels) != plain(&self.service.metadata.labels)
    }

    fn is_empty_slice(&self, held: &EndpointSlice, empty: &EndpointSlice) -> bool {
        let owners = |slice: &EndpointSlice| slice.metadata.owner_references.clone();
        held.endpoints.is_empty()
            && held.ports.is_empty()
            && held.address_type == empty.address_type
            && held.metadata.labels == empty.metadata.labels
            && owners(held) == owners(empty)
    }

    /// Hints are per endpoint, so slices that stay the same otherwise may need them written or cleared.
    fn give_hints(
        &self,
        create: &mut [EndpointSlice],
        update: &mut Vec<EndpointSlice>,
        unchanged: &[Arc<EndpointSlice>],
    ) {
        let wrong = |slice: &EndpointSlice| {
            slice
                .endpoints
                .iter()
                .any(|endpoint| endpoint.hints != hints(self.service, endpoint))
        };
        update.extend(
            unchanged
                .iter()
                .filter(|slice| wrong(slice))
                .map(|slice| EndpointSlice::clone(slice)),
        );
        for slice in create.iter_mut().chain(update) {
            for endpoint in &mut slice.endpoints {
                endpoint.hints = hints(self.service, endpoint);
            }
        }
    }

    /// A slice that would be deleted while another is created is rewritten instead.
    fn reuse(
        &self,
        create: &mut Vec<EndpointSlice>,
        update: &mut Vec<EndpointSlice>,
        delete: &mut Vec<Arc<EndpointSlice>>,
    ) {
        delete.retain(|old| {
            if !self.owns(old) {
                return true;
            }
            let Some(mut slice) = create.pop() else {
                return true;
            };
            slice.metadata.name = old.metadata.name.clone();
            update.push(slice);
            false
        });
    }
}

fn is_reserved(label: &str) -> bool {
    matches!(label, SERVICE_NAME | MANAGED_BY | HEADLESS)
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
