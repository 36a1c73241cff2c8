//! The API server's defaults for pods that never pass one: static pods. Pure.

use k8s_openapi::api::core::v1 as core;

/// Fills in what a file leaves out.
pub fn pod(pod: &mut core::Pod) {
    let spec = pod.spec.get_or_insert_default();
    default(&mut spec.restart_policy, "Always");
    default(&mut spec.dns_policy, "ClusterFirst");
    default(&mut spec.scheduler_name, "default-scheduler");
    spec.termination_grace_period_seconds.get_or_insert(30);
    spec.enable_service_links.get_or_insert(true);
    spec.security_context.get_or_insert_default();
    let host_network = spec.host_network == Some(true);
    for c in spec
        .init_containers
        .iter_mut()
        .flatten()
        .chain(spec.containers.iter_mut())
    {
        container(c, host_network);
    }
    for volume in spec.volumes.iter_mut().flatten() {
        self::volume(volume);
    }
    for toleration in spec.tolerations.iter_mut().flatten() {
        default(&mut toleration.operator, "Equal");
    }
}

fn container(c: &mut core::Container, host_network: bool) {
    default(&mut c.termination_message_path, "/dev/termination-log");
    default(&mut c.termination_message_policy, "File");
    let image = c.image.clone().unwrap_or_default();
    let last = image.rsplit('/').next().unwrap_or_default();
    let latest = !image.contains('@') && (last.ends_with(":latest") || !last.contains(':'));
    default(
        &mut c.image_pull_policy,
        if latest { "Always" } else { "IfNotPresent" },
    );
    for port in c.ports.iter_mut().flatten() {
        default(&mut port.protocol, "TCP");
        if host_network {
            port.host_port.get_or_insert(port.container_port);
        }
    }
    if let Some(resources) = c.resources.as_mut()
        && let Some(limits) = resources.limits.clone()
    {
        let requests = resources.requests.get_or_insert_default();
        for (name, amount) in limits {
            requests.entry(name).or_insert(amount);
        }
    }
    for probe in [
        &mut c.liveness_probe,
        &mut c.readiness_probe,
        &mut c.startup_probe,
    ]
    .into_iter()
    .flatten()
    {
        probe.timeout_seconds.get_or_insert(1);
        probe.period_seconds.get_or_insert(10);
        probe.success_threshold.get_or_insert(1);
        probe.failure_threshold.get_or_insert(3);
        if let Some(get) = probe.http_get.as_mut() {
            http(get);
        }
    }
    if let Some(lifecycle) = c.lifecycle.as_mut() {
        for hook in [&mut lifecycle.post_start, &mut lifecycle.pre_stop]
            .into_iter()
            .flatten()
        {
            if let Some(get) = hook.http_get.as_mut() {
                http(get);
            }
        }
    }
    for env in c.env.iter_mut().flatten() {
        if let Some(field) = env.value_from.as_mut().and_then(|v| v.field_ref.as_mut()) {
            default(&mut field.api_version, "v1");
        }
    }
}

fn http(get: &mut core::HTTPGetAction) {
    default(&mut get.path, "/");
    default(&mut get.scheme, "HTTP");
}

fn volume(volume: &mut core::Volume) {
    if let Some(host) = volume.host_path.as_mut() {
        host.type_.get_or_insert_default();
    }
    if let Some(map) = volume.config_map.as_mut() {
        map.default_mode.get_or_insert(0o644);
    }
    if let Some(secret) = volume.secret.as_mut() {
        secret.default_mode.get_or_insert(0o644);
    }
    if let Some(api) = volume.downward_api.as_mut() {
        api.default_mode.get_or_insert(0o644);
    }
    if let Some(projected) = volume.projected.as_mut() {
        projected.default_mode.get_or_insert(0o644);
        for source in projected.sources.iter_mut().flatten() {
            if let Some(token) = source.service_account_token.as_mut() {
                token.expiration_seconds.get_or_insert(3600);
            }
        }
    }
}

fn default(field: &mut Option<String>, value: &str) {
    if field.as_deref().unwrap_or_default().is_empty() {
        *field = Some(value.to_owned());
    }
}
