//! Which slices mirror an Endpoints object: one for each set of ports and each family of addresses.

use crate::api::{
    Endpoint, EndpointAddress, EndpointConditions, EndpointPort, EndpointSlice, EndpointSubset, Endpoints,
};
use crate::endpoints::subsets::packed;
use machinery::arith::names::is_dns_subdomain;
use machinery::meta::resources::ENDPOINTS;
use machinery::meta::{Istr, ObjectMeta, OwnerRef};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

pub const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
pub const MANAGER: &str = "endpointslicemirroring-controller.k8s.io";
const SERVICE_NAME: &str = "kubernetes.io/service-name";
const SKIP: &str = "endpointslice.kubernetes.io/skip-mirror";
const LEADER: &str = "control-plane.alpha.kubernetes.io/leader";
/// Annotations that are about the Endpoints object alone.
const OWN: [&str; 2] = [
    "endpoints.kubernetes.io/last-change-trigger-time",
    "kubectl.kubernetes.io/last-applied-configuration",
];

/// What brings the slices into line.
#[derive(Debug, Default)]
pub struct Plan {
    pub create: Vec<EndpointSlice>,
    pub update: Vec<EndpointSlice>,
    pub delete: Vec<Arc<EndpointSlice>>,
    /// Addresses that are none.
    pub invalid: usize,
    /// Addresses left out, those that are none among them.
    pub skipped: usize,
}

/// Whether the Endpoints may be mirrored at all.
pub fn is_mirrored(endpoints: &Endpoints) -> bool {
    endpoints.metadata.labels.get(SKIP) != Some("true")
        && !endpoints.metadata.annotations.contains_key(LEADER)
}

type Key = (Istr, Vec<EndpointPort>);

fn key(address_type: &str, ports: &[EndpointPort]) -> Key {
    let mut ports = ports.to_vec();
    ports.sort();
    (address_type.into(), ports)
}

/// Go reads numbers with leading zeros as decimal.
fn parse(ip: &str) -> Option<IpAddr> {
    ip.parse().ok().or_else(|| {
        let parts: Vec<u8> = ip
            .split('.')
            .map(|part| part.parse().ok())
            .collect::<Option<_>>()?;
        let parts: [u8; 4] = parts.try_into().ok()?;
        Some(IpAddr::from(parts))
    })
}

fn endpoint(ip: IpAddr, address: &EndpointAddress, ready: bool) -> Endpoint {
    Endpoint {
        addresses: vec![ip.to_string().into()],
        conditions: EndpointConditions {
            ready: Some(ready),
            ..EndpointConditions::default()
        },
        hostname: Some(address.hostname.clone()).filter(|name| !name.is_empty()),
        target_ref: address.target_ref.clone(),
        node_name: address.node_name.clone(),
        ..Endpoint::default()
    }
}

fn ports(subset: &EndpointSubset) -> Vec<EndpointPort> {
    let mut ports = subset.ports.clone();
    for port in &mut ports {
        port.name.get_or_insert_with(Istr::default);
    }
    ports
}

/// What two endpoints are compared by, whatever their order.
fn compared(endpoints: &[Endpoint]) -> Vec<Endpoint> {
    let mut endpoints = endpoints.to_vec();
    for endpoint in &mut endpoints {
        if let Some(target) = &mut endpoint.target_ref {
            target.resource_version = Box::default();
        }
    }
    endpoints.sort_by(|a, b| (&a.addresses, &a.hostname).cmp(&(&b.addresses, &b.hostname)));
    endpoints
}

/// Makes the plan; `slices` are those mirrored before, and `most` is how many addresses of a subset are mirrored.
pub fn plan(endpoints: &Endpoints, slices: &[Arc<EndpointSlice>], most: usize) -> Plan {
    let mut plan = Plan::default();
    let mut wanted: BTreeMap<Key, (Vec<EndpointPort>, Vec<Endpoint>)> = BTreeMap::new();
    for subset in packed(&endpoints.subsets) {
        let (ports, mut added) = (ports(&subset), 0);
        let all = subset
            .addresses
            .iter()
            .map(|address| (address, true))
            .chain(subset.not_ready_addresses.iter().map(|address| (address, false)));
        let total = subset.addresses.len() + subset.not_ready_addresses.len();
        for (address, ready) in all {
            if added >= most {
                break;
            }
            let Some(ip) = parse(&address.ip) else {
                plan.invalid += 1;
                continue;
            };
            let family = if ip.is_ipv4() { "IPv4" } else { "IPv6" };
            let place = wanted
                .entry(key(family, &ports))
                .or_insert_with(|| (ports.clone(), Vec::new()));
            place.1.push(endpoint(ip, address, ready));
            added += 1;
        }
        plan.skipped += total - added;
    }
    let mut held: BTreeMap<Key, Vec<&Arc<EndpointSlice>>> = BTreeMap::new();
    for slice in slices {
        held.entry(key(&slice.address_type, &slice.ports))
            .or_default()
            .push(slice);
    }
    for ((address_type, sorted), (ports, list)) in wanted {
        let mut same = held.remove(&(address_type.clone(), sorted)).unwrap_or_default();
        same.sort_by(|a, b| a.metadata.name.cmp(&b.metadata.name));
        let kept = same.first().copied();
        plan.delete
            .extend(same.iter().skip(1).map(|slice| (*slice).clone()));
        let mut slice = EndpointSlice {
            metadata: metadata(endpoints),
            address_type,
            endpoints: list,
            ports,
        };
        slice.endpoints.truncate(most);
        match kept {
            Some(kept) if is_same(kept, &slice) => {}
            Some(kept) => {
                take_over(&mut slice, kept);
                plan.update.push(slice);
            }
            None => plan.create.push(slice),
        }
    }
    plan.delete.extend(held.into_values().flatten().cloned());
    recycle(&mut plan);
    plan
}

