//! The API client: typed by its caller, paced by what the server can take.
//!
//! ```text
//! get / list / create / patch / ...  ->  retry -> pacing -> credentials -> user agent -> HTTP/2 over TLS -> API server
//!        slim type or ApiError(Status) <-  decode straight into the caller's type  <-  metrics  <-
//! ```
//!
//! ```no_run
//! use machinery::client::{Client, Config, DeleteOptions, ListOptions, PatchKind};
//! use machinery::meta::{PartialObject, resources::{NODES, PODS}};
//! use serde_json::json;
//!
//! # async fn example() -> anyhow::Result<()> {
//! let config = Config::from_kubeconfig("/etc/kubernetes/kubelet.conf")?.with_component("kubelet");
//! let client = Client::new(config)?;
//! let node: PartialObject = client.get(&NODES, "", "n1").await?;
//! let pods = client.list_all::<PartialObject>(&PODS, "", &ListOptions::default().fields("spec.nodeName=n1")).await?;
//! client.patch::<PartialObject, _>(&NODES, "", "n1", PatchKind::Merge, &json!({"metadata": {"labels": {"a": "b"}}})).await?;
//! match client.delete(&PODS, "default", "web", &DeleteOptions::default().uid("0d1e")).await {
//!     Err(gone) if gone.is_not_found() || gone.is_conflict() => {}
//!     other => other?,
//! }
//! # Ok(())
//! # }
//! ```

mod config;
mod credentials;
mod discovery;
mod error;
mod exec;
mod forward;
mod kubeconfig;
mod metrics;
mod pace;
mod params;
mod reach;
mod send;
mod subresources;
mod tls;
mod transport;
mod verbs;

pub use config::{Config, ConfigError, Credentials, Identity, Impersonate, LiveToken, Source};
pub use discovery::{DiscoveredResource, Discovery};
pub use error::{ApiError, ErrorStatus, StatusCause, StatusDetails};
pub(crate) use forward::Forward;
pub use metrics::Metrics;
pub use pace::Limits;
pub use params::{DeleteOptions, List, ListOptions, PatchKind, Preconditions, Propagation, WriteOptions};
pub use send::{Client, WatchBody};
pub use subresources::{
    AccessReview, BoundObject, NonResourceAttributes, ResourceAttributes, Review, TokenRequest, TokenStatus,
    UserInfo,
};

/// What a request body is made of.
pub type Bytes = hyper::body::Bytes;
