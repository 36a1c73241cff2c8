//! The scheduler as a whole: what it decides is right, and it forgets nothing.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::cache::RowId;
use crate::framework::{PodView, Reuse, Status};
use crate::testing::*;

use machinery::cache::Event;

fn at(seconds: u64) -> Moment {
    Moment::from_secs(seconds)
}

fn bind(scheduler: &mut Scheduler, now: Moment) -> Option<(String, String)> {
    match scheduler.next(now)? {
        Attempt::Bind(order) => Some((order.queued.pod.name().to_string(), order.node.to_string())),
        other => panic!("{other:?}"),
    }
}

fn refusal(attempt: Option<Attempt>) -> Refusal {
    match attempt {
        Some(Attempt::Refused(refusal)) => *refusal,
        other => panic!("{other:?}"),
    }
}

#[test]
fn pods_go_where_there_is_most_room() {
    let mut scheduler = scheduler();
    add_nodes(&mut scheduler, &[node("a", "1"), node("b", "1")]);
    add_pods(
        &mut scheduler,
        &[on("a", asking("there", "2", "1Gi")), asking("p", "1", "1Gi")],
    );
    assert_eq!(bind(&mut scheduler, at(1)), Some(("p".into(), "b".into())));
    assert!(scheduler.snapshot().is_assumed("uid-p"));
    scheduler.on_pod(&Event::Added(read_pod(&on("b", asking("p", "1", "1Gi")))), at(2));
    assert!(!scheduler.snapshot().is_assumed("uid-p"), "seen on its node");
    assert_eq!(scheduler.snapshot().pod_count(), 2);
}

#[test]
fn without_nodes_a_pod_waits_for_the_first() {
    let mut scheduler = scheduler();
    add_pods(&mut scheduler, &[asking("p", "1", "1Gi")]);
    assert_eq!(
        refusal(scheduler.next(at(1))).message,
        "no nodes available to schedule pods"
    );
    add_nodes(&mut scheduler, &[node("a", "1")]);
    scheduler.tick(at(10));
    assert_eq!(bind(&mut scheduler, at(10)), Some(("p".into(), "a".into())));
}

#[test]
fn a_pod_that_fits_nowhere_says_why_of_every_node() {
    let mut scheduler = scheduler();
    let mut tainted = node("t", "1");
    tainted["spec"]["taints"] = json!([{ "key": "k", "effect": "NoSchedule" }]);
    let mut cordoned = node("c", "1");
    cordoned["spec"] = json!({ "unschedulable": true });
    add_nodes(
        &mut scheduler,
        &[node("a", "1"), node("b", "1"), tainted, cordoned],
    );
    add_pods(&mut scheduler, &[asking("p", "5", "64Gi")]);
    let refusal = refusal(scheduler.next(at(1)));
    assert!(refusal.unschedulable);
    assert_eq!(
        refusal.message,
        "0/4 nodes are available: 1 node(s) had untolerated taint(s), 1 node(s) were unschedulable, 2 Insufficient cpu, \
         2 Insufficient memory. preemption: 0/4 nodes are available: 4 Preemption is not helpful for scheduling."
    );
    assert_eq!(scheduler.next(at(2)).map(|_| ()), None, "it waits");
    let mut big = node("big", "1");
    big["status"]["allocatable"] = json!({ "cpu": "8", "memory": "128Gi", "pods": "10" });
    add_nodes(&mut scheduler, &[big]);
    assert_eq!(bind(&mut scheduler, at(3)), Some(("p".into(), "big".into())));
}

#[test]
fn a_bind_that_fails_gives_everything_back() {
    let mut scheduler = scheduler();
    add_nodes(&mut scheduler, &[node("a", "1")]);
    add_pods(
        &mut scheduler,
        &[asking("p", "3", "1Gi"), asking("q", "3", "1Gi")],
    );
    let Some(Attempt::Bind(order)) = scheduler.next(at(1)) else {
        panic!()
    };
    let first = order.queued.pod.name().to_string();
    let turned_down = refusal(scheduler.next(at(1)));
    assert!(
        turned_down.message.contains("Insufficient cpu"),
        "{}",
        turned_down.message
    );
    let refusal = refusal(Some(scheduler.not_bound(
        *order,
        &Status::error("no answer"),
        at(1),
    )));
    assert!(!refusal.unschedulable);
    assert_eq!(scheduler.snapshot().pod_count(), 0);
    // The other pod is helped by it at once; the first one backs off.
    let (second, _) = bind(&mut scheduler, at(1)).unwrap();
    assert_ne!(second, first);
    assert!(!scheduler.is_ready());
}

