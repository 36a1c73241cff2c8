//! The plugins of the tree, one file each, under upstream's names.
//!
//! ```text
//! names -> Registry -> profiles; each plugin reads the snapshot's columns and answers for all rows at once
//! ```

mod balanced_allocation;
mod fit;

mod image_locality;
mod inter_pod_affinity;
mod labels;
mod named_only;
mod node_affinity;
mod node_name;
mod node_ports;
mod node_unschedulable;
mod normalize;
mod priority_sort;
mod resource_columns;
mod scheduling_gates;
mod spread;
mod taint_toleration;
mod volumes;

use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::framework::registry::Registry;
use crate::preempt::DefaultPreemption;

pub use priority_sort::PrioritySort;

/// All plugins of the tree but those that need an API client.
pub fn registry() -> Registry {
    let mut registry = Registry::default();
    registry.enter("SchedulingGates", |_| {
        Ok(Arc::new(scheduling_gates::SchedulingGates))
    });
    registry.enter("PrioritySort", |_| Ok(Arc::new(priority_sort::PrioritySort)));
    registry.enter("NodeName", |_| Ok(Arc::new(node_name::NodeName)));
    registry.enter("NodeUnschedulable", |_| {
        Ok(Arc::new(node_unschedulable::NodeUnschedulable))
    });
    registry.enter("TaintToleration", |_| {
        Ok(Arc::new(taint_toleration::TaintToleration))
    });
    registry.enter("NodeAffinity", |args| {
        Ok(Arc::new(node_affinity::NodeAffinity::new(&parse(args)?)))
    });
    registry.enter("NodePorts", |_| Ok(Arc::new(node_ports::NodePorts)));
    registry.enter("NodeResourcesFit", |args| {
        Ok(Arc::new(fit::Fit::new(parse(args)?)?))
    });
    registry.enter("NodeResourcesBalancedAllocation", |args| {
        Ok(Arc::new(balanced_allocation::BalancedAllocation::new(parse(
            args,
        )?)))
    });
    registry.enter("ImageLocality", |_| Ok(Arc::new(image_locality::ImageLocality)));
    registry.enter("PodTopologySpread", |args| {
        Ok(Arc::new(spread::PodTopologySpread::new(parse(args)?)?))
    });
    registry.enter("InterPodAffinity", |args| {
        Ok(Arc::new(inter_pod_affinity::InterPodAffinity::new(parse(args)?)?))
    });
    registry.enter("DefaultPreemption", |args| {
        Ok(Arc::new(DefaultPreemption::new(parse(args)?)?))
    });
    registry.enter("VolumeBinding", |args| {
        Ok(Arc::new(volumes::VolumeBinding::new(parse(args)?)))
    });
    registry.enter("VolumeZone", |_| Ok(Arc::new(volumes::VolumeZone)));
    registry.enter("VolumeRestrictions", |_| {
        Ok(Arc::new(volumes::VolumeRestrictions))
    });
    named_only::enter(&mut registry);
    registry
}

/// Reads a plugin's arguments strictly; `null` stands for the defaults.
fn parse<T: DeserializeOwned + Default>(args: &Value) -> Result<T, String> {
    match args {
        Value::Null => Ok(T::default()),
        Value::Object(fields) => {
            // The type's name may be given; that it fits the plugin was checked when the configuration was read.
            let mut fields = fields.clone();
            fields.remove("apiVersion");
            fields.remove("kind");
            serde_json::from_value(Value::Object(fields)).map_err(|cause| cause.to_string())
        }
        _ => Err("arguments must be an object".to_owned()),
    }
}

#[cfg(test)]
mod tests;
