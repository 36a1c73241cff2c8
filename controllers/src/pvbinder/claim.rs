//! What becomes of a claim.

use super::matching::{best, class_of_claim, default_class, has_class, is_reserved_for, mismatch};
use crate::api::{Claim, StorageClass, Volume};
use machinery::meta::Istr;
use std::sync::Arc;

pub const BIND_COMPLETED: &str = "pv.kubernetes.io/bind-completed";
pub const BOUND_BY_CONTROLLER: &str = "pv.kubernetes.io/bound-by-controller";
const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";

/// What an event says about the claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    pub warning: bool,
    pub reason: &'static str,
    pub message: String,
}

fn note(reason: &'static str, message: impl Into<String>) -> Option<Note> {
    Some(Note {
        warning: false,
        reason,
        message: message.into(),
    })
}

fn warning(reason: &'static str, message: impl Into<String>) -> Option<Note> {
    Some(Note {
        warning: true,
        reason,
        message: message.into(),
    })
}

/// What is to be done about a claim.
#[derive(Debug)]
pub enum Verdict {
    Bind(Arc<Volume>),
    /// It stays pending.
    Wait(Option<Note>),
    /// It was bound, and no longer is.
    Lost(Note),
    /// It names no class: the default one's name is filled in.
    FillIn(Istr),
    /// A provisioner that runs elsewhere is asked.
    Provision {
        provisioner: Istr,
    },
    /// It is tried again later.
    Retry(Option<Note>),
}

/// The world as it is seen.
pub struct Seen<'a> {
    pub volumes: &'a [Arc<Volume>],
    pub classes: &'a [Arc<StorageClass>],
    /// Pods that wait for the claim and are on no node.
    pub waiting_pods: &'a [Istr],
}

