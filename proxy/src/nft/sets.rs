//! The named sets and maps that do not depend on Services.

use super::ip::Ip;
use super::names::{Class, Front, Names};
use super::object::{DataType, MapTo, Set};
use super::settings::{NodePortAddresses, Settings};
use std::sync::Arc;

/// All named sets and maps, without elements.
pub fn sets(settings: &Settings, names: &Names) -> Vec<Set> {
    let ip = Ip::of(settings.family);
    let set = |name: &Arc<str>, key: Vec<DataType>, comment| Set {
        name: name.clone(),
        key,
        to: None,
        timeout_ms: None,
        comment: Some(comment),
    };
    let map = |name: &Arc<str>, key: Vec<DataType>, to: MapTo, comment| Set {
        to: Some(to),
        ..set(name, key, comment)
    };
    let service = ip.front_key(Front::Service);
    let node_port = ip.front_key(Front::NodePort);
    let mut hairpin = vec![ip.addr];
    hairpin.extend(&service);
    let mut all = vec![
        set(&names.cluster_ips, vec![ip.addr], "Active ClusterIPs"),
        set(&names.hairpin_connections, hairpin, "service hairpin connections"),
        map(
            &names.no_endpoint_services,
            service.clone(),
            MapTo::Verdict,
            "vmap to drop or reject packets to services with no endpoints",
        ),
        map(
            &names.no_endpoint_node_ports,
            node_port.clone(),
            MapTo::Verdict,
            "vmap to drop or reject packets to service nodeports with no endpoints",
        ),
        map(
            &names.firewall_ips,
            service.clone(),
            MapTo::Verdict,
            "destinations that are subject to LoadBalancerSourceRanges",
        ),
        map(
            &names.service_ips,
            service,
            MapTo::Verdict,
            "ClusterIP, ExternalIP and LoadBalancer IP traffic",
        ),
        map(
            &names.service_node_ports,
            node_port,
            MapTo::Verdict,
            "NodePort traffic",
        ),
    ];
    if settings.node_port_addresses != NodePortAddresses::All {
        all.push(set(
            &names.node_port_ips,
            vec![ip.addr],
            "IPs that accept NodePort traffic",
        ));
    }
    for front in Front::ALL {
        let of = names.front(front);
        let key = ip.front_key(front);
        if front == Front::Service {
            all.push(set(&of.routes, key.clone(), "destinations of internal traffic"));
        }
        let mut numbered = key.clone();
        numbered.push(DataType::Number);
        all.extend([
            set(
                &of.external,
                key.clone(),
                "destinations of external traffic, policy Cluster",
            ),
            set(
                &of.external_local,
                key,
                "destinations of external traffic, policy Local",
            ),
            map(
                &of.endpoints,
                numbered,
                MapTo::Data(vec![ip.addr, DataType::InetService]),
                "endpoints of each destination, numbered",
            ),
        ]);
    }
    all
}

/// The set of the destinations of a class.
pub fn class_set(settings: &Settings, class: Class, name: Arc<str>) -> Set {
    let key = Ip::of(settings.family).front_key(class.front);
    Set {
        name,
        key,
        to: None,
        timeout_ms: None,
        comment: Some("destinations with so many endpoints"),
    }
}
