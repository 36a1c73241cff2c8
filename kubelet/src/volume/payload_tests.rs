use super::*;
use serde_json::json;

fn pod() -> core::Pod {
    serde_json::from_value(json!({
        "metadata": {"name": "p", "labels": {"app": "web"}},
        "spec": {"containers": [{"name": "c", "resources": {"limits": {"cpu": "250m"}}}]},
    }))
    .unwrap()
}

fn collected_in(pod: &core::Pod, volume: serde_json::Value) -> Result<Payload, String> {
    collected_with(pod, volume, false)
}

fn collected_with(pod: &core::Pod, volume: serde_json::Value, owners: bool) -> Result<Payload, String> {
    let volume: core::Volume = serde_json::from_value(volume).unwrap();
    let sources = Sources {
        pod,
        node: &Capacity::default(),
        objects: &|kind, name| match (kind, name) {
            (_, "gone") => Err(Missing::NotFound(format!("{} \"gone\" not found", kind.word()))),
            (_, "unknown") => Err(Missing::Failed("no answer".to_owned())),
            _ => {
                let entry = |key: &str, value: &str| (Box::from(key), Box::from(value.as_bytes()));
                Ok(Arc::new(Content {
                    data: [entry("a", "1"), entry("b", "2")].into(),
                    binary: [entry("bin", "\u{0}")].into(),
                    immutable: false,
                }))
            }
        },
        tokens: &|wanted| Ok(format!("token for {:?}", wanted.audience).into()),
        anchors: &|wanted| {
            wanted
                .name
                .clone()
                .map(String::into_bytes)
                .ok_or_else(|| "no anchors".to_owned())
        },
        certificates: &|place| {
            Ok(Credentials {
                key: format!("key {place}").as_bytes().into(),
                chain: b", chain"[..].into(),
            })
        },
        owners,
    };
    collect(&volume, &sources).unwrap()
}

fn collected(volume: serde_json::Value) -> Result<Payload, String> {
    collected_in(&pod(), volume)
}

fn shown(payload: &Payload) -> Vec<String> {
    payload
        .iter()
        .map(|(path, file)| format!("{path} {:o} {}", file.mode, String::from_utf8_lossy(&file.data)))
        .collect()
}

#[test]
fn without_items_every_key_is_a_file() {
    let payload = collected(json!({"name": "v", "configMap": {"name": "m"}})).unwrap();
    assert_eq!(shown(&payload), ["a 644 1", "b 644 2", "bin 644 \u{0}"]);
}

#[test]
fn items_choose_keys_paths_and_modes() {
    let volume = json!({"name": "v", "secret": {"secretName": "s", "defaultMode": 256, "items": [
        {"key": "a", "path": "deep/er/a"}, {"key": "b", "path": "./b", "mode": 511}]}});
    assert_eq!(shown(&collected(volume).unwrap()), ["b 777 2", "deep/er/a 400 1"]);
}

#[test]
fn what_is_missing_is_named_unless_it_is_optional() {
    let map = |more: serde_json::Value| {
        let mut map = json!({"name": "m"});
        map.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        collected(json!({"name": "v", "configMap": map}))
    };
    let item = json!([{"key": "none", "path": "p"}]);
    assert_eq!(
        map(json!({"name": "gone"})).unwrap_err(),
        "configmap \"gone\" not found"
    );
    assert_eq!(map(json!({"name": "gone", "optional": true})), Ok(Payload::new()));
    assert_eq!(
        map(json!({"name": "unknown", "optional": true})).unwrap_err(),
        "no answer"
    );
    assert_eq!(
        map(json!({"items": item})).unwrap_err(),
        "configmap references non-existent config key: none"
    );
    assert_eq!(map(json!({"items": item, "optional": true})), Ok(Payload::new()));
    let secret = json!({"name": "v", "secret": {"secretName": "s", "items": item}});
    assert_eq!(
        collected(secret).unwrap_err(),
        "references non-existent secret key: none"
    );
}

#[test]
fn the_downward_api_writes_fields_and_resources() {
    let volume = json!({"name": "v", "downwardAPI": {"items": [
        {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}},
        {"path": "cpu", "mode": 256, "resourceFieldRef": {"containerName": "c", "resource": "limits.cpu", "divisor": "1m"}},
    ]}});
    assert_eq!(
        shown(&collected(volume).unwrap()),
        ["cpu 400 250", "labels 644 app=\"web\""]
    );
}

fn api_access() -> serde_json::Value {
    json!({"name": "v", "projected": {"defaultMode": 420, "sources": [
        {"serviceAccountToken": {"path": "token", "expirationSeconds": 3607}},
        {"configMap": {"name": "m", "items": [{"key": "a", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}]}},
    ]}})
}

