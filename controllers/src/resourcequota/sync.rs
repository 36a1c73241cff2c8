//! Counts and writes.

use super::measure::{Kind, kind_of};
use super::plan::{Why, kinds, status, total};
use super::usage::{is_alive, of_claim, of_many, of_pod, of_service};
use super::watches::{MEMORY, Watch, Watches};
use super::{claim::Claim, scope};
use crate::api::{Amounts, Pod, ResourceQuota, Service, status_update};
use crate::caches::BY_NAMESPACE;
use crate::context::Context;
use crate::ownership::Consistency;
use anyhow::Context as _;
use jiff::Timestamp;
use machinery::cache::{Cache, Event};
use machinery::client::ApiError;
use machinery::meta::resources::RESOURCE_QUOTAS;
use machinery::meta::{Istr, ObjectKey, PartialObject};
use machinery::queue::{Next, Queue, run_workers};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long what comes is gathered before it is compared with what the API server has charged.
const GATHER: Duration = Duration::from_secs(1);
/// How long a kind may keep a quota waiting for its first list.
const PATIENCE: Duration = Duration::from_secs(30);

struct Controller {
    context: Context,
    quotas: Cache<ResourceQuota>,
    pods: Cache<Pod>,
    services: Cache<Service>,
    watches: Watches,
    lines: Lines,
    consistency: Consistency,
}

/// Quotas to be counted since something has gone, or come.
#[derive(Clone)]
struct Lines {
    went: Queue<ObjectKey>,
    came: Queue<ObjectKey>,
}

impl Lines {
    /// Something that counts towards quotas of this namespace has come or gone.
    fn enqueue(&self, quotas: &Cache<ResourceQuota>, kind: &Kind, namespace: &Istr, why: Why) {
        for quota in quotas.by_index(BY_NAMESPACE, namespace) {
            let mut limits = quota.spec.hard.keys();
            if limits.any(|limit| kind_of(limit).as_ref() == Some(kind)) {
                match why {
                    Why::Went => self.went.add(quota.metadata.key()),
                    Why::Came => self.came.add_after(quota.metadata.key(), GATHER),
                }
            }
        }
    }
}

/// Runs until the context is stopped.
pub async fn run(context: Context) {
    let lines = Lines {
        went: Queue::new("resourcequota_primary"),
        came: Queue::new("resourcequota_came"),
    };
    let quotas = context.caches.resource_quotas().clone();
    let changed = {
        let (lines, quotas) = (lines.clone(), quotas.clone());
        Arc::new(move |kind: &Kind, namespace: &Istr, why| lines.enqueue(&quotas, kind, namespace, why))
    };
    let controller = Arc::new(Controller {
        pods: context.caches.pods().clone(),
        services: context.caches.services().clone(),
        watches: Watches::new(
            context.caches.clone(),
            context.client.clone(),
            context.stop.clone(),
            changed,
        ),
        quotas,
        lines: lines.clone(),
        consistency: Consistency::default(),
        context,
    });
    tokio::join!(
        controller.quotas.synced(),
        controller.pods.synced(),
        controller.services.synced()
    );
    controller.subscribe();
    let workers = controller.context.config.concurrent_resource_quota_syncs;
    let period = controller.context.config.resource_quota_sync_period;
    let stop = controller.context.stop.clone();
    let work = |queue: Queue<ObjectKey>, why| {
        let this = controller.clone();
        async move {
            run_workers(&queue, workers, move |key| {
                let this = this.clone();
                async move { this.sync(&key, why).await }
            })
            .await;
        }
    };
    tokio::join!(
        work(lines.went.clone(), Why::Went),
        work(lines.came.clone(), Why::Came),
        stop.run_until_cancelled(controller.recount(period)),
        async {
            stop.cancelled().await;
            lines.went.shutdown();
            lines.came.shutdown();
        }
    );
}

/// Whether the status is not about what the spec limits now.
fn is_behind(quota: &ResourceQuota) -> bool {
    quota.status.hard.as_ref() != Some(&quota.spec.hard)
}

impl Controller {
    fn subscribe(self: &Arc<Self>) {
        let this = self.clone();
        self.quotas.subscribe(move |event| match event {
            Event::Added(quota) => this.lines.went.add(quota.metadata.key()),
            // The API server writes what it charges: that is no news.
            Event::Updated { old, new } if old.spec != new.spec || is_behind(new) => {
                this.lines.went.add(new.metadata.key());
            }
            Event::Updated { .. } => {}
            Event::Deleted(last) => this.consistency.forget(&last.metadata.uid),
        });
        let (this, kind) = (self.clone(), Kind::new("", "pods"));
        self.pods.subscribe(move |event| {
            let now = Timestamp::now();
            let why = match event {
                Event::Added(_) => Some(Why::Came),
                Event::Deleted(_) => Some(Why::Went),
                Event::Updated { old, new } => {
                    let timed = |pod: &Pod| pod.spec.active_deadline_seconds.is_some();
                    let cheaper = (is_alive(old, now) && !is_alive(new, now))
                        || timed(old) != timed(new)
                        || !old.spec.container_resources().eq(new.spec.container_resources());
                    cheaper.then_some(Why::Went)
                }
            };
            if let Some(why) = why {
                let namespace = &event.object().metadata.namespace;
                this.lines.enqueue(&this.quotas, &kind, namespace, why);
            }
        });
        let (this, kind) = (self.clone(), Kind::new("", "services"));
        self.services.subscribe(move |event| {
            let why = match event {
                Event::Added(_) => Some(Why::Came),
                Event::Deleted(_) => Some(Why::Went),
                Event::Updated { old, new } => (of_service(old) != of_service(new)).then_some(Why::Went),
            };
            if let Some(why) = why {
                let namespace = &event.object().metadata.namespace;
                this.lines.enqueue(&this.quotas, &kind, namespace, why);
            }
        });
    }

