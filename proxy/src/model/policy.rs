use super::endpoints::Candidate;
use super::node::NodeFacts;

/// The candidates that this node uses, by traffic policy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chosen<'a> {
    /// For the policy `Cluster`; empty when no traffic to the port uses it.
    pub cluster: Vec<Candidate<'a>>,
    /// For the policy `Local`; empty when no traffic to the port uses it.
    pub local: Vec<Candidate<'a>>,
    /// Some endpoint of the Service is usable on some node.
    pub any: bool,
}

/// Applies traffic policies, topology hints and the fallback to endpoints that terminate but still serve.
///
/// Ready endpoints come first. Where a policy has none, those that terminate and still serve take their place
/// (KEP-1669), for each policy on its own.
pub fn choose<'a>(
    all: &[Candidate<'a>],
    uses_cluster: bool,
    uses_local: bool,
    node: &NodeFacts,
) -> Chosen<'a> {
    let ready = |c: &&Candidate<'a>| c.ready;
    let draining = |c: &&Candidate<'a>| !c.ready && c.serving && c.terminating;
    let mut chosen = Chosen::default();
    if uses_cluster {
        let topology = Topology::of(all, node);
        chosen.cluster = all
            .iter()
            .filter(ready)
            .filter(|c| topology.allows(c, node))
            .copied()
            .collect();
        if chosen.cluster.is_empty() {
            chosen.cluster = all
                .iter()
                .filter(|c| c.serving && c.terminating)
                .copied()
                .collect();
        }
        chosen.any = !chosen.cluster.is_empty();
    }
    if uses_local {
        chosen.any |= all.iter().any(|c| ready(&c) || draining(&c));
        chosen.local = all.iter().filter(|c| c.local).filter(ready).copied().collect();
        if chosen.local.is_empty() {
            chosen.local = all.iter().filter(|c| c.local).filter(draining).copied().collect();
        }
    }
    chosen
}

/// Which hints count (KEP-2433, KEP-3015): node hints before zone hints, and either only when every ready endpoint
/// has one and some endpoint is meant for this node or zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Topology {
    Anywhere,
    SameNode,
    SameZone,
}

impl Topology {
    fn of(all: &[Candidate<'_>], node: &NodeFacts) -> Self {
        let mut ready = all.iter().filter(|c| c.ready).peekable();
        if ready.peek().is_none() {
            return Self::Anywhere;
        }
        let (mut all_nodes, mut all_zones, mut this_node, mut this_zone) = (true, true, false, false);
        for candidate in ready {
            let hints = candidate.hints;
            all_nodes &= hints.is_some_and(|h| !h.nodes.is_empty());
            all_zones &= hints.is_some_and(|h| !h.zones.is_empty());
            this_node |= Self::SameNode.allows(candidate, node);
            this_zone |= Self::SameZone.allows(candidate, node);
        }
        if all_nodes && this_node {
            Self::SameNode
        } else if all_zones && this_zone {
            Self::SameZone
        } else {
            Self::Anywhere
        }
    }

    fn allows(self, candidate: &Candidate<'_>, node: &NodeFacts) -> bool {
        match self {
            Self::Anywhere => true,
            Self::SameNode => candidate.hints.is_some_and(|h| h.nodes.contains(&node.name)),
            Self::SameZone => node
                .zone
                .as_ref()
                .is_some_and(|zone| candidate.hints.is_some_and(|h| h.zones.contains(zone))),
        }
    }
}
