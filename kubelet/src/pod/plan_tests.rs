use super::*;
use crate::pod::observed::Sandbox;

/// `init` and `app` are `name` or `name!` (a sidecar, for init).
fn pod(policy: &str, init: &[&str], app: &[&str]) -> core::Pod {
    let container = |text: &&str| core::Container {
        name: text.trim_end_matches('!').into(),
        image: Some("img:1".into()),
        restart_policy: text.ends_with('!').then(|| "Always".into()),
        ..Default::default()
    };
    core::Pod {
        spec: Some(core::PodSpec {
            restart_policy: Some(policy.into()),
            init_containers: Some(init.iter().map(container).collect()),
            containers: app.iter().map(container).collect(),
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// `name:state`, state one of `run`, `created`, `unknown` or an exit code; oldest first.
fn seen(containers: &[&str]) -> Observed {
    let mut out = Observed {
        sandboxes: vec![sandbox(true)],
        containers: Vec::new(),
    };
    for (i, text) in containers.iter().enumerate() {
        let (name, state) = text.split_once(':').unwrap();
        let (state, exit_code) = match state {
            "run" => (RunState::Running, 0),
            "created" => (RunState::Created, 0),
            "unknown" => (RunState::Unknown, 0),
            code => (RunState::Exited, code.parse().unwrap()),
        };
        out.containers.push(Container {
            id: format!("{name}-{i}").into(),
            name: name.into(),
            sandbox: "s".into(),
            state,
            exit_code,
            hash: hash::container(name, "img:1"),
            created_at: jiff::Timestamp::from_second(i as i64).unwrap(),
            ..Default::default()
        });
    }
    out.sort();
    out
}

fn sandbox(ready: bool) -> Sandbox {
    Sandbox {
        id: "s".into(),
        ready,
        has_network: true,
        ips: vec!["10.0.0.1".parse().unwrap()],
        ..Default::default()
    }
}

fn names(pod: &core::Pod, plan: &Plan) -> (Vec<String>, Vec<String>) {
    (
        plan.kill.iter().map(|k| k.name.to_string()).collect(),
        plan.start.iter().map(|s| s.spec(pod).unwrap().name).collect(),
    )
}

#[test]
fn with_a_ready_sandbox() {
    // (policy, init, app, seen, killed, started)
    type Case<'a> = (
        &'a str,
        &'a [&'a str],
        &'a [&'a str],
        &'a [&'a str],
        &'a [&'a str],
        &'a [&'a str],
    );
    let cases: &[Case<'_>] = &[
        ("Always", &[], &["a", "b"], &[], &[], &["a", "b"]),
        ("Always", &[], &["a", "b"], &["a:run", "b:run"], &[], &[]),
        ("Always", &[], &["a", "b"], &["a:0", "b:run"], &[], &["a"]),
        ("OnFailure", &[], &["a", "b"], &["a:0", "b:run"], &[], &[]),
        ("OnFailure", &[], &["a", "b"], &["a:1", "b:run"], &[], &["a"]),
        ("Never", &[], &["a", "b"], &["a:1", "b:run"], &[], &[]),
        ("Never", &[], &["a"], &["a:created"], &[], &["a"]),
        ("Always", &[], &["a"], &["a:unknown"], &["a"], &["a"]),
        // init containers, one at a time
        ("Always", &["i", "j"], &["a"], &[], &[], &["i"]),
        ("Always", &["i", "j"], &["a"], &["i:run"], &[], &[]),
        ("Always", &["i", "j"], &["a"], &["i:0"], &[], &["j"]),
        ("Always", &["i", "j"], &["a"], &["i:1"], &[], &["i"]),
        ("Always", &["i", "j"], &["a"], &["i:0", "j:0"], &[], &["a"]),
        // traces of init containers may be gone once the pod is initialized
        ("Always", &["i", "j"], &["a", "b"], &["a:run"], &[], &["b"]),
        ("Always", &["i", "j"], &["a"], &["j:0"], &[], &["a"]),
        // sidecars: up means the next one may start; they are kept running
        ("Always", &["s!", "i"], &["a"], &["s:run"], &[], &["i"]),
        ("Always", &["s!", "i"], &["a"], &["s:run", "i:0"], &[], &["a"]),
        (
            "Always",
            &["s!", "i"],
            &["a"],
            &["s:1", "i:0", "a:run"],
            &[],
            &["s"],
        ),
        ("Always", &["s!"], &["a"], &["a:run"], &[], &["s"]),
        ("Never", &["s!"], &["a"], &["s:1", "a:run"], &[], &["s"]),
    ];
    for (policy, init, app, containers, killed, started) in cases {
        let pod = pod(policy, init, app);
        let plan = plan(&pod, &seen(containers), &ByContainer::default());
        let (k, s) = names(&pod, &plan);
        assert_eq!(
            (k.as_slice(), s.as_slice()),
            (
                killed
                    .iter()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>()
                    .as_slice(),
                started
                    .iter()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>()
                    .as_slice(),
            ),
            "{policy} init {init:?} app {app:?} seen {containers:?}"
        );
        assert!(matches!(plan.sandbox, SandboxPlan::Keep(_)), "{containers:?}");
    }
}

