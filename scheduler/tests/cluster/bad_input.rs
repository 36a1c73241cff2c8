//! Bad input gets a clear error and changes nothing. Needs no server.

use std::process::Command;

use serde_json::json;

use super::program;

fn fails(args: &[&str]) -> String {
    let output = Command::new(program()).args(args).output().unwrap();
    assert!(!output.status.success(), "{args:?} was taken");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn fails_with_config(config: &serde_json::Value) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.yaml");
    let mut document =
        json!({ "apiVersion": "kubescheduler.config.k8s.io/v1", "kind": "KubeSchedulerConfiguration" });
    machinery::component::config::merge(&mut document, config.clone());
    std::fs::write(&path, document.to_string()).unwrap();
    fails(&["--config", &path.display().to_string()])
}

#[test]
fn an_unknown_flag_names_the_nearest() {
    assert!(fails(&["--leader-elct=false"]).contains("--leader-elect"));
}

#[test]
fn the_version_is_in_upstreams_form() {
    let output = Command::new(program()).arg("--version").output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "Kubernetes v1.37.1\n");
}

#[test]
fn an_unknown_field_an_unknown_plugin_and_a_bad_argument_are_named() {
    let error = fails_with_config(&json!({ "profils": [] }));
    assert!(error.contains("profils"), "{error}");
    let profile = |profile| json!({ "profiles": [profile] });
    let error = fails_with_config(&profile(
        json!({ "plugins": { "filter": { "enabled": [{ "name": "Nope" }] } } }),
    ));
    assert!(
        error.contains("profiles[0].plugins.filter") && error.contains("Nope"),
        "{error}"
    );
    let error = fails_with_config(&profile(
        json!({ "pluginConfig": [{ "name": "NodeResourcesFit", "args": { "scoringStrategy": { "type": "Most" } } }] }),
    ));
    assert!(
        error.contains("NodeResourcesFit") && error.contains("Most"),
        "{error}"
    );
}

#[test]
fn a_missing_kubeconfig_is_named() {
    let error = fails(&["--kubeconfig=/nowhere/kubeconfig", "--leader-elect=false"]);
    assert!(error.contains("/nowhere/kubeconfig"), "{error}");
}
