//! The event recorder: what happened to an object, for `kubectl describe` and for those who watch.
//!
//! ```text
//! event(...) -> bounded buffer -> correlate: same again -> count, similar -> combined, too many -> dropped -> create | patch
//! ```
//!
//! Recording never waits and never fails: when the API server is slow, events are dropped and counted.
//!
//! ```no_run
//! use machinery::client::Client;
//! use machinery::events::{EventType, Recorder};
//! use machinery::meta::{ObjectMeta, ObjectRef, resources::PODS};
//! use tokio_util::sync::CancellationToken;
//!
//! # async fn example(client: Client, meta: ObjectMeta, stop: CancellationToken) {
//! // Core v1, as upstream's kubelet and controllers write them:
//! let recorder = Recorder::core(&client, "kubelet", "node-1", &stop);
//! let pod = ObjectRef::new(&PODS, &meta).with_field_path("spec.containers{web}");
//! recorder.event(&pod, EventType::Normal, "Pulled", "", "Container image \"web:1\" already present on machine");
//! // events.k8s.io/v1, as upstream's scheduler and proxy write them:
//! let scheduler = Recorder::series(&client, "default-scheduler", "host-1", &stop);
//! scheduler.event(&pod, EventType::Warning, "FailedScheduling", "Scheduling", "0/5 nodes are available");
//! # }
//! ```

mod correlate;
mod draft;
mod recent;
mod recorder;
mod series;
mod sink;

pub use draft::{Draft, EventType};
pub use recorder::Recorder;
