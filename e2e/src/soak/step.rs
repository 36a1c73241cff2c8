//! What is done to the cluster next: pure, and the same for the same seed.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};

use crate::plan::address::{CONTROL_PLANE, node_names};
use crate::plan::choice::{Choices, Component, Origin};

/// Pause between two steps, in milliseconds.
const PAUSE: std::ops::RangeInclusive<u64> = 3_000..=15_000;
/// Of this many steps, one is a kill.
const KILLS: u32 = 3;

/// One thing done to one program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The other side's program takes over.
    Swap {
        component: Component,
        machine: String,
        to: Origin,
    },
    /// SIGKILL; the supervisor starts the program again.
    Kill { component: Component, machine: String },
}

impl Step {
    pub fn component(&self) -> Component {
        match self {
            Self::Swap { component, .. } | Self::Kill { component, .. } => *component,
        }
    }
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Swap {
                component,
                machine,
                to,
            } => write!(f, "{} to {to}", component.instance(machine)),
            Self::Kill { component, machine } => write!(f, "{} killed", component.instance(machine)),
        }
    }
}

/// Draws steps.
pub struct Dice {
    random: StdRng,
    nodes: u8,
}

impl Dice {
    pub fn new(seed: u64, nodes: u8) -> Self {
        Self {
            random: StdRng::seed_from_u64(seed),
            nodes,
        }
    }

    /// The next step on a cluster that is as `choices` say, and the pause before it.
    pub fn roll(&mut self, choices: &Choices) -> (Duration, Step) {
        let pause = Duration::from_millis(self.random.random_range(PAUSE));
        let component = *Component::ALL
            .choose(&mut self.random)
            .unwrap_or(&Component::Kubelet);
        let machine = if component.on_nodes() {
            let nodes = node_names(self.nodes);
            nodes.choose(&mut self.random).cloned().unwrap_or_default()
        } else {
            CONTROL_PLANE.to_owned()
        };
        let step = if self.random.random_ratio(1, KILLS) {
            Step::Kill { component, machine }
        } else {
            let to = choices.origin(component, &machine).other();
            Step::Swap {
                component,
                machine,
                to,
            }
        };
        (pause, step)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_seed_gives_the_same_steps_and_every_program_gets_its_turn() {
        let choices = Choices::default();
        let draw = |seed| {
            let mut dice = Dice::new(seed, 2);
            (0..200).map(|_| dice.roll(&choices)).collect::<Vec<_>>()
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        let said: BTreeSet<String> = draw(1).iter().map(|(_, step)| step.to_string()).collect();
        // Two programs on the control plane and two on each of two nodes, each swapped and killed.
        assert_eq!(said.len(), 12, "{said:?}");
        assert!(
            draw(1)
                .iter()
                .all(|(pause, _)| PAUSE.contains(&u64::try_from(pause.as_millis()).unwrap()))
        );
    }

    #[test]
    fn a_swap_is_to_the_other_side() {
        let mut choices = Choices::default();
        for component in Component::ALL {
            choices.swap(component, Origin::Upstream, None);
        }
        let mut dice = Dice::new(3, 2);
        for _ in 0..50 {
            if let (_, Step::Swap { to, .. }) = dice.roll(&choices) {
                assert_eq!(to, Origin::Ours);
            }
        }
    }
}
