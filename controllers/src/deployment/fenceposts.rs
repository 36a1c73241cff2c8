//! `maxSurge` and `maxUnavailable` as numbers of pods.

use crate::api::{DeploymentSpec, RollingUpdate, Strategy};
use machinery::arith::IntOrString;

/// How far a rollout may leave the wanted number of pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fenceposts {
    /// Pods above what is wanted.
    pub surge: i32,
    /// Available pods below what is wanted.
    pub unavailable: i32,
}

impl Fenceposts {
    /// Resolved for the number of replicas in the spec. Validation keeps out what does not parse; it counts as zero here.
    pub fn of(spec: &DeploymentSpec) -> Self {
        let Strategy::RollingUpdate { rolling_update } = &spec.strategy else {
            return Self {
                surge: 0,
                unavailable: 0,
            };
        };
        let RollingUpdate {
            max_surge,
            max_unavailable,
        } = rolling_update.clone().unwrap_or_default();
        let scaled = |value: Option<IntOrString>, up| {
            value
                .and_then(|value| value.scaled(spec.replicas, up).ok())
                .unwrap_or(0)
        };
        let (surge, mut unavailable) = (scaled(max_surge, true), scaled(max_unavailable, false));
        if surge == 0 && unavailable == 0 {
            // Rounding can leave no room to move: then one pod at a time may be missing, since a surge could meet a quota.
            unavailable = 1;
        }
        Self {
            surge,
            unavailable: unavailable.min(spec.replicas),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::deployment;

    #[test]
    fn percentages_round_so_that_a_rollout_can_always_move() {
        for (replicas, surge, unavailable, want) in [
            (2, "0%", "1%", (0, 1)),
            (1, "0%", "1%", (0, 1)),
            (2, "1%", "25%", (1, 0)),
            (1, "1%", "25%", (1, 0)),
            (2, "1%", "0%", (1, 0)),
            (10, "25%", "25%", (3, 2)),
            (0, "25%", "25%", (0, 0)),
            (4, "100%", "100%", (4, 4)),
        ] {
            let mut spec = deployment("d", replicas).spec;
            spec.strategy = Strategy::RollingUpdate {
                rolling_update: Some(RollingUpdate {
                    max_surge: Some(surge.into()),
                    max_unavailable: Some(unavailable.into()),
                }),
            };
            let got = Fenceposts::of(&spec);
            assert_eq!(
                (got.surge, got.unavailable),
                want,
                "{replicas} {surge} {unavailable}"
            );
        }
    }
}
