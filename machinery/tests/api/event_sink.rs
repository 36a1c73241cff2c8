//! Events as they stand in the API.

use std::time::{Duration, Instant};

use machinery::client::{Client, ListOptions};
use machinery::events::{EventType, Recorder};
use machinery::meta::resources::{CORE_EVENTS, EVENTS};
use machinery::meta::{ObjectRef, Resource};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::{namespace, server};

fn pod(namespace: &str) -> ObjectRef {
    ObjectRef {
        kind: "Pod".into(),
        api_version: "v1".into(),
        namespace: namespace.into(),
        name: "web".into(),
        uid: "0d1e".into(),
        ..ObjectRef::default()
    }
}

async fn until(
    client: &Client,
    resource: &Resource,
    namespace: &str,
    done: impl Fn(&[Value]) -> bool,
) -> Vec<Value> {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let events = client
            .list::<Value>(resource, namespace, &ListOptions::default())
            .await
            .unwrap()
            .items;
        if done(&events) {
            return events;
        }
        assert!(Instant::now() < deadline, "{events:#?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn core_events_are_counted_by_patch() {
    let server = server!();
    let client = namespace(server, "core-events").await;
    let stop = CancellationToken::new();
    let _guard = stop.clone().drop_guard();
    let recorder = Recorder::core(&client, "kubelet", "n1", &stop);
    let container = pod("core-events").with_field_path("spec.containers{c}");
    for _ in 0..3 {
        recorder.event(
            &container,
            EventType::Warning,
            "BackOff",
            "",
            "Back-off restarting failed container",
        );
    }
    let events = until(&client, &CORE_EVENTS, "core-events", |events| {
        events.iter().any(|e| e["count"] == 3)
    })
    .await;
    assert_eq!(events.len(), 1);
    let event = &events[0];
    assert_eq!(event["source"]["component"], "kubelet");
    assert_eq!(event["source"]["host"], "n1");
    assert_eq!(event["reportingComponent"], "kubelet");
    assert_eq!(event["involvedObject"]["fieldPath"], "spec.containers{c}");
    assert_eq!(
        (&event["type"], &event["reason"]),
        (&"Warning".into(), &"BackOff".into())
    );
    assert!(event["metadata"]["name"].as_str().unwrap().starts_with("web."));
}

#[tokio::test]
async fn scheduler_events_become_a_series() {
    let server = server!();
    let client = namespace(server, "series-events").await;
    let stop = CancellationToken::new();
    let _guard = stop.clone().drop_guard();
    let recorder = Recorder::series(&client, "default-scheduler", "h1", &stop);
    for _ in 0..2 {
        let note = "0/1 nodes are available: 1 Insufficient cpu.";
        recorder.event(
            &pod("series-events"),
            EventType::Warning,
            "FailedScheduling",
            "Scheduling",
            note,
        );
    }
    let events = until(&client, &EVENTS, "series-events", |events| {
        events.iter().any(|e| e["series"]["count"] == 2)
    })
    .await;
    assert_eq!(events.len(), 1);
    assert_eq!(events[0]["reportingController"], "default-scheduler");
    assert_eq!(events[0]["reportingInstance"], "default-scheduler-h1");
    assert_eq!(
        (&events[0]["action"], &events[0]["regarding"]["name"]),
        (&"Scheduling".into(), &"web".into())
    );
}

#[tokio::test]
async fn an_event_about_a_cluster_scoped_object_goes_to_default() {
    let server = server!();
    let client = server.client();
    let stop = CancellationToken::new();
    let _guard = stop.clone().drop_guard();
    let recorder = Recorder::core(&client, "kubelet", "n1", &stop);
    let node = ObjectRef {
        kind: "Node".into(),
        name: "cluster-event".into(),
        uid: "x".into(),
        ..ObjectRef::default()
    };
    recorder.event(&node, EventType::Normal, "Starting", "", "Starting kubelet.");
    until(&client, &CORE_EVENTS, "default", |events| {
        events
            .iter()
            .any(|e| e["involvedObject"]["name"] == "cluster-event")
    })
    .await;
}
