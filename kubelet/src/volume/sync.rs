//! Mounts and unmounts volumes, and keeps what the kubelet wrote into them up to date.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::future::join_all;
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use machinery::meta::resources::CLUSTER_TRUST_BUNDLES;
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use tokio::sync::{Notify, mpsc};
use tracing::debug;

use super::certificate::{self, Certificates};
use super::claims::{self, BackingKind};
use super::payload::{self, Sources};
use super::set_up::{Site, is_written, take_down};
use super::shared_watch::SharedWatch;
use super::tokens::Tokens;
use super::trust::{self, Bundle, Wanted};
use super::{HostVolume, Kind, Missing, Objects, PodVolumes, VolumeError, container, soon};
use crate::context::{Node, PodRef};
use crate::cri::api::Mount;

/// A token (or alike) that could not be had is asked for again after this.
const RETRY: SignedDuration = SignedDuration::from_secs(30);

/// One pod with volumes.
struct Entry {
    pod: Mutex<PodRef>,
    changed: Notify,
    /// When a token of the pod has to be renewed.
    due: Mutex<Option<Timestamp>>,
    /// Held while volumes are written; true once they are taken down.
    gone: tokio::sync::Mutex<bool>,
    /// Volumes were all set up once.
    mounted: AtomicBool,
}

struct Inner {
    node: Arc<Node>,
    objects: Arc<Objects>,
    tokens: Tokens,
    bundles: SharedWatch<Bundle, Wanted>,
    certificates: Certificates,
    pods: Mutex<FxHashMap<Arc<str>, Arc<Entry>>>,
    /// A pod has a token to renew sooner than was known.
    sooner: Notify,
    selinux: bool,
}

