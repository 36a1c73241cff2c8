//! Watches and writes.

use crate::api::Volume;
use crate::context::Context;
use crate::rewrite;
use anyhow::Context as _;
use machinery::cache::Event;
use machinery::meta::ObjectKey;
use machinery::meta::resources::PERSISTENT_VOLUMES;
use machinery::queue::{Next, Queue, run_workers};

const FINALIZER: &str = "kubernetes.io/pv-protection";

/// Whether the volume is to have the finalizer, where that differs from what it has.
fn wanted(volume: &Volume) -> Option<bool> {
    let meta = &volume.metadata;
    match (meta.is_deleting(), meta.has_finalizer(FINALIZER)) {
        (true, true) if volume.status.phase != "Bound" => Some(false),
        (false, false) => Some(true),
        _ => None,
    }
}

/// Runs until the context is stopped.
pub async fn run(context: Context) {
    let volumes = context.caches.volumes().clone();
    let queue: Queue<ObjectKey> = Queue::new("pvprotection");
    let adding = queue.clone();
    volumes.subscribe(move |event| {
        if !matches!(event, Event::Deleted(_)) && wanted(event.object()).is_some() {
            adding.add(event.object().metadata.key());
        }
    });
    volumes.synced().await;
    let client = context.client.clone();
    let work = run_workers(&queue, 1, move |key: ObjectKey| {
        let (volumes, client) = (volumes.clone(), client.clone());
        async move {
            let Some(volume) = volumes.get(&key) else {
                return anyhow::Ok(Next::Done);
            };
            let meta = &volume.metadata;
            let Some(wanted) = wanted(&volume) else {
                return Ok(Next::Done);
            };
            let Some(mut object) = rewrite::read(&client, &PERSISTENT_VOLUMES, meta).await? else {
                return Ok(Next::BackOff); // written by somebody else: its event brings us back
            };
            rewrite::set_finalizer(&mut object, FINALIZER, wanted);
            match rewrite::write(&client, &PERSISTENT_VOLUMES, meta, &object).await {
                Err(conflict) if conflict.is_conflict() => Ok(Next::BackOff),
                Err(error) if !error.is_not_found() => {
                    Err(error).with_context(|| format!("protecting volume {key}"))
                }
                _ => Ok(Next::Done),
            }
        }
    });
    tokio::join!(work, async {
        context.stop.cancelled().await;
        queue.shutdown();
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn bound_volumes_are_kept() {
        let volume = |finalizers: &[&str], deleting: bool, phase: &str| -> Volume {
            let mut object = json!({ "metadata": { "name": "v", "finalizers": finalizers }, "status": { "phase": phase } });
            if deleting {
                object["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
            }
            serde_json::from_str(&object.to_string()).unwrap()
        };
        assert_eq!(wanted(&volume(&[], false, "Available")), Some(true));
        assert_eq!(wanted(&volume(&[FINALIZER], false, "Available")), None);
        assert_eq!(wanted(&volume(&[FINALIZER], true, "Bound")), None);
        assert_eq!(wanted(&volume(&[FINALIZER], true, "Released")), Some(false));
        assert_eq!(wanted(&volume(&["x"], true, "Released")), None);
    }
}
