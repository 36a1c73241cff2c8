//! Which side, ours or upstream's, plays each component, in the whole cluster and on single nodes.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::address;

/// One of the four programs that a rig can run from either side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Component {
    Kubelet,
    Scheduler,
    Proxy,
    Controllers,
}

impl Component {
    pub const ALL: [Self; 4] = [Self::Kubelet, Self::Scheduler, Self::Proxy, Self::Controllers];

    /// The name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kubelet => "kubelet",
            Self::Scheduler => "scheduler",
            Self::Proxy => "proxy",
            Self::Controllers => "controllers",
        }
    }

    /// The name of the program, ours and upstream's alike.
    pub const fn program(self) -> &'static str {
        match self {
            Self::Kubelet => "kubelet",
            Self::Scheduler => "kube-scheduler",
            Self::Proxy => "kube-proxy",
            Self::Controllers => "kube-controller-manager",
        }
    }

    /// Whether each node runs one, rather than the control plane.
    pub const fn on_nodes(self) -> bool {
        matches!(self, Self::Kubelet | Self::Proxy)
    }

    /// Name of the instance that runs on `machine`, as logs and `rig status` call it.
    pub fn instance(self, machine: &str) -> String {
        if self.on_nodes() {
            format!("{}@{machine}", self.program())
        } else {
            self.program().to_owned()
        }
    }
}

impl fmt::Display for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a `--use` or a component name was not understood.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ChoiceError {
    #[error("no component is called {0:?}: it is one of kubelet, scheduler, proxy, controllers")]
    Component(String),
    #[error("a component is either `ours` or `upstream`, not {0:?}")]
    Origin(String),
    #[error("{0:?} is not of the form COMPONENT=ours|upstream or NODE:COMPONENT=ours|upstream")]
    Form(String),
    #[error("{0:?} is no node's name: nodes are n1, n2, ...")]
    Node(String),
    #[error("{0} runs in the control plane, once, and so cannot be chosen for node {1}")]
    NotOnNodes(Component, String),
    #[error("there is no node {0}: the rig has {1}")]
    NoSuchNode(String, u8),
}

impl FromStr for Component {
    type Err = ChoiceError;

    fn from_str(text: &str) -> Result<Self, ChoiceError> {
        Self::ALL
            .into_iter()
            .find(|component| text == component.name() || text == component.program())
            .ok_or_else(|| ChoiceError::Component(text.to_owned()))
    }
}

/// Whose program plays a component.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    Ours,
    Upstream,
}

impl Origin {
    pub const fn other(self) -> Self {
        match self {
            Self::Ours => Self::Upstream,
            Self::Upstream => Self::Ours,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ours => "ours",
            Self::Upstream => "upstream",
        })
    }
}

impl FromStr for Origin {
    type Err = ChoiceError;

    fn from_str(text: &str) -> Result<Self, ChoiceError> {
        match text {
            "ours" => Ok(Self::Ours),
            "upstream" => Ok(Self::Upstream),
            other => Err(ChoiceError::Origin(other.to_owned())),
        }
    }
}

/// One `--use` item: a component, everywhere or on one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Use {
    pub node: Option<String>,
    /// `None` is every component (`all=upstream`).
    pub component: Option<Component>,
    pub origin: Origin,
}

impl FromStr for Use {
    type Err = ChoiceError;

    fn from_str(text: &str) -> Result<Self, ChoiceError> {
        let (what, origin) = text
            .split_once('=')
            .ok_or_else(|| ChoiceError::Form(text.to_owned()))?;
        let (node, component) = match what.split_once(':') {
            Some((node, component)) => (Some(node), component),
            None => (None, what),
        };
        if let Some(node) = node
            && address::node_number(node).is_none()
        {
            return Err(ChoiceError::Node(node.to_owned()));
        }
        let component: Option<Component> = if component == "all" {
            None
        } else {
            Some(component.parse()?)
        };
        match (node, component) {
            (Some(node), Some(component)) if !component.on_nodes() => {
                Err(ChoiceError::NotOnNodes(component, node.to_owned()))
            }
            _ => Ok(Self {
                node: node.map(str::to_owned),
                component,
                origin: origin.parse()?,
            }),
        }
    }
}

/// The choices of a rig. Everything is ours unless said otherwise.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choices {
    cluster: BTreeMap<Component, Origin>,
    /// Node, then component: wins over `cluster`.
    nodes: BTreeMap<String, BTreeMap<Component, Origin>>,
}

