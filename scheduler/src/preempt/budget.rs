//! Disruption budgets: which evictions they would not allow.

use std::sync::Arc;

use machinery::arith::selector::Selector;

use crate::api::Pod;
use crate::api::workload::DisruptionBudget;
use crate::cache::Snapshot;

/// What budgets still allow.
pub struct Budgets {
    budgets: Vec<(Arc<DisruptionBudget>, Selector, i32)>,
}

impl Budgets {
    pub fn new(snapshot: &Snapshot) -> Self {
        let budgets = snapshot.disruption_budgets().filter_map(|budget| {
            // A budget that selects everything or nothing protects nothing here.
            let selector = Selector::try_from(budget.spec.selector.as_ref()?).ok()?;
            (!selector.is_everything()).then(|| (budget.clone(), selector, budget.status.disruptions_allowed))
        });
        Self {
            budgets: budgets.collect(),
        }
    }

    /// Takes the pod's eviction from the budgets that are about it; whether one of them does not allow it.
    pub fn is_violated_by(&mut self, pod: &Pod) -> bool {
        let labels = &pod.body.labels;
        if labels.is_empty() {
            return false;
        }
        for (budget, selector, allowed) in &mut self.budgets {
            let about_it = budget.metadata.namespace == *pod.namespace()
                && selector.matches(|key| labels.get(key))
                // One that the API server has already counted.
                && !budget.status.disrupted_pods.contains_key(pod.name().as_str());
            if about_it {
                *allowed -= 1;
                if *allowed < 0 {
                    return true;
                }
            }
        }
        false
    }
}
