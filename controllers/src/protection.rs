//! Objects that stay, by a finalizer, for as long as something uses them.
//!
//! ```text
//! object without the finalizer          -> add it
//! deleted object that nothing uses      -> take it away
//! ```

use crate::context::Context;
use crate::rewrite;
use crate::work::work;
use anyhow::Context as _;
use machinery::cache::{Cache, Event};
use machinery::client::{ApiError, Client};
use machinery::meta::{Object, ObjectKey, ObjectMeta, Resource};
use machinery::queue::{Next, Queue};
use std::sync::Arc;

/// Whether the object is to have the finalizer, where that differs from what it has.
pub fn wanted(meta: &ObjectMeta, finalizer: &str, is_used: impl FnOnce() -> bool) -> Option<bool> {
    match (meta.is_deleting(), meta.has_finalizer(finalizer)) {
        (true, true) if !is_used() => Some(false),
        (false, false) => Some(true),
        _ => None,
    }
}

/// Gives the object the finalizer, or takes it away; false where it was written meanwhile, so that `seen` is out of date.
///
/// # Errors
/// As the API server says.
pub async fn set(
    client: &Client,
    resource: &Resource,
    seen: &ObjectMeta,
    finalizer: &str,
    wanted: bool,
) -> Result<bool, ApiError> {
    let Some(mut object) = rewrite::read(client, resource, seen).await? else {
        return Ok(false);
    };
    rewrite::set_finalizer(&mut object, finalizer, wanted);
    rewrite::write(client, resource, seen, &object)
        .await
        .map(|_| true)
        .or_else(settled)
}

/// A conflict is settled by the next event, and what is gone needs no protection.
///
/// # Errors
/// Any other error.
pub fn settled(error: ApiError) -> Result<bool, ApiError> {
    if error.is_not_found() {
        Ok(true)
    } else if error.is_conflict() {
        Ok(false)
    } else {
        Err(error)
    }
}

/// The finalizer of one kind of object.
pub struct Protection<K> {
    pub finalizer: &'static str,
    pub resource: Resource,
    pub objects: Cache<K>,
    /// Whoever knows that a use of an object has ended adds it.
    pub queue: Queue<ObjectKey>,
}

impl<K: Object> Protection<K> {
    /// Runs until the context is stopped.
    pub async fn run(self, context: Context, is_used: impl Fn(&K) -> bool + Send + Sync + 'static) {
        let (adding, finalizer) = (self.queue.clone(), self.finalizer);
        self.objects.subscribe(move |event| {
            let meta = event.object().meta();
            if !matches!(event, Event::Deleted(_)) && wanted(meta, finalizer, || false).is_some() {
                adding.add(meta.key());
            }
        });
        self.objects.synced().await;
        let (queue, resource) = (self.queue.clone(), self.resource.clone());
        let (client, stop) = (context.client, context.stop);
        let this = Arc::new((self, is_used));
        work(resource, &queue, 1, &stop, move |key: ObjectKey| {
            let (this, client) = (this.clone(), client.clone());
            async move {
                let (protection, is_used) = &*this;
                protection.sync(&client, &key, is_used).await
            }
        })
        .await;
    }

    async fn sync(
        &self,
        client: &Client,
        key: &ObjectKey,
        is_used: impl Fn(&K) -> bool,
    ) -> anyhow::Result<Next> {
        let Some(object) = self.objects.get(key) else {
            return Ok(Next::Done);
        };
        let Some(wanted) = wanted(object.meta(), self.finalizer, || is_used(&object)) else {
            return Ok(Next::Done);
        };
        let done = set(client, &self.resource, object.meta(), self.finalizer, wanted)
            .await
            .with_context(|| format!("protecting {} {key}", self.resource.kind))?;
        Ok(if done { Next::Done } else { Next::BackOff })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn used_objects_are_kept() {
        let object = |finalizers: &[&str], deleting: bool| -> ObjectMeta {
            let deleted = deleting.then_some("2026-01-01T00:00:00Z");
            let text =
                json!({ "name": "x", "finalizers": finalizers, "deletionTimestamp": deleted }).to_string();
            serde_json::from_str(&text).unwrap()
        };
        let (bare, held) = ([].as_slice(), ["other", "f"].as_slice());
        for (finalizers, deleting, used, expected) in [
            (bare, false, false, Some(true)),
            (bare, false, true, Some(true)),
            (held, false, false, None),
            (held, false, true, None),
            (held, true, true, None),
            (held, true, false, Some(false)),
            (bare, true, false, None),
            (&["other"], true, false, None),
        ] {
            assert_eq!(
                wanted(&object(finalizers, deleting), "f", || used),
                expected,
                "{finalizers:?}, deleting: {deleting}, used: {used}"
            );
        }
    }
}
