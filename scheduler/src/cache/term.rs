//! Which pods a constraint is about, compiled.

use machinery::arith::selector::{LabelSelector, Selector};
use machinery::meta::{Istr, Labels};

use super::namespaces::Namespaces;
use crate::api::pod::PodAffinityTerm;

/// Picks pods by namespace and labels.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PodMatch {
    /// Namespaces by name, sorted.
    pub namespaces: Box<[Istr]>,
    /// Further namespaces by their labels.
    pub namespace_selector: Option<Selector>,
    /// Pods by their labels; `None` picks nothing.
    pub selector: Option<Selector>,
}

impl PodMatch {
    /// Pods of one namespace.
    pub fn in_namespace(namespace: &Istr, selector: Option<Selector>) -> Self {
        Self {
            namespaces: [namespace.clone()].into(),
            namespace_selector: None,
            selector,
        }
    }

    /// Whether a pod with these labels in this namespace is picked.
    pub fn matches(&self, namespace: &Istr, labels: &Labels, namespaces: &Namespaces) -> bool {
        let by_name = || self.namespaces.binary_search(namespace).is_ok();
        let by_labels = || {
            self.namespace_selector.as_ref().is_some_and(|selector| {
                let known = namespaces.labels(namespace);
                selector.matches(|key| known.and_then(|labels| labels.get(key)))
            })
        };
        self.selector
            .as_ref()
            .is_some_and(|selector| selector.matches(|key| labels.get(key)))
            && (by_name() || by_labels())
    }
}

/// A term of inter-pod affinity: which pods, and within which topology.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Term {
    pub pods: PodMatch,
    pub key: Istr,
}

impl Term {
    /// Compiles a term of a pod in `namespace`. A selector that cannot be read picks nothing, as a nil one does.
    pub fn new(term: &PodAffinityTerm, namespace: &Istr) -> Self {
        let mut namespaces = term.namespaces.clone();
        if namespaces.is_empty() && term.namespace_selector.is_none() {
            namespaces.push(namespace.clone());
        }
        namespaces.sort();
        namespaces.dedup();
        Self {
            pods: PodMatch {
                namespaces: namespaces.into(),
                namespace_selector: compile(term.namespace_selector.as_ref()),
                selector: compile(term.label_selector.as_ref()),
            },
            key: term.topology_key.clone(),
        }
    }
}

/// Compiles an optional selector: absent and unreadable ones select nothing.
pub fn compile(selector: Option<&LabelSelector>) -> Option<Selector> {
    selector.and_then(|selector| Selector::try_from(selector).ok())
}
