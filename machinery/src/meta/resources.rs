//! The kinds that our programs read and write.

use super::Resource;

macro_rules! resources {
    ($($name:ident = $scope:ident $group:literal $version:literal $plural:literal $kind:literal;)*) => {
        $(#[doc = concat!("`", $plural, "` of `", $group, "/", $version, "`")]
        pub const $name: Resource = Resource::$scope($group, $version, $plural, $kind);)*
    };
}

resources! {
    PODS = namespaced "" "v1" "pods" "Pod";
    NODES = cluster "" "v1" "nodes" "Node";
    NAMESPACES = cluster "" "v1" "namespaces" "Namespace";
    SERVICES = namespaced "" "v1" "services" "Service";
    ENDPOINTS = namespaced "" "v1" "endpoints" "Endpoints";
    CONFIG_MAPS = namespaced "" "v1" "configmaps" "ConfigMap";
    SECRETS = namespaced "" "v1" "secrets" "Secret";
    SERVICE_ACCOUNTS = namespaced "" "v1" "serviceaccounts" "ServiceAccount";
    CORE_EVENTS = namespaced "" "v1" "events" "Event";
    PERSISTENT_VOLUMES = cluster "" "v1" "persistentvolumes" "PersistentVolume";
    PERSISTENT_VOLUME_CLAIMS = namespaced "" "v1" "persistentvolumeclaims" "PersistentVolumeClaim";
    REPLICATION_CONTROLLERS = namespaced "" "v1" "replicationcontrollers" "ReplicationController";
    RESOURCE_QUOTAS = namespaced "" "v1" "resourcequotas" "ResourceQuota";
    LIMIT_RANGES = namespaced "" "v1" "limitranges" "LimitRange";
    DEPLOYMENTS = namespaced "apps" "v1" "deployments" "Deployment";
    REPLICA_SETS = namespaced "apps" "v1" "replicasets" "ReplicaSet";
    STATEFUL_SETS = namespaced "apps" "v1" "statefulsets" "StatefulSet";
    DAEMON_SETS = namespaced "apps" "v1" "daemonsets" "DaemonSet";
    CONTROLLER_REVISIONS = namespaced "apps" "v1" "controllerrevisions" "ControllerRevision";
    JOBS = namespaced "batch" "v1" "jobs" "Job";
    CRON_JOBS = namespaced "batch" "v1" "cronjobs" "CronJob";
    ENDPOINT_SLICES = namespaced "discovery.k8s.io" "v1" "endpointslices" "EndpointSlice";
    EVENTS = namespaced "events.k8s.io" "v1" "events" "Event";
    LEASES = namespaced "coordination.k8s.io" "v1" "leases" "Lease";
    POD_DISRUPTION_BUDGETS = namespaced "policy" "v1" "poddisruptionbudgets" "PodDisruptionBudget";
    PRIORITY_CLASSES = cluster "scheduling.k8s.io" "v1" "priorityclasses" "PriorityClass";
    RUNTIME_CLASSES = cluster "node.k8s.io" "v1" "runtimeclasses" "RuntimeClass";
    STORAGE_CLASSES = cluster "storage.k8s.io" "v1" "storageclasses" "StorageClass";
    VOLUME_ATTRIBUTES_CLASSES = cluster "storage.k8s.io" "v1" "volumeattributesclasses" "VolumeAttributesClass";
    CSI_NODES = cluster "storage.k8s.io" "v1" "csinodes" "CSINode";
    CSI_DRIVERS = cluster "storage.k8s.io" "v1" "csidrivers" "CSIDriver";
    CSI_STORAGE_CAPACITIES = namespaced "storage.k8s.io" "v1" "csistoragecapacities" "CSIStorageCapacity";
    VOLUME_ATTACHMENTS = cluster "storage.k8s.io" "v1" "volumeattachments" "VolumeAttachment";
    RESOURCE_CLAIMS = namespaced "resource.k8s.io" "v1" "resourceclaims" "ResourceClaim";
    RESOURCE_SLICES = cluster "resource.k8s.io" "v1" "resourceslices" "ResourceSlice";
    DEVICE_CLASSES = cluster "resource.k8s.io" "v1" "deviceclasses" "DeviceClass";
    SERVICE_CIDRS = cluster "networking.k8s.io" "v1" "servicecidrs" "ServiceCIDR";
    IP_ADDRESSES = cluster "networking.k8s.io" "v1" "ipaddresses" "IPAddress";
    HORIZONTAL_POD_AUTOSCALERS = namespaced "autoscaling" "v2" "horizontalpodautoscalers" "HorizontalPodAutoscaler";
    CLUSTER_ROLES = cluster "rbac.authorization.k8s.io" "v1" "clusterroles" "ClusterRole";
    CERTIFICATE_SIGNING_REQUESTS = cluster "certificates.k8s.io" "v1" "certificatesigningrequests" "CertificateSigningRequest";
    CLUSTER_TRUST_BUNDLES = cluster "certificates.k8s.io" "v1" "clustertrustbundles" "ClusterTrustBundle";
    POD_CERTIFICATE_REQUESTS = namespaced "certificates.k8s.io" "v1" "podcertificaterequests" "PodCertificateRequest";
    TOKEN_REVIEWS = cluster "authentication.k8s.io" "v1" "tokenreviews" "TokenReview";
    SUBJECT_ACCESS_REVIEWS = cluster "authorization.k8s.io" "v1" "subjectaccessreviews" "SubjectAccessReview";
    CUSTOM_RESOURCE_DEFINITIONS = cluster "apiextensions.k8s.io" "v1" "customresourcedefinitions" "CustomResourceDefinition";
}
