//! Which nodes get a pod, and which pods go.

use super::failures::Failures;
use super::placement::{Placement, Verdict};
use super::template::{POD_GENERATION, generation};
use crate::api::{DaemonSet, DaemonSetStrategy, Node, Phase, Pod};
use crate::history::REVISION_HASH;
use jiff::Timestamp;
use machinery::meta::Istr;
use rustc_hash::FxHashMap;
use std::cmp::Ordering;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A DaemonSet and the world as it is seen.
pub struct Observed<'a> {
    pub set: &'a DaemonSet,
    /// The hash of the current revision.
    pub hash: &'a str,
    pub placement: &'a Placement,
    pub nodes: &'a [Arc<Node>],
    /// The set's pods by the node that each is on or meant for.
    pub pods: &'a FxHashMap<Istr, Vec<Arc<Pod>>>,
    pub now: Timestamp,
}

/// What is to be done.
#[derive(Debug, Default)]
pub struct Plan {
    /// Nodes that get a pod.
    pub create: Vec<Istr>,
    pub delete: Vec<Arc<Pod>>,
    /// Pods that ended and are deleted for it: an event says so.
    pub ended: Vec<Arc<Pod>>,
    /// When to look again at a pod that failed.
    pub again: Option<Duration>,
}

impl Plan {
    pub fn is_empty(&self) -> bool {
        self.create.is_empty() && self.delete.is_empty()
    }
}

/// The set's pods by node. Pods that have ended and are being deleted no longer count; those bound for no node never did.
pub fn by_node(pods: &[Arc<Pod>]) -> FxHashMap<Istr, Vec<Arc<Pod>>> {
    let mut by_node: FxHashMap<Istr, Vec<Arc<Pod>>> = FxHashMap::default();
    for pod in pods {
        if pod.metadata.is_deleting() && pod.status.phase.is_terminal() {
            continue;
        }
        if let Some(node) = pod.target_node() {
            by_node.entry(node.clone()).or_default().push(pod.clone());
        }
    }
    by_node
}

impl Observed<'_> {
    pub fn is_available(&self, pod: &Pod) -> bool {
        pod.is_available(self.set.spec.min_ready_seconds, self.now)
    }

    /// Whether the pod is of the current template.
    pub fn is_updated(&self, pod: &Pod) -> bool {
        let label = |key: &str| pod.metadata.labels.get(key);
        let by_hash = !self.hash.is_empty() && label(REVISION_HASH) == Some(self.hash);
        by_hash
            || generation(self.set).is_some_and(|number| label(POD_GENERATION) == Some(&*number.to_string()))
    }

    /// How many pods may be there beyond one a node, of `desired`.
    pub fn max_surge(&self, desired: i32) -> i32 {
        match &self.set.spec.update_strategy {
            DaemonSetStrategy::RollingUpdate {
                rolling_update: Some(rolling),
            } => rolling
                .max_surge
                .as_ref()
                .and_then(|surge| surge.scaled(desired, true).ok())
                .unwrap_or(0),
            _ => 0,
        }
    }

    /// How many nodes may be without an available pod, of `desired`.
    pub fn max_unavailable(&self, desired: i32) -> i32 {
        match &self.set.spec.update_strategy {
            DaemonSetStrategy::RollingUpdate {
                rolling_update: Some(rolling),
            } => rolling
                .max_unavailable
                .as_ref()
                .and_then(|most| most.scaled(desired, true).ok())
                .unwrap_or(0),
            _ => 0,
        }
    }
}

/// Pods that are on a node before those that wait for one; then the older, then by name.
pub fn oldest_first(pods: &mut [Arc<Pod>]) {
    let created = |pod: &Pod| pod.metadata.creation_timestamp.map(|time| time.0);
    pods.sort_by(|a, b| -> Ordering {
        let waits = |pod: &Pod| pod.spec.node_name.is_empty();
        waits(a)
            .cmp(&waits(b))
            .then_with(|| created(a).cmp(&created(b)))
            .then_with(|| a.metadata.name.cmp(&b.metadata.name))
    });
}

/// Brings every node to the pods that it should have, without regard to their revision.
pub fn manage(seen: &Observed<'_>, failures: &mut Failures, clock: Instant) -> Plan {
    let mut plan = Plan::default();
    let surges = seen.max_surge(1) > 0;
    for node in seen.nodes {
        let name = &node.metadata.name;
        let verdict = seen.placement.on(node);
        let Some(pods) = seen.pods.get(name) else {
            if verdict == Verdict::Run {
                plan.create.push(name.clone());
            }
            continue;
        };
        let here = pods.iter().filter(|pod| !pod.metadata.is_deleting());
        if verdict == Verdict::Leave {
            plan.delete.extend(here.cloned());
            continue;
        }
        let mut running = Vec::with_capacity(pods.len());
        for pod in here {
            match pod.status.phase {
                Phase::Failed => {
                    let set = seen.set;
                    match failures.failed(&set.metadata.uid, set.status.observed_generation, name, clock) {
                        Some(delay) => {
                            plan.again = Some(plan.again.map_or(delay, |other| other.min(delay)));
                        }
                        None => {
                            plan.ended.push(pod.clone());
                            plan.delete.push(pod.clone());
                        }
                    }
                }
                Phase::Succeeded => {
                    plan.ended.push(pod.clone());
                    plan.delete.push(pod.clone());
                }
                _ => running.push(pod.clone()),
            }
        }
        oldest_first(&mut running);
        if !surges {
            plan.delete.extend(running.into_iter().skip(1));
        } else if running.is_empty() {
            if verdict == Verdict::Run {
                plan.create.push(name.clone());
            }
        } else if running.len() > 1 {
            prune(seen, running, &mut plan);
        }
    }
    let known: rustc_hash::FxHashSet<&Istr> = seen.nodes.iter().map(|node| &node.metadata.name).collect();
    // Pods for nodes that are gone, which the scheduler will never place.
    let stranded = seen.pods.iter().filter(|(node, _)| !known.contains(node));
    plan.delete.extend(
        stranded
            .flat_map(|(_, pods)| pods)
            .filter(|pod| pod.spec.node_name.is_empty())
            .cloned(),
    );
    plan
}

/// Where surging, a node may have two pods as long as the old one is ready and the new one is not available yet.
fn prune(seen: &Observed<'_>, running: Vec<Arc<Pod>>, plan: &mut Plan) {
    let (mut new, mut old) = (None, None);
    for pod in running {
        let slot = if pod.metadata.labels.get(REVISION_HASH) == Some(seen.hash) {
            &mut new
        } else {
            &mut old
        };
        match slot {
            None => *slot = Some(pod),
            Some(_) => plan.delete.push(pod),
        }
    }
    if let (Some(new), Some(old)) = (new, old)
        && (!old.is_ready() || seen.is_available(&new))
    {
        plan.delete.push(old);
    }
}
