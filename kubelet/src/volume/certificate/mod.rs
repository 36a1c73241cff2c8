//! Certificates for projected volumes: the kubelet makes a key, asks a signer for a certificate by a PodCertificateRequest,
//! and renews both in time.
//!
//! ```text
//! podCertificate source ──┐
//! PodCertificateRequest ──┼─> state (pure) ─> create a request (key) / events / when to look again
//! clock ──────────────────┘        └─> key and chain -> payload
//! ```
//! The key of a request that is under way is kept in memory only: after a restart every source asks anew, and its volume stays
//! as it was until the answer.

mod key;
mod request;
mod state;

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use machinery::cache::Cache;
use machinery::meta::PartialObject;
use machinery::meta::resources::{POD_CERTIFICATE_REQUESTS, SERVICE_ACCOUNTS};
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use tokio::sync::Notify;
use tracing::debug;

use self::request::Request;
pub(super) use self::state::Credentials;
use self::state::{Record, Step};
use super::Objects;
use super::shared_watch::SharedWatch;
use crate::context::Node;
use crate::node::follow::words;
use crate::pod::events::About;

/// A signer that answers at once spares the pod another try.
const PATIENCE: Duration = Duration::from_secs(2);
/// Requests of one node are not all renewed together: up to this much later.
const SPREAD_SECONDS: f64 = 300.0;
/// After a step that failed.
const RETRY: SignedDuration = SignedDuration::from_secs(15);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Id {
    uid: Arc<str>,
    volume: Box<str>,
    source: usize,
}

/// One source of one volume of a pod.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub uid: &'a Arc<str>,
    pub pod: &'a core::Pod,
    pub volume: &'a str,
    pub source: usize,
}

/// The certificates of this node's pods.
pub(super) struct Certificates {
    node: Arc<Node>,
    requests: SharedWatch<Request, ()>,
    known: Mutex<FxHashMap<Id, Record>>,
}

/// What there is for a source, and when to look again.
pub(super) struct Outcome {
    pub credentials: Result<Credentials, String>,
    pub look_again: Option<Timestamp>,
}

/// The certificate sources of a volume, each with its place among the sources.
pub(super) fn projections(
    volume: &core::Volume,
) -> impl Iterator<Item = (usize, &core::PodCertificateProjection)> {
    super::payload::projections(volume)
        .enumerate()
        .filter_map(|(place, source)| Some((place, source.pod_certificate.as_ref()?)))
}

impl Certificates {
    pub(super) fn new(node: &Arc<Node>, objects: &Arc<Objects>) -> Self {
        // The authorizer shows a node its own ones alone.
        let own = format!("spec.nodeName={}", node.name);
        Self {
            node: Arc::clone(node),
            requests: SharedWatch::new(
                objects,
                POD_CERTIFICATE_REQUESTS,
                Some(own),
                |uid, (), request: &Request| *request.spec.pod_uid == *uid,
            ),
            known: Mutex::default(),
        }
    }

    /// Follows the requests for as long as a pod has such a source.
    pub(super) fn register(&self, uid: &Arc<str>, pod: &core::Pod) {
        let volumes = pod.spec.as_ref().and_then(|spec| spec.volumes.as_deref());
        let uses = volumes
            .unwrap_or_default()
            .iter()
            .any(|volume| projections(volume).next().is_some());
        self.requests.register(uid, uses.then_some(()));
    }

    /// Forgets the keys of a pod.
    pub(super) fn forget(&self, uid: &Arc<str>) {
        self.requests.register(uid, None);
        self.known.lock().retain(|id, _| id.uid != *uid);
    }

    /// Takes the source a step further, if there is one to take. Not to be called twice at once for the same source.
    pub(super) async fn get(&self, place: Place<'_>, wanted: &core::PodCertificateProjection) -> Outcome {
        if self.node.api.is_none() {
            return Outcome {
                credentials: Err("podCertificate projection needs an API server".to_owned()),
                look_again: None,
            };
        }
        let id = Id {
            uid: Arc::clone(place.uid),
            volume: place.volume.into(),
            source: place.source,
        };
        let mut record = self.known.lock().get(&id).cloned().unwrap_or_default();
        let result = self.advance(place, &id, &mut record, wanted).await;
        let (look_again, problem) = match result {
            Ok(look_again) => (look_again, None),
            Err(problem) => {
                debug!(pod = ?place.pod.metadata.name, volume = place.volume, problem, "a pod's certificate");
                (Timestamp::now().checked_add(RETRY).ok(), Some(problem))
            }
        };
        let credentials = record.credentials().map_err(|why| match problem {
            Some(problem) => format!("{why}: {problem}"),
            None => why,
        });
        Outcome {
            credentials,
            look_again,
        }
    }

