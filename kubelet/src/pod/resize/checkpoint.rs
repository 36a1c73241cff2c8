//! What is allocated and what is actuated, in memory and on disk (`allocated_pods_state` and `actuated_pods_state` in the
//! kubelet's root): a kubelet that is killed in the middle of a resize goes on where it was, upstream's too.
//!
//! A resize is on disk before it is acted upon. Pods that come and go are written a little later and together: without
//! their record a kubelet that starts takes what their specs say, which is the same.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use machinery::arith::fnv::fnv32a;
use parking_lot::Mutex;
use rustc_hash::{FxHashMap, FxHashSet};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::PodResources;

/// Changes that can wait are collected for so long.
const LAZILY: Duration = Duration::from_secs(1);

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// What a pod may have.
    Allocated,
    /// What it was given.
    Actuated,
}

impl Which {
    const fn file(self) -> &'static str {
        match self {
            Which::Allocated => "allocated_pods_state",
            Which::Actuated => "actuated_pods_state",
        }
    }
}

/// Whether a change has to be on disk before anybody acts upon it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    /// Now.
    Now,
    /// Some time soon.
    Lazily,
}

#[derive(Default)]
struct Records {
    pods: FxHashMap<Arc<str>, Arc<PodResources>>,
    unwritten: bool,
}

/// Both records.
pub struct Allocations {
    folder: PathBuf,
    allocated: Mutex<Records>,
    actuated: Mutex<Records>,
    changed: Notify,
}

#[derive(Serialize, Deserialize)]
struct File {
    data: String,
    checksum: u64,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Entries {
    #[serde(deserialize_with = "machinery::meta::null_default")]
    entries: BTreeMap<String, PodResources>,
}

impl Allocations {
    /// Reads what the last kubelet has left in `root`. What cannot be read is left out: pods then have what their specs say.
    #[must_use]
    pub fn open(root: &Path) -> Self {
        let read = |which: Which| {
            let path = root.join(which.file());
            let pods = match read(&path) {
                Ok(entries) => entries,
                Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
                Err(error) => {
                    warn!(path = %path.display(), %error, "the record of pods' resources cannot be read: it is made anew");
                    BTreeMap::new()
                }
            };
            Mutex::new(Records {
                pods: pods
                    .into_iter()
                    .map(|(uid, resources)| (uid.into(), Arc::new(resources)))
                    .collect(),
                unwritten: false,
            })
        };
        Self {
            folder: root.to_owned(),
            allocated: read(Which::Allocated),
            actuated: read(Which::Actuated),
            changed: Notify::new(),
        }
    }

    fn records(&self, which: Which) -> &Mutex<Records> {
        match which {
            Which::Allocated => &self.allocated,
            Which::Actuated => &self.actuated,
        }
    }

    /// What is known of a pod.
    #[must_use]
    pub fn get(&self, which: Which, uid: &str) -> Option<Arc<PodResources>> {
        self.records(which).lock().pods.get(uid).cloned()
    }

    /// Records a pod's resources.
    ///
    /// # Errors
    /// When they are to be written now and cannot be.
    pub fn set(
        &self,
        which: Which,
        uid: &Arc<str>,
        resources: Arc<PodResources>,
        write: Write,
    ) -> io::Result<()> {
        let mut records = self.records(which).lock();
        let same = records.pods.get(uid).is_some_and(|known| **known == *resources);
        if !same {
            records.pods.insert(Arc::clone(uid), resources);
            records.unwritten = true;
        }
        if !records.unwritten {
            return Ok(());
        }
        if write == Write::Now {
            return self.write(which, &mut records);
        }
        self.changed.notify_one();
        Ok(())
    }

    /// Forgets a pod.
    pub fn forget(&self, uid: &str) {
        self.retain(|known| known != uid);
    }

    /// Forgets those that are not known any more.
    pub fn keep_only(&self, known: &FxHashSet<Arc<str>>) {
        self.retain(|uid| known.contains(uid));
    }

    fn retain(&self, keep: impl Fn(&str) -> bool) {
        for which in [Which::Allocated, Which::Actuated] {
            let mut records = self.records(which).lock();
            let before = records.pods.len();
            records.pods.retain(|uid, _| keep(uid));
            if records.pods.len() != before {
                records.unwritten = true;
                self.changed.notify_one();
            }
        }
    }

