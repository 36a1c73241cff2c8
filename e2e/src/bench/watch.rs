//! Objects as they change, each with the moment at which we heard of it.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use machinery::client::{Client, ListOptions, WatchBody};
use machinery::meta::Resource;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// What became of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Kind {
    Added,
    Modified,
    Deleted,
}

#[derive(Deserialize)]
struct Line<T> {
    #[serde(rename = "type")]
    kind: Kind,
    object: T,
}

/// What every line tells, whatever its object is.
#[derive(Deserialize)]
struct Head {
    #[serde(rename = "type")]
    kind: String,
    object: Versioned,
}

#[derive(Deserialize)]
struct Versioned {
    metadata: Version,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Version {
    resource_version: String,
}

/// A line of a watch.
struct Told<T> {
    /// Where a watch that is started again goes on.
    version: String,
    /// `None` for a bookmark.
    change: Option<(Kind, T)>,
}

/// A change of one object.
#[derive(Debug)]
pub struct Event<T> {
    pub at: Instant,
    pub kind: Kind,
    pub object: T,
}

/// As much of an object as it takes to count it.
#[derive(Debug, Deserialize)]
pub struct Named {
    pub metadata: Name,
}

#[derive(Debug, Deserialize)]
pub struct Name {
    pub name: String,
}

/// A watch that is read all the time, so that no event is heard of late.
///
/// The API server ends a watch whose reader cannot keep up. It then goes on from where it was. If that is too long ago, it begins
/// anew: what there is comes once more as added, and what went in between is not told.
pub struct Watch<T> {
    events: mpsc::UnboundedReceiver<Event<T>>,
    reader: JoinHandle<Result<()>>,
}

/// A watch that ends more often in a row, each time after less than [`LIFE`] and without any news, will not get better.
const TRIES: u32 = 60;
const LIFE: Duration = Duration::from_secs(1);
/// Until a burst of changes, which overran it, is over or has made the API server give watches more room.
const PAUSE: Duration = Duration::from_millis(500);

impl<T> Drop for Watch<T> {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

/// Passes on what a watch tells until it ends, and notes how far it was; `false` once nobody listens.
async fn read<T: DeserializeOwned>(
    mut body: WatchBody,
    sender: &mpsc::UnboundedSender<Event<T>>,
    version: &mut Option<String>,
) -> Result<bool> {
    let mut pending = Vec::new();
    while let Some(piece) = body.next().await.context("reading a watch")? {
        let at = Instant::now();
        pending.extend_from_slice(&piece);
        for told in lines(&mut pending)? {
            *version = Some(told.version);
            if let Some((kind, object)) = told.change
                && sender.send(Event { at, kind, object }).is_err()
            {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

impl<T: DeserializeOwned + Send + 'static> Watch<T> {
    /// Starts with an event for each object that there is.
    pub async fn start(
        client: &Client,
        resource: &Resource,
        namespace: &str,
        options: &ListOptions,
    ) -> Result<Self> {
        let open = async |client: &Client, resource: &Resource, namespace: &str, options: &ListOptions| {
            client
                .watch(
                    resource,
                    namespace,
                    options,
                    &[("allowWatchBookmarks", "true")],
                    false,
                )
                .await
                .with_context(|| format!("watching {}", resource.plural))
        };
        let mut body = open(client, resource, namespace, options).await?;
        let (sender, events) = mpsc::unbounded_channel();
        let (client, resource) = (client.clone(), resource.clone());
        let (namespace, mut options) = (namespace.to_owned(), options.clone());
        let reader = tokio::spawn(async move {
            let mut tried = 0;
            loop {
                let (begun, from) = (Instant::now(), options.resource_version.clone());
                let ended = read(body, &sender, &mut options.resource_version).await;
                let in_vain = begun.elapsed() < LIFE && options.resource_version == from;
                tried = if in_vain { tried + 1 } else { 1 };
                match ended {
                    Ok(false) => return Ok(()),
                    Ok(true) if tried >= TRIES => bail!("the API server ended a watch {tried} times"),
                    Ok(true) => {}
                    Err(error) if tried >= TRIES => return Err(error),
                    Err(_) => options.resource_version = None,
                }
                tokio::time::sleep(PAUSE).await;
                body = open(&client, &resource, &namespace, &options).await?;
            }
        });
        Ok(Self { events, reader })
    }

    /// The next change.
    ///
    /// # Errors
    /// If the watch ended.
    pub async fn next(&mut self) -> Result<Event<T>> {
        match self.events.recv().await {
            Some(event) => Ok(event),
            None => match (&mut self.reader).await {
                Ok(Err(error)) => Err(error),
                _ => bail!("a watch ended"),
            },
        }
    }

    /// Reads on until `enough` says so of an event, and returns when that one came.
    ///
    /// # Errors
    /// If it does not come within `patience`; `left` says what was still missing.
    pub async fn until(
        &mut self,
        patience: Duration,
        mut enough: impl FnMut(&Event<T>) -> bool,
        left: impl FnOnce() -> String,
    ) -> Result<Instant> {
        let until = tokio::time::Instant::now() + patience;
        loop {
            match tokio::time::timeout_at(until, self.next()).await {
                Ok(event) => {
                    let event = event?;
                    if enough(&event) {
                        return Ok(event.at);
                    }
                }
                Err(_) => bail!("not within {patience:?}: {}", left()),
            }
        }
    }
}

impl Watch<Named> {
    /// Waits until `count` objects have been added; when the last was.
    ///
    /// # Errors
    /// If they are not there within `patience`: how many there were.
    pub async fn count(&mut self, count: usize, patience: Duration, what: &str) -> Result<Instant> {
        let counted = self.count_within(count, patience).await?;
        if counted.seen < count {
            bail!("{}", counted.short_of(count, patience, what));
        }
        Ok(counted.at)
    }

    /// Counts objects that are added, up to `count` of them or until `patience` ends.
    ///
    /// # Errors
    /// If the watch ended.
    pub async fn count_within(&mut self, count: usize, patience: Duration) -> Result<Counted> {
        let end = tokio::time::Instant::now() + patience;
        let mut names = HashSet::with_capacity(count);
        while names.len() < count {
            let Ok(event) = tokio::time::timeout_at(end, self.next()).await else {
                break;
            };
            let event = event?;
            if event.kind == Kind::Added && names.insert(event.object.metadata.name) && names.len() == count {
                return Ok(Counted {
                    seen: count,
                    at: event.at,
                });
            }
        }
        Ok(Counted {
            seen: names.len(),
            at: Instant::now(),
        })
    }
}

/// How many objects were there, and when.
#[derive(Clone, Copy, Debug)]
pub struct Counted {
    pub seen: usize,
    pub at: Instant,
}

impl Counted {
    /// What to say when fewer than `count` were there.
    pub fn short_of(self, count: usize, patience: Duration, what: &str) -> String {
        format!("not within {patience:?}: {} of {count} {what}", self.seen)
    }
}

/// Takes the whole lines out of `pending`.
fn lines<T: DeserializeOwned>(pending: &mut Vec<u8>) -> Result<Vec<Told<T>>> {
    let Some(end) = pending.iter().rposition(|byte| *byte == b'\n') else {
        return Ok(Vec::new());
    };
    let rest = pending.split_off(end + 1);
    let whole = std::mem::replace(pending, rest);
    whole
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| {
            told(line).with_context(|| format!("reading an event: {}", String::from_utf8_lossy(line)))
        })
        .collect()
}

fn told<T: DeserializeOwned>(line: &[u8]) -> serde_json::Result<Told<T>> {
    let head: Head = serde_json::from_slice(line)?;
    let change = if head.kind == "BOOKMARK" {
        None
    } else {
        let line: Line<T> = serde_json::from_slice(line)?;
        Some((line.kind, line.object))
    };
    Ok(Told {
        version: head.object.metadata.resource_version,
        change,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_whatever_pieces_they_come_in() {
        let line = |kind: &str, version: &str, more: &str| {
            format!(
                "{{\"type\":\"{kind}\",\"object\":{{\"metadata\":{{\"resourceVersion\":\"{version}\"{more}}}}}}}\n"
            )
        };
        let name = ",\"name\":\"a\"";
        let text = [
            line("ADDED", "1", name),
            line("BOOKMARK", "5", ""),
            line("DELETED", "7", name),
        ];
        let text = text.concat();
        for size in [1, 7, 60, 400] {
            let (mut pending, mut heard) = (Vec::new(), Vec::new());
            for piece in text.as_bytes().chunks(size) {
                pending.extend_from_slice(piece);
                for told in lines::<Named>(&mut pending).unwrap() {
                    let change = told.change.map(|(kind, object)| (kind, object.metadata.name));
                    heard.push((told.version, change));
                }
            }
            let of =
                |version: &str, kind: Option<Kind>| (version.into(), kind.map(|kind| (kind, "a".into())));
            assert_eq!(
                heard,
                [
                    of("1", Some(Kind::Added)),
                    of("5", None),
                    of("7", Some(Kind::Deleted))
                ],
                "{size}"
            );
            assert!(pending.is_empty());
        }
        let error = b"{\"type\":\"ERROR\",\"object\":{\"kind\":\"Status\",\"metadata\":{},\"code\":410}}\n";
        assert!(lines::<Named>(&mut error.to_vec()).is_err());
    }
}