#[test]
fn a_pod_deleted_while_it_is_bound_frees_its_node() {
    let mut scheduler = scheduler();
    add_nodes(&mut scheduler, &[node("a", "1")]);
    let pod = asking("p", "3", "1Gi");
    add_pods(&mut scheduler, std::slice::from_ref(&pod));
    let Some(Attempt::Bind(order)) = scheduler.next(at(1)) else {
        panic!()
    };
    scheduler.on_pod(&Event::Deleted(read_pod(&pod)), at(2));
    assert_eq!(scheduler.snapshot().pod_count(), 0);
    assert!(matches!(
        scheduler.not_bound(*order, &Status::error("not found"), at(3)),
        Attempt::Nothing
    ));
    assert!(!scheduler.is_ready());
}

#[test]
fn other_schedulers_pods_only_take_room() {
    let mut scheduler = scheduler();
    add_nodes(&mut scheduler, &[node("a", "1")]);
    let mut other = asking("other", "3", "1Gi");
    other["spec"]["schedulerName"] = json!("another");
    add_pods(&mut scheduler, &[other.clone()]);
    assert!(!scheduler.is_ready());
    add_pods(&mut scheduler, &[on("a", other), asking("p", "2", "1Gi")]);
    assert!(
        refusal(scheduler.next(at(1)))
            .message
            .contains("Insufficient cpu")
    );
}

fn prioritized(name: &str, priority: i64, cpu: &str) -> Value {
    let mut pod = asking(name, cpu, "1Gi");
    pod["spec"]["priority"] = json!(priority);
    pod
}

