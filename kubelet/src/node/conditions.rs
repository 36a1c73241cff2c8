//! The node's conditions: from what presses on the node and what is wrong with its runtime.

use k8s_openapi::api::core::v1::NodeCondition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

/// What the eviction observer sees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pressure {
    pub memory: bool,
    pub disk: bool,
    pub pids: bool,
}

/// An event on the node that a change of a condition calls for; the message is `Node NAME status is now: REASON`.
pub type NodeEvent = &'static str;

struct Kind {
    name: &'static str,
    /// (reason, message, event) under pressure, and without.
    pressed: (&'static str, &'static str, NodeEvent),
    free: (&'static str, &'static str, NodeEvent),
}

const MEMORY: Kind = Kind {
    name: "MemoryPressure",
    pressed: (
        "KubeletHasInsufficientMemory",
        "kubelet has insufficient memory available",
        "NodeHasInsufficientMemory",
    ),
    free: (
        "KubeletHasSufficientMemory",
        "kubelet has sufficient memory available",
        "NodeHasSufficientMemory",
    ),
};
const DISK: Kind = Kind {
    name: "DiskPressure",
    pressed: (
        "KubeletHasDiskPressure",
        "kubelet has disk pressure",
        "NodeHasDiskPressure",
    ),
    free: (
        "KubeletHasNoDiskPressure",
        "kubelet has no disk pressure",
        "NodeHasNoDiskPressure",
    ),
};
const PIDS: Kind = Kind {
    name: "PIDPressure",
    pressed: (
        "KubeletHasInsufficientPID",
        "kubelet has insufficient PID available",
        "NodeHasInsufficientPID",
    ),
    free: (
        "KubeletHasSufficientPID",
        "kubelet has sufficient PID available",
        "NodeHasSufficientPID",
    ),
};

/// Brings `conditions` up to date in place; conditions of others stay. Returns the events this calls for.
///
/// `Ready` comes last of ours, as readers of old depend on it. `problems` are the reasons the node is not ready.
pub fn update(
    conditions: &mut Vec<NodeCondition>,
    pressure: Pressure,
    problems: &[String],
    now: Timestamp,
) -> Vec<NodeEvent> {
    let mut events = Vec::new();
    for (kind, pressed) in [
        (MEMORY, pressure.memory),
        (DISK, pressure.disk),
        (PIDS, pressure.pids),
    ] {
        let (reason, message, event) = if pressed { kind.pressed } else { kind.free };
        let found = find(conditions, kind.name);
        found.last_heartbeat_time = Some(Time(now));
        // As upstream: reason and message are written only when the status turns.
        if turn(found, pressed, now) {
            found.reason = Some(reason.to_owned());
            found.message = Some(message.to_owned());
            events.push(event);
        }
    }

    let existed = conditions.iter().any(|condition| condition.type_ == "Ready");
    let ready = find(conditions, "Ready");
    ready.last_heartbeat_time = Some(Time(now));
    let turned = turn(ready, problems.is_empty(), now);
    let (reason, message, event) = if problems.is_empty() {
        (
            "KubeletReady",
            "kubelet is posting ready status".to_owned(),
            "NodeReady",
        )
    } else {
        ("KubeletNotReady", aggregate(problems), "NodeNotReady")
    };
    ready.reason = Some(reason.to_owned());
    ready.message = Some(message);
    if turned && existed {
        events.push(event);
    }
    events
}

fn find<'a>(conditions: &'a mut Vec<NodeCondition>, name: &str) -> &'a mut NodeCondition {
    let at = conditions
        .iter()
        .position(|condition| condition.type_ == name)
        .unwrap_or_else(|| {
            conditions.push(NodeCondition {
                type_: name.to_owned(),
                status: "Unknown".to_owned(),
                ..NodeCondition::default()
            });
            conditions.len() - 1
        });
    &mut conditions[at]
}

/// Sets the status; true if it differs from what was there, which also moves the transition time.
fn turn(condition: &mut NodeCondition, on: bool, now: Timestamp) -> bool {
    let status = if on { "True" } else { "False" };
    if condition.status == status {
        return false;
    }
    condition.status = status.to_owned();
    condition.last_transition_time = Some(Time(now));
    true
}

