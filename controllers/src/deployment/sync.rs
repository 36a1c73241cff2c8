//! Watches, claims, writes.

use super::plan::{self, NewSet, Plan, Status, Update};
use super::progress::Recheck;
use crate::api::{Deployment, Object, Pod, ReplicaSet, Status as StatusBody, Strategy};
use crate::caches::{BY_NAMESPACE, BY_OWNER, orphans_of};
use crate::context::Context;
use crate::hash::POD_TEMPLATE_HASH;
use crate::ownership::{Claimant, Claiming, Consistency, claim};
use crate::pods::reason;
use crate::work::work;
use anyhow::Context as _;
use jiff::Timestamp;
use machinery::arith::{LabelSelector, Selector};
use machinery::cache::{Cache, Event};
use machinery::client::{ApiError, DeleteOptions, PatchKind};
use machinery::meta::resources::{DEPLOYMENTS, REPLICA_SETS};
use machinery::meta::{Annotations, Istr, Labels, ObjectKey, ObjectMeta, ObjectRef, OwnerRef, PartialObject};
use machinery::queue::{Next, Queue};
use serde::Serialize;

use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};

struct Controller {
    context: Context,
    deployments: Cache<Deployment>,
    sets: Cache<ReplicaSet>,
    pods: Cache<Pod>,
    queue: Queue<ObjectKey>,
    consistency: Consistency,
}

/// Runs until the context is stopped.
pub async fn run(context: Context) {
    let controller = Arc::new(Controller {
        deployments: context.caches.deployments().clone(),
        sets: context.caches.replica_sets().clone(),
        pods: context.caches.pods().clone(),
        queue: Queue::new("deployment"),
        consistency: Consistency::default(),
        context,
    });
    controller.subscribe();
    tokio::join!(
        controller.deployments.synced(),
        controller.sets.synced(),
        controller.pods.synced()
    );
    let workers = controller.context.config.concurrent_deployment_syncs;
    let (queue, stop) = (controller.queue.clone(), controller.context.stop.clone());
    work(DEPLOYMENTS, &queue, workers, &stop, move |key| {
        let controller = controller.clone();
        async move { controller.sync(&key).await }
    })
    .await;
}

fn owner(set: &ObjectMeta) -> Option<ObjectKey> {
    let owner = set.controller().filter(|owner| owner.kind == "Deployment")?;
    Some(ObjectKey::new(&set.namespace, &owner.name))
}

impl Controller {
    fn subscribe(self: &Arc<Self>) {
        let this = self.clone();
        self.deployments.subscribe(move |event| {
            match event {
                Event::Updated { old, new } if old.metadata.uid != new.metadata.uid => {
                    this.consistency.forget(&old.metadata.uid)
                }
                Event::Deleted(last) => this.consistency.forget(&last.metadata.uid),
                _ => {}
            }
            this.queue.add(event.object().metadata.key());
        });
        let this = self.clone();
        self.sets.subscribe(move |event| match event {
            Event::Added(set) => this.set_changed(set, true),
            Event::Deleted(set) => this.set_changed(set, false),
            Event::Updated { old, new } => {
                let moved = old.metadata.controller() != new.metadata.controller();
                if moved {
                    owner(&old.metadata)
                        .into_iter()
                        .for_each(|key| this.queue.add(key));
                }
                this.set_changed(new, moved || old.metadata.labels != new.metadata.labels);
            }
        });
        let this = self.clone();
        self.pods.subscribe(move |event| match event {
            Event::Deleted(pod) => this.pod_ended(pod),
            Event::Updated { old, new }
                if new.status.phase.is_terminal() && !old.status.phase.is_terminal() =>
            {
                this.pod_ended(new)
            }
            _ => {}
        });
    }

