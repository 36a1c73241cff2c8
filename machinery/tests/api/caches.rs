//! The cache against the real server: it ends up equal to what the server holds, whatever is lost on the way.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use machinery::cache::{Cache, Event};
use machinery::client::{Client, DeleteOptions, PatchKind};
use machinery::meta::resources::{CONFIG_MAPS, NODES};
use machinery::meta::{Istr, Object, ObjectMeta, PartialObject};
use machinery::testing::{Fault, Proxy, User};
use parking_lot::Mutex;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::json;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{config_map, eventually, namespace, server};

#[derive(Deserialize)]
struct ConfigMap {
    metadata: ObjectMeta,
    #[serde(default)]
    data: Data,
}
#[derive(Deserialize, Default)]
struct Data {
    #[serde(default)]
    v: Istr,
}
impl Object for ConfigMap {
    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }
}

type Log = Arc<Mutex<Vec<String>>>;

fn watch(client: &Client, namespace: &str) -> (Cache<ConfigMap>, Log, DropGuard) {
    let stop = CancellationToken::new();
    let cache = Cache::builder(client, &CONFIG_MAPS)
        .namespace(namespace)
        .index("value", |map: &ConfigMap| vec![map.data.v.clone()])
        .start(&stop);
    (cache.clone(), record(&cache), stop.drop_guard())
}

fn record(cache: &Cache<ConfigMap>) -> Log {
    let log = Log::default();
    let events = log.clone();
    cache.subscribe(move |event| {
        let text = |map: &Arc<ConfigMap>| format!("{}={}", map.metadata.name, map.data.v);
        events.lock().push(match event {
            Event::Added(map) => format!("+{}", text(map)),
            Event::Updated { old, new } => format!("{}>{}", text(old), text(new)),
            Event::Deleted(map) => format!("-{}", text(map)),
        });
    });
    log
}

async fn set(client: &Client, namespace: &str, name: &str, value: &str) {
    let body = json!({"data": {"v": value}});
    client
        .patch::<IgnoredAny, _>(&CONFIG_MAPS, namespace, name, PatchKind::Merge, &body)
        .await
        .unwrap();
}

async fn delete(client: &Client, namespace: &str, name: &str) {
    client
        .delete(&CONFIG_MAPS, namespace, name, &DeleteOptions::default())
        .await
        .unwrap();
}

#[tokio::test]
async fn a_cache_follows_the_server() {
    let server = server!();
    let client = namespace(server, "follows").await;
    config_map(&client, "follows", "a", "1").await;
    let (cache, log, _stop) = watch(&client, "follows");
    cache.synced().await;
    assert_eq!(cache.get_named("follows", "a").unwrap().data.v, "1");
    config_map(&client, "follows", "b", "1").await;
    set(&client, "follows", "a", "2").await;
    delete(&client, "follows", "b").await;
    eventually("the delete arrived", || log.lock().len() == 4).await;
    assert_eq!(*log.lock(), ["+a=1", "+b=1", "a=1>a=2", "-b=1"]);
    assert_eq!(cache.by_index("value", "2").len(), 1);
    assert!(cache.by_index("value", "1").is_empty());
    assert_eq!(
        *record(&cache).lock(),
        ["+a=2"],
        "a late subscriber gets the current state"
    );
}

#[tokio::test]
async fn the_list_is_streamed() {
    let server = server!();
    let client = namespace(server, "streams").await;
    config_map(&client, "streams", "a", "1").await;
    let proxy = Proxy::start(&server.anonymous()).await.unwrap();
    let through = Client::new(proxy.config(&server.config(User::Admin))).unwrap();
    let (cache, _log, _stop) = watch(&through, "streams");
    cache.synced().await;
    assert_eq!(cache.len(), 1);
    let seen = proxy.seen();
    assert!(
        seen.len() == 1 && seen[0].is_watch() && seen[0].query.contains("sendInitialEvents=true"),
        "{seen:?}"
    );
}

#[tokio::test]
async fn a_server_that_streams_no_lists_is_listed_in_pages() {
    let server = server!();
    let client = namespace(server, "paged").await;
    config_map(&client, "paged", "a", "1").await;
    let proxy = Proxy::start(&server.anonymous()).await.unwrap();
    proxy.on_request(|seen| {
        if seen.query.contains("sendInitialEvents") {
            let body = r#"{"kind":"Status","code":422,"reason":"Invalid","message":"ListOptions is invalid: sendInitialEvents: Forbidden: sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled"}"#;
            Fault::Answer { code: 422, retry_after: None, body: body.into() }
        } else {
            Fault::Pass
        }
    });
    let through = Client::new(proxy.config(&server.config(User::Admin))).unwrap();
    let (cache, log, _stop) = watch(&through, "paged");
    cache.synced().await;
    set(&client, "paged", "a", "2").await;
    eventually("the update arrived", || log.lock().len() == 2).await;
    assert_eq!(*log.lock(), ["+a=1", "a=1>a=2"]);
}

