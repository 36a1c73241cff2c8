use serde_json::{Value, json};

use super::*;
use crate::framework::Framework;
use crate::testing::registry;

fn made(config: Value) -> Result<Vec<std::sync::Arc<Framework>>, Invalid> {
    let mut config: Configuration = serde_json::from_value(config).unwrap();
    config.complete();
    config.check()?;
    frameworks(&config, &registry())
}

fn names(list: &[crate::framework::PluginRef]) -> Vec<&'static str> {
    list.iter().map(|plugin| plugin.name()).collect()
}

fn weights(framework: &Framework) -> Vec<(&'static str, i64)> {
    framework
        .score
        .iter()
        .map(|(plugin, weight)| (plugin.name(), *weight))
        .collect()
}

#[test]
fn the_default_profile_is_upstreams() {
    let frameworks = made(json!({})).unwrap();
    let default = &frameworks[0];
    assert_eq!(default.name, "default-scheduler");
    assert_eq!(
        weights(default),
        [
            ("TaintToleration", 3),
            ("NodeAffinity", 2),
            ("NodeResourcesFit", 1),
            ("PodTopologySpread", 2),
            ("InterPodAffinity", 2),
            ("NodeResourcesBalancedAllocation", 1),
            ("ImageLocality", 1),
        ]
    );
    let filters = names(&default.filter);
    assert_eq!(
        filters[..5],
        [
            "NodeName",
            "NodeUnschedulable",
            "TaintToleration",
            "NodeAffinity",
            "NodePorts"
        ]
    );
    assert_eq!(names(&default.queue_sort), ["PrioritySort"]);
    assert_eq!(names(&default.post_filter), ["DefaultPreemption"]);
    assert_eq!(names(&default.bind), ["DefaultBinder"]);
}

#[test]
fn a_profile_may_take_plugins_out_and_weigh_others() {
    let frameworks = made(json!({ "profiles": [
        { "schedulerName": "a", "plugins": { "score": {
            "disabled": [{ "name": "ImageLocality" }],
            "enabled": [{ "name": "NodeResourcesFit", "weight": 7 }],
        } } },
        { "schedulerName": "b", "plugins": { "multiPoint": { "disabled": [{ "name": "InterPodAffinity" }] } } },
    ] }))
    .unwrap();
    let a = weights(&frameworks[0]);
    assert_eq!(a[0], ("NodeResourcesFit", 7), "what is named again goes first");
    assert!(!a.iter().any(|(name, _)| *name == "ImageLocality"));
    assert!(!names(&frameworks[1].filter).contains(&"InterPodAffinity"));
    assert!(names(&frameworks[0].filter).contains(&"InterPodAffinity"));
}

#[test]
fn what_is_wrong_is_named() {
    let profile = |profile: Value| json!({ "profiles": [profile] });
    for (config, field, why) in [
        (
            json!({ "percentageOfNodesToScore": 101 }),
            "percentageOfNodesToScore",
            "not in valid range [0-100]",
        ),
        (
            json!({ "podInitialBackoffSeconds": 0 }),
            "podInitialBackoffSeconds",
            "must be greater than 0",
        ),
        (
            json!({ "podMaxBackoffSeconds": 0 }),
            "podMaxBackoffSeconds",
            "greater than or equal",
        ),
        (json!({ "parallelism": 0 }), "parallelism", "greater than zero"),
        (
            json!({ "leaderElection": { "resourceLock": "endpoints" } }),
            "leaderElection.resourceLock",
            "leases",
        ),
        (
            json!({ "profiles": [{ "schedulerName": "a" }, { "schedulerName": "a" }] }),
            "profiles[1].schedulerName",
            "twice",
        ),
        (
            json!({ "profiles": [{}, { "schedulerName": "a" }] }),
            "profiles[0].schedulerName",
            "required",
        ),
        (
            profile(json!({ "plugins": { "filter": { "enabled": [{ "name": "Nope" }] } } })),
            "profiles[0].plugins.filter",
            "does not exist",
        ),
        (
            profile(json!({ "plugins": { "filter": { "enabled": [{ "name": "ImageLocality" }] } } })),
            "profiles[0].plugins.filter",
            "does not take part",
        ),
        (
            profile(json!({ "plugins": { "queueSort": { "disabled": [{ "name": "*" }] } } })),
            "profiles[0].plugins.queueSort",
            "needed",
        ),
        (
            profile(
                json!({ "pluginConfig": [{ "name": "InterPodAffinity", "args": { "hardPodAffinityWeight": 101 } }] }),
            ),
            "profiles[0].pluginConfig[0].args",
            "0 to 100",
        ),
        (
            profile(
                json!({ "pluginConfig": [{ "name": "NodeAffinity", "args": { "kind": "NodeResourcesFitArgs" } }] }),
            ),
            "profiles[0].pluginConfig[0].args",
            "match",
        ),
    ] {
        let error = made(config.clone())
            .err()
            .unwrap_or_else(|| panic!("{config} was taken"));
        assert_eq!(error.field, field);
        assert!(error.why.contains(why), "{}", error.why);
    }
}

#[test]
fn unknown_fields_of_arguments_are_refused() {
    let error = made(json!({ "profiles": [{ "pluginConfig": [{
        "name": "NodeResourcesFit",
        "args": { "apiVersion": API_VERSION, "kind": "NodeResourcesFitArgs", "scoringStrategi": {} },
    }] }] }))
    .err()
    .unwrap();
    assert!(error.why.contains("scoringStrategi"), "{error}");
}