    fn set_changed(&self, set: &ReplicaSet, orphan_matters: bool) {
        if set.metadata.controller().is_some() {
            owner(&set.metadata)
                .into_iter()
                .for_each(|key| self.queue.add(key));
        } else if orphan_matters {
            for deployment in self.deployments.by_index(BY_NAMESPACE, &set.metadata.namespace) {
                if Selector::try_from(&deployment.spec.selector)
                    .is_ok_and(|selector| selector.matches(|key| set.metadata.labels.get(key)))
                {
                    self.queue.add(deployment.metadata.key());
                }
            }
        }
    }

    /// A Deployment that recreates waits for its old pods to end.
    fn pod_ended(&self, pod: &Pod) {
        let Some(of) = pod
            .metadata
            .controller()
            .filter(|owner| owner.kind == "ReplicaSet")
        else {
            return;
        };
        let Some(set) = self.sets.get_named(&pod.metadata.namespace, &of.name) else {
            return;
        };
        let Some(key) = owner(&set.metadata) else { return };
        if self
            .deployments
            .get(&key)
            .is_some_and(|deployment| deployment.spec.strategy == Strategy::Recreate)
        {
            self.queue.add(key);
        }
    }

    async fn sync(&self, key: &ObjectKey) -> anyhow::Result<Next> {
        let Some(deployment) = self.deployments.get(key) else {
            return Ok(Next::Done);
        };
        if deployment.spec.selector == LabelSelector::default() {
            return self.refuse(&deployment).await;
        }
        let selector = Selector::try_from(&deployment.spec.selector)
            .with_context(|| format!("Deployment {key} has an invalid selector"))?;
        let uid = &deployment.metadata.uid;
        let mut sets = self.sets.by_index(BY_OWNER, uid);
        let held = sets.iter().map(|set| &set.metadata).chain([&deployment.metadata]);
        if !self.consistency.is_caught_up(uid, held, Instant::now()) {
            return Ok(Next::After(Duration::from_secs(1))); // the events that bring the cache up to date come sooner
        }
        sets.extend(self.sets.by_index(BY_OWNER, &orphans_of(&key.namespace)));
        let sets = self.claim(&deployment, &selector, sets).await?;
        let old_pods_run = |new: Option<&str>| {
            let old = sets.iter().filter(|set| Some(set.metadata.uid.as_str()) != new);
            old.flat_map(|set| self.pods.by_index(BY_OWNER, &set.metadata.uid))
                .any(|pod| !pod.status.phase.is_terminal())
        };
        let plan = plan::plan(&deployment, &sets, old_pods_run, Timestamp::now())
            .with_context(|| format!("the template of Deployment {key}"))?;
        self.carry_out(&deployment, plan)
            .await
            .with_context(|| format!("rolling Deployment {key}"))
    }

    /// An empty selector would select every pod.
    async fn refuse(&self, deployment: &Deployment) -> anyhow::Result<Next> {
        self.warn(
            deployment,
            "SelectingAll",
            "This deployment is selecting all pods. A non-empty selector is required.",
        );
        if deployment.status.observed_generation < deployment.metadata.generation {
            let mut status = deployment.status.clone();
            status.observed_generation = deployment.metadata.generation;
            self.write_status(
                deployment,
                Status {
                    status,
                    revision: None,
                },
            )
            .await?;
        }
        Ok(Next::Done)
    }

    async fn claim(
        &self,
        deployment: &Deployment,
        selector: &Selector,
        sets: Vec<Arc<ReplicaSet>>,
    ) -> anyhow::Result<Vec<Arc<ReplicaSet>>> {
        let claimant = Claimant {
            meta: &deployment.metadata,
            selector,
        };
        let (client, resource) = (&self.context.client, &DEPLOYMENTS);
        let mut claiming = Claiming::new(client, resource, &deployment.metadata);
        let mut owned = Vec::with_capacity(sets.len());
        for set in sets {
            let decision = claim(&claimant, &set.metadata);
            let keep = claiming
                .act(decision, &set.metadata, async |patch| {
                    self.patch_set(deployment, &set.metadata, &patch).await
                })
                .await?;
            if keep {
                owned.push(set);
            }
        }
        Ok(owned)
    }

