use super::*;
use crate::deployment::progress::{AVAILABLE, condition};
use crate::testing::{deployment, replica_set};
use serde_json::json;

const NOW: i64 = 1_000_000;

fn now() -> Timestamp {
    Timestamp::from_second(NOW).unwrap()
}

/// A set: template image, replicas, available pods, revision; created in the order given.
struct Given(&'static str, i32, i32, i64);

fn sets(given: &[Given], desired: i32, max: i32) -> Vec<Arc<ReplicaSet>> {
    given
        .iter()
        .enumerate()
        .map(|(n, Given(image, replicas, available, number))| {
            let mut set = replica_set(&format!("web-{image}"), *replicas);
            let template = json!({ "metadata": { "labels": { "app": "web", "pod-template-hash": image } }, "spec": { "containers": [{ "name": "c", "image": image }] } });
            set.spec.template = serde_json::from_str(&template.to_string()).unwrap();
            set.metadata.creation_timestamp = Some(machinery::meta::Time(Timestamp::from_second(1000 + i64::try_from(n).unwrap()).unwrap()));
            set.metadata.annotations =
                [(REVISION, number.to_string()), (revision::DESIRED_REPLICAS, desired.to_string()), (revision::MAX_REPLICAS, max.to_string())].into_iter().collect();
            set.status.replicas = *replicas;
            set.status.ready_replicas = *available;
            set.status.available_replicas = *available;
            set.status.terminating_replicas = Some(0);
            set.status.observed_generation = 1;
            Arc::new(set)
        })
        .collect()
}

fn rolling(replicas: i32, surge: i32, unavailable: i32) -> Deployment {
    let mut d = deployment("web", replicas);
    d.spec.strategy = Strategy::RollingUpdate {
        rolling_update: Some(crate::api::RollingUpdate {
            max_surge: Some(surge.into()),
            max_unavailable: Some(unavailable.into()),
        }),
    };
    d
}

fn planned(d: &Deployment, sets: &[Arc<ReplicaSet>]) -> Plan {
    plan(d, sets, |_| false, now()).unwrap()
}

fn sizes(plan: &Plan) -> Vec<(String, i32)> {
    plan.updates
        .iter()
        .filter_map(|u| Some((u.held.metadata.name.to_string(), u.replicas?)))
        .collect()
}

fn size(name: &str, replicas: i32) -> (String, i32) {
    (name.to_owned(), replicas)
}

#[test]
fn the_first_set_is_created_at_full_size() {
    let plan = planned(&rolling(3, 1, 1), &[]);
    let create = plan.create.unwrap();
    assert_eq!(create.replicas, 3);
    assert_eq!(create.name, format!("web-{}", create.hash));
    let annotations: Vec<_> = create
        .annotations
        .iter()
        .map(|(k, v)| (k.to_string(), v.to_string()))
        .collect();
    assert_eq!(
        annotations,
        [
            (revision::DESIRED_REPLICAS, "3"),
            (revision::MAX_REPLICAS, "4"),
            (REVISION, "1")
        ]
        .map(|(k, v)| (k.to_owned(), v.to_owned()))
    );
    let status = plan.status.unwrap();
    assert_eq!(status.revision.as_deref(), Some("1"));
    assert_eq!(
        condition(&status.status, PROGRESSING).unwrap().reason,
        "NewReplicaSetCreated"
    );
    assert_eq!(
        condition(&status.status, AVAILABLE).unwrap().status,
        ConditionStatus::False
    );
}

#[test]
fn a_rollout_grows_the_new_set_and_then_shrinks_old_ones() {
    // replicas, surge, unavailable; sets; the sizes that change; what is created.
    for (what, d, given, want, created) in [
        (
            "a new template surges, and unavailability is used at once",
            rolling(10, 3, 2),
            vec![Given("a", 10, 10, 1)],
            vec![size("web-a", 8)],
            Some(3),
        ),
        (
            "no surge: old ones go first",
            rolling(10, 0, 2),
            vec![Given("a", 10, 10, 1)],
            vec![size("web-a", 8)],
            Some(0),
        ),
        (
            "new pods that are not available yet block",
            rolling(10, 3, 2),
            vec![Given("a", 8, 8, 1), Given("i", 5, 0, 2)],
            vec![],
            None,
        ),
        (
            "new ones became available",
            rolling(10, 3, 2),
            vec![Given("a", 8, 8, 1), Given("i", 5, 5, 2)],
            vec![size("web-a", 3)],
            None,
        ),
        (
            "room was made",
            rolling(10, 3, 2),
            vec![Given("a", 3, 3, 1), Given("i", 5, 5, 2)],
            vec![size("web-i", 10)],
            None,
        ),
        (
            "unhealthy old pods go first",
            rolling(10, 3, 2),
            vec![Given("a", 8, 0, 1), Given("i", 5, 5, 2)],
            vec![size("web-a", 3)],
            None,
        ),
        (
            "oldest first",
            rolling(10, 3, 2),
            vec![Given("a", 4, 4, 1), Given("b", 4, 4, 2), Given("i", 5, 5, 3)],
            vec![size("web-a", 0), size("web-b", 3)],
            None,
        ),
        (
            "a new set that is too large shrinks",
            rolling(3, 1, 1),
            vec![Given("i", 5, 5, 1)],
            vec![size("web-i", 3)],
            None,
        ),
        (
            "done",
            rolling(3, 1, 1),
            vec![Given("a", 0, 0, 1), Given("i", 3, 3, 2)],
            vec![],
            None,
        ),
    ] {
        let replicas = d.spec.replicas;
        let surge = crate::deployment::fenceposts::Fenceposts::of(&d.spec).surge;
        let plan = planned(&d, &sets(&given, replicas, replicas + surge));
        assert_eq!(sizes(&plan), want, "{what}");
        assert_eq!(plan.create.map(|create| create.replicas), created, "{what}");
    }
}

#[test]
fn a_rollback_takes_the_next_number_and_keeps_the_old() {
    let d = rolling(2, 1, 1);
    let plan = planned(&d, &sets(&[Given("i", 0, 0, 1), Given("b", 2, 2, 2)], 2, 3));
    assert!(plan.create.is_none());
    let update = plan
        .updates
        .iter()
        .find(|u| u.held.metadata.name == "web-i")
        .unwrap();
    assert!(
        update
            .annotations
            .contains(&(REVISION.to_owned(), "3".to_owned()))
    );
    assert!(
        update
            .annotations
            .contains(&(revision::REVISION_HISTORY.to_owned(), "1".to_owned()))
    );
    assert_eq!(plan.status.unwrap().revision.as_deref(), Some("3"));
}

#[test]
fn a_change_of_size_is_shared_in_proportion() {
    // From 10 (surge 5) to what the Deployment wants now.
    for (what, replicas, given, want) in [
        (
            "up",
            20,
            vec![Given("a", 10, 10, 1), Given("i", 5, 5, 2)],
            vec![size("web-a", 17), size("web-i", 8)],
        ),
        (
            "down",
            5,
            vec![Given("a", 10, 10, 1), Given("i", 5, 5, 2)],
            vec![size("web-a", 7), size("web-i", 3)],
        ),
        (
            "to nothing",
            0,
            vec![Given("a", 10, 10, 1), Given("i", 5, 5, 2)],
            vec![size("web-a", 0), size("web-i", 0)],
        ),
        (
            "one active set takes it all",
            7,
            vec![Given("a", 0, 0, 1), Given("i", 10, 10, 2)],
            vec![size("web-i", 7)],
        ),
        (
            "only an old set",
            7,
            vec![Given("a", 10, 10, 1)],
            vec![size("web-a", 7)],
        ),
    ] {
        let plan = planned(&rolling(replicas, 5, 0), &sets(&given, 10, 15));
        let mut got = sizes(&plan);
        got.sort();
        assert_eq!(got, want, "{what}");
        assert!(plan.create.is_none(), "{what}: scaling does not start a rollout");
        assert!(
            plan.updates.iter().all(|u| u
                .annotations
                .contains(&(revision::DESIRED_REPLICAS.to_owned(), replicas.to_string()))),
            "{what}"
        );
    }
}

#[test]
fn recreate_waits_for_old_pods() {
    let mut d = deployment("web", 3);
    d.spec.strategy = Strategy::Recreate;
    let running = planned(&d, &sets(&[Given("a", 3, 3, 1)], 3, 3));
    assert_eq!(
        (sizes(&running), running.create.is_none()),
        (vec![size("web-a", 0)], true)
    );
    let stopped = sets(&[Given("a", 0, 0, 1)], 3, 3);
    assert!(plan(&d, &stopped, |_| true, now()).unwrap().create.is_none());
    assert_eq!(planned(&d, &stopped).create.unwrap().replicas, 3);
}

#[test]
fn a_paused_deployment_scales_but_does_not_roll() {
    let mut d = rolling(5, 1, 1);
    d.spec.paused = true;
    let plan = planned(&d, &sets(&[Given("a", 3, 3, 1)], 3, 4));
    assert!(plan.create.is_none());
    assert_eq!(sizes(&plan), [size("web-a", 5)]);
    let status = plan.status.unwrap().status;
    assert_eq!(
        condition(&status, PROGRESSING).unwrap().reason,
        "DeploymentPaused"
    );
    d.status = status;
    d.spec.paused = false;
    let status = planned(&d, &sets(&[Given("i", 5, 5, 1)], 5, 6))
        .status
        .unwrap()
        .status;
    assert_eq!(condition(&status, PROGRESSING).unwrap().reason, NEW_SET);
}
const NEW_SET: &str = progress::NEW_SET_AVAILABLE;

#[test]
fn progress_is_told_and_ends_at_the_deadline() {
    let mut d = rolling(3, 1, 1);
    let start = planned(&d, &[]).status.unwrap();
    d.status = start.status;
    d.metadata.annotations.insert(REVISION, "1");
    let some = sets(&[Given("i", 3, 2, 1)], 3, 4);
    let moving = planned(&d, &some);
    d.status = moving.status.unwrap().status;
    let held = condition(&d.status, PROGRESSING).unwrap();
    assert_eq!(
        (&*held.reason, &*held.message),
        ("ReplicaSetUpdated", "ReplicaSet \"web-i\" is progressing.")
    );
    let stuck = planned(&d, &some);
    assert!(stuck.status.is_none());
    assert_eq!(
        stuck.recheck,
        Some(Recheck::After(std::time::Duration::from_secs(601)))
    );
    let later = plan(&d, &some, |_| false, Timestamp::from_second(NOW + 601).unwrap())
        .unwrap()
        .status
        .unwrap()
        .status;
    let held = condition(&later, PROGRESSING).unwrap();
    assert_eq!(
        (held.status, &*held.reason),
        (ConditionStatus::False, "ProgressDeadlineExceeded")
    );
    d.status = later;
    let done = planned(&d, &sets(&[Given("i", 3, 3, 1)], 3, 4))
        .status
        .unwrap()
        .status;
    assert_eq!(condition(&done, PROGRESSING).unwrap().reason, NEW_SET);
    d.status = done;
    let rest = planned(&d, &sets(&[Given("i", 3, 3, 1)], 3, 4));
    assert!(rest.status.is_none() && rest.updates.is_empty() && rest.recheck.is_none());
}

#[test]
fn history_is_kept_to_its_limit() {
    let mut d = rolling(1, 1, 0);
    d.spec.revision_history_limit = Some(1);
    let held = sets(
        &[
            Given("a", 0, 0, 1),
            Given("b", 0, 0, 3),
            Given("c", 0, 0, 2),
            Given("i", 1, 1, 4),
        ],
        1,
        2,
    );
    assert!(
        planned(&d, &held).deletions.is_empty(),
        "not before the rollout is complete"
    );
    d.status = planned(&d, &held).status.unwrap().status;
    let names: Vec<_> = planned(&d, &held)
        .deletions
        .iter()
        .map(|set| set.metadata.name.to_string())
        .collect();
    assert_eq!(names, ["web-a", "web-c"]);
}

#[test]
fn long_names_are_cut() {
    assert_eq!(set_name("web", "abc"), "web-abc");
    assert_eq!(set_name(&"x".repeat(253), "abcdefghij").len(), 253);
}

#[test]
fn collisions_and_failures_are_in_the_status() {
    let d = rolling(1, 1, 0);
    assert_eq!(collided(&d).status.collision_count, Some(1));
    let failed = creation_failed(&d, "Failed".to_owned(), now()).unwrap();
    assert_eq!(
        condition(&failed.status, PROGRESSING).unwrap().reason,
        "ReplicaSetCreateError"
    );
}
