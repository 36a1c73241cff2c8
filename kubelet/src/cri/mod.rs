//! The container runtime over its CRI v1 socket.
//!
//! In: calls by pod tasks, the server and the node status. Out: the runtime's answers, or a [`CriError`] that names the
//! call and the socket. The connection is made lazily and again after a runtime restart.

mod calls;
mod client;
pub mod container;
pub mod dns;
pub mod events;
pub mod hash;
pub mod health;
pub mod labels;
pub mod limits;
mod metrics;
pub mod namespaces;
pub mod observe;
mod pace;
pub mod sandbox;
pub mod security;

pub use client::{CriError, Runtime};
pub use k8s_cri::v1 as api;

/// What the runtime says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuntimeState {
    /// `Err` says why the runtime does not answer or is not ready.
    pub runtime: Option<Result<(), String>>,
    /// `Err` says why pods get no network.
    pub network: Option<Result<(), String>>,
    /// Runtime handlers: name and features.
    pub handlers: Vec<Handler>,
    /// Name and version, as in `containerd://2.4.2`.
    pub version: String,
    /// Whether the runtime can set supplementary groups by policy (`SupplementalGroupsPolicy`).
    pub supplemental_groups_policy: bool,
}

/// A runtime handler and what it can do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Handler {
    /// Empty for the default one.
    pub name: String,
    /// Read-only mounts that hold for mounts below them.
    pub recursive_read_only_mounts: bool,
    /// User namespaces.
    pub user_namespaces: bool,
}
