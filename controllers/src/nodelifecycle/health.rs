//! Whether a node is still heard of. All times are when *we* saw a change: clocks of nodes may be wrong.

use crate::api::{ConditionStatus, Lease, Node, NodeCondition};
use machinery::meta::{MicroTime, Time};
use std::time::{Duration, Instant};

/// The conditions that only the kubelet keeps (`NetworkUnavailable` is the network's).
const KEPT_BY_KUBELET: [&str; 4] = ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"];

/// What was last heard of a node.
#[derive(Debug, Clone)]
pub struct Heard {
    /// When either of these changed.
    at: Instant,
    heartbeat: Option<Option<Time>>,
    renewed: Option<MicroTime>,
}

/// How long silence is put up with.
#[derive(Debug, Clone, Copy)]
pub struct Grace {
    pub running: Duration,
    /// Of a node that has never said anything.
    pub starting: Duration,
}

fn heartbeat(node: &Node) -> Option<Option<Time>> {
    node.condition("Ready").map(|ready| ready.last_heartbeat_time)
}

impl Heard {
    /// A node is seen for the first time, `age` after it was created.
    pub fn first(node: &Node, lease: Option<&Lease>, age: Duration, now: Instant) -> Self {
        let heartbeat = heartbeat(node);
        let renewed = lease.and_then(|lease| lease.spec.renew_time);
        // One that has said nothing at all has been silent since its creation.
        let silent = if heartbeat.is_none() && renewed.is_none() {
            age
        } else {
            Duration::ZERO
        };
        Self {
            at: now.checked_sub(silent).unwrap_or(now),
            heartbeat,
            renewed,
        }
    }

    /// The node changed.
    pub fn node(&mut self, node: &Node, now: Instant) {
        let heartbeat = heartbeat(node);
        if self.heartbeat != heartbeat {
            self.heartbeat = heartbeat;
            self.at = now;
        }
    }

    /// The node's lease changed.
    pub fn lease(&mut self, lease: &Lease, now: Instant) {
        if lease.spec.renew_time > self.renewed {
            self.renewed = lease.spec.renew_time;
            self.at = now;
        }
    }

    /// Starts the clock anew: it was us who could not hear.
    pub fn excuse(&mut self, now: Instant) {
        self.at = now;
    }

    /// How much longer the node may be silent; `None` when its time is over.
    pub fn left(&self, node: &Node, grace: Grace, now: Instant) -> Option<Duration> {
        let grace = if node.condition("Ready").is_some() {
            grace.running
        } else {
            grace.starting
        };
        let left = grace.saturating_sub(now.saturating_duration_since(self.at));
        (!left.is_zero()).then_some(left)
    }
}

/// The conditions to write about a node that is silent, if `Ready` does not say so already.
pub fn unknown(node: &Node, now: Time) -> Option<Vec<NodeCondition>> {
    if node
        .condition("Ready")
        .is_some_and(|ready| ready.status == ConditionStatus::Unknown)
    {
        return None;
    }
    let condition = |kind: &str| match node.condition(kind) {
        None => Some(NodeCondition {
            kind: kind.into(),
            status: ConditionStatus::Unknown,
            last_heartbeat_time: node.metadata.creation_timestamp,
            last_transition_time: Some(now),
            reason: "NodeStatusNeverUpdated".into(),
            message: "Kubelet never posted node status.".into(),
        }),
        Some(held) if held.status == ConditionStatus::Unknown => None,
        Some(held) => Some(NodeCondition {
            status: ConditionStatus::Unknown,
            last_transition_time: Some(now),
            reason: "NodeStatusUnknown".into(),
            message: "Kubelet stopped posting node status.".into(),
            ..held.clone()
        }),
    };
    Some(KEPT_BY_KUBELET.into_iter().filter_map(condition).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::node;
    use serde_json::json;

    const GRACE: Grace = Grace {
        running: Duration::from_secs(50),
        starting: Duration::from_secs(60),
    };

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn lease(renewed: &str) -> Lease {
        serde_json::from_value(json!({ "metadata": { "name": "n" }, "spec": { "renewTime": renewed } }))
            .unwrap()
    }

    #[test]
    fn a_node_is_silent_once_neither_status_nor_lease_change() {
        let start = Instant::now() + secs(10_000);
        let beat = |time: &str| {
            node("n")
                .with(
                    "/status/conditions",
                    json!([{ "type": "Ready", "status": "True", "lastHeartbeatTime": time }]),
                )
                .build()
        };
        let first = beat("2026-01-01T00:00:00Z");
        let mut heard = Heard::first(&first, None, secs(5000), start);
        assert_eq!(
            heard.left(&first, GRACE, start),
            Some(secs(50)),
            "its clock starts when we see it first"
        );
        heard.node(&first, start + secs(20));
        assert_eq!(
            heard.left(&first, GRACE, start + secs(20)),
            Some(secs(30)),
            "the same heartbeat again is none"
        );
        // A clock that is far behind ours does not matter.
        heard.node(&beat("2020-01-01T00:00:00Z"), start + secs(20));
        assert_eq!(heard.left(&first, GRACE, start + secs(20)), Some(secs(50)));
        heard.lease(&lease("2026-01-01T00:00:00.000001Z"), start + secs(30));
        heard.lease(&lease("2026-01-01T00:00:00.000001Z"), start + secs(60));
        assert_eq!(heard.left(&first, GRACE, start + secs(79)), Some(secs(1)));
        assert_eq!(heard.left(&first, GRACE, start + secs(80)), None);
        heard.excuse(start + secs(80));
        assert_eq!(heard.left(&first, GRACE, start + secs(81)), Some(secs(49)));
    }

    #[test]
    fn a_node_that_never_spoke_has_longer() {
        let start = Instant::now() + secs(10_000);
        let silent = node("n").build();
        let heard = Heard::first(&silent, None, secs(20), start);
        assert_eq!(heard.left(&silent, GRACE, start), Some(secs(40)));
        let renews = Heard::first(
            &silent,
            Some(&lease("2026-01-01T00:00:00.000001Z")),
            secs(20),
            start,
        );
        assert_eq!(renews.left(&silent, GRACE, start), Some(secs(60)));
    }

    #[test]
    fn silent_nodes_get_unknown_conditions() {
        let now: Time = serde_json::from_value(json!("2026-01-01T01:00:00Z")).unwrap();
        let said = |conditions: serde_json::Value| {
            let node = node("n").with("/status/conditions", conditions).build();
            unknown(&node, now).map(|conditions| {
                conditions
                    .iter()
                    .map(|c| format!("{} {}", c.kind, c.reason))
                    .collect::<Vec<_>>()
            })
        };
        assert_eq!(
            said(
                json!([{ "type": "Ready", "status": "True" }, { "type": "MemoryPressure", "status": "False" },
                        { "type": "DiskPressure", "status": "Unknown" }, { "type": "NetworkUnavailable", "status": "False" }])
            ),
            Some(vec![
                "Ready NodeStatusUnknown".into(),
                "MemoryPressure NodeStatusUnknown".into(),
                "PIDPressure NodeStatusNeverUpdated".into()
            ])
        );
        assert_eq!(said(json!([])).map(|said| said.len()), Some(4));
        assert_eq!(said(json!([{ "type": "Ready", "status": "Unknown" }])), None);
    }
}
