//! Watches and writes.

use super::plan::{FINALIZER, Question, UNUSED, holds, questions, refers, unused};
use crate::api::{Claim, ConditionStatus, Pod};
use crate::caches::BY_CLAIM;
use crate::context::Context;
use crate::work::until_stopped;
use crate::{protection, rewrite};
use anyhow::Context as _;
use machinery::cache::{Cache, Event};
use machinery::client::{ApiError, ListOptions};
use machinery::meta::resources::{PERSISTENT_VOLUME_CLAIMS, PODS};
use machinery::meta::{ObjectKey, ObjectMeta, Time};
use machinery::queue::{Next, Queue};
use serde_json::{Value, json};
use std::sync::Arc;

const WORKERS: usize = 5;

struct Controller {
    context: Context,
    claims: Cache<Claim>,
    pods: Cache<Pod>,
    queue: Queue<ObjectKey>,
}

/// Runs until the context is stopped.
pub async fn run(context: Context) {
    let controller = Arc::new(Controller {
        claims: context.caches.claims().clone(),
        pods: context.caches.pods().clone(),
        queue: Queue::new("pvcprotection"),
        context,
    });
    tokio::join!(controller.claims.synced(), controller.pods.synced());
    controller.subscribe();
    let this = controller.clone();
    until_stopped(&controller.queue, WORKERS, &controller.context.stop, move |key| {
        let this = this.clone();
        async move { this.sync(&key).await }
    })
    .await;
}

impl Controller {
    fn subscribe(self: &Arc<Self>) {
        let this = self.clone();
        self.claims.subscribe(move |event| {
            if matches!(event, Event::Deleted(_)) {
                return;
            }
            let claim = event.object();
            let tells = claim.status.conditions.iter().any(|held| held.kind == UNUSED);
            let asked = questions(claim);
            if asked.iter().any(|asked| *asked != Question::IsReferred || !tells) {
                this.queue.add(claim.metadata.key());
            }
        });
        let this = self.clone();
        self.pods.subscribe(move |event| match event {
            Event::Added(pod) | Event::Deleted(pod) => this.wake(pod),
            Event::Updated { old, new } => {
                let replaced = old.metadata.uid != new.metadata.uid;
                if replaced {
                    this.wake(old);
                }
                if replaced
                    || old.status.phase != new.status.phase
                    || old.spec.node_name != new.spec.node_name
                    || old.metadata.deletion_grace_period_seconds
                        != new.metadata.deletion_grace_period_seconds
                {
                    this.wake(new);
                }
            }
        });
    }

    fn wake(&self, pod: &Pod) {
        for name in pod.claim_names() {
            self.queue.add(ObjectKey::new(&pod.metadata.namespace, name));
        }
    }

    async fn sync(&self, key: &ObjectKey) -> anyhow::Result<Next> {
        let Some(claim) = self.claims.get(key) else {
            return Ok(Next::Done);
        };
        for question in questions(&claim) {
            let done = match question {
                Question::IsReferred => self.tell_use(&claim).await,
                Question::IsHeld if self.is_used(&claim.metadata, holds).await? => Ok(true),
                Question::IsHeld => self.protect(&claim.metadata, false).await,
                Question::Unprotected => self.protect(&claim.metadata, true).await,
            };
            if !done.with_context(|| format!("protecting claim {key}"))? {
                // Written by somebody else meanwhile: the event brings us back.
                return Ok(Next::BackOff);
            }
        }
        Ok(Next::Done)
    }

    /// Asks the cache, and, where it knows of no use, the API server.
    async fn is_used(
        &self,
        claim: &ObjectMeta,
        uses: fn(&Pod, &ObjectMeta) -> bool,
    ) -> Result<bool, ApiError> {
        if self.is_used_here(claim, uses) {
            return Ok(true);
        }
        let live = self
            .context
            .client
            .list_all::<Pod>(&PODS, &claim.namespace, &ListOptions::default())
            .await?;
        Ok(live.items.iter().any(|pod| uses(pod, claim)))
    }

    fn is_used_here(&self, claim: &ObjectMeta, uses: fn(&Pod, &ObjectMeta) -> bool) -> bool {
        self.pods
            .by_index(BY_CLAIM, &claim.key().to_string())
            .iter()
            .any(|pod| uses(pod, claim))
    }

    async fn tell_use(&self, claim: &Claim) -> Result<bool, ApiError> {
        let tells_unused = claim
            .status
            .conditions
            .iter()
            .any(|held| held.kind == UNUSED && held.status == ConditionStatus::True);
        let used = self.is_used_here(&claim.metadata, refers)
            || (!tells_unused && self.is_used(&claim.metadata, refers).await?);
        let Some((status, reason, message)) = unused(claim, used) else {
            return Ok(true);
        };
        let client = &self.context.client;
        let Some(mut object) = rewrite::read(client, &PERSISTENT_VOLUME_CLAIMS, &claim.metadata).await?
        else {
            return Ok(false);
        };
        let condition = json!({ "type": UNUSED, "status": status, "reason": reason, "message": message,
            "lastTransitionTime": Time::now() });
        let held = &mut object["status"]["conditions"];
        let mut conditions: Vec<Value> = held.as_array().cloned().unwrap_or_default();
        match conditions.iter_mut().find(|held| held["type"] == UNUSED) {
            Some(held) => *held = condition,
            None => conditions.push(condition),
        }
        *held = Value::Array(conditions);
        rewrite::write_status(client, &PERSISTENT_VOLUME_CLAIMS, &claim.metadata, &object)
            .await
            .map(|_| true)
            .or_else(protection::settled)
    }

    async fn protect(&self, claim: &ObjectMeta, wanted: bool) -> Result<bool, ApiError> {
        let client = &self.context.client;
        protection::set(client, &PERSISTENT_VOLUME_CLAIMS, claim, FINALIZER, wanted).await
    }
}
