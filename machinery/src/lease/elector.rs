//! Runs an election: acquires, leads, renews, releases.

use std::future::Future;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::Value;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::plan::{self, Observed, Step};
use super::{Metrics, Record};
use crate::client::{ApiError, Client};
use crate::events::{EventType, Recorder};
use crate::meta::resources::LEASES;
use crate::meta::{MicroTime, ObjectRef};

/// client-go's: candidates spread over one to 2.2 retry periods.
const JITTER: f64 = 1.2;

/// Which lease, and how it is held.
#[derive(Clone, Debug)]
pub struct Election {
    pub namespace: String,
    pub name: String,
    /// Unique to this process: see [`identity`].
    pub identity: String,
    /// `--leader-elect-lease-duration`: how long others wait after the last renewal that they saw.
    pub lease_duration: Duration,
    /// `--leader-elect-renew-deadline`: how long the leader tries to renew before it gives up.
    pub renew_deadline: Duration,
    /// `--leader-elect-retry-period`: between two tries.
    pub retry_period: Duration,
    /// Hand the lease over at a clean stop, so that the next leader need not wait.
    pub release_on_stop: bool,
}

impl Election {
    /// With upstream's defaults: 15, 10 and 2 seconds.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>, identity: impl Into<String>) -> Self {
        Election {
            namespace: namespace.into(),
            name: name.into(),
            identity: identity.into(),
            lease_duration: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry_period: Duration::from_secs(2),
            release_on_stop: true,
        }
    }
}

/// An identity as upstream's programs make it: `hostname_uuid`.
pub fn identity() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let mut id: [u8; 16] = rand::random();
    // Version 4, variant 1.
    id[6] = (id[6] & 0x0f) | 0x40;
    id[8] = (id[8] & 0x3f) | 0x80;
    let hex: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
    format!(
        "{}_{}-{}-{}-{}-{}",
        host.trim(),
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..]
    )
}

/// How [`LeaderElector::run`] ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was asked to stop.
    Stopped,
    /// The lease could not be renewed in time: somebody else may lead now. Stop the process.
    Lost,
}

/// A candidate.
pub struct LeaderElector {
    client: Client,
    election: Election,
    recorder: Option<Recorder>,
    epoch: Instant,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    observed: Observed,
    /// The Lease as we last read or wrote it.
    lease: Option<Value>,
    reported: String,
}

impl LeaderElector {
    /// A candidate that does nothing until it [`run`](Self::run)s.
    pub fn new(client: &Client, election: Election) -> Self {
        LeaderElector {
            // A renewal must not wait behind other requests.
            client: client.unpaced(),
            election,
            recorder: None,
            epoch: Instant::now(),
            state: Mutex::default(),
        }
    }

    /// Tells by events on the Lease when leading begins and ends.
    #[must_use]
    pub fn with_recorder(mut self, recorder: Recorder) -> Self {
        self.recorder = Some(recorder);
        self
    }

    /// Whether we lead, as far as we know.
    pub fn is_leader(&self) -> bool {
        self.state.lock().observed.is_held_by(&self.election.identity)
    }

    /// Who leads, as far as we know; empty if nobody does.
    pub fn leader(&self) -> String {
        self.state.lock().observed.record.holder.clone()
    }

    /// For a health check: fails if we lead but have not renewed for the lease's duration and `tolerance`.
    pub fn check(&self, tolerance: Duration) -> Result<(), String> {
        let state = self.state.lock();
        let overdue = self.epoch.elapsed().saturating_sub(state.observed.at);
        if state.observed.is_held_by(&self.election.identity)
            && overdue > self.election.lease_duration + tolerance
        {
            return Err(format!(
                "failed election to renew leadership on lease {}",
                self.election.name
            ));
        }
        Ok(())
    }

