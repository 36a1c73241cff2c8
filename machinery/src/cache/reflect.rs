//! Keeps a store equal to what the API server holds.

use std::time::Duration;

use rustc_hash::FxHashSet;
use tokio::time::Instant;

use super::line::Lines;
use super::store::Cache;
use super::watch_event::WatchEvent;
use crate::client::{ApiError, Client, ListOptions, WatchBody};
use crate::meta::{Cached, ObjectKey, PartialObject, Resource};

/// A watch that broke, once: what happens meanwhile should not wait long.
const FIRST: Duration = Duration::from_millis(50);
/// Back-off between failures: upstream's reflector.
const BACKOFF_MIN: Duration = Duration::from_millis(800);
const BACKOFF_MAX: Duration = Duration::from_secs(30);
/// A watch that lived this long was healthy: the next failure starts from the shortest wait.
const HEALTHY: Duration = Duration::from_secs(30);
/// The server ends a watch after this to twice this many seconds.
const WATCH_SECONDS: u64 = 300;
/// ... and if it does not, we do, this much later.
const WATCH_GRACE: Duration = Duration::from_secs(60);
/// Objects a page, where the server streams no lists.
const PAGE: u32 = 500;

/// Why a watch came to its end.
enum End {
    /// The server ended it in good order: go on where it stopped.
    Closed,
    /// The connection broke: go on where it stopped, after a pause.
    Broken,
    /// What we know is too old to go on from: list again.
    Expired,
    /// The server refused, and asks for a pause at least this long.
    Refused(Duration),
}

/// Called when the resource is not served.
pub(super) type Unserved = Box<dyn Fn() + Send + Sync>;

/// What a list has told of so far.
struct Listing {
    /// `None` where the list goes into an empty cache: there is nothing that it could show to be gone.
    seen: Option<FxHashSet<ObjectKey>>,
}

impl Listing {
    fn over<K: Cached>(cache: &Cache<K>) -> Self {
        let seen = (!cache.is_empty()).then(FxHashSet::default);
        Listing { seen }
    }

    fn saw(&mut self, key: impl FnOnce() -> ObjectKey) {
        if let Some(seen) = &mut self.seen {
            seen.insert(key());
        }
    }

    fn lost(&mut self, key: &ObjectKey) {
        if let Some(seen) = &mut self.seen {
            seen.remove(key);
        }
    }
}

pub(super) struct Reflector<K> {
    client: Client,
    resource: Resource,
    namespace: String,
    select: ListOptions,
    metadata_only: bool,
    unserved: Option<Unserved>,
    cache: Cache<K>,
    /// Where the next watch goes on; `None` to list first.
    version: Option<Box<str>>,
    streams_lists: bool,
    failures: u32,
    said: bool,
}

impl<K: Cached> Reflector<K> {
    pub(super) fn new(
        client: Client,
        resource: Resource,
        namespace: String,
        select: ListOptions,
        metadata_only: bool,
        unserved: Option<Unserved>,
        cache: Cache<K>,
    ) -> Self {
        Reflector {
            client,
            resource,
            namespace,
            select,
            metadata_only,
            unserved,
            cache,
            version: None,
            streams_lists: true,
            failures: 0,
            said: false,
        }
    }

    /// Lists and watches for ever.
    pub(super) async fn run(mut self) {
        loop {
            let started = Instant::now();
            let end = match self.round().await {
                Ok(end) => end,
                Err(error) => self.judge(&error),
            };
            if started.elapsed() >= HEALTHY {
                self.failures = 0;
            }
            match end {
                End::Closed if started.elapsed() >= Duration::from_secs(1) => self.failures = 0,
                End::Expired => {
                    self.version = None;
                    // The first relist at once; a server that expires everything gets a pause.
                    if self.failures > 0 {
                        self.pause(None).await;
                    }
                    self.failures += 1;
                }
                End::Closed | End::Broken => self.pause(None).await,
                End::Refused(wait) => self.pause(Some(wait)).await,
            }
        }
    }

    fn judge(&mut self, error: &ApiError) -> End {
        if error.is_expired() {
            return End::Expired;
        }
        // Connection trouble is told by the client, once for all caches.
        if let Some(tell) = self.unserved.as_ref().filter(|_| error.is_not_found()) {
            tell();
        } else if !error.is_unreachable() && !self.said {
            self.said = true;
            tracing::warn!(resource = %self.resource, "cannot list and watch, trying again: {error}");
        }
        match error.status() {
            Some(_) => End::Refused(error.retry_after().unwrap_or_default()),
            None => End::Broken,
        }
    }

    async fn pause(&mut self, at_least: Option<Duration>) {
        let wait = match self.failures {
            0 => FIRST,
            failures => (BACKOFF_MIN * (1 << (failures - 1).min(6))).min(BACKOFF_MAX),
        };
        self.failures = self.failures.saturating_add(1);
        let wait = wait.mul_f64(0.5 + rand::random::<f64>());
        tokio::select! {
            () = tokio::time::sleep(wait.max(at_least.unwrap_or_default())) => {}
            // Somebody reached the API server: no need to wait longer, but not all at the same moment.
            () = self.client.answers_again() => {
                tokio::time::sleep(FIRST.mul_f64(4.0 * rand::random::<f64>())).await;
            }
        }
    }

