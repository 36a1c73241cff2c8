//! Addresses by ports. An address that offers several ports is in one subset with all of them; where ports differ between pods there are
//! several subsets.

use crate::api::{EndpointAddress, EndpointPort, EndpointSubset, Pod, Service};
use crate::endpointslice::endpoints::{Family, has_endpoint, ports};
use machinery::meta::{Istr, ObjectRef};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

/// The most addresses of one object.
pub const CAPACITY: usize = 1000;

/// An address as it is told from others: pods on the host's network share theirs.
type Key = (Istr, Istr);

fn key(address: &EndpointAddress) -> Key {
    (
        address.ip.clone(),
        address
            .target_ref
            .as_ref()
            .map(|target| target.uid.clone())
            .unwrap_or_default(),
    )
}

/// The family of the addresses: the Service's first.
fn family(service: &Service, pod: &Pod) -> Family {
    let of = |address: &IpAddr| if address.is_ipv6() { Family::V6 } else { Family::V4 };
    match service.spec.ip_families.first() {
        Some(first) if *first == Family::V6.as_str() => Family::V6,
        Some(_) => Family::V4,
        None => match service.spec.cluster_ip.parse::<IpAddr>() {
            Ok(address) => of(&address),
            Err(_) => pod.status.pod_ips.first().map_or(Family::V4, of),
        },
    }
}

fn address(service: &Service, pod: &Pod) -> Option<EndpointAddress> {
    let family = family(service, pod);
    let ip = pod.status.pod_ips.iter().find(|ip| family.has(ip))?;
    let named = !pod.spec.hostname.is_empty() && pod.spec.subdomain == service.metadata.name;
    Some(EndpointAddress {
        ip: ip.to_string().into(),
        hostname: if named {
            pod.spec.hostname.clone()
        } else {
            Istr::default()
        },
        node_name: Some(pod.spec.node_name.clone()),
        target_ref: Some(ObjectRef {
            kind: "Pod".into(),
            namespace: pod.metadata.namespace.clone(),
            name: pod.metadata.name.clone(),
            uid: pod.metadata.uid.clone(),
            ..ObjectRef::default()
        }),
    })
}

/// The subsets of a Service. `pods` are those that it selects.
pub fn subsets(service: &Service, pods: &[Arc<Pod>]) -> Vec<EndpointSubset> {
    let even_not_ready = service.spec.publish_not_ready_addresses;
    let mut subsets = Vec::new();
    for pod in pods
        .iter()
        .filter(|pod| has_endpoint(pod) && (even_not_ready || !pod.metadata.is_deleting()))
    {
        let Some(address) = address(service, pod) else {
            continue;
        };
        let ports = ports(service, pod);
        // A headless Service needs no ports; another one is nothing without.
        let portless = service.spec.ports.is_empty() && service.is_headless();
        if ports.is_empty() && !portless {
            continue;
        }
        let (addresses, not_ready_addresses) = if even_not_ready || pod.is_ready() {
            (vec![address], vec![])
        } else {
            (vec![], vec![address])
        };
        subsets.push(EndpointSubset {
            addresses,
            not_ready_addresses,
            ports,
        });
    }
    packed(&subsets)
}

/// The same content in one fixed form, however it was divided before. An address that is said to be both is not ready.
pub fn packed(subsets: &[EndpointSubset]) -> Vec<EndpointSubset> {
    let mut addresses: BTreeMap<Key, &EndpointAddress> = BTreeMap::new();
    let mut by_port: BTreeMap<Option<EndpointPort>, BTreeMap<Key, bool>> = BTreeMap::new();
    for subset in subsets {
        let all = subset
            .addresses
            .iter()
            .map(|address| (address, true))
            .chain(subset.not_ready_addresses.iter().map(|address| (address, false)));
        for (address, ready) in all {
            let key = key(address);
            addresses.entry(key.clone()).or_insert(address);
            let ports = if subset.ports.is_empty() {
                vec![None]
            } else {
                subset.ports.iter().cloned().map(plain).map(Some).collect()
            };
            for port in ports {
                let held = by_port
                    .entry(port)
                    .or_default()
                    .entry(key.clone())
                    .or_insert(ready);
                *held &= ready;
            }
        }
    }
    let mut by_addresses: BTreeMap<Vec<(Key, bool)>, Vec<EndpointPort>> = BTreeMap::new();
    for (port, keys) in by_port {
        by_addresses
            .entry(keys.into_iter().collect())
            .or_default()
            .extend(port);
    }
    let subset = |(keys, ports): (Vec<(Key, bool)>, Vec<EndpointPort>)| {
        let of = |wanted: bool| {
            let keys = keys.iter().filter(|(_, ready)| *ready == wanted);
            keys.filter_map(|(key, _)| addresses.get(key).map(|address| (*address).clone()))
                .collect()
        };
        EndpointSubset {
            addresses: of(true),
            not_ready_addresses: of(false),
            ports,
        }
    };
    by_addresses.into_iter().map(subset).collect()
}

