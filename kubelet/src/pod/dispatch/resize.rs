//! Allocates resources to pods whose specs ask for others than they have.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::{debug, warn};

use super::{Dispatcher, Handle, Message};
use crate::context::PodRef;
use crate::pod::admit::Room;
use crate::pod::events::About;
use crate::pod::resize::checkpoint::{Which, Write};
use crate::pod::resize::decide::{self, Decision, Policy};
use crate::pod::resize::{self, Pending};
use crate::pod::spec::PodExt as _;

/// After something has happened on the node those that wait are looked at again, all together...
const SOON: Duration = Duration::from_millis(200);
/// ...and now and then without that.
const SOMETIME: Duration = Duration::from_secs(60);

/// What the last kubelet has said of a resize that waits.
pub(super) fn pending(pod: &PodRef) -> Option<Pending> {
    resize::Conditions::of(pod.status.as_ref()).pending
}

impl Dispatcher {
    /// A resize that waited when the last kubelet ended may not be wanted any more.
    pub(super) fn forget_old_resize(&mut self, uid: &str) {
        let Some(handle) = self.workers.get(uid) else {
            return;
        };
        if Arc::ptr_eq(&handle.pod, &handle.wanted) && handle.pending.is_some() {
            let pod = Arc::clone(&handle.pod);
            self.tell(uid, pod, None, None, false);
        }
    }

    /// The pod with what is allocated to it; a pod that is new to us gets what its spec says.
    pub(super) fn allocated(&self, pod: &PodRef) -> PodRef {
        match self.shared.allocations.get(Which::Allocated, pod.uid()) {
            Some(allocated) => resize::apply(pod, &allocated),
            None => Arc::clone(pod),
        }
    }

    /// Notes what an admitted pod has, unless that is known.
    pub(super) fn allocate_first(&self, pod: &PodRef) {
        let (allocations, uid) = (&self.shared.allocations, Arc::<str>::from(pod.uid()));
        if allocations.get(Which::Allocated, &uid).is_none() {
            let resources = Arc::new(resize::of_spec(pod));
            // Only what is written at once can fail.
            let _ = allocations.set(Which::Allocated, &uid, resources, Write::Lazily);
        }
    }

    /// The node with all pods that are admitted and have not ended, but for one.
    pub(super) fn room(&self, except: &str) -> Room {
        let capacity = self.shared.node.capacity.borrow().clone();
        let mut room = Room {
            allocatable: capacity.allocatable_amounts(),
            pods: (0, capacity.pods),
            ..Room::default()
        };
        for (uid, handle) in &self.workers {
            if handle.admitted && **uid != *except && !self.has_ended(uid) {
                room.add(&handle.pod);
            }
        }
        room
    }

    fn has_ended(&self, uid: &str) -> bool {
        let view = self.shared.node.pods.by_uid(uid);
        view.is_some_and(|view| view.terminated)
    }

    /// A pod's spec is as it is in `handle.wanted`: tells its task what it gets of that.
    pub(super) fn allocate(&mut self, uid: &str, is_news: bool) {
        let Some(handle) = self.workers.get(uid) else {
            return;
        };
        let wanted = Arc::clone(&handle.wanted);
        let Some(known) = self.shared.allocations.get(Which::Allocated, uid) else {
            self.tell(uid, wanted, None, None, is_news);
            return;
        };
        let before = handle.pending.clone();
        let is_same = resize::is_same(&wanted, &known);
        let is_open = self.api_synced && self.statics_known && handle.admitted;
        if !is_same && (!is_open || wanted.is_deleting() || self.has_ended(uid)) {
            let pod = resize::apply(&wanted, &known);
            self.waiting |= handle.admitted;
            self.tell(uid, pod, before, None, is_news);
            return;
        }
        let decision = if is_same {
            Decision::Same
        } else {
            let config = &self.shared.node.config;
            let policy = Policy {
                static_cpus: config.cpu_manager_policy == "static",
                static_memory: config.memory_manager_policy == "Static",
            };
            let node = self.shared.node.object.borrow().clone();
            decide::decide(&wanted, &known, node.as_deref(), &self.room(uid), policy)
        };
        let about = About::pod(&self.shared.node.events, &wanted);
        match decision {
            Decision::Same => self.tell(uid, wanted, None, None, is_news),
            Decision::Allocate => {
                let generation = wanted.metadata.generation.unwrap_or_default();
                let new = Arc::new(resize::of_spec(&wanted));
                let allocations = &self.shared.allocations;
                if let Err(error) = allocations.set(Which::Allocated, &uid.into(), new, Write::Now) {
                    warn!(pod = wanted.full(), %error, "the pod's new resources cannot be recorded: they wait");
                    // In memory it is done: so is the record.
                }
                debug!(pod = wanted.full(), generation, "resize");
                let words = resize::event("Pod resize started", &wanted, generation, "");
                about.normal("ResizeStarted", words);
                self.tell(uid, wanted, None, Some(generation), true);
            }
            Decision::Pend(pending) => {
                let told = before
                    .as_ref()
                    .is_some_and(|b| (b.reason, b.generation) == (pending.reason, pending.generation));
                if !told {
                    let prefix = format!("Pod resize {}", pending.reason);
                    let words = resize::event(&prefix, &wanted, pending.generation, &pending.message);
                    let reason = match pending.reason {
                        "Infeasible" => "ResizeInfeasible",
                        _ => "ResizeDeferred",
                    };
                    about.warning(reason, words);
                }
                self.waiting |= pending.reason == "Deferred";
                let pod = resize::apply(&wanted, &known);
                self.tell(uid, pod, Some(pending), None, is_news);
            }
        }
    }

    fn tell(
        &mut self,
        uid: &str,
        pod: PodRef,
        pending: Option<Pending>,
        started: Option<i64>,
        is_news: bool,
    ) {
        let Some(handle) = self.workers.get_mut(uid) else {
            return;
        };
        handle.pod = Arc::clone(&pod);
        if handle.pending != pending || started.is_some() {
            if handle.pending.is_none() {
                handle.since = Some(Instant::now());
            }
            handle.pending.clone_from(&pending);
            let _ = handle.inbox.send(Message::Resize(pending, started));
        }
        if is_news {
            let _ = handle.inbox.send(Message::Update(pod));
        }
    }

    /// Something has happened: there may be room for those that wait.
    pub(super) fn look_again_soon(&mut self) {
        if self.waiting {
            let soon = Instant::now() + SOON;
            self.look_again = Some(self.look_again.map_or(soon, |at| at.min(soon)));
        }
    }

    /// Looks at those that wait, in order.
    pub(super) fn look_again(&mut self) {
        self.look_again = None;
        if !(self.api_synced && self.statics_known) {
            return;
        }
        self.waiting = false;
        let now = Instant::now();
        let is_waiting = |handle: &Handle| {
            handle.admitted
                && !Arc::ptr_eq(&handle.pod, &handle.wanted)
                && handle.pending.as_ref().is_none_or(|p| p.reason == "Deferred")
        };
        let mut waiting: Vec<_> = self
            .workers
            .iter()
            .filter(|(_, handle)| is_waiting(handle))
            .map(|(uid, handle)| {
                let waits = handle.since.map_or(Duration::ZERO, |since| now - since);
                let since = -i64::try_from(waits.as_millis()).unwrap_or(i64::MAX);
                (decide::order(&handle.wanted, &handle.pod, since), Arc::clone(uid))
            })
            .collect();
        waiting.sort();
        for (_, uid) in waiting {
            self.allocate(&uid, false);
        }
        if self.waiting {
            self.look_again = Some(now + SOMETIME);
        }
    }
}
