//! Whatever comes and goes, what is kept up to date equals what a count from scratch gives.

use std::collections::BTreeMap;

use machinery::meta::Istr;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::carried::Pull;
use super::counter::Matcher;
use super::term::{PodMatch, Term};
use super::*;
use crate::testing::{node, on, pod, read_node, read_pod};

const NODES: usize = 6;
const PODS: usize = 16;

#[derive(Clone, Debug)]
enum Op {
    /// Node, zone (3 is none), tainted.
    Node(usize, usize, bool),
    RemoveNode(usize),
    /// Pod, node, app, kind of constraint, deleting, namespace.
    Pod(usize, usize, usize, usize, bool, usize),
    RemovePod(usize),
    /// Namespace, team label (2 is none).
    Namespace(usize, usize),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        3 => (0..NODES, 0..4usize, any::<bool>()).prop_map(|(n, z, t)| Op::Node(n, z, t)),
        1 => (0..NODES).prop_map(Op::RemoveNode),
        6 => (0..PODS, 0..NODES, 0..3usize, 0..5usize, any::<bool>(), 0..2usize)
            .prop_map(|(p, n, a, k, d, ns)| Op::Pod(p, n, a, k, d, ns)),
        2 => (0..PODS).prop_map(Op::RemovePod),
        1 => (0..2usize, 0..3usize).prop_map(|(ns, team)| Op::Namespace(ns, team)),
    ];
    prop::collection::vec(op, 1..60)
}

fn affinity(kind: usize, app: &str) -> Value {
    let selector = json!({ "matchLabels": { "app": app } });
    let term = |key: &str| json!({ "labelSelector": selector, "topologyKey": key });
    let required = |key: &str| json!({ "requiredDuringSchedulingIgnoredDuringExecution": [term(key)] });
    match kind {
        1 => json!({ "affinity": { "podAntiAffinity": required("kubernetes.io/hostname") } }),
        2 => json!({ "affinity": { "podAffinity": required("topology.kubernetes.io/zone") } }),
        3 => json!({ "affinity": { "podAffinity": { "preferredDuringSchedulingIgnoredDuringExecution":
            [{ "weight": 5, "podAffinityTerm": term("topology.kubernetes.io/zone") }] } } }),
        4 => {
            let mut term = term("topology.kubernetes.io/zone");
            term["namespaceSelector"] = json!({ "matchLabels": { "team": "team-0" } });
            json!({ "affinity": { "podAntiAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": [term] } } })
        }
        _ => json!({}),
    }
}

