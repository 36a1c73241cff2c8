//! The same pods by bare CRI calls, with no kubelet on the node.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result};
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use hyper_util::rt::TokioIo;
use k8s_cri::v1::runtime_service_client::RuntimeServiceClient;
use k8s_cri::v1::{
    ContainerConfig, ContainerMetadata, CreateContainerRequest, ImageSpec, LinuxPodSandboxConfig,
    PodSandboxConfig, PodSandboxMetadata, RemovePodSandboxRequest, RunPodSandboxRequest,
    StartContainerRequest, StopContainerRequest, StopPodSandboxRequest,
};
use tonic::transport::{Channel, Endpoint};

use super::{ALL_GONE, ALL_READY, GONE, NODE, ONE, Plan, READY};
use crate::assets::Image;
use crate::bench::table::Table;
use crate::bench::testbed::Testbed;
use crate::plan::choice::Component;

type Runtime = RuntimeServiceClient<Channel>;

/// How many pods are worked on at a time.
const AT_ONCE: usize = 8;

/// What the runtime calls it.
struct Pod {
    sandbox: String,
    container: String,
}

/// Stops the node's kubelet meanwhile, for it would end what it does not know.
pub async fn measure(bed: &Testbed, plan: &Plan, table: &mut Table) -> Result<()> {
    let origin = bed.before(Component::Kubelet, NODE);
    let machine = bed.machine(NODE)?;
    let socket = format!("/proc/{machine}/root/run/containerd/containerd.sock");
    let runtime = connect(socket.into()).await?;
    bed.stop(Component::Kubelet, NODE)?;
    let parent = format!("/{}/floor", bed.site.pods_cgroup(NODE));
    let outcome = async {
        // The first is the warm-up.
        for number in 0..=plan.singles {
            let (made, gone) = all(&runtime, &parent, number..=number).await?;
            if number > 0 {
                table.floor(ONE, READY, made);
                table.floor(ONE, GONE, gone);
            }
        }
        let (made, gone) = all(&runtime, &parent, 1..=plan.pods).await?;
        table.floor(&plan.at_once(), ALL_READY, made);
        table.floor(&plan.at_once(), ALL_GONE, gone);
        Ok(())
    }
    .await;
    bed.start(Component::Kubelet, origin, NODE)?;
    outcome
}

/// Seconds until all run, and until all are stopped. A few at a time: more only get in each other's way.
async fn all(runtime: &Runtime, parent: &str, numbers: RangeInclusive<usize>) -> Result<(f64, f64)> {
    let since = Instant::now();
    let pods: Vec<Pod> = stream::iter(numbers)
        .map(|number| start(runtime.clone(), parent, number))
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await?;
    let made = since.elapsed().as_secs_f64();

    let since = Instant::now();
    stream::iter(&pods)
        .map(|pod| stop(runtime.clone(), pod))
        .buffer_unordered(AT_ONCE)
        .try_collect::<()>()
        .await?;
    let gone = since.elapsed().as_secs_f64();

    stream::iter(pods)
        .map(|pod| remove(runtime.clone(), pod))
        .buffer_unordered(AT_ONCE)
        .try_collect::<()>()
        .await?;
    Ok((made, gone))
}

async fn connect(socket: PathBuf) -> Result<Runtime> {
    let channel = Endpoint::from_static("http://localhost")
        .connect_with_connector(tower::service_fn(move |_: http::Uri| {
            let socket = socket.clone();
            async move { tokio::net::UnixStream::connect(socket).await.map(TokioIo::new) }
        }))
        .await
        .context("connecting to containerd")?;
    Ok(Runtime::new(channel))
}

async fn start(mut runtime: Runtime, parent: &str, number: usize) -> Result<Pod> {
    let sandbox = PodSandboxConfig {
        metadata: Some(PodSandboxMetadata {
            name: format!("floor-{number}"),
            uid: format!("floor-{number}-{}", std::process::id()),
            namespace: "bench-floor".to_owned(),
            attempt: 0,
        }),
        hostname: format!("floor-{number}"),
        linux: Some(LinuxPodSandboxConfig {
            cgroup_parent: parent.to_owned(),
            ..LinuxPodSandboxConfig::default()
        }),
        labels: HashMap::new(),
        ..PodSandboxConfig::default()
    };
    let request = RunPodSandboxRequest {
        config: Some(sandbox.clone()),
        runtime_handler: String::new(),
    };
    let sandbox_id = runtime
        .run_pod_sandbox(request)
        .await
        .context("RunPodSandbox")?
        .into_inner()
        .pod_sandbox_id;
    let config = ContainerConfig {
        metadata: Some(ContainerMetadata {
            name: "main".to_owned(),
            attempt: 0,
        }),
        image: Some(ImageSpec {
            image: Image::Pause.reference().to_owned(),
            ..ImageSpec::default()
        }),
        ..ContainerConfig::default()
    };
    let request = CreateContainerRequest {
        pod_sandbox_id: sandbox_id.clone(),
        config: Some(config),
        sandbox_config: Some(sandbox),
    };
    let container_id = runtime
        .create_container(request)
        .await
        .context("CreateContainer")?
        .into_inner()
        .container_id;
    runtime
        .start_container(StartContainerRequest {
            container_id: container_id.clone(),
        })
        .await
        .context("StartContainer")?;
    Ok(Pod {
        sandbox: sandbox_id,
        container: container_id,
    })
}

async fn stop(mut runtime: Runtime, pod: &Pod) -> Result<()> {
    let request = StopContainerRequest {
        container_id: pod.container.clone(),
        timeout: 1,
    };
    runtime.stop_container(request).await.context("StopContainer")?;
    let request = StopPodSandboxRequest {
        pod_sandbox_id: pod.sandbox.clone(),
    };
    runtime
        .stop_pod_sandbox(request)
        .await
        .context("StopPodSandbox")?;
    Ok(())
}

async fn remove(mut runtime: Runtime, pod: Pod) -> Result<()> {
    let request = RemovePodSandboxRequest {
        pod_sandbox_id: pod.sandbox,
    };
    runtime
        .remove_pod_sandbox(request)
        .await
        .context("RemovePodSandbox")?;
    Ok(())
}
