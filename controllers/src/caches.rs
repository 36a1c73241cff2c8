//! The caches that the controllers share: one watch a kind, started by the first controller that asks for it.

use crate::api::{
    Budget, Claim, ControllerRevision, CronJob, DaemonSet, Deployment, EndpointSlice, Endpoints, Job, Lease,
    Namespace, Node, Pod, ReplicaSet, ReplicationController, ResourceQuota, Service, StatefulSet,
    StorageClass, Volume,
};
use crate::certificates::request::SigningRequest;
use machinery::cache::Cache;
use machinery::client::Client;
use machinery::meta::{Istr, Object, PartialObject, Resource, resources};
use std::sync::OnceLock;
use tokio_util::sync::CancellationToken;

/// Objects by the uid of their controller; those without one by `orphan/NAMESPACE`.
pub const BY_OWNER: &str = "owner";
/// Objects by namespace.
pub const BY_NAMESPACE: &str = "namespace";
/// Pods by node; those without one by the empty name.
pub const BY_NODE: &str = "node";
/// Pods by `NAMESPACE/CLAIM` for each claim that they use.
pub const BY_CLAIM: &str = "claim";
/// Claims and volumes by the volume attributes classes that they name.
pub const BY_ATTRIBUTES_CLASS: &str = "attributes class";
/// EndpointSlices by `NAMESPACE/SERVICE`.
pub const BY_SERVICE: &str = "service";

/// The value of [`BY_OWNER`] for objects of a namespace that nothing controls.
pub fn orphans_of(namespace: &str) -> String {
    format!("orphan/{namespace}")
}

fn owner<K: Object>(object: &K) -> Vec<Istr> {
    let meta = object.meta();
    vec![
        meta.controller()
            .map_or_else(|| orphans_of(&meta.namespace).into(), |owner| owner.uid.clone()),
    ]
}

fn namespace<K: Object>(object: &K) -> Vec<Istr> {
    vec![object.meta().namespace.clone()]
}

pub struct Caches {
    client: Client,
    stop: CancellationToken,
    pods: OnceLock<Cache<Pod>>,
    replica_sets: OnceLock<Cache<ReplicaSet>>,
    deployments: OnceLock<Cache<Deployment>>,
    replication_controllers: OnceLock<Cache<ReplicationController>>,
    resource_quotas: OnceLock<Cache<ResourceQuota>>,
    jobs: OnceLock<Cache<Job>>,
    cron_jobs: OnceLock<Cache<CronJob>>,
    services: OnceLock<Cache<Service>>,
    endpoint_slices: OnceLock<Cache<EndpointSlice>>,
    endpoints: OnceLock<Cache<Endpoints>>,
    nodes: OnceLock<Cache<Node>>,
    leases: OnceLock<Cache<Lease>>,
    namespaces: OnceLock<Cache<Namespace>>,
    service_accounts: OnceLock<Cache<PartialObject>>,
    daemon_sets: OnceLock<Cache<DaemonSet>>,
    stateful_sets: OnceLock<Cache<StatefulSet>>,
    revisions: OnceLock<Cache<ControllerRevision>>,
    budgets: OnceLock<Cache<Budget>>,
    claims: OnceLock<Cache<Claim>>,
    volumes: OnceLock<Cache<Volume>>,
    storage_classes: OnceLock<Cache<StorageClass>>,
    attributes_classes: OnceLock<Cache<PartialObject>>,
    signing_requests: OnceLock<Cache<SigningRequest>>,
}