impl Choices {
    /// Applies `uses` in order; those for a node win over those for the cluster, wherever they stand.
    ///
    /// # Errors
    /// If a node is named that a rig of `nodes` nodes does not have.
    pub fn new(uses: &[Use], nodes: u8) -> Result<Self, ChoiceError> {
        let mut choices = Self::default();
        for item in uses {
            if let Some(node) = &item.node
                && address::node_number(node).is_none_or(|number| number > nodes)
            {
                return Err(ChoiceError::NoSuchNode(node.clone(), nodes));
            }
            let components = Component::ALL
                .into_iter()
                .filter(|component| item.component.is_none_or(|only| only == *component))
                .filter(|component| item.node.is_none() || component.on_nodes());
            for component in components {
                match &item.node {
                    Some(node) => choices
                        .nodes
                        .entry(node.clone())
                        .or_default()
                        .insert(component, item.origin),
                    None => choices.cluster.insert(component, item.origin),
                };
            }
        }
        Ok(choices)
    }

    /// Whose program plays `component` on `machine`.
    pub fn origin(&self, component: Component, machine: &str) -> Origin {
        self.nodes
            .get(machine)
            .and_then(|node| node.get(&component))
            .or_else(|| self.cluster.get(&component))
            .copied()
            .unwrap_or(Origin::Ours)
    }

    /// Records a swap on one node, or everywhere.
    pub fn swap(&mut self, component: Component, origin: Origin, node: Option<&str>) {
        match node {
            Some(node) => {
                self.nodes
                    .entry(node.to_owned())
                    .or_default()
                    .insert(component, origin);
            }
            None => {
                for node in self.nodes.values_mut() {
                    node.remove(&component);
                }
                self.cluster.insert(component, origin);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uses(text: &str) -> Vec<Use> {
        text.split(',').map(|item| item.parse().unwrap()).collect()
    }

    #[test]
    fn a_node_s_choice_wins_over_the_cluster_s() {
        let choices = Choices::new(&uses("n2:kubelet=ours,kubelet=upstream,scheduler=upstream"), 2).unwrap();
        assert_eq!(choices.origin(Component::Kubelet, "n1"), Origin::Upstream);
        assert_eq!(choices.origin(Component::Kubelet, "n2"), Origin::Ours);
        assert_eq!(choices.origin(Component::Scheduler, "cp"), Origin::Upstream);
        assert_eq!(choices.origin(Component::Proxy, "n1"), Origin::Ours);
    }

    #[test]
    fn all_means_every_component_or_every_one_that_a_node_runs() {
        let choices = Choices::new(&uses("all=upstream,n1:all=ours"), 2).unwrap();
        assert_eq!(choices.origin(Component::Controllers, "cp"), Origin::Upstream);
        assert_eq!(choices.origin(Component::Proxy, "n1"), Origin::Ours);
        assert_eq!(choices.origin(Component::Proxy, "n2"), Origin::Upstream);
    }

    #[test]
    fn a_swap_everywhere_forgets_the_choices_of_nodes() {
        let mut choices = Choices::new(&uses("n2:kubelet=upstream"), 2).unwrap();
        choices.swap(Component::Kubelet, Origin::Upstream, Some("n1"));
        assert_eq!(choices.origin(Component::Kubelet, "n1"), Origin::Upstream);
        choices.swap(Component::Kubelet, Origin::Ours, None);
        assert_eq!(choices.origin(Component::Kubelet, "n1"), Origin::Ours);
        assert_eq!(choices.origin(Component::Kubelet, "n2"), Origin::Ours);
    }

    #[test]
    fn what_is_not_understood_is_named() {
        for (text, error) in [
            ("kubelet", ChoiceError::Form("kubelet".into())),
            ("kublet=ours", ChoiceError::Component("kublet".into())),
            ("kubelet=theirs", ChoiceError::Origin("theirs".into())),
            ("m1:kubelet=ours", ChoiceError::Node("m1".into())),
            (
                "n1:scheduler=ours",
                ChoiceError::NotOnNodes(Component::Scheduler, "n1".into()),
            ),
        ] {
            assert_eq!(text.parse::<Use>().unwrap_err(), error);
        }
        assert_eq!(
            Choices::new(&uses("n3:kubelet=ours"), 2).unwrap_err(),
            ChoiceError::NoSuchNode("n3".into(), 2)
        );
    }

    #[test]
    fn programs_may_be_called_by_their_own_names() {
        assert_eq!("kube-controller-manager".parse(), Ok(Component::Controllers));
        assert_eq!(Component::Proxy.instance("n1"), "kube-proxy@n1");
        assert_eq!(Component::Scheduler.instance("cp"), "kube-scheduler");
    }
}
