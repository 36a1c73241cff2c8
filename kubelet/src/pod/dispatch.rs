//! Hands news to the pods' tasks, starts a task for a new pod, ends what nobody wants any more.
//!
//! ```text
//! API pods, static pods, runtime events -> Input -> dispatch -> Message -> worker (one a pod)
//! ```

mod resize;

use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use k8s_openapi::api::core::v1 as core;
use rustc_hash::{FxHashMap, FxHashSet};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

use super::admit;
use super::resize::Pending;
use super::resources::{self, Qos};
use super::shared::Shared;
use super::spec::{PodExt as _, annotation};
use super::worker::{self, Message};
use super::{orphan, restore};
use crate::context::PodRef;
use crate::cri::api;
use crate::source::mirror;

/// What the dispatcher hears of.
pub enum Input {
    /// A pod (or a mirror of a static pod) is in the API, or has changed there.
    Pod(PodRef),
    /// It is gone from there.
    Gone(PodRef),
    /// The API's first list is complete.
    ApiSynced,
    /// All static pods there are now.
    Static(Vec<PodRef>),
    /// The runtime reports on the pod with this uid.
    Woke(Arc<str>, Timestamp),
    /// All that the runtime has.
    Runtime(Vec<api::PodSandbox>, Vec<api::Container>),
    /// A pod's task has ended.
    Done(Arc<str>),
    /// A pod presses on the node and has to go.
    Evict(Arc<str>, crate::status::Verdict, i64),
    /// A write of a mirror pod has ended.
    MirrorDone(Arc<str>),
}

struct Handle {
    inbox: mpsc::UnboundedSender<Message>,
    /// With the resources that are allocated to it.
    pod: PodRef,
    /// As its source has it.
    wanted: PodRef,
    admitted: bool,
    /// A resize that waits, and since when.
    pending: Option<Pending>,
    since: Option<Instant>,
}

/// The dispatcher.
pub struct Dispatcher {
    shared: Arc<Shared>,
    inputs: mpsc::UnboundedSender<Input>,
    workers: FxHashMap<Arc<str>, Handle>,
    /// API pods that came before the list was complete: they are admitted oldest first.
    early: Vec<PodRef>,
    api_synced: bool,
    statics_known: bool,
    /// Static pods by full name.
    statics: FxHashMap<Arc<str>, PodRef>,
    /// Mirror pods by full name.
    mirrors: FxHashMap<Arc<str>, PodRef>,
    mirror_writes: FxHashSet<Arc<str>>,
    swept: bool,
    burstable: i64,
    /// A pod waits for other resources, and when to look at it again.
    waiting: bool,
    look_again: Option<Instant>,
}

/// `NAMESPACE/NAME`.
fn full_name(pod: &core::Pod) -> Arc<str> {
    format!("{}/{}", pod.namespace(), pod.name()).into()
}

impl Dispatcher {
    /// One a process; `inputs` is its own mailbox.
    #[must_use]
    pub fn new(shared: Arc<Shared>, inputs: mpsc::UnboundedSender<Input>) -> Self {
        Self {
            api_synced: shared.node.api.is_none(),
            statics_known: shared.node.config.static_pod_path.is_empty(),
            shared,
            inputs,
            workers: FxHashMap::default(),
            early: Vec::new(),
            statics: FxHashMap::default(),
            mirrors: FxHashMap::default(),
            mirror_writes: FxHashSet::default(),
            swept: false,
            burstable: -1,
            waiting: false,
            look_again: None,
        }
    }

    /// Runs until `stop`. Containers keep running.
    pub async fn run(mut self, mut mailbox: mpsc::UnboundedReceiver<Input>, stop: CancellationToken) {
        loop {
            let input = tokio::select! {
                input = mailbox.recv() => input,
                () = sleep_until(self.look_again) => {
                    self.look_again();
                    self.weigh();
                    continue;
                }
                () = stop.cancelled() => return,
            };
            let Some(input) = input else { return };
            self.take(input).await;
            self.look_again_soon();
            if mailbox.is_empty() {
                self.weigh();
            }
        }
    }

