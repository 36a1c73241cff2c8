//! The sandbox configuration of a pod: pure.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use k8s_openapi::api::core::v1 as core;

use super::api::{
    Int64Value, LinuxPodSandboxConfig, LinuxSandboxSecurityContext, PodSandboxConfig, PodSandboxMetadata,
    PortMapping, Protocol, security_profile::ProfileType,
};
use super::dns::Resolver;
use super::limits::{self, NodeLimits};
use super::{dns, labels, namespaces, security};
use crate::pod::spec::PodExt as _;

/// What the node brings to every sandbox.
#[derive(Clone, Copy, Debug)]
pub struct NodeFacts<'a> {
    /// DNS.
    pub resolver: &'a Resolver,
    /// `defaultPodSysctls`.
    pub sysctls: &'a std::collections::BTreeMap<String, String>,
    /// Machine sizes.
    pub limits: &'a NodeLimits,
    /// Where this pod's logs go.
    pub log_directory: &'a Path,
    /// The pod's cgroup.
    pub cgroup_parent: &'a str,
}

/// The configuration, with warnings for events.
///
/// # Errors
/// When the pod's host name or groups policy cannot be had (upstream's words).
pub fn config(
    pod: &core::Pod,
    attempt: u32,
    node: NodeFacts<'_>,
) -> Result<(PodSandboxConfig, Vec<String>), String> {
    let (dns, warnings) = dns::of_pod(pod, node.resolver);
    let hostname = if pod.host_network() {
        String::new()
    } else {
        kernel_hostname(pod, &node.resolver.domain)?
    };
    let (resources, overhead) = limits::of_sandbox(pod, node.limits);
    let psc = pod.spec().security_context.as_ref();
    let mut groups: Vec<i64> = psc.and_then(|p| p.fs_group).into_iter().collect();
    groups.extend(psc.iter().flat_map(|p| p.supplemental_groups.iter().flatten()));
    let security_context = LinuxSandboxSecurityContext {
        privileged: pod
            .init()
            .iter()
            .chain(pod.app())
            .any(|c| c.security_context.as_ref().and_then(|s| s.privileged) == Some(true)),
        seccomp: Some(security::profile(ProfileType::RuntimeDefault, "")),
        namespace_options: Some(namespaces::of_pod(pod)),
        run_as_user: psc.and_then(|p| p.run_as_user).map(|value| Int64Value { value }),
        run_as_group: psc.and_then(|p| p.run_as_group).map(|value| Int64Value { value }),
        supplemental_groups: groups,
        supplemental_groups_policy: security::groups_policy(psc)? as i32,
        selinux_options: psc
            .and_then(|p| p.se_linux_options.as_ref())
            .map(security::selinux_option),
        ..Default::default()
    };
    let config = PodSandboxConfig {
        metadata: Some(PodSandboxMetadata {
            name: pod.name().to_owned(),
            uid: pod.uid().to_owned(),
            namespace: pod.namespace().to_owned(),
            attempt,
        }),
        hostname,
        log_directory: node.log_directory.to_string_lossy().into_owned(),
        dns_config: Some(dns),
        port_mappings: port_mappings(pod),
        labels: labels::of_sandbox(pod),
        annotations: labels::sandbox_annotations(pod),
        linux: Some(LinuxPodSandboxConfig {
            cgroup_parent: node.cgroup_parent.to_owned(),
            security_context: Some(security_context),
            sysctls: sysctls(pod, node.sysctls),
            overhead: Some(overhead),
            resources: Some(resources),
        }),
        ..Default::default()
    };
    Ok((config, warnings))
}

/// The pod's host name and, where it has a subdomain, its domain.
///
/// # Errors
/// When nothing is left of the name after it is cut to 63 characters.
pub fn hostname_and_domain(pod: &core::Pod, cluster_domain: &str) -> Result<(String, String), String> {
    let spec = pod.spec();
    if let Some(name) = spec.hostname_override.as_deref() {
        return Ok((cut(name, pod)?, String::new()));
    }
    let name = spec
        .hostname
        .as_deref()
        .filter(|h| !h.is_empty())
        .unwrap_or_else(|| pod.name());
    let domain = match spec.subdomain.as_deref() {
        Some(sub) if !sub.is_empty() => format!("{sub}.{}.svc.{cluster_domain}", pod.namespace()),
        _ => String::new(),
    };
    Ok((cut(name, pod)?, domain))
}

fn cut(name: &str, pod: &core::Pod) -> Result<String, String> {
    if name.len() <= 63 {
        return Ok(name.to_owned());
    }
    let cut = name.get(..63).unwrap_or(name).trim_end_matches(['-', '.']);
    if cut.is_empty() {
        return Err(format!("hostname for pod {:?} was invalid: {name:?}", pod.name()));
    }
    Ok(cut.to_owned())
}

fn kernel_hostname(pod: &core::Pod, cluster_domain: &str) -> Result<String, String> {
    let (name, domain) = hostname_and_domain(pod, cluster_domain)?;
    if domain.is_empty() || pod.spec().set_hostname_as_fqdn != Some(true) {
        return Ok(name);
    }
    let fqdn = format!("{name}.{domain}");
    if fqdn.len() > 64 {
        return Err(format!(
            "failed to construct FQDN from pod hostname and cluster domain, FQDN {fqdn} is too long \
             (64 characters is the max, {} characters requested)",
            fqdn.len()
        ));
    }
    Ok(fqdn)
}

