//! Watches without a cache behind them: one object by name (the only kind of watch that a node may hold on ConfigMaps,
//! Secrets and its own Node), or a small collection whose keeper wants just a few fields.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt;
use kube::api::{WatchEvent, WatchParams};
use kube::core::Request;
use machinery::arith::backoff::Backoff;
use serde::de::DeserializeOwned;

use crate::context::ApiClient;

const INITIAL_EVENTS_END: &str = "k8s.io/initial-events-end";
/// Seconds after which the API server ends a watch; it is opened again at once.
const WATCH_SECONDS: u32 = 290;

/// What a watch of one object says.
#[derive(Clone, Debug)]
pub enum Seen<K> {
    /// The object as it is now.
    Present(Arc<K>),
    /// There is none.
    Absent,
    /// The API server does not let us see it, or does not answer; what was known still stands.
    Failed(String),
}

/// What a watch of a collection says. Every (re)connection tells all that is there, then `Complete`.
#[derive(Debug)]
pub enum Told<K> {
    /// A connection was made: what it does not tell before `Complete` is gone.
    Started,
    /// Added or changed.
    Present(K),
    /// Deleted.
    Gone(K),
    /// All that there is has been told.
    Complete,
    /// As [`Seen::Failed`].
    Failed(String),
}

/// Calls `on` with every state of the object `name` of the collection at `path`, until the future is dropped.
///
/// A watch that ends is opened again and starts with the current state, so a delete that fell into the gap is seen too.
pub async fn follow<K>(client: ApiClient, path: &str, name: &str, mut on: impl FnMut(Seen<K>))
where
    K: Clone + DeserializeOwned + Debug,
{
    let mut present = false;
    follow_all(client, path, Some(name), |told| match told {
        Told::Started => present = false,
        Told::Present(object) => {
            present = true;
            on(Seen::Present(Arc::new(object)));
        }
        Told::Gone(_) => {
            present = false;
            on(Seen::Absent);
        }
        Told::Complete if present => {}
        Told::Complete => on(Seen::Absent),
        Told::Failed(error) => on(Seen::Failed(error)),
    })
    .await;
}

/// Calls `on` with what happens in the collection at `path`, of one object only if `name` says so.
pub async fn follow_all<K>(client: ApiClient, path: &str, name: Option<&str>, mut on: impl FnMut(Told<K>))
where
    K: Clone + DeserializeOwned + Debug,
{
    let mut params = WatchParams::default().initial_events().timeout(WATCH_SECONDS);
    if let Some(name) = name {
        params = params.fields(&format!("metadata.name={name}"));
    }
    let mut backoff = Backoff::doubling(Duration::from_millis(200), Duration::from_secs(30)).with_jitter(0.2);
    loop {
        match watch_once(&client, path, &params, &mut on).await {
            Ok(()) => backoff.reset(),
            Err(error) => on(Told::Failed(error.to_string())),
        }
        tokio::time::sleep(backoff.next_delay()).await;
    }
}

async fn watch_once<K>(
    client: &ApiClient,
    path: &str,
    params: &WatchParams,
    on: &mut impl FnMut(Told<K>),
) -> Result<(), kube::Error>
where
    K: Clone + DeserializeOwned + Debug,
{
    let request = Request::new(path)
        .watch(params, "")
        .map_err(kube::Error::BuildRequest)?;
    let events = client.request_events::<K>(request).await?;
    let mut events = std::pin::pin!(events);
    on(Told::Started);
    while let Some(event) = events.try_next().await? {
        match event {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => on(Told::Present(object)),
            WatchEvent::Deleted(object) => on(Told::Gone(object)),
            WatchEvent::Bookmark(bookmark) => {
                if bookmark.metadata.annotations.contains_key(INITIAL_EVENTS_END) {
                    on(Told::Complete);
                }
            }
            WatchEvent::Error(status) => return Err(kube::Error::Api(status)),
        }
    }
    Ok(())
}
