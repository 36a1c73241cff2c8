//! Labels of namespaces.

use machinery::meta::{Istr, Labels};
use rustc_hash::FxHashMap;

/// The namespaces that are known, with their labels.
#[derive(Debug, Default)]
pub struct Namespaces {
    labels: FxHashMap<Istr, Labels>,
}

impl Namespaces {
    pub fn labels(&self, namespace: &str) -> Option<&Labels> {
        self.labels.get(namespace)
    }

    /// Takes new labels in; whether they differ from the old.
    pub(super) fn set(&mut self, namespace: &Istr, labels: Option<Labels>) -> bool {
        match labels {
            Some(labels) => {
                let old = self.labels.insert(namespace.clone(), labels.clone());
                old.as_ref() != Some(&labels)
            }
            None => self.labels.remove(namespace).is_some(),
        }
    }
}
