//! Plugins that configuration may name and that have nothing to do for the pods that this scheduler takes so far.

use std::sync::Arc;

use crate::framework::Plugin;
use crate::framework::registry::Registry;

/// A plugin that takes part at no point.
struct NamedOnly(&'static str);

impl Plugin for NamedOnly {
    fn name(&self) -> &'static str {
        self.0
    }
}

/// What the default profile names beside the plugins that have a file of their own.
const NAMES: [&str; 4] = [
    "NodeVolumeLimits",
    "NodeDeclaredFeatures",
    "DynamicResources",
    "GangScheduling",
];

pub fn enter(registry: &mut Registry) {
    for name in NAMES {
        registry.enter(name, move |_| Ok(Arc::new(NamedOnly(name))));
    }
}
