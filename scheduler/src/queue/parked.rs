//! Pods that were turned down and wait for an event that may help.

use machinery::meta::Istr;
use rustc_hash::FxHashMap;

use super::QueuedPod;

/// Pods by uid, and how many each plugin has turned down.
#[derive(Default)]
pub struct Parked {
    pods: FxHashMap<Istr, QueuedPod>,
    rejected_by: FxHashMap<&'static str, usize>,
}

impl Parked {
    pub fn insert(&mut self, queued: QueuedPod) {
        self.remove(queued.pod.uid());
        for plugin in plugins(&queued) {
            *self.rejected_by.entry(plugin).or_default() += 1;
        }
        self.pods.insert(queued.pod.uid().clone(), queued);
    }

    pub fn remove(&mut self, uid: &str) -> Option<QueuedPod> {
        let queued = self.pods.remove(uid)?;
        for plugin in plugins(&queued) {
            if let Some(count) = self.rejected_by.get_mut(plugin) {
                *count -= 1;
                if *count == 0 {
                    self.rejected_by.remove(plugin);
                }
            }
        }
        Some(queued)
    }

    /// Whether a pod waits that this plugin has turned down; a pod that nobody has turned down waits for anything.
    pub fn has_rejected_by(&self, plugin: &'static str) -> bool {
        self.rejected_by.contains_key(plugin) || self.rejected_by.contains_key(NOBODY)
    }

    pub fn contains(&self, uid: &str) -> bool {
        self.pods.contains_key(uid)
    }

    pub fn is_empty(&self) -> bool {
        self.pods.is_empty()
    }

    pub fn len(&self) -> usize {
        self.pods.len()
    }

    pub fn iter(&self) -> impl Iterator<Item = (&Istr, &QueuedPod)> {
        self.pods.iter()
    }

    pub fn values(&self) -> impl Iterator<Item = &QueuedPod> {
        self.pods.values()
    }
}

const NOBODY: &str = "";

fn plugins(queued: &QueuedPod) -> impl Iterator<Item = &'static str> {
    let nobody = queued.rejectors.is_empty() && queued.pending.is_empty();
    let plugins = queued.rejectors.iter().chain(&queued.pending).copied();
    plugins.chain(nobody.then_some(NOBODY))
}
