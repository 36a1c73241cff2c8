//! InterPodAffinity: pods that want to be, or not to be, near others.
//!
//! ```text
//! the pod's own terms           -> counts of the pods that they pick, by domain
//! terms that other pods carry   -> counts of their carriers, by domain       -> filter and score
//! ```

mod filter;
mod hints;
mod memo;
mod score;

use serde::Deserialize;

use crate::framework::Plugin;
use crate::framework::plugin::{EnqueueExtensions, FilterPlugin, PreFilterPlugin, PreScore, ScorePlugin};

/// `InterPodAffinityArgs`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Args {
    hard_pod_affinity_weight: i64,
    ignore_preferred_terms_of_existing_pods: bool,
}

impl Default for Args {
    fn default() -> Self {
        Self {
            hard_pod_affinity_weight: 1,
            ignore_preferred_terms_of_existing_pods: false,
        }
    }
}

pub struct InterPodAffinity {
    args: Args,
}

impl InterPodAffinity {
    pub fn new(args: Args) -> Result<Self, String> {
        if !(0..=100).contains(&args.hard_pod_affinity_weight) {
            return Err(format!(
                "hardPodAffinityWeight {} is not in 0 to 100",
                args.hard_pod_affinity_weight
            ));
        }
        Ok(Self { args })
    }
}

impl Plugin for InterPodAffinity {
    fn name(&self) -> &'static str {
        "InterPodAffinity"
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
