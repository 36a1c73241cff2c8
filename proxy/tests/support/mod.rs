//! Network namespaces of a test's own, joined by veth, with small TCP and UDP servers in them.
//!
//! ```text
//! client 10.1.0.2 --- node 10.1.0.1 | 10.244.0.1 --- pod1 10.244.0.11, pod2 10.244.0.12 (a /32 veth each)
//! ```
#![allow(dead_code, clippy::needless_pass_by_value)]

pub mod api;

use kube_proxy::model::{EndpointSlice, Family, NodeFacts, PortRoute, Service, ServiceName, resolve};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use serde_json::{Value, json};
use std::fs::File;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

pub const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 2);
pub const NODE: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 1);
pub const CLIENT6: Ipv6Addr = Ipv6Addr::new(0xfd01, 0, 0, 0, 0, 0, 0, 2);
pub const NODE6: Ipv6Addr = Ipv6Addr::new(0xfd01, 0, 0, 0, 0, 0, 0, 1);

/// Tests that need a kernel of their own are skipped where they cannot have one.
pub fn can_unshare() -> bool {
    let able =
        rustix::process::geteuid().is_root() && Command::new("ip").args(["netns", "list"]).output().is_ok();
    if !able {
        eprintln!("skipped: needs root and iproute2 to make network namespaces");
    }
    able
}

pub fn run(program: &str, args: &[&str]) -> String {
    let output = Command::new(program)
        .args(args)
        .output()
        .unwrap_or_else(|e| panic!("{program}: {e}"));
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{program} {args:?}: {err}{out}");
    out.into_owned()
}

/// A network namespace that goes when this does.
pub struct Netns {
    pub name: String,
}

impl Netns {
    pub fn new(role: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("smp-{}-{n}-{role}", std::process::id());
        run("ip", &["netns", "add", &name]);
        let this = Self { name };
        this.ip("link set lo up");
        this
    }

    pub fn ip(&self, args: &str) -> String {
        let mut all = vec!["-n", &self.name];
        all.extend(args.split(' '));
        run("ip", &all)
    }

    pub fn sysctl(&self, path: &str, value: &str) {
        let file = format!("/proc/sys/{path}");
        self.enter(|| std::fs::write(&file, value).unwrap_or_else(|e| panic!("{file}: {e}")));
    }

    /// Runs `work` in a thread that is in the namespace.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                self.join();
                work()
            });
            match thread.join() {
                Ok(value) => value,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }

    /// Moves the calling thread into the namespace.
    pub fn join(&self) {
        let file = File::open(format!("/run/netns/{}", self.name)).unwrap();
        move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
    }

    pub fn nft(&self, args: &[&str]) -> String {
        let mut all = vec!["netns", "exec", self.name.as_str(), "nft"];
        all.extend(args);
        run("ip", &all)
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.name]).output();
    }
}

/// A node with a client beside it and pods on it.
pub struct World {
    pub node: Netns,
    pub client: Netns,
    pub pods: Vec<Netns>,
}

impl World {
    pub fn new(pods: u8) -> Self {
        let node = Netns::new("node");
        let client = Netns::new("client");
        for (path, value) in [
            ("net/ipv4/ip_forward", "1"),
            ("net/ipv6/conf/all/forwarding", "1"),
            // Every refusal must be told, and no test may use up another's allowance.
            ("net/ipv4/icmp_ratelimit", "0"),
            ("net/ipv6/icmp/ratelimit", "0"),
            ("net/ipv4/conf/all/send_redirects", "0"),
            ("net/ipv4/conf/default/send_redirects", "0"),
            ("net/ipv4/conf/all/rp_filter", "0"),
            ("net/ipv4/conf/default/rp_filter", "0"),
            ("net/ipv6/conf/default/accept_dad", "0"),
        ] {
            node.sysctl(path, value);
        }
        client.sysctl("net/ipv6/conf/default/accept_dad", "0");
        node.ip(&format!(
            "link add c0 type veth peer name eth0 netns {}",
            client.name
        ));
        node.ip(&format!("addr add {NODE}/24 dev c0"));
        node.ip(&format!("addr add {NODE6}/64 dev c0 nodad"));
        node.ip("link set c0 up");
        client.ip(&format!("addr add {CLIENT}/24 dev eth0"));
        client.ip(&format!("addr add {CLIENT6}/64 dev eth0 nodad"));
        client.ip("link set eth0 up");
        client.ip(&format!("route add default via {NODE}"));
        // As on any node, there is a way out for addresses that are nobody's.
        node.ip(&format!("route add default via {CLIENT}"));
        node.ip(&format!("-6 route add default via {CLIENT6}"));
        client.ip(&format!("-6 route add default via {NODE6}"));
        let mut world = Self {
            node,
            client,
            pods: Vec::new(),
        };
        (0..pods).for_each(|_| world.add_pod());
        world
    }

