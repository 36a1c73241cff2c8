//! What the flags say about ranges.

use super::pool::{Pool, PoolError};
use crate::config::NodeIpam;
use ipnet::IpNet;

const MASK_V4: u8 = 24;
const MASK_V6: u8 = 64;

/// The flags do not make sense together.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    #[error("--allocate-node-cidrs needs --cluster-cidr: the range to divide among the nodes")]
    Missing,
    #[error("{flag}={value:?}: {part:?} is not an address range such as 10.244.0.0/16")]
    Range {
        flag: &'static str,
        value: String,
        part: String,
    },
    #[error(
        "{flag}={value:?} has two ranges of the same family, or more than two: give one IPv4 and one IPv6 range for dual stack"
    )]
    Families { flag: &'static str, value: String },
    #[error(
        "--cidr-allocator-type={0}: only RangeAllocator is supported; CloudAllocator needs a cloud provider's own controller manager"
    )]
    Allocator(String),
    #[error(
        "--node-cidr-mask-size cannot be used {0}: use --node-cidr-mask-size-ipv4 and --node-cidr-mask-size-ipv6"
    )]
    MaskSize(&'static str),
    #[error("--node-cidr-mask-size-{0} is set, but --cluster-cidr has no range of that family")]
    Family(&'static str),
    #[error("--cluster-cidr and the mask sizes of nodes do not fit: {0}")]
    Pool(#[from] PoolError),
}

fn ranges(flag: &'static str, given: &[String]) -> Result<Vec<IpNet>, Invalid> {
    let value = || given.join(",");
    let parse = |part: &String| {
        part.parse().map_err(|_| Invalid::Range {
            flag,
            value: value(),
            part: part.clone(),
        })
    };
    let ranges: Vec<IpNet> = given.iter().map(parse).collect::<Result<_, _>>()?;
    match ranges.as_slice() {
        [] | [_] => Ok(ranges),
        [IpNet::V4(_), IpNet::V6(_)] | [IpNet::V6(_), IpNet::V4(_)] => Ok(ranges),
        _ => Err(Invalid::Families { flag, value: value() }),
    }
}

/// How long the prefixes of nodes are, of either family. A size of 0 counts as not given.
fn masks(config: &NodeIpam, clusters: &[IpNet]) -> Result<(u8, u8), Invalid> {
    let given = |size: Option<u8>| size.filter(|size| *size != 0);
    let (both, v4, v6) = (
        given(config.mask_size),
        given(config.mask_size_ipv4),
        given(config.mask_size_ipv6),
    );
    if let Some(both) = both {
        return match (clusters.len(), v4.or(v6)) {
            (2.., _) => Err(Invalid::MaskSize("in a dual-stack cluster")),
            (_, Some(_)) => Err(Invalid::MaskSize("together with the sizes of one family")),
            _ => Ok((both, both)),
        };
    }
    let has = |v6: bool| {
        clusters
            .iter()
            .any(|cluster| matches!(cluster, IpNet::V6(_)) == v6)
    };
    match (v4, v6) {
        (Some(_), _) if !has(false) => Err(Invalid::Family("ipv4")),
        (_, Some(_)) if !has(true) => Err(Invalid::Family("ipv6")),
        _ => Ok((v4.unwrap_or(MASK_V4), v6.unwrap_or(MASK_V6))),
    }
}

/// The pools that nodes get their ranges from, in the order of `--cluster-cidr`.
///
/// # Errors
/// The flags do not make sense together.
pub fn pools(config: &NodeIpam) -> Result<Vec<Pool>, Invalid> {
    if config.allocator != "RangeAllocator" {
        return Err(Invalid::Allocator(config.allocator.clone()));
    }
    let clusters = ranges("--cluster-cidr", &config.cluster_cidrs)?;
    if clusters.is_empty() {
        return Err(Invalid::Missing);
    }
    let services = ranges("--service-cluster-ip-range", &config.service_cidrs)?;
    let (v4, v6) = masks(config, &clusters)?;
    let pool = |cluster: IpNet| {
        let mut pool = Pool::new(cluster, if matches!(cluster, IpNet::V4(_)) { v4 } else { v6 })?;
        services.iter().for_each(|range| pool.exclude(range));
        Ok(pool)
    };
    clusters.into_iter().map(pool).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(config: &NodeIpam) -> Result<Vec<String>, Invalid> {
        pools(config).map(|pools| {
            pools
                .into_iter()
                .map(|mut pool| pool.take().unwrap().to_string())
                .collect()
        })
    }

    #[test]
    fn flags_make_pools() {
        let text = |parts: &[&str]| parts.iter().map(ToString::to_string).collect::<Vec<_>>();
        let config = |cluster: &[&str], services: &[&str], masks: [u8; 3]| NodeIpam {
            allocate_node_cidrs: true,
            cluster_cidrs: text(cluster),
            service_cidrs: text(services),
            allocator: "RangeAllocator".into(),
            mask_size: Some(masks[0]),
            mask_size_ipv4: Some(masks[1]),
            mask_size_ipv6: Some(masks[2]),
        };
        for (cluster, services, masks, want) in [
            (
                &["10.244.0.0/16"][..],
                &["10.96.0.0/12"][..],
                [0, 0, 0],
                &["10.244.0.0/24"][..],
            ),
            (&["10.0.0.0/8"], &["10.0.0.0/16"], [20, 0, 0], &["10.1.0.0/20"]),
            (
                &["fd00::/56", "10.244.0.0/16"],
                &[],
                [0, 26, 60],
                &["fd00::/60", "10.244.0.0/26"],
            ),
        ] {
            assert_eq!(first(&config(cluster, services, masks)).unwrap(), want);
        }
        for (cluster, services, masks) in [
            (&[][..], &[][..], [0, 0, 0]),
            (&["10.244.0.0"], &[], [0, 0, 0]),
            (&["10.244.0.0/16", "10.0.0.0/16"], &[], [0, 0, 0]),
            (&["10.244.0.0/16", "fd00::/56"], &[], [24, 0, 0]),
            (&["10.244.0.0/16"], &[], [24, 24, 0]),
            (&["10.244.0.0/16"], &[], [0, 0, 64]),
            (&["10.244.0.0/16"], &["10.96.0.0/12", "10.0.0.0/12"], [0, 0, 0]),
            (&["10.244.0.0/16"], &[], [8, 0, 0]),
        ] {
            assert!(
                first(&config(cluster, services, masks)).is_err(),
                "{cluster:?} {services:?} {masks:?}"
            );
        }
    }
}
