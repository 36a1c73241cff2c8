//! Whether a container that does not run should.

use k8s_openapi::api::core::v1 as core;

use super::observed::{Container, RunState};
use super::spec::PodExt as _;

/// Whether a container that ended with this exit code is to be started again, by its own rules and policy, else the pod's.
#[must_use]
pub fn after_exit(container: &core::Container, pod: &core::Pod, exit_code: i32) -> bool {
    if let Some(policy) = container.restart_policy.as_deref() {
        if rule_matches(container, exit_code) {
            return true;
        }
        match policy {
            "Always" => return true,
            "OnFailure" => return exit_code != 0,
            "Never" => return false,
            _ => {}
        }
    }
    match pod.restart_policy() {
        "OnFailure" => exit_code != 0,
        "Never" => false,
        _ => true,
    }
}

/// The first `restartPolicyRules` entry that speaks of this exit code says `Restart`.
fn rule_matches(container: &core::Container, exit_code: i32) -> bool {
    container.restart_policy_rules.iter().flatten().any(|rule| {
        let Some(codes) = &rule.exit_codes else {
            return false;
        };
        let listed = codes.values.iter().flatten().any(|v| *v == exit_code);
        let speaks = match codes.operator.as_str() {
            "In" => listed,
            "NotIn" => !listed,
            _ => false,
        };
        speaks && rule.action == "Restart"
    })
}

/// Whether a container, whose newest attempt is `last`, is to be started.
#[must_use]
pub fn wanted(container: &core::Container, pod: &core::Pod, last: Option<&Container>) -> bool {
    if pod.is_deleting() {
        return false;
    }
    match last {
        None => true,
        Some(last) => match last.state {
            RunState::Running => false,
            RunState::Created | RunState::Unknown => true,
            RunState::Exited => after_exit(container, pod, last.exit_code),
        },
    }
}

/// Whether a failure of this container (found while it runs) is to be answered by a restart.
#[must_use]
pub fn on_failure(container: &core::Container, pod: &core::Pod) -> bool {
    match container.restart_policy.as_deref() {
        Some(policy) => policy != "Never",
        None => pod.restart_policy() != "Never",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(policy: &str) -> core::Pod {
        core::Pod {
            spec: Some(core::PodSpec {
                restart_policy: Some(policy.into()),
                ..Default::default()
            }),
            ..Default::default()
        }
    }

    #[test]
    fn pod_policy_decides_where_the_container_has_none() {
        let c = core::Container::default();
        for (policy, code, again) in [
            ("Always", 0, true),
            ("Always", 1, true),
            ("OnFailure", 0, false),
            ("OnFailure", 3, true),
            ("Never", 1, false),
        ] {
            assert_eq!(after_exit(&c, &pod(policy), code), again, "{policy} {code}");
        }
    }

    #[test]
    fn container_rules_come_before_its_policy() {
        let c = core::Container {
            restart_policy: Some("Never".into()),
            restart_policy_rules: Some(vec![core::ContainerRestartRule {
                action: "Restart".into(),
                exit_codes: Some(core::ContainerRestartRuleOnExitCodes {
                    operator: "In".into(),
                    values: Some(vec![42]),
                }),
            }]),
            ..Default::default()
        };
        assert!(after_exit(&c, &pod("Always"), 42));
        assert!(!after_exit(&c, &pod("Always"), 1));
    }
}
