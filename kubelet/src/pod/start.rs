//! Starts one container: image, configuration, create, start, postStart hook.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1 as core;

use super::events::About;
use super::files;
use super::hook::{self, Hooked};
use super::kill::{self, How};
use super::observed::{Container, Observed, RunState};
use super::plan::{KillReason, Start};
use super::resize;
use super::shared::Shared;
use super::spec::{Kind, PodExt as _};
use crate::context::PodRef;
use crate::cri::api::{Mount, PodSandboxConfig};
use crate::cri::container::{self, Attempt};
use crate::cri::observe;
use crate::cri::sandbox;
use crate::cri::security::Defaults;
use crate::image::Missing;
use crate::volume::PodVolumes;

/// Why a container could not be started: what its status will say.
#[derive(Clone, Debug)]
pub struct Failed {
    /// The reason of its waiting state.
    pub reason: &'static str,
    /// Its message.
    pub message: String,
    /// When to try again, if not by the pod's own rhythm.
    pub retry: Option<Instant>,
}

/// Where a container is started.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    /// The pod.
    pub pod: &'a PodRef,
    /// The sandbox's id.
    pub sandbox: &'a str,
    /// Its configuration.
    pub config: &'a PodSandboxConfig,
    /// The runtime handler.
    pub handler: &'a str,
    /// The pod's addresses.
    pub ips: &'a [IpAddr],
    /// The pod's volumes.
    pub volumes: &'a PodVolumes,
    /// What the runtime shows.
    pub seen: &'a Observed,
}

/// Starts a container; its id.
///
/// # Errors
/// What stands in its way.
pub async fn start(
    shared: &Shared,
    place: Place<'_>,
    which: Start,
    spec: &core::Container,
) -> Result<String, Failed> {
    let Place { pod, seen, .. } = place;
    let about = About::pod(&shared.node.events, pod).container(which.kind, &spec.name);
    let fail = |reason: &'static str, message: String| {
        about.warning("Failed", format!("Error: {message}"));
        Failed {
            reason,
            message,
            retry: None,
        }
    };
    let missing = |missing: Missing| {
        about.warning("Failed", format!("Error: {}", missing.reason));
        Failed {
            reason: missing.reason,
            message: missing.message,
            retry: missing.retry,
        }
    };
    let image = shared
        .images
        .ensure(
            &about,
            spec.image.as_deref().unwrap_or_default(),
            spec.image_pull_policy.as_deref(),
            place.config,
            place.handler,
        )
        .await
        .map_err(missing)?;
    let volume_images = volume_images(shared, place, spec).await.map_err(missing)?;

    let logs = shared.node.paths.pod_log(pod.namespace(), pod.name(), pod.uid());
    let latest = seen.latest(&spec.name);
    if let Some(unstarted) = latest.filter(|last| last.state == RunState::Created) {
        clear(shared, unstarted).await?;
    }
    let restart_count = latest
        .map(restarts_after)
        .unwrap_or_else(|| files::restarts_by_logs(&logs.join(&spec.name)));
    let config_error = |message: String| fail("CreateContainerConfigError", message);
    let target = target(pod, which, seen).map_err(config_error)?;
    let (env, mut mounts) = env_and_mounts(shared, place, spec).await.map_err(config_error)?;
    for image in mounts.iter_mut().filter_map(|mount| mount.image.as_mut()) {
        if let Some(here) = volume_images.get(&image.image) {
            image.user_specified_image = std::mem::replace(&mut image.image, here.clone());
            image.runtime_handler = place.handler.to_owned();
        }
    }
    let attempt = Attempt {
        restart_count,
        image_ref: &image.id,
        image_user: &image.user,
        env,
        mounts,
        target: target.as_deref(),
    };
    let seccomp_root = shared.node.paths.root.join("seccomp");
    let defaults = Defaults {
        seccomp_runtime_default: shared.node.config.seccomp_default,
        seccomp_root: &seccomp_root,
    };
    let config = container::config(pod, spec, attempt, &shared.limits, &defaults).map_err(config_error)?;
    let log = logs.join(&config.log_path);
    let cri = &shared.node.cri;
    let id = cri
        .create_container(place.sandbox, config, place.config.clone())
        .await
        .map_err(|error| fail("CreateContainerError", error.message()))?;
    about.normal("Created", "Container created");
    if let Err(error) = cri.start_container(&id).await {
        return Err(fail(
            "RunContainerError",
            error.message().replace(&id, &spec.name),
        ));
    }
    about.normal("Started", "Container started");
    resize::actuate::started(shared, pod, which, spec);
    files::link_log(&shared.node.paths, pod, &spec.name, &id, &log);
    post_start(shared, place, which, spec, &id).await?;
    Ok(id)
}

/// The restarts before the attempt after this one. One that was made and never started, as when a kubelet dies in between, was
/// no attempt yet.
fn restarts_after(last: &Container) -> u32 {
    last.restart_count + u32::from(last.state != RunState::Created)
}