    fn write(&self, which: Which, records: &mut Records) -> io::Result<()> {
        let entries: BTreeMap<&str, &PodResources> =
            records.pods.iter().map(|(uid, r)| (&**uid, &**r)).collect();
        let data = if entries.is_empty() {
            "{}".to_owned()
        } else {
            serde_json::to_string(&BTreeMap::from([("entries", entries)]))?
        };
        let checksum = checksum(&data);
        let text = serde_json::to_vec(&File { data, checksum })?;
        let path = self.folder.join(which.file());
        let new = path.with_extension("new");
        let mut file = std::fs::File::create(&new)?;
        file.write_all(&text)?;
        file.sync_data()?;
        std::fs::rename(&new, &path)?;
        records.unwritten = false;
        Ok(())
    }

    fn write_all(&self) {
        for which in [Which::Allocated, Which::Actuated] {
            let mut records = self.records(which).lock();
            if records.unwritten
                && let Err(error) = self.write(which, &mut records)
            {
                let path = self.folder.join(which.file());
                warn!(path = %path.display(), %error, "the record of pods' resources cannot be written");
            }
        }
    }

    /// Writes what can wait, until `stop` and once more then.
    pub async fn keep_written(self: Arc<Self>, stop: CancellationToken) {
        loop {
            let stopped = tokio::select! {
                () = self.changed.notified() => {
                    stop.run_until_cancelled(tokio::time::sleep(LAZILY)).await.is_none()
                }
                () = stop.cancelled() => true,
            };
            let this = Arc::clone(&self);
            // Ends early only with the runtime.
            let _ = tokio::task::spawn_blocking(move || this.write_all()).await;
            if stopped {
                return;
            }
        }
    }
}

fn read(path: &Path) -> io::Result<BTreeMap<String, PodResources>> {
    let file: File = serde_json::from_slice(&std::fs::read(path)?)?;
    if u64::from(checksum_of(&file.data)) != file.checksum {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "checkpoint is corrupted",
        ));
    }
    Ok(serde_json::from_str::<Entries>(&file.data)?.entries)
}

fn checksum(data: &str) -> u64 {
    u64::from(checksum_of(data))
}

/// FNV-1a (32 bits) over Go's dump of the text.
fn checksum_of(data: &str) -> u32 {
    fnv32a(format!("(string){data}").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn checksums_are_upstreams() {
        let one = r#"{"entries":{"u":{"ContainerResources":{"c":{}},"PodLevelResources":null,"EmptyDirVolumeLimits":null}}}"#;
        assert_eq!((checksum("{}"), checksum(one)), (694_314_937, 3_145_370_759));
    }

    #[test]
    fn a_resize_outlives_the_kubelet_in_upstreams_form() {
        let dir = tempfile::tempdir().unwrap();
        let uid: Arc<str> = "u".into();
        let resources: PodResources = serde_json::from_value(json!({
            "ContainerResources": {"c": {"requests": {"cpu": "1"}}}}))
        .unwrap();
        let resources = Arc::new(resources);
        let open = || Allocations::open(dir.path());
        let first = open();
        first
            .set(Which::Actuated, &uid, Arc::clone(&resources), Write::Lazily)
            .unwrap();
        assert!(open().get(Which::Actuated, "u").is_none());
        first
            .set(Which::Allocated, &uid, Arc::clone(&resources), Write::Now)
            .unwrap();
        assert_eq!(open().get(Which::Allocated, "u"), Some(Arc::clone(&resources)));
        first.write_all();
        assert_eq!(open().get(Which::Actuated, "u"), Some(resources));

        let file = dir.path().join("allocated_pods_state");
        let text = std::fs::read_to_string(&file).unwrap();
        let read: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            read["data"],
            r#"{"entries":{"u":{"ContainerResources":{"c":{"requests":{"cpu":"1"}}},"PodLevelResources":null,"EmptyDirVolumeLimits":null}}}"#
        );
        std::fs::write(&file, text.replace("cpu", "cpx")).unwrap();
        assert!(open().get(Which::Allocated, "u").is_none());

        first.forget("u");
        first.write_all();
        assert!(open().get(Which::Actuated, "u").is_none());
    }
}
