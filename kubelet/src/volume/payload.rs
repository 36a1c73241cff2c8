//! The files of a ConfigMap, Secret, downward API or projected volume: pure, given what they are made of.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1 as core;

use super::certificate::Credentials;
use super::content::{Content, Kind, Missing};
use crate::context::Capacity;
use crate::env::{field, resource};
use crate::node::conditions::aggregate;

/// Files by their path below the volume's root: clean, relative, without `..`.
pub(crate) type Payload = BTreeMap<String, File>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct File {
    pub data: Vec<u8>,
    pub mode: u32,
    /// The user that owns it; root if none.
    pub user: Option<u32>,
}

const DEFAULT_MODE: i32 = 0o644;
/// Of what is fetched for a pod whose reader is known: the group's share comes with fsGroup.
const PRIVATE_MODE: u32 = 0o600;

/// Finds an object by kind and name.
pub(crate) type Lookup<'a> = dyn Fn(Kind, &str) -> Result<Arc<Content>, Missing> + 'a;

/// What a volume is made of.
pub(crate) struct Sources<'a> {
    pub pod: &'a core::Pod,
    pub node: &'a Capacity,
    pub objects: &'a Lookup<'a>,
    pub tokens: &'a dyn Fn(&core::ServiceAccountTokenProjection) -> Result<Arc<str>, String>,
    /// The certificates of ClusterTrustBundles as one PEM text.
    pub anchors: &'a dyn Fn(&core::ClusterTrustBundleProjection) -> Result<Vec<u8>, String>,
    /// The key and the chain of a projected volume's source, by its place among the sources.
    pub certificates: &'a dyn Fn(usize) -> Result<Credentials, String>,
    /// Whether sources may name the owners of their files (`AtomicWriteVolumeUserFields`).
    pub owners: bool,
}

/// The objects that a volume refers to, each with whether it may be missing.
pub(crate) fn references(volume: &core::Volume) -> Vec<(Kind, String)> {
    let map = volume
        .config_map
        .iter()
        .map(|source| (Kind::ConfigMap, source.name.clone()));
    let secret = volume
        .secret
        .iter()
        .filter_map(|source| Some((Kind::Secret, source.secret_name.clone()?)));
    let projected = projections(volume).flat_map(|source| {
        let map = source
            .config_map
            .iter()
            .map(|source| (Kind::ConfigMap, source.name.clone()));
        map.chain(
            source
                .secret
                .iter()
                .map(|source| (Kind::Secret, source.name.clone())),
        )
    });
    map.chain(secret).chain(projected).collect()
}

/// The service account tokens that a volume wants.
pub(crate) fn tokens(volume: &core::Volume) -> impl Iterator<Item = &core::ServiceAccountTokenProjection> {
    projections(volume).filter_map(|source| source.service_account_token.as_ref())
}

pub(super) fn projections(volume: &core::Volume) -> impl Iterator<Item = &core::VolumeProjection> {
    volume
        .projected
        .iter()
        .flat_map(|projected| projected.sources.iter().flatten())
}

/// The files of `volume`; `None` if it is of a kind that has none.
///
/// # Errors
/// What is missing, in upstream's words; several in one message.
pub(crate) fn collect(volume: &core::Volume, sources: &Sources<'_>) -> Option<Result<Payload, String>> {
    if let Some(map) = &volume.config_map {
        let mode = map.default_mode.unwrap_or(DEFAULT_MODE);
        let all = Defaults {
            mode,
            user: map.default_user,
        };
        let items = map.items.as_deref();
        return Some(sources.object(Kind::ConfigMap, &map.name, items, all, map.optional));
    }
    if let Some(secret) = &volume.secret {
        let name = secret.secret_name.as_deref().unwrap_or_default();
        let mode = secret.default_mode.unwrap_or(DEFAULT_MODE);
        let all = Defaults {
            mode,
            user: secret.default_user,
        };
        return Some(sources.object(Kind::Secret, name, secret.items.as_deref(), all, secret.optional));
    }
    if let Some(downward) = &volume.downward_api {
        let mode = downward.default_mode.unwrap_or(DEFAULT_MODE);
        let all = Defaults {
            mode,
            user: downward.default_user,
        };
        return Some(sources.downward(downward.items.as_deref().unwrap_or_default(), all));
    }
    volume
        .projected
        .as_ref()
        .map(|projected| sources.projected(projected))
}

