//! Taints of nodes and what pods tolerate (core/v1 `Taint`, `Toleration`).

use serde::{Deserialize, Serialize};

/// What a taint does to pods that do not tolerate it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum TaintEffect {
    /// New pods are kept away.
    NoSchedule,
    /// New pods are kept away where it can be helped.
    PreferNoSchedule,
    /// New pods are kept away, and those that run are evicted.
    NoExecute,
}

impl TaintEffect {
    /// The API's word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoSchedule => "NoSchedule",
            Self::PreferNoSchedule => "PreferNoSchedule",
            Self::NoExecute => "NoExecute",
        }
    }
}

/// A mark on a node that keeps pods away.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Taint {
    /// The taint's key.
    pub key: Box<str>,
    /// Its value.
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub value: Box<str>,
    /// What it does.
    pub effect: TaintEffect,
    /// When it was added; set for `NoExecute` taints.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_added: Option<super::time::Time>,
}

impl Taint {
    /// Whether both are the same taint as far as the API merges them: key and effect.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.key == other.key && self.effect == other.effect
    }
}

/// What a pod tolerates.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Toleration {
    /// The key; absent with `Exists` means every key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<Box<str>>,
    /// `Equal` (also when absent), `Exists`, and `Lt` and `Gt` on integers (KEP-5471).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operator: Option<Box<str>>,
    /// The value that `Equal`, `Lt` and `Gt` compare with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<Box<str>>,
    /// The effect; absent means every effect.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effect: Option<TaintEffect>,
    /// How long a `NoExecute` taint is tolerated; absent means for ever, and below one not at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub toleration_seconds: Option<i64>,
}

impl Toleration {
    /// Whether it tolerates `taint`.
    #[must_use]
    pub fn tolerates(&self, taint: &Taint) -> bool {
        if self.effect.is_some_and(|effect| effect != taint.effect) {
            return false;
        }
        if self
            .key
            .as_deref()
            .is_some_and(|key| !key.is_empty() && *key != *taint.key)
        {
            return false;
        }
        let value = self.value.as_deref().unwrap_or_default();
        match self.operator.as_deref().unwrap_or_default() {
            "" | "Equal" => *value == *taint.value && self.key.as_deref().is_some_and(|key| !key.is_empty()),
            "Exists" => true,
            "Lt" => integers(&taint.value, value).is_some_and(|(taint, bound)| taint < bound),
            "Gt" => integers(&taint.value, value).is_some_and(|(taint, bound)| taint > bound),
            _ => false,
        }
    }
}

fn integers(one: &str, two: &str) -> Option<(i64, i64)> {
    Some((one.parse().ok()?, two.parse().ok()?))
}

/// The first taint with one of `effects` that none of `tolerations` tolerates.
pub fn untolerated<'a>(
    taints: impl IntoIterator<Item = &'a Taint>,
    tolerations: &[Toleration],
    effects: &[TaintEffect],
) -> Option<&'a Taint> {
    taints
        .into_iter()
        .filter(|taint| effects.contains(&taint.effect))
        .find(|taint| !tolerations.iter().any(|toleration| toleration.tolerates(taint)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_tolerates_what() {
        let taint: Taint = serde_json::from_str(r#"{"key":"k","value":"5","effect":"NoSchedule"}"#).unwrap();
        for (toleration, want) in [
            (r#"{"key":"k","operator":"Exists"}"#, true),
            (r#"{"operator":"Exists"}"#, true),
            (r#"{"key":"k","value":"5"}"#, true),
            (r#"{"key":"k","operator":"Equal","value":"6"}"#, false),
            (r#"{"key":"other","operator":"Exists"}"#, false),
            (r#"{"key":"k","operator":"Exists","effect":"NoExecute"}"#, false),
            (r#"{"key":"k","operator":"Exists","effect":"NoSchedule"}"#, true),
            (r#"{"key":"k","operator":"Gt","value":"4"}"#, true),
            (r#"{"key":"k","operator":"Lt","value":"4"}"#, false),
            (r#"{"key":"k","operator":"Lt","value":"x"}"#, false),
            (r#"{}"#, false),
        ] {
            let toleration: Toleration = serde_json::from_str(toleration).unwrap();
            assert_eq!(toleration.tolerates(&taint), want, "{toleration:?}");
        }
    }

    #[test]
    fn only_the_asked_effects_count() {
        let taints: Vec<Taint> = serde_json::from_str(
            r#"[{"key":"a","effect":"PreferNoSchedule"},{"key":"b","effect":"NoExecute"}]"#,
        )
        .unwrap();
        let found = untolerated(&taints, &[], &[TaintEffect::NoSchedule, TaintEffect::NoExecute]);
        assert_eq!(found.map(|taint| &*taint.key), Some("b"));
    }
}
