//! What is told of pods: events, and the `PodScheduled` condition.

use machinery::client::{ApiError, Client, DeleteOptions, PatchKind};
use machinery::events::{EventType, Recorder};
use machinery::meta::resources::PODS;
use machinery::meta::{Istr, ObjectRef, PartialObject, Time};
use serde_json::{Value, json};
use tracing::{info, warn};

use crate::api::Pod;
use crate::core::{Nomination, Refusal};
use crate::framework::plugin::Placement;

/// The longest note that an event may have.
const NOTE_LIMIT: usize = 1024;

/// Writes events and conditions.
pub struct Reporter {
    client: Client,
    recorders: Vec<(Istr, Recorder)>,
}

impl Reporter {
    /// Events of a profile's pods are the profile's.
    pub fn new(client: &Client, recorders: Vec<(Istr, Recorder)>) -> Self {
        Self {
            client: client.clone(),
            recorders,
        }
    }

    fn event(&self, pod: &Pod, kind: EventType, reason: &str, action: &str, note: &str) {
        let profile = &pod.body.scheduler_name;
        if let Some((_, recorder)) = self.recorders.iter().find(|(name, _)| name == profile) {
            recorder.event(&ObjectRef::new(&PODS, &pod.meta), kind, reason, action, note);
        }
    }

    pub fn bound(&self, placement: &Placement) {
        let Placement { pod, node } = placement;
        let note = format!(
            "Successfully assigned {}/{} to {node}",
            pod.namespace(),
            pod.name()
        );
        self.event(pod, EventType::Normal, "Scheduled", "Binding", &note);
    }

    pub fn deleting(&self, pod: &Pod) {
        let note = format!("skip schedule deleting pod: {}/{}", pod.namespace(), pod.name());
        self.event(pod, EventType::Warning, "FailedScheduling", "Scheduling", &note);
    }

    /// Evicts the victims, tells why the pod waits, and writes that into its status.
    pub async fn refused(&self, refusal: &Refusal) {
        let pod = &refusal.pod;
        if refusal.unschedulable {
            info!(pod = %pod.meta.key(), why = %refusal.message, "unable to schedule pod; waiting");
        } else {
            warn!(pod = %pod.meta.key(), why = %refusal.message, "error scheduling pod; retrying");
        }
        self.event(
            pod,
            EventType::Warning,
            "FailedScheduling",
            "Scheduling",
            &shortened(&refusal.message),
        );
        let Some(status) = status_patch(refusal) else {
            return;
        };
        let body = json!({ "metadata": { "uid": pod.uid() }, "status": status });
        match self.patch(pod, &body).await {
            Ok(()) => {}
            Err(error) if error.is_not_found() || error.is_conflict() => {}
            Err(error) => warn!(pod = %pod.meta.key(), %error, "updating the pod's status"),
        }
    }

    async fn patch(&self, pod: &Pod, body: &Value) -> Result<(), ApiError> {
        let (namespace, name) = (pod.namespace(), pod.name());
        self.client
            .patch_status::<PartialObject, _>(&PODS, namespace, name, PatchKind::Strategic, body)
            .await
            .map(|_| ())
    }

    /// Takes a pod's nomination back.
    pub async fn displaced(&self, pod: &Pod) {
        let body = json!({ "metadata": { "uid": pod.uid() }, "status": { "nominatedNodeName": null } });
        if let Err(error) = self.patch(pod, &body).await
            && !error.is_not_found()
        {
            warn!(pod = %pod.meta.key(), %error, "clearing the pod's nomination");
        }
    }

    /// Evicts `victim` for `pod`; whether it is going.
    pub async fn evict(&self, pod: &Pod, victim: &Pod) -> bool {
        let message = format!(
            "{}: preempting to accommodate a higher priority pod",
            pod.body.scheduler_name
        );
        let condition = json!({
            "type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler", "message": message,
            "lastTransitionTime": Time::now(), "observedGeneration": victim.meta.generation,
        });
        let body = json!({ "metadata": { "uid": victim.uid() }, "status": { "conditions": [condition] } });
        if let Err(error) = self.patch(victim, &body).await
            && !error.is_not_found()
        {
            warn!(pod = %victim.meta.key(), %error, "marking a pod that is preempted");
        }
        let just_it = DeleteOptions::default().uid(victim.uid().as_str());
        match self
            .client
            .delete(&PODS, victim.namespace(), victim.name(), &just_it)
            .await
        {
            Ok(_) => {
                let node = victim.node_name.clone().unwrap_or_default();
                let note = format!("Preempted by pod {} on node {node}", pod.uid());
                self.event(victim, EventType::Normal, "Preempted", "Preempting", &note);
                true
            }
            Err(error) if error.is_not_found() || error.is_conflict() => true,
            Err(error) => {
                warn!(pod = %victim.meta.key(), %error, "deleting a pod that is preempted");
                false
            }
        }
    }
}

/// The part of the pod's status that has to change; `None` when it says all that already.
fn status_patch(refusal: &Refusal) -> Option<Value> {
    let pod = &refusal.pod;
    let reason = if refusal.unschedulable {
        "Unschedulable"
    } else {
        "SchedulerError"
    };
    let held = pod.unscheduled.as_deref();
    let same = held.is_some_and(|held| {
        &*held.status == "False" && &*held.reason == reason && *held.message == *refusal.message
    });
    let mut status = json!({});
    if !same {
        let mut condition = json!({
            "type": "PodScheduled", "status": "False", "reason": reason, "message": refusal.message,
            "observedGeneration": pod.meta.generation, "lastProbeTime": null,
        });
        if held.is_none_or(|held| &*held.status != "False") {
            condition["lastTransitionTime"] = json!(Time::now());
        }
        status["conditions"] = json!([condition]);
    }
    match &refusal.nomination {
        Nomination::Set(node) if pod.nominated_node.as_ref() != Some(node) => {
            status["nominatedNodeName"] = json!(node)
        }
        Nomination::Clear if pod.nominated_node.is_some() => status["nominatedNodeName"] = Value::Null,
        _ => {}
    }
    status
        .as_object()
        .is_some_and(|fields| !fields.is_empty())
        .then_some(status)
}

/// The message, cut to what an event can hold.
fn shortened(message: &str) -> String {
    if message.len() <= NOTE_LIMIT {
        return message.to_owned();
    }
    let suffix = " ...";
    let end = (0..=NOTE_LIMIT - suffix.len())
        .rev()
        .find(|end| message.is_char_boundary(*end))
        .unwrap_or(0);
    format!("{}{suffix}", &message[..end])
}
