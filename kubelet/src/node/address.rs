//! The node's own addresses: from `--node-ip`, else from its name, else from the interface of the default route.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// Why an address given with `--node-ip` cannot be this node's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    #[error(
        "--node-ip {0:?} is not an IP address: give one address, or one of each family separated by a comma"
    )]
    Unreadable(String),
    #[error(
        "--node-ip {0:?} names more than one address of a family: give at most one IPv4 and one IPv6 address"
    )]
    SameFamily(String),
    #[error("node IP {0} cannot be used: it is {1}")]
    Unusable(IpAddr, &'static str),
    #[error("node IP {0} is not on any of this machine's network interfaces")]
    NotHere(IpAddr),
}

/// Reads `--node-ip`: nothing, one address, or one of each family.
///
/// # Errors
/// If it is not that.
pub fn parse(flag: &str) -> Result<Vec<IpAddr>, AddressError> {
    let flag = flag.trim();
    if flag.is_empty() {
        return Ok(Vec::new());
    }
    let addresses: Vec<IpAddr> = flag
        .split(',')
        .map(|one| {
            one.trim()
                .parse()
                .map_err(|_| AddressError::Unreadable(flag.to_owned()))
        })
        .collect::<Result<_, _>>()?;
    match addresses.as_slice() {
        [_] => Ok(addresses),
        [a, b] if a.is_ipv4() != b.is_ipv4() => Ok(addresses),
        _ => Err(AddressError::SameFamily(flag.to_owned())),
    }
}

/// Checks that `address` may be a node's and is one of `local`, the machine's addresses.
///
/// # Errors
/// If it is not.
pub fn validate(address: IpAddr, local: &[IpAddr]) -> Result<(), AddressError> {
    let link_local = match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    let unusable = if address.is_loopback() {
        Some("a loopback address")
    } else if address.is_multicast() {
        Some("a multicast address")
    } else if link_local {
        Some("a link-local address")
    } else if address.is_unspecified() {
        Some("the all-zeros address")
    } else {
        None
    };
    match unusable {
        Some(why) => Err(AddressError::Unusable(address, why)),
        None if local.contains(&address) => Ok(()),
        None => Err(AddressError::NotHere(address)),
    }
}

/// Chooses the node's addresses.
///
/// `named` are the addresses the node's name resolves to, `routed` the one a packet to the outside would carry for
/// the preferred family, then for the other. `::` or `0.0.0.0` as the given address only says which family to prefer.
pub fn choose(
    given: &[IpAddr],
    hostname: &str,
    named: &[IpAddr],
    routed: &[IpAddr],
    local: &[IpAddr],
) -> Result<Vec<IpAddr>, AddressError> {
    let specified: Vec<IpAddr> = given
        .iter()
        .copied()
        .filter(|address| !address.is_unspecified())
        .collect();
    for address in &specified {
        validate(*address, local)?;
    }
    if given.first().is_some_and(|first| !first.is_unspecified()) {
        return Ok(specified);
    }
    if let Ok(address) = hostname.parse() {
        return Ok(vec![address]);
    }
    let v4 = prefers_v4(given);
    let usable: Vec<IpAddr> = named
        .iter()
        .copied()
        .filter(|address| validate(*address, local).is_ok())
        .collect();
    let preferred = usable
        .iter()
        .find(|address| address.is_ipv4() == v4)
        .or(usable.first());
    Ok(preferred.or(routed.first()).copied().into_iter().collect())
}

/// True unless the first given address is an IPv6 one.
pub fn prefers_v4(given: &[IpAddr]) -> bool {
    given.first().is_none_or(IpAddr::is_ipv4)
}

/// The source addresses the kernel would pick for the outside, preferred family first. Nothing is sent: connecting
/// a UDP socket only asks the routing table.
pub fn routed(v4_first: bool) -> Vec<IpAddr> {
    let v4 = source(
        SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), 9)),
    );
    let v6 = source(
        SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
        SocketAddr::from((Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1), 9)),
    );
    let both = if v4_first { [v4, v6] } else { [v6, v4] };
    both.into_iter().flatten().collect()
}

fn source(bind: SocketAddr, outside: SocketAddr) -> Option<IpAddr> {
    let socket = UdpSocket::bind(bind).ok()?;
    socket.connect(outside).ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_loopback() && !address.is_unspecified()).then_some(address)
}

/// True if this machine has `address`: the kernel lets only local addresses be bound.
pub fn is_local(address: IpAddr) -> bool {
    UdpSocket::bind(SocketAddr::from((address, 0))).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ips(of: &[&str]) -> Vec<IpAddr> {
        of.iter().map(|ip| ip.parse().unwrap()).collect()
    }

    #[test]
    fn the_flag_takes_one_address_or_one_of_each_family() {
        assert_eq!(parse(""), Ok(vec![]));
        assert_eq!(parse("10.0.0.1"), Ok(ips(&["10.0.0.1"])));
        assert_eq!(parse("10.0.0.1, fd00::1"), Ok(ips(&["10.0.0.1", "fd00::1"])));
        assert!(matches!(
            parse("10.0.0.1,10.0.0.2"),
            Err(AddressError::SameFamily(_))
        ));
        assert!(matches!(
            parse("10.0.0.1,fd00::1,fd00::2"),
            Err(AddressError::SameFamily(_))
        ));
        assert!(matches!(parse("node-1"), Err(AddressError::Unreadable(_))));
    }

    #[test]
    fn addresses_that_cannot_be_a_nodes_are_refused() {
        let local = ips(&["127.0.0.1", "10.0.0.1", "fe80::1"]);
        for bad in ["127.0.0.1", "224.0.0.1", "169.254.1.1", "fe80::1", "0.0.0.0"] {
            assert!(
                matches!(
                    validate(bad.parse().unwrap(), &local),
                    Err(AddressError::Unusable(..))
                ),
                "{bad}"
            );
        }
        assert!(matches!(
            validate("10.0.0.9".parse().unwrap(), &local),
            Err(AddressError::NotHere(_))
        ));
        assert_eq!(validate("10.0.0.1".parse().unwrap(), &local), Ok(()));
    }

    #[test]
    fn addresses_are_chosen_in_upstreams_order() {
        let local = ips(&["10.0.0.1", "10.0.0.2", "fd00::1"]);
        let choose = |given: &[&str], hostname: &str, named: &[&str], routed: &[&str]| {
            choose(&ips(given), hostname, &ips(named), &ips(routed), &local).unwrap()
        };
        assert_eq!(
            choose(&["10.0.0.1"], "n", &["10.0.0.2"], &[]),
            ips(&["10.0.0.1"]),
            "given"
        );
        assert_eq!(
            choose(&["fd00::1", "10.0.0.1"], "n", &[], &[]),
            ips(&["fd00::1", "10.0.0.1"]),
            "dual"
        );
        assert_eq!(
            choose(&[], "10.9.9.9", &["10.0.0.2"], &[]),
            ips(&["10.9.9.9"]),
            "override"
        );
        assert_eq!(
            choose(&[], "n", &["127.0.0.1", "fd00::1", "10.0.0.2"], &[]),
            ips(&["10.0.0.2"]),
            "name"
        );
        assert_eq!(
            choose(&["::"], "n", &["10.0.0.2", "fd00::1"], &[]),
            ips(&["fd00::1"]),
            "family"
        );
        assert_eq!(
            choose(&[], "n", &["127.0.1.1"], &["10.0.0.1"]),
            ips(&["10.0.0.1"]),
            "route"
        );
        assert_eq!(choose(&[], "n", &[], &[]), ips(&[]), "none");
    }
}
