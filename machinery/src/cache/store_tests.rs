use super::*;
use crate::meta::{ObjectMeta, PartialObject};

fn object(name: &str, uid: &str, version: u32, app: &str) -> PartialObject {
    PartialObject {
        metadata: ObjectMeta {
            name: name.into(),
            namespace: "ns".into(),
            uid: uid.into(),
            resource_version: version.to_string().into(),
            labels: [("app", app)].into_iter().collect(),
            ..ObjectMeta::default()
        },
    }
}

fn by_app() -> Cache<PartialObject> {
    Cache::detached(vec![(
        "app",
        Box::new(|object: &PartialObject| {
            object
                .metadata
                .labels
                .get("app")
                .map(Istr::from)
                .into_iter()
                .collect()
        }),
    )])
}

fn record(cache: &Cache<PartialObject>) -> Arc<Mutex<Vec<String>>> {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = seen.clone();
    cache.subscribe(move |event| {
        let text = |object: &Arc<PartialObject>| {
            format!("{}@{}", object.metadata.name, object.metadata.resource_version)
        };
        log.lock().push(match event {
            Event::Added(object) => format!("+{}", text(object)),
            Event::Updated { old, new } => format!("{}>{}", text(old), text(new)),
            Event::Deleted(object) => format!("-{}", text(object)),
        });
    });
    seen
}

#[test]
fn every_change_is_told_in_order_and_repeats_are_not() {
    let cache = by_app();
    let seen = record(&cache);
    cache.apply(object("a", "1", 1, "x"));
    cache.apply(object("a", "1", 1, "x"));
    cache.apply(object("a", "1", 2, "x"));
    cache.remove(&ObjectKey::new("ns", "a"), Some(object("a", "1", 3, "x")));
    cache.remove(&ObjectKey::new("ns", "a"), None);
    assert_eq!(*seen.lock(), ["+a@1", "a@1>a@2", "-a@3"]);
    assert!(cache.is_empty());
}

#[test]
fn another_object_of_the_same_name_is_a_delete_and_an_add() {
    let cache = by_app();
    let seen = record(&cache);
    cache.apply(object("a", "1", 1, "x"));
    cache.apply(object("a", "2", 5, "x"));
    assert_eq!(*seen.lock(), ["+a@1", "-a@1", "+a@5"]);
}

#[test]
fn a_relist_synthesises_the_deletes_with_the_last_known_state() {
    let cache = by_app();
    cache.apply(object("a", "1", 1, "x"));
    cache.apply(object("b", "2", 2, "x"));
    let seen = record(&cache);
    seen.lock().clear();
    cache.retain(&FxHashSet::from_iter([ObjectKey::new("ns", "b")]));
    assert_eq!(*seen.lock(), ["-a@1"]);
}

#[test]
fn a_late_subscriber_gets_the_current_state_first() {
    let cache = by_app();
    cache.apply(object("a", "1", 1, "x"));
    cache.apply(object("a", "1", 2, "x"));
    let seen = record(&cache);
    cache.apply(object("b", "2", 3, "x"));
    assert_eq!(*seen.lock(), ["+a@2", "+b@3"]);
}

#[test]
fn a_subscriber_to_changes_alone_is_not_told_what_was_there() {
    let cache = by_app();
    cache.apply(object("a", "1", 1, "x"));
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = seen.clone();
    cache.subscribe_to_changes(move |event| log.lock().push(event.object().metadata.name.clone()));
    cache.apply(object("b", "2", 2, "x"));
    assert_eq!(*seen.lock(), [Istr::from("b")]);
}

#[test]
fn an_ended_subscription_hears_nothing_more() {
    let cache = by_app();
    let seen = Arc::new(Mutex::new(0));
    let count = seen.clone();
    let id = cache.subscribe(move |_| *count.lock() += 1);
    cache.apply(object("a", "1", 1, "x"));
    cache.unsubscribe(id);
    cache.apply(object("b", "2", 2, "x"));
    assert_eq!(*seen.lock(), 1);
}

#[test]
fn indexes_follow_changes_and_keep_no_empty_buckets() {
    let cache = by_app();
    cache.apply(object("a", "1", 1, "x"));
    cache.apply(object("b", "2", 2, "x"));
    assert_eq!(cache.by_index("app", "x").len(), 2);
    cache.apply(object("a", "1", 3, "y"));
    assert_eq!(cache.by_index("app", "x").len(), 1);
    assert_eq!(
        cache.by_index("app", "y")[0].metadata.resource_version,
        "3".into()
    );
    cache.remove(&ObjectKey::new("ns", "b"), None);
    assert_eq!(cache.index_values("app"), [Istr::from("y")]);
}
