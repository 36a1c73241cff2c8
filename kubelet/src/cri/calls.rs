//! The calls the kubelet makes, with their deadlines.

use std::time::{Duration, Instant};

use k8s_cri::v1 as api;
use tonic::{Request, Streaming};

use super::client::{CriError, Runtime};
use super::labels::POD_UID;
use super::metrics;

fn by_uid(uid: Option<&str>) -> std::collections::HashMap<String, String> {
    uid.map(|uid| (POD_UID.to_owned(), uid.to_owned()))
        .into_iter()
        .collect()
}

macro_rules! call {
    ($self:ident, $service:ident.$method:ident($request:expr), $timeout:expr) => {{
        let mut request = Request::new($request);
        if let Some(timeout) = $timeout {
            request.set_timeout(timeout);
        }
        let begun = Instant::now();
        let answer = $self.$service().$method(request).await;
        metrics::called(stringify!($method), begun.elapsed(), answer.is_err());
        match answer {
            Ok(response) => Ok(response.into_inner()),
            Err(status) => Err($self.error(stringify!($method))(status)),
        }
    }};
}

/// A call that makes processes come or go waits for its turn.
macro_rules! heavy {
    ($self:ident, $($call:tt)*) => {
        $self.pace().take(async { call!($self, $($call)*) }).await
    };
}

impl Runtime {
    /// The version handshake.
    ///
    /// # Errors
    /// As all calls here: when the runtime refuses or does not answer.
    pub async fn version(&self) -> Result<api::VersionResponse, CriError> {
        call!(
            self,
            service.version(api::VersionRequest {
                version: "0.1.0".into()
            }),
            self.deadline()
        )
    }

    /// Whether it and its network are ready.
    ///
    /// # Errors
    /// As [`Self::version`].
    pub async fn status(&self) -> Result<api::StatusResponse, CriError> {
        call!(
            self,
            service.status(api::StatusRequest { verbose: false }),
            self.deadline()
        )
    }

    /// Which cgroup driver it uses.
    ///
    /// # Errors
    /// As [`Self::version`].
    pub async fn runtime_config(&self) -> Result<api::RuntimeConfigResponse, CriError> {
        call!(
            self,
            service.runtime_config(api::RuntimeConfigRequest {}),
            self.deadline()
        )
    }

    /// Tells it the pod range.
    ///
    /// # Errors
    /// As [`Self::version`].
    pub async fn set_pod_cidr(&self, pod_cidr: &str) -> Result<(), CriError> {
        let network_config = api::NetworkConfig {
            pod_cidr: pod_cidr.to_owned(),
        };
        let request = api::UpdateRuntimeConfigRequest {
            runtime_config: Some(api::RuntimeConfig {
                network_config: Some(network_config),
            }),
        };
        call!(self, service.update_runtime_config(request), self.deadline()).map(drop)
    }

    /// What happens to containers, as it happens.
    ///
    /// # Errors
    /// As [`Self::version`].
    pub async fn events(&self) -> Result<Streaming<api::ContainerEventResponse>, CriError> {
        call!(
            self,
            service.get_container_events(api::GetEventsRequest {}),
            None::<Duration>
        )
    }

    /// Sandboxes, of one pod or all.
    ///
    /// # Errors
    /// As [`Self::version`].
    pub async fn sandboxes(&self, uid: Option<&str>) -> Result<Vec<api::PodSandbox>, CriError> {
        let filter = api::PodSandboxFilter {
            label_selector: by_uid(uid),
            ..Default::default()
        };
        let request = api::ListPodSandboxRequest { filter: Some(filter) };
        call!(self, service.list_pod_sandbox(request), self.deadline()).map(|r| r.items)
    }

    /// Containers, of one pod or all.
    ///
    /// # Errors
    /// As [`Self::version`].
    pub async fn containers(&self, uid: Option<&str>) -> Result<Vec<api::Container>, CriError> {
        let filter = api::ContainerFilter {
            label_selector: by_uid(uid),
            ..Default::default()
        };
        let request = api::ListContainersRequest { filter: Some(filter) };
        call!(self, service.list_containers(request), self.deadline()).map(|r| r.containers)
    }

    /// One sandbox.
    ///
    /// # Errors
    /// As [`Self::version`].
    pub async fn sandbox_status(&self, id: &str) -> Result<Option<api::PodSandboxStatus>, CriError> {
        let request = api::PodSandboxStatusRequest {
            pod_sandbox_id: id.to_owned(),
            verbose: false,
        };
        call!(self, service.pod_sandbox_status(request), self.deadline()).map(|r| r.status)
    }

    /// One container.
    ///
    /// # Errors
    /// As [`Self::version`].
    pub async fn container_status(&self, id: &str) -> Result<Option<api::ContainerStatus>, CriError> {
        let request = api::ContainerStatusRequest {
            container_id: id.to_owned(),
            verbose: false,
        };
        call!(self, service.container_status(request), self.deadline()).map(|r| r.status)
    }

    /// Makes and starts a sandbox; its id. (No shorter than four minutes, whatever the configured deadline: network
    /// plugins take their time.)
    ///
    /// # Errors
    /// As [`Self::version`].
    pub async fn run_sandbox(
        &self,
        config: api::PodSandboxConfig,
        handler: &str,
    ) -> Result<String, CriError> {
        let request = api::RunPodSandboxRequest {
            config: Some(config),
            runtime_handler: handler.to_owned(),
        };
        let deadline = self.deadline().map(|d| d * 2);
        heavy!(self, service.run_pod_sandbox(request), deadline).map(|r| r.pod_sandbox_id)
    }

