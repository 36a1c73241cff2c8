//! Workers that empty a queue.

use std::fmt::{Debug, Display};
use std::future::Future;
use std::hash::Hash;
use std::time::Duration;

use tokio::task::JoinSet;

use super::Queue;

/// What becomes of an item after its work went well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing, until it is added again.
    Done,
    /// Back into line after this long.
    After(Duration),
    /// Back into line with back-off, as after an error, but without a log line.
    BackOff,
}

/// Works on `queue` with `workers` tasks until it is shut down and its line is empty.
///
/// An error is logged, and puts the item back into line with back-off.
pub async fn run_workers<T, F, Fut, E>(queue: &Queue<T>, workers: usize, work: F)
where
    T: Eq + Hash + Clone + Debug + Send + Sync + 'static,
    F: Fn(T) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<Next, E>> + Send,
    E: Display,
{
    let mut running = JoinSet::new();
    for _ in 0..workers.max(1) {
        let (queue, work) = (queue.clone(), work.clone());
        running.spawn(async move {
            while let Some(item) = queue.get().await {
                let ended = work(item.clone()).await;
                match ended {
                    Ok(Next::Done) => queue.forget(&item),
                    Ok(Next::After(delay)) => {
                        queue.forget(&item);
                        queue.add_after(item.clone(), delay);
                    }
                    Ok(Next::BackOff) => queue.add_rate_limited(item.clone()),
                    Err(error) => {
                        queue.add_rate_limited(item.clone());
                        let tries = queue.num_requeues(&item);
                        tracing::warn!(queue = queue.name(), item = ?*item, tries, "will try again: {error:#}");
                    }
                }
            }
        });
    }
    while let Some(ended) = running.join_next().await {
        if let Err(cause) = ended
            && cause.is_panic()
        {
            tracing::error!(queue = queue.name(), "a worker ended early: {cause}");
        }
    }
}
