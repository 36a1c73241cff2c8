//! How many pods the owners of pods want.

use crate::api::{Deployment, Pod, ReplicaSet, StatefulSet};
use machinery::cache::Cache;
use machinery::client::{ApiError, Client};
use machinery::meta::{Istr, OwnerRef, Resource};
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use serde::Deserialize;
use std::sync::Arc;

/// Finds owners: in the caches, or by the scale subresource of any other kind.
pub struct Scales {
    pub client: Client,
    pub replica_sets: Cache<ReplicaSet>,
    pub deployments: Cache<Deployment>,
    pub stateful_sets: Cache<StatefulSet>,
    /// Kinds that were looked up, by API version and kind.
    pub known: Mutex<FxHashMap<(Istr, Istr), Resource>>,
}

/// What is wrong with the owners of a budget's pods.
#[derive(Debug, thiserror::Error)]
pub enum NoScale {
    #[error("found no controllers for pod {0:?}")]
    NoController(String),
    #[error("{0} does not implement the scale subresource")]
    NotScalable(String),
    #[error("no matches for kind {kind:?} in version {version:?}")]
    NoSuchKind { kind: Istr, version: Istr },
    #[error(transparent)]
    Api(#[from] ApiError),
}

/// The sum of what the owners want, and the pods that have none.
pub struct Scale {
    pub wanted: i32,
    pub unmanaged: Vec<Istr>,
}

#[derive(Deserialize)]
struct Scaled {
    metadata: machinery::meta::ObjectMeta,
    #[serde(default)]
    spec: ScaledSpec,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ScaledSpec {
    replicas: i32,
}

impl Scales {
    /// Adds up the scale of all that own one of `pods`.
    ///
    /// # Errors
    /// An owner is not there, or cannot be scaled.
    pub async fn of(&self, pods: &[Arc<Pod>]) -> Result<Scale, NoScale> {
        let mut owners: FxHashMap<Istr, i32> = FxHashMap::default();
        let mut asked: FxHashMap<Istr, ()> = FxHashMap::default();
        let mut unmanaged = Vec::new();
        for pod in pods {
            let meta = &pod.metadata;
            let Some(owner) = meta.controller() else {
                unmanaged.push(meta.name.clone());
                continue;
            };
            if asked.insert(owner.uid.clone(), ()).is_some() {
                continue;
            }
            let Some((uid, replicas)) = self.find(owner, &meta.namespace).await? else {
                return Err(NoScale::NoController(meta.name.to_string()));
            };
            owners.insert(uid, replicas);
        }
        Ok(Scale {
            wanted: owners.values().sum(),
            unmanaged,
        })
    }

    /// The uid and the scale of what stands behind an owner: the Deployment rather than its ReplicaSet.
    async fn find(&self, owner: &OwnerRef, namespace: &Istr) -> Result<Option<(Istr, i32)>, NoScale> {
        match (&*owner.api_version, &*owner.kind) {
            ("apps/v1", "ReplicaSet") => {
                let held = self.replica_sets.get_named(namespace, &owner.name);
                let Some(set) = held.filter(|set| set.metadata.uid == owner.uid) else {
                    return Ok(None);
                };
                match set
                    .metadata
                    .controller()
                    .filter(|above| above.kind == "Deployment")
                {
                    None => Ok(Some((set.metadata.uid.clone(), set.spec.replicas))),
                    Some(above) => Ok(self
                        .deployments
                        .get_named(namespace, &above.name)
                        .filter(|held| held.metadata.uid == above.uid)
                        .map(|held| (held.metadata.uid.clone(), held.spec.replicas))),
                }
            }
            ("apps/v1", "StatefulSet") => Ok(self
                .stateful_sets
                .get_named(namespace, &owner.name)
                .filter(|held| held.metadata.uid == owner.uid)
                .map(|held| (held.metadata.uid.clone(), held.spec.replicas))),
            _ => self.ask(owner, namespace).await,
        }
    }

    async fn ask(&self, owner: &OwnerRef, namespace: &Istr) -> Result<Option<(Istr, i32)>, NoScale> {
        let resource = self.resource(owner).await?;
        match self
            .client
            .get_sub::<Scaled>(&resource, namespace, &owner.name, "scale")
            .await
        {
            Ok(scaled) if scaled.metadata.uid == owner.uid => {
                Ok(Some((scaled.metadata.uid, scaled.spec.replicas)))
            }
            Ok(_) => Ok(None),
            // The object is named where it is the object that is missing, and not the subresource.
            Err(gone)
                if gone.is_not_found()
                    && gone
                        .status()
                        .is_some_and(|status| status.message.contains(&*owner.name)) =>
            {
                Ok(None)
            }
            Err(gone) if gone.is_not_found() => {
                let group = if resource.group.is_empty() {
                    String::new()
                } else {
                    format!(".{}", resource.group)
                };
                Err(NoScale::NotScalable(format!("{}{group}", resource.plural)))
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn resource(&self, owner: &OwnerRef) -> Result<Resource, NoScale> {
        let key = (owner.api_version.clone(), owner.kind.clone());
        if let Some(known) = self.known.lock().get(&key) {
            return Ok(known.clone());
        }
        let found = self.client.discover().await?;
        let resource = found
            .resources
            .into_iter()
            .map(|found| found.resource)
            .find(|resource| *key.0 == *resource.api_version() && *key.1 == *resource.kind);
        let Some(resource) = resource else {
            return Err(NoScale::NoSuchKind {
                kind: key.1,
                version: key.0,
            });
        };
        self.known.lock().insert(key, resource.clone());
        Ok(resource)
    }
}