/// Mounts and unmounts volumes.
pub struct Volumes {
    inner: Arc<Inner>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Volumes {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Volumes {
    /// For this node; `objects` is shared with [`crate::env::Environments`]. Call it within the runtime.
    #[must_use]
    pub fn new(node: Arc<Node>, objects: Arc<Objects>) -> Self {
        let changes = objects.take_changes();
        let bundles = SharedWatch::new(&objects, CLUSTER_TRUST_BUNDLES, None, trust::concerns);
        let certificates = Certificates::new(&node, &objects);
        let inner = Arc::new(Inner {
            node,
            objects,
            tokens: Tokens::default(),
            bundles,
            certificates,
            pods: Mutex::default(),
            sooner: Notify::new(),
            selinux: Path::new("/sys/fs/selinux/enforce").exists(),
        });
        let task = tokio::spawn(keep_fresh(Arc::clone(&inner), changes));
        Self { inner, task }
    }

    /// Makes every volume of the pod ready; repeats are cheap. Called before the sandbox's containers are made, again after
    /// a restart of the kubelet for pods that run, and when the pod's metadata changes (the downward API shows it).
    ///
    /// # Errors
    /// The first volume that is not ready.
    pub async fn mount(&self, pod: &PodRef) -> Result<Arc<PodVolumes>, VolumeError> {
        let uid: Arc<str> = uid_of(pod).into();
        let entry = {
            let mut pods = self.inner.pods.lock();
            let entry = pods
                .entry(Arc::clone(&uid))
                .or_insert_with(|| Arc::new(Entry::new(pod)));
            *entry.pod.lock() = Arc::clone(pod);
            Arc::clone(entry)
        };
        self.inner.register(&uid, pod);
        let gone = entry.gone.lock().await;
        if *gone {
            return Err(VolumeError::Mount(
                "the pod's volumes are being taken down".to_owned(),
            ));
        }
        let (volumes, error) = self.inner.set_up(&uid, pod, &entry, |_| true).await;
        match error {
            Some(error) => Err(error),
            None => {
                entry.mounted.store(true, Ordering::Relaxed);
                Ok(Arc::new(volumes))
            }
        }
    }

    /// Whether [`mount`](Self::mount) can be expected to succeed without anything that may take a while to appear.
    #[must_use]
    pub fn are_soon_there(&self, pod: &core::Pod) -> bool {
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        soon::are_soon_there(pod, |kind, name| {
            self.inner.objects.is_here(kind, namespace, name)
        })
    }

    /// A pod whose containers run and whose volumes were mounted before, perhaps by the kubelet before this one: from now on
    /// what we wrote into them is kept up to date with what the pod refers to, its metadata and the life of its tokens.
    /// Call it whenever the pod is looked at; it does nothing unless the pod is new here or changed.
    pub fn keep(&self, pod: &PodRef) {
        let uid = uid_of(pod);
        {
            let mut pods = self.inner.pods.lock();
            match pods.get(uid) {
                Some(entry) => {
                    let mut known = entry.pod.lock();
                    if Arc::ptr_eq(&known, pod) || !shows_differently(&known, pod) {
                        return;
                    }
                    *known = Arc::clone(pod);
                }
                None => {
                    let entry = Entry::new(pod);
                    entry.mounted.store(true, Ordering::Relaxed);
                    pods.insert(uid.into(), Arc::new(entry));
                }
            }
        }
        let uid: Arc<str> = uid.into();
        self.inner.register(&uid, pod);
        self.inner.objects.tell_changed(&uid);
    }

    /// Returns when something that the pod's volumes or environments wait for has changed (a ConfigMap appeared, say):
    /// then `mount`, or making the container, is worth another try. Never returns otherwise.
    pub async fn changed(&self, uid: &str) {
        let entry = self.inner.pods.lock().get(uid).cloned();
        match entry {
            Some(entry) => entry.changed.notified().await,
            None => std::future::pending().await,
        }
    }

    /// The CRI mounts of one container: its volume mounts with their sub-paths and propagation. (The hosts file and the
    /// termination log are the pod task's.) `env` is the container's environment, for `subPathExpr`.
    ///
    /// # Errors
    /// When a sub-path cannot be opened or a mount names no volume.
    pub async fn container_mounts(
        &self,
        pod: &PodRef,
        container: &core::Container,
        volumes: &PodVolumes,
        env: &[(String, String)],
    ) -> Result<Vec<Mount>, VolumeError> {
        let node = &self.inner.node;
        let recursive_read_only = {
            let runtime = node.runtime.borrow();
            // The handler of the pod's RuntimeClass is not looked at: all of a runtime's handlers agree in practice.
            runtime
                .handlers
                .iter()
                .any(|handler| handler.recursive_read_only_mounts)
        };
        container::Sources {
            folder: &node.paths.pod(uid_of(pod)),
            container,
            volumes,
            env,
            recursive_read_only,
            relabel: self.inner.selinux,
        }
        .mounts()
    }

    /// Called once when no container of the pod runs any more: unmounts and removes its volumes and sub-path mounts.
    /// The pod task removes `pods/UID` itself afterwards. Also called for pods that vanished while the kubelet was down,
    /// of which only the uid is known. Idempotent.
    ///
    /// # Errors
    /// When something is still mounted; the caller tries again.
    pub async fn unmount(&self, uid: &str) -> Result<(), VolumeError> {
        let entry = self.inner.pods.lock().remove(uid);
        self.inner.objects.unregister(uid);
        self.inner.tokens.forget(uid);
        let id: Arc<str> = uid.into();
        self.inner.bundles.register(&id, None);
        self.inner.certificates.forget(&id);
        if let Some(entry) = &entry {
            *entry.gone.lock().await = true;
        }
        let folder = self.inner.node.paths.pod(uid);
        // An emptyDir can hold a million files.
        let result = tokio::task::spawn_blocking(move || take_down(&folder)).await;
        match result {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(VolumeError::Mount(format!(
                "cannot take down the volumes of pod {uid}: {error}"
            ))),
            Err(error) => Err(VolumeError::Mount(format!(
                "taking down the volumes of pod {uid} failed: {error}"
            ))),
        }
    }
}

impl Entry {
    fn new(pod: &PodRef) -> Entry {
        Entry {
            pod: Mutex::new(Arc::clone(pod)),
            changed: Notify::new(),
            due: Mutex::new(None),
            gone: tokio::sync::Mutex::new(false),
            mounted: false.into(),
        }
    }
}

/// When something that could not be had is asked for again.
fn retry() -> Timestamp {
    Timestamp::now().checked_add(RETRY).unwrap_or(Timestamp::MAX)
}

fn sooner(due: &mut Option<Timestamp>, at: Timestamp) {
    *due = Some(due.map_or(at, |due| due.min(at)));
}

fn uid_of(pod: &core::Pod) -> &str {
    pod.metadata.uid.as_deref().unwrap_or_default()
}

impl Inner {
    /// Follows what the pod refers to.
    fn register(&self, uid: &Arc<str>, pod: &core::Pod) {
        self.objects.register(uid, pod);
        self.bundles.register(uid, trust::wanted(pod));
        self.certificates.register(uid, pod);
    }

    /// Sets up those volumes that a container uses and `which` chooses: all that can be, and the first that cannot.
    async fn set_up(
        &self,
        uid: &Arc<str>,
        pod: &PodRef,
        entry: &Entry,
        which: impl Fn(&core::Volume) -> bool,
    ) -> (PodVolumes, Option<VolumeError>) {
        let used = used(pod);
        let mut volumes = PodVolumes::default();
        let mut first = None;
        let mut due = None;
        let all = pod
            .spec
            .as_ref()
            .and_then(|spec| spec.volumes.as_deref())
            .unwrap_or_default();
        // What they need of the API server is asked for side by side.
        let wanted = all
            .iter()
            .filter(|volume| used.contains(volume.name.as_str()) && which(volume));
        let outcomes = join_all(wanted.map(|volume| async move {
            let mut due = None;
            let outcome = self.set_up_one(uid, pod, volume, &mut due).await;
            (volume, outcome, due)
        }));
        for (volume, outcome, at) in outcomes.await {
            if let Some(at) = at {
                sooner(&mut due, at);
            }
            match outcome {
                Ok(host) => drop(volumes.by_name.insert(volume.name.clone(), host)),
                Err(reason) if first.is_none() => {
                    first = Some(VolumeError::Waiting {
                        volume: volume.name.clone(),
                        reason,
                    });
                }
                Err(_) => {}
            }
        }
        *entry.due.lock() = due;
        if due.is_some() {
            self.sooner.notify_one();
        }
        (volumes, first)
    }

    async fn set_up_one(
        &self,
        uid: &Arc<str>,
        pod: &PodRef,
        volume: &core::Volume,
        due: &mut Option<Timestamp>,
    ) -> Result<HostVolume, String> {
        let capacity = self.node.capacity.borrow().clone();
        let site = Site {
            paths: &self.node.paths,
            pod,
            uid,
            volume,
            node_memory: capacity.allocatable_memory,
        };
        if let Some(source) = &volume.empty_dir {
            return site.empty_dir(source);
        }
        if let Some(source) = &volume.host_path {
            return site.host_path(&source.path, source.type_.as_deref());
        }
        if let Some(source) = &volume.image {
            let image = source.reference.clone().filter(|reference| !reference.is_empty());
            let image = image.ok_or("the image volume names no image")?;
            return Ok(HostVolume {
                read_only: true,
                image: Some(image),
                ..HostVolume::default()
            });
        }
        if let Some((claim, owned, read_only)) = claim(pod, volume) {
            let client = self.node.api.as_ref().ok_or("a claim needs an API server")?;
            let backing = claims::find(client, pod, &claim, owned).await?;
            let mut host = match &backing.kind {
                BackingKind::HostPath { path, expected } => site.host_path(path, expected.as_deref())?,
                BackingKind::Local { path } => site.local(&backing.name, Path::new(path))?,
            };
            host.read_only |= read_only;
            return Ok(host);
        }

        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        let objects = join_all(
            payload::references(volume)
                .into_iter()
                .map(|(kind, name)| async move {
                    let found = self.objects.get(kind, namespace, &name).await;
                    ((kind, name), found)
                }),
        );
        let tokens = join_all(payload::tokens(volume).map(|wanted| async move {
            let token = self.tokens.get(self.node.api.as_ref(), uid, pod, wanted).await;
            (wanted, token)
        }));
        let (objects, tokens) = tokio::join!(objects, tokens);
        let objects: FxHashMap<(Kind, String), Result<_, Missing>> = objects.into_iter().collect();
        let tokens: Vec<_> = tokens
            .into_iter()
            .map(|(wanted, token)| {
                sooner(due, token.as_ref().map_or_else(|_| retry(), |(_, renew)| *renew));
                (wanted, token.map(|(text, _)| text))
            })
            .collect();
        let shows_bundles = trust::projections(volume).next().is_some();
        let bundles = if shows_bundles {
            self.bundles.objects().await
        } else {
            None
        };
        if shows_bundles && bundles.is_none() {
            sooner(due, retry());
        }
        let mut certificates = Vec::new();
        for (source, wanted) in certificate::projections(volume) {
            let place = certificate::Place {
                uid,
                pod,
                volume: &volume.name,
                source,
            };
            let outcome = self.certificates.get(place, wanted).await;
            if let Some(at) = outcome.look_again {
                sooner(due, at);
            }
            certificates.push((source, outcome.credentials));
        }
        let sources = Sources {
            pod,
            node: &capacity,
            objects: &|kind, name| {
                let known = objects.get(&(kind, name.to_owned())).cloned();
                known.unwrap_or_else(|| Err(Missing::NotFound(format!("{} {name:?} not found", kind.word()))))
            },
            tokens: &|wanted| {
                let known = tokens
                    .iter()
                    .find(|(of, _)| std::ptr::eq(*of, wanted) || *of == wanted);
                known.map_or_else(|| Err("no token".to_owned()), |(_, token)| token.clone())
            },
            anchors: &|wanted| match &bundles {
                Some(bundles) => trust::anchors(wanted, bundles),
                None if self.objects.is_connected() => {
                    Err("ClusterTrustBundle informer has not yet synced".to_owned())
                }
                None => {
                    Err("ClusterTrustBundle projection is not supported in static kubelet mode".to_owned())
                }
            },
            certificates: &|place| {
                let known = certificates.iter().find(|(source, _)| *source == place);
                known.map_or_else(
                    || Err("no certificate".to_owned()),
                    |(_, credentials)| credentials.clone(),
                )
            },
            owners: self
                .node
                .config
                .feature_gates
                .get("AtomicWriteVolumeUserFields")
                .is_some_and(|on| *on),
        };
        match payload::collect(volume, &sources) {
            Some(payload) => {
                let mut host = site.files(&payload?)?;
                host.managed = true;
                Ok(host)
            }
            None => Err("volumes of this kind are not supported by this kubelet yet".to_owned()),
        }
    }

    /// Writes again what may have changed in a pod's volumes. What cannot be read now stays as it was.
    async fn refresh(&self, uid: &Arc<str>) {
        let entry = self.pods.lock().get(uid).cloned();
        let Some(entry) = entry else { return };
        if entry.mounted.load(Ordering::Relaxed) {
            let gone = entry.gone.lock().await;
            if !*gone {
                let pod = Arc::clone(&entry.pod.lock());
                // Volumes that were taken down, or never were, are not ours to make here.
                let written = |volume: &core::Volume| is_written(&self.node.paths, uid, volume);
                let (_, error) = self.set_up(uid, &pod, &entry, written).await;
                if let Some(error) = error {
                    debug!(pod = ?pod.metadata.name, %error, "cannot refresh a volume");
                }
            }
        }
        entry.changed.notify_one();
    }

    /// The pod whose token is to be renewed first, and how long until then.
    fn next_due(&self) -> Option<(Arc<str>, Duration)> {
        let pods = self.pods.lock();
        let (uid, due) = pods
            .iter()
            .filter_map(|(uid, entry)| Some((uid, (*entry.due.lock())?)))
            .min_by_key(|(_, due)| *due)?;
        let wait = Duration::try_from(due.duration_since(Timestamp::now())).unwrap_or(Duration::ZERO);
        Some((Arc::clone(uid), wait))
    }
}

/// Refreshes pods whose references changed or whose tokens are old.
async fn keep_fresh(inner: Arc<Inner>, changes: Option<mpsc::UnboundedReceiver<Arc<str>>>) {
    let Some(mut changes) = changes else { return };
    loop {
        let due = inner.next_due();
        let renewal = async {
            match &due {
                Some((_, wait)) => tokio::time::sleep(*wait).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            changed = changes.recv() => match changed {
                Some(uid) => inner.refresh(&uid).await,
                None => return,
            },
            () = inner.sooner.notified() => {}
            () = renewal => {
                if let Some((uid, _)) = &due {
                    inner.refresh(uid).await;
                }
            }
        }
    }
}

/// Whether the downward API would show `new` differently.
fn shows_differently(old: &core::Pod, new: &core::Pod) -> bool {
    let (old, new) = (&old.metadata, &new.metadata);
    old.labels != new.labels || old.annotations != new.annotations
}

/// The claim of a volume: its name, whether it was made for the pod, and whether it is to be read-only.
fn claim(pod: &core::Pod, volume: &core::Volume) -> Option<(String, bool, bool)> {
    if let Some(source) = &volume.persistent_volume_claim {
        return Some((source.claim_name.clone(), false, source.read_only == Some(true)));
    }
    let pod = pod.metadata.name.as_deref().unwrap_or_default();
    volume
        .ephemeral
        .as_ref()
        .map(|_| (format!("{pod}-{}", volume.name), true, false))
}

/// The volumes that a container of the pod mounts, or reads variables from.
pub(super) fn used(pod: &core::Pod) -> BTreeSet<&str> {
    let Some(spec) = &pod.spec else {
        return BTreeSet::new();
    };
    let mut used = BTreeSet::new();
    for container in spec.init_containers.iter().flatten().chain(&spec.containers) {
        used.extend(
            container
                .volume_mounts
                .iter()
                .flatten()
                .map(|mount| mount.name.as_str()),
        );
        let files = container
            .env
            .iter()
            .flatten()
            .filter_map(|var| var.value_from.as_ref()?.file_key_ref.as_ref());
        used.extend(files.map(|file| file.volume_name.as_str()));
    }
    for container in spec.ephemeral_containers.iter().flatten() {
        used.extend(
            container
                .volume_mounts
                .iter()
                .flatten()
                .map(|mount| mount.name.as_str()),
        );
    }
    used
}
