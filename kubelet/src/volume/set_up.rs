//! Sets up one volume on the host, and takes down all of a pod's.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1 as core;

use super::empty_dir::{self, Medium, marker};
use super::payload::{Payload, fs_group};
use super::{HostVolume, atomic, host_path, mounts, nested, ownership, sub_path};
use crate::context::Paths;

/// Where one volume of one pod goes.
pub(super) struct Site<'a> {
    pub paths: &'a Paths,
    pub pod: &'a core::Pod,
    pub uid: &'a str,
    pub volume: &'a core::Volume,
    /// Bytes that pods may use on this node.
    pub node_memory: u64,
}

impl Site<'_> {
    fn folder(&self, plugin: &str) -> PathBuf {
        self.paths.volume(self.uid, plugin, &self.volume.name)
    }

    /// An emptyDir.
    pub(super) fn empty_dir(&self, source: &core::EmptyDirVolumeSource) -> Result<HostVolume, String> {
        let medium = empty_dir::medium(source, self.pod, self.node_memory)?;
        let folder = self.folder("kubernetes.io/empty-dir");
        let marker = marker(&self.paths.pod(self.uid), &self.volume.name);
        let mode = source.mode.and_then(|mode| u32::try_from(mode).ok());
        empty_dir::make(&folder, &marker, medium, mode, fs_group(self.pod))
            .map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
        Ok(HostVolume {
            path: folder,
            ..HostVolume::default()
        })
    }

    /// A volume whose files we write.
    pub(super) fn files(&self, payload: &Payload) -> Result<HostVolume, String> {
        let (plugin, in_memory) = written(self.volume).ok_or("not a volume whose files we write")?;
        let folder = self.folder(plugin);
        let group = fs_group(self.pod);
        let medium = if in_memory {
            Medium::Memory(empty_dir::memory_limit(self.pod, None, self.node_memory))
        } else {
            Medium::Disk
        };
        let marker = marker(
            &self.paths.pod(self.uid),
            &format!("wrapped_{}", self.volume.name),
        );
        let failed = |error: io::Error| format!("cannot make {}: {error}", folder.display());
        empty_dir::make(&folder, &marker, medium, None, group).map_err(failed)?;
        for below in nested::folders(self.pod, &self.volume.name) {
            sub_path::make(&folder, &below).map_err(failed)?;
        }
        let own = || group.map_or(Ok(()), |group| ownership::give(&folder, group, true));
        atomic::write(&folder, payload, own).map_err(|error| error.to_string())?;
        Ok(HostVolume {
            path: folder,
            read_only: true,
            ..HostVolume::default()
        })
    }

    /// A path of the host.
    pub(super) fn host_path(&self, path: &str, expected: Option<&str>) -> Result<HostVolume, String> {
        host_path::check(path, expected.unwrap_or_default())?;
        Ok(HostVolume {
            path: path.into(),
            ..HostVolume::default()
        })
    }

    /// A local persistent volume, bound to the pod's folder.
    pub(super) fn local(&self, persistent: &str, path: &Path) -> Result<HostVolume, String> {
        let folder = self
            .paths
            .volume(self.uid, "kubernetes.io/local-volume", persistent);
        let group = fs_group(self.pod);
        let policy = self
            .pod
            .spec
            .as_ref()
            .and_then(|spec| spec.security_context.as_ref()?.fs_group_change_policy.as_deref());
        bind_local(path, &folder, group, policy == Some("OnRootMismatch"))
            .map_err(|error| format!("cannot mount local volume {} : {error}", path.display()))?;
        Ok(HostVolume {
            path: folder,
            ..HostVolume::default()
        })
    }
}

fn bind_local(path: &Path, folder: &Path, group: Option<u32>, only_on_mismatch: bool) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o750).create(folder)?;
    if !mounts::is_mount_point(folder)? {
        let source = rustix::fs::open(
            path,
            rustix::fs::OFlags::PATH | rustix::fs::OFlags::CLOEXEC,
            rustix::fs::Mode::empty(),
        )?;
        mounts::bind(source, folder)?;
    }
    match group {
        Some(group) if !(only_on_mismatch && ownership::is_given(folder, group, false)) => {
            ownership::give(folder, group, false)
        }
        _ => Ok(()),
    }
}

/// The plugin of a volume whose files we write, and whether they are kept in memory.
fn written(volume: &core::Volume) -> Option<(&'static str, bool)> {
    if volume.config_map.is_some() {
        Some(("kubernetes.io/configmap", false))
    } else if volume.secret.is_some() {
        Some(("kubernetes.io/secret", true))
    } else if volume.downward_api.is_some() {
        Some(("kubernetes.io/downward-api", true))
    } else if volume.projected.is_some() {
        Some(("kubernetes.io/projected", true))
    } else {
        None
    }
}

/// Whether files of ours are in the volume: they may have to be written again.
pub(super) fn is_written(paths: &Paths, uid: &str, volume: &core::Volume) -> bool {
    written(volume).is_some_and(|(plugin, _)| paths.volume(uid, plugin, &volume.name).exists())
}

/// Unmounts and removes every volume and sub-path of a pod: `POD/volumes`, `POD/volume-subpaths`, `POD/plugins`.
///
/// # Errors
/// If something is in use. Nothing below a mount is ever removed.
pub(super) fn take_down(pod: &Path) -> io::Result<()> {
    if !pod.exists() {
        return Ok(());
    }
    mounts::unmount_below(pod)?;
    if let Some(left) = mounts::below(pod)?.first() {
        return Err(io::Error::other(format!("{} is still mounted", left.display())));
    }
    for folder in [sub_path::FOLDER, "volumes", "plugins"] {
        match fs::remove_dir_all(pod.join(folder)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}
