use super::*;
use serde_json::json;

fn pod() -> core::Pod {
    serde_json::from_value(json!({
        "metadata": {"name": "p", "namespace": "ns", "labels": {"app": "web"}},
        "spec": {"nodeName": "n1", "containers": []},
    }))
    .unwrap()
}

fn content(data: &[(&str, &str)]) -> Result<Arc<Content>, Missing> {
    let data = data
        .iter()
        .map(|(key, value)| ((*key).into(), value.as_bytes().into()))
        .collect();
    Ok(Arc::new(Content {
        data,
        ..Content::default()
    }))
}

fn objects() -> Found {
    let found = |kind, name: &str, what| ((kind, name.to_owned()), what);
    [
        found(
            Kind::ConfigMap,
            "settings",
            content(&[("A", "from-map"), ("B", "b")]),
        ),
        found(
            Kind::Secret,
            "keys",
            content(&[("B", "from-secret"), ("PASS", "s3cret")]),
        ),
        found(
            Kind::ConfigMap,
            "none",
            Err(Missing::NotFound("configmap \"none\" not found".into())),
        ),
        found(Kind::Secret, "slow", Err(Missing::Failed("no answer".into()))),
    ]
    .into()
}

fn resolved(container: serde_json::Value) -> Result<Vec<(String, String)>, String> {
    let container: core::Container = serde_json::from_value(container).unwrap();
    let pod = pod();
    resolve(&Sources {
        pod: &pod,
        container: &container,
        host_ips: &["10.0.0.1".parse().unwrap()],
        pod_ips: &["10.244.0.5".parse().unwrap()],
        node: &Capacity {
            allocatable_cpu_millis: 2000,
            ..Capacity::default()
        },
        services: [
            ("SVC_PORT".to_owned(), "80".to_owned()),
            ("A_SVC".to_owned(), "1".to_owned()),
        ]
        .into(),
        objects: objects(),
        files: [
            (("shared".to_owned(), "env".to_owned()), Ok("K='v'\n".to_owned())),
            (("shared".to_owned(), "bad".to_owned()), Ok("K=v\n".to_owned())),
        ]
        .into(),
    })
    .map_err(|error| error.0)
}

fn own(container: serde_json::Value) -> Vec<String> {
    resolved(container)
        .unwrap()
        .into_iter()
        .filter(|(name, _)| !name.contains("SVC"))
        .map(|(name, value)| format!("{name}={value}"))
        .collect()
}

#[test]
fn env_overrides_env_from_and_later_sources_override_earlier_ones() {
    let container = json!({"name": "c",
        "envFrom": [{"configMapRef": {"name": "settings"}}, {"prefix": "K_", "secretRef": {"name": "keys"}},
                    {"secretRef": {"name": "keys"}}],
        "env": [{"name": "A", "value": "own"}, {"name": "EMPTY"}]});
    assert_eq!(
        own(container),
        [
            "A=own",
            "B=from-secret",
            "K_B=from-secret",
            "K_PASS=s3cret",
            "PASS=s3cret",
            "EMPTY="
        ]
    );
}

#[test]
fn values_expand_what_stands_before_them_and_services() {
    let container = json!({"name": "c", "env": [
        {"name": "X", "value": "1"},
        {"name": "Y", "value": "$(X)-$(SVC_PORT)-$(Z)-$$(X)"},
        {"name": "Z", "value": "late"},
    ]});
    assert_eq!(own(container), ["X=1", "Y=1-80-$(Z)-$(X)", "Z=late"]);
}

#[test]
fn service_variables_come_last_and_give_way() {
    let env = resolved(json!({"name": "c", "env": [{"name": "SVC_PORT", "value": "mine"}]})).unwrap();
    assert_eq!(env[0], ("SVC_PORT".to_owned(), "mine".to_owned()));
    assert_eq!(env[1], ("A_SVC".to_owned(), "1".to_owned()));
    assert_eq!(env.len(), 2);
}

#[test]
fn every_kind_of_source_is_resolved() {
    let from = |name: &str, source: serde_json::Value| json!({"name": name, "valueFrom": source});
    let container = json!({"name": "c", "env": [
        from("NODE", json!({"fieldRef": {"fieldPath": "spec.nodeName"}})),
        from("APP", json!({"fieldRef": {"fieldPath": "metadata.labels['app']"}})),
        from("IP", json!({"fieldRef": {"fieldPath": "status.podIP"}})),
        from("CPU", json!({"resourceFieldRef": {"resource": "limits.cpu"}})),
        from("MAP", json!({"configMapKeyRef": {"name": "settings", "key": "B"}})),
        from("PASS", json!({"secretKeyRef": {"name": "keys", "key": "PASS"}})),
        from("FILE", json!({"fileKeyRef": {"volumeName": "shared", "path": "env", "key": "K"}})),
        from("OPT", json!({"configMapKeyRef": {"name": "none", "key": "B", "optional": true}})),
        from("OPT2", json!({"secretKeyRef": {"name": "keys", "key": "NONE", "optional": true}})),
        from("OPT3", json!({"fileKeyRef": {"volumeName": "shared", "path": "env", "key": "N", "optional": true}})),
    ]});
    assert_eq!(
        own(container),
        [
            "NODE=n1",
            "APP=web",
            "IP=10.244.0.5",
            "CPU=2",
            "MAP=b",
            "PASS=s3cret",
            "FILE=v"
        ]
    );
}

#[test]
fn what_is_missing_is_named_as_upstream_names_it() {
    let env = |source: serde_json::Value| json!({"name": "c", "env": [{"name": "V", "valueFrom": source}]});
    for (container, want) in [
        (
            json!({"name": "c", "envFrom": [{"configMapRef": {"name": "none"}}]}),
            "configmap \"none\" not found",
        ),
        (
            env(json!({"configMapKeyRef": {"name": "none", "key": "k"}})),
            "configmap \"none\" not found",
        ),
        (
            env(json!({"configMapKeyRef": {"name": "settings", "key": "k"}})),
            "couldn't find key k in ConfigMap ns/settings",
        ),
        (
            env(json!({"secretKeyRef": {"name": "keys", "key": "k"}})),
            "couldn't find key k in Secret ns/keys",
        ),
        (
            env(json!({"secretKeyRef": {"name": "slow", "key": "k", "optional": true}})),
            "no answer",
        ),
        (
            env(json!({"fieldRef": {"fieldPath": "spec.foo"}})),
            "unsupported fieldPath: spec.foo",
        ),
        (
            env(json!({"fileKeyRef": {"volumeName": "gone", "path": "env", "key": "K"}})),
            "cannot find the volume \"gone\" referenced by FileKeyRef",
        ),
        (
            env(json!({"fileKeyRef": {"volumeName": "shared", "path": "bad", "key": "K"}})),
            "couldn't parse env file",
        ),
    ] {
        assert_eq!(resolved(container).unwrap_err(), want);
    }
}

#[test]
fn references_are_listed_once() {
    let container: core::Container = serde_json::from_value(json!({"name": "c",
        "envFrom": [{"configMapRef": {"name": "settings"}}],
        "env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "B"}}},
                {"name": "B", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "B"}}}]}))
    .unwrap();
    assert_eq!(
        references(&container),
        [
            (Kind::ConfigMap, "settings".to_owned()),
            (Kind::Secret, "keys".to_owned())
        ]
    );
}
