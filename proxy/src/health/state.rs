use crate::model::Family;
use jiff::Timestamp;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Whether the rules follow the cluster. A family is unwell when a change waits for longer than the timeout.
#[derive(Debug)]
pub struct Health {
    timeout: Duration,
    families: BTreeMap<&'static str, FamilyHealth>,
    node_eligible: bool,
}

#[derive(Clone, Copy, Debug)]
struct FamilyHealth {
    updated: Timestamp,
    oldest_queued: Option<Timestamp>,
}

/// The state, shared between the sync task and the servers.
pub type Shared = Arc<Mutex<Health>>;

/// The document of `/healthz` and `/livez`, with upstream's field order.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    pub last_updated: String,
    pub current_time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_eligible: Option<bool>,
    pub healthy: bool,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub status: BTreeMap<&'static str, FamilyReport>,
}

#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FamilyReport {
    pub last_updated: String,
    pub healthy: bool,
}

/// Go's zero time.
const NEVER: &str = "0001-01-01T00:00:00Z";

impl Health {
    pub fn new(timeout: Duration) -> Self {
        Self {
            timeout,
            families: BTreeMap::new(),
            node_eligible: false,
        }
    }

    /// The kernel has what the cluster asks for.
    pub fn updated(&mut self, family: Family, now: Timestamp) {
        self.families.insert(
            family.as_str(),
            FamilyHealth {
                updated: now,
                oldest_queued: None,
            },
        );
    }

    /// A change waits to be brought to the kernel.
    pub fn queued(&mut self, family: Family, now: Timestamp) {
        if let Some(health) = self.families.get_mut(family.as_str()) {
            health.oldest_queued.get_or_insert(now);
        }
    }

    /// The node exists and is not about to be removed.
    pub fn set_node_eligible(&mut self, eligible: bool) {
        self.node_eligible = eligible;
    }

    /// The proxy itself is well, whatever the node is.
    pub fn is_healthy(&self, now: Timestamp) -> bool {
        self.families.values().all(|family| self.is_well(family, now))
    }

    /// The document of `/healthz` (`of_node`) or `/livez`, and whether it says that all is well.
    pub fn report(&self, of_node: bool, now: Timestamp) -> (bool, Report) {
        let status: BTreeMap<_, _> = self
            .families
            .iter()
            .map(|(family, health)| {
                let healthy = self.is_well(health, now);
                (
                    *family,
                    FamilyReport {
                        last_updated: health.updated.to_string(),
                        healthy,
                    },
                )
            })
            .collect();
        let healthy = self.is_healthy(now);
        let well = healthy && (!of_node || self.node_eligible);
        // While all is well, upstream gives the current time, for tools that watch it grow old.
        let last = self.families.values().map(|f| f.updated).max();
        let last_updated = if well {
            now.to_string()
        } else {
            last.map_or_else(|| NEVER.into(), |t| t.to_string())
        };
        let report = Report {
            last_updated,
            current_time: now.to_string(),
            node_eligible: of_node.then_some(self.node_eligible),
            healthy,
            status,
        };
        (well, report)
    }

    fn is_well(&self, family: &FamilyHealth, now: Timestamp) -> bool {
        family.oldest_queued.is_none_or(|queued| {
            let waited = Duration::try_from(now.duration_since(queued)).unwrap_or_default();
            waited < self.timeout
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + seconds).unwrap()
    }

    #[test]
    fn a_change_that_waits_too_long_is_told() {
        let mut health = Health::new(Duration::from_secs(60));
        health.updated(Family::Ipv4, at(0));
        health.updated(Family::Ipv6, at(1));
        health.set_node_eligible(true);
        health.queued(Family::Ipv4, at(10));
        health.queued(Family::Ipv4, at(60));
        assert!(health.report(true, at(69)).0);
        let (well, report) = health.report(true, at(70));
        assert!(!well);
        assert_eq!(
            serde_json::to_string(&report).unwrap(),
            r#"{"lastUpdated":"2023-11-14T22:13:21Z","currentTime":"2023-11-14T22:14:30Z","nodeEligible":true,"healthy":false,"status":{"IPv4":{"lastUpdated":"2023-11-14T22:13:20Z","healthy":false},"IPv6":{"lastUpdated":"2023-11-14T22:13:21Z","healthy":true}}}"#
        );
        health.updated(Family::Ipv4, at(71));
        assert!(health.report(true, at(71)).0);
    }

    #[test]
    fn a_node_on_its_way_out_is_live_but_not_healthy() {
        let mut health = Health::new(Duration::from_secs(60));
        health.updated(Family::Ipv4, at(0));
        assert!(!health.report(true, at(5)).0);
        let (live, report) = health.report(false, at(5));
        assert!(live);
        assert_eq!(report.node_eligible, None);
        assert_eq!(report.last_updated, at(5).to_string());
    }
}
