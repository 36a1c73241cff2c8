//! Who owns whom.

use machinery::meta::{Istr, ObjectMeta, OwnerRef, Resource};
use rustc_hash::{FxHashMap, FxHashSet};
use smallvec::SmallVec;
use std::sync::Arc;

/// The finalizer of an object that goes only after what it owns.
pub const FOREGROUND: &str = "foregroundDeletion";
/// The finalizer of an object whose dependents are to be kept.
pub const ORPHAN: &str = "orphan";

/// Where an object is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub resource: Arc<Resource>,
    pub namespace: Istr,
    pub name: Istr,
}

/// An object as the graph knows it.
#[derive(Debug)]
pub struct Node {
    /// `None` while only references to it have been seen.
    pub place: Option<Place>,
    /// One of the references to it, with the namespace of the object that has it: where to look for it while it is virtual.
    pub seen_as: Option<(OwnerRef, Istr)>,
    pub owners: SmallVec<[OwnerRef; 1]>,
    pub dependents: FxHashSet<Istr>,
    pub deleting: bool,
    pub deletes_dependents: bool,
    pub orphans: bool,
    /// It was seen to be deleted; only references are left.
    pub gone: bool,
    /// Finalizers that say how it wants to be deleted: orphaning, in the foreground.
    pub wants: (bool, bool),
    pub resource_version: Box<str>,
}

/// What has to be looked at.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Work {
    /// Whether this object is to be deleted, or goes on in its deletion.
    Look(Istr),
    /// Whether this owner, known from references alone, exists.
    Find(Istr),
    /// This object's dependents are to be set free.
    Orphan(Istr),
}

#[derive(Debug, Default)]
pub struct Graph {
    nodes: FxHashMap<Istr, Node>,
}

fn blocks(owner: &OwnerRef) -> bool {
    owner.block_owner_deletion == Some(true)
}

impl Graph {
    pub fn get(&self, uid: &Istr) -> Option<&Node> {
        self.nodes.get(uid)
    }

    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// An object was added or changed.
    pub fn upsert(&mut self, resource: &Arc<Resource>, meta: &ObjectMeta) -> Vec<Work> {
        let mut work = Vec::new();
        let uid = &meta.uid;
        let node = self.nodes.entry(uid.clone()).or_insert_with(Node::unseen);
        let was_virtual = node.place.is_none();
        let same_place = node
            .place
            .as_ref()
            .is_some_and(|place| place.name == meta.name && place.namespace == meta.namespace);
        if !same_place {
            node.place = Some(Place {
                resource: resource.clone(),
                namespace: meta.namespace.clone(),
                name: meta.name.clone(),
            });
        }
        let before = std::mem::replace(&mut node.owners, meta.owner_references.iter().cloned().collect());
        node.resource_version.clone_from(&meta.resource_version);
        let (was_deleting, was_orphaning) = (node.deletes_dependents, node.orphans);
        node.gone = false;
        node.wants = (meta.has_finalizer(ORPHAN), meta.has_finalizer(FOREGROUND));
        node.deleting = meta.is_deleting();
        node.deletes_dependents = node.deleting && meta.has_finalizer(FOREGROUND);
        node.orphans = node.deleting && meta.has_finalizer(ORPHAN);
        if node.orphans && !was_orphaning {
            work.push(Work::Orphan(uid.clone()));
        }
        if node.deletes_dependents && !was_deleting {
            work.extend(node.dependents.iter().cloned().map(Work::Look));
            work.push(Work::Look(uid.clone()));
        }
        if was_virtual && node.seen_as.take().is_some() {
            // Its dependents may have named it wrongly, with another kind or namespace.
            work.extend(node.dependents.iter().cloned().map(Work::Look));
        }
        let after = node.owners.clone();
        self.relink(uid, &meta.namespace, &before, &after, &mut work);
        work
    }

