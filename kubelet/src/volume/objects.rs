//! The ConfigMaps and Secrets that pods of this node refer to, each followed by name for as long as a pod refers to it:
//! the Node authorizer lets a node see no others, and no more than one by one.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1 as core;
use machinery::client::Client;
use parking_lot::Mutex;
use rustc_hash::{FxHashMap, FxHashSet};
use serde::de::DeserializeOwned;
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;
use tracing::debug;

use super::content::{ConfigMap, Content, Kind, Missing, Secret};
use super::payload;
use crate::node::follow::{Seen, follow, words};

/// How long a pod may wait for the first answer: after a pod is bound, the authorizer needs a moment to know it too.
const PATIENCE: Duration = Duration::from_secs(3);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Id {
    kind: Kind,
    namespace: Box<str>,
    name: Box<str>,
}

#[derive(Clone, Debug)]
enum State {
    Unknown(Option<String>),
    Absent,
    Found(Arc<Content>),
}

struct Followed {
    state: watch::Sender<State>,
    users: Mutex<FxHashSet<Arc<str>>>,
}

struct Entry {
    followed: Arc<Followed>,
    task: AbortHandle,
}

/// A shared store of what pods refer to.
pub struct Objects {
    client: Option<Client>,
    entries: Mutex<FxHashMap<Id, Entry>>,
    changes: mpsc::UnboundedSender<Arc<str>>,
    receiver: Mutex<Option<mpsc::UnboundedReceiver<Arc<str>>>>,
}

impl Objects {
    /// Over this client; without one every reference is an error.
    #[must_use]
    pub fn new(client: Option<Client>) -> Self {
        let (changes, receiver) = mpsc::unbounded_channel();
        Self {
            client,
            entries: Mutex::default(),
            changes,
            receiver: Mutex::new(Some(receiver)),
        }
    }

    /// Whether there is an API server to ask.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.client.is_some()
    }

    /// The API server's client.
    pub(super) fn client(&self) -> Option<&Client> {
        self.client.as_ref()
    }

    /// The uids of pods whose references have changed. The first caller gets it.
    pub(super) fn take_changes(&self) -> Option<mpsc::UnboundedReceiver<Arc<str>>> {
        self.receiver.lock().take()
    }

    /// Has the pod looked at as if something that it refers to had changed.
    pub(super) fn tell_changed(&self, uid: &Arc<str>) {
        // Nobody listens any more only when the kubelet ends.
        let _ = self.changes.send(Arc::clone(uid));
    }

    /// Follows what `pod` refers to, and no longer what only an earlier version of it did.
    pub(super) fn register(&self, uid: &Arc<str>, pod: &core::Pod) {
        let Some(client) = &self.client else { return };
        let wanted = references(pod);
        let mut entries = self.entries.lock();
        leave(&mut entries, uid, &wanted);
        for id in wanted {
            match entries.get_mut(&id) {
                Some(entry) => {
                    // An immutable object is not followed once it is known; but it may be another one by now.
                    let is_new = entry.followed.users.lock().insert(Arc::clone(uid));
                    if is_new && entry.task.is_finished() {
                        entry.task = self.start(client.clone(), id, Arc::clone(&entry.followed));
                    }
                }
                None => {
                    let followed = Arc::new(Followed {
                        state: watch::Sender::new(State::Unknown(None)),
                        users: Mutex::new([Arc::clone(uid)].into_iter().collect()),
                    });
                    let task = self.start(client.clone(), id.clone(), Arc::clone(&followed));
                    entries.insert(id, Entry { followed, task });
                }
            }
        }
    }

    /// The pod refers to nothing any more.
    pub(super) fn unregister(&self, uid: &str) {
        leave(&mut self.entries.lock(), uid, &FxHashSet::default());
    }

    fn start(&self, client: Client, id: Id, followed: Arc<Followed>) -> AbortHandle {
        let changes = self.changes.clone();
        let task = async move {
            let mut state = followed.state.subscribe();
            let immutable =
                state.wait_for(|state| matches!(state, State::Found(content) if content.immutable));
            let keep = async {
                match id.kind {
                    Kind::ConfigMap => keep::<ConfigMap>(client, &id, &followed, &changes).await,
                    Kind::Secret => keep::<Secret>(client, &id, &followed, &changes).await,
                }
            };
            tokio::select! {
                () = keep => {}
                _ = immutable => {}
            }
        };
        tokio::spawn(task).abort_handle()
    }

    /// Whether an object is known and there.
    pub(super) fn is_here(&self, kind: Kind, namespace: &str, name: &str) -> bool {
        let id = Id {
            kind,
            namespace: namespace.into(),
            name: name.into(),
        };
        let entries = self.entries.lock();
        let entry = entries.get(&id);
        entry.is_some_and(|entry| matches!(*entry.followed.state.borrow(), State::Found(_)))
    }

    /// The content of an object that a registered pod refers to.
    ///
    /// # Errors
    /// If there is none, or nothing is known of it yet.
    pub async fn get(&self, kind: Kind, namespace: &str, name: &str) -> Result<Arc<Content>, Missing> {
        let Some(client) = &self.client else {
            let why = format!(
                "couldn't get {} {namespace}/{name}, no kubeClient defined",
                kind.word()
            );
            return Err(Missing::Failed(why));
        };
        let id = Id {
            kind,
            namespace: namespace.into(),
            name: name.into(),
        };
        let state = self
            .entries
            .lock()
            .get(&id)
            .map(|entry| entry.followed.state.subscribe());
        let Some(mut state) = state else {
            return read(client, &id).await;
        };
        let first = state.wait_for(|state| !matches!(state, State::Unknown(_)));
        let first = tokio::time::timeout(PATIENCE, first)
            .await
            .ok()
            .and_then(Result::ok);
        let known = first.map(|known| known.clone());
        let known = known.unwrap_or_else(|| state.borrow().clone());
        match known {
            State::Found(content) => Ok(content),
            State::Absent => Err(absent(&id)),
            State::Unknown(Some(error)) => Err(Missing::Failed(error)),
            State::Unknown(None) => Err(Missing::Failed(format!(
                "failed to sync {} cache: timed out waiting for the condition",
                kind.word()
            ))),
        }
    }
}

