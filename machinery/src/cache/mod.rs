//! One watch per kind and selector, kept in memory as `Arc`s of slim types.
//!
//! ```text
//! API server -> streaming list / watch -> lines -> K -> store + declared indexes -> subscribers, in order
//!                        ^ bookmarks; a 410 or a broken stream relists, missed deletes are synthesised
//! ```
//!
//! ```no_run
//! use machinery::cache::{Cache, Event};
//! use machinery::client::Client;
//! use machinery::meta::{Istr, Object, ObjectKey, ObjectMeta, resources::PODS};
//! use tokio_util::sync::CancellationToken;
//!
//! # #[derive(serde::Deserialize)] struct Pod { metadata: ObjectMeta, spec: PodSpec }
//! # #[derive(serde::Deserialize)] #[serde(rename_all = "camelCase")] struct PodSpec { #[serde(default)] node_name: Istr }
//! # impl Object for Pod { fn meta(&self) -> &ObjectMeta { &self.metadata } }
//! # async fn example(client: Client, stop: CancellationToken) {
//! let pods: Cache<Pod> = Cache::builder(&client, &PODS)
//!     .labels("app=web")
//!     .index("node", |pod: &Pod| vec![pod.spec.node_name.clone()])
//!     .start(&stop);
//! pods.subscribe(|event| match event {
//!     Event::Added(pod) => println!("new: {}", pod.meta().key()),
//!     Event::Updated { old, new } => println!("{} -> {}", old.meta().resource_version, new.meta().resource_version),
//!     Event::Deleted(last) => println!("gone: {}", last.meta().key()),
//! });
//! pods.synced().await;
//! let on_n1 = pods.by_index("node", "n1");
//! let one = pods.get(&ObjectKey::new("default", "web"));
//! # }
//! ```

mod builder;
mod line;
mod reflect;
mod store;
mod watch_event;

pub use builder::Builder;
pub use store::{Cache, Event, SubscriptionId};