    /// Stops a sandbox and what runs in it.
    ///
    /// # Errors
    /// As [`Self::version`]; one that is gone is no error.
    pub async fn stop_sandbox(&self, id: &str) -> Result<(), CriError> {
        let request = api::StopPodSandboxRequest {
            pod_sandbox_id: id.to_owned(),
        };
        gone_is_fine(heavy!(self, service.stop_pod_sandbox(request), self.deadline()))
    }

    /// Removes a sandbox and its containers.
    ///
    /// # Errors
    /// As [`Self::stop_sandbox`].
    pub async fn remove_sandbox(&self, id: &str) -> Result<(), CriError> {
        let request = api::RemovePodSandboxRequest {
            pod_sandbox_id: id.to_owned(),
        };
        gone_is_fine(heavy!(self, service.remove_pod_sandbox(request), self.deadline()))
    }

    /// Makes a container; its id.
    ///
    /// # Errors
    /// As [`Self::version`].
    pub async fn create_container(
        &self,
        sandbox: &str,
        config: api::ContainerConfig,
        sandbox_config: api::PodSandboxConfig,
    ) -> Result<String, CriError> {
        let request = api::CreateContainerRequest {
            pod_sandbox_id: sandbox.to_owned(),
            config: Some(config),
            sandbox_config: Some(sandbox_config),
        };
        heavy!(self, service.create_container(request), self.deadline()).map(|r| r.container_id)
    }

    /// Starts a container.
    ///
    /// # Errors
    /// As [`Self::version`].
    pub async fn start_container(&self, id: &str) -> Result<(), CriError> {
        let request = api::StartContainerRequest {
            container_id: id.to_owned(),
        };
        heavy!(self, service.start_container(request), self.deadline()).map(drop)
    }

    /// Stops a container: SIGTERM, and after `grace` seconds SIGKILL. Returns when it has ended.
    ///
    /// # Errors
    /// As [`Self::stop_sandbox`].
    pub async fn stop_container(&self, id: &str, grace: i64) -> Result<(), CriError> {
        let request = api::StopContainerRequest {
            container_id: id.to_owned(),
            timeout: grace,
        };
        let extra = Duration::from_secs(u64::try_from(grace).unwrap_or_default());
        let deadline = self.deadline().map(|d| d + extra);
        gone_is_fine(call!(self, service.stop_container(request), deadline))
    }

    /// Removes a container and its log.
    ///
    /// # Errors
    /// As [`Self::stop_sandbox`].
    pub async fn remove_container(&self, id: &str) -> Result<(), CriError> {
        let request = api::RemoveContainerRequest {
            container_id: id.to_owned(),
        };
        gone_is_fine(heavy!(self, service.remove_container(request), self.deadline()))
    }

    /// Sets a running container's resources.
    ///
    /// # Errors
    /// As [`Self::version`].
    pub async fn update_container(
        &self,
        id: &str,
        resources: api::LinuxContainerResources,
    ) -> Result<(), CriError> {
        let request = api::UpdateContainerResourcesRequest {
            container_id: id.to_owned(),
            linux: Some(resources),
            ..Default::default()
        };
        call!(self, service.update_container_resources(request), self.deadline()).map(drop)
    }

    /// Opens a container's log anew after a rotation.
    ///
    /// # Errors
    /// As [`Self::version`].
    pub async fn reopen_log(&self, id: &str) -> Result<(), CriError> {
        let request = api::ReopenContainerLogRequest {
            container_id: id.to_owned(),
        };
        call!(self, service.reopen_container_log(request), self.deadline()).map(drop)
    }

    /// Runs a command in a container to its end; `timeout` zero for none.
    ///
    /// # Errors
    /// As [`Self::version`]; a timeout is one with code `DeadlineExceeded`.
    pub async fn exec_sync(
        &self,
        id: &str,
        cmd: Vec<String>,
        timeout: Duration,
    ) -> Result<api::ExecSyncResponse, CriError> {
        let seconds = i64::try_from(timeout.as_secs()).unwrap_or_default();
        let request = api::ExecSyncRequest {
            container_id: id.to_owned(),
            cmd,
            timeout: seconds,
        };
        let deadline = (!timeout.is_zero())
            .then(|| self.deadline().map(|d| d + timeout))
            .flatten();
        call!(self, service.exec_sync(request), deadline)
    }

    /// An image, if it is here.
    ///
    /// # Errors
    /// As [`Self::version`].
    pub async fn image_status(&self, image: api::ImageSpec) -> Result<Option<api::Image>, CriError> {
        let request = api::ImageStatusRequest {
            image: Some(image),
            verbose: false,
        };
        call!(self, images.image_status(request), self.deadline()).map(|r| r.image)
    }

    /// Pulls an image; its reference. No deadline: images are as large as they are.
    ///
    /// # Errors
    /// As [`Self::version`].
    pub async fn pull_image(
        &self,
        image: api::ImageSpec,
        auth: Option<api::AuthConfig>,
        sandbox_config: api::PodSandboxConfig,
    ) -> Result<String, CriError> {
        let request = api::PullImageRequest {
            image: Some(image),
            auth,
            sandbox_config: Some(sandbox_config),
        };
        call!(self, images.pull_image(request), None::<Duration>).map(|r| r.image_ref)
    }
}

fn gone_is_fine<T>(result: Result<T, CriError>) -> Result<(), CriError> {
    match result {
        Ok(_) => Ok(()),
        Err(error) if error.is_not_found() => Ok(()),
        Err(error) => Err(error),
    }
}
