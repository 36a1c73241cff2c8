//! NodeResourcesBalancedAllocation: prefers nodes whose resources get used evenly.

use serde::Deserialize;

use super::resource_columns::{Missing, ResourceSpec, Share, default_resources, for_each_row, request};
use crate::cache::{RowId, RowSet, Snapshot};
use crate::framework::plugin::{PreScore, Reach, ScorePlugin};
use crate::framework::{CycleState, MAX_SCORE, Plugin, PodView, Status};

/// `NodeResourcesBalancedAllocationArgs`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Args {
    resources: Vec<ResourceSpec>,
}

pub struct BalancedAllocation {
    resources: Vec<ResourceSpec>,
}

impl BalancedAllocation {
    pub fn new(args: Args) -> Self {
        Self {
            resources: if args.resources.is_empty() {
                default_resources()
            } else {
                args.resources
            },
        }
    }
}

impl Plugin for BalancedAllocation {
    fn name(&self) -> &'static str {
        "NodeResourcesBalancedAllocation"
    }
    fn as_pre_score(&self) -> Option<&dyn PreScore> {
        Some(self)
    }
    fn as_score(&self) -> Option<&dyn ScorePlugin> {
        Some(self)
    }
}

impl PreScore for BalancedAllocation {
    fn pre_score(
        &self,
        view: &PodView<'_>,
        _: &mut Snapshot,
        _: &mut CycleState,
        _: &RowSet,
    ) -> Result<bool, Status> {
        // Pods that ask for nothing would all go to the same node.
        let asks = |resource: &ResourceSpec| request(&view.shape.body, &resource.name, Missing::Nothing) != 0;
        Ok(self.resources.iter().any(asks))
    }
}

impl ScorePlugin for BalancedAllocation {
    fn reach(&self, _: &PodView<'_>, _: &Snapshot) -> Reach {
        Reach::Row { epoch: 0 }
    }

    fn score(
        &self,
        view: &PodView<'_>,
        snapshot: &Snapshot,
        _: &CycleState,
        rows: &[RowId],
        scores: &mut [i64],
    ) {
        let body = &view.shape.body;
        for_each_row(
            &self.resources,
            body,
            Missing::Nothing,
            snapshot,
            rows,
            scores,
            |shares| {
                let with = balance(shares, |share| share.wanted);
                let without = balance(shares, |share| share.used);
                MAX_SCORE / 2 + (MAX_SCORE / 2 + with - without) / 2
            },
        );
    }
}

/// 100 less the standard deviation of the used fractions, in percent.
fn balance(shares: &[Share], used: impl Fn(&Share) -> i64) -> i64 {
    let present = shares.iter().filter(|share| share.allocatable != 0);
    let fraction = |share: &Share| (used(share) as f64 / share.allocatable as f64).min(1.0);
    let (mut count, mut sum, mut first, mut last) = (0usize, 0.0, 0.0, 0.0);
    for share in present.clone() {
        last = fraction(share);
        if count == 0 {
            first = last;
        }
        sum += last;
        count += 1;
    }
    let deviation = match count {
        0 | 1 => 0.0,
        2 => ((first - last) / 2.0).abs(),
        _ => {
            let mean = sum / count as f64;
            let squares: f64 = present
                .map(|share| (fraction(share) - mean) * (fraction(share) - mean))
                .sum();
            (squares / count as f64).sqrt()
        }
    };
    ((1.0 - deviation) * MAX_SCORE as f64) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_balance_is_what_deviates_from_the_mean() {
        let share = |allocatable, wanted| Share {
            allocatable,
            used: 0,
            wanted,
        };
        for (shares, want) in [
            (vec![share(100, 50), share(200, 100)], 100),
            (vec![share(100, 100), share(200, 0)], 50),
            (vec![share(100, 300), share(200, 0)], 50),
            (vec![share(100, 30), share(0, 0)], 100),
            (vec![share(100, 0), share(100, 50), share(100, 100)], 59),
        ] {
            assert_eq!(balance(&shares, |share| share.wanted), want, "{shares:?}");
        }
    }
}
