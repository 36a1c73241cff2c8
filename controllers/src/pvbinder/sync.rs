//! Watches and writes.

use super::claim::{self, BIND_COMPLETED, BOUND_BY_CONTROLLER, Note, Seen};
use super::matching::is_reserved_for;
use super::volume::{self, Failure, decide, forgets_claim};
use crate::api::{Claim, Pod, StorageClass, Volume};
use crate::caches::BY_CLAIM;
use crate::context::Context;
use crate::rewrite;
use crate::work::until_stopped;
use anyhow::Context as _;
use machinery::cache::{Cache, Event};
use machinery::client::ApiError;
use machinery::meta::resources::{PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES};
use machinery::meta::{ObjectKey, ObjectMeta, ObjectRef};
use machinery::queue::{Next, Queue};
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// The annotations by which a provisioner learns that it is asked.
const PROVISIONERS: [&str; 2] = [
    "volume.beta.kubernetes.io/storage-provisioner",
    "volume.kubernetes.io/storage-provisioner",
];

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Item {
    Claim(ObjectKey),
    Volume(ObjectKey),
}

struct Controller {
    context: Context,
    claims: Cache<Claim>,
    volumes: Cache<Volume>,
    classes: Cache<StorageClass>,
    pods: Cache<Pod>,
    queue: Queue<Item>,
}

/// How an attempt to write ended.
enum Written {
    /// As planned, or there was nothing to write.
    Done,
    /// Somebody else was faster: the next event brings us back.
    Stale,
}

/// Runs until the context is stopped.
pub async fn run(context: Context) {
    let caches = context.caches.clone();
    let controller = Arc::new(Controller {
        claims: caches.claims().clone(),
        volumes: caches.volumes().clone(),
        classes: caches.storage_classes().clone(),
        pods: caches.pods().clone(),
        queue: Queue::new("pvbinder"),
        context,
    });
    tokio::join!(
        controller.claims.synced(),
        controller.volumes.synced(),
        controller.classes.synced(),
        controller.pods.synced()
    );
    controller.subscribe();
    let this = controller.clone();
    until_stopped(&controller.queue, 1, &controller.context.stop, move |item| {
        let this = this.clone();
        async move {
            match &item {
                Item::Claim(key) => this.sync_claim(key).await,
                Item::Volume(key) => this.sync_volume(key).await,
            }
        }
    })
    .await;
}

fn annotate(object: &mut Value, key: &str, value: &str) {
    let annotations = &mut object["metadata"]["annotations"];
    if !annotations.is_object() {
        *annotations = Value::Object(Map::new());
    }
    annotations[key] = value.into();
}

impl Controller {
    fn subscribe(self: &Arc<Self>) {
        let this = self.clone();
        self.claims.subscribe(move |event| {
            let claim = event.object();
            this.queue.add(Item::Claim(claim.metadata.key()));
            if matches!(event, Event::Deleted(_)) && !claim.spec.volume_name.is_empty() {
                this.queue
                    .add(Item::Volume(ObjectKey::cluster(claim.spec.volume_name.clone())));
            }
        });
        let this = self.clone();
        self.volumes.subscribe(move |event| {
            let volume = event.object();
            this.queue.add(Item::Volume(volume.metadata.key()));
            if let Some(held) = &volume.spec.claim_ref {
                this.queue
                    .add(Item::Claim(ObjectKey::new(&held.namespace, &held.name)));
            }
            this.wake_pending();
        });
        let this = self.clone();
        self.classes.subscribe(move |_| this.wake_pending());
    }

    fn wake_pending(&self) {
        for claim in self.claims.list() {
            if !claim.metadata.annotations.contains_key(BIND_COMPLETED) {
                self.queue.add(Item::Claim(claim.metadata.key()));
            }
        }
    }

    fn tell(&self, about: &ObjectRef, note: &Note) {
        if note.warning {
            self.context.events.warning(about, note.reason, &note.message);
        } else {
            self.context.events.normal(about, note.reason, &note.message);
        }
    }

