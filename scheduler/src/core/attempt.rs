//! One attempt to schedule one pod.

use std::sync::Arc;

use machinery::meta::Istr;

use super::Scheduler;
use crate::api::Pod;
use crate::framework::plugin::{Permission, PostFilterOutcome};
use crate::framework::{
    Action, Change, ClusterEvent, Decision, Diagnosis, EventResource, Failure, Occurrence, Refitting, Status,
    VerdictBook,
};
use crate::queue::{Moment, Plugins, QueuedPod};

/// What came of an attempt.
#[derive(Debug)]
pub enum Attempt {
    /// The pod was given a node: bind it there, then report.
    Bind(Box<BindOrder>),
    /// The pod could not be scheduled; it waits again. Its condition and an event should say so.
    Refused(Box<Refusal>),
    /// The pod is being deleted: an event says that it is passed over.
    Deleting(Arc<Pod>),
    /// There was nothing to do after all.
    Nothing,
}

/// A pod to bind.
#[derive(Debug)]
pub struct BindOrder {
    pub queued: QueuedPod,
    pub node: Istr,
    pub decision: Decision,
    /// Whether plugins want to be waited for before, and for how long at most.
    pub permission: Permission,
    pub profile: usize,
}

/// What becomes of the node that the pod was nominated to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Nomination {
    Keep,
    Clear,
    Set(Istr),
}

/// A pod that could not be scheduled.
#[derive(Debug)]
pub struct Refusal {
    /// The pod as last seen.
    pub pod: Arc<Pod>,
    /// Whether nodes turned it down, or an error came in between.
    pub unschedulable: bool,
    pub message: String,
    pub nomination: Nomination,
    /// Pods to evict for it.
    pub victims: Vec<Arc<Pod>>,
    /// Pods whose nomination it takes away.
    pub displaced: Vec<Arc<Pod>>,
    pub plugins: Plugins,
    /// The name of its profile.
    pub profile: Istr,
}

impl Scheduler {
    /// Works on the next pod; `None` when none is ready.
    pub fn next(&mut self, now: Moment) -> Option<Attempt> {
        let queued = self.queue.pop(&self.profiles)?;
        let uid = queued.pod.uid().clone();
        let Some(profile) = self.profiles.index(&queued.pod.body.scheduler_name) else {
            self.queue.done(&uid);
            return Some(Attempt::Nothing);
        };
        if queued.pod.is_deleting() {
            self.queue.done(&uid);
            return Some(Attempt::Deleting(queued.pod));
        }
        if self.snapshot.is_assumed(&uid) {
            self.queue.done(&uid);
            return Some(Attempt::Nothing);
        }
        let (framework, reuse) = {
            let profile = &mut self.profiles.0[profile];
            (profile.framework.clone(), &mut profile.reuse)
        };
        let found = framework.find_node(&queued.view(), &mut self.snapshot, reuse, &mut self.spin);
        Some(match found {
            Ok(decision) => self.take(queued, decision, profile, now),
            Err(Failure::NoNodes) => {
                let message = "no nodes available to schedule pods".to_owned();
                self.refuse(
                    queued,
                    &Diagnosis::default(),
                    message,
                    true,
                    Nomination::Clear,
                    Vec::new(),
                    now,
                )
            }
            Err(Failure::Error(status)) => {
                let diagnosis = Diagnosis::default();
                let plugin = if status.plugin.is_empty() {
                    String::new()
                } else {
                    format!("running plugin {:?}: ", status.plugin)
                };
                let message = format!("{plugin}{}", status.message());
                self.refuse(
                    queued,
                    &diagnosis,
                    message,
                    false,
                    Nomination::Clear,
                    Vec::new(),
                    now,
                )
            }
            Err(Failure::Unfit(diagnosis)) => self.make_room(queued, *diagnosis, profile, now),
        })
    }

    /// Counts the pod on its node from now on and asks the plugins whether it may be bound.
    fn take(&mut self, queued: QueuedPod, decision: Decision, profile: usize, now: Moment) -> Attempt {
        let row = decision.row;
        self.snapshot.assume(&queued.pod, row);
        self.snapshot.nominated_mut().remove(queued.pod.uid());
        let framework = self.profiles.0[profile].framework.clone();
        let allowed = framework
            .run_reserve(&queued.view(), &self.snapshot, row)
            .and_then(|()| {
                framework
                    .run_permit(&queued.view(), &self.snapshot, row)
                    .inspect_err(|_| {
                        framework.run_unreserve(&queued.view(), &self.snapshot, row);
                    })
            });
        match allowed {
            Ok(permission) => {
                if permission == Permission::Granted {
                    // Nothing but errors can come now, and those need no events.
                    self.queue.done(queued.pod.uid());
                }
                let node = self.snapshot.rows().name(row).clone();
                Attempt::Bind(Box::new(BindOrder {
                    queued,
                    node,
                    decision,
                    permission,
                    profile,
                }))
            }
            Err(status) => {
                self.snapshot.forget(queued.pod.uid());
                let rejected = status.is_rejected();
                let diagnosis = if rejected {
                    Diagnosis::of_row(row, &status)
                } else {
                    Diagnosis::default()
                };
                let message = if rejected {
                    diagnosis.message()
                } else {
                    status.message()
                };
                self.refuse(
                    queued,
                    &diagnosis,
                    message,
                    rejected,
                    Nomination::Clear,
                    Vec::new(),
                    now,
                )
            }
        }
    }