/// Removes a container that was never started. The start that a kubelet before this one asked for may still be under way.
async fn clear(shared: &Shared, unstarted: &Container) -> Result<(), Failed> {
    const SOON: Duration = Duration::from_millis(200);
    let (cri, id) = (&shared.node.cri, &*unstarted.id);
    let remove = async {
        match observe::read(cri, id, &unstarted.sandbox).await? {
            Some(now) if now.state != RunState::Created => Ok(false),
            Some(_) => cri.remove_container(id).await.map(|()| true),
            None => Ok(true),
        }
    };
    let message = match remove.await {
        Ok(true) => return Ok(()),
        Ok(false) => format!("container {id} has just been started"),
        Err(error) => format!(
            "removing container {id}, which was never started: {}",
            error.message()
        ),
    };
    tracing::info!(%message, "looking again");
    Err(Failed {
        reason: "ContainerCreating",
        message,
        retry: Some(Instant::now() + SOON),
    })
}

/// Makes sure that the images which the container mounts are here: their ids, by the names that the pod gives them.
async fn volume_images(
    shared: &Shared,
    place: Place<'_>,
    spec: &core::Container,
) -> Result<BTreeMap<String, String>, Missing> {
    let about = About::pod(&shared.node.events, place.pod);
    let mut here = BTreeMap::new();
    for volume in place.pod.spec().volumes.iter().flatten() {
        let mounted = spec.volume_mounts.iter().flatten().any(|m| m.name == volume.name);
        let Some(source) = volume.image.as_ref().filter(|_| mounted) else {
            continue;
        };
        let (reference, policy) = (source.reference.as_deref(), source.pull_policy.as_deref());
        let reference = reference.unwrap_or_default();
        let image = shared
            .images
            .ensure(&about, reference, policy, place.config, place.handler)
            .await?;
        here.insert(reference.to_owned(), image.id);
    }
    Ok(here)
}

/// The hook runs beside the container's own start; if it fails the container goes.
async fn post_start(
    shared: &Shared,
    place: Place<'_>,
    which: Start,
    spec: &core::Container,
    id: &str,
) -> Result<(), Failed> {
    let Some(hook) = spec.lifecycle.as_ref().and_then(|l| l.post_start.as_ref()) else {
        return Ok(());
    };
    let on = Hooked {
        pod: place.pod,
        container: spec,
        id,
        pod_ip: place.ips.first().copied(),
    };
    let Err(message) = hook::run(&shared.node.cri, hook, on).await else {
        return Ok(());
    };
    About::pod(&shared.node.events, place.pod)
        .container(which.kind, &spec.name)
        .warning("FailedPostStartHook", "PostStartHook failed");
    let running = Container {
        id: id.into(),
        name: spec.name.as_str().into(),
        ..Default::default()
    };
    let how = How {
        grace: None,
        reason: KillReason::PostStart,
        message: "FailedPostStartHook",
        hooks_done: false,
    };
    let ip = place.ips.first().copied();
    if let Err(error) = kill::container(shared, place.pod, &running, ip, how, std::future::ready(())).await {
        tracing::warn!(pod = place.pod.full(), container = spec.name, %error, "stopping after a failed postStart hook");
    }
    Err(Failed {
        reason: "PostStartHookError",
        message,
        retry: Some(Instant::now() + Duration::from_millis(100)),
    })
}

/// The container whose processes an ephemeral container sees.
fn target(pod: &core::Pod, which: Start, seen: &Observed) -> Result<Option<String>, String> {
    if which.kind != Kind::Ephemeral {
        return Ok(None);
    }
    let ephemeral = pod
        .spec()
        .ephemeral_containers
        .as_ref()
        .and_then(|l| l.get(which.index));
    match ephemeral
        .and_then(|e| e.target_container_name.as_deref())
        .filter(|n| !n.is_empty())
    {
        None => Ok(None),
        Some(name) => match seen.latest(name) {
            Some(found) => Ok(Some(found.id.to_string())),
            None => Err(format!("unable to find target container {name}")),
        },
    }
}

/// A container's environment.
type Env = Vec<(String, String)>;

async fn env_and_mounts(
    shared: &Shared,
    place: Place<'_>,
    spec: &core::Container,
) -> Result<(Env, Vec<Mount>), String> {
    let Place {
        pod, ips, volumes, ..
    } = place;
    let env = shared
        .environments
        .resolve(pod, spec, ips, volumes)
        .await
        .map_err(|e| e.to_string())?;
    let mut mounts = shared
        .volumes
        .container_mounts(pod, spec, volumes, &env)
        .await
        .map_err(|e| e.to_string())?;
    let paths = &shared.node.paths;
    let (hostname, domain) = sandbox::hostname_and_domain(pod, &shared.node.config.cluster_domain)?;
    let hosts = files::hosts_mount(paths, pod, spec, ips, &hostname, &domain).map_err(|e| e.to_string())?;
    mounts.extend(hosts);
    mounts.extend(files::container_files(paths, pod, spec).map_err(|e| e.to_string())?);
    Ok((env, mounts))
}

/// The log file of a container's attempt.
#[must_use]
pub fn log_file(folder: &Path, container: &str, attempt: u32) -> Arc<str> {
    folder
        .join(container)
        .join(format!("{attempt}.log"))
        .to_string_lossy()
        .as_ref()
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_that_never_ran_is_no_restart() {
        let last = |state| Container {
            id: "c1".into(),
            state,
            restart_count: 2,
            ..Container::default()
        };
        for (latest, want) in [
            (None, None),
            (Some(last(RunState::Created)), Some(2)),
            (Some(last(RunState::Exited)), Some(3)),
            (Some(last(RunState::Unknown)), Some(3)),
        ] {
            assert_eq!(latest.as_ref().map(restarts_after), want, "{latest:?}");
        }
    }
}
