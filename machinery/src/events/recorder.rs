//! The recorder that components hold.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::correlate::Correlator;
use super::recent::Digest;
use super::series::Series;
use super::sink::{Job, Source, about};
use super::{Draft, EventType};
use crate::client::{Client, Limits};
use crate::meta::{Istr, ObjectRef};

/// Events that wait to be correlated, as many as upstream's broadcaster holds.
const WAITING: usize = 1000;
/// Writes side by side; those of one event stay in order.
const LANES: usize = 4;
/// Events must not crowd out what matters more.
const LIMITS: Limits = Limits {
    start: 4.0,
    min: 1.0,
    max: 8.0,
};

/// Records events. Cheap to clone; recording never waits.
#[derive(Clone)]
pub struct Recorder {
    sender: Option<mpsc::Sender<Draft>>,
    dropped: Arc<AtomicU64>,
}

impl Recorder {
    /// Writes core v1 events, as upstream's kubelet and controllers do: `component` on `host`.
    pub fn core(client: &Client, component: &str, host: &str, stop: &CancellationToken) -> Self {
        let mut correlator = Correlator::new();
        let source = source(component, host);
        Self::start(client, stop, move |input, now, wall| match input {
            Some(draft) => correlator
                .observe(draft, now, wall)
                .map(|write| (write.lane, Job::core(&write, &source)))
                .into_iter()
                .collect(),
            None => Vec::new(),
        })
    }

    /// Writes `events.k8s.io/v1` events, as upstream's scheduler and proxy do: `controller` on `host`.
    pub fn series(client: &Client, controller: &str, host: &str, stop: &CancellationToken) -> Self {
        let mut series = Series::new();
        let source = source(controller, host);
        Self::start(client, stop, move |input, now, wall| {
            let writes = match input {
                Some(draft) => series.observe(draft, now, wall).into_iter().collect(),
                None if series.is_empty() => Vec::new(),
                None => series.tend(now),
            };
            writes
                .iter()
                .map(|write| (write.lane, Job::series(write, &source)))
                .collect()
        })
    }

    /// Drops everything.
    pub fn silent() -> Self {
        Recorder {
            sender: None,
            dropped: Arc::default(),
        }
    }

    /// Hands everything to the receiver as it was told: for tests.
    pub fn captured() -> (Self, mpsc::Receiver<Draft>) {
        let (sender, receiver) = mpsc::channel(WAITING);
        (
            Recorder {
                sender: Some(sender),
                dropped: Arc::default(),
            },
            receiver,
        )
    }

    /// Tells that something happened. `action` is used by `events.k8s.io` events alone.
    pub fn event(
        &self,
        regarding: &ObjectRef,
        kind: EventType,
        reason: impl Into<Istr>,
        action: impl Into<Istr>,
        message: impl Into<String>,
    ) {
        self.publish(Draft::new(regarding, kind, reason, action, message));
    }

    /// As [`event`](Self::event), with whatever else there is to say.
    pub fn publish(&self, draft: Draft) {
        let Some(sender) = &self.sender else { return };
        tracing::debug!(
            object = about(&draft.regarding),
            r#type = draft.kind.as_str(),
            reason = draft.reason.as_str(),
            "event: {}",
            draft.message
        );
        if sender.try_send(draft).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many events were dropped because too many were waiting.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// `correlate` gets a draft, or none when it is time to look after old ones.
    fn start(
        client: &Client,
        stop: &CancellationToken,
        mut correlate: impl FnMut(Option<Draft>, std::time::Duration, Timestamp) -> Vec<(Digest, Job)>
        + Send
        + 'static,
    ) -> Self {
        let (sender, mut drafts) = mpsc::channel::<Draft>(WAITING);
        let dropped = Arc::new(AtomicU64::new(0));
        let client = client.paced_apart(LIMITS);
        let (stop, lost) = (stop.clone(), dropped.clone());
        tokio::spawn(async move {
            let lanes: Vec<mpsc::Sender<Job>> = (0..LANES).map(|_| lane(&client, &stop)).collect();
            let epoch = Instant::now();
            let mut tend = tokio::time::interval(Series::PERIOD);
            tend.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                let input = tokio::select! {
                    () = stop.cancelled() => return,
                    draft = drafts.recv() => match draft {
                        Some(draft) => Some(draft),
                        None => return,
                    },
                    _ = tend.tick() => None,
                };
                for (digest, job) in correlate(input, epoch.elapsed(), Timestamp::now()) {
                    let lane = lanes.get(usize::try_from(digest % LANES as u64).unwrap_or(0));
                    if lane.is_none_or(|lane| lane.try_send(job).is_err()) {
                        lost.fetch_add(1, Ordering::Relaxed);
                    }
                }
            }
        });
        Recorder {
            sender: Some(sender),
            dropped,
        }
    }
}

fn source(component: &str, host: &str) -> Source {
    Source {
        component: component.to_owned(),
        host: host.to_owned(),
    }
}

fn lane(client: &Client, stop: &CancellationToken) -> mpsc::Sender<Job> {
    let (sender, mut jobs) = mpsc::channel::<Job>(WAITING / LANES);
    let (client, stop) = (client.clone(), stop.clone());
    tokio::spawn(async move {
        while let Some(Some(job)) = stop.run_until_cancelled(jobs.recv()).await {
            job.run(&client).await;
        }
    });
    sender
}
