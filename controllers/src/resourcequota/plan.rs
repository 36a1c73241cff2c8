//! The status of a quota, given what its namespace holds.

use super::measure::{Kind, kind_of};
use crate::api::{Amounts, ResourceQuota, ResourceQuotaStatus};
use std::collections::BTreeMap;

/// The kinds that the quota limits, with the names of the limits on each.
pub fn kinds(quota: &ResourceQuota) -> BTreeMap<Kind, Vec<&str>> {
    let mut kinds: BTreeMap<Kind, Vec<&str>> = BTreeMap::new();
    for limit in quota.spec.hard.keys() {
        if let Some(kind) = kind_of(limit) {
            kinds.entry(kind).or_default().push(limit);
        }
    }
    kinds
}

/// Sums of what is limited, zero where nothing was found.
pub fn total(limits: &[&str], costs: impl IntoIterator<Item = Amounts>) -> Amounts {
    let mut sums: Amounts = limits
        .iter()
        .map(|limit| ((*limit).into(), Default::default()))
        .collect();
    for cost in costs {
        for (name, amount) in cost {
            if let Some(sum) = sums.get_mut(&name) {
                *sum += amount;
            }
        }
    }
    sums
}

/// Why a quota is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Something has gone, or the quota is new: the count is the truth.
    Went,
    /// Something has come. The API server charges before it stores, so what it has charged and we do not see may be on its way: the
    /// count only shows what it failed to charge (since it did not heed a new quota yet).
    Came,
}

/// The status with these amounts; what could not be counted now stays as it was. None if nothing changes.
pub fn status(quota: &ResourceQuota, counted: Amounts, why: Why) -> Option<ResourceQuotaStatus> {
    let hard = quota.spec.hard.clone();
    let mut used = quota.status.used.clone().unwrap_or_default();
    for (name, amount) in counted {
        let held = used.entry(name).or_insert(amount);
        if why == Why::Went || *held < amount {
            *held = amount;
        }
    }
    used.retain(|name, _| hard.contains_key(name));
    let wanted = ResourceQuotaStatus {
        hard: Some(hard),
        used: Some(used),
    };
    (wanted != quota.status).then_some(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn quota(hard: Value, status: Value) -> ResourceQuota {
        let mut object = json!({ "spec": {} });
        object["spec"]["hard"] = hard;
        object["status"] = status;
        serde_json::from_str(&object.to_string()).unwrap()
    }

    fn amounts(json: Value) -> Amounts {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn limits_are_counted_by_kind() {
        let quota = quota(
            json!({ "pods": 5, "requests.cpu": 1, "secrets": 3, "unknown": 1 }),
            json!({}),
        );
        let kinds = kinds(&quota);
        assert_eq!(kinds[&Kind::new("", "pods")], ["pods", "requests.cpu"]);
        assert_eq!(kinds[&Kind::new("", "secrets")], ["secrets"]);
        assert_eq!(kinds.len(), 2);
        let costs = [
            amounts(json!({ "pods": 1, "cpu": 9 })),
            amounts(json!({ "pods": 1, "requests.cpu": "250m" })),
        ];
        assert_eq!(
            total(&["pods", "requests.cpu", "limits.cpu"], costs),
            amounts(json!({ "pods": 2, "requests.cpu": "250m", "limits.cpu": 0 }))
        );
    }

    #[test]
    fn the_status_is_written_when_it_changes() {
        let hard = json!({ "pods": 5, "unknown": 1 });
        let fresh = status(
            &quota(hard.clone(), json!({})),
            amounts(json!({ "pods": 2 })),
            Why::Went,
        )
        .unwrap();
        assert_eq!(fresh.hard, Some(amounts(hard.clone())));
        assert_eq!(fresh.used, Some(amounts(json!({ "pods": 2 }))));
        let same = json!({ "hard": { "pods": "5", "unknown": "1" }, "used": { "pods": "2" } });
        assert_eq!(
            status(
                &quota(hard.clone(), same),
                amounts(json!({ "pods": 2 })),
                Why::Went
            ),
            None
        );
        let kept = status(
            &quota(
                json!({ "pods": 6 }),
                json!({ "hard": hard, "used": { "pods": 2, "gone": 1 } }),
            ),
            Amounts::new(),
            Why::Went,
        )
        .unwrap();
        assert_eq!(kept.used, Some(amounts(json!({ "pods": 2 }))));
    }
    #[test]
    fn what_comes_only_raises_the_count() {
        let held = json!({ "hard": { "pods": 5, "secrets": 5 }, "used": { "pods": 3, "secrets": 1 } });
        let quota = quota(json!({ "pods": 5, "secrets": 5 }), held);
        let seen = amounts(json!({ "pods": 2, "secrets": 2 }));
        let raised = status(&quota, seen.clone(), Why::Came).unwrap();
        assert_eq!(raised.used, Some(amounts(json!({ "pods": 3, "secrets": 2 }))));
        let exact = status(&quota, seen.clone(), Why::Went).unwrap();
        assert_eq!(exact.used, Some(seen));
    }
}