#[test]
fn the_sandbox_stops_when_nothing_is_left_to_run() {
    for (policy, init, app, containers) in [
        ("Never", &[][..], &["a"][..], &["a:0"][..]),
        ("OnFailure", &[], &["a"], &["a:0"]),
        ("Never", &["i"], &["a"], &["i:1"]),
        ("Never", &["s!"], &["a"], &["s:run", "a:0"]),
    ] {
        let pod = pod(policy, init, app);
        let plan = plan(&pod, &seen(containers), &ByContainer::default());
        assert_eq!(plan.sandbox, SandboxPlan::Stop, "{containers:?}");
        assert!(plan.start.is_empty());
    }
}

#[test]
fn a_dead_sandbox_is_replaced_unless_nothing_may_run_again() {
    let dead = |containers: &[&str]| Observed {
        sandboxes: vec![sandbox(false)],
        ..seen(containers)
    };
    for (policy, init, containers, expected) in [
        ("Always", &[][..], &["a:0"][..], Some(vec!["a"])),
        ("Always", &["i"], &["i:0", "a:137"], Some(vec!["i"])),
        ("OnFailure", &[], &["a:0"], None),
        ("OnFailure", &[], &["a:1"], Some(vec!["a"])),
        ("Never", &[], &["a:1"], None),
        ("Never", &[], &[], Some(vec!["a"])),
    ] {
        let pod = pod(policy, init, &["a"]);
        let plan = plan(&pod, &dead(containers), &ByContainer::default());
        match expected {
            None => assert_eq!(plan.sandbox, SandboxPlan::Stop, "{policy} {containers:?}"),
            Some(started) => {
                assert_eq!(
                    plan.sandbox,
                    SandboxPlan::Create {
                        attempt: 1,
                        replaces: true
                    }
                );
                assert_eq!(names(&pod, &plan).1, started, "{policy} {containers:?}");
            }
        }
    }
}

#[test]
fn probes_kill_and_the_policy_decides_about_the_restart() {
    for (policy, verdicts, restarted) in [
        (
            "Always",
            Verdicts {
                liveness: Some(false),
                ..Default::default()
            },
            true,
        ),
        (
            "Never",
            Verdicts {
                liveness: Some(false),
                ..Default::default()
            },
            false,
        ),
        (
            "OnFailure",
            Verdicts {
                startup: Some(false),
                ..Default::default()
            },
            true,
        ),
    ] {
        let pod = pod(policy, &[], &["a", "b"]);
        let said = ByContainer::from_iter([("a-0".into(), verdicts)]);
        let plan = plan(&pod, &seen(&["a:run", "b:run"]), &said);
        assert_eq!(plan.kill.len(), 1);
        assert_eq!(plan.start.len(), usize::from(restarted), "{policy}");
        assert_eq!(plan.kill[0].message.ends_with("will be restarted"), restarted);
    }
}

#[test]
fn a_changed_image_restarts_whatever_the_policy() {
    let mut pod = pod("Never", &[], &["a"]);
    pod.spec.as_mut().unwrap().containers[0].image = Some("img:2".into());
    let plan = plan(&pod, &seen(&["a:run"]), &ByContainer::default());
    assert_eq!((plan.kill.len(), plan.start.len()), (1, 1));
    assert_eq!(
        plan.kill[0].message,
        "Container a definition changed, will be restarted"
    );
}

#[test]
fn a_sidecar_with_a_startup_probe_holds_back_the_next_until_it_is_up() {
    let mut pod = pod("Always", &["s!", "i"], &["a"]);
    pod.spec.as_mut().unwrap().init_containers.as_mut().unwrap()[0].startup_probe =
        Some(core::Probe::default());
    for (startup, started) in [(None, vec![]), (Some(true), vec!["i"]), (Some(false), vec!["s"])] {
        let said = ByContainer::from_iter([(
            "s-0".into(),
            Verdicts {
                startup,
                ..Default::default()
            },
        )]);
        let plan = plan(&pod, &seen(&["s:run"]), &said);
        assert_eq!(names(&pod, &plan).1, started);
    }
}