    fn relink(
        &mut self,
        uid: &Istr,
        namespace: &Istr,
        before: &[OwnerRef],
        after: &[OwnerRef],
        work: &mut Vec<Work>,
    ) {
        let had: FxHashMap<_, _> = before.iter().map(|owner| (&owner.uid, owner)).collect();
        for owner in after {
            if !had.contains_key(&owner.uid) {
                let node = self.nodes.entry(owner.uid.clone()).or_insert_with(Node::unseen);
                node.dependents.insert(uid.clone());
                if node.place.is_none() {
                    node.seen_as = Some((owner.clone(), namespace.clone()));
                    if !node.gone {
                        work.push(Work::Find(owner.uid.clone()));
                    } else {
                        work.push(Work::Look(uid.clone()));
                    }
                } else if node.deletes_dependents || !node.refers(owner, namespace) {
                    work.push(Work::Look(uid.clone()));
                }
            }
        }
        for owner in before {
            let now = after.iter().find(|other| other.uid == owner.uid);
            let released = now.is_none();
            let unblocked = blocks(owner) && now.is_none_or(|now| !blocks(now));
            let Some(node) = self.nodes.get_mut(&owner.uid) else {
                continue;
            };
            if released {
                node.dependents.remove(uid);
            }
            if unblocked && node.deletes_dependents {
                work.push(Work::Look(owner.uid.clone()));
            }
            if node.place.is_none() && node.dependents.is_empty() {
                self.nodes.remove(&owner.uid);
            }
        }
        if !before.is_empty()
            && before
                .iter()
                .any(|owner| !after.iter().any(|now| now.uid == owner.uid))
            && !after.is_empty()
        {
            // What is left may be an owner that is gone.
            work.push(Work::Look(uid.clone()));
        }
    }

    /// An object is gone, or was found not to exist.
    pub fn remove(&mut self, uid: &Istr) -> Vec<Work> {
        let Some(node) = self.nodes.remove(uid) else {
            return Vec::new();
        };
        let mut work = Vec::new();
        for owner in &node.owners {
            let Some(held) = self.nodes.get_mut(&owner.uid) else {
                continue;
            };
            held.dependents.remove(uid);
            if held.deletes_dependents {
                work.push(Work::Look(owner.uid.clone()));
            }
            if held.place.is_none() && held.dependents.is_empty() {
                self.nodes.remove(&owner.uid);
            }
        }
        // Dependents still refer to it: it stays as a virtual node until they no longer do.
        let alive: FxHashSet<Istr> = node
            .dependents
            .into_iter()
            .filter(|dependent| self.nodes.contains_key(dependent))
            .collect();
        work.extend(alive.iter().cloned().map(Work::Look));
        if !alive.is_empty() {
            self.nodes.insert(
                uid.clone(),
                Node {
                    dependents: alive,
                    gone: true,
                    ..Node::unseen()
                },
            );
        }
        work
    }

    /// Whether every owner that the object names was seen to be deleted.
    pub fn is_abandoned(&self, uid: &Istr) -> bool {
        self.get(uid).is_some_and(|node| {
            !node.owners.is_empty()
                && node
                    .owners
                    .iter()
                    .all(|owner| self.get(&owner.uid).is_some_and(|owner| owner.gone))
        })
    }

    /// The dependents of an object.
    pub fn dependents(&self, uid: &Istr) -> Vec<Istr> {
        self.get(uid)
            .map(|node| node.dependents.iter().cloned().collect())
            .unwrap_or_default()
    }

    /// The dependents that keep an object from going.
    pub fn blocking_dependents(&self, uid: &Istr) -> Vec<Istr> {
        let blocking = |dependent: &Istr| {
            self.get(dependent)
                .is_some_and(|node| node.owners.iter().any(|owner| owner.uid == *uid && blocks(owner)))
        };
        self.dependents(uid).into_iter().filter(blocking).collect()
    }

    /// Whether one of the object's dependents is itself waiting for its dependents: a possible circle.
    pub fn has_waiting_dependent(&self, uid: &Istr) -> bool {
        self.dependents(uid)
            .iter()
            .any(|dependent| self.get(dependent).is_some_and(|node| node.deletes_dependents))
    }
}

impl Node {
    fn unseen() -> Self {
        Self {
            place: None,
            seen_as: None,
            owners: SmallVec::new(),
            dependents: FxHashSet::default(),
            deleting: false,
            deletes_dependents: false,
            orphans: false,
            gone: false,
            wants: (false, false),
            resource_version: Box::default(),
        }
    }

