use super::*;
use crate::pod::observed::{Container, RunState, Sandbox};
use crate::pod::plan::Verdicts;

fn pod(policy: &str, init: &[&str], app: &[&str]) -> core::Pod {
    let container = |name: &&str| core::Container {
        name: name.trim_end_matches('!').into(),
        restart_policy: name.ends_with('!').then(|| "Always".into()),
        ..Default::default()
    };
    let mut pod = core::Pod {
        spec: Some(core::PodSpec {
            restart_policy: Some(policy.into()),
            init_containers: Some(init.iter().map(container).collect()),
            containers: app.iter().map(container).collect(),
            ..Default::default()
        }),
        ..Default::default()
    };
    pod.metadata.generation = Some(3);
    pod
}

/// `name:run`, `name:created` or `name:CODE`, oldest first.
fn seen(containers: &[&str]) -> Observed {
    let mut out = Observed {
        sandboxes: vec![Sandbox {
            id: "s".into(),
            ready: true,
            has_network: true,
            ips: vec!["fd00::5".parse().unwrap(), "10.0.0.5".parse().unwrap()],
            ..Default::default()
        }],
        containers: Vec::new(),
    };
    for (i, text) in containers.iter().enumerate() {
        let (name, state) = text.split_once(':').unwrap();
        let (state, exit_code) = match state {
            "run" => (RunState::Running, 0),
            "created" => (RunState::Created, 0),
            code => (RunState::Exited, code.parse().unwrap()),
        };
        out.containers.push(Container {
            id: format!("{name}{i}").into(),
            name: name.into(),
            sandbox: "s".into(),
            state,
            exit_code,
            restart_count: i as u32,
            created_at: Timestamp::from_second(100 + i as i64).unwrap(),
            started_at: Timestamp::from_second(100 + i as i64).unwrap(),
            ..Default::default()
        });
    }
    out.sort();
    out
}

struct Case {
    pod: core::Pod,
    seen: Observed,
    old: core::PodStatus,
    reasons: Reasons,
    verdicts: ByContainer,
    terminal: bool,
    kubelet_started: i64,
    resize: resize::Conditions,
}

impl Case {
    fn new(policy: &str, init: &[&str], app: &[&str], containers: &[&str]) -> Self {
        Self {
            pod: pod(policy, init, app),
            seen: seen(containers),
            old: core::PodStatus::default(),
            reasons: Reasons::new(),
            verdicts: ByContainer::default(),
            terminal: false,
            kubelet_started: 0,
            resize: resize::Conditions::default(),
        }
    }

    fn status(&self) -> core::PodStatus {
        let facts = Facts {
            pod: &self.pod,
            seen: &self.seen,
            old: &self.old,
            reasons: &self.reasons,
            verdicts: &self.verdicts,
            host_ips: &["192.0.2.1".parse().unwrap()],
            runtime: "containerd",
            recursive_read_only: true,
            in_force: &crate::cgroup::Limits::default(),
            cgroup2: true,
            resize: &self.resize,
            kubelet_started: Timestamp::from_second(self.kubelet_started).unwrap(),
            is_terminal: self.terminal,
        };
        settle(
            &self.pod,
            &self.old,
            generate(&facts, None),
            Timestamp::from_second(1000).unwrap(),
        )
    }
}

#[test]
fn phases() {
    for (policy, init, app, containers, terminal, expected) in [
        ("Always", &[][..], &["a"][..], &[][..], false, "Pending"),
        ("Always", &[], &["a"], &["a:created"], false, "Pending"),
        ("Always", &[], &["a"], &["a:run"], false, "Running"),
        ("Always", &[], &["a"], &["a:0"], false, "Running"),
        ("Always", &[], &["a"], &["a:0"], true, "Succeeded"),
        ("Always", &[], &["a"], &["a:137"], true, "Failed"),
        ("Never", &[], &["a"], &["a:0"], false, "Succeeded"),
        ("Never", &[], &["a"], &["a:1"], false, "Failed"),
        ("OnFailure", &[], &["a"], &["a:1"], false, "Running"),
        ("OnFailure", &[], &["a", "b"], &["a:0", "b:0"], false, "Succeeded"),
        ("Never", &[], &["a", "b"], &["a:0", "b:run"], false, "Running"),
        ("Always", &["i"], &["a"], &["i:run"], false, "Pending"),
        ("Never", &["i"], &["a"], &["i:1"], false, "Failed"),
        ("Always", &["i"], &["a"], &["i:1"], false, "Pending"),
        ("Always", &["i"], &["a"], &["i:0", "a:run"], false, "Running"),
        ("Always", &["s!"], &["a"], &["s:run"], false, "Pending"),
        ("Always", &["s!"], &["a"], &["s:run", "a:run"], false, "Running"),
    ] {
        let mut case = Case::new(policy, init, app, containers);
        case.terminal = terminal;
        assert_eq!(
            case.status().phase.as_deref(),
            Some(expected),
            "{policy} {init:?} {app:?} {containers:?} terminal {terminal}"
        );
    }
}

