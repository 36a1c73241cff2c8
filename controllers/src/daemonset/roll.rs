//! Replacing the pods of old templates.

use super::placement::Verdict;
use super::plan::{Observed, Plan};
use crate::api::{Node, Pod};
use machinery::meta::Istr;
use rustc_hash::FxHashMap;
use std::sync::Arc;

/// What a node has of the current and of older templates; pods that are being deleted do not count.
enum OnNode<'p> {
    /// More than one of either: that is to be tidied up first.
    Crowded,
    AtMostOne {
        new: Option<&'p Arc<Pod>>,
        old: Option<&'p Arc<Pod>>,
    },
}

fn on_node<'p>(seen: &Observed<'_>, pods: &'p [Arc<Pod>]) -> OnNode<'p> {
    let (mut new, mut old) = (None, None);
    for pod in pods.iter().filter(|pod| !pod.metadata.is_deleting()) {
        let slot = if seen.is_updated(pod) { &mut new } else { &mut old };
        if slot.replace(pod).is_some() {
            return OnNode::Crowded;
        }
    }
    OnNode::AtMostOne { new, old }
}

/// One step of a rolling update.
pub fn roll(seen: &Observed<'_>) -> Plan {
    let nodes: FxHashMap<&Istr, &Arc<Node>> = seen
        .nodes
        .iter()
        .map(|node| (&node.metadata.name, node))
        .collect();
    let runs = |name: &Istr| {
        nodes
            .get(name)
            .is_some_and(|node| seen.placement.on(node) == Verdict::Run)
    };
    let wanted: Vec<&Istr> = nodes.keys().copied().filter(|name| runs(name)).collect();
    let desired = i32::try_from(wanted.len()).unwrap_or(i32::MAX);
    let (surge, mut unavailable) = (seen.max_surge(desired), seen.max_unavailable(desired));
    if desired > 0 && surge == 0 && unavailable == 0 {
        unavailable = 1; // or nothing would ever move
    }
    let bare = wanted
        .iter()
        .filter(|name| !seen.pods.contains_key(**name))
        .count();
    if surge == 0 {
        delete_first(seen, unavailable, bare)
    } else {
        create_first(seen, usize::try_from(surge).unwrap_or(0), wanted.len(), &runs)
    }
}

/// Deletes old pods as far as availability allows; new ones take their place later. `bare` nodes have no pod at all.
fn delete_first(seen: &Observed<'_>, most: i32, bare: usize) -> Plan {
    let mut unavailable = bare;
    let (mut free, mut candidates) = (Vec::new(), Vec::new());
    for pods in seen.pods.values() {
        match on_node(seen, pods) {
            OnNode::AtMostOne {
                new: Some(new),
                old: None,
            } => unavailable += usize::from(!seen.is_available(new)),
            OnNode::AtMostOne {
                new: None,
                old: Some(old),
            } => {
                if seen.is_available(old) {
                    candidates.push(old.clone());
                } else {
                    free.push(old.clone());
                    unavailable += 1;
                }
            }
            _ => unavailable += 1,
        }
    }
    candidates.truncate(usize::try_from(most).unwrap_or(0).saturating_sub(unavailable));
    free.extend(candidates);
    Plan {
        delete: free,
        ..Plan::default()
    }
}

/// Creates new pods beside old ones, and deletes an old one once the new one is available.
fn create_first(seen: &Observed<'_>, surge: usize, desired: usize, runs: &impl Fn(&Istr) -> bool) -> Plan {
    let mut plan = Plan::default();
    let (mut surging, mut available) = (0, 0);
    let (mut candidates, mut unwanted) = (Vec::new(), Vec::new());
    for (node, pods) in seen.pods {
        let OnNode::AtMostOne { new, old } = on_node(seen, pods) else {
            surging += 1;
            continue;
        };
        available += usize::from(old.or(new).is_some_and(|pod| seen.is_available(pod)));
        let Some(old) = old else { continue };
        match new {
            Some(new) if seen.is_available(new) => plan.delete.push(old.clone()),
            Some(_) => surging += 1,
            None => match (seen.is_available(old), runs(node)) {
                (false, false) => plan.delete.push(old.clone()),
                (false, true) => plan.create.push(node.clone()),
                (true, false) => unwanted.push(old.clone()),
                (true, true) => candidates.push(node.clone()),
            },
        }
    }
    // A node that is no longer wanted keeps its pod until others make up for it.
    unwanted.truncate(available.saturating_sub(desired));
    plan.delete.extend(unwanted);
    candidates.truncate(surge.saturating_sub(surging));
    plan.create.extend(candidates);
    plan
}
