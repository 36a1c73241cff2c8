//! Carrying a plan out.

use super::identity::{
    POD_INDEX, POD_NAME, claim_name, identity_matches, ordinal, pod_name, storage_matches,
};
use super::plan::{Action, Claims};
use super::pod::{body, claim_body, volumes};
use super::retention::{Owners, Verdict, blocks, owners};
use crate::api::{Claim, Pod, StatefulSet, Template};
use crate::pods::reason;
use crate::workload::Workload;
use anyhow::Context as _;
use machinery::cache::Cache;
use machinery::client::{ApiError, DeleteOptions, PatchKind};
use machinery::meta::resources::{PERSISTENT_VOLUME_CLAIMS, PODS};
use machinery::meta::{ObjectMeta, OwnerRef, PartialObject};
use serde::de::IgnoredAny;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Instant;

/// A template of the set, and the name of its revision.
pub struct Revision {
    pub name: machinery::meta::Istr,
    pub template: Template,
}

/// Acts for one set.
pub struct Actor<'a> {
    pub workload: &'a Workload,
    pub claims: &'a Cache<Claim>,
    pub set: &'a StatefulSet,
    pub current: &'a Revision,
    pub update: &'a Revision,
}

/// The claims as the cache shows them.
pub struct Seen<'a> {
    pub set: &'a StatefulSet,
    pub claims: &'a Cache<Claim>,
}

impl Seen<'_> {
    /// The claims that there are for an ordinal.
    fn of(&self, ordinal: i64) -> impl Iterator<Item = Arc<Claim>> + '_ {
        let set = self.set;
        set.spec
            .volume_claim_templates
            .iter()
            .filter_map(move |template| {
                let name = claim_name(set, &template.name, ordinal);
                self.claims.get_named(&set.metadata.namespace, &name)
            })
    }
}

impl Claims for Seen<'_> {
    fn block(&self, ordinal: i64) -> bool {
        let pod = ObjectMeta {
            name: pod_name(self.set, ordinal).into(),
            ..ObjectMeta::default()
        };
        self.of(ordinal)
            .any(|claim| blocks(self.set, &pod, &claim.metadata))
    }

    fn match_policy(&self, pod: &Pod) -> bool {
        ordinal(pod).is_none_or(|place| {
            self.of(place)
                .all(|claim| owners(self.set, pod).is_kept(&claim.metadata))
        })
    }
}

