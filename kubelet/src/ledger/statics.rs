//! Under which uid each static pod runs.
//!
//! A static pod's uid is a hash of its file. Upstream's hash is over Go's in-memory form of the pod, which nobody else can
//! compute: after a swap of kubelets an unchanged file would get another uid and its containers would be restarted. So a
//! file whose pod already runs, with the same containers, keeps the uid it runs under; from then on the ledger knows which
//! content that uid stands for.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1 as core;
use serde::{Deserialize, Serialize};
use tracing::{debug, info};

use crate::cri::{api, hash, labels};
use crate::pod::spec::{CONFIG_HASH, PodExt as _};

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    /// The hash of the file's content: the uid we would give.
    content: String,
    /// The uid it runs under.
    uid: String,
    /// The uid that this one has replaced: it may still be on its way out.
    #[serde(default)]
    replaced: String,
}

/// What runs under a name: its uid and its containers' hashes.
#[derive(Clone, Debug, Default)]
struct Running {
    uid: String,
    containers: BTreeMap<String, String>,
}

/// The ledger of static pods, a JSON file written whole and renamed into place.
pub struct Statics {
    path: PathBuf,
    entries: BTreeMap<String, Entry>,
    running: BTreeMap<String, Running>,
    changed: bool,
}

impl Statics {
    /// Reads the ledger in `root`; `sandboxes` and `containers` are what the runtime has.
    #[must_use]
    pub fn open(root: &Path, sandboxes: &[api::PodSandbox], containers: &[api::Container]) -> Self {
        let path = root.join("steersman_static_pods");
        let entries = std::fs::read(&path)
            .ok()
            .and_then(|t| serde_json::from_slice(&t).ok())
            .unwrap_or_default();
        let mut running = BTreeMap::new();
        for sandbox in sandboxes
            .iter()
            .filter(|s| s.state == api::PodSandboxState::SandboxReady as i32)
        {
            let label = |key: &str| sandbox.labels.get(key).cloned().unwrap_or_default();
            let uid = label(labels::POD_UID);
            if sandbox.annotations.get(CONFIG_HASH) != Some(&uid) {
                continue;
            }
            let containers = containers
                .iter()
                .filter(|c| c.pod_sandbox_id == sandbox.id)
                .filter_map(|c| {
                    let name = c.labels.get(labels::CONTAINER_NAME)?.clone();
                    Some((name, c.annotations.get(labels::HASH)?.clone()))
                })
                .collect();
            let name = format!("{}/{}", label(labels::POD_NAMESPACE), label(labels::POD_NAME));
            running.insert(name, Running { uid, containers });
        }
        Self {
            path,
            entries,
            running,
            changed: false,
        }
    }

    /// Gives a static pod the uid it runs under, where it is the same pod.
    pub fn settle(&mut self, pod: &mut core::Pod) {
        let name = format!("{}/{}", pod.namespace(), pod.name());
        let content = pod.uid().to_owned();
        let entry = self.entries.get(&name);
        let uid = match self.running.get(&name) {
            // Another kubelet's: taken over when it is the same pod.
            Some(running) if entry.is_none_or(|e| e.uid != running.uid && e.replaced != running.uid) => {
                if same_containers(pod, running) {
                    info!(pod = name, uid = running.uid, "static pod goes on as it runs");
                    running.uid.clone()
                } else {
                    content.clone()
                }
            }
            _ => entry
                .filter(|e| e.content == content)
                .map_or_else(|| content.clone(), |e| e.uid.clone()),
        };
        // The next look is at the same file again: what runs was judged once.
        self.running.remove(&name);
        let replaced = match entry {
            Some(entry) if entry.uid == uid => entry.replaced.clone(),
            Some(entry) => entry.uid.clone(),
            None => String::new(),
        };
        let entry = Entry {
            content,
            uid: uid.clone(),
            replaced,
        };
        if self.entries.get(&name) != Some(&entry) {
            self.entries.insert(name, entry);
            self.changed = true;
        }
        pod.metadata.uid = Some(uid.clone());
        pod.metadata
            .annotations
            .get_or_insert_default()
            .insert(CONFIG_HASH.into(), uid);
    }

