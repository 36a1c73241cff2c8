//! Says once that the API server cannot be reached, and once that it can again.

use std::time::Instant;

use parking_lot::Mutex;

#[derive(Default)]
pub(super) struct Reach(Mutex<Option<Instant>>);

impl Reach {
    pub(super) fn failed(&self, server: &str, cause: &dyn std::fmt::Display) {
        let mut since = self.0.lock();
        if since.is_none() {
            *since = Some(Instant::now());
            drop(since);
            tracing::warn!(
                server,
                "cannot reach the API server, trying again until it answers: {cause}"
            );
        }
    }

    pub(super) fn answered(&self, server: &str) {
        let since = self.0.lock().take();
        if let Some(since) = since {
            tracing::info!(
                server,
                "the API server answers again after {:.1} s",
                since.elapsed().as_secs_f64()
            );
        }
    }
}