    async fn sync_claim(&self, key: &ObjectKey) -> anyhow::Result<Next> {
        let Some(claim) = self.claims.get(key) else {
            return Ok(Next::Done);
        };
        let users = self.pods.by_index(BY_CLAIM, &key.to_string());
        let waiting: Vec<_> = users
            .iter()
            .filter(|pod| pod.spec.node_name.is_empty() && pod.is_active())
            .map(|pod| pod.metadata.name.clone())
            .collect();
        let verdict = Seen {
            volumes: &self.volumes.list(),
            classes: &self.classes.list(),
            waiting_pods: &waiting,
        }
        .decide(&claim);
        let about = ObjectRef::new(&PERSISTENT_VOLUME_CLAIMS, &claim.metadata);
        let written = match verdict {
            claim::Verdict::Bind(volume) => self.bind(&volume, &claim).await,
            claim::Verdict::Wait(note) => {
                if let Some(note) = note {
                    self.tell(&about, &note);
                }
                self.write_claim_phase(&claim, "Pending").await
            }
            claim::Verdict::Retry(note) => {
                if let Some(note) = note {
                    self.tell(&about, &note);
                }
                return Ok(Next::BackOff);
            }
            claim::Verdict::Lost(note) => {
                if claim.status.phase != "Lost" {
                    self.tell(&about, &note);
                }
                self.write_claim_phase(&claim, "Lost").await
            }
            claim::Verdict::FillIn(class) => {
                let fill = |object: &mut Value| object["spec"]["storageClassName"] = class.as_str().into();
                self.change(&claim.metadata, fill).await
            }
            claim::Verdict::Provision { provisioner } => {
                let message = format!(
                    "Waiting for a volume to be created either by the external provisioner '{provisioner}' or manually by the system administrator. \
                     If volume creation is delayed, please verify that the provisioner is running and correctly registered."
                );
                self.context
                    .events
                    .normal(&about, "ExternalProvisioning", &message);
                let asked = PROVISIONERS
                    .iter()
                    .all(|key| claim.metadata.annotations.get(key) == Some(&*provisioner));
                if asked {
                    return Ok(Next::Done);
                }
                let ask = |object: &mut Value| {
                    for key in PROVISIONERS {
                        annotate(object, key, &provisioner);
                    }
                };
                self.change(&claim.metadata, ask).await
            }
        };
        finish(written).with_context(|| format!("binding claim {key}"))
    }

    /// Writes a claim with a change.
    async fn change(&self, claim: &ObjectMeta, change: impl FnOnce(&mut Value)) -> Result<Written, ApiError> {
        let client = &self.context.client;
        let Some(mut object) = rewrite::read(client, &PERSISTENT_VOLUME_CLAIMS, claim).await? else {
            return Ok(Written::Stale);
        };
        change(&mut object);
        rewrite::write(client, &PERSISTENT_VOLUME_CLAIMS, claim, &object).await?;
        Ok(Written::Done)
    }

    /// Writes the status of a claim that has no volume.
    async fn write_claim_phase(&self, claim: &Claim, phase: &str) -> Result<Written, ApiError> {
        let status = &claim.status;
        let bare = status.access_modes.is_empty()
            && status.capacity.is_empty()
            && status.current_volume_attributes_class_name.is_none();
        if status.phase == phase && bare {
            return Ok(Written::Done);
        }
        let (client, meta) = (&self.context.client, &claim.metadata);
        let Some(mut object) = rewrite::read(client, &PERSISTENT_VOLUME_CLAIMS, meta).await? else {
            return Ok(Written::Stale);
        };
        object["status"]["phase"] = phase.into();
        if let Some(status) = object["status"].as_object_mut() {
            for key in ["accessModes", "capacity", "currentVolumeAttributesClassName"] {
                status.remove(key);
            }
        }
        rewrite::write_status(client, &PERSISTENT_VOLUME_CLAIMS, meta, &object).await?;
        Ok(Written::Done)
    }

