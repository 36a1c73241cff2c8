//! Says once that the API server cannot be reached, and once that it can again.

use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::Notify;

/// One broken connection is no outage: say so only if it lasts.
const LASTS: Duration = Duration::from_secs(2);

#[derive(Default)]
pub(super) struct Reach {
    outage: Mutex<Option<Outage>>,
    over: Notify,
}

struct Outage {
    since: Instant,
    said: bool,
}

impl Reach {
    /// No answer came; `refused` if there was not even a connection.
    pub(super) fn failed(&self, server: &str, refused: bool, cause: &dyn std::fmt::Display) {
        let mut outage = self.outage.lock();
        let outage = outage.get_or_insert_with(|| Outage {
            since: Instant::now(),
            said: false,
        });
        if !outage.said && (refused || outage.since.elapsed() >= LASTS) {
            outage.said = true;
            tracing::warn!(
                server,
                "cannot reach the API server, trying again until it answers: {cause}"
            );
        }
    }

    /// An answer came, of whatever kind.
    pub(super) fn answered(&self, server: &str) {
        let Some(outage) = self.outage.lock().take() else {
            return;
        };
        if outage.said {
            let seconds = outage.since.elapsed().as_secs_f64();
            tracing::info!(server, "the API server answers again after {seconds:.1} s");
        }
        self.over.notify_waiters();
    }

    /// Waits until an outage that lasts now is over; for ever if there is none.
    pub(super) async fn over(&self) {
        let over = self.over.notified();
        tokio::pin!(over);
        over.as_mut().enable();
        if self.outage.lock().is_none() {
            std::future::pending::<()>().await;
        }
        over.await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_waits_is_told_when_the_server_answers_again() {
        let reach = Reach::default();
        reach.failed("s", true, &"refused");
        let answered = async {
            tokio::task::yield_now().await;
            reach.answered("s");
        };
        let told = tokio::time::timeout(Duration::from_secs(5), async {
            tokio::join!(reach.over(), answered)
        });
        assert!(told.await.is_ok());
        assert!(
            tokio::time::timeout(Duration::from_millis(10), reach.over())
                .await
                .is_err()
        );
    }
}
