//! From a PersistentVolumeClaim to what backs it, as far as it is on this machine.

use k8s_openapi::api::core::v1 as core;
use machinery::client::Client;
use machinery::meta::resources::{PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES};

use crate::node::follow::words;

/// What a claim leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Backing {
    /// The PersistentVolume.
    pub name: String,
    pub kind: BackingKind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum BackingKind {
    HostPath { path: String, expected: Option<String> },
    Local { path: String },
}

/// Follows a claim of `namespace` to its volume.
///
/// # Errors
/// What is missing, not bound, or of a kind that we do not mount.
pub(super) async fn find(
    client: &Client,
    pod: &core::Pod,
    claim: &str,
    owned: bool,
) -> Result<Backing, String> {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let found = client
        .get(&PERSISTENT_VOLUME_CLAIMS, namespace, claim)
        .await
        .map_err(|error| {
            format!(
                "error processing PVC {namespace}/{claim}: failed to fetch PVC from API server: {}",
                words(&error)
            )
        })?;
    let name = bound(&found, pod, owned)
        .map_err(|why| format!("error processing PVC {namespace}/{claim}: {why}"))?;
    let volume = client
        .get(&PERSISTENT_VOLUMES, "", &name)
        .await
        .map_err(|error| {
            format!(
                "error processing PVC {namespace}/{claim}: failed to fetch PV {name:?}: {}",
                words(&error)
            )
        })?;
    backing(&volume)
}

/// The name of the volume that `claim` is bound to; a claim made for a pod must be `owned` by it.
fn bound(claim: &core::PersistentVolumeClaim, pod: &core::Pod, owned: bool) -> Result<String, String> {
    if claim.metadata.deletion_timestamp.is_some() {
        return Err("PVC is being deleted".to_owned());
    }
    if owned {
        let owners = claim.metadata.owner_references.as_deref().unwrap_or_default();
        if !owners
            .iter()
            .any(|owner| owner.controller == Some(true) && Some(&owner.uid) == pod.metadata.uid.as_ref())
        {
            return Err("PVC was not created for this pod (pod is not owner)".to_owned());
        }
    }
    let is_bound = claim.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Bound");
    match claim
        .spec
        .as_ref()
        .and_then(|spec| spec.volume_name.clone())
        .filter(|name| !name.is_empty())
    {
        Some(name) if is_bound => Ok(name),
        _ => Err("PVC is not bound".to_owned()),
    }
}

fn backing(volume: &core::PersistentVolume) -> Result<Backing, String> {
    let name = volume.metadata.name.clone().unwrap_or_default();
    let Some(spec) = &volume.spec else {
        return Err(format!("PV {name:?} has no spec"));
    };
    if spec.volume_mode.as_deref() == Some("Block") {
        return Err(format!(
            "PV {name:?} is a block volume, which this kubelet does not support yet"
        ));
    }
    let kind = if let Some(host) = &spec.host_path {
        BackingKind::HostPath {
            path: host.path.clone(),
            expected: host.type_.clone(),
        }
    } else if let Some(local) = &spec.local {
        BackingKind::Local {
            path: local.path.clone(),
        }
    } else {
        return Err(format!(
            "PV {name:?} is of a kind that this kubelet does not support yet (hostPath and local are)"
        ));
    };
    Ok(Backing { name, kind })
}
