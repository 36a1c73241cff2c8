//! Pod statuses: what a pod's spec, its containers and its probes add up to, and the patch that tells the API.
//!
//! ```text
//! pod + observed + verdicts + old status -> generate -> settle -> patch::between(API's, ours) -> pods/status
//! ```

mod conditions;
mod containers;
mod in_force;
pub mod patch;
mod phase;
mod readiness;
mod settle;
mod terminate;
mod urgency;

use std::collections::BTreeMap;
use std::net::IpAddr;

use jiff::Timestamp;
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

pub use conditions::{condition, is_ready, owned as is_owned_condition};
pub use settle::settle;
pub use terminate::terminate;
pub use urgency::can_wait;

use crate::pod::observed::Observed;
use crate::pod::plan::ByContainer;
use crate::pod::resize;
use crate::pod::resources::{self, Qos};
use crate::pod::spec::{PodExt as _, from_ephemeral};

/// Why a container could not be started: the reason and message of its waiting state, by container name.
pub type Reasons = BTreeMap<String, (String, String)>;

/// What a status is made of.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The pod.
    pub pod: &'a core::Pod,
    /// What the runtime shows of it.
    pub seen: &'a Observed,
    /// Its last status.
    pub old: &'a core::PodStatus,
    /// Failed starts.
    pub reasons: &'a Reasons,
    /// What probes decided.
    pub verdicts: &'a ByContainer,
    /// The node's addresses, the primary one first.
    pub host_ips: &'a [IpAddr],
    /// The scheme of container ids: `containerd`.
    pub runtime: &'a str,
    /// The runtime makes mounts read-only with those below them.
    pub recursive_read_only: bool,
    /// What the pod's cgroup is limited to.
    pub in_force: &'a crate::cgroup::Limits,
    /// cgroup v2.
    pub cgroup2: bool,
    /// Resizes that wait or are being done.
    pub resize: &'a resize::Conditions,
    /// When this kubelet started: containers from before keep their readiness until a probe says otherwise.
    pub kubelet_started: Timestamp,
    /// Its containers are down for good: the phase becomes final.
    pub is_terminal: bool,
}

/// A reason that overrides what containers say (an eviction, a deadline, an admission failure).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// `status.reason`.
    pub reason: String,
    /// `status.message`.
    pub message: String,
}

/// The status, before [`settle`].
#[must_use]
pub fn generate(facts: &Facts<'_>, failed: Option<&Verdict>) -> core::PodStatus {
    let Facts { pod, seen, old, .. } = *facts;
    let mut status = core::PodStatus {
        qos_class: Some(Qos::of(pod).as_str().into()),
        observed_generation: pod.metadata.generation,
        start_time: old.start_time.clone(),
        ..Default::default()
    };
    // What others write there stays as the API has it.
    if let Some(theirs) = &pod.status {
        status.nominated_node_name = theirs.nominated_node_name.clone();
        status.resource_claim_statuses = theirs.resource_claim_statuses.clone();
        status.extended_resource_claim_status = theirs.extended_resource_claim_status.clone();
        status.node_allocatable_resource_claim_statuses =
            theirs.node_allocatable_resource_claim_statuses.clone();
        status.volume_health = theirs.volume_health.clone();
    }
    addresses(facts, &mut status);
    status.allocated_resources =
        Some(in_force::texts(resources::pod_requests(pod))).filter(|r| !r.is_empty());

    let app = containers::convert(
        facts,
        &pod.app().iter().collect::<Vec<_>>(),
        old.container_statuses.as_deref(),
        false,
    );
    let init = containers::convert(
        facts,
        &pod.init().iter().collect::<Vec<_>>(),
        old.init_container_statuses.as_deref(),
        true,
    );
    let ephemeral: Vec<core::Container> = pod
        .spec()
        .ephemeral_containers
        .iter()
        .flatten()
        .map(from_ephemeral)
        .collect();
    let ephemeral = containers::convert(
        facts,
        &ephemeral.iter().collect::<Vec<_>>(),
        old.ephemeral_container_statuses.as_deref(),
        false,
    );
    status.container_statuses = some(app);
    status.init_container_statuses = some(init);
    status.ephemeral_container_statuses = some(ephemeral);

    let all = || {
        let init = status.init_container_statuses.iter().flatten();
        init.chain(status.container_statuses.iter().flatten())
    };
    let by_name: BTreeMap<&str, &core::ContainerStatus> = all().map(|s| (s.name.as_str(), s)).collect();
    let initialized = pod.app().iter().any(|c| seen.active(&c.name).is_some());
    let mut phase = phase::of(pod, &by_name, facts.is_terminal, initialized);
    let known = pod.status.as_ref().and_then(|s| s.phase.as_deref());
    for earlier in [old.phase.as_deref(), known].into_iter().flatten() {
        if phase::is_final(earlier) && !phase::is_final(phase) {
            phase = if earlier == "Failed" {
                "Failed"
            } else {
                "Succeeded"
            };
        }
    }
    // Nothing is final while something runs.
    if phase::is_final(phase)
        && seen.running().next().is_some()
        && !old.phase.as_deref().is_some_and(phase::is_final)
    {
        phase = if old.phase.as_deref() == Some("Running") {
            "Running"
        } else {
            "Pending"
        };
    }
    if old.phase.as_deref() == Some(phase) {
        status.reason = old.reason.clone();
        status.message = old.message.clone();
    }
    if let Some(failed) = failed {
        phase = "Failed";
        status.reason = Some(failed.reason.clone());
        status.message = Some(failed.message.clone());
    }
    status.phase = Some(phase.into());
    status.resources = in_force::of_pod(facts, phase);

    readiness::apply(facts, &mut status);
    status.conditions = Some(conditions::all(facts, &status));
    status
}

