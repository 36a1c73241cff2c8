//! A lease that two holders fight over, one of them upstream's.

use std::sync::Arc;
use std::time::{Duration, Instant};

use machinery::lease::{Election, Ended, LeaderElector, Record};
use machinery::meta::resources::LEASES;
use machinery::testing::{ApiServer, Fault, Process, Proxy, User};
use serde::Deserialize;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{namespace, server};

#[derive(Deserialize)]
struct Lease {
    spec: Record,
}

async fn lease(server: &ApiServer, name: &str) -> Record {
    server
        .client()
        .get::<Lease>(&LEASES, "kube-system", name)
        .await
        .map(|lease| lease.spec)
        .unwrap_or_default()
}

async fn held(server: &ApiServer, name: &str, by: impl Fn(&str) -> bool) -> Record {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let record = lease(server, name).await;
        if by(&record.holder) {
            return record;
        }
        assert!(
            Instant::now() < deadline,
            "the lease {name} is still held by {:?}",
            record.holder
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn election(namespace: &str, name: &str, identity: &str) -> Election {
    Election {
        lease_duration: Duration::from_secs(3),
        renew_deadline: Duration::from_secs(2),
        retry_period: Duration::from_millis(300),
        ..Election::new(namespace, name, identity)
    }
}

struct Candidate {
    elector: Arc<LeaderElector>,
    stop: CancellationToken,
    task: JoinHandle<Ended>,
}

fn candidate(client: &machinery::client::Client, election: Election) -> Candidate {
    let elector = Arc::new(LeaderElector::new(client, election));
    let stop = CancellationToken::new();
    let task = tokio::spawn({
        let (elector, stop) = (elector.clone(), stop.clone());
        async move {
            elector
                .run(&stop, |leading| async move { leading.cancelled().await })
                .await
        }
    });
    Candidate { elector, stop, task }
}

/// Upstream's scheduler as a candidate for `name` in kube-system.
fn upstream(server: &ApiServer, name: &str) -> Option<Process> {
    let scheduler = match server.assets().program("kube-scheduler") {
        Ok(path) => path,
        Err(why) => {
            machinery::testing::skip(&why);
            return None;
        }
    };
    let folder = server
        .folder()
        .join(format!("{name}-{:08x}", rand::random::<u32>()));
    std::fs::create_dir_all(&folder).unwrap();
    let kubeconfig = server.kubeconfig().unwrap();
    let args = [
        format!("--kubeconfig={}", kubeconfig.display()),
        "--leader-elect=true".into(),
        format!("--leader-elect-resource-name={name}"),
        "--leader-elect-lease-duration=4s".into(),
        "--leader-elect-renew-deadline=3s".into(),
        "--leader-elect-retry-period=500ms".into(),
        "--secure-port=0".into(),
    ];
    Some(Process::start(&scheduler, args, &folder).unwrap())
}

#[tokio::test]
async fn ours_and_upstreams_exclude_each_other() {
    let server = server!();
    let Some(mut theirs) = upstream(server, "duel") else {
        return;
    };
    let first = held(server, "duel", |holder| !holder.is_empty()).await;
    assert_ne!(first.holder, "ours");

    // Upstream leads: we wait for as long as it renews.
    let ours = candidate(&server.client(), election("kube-system", "duel", "ours"));
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert!(!ours.elector.is_leader());
    assert_eq!(ours.elector.leader(), first.holder);

    // It dies without a word: we take over when its lease is over, and not before.
    theirs.kill();
    let died = Instant::now();
    let record = held(server, "duel", |holder| holder == "ours").await;
    assert!(
        died.elapsed() >= Duration::from_secs(2),
        "taken after {:?}",
        died.elapsed()
    );
    assert_eq!(record.transitions, first.transitions + 1);

    // Upstream comes back: it waits for as long as we renew.
    let Some(mut again) = upstream(server, "duel") else {
        return;
    };
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert!(ours.elector.is_leader());
    assert_eq!(lease(server, "duel").await.holder, "ours");

    // We stop cleanly: the lease is released, and upstream need not wait for it to run out.
    ours.stop.cancel();
    assert_eq!(ours.task.await.unwrap(), Ended::Stopped);
    let released = Instant::now();
    let record = held(server, "duel", |holder| !holder.is_empty() && holder != "ours").await;
    assert!(
        released.elapsed() < Duration::from_secs(3),
        "taken after {:?}",
        released.elapsed()
    );
    assert_eq!(record.transitions, first.transitions + 2);
    again.kill();
}

#[tokio::test]
async fn of_two_of_ours_one_leads_and_the_other_follows_at_once_after_a_release() {
    let server = server!();
    let client = namespace(server, "pair").await;
    let a = candidate(&client, election("pair", "l", "a"));
    while !a.elector.is_leader() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let b = candidate(&client, election("pair", "l", "b"));
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert!(a.elector.is_leader() && !b.elector.is_leader());
    assert!(a.elector.check(Duration::ZERO).is_ok());
    a.stop.cancel();
    assert_eq!(a.task.await.unwrap(), Ended::Stopped);
    let released = Instant::now();
    while !b.elector.is_leader() {
        assert!(released.elapsed() < Duration::from_secs(2));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    b.stop.cancel();
    b.task.await.unwrap();
    let last: Lease = client.get(&LEASES, "pair", "l").await.unwrap();
    assert_eq!(
        (
            last.spec.holder.as_str(),
            last.spec.transitions,
            last.spec.duration_seconds
        ),
        ("", 1, 1)
    );
}

#[tokio::test]
async fn a_leader_that_cannot_renew_gives_up_before_others_may_take_over() {
    let server = server!();
    namespace(server, "cut-off").await;
    let proxy = Proxy::start(&server.anonymous()).await.unwrap();
    let through = machinery::client::Client::new(proxy.config(&server.config(User::Admin))).unwrap();
    let mine = candidate(&through, election("cut-off", "l", "mine"));
    while !mine.elector.is_leader() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    proxy.on_request(|_| Fault::Reset);
    let cut = Instant::now();
    assert_eq!(mine.task.await.unwrap(), Ended::Lost);
    assert!(
        cut.elapsed() < Duration::from_secs(3),
        "gave up after {:?}",
        cut.elapsed()
    );
}