#[test]
fn preemption_evicts_the_least_and_waits_for_it() {
    let mut scheduler = scheduler();
    add_nodes(&mut scheduler, &[node("a", "1"), node("b", "1")]);
    let there = [
        on("a", prioritized("a-low", 1, "2")),
        on("a", prioritized("a-mid", 5, "2")),
        on("b", prioritized("b-mid", 5, "2")),
        on("b", prioritized("b-high", 9, "2")),
    ];
    add_pods(&mut scheduler, &there);
    add_pods(&mut scheduler, &[prioritized("p", 9, "2")]);
    let first = refusal(scheduler.next(at(1)));
    assert_eq!(first.nomination, Nomination::Set("a".into()));
    assert_eq!(
        first
            .victims
            .iter()
            .map(|pod| pod.name().as_str())
            .collect::<Vec<_>>(),
        ["a-low"]
    );
    assert!(
        first
            .message
            .ends_with("preemption: found a potential placement for pod on node a, preempting 1 victims")
    );
    assert_eq!(
        scheduler.snapshot().pod_count(),
        4,
        "a dry run leaves everything as it was"
    );

    // A pod of lower priority does not take the room that is being made.
    let mut evicted = there[0].clone();
    add_pods(&mut scheduler, &[prioritized("late", 2, "2")]);
    evicted["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    scheduler.on_pod(&Event::Deleted(read_pod(&evicted)), at(2));
    let mut bound = Vec::new();
    while let Some(attempt) = scheduler.next(at(3)) {
        match attempt {
            Attempt::Bind(order) => bound.push((order.queued.pod.name().to_string(), order.node.to_string())),
            Attempt::Refused(refusal) => assert_eq!(refusal.pod.name(), "late"),
            other => panic!("{other:?}"),
        }
        if bound.len() == 1 && !scheduler.is_ready() {
            break;
        }
    }
    assert_eq!(bound, [("p".into(), "a".into())]);
}

#[test]
fn preemption_stops_where_it_must_not_go_on() {
    let mut scheduler = scheduler();
    add_nodes(&mut scheduler, &[node("a", "1")]);
    add_pods(&mut scheduler, &[on("a", prioritized("low", 1, "3"))]);
    let mut polite = prioritized("polite", 9, "3");
    polite["spec"]["preemptionPolicy"] = json!("Never");
    add_pods(&mut scheduler, &[polite]);
    let first = refusal(scheduler.next(at(1)));
    assert!(
        first.victims.is_empty()
            && first
                .message
                .ends_with("preemption: not eligible due to preemptionPolicy=Never.")
    );

    add_pods(&mut scheduler, &[prioritized("rude", 9, "3")]);
    assert_eq!(refusal(scheduler.next(at(1))).victims.len(), 1);
    // Tried again before the victim is gone, it does not evict more.
    let mut changed = prioritized("rude", 9, "3");
    changed["metadata"]["resourceVersion"] = json!("2");
    changed["metadata"]["labels"] = json!({ "x": "y" });
    let old = read_pod(&prioritized("rude", 9, "3"));
    scheduler.on_pod(
        &Event::Updated {
            old,
            new: read_pod(&changed),
        },
        at(2),
    );
    add_nodes(
        &mut scheduler,
        &[{
            let mut node = node("other", "1");
            node["status"]["allocatable"]["cpu"] = json!("3");
            node["spec"] = json!({ "unschedulable": true });
            node
        }],
    );
    scheduler.tick(at(400));
    let mut seen = false;
    while let Some(attempt) = scheduler.next(at(400)) {
        if let Attempt::Refused(refusal) = attempt
            && refusal.pod.name() == "rude"
        {
            seen = true;
            assert!(refusal.victims.is_empty());
            let why = "preemption: not eligible due to a terminating pod on the nominated node.";
            assert!(refusal.message.ends_with(why), "{}", refusal.message);
        }
        if seen {
            break;
        }
    }
    assert!(seen);
}

#[test]
fn disruption_budgets_are_broken_last() {
    let mut scheduler = scheduler();
    add_nodes(&mut scheduler, &[node("a", "1"), node("b", "1")]);
    let labelled = |node: &str, name: &str, app: &str| {
        let mut pod = prioritized(name, 1, "3");
        pod["metadata"]["labels"] = json!({ "app": app });
        on(node, pod)
    };
    add_pods(
        &mut scheduler,
        &[labelled("a", "guarded", "guarded"), labelled("b", "free", "free")],
    );
    let budget = json!({
        "metadata": { "name": "pdb", "namespace": "default" },
        "spec": { "selector": { "matchLabels": { "app": "guarded" } } },
        "status": { "disruptionsAllowed": 0 },
    });
    scheduler.on_disruption_budget(&Event::Added(Arc::new(serde_json::from_value(budget).unwrap())));
    add_pods(&mut scheduler, &[prioritized("p", 9, "3")]);
    assert_eq!(
        refusal(scheduler.next(at(1))).nomination,
        Nomination::Set("b".into())
    );
}

#[test]
fn a_percentage_of_nodes_is_enough_where_a_profile_says_so() {
    let mut scheduler = scheduler_with(&json!({ "percentageOfNodesToScore": 50 }));
    let nodes: Vec<Value> = (0..300).map(|index| node(&format!("n{index}"), "1")).collect();
    add_nodes(&mut scheduler, &nodes);
    add_pods(&mut scheduler, &[asking("p", "1", "1Gi")]);
    let Some(Attempt::Bind(order)) = scheduler.next(at(1)) else {
        panic!()
    };
    assert_eq!(order.decision.feasible, 150);
}

// A small random cluster, checked by brute force.

#[derive(Clone, Debug)]
struct RandomPod {
    app: usize,
    cpu: usize,
    kind: usize,
    port: bool,
    tolerates: bool,
    priority: usize,
}

fn random_pod() -> impl Strategy<Value = RandomPod> {
    (
        0..3usize,
        0..4usize,
        0..9usize,
        any::<bool>(),
        any::<bool>(),
        0..2usize,
    )
        .prop_map(|(app, cpu, kind, port, tolerates, priority)| RandomPod {
            app,
            cpu,
            kind,
            port: port && kind == 0,
            tolerates,
            priority,
        })
}

fn build(index: usize, random: &RandomPod) -> Value {
    let app = format!("app-{}", random.app);
    let selector = json!({ "matchLabels": { "app": app } });
    let (zone, hostname) = ("topology.kubernetes.io/zone", "kubernetes.io/hostname");
    let term = |key: &str| json!({ "labelSelector": selector, "topologyKey": key });
    let must = |key: &str| json!({ "requiredDuringSchedulingIgnoredDuringExecution": [term(key)] });
    let rather = |key: &str| json!({ "preferredDuringSchedulingIgnoredDuringExecution": [{ "weight": 3, "podAffinityTerm": term(key) }] });
    let spread = |key: &str, when: &str| json!([{ "maxSkew": 1, "topologyKey": key, "whenUnsatisfiable": when, "labelSelector": selector }]);
    let mut spec = match random.kind {
        1 => json!({ "affinity": { "podAntiAffinity": must(hostname) } }),
        2 => json!({ "affinity": { "podAffinity": must(zone) } }),
        3 => json!({ "topologySpreadConstraints": spread(zone, "DoNotSchedule") }),
        4 => json!({ "topologySpreadConstraints": spread(hostname, "ScheduleAnyway") }),
        5 => json!({ "affinity": { "podAffinity": rather(zone) } }),
        6 => json!({ "nodeSelector": { (zone): "z1" } }),
        7 => json!({ "affinity": { "podAntiAffinity": must(zone) } }),
        8 => json!({ "affinity": { "podAffinity": rather(hostname) } }),
        _ => json!({}),
    };
    let mut container =
        json!({ "name": "c", "resources": { "requests": { "cpu": format!("{}", random.cpu) } } });
    if random.port {
        container["ports"] = json!([{ "hostPort": 80 }]);
    }
    spec["containers"] = json!([container]);
    spec["priority"] = json!(random.priority);
    if random.tolerates {
        spec["tolerations"] = json!([{ "operator": "Exists" }]);
    }
    pod(&format!("p{index}"), &json!({ "app": app }), &spec)
}

/// A cluster as plain data.
struct Plain {
    nodes: Vec<(String, String, bool)>,
    placed: Vec<(usize, RandomPod)>,
}

impl Plain {
    fn zone(&self, node: usize) -> &str {
        &self.nodes[node].1
    }

    fn with_app(&self, app: usize) -> impl Iterator<Item = &(usize, RandomPod)> {
        self.placed.iter().filter(move |(_, pod)| pod.app == app)
    }

    /// Whether the pod may go to the node, straight from the rules.
    fn fits(&self, pod: &RandomPod, node: usize) -> bool {
        let here = || {
            self.placed
                .iter()
                .filter(|(at, _)| *at == node)
                .map(|(_, pod)| pod)
        };
        let cpu: usize = here().map(|pod| pod.cpu).sum();
        let zone = self.zone(node);
        if self.nodes[node].2 && !pod.tolerates || (pod.cpu > 0 && cpu + pod.cpu > 4) {
            return false;
        }
        if pod.port && here().any(|other| other.port) || pod.kind == 6 && zone != "z1" {
            return false;
        }
        let same_app_here = here().any(|other| other.app == pod.app);
        let same_app_in_zone = self.with_app(pod.app).any(|(at, _)| self.zone(*at) == zone);
        if pod.kind == 1 && same_app_here || pod.kind == 7 && same_app_in_zone {
            return false;
        }
        let anybody = self.with_app(pod.app).next().is_some();
        if pod.kind == 2 && anybody && !same_app_in_zone {
            return false;
        }
        let repelled = self
            .with_app(pod.app)
            .any(|(at, other)| other.kind == 1 && *at == node || other.kind == 7 && self.zone(*at) == zone);
        if repelled {
            return false;
        }
        if pod.kind == 3 {
            let count = |zone: &str| {
                self.with_app(pod.app)
                    .filter(|(at, _)| self.zone(*at) == zone)
                    .count()
            };
            let least = self
                .nodes
                .iter()
                .map(|(_, zone, _)| count(zone))
                .min()
                .unwrap_or(0);
            return count(zone) + 1 - least <= 1;
        }
        true
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    /// Each pod goes to a node where it may be; one that is refused may be nowhere; and what is reused of earlier pods' work
    /// is what would be worked out anew.
    #[test]
    fn decisions_are_right_and_complete(
        nodes in prop::collection::vec((0..3usize, prop::bool::weighted(0.2)), 1..7),
        pods in prop::collection::vec((random_pod(), prop::bool::weighted(0.2)), 1..30),
    ) {
        let plain: Vec<_> = nodes.iter().enumerate()
            .map(|(index, (zone, tainted))| (format!("n{index}"), format!("z{zone}"), *tainted)).collect();
        let mut plain = Plain { nodes: plain, placed: Vec::new() };
        // Without preemption: it would change what is there.
        let config = json!({ "profiles": [{ "plugins": { "postFilter": { "disabled": [{ "name": "*" }] } } }] });
        let mut scheduler = scheduler_with(&config);
        for (name, zone, tainted) in &plain.nodes {
            let mut node = node(name, zone);
            if *tainted {
                node["spec"] = json!({ "taints": [{ "key": "k", "effect": "NoSchedule" }] });
            }
            add_nodes(&mut scheduler, &[node]);
        }
        let mut gone = 0;
        for (index, (random, then_remove)) in pods.iter().enumerate() {
            let value = build(index, random);
            add_pods(&mut scheduler, std::slice::from_ref(&value));
            let pod = read_pod(&value);
            let shape = scheduler.snapshot.shape(&pod);
            let view = PodView { pod: &pod, shape: &shape };
            let framework = scheduler.profiles.0[0].framework.clone();
            let mut kept = std::mem::take(&mut scheduler.profiles.0[0].reuse);
            let reused = framework.ranked(&view, &mut scheduler.snapshot, &mut kept);
            let anew = framework.ranked(&view, &mut scheduler.snapshot, &mut Reuse::default());
            scheduler.profiles.0[0].reuse = kept;
            prop_assert_eq!(&reused, &anew);
            let want: Vec<usize> = (0..plain.nodes.len()).filter(|node| plain.fits(random, *node)).collect();
            let got: Vec<usize> = reused.0.iter().map(|row| row.0 as usize).collect();
            prop_assert_eq!(&got, &want, "pod {}", value);
            let best = reused.1.iter().max();
            let ranked = reused.0.iter().zip(&reused.1);
            let most: Vec<RowId> = ranked.filter(|(_, total)| Some(*total) == best).map(|(row, _)| *row).collect();
            prop_assert_eq!(reused.2.iter().collect::<Vec<_>>(), most);
            let attempt = scheduler.next(at(1)).unwrap();
            let bound = match attempt {
                Attempt::Bind(order) if order.queued.pod.uid() == pod.uid() => {
                    let at = reused.0.iter().position(|row| *row == order.decision.row).unwrap();
                    prop_assert_eq!(Some(&reused.1[at]), best);
                    Some(order)
                }
                Attempt::Refused(refusal) if refusal.pod.uid() == pod.uid() => {
                    prop_assert!(want.is_empty());
                    scheduler.on_pod(&Event::Deleted(pod.clone()), at(1));
                    None
                }
                other => panic!("{other:?}"),
            };
            if let Some(order) = bound {
                let RowId(node) = order.decision.row;
                let seen = read_pod(&on(&order.node, value));
                scheduler.on_pod(&Event::Updated { old: pod, new: seen }, at(1));
                plain.placed.push((node as usize, random.clone()));
            }
            if *then_remove && !plain.placed.is_empty() {
                gone += 1;
                let victim = gone % plain.placed.len();
                plain.placed.remove(victim);
                // The placed pods are in the order in which the scheduler's bound ones came.
                let uids: Vec<Istr> = bound_uids(&scheduler);
                let uid = uids[victim].clone();
                let entry = scheduler.snapshot.pod(&uid).unwrap().pod.clone();
                scheduler.on_pod(&Event::Deleted(entry), at(1));
            }
        }
    }
}

/// Pods on nodes, in the order of their numbers, which is that in which they came.
fn bound_uids(scheduler: &Scheduler) -> Vec<Istr> {
    let snapshot = scheduler.snapshot();
    let mut uids: Vec<Istr> = (0..snapshot.rows().len() as u32)
        .flat_map(|row| {
            snapshot
                .pods_on(RowId(row))
                .map(|entry| entry.pod.uid().clone())
                .collect::<Vec<_>>()
        })
        .collect();
    uids.sort_by_key(|uid| uid.trim_start_matches("uid-p").parse::<usize>().unwrap());
    uids
}
