use std::sync::Arc;

use serde_json::json;

use super::*;
use crate::framework::{Action, EventResource};
use crate::testing::{frameworks, pod, read_node, read_pod};

struct One(Arc<Framework>);

impl Rules for One {
    fn less(&self, one: &QueuedPod, other: &QueuedPod) -> bool {
        self.0.less(one, other)
    }
    fn profile(&self, _: &Pod) -> Option<&Framework> {
        Some(&self.0)
    }
    fn is_of_interest(&self, event: &ClusterEvent, holds: &dyn Fn(&'static str) -> bool) -> bool {
        self.0.is_of_interest(event, holds)
    }
}

struct Bench {
    queue: Queue,
    snapshot: Snapshot,
    rules: One,
}

fn at(seconds: u64) -> Moment {
    Moment::from_secs(seconds)
}

impl Bench {
    fn new() -> Self {
        let rules = One(frameworks(&json!({})).remove(0));
        Self {
            queue: Queue::new(Backoff::default(), at(300)),
            snapshot: Snapshot::default(),
            rules,
        }
    }

    fn add(&mut self, name: &str, spec: &serde_json::Value, now: Moment) {
        let pod = read_pod(&pod(name, &json!({}), spec));
        let shape = self.snapshot.shape(&pod);
        self.queue.add(&pod, &shape, &self.rules, now);
    }

    fn pop(&mut self) -> Option<String> {
        self.queue
            .pop(&self.rules)
            .map(|queued| queued.pod.name().to_string())
    }

    /// Pops the next pod and gives it back as turned down by `plugin`.
    fn turn_down(&mut self, plugin: &'static str, now: Moment) {
        let mut queued = self.queue.pop(&self.rules).unwrap();
        queued.rejectors = [plugin].into_iter().collect();
        self.queue.give_back(queued, &self.snapshot, &self.rules, now);
    }

    fn node_added(&mut self, cpu: &str, now: Moment) {
        let mut node = crate::testing::node("n", "z");
        node["status"]["allocatable"]["cpu"] = json!(cpu);
        let change = Change::Node {
            old: None,
            new: Some(read_node(&node)),
        };
        let event = ClusterEvent::new(EventResource::Node, Action::ADD);
        self.queue.happened(
            &Occurrence { event, change },
            &self.snapshot,
            &self.rules,
            now,
            |_| true,
        );
    }
}

fn asks(cpu: &str) -> serde_json::Value {
    json!({ "containers": [{ "name": "c", "resources": { "requests": { "cpu": cpu } } }] })
}

#[test]
fn higher_priority_goes_first_and_then_who_waits_longer() {
    let mut bench = Bench::new();
    for (name, priority, now) in [("a", 0, 3), ("b", 5, 4), ("c", 0, 1), ("d", 5, 2)] {
        bench.add(name, &json!({ "priority": priority }), at(now));
    }
    let order: Vec<String> = std::iter::from_fn(|| bench.pop()).collect();
    assert_eq!(order, ["d", "b", "c", "a"]);
}

#[test]
fn a_gated_pod_stays_out_until_its_gates_are_gone() {
    let mut bench = Bench::new();
    bench.add("a", &json!({ "schedulingGates": [{ "name": "g" }] }), at(1));
    assert_eq!(bench.pop(), None);
    assert_eq!(bench.queue.lengths().gated, 1);
    let ungated = read_pod(&pod("a", &json!({}), &json!({})));
    let shape = bench.snapshot.shape(&ungated);
    let event = ClusterEvent::new(EventResource::TargetPod, Action::POD_GATES_ELIMINATED);
    let change = Change::Pod {
        old: None,
        new: Some(ungated.clone()),
    };
    bench.queue.update(
        &ungated,
        &shape,
        &[Occurrence { event, change }],
        &bench.snapshot,
        &bench.rules,
        at(2),
    );
    assert_eq!(bench.pop().as_deref(), Some("a"));
}

#[test]
fn a_pod_comes_back_for_an_event_that_may_help_and_for_no_other() {
    let mut bench = Bench::new();
    bench.add("a", &asks("2"), at(1));
    bench.turn_down("NodeResourcesFit", at(1));
    assert_eq!(bench.pop(), None);
    bench.node_added("1", at(2));
    assert_eq!(bench.pop(), None, "the node is too small");
    bench.node_added("4", at(2));
    assert_eq!(bench.queue.lengths().backoff, 1);
    assert_eq!(
        bench.pop().as_deref(),
        Some("a"),
        "nothing else is active, so it need not wait for its back-off"
    );
}

#[test]
fn an_event_during_the_attempt_is_not_lost() {
    let mut bench = Bench::new();
    bench.add("a", &asks("2"), at(1));
    let mut queued = bench.queue.pop(&bench.rules).unwrap();
    bench.node_added("4", at(1));
    queued.rejectors = ["NodeResourcesFit"].into_iter().collect();
    bench
        .queue
        .give_back(queued, &bench.snapshot, &bench.rules, at(1));
    assert_eq!(
        bench.queue.lengths(),
        Lengths {
            backoff: 1,
            ..Lengths::default()
        }
    );
    // Events of before it was popped do not count the next time.
    bench.turn_down("NodeResourcesFit", at(2));
    assert_eq!(
        bench.queue.lengths(),
        Lengths {
            unschedulable: 1,
            ..Lengths::default()
        }
    );
}

#[test]
fn errors_back_off_for_longer_each_time_and_are_not_popped_early() {
    let mut bench = Bench::new();
    bench.add("a", &json!({}), at(1));
    let mut now = at(1);
    for wait in [1, 2, 4, 8, 10, 10] {
        let queued = bench.queue.pop(&bench.rules).unwrap();
        bench.queue.give_back(queued, &bench.snapshot, &bench.rules, now);
        assert_eq!(bench.pop(), None);
        let tick = bench.queue.next_tick(now).unwrap();
        assert_eq!(
            tick,
            now + at(wait) + at(1),
            "the window in which it ends belongs to it"
        );
        bench.queue.tick(&bench.rules, tick - Moment::from_millis(1));
        assert!(!bench.queue.is_ready());
        bench.queue.tick(&bench.rules, tick);
        assert!(bench.queue.is_ready());
        now = tick;
    }
}

#[test]
fn a_pod_that_nothing_helps_is_tried_again_after_five_minutes() {
    let mut bench = Bench::new();
    bench.add("a", &asks("2"), at(1));
    bench.turn_down("NodeResourcesFit", at(1));
    bench.queue.tick(&bench.rules, at(301));
    assert!(!bench.queue.is_ready());
    bench.queue.tick(&bench.rules, at(331));
    assert_eq!(bench.pop().as_deref(), Some("a"));
}

#[test]
fn a_pod_that_is_deleted_is_nowhere() {
    let mut bench = Bench::new();
    bench.add("a", &json!({}), at(1));
    bench.add("b", &asks("2"), at(2));
    bench.queue.remove("uid-a", &bench.rules);
    assert_eq!(bench.pop().as_deref(), Some("b"));
    assert!(!bench.queue.contains("uid-a"));
}