fn port_mappings(pod: &core::Pod) -> Vec<PortMapping> {
    let mut out = Vec::new();
    for container in pod.app() {
        let mut seen = HashSet::new();
        for port in container.ports.iter().flatten() {
            let protocol = port.protocol.as_deref().unwrap_or("TCP");
            let host_ip = port.host_ip.clone().unwrap_or_default();
            let name = port.name.clone().filter(|n| !n.is_empty()).unwrap_or_else(|| {
                let family = match host_ip.as_str() {
                    "" => "any",
                    ip if ip.contains(':') => "v6",
                    _ => "v4",
                };
                let host_port = port.host_port.unwrap_or_default();
                format!(
                    "{family}-{protocol}-{host_ip}:{}:{host_port}",
                    port.container_port
                )
            });
            if !seen.insert(name) {
                continue;
            }
            let protocol = match protocol {
                "UDP" => Protocol::Udp,
                "SCTP" => Protocol::Sctp,
                _ => Protocol::Tcp,
            };
            out.push(PortMapping {
                protocol: protocol as i32,
                container_port: port.container_port,
                host_port: port.host_port.unwrap_or_default(),
                host_ip,
            });
        }
    }
    out
}

/// The node's default sysctls where the pod has the namespace they are of, then the pod's own, names with dots.
fn sysctls(
    pod: &core::Pod,
    defaults: &std::collections::BTreeMap<String, String>,
) -> HashMap<String, String> {
    const IPC: [&str; 8] = [
        "kernel.msgmax",
        "kernel.msgmnb",
        "kernel.msgmni",
        "kernel.sem",
        "kernel.shmall",
        "kernel.shmmax",
        "kernel.shmmni",
        "kernel.shm_rmid_forced",
    ];
    let spec = pod.spec();
    let mut out = HashMap::new();
    for (name, value) in defaults {
        let name = with_dots(name);
        let applies = if IPC.contains(&name.as_str()) || name.starts_with("fs.mqueue.") {
            spec.host_ipc != Some(true)
        } else if name.starts_with("net.") {
            spec.host_network != Some(true)
        } else if name.starts_with("user.") {
            spec.host_users == Some(false)
        } else {
            name == "kernel.domainname" && spec.host_network != Some(true)
        };
        if applies {
            out.insert(name, value.clone());
        }
    }
    for own in spec
        .security_context
        .iter()
        .flat_map(|s| s.sysctls.iter().flatten())
    {
        out.insert(with_dots(&own.name), own.value.clone());
    }
    out
}

/// A sysctl's name with dots between its parts; with slashes as separators, dots are part of a name and trade places.
#[must_use]
pub fn with_dots(name: &str) -> String {
    match name.find(['.', '/']) {
        Some(at) if name.get(at..=at) == Some("/") => name
            .chars()
            .map(|c| match c {
                '/' => '.',
                '.' => '/',
                c => c,
            })
            .collect(),
        _ => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(spec: core::PodSpec) -> core::Pod {
        let mut pod = core::Pod {
            spec: Some(spec),
            ..Default::default()
        };
        pod.metadata.name = Some("web-0".into());
        pod.metadata.namespace = Some("ns".into());
        pod.metadata.uid = Some("u".into());
        pod
    }

    #[test]
    fn host_names() {
        let long = "a".repeat(62) + "-bcd";
        for (spec, expected) in [
            (core::PodSpec::default(), "web-0"),
            (
                core::PodSpec {
                    hostname: Some("h".into()),
                    subdomain: Some("s".into()),
                    ..Default::default()
                },
                "h",
            ),
            (
                core::PodSpec {
                    hostname: Some("h".into()),
                    subdomain: Some("s".into()),
                    set_hostname_as_fqdn: Some(true),
                    ..Default::default()
                },
                "h.s.ns.svc.cluster.local",
            ),
            (
                core::PodSpec {
                    hostname: Some(long),
                    ..Default::default()
                },
                &"a".repeat(62),
            ),
            (
                core::PodSpec {
                    hostname_override: Some("x.y".into()),
                    ..Default::default()
                },
                "x.y",
            ),
        ] {
            assert_eq!(kernel_hostname(&pod(spec), "cluster.local").unwrap(), expected);
        }
    }

    #[test]
    fn sysctl_names_take_either_separator() {
        assert_eq!(
            with_dots("net/ipv4/conf/eth0.1/forwarding"),
            "net.ipv4.conf.eth0/1.forwarding"
        );
        assert_eq!(with_dots("net.ipv4.ip_forward"), "net.ipv4.ip_forward");
    }

    #[test]
    fn ports_are_mapped_once() {
        let port = |name: &str, number| core::ContainerPort {
            name: Some(name.into()),
            container_port: number,
            protocol: Some("UDP".into()),
            ..Default::default()
        };
        let pod = pod(core::PodSpec {
            containers: vec![core::Container {
                ports: Some(vec![port("a", 1), port("a", 2), port("", 3)]),
                ..Default::default()
            }],
            ..Default::default()
        });
        let mapped: Vec<i32> = port_mappings(&pod).iter().map(|m| m.container_port).collect();
        assert_eq!(mapped, [1, 3]);
    }
}
