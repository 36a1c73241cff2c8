//! What the API server serves, by aggregated discovery: one request each for the core group and all others.

use http::Method;
use hyper::body::Bytes;
use serde::Deserialize;

use super::{ApiError, Client};
use crate::meta::{Resource, null_default};

const ACCEPT: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// A kind that is served, and what may be done with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiscoveredResource {
    pub resource: Resource,
    /// `get`, `list`, `watch`, `delete`, `deletecollection`, ...
    pub verbs: Vec<String>,
    /// Whether this version is the one that the server prefers for the group's kind.
    pub preferred: bool,
}

impl DiscoveredResource {
    /// Whether all of `verbs` are served.
    pub fn can(&self, verbs: &[&str]) -> bool {
        verbs
            .iter()
            .all(|verb| self.verbs.iter().any(|held| held == verb))
    }
}

#[derive(Deserialize)]
struct Groups {
    #[serde(default, deserialize_with = "null_default")]
    items: Vec<Group>,
}
#[derive(Deserialize)]
struct Group {
    #[serde(default)]
    metadata: GroupName,
    #[serde(default, deserialize_with = "null_default")]
    versions: Vec<Version>,
}
#[derive(Deserialize, Default)]
struct GroupName {
    #[serde(default)]
    name: String,
}
#[derive(Deserialize)]
struct Version {
    version: String,
    #[serde(default, deserialize_with = "null_default")]
    resources: Vec<Served>,
    /// `Stale` while an aggregated API server does not answer.
    #[serde(default)]
    freshness: String,
}
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Served {
    resource: String,
    response_kind: Option<Kind>,
    #[serde(default)]
    scope: String,
    #[serde(default, deserialize_with = "null_default")]
    verbs: Vec<String>,
}
#[derive(Deserialize)]
struct Kind {
    #[serde(default)]
    group: String,
    #[serde(default)]
    version: String,
    #[serde(default)]
    kind: String,
}

/// What was found, and which group versions could not be asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Discovery {
    pub resources: Vec<DiscoveredResource>,
    /// `group/version` of aggregated APIs that do not answer now: what they serve is not known.
    pub stale: Vec<String>,
}

impl Client {
    /// Everything that the API server serves, without subresources.
    pub async fn discover(&self) -> Result<Discovery, ApiError> {
        let mut found = Discovery::default();
        for root in ["/api", "/apis"] {
            let groups: Groups = self
                .request(Method::GET, root, ACCEPT, "application/json", Bytes::new())
                .await?;
            collect(groups, &mut found);
        }
        Ok(found)
    }
}

fn collect(groups: Groups, found: &mut Discovery) {
    for group in groups.items {
        let mut seen: Vec<String> = Vec::new();
        for version in group.versions {
            if version.freshness == "Stale" {
                found
                    .stale
                    .push(format!("{}/{}", group.metadata.name, version.version));
            }
            for served in version.resources {
                let Some(kind) = served.response_kind else {
                    continue;
                };
                // A kind of another group behind this path (pods/eviction and the like) is a subresource's.
                let _ = (&kind.group, &kind.version);
                // Versions come in the server's order of preference.
                let preferred = !seen.contains(&served.resource);
                if preferred {
                    seen.push(served.resource.clone());
                }
                found.resources.push(DiscoveredResource {
                    resource: Resource::discovered(
                        group.metadata.name.clone(),
                        version.version.clone(),
                        served.resource,
                        kind.kind,
                        served.scope == "Namespaced",
                    ),
                    verbs: served.verbs,
                    preferred,
                });
            }
        }
    }
}