/// What holds for files that do not say otherwise.
#[derive(Clone, Copy)]
struct Defaults {
    mode: i32,
    user: Option<i64>,
}

impl Sources<'_> {
    fn projected(&self, projected: &core::ProjectedVolumeSource) -> Result<Payload, String> {
        let all = Defaults {
            mode: projected.default_mode.unwrap_or(DEFAULT_MODE),
            user: projected.default_user,
        };
        let mut payload = Payload::new();
        let mut problems = Vec::new();
        for (place, source) in projected.sources.iter().flatten().enumerate() {
            let part = if let Some(secret) = &source.secret {
                self.object(
                    Kind::Secret,
                    &secret.name,
                    secret.items.as_deref(),
                    all,
                    secret.optional,
                )
            } else if let Some(map) = &source.config_map {
                self.object(
                    Kind::ConfigMap,
                    &map.name,
                    map.items.as_deref(),
                    all,
                    map.optional,
                )
            } else if let Some(downward) = &source.downward_api {
                self.downward(downward.items.as_deref().unwrap_or_default(), all)
            } else if let Some(token) = &source.service_account_token {
                self.token(token, all)
            } else if let Some(bundle) = &source.cluster_trust_bundle {
                self.bundle(bundle, all)
            } else if let Some(certificate) = &source.pod_certificate {
                self.certificate(certificate, place, all)
            } else {
                Ok(Payload::new())
            };
            match part {
                // A later source wins where paths collide.
                Ok(files) => payload.extend(files),
                Err(problem) => problems.push(problem),
            }
        }
        if problems.is_empty() {
            Ok(payload)
        } else {
            Err(aggregate(&problems))
        }
    }

    fn object(
        &self,
        kind: Kind,
        name: &str,
        items: Option<&[core::KeyToPath]>,
        all: Defaults,
        optional: Option<bool>,
    ) -> Result<Payload, String> {
        let optional = optional == Some(true);
        let content = match (self.objects)(kind, name) {
            Ok(content) => content,
            Err(Missing::NotFound(_)) if optional => Arc::default(),
            Err(missing) => return Err(missing.to_string()),
        };
        let mut payload = Payload::new();
        let items = items.unwrap_or_default();
        if items.is_empty() {
            for (key, data) in content.all() {
                put(
                    &mut payload,
                    key,
                    data.to_vec(),
                    mode(all.mode),
                    self.owner(None, all),
                )?;
            }
        }
        for item in items {
            match content.bytes(&item.key) {
                Some(data) => {
                    let mode = mode(item.mode.unwrap_or(all.mode));
                    let user = self.owner(item.user, all);
                    put(&mut payload, &item.path, data.to_vec(), mode, user)?;
                }
                None if optional => {}
                None => {
                    let words = match kind {
                        Kind::ConfigMap => "configmap references non-existent config key",
                        Kind::Secret => "references non-existent secret key",
                    };
                    return Err(format!("{words}: {}", item.key));
                }
            }
        }
        Ok(payload)
    }

    fn downward(&self, items: &[core::DownwardAPIVolumeFile], all: Defaults) -> Result<Payload, String> {
        let mut payload = Payload::new();
        let mut problems = Vec::new();
        for item in items {
            let value = if let Some(selector) = &item.field_ref {
                field::metadata(self.pod, &selector.field_path)
            } else if let Some(selector) = &item.resource_field_ref {
                resource::value(selector, self.pod, None, self.node)
            } else {
                Ok(String::new())
            };
            match value {
                Ok(value) => {
                    let mode = mode(item.mode.unwrap_or(all.mode));
                    let user = self.owner(item.user, all);
                    put(&mut payload, &item.path, value.into_bytes(), mode, user)?;
                }
                Err(problem) => problems.push(problem),
            }
        }
        if problems.is_empty() {
            Ok(payload)
        } else {
            Err(aggregate(&problems))
        }
    }

    fn token(&self, wanted: &core::ServiceAccountTokenProjection, all: Defaults) -> Result<Payload, String> {
        let token = (self.tokens)(wanted)?;
        let (mode, user) = self.access(wanted.user, all);
        let mut payload = Payload::new();
        put(&mut payload, &wanted.path, token.as_bytes().to_vec(), mode, user)?;
        Ok(payload)
    }

    fn bundle(&self, wanted: &core::ClusterTrustBundleProjection, all: Defaults) -> Result<Payload, String> {
        let anchors = (self.anchors)(wanted)?;
        let (mode, user) = self.access(wanted.user, all);
        let mut payload = Payload::new();
        put(&mut payload, &wanted.path, anchors, mode, user)?;
        Ok(payload)
    }

    fn certificate(
        &self,
        wanted: &core::PodCertificateProjection,
        place: usize,
        all: Defaults,
    ) -> Result<Payload, String> {
        let Credentials { key, chain } = (self.certificates)(place)?;
        let (mode, user) = self.access(wanted.user, all);
        let mut payload = Payload::new();
        for (path, data) in [
            (&wanted.credential_bundle_path, [&*key, &*chain].concat()),
            (&wanted.key_path, key.to_vec()),
            (&wanted.certificate_chain_path, chain.to_vec()),
        ] {
            if let Some(path) = path.as_deref().filter(|path| !path.is_empty()) {
                put(&mut payload, path, data, mode, user)?;
            }
        }
        Ok(payload)
    }

    /// The owner that the spec names, for the file or for all.
    fn owner(&self, own: Option<i64>, all: Defaults) -> Option<u32> {
        let named = own.or(all.user).filter(|_| self.owners)?;
        u32::try_from(named).ok()
    }

    /// Mode and owner of what the kubelet fetches on behalf of the pod: for its one reader, if that is known.
    fn access(&self, own: Option<i64>, all: Defaults) -> (u32, Option<u32>) {
        let user = self.owner(own, all).or_else(|| only_user(self.pod));
        if user.is_some() || fs_group(self.pod).is_some() {
            (PRIVATE_MODE, user)
        } else {
            (mode(all.mode), None)
        }
    }
}

