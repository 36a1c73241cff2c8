//! Which events may help a pod that a required term has turned down.

use super::InterPodAffinity;
use crate::api::{Node, Pod};
use crate::cache::Snapshot;
use crate::cache::term::Term;
use crate::framework::plugin::EnqueueExtensions;
use crate::framework::{Action, Change, ClusterEvent, EventResource, Hint, Occurrence, PodView};

fn matches(term: &Term, pod: &Pod, snapshot: &Snapshot) -> bool {
    term.pods
        .matches(pod.namespace(), &pod.body.labels, snapshot.namespaces())
}

fn matches_all(terms: &[Term], pod: &Pod, snapshot: &Snapshot) -> bool {
    !terms.is_empty() && terms.iter().all(|term| matches(term, pod, snapshot))
}

fn matches_any(terms: &[Term], pod: &Pod, snapshot: &Snapshot) -> bool {
    terms.iter().any(|term| matches(term, pod, snapshot))
}

impl EnqueueExtensions for InterPodAffinity {
    fn events(&self) -> Vec<ClusterEvent> {
        vec![
            ClusterEvent::new(
                EventResource::AssignedPod,
                Action::ADD.or(Action::POD_LABEL).or(Action::DELETE),
            ),
            ClusterEvent::new(EventResource::TargetPod, Action::POD_LABEL),
            ClusterEvent::new(EventResource::Node, Action::ADD.or(Action::NODE_LABEL)),
        ]
    }

    fn hint(&self, view: &PodView<'_>, occurrence: &Occurrence, snapshot: &Snapshot) -> Hint {
        let (with, without) = (&view.shape.required_affinity, &view.shape.required_anti_affinity);
        let helps = match &occurrence.change {
            _ if occurrence.event.resource == EventResource::TargetPod => true,
            Change::Pod {
                old: Some(old),
                new: Some(new),
            } => {
                (!matches_all(with, old, snapshot) && matches_all(with, new, snapshot))
                    || (matches_any(without, old, snapshot) && !matches_any(without, new, snapshot))
            }
            Change::Pod {
                new: Some(new),
                old: None,
            } => matches_all(with, new, snapshot),
            Change::Pod {
                old: Some(old),
                new: None,
            } => {
                let carried = old.body.pod_anti_affinity.required.iter();
                let mut carried = carried.map(|term| Term::new(term, old.namespace()));
                matches_any(without, old, snapshot) || carried.any(|term| matches(&term, view.pod, snapshot))
            }
            Change::Node { old, new: Some(new) } => {
                let old = old.as_deref();
                with.iter().any(|term| reaches(term, old, new))
                    || without.iter().any(|term| leaves(term, old, new))
            }
            _ => true,
        };
        if helps { Hint::Queue } else { Hint::Skip }
    }
}

/// The node came into a domain of the term's key, or went to another.
fn reaches(term: &Term, old: Option<&Node>, new: &Node) -> bool {
    let is = new.meta.labels.get(&term.key);
    is.is_some() && old.is_none_or(|old| old.meta.labels.get(&term.key) != is)
}

/// The node left a domain of the term's key, or is new.
fn leaves(term: &Term, old: Option<&Node>, new: &Node) -> bool {
    old.is_none_or(|old| {
        let was = old.meta.labels.get(&term.key);
        was.is_some() && was != new.meta.labels.get(&term.key)
    })
}
