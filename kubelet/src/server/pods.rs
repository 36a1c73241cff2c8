//! `/pods` and `/runningpods`: the pods of this node, as wanted and as the runtime has them.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Serialize;

use crate::context::Node;
use crate::cri::CriError;
use crate::cri::api::{
    Container, ContainerFilter, ContainerState, ContainerStateValue, ListContainersRequest,
    ListPodSandboxRequest, PodSandbox, PodSandboxFilter, PodSandboxState, PodSandboxStateValue,
};

/// A `PodList`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PodList {
    kind: &'static str,
    api_version: &'static str,
    metadata: BTreeMap<(), ()>,
    items: Vec<core::Pod>,
}

impl PodList {
    fn of(items: Vec<core::Pod>) -> PodList {
        PodList {
            kind: "PodList",
            api_version: "v1",
            metadata: BTreeMap::new(),
            items,
        }
    }
}

/// The pods that are wanted here, with the statuses we computed last.
pub(super) fn wanted(node: &Node) -> PodList {
    let pods = node.pods.list();
    PodList::of(
        pods.iter()
            .map(|view| core::Pod {
                status: Some((*view.status).clone()),
                ..(*view.pod).clone()
            })
            .collect(),
    )
}

/// The pods that the runtime has, with as much as it knows of them.
pub(super) async fn running(node: &Node) -> Result<PodList, CriError> {
    let filter = PodSandboxFilter {
        state: Some(PodSandboxStateValue {
            state: PodSandboxState::SandboxReady as i32,
        }),
        ..PodSandboxFilter::default()
    };
    let sandboxes = node
        .cri
        .service()
        .list_pod_sandbox(ListPodSandboxRequest { filter: Some(filter) })
        .await
        .map_err(node.cri.error("ListPodSandbox"))?
        .into_inner()
        .items;
    let filter = ContainerFilter {
        state: Some(ContainerStateValue {
            state: ContainerState::ContainerRunning as i32,
        }),
        ..ContainerFilter::default()
    };
    let containers = node
        .cri
        .service()
        .list_containers(ListContainersRequest { filter: Some(filter) })
        .await
        .map_err(node.cri.error("ListContainers"))?
        .into_inner()
        .containers;
    Ok(PodList::of(
        sandboxes
            .iter()
            .map(|sandbox| pod(sandbox, &containers))
            .collect(),
    ))
}

fn pod(sandbox: &PodSandbox, containers: &[Container]) -> core::Pod {
    let metadata = sandbox.metadata.as_ref();
    let own = containers
        .iter()
        .filter(|container| container.pod_sandbox_id == sandbox.id);
    core::Pod {
        metadata: ObjectMeta {
            name: metadata.map(|metadata| metadata.name.clone()),
            namespace: metadata.map(|metadata| metadata.namespace.clone()),
            uid: metadata.map(|metadata| metadata.uid.clone()),
            ..ObjectMeta::default()
        },
        spec: Some(core::PodSpec {
            containers: own
                .map(|container| core::Container {
                    name: container
                        .metadata
                        .as_ref()
                        .map(|metadata| metadata.name.clone())
                        .unwrap_or_default(),
                    image: container.image.as_ref().map(|image| image.image.clone()),
                    ..core::Container::default()
                })
                .collect(),
            ..core::PodSpec::default()
        }),
        status: None,
    }
}