#[test]
fn projections_are_laid_over_each_other() {
    assert_eq!(
        shown(&collected(api_access()).unwrap()),
        ["ca.crt 644 1", "namespace 644 ", "token 644 token for None"]
    );
}

#[test]
fn a_token_is_private_where_its_reader_is_known() {
    let with = |context: serde_json::Value| {
        let mut pod = pod();
        pod.spec.as_mut().unwrap().security_context = serde_json::from_value(context).unwrap();
        let file = collected_in(&pod, api_access()).unwrap()["token"].clone();
        (file.mode, file.user)
    };
    assert_eq!(with(json!({})), (0o644, None));
    assert_eq!(with(json!({"fsGroup": 2000})), (0o600, None));
    assert_eq!(with(json!({"runAsUser": 1000})), (0o600, Some(1000)));
}

#[test]
fn all_problems_of_a_projection_are_told() {
    let volume = json!({"name": "v", "projected": {"sources": [
        {"configMap": {"name": "gone"}}, {"secret": {"name": "gone"}}, {"configMap": {"name": "m"}}]}});
    assert_eq!(
        collected(volume).unwrap_err(),
        "[configmap \"gone\" not found, secret \"gone\" not found]"
    );
}

#[test]
fn paths_are_checked_and_cleaned() {
    for (path, want) in [
        ("a", Ok("a")),
        ("a//b/./c", Ok("a/b/c")),
        ("..a", Err("invalid path: must not start with '..': ..a")),
        ("a/..b", Ok("a/..b")),
        ("a/../b", Err("invalid path: must not contain '..': a/../b")),
        ("..", Err("invalid path: must not contain '..': ..")),
        ("/a", Err("invalid path: must be relative path: /a")),
        ("", Err("invalid path: must not be empty: \"\"")),
        (".", Err("invalid path: must not be empty: \".\"")),
    ] {
        assert_eq!(
            clean(path).as_deref(),
            want.map_err(str::to_owned).as_ref().copied(),
            "{path}"
        );
    }
}

#[test]
fn references_are_found_in_every_source() {
    let of = |volume: serde_json::Value| references(&serde_json::from_value(volume).unwrap());
    assert_eq!(of(api_access()), [(Kind::ConfigMap, "m".to_owned())]);
    assert_eq!(
        of(json!({"name": "v", "secret": {"secretName": "s"}})),
        [(Kind::Secret, "s".to_owned())]
    );
    assert!(of(json!({"name": "v", "emptyDir": {}})).is_empty());
}

#[test]
fn owners_of_files_are_the_named_ones_or_the_only_user() {
    let volume = json!({"name": "v", "projected": {"defaultUser": 7, "sources": [
        {"configMap": {"name": "m", "items": [{"key": "a", "path": "a", "user": 8}, {"key": "b", "path": "b"}]}},
        {"clusterTrustBundle": {"name": "x", "path": "t"}},
        {"serviceAccountToken": {"path": "k", "user": 9}}]}});
    let mut user = pod();
    user.spec.as_mut().unwrap().security_context = Some(core::PodSecurityContext {
        run_as_user: Some(5),
        ..Default::default()
    });
    for (pod, owners, want) in [
        (&pod(), true, "a:644:8 b:644:7 k:600:9 t:600:7"),
        (&user, true, "a:644:8 b:644:7 k:600:9 t:600:7"),
        (&user, false, "a:644:0 b:644:0 k:600:5 t:600:5"),
        (&pod(), false, "a:644:0 b:644:0 k:644:0 t:644:0"),
    ] {
        let payload = collected_with(pod, volume.clone(), owners).unwrap();
        let shown: Vec<String> = payload
            .iter()
            .map(|(path, file)| format!("{path}:{:o}:{}", file.mode, file.user.unwrap_or_default()))
            .collect();
        assert_eq!(shown.join(" "), want);
    }
}

#[test]
fn certificates_are_files_of_their_own_or_one_bundle() {
    let certificate = |paths: serde_json::Value| {
        let mut source = json!({"signerName": "x/y", "keyType": "ED25519"});
        source
            .as_object_mut()
            .unwrap()
            .extend(paths.as_object().unwrap().clone());
        json!({ "podCertificate": source })
    };
    let volume = json!({"name": "v", "projected": {"sources": [
        certificate(json!({"credentialBundlePath": "all.pem"})),
        certificate(json!({"keyPath": "key.pem", "certificateChainPath": "chain.pem"}))]}});
    assert_eq!(
        shown(&collected(volume).unwrap()),
        [
            "all.pem 644 key 0, chain",
            "chain.pem 644 , chain",
            "key.pem 644 key 1"
        ]
    );
}
