//! Watches and writes.

use super::plan::{self, desired, fail_safe, needs_scale, stale_in};
use super::scale::{Scale, Scales};
use crate::api::{Budget, BudgetStatus, Pod, status_update};
use crate::caches::BY_NAMESPACE;
use crate::context::Context;
use anyhow::Context as _;
use jiff::Timestamp;
use machinery::arith::Selector;
use machinery::cache::{Cache, Event};
use machinery::client::{ApiError, PatchKind};
use machinery::meta::resources::{POD_DISRUPTION_BUDGETS, PODS};
use machinery::meta::{ObjectKey, ObjectMeta, ObjectRef, Time};
use machinery::queue::{Next, Queue, run_workers};
use serde::de::IgnoredAny;
use serde_json::json;
use std::sync::Arc;

const WORKERS: usize = 1;

struct Controller {
    context: Context,
    budgets: Cache<Budget>,
    pods: Cache<Pod>,
    scales: Scales,
    queue: Queue<ObjectKey>,
    /// Pods whose `DisruptionTarget` condition may have to be taken back.
    stale: Queue<ObjectKey>,
}

/// Runs until the context is stopped.
pub async fn run(context: Context) {
    let caches = context.caches.clone();
    let controller = Arc::new(Controller {
        budgets: caches.budgets().clone(),
        pods: caches.pods().clone(),
        scales: Scales {
            client: context.client.clone(),
            replica_sets: caches.replica_sets().clone(),
            deployments: caches.deployments().clone(),
            stateful_sets: caches.stateful_sets().clone(),
            known: parking_lot::Mutex::default(),
        },
        queue: Queue::new("disruption"),
        stale: Queue::new("stale_pod_disruption"),
        context,
    });
    tokio::join!(
        controller.pods.synced(),
        controller.budgets.synced(),
        controller.scales.replica_sets.synced(),
        controller.scales.deployments.synced(),
        controller.scales.stateful_sets.synced()
    );
    controller.subscribe();
    let (this, that) = (controller.clone(), controller.clone());
    let work = run_workers(&controller.queue, WORKERS, move |key| {
        let this = this.clone();
        async move { this.sync(&key).await }
    });
    let clean = run_workers(&controller.stale, WORKERS, move |key| {
        let that = that.clone();
        async move { that.take_back(&key).await }
    });
    tokio::join!(work, clean, async {
        controller.context.stop.cancelled().await;
        controller.queue.shutdown();
        controller.stale.shutdown();
    });
}

fn selects(budget: &Budget, pod: &ObjectMeta) -> bool {
    budget.spec.selector.as_ref().is_some_and(|selector| {
        Selector::try_from(selector).is_ok_and(|selector| selector.matches(|key| pod.labels.get(key)))
    })
}

impl Controller {
    fn subscribe(self: &Arc<Self>) {
        let this = self.clone();
        self.budgets
            .subscribe(move |event| this.queue.add(event.object().metadata.key()));
        let this = self.clone();
        self.pods.subscribe(move |event| {
            let pod = event.object();
            if let Event::Updated { old, .. } = event
                && old.metadata.labels != pod.metadata.labels
            {
                this.wake(old, false);
            }
            this.wake(pod, matches!(event, Event::Added(_)));
            if !matches!(event, Event::Deleted(_))
                && let Some(left) = stale_in(pod, Timestamp::now())
            {
                this.stale.add_after(pod.metadata.key(), left.unsigned_abs());
            }
        });
    }

    /// Wakes the budgets that the pod counts for.
    fn wake(&self, pod: &Pod, is_new: bool) {
        let budgets = self.budgets.by_index(BY_NAMESPACE, &pod.metadata.namespace);
        let selecting: Vec<_> = budgets
            .iter()
            .filter(|budget| selects(budget, &pod.metadata))
            .collect();
        if let ([first, _, ..], true) = (&selecting[..], is_new) {
            let (namespace, name) = (&pod.metadata.namespace, &pod.metadata.name);
            let message = format_args!(
                "Pod {namespace:?}/{name:?} matches multiple PodDisruptionBudgets.  Chose {:?} arbitrarily.",
                first.metadata.name
            );
            let about = ObjectRef::new(&PODS, &pod.metadata);
            self.context
                .events
                .warning(&about, "MultiplePodDisruptionBudgets", message);
        }
        for budget in selecting {
            self.queue.add(budget.metadata.key());
        }
    }

