//! The revisions of a DaemonSet: finding the current one or making it, and dropping old ones.

use crate::api::{ControllerRevision, DaemonSet, Pod, status_update};
use crate::history::{Draft, History, REVISION_HASH, data, is_same, newest, sort};
use crate::ownership::{self, Claimant};
use crate::workload::Workload;
use anyhow::Context as _;
use machinery::arith::Selector;
use machinery::client::{ApiError, PatchKind};
use machinery::meta::resources::{DAEMON_SETS, PODS};
use machinery::meta::{Istr, OwnerRef, PartialObject};
use rustc_hash::FxHashSet;
use serde::de::IgnoredAny;
use serde_json::json;
use std::sync::Arc;

/// A DaemonSet's history.
pub struct Revisions {
    pub current: Arc<ControllerRevision>,
    pub old: Vec<Arc<ControllerRevision>>,
}

impl Revisions {
    /// The hash that the pods of the current template carry.
    pub fn hash(&self) -> &str {
        self.current
            .metadata
            .labels
            .get(REVISION_HASH)
            .unwrap_or_default()
    }

    /// Those of the old ones to delete: all but the newest `limit`, apart from those whose hash a pod still carries.
    pub fn surplus(&self, limit: usize, pods: &[Arc<Pod>]) -> Vec<Arc<ControllerRevision>> {
        let live: FxHashSet<&str> = pods
            .iter()
            .filter_map(|pod| pod.metadata.labels.get(REVISION_HASH))
            .collect();
        let mut old = self.old.clone();
        sort(&mut old);
        let surplus = old.len().saturating_sub(limit);
        old.retain(|revision| {
            !revision
                .metadata
                .labels
                .get(REVISION_HASH)
                .is_some_and(|hash| live.contains(hash))
        });
        old.truncate(surplus);
        old
    }
}

/// Finds or makes the current revision.
///
/// # Errors
/// As the API server says; names have collided, and the next try takes another.
pub async fn construct(
    workload: &Workload,
    history: &History,
    set: &DaemonSet,
    selector: &Selector,
    pods: &[Arc<Pod>],
) -> anyhow::Result<Revisions> {
    let wanted = data(&set.spec.template).context("reading the template")?;
    let (mut current, mut old) = (Vec::new(), Vec::new());
    for mut revision in claim(workload, history, set, selector).await? {
        if !revision.metadata.labels.contains_key(REVISION_HASH) {
            // One of long ago: its name tells it apart as well as a hash does.
            let mut labelled = (*revision).clone();
            labelled
                .metadata
                .labels
                .insert(REVISION_HASH, labelled.metadata.name.clone());
            revision = Arc::new(history.update(&labelled).await?);
        }
        if is_same(&revision, wanted.get()) {
            current.push(revision);
        } else {
            old.push(revision);
        }
    }
    let number = newest(&old) + 1;
    let current = match current.len() {
        0 => Arc::new(snapshot(workload, history, set, &wanted, number).await?),
        _ => {
            let kept = keep_newest(workload, history, current, pods).await?;
            if kept.revision < number {
                let mut renumbered = (*kept).clone();
                renumbered.revision = number;
                history.update(&renumbered).await?;
            }
            kept
        }
    };
    Ok(Revisions { current, old })
}

async fn claim(
    workload: &Workload,
    history: &History,
    set: &DaemonSet,
    selector: &Selector,
) -> Result<Vec<Arc<ControllerRevision>>, ApiError> {
    let claimant = Claimant {
        meta: &set.metadata,
        selector,
    };
    let mut claiming = workload.claiming(&set.metadata);
    let mut owned = Vec::new();
    for revision in history.candidates(&set.metadata) {
        let meta = &revision.metadata;
        let keep = claiming
            .act(ownership::claim(&claimant, meta), meta, async |patch| {
                history.patch(meta, &patch).await
            })
            .await?;
        if keep {
            owned.push(revision);
        }
    }
    Ok(owned)
}

/// Several revisions of the same data: the newest stays, and pods of the others are relabelled before these go.
async fn keep_newest(
    workload: &Workload,
    history: &History,
    mut same: Vec<Arc<ControllerRevision>>,
    pods: &[Arc<Pod>],
) -> Result<Arc<ControllerRevision>, ApiError> {
    same.sort_by_key(|revision| revision.revision);
    let Some(kept) = same.pop() else {
        return Ok(Arc::default());
    };
    if same.is_empty() {
        return Ok(kept);
    }
    let hash = kept.metadata.labels.get(REVISION_HASH);
    for pod in pods
        .iter()
        .filter(|pod| pod.metadata.labels.get(REVISION_HASH) != hash)
    {
        let meta = &pod.metadata;
        let patch = json!({ "metadata": { "labels": { REVISION_HASH: hash } } });
        workload
            .context
            .client
            .patch::<IgnoredAny, _>(&PODS, &meta.namespace, &meta.name, PatchKind::Merge, &patch)
            .await?;
    }
    for twin in same {
        history.delete(&twin.metadata).await?;
    }
    Ok(kept)
}

async fn snapshot(
    workload: &Workload,
    history: &History,
    set: &DaemonSet,
    wanted: &serde_json::value::RawValue,
    number: i64,
) -> anyhow::Result<ControllerRevision> {
    let meta = &set.metadata;
    let hash = set
        .spec
        .template
        .hash(set.status.collision_count)
        .context("reading the template")?;
    let mut labels = set.spec.template.labels.clone();
    labels.insert(REVISION_HASH, Istr::from(&hash));
    let name = format!("{}-{hash}", meta.name);
    let draft = Draft {
        owner: &OwnerRef::controller(&DAEMON_SETS, meta),
        labels,
        annotations: &meta.annotations,
        data: wanted,
        revision: number,
    };
    let exists = match history.create(&meta.namespace, &name, &draft).await {
        Err(exists) if exists.is_already_exists() => exists,
        other => return Ok(other?),
    };
    let held = history.get(&meta.namespace, &name).await?;
    if is_same(&held, wanted.get()) {
        return Ok(held);
    }
    // Another template has the same hash: the next try counts one collision more, unless the count we know is old.
    let client = &workload.context.client;
    let fresh: DaemonSet = client.get(&DAEMON_SETS, &meta.namespace, &meta.name).await?;
    if fresh.status.collision_count != set.status.collision_count {
        anyhow::bail!(
            "the collision count of DaemonSet {} is not the newest",
            meta.key()
        );
    }
    let mut status = fresh.status;
    status.collision_count = Some(status.collision_count.unwrap_or(0) + 1);
    let body = status_update(&DAEMON_SETS, &fresh.metadata, &status);
    client
        .update_status::<PartialObject, _>(&DAEMON_SETS, &meta.namespace, &meta.name, &body)
        .await?;
    Err(exists.into())
}
