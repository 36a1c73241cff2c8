//! `status.resources`: what the pod as a whole is held to. As upstream shows it: by the spec until the pod runs, then by
//! its cgroup.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Text;
use machinery::arith::quantity::Quantity;

use super::Facts;
use crate::pod::resources::{self, Amounts};
use crate::pod::spec::PodExt as _;

/// What cgroup v1 shows for memory without a limit: the largest number of whole pages.
const V1_UNLIMITED: i64 = 0x7fff_ffff_ffff_f000;
/// CPU shares and milli-cores below which the kernel's floor hides what was asked for.
const LEAST: i64 = 2;
/// The same of limits.
const LEAST_LIMIT: i64 = 10;

type List = BTreeMap<String, Text>;

/// Amounts as the API writes them.
pub(super) fn texts(amounts: Amounts) -> List {
    amounts
        .into_iter()
        .map(|(name, amount)| (name, Text(amount.to_string())))
        .collect()
}

/// The pod's resources in this phase.
pub(super) fn of_pod(facts: &Facts<'_>, phase: &str) -> Option<core::ResourceRequirements> {
    let pod = facts.pod;
    let (requests, limits) = (
        texts(resources::pod_requests(pod)),
        texts(resources::pod_limits(pod)),
    );
    let mut out = pod.spec().resources.clone().unwrap_or_default();
    if phase != "Running" {
        out.requests = Some(requests).filter(|l| !l.is_empty());
        out.limits = Some(limits).filter(|l| !l.is_empty());
        return Some(out);
    }
    let old = facts
        .old
        .resources
        .as_ref()
        .filter(|_| facts.old.phase.as_deref() == Some("Running"));
    let was = |list: Option<&List>, name: &str| list.and_then(|l| l.get(name)).cloned();
    let mut asked = out.requests.take().unwrap_or_default();
    let mut most = out.limits.take().unwrap_or_default();
    let millis = |list: &List, name: &str| resources::of(Some(list), name).unwrap_or_default().milli_value();
    let put = |list: &mut List, name: &str, value: Option<Text>| {
        if let Some(value) = value {
            list.insert(name.to_owned(), value);
        }
    };

    if let Some(shares) = facts.in_force.shares {
        let cpu = i64::try_from((shares * 1000).div_ceil(1024)).unwrap_or(i64::MAX);
        if cpu > LEAST || millis(&asked, "cpu") > LEAST {
            put(
                &mut asked,
                "cpu",
                Some(Text(Quantity::from_millis(cpu).to_string())),
            );
        }
    }
    if !asked.contains_key("memory") {
        put(&mut asked, "memory", was(Some(&requests), "memory"));
    }
    match facts.in_force.quota.filter(|(quota, _)| *quota > 0) {
        Some((quota, period)) => {
            let cpu = quota * 1000 / period.max(1);
            if cpu > LEAST_LIMIT || millis(&most, "cpu") > LEAST_LIMIT {
                put(
                    &mut most,
                    "cpu",
                    Some(Text(Quantity::from_millis(cpu).to_string())),
                );
            }
        }
        None => put(&mut most, "cpu", was(old.and_then(|o| o.limits.as_ref()), "cpu")),
    }
    let memory = match facts.in_force.memory.filter(|m| *m > 0) {
        Some(bytes) => Some(bytes),
        None if facts.cgroup2 => None,
        None => Some(V1_UNLIMITED),
    };
    match memory {
        Some(bytes) => put(
            &mut most,
            "memory",
            Some(Text(Quantity::from_bytes(bytes).to_string())),
        ),
        None => put(
            &mut most,
            "memory",
            was(old.and_then(|o| o.limits.as_ref()), "memory"),
        ),
    }
    out.requests = Some(asked).filter(|l| !l.is_empty());
    out.limits = Some(most).filter(|l| !l.is_empty());
    Some(out)
}