    /// Writes the ledger if it has changed. A failure costs a restart of static pods at the next start, no more.
    pub fn save(&mut self) {
        if !std::mem::take(&mut self.changed) {
            return;
        }
        let write = || -> std::io::Result<()> {
            let new = self.path.with_extension("new");
            let mut file = std::fs::File::create(&new)?;
            file.write_all(&serde_json::to_vec(&self.entries)?)?;
            file.sync_all()?;
            std::fs::rename(&new, &self.path)
        };
        if let Err(error) = write() {
            debug!(path = %self.path.display(), %error, "ledger of static pods");
        }
    }
}

/// Every container that runs is one of the pod's, from the same image.
fn same_containers(pod: &core::Pod, running: &Running) -> bool {
    !running.containers.is_empty()
        && running.containers.iter().all(|(name, hash)| {
            pod.init().iter().chain(pod.app()).any(|c| {
                c.name == *name
                    && format!(
                        "{:x}",
                        hash::container(name, c.image.as_deref().unwrap_or_default())
                    ) == *hash
            })
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(uid: &str, image: &str) -> core::Pod {
        let mut pod = core::Pod::default();
        pod.metadata.name = Some("web-n1".into());
        pod.metadata.namespace = Some("default".into());
        pod.metadata.uid = Some(uid.into());
        pod.spec = Some(core::PodSpec {
            containers: vec![core::Container {
                name: "c".into(),
                image: Some(image.into()),
                ..Default::default()
            }],
            ..Default::default()
        });
        pod
    }

    fn runs(uid: &str, image: &str) -> (Vec<api::PodSandbox>, Vec<api::Container>) {
        let labels = |more: &[(&str, &str)]| {
            [
                (labels::POD_NAME, "web-n1"),
                (labels::POD_NAMESPACE, "default"),
                (labels::POD_UID, uid),
            ]
            .iter()
            .chain(more)
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect()
        };
        let sandbox = api::PodSandbox {
            id: "s".into(),
            state: api::PodSandboxState::SandboxReady as i32,
            labels: labels(&[]),
            annotations: [(CONFIG_HASH.to_owned(), uid.to_owned())].into(),
            ..Default::default()
        };
        let container = api::Container {
            pod_sandbox_id: "s".into(),
            labels: labels(&[(labels::CONTAINER_NAME, "c")]),
            annotations: [(
                labels::HASH.to_owned(),
                format!("{:x}", hash::container("c", image)),
            )]
            .into(),
            ..Default::default()
        };
        (vec![sandbox], vec![container])
    }

    fn uid(ledger: &mut Statics, content: &str, image: &str) -> String {
        let mut pod = pod(content, image);
        ledger.settle(&mut pod);
        ledger.save();
        pod.metadata.uid.unwrap()
    }

    #[test]
    fn a_static_pod_of_another_kubelet_keeps_its_uid_until_its_file_changes() {
        let dir = tempfile::tempdir().unwrap();
        let (sandboxes, containers) = runs("theirs", "x:1");
        let open = || Statics::open(dir.path(), &sandboxes, &containers);
        assert_eq!(uid(&mut open(), "content1", "x:1"), "theirs");
        assert_eq!(uid(&mut open(), "content1", "x:1"), "theirs", "over a restart");
        assert_eq!(
            uid(&mut open(), "content2", "x:1"),
            "content2",
            "the file has changed"
        );
        assert_eq!(uid(&mut open(), "content2", "x:1"), "content2");
    }

    #[test]
    fn a_pod_that_another_kubelet_has_made_anew_meanwhile_is_taken_over() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(
            uid(&mut Statics::open(dir.path(), &[], &[]), "content", "x:1"),
            "content"
        );
        let (sandboxes, containers) = runs("theirs", "x:1");
        let mut ledger = Statics::open(dir.path(), &sandboxes, &containers);
        assert_eq!(uid(&mut ledger, "content", "x:1"), "theirs");
        assert_eq!(uid(&mut ledger, "content", "x:1"), "theirs", "at the next look");
    }

    #[test]
    fn another_image_is_another_pod() {
        let dir = tempfile::tempdir().unwrap();
        let (sandboxes, containers) = runs("theirs", "x:1");
        assert_eq!(
            uid(
                &mut Statics::open(dir.path(), &sandboxes, &containers),
                "content",
                "x:2"
            ),
            "content"
        );
    }
}
