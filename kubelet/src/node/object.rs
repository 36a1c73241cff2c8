//! The Node object at registration: the one to create, and what to change on one that is already there.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Node, NodeSpec, Taint};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::capacity::HUGE_PAGES_PREFIX;

const HOSTNAME: &str = "kubernetes.io/hostname";
const OS: &str = "kubernetes.io/os";
const ARCH: &str = "kubernetes.io/arch";
const BETA_OS: &str = "beta.kubernetes.io/os";
const BETA_ARCH: &str = "beta.kubernetes.io/arch";
const ATTACH_BY_CONTROLLER: &str = "volumes.kubernetes.io/controller-managed-attach-detach";
const UNINITIALIZED: &str = "node.cloudprovider.kubernetes.io/uninitialized";

/// The labels that a restarted kubelet brings back to their value; all others belong to whoever set them.
const RECONCILED: [&str; 11] = [
    HOSTNAME,
    OS,
    ARCH,
    BETA_OS,
    BETA_ARCH,
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
    "node.kubernetes.io/instance-type",
    "beta.kubernetes.io/instance-type",
];

/// What flags and configuration say about the Node object.
#[derive(Clone, Debug, Default)]
pub struct Identity {
    pub name: String,
    /// The value of the hostname label and address: the machine's, or `--hostname-override`.
    pub hostname: String,
    /// `--node-labels`; they win over the defaults.
    pub labels: BTreeMap<String, String>,
    /// `--register-with-taints`.
    pub taints: Vec<Taint>,
    pub provider_id: Option<String>,
    /// `enableControllerAttachDetach`.
    pub attach_by_controller: bool,
    /// `--cloud-provider=external`: the cloud's controller lifts the taint once it knows the node.
    pub external_cloud: bool,
}

/// Go's name for the architecture this runs on.
pub fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        "powerpc64" => "ppc64le",
        other => other,
    }
}