impl Caches {
    /// Caches fed by `client` until `stop`.
    pub fn new(client: &Client, stop: &CancellationToken) -> Self {
        Self {
            client: client.clone(),
            stop: stop.clone(),
            pods: OnceLock::new(),
            replica_sets: OnceLock::new(),
            deployments: OnceLock::new(),
            replication_controllers: OnceLock::new(),
            resource_quotas: OnceLock::new(),
            jobs: OnceLock::new(),
            cron_jobs: OnceLock::new(),
            services: OnceLock::new(),
            endpoint_slices: OnceLock::new(),
            endpoints: OnceLock::new(),
            nodes: OnceLock::new(),
            leases: OnceLock::new(),
            namespaces: OnceLock::new(),
            service_accounts: OnceLock::new(),
            daemon_sets: OnceLock::new(),
            stateful_sets: OnceLock::new(),
            revisions: OnceLock::new(),
            budgets: OnceLock::new(),
            claims: OnceLock::new(),
            volumes: OnceLock::new(),
            storage_classes: OnceLock::new(),
            attributes_classes: OnceLock::new(),
            signing_requests: OnceLock::new(),
        }
    }

    /// The client that feeds the caches.
    pub fn client(&self) -> &Client {
        &self.client
    }

    fn plain<K: Object>(&self, resource: &Resource) -> Cache<K> {
        Cache::builder(&self.client, resource).start(&self.stop)
    }

    pub fn pods(&self) -> &Cache<Pod> {
        self.pods.get_or_init(|| {
            Cache::builder(&self.client, &resources::PODS)
                .index(BY_OWNER, owner)
                .index(BY_NAMESPACE, namespace)
                .index(BY_NODE, |pod: &Pod| vec![pod.spec.node_name.clone()])
                .index(BY_CLAIM, |pod: &Pod| {
                    let namespace = &pod.metadata.namespace;
                    pod.claim_names()
                        .map(|claim| format!("{namespace}/{claim}").into())
                        .collect()
                })
                .start(&self.stop)
        })
    }

    pub fn replica_sets(&self) -> &Cache<ReplicaSet> {
        self.replica_sets.get_or_init(|| {
            Cache::builder(&self.client, &resources::REPLICA_SETS)
                .index(BY_OWNER, owner)
                .index(BY_NAMESPACE, namespace)
                .start(&self.stop)
        })
    }

    pub fn deployments(&self) -> &Cache<Deployment> {
        self.deployments.get_or_init(|| {
            Cache::builder(&self.client, &resources::DEPLOYMENTS)
                .index(BY_NAMESPACE, namespace)
                .start(&self.stop)
        })
    }

    pub fn replication_controllers(&self) -> &Cache<ReplicationController> {
        self.replication_controllers.get_or_init(|| {
            Cache::builder(&self.client, &resources::REPLICATION_CONTROLLERS)
                .index(BY_OWNER, owner)
                .index(BY_NAMESPACE, namespace)
                .start(&self.stop)
        })
    }

    pub fn resource_quotas(&self) -> &Cache<ResourceQuota> {
        self.resource_quotas.get_or_init(|| {
            Cache::builder(&self.client, &resources::RESOURCE_QUOTAS)
                .index(BY_NAMESPACE, namespace)
                .start(&self.stop)
        })
    }

    pub fn jobs(&self) -> &Cache<Job> {
        self.jobs.get_or_init(|| {
            Cache::builder(&self.client, &resources::JOBS)
                .index(BY_OWNER, owner)
                .index(BY_NAMESPACE, namespace)
                .start(&self.stop)
        })
    }

    pub fn cron_jobs(&self) -> &Cache<CronJob> {
        self.cron_jobs.get_or_init(|| self.plain(&resources::CRON_JOBS))
    }

    pub fn services(&self) -> &Cache<Service> {
        self.services.get_or_init(|| {
            Cache::builder(&self.client, &resources::SERVICES)
                .index(BY_NAMESPACE, namespace)
                .start(&self.stop)
        })
    }

    pub fn endpoint_slices(&self) -> &Cache<EndpointSlice> {
        self.endpoint_slices.get_or_init(|| {
            Cache::builder(&self.client, &resources::ENDPOINT_SLICES)
                .index(BY_SERVICE, |slice: &EndpointSlice| {
                    slice
                        .service()
                        .map(|key| key.to_string().into())
                        .into_iter()
                        .collect()
                })
                .start(&self.stop)
        })
    }