    /// Nothing fits: asks the post-filter plugins to help.
    fn make_room(
        &mut self,
        queued: QueuedPod,
        mut diagnosis: Diagnosis,
        profile: usize,
        now: Moment,
    ) -> Attempt {
        let framework = self.profiles.0[profile].framework.clone();
        let mut refit = Refitting {
            framework: &framework,
            book: VerdictBook::default(),
            state: Default::default(),
        };
        let mut nomination = Nomination::Keep;
        let mut victims = Vec::new();
        let mut messages: Vec<String> = Vec::new();
        for plugin in &framework.post_filter {
            let Some(post_filter) = plugin.as_post_filter() else {
                continue;
            };
            match post_filter.post_filter(&queued.view(), &mut self.snapshot, &diagnosis, &mut refit) {
                PostFilterOutcome::Nominate {
                    row,
                    victims: evicted,
                    message,
                } => {
                    nomination = Nomination::Set(self.snapshot.rows().name(row).clone());
                    victims = evicted;
                    messages = vec![message];
                    break;
                }
                PostFilterOutcome::Nothing { message, clear } => {
                    if clear {
                        nomination = Nomination::Clear;
                    }
                    messages.push(message);
                }
            }
        }
        if framework.post_filter.is_empty() {
            nomination = Nomination::Clear;
        }
        for victim in &victims {
            self.snapshot.set_doomed(victim.uid(), true);
        }
        // Pods of lower priority that wait for the same node may not fit there any more.
        let mut displaced = Vec::new();
        if let Nomination::Set(node) = &nomination {
            let lower = |pod: &&Arc<Pod>| pod.priority() < queued.pod.priority();
            displaced = self
                .snapshot
                .nominated()
                .on(node)
                .iter()
                .filter(lower)
                .cloned()
                .collect();
        }
        for pod in &displaced {
            self.snapshot.nominated_mut().remove(pod.uid());
        }
        diagnosis.post_filter = messages.join(", ");
        let message = diagnosis.message();
        let mut attempt = self.refuse(queued, &diagnosis, message, true, nomination, victims, now);
        if let Attempt::Refused(refusal) = &mut attempt {
            refusal.displaced = displaced;
        }
        attempt
    }

    /// The pod was not evicted after all.
    pub fn spared(&mut self, uid: &Istr) {
        self.snapshot.set_doomed(uid, false);
    }

    #[allow(clippy::too_many_arguments)]
    fn refuse(
        &mut self,
        mut queued: QueuedPod,
        diagnosis: &Diagnosis,
        message: String,
        unschedulable: bool,
        nomination: Nomination,
        victims: Vec<Arc<Pod>>,
        now: Moment,
    ) -> Attempt {
        let profile = queued.pod.body.scheduler_name.clone();
        queued.rejectors = diagnosis.plugins.iter().copied().collect();
        queued.pending = diagnosis.pending.iter().copied().collect();
        // The pod may have changed, or gone, since it was popped.
        let Some(pod) = self.pending.get(queued.pod.uid()).cloned() else {
            self.queue.done(queued.pod.uid());
            return Attempt::Nothing;
        };
        queued.shape = self.snapshot.shape(&pod);
        queued.pod = pod.clone();
        match &nomination {
            Nomination::Keep => self.snapshot.nominated_mut().set(&pod, None),
            Nomination::Clear => self.snapshot.nominated_mut().remove(pod.uid()),
            Nomination::Set(node) => self.snapshot.nominated_mut().set(&pod, Some(node)),
        }
        let plugins = queued.rejectors.clone();
        self.queue.give_back(queued, &self.snapshot, &self.profiles, now);
        Attempt::Refused(Box::new(Refusal {
            pod,
            unschedulable,
            message,
            nomination,
            victims,
            displaced: Vec::new(),
            plugins,
            profile,
        }))
    }

    /// The pod waits for nobody's permission any more and is about to be bound.
    pub fn permitted(&mut self, uid: &str) {
        self.queue.done(uid);
    }

    /// The pod was not bound: gives back what it took. `status` is a rejection when a plugin refused it while it waited.
    pub fn not_bound(&mut self, order: BindOrder, status: &Status, now: Moment) -> Attempt {
        let BindOrder {
            queued,
            decision,
            profile,
            ..
        } = order;
        let framework = self.profiles.0[profile].framework.clone();
        framework.run_unreserve(&queued.view(), &self.snapshot, decision.row);
        let uid = queued.pod.uid().clone();
        let freed = self
            .snapshot
            .is_assumed(&uid)
            .then(|| self.snapshot.forget(&uid))
            .flatten()
            .is_some();
        let rejected = status.is_rejected();
        let diagnosis = if rejected {
            Diagnosis::of_row(decision.row, status)
        } else {
            Diagnosis::default()
        };
        let message = if rejected {
            diagnosis.message()
        } else {
            status.message()
        };
        let pod = queued.pod.clone();
        let attempt = self.refuse(
            queued,
            &diagnosis,
            message,
            rejected,
            Nomination::Clear,
            Vec::new(),
            now,
        );
        if freed {
            let event = ClusterEvent::new(EventResource::AssignedPod, Action::DELETE);
            let occurrence = Occurrence {
                event,
                change: Change::Pod {
                    old: Some(pod),
                    new: None,
                },
            };
            // Not the pod itself: what it took is no help to it.
            self.queue
                .happened(&occurrence, &self.snapshot, &self.profiles, now, |waiting| {
                    *waiting.uid() != uid
                });
        }
        attempt
    }

    /// Whether the pod still waits to be scheduled or is being bound: it has not been deleted meanwhile.
    pub fn is_pending(&self, uid: &str) -> bool {
        self.pending.contains_key(uid)
    }
}
