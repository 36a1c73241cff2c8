//! The verbs, over types that the caller chooses.

use http::Method;
use hyper::body::Bytes;
use serde::Serialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use super::params::Query;
use super::send::{Call, WatchBody};
use super::{ApiError, Client, DeleteOptions, List, ListOptions, PatchKind, WriteOptions};
use crate::meta::Resource;

const JSON: &str = "application/json";
/// Lists and watches of bare metadata.
const METADATA: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
const METADATA_LIST: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
/// Objects a page in [`Client::list_all`].
const PAGE: u32 = 500;

/// All of these fail with [`ApiError`]; `namespace` is empty for cluster-scoped kinds, and for lists everywhere.
/// Ask for [`serde::de::IgnoredAny`] where the answer does not matter.
impl Client {
    /// Reads one object.
    pub async fn get<T: DeserializeOwned>(
        &self,
        resource: &Resource,
        namespace: &str,
        name: &str,
    ) -> Result<T, ApiError> {
        self.send(
            Method::GET,
            &resource.object_path(namespace, name),
            JSON,
            Bytes::new(),
        )
        .await
    }

    /// Reads one page of a list: all of it unless the options set a limit.
    pub async fn list<T: DeserializeOwned>(
        &self,
        resource: &Resource,
        namespace: &str,
        options: &ListOptions,
    ) -> Result<List<T>, ApiError> {
        let mut query = Query::default();
        options.query(&mut query);
        let path = query.appended_to(resource.collection_path(namespace));
        self.send(Method::GET, &path, JSON, Bytes::new()).await
    }

    /// Reads a whole list, page by page.
    pub async fn list_all<T: DeserializeOwned>(
        &self,
        resource: &Resource,
        namespace: &str,
        options: &ListOptions,
    ) -> Result<List<T>, ApiError> {
        let mut options = options.clone();
        options.limit = options.limit.or(Some(PAGE));
        let mut all: List<T> = self.list(resource, namespace, &options).await?;
        while let Some(token) = all
            .metadata
            .continue_token
            .take()
            .filter(|token| !token.is_empty())
        {
            options.continue_token = Some(token.into());
            // A page after the first goes on at the first one's version; naming another is an error.
            (options.resource_version, options.resource_version_match) = (None, None);
            let page: List<T> = self.list(resource, namespace, &options).await?;
            all.items.extend(page.items);
            all.metadata = page.metadata;
        }
        Ok(all)
    }

    /// Reads one page of a list, only the metadata of each object.
    pub async fn list_metadata<T: DeserializeOwned>(
        &self,
        resource: &Resource,
        namespace: &str,
        options: &ListOptions,
    ) -> Result<List<T>, ApiError> {
        let mut query = Query::default();
        options.query(&mut query);
        let path = query.appended_to(resource.collection_path(namespace));
        self.request(Method::GET, &path, METADATA_LIST, JSON, Bytes::new())
            .await
    }

    /// Starts a watch; [`Cache`](crate::cache::Cache) does this and all that follows from it.
    pub async fn watch(
        &self,
        resource: &Resource,
        namespace: &str,
        options: &ListOptions,
        extra: &[(&str, &str)],
        metadata_only: bool,
    ) -> Result<WatchBody, ApiError> {
        let mut query = Query::default();
        query.add("watch", Some("true"));
        options.query(&mut query);
        for (name, value) in extra {
            query.add(name, Some(value));
        }
        let path = query.appended_to(resource.collection_path(namespace));
        self.open_watch(&path, if metadata_only { METADATA } else { JSON })
            .await
    }

    /// Creates an object; the answer is the object as stored.
    pub async fn create<T: DeserializeOwned, B: Serialize + ?Sized>(
        &self,
        resource: &Resource,
        namespace: &str,
        body: &B,
    ) -> Result<T, ApiError> {
        self.send_body(Method::POST, resource.collection_path(namespace), JSON, body)
            .await
    }