fn metadata(endpoints: &Endpoints) -> ObjectMeta {
    let meta = &endpoints.metadata;
    let mut labels = meta.labels.clone();
    labels.insert(SERVICE_NAME, meta.name.clone());
    labels.insert(MANAGED_BY, MANAGER);
    let mut annotations = meta.annotations.clone();
    for own in OWN {
        annotations.remove(own);
    }
    let prefix = format!("{}-", meta.name);
    ObjectMeta {
        generate_name: if is_dns_subdomain(&format!("{prefix}a")) {
            prefix.into()
        } else {
            meta.name.clone()
        },
        namespace: meta.namespace.clone(),
        labels,
        annotations,
        owner_references: vec![OwnerRef::controller(&ENDPOINTS, meta)],
        ..ObjectMeta::default()
    }
}

fn is_same(held: &EndpointSlice, wanted: &EndpointSlice) -> bool {
    let owner = wanted.metadata.owner_references.first();
    let owned_by_another = held.metadata.owner_references.iter().any(|held| {
        owner.is_some_and(|owner| held.kind == owner.kind && held.name == owner.name && held.uid != owner.uid)
    });
    held.metadata.labels == wanted.metadata.labels
        && held.metadata.annotations == wanted.metadata.annotations
        && compared(&held.endpoints) == compared(&wanted.endpoints)
        && !owned_by_another
}

/// Makes `slice` the next version of `held`.
fn take_over(slice: &mut EndpointSlice, held: &EndpointSlice) {
    slice.metadata.generate_name = Istr::default();
    slice.metadata.name = held.metadata.name.clone();
    slice.metadata.uid = held.metadata.uid.clone();
    slice.metadata.resource_version = held.metadata.resource_version.clone();
}

/// A slice that would be deleted is used for one that would be created.
fn recycle(plan: &mut Plan) {
    for mut slice in std::mem::take(&mut plan.create) {
        let spare = plan
            .delete
            .iter()
            .position(|spare| spare.address_type == slice.address_type);
        match spare {
            Some(at) => {
                let spare = plan.delete.remove(at);
                take_over(&mut slice, &spare);
                plan.update.push(slice);
            }
            None => plan.create.push(slice),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn endpoints(subsets: &Value) -> Endpoints {
        let object = json!({ "metadata": { "name": "e", "namespace": "n", "uid": "u", "labels": { "a": "b" },
            "annotations": { "x": "y", "endpoints.kubernetes.io/last-change-trigger-time": "t" } }, "subsets": subsets });
        serde_json::from_str(&object.to_string()).unwrap()
    }

    fn stored(mut slices: Vec<EndpointSlice>) -> Vec<Arc<EndpointSlice>> {
        for (slice, n) in slices.iter_mut().zip(0..) {
            slice.metadata.name = format!("e-{n}").into();
            slice.metadata.generate_name = Istr::default();
        }
        slices.into_iter().map(Arc::new).collect()
    }

    #[test]
    fn subsets_become_slices_by_ports_and_family() {
        let first = endpoints(&json!([
            { "addresses": [{ "ip": "10.0.0.1" }, { "ip": "fd00::1" }, { "ip": "nonsense" }], "notReadyAddresses": [{ "ip": "10.0.0.2", "hostname": "h" }],
              "ports": [{ "port": 80, "protocol": "TCP" }] }
        ]));
        let made = plan(&first, &[], 1000);
        assert_eq!(
            (made.create.len(), made.invalid, made.skipped, made.delete.len()),
            (2, 1, 1, 0)
        );
        let v4 = &made.create[0];
        assert_eq!((&*v4.address_type, v4.endpoints.len()), ("IPv4", 2));
        assert_eq!(v4.endpoints[1].conditions.ready, Some(false));
        assert_eq!(v4.ports[0].name.as_deref(), Some(""));
        assert_eq!(v4.metadata.labels.get(MANAGED_BY), Some(MANAGER));
        assert_eq!(v4.metadata.labels.get(SERVICE_NAME), Some("e"));
        assert_eq!(v4.metadata.annotations.keys().len(), 1);
        assert_eq!(v4.metadata.owner_references[0].kind, "Endpoints");

        let held = stored(made.create);
        let again = plan(&first, &held, 1000);
        assert!(again.create.is_empty() && again.update.is_empty() && again.delete.is_empty());

        let moved = endpoints(
            &json!([{ "addresses": [{ "ip": "10.0.0.3" }], "ports": [{ "port": 81, "protocol": "TCP" }] }]),
        );
        let other = plan(&moved, &held, 1000);
        assert!(other.create.is_empty());
        assert_eq!(
            (other.update.len(), &*other.update[0].metadata.name),
            (1, "e-0"),
            "the slice of old ports is used again"
        );
        assert_eq!(other.delete.len(), 1);

        let none = plan(&endpoints(&json!([])), &held, 1000);
        assert_eq!(none.delete.len(), 2);
        assert_eq!(plan(&first, &[], 1).skipped, 3);
    }

    #[test]
    fn some_endpoints_are_not_mirrored() {
        let mut all = endpoints(&json!([]));
        assert!(is_mirrored(&all));
        all.metadata.labels.insert(SKIP, "true");
        assert!(!is_mirrored(&all));
        let mut leader = endpoints(&json!([]));
        leader.metadata.annotations.insert(LEADER, "x");
        assert!(!is_mirrored(&leader));
    }
}