    async fn take(&mut self, input: Input) {
        match input {
            Input::Pod(pod) if pod.is_mirror() => self.mirror(Some(pod)),
            Input::Gone(pod) if pod.is_mirror() => {
                let name = full_name(&pod);
                if self
                    .mirrors
                    .get(&name)
                    .is_some_and(|known| known.uid() == pod.uid())
                {
                    self.mirrors.remove(&name);
                    self.tell_static(&name, None);
                    self.reconcile_mirror(&name);
                }
            }
            Input::Pod(pod) => {
                if self.api_synced {
                    self.pod(pod);
                } else {
                    self.early.retain(|p| p.uid() != pod.uid());
                    self.early.push(pod);
                }
            }
            Input::Gone(pod) => {
                self.early.retain(|p| p.uid() != pod.uid());
                if let Some(handle) = self.workers.get(pod.uid()) {
                    let _ = handle.inbox.send(Message::Removed);
                }
            }
            Input::ApiSynced => {
                self.api_synced = true;
                let mut early = std::mem::take(&mut self.early);
                early.sort_by_key(|p| p.metadata.creation_timestamp.as_ref().map(|t| t.0));
                for pod in early {
                    self.pod(pod);
                }
                let names: Vec<_> = self.statics.keys().chain(self.mirrors.keys()).cloned().collect();
                names.iter().for_each(|name| self.reconcile_mirror(name));
                self.sweep().await;
            }
            Input::Static(pods) => {
                self.static_pods(pods);
                self.sweep().await;
            }
            Input::Woke(uid, at) => {
                if let Some(handle) = self.workers.get(&uid) {
                    let _ = handle.inbox.send(Message::Wake(at));
                }
            }
            Input::Runtime(sandboxes, containers) => self.runtime(&sandboxes, &containers),
            Input::Done(uid) => self.done(&uid),
            Input::Evict(uid, verdict, grace) => {
                if let Some(handle) = self.workers.get(&uid) {
                    let _ = handle.inbox.send(Message::Fail(verdict, Some(grace)));
                }
            }
            Input::MirrorDone(name) => {
                self.mirror_writes.remove(&name);
                self.reconcile_mirror(&name);
            }
        }
    }

    fn pod(&mut self, pod: PodRef) {
        if let Some(handle) = self.workers.get_mut(pod.uid()) {
            handle.wanted = Arc::clone(&pod);
            self.allocate(pod.uid(), true);
            return;
        }
        self.start(pod);
    }

    fn start(&mut self, wanted: PodRef) {
        let pod = self.allocated(&wanted);
        let phase = pod
            .status
            .as_ref()
            .and_then(|s| s.phase.as_deref())
            .unwrap_or("Pending");
        // One that runs, ends or has ended is not asked again.
        let verdict = if phase == "Pending" && !pod.is_deleting() {
            self.admit(&pod)
        } else {
            None
        };
        debug!(pod = pod.full(), phase, admitted = verdict.is_none(), "new pod");
        let uid: Arc<str> = pod.uid().into();
        let (inbox, mailbox) = mpsc::unbounded_channel();
        if verdict.is_none() {
            self.allocate_first(&pod);
        }
        self.waiting |= !Arc::ptr_eq(&pod, &wanted);
        let handle = Handle {
            inbox,
            pod: Arc::clone(&pod),
            wanted,
            admitted: verdict.is_none(),
            pending: resize::pending(&pod),
            since: None,
        };
        if let Some(verdict) = verdict {
            info!(
                pod = pod.full(),
                reason = verdict.reason,
                message = verdict.message,
                "pod is not admitted"
            );
            super::events::About::pod(&self.shared.node.events, &pod).rejected(&verdict);
            let _ = handle.inbox.send(Message::Reject(verdict));
        }
        if pod.is_static() {
            let mirror = self.mirrors.get(&full_name(&pod)).cloned();
            let _ = handle.inbox.send(Message::Mirror(mirror));
        }
        self.workers.insert(Arc::clone(&uid), handle);
        self.forget_old_resize(&uid);
        let (shared, inputs) = (Arc::clone(&self.shared), self.inputs.clone());
        tokio::spawn(async move {
            worker::run(shared, pod, mailbox).await;
            let _ = inputs.send(Input::Done(uid));
        });
    }

    fn admit(&self, pod: &core::Pod) -> Option<crate::status::Verdict> {
        let node = self.shared.node.object.borrow().clone();
        admit::admit(pod, node.as_deref(), &self.room(pod.uid()))
    }

    fn static_pods(&mut self, pods: Vec<PodRef>) {
        self.statics_known = true;
        let wanted: FxHashMap<Arc<str>, PodRef> = pods.into_iter().map(|p| (full_name(&p), p)).collect();
        let gone: Vec<Arc<str>> = self
            .statics
            .iter()
            .filter(|(name, pod)| wanted.get(*name).is_none_or(|w| w.uid() != pod.uid()))
            .map(|(name, _)| Arc::clone(name))
            .collect();
        for name in gone {
            if let Some(pod) = self.statics.remove(&name)
                && let Some(handle) = self.workers.get(pod.uid())
            {
                let _ = handle.inbox.send(Message::Removed);
            }
            if !wanted.contains_key(&name) {
                self.reconcile_mirror(&name);
            }
        }
        for (name, pod) in wanted {
            if self.statics.contains_key(&name) {
                continue;
            }
            self.statics.insert(Arc::clone(&name), Arc::clone(&pod));
            self.start_static(&name);
            self.reconcile_mirror(&name);
        }
    }