impl Seen<'_> {
    fn volume(&self, name: &str) -> Option<&Arc<Volume>> {
        self.volumes.iter().find(|volume| *volume.metadata.name == *name)
    }

    fn class(&self, name: &str) -> Option<&Arc<StorageClass>> {
        self.classes.iter().find(|class| *class.metadata.name == *name)
    }

    /// Decides about a claim.
    pub fn decide(&self, claim: &Claim) -> Verdict {
        let (bound, named) = (
            claim.metadata.annotations.contains_key(BIND_COMPLETED),
            &claim.spec.volume_name,
        );
        match (bound, named.is_empty()) {
            (false, true) => self.choose(claim),
            (false, false) => self.take(claim, named),
            (true, _) => self.keep(claim, named),
        }
    }

    fn choose(&self, claim: &Claim) -> Verdict {
        let class = class_of_claim(claim);
        let delayed = self
            .class(class)
            .is_some_and(|class| class.volume_binding_mode == "WaitForFirstConsumer");
        if let Some(volume) = best(claim, self.volumes, delayed) {
            return Verdict::Bind(volume.clone());
        }
        if !has_class(claim)
            && let Some(default) = default_class(self.classes)
        {
            return Verdict::FillIn(default.metadata.name.clone());
        }
        if delayed && !claim.metadata.annotations.contains_key(SELECTED_NODE) {
            return Verdict::Wait(self.first_consumer());
        }
        if class.is_empty() {
            let message = "no persistent volumes available for this claim and no storage class is set";
            return Verdict::Wait(note("FailedBinding", message));
        }
        match self.class(class) {
            None => {
                let message = format!("storageclass.storage.k8s.io {class:?} not found");
                Verdict::Retry(warning("ProvisioningFailed", message))
            }
            Some(class) if class.provisioner.starts_with("kubernetes.io/") => {
                let message = format!("no volume plugin matched name: {}", class.provisioner);
                Verdict::Wait(warning("ProvisioningFailed", message))
            }
            Some(class) => Verdict::Provision {
                provisioner: class.provisioner.clone(),
            },
        }
    }

    fn first_consumer(&self) -> Option<Note> {
        match self.waiting_pods {
            [] => note(
                "WaitForFirstConsumer",
                "waiting for first consumer to be created before binding",
            ),
            [pod] => note(
                "WaitForPodScheduled",
                format!("waiting for pod {pod} to be scheduled"),
            ),
            pods => {
                let pods: Vec<&str> = pods.iter().map(|pod| &**pod).collect();
                note(
                    "WaitForPodScheduled",
                    format!("waiting for pods {} to be scheduled", pods.join(",")),
                )
            }
        }
    }

    fn take(&self, claim: &Claim, named: &Istr) -> Verdict {
        let Some(volume) = self.volume(named) else {
            return Verdict::Wait(None);
        };
        if volume.spec.claim_ref.is_none() {
            return match mismatch(claim, volume) {
                Some(why) => Verdict::Wait(warning(
                    "VolumeMismatch",
                    format!("Cannot bind to requested volume {named:?}: {why}"),
                )),
                None => Verdict::Bind(volume.clone()),
            };
        }
        if is_reserved_for(volume, &claim.metadata) {
            return Verdict::Bind(volume.clone());
        }
        let told = warning(
            "FailedBinding",
            format!("volume {named:?} already bound to a different claim."),
        );
        // A user may have asked for a volume that becomes free; we did not.
        if claim.metadata.annotations.contains_key(BOUND_BY_CONTROLLER) {
            Verdict::Retry(told)
        } else {
            Verdict::Wait(told)
        }
    }

    fn keep(&self, claim: &Claim, named: &Istr) -> Verdict {
        let lost = |reason, message: &str| {
            Verdict::Lost(Note {
                warning: true,
                reason,
                message: message.to_owned(),
            })
        };
        if named.is_empty() {
            return lost(
                "ClaimLost",
                "Bound claim has lost reference to PersistentVolume. Data on the volume is lost!",
            );
        }
        let Some(volume) = self.volume(named) else {
            return lost(
                "ClaimLost",
                "Bound claim has lost its PersistentVolume. Data on the volume is lost!",
            );
        };
        match &volume.spec.claim_ref {
            Some(held) if held.uid != claim.metadata.uid => lost(
                "ClaimMisbound",
                "Two claims are bound to the same volume, this one is bound incorrectly",
            ),
            _ => Verdict::Bind(volume.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn claim(spec: &Value, annotations: &Value) -> Claim {
        let mut object = json!({ "metadata": { "name": "c", "namespace": "n", "uid": "u", "annotations": annotations },
            "spec": { "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "1Gi" } } } });
        for (key, value) in spec.as_object().unwrap() {
            object["spec"][key] = value.clone();
        }
        serde_json::from_str(&object.to_string()).unwrap()
    }

    fn volume(claim_ref: &Value) -> Arc<Volume> {
        let object = json!({ "metadata": { "name": "v" }, "status": { "phase": "Available" },
            "spec": { "accessModes": ["ReadWriteOnce"], "capacity": { "storage": "1Gi" }, "claimRef": claim_ref } });
        Arc::new(serde_json::from_str(&object.to_string()).unwrap())
    }

    fn class(name: &str, provisioner: &str, mode: &str, default: &str) -> Arc<StorageClass> {
        let object = json!({ "metadata": { "name": name, "annotations": { "storageclass.kubernetes.io/is-default-class": default } },
            "provisioner": provisioner, "volumeBindingMode": mode });
        Arc::new(serde_json::from_str(&object.to_string()).unwrap())
    }

    fn told(verdict: &Verdict) -> String {
        let of = |note: &Option<Note>| {
            note.as_ref()
                .map(|note| note.reason.to_owned())
                .unwrap_or_default()
        };
        match verdict {
            Verdict::Bind(volume) => format!("bind {}", volume.metadata.name),
            Verdict::Wait(note) => format!("wait {}", of(note)),
            Verdict::Retry(note) => format!("retry {}", of(note)),
            Verdict::Lost(note) => format!("lost {}", note.reason),
            Verdict::FillIn(class) => format!("class {class}"),
            Verdict::Provision { provisioner } => format!("ask {provisioner}"),
        }
    }

    #[test]
    fn claims_are_bound_or_told_why_not() {
        let classes = [
            class("fast", "example.com/csi", "Immediate", "true"),
            class("late", "example.com/csi", "WaitForFirstConsumer", "false"),
            class("local", "kubernetes.io/no-provisioner", "Immediate", "false"),
        ];
        let free = volume(&Value::Null);
        let mine = volume(&json!({ "name": "c", "namespace": "n", "uid": "u" }));
        let other = volume(&json!({ "name": "x", "namespace": "n", "uid": "x" }));
        let done = json!({ BIND_COMPLETED: "yes" });
        for (spec, annotations, volumes, want) in [
            (
                json!({ "storageClassName": "" }),
                json!({}),
                vec![&free],
                "bind v",
            ),
            (
                json!({ "storageClassName": "" }),
                json!({}),
                vec![&other],
                "wait FailedBinding",
            ),
            (json!({}), json!({}), vec![], "class fast"),
            (
                json!({ "storageClassName": "fast" }),
                json!({}),
                vec![],
                "ask example.com/csi",
            ),
            (
                json!({ "storageClassName": "late" }),
                json!({}),
                vec![],
                "wait WaitForFirstConsumer",
            ),
            (
                json!({ "storageClassName": "late" }),
                json!({ SELECTED_NODE: "n1" }),
                vec![],
                "ask example.com/csi",
            ),
            (
                json!({ "storageClassName": "local" }),
                json!({}),
                vec![],
                "wait ProvisioningFailed",
            ),
            (
                json!({ "storageClassName": "none" }),
                json!({}),
                vec![],
                "retry ProvisioningFailed",
            ),
            (json!({ "volumeName": "v" }), json!({}), vec![], "wait "),
            (json!({ "volumeName": "v" }), json!({}), vec![&free], "bind v"),
            (json!({ "volumeName": "v" }), json!({}), vec![&mine], "bind v"),
            (
                json!({ "volumeName": "v", "volumeMode": "Block" }),
                json!({}),
                vec![&free],
                "wait VolumeMismatch",
            ),
            (
                json!({ "volumeName": "v" }),
                json!({}),
                vec![&other],
                "wait FailedBinding",
            ),
            (
                json!({ "volumeName": "v" }),
                json!({ BOUND_BY_CONTROLLER: "yes" }),
                vec![&other],
                "retry FailedBinding",
            ),
            (json!({ "volumeName": "v" }), done.clone(), vec![&mine], "bind v"),
            (
                json!({ "volumeName": "v" }),
                done.clone(),
                vec![&other],
                "lost ClaimMisbound",
            ),
            (
                json!({ "volumeName": "v" }),
                done.clone(),
                vec![],
                "lost ClaimLost",
            ),
            (json!({}), done, vec![&mine], "lost ClaimLost"),
        ] {
            let volumes: Vec<_> = volumes.into_iter().cloned().collect();
            let seen = Seen {
                volumes: &volumes,
                classes: &classes,
                waiting_pods: &[],
            };
            let claim = claim(&spec, &annotations);
            assert_eq!(told(&seen.decide(&claim)), want, "{spec} {annotations}");
        }
    }
}
