//! Images: is it here, may it be pulled, with whose credentials, and not too often after a failure.
//!
//! In: a container's image and pull policy. Out: the image's id and user, or the reason and message of a waiting container,
//! with the events on the way.

mod credentials;
mod name;

use std::sync::Arc;
use std::time::{Duration, Instant};

use machinery::arith::duration;
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use tokio::sync::Semaphore;

pub use credentials::Keyring;
pub use name::with_default_tag;

use crate::context::Node;
use crate::cri::CriError;
use crate::cri::api::{ImageSpec, PodSandboxConfig};
use crate::cri::security::ImageUser;
use crate::pod::events::About;
use crate::pod::spec::PodExt as _;

const INITIAL: Duration = Duration::from_secs(10);
const MAX: Duration = Duration::from_secs(300);

/// An image that is on the node.
#[derive(Clone, Debug, Default)]
pub struct Present {
    /// What containers are made from.
    pub id: String,
    /// Who they run as unless told otherwise.
    pub user: ImageUser,
}

/// Why a container cannot have its image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// `ErrImagePull`, `ImagePullBackOff`, ...
    pub reason: &'static str,
    /// For the container's status.
    pub message: String,
    /// When to try again.
    pub retry: Option<Instant>,
}

struct Failure {
    delay: Duration,
    since: Instant,
    message: String,
}

/// Ensures images.
pub struct Images {
    node: Arc<Node>,
    pulls: Semaphore,
    failures: Mutex<FxHashMap<(Arc<str>, String), Failure>>,
    /// How long pods have waited for pulls.
    pulling: Mutex<FxHashMap<Arc<str>, Duration>>,
}

impl Images {
    /// For this node: one pull at a time, unless the configuration allows more.
    #[must_use]
    pub fn new(node: Arc<Node>) -> Self {
        let config = &node.config;
        let serial = config
            .serialize_image_pulls
            .unwrap_or(config.max_parallel_image_pulls.is_none_or(|n| n < 2));
        let permits = if serial {
            1
        } else {
            config
                .max_parallel_image_pulls
                .and_then(|n| usize::try_from(n).ok())
                .unwrap_or(1024)
        };
        Self {
            node,
            pulls: Semaphore::new(permits.max(1)),
            failures: Mutex::default(),
            pulling: Mutex::default(),
        }
    }

    /// How long a pod has waited for pulls so far.
    #[must_use]
    pub fn pulling(&self, uid: &str) -> Duration {
        self.pulling.lock().get(uid).copied().unwrap_or_default()
    }

    /// Forgets a pod.
    pub fn forget(&self, uid: &str) {
        self.pulling.lock().remove(uid);
        self.failures.lock().retain(|(of, _), _| **of != *uid);
    }

    /// Makes sure that an image is here, as a container or a volume asks for it.
    ///
    /// # Errors
    /// What the container waits for.
    pub async fn ensure(
        &self,
        about: &About<'_>,
        asked: &str,
        policy: Option<&str>,
        sandbox_config: &PodSandboxConfig,
        handler: &str,
    ) -> Result<Present, Missing> {
        let image = with_default_tag(asked).map_err(|why| {
            let message = format!("Failed to apply default image tag {asked:?}: {why}");
            about.warning("InspectFailed", message.clone());
            Missing {
                reason: "InvalidImageName",
                message,
                retry: None,
            }
        })?;
        let spec = ImageSpec {
            image,
            runtime_handler: handler.to_owned(),
            ..Default::default()
        };
        let policy = policy.unwrap_or("IfNotPresent");
        if policy != "Always" {
            let found = self.node.cri.image_status(spec.clone()).await.map_err(|error| {
                let message = format!("Failed to inspect image {asked:?}: {}", error.message());
                about.warning("InspectFailed", message.clone());
                Missing {
                    reason: "ImageInspectError",
                    message,
                    retry: Some(Instant::now() + INITIAL),
                }
            })?;
            if let Some(found) = found {
                about.normal(
                    "Pulled",
                    format!(
                        "Container image {asked:?} already present on machine and can be accessed by the pod"
                    ),
                );
                return Ok(present(found));
            }
            if policy == "Never" {
                let message = format!("Container image {asked:?} is not present with pull policy of Never");
                about.warning("ErrImageNeverPull", message.clone());
                return Err(Missing {
                    reason: "ErrImageNeverPull",
                    message,
                    retry: Some(Instant::now() + INITIAL),
                });
            }
        }
        self.pull(about, asked, spec, sandbox_config).await
    }

