//! The process's metrics: one registry, written in the Prometheus text format that upstream serves.
//!
//! Names are given as upstream spells them, but counters without `_total`: the encoder adds it.
//!
//! ```
//! use prometheus_client::metrics::counter::Counter;
//! let syncs = machinery::metrics::register("example_syncs", "Syncs so far", Counter::<u64>::default());
//! syncs.inc();
//! assert!(machinery::metrics::encode().contains("example_syncs_total 1"));
//! ```

use std::sync::LazyLock;

use parking_lot::Mutex;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::{Metric, Registry};

static REGISTRY: LazyLock<Mutex<Registry>> = LazyLock::new(|| {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(ProcessCollector));
    Mutex::new(registry)
});

/// Adds `metric` to the process's registry and hands back a clone to count with.
pub fn register<M: Metric + Clone>(name: &str, help: &str, metric: M) -> M {
    REGISTRY
        .lock()
        .register(name, help.trim_end_matches('.'), metric.clone());
    metric
}

/// Adds metrics that are computed when they are asked for.
pub fn register_collector(collector: impl Collector) {
    REGISTRY.lock().register_collector(Box::new(collector));
}

/// Lets `add` put metrics of its own kind into the process's registry.
pub fn with_registry<R>(add: impl FnOnce(&mut Registry) -> R) -> R {
    add(&mut REGISTRY.lock())
}

/// The content type of what [`encode`] writes.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// All metrics of the process in the Prometheus text format 0.0.4.
#[must_use]
pub fn encode() -> String {
    encode_registry(&REGISTRY.lock())
}

/// All metrics of one registry in the Prometheus text format 0.0.4.
#[must_use]
pub fn encode_registry(registry: &Registry) -> String {
    let mut open = String::new();
    // Writing to a String fails only where a metric's own encoder does; what was written stands.
    let _ = prometheus_client::encoding::text::encode(&mut open, registry);
    to_prometheus_text(&open)
}

/// From OpenMetrics to the older text format: a counter's family has the name of its samples, and
/// there are no units and no end mark.
fn to_prometheus_text(open: &str) -> String {
    let mut text = String::with_capacity(open.len() + 256);
    let mut help: Option<(&str, &str)> = None;
    for line in open.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ').or(Some((rest, "")));
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' '))
        {
            let suffix = if kind == "counter" { "_total" } else { "" };
            let kind = if kind == "unknown" { "untyped" } else { kind };
            if let Some((_, help)) = help.take().filter(|(of, _)| *of == name) {
                text.push_str(&format!("# HELP {name}{suffix} {help}\n"));
            }
            text.push_str(&format!("# TYPE {name}{suffix} {kind}\n"));
        } else if !line.starts_with('#') && !line.is_empty() {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

/// Says which version runs: upstream's metric under upstream's version, ours under ours.
pub fn register_build_info() {
    let version = crate::component::version::KUBERNETES;
    let upstream = register(
        "kubernetes_build_info",
        "A metric with a constant '1' value labeled by major, minor, git version and platform",
        Family::<Vec<(String, String)>, Gauge>::default(),
    );
    let label = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let (major, minor) = crate::component::version::major_minor();
    upstream
        .get_or_create(&vec![
            label("git_version", version),
            label("major", major),
            label("minor", minor),
            label(
                "platform",
                &format!("linux/{}", crate::component::version::architecture()),
            ),
        ])
        .set(1);
    let ours = register(
        "steersman_build_info",
        "A metric with a constant '1' value labeled by the version of Steersman",
        Family::<Vec<(String, String)>, Gauge>::default(),
    );
    ours.get_or_create(&vec![label("version", env!("CARGO_PKG_VERSION"))])
        .set(1);
}

#[derive(Debug)]
struct ProcessCollector;

impl Collector for ProcessCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let Ok(stat) = procfs::process::Process::myself().and_then(|me| me.stat()) else {
            return Ok(());
        };
        #[allow(clippy::cast_precision_loss)]
        let cpu = ConstCounter::new((stat.utime + stat.stime) as f64 / procfs::ticks_per_second() as f64);
        let descriptor = encoder.encode_descriptor(
            "process_cpu_seconds",
            "Total user and system CPU time spent in seconds.",
            None,
            cpu.metric_type(),
        )?;
        cpu.encode(descriptor)?;
        let mut gauge = |name, help, value: i64| {
            let gauge = ConstGauge::new(value);
            let descriptor = encoder.encode_descriptor(name, help, None, gauge.metric_type())?;
            gauge.encode(descriptor)
        };
        let bytes = |pages: u64| i64::try_from(pages * procfs::page_size()).unwrap_or(i64::MAX);
        gauge(
            "process_resident_memory_bytes",
            "Resident memory size in bytes.",
            bytes(stat.rss),
        )?;
        gauge(
            "process_virtual_memory_bytes",
            "Virtual memory size in bytes.",
            i64::try_from(stat.vsize).unwrap_or(i64::MAX),
        )?;
        gauge("process_threads", "Number of OS threads.", stat.num_threads)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus_client::metrics::counter::Counter;
    use prometheus_client::metrics::histogram::Histogram;

    #[test]
    fn counters_carry_the_name_of_their_samples() {
        let mut registry = Registry::default();
        let counter = Counter::<u64>::default();
        counter.inc_by(3);
        registry.register("workqueue_adds", "Adds", counter);
        let histogram = Histogram::new([0.1, 1.0]);
        histogram.observe(0.5);
        registry.register("sync_seconds", "How long", histogram);
        let text = encode_registry(&registry);
        assert!(text.starts_with("# HELP workqueue_adds_total Adds.\n# TYPE workqueue_adds_total counter\nworkqueue_adds_total 3\n"), "{text}");
        assert!(text.contains("# TYPE sync_seconds histogram\n"), "{text}");
        assert!(text.contains("sync_seconds_bucket{le=\"1.0\"} 1\n"), "{text}");
        assert!(!text.contains("EOF"), "{text}");
    }

    #[test]
    fn the_process_tells_its_memory_and_cpu() {
        let text = encode();
        assert!(
            text.contains("\nprocess_resident_memory_bytes ") && text.contains("process_cpu_seconds_total "),
            "{text}"
        );
    }
}
