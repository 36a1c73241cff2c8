//! The environment of a container from what it refers to: pure, given everything it refers to.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use k8s_openapi::api::core::v1 as core;

use super::{EnvError, env_file, expand, field, resource};
use crate::context::Capacity;
use crate::volume::{Content, Kind, Missing};

/// What was found of each object that a container refers to.
pub(crate) type Found = BTreeMap<(Kind, String), Result<Arc<Content>, Missing>>;

/// Everything a container's environment is made of.
pub(crate) struct Sources<'a> {
    pub pod: &'a core::Pod,
    pub container: &'a core::Container,
    pub host_ips: &'a [IpAddr],
    pub pod_ips: &'a [IpAddr],
    pub node: &'a Capacity,
    pub services: BTreeMap<String, String>,
    pub objects: Found,
    /// The texts of the files that `fileKeyRef`s name, by (volume, path), or why there is none.
    pub files: BTreeMap<(String, String), Result<String, String>>,
}

/// The objects a container's environment refers to.
pub(crate) fn references(container: &core::Container) -> Vec<(Kind, String)> {
    let from = container.env_from.iter().flatten().flat_map(|source| {
        let map = source
            .config_map_ref
            .as_ref()
            .map(|map| (Kind::ConfigMap, map.name.clone()));
        map.into_iter().chain(
            source
                .secret_ref
                .as_ref()
                .map(|secret| (Kind::Secret, secret.name.clone())),
        )
    });
    let keys = container
        .env
        .iter()
        .flatten()
        .filter_map(|var| var.value_from.as_ref())
        .flat_map(|source| {
            let map = source
                .config_map_key_ref
                .as_ref()
                .map(|key| (Kind::ConfigMap, key.name.clone()));
            map.into_iter().chain(
                source
                    .secret_key_ref
                    .as_ref()
                    .map(|key| (Kind::Secret, key.name.clone())),
            )
        });
    let mut all: Vec<_> = from.chain(keys).collect();
    all.sort();
    all.dedup();
    all
}

/// Variables in the order they are declared, each name once; Services' variables last.
///
/// # Errors
/// The first reference that is not optional and not there.
pub(crate) fn resolve(sources: &Sources<'_>) -> Result<Vec<(String, String)>, EnvError> {
    let mut env = Ordered::default();
    for source in sources.container.env_from.iter().flatten() {
        let prefix = source.prefix.as_deref().unwrap_or_default();
        let (kind, name, optional) = match (&source.config_map_ref, &source.secret_ref) {
            (Some(map), _) => (Kind::ConfigMap, &map.name, map.optional),
            (None, Some(secret)) => (Kind::Secret, &secret.name, secret.optional),
            (None, None) => continue,
        };
        let Some(content) = sources.object(kind, name, optional)? else {
            continue;
        };
        for (key, value) in content.texts() {
            env.set(format!("{prefix}{key}"), value.into_owned());
        }
    }
    for variable in sources.container.env.iter().flatten() {
        let literal = variable.value.as_deref().filter(|value| !value.is_empty());
        let value = match (literal, &variable.value_from) {
            (Some(text), _) => expand::expand_with(text, |name| {
                env.get(name)
                    .or_else(|| sources.services.get(name).map(String::as_str))
            }),
            (None, Some(from)) => match sources.value(from)? {
                Some(value) => value,
                None => continue,
            },
            (None, None) => String::new(),
        };
        env.set(variable.name.clone(), value);
    }
    for (name, value) in &sources.services {
        if env.get(name).is_none() {
            env.set(name.clone(), value.clone());
        }
    }
    Ok(env.entries)
}

impl Sources<'_> {
    fn object(&self, kind: Kind, name: &str, optional: Option<bool>) -> Result<Option<&Content>, EnvError> {
        match self.objects.get(&(kind, name.to_owned())) {
            Some(Ok(content)) => Ok(Some(content)),
            Some(Err(Missing::NotFound(_))) if optional == Some(true) => Ok(None),
            Some(Err(missing)) => Err(EnvError(missing.to_string())),
            None => Err(EnvError(format!("{} {name:?} not found", kind.word()))),
        }
    }

    /// `None`: an optional reference to nothing, which leaves the variable out.
    fn value(&self, from: &core::EnvVarSource) -> Result<Option<String>, EnvError> {
        if let Some(selector) = &from.field_ref {
            return field::runtime(self.pod, &selector.field_path, self.host_ips, self.pod_ips)
                .map(Some)
                .map_err(EnvError);
        }
        if let Some(selector) = &from.resource_field_ref {
            return resource::value(selector, self.pod, Some(self.container), self.node)
                .map(Some)
                .map_err(EnvError);
        }
        if let Some(at) = &from.config_map_key_ref {
            return self.key(Kind::ConfigMap, &at.name, &at.key, at.optional);
        }
        if let Some(at) = &from.secret_key_ref {
            return self.key(Kind::Secret, &at.name, &at.key, at.optional);
        }
        if let Some(at) = &from.file_key_ref {
            return self.file(at);
        }
        Ok(Some(String::new()))
    }

    fn key(
        &self,
        kind: Kind,
        name: &str,
        key: &str,
        optional: Option<bool>,
    ) -> Result<Option<String>, EnvError> {
        let Some(content) = self.object(kind, name, optional)? else {
            return Ok(None);
        };
        match content.text(key) {
            Some(value) => Ok(Some(value.into_owned())),
            None if optional == Some(true) => Ok(None),
            None => {
                let namespace = self.pod.metadata.namespace.as_deref().unwrap_or_default();
                Err(EnvError(format!(
                    "couldn't find key {key} in {} {namespace}/{name}",
                    kind.name()
                )))
            }
        }
    }

    fn file(&self, at: &core::FileKeySelector) -> Result<Option<String>, EnvError> {
        let text = match self.files.get(&(at.volume_name.clone(), at.path.clone())) {
            Some(Ok(text)) => text,
            Some(Err(reason)) => return Err(EnvError(reason.clone())),
            None => {
                let volume = &at.volume_name;
                return Err(EnvError(format!(
                    "cannot find the volume {volume:?} referenced by FileKeyRef"
                )));
            }
        };
        match env_file::value_of(text, &at.key) {
            Ok(Some(value)) => Ok(Some(value)),
            Ok(None) if at.optional == Some(true) => Ok(None),
            Ok(None) => Err(EnvError(format!(
                "environment variable key {:?} not found in file {:?}",
                at.key, at.path
            ))),
            Err(_) => Err(EnvError("couldn't parse env file".to_owned())),
        }
    }
}

/// A map that remembers where each name first stood.
#[derive(Default)]
struct Ordered {
    entries: Vec<(String, String)>,
    index: rustc_hash::FxHashMap<String, usize>,
}

impl Ordered {
    fn set(&mut self, name: String, value: String) {
        match self.index.get(&name).and_then(|at| self.entries.get_mut(*at)) {
            Some(entry) => entry.1 = value,
            None => {
                self.index.insert(name.clone(), self.entries.len());
                self.entries.push((name, value));
            }
        }
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.index
            .get(name)
            .and_then(|at| self.entries.get(*at))
            .map(|(_, value)| value.as_str())
    }
}

#[cfg(test)]
#[path = "resolve_tests.rs"]
mod tests;
