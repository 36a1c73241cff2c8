//! What an API path is made of.

use std::borrow::Cow;
use std::fmt;

/// A kind that the API serves: enough to build its paths and to refer to its objects.
///
/// Constants for the kinds that our programs use are in [`resources`](super::resources); a discovered kind
/// is made with [`Resource::discovered`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Resource {
    /// Empty for the core group.
    pub group: Cow<'static, str>,
    pub version: Cow<'static, str>,
    pub plural: Cow<'static, str>,
    pub kind: Cow<'static, str>,
    pub namespaced: bool,
}

impl Resource {
    /// A namespaced kind.
    pub const fn namespaced(
        group: &'static str,
        version: &'static str,
        plural: &'static str,
        kind: &'static str,
    ) -> Self {
        Self::of(group, version, plural, kind, true)
    }

    /// A cluster-scoped kind.
    pub const fn cluster(
        group: &'static str,
        version: &'static str,
        plural: &'static str,
        kind: &'static str,
    ) -> Self {
        Self::of(group, version, plural, kind, false)
    }

    const fn of(
        group: &'static str,
        version: &'static str,
        plural: &'static str,
        kind: &'static str,
        namespaced: bool,
    ) -> Self {
        Resource {
            group: Cow::Borrowed(group),
            version: Cow::Borrowed(version),
            plural: Cow::Borrowed(plural),
            kind: Cow::Borrowed(kind),
            namespaced,
        }
    }

    /// A kind known only at run time.
    pub fn discovered(
        group: impl Into<String>,
        version: impl Into<String>,
        plural: impl Into<String>,
        kind: impl Into<String>,
        namespaced: bool,
    ) -> Self {
        Resource {
            group: Cow::Owned(group.into()),
            version: Cow::Owned(version.into()),
            plural: Cow::Owned(plural.into()),
            kind: Cow::Owned(kind.into()),
            namespaced,
        }
    }

    /// `v1`, `apps/v1`.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.to_string()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// The path of the collection: in one namespace, or everywhere (and for cluster-scoped kinds) if that is empty.
    pub fn collection_path(&self, namespace: &str) -> String {
        let mut path = if self.group.is_empty() {
            format!("/api/{}", self.version)
        } else {
            format!("/apis/{}/{}", self.group, self.version)
        };
        if self.namespaced && !namespace.is_empty() {
            path.push_str("/namespaces/");
            path.push_str(namespace);
        }
        path.push('/');
        path.push_str(&self.plural);
        path
    }

    /// The path of one object.
    pub fn object_path(&self, namespace: &str, name: &str) -> String {
        let mut path = self.collection_path(namespace);
        path.push('/');
        path.push_str(name);
        path
    }
}

/// `deployments.apps`, `pods`.
impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.plural)?;
        if !self.group.is_empty() {
            write!(f, ".{}", self.group)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::resources::{DEPLOYMENTS, NODES, PODS};

    #[test]
    fn paths_are_the_api_servers() {
        assert_eq!(
            PODS.object_path("default", "web"),
            "/api/v1/namespaces/default/pods/web"
        );
        assert_eq!(PODS.collection_path(""), "/api/v1/pods");
        assert_eq!(NODES.object_path("", "n1"), "/api/v1/nodes/n1");
        assert_eq!(NODES.object_path("ignored", "n1"), "/api/v1/nodes/n1");
        assert_eq!(
            DEPLOYMENTS.collection_path("x"),
            "/apis/apps/v1/namespaces/x/deployments"
        );
        assert_eq!(DEPLOYMENTS.to_string(), "deployments.apps");
    }
}
