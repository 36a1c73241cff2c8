//! Which attempt of a container a reader means: pure, from the pod's status.

use k8s_openapi::api::core::v1 as core;

/// The id of the container, without its scheme, whose log is meant.
///
/// # Errors
/// Upstream's words for a container that has no log (yet).
pub(super) fn container_id<'a>(
    pod: &str,
    status: &'a core::PodStatus,
    container: &str,
    previous: bool,
) -> Result<&'a str, String> {
    let all = [
        &status.container_statuses,
        &status.init_container_statuses,
        &status.ephemeral_container_statuses,
    ];
    let found = all
        .into_iter()
        .flatten()
        .flatten()
        .find(|status| status.name == container);
    let Some(found) = found else {
        return Err(format!("container {container:?} in pod {pod:?} is not available"));
    };
    let ended = |state: &'a Option<core::ContainerState>| {
        let terminated = state.as_ref()?.terminated.as_ref()?;
        Some(terminated.container_id.as_deref().unwrap_or_default())
    };
    let last = ended(&found.last_state);
    let last_id = last.filter(|id| !id.is_empty());
    let state = found.state.as_ref();
    let id = if previous {
        last_id
            .ok_or_else(|| format!("previous terminated container {container:?} in pod {pod:?} not found"))?
    } else if state.is_some_and(|state| state.running.is_some()) {
        found.container_id.as_deref().unwrap_or_default()
    } else if let Some(id) = ended(&found.state) {
        let id = Some(id).filter(|id| !id.is_empty()).or(last_id);
        id.ok_or_else(|| format!("container {container:?} in pod {pod:?} is terminated"))?
    } else if last.is_some() {
        last_id.ok_or_else(|| format!("container {container:?} in pod {pod:?} is terminated"))?
    } else if let Some(waiting) = state.and_then(|state| state.waiting.as_ref()) {
        let why = match waiting.reason.as_deref().unwrap_or_default() {
            "ErrImagePull" => "image can't be pulled",
            "ImagePullBackOff" => "trying and failing to pull image",
            reason => reason,
        };
        return Err(format!(
            "container {container:?} in pod {pod:?} is waiting to start: {why}"
        ));
    } else {
        return Err(format!(
            "container {container:?} in pod {pod:?} is waiting to start - no logs yet"
        ));
    };
    Ok(id.split_once("://").map_or(id, |(_, id)| id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn choose(container: serde_json::Value, previous: bool) -> Result<String, String> {
        let status: core::PodStatus =
            serde_json::from_value(json!({"containerStatuses": [container]})).unwrap();
        container_id("p", &status, "c", previous).map(str::to_owned)
    }

    fn with(more: serde_json::Value) -> serde_json::Value {
        let mut status = json!({"name": "c", "image": "i", "imageID": "", "ready": false, "restartCount": 0});
        status
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        status
    }

    #[test]
    fn the_attempt_that_is_meant_is_chosen() {
        let ended = |id: &str| json!({"terminated": {"exitCode": 0, "containerID": id}});
        let waiting = |reason: &str| json!({"waiting": {"reason": reason}});
        let running = with(
            json!({"containerID": "containerd://new", "state": {"running": {}},
                                   "lastState": ended("containerd://old")}),
        );
        assert_eq!(choose(running.clone(), false), Ok("new".into()));
        assert_eq!(choose(running, true), Ok("old".into()));
        let crashed =
            with(json!({"state": waiting("CrashLoopBackOff"), "lastState": ended("containerd://old")}));
        assert_eq!(choose(crashed, false), Ok("old".into()));
        let done = with(json!({"state": ended("containerd://x")}));
        assert_eq!(choose(done.clone(), false), Ok("x".into()));
        assert_eq!(
            choose(done, true),
            Err("previous terminated container \"c\" in pod \"p\" not found".into())
        );
        for (reason, want) in [
            ("ContainerCreating", "ContainerCreating"),
            ("ErrImagePull", "image can't be pulled"),
            ("ImagePullBackOff", "trying and failing to pull image"),
        ] {
            assert_eq!(
                choose(with(json!({"state": waiting(reason)})), false),
                Err(format!(
                    "container \"c\" in pod \"p\" is waiting to start: {want}"
                ))
            );
        }
        let empty = core::PodStatus::default();
        assert_eq!(
            container_id("p", &empty, "c", false),
            Err("container \"c\" in pod \"p\" is not available".into())
        );
    }
}
