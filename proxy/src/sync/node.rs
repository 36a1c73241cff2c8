//! What this host says about itself in `/proc`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

/// IPv6 is there and not switched off.
pub fn ipv6_enabled() -> bool {
    let off = std::fs::read_to_string("/proc/sys/net/ipv6/conf/all/disable_ipv6");
    Path::new("/proc/net/if_inet6").exists() && off.map_or(true, |text| text.trim() != "1")
}

/// The addresses of all interfaces, without duplicates.
pub fn interface_addresses() -> Vec<IpAddr> {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let mut all: Vec<IpAddr> = local_ipv4(&read("/proc/net/fib_trie")).map(IpAddr::V4).collect();
    all.extend(ipv6(&read("/proc/net/if_inet6")).map(IpAddr::V6));
    all.sort_unstable();
    all.dedup();
    all
}

/// Local addresses in the routing trie: a leaf, and under it a line that says that it is one host, and local.
fn local_ipv4(trie: &str) -> impl Iterator<Item = Ipv4Addr> + '_ {
    trie.lines().zip(trie.lines().skip(1)).filter_map(|(leaf, kind)| {
        let leaf = leaf.trim_start().strip_prefix("|-- ")?;
        kind.trim().strip_prefix("/32 host LOCAL")?;
        leaf.parse().ok()
    })
}

/// `fe80000000000000...  index  prefix  scope  flags  name`
fn ipv6(list: &str) -> impl Iterator<Item = Ipv6Addr> + '_ {
    list.lines().filter_map(|line| {
        let hex = line.split_whitespace().next()?;
        (hex.len() == 32).then(|| u128::from_str_radix(hex, 16).ok().map(Ipv6Addr::from))?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_found() {
        let trie = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\n     +-- 10.1.0.0/24 2 0 2\n        |-- 10.1.0.0\n           /24 link UNICAST\n        |-- 10.1.0.1\n           /32 host LOCAL\n        |-- 10.1.0.255\n           /32 link BROADCAST\n";
        assert_eq!(local_ipv4(trie).collect::<Vec<_>>(), [Ipv4Addr::new(10, 1, 0, 1)]);
        let list = "fd010000000000000000000000000001 02 40 00 80 eth0\n00000000000000000000000000000001 01 80 10 80 lo\n";
        assert_eq!(
            ipv6(list).map(|ip| ip.to_string()).collect::<Vec<_>>(),
            ["fd01::1", "::1"]
        );
        assert!(interface_addresses().contains(&IpAddr::V4(Ipv4Addr::LOCALHOST)));
    }
}
