//! The node's heartbeat: a Lease in `kube-node-lease` named after the node, owned by it, renewed every ten seconds.

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta, OwnerReference};
use k8s_openapi::jiff::Timestamp;

pub const NAMESPACE: &str = "kube-node-lease";

/// The lease to create (`base` is `None`) or to put in the place of `base`.
///
/// `node_uid` is `None` while the Node is not known: the owner is added by a later renewal then.
pub fn renewed(
    base: Option<&Lease>,
    node: &str,
    node_uid: Option<&str>,
    duration_seconds: i32,
    now: Timestamp,
) -> Lease {
    let mut lease = base.cloned().unwrap_or_else(|| Lease {
        metadata: ObjectMeta {
            name: Some(node.to_owned()),
            namespace: Some(NAMESPACE.to_owned()),
            ..ObjectMeta::default()
        },
        spec: Some(LeaseSpec {
            holder_identity: Some(node.to_owned()),
            ..LeaseSpec::default()
        }),
    });
    let spec = lease.spec.get_or_insert_default();
    spec.lease_duration_seconds = Some(duration_seconds);
    spec.renew_time = Some(MicroTime(now));
    let owners = lease.metadata.owner_references.get_or_insert_default();
    if let (true, Some(uid)) = (owners.is_empty(), node_uid) {
        owners.push(OwnerReference {
            api_version: "v1".to_owned(),
            kind: "Node".to_owned(),
            name: node.to_owned(),
            uid: uid.to_owned(),
            ..OwnerReference::default()
        });
    }
    lease
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_new_lease_is_held_and_owned_by_the_node() {
        let lease = renewed(None, "n1", Some("u1"), 40, at(5));
        let spec = lease.spec.unwrap();
        assert_eq!(spec.holder_identity.as_deref(), Some("n1"));
        assert_eq!(spec.lease_duration_seconds, Some(40));
        assert_eq!(spec.renew_time, Some(MicroTime(at(5))));
        assert_eq!(lease.metadata.owner_references.unwrap()[0].uid, "u1");
    }

    #[test]
    fn a_renewal_keeps_the_version_it_saw_and_an_owner_that_is_there() {
        let mut base = renewed(None, "n1", Some("u1"), 40, at(5));
        base.metadata.resource_version = Some("7".into());
        let lease = renewed(Some(&base), "n1", Some("u2"), 40, at(15));
        assert_eq!(lease.metadata.resource_version.as_deref(), Some("7"));
        assert_eq!(lease.metadata.owner_references.unwrap()[0].uid, "u1");
        assert_eq!(lease.spec.unwrap().renew_time, Some(MicroTime(at(15))));
    }

    #[test]
    fn the_owner_is_added_once_the_node_is_known() {
        let base = renewed(None, "n1", None, 40, at(5));
        assert!(base.metadata.owner_references.as_ref().unwrap().is_empty());
        let lease = renewed(Some(&base), "n1", Some("u1"), 40, at(15));
        assert_eq!(lease.metadata.owner_references.unwrap().len(), 1);
    }
}