    /// Counts everything anew from time to time, in case that something was missed; lets go of kinds that nobody limits.
    async fn recount(&self, period: Duration) {
        if period.is_zero() {
            return std::future::pending().await;
        }
        loop {
            tokio::time::sleep(period).await;
            let quotas = self.quotas.list();
            let wanted: BTreeSet<Kind> = quotas
                .iter()
                .flat_map(|quota| quota.spec.hard.keys())
                .filter_map(|limit| kind_of(limit))
                .collect();
            self.watches.retain(|kind| wanted.contains(kind));
            for quota in quotas {
                self.lines.went.add(quota.metadata.key());
            }
        }
    }

    async fn sync(&self, key: &ObjectKey, why: Why) -> anyhow::Result<Next> {
        let Some(quota) = self.quotas.get(key) else {
            return Ok(Next::Done);
        };
        let uid = &quota.metadata.uid;
        if !self
            .consistency
            .is_caught_up(uid, [&quota.metadata], Instant::now())
        {
            return Ok(Next::After(Duration::from_millis(100)));
        }
        let (mut counted, mut failure, mut unserved) = (Amounts::new(), None, false);
        for (kind, limits) in kinds(&quota) {
            let costs = tokio::time::timeout(PATIENCE, self.costs(&quota, &kind)).await;
            match costs {
                Ok(Ok(Some(costs))) => counted.extend(total(&limits, costs)),
                Ok(Ok(None)) => unserved = true,
                Ok(Err(error)) => failure = Some(error.into()),
                Err(_) => {
                    failure = Some(anyhow::anyhow!(
                        "{} could not be listed in {PATIENCE:?}",
                        kind.count_name()
                    ));
                }
            }
        }
        if let Some(status) = status(&quota, counted, why) {
            let body = status_update(&RESOURCE_QUOTAS, &quota.metadata, &status);
            match self
                .context
                .client
                .update_status::<PartialObject, _>(&RESOURCE_QUOTAS, &key.namespace, &key.name, &body)
                .await
            {
                Ok(written) => self.consistency.wrote(uid, &written.metadata, Instant::now()),
                Err(gone) if gone.is_not_found() => return Ok(Next::Done),
                // The API server has charged something meanwhile.
                Err(conflict) if conflict.is_conflict() => return Ok(Next::BackOff),
                Err(error) => {
                    return Err(error).with_context(|| format!("updating the status of ResourceQuota {key}"));
                }
            }
        }
        match failure {
            Some(error) => Err(error.context(format!("counting for ResourceQuota {key}"))),
            // The kind may come.
            None if unserved => Ok(Next::After(MEMORY)),
            None => Ok(Next::Done),
        }
    }

    /// What each object of the kind costs; none if nobody serves the kind.
    async fn costs(&self, quota: &ResourceQuota, kind: &Kind) -> Result<Option<Vec<Amounts>>, ApiError> {
        let (namespace, spec) = (&*quota.metadata.namespace, &quota.spec);
        let others = scope::takes_others(spec);
        if kind.group.is_empty() && kind.plural == "pods" {
            let now = Timestamp::now();
            let pods = self.pods.by_index(BY_NAMESPACE, namespace);
            let taken = pods.iter().filter(|pod| scope::takes_pod(spec, pod));
            return Ok(Some(taken.map(|pod| of_pod(pod, now)).collect()));
        }
        if kind.group.is_empty() && kind.plural == "services" {
            let services = self.services.by_index(BY_NAMESPACE, namespace);
            let taken = services.iter().filter(|_| others);
            return Ok(Some(taken.map(|service| of_service(service)).collect()));
        }
        let Some(watch) = self.watches.of(kind).await? else {
            return Ok(None);
        };
        Ok(Some(match watch {
            Watch::Claims(cache) => {
                let claims = cache.by_index(BY_NAMESPACE, namespace);
                let taken = claims
                    .iter()
                    .filter(|claim: &&Arc<Claim>| scope::takes_claim(spec, claim));
                taken.map(|claim| of_claim(claim)).collect()
            }
            Watch::Others(cache) => {
                let count = if others {
                    cache.by_index(BY_NAMESPACE, namespace).len()
                } else {
                    0
                };
                vec![of_many(kind, count)]
            }
        }))
    }
}
