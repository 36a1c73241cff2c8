//! Follows one object by name: the only kind of watch that a node may hold on ConfigMaps, Secrets and its own Node.

use std::sync::Arc;
use std::time::Duration;

use machinery::arith::backoff::Backoff;
use machinery::client::{ApiError, Client, ListOptions};
use machinery::meta::Resource;
use serde::Deserialize;
use serde::de::DeserializeOwned;

const FIRST_PAUSE: Duration = Duration::from_millis(20);
const BETWEEN_WATCHES: Duration = Duration::from_millis(200);
const INITIAL_EVENTS_END: &str = "k8s.io/initial-events-end";
/// Beside what is watched: begin with what is there, say when that is told, end after a while.
const STREAM: [(&str, &str); 4] = [
    ("sendInitialEvents", "true"),
    ("resourceVersionMatch", "NotOlderThan"),
    ("allowWatchBookmarks", "true"),
    ("timeoutSeconds", "570"),
];

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

/// Calls `on` with every state of an object, from now until the future is dropped.
///
/// A watch that ends is opened again and starts with the current state, so a delete that fell into the gap is seen too.
pub async fn follow<K: DeserializeOwned>(
    client: Client,
    resource: &Resource,
    namespace: &str,
    name: &str,
    mut on: impl FnMut(Seen<K>),
) {
    let options = ListOptions::default().fields(format!("metadata.name={name}"));
    // The authorizer may hear a moment after us that we may see the object: the first pauses are short.
    let mut backoff = Backoff::doubling(FIRST_PAUSE, Duration::from_secs(30)).with_jitter(0.2);
    loop {
        let pause = match watch_once(&client, resource, namespace, &options, &mut on).await {
            Ok(()) => {
                backoff.reset();
                BETWEEN_WATCHES
            }
            Err(why) => {
                on(Seen::Failed(why));
                backoff.next_delay()
            }
        };
        tokio::time::sleep(pause).await;
    }
}

/// The words of the API server if it refused, else what happened.
pub(crate) fn words(error: &ApiError) -> String {
    error
        .status()
        .map_or_else(|| error.to_string(), |status| status.message.clone())
}

#[derive(Deserialize)]
#[serde(tag = "type", content = "object", rename_all = "UPPERCASE")]
enum Event<K> {
    Added(K),
    Modified(K),
    Deleted(serde::de::IgnoredAny),
    Bookmark(Bookmark),
    Error(machinery::client::ErrorStatus),
}

#[derive(Deserialize)]
struct Bookmark {
    metadata: machinery::meta::ObjectMeta,
}

async fn watch_once<K: DeserializeOwned>(
    client: &Client,
    resource: &Resource,
    namespace: &str,
    options: &ListOptions,
    on: &mut impl FnMut(Seen<K>),
) -> Result<(), String> {
    let mut body = client
        .watch(resource, namespace, options, &STREAM, false)
        .await
        .map_err(|error| words(&error))?;
    let mut present = false;
    let mut pending: Vec<u8> = Vec::new();
    while let Some(piece) = body.next().await.map_err(|error| error.to_string())? {
        pending.extend_from_slice(&piece);
        let Some(end) = pending.iter().rposition(|byte| *byte == b'\n') else {
            continue;
        };
        let rest = pending.split_off(end + 1);
        for line in pending
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
        {
            match serde_json::from_slice(line).map_err(|error| error.to_string())? {
                Event::Added(object) | Event::Modified(object) => {
                    present = true;
                    on(Seen::Present(Arc::new(object)));
                }
                Event::Deleted(_) => {
                    present = false;
                    on(Seen::Absent);
                }
                Event::Bookmark(bookmark) => {
                    if !present && bookmark.metadata.annotations.contains_key(INITIAL_EVENTS_END) {
                        on(Seen::Absent);
                    }
                }
                Event::Error(status) => return Err(status.message),
            }
        }
        pending = rest;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_of_a_watch_is_read() {
        let read = |line: &str| match serde_json::from_str::<Event<serde_json::Value>>(line).unwrap() {
            Event::Added(object) | Event::Modified(object) => format!("+{object}"),
            Event::Deleted(_) => "-".to_owned(),
            Event::Bookmark(mark) => {
                format!("@{}", mark.metadata.annotations.contains_key(INITIAL_EVENTS_END))
            }
            Event::Error(status) => format!("!{}", status.message),
        };
        for (line, want) in [
            (r#"{"type":"ADDED","object":1}"#, "+1"),
            (r#"{"type":"MODIFIED","object":2}"#, "+2"),
            (r#"{"type":"DELETED","object":{"metadata":{}}}"#, "-"),
            (
                r#"{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"1"}}}"#,
                "@false",
            ),
            (
                r#"{"type":"BOOKMARK","object":{"metadata":{"annotations":{"k8s.io/initial-events-end":"true"}}}}"#,
                "@true",
            ),
            (
                r#"{"type":"ERROR","object":{"kind":"Status","message":"too old","code":410}}"#,
                "!too old",
            ),
        ] {
            assert_eq!(read(line), want, "{line}");
        }
    }
}