/// The pod's `fsGroup`.
pub(crate) fn fs_group(pod: &core::Pod) -> Option<u32> {
    let group = pod.spec.as_ref()?.security_context.as_ref()?.fs_group?;
    u32::try_from(group).ok()
}

/// The user that every container of the pod runs as, if the spec says so and it is one.
fn only_user(pod: &core::Pod) -> Option<u32> {
    let spec = pod.spec.as_ref()?;
    let of_pod = spec
        .security_context
        .as_ref()
        .and_then(|context| context.run_as_user);
    let mut users = spec
        .init_containers
        .iter()
        .flatten()
        .chain(&spec.containers)
        .map(|container| {
            container
                .security_context
                .as_ref()
                .and_then(|context| context.run_as_user)
                .or(of_pod)
        });
    let first = users.next()??;
    users
        .all(|user| user == Some(first))
        .then(|| u32::try_from(first).ok())?
}

fn mode(mode: i32) -> u32 {
    u32::try_from(mode).unwrap_or(0) & 0o7777
}

fn put(payload: &mut Payload, path: &str, data: Vec<u8>, mode: u32, user: Option<u32>) -> Result<(), String> {
    let path = clean(path)?;
    payload.insert(path, File { data, mode, user });
    Ok(())
}

/// Checks a path and takes out what is superfluous (`a//b/./c` -> `a/b/c`).
fn clean(path: &str) -> Result<String, String> {
    if path.is_empty() {
        return Err(format!("invalid path: must not be empty: {path:?}"));
    }
    if path.starts_with('/') {
        return Err(format!("invalid path: must be relative path: {path}"));
    }
    if path.len() > 4096 {
        return Err("invalid path: must be less than or equal to 4096 characters".to_owned());
    }
    let parts: Vec<&str> = path
        .split('/')
        .filter(|part| !part.is_empty() && *part != ".")
        .collect();
    if parts.contains(&"..") {
        return Err(format!("invalid path: must not contain '..': {path}"));
    }
    if parts.iter().any(|part| part.len() > 255) {
        return Err("invalid path: filenames must be less than or equal to 255 characters".to_owned());
    }
    match parts.first() {
        None => Err(format!("invalid path: must not be empty: {path:?}")),
        // The writer's own names begin so.
        Some(first) if first.starts_with("..") => {
            Err(format!("invalid path: must not start with '..': {path}"))
        }
        Some(_) => Ok(parts.join("/")),
    }
}

#[cfg(test)]
#[path = "payload_tests.rs"]
mod tests;
