//! The network namespace: its links, its servers, and the way from it to the API server.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use http::Uri;
use machinery::testing::Process;

use super::rules::Syncs;
use crate::machine::{enter, links};

/// The node's address.
pub const ADDRESS: &str = "198.18.0.11";
/// Endpoints that answer, each with its letter.
pub const SERVERS: [(&str, u8); 3] = [("10.244.0.2", b'a'), ("10.244.0.3", b'b'), ("10.244.0.4", b'c')];
pub const PORT: u16 = 8080;
const METRICS: u16 = 10249;

/// What no rule catches goes to a neighbour that does not answer.
const LINKS: &str = "link set lo up
link add eth0 type veth peer name far0
addr add 198.18.0.11/24 dev eth0
link set eth0 up
link set far0 up
neigh add 198.18.0.254 lladdr 02:72:69:67:00:fe dev eth0
route add default via 198.18.0.254
";

/// It is there as long as its first process, which ends when this is dropped, or when we end.
pub struct Space {
    _first: Process,
    pid: u32,
    folder: PathBuf,
}

impl Space {
    /// `api` is the API server's URL on the host's loopback; it has the same one inside.
    pub fn make(folder: &Path, api: &str) -> Result<Self> {
        let space = Self::bare(folder, "space")?;
        let mut batch = LINKS.to_owned();
        for (address, _) in SERVERS {
            batch.push_str(&format!("addr add {address}/32 dev lo\n"));
        }
        links::batch(space.pid, batch)?;
        for (address, letter) in SERVERS {
            let address: Ipv4Addr = address.parse().context("an address of ours")?;
            serve(space.listen(address, PORT)?, letter);
        }
        let api: Uri = api.parse().with_context(|| format!("reading {api}"))?;
        let port = api.port_u16().with_context(|| format!("{api} has no port"))?;
        forward(space.listen(Ipv4Addr::LOCALHOST, port)?, port);
        Ok(space)
    }

    fn bare(folder: &Path, name: &str) -> Result<Self> {
        let folder = folder.join(name);
        std::fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
        let first = Process::start(
            Path::new("/usr/bin/unshare"),
            ["--net", "--", "sleep", "infinity"],
            &folder,
        )
        .context("running `unshare` (Debian package util-linux)")?;
        let until = Instant::now() + Duration::from_secs(10);
        let own = std::fs::read_link("/proc/self/ns/net").context("reading our network namespace")?;
        loop {
            if let Some(pid) = first.pid()
                && std::fs::read_link(format!("/proc/{pid}/ns/net")).is_ok_and(|other| other != own)
            {
                return Ok(Self {
                    _first: first,
                    pid,
                    folder,
                });
            }
            if Instant::now() > until {
                bail!("no network namespace after 10 s: {}", first.last_words());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Its first process.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    fn listen(&self, address: Ipv4Addr, port: u16) -> Result<TcpListener> {
        enter::in_network(self.pid, move || {
            TcpListener::bind((address, port)).with_context(|| format!("listening on {address}:{port}"))
        })
    }

    fn nft(&self, args: Vec<String>) -> Result<Output> {
        enter::in_network(self.pid, move || {
            let output = Command::new("nft")
                .args(&args)
                .env(
                    "PATH",
                    "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin",
                )
                .output()
                .context("running `nft` (Debian package nftables)")?;
            if !output.status.success() {
                let said = String::from_utf8_lossy(&output.stderr);
                bail!("nft {}: {}", args.join(" "), said.trim());
            }
            Ok(output)
        })
    }

    /// All rules, as text.
    pub fn rules(&self) -> Result<String> {
        let output = self.nft(vec!["list".to_owned(), "ruleset".to_owned()])?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Removes all rules.
    pub fn flush(&self) -> Result<()> {
        self.nft(vec!["flush".to_owned(), "ruleset".to_owned()]).map(drop)
    }

    /// Seconds that `nft` takes to load `rules` into a namespace that has none.
    pub fn reload(&self, rules: &str) -> Result<f64> {
        let file = self.folder.join("rules.nft");
        std::fs::write(&file, rules).with_context(|| format!("writing {}", file.display()))?;
        let other = Self::bare(&self.folder, "floor")?;
        let since = Instant::now();
        other.nft(vec!["-f".to_owned(), file.display().to_string()])?;
        Ok(since.elapsed().as_secs_f64())
    }

    /// What the proxy says of its syncs so far.
    pub fn syncs(&self) -> Result<Syncs> {
        enter::in_network(self.pid, || {
            let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, METRICS))
                .context("asking the proxy for its metrics")?;
            stream.set_read_timeout(Some(Duration::from_secs(5)))?;
            stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
            let mut text = Vec::new();
            stream.read_to_end(&mut text)?;
            Ok(Syncs::read(&String::from_utf8_lossy(&text)))
        })
    }
}

/// Says `letter` to whoever connects, as long as the process lives.
fn serve(listener: TcpListener, letter: u8) {
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.write_all(&[letter]);
        }
    });
}

/// Passes connections on to `port` of the host's loopback, as long as the process lives: a socket stays in the namespace
/// that it was made in, whoever uses it.
fn forward(listener: TcpListener, port: u16) {
    std::thread::spawn(move || {
        for inside in listener.incoming().flatten() {
            let Ok(outside) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) else {
                continue;
            };
            let _ = (inside.set_nodelay(true), outside.set_nodelay(true));
            if let (Ok(from), Ok(to)) = (inside.try_clone(), outside.try_clone()) {
                std::thread::spawn(move || pass(from, to));
                std::thread::spawn(move || pass(outside, inside));
            }
        }
    });
}

fn pass(mut from: TcpStream, mut to: TcpStream) {
    let _ = std::io::copy(&mut from, &mut to);
    let _ = to.shutdown(std::net::Shutdown::Both);
}
