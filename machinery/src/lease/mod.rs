//! Leader election on a `coordination.k8s.io` Lease, with client-go's semantics, so that ours and upstream's exclude
//! each other.
//!
//! ```text
//! Lease as read + what we observed of it and when (by our clock alone) -> plan -> held by another | write this record
//! ```
//!
//! Clocks of different machines are never compared: a lease is over when its record has not changed for its duration
//! by our own clock.
//!
//! ```no_run
//! use machinery::client::Client;
//! use machinery::lease::{Election, Ended, LeaderElector, identity};
//! use tokio_util::sync::CancellationToken;
//!
//! # async fn example(client: Client, stop: CancellationToken) {
//! let elector = LeaderElector::new(&client, Election::new("kube-system", "kube-scheduler", identity()));
//! let ended = elector
//!     .run(&stop, |leading| async move {
//!         // Start the work; end soon after `leading` is cancelled.
//!         leading.cancelled().await;
//!     })
//!     .await;
//! if ended == Ended::Lost {
//!     std::process::exit(1); // as upstream: somebody else leads now
//! }
//! # }
//! ```

mod elector;
mod metrics;
mod plan;
mod record;

pub use elector::{Election, Ended, LeaderElector, identity};
pub use metrics::Metrics;
pub use record::Record;
