//! The runtime's event stream: wakes the pod that something happened to. When the stream breaks, and now and then
//! anyhow, everything is looked at.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::context::Node;
use crate::pod::dispatch::Input;

/// The safety net's period.
const RELIST: Duration = Duration::from_secs(300);

/// Feeds events to the dispatcher.
pub async fn run(node: Arc<Node>, inputs: mpsc::UnboundedSender<Input>, stop: CancellationToken) {
    let mut failures = 0_u32;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            worked = follow(&node, &inputs) => failures = if worked { 0 } else { failures + 1 },
        }
        let pause = Duration::from_millis(100 << failures.min(6));
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Until the stream ends; whether it worked at all.
async fn follow(node: &Node, inputs: &mpsc::UnboundedSender<Input>) -> bool {
    let mut stream = match node.cri.events().await {
        Ok(stream) => stream,
        Err(error) => {
            debug!(%error, "runtime events");
            return false;
        }
    };
    // What happened before the stream was open.
    relist(node, inputs).await;
    let mut net = tokio::time::interval_at(tokio::time::Instant::now() + RELIST, RELIST);
    loop {
        tokio::select! {
            event = stream.message() => match event {
                Ok(Some(event)) => {
                    let uid = event.pod_sandbox_status.and_then(|s| s.metadata).map(|m| m.uid);
                    if let Some(uid) = uid {
                        let at = Timestamp::from_nanosecond(i128::from(event.created_at)).unwrap_or_default();
                        let _ = inputs.send(Input::Woke(uid.into(), at));
                    }
                }
                Ok(None) => return true,
                Err(error) => {
                    debug!(%error, "runtime events");
                    return true;
                }
            },
            _ = net.tick() => relist(node, inputs).await,
        }
    }
}

async fn relist(node: &Node, inputs: &mpsc::UnboundedSender<Input>) {
    let lists = tokio::try_join!(node.cri.sandboxes(None), node.cri.containers(None));
    match lists {
        Ok((sandboxes, containers)) => {
            let _ = inputs.send(Input::Runtime(sandboxes, containers));
        }
        Err(error) => debug!(%error, "listing pods of the runtime"),
    }
}