    /// Makes both sides refer to each other, and say so; each step is done unless it was done before.
    async fn bind(&self, volume: &Volume, claim: &Claim) -> Result<Written, ApiError> {
        let (client, meta, claimed) = (&self.context.client, &volume.metadata, &claim.metadata);
        let refers = volume.spec.claim_ref.as_ref().is_some_and(|held| {
            held.uid == claimed.uid && held.name == claimed.name && held.namespace == claimed.namespace
        });
        let reserved = is_reserved_for(volume, claimed);
        if !refers || volume.status.phase != "Bound" {
            let Some(mut object) = rewrite::read(client, &PERSISTENT_VOLUMES, meta).await? else {
                return Ok(Written::Stale);
            };
            if !refers {
                object["spec"]["claimRef"] = json!(ObjectRef::new(&PERSISTENT_VOLUME_CLAIMS, claimed));
                if !reserved && !meta.annotations.contains_key(BOUND_BY_CONTROLLER) {
                    annotate(&mut object, BOUND_BY_CONTROLLER, "yes");
                }
                object = rewrite::write(client, &PERSISTENT_VOLUMES, meta, &object).await?;
            }
            if object["status"]["phase"] != "Bound" {
                object["status"]["phase"] = "Bound".into();
                drop_message(&mut object);
                rewrite::write_status(client, &PERSISTENT_VOLUMES, meta, &object).await?;
            }
        }
        self.bind_claim(volume, claim).await
    }

    async fn bind_claim(&self, volume: &Volume, claim: &Claim) -> Result<Written, ApiError> {
        let (client, meta) = (&self.context.client, &claim.metadata);
        let chosen = claim.spec.volume_name != volume.metadata.name;
        let completed = meta.annotations.contains_key(BIND_COMPLETED);
        let told = claim.status.phase == "Bound" && claim.status.access_modes == volume.spec.access_modes;
        if !chosen && completed && told {
            return Ok(Written::Done);
        }
        let Some(mut object) = rewrite::read(client, &PERSISTENT_VOLUME_CLAIMS, meta).await? else {
            return Ok(Written::Stale);
        };
        if chosen {
            object["spec"]["volumeName"] = volume.metadata.name.as_str().into();
            if !meta.annotations.contains_key(BOUND_BY_CONTROLLER) {
                annotate(&mut object, BOUND_BY_CONTROLLER, "yes");
            }
        }
        if chosen || !completed {
            annotate(&mut object, BIND_COMPLETED, "yes");
            object = rewrite::write(client, &PERSISTENT_VOLUME_CLAIMS, meta, &object).await?;
        }
        if told {
            return Ok(Written::Done);
        }
        let status = &mut object["status"];
        if status["phase"] != "Bound" {
            if status["phase"] == "Pending"
                && let Some(class) = &volume.spec.volume_attributes_class_name
            {
                status["currentVolumeAttributesClassName"] = class.as_str().into();
            }
            status["phase"] = "Bound".into();
            status["capacity"] = json!(volume.spec.capacity);
        }
        status["accessModes"] = json!(volume.spec.access_modes);
        rewrite::write_status(client, &PERSISTENT_VOLUME_CLAIMS, meta, &object).await?;
        Ok(Written::Done)
    }

    async fn sync_volume(&self, key: &ObjectKey) -> anyhow::Result<Next> {
        let Some(volume) = self.volumes.get(key) else {
            return Ok(Next::Done);
        };
        let claim = self.claim_of(&volume).await?;
        let written = match decide(&volume, claim.as_deref()) {
            volume::Verdict::Phase(phase) => self.write_volume_phase(&volume, phase, None).await,
            volume::Verdict::WakeClaim => {
                if let Some(claim) = claim {
                    self.queue.add(Item::Claim(claim.metadata.key()));
                }
                return Ok(Next::Done);
            }
            volume::Verdict::Mismatch => {
                if let Some(claim) = claim {
                    self.tell_mismatch(&volume.metadata, &claim.metadata);
                }
                return Ok(Next::Done);
            }
            volume::Verdict::Unbind => self.unbind(&volume).await,
            volume::Verdict::Release(failure) => self.release(&volume, failure).await,
        };
        finish(written).with_context(|| format!("syncing volume {key}"))
    }

