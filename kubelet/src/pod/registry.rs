//! The pods of this node and what each is doing, for whoever serves or sums them up (10250, node status, statistics).
//!
//! Pod tasks write their own entry; everybody else reads `Arc` snapshots.

use std::sync::Arc;

use k8s_openapi::api::core::v1 as core;
use parking_lot::RwLock;
use rustc_hash::FxHashMap;

use crate::context::PodRef;

/// One pod as last seen by its task.
#[derive(Clone, Debug)]
pub struct PodView {
    /// The pod from its source. Its `.status` is not kept up to date: see `status`.
    pub pod: PodRef,
    /// The status as we last computed it (what `pods/status` will say).
    pub status: Arc<core::PodStatus>,
    /// The id of its ready sandbox.
    pub sandbox: Option<Arc<str>>,
    /// Its containers of every kind, newest attempt only.
    pub containers: Vec<ContainerView>,
    /// From a static file (the API only knows its mirror).
    pub is_static: bool,
    /// Nothing of it runs any more.
    pub terminated: bool,
}

/// The newest attempt of a container.
#[derive(Clone, Debug)]
pub struct ContainerView {
    /// Its name in the pod spec.
    pub name: Arc<str>,
    /// The id in the runtime, without the `containerd://` scheme.
    pub id: Arc<str>,
    /// 0 for the first attempt.
    pub attempt: u32,
    /// Whether it runs now.
    pub running: bool,
    /// The log file of this attempt.
    pub log_path: Arc<str>,
    /// The attempt before, when there is one: (id, log file).
    pub previous: Option<(Arc<str>, Arc<str>)>,
}

/// All pods of this node.
#[derive(Default)]
pub struct Registry {
    pods: RwLock<FxHashMap<Arc<str>, Arc<PodView>>>,
}

impl Registry {
    /// The pod with this uid (a static pod: the uid of its file, not of its mirror).
    #[must_use]
    pub fn by_uid(&self, uid: &str) -> Option<Arc<PodView>> {
        self.pods.read().get(uid).cloned()
    }

    /// The pod with this name. Where an old and a new pod of the same name overlap, the one that still runs wins.
    #[must_use]
    pub fn by_name(&self, namespace: &str, name: &str) -> Option<Arc<PodView>> {
        let pods = self.pods.read();
        let mut found: Option<&Arc<PodView>> = None;
        for view in pods.values() {
            let meta = &view.pod.metadata;
            if meta.name.as_deref() == Some(name)
                && meta.namespace.as_deref() == Some(namespace)
                && found.is_none_or(|f| f.terminated && !view.terminated)
            {
                found = Some(view);
            }
        }
        found.cloned()
    }

    /// Every pod.
    #[must_use]
    pub fn list(&self) -> Vec<Arc<PodView>> {
        self.pods.read().values().cloned().collect()
    }

    /// Writes a pod's entry.
    pub fn put(&self, uid: Arc<str>, view: Arc<PodView>) {
        self.pods.write().insert(uid, view);
    }

    /// Forgets a pod.
    pub fn remove(&self, uid: &str) {
        self.pods.write().remove(uid);
    }
}
