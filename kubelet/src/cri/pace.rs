//! How many calls that make the runtime work hard are under way at once.
//!
//! Starting a container costs several processes. A hundred at once do not get ready sooner than a few at a time: they only take
//! the processors from each other, and from everything else on the node.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

/// Enough to keep a processor busy while some of the calls wait.
const PER_PROCESSOR: usize = 4;
/// A call that takes longer waits for something else (a network plugin, say), and no longer counts.
const LONGEST: Duration = Duration::from_secs(2);

/// Takes turns; clones share them.
#[derive(Clone)]
pub struct Pace {
    turns: Arc<Semaphore>,
    longest: Duration,
}

impl Pace {
    /// For a machine with so many processors.
    pub fn new(processors: usize) -> Self {
        Self {
            turns: Arc::new(Semaphore::new(PER_PROCESSOR * processors.max(1))),
            longest: LONGEST,
        }
    }

    /// Makes the call when its turn has come.
    pub async fn take<F: Future>(&self, call: F) -> F::Output {
        let turn = self.turns.acquire().await;
        let mut call = pin!(call);
        match tokio::time::timeout(self.longest, &mut call).await {
            Ok(answer) => answer,
            Err(_) => {
                drop(turn);
                call.await
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::{pending, ready};

    #[tokio::test]
    async fn a_call_waits_for_its_turn_but_not_for_one_that_hangs() {
        let pace = Pace {
            turns: Arc::new(Semaphore::new(1)),
            longest: Duration::from_millis(30),
        };
        let other = pace.clone();
        let hangs = tokio::spawn(async move { other.take(pending::<()>()).await });
        tokio::task::yield_now().await;
        let soon = tokio::time::timeout(Duration::from_millis(5), pace.take(ready(1))).await;
        assert!(soon.is_err());
        assert_eq!(pace.take(ready(2)).await, 2);
        hangs.abort();
    }
}
