use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::queue::{Next, run_workers};

fn queue() -> Queue<u32> {
    Queue::with_metrics("test", &Metrics::default())
}

#[tokio::test]
async fn a_delayed_item_comes_when_it_is_due() {
    let queue = queue();
    let start = Instant::now();
    queue.add_after(2, Duration::from_millis(60));
    queue.add_after(1, Duration::from_millis(30));
    assert_eq!(*queue.get().await.unwrap(), 1);
    assert!(start.elapsed() >= Duration::from_millis(30));
    assert_eq!(*queue.get().await.unwrap(), 2);
    assert!(start.elapsed() >= Duration::from_millis(60));
}

#[tokio::test]
async fn an_item_added_while_somebody_waits_for_a_later_one_comes_at_once() {
    let queue = queue();
    queue.add_after(1, Duration::from_secs(3600));
    let (first, start) = (queue.clone(), Instant::now());
    let waiting = tokio::spawn(async move { *first.get().await.unwrap() });
    tokio::task::yield_now().await;
    queue.add(7);
    assert_eq!(waiting.await.unwrap(), 7);
    assert!(start.elapsed() < Duration::from_secs(60));
}

#[tokio::test]
async fn shutdown_with_drain_waits_for_the_work() {
    let queue = queue();
    queue.add(1);
    let item = queue.get().await.unwrap();
    let drain = tokio::spawn({
        let queue = queue.clone();
        async move { queue.shutdown_with_drain().await }
    });
    tokio::task::yield_now().await;
    assert!(!drain.is_finished());
    queue.add(2); // too late
    drop(item);
    drain.await.unwrap();
    assert!(queue.get().await.is_none());
}

#[tokio::test]
async fn a_shutdown_wakes_every_waiting_worker() {
    let queue = queue();
    let workers: Vec<_> = (0..4)
        .map(|_| {
            let queue = queue.clone();
            tokio::spawn(async move { queue.get().await.is_none() })
        })
        .collect();
    tokio::task::yield_now().await;
    queue.shutdown();
    for worker in workers {
        assert!(worker.await.unwrap());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn ten_thousand_keys_each_worked_on_alone_and_none_forgotten() {
    const KEYS: u32 = 10_000;
    let queue = queue();
    let at_work: Arc<Mutex<HashSet<u32>>> = Arc::default();
    let (runs, overlaps) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let tries: Arc<Mutex<Vec<u8>>> = Arc::new(Mutex::new(vec![0; KEYS as usize]));
    let work = {
        let (at_work, runs, overlaps, tries) =
            (at_work.clone(), runs.clone(), overlaps.clone(), tries.clone());
        move |key: u32| {
            let (at_work, runs, overlaps, tries) =
                (at_work.clone(), runs.clone(), overlaps.clone(), tries.clone());
            async move {
                if !at_work.lock().insert(key) {
                    overlaps.fetch_add(1, Ordering::Relaxed);
                }
                tokio::task::yield_now().await;
                at_work.lock().remove(&key);
                runs.fetch_add(1, Ordering::Relaxed);
                let first = {
                    let mut tries = tries.lock();
                    let tried = &mut tries[key as usize];
                    *tried = tried.saturating_add(1);
                    *tried == 1
                };
                // Every tenth fails once.
                if first && key.is_multiple_of(10) {
                    Err("flaky")
                } else {
                    Ok(Next::Done)
                }
            }
        }
    };
    let workers = tokio::spawn({
        let queue = queue.clone();
        async move { run_workers(&queue, 16, work).await }
    });
    let adders: Vec<_> = (0..4u32)
        .map(|adder| {
            let queue = queue.clone();
            tokio::spawn(async move {
                for key in 0..KEYS {
                    queue.add((key * 7 + adder * 13) % KEYS);
                    if key % 500 == 0 {
                        tokio::task::yield_now().await;
                    }
                }
            })
        })
        .collect();
    for adder in adders {
        adder.await.unwrap();
    }
    let deadline = Instant::now() + Duration::from_secs(30);
    while (0..KEYS).any(|key| tries.lock()[key as usize] < 1 + u8::from(key.is_multiple_of(10))) {
        assert!(Instant::now() < deadline, "some keys were never worked on");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    queue.shutdown_with_drain().await;
    workers.await.unwrap();
    assert_eq!(overlaps.load(Ordering::Relaxed), 0);
    assert!(runs.load(Ordering::Relaxed) >= 11_000);
    assert!((0..KEYS).all(|key| queue.num_requeues(&key) == 0));
}

#[tokio::test]
async fn metrics_have_upstreams_names() {
    let metrics = Metrics::default();
    let queue: Queue<u32> = Queue::with_metrics("deployment", &metrics);
    queue.add(1);
    queue.add(2);
    let item = queue.get().await.unwrap();
    queue.add_rate_limited(3);
    let mut registry = prometheus_client::registry::Registry::default();
    metrics.register(&mut registry);
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    for line in [
        r#"workqueue_depth{name="deployment"} 1"#,
        r#"workqueue_adds_total{name="deployment"} 2"#,
        r#"workqueue_retries_total{name="deployment"} 1"#,
        r#"workqueue_queue_duration_seconds_count{name="deployment"} 1"#,
        r#"workqueue_unfinished_work_seconds{name="deployment"}"#,
        r#"workqueue_longest_running_processor_seconds{name="deployment"}"#,
    ] {
        assert!(text.contains(line), "{line} not in\n{text}");
    }
    drop(item);
}
