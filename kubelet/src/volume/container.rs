//! The mounts of one container.

use std::path::Path;

use k8s_openapi::api::core::v1 as core;

use super::{HostVolume, PodVolumes, VolumeError, sub_path};
use crate::cri::api::{ImageSpec, Mount, MountPropagation};
use crate::env::expand_strictly;

/// What a container's mounts are made of.
pub(super) struct Sources<'a> {
    /// `ROOT/pods/UID`.
    pub folder: &'a Path,
    pub container: &'a core::Container,
    pub volumes: &'a PodVolumes,
    pub env: &'a [(String, String)],
    /// Whether the container's runtime handler can make mounts below a read-only mount read-only.
    pub recursive_read_only: bool,
    /// Whether SELinux is on.
    pub relabel: bool,
}

impl Sources<'_> {
    /// The mounts in the order of the container's `volumeMounts`.
    pub(super) fn mounts(&self) -> Result<Vec<Mount>, VolumeError> {
        let wanted = self.container.volume_mounts.as_deref().unwrap_or_default();
        wanted
            .iter()
            .enumerate()
            .map(|(index, mount)| self.mount(index, mount))
            .collect()
    }

    fn mount(&self, index: usize, mount: &core::VolumeMount) -> Result<Mount, VolumeError> {
        let container = &self.container.name;
        let volume = self.volumes.by_name.get(&mount.name).ok_or_else(|| {
            VolumeError::Mount(format!(
                "cannot find volume {:?} to mount into container {container:?}",
                mount.name
            ))
        })?;
        let below = self.sub_path(mount)?;
        let container_path = if mount.mount_path.starts_with('/') {
            mount.mount_path.clone()
        } else {
            format!("/{}", mount.mount_path)
        };
        let read_only = volume.read_only || mount.read_only == Some(true);
        let mut out = Mount {
            container_path,
            readonly: read_only,
            recursive_read_only: self.is_recursively_read_only(mount)?,
            propagation: propagation(mount)? as i32,
            selinux_relabel: self.relabel && volume.managed,
            ..Mount::default()
        };
        if let Some(image) = &volume.image {
            out.image = Some(ImageSpec {
                image: image.clone(),
                ..ImageSpec::default()
            });
            if below.is_some() {
                // The generated CRI types do not have `image_sub_path` yet.
                return Err(VolumeError::Mount(format!(
                    "subPath of image volume {:?} is not supported by this kubelet yet",
                    mount.name
                )));
            }
        } else if let Some(below) = below {
            out.host_path = self.bound(index, mount, volume, &below)?;
        } else {
            out.host_path = volume.path.display().to_string();
        }
        Ok(out)
    }

    /// The sub-path with its references expanded; `None` for the whole volume.
    fn sub_path(&self, mount: &core::VolumeMount) -> Result<Option<String>, VolumeError> {
        let expression = mount.sub_path_expr.as_deref().filter(|text| !text.is_empty());
        let below = match expression {
            Some(text) => Some(expand_strictly(text, self.env).map_err(|missing| {
                VolumeError::Mount(format!("missing value for {}", missing.join(", ")))
            })?),
            None => mount.sub_path.clone(),
        };
        let Some(below) = below.filter(|below| !below.is_empty()) else {
            return Ok(None);
        };
        if below.starts_with('/') {
            return Err(VolumeError::Mount(format!(
                "error SubPath `{below}` must not be an absolute path"
            )));
        }
        if below.split('/').any(|part| part == "..") {
            return Err(VolumeError::Mount(format!(
                "unable to provision SubPath `{below}`: must not contain '..'"
            )));
        }
        Ok(Some(below))
    }

    /// Binds a sub-path. The pod is not told why this fails: what is on the host is none of its business.
    fn bound(
        &self,
        index: usize,
        mount: &core::VolumeMount,
        volume: &HostVolume,
        below: &str,
    ) -> Result<String, VolumeError> {
        let container = &self.container.name;
        let name = &mount.name;
        let below = Path::new(below);
        let missing = sub_path::open(&volume.path, below)
            .err()
            .is_some_and(|error| error.kind() == std::io::ErrorKind::NotFound);
        if missing {
            sub_path::make(&volume.path, below).map_err(|error| {
                tracing::warn!(volume = %volume.path.display(), sub_path = %below.display(), %error, "cannot make a sub-path");
                VolumeError::Mount(format!(
                    "failed to create subPath directory for volumeMount {name:?} of container {container:?}"
                ))
            })?;
        }
        let target = sub_path::target(self.folder, name, container, index);
        sub_path::bind(&volume.path, below, &target).map_err(|error| {
            tracing::warn!(volume = %volume.path.display(), sub_path = %below.display(), %error, "cannot bind a sub-path");
            VolumeError::Mount(format!(
                "failed to prepare subPath for volumeMount {name:?} of container {container:?}"
            ))
        })?;
        Ok(target.display().to_string())
    }

    fn is_recursively_read_only(&self, mount: &core::VolumeMount) -> Result<bool, VolumeError> {
        let failed = |why: &str| {
            Err(VolumeError::Mount(format!(
                "failed to resolve recursive read-only mode: {why}"
            )))
        };
        match mount.recursive_read_only.as_deref().unwrap_or("Disabled") {
            "Disabled" => Ok(false),
            mode @ ("Enabled" | "IfPossible") => {
                if mount.read_only != Some(true) {
                    return failed(&format!(
                        "volume {:?} requested recursive read-only mode, but it is not read-only",
                        mount.name
                    ));
                }
                if propagation(mount)? != MountPropagation::PropagationPrivate {
                    return failed(&format!(
                        "volume {:?} requested recursive read-only mode, but it is not private",
                        mount.name
                    ));
                }
                if mode == "Enabled" && !self.recursive_read_only {
                    return failed(&format!(
                        "volume {:?} requested recursive read-only mode, but it is not supported by the runtime",
                        mount.name
                    ));
                }
                Ok(self.recursive_read_only)
            }
            other => failed(&format!("unknown recursive read-only mode {other:?}")),
        }
    }
}

fn propagation(mount: &core::VolumeMount) -> Result<MountPropagation, VolumeError> {
    match mount.mount_propagation.as_deref() {
        None | Some("None") => Ok(MountPropagation::PropagationPrivate),
        Some("HostToContainer") => Ok(MountPropagation::PropagationHostToContainer),
        Some("Bidirectional") => Ok(MountPropagation::PropagationBidirectional),
        Some(other) => Err(VolumeError::Mount(format!(
            "invalid MountPropagation mode: {other:?}"
        ))),
    }
}

#[cfg(test)]
#[path = "container_tests.rs"]
mod tests;
