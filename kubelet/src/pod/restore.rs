//! Pods that only the runtime knows: restored from labels and annotations as far as it takes to end them.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1 as core;

use super::spec::PodExt as _;
use crate::cri::{api, labels};

/// The pods of the runtime that are not `known` by uid.
#[must_use]
pub fn unknown(
    sandboxes: &[api::PodSandbox],
    containers: &[api::Container],
    known: impl Fn(&str) -> bool,
) -> Vec<core::Pod> {
    let mut pods: BTreeMap<String, core::Pod> = BTreeMap::new();
    for sandbox in sandboxes {
        let Some(uid) = sandbox.labels.get(labels::POD_UID).filter(|uid| !known(uid)) else {
            continue;
        };
        pods.entry(uid.clone()).or_insert_with(|| {
            let labels: BTreeMap<String, String> = sandbox.labels.clone().into_iter().collect();
            labels::restore(&labels, &sandbox.annotations).0
        });
    }
    for item in containers {
        let Some(uid) = item.labels.get(labels::POD_UID).filter(|uid| !known(uid)) else {
            continue;
        };
        let labels: BTreeMap<String, String> = item.labels.clone().into_iter().collect();
        let (bare, container) = labels::restore(&labels, &item.annotations);
        let pod = pods.entry(uid.clone()).or_insert_with(|| bare.clone());
        pod.metadata.deletion_grace_period_seconds = pod
            .metadata
            .deletion_grace_period_seconds
            .or(bare.metadata.deletion_grace_period_seconds);
        if let Some(spec) = pod.spec.as_mut() {
            let grace = bare.spec().termination_grace_period_seconds;
            spec.termination_grace_period_seconds = spec.termination_grace_period_seconds.or(grace);
            if !spec.containers.iter().any(|c| c.name == container.name) {
                spec.containers.push(container);
            }
        }
    }
    pods.into_values().collect()
}
