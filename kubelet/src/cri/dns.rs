//! A pod's DNS configuration: pure.

use k8s_openapi::api::core::v1 as core;

use super::api::DnsConfig;
use crate::pod::spec::PodExt as _;

const MAX_NAMESERVERS: usize = 3;
const MAX_SEARCHES: usize = 32;
const MAX_SEARCH_CHARS: usize = 2048;
const MAX_DOMAIN: usize = 253;

/// What the cluster and the node say about DNS.
#[derive(Clone, Debug, Default)]
pub struct Resolver {
    /// `clusterDNS`.
    pub servers: Vec<String>,
    /// `clusterDomain`.
    pub domain: String,
    /// The node's own, from `resolvConf`.
    pub host: DnsConfig,
    /// `resolvConf` is empty on purpose: host DNS is the node itself.
    pub host_is_local: bool,
}

/// Reads a `resolv.conf`.
#[must_use]
pub fn parse(text: &str) -> DnsConfig {
    let mut out = DnsConfig::default();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        match words.next() {
            Some("nameserver") => out.servers.extend(words.next().map(str::to_owned)),
            Some("search") => {
                out.searches = words
                    .filter(|w| *w != ".")
                    .map(|w| w.strip_suffix('.').unwrap_or(w).to_owned())
                    .collect();
            }
            Some("options") => words.for_each(|w| set_option(&mut out.options, w.to_owned())),
            _ => {}
        }
    }
    out
}

fn set_option(options: &mut Vec<String>, option: String) {
    let name = |o: &str| o.split(':').next().unwrap_or_default().to_owned();
    let key = name(&option);
    match options.iter_mut().find(|o| name(o) == key) {
        Some(slot) => *slot = option,
        None => options.push(option),
    }
}

/// A pod's configuration, with what had to be left out for the resolver's limits (for events).
#[must_use]
pub fn of_pod(pod: &core::Pod, resolver: &Resolver) -> (DnsConfig, Vec<String>) {
    let policy = pod.spec().dns_policy.as_deref().unwrap_or("ClusterFirst");
    let cluster = match policy {
        "ClusterFirstWithHostNet" => true,
        "Default" | "None" => false,
        _ => !pod.host_network(),
    };
    let mut warnings = Vec::new();
    let mut dns = if policy == "None" {
        DnsConfig::default()
    } else if cluster && !resolver.servers.is_empty() {
        let mut searches = Vec::new();
        if !resolver.domain.is_empty() {
            searches.push(format!("{}.svc.{}", pod.namespace(), resolver.domain));
            searches.push(format!("svc.{}", resolver.domain));
            searches.push(resolver.domain.clone());
        }
        searches.extend(resolver.host.searches.iter().cloned());
        DnsConfig {
            servers: resolver.servers.clone(),
            searches: unique(searches),
            options: vec!["ndots:5".into()],
        }
    } else if resolver.host_is_local {
        DnsConfig {
            servers: vec!["127.0.0.1".into()],
            searches: vec![".".into()],
            options: Vec::new(),
        }
    } else {
        resolver.host.clone()
    };
    if let Some(own) = &pod.spec().dns_config {
        dns.servers.extend(own.nameservers.iter().flatten().cloned());
        dns.servers = unique(std::mem::take(&mut dns.servers));
        dns.searches.extend(own.searches.iter().flatten().cloned());
        dns.searches = unique(std::mem::take(&mut dns.searches));
        for option in own.options.iter().flatten() {
            let Some(name) = &option.name else { continue };
            let text = match option.value.as_deref() {
                Some(value) if !value.is_empty() => format!("{name}:{value}"),
                _ => name.clone(),
            };
            set_option(&mut dns.options, text);
        }
    }
    fit(&mut dns, &mut warnings);
    (dns, warnings)
}

fn fit(dns: &mut DnsConfig, warnings: &mut Vec<String>) {
    if dns.servers.len() > MAX_NAMESERVERS {
        dns.servers.truncate(MAX_NAMESERVERS);
        warnings.push(format!(
            "Nameserver limits were exceeded, some nameservers have been omitted, the applied nameserver line is: {}",
            dns.servers.join(" ")
        ));
    }
    let before = dns.searches.len();
    dns.searches.truncate(MAX_SEARCHES);
    dns.searches.retain(|s| s.len() <= MAX_DOMAIN);
    while dns.searches.join(" ").len() > MAX_SEARCH_CHARS {
        dns.searches.pop();
    }
    if dns.searches.len() != before {
        warnings.push(format!(
            "Search Line limits were exceeded, some search paths have been omitted, the applied search line is: {}",
            dns.searches.join(" ")
        ));
    }
}

fn unique(list: Vec<String>) -> Vec<String> {
    let mut out: Vec<String> = Vec::with_capacity(list.len());
    for item in list {
        if !out.contains(&item) {
            out.push(item);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolver() -> Resolver {
        Resolver {
            servers: vec!["10.0.0.10".into()],
            domain: "cluster.local".into(),
            host: parse(
                "# x\nnameserver 192.0.2.1\nsearch corp. svc.cluster.local\noptions timeout:2 timeout:3\n",
            ),
            host_is_local: false,
        }
    }

    fn pod(policy: &str, host_network: bool) -> core::Pod {
        let mut pod = core::Pod::default();
        pod.metadata.namespace = Some("ns".into());
        pod.spec = Some(core::PodSpec {
            dns_policy: Some(policy.into()),
            host_network: Some(host_network),
            ..Default::default()
        });
        pod
    }

    #[test]
    fn policies() {
        let cluster = "10.0.0.10|ns.svc.cluster.local svc.cluster.local cluster.local corp|ndots:5";
        let host = "192.0.2.1|corp svc.cluster.local|timeout:3";
        for (policy, host_network, expected) in [
            ("ClusterFirst", false, cluster),
            ("ClusterFirst", true, host),
            ("ClusterFirstWithHostNet", true, cluster),
            ("Default", false, host),
            ("None", false, "||"),
        ] {
            let (dns, _) = of_pod(&pod(policy, host_network), &resolver());
            let text = format!(
                "{}|{}|{}",
                dns.servers.join(" "),
                dns.searches.join(" "),
                dns.options.join(" ")
            );
            assert_eq!(text, expected, "{policy} {host_network}");
        }
    }

    #[test]
    fn the_pods_own_settings_are_merged_and_limits_kept() {
        let mut pod = pod("ClusterFirst", false);
        pod.spec.as_mut().unwrap().dns_config = Some(core::PodDNSConfig {
            nameservers: Some((1..5).map(|i| format!("192.0.2.{i}")).collect()),
            searches: Some(vec!["mine".into(), "corp".into()]),
            options: Some(vec![core::PodDNSConfigOption {
                name: Some("ndots".into()),
                value: Some("2".into()),
            }]),
        });
        let (dns, warnings) = of_pod(&pod, &resolver());
        assert_eq!(dns.servers, ["10.0.0.10", "192.0.2.1", "192.0.2.2"]);
        assert_eq!(dns.searches.last().unwrap(), "mine");
        assert_eq!(dns.options, ["ndots:2"]);
        assert_eq!(warnings.len(), 1);
    }
}