#[test]
fn a_running_pod_is_ready_with_all_its_conditions_and_addresses() {
    let status = Case::new("Always", &[], &["a"], &["a:run"]).status();
    let truths: Vec<_> = status
        .conditions
        .iter()
        .flatten()
        .map(|c| (c.type_.as_str(), c.status.as_str()))
        .collect();
    assert_eq!(
        truths,
        [
            ("PodReadyToStartContainers", "True"),
            ("Initialized", "True"),
            ("Ready", "True"),
            ("ContainersReady", "True"),
            ("PodScheduled", "True"),
        ]
    );
    assert_eq!(status.pod_ip.as_deref(), Some("10.0.0.5"));
    assert_eq!(status.pod_ips.as_ref().unwrap().len(), 2);
    assert_eq!(status.host_ip.as_deref(), Some("192.0.2.1"));
    assert_eq!(status.observed_generation, Some(3));
    assert_eq!(
        status.container_statuses.unwrap()[0].container_id.as_deref(),
        Some("containerd://a0")
    );
}

#[test]
fn a_pod_without_a_sandbox_keeps_the_addresses_it_had() {
    let had = |ip: &str| Some(vec![core::PodIP { ip: ip.into() }]);
    for (ready, gone, expected) in [
        (true, false, "10.0.0.5"),
        (false, false, "10.0.0.9"),
        (false, true, "10.0.0.9"),
    ] {
        let mut case = Case::new("Never", &[], &["a"], &["a:0"]);
        case.old.pod_ips = had("10.0.0.9");
        case.seen.sandboxes[0].ready = ready;
        if gone {
            case.seen = Observed::default();
        }
        let status = case.status();
        assert_eq!(
            (
                status.pod_ip.as_deref(),
                status.pod_ips.map(|ips| ips[0].ip.clone())
            ),
            (Some(expected), Some(expected.to_owned())),
            "sandbox ready {ready}, gone {gone}"
        );
    }
}

#[test]
fn a_failed_start_waits_with_its_reason_and_keeps_the_last_end() {
    let mut case = Case::new("Always", &[], &["a"], &["a:1"]);
    case.reasons
        .insert("a".into(), ("CrashLoopBackOff".into(), "back-off 10s".into()));
    let status = case.status();
    let c = &status.container_statuses.as_ref().unwrap()[0];
    assert_eq!(
        c.state
            .as_ref()
            .unwrap()
            .waiting
            .as_ref()
            .unwrap()
            .reason
            .as_deref(),
        Some("CrashLoopBackOff")
    );
    assert_eq!(
        c.last_state
            .as_ref()
            .unwrap()
            .terminated
            .as_ref()
            .unwrap()
            .exit_code,
        1
    );
    assert_eq!(status.phase.as_deref(), Some("Running"));
    assert_eq!(
        condition(&status, "Ready").unwrap().message.as_deref(),
        Some("containers with unready status: [a]")
    );
}

#[test]
fn the_attempt_before_is_the_last_state() {
    let status = Case::new("Always", &[], &["a"], &["a:7", "a:run"]).status();
    let c = &status.container_statuses.unwrap()[0];
    assert_eq!(c.restart_count, 1);
    assert_eq!(
        c.last_state
            .as_ref()
            .unwrap()
            .terminated
            .as_ref()
            .unwrap()
            .exit_code,
        7
    );
}