    /// Waits for the lease, calls `lead`, and renews until `stop` is cancelled or the lease is lost.
    ///
    /// `lead` gets a token that is cancelled when leading ends. After `stop` the lease is renewed until `lead` has ended, and
    /// released then. When the lease is lost, `lead` is not waited for: the caller should end the process.
    pub async fn run<F, Fut>(&self, stop: &CancellationToken, lead: F) -> Ended
    where
        F: FnOnce(CancellationToken) -> Fut,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let described = format!("{}/{}", self.election.namespace, self.election.name);
        tracing::info!(lease = described, "attempting to acquire the leader lease");
        if stop.run_until_cancelled(self.acquire()).await.is_none() {
            return Ended::Stopped;
        }
        tracing::info!(
            lease = described,
            identity = self.election.identity,
            "acquired the leader lease"
        );
        self.tell("became leader");
        Metrics::global().leads(&self.election.name, true);

        let leading = stop.child_token();
        let mut work = tokio::spawn(lead(leading.clone()));
        let ended = tokio::select! {
            () = self.renew() => Ended::Lost,
            ended = &mut work => {
                if let Err(cause) = ended {
                    tracing::error!(lease = described, "the leader's work ended early: {cause}");
                }
                Ended::Stopped
            }
        };
        leading.cancel();
        Metrics::global().leads(&self.election.name, false);
        if ended == Ended::Lost {
            tracing::error!(lease = described, "lost the leader lease");
            work.abort();
        } else if self.election.release_on_stop {
            let deadline = self.election.renew_deadline;
            if tokio::time::timeout(deadline, self.release()).await.is_err() {
                tracing::warn!(lease = described, "could not release the leader lease in time");
            }
        }
        self.tell("stopped leading");
        ended
    }

    async fn acquire(&self) {
        loop {
            let got = tokio::time::timeout(self.election.renew_deadline, self.attempt()).await;
            self.report();
            match got {
                Ok(Ok(true)) => return,
                Ok(Ok(false)) => {}
                Err(_) => tracing::debug!(lease = self.election.name, "no answer about the lease in time"),
                Ok(Err(error)) => {
                    tracing::debug!(lease = self.election.name, "cannot acquire the lease: {error}")
                }
            }
            let spread = 1.0 + JITTER * rand::random::<f64>();
            tokio::time::sleep(self.election.retry_period.mul_f64(spread)).await;
        }
    }

    /// Renews until that fails for the whole of the renew deadline.
    async fn renew(&self) {
        loop {
            let deadline = Instant::now() + self.election.renew_deadline;
            loop {
                // One request that hangs must not eat up the whole deadline.
                let patience = deadline.min(Instant::now() + self.election.renew_deadline / 2);
                match tokio::time::timeout_at(patience, self.attempt()).await {
                    Ok(Ok(true)) => break,
                    Ok(Ok(false)) => {
                        tracing::warn!(lease = self.election.name, "somebody else took the leader lease")
                    }
                    Ok(Err(error)) => {
                        tracing::warn!(lease = self.election.name, "cannot renew the lease: {error}")
                    }
                    Err(_) if patience == deadline => return,
                    Err(_) => continue,
                }
                self.report();
                if Instant::now() + self.election.retry_period >= deadline {
                    tokio::time::sleep_until(deadline).await;
                    return;
                }
                tokio::time::sleep(self.election.retry_period).await;
            }
            tokio::time::sleep(self.election.retry_period).await;
        }
    }

    fn now(&self) -> Duration {
        self.epoch.elapsed()
    }

    /// Takes or renews the lease; whether it is ours now.
    async fn attempt(&self) -> Result<bool, ApiError> {
        let Election {
            namespace,
            name,
            identity,
            lease_duration,
            ..
        } = &self.election;
        // While we lead nobody else writes, so that what we wrote last is most likely what is there.
        let optimistic = {
            let state = self.state.lock();
            let ours = state.observed.is_held_by(identity) && state.observed.is_valid(self.now());
            state
                .lease
                .clone()
                .filter(|_| ours)
                .map(|lease| (lease, state.observed.clone()))
        };
        if let Some((lease, observed)) = optimistic {
            if let Step::Write(record) =
                plan::step(identity, *lease_duration, &observed, self.now(), MicroTime::now())
            {
                match self.write(lease, record).await {
                    Ok(()) => return Ok(true),
                    Err(error) => {
                        tracing::debug!(lease = name, "reading the lease before renewing it: {error}")
                    }
                }
            }
            Metrics::global().slow_path(name);
        }

        let lease: Value = match self.client.get(&LEASES, namespace, name).await {
            Ok(lease) => lease,
            Err(error) if error.is_not_found() => {
                let record = plan::create(identity, *lease_duration, MicroTime::now());
                let created: Value = self
                    .client
                    .create(&LEASES, namespace, &record.create(namespace, name))
                    .await?;
                self.wrote(record, created);
                return Ok(true);
            }
            Err(error) => return Err(error),
        };
        let step = {
            let mut state = self.state.lock();
            let now = self.now();
            state.observed.see(&Record::of(&lease), now);
            plan::step(identity, *lease_duration, &state.observed, now, MicroTime::now())
        };
        match step {
            Step::Held => Ok(false),
            Step::Write(record) => self.write(lease, record).await.map(|()| true),
        }
    }

    async fn write(&self, mut lease: Value, record: Record) -> Result<(), ApiError> {
        let Election { namespace, name, .. } = &self.election;
        record.put_into(&mut lease);
        let written: Value = self.client.update(&LEASES, namespace, name, &lease).await?;
        self.wrote(record, written);
        Ok(())
    }

    fn wrote(&self, record: Record, mut lease: Value) {
        if let Some(meta) = lease.get_mut("metadata").and_then(Value::as_object_mut) {
            meta.remove("managedFields");
        }
        // As it will be read back, so that reading it back is no change.
        let record = if lease.get("spec").is_some() {
            Record::of(&lease)
        } else {
            record
        };
        let now = self.now();
        let mut state = self.state.lock();
        state.observed = Observed { record, at: now };
        state.lease = Some(lease);
    }

    async fn release(&self) {
        let Election {
            namespace,
            name,
            identity,
            ..
        } = &self.election;
        loop {
            let lease: Value = match self.client.get(&LEASES, namespace, name).await {
                Ok(lease) => lease,
                Err(error) => {
                    tracing::warn!(lease = name, "could not release the leader lease: {error}");
                    return;
                }
            };
            let found = Record::of(&lease);
            if found.holder != *identity {
                return;
            }
            match self.write(lease, plan::release(&found, MicroTime::now())).await {
                Ok(()) => {
                    tracing::info!(lease = name, "released the leader lease");
                    return;
                }
                Err(error) if error.is_conflict() => {}
                Err(error) => {
                    tracing::warn!(lease = name, "could not release the leader lease: {error}");
                    return;
                }
            }
        }
    }

    /// Says once who leads now.
    fn report(&self) {
        let mut state = self.state.lock();
        let leader = state.observed.record.holder.clone();
        if leader != state.reported {
            state.reported.clone_from(&leader);
            drop(state);
            if !leader.is_empty() && leader != self.election.identity {
                tracing::info!(
                    lease = self.election.name,
                    identity = leader,
                    "new leader elected"
                );
            }
        }
    }

    fn tell(&self, what: &str) {
        let Some(recorder) = &self.recorder else { return };
        let text = |field: &str| {
            let state = self.state.lock();
            let value = state
                .lease
                .as_ref()
                .and_then(|lease| lease["metadata"][field].as_str());
            value.unwrap_or_default().to_owned()
        };
        let lease = ObjectRef {
            kind: "Lease".into(),
            api_version: "coordination.k8s.io/v1".into(),
            namespace: self.election.namespace.as_str().into(),
            name: self.election.name.as_str().into(),
            uid: text("uid").into(),
            resource_version: text("resourceVersion").into(),
            ..ObjectRef::default()
        };
        let message = format!("{} {what}", self.election.identity);
        recorder.event(
            &lease,
            EventType::Normal,
            "LeaderElection",
            "LeaderElection",
            message,
        );
    }
}
