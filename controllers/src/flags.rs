//! The flags of kube-controller-manager: all of upstream's.

use machinery::component::flags::{Flag, Kind, Program, inert, works};
use machinery::component::secure;

pub const PROGRAM: Program = Program {
    name: "kube-controller-manager",
    about: "Runs the Kubernetes controllers: loops that bring the cluster to what its objects ask for",
    flags: &[secure::FLAGS, WORKING, INERT],
};

/// Flags with an effect.
const WORKING: &[Flag] = &[
    works(
        "kubeconfig",
        Kind::Text,
        "how to reach the API server; in a pod its service account serves without it",
    ),
    works(
        "controllers",
        Kind::List,
        "which controllers run: * for all that are on by default, NAME, -NAME",
    ),
    works("leader-elect", Kind::Bool, "lead before working"),
    works(
        "allocate-node-cidrs",
        Kind::Bool,
        "give nodes pod address ranges out of --cluster-cidr",
    ),
    works(
        "cidr-allocator-type",
        Kind::Text,
        "RangeAllocator, or CloudAllocator to leave ranges to somebody else",
    ),
    works(
        "cluster-cidr",
        Kind::Text,
        "the pods' address ranges, one a family",
    ),
    works(
        "controller-shutdown-timeout",
        Kind::Text,
        "how long controllers may take to end",
    ),
    works(
        "kube-api-burst",
        Kind::Text,
        "the burst that --kube-api-qps allows",
    ),
    works(
        "kube-api-qps",
        Kind::Text,
        "a cap on requests a second, on top of adaptive pacing",
    ),
    works(
        "leader-elect-lease-duration",
        Kind::Text,
        "how long others wait after the last renewal that they saw",
    ),
    works(
        "leader-elect-renew-deadline",
        Kind::Text,
        "how long the leader tries to renew before it gives up",
    ),
    works(
        "leader-elect-resource-lock",
        Kind::Text,
        "leases, and nothing else",
    ),
    works("leader-elect-resource-name", Kind::Text, "the lease's name"),
    works(
        "leader-elect-resource-namespace",
        Kind::Text,
        "the lease's namespace",
    ),
    works("leader-elect-retry-period", Kind::Text, "the time between tries"),
    works(
        "use-service-account-credentials",
        Kind::Bool,
        "each controller acts under a service account of its own in kube-system",
    ),
    works(
        "concurrent-deployment-syncs",
        Kind::Text,
        "Deployments worked on at once",
    ),
    works(
        "concurrent-endpoint-syncs",
        Kind::Text,
        "Services whose Endpoints are worked on at once",
    ),
    works(
        "endpoint-updates-batch-period",
        Kind::Text,
        "how long changes of pods are gathered before Endpoints follow",
    ),
    works(
        "concurrent-service-endpoint-syncs",
        Kind::Text,
        "Services whose EndpointSlices are worked on at once",
    ),
    works(
        "endpointslice-updates-batch-period",
        Kind::Text,
        "how long changes of pods are gathered before EndpointSlices follow",
    ),
    works(
        "max-endpoints-per-slice",
        Kind::Text,
        "the most endpoints of one EndpointSlice",
    ),
    works(
        "concurrent-gc-syncs",
        Kind::Text,
        "objects that the garbage collector works on at once",
    ),
    works(
        "enable-garbage-collector",
        Kind::Bool,
        "collect what has no owner any more",
    ),
    works(
        "concurrent-namespace-syncs",
        Kind::Text,
        "namespaces worked on at once",
    ),
    works("node-cidr-mask-size", Kind::Text, "the size of a node's range"),
    works(
        "node-cidr-mask-size-ipv4",
        Kind::Text,
        "the size of a node's IPv4 range in a dual-stack cluster",
    ),
    works(
        "node-cidr-mask-size-ipv6",
        Kind::Text,
        "the size of a node's IPv6 range in a dual-stack cluster",
    ),
    works(
        "service-cluster-ip-range",
        Kind::Text,
        "the Services' address ranges, which nodes do not get",
    ),
    works(
        "large-cluster-size-threshold",
        Kind::Text,
        "nodes in a zone from which it counts as large",
    ),
    works(
        "node-eviction-rate",
        Kind::Text,
        "nodes a second whose pods are evicted, in a healthy zone",
    ),
    works(
        "node-monitor-grace-period",
        Kind::Text,
        "how long a node may be silent before it counts as unknown",
    ),
    works("node-monitor-period", Kind::Text, "how often nodes are looked at"),
    works(
        "node-startup-grace-period",
        Kind::Text,
        "how long a starting node may be silent",
    ),
    works(
        "secondary-node-eviction-rate",
        Kind::Text,
        "the same in a zone that is not healthy",
    ),
    works(
        "unhealthy-zone-threshold",
        Kind::Text,
        "the share of nodes that are not ready from which a zone is not healthy",
    ),
    works(
        "terminated-pod-gc-threshold",
        Kind::Text,
        "ended pods that are kept; 0 keeps all",
    ),
    works("concurrent-job-syncs", Kind::Text, "Jobs worked on at once"),
    works(
        "concurrent-cron-job-syncs",
        Kind::Text,
        "CronJobs worked on at once",
    ),
    works(
        "concurrent-ttl-after-finished-syncs",
        Kind::Text,
        "finished Jobs deleted at once",
    ),
    works(
        "concurrent-rc-syncs",
        Kind::Text,
        "ReplicationControllers worked on at once",
    ),
    works(
        "resource-quota-sync-period",
        Kind::Text,
        "how often ResourceQuotas are counted anew though nothing has gone",
    ),
    works(
        "concurrent-resource-quota-syncs",
        Kind::Text,
        "ResourceQuotas counted at once",
    ),
    works(
        "concurrent-replicaset-syncs",
        Kind::Text,
        "ReplicaSets worked on at once",
    ),
    works(
        "root-ca-file",
        Kind::Text,
        "the authority that kube-root-ca.crt publishes",
    ),
    works(
        "master",
        Kind::Text,
        "the API server's address, over the kubeconfig's",
    ),
];