    /// Replaces an object, if its resource version is still the body's.
    pub async fn update<T: DeserializeOwned, B: Serialize + ?Sized>(
        &self,
        resource: &Resource,
        namespace: &str,
        name: &str,
        body: &B,
    ) -> Result<T, ApiError> {
        self.send_body(Method::PUT, resource.object_path(namespace, name), JSON, body)
            .await
    }

    /// Changes an object.
    pub async fn patch<T: DeserializeOwned, B: Serialize + ?Sized>(
        &self,
        resource: &Resource,
        namespace: &str,
        name: &str,
        kind: PatchKind,
        body: &B,
    ) -> Result<T, ApiError> {
        self.send_body(
            Method::PATCH,
            resource.object_path(namespace, name),
            kind.content_type(),
            body,
        )
        .await
    }

    /// Server-side apply: makes the object so, as `manager`; `force` takes fields over from others.
    pub async fn apply<T: DeserializeOwned, B: Serialize + ?Sized>(
        &self,
        resource: &Resource,
        namespace: &str,
        name: &str,
        manager: &str,
        force: bool,
        body: &B,
    ) -> Result<T, ApiError> {
        let mut query = Query::default();
        WriteOptions {
            field_manager: Some(manager.to_owned()),
            force,
            dry_run: false,
        }
        .query(&mut query);
        let path = query.appended_to(resource.object_path(namespace, name));
        self.send_body(Method::PATCH, path, PatchKind::Apply.content_type(), body)
            .await
    }

    /// Deletes an object, or starts to.
    pub async fn delete(
        &self,
        resource: &Resource,
        namespace: &str,
        name: &str,
        options: &DeleteOptions,
    ) -> Result<(), ApiError> {
        self.send_body::<IgnoredAny, _>(
            Method::DELETE,
            resource.object_path(namespace, name),
            JSON,
            options,
        )
        .await
        .map(|_| ())
    }

    /// Deletes all objects of a kind that the selectors match.
    pub async fn delete_collection(
        &self,
        resource: &Resource,
        namespace: &str,
        options: &DeleteOptions,
        select: &ListOptions,
    ) -> Result<(), ApiError> {
        let mut query = Query::default();
        select.query(&mut query);
        let path = query.appended_to(resource.collection_path(namespace));
        self.send_body::<IgnoredAny, _>(Method::DELETE, path, JSON, options)
            .await
            .map(|_| ())
    }

    /// Any request, for what the other functions do not cover. `path` starts with a slash and includes the query.
    pub async fn raw<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        content_type: &str,
        body: impl Into<Bytes>,
    ) -> Result<T, ApiError> {
        self.request(method, path, JSON, content_type, body.into()).await
    }

    /// Any GET whose answer need not be JSON (`/healthz`, `/metrics`).
    pub async fn raw_get(&self, path: &str) -> Result<Bytes, ApiError> {
        self.call(&Call {
            method: Method::GET,
            path,
            accept: "*/*",
            content_type: JSON,
            body: Bytes::new(),
        })
        .await
    }

    pub(super) async fn send_body<T: DeserializeOwned, B: Serialize + ?Sized>(
        &self,
        method: Method,
        path: String,
        content_type: &str,
        body: &B,
    ) -> Result<T, ApiError> {
        let body = serde_json::to_vec(body).map_err(|cause| ApiError::Encode {
            verb: "encode",
            path: path.clone(),
            cause,
        })?;
        self.send(method, &path, content_type, body.into()).await
    }

    pub(super) async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        content_type: &str,
        body: Bytes,
    ) -> Result<T, ApiError> {
        self.request(method, path, JSON, content_type, body).await
    }

    pub(super) async fn request<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        accept: &str,
        content_type: &str,
        body: Bytes,
    ) -> Result<T, ApiError> {
        let answer = self
            .call(&Call {
                method,
                path,
                accept,
                content_type,
                body,
            })
            .await?;
        serde_json::from_slice(&answer).map_err(|cause| ApiError::Decode {
            verb: "decode",
            path: path.to_owned(),
            cause,
        })
    }
}