impl Actor<'_> {
    /// Carries one action out.
    ///
    /// # Errors
    /// The API server refused; an event tells of it.
    pub async fn act(&self, action: &Action) -> anyhow::Result<()> {
        match action {
            Action::Create { ordinal, updated } => {
                let revision = if *updated { self.update } else { self.current };
                self.create(*ordinal, revision).await
            }
            Action::Delete(pod) | Action::Replace(pod) => self.delete(pod).await,
            Action::MakeClaims(pod) => {
                if let Some(place) = ordinal(pod) {
                    self.make_claims(place, &pod.metadata.name).await?;
                }
                self.own_claims(pod).await
            }
            Action::OwnClaims(pod) => self.own_claims(pod).await,
            Action::Mend(pod) => self.mend(pod).await,
        }
    }

    fn tell(&self, verb: &'static str, pod: &str, error: Option<&str>) {
        let (events, about) = (
            &self.workload.context.events,
            self.workload.reference(&self.set.metadata),
        );
        let set = &self.set.metadata.name;
        let (good, bad) = match verb {
            "Create" => ("SuccessfulCreate", "FailedCreate"),
            "Delete" => ("SuccessfulDelete", "FailedDelete"),
            _ => ("SuccessfulUpdate", "FailedUpdate"),
        };
        match error {
            None => events.normal(
                &about,
                good,
                format_args!("{verb} Pod {pod} in StatefulSet {set} successful"),
            ),
            Some(error) => {
                let message = format_args!("{verb} Pod {pod} in StatefulSet {set} failed error: {error}");
                events.warning(&about, bad, message);
            }
        }
    }

    async fn create(&self, ordinal: i64, revision: &Revision) -> anyhow::Result<()> {
        let (meta, name) = (&self.set.metadata, pod_name(self.set, ordinal));
        if let Err(error) = self.make_claims(ordinal, &name).await {
            self.tell("Create", &name, Some(&format!("{error:#}")));
            return Err(error);
        }
        let body = body(self.set, &revision.template, &revision.name, ordinal)
            .context("reading the template of a revision")?;
        let expectations = &self.workload.expectations;
        expectations.creating(&meta.uid, 1, Instant::now());
        let client = &self.workload.context.client;
        let created = client
            .create::<PartialObject, _>(&PODS, &meta.namespace, &body)
            .await;
        expectations.created(&meta.uid, created.as_ref().ok().map(|pod| &pod.metadata.uid));
        match created {
            Ok(_) => {
                self.tell("Create", &name, None);
                Ok(())
            }
            // The cache lags, or the name is taken: worth another try, not an event.
            Err(exists) if exists.is_already_exists() => {
                Err(exists).with_context(|| format!("creating pod {name}"))
            }
            Err(error) => {
                self.tell("Create", &name, Some(&reason(&error)));
                Err(error).with_context(|| format!("creating pod {name}"))
            }
        }
    }

    async fn delete(&self, pod: &Pod) -> anyhow::Result<()> {
        let (meta, uid) = (&pod.metadata, &self.set.metadata.uid);
        let expectations = &self.workload.expectations;
        expectations.deleting(uid, [&meta.uid], Instant::now());
        let options = DeleteOptions::default().uid(&*meta.uid);
        let deleted = self
            .workload
            .context
            .client
            .delete(&PODS, &meta.namespace, &meta.name, &options)
            .await;
        if deleted.is_err() {
            expectations.saw_deletion(uid, &meta.uid);
        }
        match deleted {
            Err(error) if !error.is_not_found() && !error.is_conflict() => {
                self.tell("Delete", &meta.name, Some(&reason(&error)));
                Err(error).with_context(|| format!("deleting pod {}", meta.name))
            }
            _ => {
                self.tell("Delete", &meta.name, None);
                Ok(())
            }
        }
    }

    /// Creates the claims that are not there.
    async fn make_claims(&self, ordinal: i64, pod: &str) -> anyhow::Result<()> {
        let (set, namespace) = (self.set, &self.set.metadata.namespace);
        let (events, about) = (
            &self.workload.context.events,
            self.workload.reference(&set.metadata),
        );
        let mut problem = None;
        for template in &set.spec.volume_claim_templates {
            let name = claim_name(set, &template.name, ordinal);
            if let Some(held) = self.claims.get_named(namespace, &name) {
                if held.metadata.is_deleting() {
                    problem = Some(anyhow::anyhow!("pvc {name} is being deleted"));
                }
                continue;
            }
            let body = claim_body(set, template, ordinal).context("reading a claim template")?;
            let client = &self.workload.context.client;
            match client
                .create::<IgnoredAny, _>(&PERSISTENT_VOLUME_CLAIMS, namespace, &body)
                .await
            {
                Ok(_) => {
                    let set = &set.metadata.name;
                    let message = format_args!("Create Claim {name} Pod {pod} in StatefulSet {set} success");
                    events.normal(&about, "SuccessfulCreate", message);
                }
                Err(exists) if exists.is_already_exists() => {}
                Err(error) => {
                    let (set, why) = (&set.metadata.name, reason(&error));
                    let message = format_args!(
                        "Create Claim {name} for Pod {pod} in StatefulSet {set} failed error: {why}"
                    );
                    events.warning(&about, "FailedCreate", message);
                    problem = Some(anyhow::Error::new(error).context(format!("failed to create PVC {name}")));
                }
            }
        }
        problem.map_or(Ok(()), Err)
    }

    /// Gives the pod's claims the owners that the policy asks for.
    async fn own_claims(&self, pod: &Pod) -> anyhow::Result<()> {
        let Some(place) = ordinal(pod) else {
            return Ok(());
        };
        let seen = Seen {
            set: self.set,
            claims: self.claims,
        };
        let wanted = owners(self.set, pod);
        let held: Vec<_> = seen.of(place).collect();
        for claim in held {
            let meta = &claim.metadata;
            if wanted.is_contested(meta) {
                let about = self.workload.reference(&self.set.metadata);
                let message = format_args!(
                    "PersistentVolumeClaim {} has a conflicting OwnerReference that acts as a manging controller, the retention policy is ignored for this claim",
                    meta.name
                );
                self.workload
                    .context
                    .events
                    .warning(&about, "ConflictingController", message);
            }
            if let Verdict::Write(_) = wanted.verdict(meta)
                && let Err(error) = self.write_owners(meta, wanted).await
            {
                self.tell("Update", &pod.metadata.name, Some(&reason(&error)));
                return Err(error).with_context(|| format!("updating the owners of claim {}", meta.name));
            }
        }
        Ok(())
    }

    /// Writes a claim as it is with other owners: the controller's account may update claims and not patch them.
    async fn write_owners(&self, claim: &ObjectMeta, wanted: Owners<'_>) -> Result<(), ApiError> {
        let (client, namespace, name) = (&self.workload.context.client, &claim.namespace, &claim.name);
        let mut fresh: Value = client.get(&PERSISTENT_VOLUME_CLAIMS, namespace, name).await?;
        let held: Vec<OwnerRef> =
            serde_json::from_value(fresh["metadata"]["ownerReferences"].clone()).unwrap_or_default();
        let seen = ObjectMeta {
            owner_references: held,
            ..claim.clone()
        };
        if fresh["metadata"]["uid"] != *claim.uid {
            return Ok(());
        }
        if let Verdict::Write(owners) = wanted.verdict(&seen) {
            fresh["metadata"]["ownerReferences"] = json!(owners);
            client
                .update::<IgnoredAny, _>(&PERSISTENT_VOLUME_CLAIMS, namespace, name, &fresh)
                .await?;
        }
        Ok(())
    }

    /// Gives the pod back what makes it the set's.
    async fn mend(&self, pod: &Pod) -> anyhow::Result<()> {
        let Some(place) = ordinal(pod) else {
            return Ok(());
        };
        let (set, meta) = (self.set, &pod.metadata);
        let mut patch = json!({ "metadata": { "uid": meta.uid } });
        let whole = identity_matches(set, pod) && storage_matches(set, pod);
        if !identity_matches(set, pod) {
            patch["metadata"]["labels"] =
                json!({ POD_NAME: pod_name(set, place), POD_INDEX: place.to_string() });
        }
        if !storage_matches(set, pod) {
            patch["spec"]["volumes"] = Value::Array(volumes(set, place, Value::Null));
            self.make_claims(place, &meta.name).await?;
        }
        self.own_claims(pod).await?;
        if whole {
            return Ok(());
        }
        let client = &self.workload.context.client;
        let patched = client
            .patch::<IgnoredAny, _>(&PODS, &meta.namespace, &meta.name, PatchKind::Strategic, &patch)
            .await;
        let told = patched.as_ref().err().map(reason);
        self.tell("Update", &meta.name, told.as_deref());
        patched
            .map(|_| ())
            .with_context(|| format!("updating pod {}", meta.name))
    }
}