    pub fn endpoints(&self) -> &Cache<Endpoints> {
        self.endpoints.get_or_init(|| self.plain(&resources::ENDPOINTS))
    }

    pub fn nodes(&self) -> &Cache<Node> {
        self.nodes.get_or_init(|| self.plain(&resources::NODES))
    }

    /// The leases of nodes.
    pub fn leases(&self) -> &Cache<Lease> {
        self.leases.get_or_init(|| {
            Cache::builder(&self.client, &resources::LEASES)
                .namespace("kube-node-lease")
                .start(&self.stop)
        })
    }

    pub fn namespaces(&self) -> &Cache<Namespace> {
        self.namespaces.get_or_init(|| self.plain(&resources::NAMESPACES))
    }

    pub fn service_accounts(&self) -> &Cache<PartialObject> {
        self.service_accounts.get_or_init(|| {
            Cache::builder(&self.client, &resources::SERVICE_ACCOUNTS)
                .metadata_only()
                .start(&self.stop)
        })
    }

    pub fn daemon_sets(&self) -> &Cache<DaemonSet> {
        self.daemon_sets.get_or_init(|| {
            Cache::builder(&self.client, &resources::DAEMON_SETS)
                .index(BY_NAMESPACE, namespace)
                .start(&self.stop)
        })
    }

    pub fn stateful_sets(&self) -> &Cache<StatefulSet> {
        self.stateful_sets.get_or_init(|| {
            Cache::builder(&self.client, &resources::STATEFUL_SETS)
                .index(BY_NAMESPACE, namespace)
                .start(&self.stop)
        })
    }

    pub fn revisions(&self) -> &Cache<ControllerRevision> {
        self.revisions.get_or_init(|| {
            Cache::builder(&self.client, &resources::CONTROLLER_REVISIONS)
                .index(BY_OWNER, owner)
                .start(&self.stop)
        })
    }

    pub fn budgets(&self) -> &Cache<Budget> {
        self.budgets.get_or_init(|| {
            Cache::builder(&self.client, &resources::POD_DISRUPTION_BUDGETS)
                .index(BY_NAMESPACE, namespace)
                .start(&self.stop)
        })
    }

    /// PersistentVolumeClaims.
    pub fn claims(&self) -> &Cache<Claim> {
        self.claims.get_or_init(|| {
            Cache::builder(&self.client, &resources::PERSISTENT_VOLUME_CLAIMS)
                .index(BY_ATTRIBUTES_CLASS, |claim: &Claim| {
                    claim.attributes_classes().into_iter().cloned().collect()
                })
                .start(&self.stop)
        })
    }

    /// PersistentVolumes.
    pub fn volumes(&self) -> &Cache<Volume> {
        self.volumes.get_or_init(|| {
            Cache::builder(&self.client, &resources::PERSISTENT_VOLUMES)
                .index(BY_ATTRIBUTES_CLASS, |volume: &Volume| {
                    volume.attributes_class().into_iter().cloned().collect()
                })
                .start(&self.stop)
        })
    }

    pub fn storage_classes(&self) -> &Cache<StorageClass> {
        self.storage_classes
            .get_or_init(|| self.plain(&resources::STORAGE_CLASSES))
    }

    /// VolumeAttributesClasses.
    pub fn attributes_classes(&self) -> &Cache<PartialObject> {
        self.attributes_classes.get_or_init(|| {
            Cache::builder(&self.client, &resources::VOLUME_ATTRIBUTES_CLASSES)
                .metadata_only()
                .start(&self.stop)
        })
    }

    pub fn signing_requests(&self) -> &Cache<SigningRequest> {
        self.signing_requests
            .get_or_init(|| self.plain(&resources::CERTIFICATE_SIGNING_REQUESTS))
    }
}