    /// Whether a reference from an object in `namespace` means this object, by kind, name and namespace too.
    pub fn refers(&self, owner: &OwnerRef, namespace: &Istr) -> bool {
        self.place.as_ref().is_none_or(|place| {
            let group = owner.api_version.split_once('/').map_or("", |(group, _)| group);
            place.resource.group == group
                && place.resource.kind == owner.kind.as_str()
                && place.name == owner.name
                && (place.namespace.is_empty() || place.namespace == *namespace)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use machinery::meta::resources::{PODS, REPLICA_SETS};
    use serde_json::json;

    fn meta(uid: &str, owners: &[&str], extra: &serde_json::Value) -> ObjectMeta {
        let owners: Vec<_> = owners
            .iter()
            .map(|owner| json!({ "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": owner, "uid": owner, "controller": true, "blockOwnerDeletion": true }))
            .collect();
        let mut meta = json!({ "name": uid, "namespace": "n", "uid": uid, "ownerReferences": owners });
        meta.as_object_mut()
            .unwrap()
            .extend(extra.as_object().unwrap().clone());
        serde_json::from_value(meta).unwrap()
    }

    fn look(uid: &str) -> Work {
        Work::Look(uid.into())
    }

    fn graph() -> (Graph, Arc<Resource>, Arc<Resource>) {
        (Graph::default(), Arc::new(REPLICA_SETS), Arc::new(PODS))
    }

    #[test]
    fn dependents_of_a_deleted_owner_are_looked_at() {
        let (mut graph, sets, pods) = graph();
        assert!(graph.upsert(&sets, &meta("rs", &[], &json!({}))).is_empty());
        assert!(graph.upsert(&pods, &meta("p", &["rs"], &json!({}))).is_empty());
        assert!(!graph.is_abandoned(&"p".into()));
        assert_eq!(graph.remove(&"rs".into()), [look("p")]);
        assert!(graph.is_abandoned(&"p".into()));
        assert!(graph.remove(&"p".into()).is_empty());
        assert!(graph.is_empty(), "the virtual node went with its last dependent");
    }

    #[test]
    fn an_owner_that_was_never_seen_is_looked_for() {
        let (mut graph, sets, pods) = graph();
        assert_eq!(
            graph.upsert(&pods, &meta("p", &["rs"], &json!({}))),
            [Work::Find("rs".into())]
        );
        assert!(graph.get(&"rs".into()).unwrap().place.is_none());
        graph.upsert(&sets, &meta("rs", &[], &json!({})));
        assert!(graph.get(&"rs".into()).unwrap().place.is_some());
        assert_eq!(graph.dependents(&"rs".into()), ["p"]);
    }

    #[test]
    fn foreground_deletion_looks_at_dependents_and_at_the_owner_when_they_go() {
        let (mut graph, sets, pods) = graph();
        graph.upsert(&sets, &meta("rs", &[], &json!({})));
        graph.upsert(&pods, &meta("p", &["rs"], &json!({})));
        let deleting =
            json!({ "deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["foregroundDeletion"] });
        assert_eq!(
            graph.upsert(&sets, &meta("rs", &[], &deleting)),
            [look("p"), look("rs")]
        );
        assert!(
            graph.upsert(&sets, &meta("rs", &[], &deleting)).is_empty(),
            "said once"
        );
        assert_eq!(graph.blocking_dependents(&"rs".into()), ["p"]);
        assert_eq!(graph.remove(&"p".into()), [look("rs")]);
        assert!(graph.blocking_dependents(&"rs".into()).is_empty());
    }

    #[test]
    fn orphaning_is_its_own_work() {
        let (mut graph, sets, _) = graph();
        let deleting = json!({ "deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["orphan"] });
        assert_eq!(
            graph.upsert(&sets, &meta("rs", &[], &deleting)),
            [Work::Orphan("rs".into())]
        );
    }

    #[test]
    fn references_that_change_move_dependents() {
        let (mut graph, sets, pods) = graph();
        graph.upsert(&sets, &meta("a", &[], &json!({})));
        graph.upsert(&sets, &meta("b", &[], &json!({})));
        graph.upsert(&pods, &meta("p", &["a"], &json!({})));
        graph.upsert(&pods, &meta("p", &["b"], &json!({})));
        assert!(graph.dependents(&"a".into()).is_empty());
        assert_eq!(graph.dependents(&"b".into()), ["p"]);
        assert!(graph.upsert(&pods, &meta("p", &[], &json!({}))).is_empty());
        assert!(graph.dependents(&"b".into()).is_empty());
    }
}
