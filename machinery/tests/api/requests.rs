//! Verbs, subresources, lists in pages, discovery, and the errors that the server answers with.

use machinery::client::{
    AccessReview, Client, DeleteOptions, ListOptions, PatchKind, Propagation, ResourceAttributes,
    TokenRequest,
};
use machinery::meta::resources::{CONFIG_MAPS, NODES, PODS, SERVICE_ACCOUNTS};
use machinery::meta::{ObjectMeta, PartialObject};
use machinery::testing::User;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::json;

use crate::{config_map, namespace, server};

#[derive(Deserialize)]
struct ConfigMap {
    metadata: ObjectMeta,
    #[serde(default)]
    data: std::collections::BTreeMap<String, String>,
}

#[tokio::test]
async fn an_object_is_created_read_changed_and_deleted() {
    let server = server!();
    let client = namespace(server, "verbs").await;
    let body = json!({"metadata": {"name": "a", "labels": {"x": "1"}}, "data": {"k": "1"}});
    let made: ConfigMap = client.create(&CONFIG_MAPS, "verbs", &body).await.unwrap();
    assert!(
        client
            .create::<IgnoredAny, _>(&CONFIG_MAPS, "verbs", &body)
            .await
            .unwrap_err()
            .is_already_exists()
    );

    let merged: ConfigMap = client
        .patch(
            &CONFIG_MAPS,
            "verbs",
            "a",
            PatchKind::Merge,
            &json!({"data": {"k": "2"}}),
        )
        .await
        .unwrap();
    assert_eq!(merged.data["k"], "2");
    let json_patch = json!([{"op": "replace", "path": "/data/k", "value": "3"}]);
    client
        .patch::<IgnoredAny, _>(&CONFIG_MAPS, "verbs", "a", PatchKind::Json, &json_patch)
        .await
        .unwrap();
    let applied = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"other": "4"}});
    client
        .apply::<IgnoredAny, _>(&CONFIG_MAPS, "verbs", "a", "tester", true, &applied)
        .await
        .unwrap();
    let read: ConfigMap = client.get(&CONFIG_MAPS, "verbs", "a").await.unwrap();
    assert_eq!((read.data["k"].as_str(), read.data["other"].as_str()), ("3", "4"));

    // What we read is what we would write back, but at an old version it is refused.
    let stale = json!({"metadata": made.metadata, "data": {}});
    assert!(
        client
            .update::<IgnoredAny, _>(&CONFIG_MAPS, "verbs", "a", &stale)
            .await
            .unwrap_err()
            .is_conflict()
    );
    let fresh = json!({"metadata": read.metadata, "data": {"k": "5"}});
    client
        .update::<IgnoredAny, _>(&CONFIG_MAPS, "verbs", "a", &fresh)
        .await
        .unwrap();

    let wrong = DeleteOptions::default().uid("another");
    assert!(
        client
            .delete(&CONFIG_MAPS, "verbs", "a", &wrong)
            .await
            .unwrap_err()
            .is_conflict()
    );
    let right = DeleteOptions::default()
        .uid(read.metadata.uid.as_str())
        .propagation(Propagation::Background);
    client.delete(&CONFIG_MAPS, "verbs", "a", &right).await.unwrap();
    let gone = client
        .get::<ConfigMap>(&CONFIG_MAPS, "verbs", "a")
        .await
        .err()
        .unwrap();
    assert!(gone.is_not_found(), "{gone}");
    assert!(gone.to_string().contains("configmaps \"a\" not found"), "{gone}");
}

#[tokio::test]
async fn a_refusal_keeps_its_status() {
    let server = server!();
    let client = namespace(server, "refusals").await;
    let bad = json!({"metadata": {"name": "Not A Name"}});
    let invalid = client
        .create::<IgnoredAny, _>(&CONFIG_MAPS, "refusals", &bad)
        .await
        .err()
        .unwrap();
    assert!(
        invalid.is_invalid() && invalid.has_cause("FieldValueInvalid"),
        "{invalid}"
    );
    let nobody = Client::new(server.config(User::Nobody)).unwrap();
    let forbidden = nobody
        .get::<IgnoredAny>(&CONFIG_MAPS, "refusals", "a")
        .await
        .err()
        .unwrap();
    assert!(forbidden.is_forbidden(), "{forbidden}");
}

