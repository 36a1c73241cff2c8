//! `rest_client_*`, with upstream's names and labels.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Requests {
    code: String,
    method: &'static str,
    host: String,
}
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Latency {
    verb: &'static str,
    host: String,
}

/// The client's metrics; clones share their counts.
#[derive(Clone, Debug)]
pub struct Metrics {
    requests: Family<Requests, Counter>,
    retries: Family<Requests, Counter>,
    duration: Family<Latency, Histogram>,
    rate_limiter: Family<Latency, Histogram>,
}

/// Seconds.
const DURATION: [f64; 10] = [0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 15.0, 60.0];

impl Default for Metrics {
    fn default() -> Self {
        let histogram: fn() -> Histogram = || Histogram::new(DURATION);
        Metrics {
            requests: Family::default(),
            retries: Family::default(),
            duration: Family::new_with_constructor(histogram),
            rate_limiter: Family::new_with_constructor(histogram),
        }
    }
}

impl Metrics {
    /// Where clients count unless they are told otherwise: the process's registry shows it.
    pub fn global() -> &'static Metrics {
        static GLOBAL: std::sync::LazyLock<Metrics> = std::sync::LazyLock::new(|| {
            let metrics = Metrics::default();
            crate::metrics::with_registry(|registry| metrics.register(registry));
            metrics
        });
        &GLOBAL
    }

    /// Shows these metrics in `registry`.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "rest_client_requests",
            "Number of HTTP requests, partitioned by status code, method, and host",
            self.requests.clone(),
        );
        registry.register(
            "rest_client_request_retries",
            "Number of request retries, partitioned by status code, method, and host",
            self.retries.clone(),
        );
        registry.register(
            "rest_client_request_duration_seconds",
            "Request latency in seconds, broken down by verb and host",
            self.duration.clone(),
        );
        registry.register(
            "rest_client_rate_limiter_duration_seconds",
            "Time spent waiting for the client's own pacing, in seconds",
            self.rate_limiter.clone(),
        );
    }

    /// `code` is `<error>` where no answer came.
    pub(super) fn answered(&self, host: &str, method: &'static str, code: &str, took: Duration) {
        let host = host.to_owned();
        self.requests
            .get_or_create(&Requests {
                code: code.to_owned(),
                method,
                host: host.clone(),
            })
            .inc();
        self.duration
            .get_or_create(&Latency { verb: method, host })
            .observe(took.as_secs_f64());
    }

    pub(super) fn retried(&self, host: &str, method: &'static str, code: &str) {
        self.retries
            .get_or_create(&Requests {
                code: code.to_owned(),
                method,
                host: host.to_owned(),
            })
            .inc();
    }

    pub(super) fn paced(&self, host: &str, method: &'static str, waited: Duration) {
        self.rate_limiter
            .get_or_create(&Latency {
                verb: method,
                host: host.to_owned(),
            })
            .observe(waited.as_secs_f64());
    }

    /// How many requests were answered with `code`, over all methods.
    pub fn requests_with_code(&self, code: &str, methods: &[&'static str], host: &str) -> u64 {
        methods
            .iter()
            .map(|method| {
                self.requests
                    .get_or_create(&Requests {
                        code: code.to_owned(),
                        method,
                        host: host.to_owned(),
                    })
                    .get()
            })
            .sum()
    }
}
