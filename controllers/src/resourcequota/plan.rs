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

/// The status with these amounts; what could not be counted now stays as it was. None if nothing changes.
pub fn status(quota: &ResourceQuota, counted: Amounts) -> Option<ResourceQuotaStatus> {
    let hard = quota.spec.hard.clone();
    let mut used = quota.status.used.clone().unwrap_or_default();
    used.extend(counted);
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
        let fresh = status(&quota(hard.clone(), json!({})), amounts(json!({ "pods": 2 }))).unwrap();
        assert_eq!(fresh.hard, Some(amounts(hard.clone())));
        assert_eq!(fresh.used, Some(amounts(json!({ "pods": 2 }))));
        let same = json!({ "hard": { "pods": "5", "unknown": "1" }, "used": { "pods": "2" } });
        assert_eq!(
            status(&quota(hard.clone(), same), amounts(json!({ "pods": 2 }))),
            None
        );
        let kept = status(
            &quota(
                json!({ "pods": 6 }),
                json!({ "hard": hard, "used": { "pods": 2, "gone": 1 } }),
            ),
            Amounts::new(),
        )
        .unwrap();
        assert_eq!(kept.used, Some(amounts(json!({ "pods": 2 }))));
    }
}
