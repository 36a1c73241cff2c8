//! Lifecycle hooks: postStart and preStop.

use std::net::IpAddr;
use std::time::Duration;

use k8s_openapi::api::core::v1 as core;

use crate::cri::Runtime;
use crate::pod::spec::PodExt as _;
use crate::probe::attempt;

/// Whom a hook runs for.
#[derive(Clone, Copy)]
pub struct Hooked<'a> {
    /// The pod.
    pub pod: &'a core::Pod,
    /// The container.
    pub container: &'a core::Container,
    /// Its id.
    pub id: &'a str,
    /// The pod's address.
    pub pod_ip: Option<IpAddr>,
}

/// Runs a hook to its end.
///
/// # Errors
/// Why it failed, for the container's status (not for events: it may show secrets).
pub async fn run(runtime: &Runtime, hook: &core::LifecycleHandler, on: Hooked<'_>) -> Result<(), String> {
    let at = |what: &str, why: &str| {
        format!(
            "{what} for Container {:?} in Pod {:?} failed - error: {why}",
            on.container.name,
            on.pod.full()
        )
    };
    if let Some(exec) = &hook.exec {
        let cmd = exec.command.clone().unwrap_or_default();
        let what = format!("Exec lifecycle hook ([{}])", cmd.join(" "));
        return match runtime.exec_sync(on.id, cmd.clone(), Duration::ZERO).await {
            Ok(done) if done.exit_code == 0 => Ok(()),
            Ok(done) => {
                let mut output = done.stdout;
                output.extend_from_slice(&done.stderr);
                output.truncate(attempt::OUTPUT);
                let why = format!(
                    "command '{}' exited with {}: , message: {:?}",
                    cmd.join(" "),
                    done.exit_code,
                    String::from_utf8_lossy(&output)
                );
                Err(at(&what, &why))
            }
            Err(error) => Err(at(&what, &error.message())),
        };
    }
    if let Some(get) = &hook.http_get {
        let what = format!(
            "HTTP lifecycle hook ({})",
            get.path.as_deref().unwrap_or_default()
        );
        return attempt::get(get, on.container, on.pod_ip, "kube-lifecycle")
            .await
            .map_err(|why| at(&what, &why));
    }
    if let Some(sleep) = &hook.sleep {
        tokio::time::sleep(Duration::from_secs(
            u64::try_from(sleep.seconds).unwrap_or_default(),
        ))
        .await;
    }
    Ok(())
}
