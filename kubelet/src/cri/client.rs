//! The client: one HTTP/2 channel over the unix socket, shared by everything.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use hyper_util::rt::TokioIo;
use k8s_cri::v1::image_service_client::ImageServiceClient;
use k8s_cri::v1::runtime_service_client::RuntimeServiceClient;
use tonic::transport::{Channel, Endpoint};

use super::pace::Pace;

/// A call to the runtime that failed.
#[derive(Debug, thiserror::Error)]
pub enum CriError {
    /// The endpoint is not one that we can dial.
    #[error("container runtime endpoint {0:?}: expected unix:///path/to/containerd.sock")]
    Endpoint(String),
    /// The call failed or was refused.
    #[error("{call} on {socket}: {}", .status.message())]
    Call {
        /// The CRI method.
        call: &'static str,
        /// The socket.
        socket: Arc<Path>,
        /// What the runtime (or the transport) answered.
        status: Box<tonic::Status>,
    },
}

impl CriError {
    /// The runtime's own words, without ours.
    #[must_use]
    pub fn message(&self) -> String {
        match self {
            Self::Endpoint(_) => self.to_string(),
            Self::Call { status, .. } => status.message().to_owned(),
        }
    }

    /// As Go prints it, but for a code that says nothing.
    #[must_use]
    pub fn in_go(&self) -> String {
        match self.code() {
            tonic::Code::Unknown => self.message(),
            code => format!("rpc error: code = {code:?} desc = {}", self.message()),
        }
    }

    /// The gRPC code.
    #[must_use]
    pub fn code(&self) -> tonic::Code {
        match self {
            Self::Endpoint(_) => tonic::Code::InvalidArgument,
            Self::Call { status, .. } => status.code(),
        }
    }

    /// Whether the runtime says that it does not know the object.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Call { status, .. } if status.code() == tonic::Code::NotFound)
    }
}

/// A handle on the runtime; clones share the connection.
#[derive(Clone)]
pub struct Runtime {
    socket: Arc<Path>,
    channel: Channel,
    deadline: std::time::Duration,
    pace: Pace,
}

impl Runtime {
    /// A lazily connected handle; `endpoint` is `unix:///run/containerd/containerd.sock` or a bare path.
    ///
    /// # Errors
    /// When the endpoint is not a unix socket's.
    pub fn new(endpoint: &str) -> Result<Self, CriError> {
        let wrong = || CriError::Endpoint(endpoint.to_owned());
        let path = match endpoint.split_once("://") {
            Some(("unix", path)) => path,
            None if endpoint.starts_with('/') => endpoint,
            _ => return Err(wrong()),
        };
        let socket: Arc<Path> = PathBuf::from(path).into();
        let dial = Arc::clone(&socket);
        let channel = Endpoint::from_static("http://localhost").connect_with_connector_lazy(
            tower::service_fn(move |_: http::Uri| {
                let dial = Arc::clone(&dial);
                async move { tokio::net::UnixStream::connect(&*dial).await.map(TokioIo::new) }
            }),
        );
        Ok(Self {
            socket,
            channel,
            deadline: std::time::Duration::from_secs(120),
            pace: Pace::new(std::thread::available_parallelism().map_or(1, usize::from)),
        })
    }

    /// With this deadline for every call that has no longer one.
    #[must_use]
    pub fn with_deadline(mut self, deadline: std::time::Duration) -> Self {
        self.deadline = deadline;
        self
    }

    pub(super) fn deadline(&self) -> Option<std::time::Duration> {
        Some(self.deadline)
    }

    pub(super) fn pace(&self) -> &Pace {
        &self.pace
    }

    /// The socket's path.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// The raw generated client, for calls that have no wrapper here.
    #[must_use]
    pub fn service(&self) -> RuntimeServiceClient<Channel> {
        RuntimeServiceClient::new(self.channel.clone()).max_decoding_message_size(16 << 20)
    }

    /// The raw generated image client.
    #[must_use]
    pub fn images(&self) -> ImageServiceClient<Channel> {
        ImageServiceClient::new(self.channel.clone()).max_decoding_message_size(16 << 20)
    }

    /// Names a failed call.
    pub fn error(&self, call: &'static str) -> impl FnOnce(tonic::Status) -> CriError + use<> {
        let socket = Arc::clone(&self.socket);
        move |status| CriError::Call {
            call,
            socket,
            status: Box::new(status),
        }
    }
}
