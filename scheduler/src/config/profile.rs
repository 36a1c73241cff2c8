//! From a configuration's profiles to frameworks that run.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::file::{Configuration, PluginSet, Plugins, Profile};
use super::{Invalid, defaults};
use crate::framework::registry::Registry;
use crate::framework::{Framework, Plugin, PluginRef};

/// An extension point: its set in the configuration, whether a plugin takes part, where the framework lists it.
struct Point {
    field: &'static str,
    set: fn(&Plugins) -> &PluginSet,
    takes_part: fn(&dyn Plugin) -> bool,
    list: fn(&mut Framework) -> &mut Vec<PluginRef>,
}

const POINTS: [Point; 11] = [
    Point {
        field: "preEnqueue",
        set: |p| &p.pre_enqueue,
        takes_part: |p| p.as_pre_enqueue().is_some(),
        list: |f| &mut f.pre_enqueue,
    },
    Point {
        field: "queueSort",
        set: |p| &p.queue_sort,
        takes_part: |p| p.as_queue_sort().is_some(),
        list: |f| &mut f.queue_sort,
    },
    Point {
        field: "preFilter",
        set: |p| &p.pre_filter,
        takes_part: |p| p.as_pre_filter().is_some(),
        list: |f| &mut f.pre_filter,
    },
    Point {
        field: "filter",
        set: |p| &p.filter,
        takes_part: |p| p.as_filter().is_some(),
        list: |f| &mut f.filter,
    },
    Point {
        field: "postFilter",
        set: |p| &p.post_filter,
        takes_part: |p| p.as_post_filter().is_some(),
        list: |f| &mut f.post_filter,
    },
    Point {
        field: "preScore",
        set: |p| &p.pre_score,
        takes_part: |p| p.as_pre_score().is_some(),
        list: |f| &mut f.pre_score,
    },
    Point {
        field: "reserve",
        set: |p| &p.reserve,
        takes_part: |p| p.as_reserve().is_some(),
        list: |f| &mut f.reserve,
    },
    Point {
        field: "permit",
        set: |p| &p.permit,
        takes_part: |p| p.as_permit().is_some(),
        list: |f| &mut f.permit,
    },
    Point {
        field: "preBind",
        set: |p| &p.pre_bind,
        takes_part: |p| p.as_pre_bind().is_some(),
        list: |f| &mut f.pre_bind,
    },
    Point {
        field: "bind",
        set: |p| &p.bind,
        takes_part: |p| p.as_bind().is_some(),
        list: |f| &mut f.bind,
    },
    Point {
        field: "postBind",
        set: |p| &p.post_bind,
        takes_part: |p| p.as_post_bind().is_some(),
        list: |f| &mut f.post_bind,
    },
];

/// Makes the plugins of each profile and lists them by extension point.
///
/// # Errors
/// A plugin is unknown, has bad arguments, or is enabled where it takes no part.
pub fn frameworks(config: &Configuration, registry: &Registry) -> Result<Vec<Arc<Framework>>, Invalid> {
    let global = config.percentage_of_nodes_to_score;
    config
        .profiles
        .iter()
        .enumerate()
        .map(|(index, profile)| {
            framework(&format!("profiles[{index}]"), profile, global, registry).map(Arc::new)
        })
        .collect()
}

