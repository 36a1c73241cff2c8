//! The part of the distribution API that a pull takes.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use serde::Deserialize;
use tokio::io::AsyncReadExt as _;

use super::index::{Blob, Index};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CHUNK: u64 = 256 * 1024;

struct Registry {
    folder: PathBuf,
    index: Mutex<Arc<Index>>,
}

/// Which registry a client means, where one server stands for several.
#[derive(Deserialize)]
struct Namespace {
    ns: Option<String>,
}

/// Serves the archives in `folder` on `address`.
pub(super) async fn serve(address: SocketAddr, folder: PathBuf) -> Result<std::convert::Infallible> {
    let registry = Registry {
        index: Mutex::new(Arc::new(Index::read(&folder)?)),
        folder,
    };
    let routes = Router::new()
        .route("/v2/", get(|| async { StatusCode::OK }))
        .route("/v2/{*path}", get(answer))
        .with_state(Arc::new(registry));
    let listener = tokio::net::TcpListener::bind(address)
        .await
        .with_context(|| format!("listening on {address}"))?;
    axum::serve(listener, routes).await.context("serving images")?;
    anyhow::bail!("the registry ended")
}

async fn answer(
    State(registry): State<Arc<Registry>>,
    method: Method,
    Path(path): Path<String>,
    Query(namespace): Query<Namespace>,
) -> Response {
    let host = namespace.ns.unwrap_or_default();
    let found = registry.find(&host, &path).or_else(|| {
        // An archive may have been made since.
        registry.read_again();
        registry.find(&host, &path)
    });
    match found {
        Some(found) => found
            .response(&method)
            .unwrap_or_else(|error| (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response()),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

struct Found {
    blob: Blob,
    digest: String,
    kind: &'static str,
}

impl Registry {
    fn find(&self, host: &str, path: &str) -> Option<Found> {
        let index = Arc::clone(&self.index.lock().unwrap_or_else(PoisonError::into_inner));
        let (digest, kind) = if let Some((repository, reference)) = path.split_once("/manifests/") {
            (index.manifest(host, repository, reference)?, MANIFEST)
        } else {
            (path.split_once("/blobs/")?.1, "application/octet-stream")
        };
        Some(Found {
            blob: index.blob(digest)?.clone(),
            digest: digest.to_owned(),
            kind,
        })
    }

    fn read_again(&self) {
        match Index::read(&self.folder) {
            Ok(index) => *self.index.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(index),
            Err(error) => tracing::warn!("{error:#}"),
        }
    }
}

impl Found {
    fn response(&self, method: &Method) -> std::io::Result<Response> {
        let headers = [
            (header::CONTENT_TYPE, self.kind.to_owned()),
            (header::CONTENT_LENGTH, self.blob.size.to_string()),
            (
                header::HeaderName::from_static("docker-content-digest"),
                self.digest.clone(),
            ),
        ];
        if method == Method::HEAD {
            return Ok(headers.into_response());
        }
        let file = tokio::fs::File::from_std(self.blob.open()?);
        let chunks = futures::stream::try_unfold((file, self.blob.size), |(mut file, left)| async move {
            if left == 0 {
                return Ok::<_, std::io::Error>(None);
            }
            let mut chunk = vec![0; usize::try_from(left.min(CHUNK)).unwrap_or_default()];
            file.read_exact(&mut chunk).await?;
            let left = left - chunk.len() as u64;
            Ok(Some((Bytes::from(chunk), (file, left))))
        });
        Ok((headers, Body::from_stream(chunks)).into_response())
    }
}
