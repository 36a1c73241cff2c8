//! The binding cycle of one pod.

use crate::framework::plugin::Placement;
use crate::framework::{Framework, Status};

/// Runs PreBind, Bind and PostBind for a pod.
///
/// # Errors
/// The pod was not bound, as far as is known.
pub async fn bind(framework: &Framework, placement: &Placement) -> Result<(), Status> {
    for plugin in &framework.pre_bind {
        if let Some(pre_bind) = plugin.as_pre_bind().filter(|plugin| plugin.applies(placement)) {
            let answer = pre_bind.pre_bind(placement).await;
            answer.map_err(|status| named(&status, "PreBind", plugin.name()))?;
        }
    }
    let mut bound = false;
    for plugin in &framework.bind {
        let Some(bind) = plugin.as_bind() else { continue };
        match bind.bind(placement).await {
            Ok(true) => {
                bound = true;
                break;
            }
            Ok(false) => {}
            Err(status) => return Err(named(&status, "Bind", plugin.name())),
        }
    }
    if !bound {
        return Err(Status::error("no bind plugin took the pod"));
    }
    for plugin in &framework.post_bind {
        if let Some(post_bind) = plugin.as_post_bind() {
            post_bind.post_bind(placement);
        }
    }
    Ok(())
}

/// An error under the name of where it happened.
fn named(status: &Status, point: &str, plugin: &str) -> Status {
    Status::error(format!("running {point} plugin {plugin:?}: {}", status.message()))
}
