//! The work queue, with client-go's semantics.
//!
//! ```text
//! events -> add ----------------> [waiting in line] -> get -> (at work) -> done
//! failures -> add_rate_limited -> [one timer heap] --^          | added meanwhile: back into line when done
//! ```
//!
//! An item is in line at most once, and at work at most once: what is added while at work goes back into line when that ends.
//!
//! ```no_run
//! use machinery::meta::ObjectKey;
//! use machinery::queue::{Next, Queue, run_workers};
//! use std::time::Duration;
//!
//! # async fn reconcile(_: ObjectKey) -> anyhow::Result<bool> { Ok(true) }
//! # async fn example() {
//! let queue: Queue<ObjectKey> = Queue::new("deployment");
//! queue.add(ObjectKey::new("default", "web"));
//! // Five at a time; an error puts the item back with exponential back-off, from 5 ms to 1000 s.
//! run_workers(&queue, 5, |key| async move {
//!     let settled = reconcile(key).await?;
//!     anyhow::Ok(if settled { Next::Done } else { Next::After(Duration::from_secs(10)) })
//! })
//! .await; // until queue.shutdown()
//! # }
//! ```

mod handle;
mod metrics;
mod state;
mod workers;

pub use handle::{Item, Queue};
pub use metrics::Metrics;
pub use workers::{Next, run_workers};
