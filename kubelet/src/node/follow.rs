//! Follows one object by name: the only kind of watch that a node may hold on ConfigMaps, Secrets and its own Node.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use kube::Api;
use kube::api::{WatchEvent, WatchParams};
use machinery::arith::backoff::Backoff;
use serde::de::DeserializeOwned;

const INITIAL_EVENTS_END: &str = "k8s.io/initial-events-end";

/// What a watch says about the object.
#[derive(Clone, Debug)]
pub enum Seen<K> {
    Present(Arc<K>),
    Absent,
    /// The API server does not let us see it, or does not answer; what was known still stands.
    Failed(String),
}

/// Calls `on` with every state of the object, from now until the future is dropped.
///
/// A watch that ends is opened again and starts with the current state, so a delete that fell into the gap is seen too.
pub async fn follow<K>(api: Api<K>, name: &str, mut on: impl FnMut(Seen<K>))
where
    K: Clone + DeserializeOwned + Debug,
{
    let params = WatchParams::default()
        .fields(&format!("metadata.name={name}"))
        .initial_events()
        .timeout(290);
    let mut backoff = Backoff::doubling(Duration::from_millis(200), Duration::from_secs(30)).with_jitter(0.2);
    loop {
        match watch_once(&api, &params, &mut on).await {
            Ok(()) => backoff.reset(),
            Err(error) => on(Seen::Failed(error.to_string())),
        }
        tokio::time::sleep(backoff.next_delay()).await;
    }
}

async fn watch_once<K>(
    api: &Api<K>,
    params: &WatchParams,
    on: &mut impl FnMut(Seen<K>),
) -> Result<(), kube::Error>
where
    K: Clone + DeserializeOwned + Debug,
{
    let mut events = api.watch(params, "").await?.boxed();
    let mut present = false;
    while let Some(event) = events.try_next().await? {
        match event {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                present = true;
                on(Seen::Present(Arc::new(object)));
            }
            WatchEvent::Deleted(_) => {
                present = false;
                on(Seen::Absent);
            }
            WatchEvent::Bookmark(bookmark) => {
                if !present && bookmark.metadata.annotations.contains_key(INITIAL_EVENTS_END) {
                    on(Seen::Absent);
                }
            }
            WatchEvent::Error(status) => return Err(kube::Error::Api(status)),
        }
    }
    Ok(())
}
