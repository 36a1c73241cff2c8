use super::*;
use crate::pod::observed::Container;
use crate::pod::resize::of_spec;
use serde_json::json;

type Four = (&'static str, &'static str, &'static str, &'static str);

/// Containers by name with (cpu request, cpu limit, memory request, memory limit), each restarting for memory if told so.
fn pod(containers: &[(&str, Four)], restart_for_memory: bool) -> core::Pod {
    let list = |cpu: &str, memory: &str| {
        let both = [("cpu", cpu), ("memory", memory)];
        let map: BTreeMap<_, _> = both.into_iter().filter(|(_, value)| !value.is_empty()).collect();
        json!(map)
    };
    let containers: Vec<_> = containers
        .iter()
        .map(|(name, (cpu, cpu_limit, memory, memory_limit))| {
            let policy = if restart_for_memory {
                "RestartContainer"
            } else {
                "NotRequired"
            };
            json!({"name": name, "resizePolicy": [{"resourceName": "memory", "restartPolicy": policy}],
                "resources": {"requests": list(cpu, memory), "limits": list(cpu_limit, memory_limit)}})
        })
        .collect();
    serde_json::from_value(json!({"spec": {"containers": containers}})).unwrap()
}

fn running(names: &[&str]) -> Observed {
    Observed {
        containers: names
            .iter()
            .map(|name| Container {
                id: format!("id-{name}").into(),
                name: (*name).into(),
                state: RunState::Running,
                ..Default::default()
            })
            .collect(),
        ..Default::default()
    }
}

fn keep() -> Plan {
    Plan {
        sandbox: SandboxPlan::Keep("s".into()),
        kill: Vec::new(),
        start: Vec::new(),
    }
}

fn shown(old: &core::Pod, new: &core::Pod, names: &[&str]) -> Vec<String> {
    let resize = compare(new, &of_spec(old), &running(names), &mut keep());
    let limits = |pod| crate::cgroup::of_pod(pod, Some(100_000), None, &[]);
    steps(&resize, &limits(old), &limits(new))
        .into_iter()
        .map(|step| match step {
            Step::Pod(Limits {
                memory: Some(memory), ..
            }) => format!("pod memory {}Mi", memory >> 20),
            Step::Pod(Limits {
                quota: Some((quota, _)),
                ..
            }) => format!("pod cpu {}m", quota / 100),
            Step::Pod(limits) => format!("pod shares {}", limits.shares.unwrap_or_default()),
            Step::Container(place, e) => format!(
                "{} {}m/{}m {}Mi/{}Mi",
                resize.changes[place].name,
                e.cpu_request,
                e.cpu_limit,
                e.memory_request >> 20,
                e.memory_limit >> 20
            ),
        })
        .collect()
}

#[test]
fn a_pod_grows_before_its_containers_and_shrinks_after_them() {
    let small = pod(&[("c", ("100m", "200m", "10Mi", "20Mi"))], false);
    let large = pod(&[("c", ("500m", "600m", "50Mi", "60Mi"))], false);
    assert_eq!(
        shown(&small, &large, &["c"]),
        [
            "pod memory 60Mi",
            "c 100m/200m 50Mi/60Mi",
            "pod cpu 600m",
            "pod shares 512",
            "c 500m/600m 50Mi/60Mi"
        ]
    );
    assert_eq!(
        shown(&large, &small, &["c"]),
        [
            "c 500m/600m 10Mi/20Mi",
            "pod memory 20Mi",
            "c 100m/200m 10Mi/20Mi",
            "pod shares 102",
            "pod cpu 200m"
        ]
    );
    assert!(shown(&small, &small, &["c"]).is_empty());
}

#[test]
fn containers_that_shrink_make_room_for_those_that_grow() {
    let old = pod(
        &[("a", ("1", "1", "1Gi", "1Gi")), ("b", ("2", "2", "2Gi", "2Gi"))],
        false,
    );
    let new = pod(
        &[("a", ("2", "2", "1Gi", "1Gi")), ("b", ("1", "1", "2Gi", "2Gi"))],
        false,
    );
    let got = shown(&old, &new, &["a", "b"]);
    assert_eq!(
        got,
        ["b 1000m/1000m 2048Mi/2048Mi", "a 2000m/2000m 1024Mi/1024Mi"]
    );
}

#[test]
fn limits_that_are_new_count_as_smaller_ones() {
    let old = pod(&[("c", ("100m", "", "10Mi", ""))], false);
    let new = pod(&[("c", ("100m", "300m", "10Mi", "30Mi"))], false);
    assert_eq!(
        shown(&old, &new, &["c"]),
        [
            "c 100m/0m 10Mi/30Mi",
            "pod memory 30Mi",
            "c 100m/300m 10Mi/30Mi",
            "pod cpu 300m"
        ]
    );
}

#[test]
fn a_policy_may_ask_for_a_restart() {
    let old = pod(&[("c", ("100m", "200m", "10Mi", "20Mi"))], true);
    let more_cpu = pod(&[("c", ("200m", "200m", "10Mi", "20Mi"))], true);
    let more_memory = pod(&[("c", ("100m", "200m", "10Mi", "30Mi"))], true);
    let mut plan = keep();
    let resize = compare(&more_cpu, &of_spec(&old), &running(&["c"]), &mut plan);
    assert_eq!((resize.changes.len(), plan.kill.len()), (1, 0));

    let resize = compare(&more_memory, &of_spec(&old), &running(&["c"]), &mut plan);
    assert!(resize.changes.is_empty() && resize.pod);
    assert_eq!(plan.kill[0].message, "Container c resize requires restart");
    assert_eq!(
        plan.start,
        [Start {
            kind: Kind::App,
            index: 0
        }]
    );
}

#[test]
fn only_what_runs_is_in_progress() {
    let old = pod(&[("c", ("100m", "", "", ""))], false);
    let new = pod(&[("c", ("200m", "", "", ""))], false);
    for (actuated, seen, want) in [
        (&old, running(&["c"]), true),
        (&new, running(&["c"]), false),
        (&old, Observed::default(), false),
    ] {
        assert_eq!(is_in_progress(&new, &of_spec(actuated), &seen), want);
    }
    assert!(compare(&new, &of_spec(&old), &Observed::default(), &mut keep()).is_empty());
}