    async fn sync(&self, key: &ObjectKey) -> anyhow::Result<Next> {
        let Some(budget) = self.budgets.get(key) else {
            return Ok(Next::Done);
        };
        let now = Timestamp::now();
        let (status, again) = match self.work_out(&budget, now).await {
            Ok(worked_out) => worked_out,
            Err(problem) => {
                tracing::warn!(budget = %key, "nothing may be evicted: {problem:#}");
                (fail_safe(&budget, &format!("{problem:#}"), now), None)
            }
        };
        if status != budget.status {
            match self.write(&budget.metadata, &status).await {
                Ok(()) => {}
                Err(gone) if gone.is_not_found() => return Ok(Next::Done),
                // The eviction API writes it too: its event brings us back.
                Err(conflict) if conflict.is_conflict() => return Ok(Next::BackOff),
                Err(error) => {
                    return Err(error)
                        .with_context(|| format!("updating the status of PodDisruptionBudget {key}"));
                }
            }
        }
        Ok(again.map_or(Next::Done, Next::After))
    }

    async fn work_out(
        &self,
        budget: &Budget,
        now: Timestamp,
    ) -> anyhow::Result<(BudgetStatus, Option<std::time::Duration>)> {
        let (events, about) = (
            &self.context.events,
            ObjectRef::new(&POD_DISRUPTION_BUDGETS, &budget.metadata),
        );
        let mut pods = self.pods.by_index(BY_NAMESPACE, &budget.metadata.namespace);
        pods.retain(|pod| selects(budget, &pod.metadata));
        if pods.is_empty() {
            events.normal(&about, "NoPods", "No matching pods found");
        }
        let mut scale = Scale {
            wanted: 0,
            unmanaged: Vec::new(),
        };
        let count = if needs_scale(&budget.spec) {
            self.scales
                .of(&pods)
                .await
                .map_err(anyhow::Error::new)
                .map(|found| {
                    scale = found;
                })
        } else {
            Ok(())
        }
        .and_then(|()| {
            let count = i32::try_from(pods.len()).unwrap_or(i32::MAX);
            desired(&budget.spec, count, scale.wanted).map_err(anyhow::Error::new)
        });
        let count = count.inspect_err(|problem| {
            let message = format_args!("Failed to calculate the number of expected pods: {problem:#}");
            events.warning(&about, "CalculateExpectedPodCountFailed", message);
        })?;
        if !scale.unmanaged.is_empty() {
            let selector = serde_json::to_string(&budget.spec.selector).unwrap_or_default();
            let message = format_args!(
                "Pods selected by this PodDisruptionBudget (selector: {selector}) were found to be unmanaged. As a result, the status of the PDB cannot \
                 be calculated correctly, which may result in undefined behavior. To account for these pods please set \".spec.minAvailable\" field of \
                 the PDB to an integer value."
            );
            events.warning(&about, "UnmanagedPods", message);
        }
        let plan = plan::plan(budget, &pods, count, now);
        for pod in pods.iter().filter(|pod| plan.undead.contains(&pod.metadata.name)) {
            let message = format_args!(
                "Pod was expected by PDB {} to be deleted but it wasn't",
                budget.metadata.key()
            );
            events.warning(&ObjectRef::new(&PODS, &pod.metadata), "NotDeleted", message);
        }
        Ok((plan.status, plan.again.map(jiff::SignedDuration::unsigned_abs)))
    }

    async fn write(&self, meta: &ObjectMeta, status: &BudgetStatus) -> Result<(), ApiError> {
        let body = status_update(&POD_DISRUPTION_BUDGETS, meta, status);
        self.context
            .client
            .update_status::<IgnoredAny, _>(&POD_DISRUPTION_BUDGETS, &meta.namespace, &meta.name, &body)
            .await
            .map(|_| ())
    }

    /// Takes back that the pod is about to be disrupted, since it was not.
    async fn take_back(&self, key: &ObjectKey) -> anyhow::Result<Next> {
        let (Some(pod), now) = (self.pods.get(key), Timestamp::now()) else {
            return Ok(Next::Done);
        };
        match stale_in(&pod, now) {
            None => return Ok(Next::Done),
            Some(left) if left.is_positive() => return Ok(Next::After(left.unsigned_abs())),
            Some(_) => {}
        }
        let meta = &pod.metadata;
        let patch = json!({ "metadata": { "uid": meta.uid }, "status": { "conditions": [{ "type": "DisruptionTarget", "status": "False",
            "reason": null, "message": null, "lastTransitionTime": Time(now), "observedGeneration": meta.generation }] } });
        match self
            .context
            .client
            .patch_status::<IgnoredAny, _>(&PODS, &meta.namespace, &meta.name, PatchKind::Strategic, &patch)
            .await
        {
            Err(error) if !error.is_not_found() => {
                Err(error).with_context(|| format!("taking back the disruption of pod {key}"))
            }
            _ => Ok(Next::Done),
        }
    }
}
