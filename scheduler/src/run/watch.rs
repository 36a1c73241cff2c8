//! The watches, each fed straight into the core.

use machinery::cache::{Cache, Event};
use machinery::client::Client;
use machinery::meta::resources::{
    NAMESPACES, NODES, PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, POD_DISRUPTION_BUDGETS, PODS,
    REPLICA_SETS, REPLICATION_CONTROLLERS, SERVICES, STATEFUL_SETS, STORAGE_CLASSES,
};
use machinery::meta::{Object, Resource};
use tokio_util::sync::CancellationToken;

use super::shared::Shared;
use crate::api::storage::{StorageClass, Volume, VolumeClaim};
use crate::api::workload::{DisruptionBudget, MapSelected, Namespace, Selecting};
use crate::api::{Node, Pod};
use crate::cache::services::Owner;
use crate::core::Scheduler;
use crate::queue::Moment;

/// Pods that have ended take nothing and are not watched.
const NOT_ENDED: &str = "status.phase!=Succeeded,status.phase!=Failed";

/// All watches.
pub struct Watches {
    nodes: Cache<Node>,
    pods: Cache<Pod>,
    namespaces: Cache<Namespace>,
    services: Cache<MapSelected>,
    controllers: Cache<MapSelected>,
    replica_sets: Cache<Selecting>,
    stateful_sets: Cache<Selecting>,
    budgets: Cache<DisruptionBudget>,
    claims: Cache<VolumeClaim>,
    volumes: Cache<Volume>,
    classes: Cache<StorageClass>,
}

impl Watches {
    /// Until all that exists has been taken in: before that, a pod could be put where others are that were not seen yet.
    pub async fn synced(&self) {
        self.nodes.synced().await;
        self.pods.synced().await;
        self.namespaces.synced().await;
        self.services.synced().await;
        self.controllers.synced().await;
        self.replica_sets.synced().await;
        self.stateful_sets.synced().await;
        self.budgets.synced().await;
        self.claims.synced().await;
        self.volumes.synced().await;
        self.classes.synced().await;
    }
}

/// Starts them.
pub fn start(client: &Client, shared: &Shared, stop: &CancellationToken) -> Watches {
    Watches {
        nodes: watch(client, &NODES, "", shared, stop, Scheduler::on_node),
        pods: watch(client, &PODS, NOT_ENDED, shared, stop, Scheduler::on_pod),
        namespaces: watch(client, &NAMESPACES, "", shared, stop, |core, event, _| {
            core.on_namespace(event)
        }),
        services: watch(client, &SERVICES, "", shared, stop, |core, event, _| {
            core.on_service(event)
        }),
        controllers: watch(
            client,
            &REPLICATION_CONTROLLERS,
            "",
            shared,
            stop,
            |core, event, _| {
                core.on_replication_controller(event);
            },
        ),
        replica_sets: watch(client, &REPLICA_SETS, "", shared, stop, |core, event, _| {
            core.on_selecting(Owner::ReplicaSet, event);
        }),
        stateful_sets: watch(client, &STATEFUL_SETS, "", shared, stop, |core, event, _| {
            core.on_selecting(Owner::StatefulSet, event);
        }),
        budgets: watch(
            client,
            &POD_DISRUPTION_BUDGETS,
            "",
            shared,
            stop,
            |core, event, _| {
                core.on_disruption_budget(event);
            },
        ),
        claims: watch(
            client,
            &PERSISTENT_VOLUME_CLAIMS,
            "",
            shared,
            stop,
            Scheduler::on_volume_claim,
        ),
        volumes: watch(
            client,
            &PERSISTENT_VOLUMES,
            "",
            shared,
            stop,
            Scheduler::on_volume,
        ),
        classes: watch(
            client,
            &STORAGE_CLASSES,
            "",
            shared,
            stop,
            Scheduler::on_storage_class,
        ),
    }
}

fn watch<K: Object>(
    client: &Client,
    resource: &Resource,
    fields: &str,
    shared: &Shared,
    stop: &CancellationToken,
    feed: impl Fn(&mut Scheduler, &Event<K>, Moment) + Send + 'static,
) -> Cache<K> {
    let mut builder = Cache::builder(client, resource);
    if !fields.is_empty() {
        builder = builder.fields(fields);
    }
    let cache = builder.start(stop);
    let shared = shared.clone();
    cache.subscribe(move |event| {
        let now = shared.now();
        feed(&mut shared.lock(), event, now);
        shared.ring();
    });
    cache
}
