//! The folders and files of a pod under `ROOT/pods/UID` and its log folders.

use std::fs;
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1 as core;

use super::spec::PodExt as _;
use crate::context::Paths;
use crate::cri::api::Mount;

/// A file or folder that could not be made.
#[derive(Debug, thiserror::Error)]
#[error("{what} {path}: {source}")]
pub struct FileError {
    what: &'static str,
    path: PathBuf,
    source: io::Error,
}

fn wrap(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FileError + use<> {
    let path = path.to_owned();
    move |source| FileError { what, path, source }
}

fn folder(path: &Path, mode: u32) -> Result<(), FileError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(path)
        .map_err(wrap("making the folder", path))
}

/// Makes the pod's folders.
///
/// # Errors
/// The first that cannot be made.
pub fn make_pod_folders(paths: &Paths, pod: &core::Pod) -> Result<(), FileError> {
    let root = paths.pod(pod.uid());
    for path in [root.clone(), root.join("volumes"), root.join("plugins")] {
        folder(&path, 0o750)?;
    }
    folder(&paths.pod_log(pod.namespace(), pod.name(), pod.uid()), 0o755)
}

/// Removes what is left of `ROOT/pods/UID` after its volumes are unmounted. What is below `volumes` is removed only as
/// far as it is empty folders: nothing of a volume's data is ever deleted here.
///
/// # Errors
/// When something does not go.
pub fn remove_pod_folders(paths: &Paths, uid: &str) -> Result<(), FileError> {
    let root = paths.pod(uid);
    for below in ["volumes", "volume-subpaths", "plugins"] {
        remove_empty(&root.join(below), 4);
    }
    for below in ["containers", "etc-hosts"] {
        let path = root.join(below);
        let result = if path.is_dir() {
            fs::remove_dir_all(&path)
        } else {
            fs::remove_file(&path)
        };
        match result {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(wrap("removing", &path)(error));
            }
            _ => {}
        }
    }
    match fs::remove_dir(&root) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(wrap("removing", &root)(error)),
        _ => Ok(()),
    }
}

fn remove_empty(path: &Path, depth: u32) {
    if depth > 0 {
        for entry in fs::read_dir(path).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|t| t.is_dir()) {
                remove_empty(&entry.path(), depth - 1);
            }
        }
    }
    let _ = fs::remove_dir(path);
}

/// Removes a pod's logs.
pub fn remove_pod_logs(paths: &Paths, folder: &Path) {
    let _ = fs::remove_dir_all(folder);
    remove_dangling_links(&paths.container_logs);
}

/// Removes links in `/var/log/containers` whose log is gone.
pub fn remove_dangling_links(links: &Path) {
    for entry in fs::read_dir(links).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_symlink() && !path.exists() {
            let _ = fs::remove_file(&path);
        }
    }
}

/// `/var/log/containers/POD_NAMESPACE_CONTAINER-ID.log`, for collectors that look there.
pub fn link_log(paths: &Paths, pod: &core::Pod, container: &str, id: &str, log: &Path) {
    if !log.exists() {
        return;
    }
    let _ = fs::create_dir_all(&paths.container_logs);
    // The id is cut where the name would get longer than a file name may be.
    let mut stem = format!("{}_{}_{container}-{id}", pod.name(), pod.namespace());
    stem.truncate(251);
    let link = paths.container_logs.join(format!("{stem}.log"));
    if let Err(error) = std::os::unix::fs::symlink(log, &link)
        && error.kind() != io::ErrorKind::AlreadyExists
    {
        tracing::debug!(link = %link.display(), %error, "log link");
    }
}

/// How often a container was restarted, as far as its log files show (the runtime may have lost it over a reboot).
#[must_use]
pub fn restarts_by_logs(folder: &Path) -> u32 {
    let mut restarts = 0;
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let number = name
            .to_str()
            .and_then(|n| n.split_once(".log"))
            .and_then(|(n, _)| n.parse::<u32>().ok());
        restarts = restarts.max(number.map_or(0, |n| n + 1));
    }
    restarts
}

/// Makes the container's log folder and its (fresh) termination message file.
///
/// # Errors
/// When one cannot be made.
pub fn container_files(
    paths: &Paths,
    pod: &core::Pod,
    container: &core::Container,
) -> Result<Option<Mount>, FileError> {
    folder(
        &paths
            .pod_log(pod.namespace(), pod.name(), pod.uid())
            .join(&container.name),
        0o755,
    )?;
    let Some(path) = container
        .termination_message_path
        .as_deref()
        .filter(|p| !p.is_empty())
    else {
        return Ok(None);
    };
    let own = paths.pod(pod.uid()).join("containers").join(&container.name);
    folder(&own, 0o750)?;
    let file = own.join(format!("{:08x}", rand::random::<u32>()));
    fs::File::create(&file).map_err(wrap("making the termination message file", &file))?;
    // Whoever the container runs as may write it, whatever our umask says.
    fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).map_err(wrap("opening up", &file))?;
    let container_path = if path.starts_with('/') {
        path.to_owned()
    } else {
        format!("/{path}")
    };
    Ok(Some(Mount {
        host_path: file.to_string_lossy().into_owned(),
        container_path,
        ..Default::default()
    }))
}

