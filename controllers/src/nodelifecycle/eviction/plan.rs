//! How long a pod may stay.

use machinery::arith::{Taint, TaintEffect, Toleration};
use std::time::Duration;

/// What becomes of a pod on a node with certain taints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Stay,
    LeaveAfter(Duration),
    LeaveNow,
}

/// Decides about a pod. Of the tolerations that match, the first for each taint counts, and the shortest of these.
pub fn verdict(taints: &[Taint], tolerations: &[Toleration]) -> Verdict {
    let mut shortest: Option<u64> = None;
    for taint in taints
        .iter()
        .filter(|taint| taint.effect == TaintEffect::NoExecute)
    {
        let Some(toleration) = tolerations.iter().find(|toleration| toleration.tolerates(taint)) else {
            return Verdict::LeaveNow;
        };
        let seconds = toleration
            .toleration_seconds
            .map(|seconds| u64::try_from(seconds).unwrap_or(0));
        shortest = [shortest, seconds].into_iter().flatten().min();
    }
    match shortest {
        None => Verdict::Stay,
        Some(0) => Verdict::LeaveNow,
        Some(seconds) => Verdict::LeaveAfter(Duration::from_secs(seconds)),
    }
}

/// Whether the node has a taint that makes pods leave.
pub fn evicts(taints: &[Taint]) -> bool {
    taints.iter().any(|taint| taint.effect == TaintEffect::NoExecute)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn pods_stay_as_long_as_they_tolerate_all_taints() {
        let exec = |key: &str| json!({ "key": key, "effect": "NoExecute" });
        let for_seconds = |key: &str, seconds: i64| json!({ "key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds });
        let after = |seconds| Verdict::LeaveAfter(Duration::from_secs(seconds));
        for (what, taints, tolerations, want) in [
            ("no taints", json!([]), json!([]), Verdict::Stay),
            (
                "a taint that only keeps new pods away",
                json!([{ "key": "a", "effect": "NoSchedule" }]),
                json!([]),
                Verdict::Stay,
            ),
            ("not tolerated", json!([exec("a")]), json!([]), Verdict::LeaveNow),
            (
                "tolerated for ever",
                json!([exec("a")]),
                json!([{ "operator": "Exists" }]),
                Verdict::Stay,
            ),
            (
                "tolerated for a while",
                json!([exec("a")]),
                json!([for_seconds("a", 300)]),
                after(300),
            ),
            (
                "one of two not tolerated",
                json!([exec("a"), exec("b")]),
                json!([for_seconds("a", 300)]),
                Verdict::LeaveNow,
            ),
            (
                "the shortest counts",
                json!([exec("a"), exec("b")]),
                json!([for_seconds("a", 300), for_seconds("b", 5)]),
                after(5),
            ),
            (
                "the first match counts",
                json!([exec("a")]),
                json!([for_seconds("a", 300), for_seconds("a", 5)]),
                after(300),
            ),
            (
                "one for ever, one for a while",
                json!([exec("a"), exec("b")]),
                json!([{ "key": "a", "operator": "Exists" }, for_seconds("b", 5)]),
                after(5),
            ),
            (
                "not at all",
                json!([exec("a")]),
                json!([for_seconds("a", 0)]),
                Verdict::LeaveNow,
            ),
            (
                "less than not at all",
                json!([exec("a")]),
                json!([for_seconds("a", -1)]),
                Verdict::LeaveNow,
            ),
        ] {
            let parse = |value: Value| serde_json::to_string(&value).unwrap();
            let taints: Vec<Taint> = serde_json::from_str(&parse(taints)).unwrap();
            let tolerations: Vec<Toleration> = serde_json::from_str(&parse(tolerations)).unwrap();
            assert_eq!(verdict(&taints, &tolerations), want, "{what}");
        }
    }
}
