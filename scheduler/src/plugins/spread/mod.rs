//! PodTopologySpread: keeps the pods that a constraint is about even between topology domains.
//!
//! ```text
//! constraints (the pod's, or defaults deduced from its Services and controller)
//!   -> counts by domain, kept by the snapshot -> filter: skew against the least domain; score: fewer is better
//! ```

mod constraint;
mod filter;
mod hints;
mod score;

use machinery::meta::Istr;
use serde::Deserialize;

use crate::api::pod::SpreadConstraint;
use crate::framework::Plugin;
use crate::framework::plugin::{EnqueueExtensions, FilterPlugin, PreFilterPlugin, PreScore, ScorePlugin};
use crate::plugins::labels::{HOSTNAME, ZONE};

const DO_NOT_SCHEDULE: &str = "DoNotSchedule";
const SCHEDULE_ANYWAY: &str = "ScheduleAnyway";

/// `PodTopologySpreadArgs`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Args {
    default_constraints: Vec<SpreadConstraint>,
    defaulting_type: Option<Istr>,
}

pub struct PodTopologySpread {
    defaults: Vec<SpreadConstraint>,
    /// Whether the defaults are Kubernetes' own: then nodes without a zone are still spread over by name.
    system_defaults: bool,
}

impl PodTopologySpread {
    pub fn new(args: Args) -> Result<Self, String> {
        let system = match args.defaulting_type.as_deref() {
            None | Some("" | "System") => true,
            Some("List") => false,
            Some(other) => {
                return Err(format!(
                    "defaultingType {other:?} is neither \"System\" nor \"List\""
                ));
            }
        };
        if system && !args.default_constraints.is_empty() {
            return Err("defaultConstraints must be empty when defaultingType is System".to_owned());
        }
        for constraint in &args.default_constraints {
            if constraint.label_selector.is_some() {
                return Err("defaultConstraints: labelSelector must not be set, it is deduced".to_owned());
            }
            if constraint.max_skew <= 0 || constraint.topology_key.is_empty() {
                return Err("defaultConstraints: maxSkew must be above zero and topologyKey set".to_owned());
            }
            if ![DO_NOT_SCHEDULE, SCHEDULE_ANYWAY].contains(&constraint.when_unsatisfiable.as_str()) {
                let given = &constraint.when_unsatisfiable;
                return Err(format!(
                    "defaultConstraints: whenUnsatisfiable {given:?} is not supported"
                ));
            }
        }
        let default = |key: &str, max_skew| SpreadConstraint {
            max_skew,
            topology_key: key.into(),
            when_unsatisfiable: SCHEDULE_ANYWAY.into(),
            ..SpreadConstraint::default()
        };
        let defaults = if system {
            vec![default(HOSTNAME, 3), default(ZONE, 5)]
        } else {
            args.default_constraints
        };
        Ok(Self {
            defaults,
            system_defaults: system,
        })
    }
}

impl Plugin for PodTopologySpread {
    fn name(&self) -> &'static str {
        "PodTopologySpread"
    }
    fn as_pre_filter(&self) -> Option<&dyn PreFilterPlugin> {
        Some(self)
    }
    fn as_filter(&self) -> Option<&dyn FilterPlugin> {
        Some(self)
    }
    fn as_pre_score(&self) -> Option<&dyn PreScore> {
        Some(self)
    }
    fn as_score(&self) -> Option<&dyn ScorePlugin> {
        Some(self)
    }
    fn as_enqueue_extensions(&self) -> Option<&dyn EnqueueExtensions> {
        Some(self)
    }
}

#[cfg(test)]
mod tests;