    async fn patch_set(
        &self,
        deployment: &Deployment,
        set: &ObjectMeta,
        patch: &Value,
    ) -> Result<bool, ApiError> {
        let answer = self
            .context
            .client
            .patch::<PartialObject, _>(
                &REPLICA_SETS,
                &set.namespace,
                &set.name,
                PatchKind::Strategic,
                patch,
            )
            .await;
        match answer {
            Ok(written) => {
                // A released set is no longer among those that the owner's writes are looked for.
                if written.metadata.is_controlled_by(&deployment.metadata.uid) {
                    self.consistency
                        .wrote(&deployment.metadata.uid, &written.metadata, Instant::now());
                }
                Ok(true)
            }
            Err(gone) if gone.is_not_found() || gone.is_invalid() => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn carry_out(&self, deployment: &Deployment, plan: Plan) -> Result<Next, ApiError> {
        if let Some(new) = plan.create
            && let Some(next) = self.create(deployment, new).await?
        {
            return Ok(next);
        }
        for update in &plan.updates {
            self.update(deployment, update).await?;
        }
        for set in &plan.deletions {
            let options = DeleteOptions::default().uid(&*set.metadata.uid);
            match self
                .context
                .client
                .delete(
                    &REPLICA_SETS,
                    &set.metadata.namespace,
                    &set.metadata.name,
                    &options,
                )
                .await
            {
                Err(error) if !error.is_not_found() && !error.is_conflict() => return Err(error),
                _ => {}
            }
        }
        if let Some(status) = plan.status {
            self.write_status(deployment, status).await?;
        }
        Ok(match plan.recheck {
            None => Next::Done,
            Some(Recheck::Backoff) => Next::BackOff,
            Some(Recheck::After(delay)) => Next::After(delay),
        })
    }

    /// Creates the new set. What it returns ends the sync.
    async fn create(&self, deployment: &Deployment, new: NewSet) -> Result<Option<Next>, ApiError> {
        let namespace = &deployment.metadata.namespace;
        let body = new_set(deployment, &new).map_err(|cause| ApiError::Encode {
            verb: "create",
            path: format!("ReplicaSet {namespace}/{}", new.name),
            cause,
        })?;
        match self
            .context
            .client
            .create::<PartialObject, _>(&REPLICA_SETS, namespace, &body)
            .await
        {
            Ok(created) => {
                self.consistency
                    .wrote(&deployment.metadata.uid, &created.metadata, Instant::now());
                if new.replicas > 0 {
                    let message = format!("Scaled up replica set {} from 0 to {}", new.name, new.replicas);
                    self.context
                        .events
                        .normal(&about(deployment), "ScalingReplicaSet", message);
                }
                Ok(None)
            }
            Err(taken) if taken.is_already_exists() => self.resolve(deployment, &new.name).await.map(Some),
            Err(terminating) if terminating.is_namespace_terminating() => Err(terminating),
            Err(error) => {
                let message = format!(
                    "Failed to create new replica set {:?}: {}",
                    new.name,
                    reason(&error)
                );
                self.warn(deployment, "ReplicaSetCreateError", &message);
                if let Some(status) = plan::creation_failed(deployment, message, Timestamp::now()) {
                    self.write_status(deployment, status).await?;
                }
                Err(error)
            }
        }
    }

    /// The new set's name is taken: by ourselves with the cache lagging behind, or by another template with the same hash.
    async fn resolve(&self, deployment: &Deployment, name: &str) -> Result<Next, ApiError> {
        let held: ReplicaSet = self
            .context
            .client
            .get(&REPLICA_SETS, &deployment.metadata.namespace, name)
            .await?;
        let ours = held.metadata.is_controlled_by(&deployment.metadata.uid)
            && held.spec.template.id() == deployment.spec.template.id();
        if ours {
            self.consistency
                .wrote(&deployment.metadata.uid, &held.metadata, Instant::now());
            return Ok(Next::BackOff);
        }
        tracing::info!(deployment = %deployment.metadata.key(), replica_set = name, "hash collision: trying another hash");
        self.write_status(deployment, plan::collided(deployment)).await?;
        Ok(Next::BackOff)
    }

    async fn update(&self, deployment: &Deployment, update: &Update) -> Result<(), ApiError> {
        let held = &update.held.metadata;
        let mut patch = json!({ "metadata": { "resourceVersion": held.resource_version } });
        let object = |of: Vec<(String, Value)>| Value::Object(of.into_iter().collect::<Map<_, _>>());
        if !update.annotations.is_empty() {
            patch["metadata"]["annotations"] = object(
                update
                    .annotations
                    .iter()
                    .map(|(key, value)| (key.clone(), value.clone().into()))
                    .collect(),
            );
        }
        let spec = [
            ("replicas", update.replicas),
            ("minReadySeconds", update.min_ready_seconds),
        ];
        let spec: Vec<_> = spec
            .into_iter()
            .filter_map(|(key, value)| Some((key.to_owned(), value?.into())))
            .collect();
        if !spec.is_empty() {
            patch["spec"] = object(spec);
        }
        let written = self
            .context
            .client
            .patch::<PartialObject, _>(
                &REPLICA_SETS,
                &held.namespace,
                &held.name,
                PatchKind::Merge,
                &patch,
            )
            .await?;
        self.consistency
            .wrote(&deployment.metadata.uid, &written.metadata, Instant::now());
        if let Some(replicas) = update.replicas {
            let before = update.held.spec.replicas;
            let way = if before < replicas { "up" } else { "down" };
            let message = format!(
                "Scaled {way} replica set {} from {before} to {replicas}",
                held.name
            );
            self.context
                .events
                .normal(&about(deployment), "ScalingReplicaSet", message);
        }
        Ok(())
    }

    async fn write_status(
        &self,
        deployment: &Deployment,
        Status { status, revision }: Status,
    ) -> Result<(), ApiError> {
        let mut metadata = deployment.metadata.clone();
        if let Some(revision) = revision {
            metadata.annotations.insert(super::revision::REVISION, revision);
        }
        let body = Object::new(&DEPLOYMENTS, &metadata, StatusBody { status });
        let written: PartialObject = self
            .context
            .client
            .update_status(&DEPLOYMENTS, &metadata.namespace, &metadata.name, &body)
            .await?;
        self.consistency
            .wrote(&metadata.uid, &written.metadata, Instant::now());
        Ok(())
    }

    fn warn(&self, deployment: &Deployment, reason: &'static str, message: &str) {
        self.context.events.warning(&about(deployment), reason, message);
    }
}

fn about(deployment: &Deployment) -> ObjectRef {
    ObjectRef::new(&DEPLOYMENTS, &deployment.metadata)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NewMetadata<'a> {
    name: &'a str,
    namespace: Istr,
    labels: Labels,
    annotations: &'a Annotations,
    owner_references: [OwnerRef; 1],
}

/// The body of the new ReplicaSet: the Deployment's template and selector with the hash label added.
fn new_set(deployment: &Deployment, new: &NewSet) -> Result<impl Serialize, serde_json::Error> {
    let template = deployment
        .spec
        .template
        .with_label(POD_TEMPLATE_HASH, &new.hash)?;
    let mut selector = deployment.spec.selector.clone();
    selector
        .match_labels
        .insert(POD_TEMPLATE_HASH.into(), new.hash.as_str().into());
    let mut labels = deployment.spec.template.labels.clone();
    labels.insert(POD_TEMPLATE_HASH, new.hash.as_str());
    let metadata = NewMetadata {
        name: &new.name,
        namespace: deployment.metadata.namespace.clone(),
        labels,
        annotations: &new.annotations,
        owner_references: [OwnerRef::controller(&DEPLOYMENTS, &deployment.metadata)],
    };
    serde_json::to_value(Object::new(
        &REPLICA_SETS,
        metadata,
        json!({ "spec": { "replicas": new.replicas, "minReadySeconds": deployment.spec.min_ready_seconds, "selector": selector, "template": template } }),
    ))
}
