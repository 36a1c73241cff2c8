//! Numbers of endpoints: `0..n` without gaps, and as few renumbered as can be when endpoints come and go.

use crate::model::Endpoint;

/// Puts `wanted` in an order that keeps the places of those that are in `old` where it can.
///
/// An endpoint that left frees its place for a new one, or for the last ones when there are fewer than before. So a
/// change of k endpoints changes at most 2k places.
pub fn arrange(old: &[Endpoint], wanted: &[Endpoint]) -> Box<[Endpoint]> {
    if old.is_empty() || old == wanted {
        return wanted.into();
    }
    let mut sorted = wanted.to_vec();
    sorted.sort_unstable();
    let mut taken = vec![false; sorted.len()];
    let mut places: Vec<Option<Endpoint>> = old
        .iter()
        .map(|endpoint| {
            let at = sorted.binary_search(endpoint).ok()?;
            taken[at] = true;
            Some(*endpoint)
        })
        .collect();
    let mut new: Vec<Endpoint> = sorted
        .iter()
        .zip(&taken)
        .filter(|(_, taken)| !**taken)
        .map(|(e, _)| *e)
        .collect();
    new.reverse();
    // Those beyond the end move into the gaps, before new ones take what is left.
    let mut moved: Vec<Endpoint> = places.drain(wanted.len().min(places.len())..).flatten().collect();
    places.resize(wanted.len(), None);
    places
        .into_iter()
        .filter_map(|place| place.or_else(|| moved.pop()).or_else(|| new.pop()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;
    use std::net::Ipv4Addr;

    fn endpoint(n: u8) -> Endpoint {
        Endpoint {
            ip: Ipv4Addr::new(10, 0, 0, n).into(),
            port: 80,
            local: false,
        }
    }

    fn endpoints(ns: &[u8]) -> Box<[Endpoint]> {
        ns.iter().copied().map(endpoint).collect()
    }

    #[test]
    fn places_are_kept() {
        type Case = (&'static str, &'static [u8], &'static [u8], &'static [u8]);
        let cases: &[Case] = &[
            ("first", &[], &[1, 2], &[1, 2]),
            ("one more", &[2, 1], &[1, 2, 3], &[2, 1, 3]),
            ("one less in the middle", &[1, 2, 3], &[1, 3], &[1, 3]),
            ("the first leaves", &[1, 2, 3], &[2, 3], &[3, 2]),
            ("replaced", &[1, 2, 3], &[1, 3, 4], &[1, 4, 3]),
            ("none left", &[1, 2], &[], &[]),
        ];
        for (name, old, wanted, expected) in cases {
            assert_eq!(
                arrange(&endpoints(old), &endpoints(wanted)),
                endpoints(expected),
                "{name}"
            );
        }
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_little_moves(old: BTreeSet<u8>, wanted: BTreeSet<u8>) {
            let before = endpoints(&old.iter().copied().collect::<Vec<_>>());
            let after = arrange(&before, &endpoints(&wanted.iter().copied().collect::<Vec<_>>()));
            prop_assert_eq!(after.iter().map(|e| e.addr()).collect::<BTreeSet<_>>(), wanted.iter().map(|n| endpoint(*n).addr()).collect());
            prop_assert_eq!(after.len(), wanted.len());
            let changed = (0..after.len().max(before.len())).filter(|i| before.get(*i) != after.get(*i)).count();
            prop_assert!(changed <= 2 * old.symmetric_difference(&wanted).count());
        }
    }
}
