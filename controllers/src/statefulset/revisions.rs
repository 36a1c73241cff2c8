//! The revisions of a StatefulSet: which is current, which is next, which are no longer needed.

use crate::api::{ControllerRevision, Pod, StatefulSet, Template};
use crate::history::{Draft, History, REVISION_HASH, data, hash, is_same, name, sort, template};
use crate::ownership::Claim;
use crate::workload::{Workload, selects};
use anyhow::Context as _;
use machinery::client::ApiError;
use machinery::meta::resources::STATEFUL_SETS;
use machinery::meta::{Istr, OwnerRef};
use rustc_hash::FxHashSet;
use serde_json::value::RawValue;
use std::sync::Arc;

/// The label with the hash of a revision's data.
const DATA_HASH: &str = "controller.kubernetes.io/hash";

/// A StatefulSet's history.
pub struct Revisions {
    /// All, oldest first.
    pub all: Vec<Arc<ControllerRevision>>,
    pub current: Arc<ControllerRevision>,
    pub update: Arc<ControllerRevision>,
    /// How often names have collided.
    pub collisions: i32,
}

/// How the revision for the set's template is come by.
#[derive(Debug)]
enum Update {
    /// The newest is it.
    Newest,
    /// This one of before is it again, with the next number.
    Renumber(Arc<ControllerRevision>),
    Create,
}

/// `all` sorted.
fn update(all: &[Arc<ControllerRevision>], set: &StatefulSet, wanted: &str) -> Update {
    let Some(newest) = all.last() else {
        return Update::Create;
    };
    if is_same(newest, wanted) {
        return Update::Newest;
    }
    if let Some(equal) = all.iter().rev().find(|revision| is_same(revision, wanted)) {
        return Update::Renumber(equal.clone());
    }
    // One that an older release wrote may mean the same in other bytes.
    match template(newest.data()) {
        Ok(held) if held.id() == set.spec.template.id() => Update::Newest,
        _ => Update::Create,
    }
}

impl Revisions {
    /// The template of a revision, as pods are made of it.
    ///
    /// # Errors
    /// When the revision holds none.
    pub fn template(revision: &ControllerRevision) -> Result<Template, serde_json::Error> {
        template(revision.data())
    }

    /// Those to delete: the oldest beyond `limit` of those that neither the set nor a pod refers to.
    pub fn surplus(&self, limit: usize, pods: &[Arc<Pod>]) -> Vec<Arc<ControllerRevision>> {
        let mut live: FxHashSet<&str> = pods
            .iter()
            .filter_map(|pod| pod.metadata.labels.get(REVISION_HASH))
            .collect();
        live.extend([&*self.current.metadata.name, &*self.update.metadata.name]);
        let mut dead = self.all.clone();
        dead.retain(|revision| !live.contains(&*revision.metadata.name));
        dead.truncate(dead.len().saturating_sub(limit));
        dead
    }
}

/// Finds the revisions, and makes the one for the set's template where there is none.
///
/// # Errors
/// As the API server says.
pub async fn construct(
    workload: &Workload,
    history: &History,
    set: &StatefulSet,
) -> anyhow::Result<Revisions> {
    let mut all = Vec::new();
    let mut claiming = workload.claiming(&set.metadata);
    for revision in history.candidates(&set.metadata) {
        let meta = &revision.metadata;
        if !selects(&set.spec.selector, meta) {
            continue;
        }
        let decision = match meta.controller() {
            Some(_) => Claim::Own,
            None => Claim::Adopt,
        };
        let keep = claiming
            .act(decision, meta, async |patch| history.patch(meta, &patch).await)
            .await?;
        if keep {
            all.push(revision);
        }
    }
    sort(&mut all);
    let mut collisions = set.status.collision_count.unwrap_or(0);
    let wanted = data(&set.spec.template).context("reading the template")?;
    let number = all.last().map_or(1, |newest| newest.revision + 1);
    let update = match update(&all, set, wanted.get()) {
        Update::Newest => all.last().cloned().unwrap_or_default(),
        Update::Renumber(equal) => {
            let mut renumbered = (*equal).clone();
            renumbered.revision = number;
            Arc::new(history.update(&renumbered).await?)
        }
        Update::Create => Arc::new(create(history, set, &wanted, number, &mut collisions).await?),
    };
    let current = all
        .iter()
        .find(|revision| revision.metadata.name == set.status.current_revision)
        .unwrap_or(&update)
        .clone();
    Ok(Revisions {
        all,
        current,
        update,
        collisions,
    })
}