    /// As far as it goes without waiting for others, or a moment longer if the pod has nothing yet.
    async fn advance(
        &self,
        place: Place<'_>,
        id: &Id,
        record: &mut Record,
        wanted: &core::PodCertificateProjection,
    ) -> Result<Option<Timestamp>, String> {
        let cache = self
            .requests
            .objects()
            .await
            .ok_or("the PodCertificateRequests of this node are not known yet")?;
        let changed = Arc::new(Notify::new());
        let (notify, uid) = (Arc::clone(&changed), Arc::clone(place.uid));
        let subscription = cache.subscribe(move |event| {
            if *event.object().spec.pod_uid == *uid {
                notify.notify_one();
            }
        });
        let deadline = tokio::time::Instant::now() + PATIENCE;
        let result = loop {
            let look_again = match self.step(place, id, record, wanted, &cache).await {
                Ok(look_again) => look_again,
                Err(problem) => break Err(problem),
            };
            let waits = record.is_first_wait();
            if !waits
                || tokio::time::timeout_at(deadline, changed.notified())
                    .await
                    .is_err()
            {
                break Ok(look_again);
            }
        };
        cache.unsubscribe(subscription);
        result
    }

    async fn step(
        &self,
        place: Place<'_>,
        id: &Id,
        record: &mut Record,
        wanted: &core::PodCertificateProjection,
        cache: &Cache<Request>,
    ) -> Result<Option<Timestamp>, String> {
        let namespace = place.pod.metadata.namespace.as_deref().unwrap_or_default();
        let seen = record.pending().and_then(|name| cache.get_named(namespace, name));
        let spread = SignedDuration::from_secs_f64(SPREAD_SECONDS * rand::random::<f64>());
        let Step {
            create,
            events,
            look_again,
        } = record.step(seen.as_deref(), namespace, Timestamp::now(), spread);
        self.known.lock().insert(id.clone(), record.clone());
        let about = About::pod(&self.node.events, place.pod);
        for (reason, message) in events {
            about.warning(reason, message);
        }
        if !create {
            return Ok(look_again);
        }
        let (key, stored) = self.create(place, namespace, wanted).await?;
        let made = stored.metadata.creation_timestamp.as_ref();
        let made = made.map_or_else(Timestamp::now, |time| time.0);
        let look_again = record.requested(key, &stored.metadata.name, made, spread);
        self.known.lock().insert(id.clone(), record.clone());
        Ok(Some(look_again))
    }

    async fn create(
        &self,
        place: Place<'_>,
        namespace: &str,
        wanted: &core::PodCertificateProjection,
    ) -> Result<(Arc<[u8]>, Request), String> {
        let client = self.node.api.as_ref().ok_or("no API server")?;
        let spec = place.pod.spec.as_ref();
        let account = spec.and_then(|spec| spec.service_account_name.as_deref());
        let account = account.filter(|name| !name.is_empty()).unwrap_or("default");
        let found: PartialObject = client
            .get(&SERVICE_ACCOUNTS, namespace, account)
            .await
            .map_err(|error| format!("while fetching service account: {}", words(&error)))?;
        let node_uid = self
            .node
            .object
            .borrow()
            .as_ref()
            .and_then(|node| node.metadata.uid.clone())
            .ok_or("while getting node object from local cache: it is not known yet")?;
        let kind = wanted.key_type.clone();
        // An RSA key takes seconds.
        let made = tokio::task::spawn_blocking(move || key::make(&kind)).await;
        let made = made.map_err(|error| format!("while generating keypair: {error}"))?;
        let made = made.map_err(|error| format!("while generating keypair: {error}"))?;
        let body = request::body(
            wanted,
            &request::For {
                namespace,
                pod: place.pod.metadata.name.as_deref().unwrap_or_default(),
                pod_uid: place.uid,
                account,
                account_uid: &found.metadata.uid,
                node: &self.node.name,
                node_uid: &node_uid,
            },
            &made.proof,
        );
        let stored = client
            .create(&POD_CERTIFICATE_REQUESTS, namespace, &body)
            .await
            .map_err(|error| format!("while creating PodCertificateRequest on API: {}", words(&error)))?;
        Ok((made.pem.into(), stored))
    }
}
