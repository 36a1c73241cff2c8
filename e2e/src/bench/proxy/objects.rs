//! Services and their endpoints.

use serde_json::{Value, json};

use super::space;

pub const NAMESPACE: &str = "bench";
pub const NODE: &str = "bench";

/// The name of a Service, and of its slice.
pub fn name(number: usize) -> String {
    format!("service-{number}")
}

/// The node that the proxy runs on.
pub fn node() -> Value {
    json!({
        "metadata": { "name": NODE, "labels": { "kubernetes.io/hostname": NODE } },
        "status": { "addresses": [
            { "type": "InternalIP", "address": space::ADDRESS },
            { "type": "Hostname", "address": NODE },
        ] },
    })
}

/// A Service whose endpoints nobody selects.
pub fn service(name: &str, address: Option<&str>) -> Value {
    let mut spec =
        json!({ "ports": [{ "name": "http", "port": 80, "targetPort": space::PORT, "protocol": "TCP" }] });
    if let Some(address) = address {
        spec["clusterIP"] = json!(address);
    }
    json!({ "metadata": { "name": name }, "spec": spec })
}

/// The slice of the Service of the same name.
pub fn slice(name: &str, addresses: &[String]) -> Value {
    json!({
        "metadata": { "name": name, "labels": { "kubernetes.io/service-name": name } },
        "addressType": "IPv4",
        "ports": [{ "name": "http", "port": space::PORT, "protocol": "TCP" }],
        "endpoints": endpoints(addresses),
    })
}

pub fn endpoints(addresses: &[String]) -> Value {
    addresses
        .iter()
        .map(|address| json!({ "addresses": [address], "conditions": { "ready": true } }))
        .collect()
}

/// Two addresses in the pods' range at which nobody is, other ones for each Service.
pub fn nowhere(number: usize) -> [String; 2] {
    let (high, low) = (number / 125, number % 125);
    [0, 1].map(|which| format!("10.244.{}.{}", 10 + high, 1 + 2 * low + which))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::net::Ipv4Addr;

    #[test]
    fn no_two_services_share_an_endpoint() {
        let addresses: Vec<String> = (0..5000).flat_map(nowhere).collect();
        let distinct: HashSet<&String> = addresses.iter().collect();
        assert_eq!(distinct.len(), addresses.len());
        for address in &addresses {
            let address: Ipv4Addr = address.parse().unwrap();
            assert_eq!(address.octets()[..2], [10, 244]);
        }
        let servers: Vec<&str> = space::SERVERS.iter().map(|server| server.0).collect();
        assert!(
            !addresses
                .iter()
                .any(|address| servers.contains(&address.as_str()))
        );
    }
}
