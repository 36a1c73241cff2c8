//! The plugins that configuration can enable, by name.

use serde_json::Value;

use super::profile::PluginRef;

/// Makes a plugin of its arguments, which are `null` where the configuration has none.
pub type Factory = Box<dyn Fn(&Value) -> Result<PluginRef, String> + Send + Sync>;

/// Plugins by name, in the order in which they were entered.
#[derive(Default)]
pub struct Registry {
    factories: Vec<(&'static str, Factory)>,
}

impl Registry {
    /// Enters a plugin, in place of an older one of the same name.
    pub fn enter(
        &mut self,
        name: &'static str,
        factory: impl Fn(&Value) -> Result<PluginRef, String> + Send + Sync + 'static,
    ) {
        self.factories.retain(|(held, _)| *held != name);
        self.factories.push((name, Box::new(factory)));
    }

    /// Makes a plugin; `None` when the name is unknown.
    pub fn make(&self, name: &str, args: &Value) -> Option<Result<PluginRef, String>> {
        self.factories
            .iter()
            .find(|(held, _)| *held == name)
            .map(|(_, factory)| factory(args))
    }

    pub fn names(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.factories.iter().map(|(name, _)| *name)
    }
}
