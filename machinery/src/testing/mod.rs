//! What tests stand on: a manual clock, a real API server on loopback, a proxy that injects faults.
//!
//! ```text
//! client under test -> Proxy (drops, delays, refuses) -> ApiServer: upstream's kube-apiserver -> upstream's etcd
//! ```
//!
//! Nothing here is linked into a program that does not call it.

mod apiserver;
mod assets;
mod authority;
mod clock;
mod process;
mod proxy;

pub use apiserver::{ApiServer, User};
pub use assets::{Assets, skip};
pub use authority::{Authority, Pair};
pub use clock::ManualClock;
pub use process::{Process, free_port};
pub use proxy::{Fault, Proxy, Seen};
