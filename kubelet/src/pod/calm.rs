//! What nobody waits for (removing what is left of pods that are gone) is put off while pods start or stop, for it takes the
//! runtime's time from them; but not for long.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit, watch};
use tokio::time::Instant;

/// Where there is never a quiet moment, this is the longest that anything is put off.
const PATIENCE: Duration = Duration::from_secs(15);

/// Knows whether pods start or stop.
pub struct Calm {
    hurried: watch::Sender<usize>,
    turn: Semaphore,
    patience: Duration,
}

/// Something is waited for, as long as this is held.
pub struct Hurry(Arc<Calm>);

impl Drop for Hurry {
    fn drop(&mut self) {
        self.0.hurried.send_modify(|n| *n = n.saturating_sub(1));
    }
}

impl Default for Calm {
    fn default() -> Self {
        Self {
            hurried: watch::Sender::default(),
            turn: Semaphore::new(1),
            patience: PATIENCE,
        }
    }
}

impl Calm {
    /// Others are waiting for what begins now.
    #[must_use]
    pub fn hurry(self: &Arc<Self>) -> Hurry {
        self.hurried.send_modify(|n| *n += 1);
        Hurry(Arc::clone(self))
    }

    /// Waits for a quiet moment; one at a time.
    pub async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        let deadline = Instant::now() + self.patience;
        loop {
            let mut hurried = self.hurried.subscribe();
            // Too late or quiet: either is a reason to go on.
            let _ = tokio::time::timeout_at(deadline, hurried.wait_for(|n| *n == 0)).await;
            let turn = self.turn.acquire().await.ok();
            if *self.hurried.borrow() == 0 || Instant::now() >= deadline {
                return turn;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_turn_comes_with_a_quiet_moment_and_one_at_a_time() {
        let calm = Arc::new(Calm::default());
        let turn = calm.turn().await;
        let wait = Duration::from_millis(20);
        assert!(tokio::time::timeout(wait, calm.turn()).await.is_err());
        drop(turn);
        let hurry = calm.hurry();
        assert!(tokio::time::timeout(wait, calm.turn()).await.is_err());
        drop(hurry);
        assert!(calm.turn().await.is_some());
    }

    #[tokio::test]
    async fn where_it_is_never_quiet_a_turn_comes_at_last() {
        let patience = Duration::from_millis(20);
        let calm = Arc::new(Calm {
            patience,
            ..Calm::default()
        });
        let _hurry = calm.hurry();
        let begun = Instant::now();
        assert!(calm.turn().await.is_some());
        assert!(begun.elapsed() >= patience);
    }
}
