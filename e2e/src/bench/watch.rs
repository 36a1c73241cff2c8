//! Objects as they change, each with the moment at which we heard of it.

use std::cell::RefCell;
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
/// The API server ends a watch whose reader cannot keep up. It is then started again: what there is comes once more as
/// added, and what went in between is not told.
pub struct Watch<T> {
    events: mpsc::UnboundedReceiver<Event<T>>,
    reader: JoinHandle<Result<()>>,
}

/// A watch that ends more often, each time after less than [`LIFE`], will not get better.
const TRIES: u32 = 10;
const LIFE: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(200);

impl<T> Drop for Watch<T> {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

/// Passes on what a watch tells until it ends; `false` once nobody listens.
async fn read<T: DeserializeOwned>(
    mut body: WatchBody,
    sender: &mpsc::UnboundedSender<Event<T>>,
) -> Result<bool> {
    let mut pending = Vec::new();
    while let Some(piece) = body.next().await.context("reading a watch")? {
        let at = Instant::now();
        pending.extend_from_slice(&piece);
        for (kind, object) in lines(&mut pending)? {
            if sender.send(Event { at, kind, object }).is_err() {
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
                .watch(resource, namespace, options, &[], false)
                .await
                .with_context(|| format!("watching {}", resource.plural))
        };
        let mut body = open(client, resource, namespace, options).await?;
        let (sender, events) = mpsc::unbounded_channel();
        let (client, resource) = (client.clone(), resource.clone());
        let (namespace, options) = (namespace.to_owned(), options.clone());
        let reader = tokio::spawn(async move {
            let mut tried = 0;
            loop {
                let begun = Instant::now();
                let ended = read(body, &sender).await;
                tried = if begun.elapsed() < LIFE { tried + 1 } else { 1 };
                match ended {
                    Ok(false) => return Ok(()),
                    Err(error) if tried >= TRIES => return Err(error),
                    Ok(true) if tried >= TRIES => bail!("the API server ended a watch {tried} times"),
                    Ok(true) | Err(_) => tokio::time::sleep(PAUSE).await,
                }
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
        let seen = RefCell::new(HashSet::with_capacity(count));
        self.until(
            patience,
            |event| {
                let mut seen = seen.borrow_mut();
                event.kind == Kind::Added
                    && seen.insert(event.object.metadata.name.clone())
                    && seen.len() >= count
            },
            || format!("{} of {count} {what}", seen.borrow().len()),
        )
        .await
    }
}

/// Takes the whole lines out of `pending`.
fn lines<T: DeserializeOwned>(pending: &mut Vec<u8>) -> Result<Vec<(Kind, T)>> {
    let Some(end) = pending.iter().rposition(|byte| *byte == b'\n') else {
        return Ok(Vec::new());
    };
    let rest = pending.split_off(end + 1);
    let whole = std::mem::replace(pending, rest);
    whole
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| {
            let line: Line<T> = serde_json::from_slice(line)
                .with_context(|| format!("reading an event: {}", String::from_utf8_lossy(line)))?;
            Ok((line.kind, line.object))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_whatever_pieces_they_come_in() {
        let text = b"{\"type\":\"ADDED\",\"object\":1}\n{\"type\":\"DELETED\",\"object\":2}\n";
        for size in [1, 7, 30, 100] {
            let (mut pending, mut heard) = (Vec::new(), Vec::new());
            for piece in text.chunks(size) {
                pending.extend_from_slice(piece);
                heard.extend(lines::<u8>(&mut pending).unwrap());
            }
            assert_eq!(heard, [(Kind::Added, 1), (Kind::Deleted, 2)], "{size}");
            assert!(pending.is_empty());
        }
        assert!(lines::<u8>(&mut b"{\"type\":\"ERROR\",\"object\":3}\n".to_vec()).is_err());
    }
}