#[test]
fn readiness_follows_the_probe_but_survives_a_restart_of_the_kubelet() {
    let mut case = Case::new("Always", &[], &["a"], &["a:run"]);
    case.pod.spec.as_mut().unwrap().containers[0].readiness_probe = Some(core::Probe::default());
    assert!(!is_ready(&case.status()), "no decision yet");
    case.verdicts.insert(
        "a0".into(),
        Verdicts {
            readiness: Some(true),
            ..Default::default()
        },
    );
    let ready = case.status();
    assert!(is_ready(&ready));

    case.verdicts.clear();
    case.old = ready;
    assert!(
        !is_ready(&case.status()),
        "started after the kubelet: a probe has to say so"
    );
    case.kubelet_started = 500;
    assert!(is_ready(&case.status()), "was ready before the kubelet restarted");
    case.verdicts.insert(
        "a0".into(),
        Verdicts {
            readiness: Some(false),
            ..Default::default()
        },
    );
    assert!(!is_ready(&case.status()));
}

#[test]
fn transition_times_move_only_with_the_status() {
    let mut case = Case::new("Always", &[], &["a"], &["a:run"]);
    let mut old = case.status();
    for c in old.conditions.iter_mut().flatten() {
        c.last_transition_time = Some(time(Timestamp::from_second(5).unwrap()));
    }
    case.old = old;
    case.seen = seen(&["a:1"]);
    let status = case.status();
    let at = |kind| {
        condition(&status, kind)
            .unwrap()
            .last_transition_time
            .clone()
            .unwrap()
            .0
            .as_second()
    };
    assert_eq!((at("Initialized"), at("Ready")), (5, 1000));
}

#[test]
fn a_pod_that_was_terminated_has_ends_for_all_and_a_final_phase() {
    let case = Case::new("Always", &["i"], &["a"], &["i:0", "a:run"]);
    let status = terminate(&case.pod, case.status());
    assert_eq!(status.phase.as_deref(), Some("Failed"));
    let end = status.container_statuses.as_ref().unwrap()[0]
        .state
        .as_ref()
        .unwrap()
        .terminated
        .clone()
        .unwrap();
    assert_eq!(
        (end.exit_code, end.reason.as_deref()),
        (137, Some("ContainerStatusUnknown"))
    );
    let init = status.init_container_statuses.as_ref().unwrap()[0]
        .state
        .as_ref()
        .unwrap()
        .terminated
        .clone();
    assert_eq!(init.unwrap().exit_code, 0);
}

#[test]
fn a_container_that_vanished_counts_as_a_restart() {
    let mut case = Case::new("Always", &[], &["a"], &["a:run"]);
    case.old = case.status();
    case.seen = seen(&[]);
    let status = case.status();
    let c = &status.container_statuses.as_ref().unwrap()[0];
    assert_eq!(c.restart_count, 1);
    assert_eq!(
        c.last_state
            .as_ref()
            .unwrap()
            .terminated
            .as_ref()
            .unwrap()
            .exit_code,
        137
    );
    assert_eq!(status.phase.as_deref(), Some("Running"));
}

#[test]
fn resizes_are_conditions_while_they_last() {
    let mut case = Case::new("Always", &[], &["a"], &["a:run"]);
    let shown = |case: &Case| -> Vec<String> {
        let status = case.status();
        let conditions = status.conditions.iter().flatten();
        conditions
            .filter(|c| c.type_.starts_with("PodResize"))
            .map(|c| {
                let text = |text: &Option<String>| text.clone().unwrap_or_default();
                let generation = c.observed_generation.unwrap_or_default();
                format!(
                    "{} {} {} {generation}",
                    c.type_,
                    text(&c.reason),
                    text(&c.message)
                )
            })
            .collect()
    };
    assert!(shown(&case).is_empty());
    case.resize.pending = Some(resize::Pending {
        reason: "Deferred",
        message: "full".into(),
        generation: 2,
    });
    case.resize.in_progress = Some(resize::InProgress {
        generation: 1,
        error: None,
    });
    assert_eq!(
        shown(&case),
        ["PodResizePending Deferred full 2", "PodResizeInProgress   1"]
    );
    case.resize = resize::Conditions {
        pending: None,
        in_progress: Some(resize::InProgress {
            generation: 1,
            error: Some("no".into()),
        }),
    };
    assert_eq!(shown(&case), ["PodResizeInProgress Error no 1"]);
}