#[tokio::test]
async fn a_relist_that_lost_a_delete_tells_of_it_with_the_last_known_state() {
    let server = server!();
    let client = namespace(server, "lost").await;
    let proxy = Proxy::start(&server.anonymous()).await.unwrap();
    let through = Client::new(proxy.config(&server.config(User::Admin))).unwrap();
    for name in ["keeps", "goes", "changes", "returns"] {
        config_map(&client, "lost", name, "1").await;
    }
    let (cache, log, _stop) = watch(&through, "lost");
    cache.synced().await;
    log.lock().clear();

    // Nobody watches while the server changes...
    proxy.on_request(|_| Fault::Reset);
    proxy.cut_watches();
    delete(&client, "lost", "goes").await;
    set(&client, "lost", "changes", "2").await;
    delete(&client, "lost", "returns").await;
    config_map(&client, "lost", "returns", "3").await;
    config_map(&client, "lost", "comes", "1").await;
    // ... and where the watch stopped is forgotten by then.
    proxy.on_request(|seen| {
        if seen.is_watch() && seen.query.contains("resourceVersion=") {
            Fault::gone()
        } else {
            Fault::Pass
        }
    });
    eventually("the relist is done", || log.lock().len() >= 5).await;
    let mut told = log.lock().clone();
    told.sort();
    assert_eq!(
        told,
        [
            "+comes=1",
            "+returns=3",
            "-goes=1",
            "-returns=1",
            "changes=1>changes=2"
        ]
    );
    assert_eq!(cache.len(), 4);
}

#[tokio::test]
async fn an_expired_watch_lists_again_and_goes_on() {
    let server = server!();
    let client = namespace(server, "expired").await;
    let proxy = Proxy::start(&server.anonymous()).await.unwrap();
    let through = Client::new(proxy.config(&server.config(User::Admin))).unwrap();
    config_map(&client, "expired", "a", "1").await;
    let (cache, log, _stop) = watch(&through, "expired");
    cache.synced().await;
    // The 410 comes as an event of a watch that was accepted.
    let expired = Arc::new(AtomicBool::new(false));
    let once = expired.clone();
    proxy.on_request(move |seen| {
        if seen.is_watch() && seen.query.contains("resourceVersion=") && !once.swap(true, Ordering::Relaxed) {
            Fault::expired_watch()
        } else {
            Fault::Pass
        }
    });
    proxy.cut_watches();
    eventually("the watch expired", || expired.load(Ordering::Relaxed)).await;
    set(&client, "expired", "a", "2").await;
    eventually("the update arrived", || log.lock().len() == 2).await;
    // What did not change is no event.
    assert_eq!(*log.lock(), ["+a=1", "a=1>a=2"]);
}

#[tokio::test]
async fn a_watch_that_breaks_goes_on_where_it_stopped() {
    let server = server!();
    let client = namespace(server, "breaks").await;
    let proxy = Proxy::start(&server.anonymous()).await.unwrap();
    let through = Client::new(proxy.config(&server.config(User::Admin))).unwrap();
    config_map(&client, "breaks", "a", "0").await;
    let (cache, log, _stop) = watch(&through, "breaks");
    cache.synced().await;
    for value in ["1", "2", "3"] {
        proxy.cut_watches();
        set(&client, "breaks", "a", value).await;
    }
    eventually("all updates arrived", || log.lock().len() == 4).await;
    assert_eq!(*log.lock(), ["+a=0", "a=0>a=1", "a=1>a=2", "a=2>a=3"]);
    let lists = proxy
        .seen()
        .iter()
        .filter(|seen| seen.query.contains("sendInitialEvents"))
        .count();
    assert_eq!(lists, 1, "the list was not read again");
}