    /// Starts a static pod once no other pod of its name is left.
    fn start_static(&mut self, name: &Arc<str>) {
        let Some(pod) = self.statics.get(name).cloned() else {
            return;
        };
        let other = self
            .workers
            .values()
            .any(|h| h.pod.is_static() && full_name(&h.pod) == *name);
        if !other {
            self.start(pod);
        }
    }

    fn mirror(&mut self, pod: Option<PodRef>) {
        let Some(pod) = pod else { return };
        let name = full_name(&pod);
        self.mirrors.insert(Arc::clone(&name), Arc::clone(&pod));
        self.tell_static(&name, Some(pod));
        self.reconcile_mirror(&name);
    }

    fn tell_static(&self, name: &Arc<str>, mirror: Option<PodRef>) {
        if let Some(handle) = self.statics.get(name).and_then(|pod| self.workers.get(pod.uid())) {
            let _ = handle.inbox.send(Message::Mirror(mirror));
        }
    }

    /// Makes or removes a mirror, one write at a time for a name.
    fn reconcile_mirror(&mut self, name: &Arc<str>) {
        let Some(api) = self
            .shared
            .node
            .api
            .clone()
            .filter(|_| self.api_synced && self.statics_known)
        else {
            return;
        };
        if self.mirror_writes.contains(name) {
            return;
        }
        let wanted = mirror::wanted(self.statics.get(name), self.mirrors.get(name));
        let Some(write) = wanted else { return };
        self.mirror_writes.insert(Arc::clone(name));
        let (inputs, node, name) = (
            self.inputs.clone(),
            Arc::clone(&self.shared.node),
            Arc::clone(name),
        );
        tokio::spawn(async move {
            mirror::write(&api, &node, write).await;
            let _ = inputs.send(Input::MirrorDone(name));
        });
    }

    /// Every pod is looked at; those of the runtime that nobody wants are ended.
    fn runtime(&mut self, sandboxes: &[api::PodSandbox], containers: &[api::Container]) {
        let now = Timestamp::now();
        for handle in self.workers.values() {
            let _ = handle.inbox.send(Message::Wake(now));
        }
        if !(self.api_synced && self.statics_known) {
            return;
        }
        for pod in restore::unknown(sandboxes, containers, |uid| self.workers.contains_key(uid)) {
            info!(
                pod = pod.full(),
                "the runtime has a pod that nobody wants: it is ended"
            );
            let uid: Arc<str> = pod.uid().into();
            self.start(Arc::new(pod));
            if let Some(handle) = self.workers.get(&uid) {
                let _ = handle.inbox.send(Message::Removed);
            }
        }
    }

    /// Once, when all pods are known: removes what pods that went while nobody looked have left.
    async fn sweep(&mut self) {
        if self.swept || !(self.api_synced && self.statics_known) {
            return;
        }
        self.swept = true;
        match tokio::try_join!(
            self.shared.node.cri.sandboxes(None),
            self.shared.node.cri.containers(None)
        ) {
            Ok((sandboxes, containers)) => {
                self.runtime(&sandboxes, &containers);
                let known: FxHashSet<Arc<str>> = self.workers.keys().cloned().collect();
                self.shared.allocations.keep_only(&known);
                let shared = Arc::clone(&self.shared);
                tokio::spawn(async move { orphan::sweep(&shared, &known).await });
            }
            // The relist after the runtime has come up ends strangers; their folders go at the next start.
            Err(error) => debug!(%error, "sweep"),
        }
    }

    fn done(&mut self, uid: &Arc<str>) {
        let Some(handle) = self.workers.remove(uid) else {
            return;
        };
        self.shared.allocations.forget(uid);
        if handle.pod.is_static() {
            let name = full_name(&handle.pod);
            self.start_static(&name);
        }
    }

    /// Keeps the burstable tier's weight at what its pods ask for.
    fn weigh(&mut self) {
        let millis = self
            .workers
            .values()
            .filter(|h| h.admitted && Qos::of(&h.pod) == Qos::Burstable)
            .map(|h| {
                resources::pod_requests(&h.pod)
                    .get("cpu")
                    .map_or(0, |q| q.milli_value())
            })
            .sum();
        if millis != self.burstable {
            self.burstable = millis;
            if let Err(error) = self.shared.cgroups.set_burstable(millis) {
                debug!(%error, "burstable tier");
            }
        }
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

/// The hash by which a static pod and its mirror know each other.
#[must_use]
pub fn static_hash(pod: &core::Pod) -> &str {
    annotation(pod, super::spec::CONFIG_HASH).unwrap_or_else(|| pod.uid())
}
