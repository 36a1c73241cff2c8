//! What a limit is about.

use machinery::meta::Istr;

/// A kind, as limits name it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Kind {
    pub group: Istr,
    pub plural: Istr,
}

impl Kind {
    pub fn new(group: &str, plural: &str) -> Self {
        Self {
            group: group.into(),
            plural: plural.into(),
        }
    }

    /// The limit on how many objects of the kind there may be.
    pub fn count_name(&self) -> Istr {
        if self.group.is_empty() {
            format!("count/{}", self.plural).into()
        } else {
            format!("count/{}.{}", self.plural, self.group).into()
        }
    }
}

/// Limits from before there was a general form.
const ALIASES: [&str; 4] = [
    "configmaps",
    "replicationcontrollers",
    "resourcequotas",
    "secrets",
];
const COMPUTE: [&str; 10] = [
    "cpu",
    "memory",
    "ephemeral-storage",
    "requests.cpu",
    "requests.memory",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
    "pods",
];
const SERVICES: [&str; 3] = ["services", "services.nodeports", "services.loadbalancers"];
const CLAIMS: [&str; 2] = ["persistentvolumeclaims", "requests.storage"];
/// Before it, the name of a storage class; after it, one of [`CLAIMS`].
pub const BY_STORAGE_CLASS: &str = ".storageclass.storage.k8s.io/";
/// Kinds that were never limited.
const IGNORED: [(&str, &str); 2] = [("", "events"), ("events.k8s.io", "events")];

/// Whether the name is one of Kubernetes' own resources.
fn is_native(name: &str) -> bool {
    !name.contains('/') || name.contains("kubernetes.io/")
}

fn is_compute(name: &str) -> bool {
    let requested = name.strip_prefix("requests.");
    let foreign = requested
        .is_some_and(|rest| !is_native(name) || rest.starts_with("deviceclass.resource.kubernetes.io/"));
    COMPUTE.contains(&name)
        || name.starts_with("hugepages-")
        || name.starts_with("requests.hugepages-")
        || foreign
}

/// The kind whose objects count towards the limit of this name; none for a limit that is somebody else's business.
pub fn kind_of(limit: &str) -> Option<Kind> {
    let by_class = limit
        .split_once(BY_STORAGE_CLASS)
        .is_some_and(|(class, rest)| !class.is_empty() && CLAIMS.contains(&rest));
    let kind = if let Some(counted) = limit.strip_prefix("count/") {
        let (plural, group) = counted.split_once('.').unwrap_or((counted, ""));
        Kind::new(group, plural)
    } else if CLAIMS.contains(&limit) || by_class {
        Kind::new("", "persistentvolumeclaims")
    } else if is_compute(limit) {
        Kind::new("", "pods")
    } else if SERVICES.contains(&limit) {
        Kind::new("", "services")
    } else if ALIASES.contains(&limit) {
        Kind::new("", limit)
    } else {
        return None;
    };
    (!IGNORED.contains(&(&*kind.group, &*kind.plural))).then_some(kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_limit_is_about_a_kind() {
        for (limit, group, plural) in [
            ("pods", "", "pods"),
            ("count/pods", "", "pods"),
            ("cpu", "", "pods"),
            ("limits.memory", "", "pods"),
            ("hugepages-2Mi", "", "pods"),
            ("requests.hugepages-2Mi", "", "pods"),
            ("requests.example.com/dongle", "", "pods"),
            ("requests.storage", "", "persistentvolumeclaims"),
            (
                "gold.storageclass.storage.k8s.io/requests.storage",
                "",
                "persistentvolumeclaims",
            ),
            (
                "gold.storageclass.storage.k8s.io/persistentvolumeclaims",
                "",
                "persistentvolumeclaims",
            ),
            ("services.nodeports", "", "services"),
            ("secrets", "", "secrets"),
            ("count/secrets", "", "secrets"),
            ("count/replicasets.apps", "apps", "replicasets"),
            ("count/widgets.example.com", "example.com", "widgets"),
        ] {
            assert_eq!(kind_of(limit), Some(Kind::new(group, plural)), "{limit}");
        }
        for limit in [
            "whatever",
            "example.com/dongle",
            "limits.example.com/dongle",
            "count/events",
            "count/events.events.k8s.io",
        ] {
            assert_eq!(kind_of(limit), None, "{limit}");
        }
        assert_eq!(
            Kind::new("apps", "deployments").count_name(),
            "count/deployments.apps"
        );
        assert_eq!(Kind::new("", "pods").count_name(), "count/pods");
    }
}
