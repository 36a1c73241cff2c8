//! `workqueue_*`, with upstream's names, labels and buckets.

use std::fmt;
use std::sync::{Arc, LazyLock, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Name {
    name: String,
}

/// What a queue tells when it is asked.
pub(super) trait AtWork: Send + Sync {
    /// How long all items at work have been so, together, and the longest one.
    fn at_work(&self) -> (Duration, Duration);
}

type Watched = Arc<Mutex<Vec<(String, Weak<dyn AtWork>)>>>;

/// The metrics of all queues; clones share their counts.
#[derive(Clone)]
pub struct Metrics {
    depth: Family<Name, Gauge>,
    adds: Family<Name, Counter>,
    retries: Family<Name, Counter>,
    queue_duration: Family<Name, Histogram>,
    work_duration: Family<Name, Histogram>,
    watched: Watched,
}

impl Default for Metrics {
    fn default() -> Self {
        // 10 ns to 1000 s.
        let histogram: fn() -> Histogram = || Histogram::new(exponential_buckets(1e-8, 10.0, 12));
        Metrics {
            depth: Family::default(),
            adds: Family::default(),
            retries: Family::default(),
            queue_duration: Family::new_with_constructor(histogram),
            work_duration: Family::new_with_constructor(histogram),
            watched: Watched::default(),
        }
    }
}

impl Metrics {
    /// Where queues count unless they are told otherwise: the process's registry shows it.
    pub fn global() -> &'static Metrics {
        static GLOBAL: LazyLock<Metrics> = LazyLock::new(|| {
            let metrics = Metrics::default();
            crate::metrics::with_registry(|registry| metrics.register(registry));
            metrics
        });
        &GLOBAL
    }

    /// Shows these metrics in `registry`.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "workqueue_depth",
            "Current depth of workqueue",
            self.depth.clone(),
        );
        registry.register(
            "workqueue_adds",
            "Total number of adds handled by workqueue",
            self.adds.clone(),
        );
        registry.register(
            "workqueue_retries",
            "Total number of retries handled by workqueue",
            self.retries.clone(),
        );
        registry.register(
            "workqueue_queue_duration_seconds",
            "How long in seconds an item stays in workqueue before being requested",
            self.queue_duration.clone(),
        );
        registry.register(
            "workqueue_work_duration_seconds",
            "How long in seconds processing an item from workqueue takes",
            self.work_duration.clone(),
        );
        registry.register_collector(Box::new(AtWorkNow(self.watched.clone())));
    }

    pub(super) fn gauges(&self, name: &str) -> Gauges {
        let name = Name {
            name: name.to_owned(),
        };
        Gauges {
            depth: self.depth.get_or_create(&name).clone(),
            adds: self.adds.get_or_create(&name).clone(),
            retries: self.retries.get_or_create(&name).clone(),
            queue_duration: self.queue_duration.get_or_create(&name).clone(),
            work_duration: self.work_duration.get_or_create(&name).clone(),
        }
    }

    pub(super) fn watch(&self, name: &str, queue: Weak<dyn AtWork>) {
        let mut watched = self.watched.lock();
        watched.retain(|(_, queue)| queue.strong_count() > 0);
        watched.push((name.to_owned(), queue));
    }
}

/// Reckoned when somebody asks, so that no timer has to keep them up to date.
struct AtWorkNow(Watched);

impl fmt::Debug for AtWorkNow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AtWorkNow")
    }
}

impl Collector for AtWorkNow {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let now: Vec<(Name, (Duration, Duration))> = self
            .0
            .lock()
            .iter()
            .filter_map(|(name, queue)| Some((Name { name: name.clone() }, queue.upgrade()?.at_work())))
            .collect();
        let mut show = |metric: &str, help: &str, pick: fn(&(Duration, Duration)) -> Duration| {
            let mut family = encoder.encode_descriptor(metric, help, None, MetricType::Gauge)?;
            for (name, at_work) in &now {
                let gauge = ConstGauge::new(pick(at_work).as_secs_f64());
                gauge.encode(family.encode_family(name)?)?;
            }
            Ok(())
        };
        show(
            "workqueue_unfinished_work_seconds",
            "How many seconds of work has been done that is in progress and has not been observed by work_duration",
            |at_work| at_work.0,
        )?;
        show(
            "workqueue_longest_running_processor_seconds",
            "How many seconds has the longest running processor for workqueue been running",
            |at_work| at_work.1,
        )
    }
}

/// The metrics of one queue.
pub(super) struct Gauges {
    depth: Gauge,
    adds: Counter,
    retries: Counter,
    queue_duration: Histogram,
    work_duration: Histogram,
}

impl Gauges {
    pub(super) fn depth(&self, depth: usize) {
        self.depth.set(i64::try_from(depth).unwrap_or(i64::MAX));
    }
    pub(super) fn added(&self, count: u64) {
        self.adds.inc_by(count);
    }
    pub(super) fn retried(&self) {
        self.retries.inc();
    }
    pub(super) fn taken(&self, waited: Duration) {
        self.queue_duration.observe(waited.as_secs_f64());
    }
    pub(super) fn worked(&self, took: Duration) {
        self.work_duration.observe(took.as_secs_f64());
    }
}