/// Writes the pod's hosts file and mounts it, unless the container mounts something there itself.
///
/// # Errors
/// When it cannot be written.
pub fn hosts_mount(
    paths: &Paths,
    pod: &core::Pod,
    container: &core::Container,
    pod_ips: &[IpAddr],
    hostname: &str,
    domain: &str,
) -> Result<Option<Mount>, FileError> {
    let own = container
        .volume_mounts
        .iter()
        .flatten()
        .any(|m| m.mount_path == "/etc/hosts");
    if own || (pod_ips.is_empty() && !pod.host_network()) {
        return Ok(None);
    }
    let path = paths.pod(pod.uid()).join("etc-hosts");
    let aliases = pod.spec().host_aliases.as_deref().unwrap_or_default();
    let content = if pod.host_network() {
        let node = Path::new("/etc/hosts");
        let text = fs::read_to_string(node).map_err(wrap("reading", node))?;
        format!(
            "# Kubernetes-managed hosts file (host network).\n{text}{}",
            alias_lines(aliases)
        )
    } else {
        managed_hosts(pod_ips, hostname, domain, aliases)
    };
    fs::write(&path, content).map_err(wrap("writing the hosts file", &path))?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).map_err(wrap("opening up", &path))?;
    Ok(Some(Mount {
        host_path: path.to_string_lossy().into_owned(),
        container_path: "/etc/hosts".into(),
        readonly: false,
        ..Default::default()
    }))
}

fn managed_hosts(ips: &[IpAddr], hostname: &str, domain: &str, aliases: &[core::HostAlias]) -> String {
    let mut out = String::from(
        "# Kubernetes-managed hosts file.\n\
         127.0.0.1\tlocalhost\n\
         ::1\tlocalhost ip6-localhost ip6-loopback\n\
         fe00::0\tip6-localnet\n\
         fe00::0\tip6-mcastprefix\n\
         fe00::1\tip6-allnodes\n\
         fe00::2\tip6-allrouters\n",
    );
    for ip in ips {
        if domain.is_empty() {
            out.push_str(&format!("{ip}\t{hostname}\n"));
        } else {
            out.push_str(&format!("{ip}\t{hostname}.{domain}\t{hostname}\n"));
        }
    }
    out.push_str(&alias_lines(aliases));
    out
}

fn alias_lines(aliases: &[core::HostAlias]) -> String {
    if aliases.is_empty() {
        return String::new();
    }
    let mut out = String::from("\n# Entries added by HostAliases.\n");
    for alias in aliases {
        out.push_str(&format!(
            "{}\t{}\n",
            alias.ip,
            alias
                .hostnames
                .iter()
                .flatten()
                .cloned()
                .collect::<Vec<_>>()
                .join("\t")
        ));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(root: &Path) -> Paths {
        Paths {
            root: root.join("root"),
            pod_logs: root.join("pods"),
            container_logs: root.join("containers"),
        }
    }

    fn pod() -> core::Pod {
        let mut pod = core::Pod {
            spec: Some(core::PodSpec::default()),
            ..Default::default()
        };
        pod.metadata.name = Some("web".into());
        pod.metadata.namespace = Some("ns".into());
        pod.metadata.uid = Some("u1".into());
        pod
    }

    #[test]
    fn a_pods_folders_come_and_go_but_never_a_volumes_data() {
        let dir = tempfile::tempdir().unwrap();
        let (paths, pod) = (paths(dir.path()), pod());
        make_pod_folders(&paths, &pod).unwrap();
        let container = core::Container {
            name: "c".into(),
            termination_message_path: Some("/dev/t".into()),
            ..Default::default()
        };
        let mount = container_files(&paths, &pod, &container).unwrap().unwrap();
        assert!(Path::new(&mount.host_path).exists());
        let data = paths.volume("u1", "kubernetes.io/x", "v");
        std::fs::create_dir_all(&data).unwrap();
        std::fs::write(data.join("f"), "precious").unwrap();
        assert!(remove_pod_folders(&paths, "u1").is_err());
        assert!(data.join("f").exists());
        std::fs::remove_file(data.join("f")).unwrap();
        remove_pod_folders(&paths, "u1").unwrap();
        assert!(!paths.pod("u1").exists());
        remove_pod_folders(&paths, "u1").unwrap();
    }

    #[test]
    fn hosts_have_the_pods_name_and_its_aliases() {
        let alias = core::HostAlias {
            ip: "192.0.2.9".into(),
            hostnames: Some(vec!["a".into(), "b".into()]),
        };
        let text = managed_hosts(&["10.0.0.1".parse().unwrap()], "h", "s.ns.svc.x", &[alias]);
        assert!(text.contains("\n10.0.0.1\th.s.ns.svc.x\th\n"));
        assert!(text.ends_with("# Entries added by HostAliases.\n192.0.2.9\ta\tb\n"));
    }

    #[test]
    fn restarts_are_counted_by_log_files() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(restarts_by_logs(&dir.path().join("none")), 0);
        for name in ["0.log", "3.log", "3.log.20240101", "x.log"] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        assert_eq!(restarts_by_logs(dir.path()), 4);
    }
}