fn framework(
    at: &str,
    profile: &Profile,
    percentage: Option<i32>,
    registry: &Registry,
) -> Result<Framework, Invalid> {
    let plugins = defaults::merge(defaults::plugins(), profile.plugins.as_ref());
    let mut made: BTreeMap<String, PluginRef> = BTreeMap::new();
    let mut make = |name: &str, field: &str| -> Result<PluginRef, Invalid> {
        if let Some(plugin) = made.get(name) {
            return Ok(plugin.clone());
        }
        let config = profile
            .plugin_config
            .iter()
            .enumerate()
            .find(|(_, config)| config.name == name);
        let args = config.map_or(&Value::Null, |(_, config)| &config.args);
        let plugin = match registry.make(name, args) {
            None => return Err(Invalid::new(field, format!("plugin {name:?} does not exist"))),
            Some(Err(why)) => {
                let index = config.map_or(0, |(index, _)| index);
                return Err(Invalid::new(
                    format!("{at}.pluginConfig[{index}].args"),
                    format!("{name}: {why}"),
                ));
            }
            Some(Ok(plugin)) => plugin,
        };
        made.insert(name.to_owned(), plugin.clone());
        Ok(plugin)
    };
    let mut framework = Framework {
        name: profile.scheduler_name.as_deref().unwrap_or_default().into(),
        percentage_of_nodes_to_score: profile
            .percentage_of_nodes_to_score
            .or(percentage)
            .filter(|percent| *percent != 0),
        ..Framework::default()
    };
    for point in &POINTS {
        let field = format!("{at}.plugins.{}", point.field);
        let mut list = Vec::new();
        for (name, _) in enabled(&plugins, (point.set)(&plugins), &field)? {
            let plugin = make(name.name, &field)?;
            if (point.takes_part)(&*plugin) {
                list.push(plugin);
            } else if name.named_here {
                let why = format!("plugin {:?} does not take part in {}", name.name, point.field);
                return Err(Invalid::new(field, why));
            }
        }
        *(point.list)(&mut framework) = list;
    }
    let field = format!("{at}.plugins.score");
    for (name, weight) in enabled(&plugins, &plugins.score, &field)? {
        let plugin = make(name.name, &field)?;
        if plugin.as_score().is_some() {
            framework
                .score
                .push((plugin, weight.filter(|weight| *weight != 0).unwrap_or(1)));
        } else if name.named_here {
            return Err(Invalid::new(
                field,
                format!("plugin {:?} does not take part in score", name.name),
            ));
        }
    }
    match framework.queue_sort.len() {
        1 => {}
        0 => {
            return Err(Invalid::new(
                format!("{at}.plugins.queueSort"),
                "one queue sort plugin is needed",
            ));
        }
        _ => {
            return Err(Invalid::new(
                format!("{at}.plugins.queueSort"),
                "only one queue sort plugin can be enabled",
            ));
        }
    }
    if framework.bind.is_empty() {
        return Err(Invalid::new(
            format!("{at}.plugins.bind"),
            "at least one bind plugin is needed",
        ));
    }
    framework.register_events();
    Ok(framework)
}

struct Named<'a> {
    name: &'a str,
    /// Whether the point itself names it, and not just `multiPoint`.
    named_here: bool,
}

/// The plugins of a point in the order in which they run: those of `multiPoint` that the point names again come first, then the
/// rest of `multiPoint`, then the point's own.
fn enabled<'a>(
    plugins: &'a Plugins,
    set: &'a PluginSet,
    field: &str,
) -> Result<Vec<(Named<'a>, Option<i64>)>, Invalid> {
    let mut order: Vec<(Named<'a>, Option<i64>)> = Vec::new();
    let here = |name: &str| set.enabled.iter().find(|plugin| plugin.name == name);
    for (index, plugin) in set.enabled.iter().enumerate() {
        if set.enabled[..index]
            .iter()
            .any(|earlier| earlier.name == plugin.name)
        {
            return Err(Invalid::new(
                field,
                format!("plugin {:?} is enabled twice", plugin.name),
            ));
        }
    }
    let multi_point = &plugins.multi_point.enabled;
    let everywhere = |name: &str| multi_point.iter().any(|plugin| plugin.name == name);
    let named = |plugin: &'a super::file::PluginRef, named_here| {
        (
            Named {
                name: &plugin.name,
                named_here,
            },
            plugin.weight,
        )
    };
    let off = |name: &str| {
        set.disabled
            .iter()
            .any(|disabled| disabled.name == name || disabled.name == "*")
    };
    order.extend(
        set.enabled
            .iter()
            .filter(|plugin| everywhere(&plugin.name))
            .map(|plugin| named(plugin, true)),
    );
    let rest = multi_point
        .iter()
        .filter(|plugin| !off(&plugin.name) && here(&plugin.name).is_none());
    order.extend(rest.map(|plugin| named(plugin, false)));
    order.extend(
        set.enabled
            .iter()
            .filter(|plugin| !everywhere(&plugin.name))
            .map(|plugin| named(plugin, true)),
    );
    Ok(order)
}
