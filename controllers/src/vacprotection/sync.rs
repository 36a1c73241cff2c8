//! Watches and writes.

use crate::caches::BY_ATTRIBUTES_CLASS;
use crate::context::Context;
use crate::protection::Protection;
use machinery::cache::{Cache, Event};
use machinery::meta::resources::VOLUME_ATTRIBUTES_CLASSES;
use machinery::meta::{Istr, Object, ObjectKey, PartialObject};
use machinery::queue::Queue;

/// Runs until the context is stopped.
pub async fn run(context: Context) {
    let volumes = context.caches.volumes().clone();
    let claims = context.caches.claims().clone();
    let queue = Queue::new("vacprotection");
    follow(&volumes, &queue, |volume| {
        volume.attributes_class().into_iter().collect()
    });
    follow(&claims, &queue, |claim| claim.attributes_classes());
    tokio::join!(volumes.synced(), claims.synced());
    let protection = Protection {
        finalizer: "kubernetes.io/vac-protection",
        resource: VOLUME_ATTRIBUTES_CLASSES,
        objects: context.caches.attributes_classes().clone(),
        queue,
    };
    let is_used = move |class: &PartialObject| {
        let name = &class.metadata.name;
        !volumes.by_index(BY_ATTRIBUTES_CLASS, name).is_empty()
            || !claims.by_index(BY_ATTRIBUTES_CLASS, name).is_empty()
    };
    protection.run(context, is_used).await;
}

/// Looks again at the classes that an object no longer names.
fn follow<K: Object>(
    users: &Cache<K>,
    queue: &Queue<ObjectKey>,
    named: impl Fn(&K) -> Vec<&Istr> + Send + 'static,
) {
    let queue = queue.clone();
    users.subscribe(move |event| {
        for class in let_go(event, &named) {
            queue.add(ObjectKey::cluster(class));
        }
    });
}

/// The classes that an object named before the event and no longer does.
fn let_go<'e, K>(event: &'e Event<K>, named: impl Fn(&'e K) -> Vec<&'e Istr>) -> Vec<&'e Istr> {
    match event {
        Event::Added(_) => Vec::new(),
        Event::Deleted(object) => named(object),
        Event::Updated { old, new } => {
            let still = named(new);
            let mut gone = named(old);
            gone.retain(|class| !still.contains(class));
            gone
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Claim;
    use serde_json::json;
    use std::sync::Arc;

    fn claim(asked: &str, current: Option<&str>, target: Option<&str>) -> Arc<Claim> {
        let modify =
            target.map(|target| json!({ "status": "Pending", "targetVolumeAttributesClassName": target }));
        let object = json!({ "metadata": { "name": "c" }, "spec": { "volumeAttributesClassName": asked },
            "status": { "currentVolumeAttributesClassName": current, "modifyVolumeStatus": modify } });
        Arc::new(serde_json::from_str(&object.to_string()).unwrap())
    }

    #[test]
    fn a_class_is_let_go_when_no_field_names_it() {
        let all = || claim("asked", Some("current"), Some("target"));
        let update = |old, new| Event::Updated { old, new };
        for (event, expected) in [
            (Event::Added(all()), &[][..]),
            (Event::Deleted(all()), &["asked", "current", "target"]),
            (Event::Deleted(claim("", None, None)), &[]),
            (update(all(), all()), &[]),
            (update(all(), claim("asked", Some("target"), None)), &["current"]),
            (
                update(
                    claim("fast", Some("slow"), Some("fast")),
                    claim("fast", Some("fast"), None),
                ),
                &["slow"],
            ),
        ] {
            let gone: Vec<_> = let_go(&event, |claim| claim.attributes_classes())
                .into_iter()
                .map(|class| &**class)
                .collect();
            assert_eq!(gone, expected, "{event:?}");
        }
    }
}
