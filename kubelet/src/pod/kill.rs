//! Stops containers: preStop hook, then SIGTERM, then SIGKILL; app containers before sidecars, sidecars last first.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::join_all;
use k8s_openapi::api::core::v1 as core;
use tokio::sync::watch;
use tracing::{debug, info};

use super::events::About;
use super::hook::{self, Hooked};
use super::observed::{Container, Observed};
use super::plan::KillReason;
use super::shared::Shared;
use super::spec::{Kind, PodExt as _, is_sidecar};
use crate::cri::CriError;

/// Seconds that every container gets, so that SIGTERM comes before SIGKILL.
const LEAST: i64 = 2;

/// How to stop.
#[derive(Clone, Copy, Debug)]
pub struct How<'a> {
    /// Seconds, whatever the pod says.
    pub grace: Option<i64>,
    /// Why.
    pub reason: KillReason,
    /// For the event; empty for the usual words.
    pub message: &'a str,
    /// The preStop hook has been run before.
    pub hooks_done: bool,
}

/// The usual way.
pub const USUAL: How<'static> = How {
    grace: None,
    reason: KillReason::Other,
    message: "",
    hooks_done: false,
};

/// Seconds a container gets by the pod, the reason and its probes.
#[must_use]
pub fn grace(pod: &core::Pod, container: &core::Container, reason: KillReason) -> i64 {
    if let Some(seconds) = pod.metadata.deletion_grace_period_seconds {
        return seconds;
    }
    let Some(pods) = pod.spec().termination_grace_period_seconds else {
        return LEAST;
    };
    let probe = match reason {
        KillReason::Startup => container.startup_probe.as_ref(),
        KillReason::Liveness => container.liveness_probe.as_ref(),
        KillReason::PostStart | KillReason::Other => None,
    };
    probe
        .and_then(|p| p.termination_grace_period_seconds)
        .unwrap_or(pods)
}

/// Stops one container; `turn`: waits, within the grace period, until others have gone.
///
/// # Errors
/// When the runtime cannot stop it.
pub async fn container(
    shared: &Shared,
    pod: &core::Pod,
    running: &Container,
    pod_ip: Option<IpAddr>,
    how: How<'_>,
    turn: impl Future<Output = ()>,
) -> Result<(), CriError> {
    let (kind, spec) = pod.container(&running.name).unwrap_or_else(|| {
        (
            Kind::App,
            core::Container {
                name: running.name.to_string(),
                ..Default::default()
            },
        )
    });
    let mut left = grace(pod, &spec, how.reason);
    let about = About::pod(&shared.node.events, pod).container(kind, &spec.name);
    if !how.hooks_done {
        let message = if how.message.is_empty() {
            format!("Stopping container {}", spec.name)
        } else {
            how.message.to_owned()
        };
        about.normal("Killing", message);
    }
    if let Some(seconds) = how.grace {
        left = seconds;
    }
    let hook = spec
        .lifecycle
        .as_ref()
        .and_then(|l| l.pre_stop.as_ref())
        .filter(|_| !how.hooks_done && left > 0);
    if let Some(hook) = hook {
        let begun = Instant::now();
        let on = Hooked {
            pod,
            container: &spec,
            id: &running.id,
            pod_ip,
        };
        match tokio::time::timeout(seconds(left), hook::run(&shared.node.cri, hook, on)).await {
            Ok(Ok(())) => {}
            Ok(Err(why)) => {
                debug!(pod = pod.full(), container = spec.name, %why, "preStop hook");
                about.warning("FailedPreStopHook", "PreStopHook failed");
            }
            Err(_) => info!(
                pod = pod.full(),
                container = spec.name,
                "preStop hook took the whole grace period"
            ),
        }
        left -= i64::try_from(begun.elapsed().as_secs()).unwrap_or(i64::MAX);
    }
    if left > 0 {
        let begun = Instant::now();
        let _ = tokio::time::timeout(seconds(left), turn).await;
        left -= i64::try_from(begun.elapsed().as_secs()).unwrap_or(i64::MAX);
    }
    shared.node.cri.stop_container(&running.id, left.max(LEAST)).await
}

fn seconds(n: i64) -> Duration {
    Duration::from_secs(u64::try_from(n).unwrap_or_default())
}

/// Stops everything of a pod: its containers, then its sandboxes.
///
/// # Errors
/// The first that would not stop; the others are stopped all the same.
pub async fn pod(
    shared: &Shared,
    pod: &core::Pod,
    seen: &Observed,
    pod_ip: Option<IpAddr>,
    how: How<'_>,
) -> Result<(), CriError> {
    let stopped = containers(shared, pod, seen, pod_ip, how).await;
    let sandboxes = sandboxes(shared, seen).await;
    stopped.and(sandboxes)
}

/// Stops a pod's sandboxes, and with them its network.
///
/// # Errors
/// As [`pod`].
pub async fn sandboxes(shared: &Shared, seen: &Observed) -> Result<(), CriError> {
    let results = join_all(seen.sandboxes.iter().map(|s| shared.node.cri.stop_sandbox(&s.id))).await;
    results.into_iter().collect()
}

/// Stops a pod's containers.
///
/// # Errors
/// As [`pod`].
pub async fn containers(
    shared: &Shared,
    pod: &core::Pod,
    seen: &Observed,
    pod_ip: Option<IpAddr>,
    how: How<'_>,
) -> Result<(), CriError> {
    // Wave 0: app containers; then sidecars, the last one first.
    let mut waves = vec![0_usize; 1 + pod.init().len()];
    let running: Vec<(&Container, Option<usize>)> = seen
        .running()
        .map(|c| {
            let app = pod.app().iter().any(|s| *s.name == *c.name);
            let sidecar = pod
                .init()
                .iter()
                .rev()
                .position(|s| *s.name == *c.name && is_sidecar(s));
            let wave = if app { Some(0) } else { sidecar.map(|n| n + 1) };
            (c, wave)
        })
        .collect();
    for wave in running.iter().filter_map(|(_, wave)| *wave) {
        if let Some(count) = waves.get_mut(wave) {
            *count += 1;
        }
    }
    let (left, _) = watch::channel(waves);
    let left = Arc::new(left);
    let results = join_all(running.into_iter().map(|(c, wave)| {
        let mut others = left.subscribe();
        let left = Arc::clone(&left);
        async move {
            let turn = async {
                if let Some(wave) = wave {
                    let _ = others.wait_for(|w| w.iter().take(wave).all(|n| *n == 0)).await;
                }
            };
            let result = container(shared, pod, c, pod_ip, how, turn).await;
            if let Some(wave) = wave {
                left.send_modify(|w| {
                    if let Some(count) = w.get_mut(wave) {
                        *count = count.saturating_sub(1);
                    }
                });
            }
            result
        }
    }))
    .await;
    results.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deletion_comes_before_the_probe_before_the_pod() {
        let probe = core::Probe {
            termination_grace_period_seconds: Some(5),
            ..Default::default()
        };
        let container = core::Container {
            liveness_probe: Some(probe),
            ..Default::default()
        };
        let mut pod = core::Pod {
            spec: Some(core::PodSpec {
                termination_grace_period_seconds: Some(30),
                ..Default::default()
            }),
            ..Default::default()
        };
        assert_eq!(grace(&pod, &container, KillReason::Other), 30);
        assert_eq!(grace(&pod, &container, KillReason::Liveness), 5);
        pod.metadata.deletion_grace_period_seconds = Some(1);
        assert_eq!(grace(&pod, &container, KillReason::Liveness), 1);
    }
}
