//! The ConfigMaps and Secrets that pods of this node refer to, each followed by name.

use crate::context::ApiClient;

/// A shared store of what pods refer to.
pub struct Objects {
    client: Option<ApiClient>,
}

impl Objects {
    /// Over this client; without one every reference is an error.
    #[must_use]
    pub fn new(client: Option<ApiClient>) -> Self {
        Self { client }
    }

    /// Whether there is an API server to ask.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.client.is_some()
    }
}
