//! What every controller is given.

use crate::caches::Caches;
use crate::config::Config;
use crate::events::Events;
use machinery::client::Client;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// A controller's surroundings. Each has its own client, named (and, where asked for, authenticated) after it.
#[derive(Clone)]
pub struct Context {
    /// Upstream's name of the controller.
    pub name: &'static str,
    pub client: Client,
    pub caches: Arc<Caches>,
    pub events: Events,
    pub config: Arc<Config>,
    /// Cancelled when leadership ends or the process is told to stop.
    pub stop: CancellationToken,
}