    /// The claim that the volume refers to. That it is gone is believed only when the API server says so, since the volume's data
    /// depends on it.
    async fn claim_of(&self, volume: &Volume) -> Result<Option<Arc<Claim>>, ApiError> {
        let Some(held) = volume.spec.claim_ref.as_ref().filter(|held| !held.uid.is_empty()) else {
            return Ok(None);
        };
        let cached = self.claims.get_named(&held.namespace, &held.name);
        match cached {
            Some(claim) if claim.metadata.uid == held.uid => return Ok(Some(claim)),
            None if matches!(&*volume.status.phase, "Released" | "Failed") => return Ok(None),
            _ => {}
        }
        let live = self
            .context
            .client
            .get::<Claim>(&PERSISTENT_VOLUME_CLAIMS, &held.namespace, &held.name)
            .await;
        match live {
            Ok(claim) => Ok(Some(Arc::new(claim))),
            Err(gone) if gone.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn tell_mismatch(&self, volume: &ObjectMeta, claim: &ObjectMeta) {
        let events = &self.context.events;
        events.warning(
            &ObjectRef::new(&PERSISTENT_VOLUMES, volume),
            "VolumeMismatch",
            format_args!(
                "Cannot bind PersistentVolume to requested PersistentVolumeClaim {:?} due to incompatible volumeMode.",
                claim.name
            ),
        );
        events.warning(
            &ObjectRef::new(&PERSISTENT_VOLUME_CLAIMS, claim),
            "VolumeMismatch",
            format_args!(
                "Cannot bind PersistentVolume {:?} to requested PersistentVolumeClaim due to incompatible volumeMode.",
                volume.name
            ),
        );
    }

    async fn write_volume_phase(
        &self,
        volume: &Volume,
        phase: &str,
        failure: Option<&Failure>,
    ) -> Result<Written, ApiError> {
        if volume.status.phase == phase {
            return Ok(Written::Done);
        }
        let (client, meta) = (&self.context.client, &volume.metadata);
        let Some(mut object) = rewrite::read(client, &PERSISTENT_VOLUMES, meta).await? else {
            return Ok(Written::Stale);
        };
        object["status"]["phase"] = phase.into();
        drop_message(&mut object);
        if let Some(failure) = failure {
            object["status"]["message"] = failure.message.as_str().into();
        }
        rewrite::write_status(client, &PERSISTENT_VOLUMES, meta, &object).await?;
        if let Some(failure) = failure {
            let about = ObjectRef::new(&PERSISTENT_VOLUMES, meta);
            self.context
                .events
                .warning(&about, failure.reason, &failure.message);
        }
        Ok(Written::Done)
    }

    async fn release(&self, volume: &Volume, failure: Option<Failure>) -> Result<Written, ApiError> {
        match &*volume.status.phase {
            "Failed" => Ok(Written::Done),
            "Released" => match failure {
                Some(failure) => self.write_volume_phase(volume, "Failed", Some(&failure)).await,
                None => Ok(Written::Done),
            },
            // The event of this brings us back.
            _ => self.write_volume_phase(volume, "Released", None).await,
        }
    }

    async fn unbind(&self, volume: &Volume) -> Result<Written, ApiError> {
        let (client, meta) = (&self.context.client, &volume.metadata);
        let Some(mut object) = rewrite::read(client, &PERSISTENT_VOLUMES, meta).await? else {
            return Ok(Written::Stale);
        };
        if forgets_claim(volume) {
            if let Some(spec) = object["spec"].as_object_mut() {
                spec.remove("claimRef");
            }
            if let Some(annotations) = object["metadata"]["annotations"].as_object_mut() {
                annotations.remove(BOUND_BY_CONTROLLER);
            }
        } else if let Some(held) = object["spec"]["claimRef"].as_object_mut() {
            held.remove("uid");
        }
        object = rewrite::write(client, &PERSISTENT_VOLUMES, meta, &object).await?;
        object["status"]["phase"] = "Available".into();
        drop_message(&mut object);
        rewrite::write_status(client, &PERSISTENT_VOLUMES, meta, &object).await?;
        Ok(Written::Done)
    }
}

fn drop_message(volume: &mut Value) {
    if let Some(status) = volume["status"].as_object_mut() {
        status.remove("message");
    }
}

fn finish(written: Result<Written, ApiError>) -> Result<Next, ApiError> {
    match written {
        Ok(Written::Done) => Ok(Next::Done),
        Ok(Written::Stale) => Ok(Next::BackOff),
        Err(conflict) if conflict.is_conflict() => Ok(Next::BackOff),
        Err(gone) if gone.is_not_found() => Ok(Next::Done),
        Err(error) => Err(error),
    }
}