/// The Node to create; its status is filled in by [`super::status::fill`].
pub fn initial(identity: &Identity) -> Node {
    let mut labels: BTreeMap<String, String> = [
        (HOSTNAME, identity.hostname.as_str()),
        (OS, "linux"),
        (ARCH, architecture()),
        (BETA_OS, "linux"),
        (BETA_ARCH, architecture()),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .collect();
    labels.extend(identity.labels.clone());

    let mut taints = identity.taints.clone();
    if identity.external_cloud {
        taints.push(Taint {
            key: UNINITIALIZED.to_owned(),
            value: Some("true".to_owned()),
            effect: "NoSchedule".to_owned(),
            time_added: None,
        });
    }
    Node {
        metadata: ObjectMeta {
            name: Some(identity.name.clone()),
            labels: Some(labels),
            annotations: identity
                .attach_by_controller
                .then(|| [(ATTACH_BY_CONTROLLER.to_owned(), "true".to_owned())].into()),
            ..ObjectMeta::default()
        },
        spec: Some(NodeSpec {
            taints: (!taints.is_empty()).then_some(taints),
            provider_id: identity.provider_id.clone(),
            ..NodeSpec::default()
        }),
        status: None,
    }
}

/// `existing` brought in line with `wanted` where registration may change it: default labels, the attach-detach
/// annotation, huge page sizes that came or went. Taints and foreign labels stay as they are.
pub fn reconciled(existing: &Node, wanted: &Node) -> Node {
    let mut node = existing.clone();
    let wanted_labels = wanted.metadata.labels.as_ref();
    let labels = node.metadata.labels.get_or_insert_default();
    for name in RECONCILED {
        match wanted_labels
            .and_then(|labels| labels.get(name))
            .map(String::as_str)
        {
            None => {}
            Some("") => drop(labels.remove(name)),
            Some(value) => drop(labels.insert(name.to_owned(), value.to_owned())),
        }
    }

    let annotations = node.metadata.annotations.get_or_insert_default();
    match wanted
        .metadata
        .annotations
        .as_ref()
        .and_then(|annotations| annotations.get(ATTACH_BY_CONTROLLER))
    {
        Some(value) => drop(annotations.insert(ATTACH_BY_CONTROLLER.to_owned(), value.clone())),
        None => drop(annotations.remove(ATTACH_BY_CONTROLLER)),
    }

    if let (Some(status), Some(wanted)) = (node.status.as_mut(), wanted.status.as_ref()) {
        for (have, want) in [
            (&mut status.capacity, &wanted.capacity),
            (&mut status.allocatable, &wanted.allocatable),
        ] {
            let Some(want) = want else { continue };
            let have = have.get_or_insert_with(|| want.clone());
            have.retain(|name, _| !name.starts_with(HUGE_PAGES_PREFIX) || want.contains_key(name));
            for (name, amount) in want
                .iter()
                .filter(|(name, _)| name.starts_with(HUGE_PAGES_PREFIX))
            {
                have.insert(name.clone(), amount.clone());
            }
        }
    }
    node
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> Identity {
        Identity {
            name: "n1".into(),
            hostname: "n1.local".into(),
            labels: [("role".to_owned(), "edge".to_owned())].into(),
            attach_by_controller: true,
            ..Identity::default()
        }
    }

    fn labels(node: &Node) -> BTreeMap<String, String> {
        node.metadata.labels.clone().unwrap_or_default()
    }

    #[test]
    fn a_new_node_carries_default_and_given_labels() {
        let node = initial(&identity());
        assert_eq!(labels(&node)[HOSTNAME], "n1.local");
        assert_eq!(labels(&node)[BETA_OS], "linux");
        assert_eq!(labels(&node)["role"], "edge");
        assert_eq!(node.metadata.annotations.unwrap()[ATTACH_BY_CONTROLLER], "true");
        assert_eq!(node.spec.unwrap().taints, None);
    }

    #[test]
    fn an_external_cloud_taints_the_node_after_the_given_taints() {
        let given = Taint {
            key: "dedicated".into(),
            effect: "NoExecute".into(),
            ..Taint::default()
        };
        let node = initial(&Identity {
            taints: vec![given],
            external_cloud: true,
            ..identity()
        });
        let keys: Vec<_> = node
            .spec
            .unwrap()
            .taints
            .unwrap()
            .into_iter()
            .map(|taint| taint.key)
            .collect();
        assert_eq!(keys, ["dedicated", UNINITIALIZED]);
    }

    #[test]
    fn given_labels_win_over_defaults() {
        let labels_given = [(HOSTNAME.to_owned(), "other".to_owned())].into();
        let node = initial(&Identity {
            labels: labels_given,
            ..identity()
        });
        assert_eq!(labels(&node)[HOSTNAME], "other");
    }

    #[test]
    fn an_existing_node_keeps_what_others_wrote() {
        let mut existing = initial(&identity());
        existing.metadata.labels = Some(
            [("role", "master"), ("added", "by-admin"), (OS, "plan9")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
        );
        existing.metadata.annotations = Some([("note".to_owned(), "mine".to_owned())].into());
        let node = reconciled(&existing, &initial(&identity()));
        assert_eq!(labels(&node)["role"], "master");
        assert_eq!(labels(&node)["added"], "by-admin");
        assert_eq!(labels(&node)[OS], "linux");
        assert_eq!(node.metadata.annotations.as_ref().unwrap().len(), 2);

        let detached = initial(&Identity {
            attach_by_controller: false,
            ..identity()
        });
        let node = reconciled(&node, &detached);
        assert_eq!(node.metadata.annotations.unwrap().len(), 1);
    }

    #[test]
    fn huge_page_sizes_that_went_are_dropped_and_other_resources_stay() {
        use k8s_openapi::api::core::v1::NodeStatus;
        use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
        let status = |of: &[(&str, &str)]| {
            let amounts: BTreeMap<_, _> = of
                .iter()
                .map(|(name, amount)| ((*name).to_owned(), Quantity((*amount).to_owned())))
                .collect();
            NodeStatus {
                capacity: Some(amounts.clone()),
                allocatable: Some(amounts),
                ..NodeStatus::default()
            }
        };
        let existing = Node {
            status: Some(status(&[("hugepages-1Gi", "1Gi"), ("vendor/x", "3")])),
            ..Node::default()
        };
        let wanted = Node {
            status: Some(status(&[("hugepages-2Mi", "0"), ("cpu", "2")])),
            ..Node::default()
        };
        let capacity = reconciled(&existing, &wanted).status.unwrap().capacity.unwrap();
        assert_eq!(capacity.keys().collect::<Vec<_>>(), ["hugepages-2Mi", "vendor/x"]);
    }
}