fn apply(snapshot: &mut Snapshot, op: &Op) {
    match op {
        Op::Node(n, zone, tainted) => {
            let mut node = node(&format!("n{n}"), &format!("z{zone}"));
            if *zone == 3 {
                node["metadata"]["labels"] = json!({ "kubernetes.io/hostname": format!("n{n}") });
            }
            if *tainted {
                node["spec"] = json!({ "taints": [{ "key": "t", "effect": "NoSchedule" }] });
            }
            snapshot.set_node(&read_node(&node));
        }
        Op::RemoveNode(n) => snapshot.remove_node(&format!("n{n}")),
        Op::Pod(p, n, app, kind, deleting, namespace) => {
            let app = format!("app-{app}");
            let mut pod = pod(&format!("p{p}"), &json!({ "app": app }), &affinity(*kind, &app));
            pod["metadata"]["namespace"] = json!(format!("ns-{namespace}"));
            pod["metadata"]["uid"] = json!(format!("uid-p{p}-{namespace}"));
            if *deleting {
                pod["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
            }
            snapshot.set_pod(&read_pod(&on(&format!("n{n}"), pod)));
        }
        Op::RemovePod(p) => {
            snapshot.forget(&format!("uid-p{}-{}", p / 2, p % 2));
        }
        Op::Namespace(ns, team) => {
            let labels = (*team < 2).then(|| [("team", format!("team-{team}"))].into_iter().collect());
            snapshot.set_namespace(&format!("ns-{ns}").into(), labels);
        }
    }
}

/// Counts that somebody watches.
struct Watched {
    matcher: Matcher,
    key: Istr,
    spec: Option<NodeSetSpec>,
    set: Option<NodeSetHandle>,
    count: CountHandle,
}

fn watch(snapshot: &mut Snapshot) -> Vec<Watched> {
    let selector = |app: &str| Some(machinery::arith::Selector::from_set([("app", app)]));
    let ours = PodMatch::in_namespace(&"ns-0".into(), selector("app-0"));
    let team = PodMatch {
        namespaces: ["ns-1".into()].into(),
        namespace_selector: Some(machinery::arith::Selector::from_set([("team", "team-0")])),
        selector: selector("app-1"),
    };
    let mut watched = Vec::new();
    for (pods, skip_deleting) in [(ours, true), (team, false)] {
        for key in ["topology.kubernetes.io/zone", "kubernetes.io/hostname"] {
            for with_set in [false, true] {
                let matcher = Matcher {
                    all_of: [pods.clone()].into(),
                    skip_deleting,
                };
                let id = snapshot.topology_id(&key.into());
                let zone = snapshot.topology_id(&"topology.kubernetes.io/zone".into());
                let spec = with_set.then(|| NodeSetSpec {
                    affinity: None,
                    tolerations: Some([].into()),
                    keys: [zone].into_iter().collect(),
                });
                let set = spec.clone().map(|spec| snapshot.node_set(spec));
                let count = snapshot.count(&matcher, id, set.as_ref());
                watched.push(Watched {
                    matcher,
                    key: key.into(),
                    spec,
                    set,
                    count,
                });
            }
        }
    }
    watched
}

fn all_pods(snapshot: &Snapshot) -> Vec<(RowId, Arc<Pod>)> {
    let rows = (0..snapshot.rows().len() as u32).map(RowId);
    rows.flat_map(|row| {
        snapshot
            .pods_on(row)
            .map(move |entry| (row, entry.pod.clone()))
            .collect::<Vec<_>>()
    })
    .collect()
}

fn listed(rows: &RowSet) -> Vec<RowId> {
    rows.iter().collect()
}

fn check(snapshot: &Snapshot, watched: &[Watched]) -> Result<(), TestCaseError> {
    let pods = all_pods(snapshot);
    let rows = snapshot.rows();
    for one in watched {
        let takes_part = |row: RowId| {
            rows.live().contains(row)
                && one.spec.as_ref().is_none_or(|_| {
                    rows.label(row, "topology.kubernetes.io/zone").is_some()
                        && rows.taints[row.0 as usize].is_empty()
                })
        };
        let mut by_domain: BTreeMap<String, i64> = BTreeMap::new();
        for row in rows.live().iter().filter(|row| takes_part(*row)) {
            if let Some(domain) = rows.label(row, &one.key) {
                by_domain.entry(domain.to_owned()).or_default();
            }
            prop_assert!(
                one.set
                    .as_ref()
                    .is_none_or(|set| snapshot.members(set).unwrap().contains(row))
            );
        }
        let domains = by_domain.len();
        for (row, pod) in &pods {
            let picked = one
                .matcher
                .all_of
                .iter()
                .all(|m| m.matches(pod.namespace(), &pod.body.labels, snapshot.namespaces()));
            if picked
                && !(one.matcher.skip_deleting && pod.is_deleting())
                && takes_part(*row)
                && let Some(domain) = rows.label(*row, &one.key)
            {
                *by_domain.entry(domain.to_owned()).or_default() += 1;
            }
        }
        let least = by_domain.values().min().copied();
        let table = snapshot.table(&one.count);
        let topology = snapshot.topology(table.key);
        for domain in (0..topology.len() as u32).map(DomainId) {
            let want = by_domain
                .get(topology.value(domain).unwrap().as_str())
                .copied()
                .unwrap_or(0);
            prop_assert_eq!(
                table.count(domain),
                want,
                "{:?} of {}",
                topology.value(domain),
                one.key
            );
        }
        let has_pods = |row: RowId| {
            let domain = rows.label(row, &one.key);
            domain.is_some_and(|domain| by_domain.get(domain).is_some_and(|count| *count > 0))
        };
        let occupied: RowSet = rows.live().iter().filter(|row| has_pods(*row)).collect();
        prop_assert_eq!(listed(table.occupied()), listed(&occupied), "{}", one.key);
        let labelled = rows
            .live()
            .iter()
            .filter(|row| rows.label(*row, &one.key).is_some());
        prop_assert_eq!(listed(topology.labelled()), listed(&labelled.collect()));
        let busy: BTreeMap<String, i64> = table
            .busy()
            .map(|(domain, count)| (topology.value(domain).unwrap().to_string(), count))
            .collect();
        by_domain.retain(|_, count| *count > 0);
        prop_assert_eq!(busy, by_domain.clone());
        let counter = snapshot.counter(&one.count);
        let all = (0..rows.len() as u32).map(RowId);
        let mut by_count: BTreeMap<u32, Vec<RowId>> = BTreeMap::new();
        for row in all.filter(|row| counter.on_row(*row) > 0) {
            by_count.entry(counter.on_row(row)).or_default().push(row);
        }
        let kept = counter
            .by_count()
            .iter()
            .map(|(count, rows)| (*count, listed(rows)));
        prop_assert_eq!(kept.collect::<BTreeMap<_, _>>(), by_count);
        prop_assert_eq!(table.domains(), domains);
        prop_assert_eq!(table.total(), by_domain.values().sum::<i64>());
        prop_assert_eq!(table.min(), least);
    }
    // Carried terms.
    let mut carried: BTreeMap<String, BTreeMap<String, i64>> = BTreeMap::new();
    for (row, pod) in &pods {
        let terms = [
            (&pod.body.pod_anti_affinity.required, Pull::Repels),
            (&pod.body.pod_affinity.required, Pull::Requires),
        ];
        let mut all: Vec<(Term, Pull)> = Vec::new();
        for (terms, pull) in terms {
            all.extend(terms.iter().map(|term| (Term::new(term, pod.namespace()), pull)));
        }
        for term in &pod.body.pod_affinity.preferred {
            all.push((
                Term::new(&term.pod_affinity_term, pod.namespace()),
                Pull::Prefers(term.weight),
            ));
        }
        for (term, pull) in all {
            let domains = carried.entry(format!("{term:?} {pull:?}")).or_default();
            if let Some(domain) = rows.label(*row, &term.key) {
                *domains.entry(domain.to_owned()).or_default() += 1;
            }
        }
    }
    let mut kept: BTreeMap<String, BTreeMap<String, i64>> = BTreeMap::new();
    for (_, held) in snapshot.carried().since(0) {
        let topology = snapshot.topology(held.key);
        let domains = held
            .domains()
            .map(|(domain, count)| (topology.value(domain).unwrap().to_string(), count));
        let domains: BTreeMap<String, i64> = domains.collect();
        let near = |row: &RowId| {
            rows.label(*row, &held.term.key)
                .is_some_and(|domain| domains.contains_key(domain))
        };
        let occupied: RowSet = rows.live().iter().filter(near).collect();
        prop_assert_eq!(listed(held.occupied()), listed(&occupied), "{:?}", held.term);
        kept.insert(format!("{:?} {:?}", held.term, held.pull), domains);
    }
    prop_assert_eq!(kept, carried);
    // Resources.
    for row in (0..rows.len() as u32).map(RowId) {
        let here = pods.iter().filter(|(at, _)| *at == row);
        prop_assert_eq!(rows.pods.used[row.0 as usize], here.count() as i64);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn what_is_kept_equals_a_recount(ops in ops(), start in 0usize..60) {
        let mut snapshot = Snapshot::default();
        let mut watched = Vec::new();
        for (at, op) in ops.iter().enumerate() {
            // Counting may begin when there is something to count already.
            if at == start.min(ops.len() - 1) {
                watched = watch(&mut snapshot);
            }
            apply(&mut snapshot, op);
            check(&snapshot, &watched)?;
        }
        // What nobody holds goes away, and begins anew right.
        drop(watched);
        snapshot.sweep();
        let watched = watch(&mut snapshot);
        check(&snapshot, &watched)?;
    }
}