    pub fn add_pod(&mut self) {
        let n = self.pods.len();
        let pod = Netns::new("pod");
        pod.sysctl("net/ipv6/conf/default/accept_dad", "0");
        let node = &self.node;
        node.ip(&format!(
            "link add p{n} type veth peer name eth0 netns {}",
            pod.name
        ));
        if n == 0 {
            node.ip("addr add 10.244.0.1/32 dev lo");
            node.ip("addr add fd02::1/128 dev lo");
        }
        node.ip(&format!("link set p{n} up"));
        node.sysctl(&format!("net/ipv4/conf/p{n}/proxy_arp"), "1");
        node.sysctl(&format!("net/ipv4/neigh/p{n}/proxy_delay"), "0");
        node.ip(&format!("route add {}/32 dev p{n}", pod_ip(n)));
        node.ip(&format!("addr add fe80::1/64 dev p{n} nodad"));
        node.ip(&format!("-6 route add {}/128 dev p{n}", pod_ip6(n)));
        pod.ip(&format!("addr add {}/32 dev eth0", pod_ip(n)));
        pod.ip(&format!("addr add {}/128 dev eth0 nodad", pod_ip6(n)));
        pod.ip("link set eth0 up");
        pod.ip("route add default dev eth0");
        pod.ip("-6 route add default via fe80::1 dev eth0");
        self.pods.push(pod);
    }
}

pub fn pod_ip(n: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 244, 0, 11 + n as u8)
}

pub fn pod_ip6(n: usize) -> Ipv6Addr {
    Ipv6Addr::new(0xfd02, 0, 0, 0, 0, 0, 0, 0x11 + n as u16)
}

/// Serves `say` and the peer's address to every TCP connection and every UDP datagram on this port, until the
/// process ends.
pub fn serve(ns: &Netns, port: u16, say: &str) {
    for ip in [
        IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    ] {
        let (tcp, udp) = ns.enter(|| {
            let addr = SocketAddr::new(ip, port);
            let fd = rustix::net::socket(
                if ip.is_ipv4() {
                    rustix::net::AddressFamily::INET
                } else {
                    rustix::net::AddressFamily::INET6
                },
                rustix::net::SocketType::STREAM,
                None,
            )
            .unwrap();
            if ip.is_ipv6() {
                rustix::net::sockopt::set_ipv6_v6only(&fd, true).unwrap();
            }
            rustix::net::bind(&fd, &addr).unwrap();
            rustix::net::listen(&fd, 128).unwrap();
            let udp = rustix::net::socket(
                if ip.is_ipv4() {
                    rustix::net::AddressFamily::INET
                } else {
                    rustix::net::AddressFamily::INET6
                },
                rustix::net::SocketType::DGRAM,
                None,
            )
            .unwrap();
            if ip.is_ipv6() {
                rustix::net::sockopt::set_ipv6_v6only(&udp, true).unwrap();
            }
            rustix::net::bind(&udp, &addr).unwrap();
            (TcpListener::from(fd), UdpSocket::from(udp))
        });
        let say = say.to_owned();
        let told = say.clone();
        std::thread::spawn(move || {
            for stream in tcp.incoming() {
                let Ok(mut stream) = stream else { continue };
                let peer = stream.peer_addr().map(|a| a.ip().to_string()).unwrap_or_default();
                let _ = stream.write_all(format!("{say} {peer}").as_bytes());
            }
        });
        std::thread::spawn(move || {
            let mut buf = [0; 64];
            while let Ok((_, peer)) = udp.recv_from(&mut buf) {
                let _ = udp.send_to(format!("{told} {}", peer.ip()).as_bytes(), peer);
            }
        });
    }
}