#[tokio::test]
async fn a_server_that_is_away_at_the_start_is_waited_for() {
    let server = server!();
    let client = namespace(server, "away").await;
    config_map(&client, "away", "a", "1").await;
    let proxy = Proxy::start(&server.anonymous()).await.unwrap();
    proxy.on_request(|_| Fault::Reset);
    let through = Client::new(proxy.config(&server.config(User::Admin))).unwrap();
    let (cache, _log, _stop) = watch(&through, "away");
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!cache.is_synced());
    proxy.pass();
    tokio::time::timeout(Duration::from_secs(30), cache.synced())
        .await
        .unwrap();
    assert_eq!(cache.len(), 1);
}

/// A kind of which one object does not decode.
#[derive(Deserialize)]
struct Picky {
    metadata: ObjectMeta,
    #[allow(dead_code)]
    data: Number,
}
#[derive(Deserialize)]
struct Number {
    #[allow(dead_code)]
    #[serde(deserialize_with = "number")]
    v: u32,
}
fn number<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    Istr::deserialize(deserializer)?
        .parse()
        .map_err(serde::de::Error::custom)
}
impl Object for Picky {
    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }
}

#[tokio::test]
async fn an_object_that_does_not_decode_holds_up_no_others_and_is_not_taken_for_deleted() {
    let server = server!();
    let client = namespace(server, "picky").await;
    config_map(&client, "picky", "turns", "1").await;
    let proxy = Proxy::start(&server.anonymous()).await.unwrap();
    let through = Client::new(proxy.config(&server.config(User::Admin))).unwrap();
    let stop = CancellationToken::new();
    let _guard = stop.clone().drop_guard();
    let cache: Cache<Picky> = Cache::builder(&through, &CONFIG_MAPS)
        .namespace("picky")
        .start(&stop);
    cache.synced().await;
    set(&client, "picky", "turns", "word").await;
    proxy.on_request(|seen| {
        if seen.is_watch() && seen.query.contains("resourceVersion=") {
            Fault::gone()
        } else {
            Fault::Pass
        }
    });
    proxy.cut_watches();
    config_map(&client, "picky", "later", "2").await;
    eventually("the other object arrived", || {
        cache.get_named("picky", "later").is_some()
    })
    .await;
    assert!(cache.get_named("picky", "turns").is_some());
}

#[tokio::test]
async fn metadata_alone_and_selectors_narrow_the_watch() {
    let server = server!();
    let client = server.client();
    for (name, zone) in [("meta-a", "x"), ("meta-b", "y")] {
        let node = json!({"metadata": {"name": name, "labels": {"zone": zone}}});
        client.create::<IgnoredAny, _>(&NODES, "", &node).await.unwrap();
    }
    let stop = CancellationToken::new();
    let _guard = stop.clone().drop_guard();
    let by_label: Cache<PartialObject> = Cache::builder(&client, &NODES)
        .labels("zone=x")
        .metadata_only()
        .start(&stop);
    let by_field: Cache<PartialObject> = Cache::builder(&client, &NODES)
        .fields("metadata.name=meta-b")
        .metadata_only()
        .start(&stop);
    by_label.synced().await;
    by_field.synced().await;
    assert!(by_label.len() == 1 && by_label.get_named("", "meta-a").is_some());
    assert!(by_field.len() == 1 && by_field.get_named("", "meta-b").is_some());
    // An object that no longer matches is gone from the cache.
    let gone = Arc::new(AtomicUsize::new(0));
    let count = gone.clone();
    by_label.subscribe(move |event| {
        if matches!(event, Event::Deleted(_)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    });
    let relabel = json!({"metadata": {"labels": {"zone": "z"}}});
    client
        .patch::<IgnoredAny, _>(&NODES, "", "meta-a", PatchKind::Merge, &relabel)
        .await
        .unwrap();
    eventually("the object left the cache", || gone.load(Ordering::Relaxed) == 1).await;
}

#[tokio::test]
async fn a_thousand_objects_arrive_and_leave() {
    let server = server!();
    let client = namespace(server, "thousand").await;
    let (cache, log, _stop) = watch(&client, "thousand");
    cache.synced().await;
    let writers: Vec<_> = (0..20)
        .map(|writer| {
            let client = client.clone();
            tokio::spawn(async move {
                for n in 0..50 {
                    config_map(&client, "thousand", &format!("m-{writer}-{n}"), "1").await;
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    eventually("all arrived", || cache.len() == 1000).await;
    let everything = machinery::client::ListOptions::default();
    client
        .delete_collection(&CONFIG_MAPS, "thousand", &DeleteOptions::default(), &everything)
        .await
        .unwrap();
    eventually("all left", || cache.is_empty()).await;
    assert_eq!(log.lock().len(), 2000);
    assert!(cache.index_values("value").is_empty());
}
