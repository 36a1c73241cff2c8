//! How fast dead nodes may lose their pods. When many nodes of a zone die at once, the fault is more likely the network's, or ours, than
//! theirs; so a zone with many dead nodes is slower, and when no node is ready at all nothing is evicted.

use super::limiter::Limiter;
use super::taints::Eviction;
use crate::api::{ConditionStatus, Node};
use crate::config::NodeLifecycle;
use machinery::meta::Istr;
use rustc_hash::{FxHashMap, FxHashSet};
use std::collections::VecDeque;
use std::time::Instant;

/// How well a zone is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Normal,
    /// Many of its nodes are not ready.
    Partial,
    /// None of its nodes is ready.
    Full,
}

/// What a look at all nodes changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shift {
    None,
    /// No node of the cluster is ready any more: look at each again.
    Suspended,
    /// Some are ready again: forget how long the others were silent.
    Resumed,
}

#[derive(Debug)]
struct Zone {
    state: Option<State>,
    size: usize,
    not_ready: usize,
    limiter: Limiter,
    waiting: VecDeque<Istr>,
}

/// All zones and who waits in them.
#[derive(Debug)]
pub struct Zones {
    settings: NodeLifecycle,
    zones: FxHashMap<Istr, Zone>,
    /// The zones of nodes that wait.
    places: FxHashMap<Istr, Istr>,
    /// Nodes whose turn it is.
    allowed: FxHashSet<Istr>,
    suspended: bool,
}

/// The name of a node's zone: region and zone, or nothing.
pub fn zone_of(node: &Node) -> Istr {
    let label = |beta: &str, stable: &str| {
        let labels = &node.metadata.labels;
        labels
            .get(beta)
            .or_else(|| labels.get(stable))
            .unwrap_or_default()
            .to_owned()
    };
    let region = label(
        "failure-domain.beta.kubernetes.io/region",
        "topology.kubernetes.io/region",
    );
    let zone = label(
        "failure-domain.beta.kubernetes.io/zone",
        "topology.kubernetes.io/zone",
    );
    if region.is_empty() && zone.is_empty() {
        return Istr::default();
    }
    format!("{region}:\0:{zone}").into()
}

/// Whether the node is ready, as far as its zone's health goes; `None` if it does not count.
fn counts(node: &Node) -> Option<bool> {
    let excluded = node
        .metadata
        .labels
        .contains_key("node.kubernetes.io/exclude-disruption");
    (!excluded).then(|| {
        node.condition("Ready")
            .is_some_and(|ready| ready.status == ConditionStatus::True)
    })
}

impl Zones {
    pub fn new(settings: NodeLifecycle) -> Self {
        Self {
            settings,
            zones: FxHashMap::default(),
            places: FxHashMap::default(),
            allowed: FxHashSet::default(),
            suspended: false,
        }
    }

    fn state(&self, size: usize, not_ready: usize) -> State {
        #[allow(clippy::cast_precision_loss)] // nodes of a zone are fewer than 2^52
        let share = not_ready as f64 / size.max(1) as f64;
        match not_ready {
            0 => State::Normal,
            all if all == size => State::Full,
            many if many > 2 && share >= self.settings.unhealthy_zone_threshold => State::Partial,
            _ => State::Normal,
        }
    }

    fn rate(&self, state: State, size: usize) -> f64 {
        match state {
            State::Normal | State::Full => self.settings.eviction_rate,
            State::Partial if size > self.settings.large_cluster_size_threshold => {
                self.settings.secondary_eviction_rate
            }
            State::Partial => 0.0,
        }
    }

    fn zone(&mut self, name: &Istr) -> &mut Zone {
        let limiter = Limiter::new(self.settings.eviction_rate);
        self.zones.entry(name.clone()).or_insert_with(|| Zone {
            state: None,
            size: 0,
            not_ready: 0,
            limiter,
            waiting: VecDeque::new(),
        })
    }

