//! Feature gates: `--feature-gates=Name=true,Other=false` and the same map in a configuration file.

use std::collections::BTreeMap;

/// Gates as they were set, over the defaults of upstream's release.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gates {
    set: BTreeMap<String, bool>,
}

/// A gate that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid feature gate {0:?}: write it like Name=true")]
pub struct InvalidGate(pub String);

impl Gates {
    /// Reads `Name=true` items, as the flag has them.
    ///
    /// # Errors
    /// An item is not of that form.
    pub fn parse<'a>(items: impl IntoIterator<Item = &'a str>) -> Result<Self, InvalidGate> {
        let mut set = BTreeMap::new();
        for item in items.into_iter().map(str::trim).filter(|item| !item.is_empty()) {
            let (name, value) = item.split_once('=').ok_or_else(|| InvalidGate(item.to_owned()))?;
            let value = super::flags::boolean(value).ok_or_else(|| InvalidGate(item.to_owned()))?;
            set.insert(name.trim().to_owned(), value);
        }
        Ok(Self { set })
    }

    /// Gates of a configuration file's map.
    #[must_use]
    pub fn from_map(set: BTreeMap<String, bool>) -> Self {
        Self { set }
    }

    /// Lays `over` over these.
    #[must_use]
    pub fn with(mut self, over: Self) -> Self {
        self.set.extend(over.set);
        self
    }

    /// Whether the gate is on, with upstream's `default` where it was not set.
    #[must_use]
    pub fn enabled(&self, name: &str, default: bool) -> bool {
        self.set.get(name).copied().unwrap_or(default)
    }

    /// Those that were set but that this component does not ask for: each deserves a warning.
    pub fn unused<'a>(&'a self, known: &'a [&str]) -> impl Iterator<Item = &'a str> {
        self.set
            .keys()
            .map(String::as_str)
            .filter(|name| !known.contains(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn set_gates_win_over_defaults() {
        let gates = Gates::parse(["A=true", "B=false"]).unwrap();
        assert!(gates.enabled("A", false) && !gates.enabled("B", true) && gates.enabled("C", true));
        assert_eq!(gates.unused(&["A"]).collect::<Vec<_>>(), ["B"]);
        assert_eq!(Gates::parse(["A"]), Err(InvalidGate("A".into())));
    }
}
