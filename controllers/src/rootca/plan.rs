//! What a namespace's ConfigMap needs.

use crate::api::{Namespace, NamespacePhase};
use machinery::meta::{Object, ObjectMeta, null_default};
use serde::Deserialize;
use std::collections::BTreeMap;

pub const NAME: &str = "kube-root-ca.crt";
pub const KEY: &str = "ca.crt";
pub const DESCRIPTION: &str = "kubernetes.io/description";
/// What upstream puts there.
pub const DESCRIPTION_TEXT: &str = "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as \
     the internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters.";

/// A core/v1 `ConfigMap`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConfigMap {
    pub metadata: ObjectMeta,
    #[serde(deserialize_with = "null_default")]
    pub data: BTreeMap<Box<str>, Box<str>>,
    #[serde(deserialize_with = "null_default")]
    pub binary_data: BTreeMap<Box<str>, Box<str>>,
    pub immutable: Option<bool>,
}

impl Object for ConfigMap {
    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }
}

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub enum Write {
    Nothing,
    Create,
    Update,
}

/// Compares what is with what should be. Only the one key may be in it.
pub fn plan(namespace: &Namespace, held: Option<&ConfigMap>, authority: &str) -> Write {
    if namespace.status.phase != NamespacePhase::Active || namespace.metadata.is_deleting() {
        return Write::Nothing;
    }
    let Some(held) = held else { return Write::Create };
    let right = held.data.len() == 1 && held.data.get(KEY).is_some_and(|text| **text == *authority);
    let described = held
        .metadata
        .annotations
        .get(DESCRIPTION)
        .is_some_and(|text| !text.is_empty());
    if right && described {
        Write::Nothing
    } else {
        Write::Update
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_config_map_is_kept_as_it_should_be() {
        let mut namespace = Namespace::default();
        let mut held = ConfigMap::default();
        assert_eq!(plan(&namespace, None, "ca"), Write::Create);
        assert_eq!(plan(&namespace, Some(&held), "ca"), Write::Update);
        held.data.insert(KEY.into(), "ca".into());
        assert_eq!(
            plan(&namespace, Some(&held), "ca"),
            Write::Update,
            "without a description"
        );
        held.metadata.annotations.insert(DESCRIPTION, "mine");
        assert_eq!(plan(&namespace, Some(&held), "ca"), Write::Nothing);
        held.data.insert("other".into(), "x".into());
        assert_eq!(plan(&namespace, Some(&held), "ca"), Write::Update);
        namespace.status.phase = NamespacePhase::Terminating;
        assert_eq!(plan(&namespace, None, "ca"), Write::Nothing);
    }
}