    /// One list, if it is needed, and one watch.
    async fn round(&mut self) -> Result<End, ApiError> {
        if self.version.is_none() && self.streams_lists {
            match self.stream_list().await {
                Err(error)
                    if error.is_invalid() || error.is_bad_request() || error.is_forbidden_streaming() =>
                {
                    tracing::debug!(resource = %self.resource, "the API server streams no lists: {error}");
                    self.streams_lists = false;
                }
                other => return other,
            }
        }
        if self.version.is_none() {
            self.page_list().await?;
        }
        let from = self.version.as_deref().unwrap_or_default().to_owned();
        let options = ListOptions {
            resource_version: Some(from),
            ..self.select.clone()
        };
        let body = self.open(&options, false).await?;
        self.said = false;
        Ok(self.follow(body, None).await)
    }

    async fn open(&self, options: &ListOptions, list_first: bool) -> Result<WatchBody, ApiError> {
        let seconds = (WATCH_SECONDS + rand::random_range(0..WATCH_SECONDS)).to_string();
        let mut extra = vec![
            ("allowWatchBookmarks", "true"),
            ("timeoutSeconds", seconds.as_str()),
        ];
        if list_first {
            extra.push(("sendInitialEvents", "true"));
        }
        self.client
            .watch(
                &self.resource,
                &self.namespace,
                options,
                &extra,
                self.metadata_only,
            )
            .await
    }

    /// The list as the first events of a watch (KEP-3157): neither side holds it in memory as a whole.
    async fn stream_list(&mut self) -> Result<End, ApiError> {
        let options = ListOptions {
            resource_version_match: Some("NotOlderThan"),
            ..self.select.clone()
        };
        let body = self.open(&options, true).await?;
        self.said = false;
        let listing = Listing::over(&self.cache);
        Ok(self.follow(body, Some(listing)).await)
    }

    /// The list page by page.
    async fn page_list(&mut self) -> Result<(), ApiError> {
        let mut listing = Listing::over(&self.cache);
        let mut options = self.select.clone().limit(PAGE);
        let version = loop {
            let page = if self.metadata_only {
                self.client
                    .list_metadata::<K>(&self.resource, &self.namespace, &options)
                    .await?
            } else {
                self.client
                    .list::<K>(&self.resource, &self.namespace, &options)
                    .await?
            };
            for object in page.items {
                listing.saw(|| object.key());
                self.cache.apply(object);
            }
            match page.metadata.continue_token.filter(|token| !token.is_empty()) {
                Some(token) => options.continue_token = Some(token.into()),
                None => break page.metadata.resource_version,
            }
        };
        self.listed(&listing, version);
        Ok(())
    }

    fn listed(&mut self, listing: &Listing, version: Box<str>) {
        if let Some(seen) = &listing.seen {
            self.cache.retain(seen);
        }
        self.version = Some(version);
        self.failures = 0;
        self.cache.mark_synced();
        tracing::debug!(resource = %self.resource, objects = self.cache.len(), "listed");
    }

    /// Applies the events of a watch until it ends. While `listing` is set, they are the list.
    async fn follow(&mut self, mut body: WatchBody, mut listing: Option<Listing>) -> End {
        let deadline = Instant::now() + Duration::from_secs(2 * WATCH_SECONDS) + WATCH_GRACE;
        let mut lines = Lines::default();
        loop {
            let piece = match tokio::time::timeout_at(deadline, body.next()).await {
                Ok(Ok(Some(piece))) => piece,
                Ok(Ok(None)) => return End::Closed,
                Ok(Err(cause)) => {
                    tracing::debug!(resource = %self.resource, "the watch broke: {cause}");
                    return End::Broken;
                }
                // The server was to end it long ago: the connection is dead.
                Err(_) => return End::Broken,
            };
            if let Err(end) = lines.feed(&piece, |line| self.event(line, &mut listing)) {
                return end;
            }
        }
    }

    fn event(&mut self, line: &[u8], listing: &mut Option<Listing>) -> Result<(), End> {
        let event = match serde_json::from_slice::<WatchEvent<K>>(line) {
            Ok(event) => event,
            Err(cause) => {
                // One object that we cannot read must not keep us from all others.
                let start: String = String::from_utf8_lossy(line).chars().take(200).collect();
                tracing::error!(resource = %self.resource, "skipped an object that does not decode: {cause}: {start}");
                // It is there all the same: what we know of it must not be taken for deleted.
                if let (Some(listing), Ok(WatchEvent::Upsert(object))) =
                    (listing, serde_json::from_slice::<WatchEvent<PartialObject>>(line))
                {
                    listing.saw(|| object.metadata.key());
                }
                return Ok(());
            }
        };
        match event {
            WatchEvent::Upsert(object) => {
                match listing {
                    Some(listing) => listing.saw(|| object.key()),
                    None => self.version = Some(object.resource_version().into()),
                }
                self.cache.apply(object);
            }
            WatchEvent::Deleted(object) => {
                let key = object.key();
                match listing {
                    Some(listing) => listing.lost(&key),
                    None => self.version = Some(object.resource_version().into()),
                }
                self.cache.remove(&key, Some(object));
            }
            WatchEvent::Bookmark(mark) => {
                if mark.list_ends
                    && let Some(listing) = listing.take()
                {
                    self.listed(&listing, mark.version);
                } else if listing.is_none() {
                    self.version = Some(mark.version);
                }
            }
            WatchEvent::Error(status) if status.code == 410 => return Err(End::Expired),
            WatchEvent::Error(status) => {
                tracing::debug!(resource = %self.resource, "the watch ended with: {}", status.message);
                let wait = status.details.map_or(0, |details| details.retry_after_seconds);
                return Err(End::Refused(Duration::from_secs(wait)));
            }
        }
        Ok(())
    }
}