#[tokio::test]
async fn a_long_list_comes_in_pages() {
    let server = server!();
    let client = namespace(server, "pages").await;
    for n in 0..25 {
        config_map(&client, "pages", &format!("m{n:02}"), "x").await;
    }
    let page = client
        .list::<PartialObject>(&CONFIG_MAPS, "pages", &ListOptions::default().limit(10))
        .await
        .unwrap();
    assert_eq!(page.items.len(), 10);
    assert!(page.metadata.continue_token.is_some());
    let all = client
        .list_all::<PartialObject>(&CONFIG_MAPS, "pages", &ListOptions::default().limit(10))
        .await
        .unwrap();
    assert_eq!(all.items.len(), 25);
    let picked = ListOptions::default().fields("metadata.name=m07");
    assert_eq!(
        client
            .list::<PartialObject>(&CONFIG_MAPS, "pages", &picked)
            .await
            .unwrap()
            .items
            .len(),
        1
    );
    let bare = client
        .list_metadata::<PartialObject>(&CONFIG_MAPS, "pages", &ListOptions::default())
        .await
        .unwrap();
    assert_eq!(bare.items.len(), 25);

    client
        .delete_collection(
            &CONFIG_MAPS,
            "pages",
            &DeleteOptions::default(),
            &ListOptions::default(),
        )
        .await
        .unwrap();
    let none = client
        .list::<PartialObject>(&CONFIG_MAPS, "pages", &ListOptions::default())
        .await
        .unwrap();
    assert!(none.items.is_empty());
}

#[tokio::test]
async fn subresources_bind_evict_and_report() {
    let server = server!();
    let client = namespace(server, "subs").await;
    let node = json!({"metadata": {"name": "subs-node"}});
    client.create::<IgnoredAny, _>(&NODES, "", &node).await.unwrap();
    let pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    let pod: PartialObject = client.create(&PODS, "subs", &pod).await.unwrap();
    let other = client
        .bind("subs", "p", "another-uid", "subs-node")
        .await
        .err()
        .unwrap();
    assert!(other.is_conflict(), "{other}");
    client
        .bind("subs", "p", &pod.metadata.uid, "subs-node")
        .await
        .unwrap();
    let status = json!({"status": {"phase": "Running"}});
    let running: serde_json::Value = client
        .patch_status(&PODS, "subs", "p", PatchKind::Strategic, &status)
        .await
        .unwrap();
    assert_eq!(
        (&running["status"]["phase"], &running["spec"]["nodeName"]),
        (&json!("Running"), &json!("subs-node"))
    );
    client
        .evict("subs", "p", &DeleteOptions::default().grace(0))
        .await
        .unwrap();
}

#[tokio::test]
async fn tokens_are_made_and_reviewed_and_access_too() {
    let server = server!();
    let client = namespace(server, "tokens").await;
    let account = json!({"metadata": {"name": "sa"}});
    client
        .create::<IgnoredAny, _>(&SERVICE_ACCOUNTS, "tokens", &account)
        .await
        .unwrap();
    let request = TokenRequest {
        expiration_seconds: Some(3600),
        ..TokenRequest::default()
    };
    let token = client.create_token("tokens", "sa", &request).await.unwrap();
    let review = client.review_token(&token.token, &[]).await.unwrap();
    assert!(review.authenticated);
    assert_eq!(review.user.username, "system:serviceaccount:tokens:sa");
    assert!(!client.review_token("nonsense", &[]).await.unwrap().authenticated);

    let ask = |user: &str, groups: &[&str]| AccessReview {
        user: user.into(),
        groups: groups.iter().map(|group| (*group).to_owned()).collect(),
        resource_attributes: Some(ResourceAttributes {
            verb: "get".into(),
            resource: "nodes".into(),
            subresource: "metrics".into(),
            ..ResourceAttributes::default()
        }),
        ..AccessReview::default()
    };
    assert!(
        client
            .review_access(&ask("boss", &["system:masters"]))
            .await
            .unwrap()
            .0
    );
    assert!(!client.review_access(&ask("nobody", &[])).await.unwrap().0);
}

#[tokio::test]
async fn discovery_finds_every_kind() {
    let server = server!();
    let found = server.client().discover().await.unwrap();
    assert!(found.stale.is_empty());
    for known in [
        &PODS,
        &NODES,
        &machinery::meta::resources::DEPLOYMENTS,
        &machinery::meta::resources::LEASES,
    ] {
        let held = found
            .resources
            .iter()
            .find(|held| held.resource == *known)
            .unwrap_or_else(|| panic!("{known}"));
        assert!(
            held.can(&["get", "list", "watch", "delete"]) && held.preferred,
            "{held:?}"
        );
    }
    assert!(
        found
            .resources
            .iter()
            .all(|held| !held.resource.plural.contains('/'))
    );
}