/// What a server says to a TCP connection: its name and the address it saw.
pub fn ask(from: &Netns, to: impl Into<IpAddr>, port: u16) -> Result<(String, IpAddr), std::io::ErrorKind> {
    ask_within(Duration::from_millis(700), from, to, port)
}

/// The same; the first try to connect is repeated after a second.
pub fn ask_within(
    patience: Duration,
    from: &Netns,
    to: impl Into<IpAddr>,
    port: u16,
) -> Result<(String, IpAddr), std::io::ErrorKind> {
    let to = SocketAddr::new(to.into(), port);
    from.enter(|| {
        let mut stream = TcpStream::connect_timeout(&to, patience).map_err(|e| e.kind())?;
        stream.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).map_err(|e| e.kind())?;
        let (name, peer) = text.split_once(' ').unwrap();
        Ok((name.to_owned(), peer.parse().unwrap()))
    })
}

/// The same over UDP, from one socket that asks `times` times.
pub fn ask_udp(from: &Netns, to: impl Into<IpAddr>, port: u16, times: usize) -> Vec<Option<String>> {
    let to = SocketAddr::new(to.into(), port);
    from.enter(|| {
        let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let socket = UdpSocket::bind(any).unwrap();
        socket.connect(to).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        (0..times)
            .map(|_| {
                let mut buf = [0; 64];
                socket.send(b"?").ok()?;
                let len = socket.recv(&mut buf).ok()?;
                let text = String::from_utf8_lossy(&buf[..len]).into_owned();
                text.split_once(' ').map(|(name, _)| name.to_owned())
            })
            .collect()
    })
}

/// Builds the JSON of a Service; `extra` is merged over its spec.
pub fn service(name: &str, ip: &str, ports: Value, extra: Value) -> Service {
    let mut spec = json!({"clusterIP": ip, "clusterIPs": [ip], "ports": ports});
    if let (Some(spec), Some(extra)) = (spec.as_object_mut(), extra.as_object()) {
        spec.extend(extra.clone());
    }
    let status = spec
        .as_object_mut()
        .and_then(|s| s.remove("status"))
        .unwrap_or_default();
    serde_json::from_value(
        json!({"metadata": {"namespace": "test", "name": name}, "spec": spec, "status": status}),
    )
    .unwrap()
}

/// Builds a slice of ready endpoints on the node `here`, or on `elsewhere` where the number is negative.
pub fn slice(service: &str, family: Family, port: u16, protocol: &str, pods: &[i32]) -> Arc<EndpointSlice> {
    let endpoints: Vec<Value> = pods
        .iter()
        .map(|n| {
            let pod = n.unsigned_abs() as usize - 1;
            let ip = match family {
                Family::Ipv4 => pod_ip(pod).to_string(),
                Family::Ipv6 => pod_ip6(pod).to_string(),
            };
            json!({"addresses": [ip], "conditions": {"ready": true}, "nodeName": if *n > 0 { "here" } else { "elsewhere" }})
        })
        .collect();
    let slice = json!({
        "metadata": {"namespace": "test", "name": format!("{service}-1"), "labels": {"kubernetes.io/service-name": service}},
        "addressType": family.as_str(), "endpoints": endpoints,
        "ports": [{"name": "p", "protocol": protocol, "port": port}],
    });
    Arc::new(serde_json::from_value(slice).unwrap())
}

pub fn routes(
    service: &Service,
    slices: &[Arc<EndpointSlice>],
    family: Family,
) -> (ServiceName, Vec<PortRoute>) {
    let node = NodeFacts {
        name: "here".into(),
        zone: None,
    };
    (service.name.clone(), resolve(service, slices, &node, family))
}
