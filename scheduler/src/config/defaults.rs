//! The default profile, and how a profile's own words are laid over it.

use super::file::{PluginRef, PluginSet, Plugins};

/// The plugins of upstream's default profile at v1.37, in their order, with their weights.
const DEFAULTS: [(&str, Option<i64>); 20] = [
    ("SchedulingGates", None),
    ("PrioritySort", None),
    ("NodeName", None),
    ("NodeUnschedulable", None),
    ("TaintToleration", Some(3)),
    ("NodeAffinity", Some(2)),
    ("NodePorts", None),
    ("NodeResourcesFit", Some(1)),
    ("VolumeRestrictions", None),
    ("NodeVolumeLimits", None),
    ("VolumeBinding", None),
    ("VolumeZone", None),
    ("PodTopologySpread", Some(2)),
    ("InterPodAffinity", Some(2)),
    ("DynamicResources", Some(2)),
    ("DefaultPreemption", None),
    ("NodeResourcesBalancedAllocation", Some(1)),
    ("ImageLocality", Some(1)),
    ("DefaultBinder", None),
    ("NodeDeclaredFeatures", None),
];

/// Enables the default plugins at every point.
pub fn plugins() -> Plugins {
    let enabled = DEFAULTS.iter().map(|(name, weight)| PluginRef {
        name: (*name).to_owned(),
        weight: *weight,
    });
    Plugins {
        multi_point: PluginSet {
            enabled: enabled.collect(),
            ..PluginSet::default()
        },
        ..Plugins::default()
    }
}

/// Lays a profile's plugins over the defaults.
pub fn merge(mut defaults: Plugins, own: Option<&Plugins>) -> Plugins {
    let Some(own) = own else { return defaults };
    for (default, own) in [
        (&mut defaults.multi_point, &own.multi_point),
        (&mut defaults.pre_enqueue, &own.pre_enqueue),
        (&mut defaults.queue_sort, &own.queue_sort),
        (&mut defaults.pre_filter, &own.pre_filter),
        (&mut defaults.filter, &own.filter),
        (&mut defaults.post_filter, &own.post_filter),
        (&mut defaults.pre_score, &own.pre_score),
        (&mut defaults.score, &own.score),
        (&mut defaults.reserve, &own.reserve),
        (&mut defaults.permit, &own.permit),
        (&mut defaults.pre_bind, &own.pre_bind),
        (&mut defaults.bind, &own.bind),
        (&mut defaults.post_bind, &own.post_bind),
        (&mut defaults.placement_generate, &own.placement_generate),
        (&mut defaults.placement_score, &own.placement_score),
        (&mut defaults.pod_group_post_filter, &own.pod_group_post_filter),
    ] {
        *default = merge_set(default, own);
    }
    defaults
}

/// Defaults that are not disabled keep their places; those that are named again take the new words; the rest follows.
fn merge_set(default: &PluginSet, own: &PluginSet) -> PluginSet {
    let disabled: Vec<PluginRef> = own
        .disabled
        .iter()
        .chain(&default.disabled)
        .map(|plugin| PluginRef {
            name: plugin.name.clone(),
            weight: None,
        })
        .collect();
    let is_disabled = |name: &str| {
        disabled
            .iter()
            .any(|plugin| plugin.name == name || plugin.name == "*")
    };
    let mut replaced = vec![false; own.enabled.len()];
    let mut enabled = Vec::new();
    for plugin in default.enabled.iter().filter(|plugin| !is_disabled(&plugin.name)) {
        // The last of several words on one plugin counts.
        match own.enabled.iter().rposition(|named| named.name == plugin.name) {
            Some(at) => {
                replaced[at] = true;
                enabled.push(own.enabled[at].clone());
            }
            None => enabled.push(plugin.clone()),
        }
    }
    let rest = own
        .enabled
        .iter()
        .zip(&replaced)
        .filter(|(_, replaced)| !**replaced);
    enabled.extend(rest.map(|(plugin, _)| plugin.clone()));
    PluginSet { enabled, disabled }
}