/// The status of a pod that was not admitted.
#[must_use]
pub fn rejected(pod: &core::Pod, verdict: &Verdict) -> core::PodStatus {
    let theirs = pod.status.iter().flat_map(|s| s.conditions.iter().flatten());
    let conditions = theirs
        .filter(|c| !is_owned_condition(&c.type_))
        .cloned()
        .collect();
    core::PodStatus {
        phase: Some("Failed".into()),
        reason: Some(verdict.reason.clone()),
        message: Some(verdict.message.clone()),
        observed_generation: pod.metadata.generation,
        qos_class: Some(Qos::of(pod).as_str().into()),
        conditions: some(conditions),
        ..Default::default()
    }
}

/// Host and pod addresses. Those of a host-network pod are the node's, and stay once set; any other pod keeps those of its
/// last sandbox when that has ended: who looks at a finished pod wants to know which address it had.
fn addresses(facts: &Facts<'_>, status: &mut core::PodStatus) {
    let Facts {
        pod,
        seen,
        old,
        host_ips,
        ..
    } = *facts;
    if let Some(first) = host_ips.first() {
        status.host_ip = Some(first.to_string());
        status.host_ips = Some(
            host_ips
                .iter()
                .take(2)
                .map(|ip| core::HostIP { ip: ip.to_string() })
                .collect(),
        );
    }
    let before = || {
        old.pod_ips
            .iter()
            .flatten()
            .map(|p| p.ip.clone())
            .collect::<Vec<_>>()
    };
    let mut ips: Vec<String> = if pod.host_network() {
        let ips = before();
        if ips.is_empty() {
            host_ips.first().map(ToString::to_string).into_iter().collect()
        } else {
            ips
        }
    } else if let Some(sandbox) = seen.active_sandbox() {
        by_preference(&sandbox.ips, host_ips)
    } else {
        before()
    };
    if pod.host_network()
        && let (1, Some(second)) = (ips.len(), host_ips.get(1))
        && ips[0]
            .parse()
            .is_ok_and(|first: IpAddr| first.is_ipv4() != second.is_ipv4())
    {
        ips.push(second.to_string());
    }
    status.pod_ip = ips.first().cloned();
    status.pod_ips = some(ips.into_iter().map(|ip| core::PodIP { ip }).collect());
}

/// One address of the node's primary family, then one of the other.
fn by_preference(ips: &[IpAddr], host_ips: &[IpAddr]) -> Vec<String> {
    let v4_first = host_ips
        .first()
        .or_else(|| ips.first())
        .is_none_or(IpAddr::is_ipv4);
    let of = |v4: bool| ips.iter().find(|ip| ip.is_ipv4() == v4).map(ToString::to_string);
    [of(v4_first), of(!v4_first)].into_iter().flatten().collect()
}

/// The addresses that a pod's status shows, for hosts files and environments.
#[must_use]
pub fn pod_ips(seen: &Observed, pod: &core::Pod, host_ips: &[IpAddr]) -> Vec<IpAddr> {
    if pod.host_network() {
        return host_ips.iter().take(2).copied().collect();
    }
    let ips = seen
        .active_sandbox()
        .map(|s| s.ips.as_slice())
        .unwrap_or_default();
    by_preference(ips, host_ips)
        .iter()
        .filter_map(|ip| ip.parse().ok())
        .collect()
}

/// A time as the API keeps it: whole seconds.
#[must_use]
pub fn time(t: Timestamp) -> Time {
    Time(Timestamp::from_second(t.as_second()).unwrap_or(t))
}

fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}

#[cfg(test)]
mod tests;