async fn create(
    history: &History,
    set: &StatefulSet,
    wanted: &RawValue,
    number: i64,
    collisions: &mut i32,
) -> Result<ControllerRevision, ApiError> {
    let meta = &set.metadata;
    let owner = OwnerRef::controller(&STATEFUL_SETS, meta);
    let mut labels = set.spec.template.labels.clone();
    labels.insert(DATA_HASH, Istr::from(hash(wanted.get(), Some(*collisions))));
    loop {
        let draft = Draft {
            owner: &owner,
            labels: labels.clone(),
            annotations: &meta.annotations,
            data: wanted,
            revision: number,
        };
        let name = name(&meta.name, &hash(wanted.get(), Some(*collisions)));
        match history.create(&meta.namespace, &name, &draft).await {
            Err(exists) if exists.is_already_exists() => {
                let held = history.get(&meta.namespace, &name).await?;
                if is_same(&held, wanted.get()) {
                    return Ok(held);
                }
                *collisions += 1;
            }
            other => return other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{pod, stateful_set};
    use serde_json::json;

    fn revision(name: &str, number: i64, data: &str) -> Arc<ControllerRevision> {
        let text =
            format!(r#"{{"metadata":{{"name":"{name}","uid":"{name}"}},"revision":{number},"data":{data}}}"#);
        Arc::new(serde_json::from_str(&text).unwrap())
    }

    #[test]
    fn the_template_decides_the_update_revision() {
        let set = stateful_set("web", 1, |_| {});
        let wanted = data(&set.spec.template).unwrap();
        let other = r#"{"spec":{"template":{"$patch":"replace","spec":{}}}}"#;
        let (mine, theirs) = (
            |n| revision("mine", n, wanted.get()),
            |n| revision("theirs", n, other),
        );
        let decide = |all: &[Arc<ControllerRevision>]| update(all, &set, wanted.get());
        assert!(matches!(decide(&[]), Update::Create));
        assert!(matches!(decide(&[theirs(1)]), Update::Create));
        assert!(matches!(decide(&[theirs(1), mine(2)]), Update::Newest));
        assert!(
            matches!(decide(&[mine(1), theirs(2)]), Update::Renumber(again) if again.metadata.name == "mine")
        );
        // The same template as a release of before wrote it.
        let before = wanted
            .get()
            .replace(r#""metadata":{"#, r#""metadata":{"creationTimestamp":null,"#);
        assert_ne!(before, wanted.get());
        assert!(matches!(
            decide(&[revision("before", 1, &before)]),
            Update::Newest
        ));
    }

    #[test]
    fn revisions_in_use_stay() {
        let all: Vec<_> = ["a", "b", "c", "d", "e"]
            .iter()
            .zip(1..)
            .map(|(name, n)| revision(name, n, "{}"))
            .collect();
        let revisions = Revisions {
            current: all[3].clone(),
            update: all[4].clone(),
            all,
            collisions: 0,
        };
        let pods = [pod("p").label(REVISION_HASH, "a").arc()];
        let names = |limit| -> Vec<String> {
            let surplus = revisions.surplus(limit, &pods);
            surplus.iter().map(|r| r.metadata.name.to_string()).collect()
        };
        assert_eq!(names(0), ["b", "c"]);
        assert_eq!(names(1), ["b"]);
        assert!(names(2).is_empty());
        assert_eq!(json!(names(10)), json!([]));
    }
}
