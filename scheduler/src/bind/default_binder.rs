//! DefaultBinder: tells the API server which node a pod goes to.

use machinery::client::Client;

use crate::framework::plugin::{Answer, Bind, Placement};
use crate::framework::{Plugin, Status};

/// Binds by `pods/binding`.
pub struct DefaultBinder {
    client: Option<Client>,
}

impl DefaultBinder {
    pub fn new(client: &Client) -> Self {
        Self {
            client: Some(client.clone()),
        }
    }

    /// One that binds nothing: where only decisions are wanted.
    pub fn unconnected() -> Self {
        Self { client: None }
    }
}

impl Plugin for DefaultBinder {
    fn name(&self) -> &'static str {
        "DefaultBinder"
    }
    fn as_bind(&self) -> Option<&dyn Bind> {
        Some(self)
    }
}

impl Bind for DefaultBinder {
    fn bind<'a>(&'a self, placement: &'a Placement) -> Answer<'a, bool> {
        Box::pin(async move {
            let Some(client) = &self.client else {
                return Ok(false);
            };
            let pod = &placement.pod;
            match client
                .bind(pod.namespace(), pod.name(), pod.uid(), &placement.node)
                .await
            {
                Ok(()) => Ok(true),
                Err(error) => Err(Status::error(error.to_string())),
            }
        })
    }
}