/// Several problems in one message, in the form the API's users know: `[a, b]`, or just `a`; each once.
pub fn aggregate(problems: &[String]) -> String {
    let mut distinct: Vec<&str> = Vec::with_capacity(problems.len());
    for problem in problems {
        if !distinct.contains(&problem.as_str()) {
            distinct.push(problem);
        }
    }
    match distinct.as_slice() {
        [one] => (*one).to_owned(),
        many => format!("[{}]", many.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn shown(conditions: &[NodeCondition]) -> Vec<(&str, &str, &str)> {
        conditions
            .iter()
            .map(|c| {
                (
                    c.type_.as_str(),
                    c.status.as_str(),
                    c.reason.as_deref().unwrap_or_default(),
                )
            })
            .collect()
    }

    #[test]
    fn a_new_node_gets_all_four_with_ready_last() {
        let mut conditions = vec![];
        let events = update(
            &mut conditions,
            Pressure::default(),
            &["container runtime is down".to_owned()],
            at(10),
        );
        assert_eq!(
            shown(&conditions),
            [
                ("MemoryPressure", "False", "KubeletHasSufficientMemory"),
                ("DiskPressure", "False", "KubeletHasNoDiskPressure"),
                ("PIDPressure", "False", "KubeletHasSufficientPID"),
                ("Ready", "False", "KubeletNotReady"),
            ]
        );
        assert_eq!(
            conditions[3].message.as_deref(),
            Some("container runtime is down")
        );
        assert_eq!(
            events,
            [
                "NodeHasSufficientMemory",
                "NodeHasNoDiskPressure",
                "NodeHasSufficientPID"
            ]
        );
    }

    #[test]
    fn only_a_turn_moves_the_transition_time_and_makes_an_event() {
        let mut conditions = vec![];
        update(&mut conditions, Pressure::default(), &[], at(10));
        let events = update(&mut conditions, Pressure::default(), &[], at(20));
        assert!(events.is_empty());
        assert!(
            conditions
                .iter()
                .all(|c| c.last_transition_time == Some(Time(at(10))))
        );
        assert!(
            conditions
                .iter()
                .all(|c| c.last_heartbeat_time == Some(Time(at(20))))
        );

        let pressed = Pressure {
            disk: true,
            ..Pressure::default()
        };
        let events = update(&mut conditions, pressed, &["a".to_owned()], at(30));
        assert_eq!(events, ["NodeHasDiskPressure", "NodeNotReady"]);
        assert_eq!(conditions[1].last_transition_time, Some(Time(at(30))));
        assert_eq!(conditions[0].last_transition_time, Some(Time(at(10))));
    }

    #[test]
    fn conditions_of_others_stay_where_they_are() {
        let other = NodeCondition {
            type_: "NetworkUnavailable".into(),
            status: "False".into(),
            ..Default::default()
        };
        let mut conditions = vec![other.clone()];
        update(&mut conditions, Pressure::default(), &[], at(10));
        assert_eq!(conditions[0], other);
        assert_eq!(conditions.len(), 5);
    }

    #[test]
    fn a_node_that_was_marked_unknown_becomes_ready_again_with_an_event() {
        let mut conditions = vec![];
        update(&mut conditions, Pressure::default(), &[], at(10));
        for condition in &mut conditions {
            condition.status = "Unknown".into();
            condition.reason = Some("NodeStatusUnknown".into());
        }
        let events = update(&mut conditions, Pressure::default(), &[], at(20));
        assert_eq!(events.len(), 4);
        assert_eq!(
            conditions[0].reason.as_deref(),
            Some("KubeletHasSufficientMemory")
        );
        assert_eq!(conditions[3].reason.as_deref(), Some("KubeletReady"));
    }

    #[test]
    fn problems_are_told_once_each() {
        let of = |problems: &[&str]| aggregate(&problems.iter().map(|p| (*p).to_owned()).collect::<Vec<_>>());
        assert_eq!(of(&["a"]), "a");
        assert_eq!(of(&["a", "a"]), "a");
        assert_eq!(of(&["a", "b", "a"]), "[a, b]");
    }
}