/// Endpoints leave the name of a nameless port out.
fn plain(mut port: EndpointPort) -> EndpointPort {
    port.name = port.name.filter(|name| !name.is_empty());
    port
}

/// Cuts down to [`CAPACITY`], addresses that are not ready first, of each subset in proportion. Says whether anything was cut.
pub fn truncate(subsets: &mut [EndpointSubset]) -> bool {
    let ready: usize = subsets.iter().map(|subset| subset.addresses.len()).sum();
    let not_ready: usize = subsets
        .iter()
        .map(|subset| subset.not_ready_addresses.len())
        .sum();
    if ready + not_ready <= CAPACITY {
        return false;
    }
    let cut_ready = ready > CAPACITY;
    let (total, room) = if cut_ready {
        (ready, CAPACITY)
    } else {
        (not_ready, CAPACITY - ready)
    };
    let mut left = room;
    for subset in subsets {
        let list = if cut_ready {
            &mut subset.addresses
        } else {
            &mut subset.not_ready_addresses
        };
        list.truncate((list.len() * room).div_ceil(total).min(left));
        left -= list.len();
        if cut_ready {
            subset.not_ready_addresses.clear();
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{PodBuilder, pod, service};
    use serde_json::json;

    fn web(name: &str, ips: &[&str]) -> PodBuilder {
        let ips: Vec<_> = ips.iter().map(|ip| json!({ "ip": ip })).collect();
        pod(name)
            .node("n1")
            .label("app", "web")
            .phase("Running")
            .with("/status/podIPs", ips)
    }

    fn shown(subsets: &[EndpointSubset]) -> Vec<String> {
        let ips = |addresses: &[EndpointAddress]| {
            addresses
                .iter()
                .map(|address| address.ip.to_string())
                .collect::<Vec<_>>()
                .join(",")
        };
        let port = |port: &EndpointPort| {
            format!(
                "{}{}",
                port.name
                    .as_deref()
                    .map(|name| format!("{name}="))
                    .unwrap_or_default(),
                port.port.unwrap()
            )
        };
        subsets
            .iter()
            .map(|subset| {
                let ports: Vec<_> = subset.ports.iter().map(port).collect();
                format!(
                    "{}/{}:{}",
                    ips(&subset.addresses),
                    ips(&subset.not_ready_addresses),
                    ports.join(",")
                )
            })
            .collect()
    }

    fn of(change: impl FnOnce(&mut serde_json::Value), pods: Vec<PodBuilder>) -> Vec<String> {
        let pods: Vec<_> = pods.into_iter().map(PodBuilder::arc).collect();
        shown(&subsets(&service("web", change), &pods))
    }

    #[test]
    fn addresses_are_listed_by_readiness_and_ports() {
        let deleting = |pod: PodBuilder| pod.with("/metadata/deletionTimestamp", "2026-01-01T00:00:00Z");
        let pods = || {
            vec![
                web("b", &["10.0.0.2"]).ready_at(5),
                web("a", &["10.0.0.1", "fd00::1"]).ready_at(5),
                web("starting", &["10.0.0.3"]),
                deleting(web("ending", &["10.0.0.4"]).ready_at(5)),
                web("ended", &["10.0.0.5"]).phase("Succeeded"),
                web("v6 only", &["fd00::6"]).ready_at(5),
                web("no address yet", &[]),
            ]
        };
        assert_eq!(of(|_| {}, pods()), ["10.0.0.1,10.0.0.2/10.0.0.3:8080"]);
        assert_eq!(
            of(|spec| spec["ipFamilies"] = json!(["IPv6", "IPv4"]), pods()),
            ["fd00::1,fd00::6/:8080"]
        );
        let published = of(|spec| spec["publishNotReadyAddresses"] = true.into(), pods());
        assert_eq!(published, ["10.0.0.1,10.0.0.2,10.0.0.3,10.0.0.4/:8080"]);
        let portless = |spec: &mut serde_json::Value| {
            spec["clusterIP"] = "None".into();
            spec["ports"] = json!([]);
        };
        assert_eq!(of(portless, pods()), ["10.0.0.1,10.0.0.2/10.0.0.3:"]);
        assert!(of(|spec| spec["ports"] = json!([]), pods()).is_empty());
    }

    #[test]
    fn pods_with_other_ports_are_in_another_subset() {
        let ports = |number: i32| json!([{ "ports": [{ "name": "http", "containerPort": number, "protocol": "TCP" }] }]);
        let pods = || {
            vec![
                web("a", &["10.0.0.1"])
                    .ready_at(5)
                    .with("/spec/containers", ports(80)),
                web("b", &["10.0.0.2"])
                    .ready_at(5)
                    .with("/spec/containers", ports(8080)),
                web("unnamed", &["10.0.0.3"]).ready_at(5),
            ]
        };
        let two = |spec: &mut serde_json::Value| {
            spec["ports"] = json!([{ "name": "web", "protocol": "TCP", "port": 80, "targetPort": "http" },
                                   { "name": "metrics", "protocol": "TCP", "port": 90, "targetPort": 90 }]);
        };
        assert_eq!(
            of(two, pods()),
            [
                "10.0.0.1/:web=80",
                "10.0.0.1,10.0.0.2,10.0.0.3/:metrics=90",
                "10.0.0.2/:web=8080"
            ]
        );
    }

    #[test]
    fn what_others_packed_differently_is_the_same() {
        let address = |ip: &str| json!({ "ip": ip });
        let parse = |value: serde_json::Value| -> Vec<EndpointSubset> {
            serde_json::from_str(&value.to_string()).unwrap()
        };
        let one = parse(
            json!([{ "addresses": [address("10.0.0.2"), address("10.0.0.1")], "ports": [{ "port": 2 }, { "name": "", "port": 1 }] }]),
        );
        let other = parse(
            json!([{ "addresses": [address("10.0.0.1")], "ports": [{ "port": 1 }] }, { "addresses": [address("10.0.0.2")], "ports": [{ "port": 1 }] },
                                 { "addresses": [address("10.0.0.1"), address("10.0.0.2")], "ports": [{ "port": 2 }] }]),
        );
        assert_eq!(packed(&one), packed(&other));
        let both = parse(
            json!([{ "addresses": [address("10.0.0.1")], "notReadyAddresses": [address("10.0.0.1")], "ports": [{ "port": 1 }] }]),
        );
        assert_eq!(shown(&packed(&both)), ["/10.0.0.1:1"]);
    }

    #[test]
    fn a_thousand_addresses_are_the_most() {
        let addresses = |from: usize, count: usize| -> Vec<EndpointAddress> {
            (from..from + count)
                .map(|n| EndpointAddress {
                    ip: format!("10.0.{}.{}", n / 250, n % 250).into(),
                    ..EndpointAddress::default()
                })
                .collect()
        };
        for (what, sizes, want) in [
            ("few", [(500, 500), (0, 0)], [(500, 500), (0, 0)]),
            (
                "not ready ones go first",
                [(600, 300), (300, 300)],
                [(600, 50), (300, 50)],
            ),
            (
                "then ready ones in proportion",
                [(1500, 10), (500, 10)],
                [(750, 0), (250, 0)],
            ),
            (
                "rounding does not lead over the top",
                [(1000, 0), (1, 0)],
                [(1000, 0), (0, 0)],
            ),
        ] {
            let mut subsets: Vec<_> = sizes
                .iter()
                .map(|(ready, not)| EndpointSubset {
                    addresses: addresses(0, *ready),
                    not_ready_addresses: addresses(2000, *not),
                    ports: vec![],
                })
                .collect();
            assert_eq!(truncate(&mut subsets), sizes != want, "{what}");
            let left: Vec<_> = subsets
                .iter()
                .map(|subset| (subset.addresses.len(), subset.not_ready_addresses.len()))
                .collect();
            assert_eq!(left, want, "{what}");
        }
    }
}
