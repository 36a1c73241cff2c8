//! What a Service costs the program itself, in memory and in time, at a cold start.
//!
//! ```text
//! cargo build --profile fast -p kube-proxy
//! KUBE_PROXY=target/fast/kube-proxy SERVICES=5000 cargo test -p kube-proxy --test footprint -- --nocapture
//! ```
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use support::{Netns, api, can_unshare};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Peak memory that each further Service with its slice of two endpoints may add.
const BYTES_PER_SERVICE: u64 = 1600;

const PATIENCE: Duration = Duration::from_secs(120);

/// What the kernel says of a process, in bytes.
#[derive(Clone, Copy)]
struct Footprint {
    peak: u64,
    now: u64,
    anonymous: u64,
    took: Duration,
    processor: Duration,
}

impl Footprint {
    fn read(pid: u32, took: Duration) -> Self {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let field = |name: &str| -> u64 {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            let kib: u64 = line
                .trim_start_matches(':')
                .trim()
                .trim_end_matches(" kB")
                .parse()
                .unwrap();
            kib << 10
        };
        let schedule = std::fs::read_to_string(format!("/proc/{pid}/schedstat")).unwrap();
        let nanoseconds = schedule.split(' ').next().unwrap().parse().unwrap();
        Self {
            peak: field("VmHWM"),
            now: field("VmRSS"),
            anonymous: field("RssAnon"),
            took,
            processor: Duration::from_nanos(nanoseconds),
        }
    }
}

impl std::fmt::Display for Footprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [peak, now, anonymous] = [self.peak, self.now, self.anonymous].map(|bytes| bytes >> 10);
        let (took, processor) = (self.took, self.processor);
        write!(
            f,
            "peak {peak} KiB, now {now} KiB of which {anonymous} KiB are its own, {took:?}, CPU {processor:?}"
        )
    }
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts the program in a network namespace of its own, with so many Services, and waits for its first sync.
fn cold_start(program: &Path, services: usize) -> Footprint {
    let space = Netns::new("cold");
    let folder = tempfile::tempdir().unwrap();
    space.enter(|| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let kubeconfig = api::serve(folder.path(), services);
            let config = serde_json::json!({
                "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
                "kind": "KubeProxyConfiguration",
                "mode": "nftables",
                "clientConnection": { "kubeconfig": kubeconfig },
                "clusterCIDR": "10.244.0.0/16",
                "detectLocalMode": "ClusterCIDR",
                "conntrack": { "maxPerCore": 0, "min": 0 },
            });
            let file = folder.path().join("config.yaml");
            std::fs::write(&file, config.to_string()).unwrap();
            let since = Instant::now();
            let process = Command::new(program)
                .arg(format!("--config={}", file.display()))
                .arg("--hostname-override=canned")
                .stderr(Stdio::inherit())
                .spawn()
                .unwrap();
            let process = Running(process);
            while !synced().await {
                assert!(since.elapsed() < PATIENCE, "no sync after {PATIENCE:?}");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            Footprint::read(process.0.id(), since.elapsed())
        })
    })
}

/// Whether the proxy says that it has brought Services to the kernel.
async fn synced() -> bool {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", 10249)).await else {
        return false;
    };
    let request = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let mut text = String::new();
    let asked = stream.write_all(request).await.is_ok() && stream.read_to_string(&mut text).await.is_ok();
    let count = "kubeproxy_sync_full_proxy_rules_duration_seconds_count{ip_family=\"IPv4\"} ";
    asked
        && text
            .lines()
            .filter_map(|line| line.strip_prefix(count))
            .any(|count| count != "0")
}

#[test]
fn a_service_costs_little_memory() {
    if !can_unshare() {
        return;
    }
    let program = std::env::var("KUBE_PROXY").unwrap_or_else(|_| env!("CARGO_BIN_EXE_kube-proxy").into());
    let program = Path::new(&program);
    let more: usize = std::env::var("SERVICES").map_or(2000, |text| text.parse().unwrap());
    let few = 1;
    let (base, full) = (cold_start(program, few), cold_start(program, more));
    eprintln!("{few}: {base}\n{more}: {full}");
    let each = full.peak.saturating_sub(base.peak) / (more - few) as u64;
    eprintln!("{each} bytes a Service at the peak");
    assert!(each < BYTES_PER_SERVICE, "{each} bytes a Service: {base}; {full}");
}