/// Flags that are taken and do nothing.
const INERT: &[Flag] = &[
    inert("enable-leader-migration", Kind::Bool, "there is one lease"),
    inert("leader-migration-config", Kind::Text, "there is one lease"),
    inert(
        "cloud-config",
        Kind::Text,
        "there is no cloud provider in this program",
    ),
    inert(
        "cloud-provider",
        Kind::Text,
        "there is no cloud provider in this program",
    ),
    inert("cluster-name", Kind::Text, "only cloud providers read it"),
    inert(
        "configure-cloud-routes",
        Kind::Bool,
        "there is no cloud provider in this program",
    ),
    inert(
        "controller-start-interval",
        Kind::Text,
        "controllers start together",
    ),
    inert(
        "external-cloud-volume-plugin",
        Kind::Text,
        "there is no cloud provider in this program",
    ),
    inert("kube-api-content-type", Kind::Text, "requests are JSON"),
    inert("min-resync-period", Kind::Text, "caches need no resync"),
    inert(
        "route-reconciliation-period",
        Kind::Text,
        "there is no cloud provider in this program",
    ),
    inert(
        "attach-detach-reconcile-sync-period",
        Kind::Text,
        "the attach-detach controller is not part of this program yet",
    ),
    inert(
        "disable-attach-detach-reconcile-sync",
        Kind::Bool,
        "the attach-detach controller is not part of this program yet",
    ),
    inert(
        "disable-force-detach-on-timeout",
        Kind::Bool,
        "the attach-detach controller is not part of this program yet",
    ),
    inert(
        "cluster-signing-cert-file",
        Kind::Text,
        "the certificate signing controller is not part of this program yet",
    ),
    inert(
        "cluster-signing-duration",
        Kind::Text,
        "the certificate signing controller is not part of this program yet",
    ),
    inert(
        "cluster-signing-key-file",
        Kind::Text,
        "the certificate signing controller is not part of this program yet",
    ),
    inert(
        "cluster-signing-kube-apiserver-client-cert-file",
        Kind::Text,
        "the certificate signing controller is not part of this program yet",
    ),
    inert(
        "cluster-signing-kube-apiserver-client-key-file",
        Kind::Text,
        "the certificate signing controller is not part of this program yet",
    ),
    inert(
        "cluster-signing-kubelet-client-cert-file",
        Kind::Text,
        "the certificate signing controller is not part of this program yet",
    ),
    inert(
        "cluster-signing-kubelet-client-key-file",
        Kind::Text,
        "the certificate signing controller is not part of this program yet",
    ),
    inert(
        "cluster-signing-kubelet-serving-cert-file",
        Kind::Text,
        "the certificate signing controller is not part of this program yet",
    ),
    inert(
        "cluster-signing-kubelet-serving-key-file",
        Kind::Text,
        "the certificate signing controller is not part of this program yet",
    ),
    inert(
        "cluster-signing-legacy-unknown-cert-file",
        Kind::Text,
        "the certificate signing controller is not part of this program yet",
    ),
    inert(
        "cluster-signing-legacy-unknown-key-file",
        Kind::Text,
        "the certificate signing controller is not part of this program yet",
    ),
    inert(
        "concurrent-disruption-syncs",
        Kind::Text,
        "budgets are worked on one at a time",
    ),
    inert(
        "concurrent-device-taint-eviction-syncs",
        Kind::Text,
        "the device taint eviction controller is not part of this program yet",
    ),
    inert(
        "concurrent-resourceclaim-syncs",
        Kind::Text,
        "the resource claim controller is not part of this program yet",
    ),
    works(
        "concurrent-statefulset-syncs",
        Kind::Text,
        "StatefulSets worked on at once",
    ),
    works(
        "concurrent-daemonset-syncs",
        Kind::Text,
        "DaemonSets worked on at once",
    ),
    inert(
        "mirroring-concurrent-service-endpoint-syncs",
        Kind::Text,
        "five are worked on at once",
    ),
    inert(
        "mirroring-endpointslice-updates-batch-period",
        Kind::Text,
        "changes are mirrored at once",
    ),
    inert(
        "mirroring-max-endpoints-per-subset",
        Kind::Text,
        "a thousand addresses of a subset are mirrored",
    ),
    inert(
        "concurrent-ephemeralvolume-syncs",
        Kind::Text,
        "five pods are worked on at once",
    ),
    inert(
        "concurrent-horizontal-pod-autoscaler-syncs",
        Kind::Text,
        "the horizontal pod autoscaler controller is not part of this program yet",
    ),
    inert(
        "horizontal-pod-autoscaler-cpu-initialization-period",
        Kind::Text,
        "the horizontal pod autoscaler controller is not part of this program yet",
    ),
    inert(
        "horizontal-pod-autoscaler-downscale-stabilization",
        Kind::Text,
        "the horizontal pod autoscaler controller is not part of this program yet",
    ),
    inert(
        "horizontal-pod-autoscaler-initial-readiness-delay",
        Kind::Text,
        "the horizontal pod autoscaler controller is not part of this program yet",
    ),
    inert(
        "horizontal-pod-autoscaler-sync-period",
        Kind::Text,
        "the horizontal pod autoscaler controller is not part of this program yet",
    ),
    inert(
        "horizontal-pod-autoscaler-tolerance",
        Kind::Text,
        "the horizontal pod autoscaler controller is not part of this program yet",
    ),
    inert(
        "legacy-service-account-token-clean-up-period",
        Kind::Text,
        "the legacy token cleaner controller is not part of this program yet",
    ),
    inert(
        "namespace-sync-period",
        Kind::Text,
        "namespaces are looked at when something changes and while they end",
    ),
    inert(
        "enable-dynamic-provisioning",
        Kind::Bool,
        "the persistent volume controller is not part of this program yet",
    ),
    inert(
        "enable-hostpath-provisioner",
        Kind::Bool,
        "the persistent volume controller is not part of this program yet",
    ),
    inert(
        "flex-volume-plugin-dir",
        Kind::Text,
        "the persistent volume controller is not part of this program yet",
    ),
    inert(
        "pv-recycler-increment-timeout-nfs",
        Kind::Text,
        "the persistent volume controller is not part of this program yet",
    ),
    inert(
        "pv-recycler-minimum-timeout-hostpath",
        Kind::Text,
        "the persistent volume controller is not part of this program yet",
    ),
    inert(
        "pv-recycler-minimum-timeout-nfs",
        Kind::Text,
        "the persistent volume controller is not part of this program yet",
    ),
    inert(
        "pv-recycler-pod-template-filepath-hostpath",
        Kind::Text,
        "the persistent volume controller is not part of this program yet",
    ),
    inert(
        "pv-recycler-pod-template-filepath-nfs",
        Kind::Text,
        "the persistent volume controller is not part of this program yet",
    ),
    inert(
        "pv-recycler-timeout-increment-hostpath",
        Kind::Text,
        "the persistent volume controller is not part of this program yet",
    ),
    inert(
        "pvclaimbinder-sync-period",
        Kind::Text,
        "the persistent volume controller is not part of this program yet",
    ),
    inert(
        "concurrent-serviceaccount-token-syncs",
        Kind::Text,
        "five are worked on at once",
    ),
    works(
        "service-account-private-key-file",
        Kind::Text,
        "the key (RSA, or P-256 in PKCS #8) that signs tokens in Secrets",
    ),
    inert(
        "concurrent-validating-admission-policy-status-syncs",
        Kind::Text,
        "the validating admission policy status controller is not part of this program yet",
    ),
];
