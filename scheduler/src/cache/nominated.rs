//! Pods that wait for a node on which room is being made for them.

use std::sync::Arc;

use machinery::meta::Istr;
use rustc_hash::FxHashMap;

use crate::api::Pod;

/// Nominations by node.
#[derive(Debug, Default)]
pub struct Nominated {
    by_node: FxHashMap<Istr, Vec<Arc<Pod>>>,
    node_of: FxHashMap<Istr, Istr>,
}

impl Nominated {
    /// Pods that are nominated to a node.
    pub fn on(&self, node: &str) -> &[Arc<Pod>] {
        self.by_node.get(node).map_or(&[], Vec::as_slice)
    }

    /// The nodes that have nominations.
    pub fn nodes(&self) -> impl Iterator<Item = (&Istr, &[Arc<Pod>])> {
        self.by_node.iter().map(|(node, pods)| (node, pods.as_slice()))
    }

    pub fn is_empty(&self) -> bool {
        self.by_node.is_empty()
    }

    /// The node that the pod is nominated to.
    pub fn node_of(&self, uid: &str) -> Option<&Istr> {
        self.node_of.get(uid)
    }

    /// Nominates the pod to `node`, or to the node that its status names; takes an older nomination back.
    pub(crate) fn set(&mut self, pod: &Arc<Pod>, node: Option<&Istr>) {
        self.remove(pod.uid());
        if let Some(node) = node.or(pod.nominated_node.as_ref()) {
            self.node_of.insert(pod.uid().clone(), node.clone());
            self.by_node.entry(node.clone()).or_default().push(pod.clone());
        }
    }

    pub(crate) fn remove(&mut self, uid: &str) {
        if let Some(node) = self.node_of.remove(uid)
            && let Some(pods) = self.by_node.get_mut(&node)
        {
            pods.retain(|pod| pod.uid() != uid);
            if pods.is_empty() {
                self.by_node.remove(&node);
            }
        }
    }
}
