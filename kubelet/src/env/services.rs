//! Variables that tell a container where the Services are, in the form of Docker's links.

use std::collections::BTreeMap;

use machinery::meta::{Object, ObjectMeta};
use serde::Deserialize;

/// The Service whose variables every pod gets.
const MASTER: (&str, &str) = ("default", "kubernetes");

/// What is read of a Service.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Service {
    pub metadata: ObjectMeta,
    #[serde(default)]
    pub spec: Spec,
}

impl Object for Service {
    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Spec {
    #[serde(rename = "clusterIP", default)]
    pub cluster_ip: Box<str>,
    #[serde(default)]
    pub ports: Box<[Port]>,
}

#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Port {
    #[serde(default)]
    pub name: Box<str>,
    pub port: u16,
    #[serde(default)]
    pub protocol: Box<str>,
}

impl Service {
    fn has_address(&self) -> bool {
        !self.spec.cluster_ip.is_empty() && &*self.spec.cluster_ip != "None"
    }
}

/// The variables of a pod in `namespace`: of its namespace's Services if it wants links, of the API server's always.
pub(crate) fn variables<'a>(
    services: impl Iterator<Item = &'a Service>,
    namespace: &str,
    links: bool,
) -> BTreeMap<String, String> {
    let mut chosen: BTreeMap<&str, &Service> = BTreeMap::new();
    for service in services.filter(|service| service.has_address()) {
        let (ns, name) = (
            service.metadata.namespace.as_str(),
            service.metadata.name.as_str(),
        );
        if (ns, name) == MASTER {
            chosen.entry(name).or_insert(service);
        } else if links && ns == namespace {
            chosen.insert(name, service);
        }
    }
    let mut variables = BTreeMap::new();
    for service in chosen.into_values() {
        add(&mut variables, service);
    }
    variables
}

fn add(variables: &mut BTreeMap<String, String>, service: &Service) {
    let prefix = shout(&service.metadata.name);
    let ip = &*service.spec.cluster_ip;
    let Some(first) = service.spec.ports.first() else {
        return;
    };
    variables.insert(format!("{prefix}_SERVICE_HOST"), ip.to_owned());
    variables.insert(format!("{prefix}_SERVICE_PORT"), first.port.to_string());
    let host = if ip.contains(':') {
        format!("[{ip}]")
    } else {
        ip.to_owned()
    };
    for (index, port) in service.spec.ports.iter().enumerate() {
        let number = port.port;
        if !port.name.is_empty() {
            variables.insert(
                format!("{prefix}_SERVICE_PORT_{}", shout(&port.name)),
                number.to_string(),
            );
        }
        let protocol = if port.protocol.is_empty() {
            "tcp".to_owned()
        } else {
            port.protocol.to_lowercase()
        };
        let url = format!("{protocol}://{host}:{number}");
        let link = format!("{prefix}_PORT_{number}_{}", protocol.to_uppercase());
        if index == 0 {
            variables.insert(format!("{prefix}_PORT"), url.clone());
        }
        variables.insert(format!("{link}_PROTO"), protocol);
        variables.insert(format!("{link}_PORT"), number.to_string());
        variables.insert(format!("{link}_ADDR"), ip.to_owned());
        variables.insert(link, url);
    }
}

fn shout(name: &str) -> String {
    name.replace('-', "_").to_uppercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn services() -> Vec<Service> {
        serde_json::from_value(json!([
            {"metadata": {"namespace": "default", "name": "kubernetes"},
             "spec": {"clusterIP": "10.96.0.1", "ports": [{"name": "https", "port": 443, "protocol": "TCP"}]}},
            {"metadata": {"namespace": "ns", "name": "web-app"},
             "spec": {"clusterIP": "fd00::5", "ports": [{"port": 80}, {"name": "dns-udp", "port": 53, "protocol": "UDP"}]}},
            {"metadata": {"namespace": "ns", "name": "headless"}, "spec": {"clusterIP": "None", "ports": [{"port": 1}]}},
            {"metadata": {"namespace": "ns", "name": "external"}, "spec": {}},
            {"metadata": {"namespace": "other", "name": "away"}, "spec": {"clusterIP": "10.96.0.9", "ports": [{"port": 1}]}},
        ]))
        .unwrap()
    }

    #[test]
    fn without_links_only_the_api_server_is_told() {
        let variables = variables(services().iter(), "ns", false);
        let shown: Vec<_> = variables
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        assert_eq!(
            shown,
            [
                "KUBERNETES_PORT=tcp://10.96.0.1:443",
                "KUBERNETES_PORT_443_TCP=tcp://10.96.0.1:443",
                "KUBERNETES_PORT_443_TCP_ADDR=10.96.0.1",
                "KUBERNETES_PORT_443_TCP_PORT=443",
                "KUBERNETES_PORT_443_TCP_PROTO=tcp",
                "KUBERNETES_SERVICE_HOST=10.96.0.1",
                "KUBERNETES_SERVICE_PORT=443",
                "KUBERNETES_SERVICE_PORT_HTTPS=443",
            ]
        );
    }

    #[test]
    fn links_name_the_services_of_the_namespace() {
        let variables = variables(services().iter(), "ns", true);
        assert_eq!(variables["WEB_APP_SERVICE_HOST"], "fd00::5");
        assert_eq!(variables["WEB_APP_SERVICE_PORT"], "80");
        assert_eq!(variables["WEB_APP_PORT"], "tcp://[fd00::5]:80");
        assert_eq!(variables["WEB_APP_PORT_53_UDP"], "udp://[fd00::5]:53");
        assert_eq!(variables["WEB_APP_SERVICE_PORT_DNS_UDP"], "53");
        assert!(
            variables
                .keys()
                .all(|name| !name.contains("HEADLESS") && !name.contains("AWAY"))
        );
    }
}
