//! What the client does when the server has too much to do, or is not there.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use machinery::client::{Client, Config};
use machinery::meta::PartialObject;
use machinery::meta::resources::NAMESPACES;
use machinery::testing::{Fault, Proxy, User, free_port};

use crate::{eventually, server};

#[tokio::test]
async fn a_storm_of_429_is_waited_out_and_every_request_succeeds() {
    let server = server!();
    let proxy = Proxy::start(&server.anonymous()).await.unwrap();
    let client = Client::new(proxy.config(&server.config(User::Admin))).unwrap();
    // The server refuses everything for a second and a half.
    let until = Instant::now() + Duration::from_millis(1500);
    let refused = Arc::new(AtomicUsize::new(0));
    let count = refused.clone();
    proxy.on_request(move |_| {
        if Instant::now() < until {
            count.fetch_add(1, Ordering::Relaxed);
            Fault::too_many_requests(1)
        } else {
            Fault::Pass
        }
    });
    let requests: Vec<_> = (0..100)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.get::<PartialObject>(&NAMESPACES, "", "default").await })
        })
        .collect();
    for request in requests {
        request.await.unwrap().unwrap();
    }
    // Without pacing, 100 requests would have been refused twice each.
    let refused = refused.load(Ordering::Relaxed);
    assert!(refused > 0 && refused <= 40, "{refused} requests were refused");
}

#[tokio::test]
async fn writes_too_are_tried_again_after_a_429() {
    let server = server!();
    let proxy = Proxy::start(&server.anonymous()).await.unwrap();
    let client = Client::new(proxy.config(&server.config(User::Admin))).unwrap();
    let mut first = true;
    proxy.on_request(move |_| {
        if std::mem::take(&mut first) {
            Fault::too_many_requests(1)
        } else {
            Fault::Pass
        }
    });
    let body = serde_json::json!({"metadata": {"name": "after-429"}});
    let made: PartialObject = client.create(&NAMESPACES, "", &body).await.unwrap();
    assert_eq!(made.metadata.name, "after-429");
    assert_eq!(proxy.seen().len(), 2);
}

#[tokio::test]
async fn a_read_survives_a_broken_connection_and_a_write_is_not_repeated() {
    let server = server!();
    let proxy = Proxy::start(&server.anonymous()).await.unwrap();
    let client = Client::new(proxy.config(&server.config(User::Admin))).unwrap();
    let mut faults = 1;
    proxy.on_request(move |_| {
        faults -= 1;
        if faults >= 0 { Fault::Reset } else { Fault::Pass }
    });
    client
        .get::<PartialObject>(&NAMESPACES, "", "default")
        .await
        .unwrap();

    proxy.on_request(|_| Fault::Reset);
    let before = proxy.seen().len();
    let body = serde_json::json!({"metadata": {"name": "never"}});
    let error = client
        .create::<PartialObject, _>(&NAMESPACES, "", &body)
        .await
        .err()
        .unwrap();
    assert!(error.is_unreachable(), "{error}");
    assert_eq!(
        proxy.seen().len() - before,
        1,
        "it may have been carried out: the caller has to look"
    );
}

#[tokio::test]
async fn the_cap_that_a_user_sets_is_kept() {
    let server = server!();
    let client = Client::new(server.config(User::Admin).with_cap(20.0, 5)).unwrap();
    let started = Instant::now();
    for _ in 0..15 {
        client
            .get::<PartialObject>(&NAMESPACES, "", "default")
            .await
            .unwrap();
    }
    // 5 at once, 10 more at 20 a second.
    assert!(
        started.elapsed() >= Duration::from_millis(480),
        "{:?}",
        started.elapsed()
    );
}

#[tokio::test]
async fn an_unreachable_server_is_an_error_that_says_where() {
    let port = free_port().unwrap();
    let client = Client::new(Config::explicit(&format!("http://127.0.0.1:{port}")).unwrap()).unwrap();
    let error = client
        .get::<PartialObject>(&NAMESPACES, "", "default")
        .await
        .err()
        .unwrap();
    assert!(error.is_unreachable());
    let text = error.to_string();
    assert!(
        text.contains(&format!("127.0.0.1:{port}")) && text.contains("refused"),
        "{text}"
    );
}

#[tokio::test]
async fn a_slow_request_does_not_hold_up_others() {
    let server = server!();
    let proxy = Proxy::start(&server.anonymous()).await.unwrap();
    let client = Client::new(proxy.config(&server.config(User::Admin))).unwrap();
    proxy.on_request(|seen| {
        if seen.path.ends_with("kube-system") {
            Fault::Delay(Duration::from_secs(5))
        } else {
            Fault::Pass
        }
    });
    let slow = tokio::spawn({
        let client = client.clone();
        async move { client.get::<PartialObject>(&NAMESPACES, "", "kube-system").await }
    });
    eventually("the slow request is under way", || !proxy.seen().is_empty()).await;
    let started = Instant::now();
    client
        .get::<PartialObject>(&NAMESPACES, "", "default")
        .await
        .unwrap();
    assert!(started.elapsed() < Duration::from_secs(4));
    slow.await.unwrap().unwrap();
}