fn absent(id: &Id) -> Missing {
    Missing::NotFound(format!("{} {:?} not found", id.kind.word(), id.name))
}

fn leave(entries: &mut FxHashMap<Id, Entry>, uid: &str, wanted: &FxHashSet<Id>) {
    entries.retain(|id, entry| {
        if wanted.contains(id) {
            return true;
        }
        let mut users = entry.followed.users.lock();
        users.remove(uid);
        if users.is_empty() {
            entry.task.abort();
        }
        !users.is_empty()
    });
}

async fn keep<K>(client: Client, id: &Id, followed: &Followed, changes: &mpsc::UnboundedSender<Arc<str>>)
where
    K: Clone + DeserializeOwned + std::fmt::Debug + Into<Content>,
{
    let tell = |new: State| {
        let changed = followed.state.send_if_modified(|known| {
            let same = match (&*known, &new) {
                (State::Found(old), State::Found(new)) => old == new,
                (State::Absent, State::Absent) => true,
                _ => false,
            };
            *known = new;
            !same
        });
        if changed {
            for uid in followed.users.lock().iter() {
                // Nobody listens any more only when the kubelet ends.
                let _ = changes.send(Arc::clone(uid));
            }
        }
    };
    let on = |seen: Seen<K>| match seen {
        Seen::Present(object) => {
            let object = Arc::try_unwrap(object).unwrap_or_else(|shared| K::clone(&shared));
            tell(State::Found(Arc::new(object.into())));
        }
        Seen::Absent => tell(State::Absent),
        Seen::Failed(error) => {
            debug!(kind = id.kind.name(), namespace = %id.namespace, name = %id.name, %error, "following");
            followed.state.send_if_modified(|known| {
                if let State::Unknown(why) = known {
                    *why = Some(error);
                }
                false
            });
        }
    };
    follow(client, &id.kind.resource(), &id.namespace, &id.name, on).await;
}

/// One read, for whoever asks about an object that no registered pod refers to.
async fn read(client: &Client, id: &Id) -> Result<Arc<Content>, Missing> {
    let (resource, namespace, name) = (id.kind.resource(), &id.namespace, &id.name);
    let result = match id.kind {
        Kind::ConfigMap => client
            .get::<ConfigMap>(&resource, namespace, name)
            .await
            .map(Content::from),
        Kind::Secret => client
            .get::<Secret>(&resource, namespace, name)
            .await
            .map(Content::from),
    };
    match result {
        Ok(content) => Ok(Arc::new(content)),
        Err(error) if error.is_not_found() => Err(absent(id)),
        Err(error) => Err(Missing::Failed(words(&error))),
    }
}

/// Everything that `pod` refers to: by volumes, environments, and for pulling images.
fn references(pod: &core::Pod) -> FxHashSet<Id> {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let Some(spec) = &pod.spec else {
        return FxHashSet::default();
    };
    let containers = spec.init_containers.iter().flatten().chain(&spec.containers);
    let pulls = spec.image_pull_secrets.iter().flatten();
    spec.volumes
        .iter()
        .flatten()
        .flat_map(payload::references)
        .chain(containers.flat_map(crate::env::references))
        .chain(pulls.map(|reference| (Kind::Secret, reference.name.clone())))
        .filter(|(_, name)| !name.is_empty())
        .map(|(kind, name)| Id {
            kind,
            namespace: namespace.into(),
            name: name.into(),
        })
        .collect()
}