    /// Looks at all nodes.
    pub fn look<'n>(&mut self, nodes: impl IntoIterator<Item = &'n Node>) -> Shift {
        for zone in self.zones.values_mut() {
            (zone.size, zone.not_ready) = (0, 0);
        }
        for node in nodes {
            if let Some(ready) = counts(node) {
                let zone = self.zone(&zone_of(node));
                zone.size += 1;
                zone.not_ready += usize::from(!ready);
            }
        }
        self.zones
            .retain(|_, zone| zone.size > 0 || !zone.waiting.is_empty());
        let states: Vec<(Istr, State)> = self
            .zones
            .iter()
            .filter(|(_, zone)| zone.size > 0)
            .map(|(name, zone)| (name.clone(), self.state(zone.size, zone.not_ready)))
            .collect();
        let all_full = !states.is_empty() && states.iter().all(|(_, state)| *state == State::Full);
        let shift = match (self.suspended, all_full) {
            (false, true) => Shift::Suspended,
            (true, false) => Shift::Resumed,
            _ => Shift::None,
        };
        self.suspended = all_full;
        for (name, state) in states {
            let size = self.zone(&name).size;
            let rate = if all_full { 0.0 } else { self.rate(state, size) };
            let zone = self.zone(&name);
            if zone.state.replace(state) != Some(state) {
                tracing::info!(
                    zone = name.as_str(),
                    ?state,
                    nodes = size,
                    not_ready = zone.not_ready,
                    "the zone is in a new state"
                );
            }
            zone.limiter.set(rate);
        }
        if all_full {
            self.allowed.clear();
        }
        shift
    }

    /// A node that is not ready asks whether it is its turn; if not, it waits in its zone.
    pub fn ask(&mut self, node: &Node) -> Eviction {
        let (name, zone) = (&node.metadata.name, zone_of(node));
        if self.suspended {
            self.wait(name, &zone);
            return Eviction::Suspended;
        }
        if self.allowed.contains(name) {
            return Eviction::Allowed;
        }
        self.wait(name, &zone);
        Eviction::Later
    }

    /// Whether nothing is evicted at all.
    pub fn is_suspended(&self) -> bool {
        self.suspended
    }

    fn wait(&mut self, name: &Istr, zone: &Istr) {
        if self.places.get(name) == Some(zone) {
            return;
        }
        self.forget(name);
        self.places.insert(name.clone(), zone.clone());
        self.zone(zone).waiting.push_back(name.clone());
    }

    /// The node is ready, tainted or gone: it waits no longer.
    pub fn forget(&mut self, name: &Istr) {
        self.allowed.remove(name);
        if let Some(place) = self.places.remove(name)
            && let Some(zone) = self.zones.get_mut(&place)
        {
            zone.waiting.retain(|waiting| waiting != name);
        }
    }

    /// The nodes whose turn comes now.
    pub fn due(&mut self, now: Instant) -> Vec<Istr> {
        let mut due = Vec::new();
        for zone in self.zones.values_mut() {
            while !zone.waiting.is_empty() && zone.limiter.pass(now) {
                due.extend(zone.waiting.pop_front());
            }
        }
        for name in &due {
            self.places.remove(name);
            self.allowed.insert(name.clone());
        }
        due
    }

    /// When somebody's turn comes next, if nothing changes.
    pub fn next(&self, now: Instant) -> Option<Instant> {
        self.zones
            .values()
            .filter(|zone| !zone.waiting.is_empty())
            .filter_map(|zone| zone.limiter.next(now))
            .min()
    }

    /// Each zone's name, nodes, and nodes that are not ready; for metrics.
    pub fn sizes(&self) -> impl Iterator<Item = (&Istr, usize, usize)> {
        self.zones
            .iter()
            .map(|(name, zone)| (name, zone.size, zone.not_ready))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::node;
    use serde_json::json;
    use std::time::Duration;

    fn nodes(zone: &str, ready: usize, dead: usize) -> Vec<Node> {
        let one = |index: usize| {
            let status = if index < ready { "True" } else { "Unknown" };
            node(&format!("{zone}{index}"))
                .label("topology.kubernetes.io/zone", zone)
                .with(
                    "/status/conditions",
                    json!([{ "type": "Ready", "status": status }]),
                )
                .build()
        };
        (0..ready + dead).map(one).collect()
    }

    fn names(due: &[Istr]) -> Vec<String> {
        due.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_zone_slows_down_when_many_of_its_nodes_die() {
        let zones = Zones::new(NodeLifecycle::default());
        for (size, not_ready, state, rate) in [
            (5, 0, State::Normal, 0.1),
            (2, 1, State::Normal, 0.1),
            (3, 2, State::Normal, 0.1),
            (5, 3, State::Partial, 0.0),
            (100, 54, State::Normal, 0.1),
            (100, 55, State::Partial, 0.01),
            (1, 1, State::Full, 0.1),
        ] {
            assert_eq!(zones.state(size, not_ready), state, "{not_ready} of {size}");
            assert!(
                (zones.rate(state, size) - rate).abs() < f64::EPSILON,
                "{not_ready} of {size}"
            );
        }
    }

    #[test]
    fn dead_nodes_take_turns() {
        let mut zones = Zones::new(NodeLifecycle::default());
        let all: Vec<_> = nodes("a", 10, 2).into_iter().chain(nodes("b", 5, 1)).collect();
        assert_eq!(zones.look(&all), Shift::None);
        for dead in ["a10", "a11", "b5"] {
            let node = all.iter().find(|node| node.metadata.name == dead).unwrap();
            assert_eq!(zones.ask(node), Eviction::Later);
            assert_eq!(
                zones.ask(node),
                Eviction::Later,
                "asking twice does not count twice"
            );
        }
        let start = Instant::now();
        let mut first = names(&zones.due(start));
        first.sort();
        assert_eq!(first, ["a10", "b5"], "one in each zone");
        assert_eq!(zones.ask(&all[10]), Eviction::Allowed);
        assert_eq!(zones.next(start), Some(start + Duration::from_secs(10)));
        assert!(zones.due(start + Duration::from_secs(9)).is_empty());
        assert_eq!(names(&zones.due(start + Duration::from_secs(10))), ["a11"]);
        zones.forget(&"a11".into());
        assert_eq!(
            zones.ask(&all[11]),
            Eviction::Later,
            "the next time it waits again"
        );
        zones.forget(&"a11".into());
        assert_eq!(zones.next(start), None);
    }

    #[test]
    fn nothing_is_evicted_while_no_node_is_ready() {
        let mut zones = Zones::new(NodeLifecycle::default());
        let (well, dead) = (nodes("a", 2, 1), nodes("a", 0, 3));
        let start = Instant::now();
        assert_eq!(zones.look(&well), Shift::None);
        zones.ask(&well[2]);
        assert_eq!(names(&zones.due(start)), ["a2"]);
        assert_eq!(zones.look(&dead), Shift::Suspended);
        assert_eq!(zones.ask(&dead[2]), Eviction::Suspended);
        assert_eq!(zones.look(&dead), Shift::None);
        assert!(zones.due(start + Duration::from_secs(1000)).is_empty());
        assert_eq!(zones.look(&well), Shift::Resumed);
        assert_eq!(names(&zones.due(start + Duration::from_secs(1000))), ["a2"]);
    }

    #[test]
    fn one_zone_may_be_dead_while_another_lives() {
        let mut zones = Zones::new(NodeLifecycle::default());
        let all: Vec<_> = nodes("a", 3, 0).into_iter().chain(nodes("b", 0, 4)).collect();
        assert_eq!(zones.look(&all), Shift::None);
        assert_eq!(zones.ask(&all[3]), Eviction::Later);
        assert_eq!(
            zones.due(Instant::now()).len(),
            1,
            "at the normal rate: the rest of the cluster hears us"
        );
    }

    #[test]
    fn nodes_may_be_left_out_of_the_count() {
        let mut zones = Zones::new(NodeLifecycle::default());
        let mut all = nodes("a", 0, 1);
        all.push(
            node("edge")
                .label("node.kubernetes.io/exclude-disruption", "")
                .build(),
        );
        all.push(nodes("a", 2, 0).remove(0));
        zones.look(&all);
        assert_eq!(
            zones
                .sizes()
                .map(|(_, size, not_ready)| (size, not_ready))
                .collect::<Vec<_>>(),
            [(2, 1)]
        );
    }
}