    async fn pull(
        &self,
        about: &About<'_>,
        asked: &str,
        spec: ImageSpec,
        sandbox_config: &PodSandboxConfig,
    ) -> Result<Present, Missing> {
        let key = (Arc::<str>::from(about.pod.uid()), asked.to_owned());
        if let Some(failure) = self.failures.lock().get(&key)
            && failure.since.elapsed() < failure.delay
        {
            let message = format!("Back-off pulling image {asked:?}");
            about.normal("BackOff", message.clone());
            return Err(Missing {
                reason: "ImagePullBackOff",
                message: format!("{message}: {}", failure.message),
                retry: Some(failure.since + failure.delay),
            });
        }
        about.normal("Pulling", format!("Pulling image {asked:?}"));
        let waiting = Instant::now();
        let keyring = Keyring::of_pod(&self.node, about.pod).await;
        let permit = self.pulls.acquire().await;
        let started = Instant::now();
        let mut result = Err(None);
        for auth in keyring.lookup(&spec.image) {
            result = self
                .node
                .cri
                .pull_image(spec.clone(), auth, sandbox_config.clone())
                .await
                .map_err(Some);
            if result.is_ok() {
                break;
            }
        }
        drop(permit);
        *self.pulling.lock().entry(Arc::clone(&key.0)).or_default() += waiting.elapsed();
        match result {
            Ok(id) => {
                self.failures.lock().remove(&key);
                let found = self
                    .node
                    .cri
                    .image_status(ImageSpec {
                        image: id.clone(),
                        ..spec
                    })
                    .await
                    .ok()
                    .flatten();
                let size = found.as_ref().map_or(0, |f| f.size);
                let millis = |d: Duration| {
                    duration::format(Duration::from_millis(
                        u64::try_from(d.as_millis()).unwrap_or_default(),
                    ))
                };
                about.normal(
                    "Pulled",
                    format!(
                        "Successfully pulled image {asked:?} in {} ({} including waiting). Image size: {size} bytes.",
                        millis(started.elapsed()),
                        millis(waiting.elapsed())
                    ),
                );
                Ok(Present {
                    id,
                    user: found.map(present).unwrap_or_default().user,
                })
            }
            Err(error) => Err(self.failed(about, asked, key, error.as_ref())),
        }
    }

    fn failed(
        &self,
        about: &About<'_>,
        asked: &str,
        key: (Arc<str>, String),
        error: Option<&CriError>,
    ) -> Missing {
        let bare = error.map(CriError::message).unwrap_or_default();
        let why = error.map(CriError::in_go).unwrap_or_default();
        about.warning("Failed", format!("Failed to pull image {asked:?}: {why}"));
        let (reason, message) = match bare.split_once(':').map_or(bare.as_str(), |(head, _)| head) {
            "RegistryUnavailable" => (
                "RegistryUnavailable",
                format!("image pull failed for {asked} because the registry is unavailable"),
            ),
            "SignatureValidationFailed" => (
                "SignatureValidationFailed",
                format!("image pull failed for {asked} because the signature validation failed"),
            ),
            _ => ("ErrImagePull", why),
        };
        let mut failures = self.failures.lock();
        let delay = failures.get(&key).map_or(INITIAL, |f| (f.delay * 2).min(MAX));
        let since = Instant::now();
        failures.insert(
            key,
            Failure {
                delay,
                since,
                message: format!("{reason}: {message}"),
            },
        );
        // Shown as an error for a moment, as a back-off after that.
        Missing {
            reason,
            message,
            retry: Some(since + Duration::from_secs(1).min(delay)),
        }
    }
}

fn present(image: crate::cri::api::Image) -> Present {
    let uid = image.uid.map(|u| u.value);
    // An image that names nobody runs as root.
    let uid = if uid.is_none() && image.username.is_empty() {
        Some(0)
    } else {
        uid
    };
    Present {
        id: image.id,
        user: ImageUser {
            uid,
            name: image.username,
        },
    }
}
