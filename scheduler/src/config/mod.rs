//! `KubeSchedulerConfiguration` v1: read strictly, defaulted as upstream does, and made into profiles.
//!
//! ```text
//! file + flags -> Configuration -> checked -> profiles: plugins by extension point, weights, arguments -> Frameworks
//! ```

mod check;
mod defaults;
mod file;
mod profile;

pub use file::{
    ClientConnection, Configuration, Extender, LeaderElection, PluginConfig, PluginRef, PluginSet, Plugins,
    Profile,
};
pub use profile::frameworks;

/// The group and version of the configuration.
pub const API_VERSION: &str = "kubescheduler.config.k8s.io/v1";
/// Its kind.
pub const KIND: &str = "KubeSchedulerConfiguration";

/// Why a configuration cannot be used; names the field.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{field}: {why}")]
pub struct Invalid {
    pub field: String,
    pub why: String,
}

impl Invalid {
    fn new(field: impl Into<String>, why: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            why: why.into(),
        }
    }
}

#[cfg(test)]
mod tests;
