//! The same on a larger cluster: whether a pod's cost grows no faster than the logarithm of the nodes.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use super::cases::{ALONE_PER_NODE, PODS_PER_NODE, SIZES};
use super::{Case, Constraint, Field, GROWTH, Plan, RATE, at_least, logarithmic};
use crate::bench::rounds::Rounds;
use crate::bench::scaled;
use crate::bench::table::{Better, Table};
use crate::cluster::progress::Progress;

/// For one kind of pods on one cluster; what is bound by then is what counts.
const PATIENCE: Duration = Duration::from_secs(600);
const EACH: &str = "its CPU a pod, ms";

/// Measures both sides' programs at both sizes.
pub async fn measure(ours: &Path, plan: Plan, rounds: Rounds, progress: Progress) -> Result<Table> {
    let sizes = SIZES.map(|nodes| scaled(nodes, plan.scale));
    let [small, large] = sizes;
    let mut table = Table::new(
        "Scheduler, large",
        &format!(
            "As above, on {small} and on {large} nodes with {PODS_PER_NODE} pods a node (of those that exclude each other \
             {ALONE_PER_NODE}), for ten minutes at most. A pod's processor time may grow by the logarithm of the nodes."
        ),
    );
    for constraint in Constraint::ALL {
        for nodes in sizes {
            let (better, targets) = at_least(None);
            table.declare(&title(constraint, nodes), RATE, better, &targets);
        }
        let bound = logarithmic(small, large);
        table.declare(&title(constraint, large), GROWTH, Better::Lower, &[bound]);
    }
    rounds
        .run(
            &mut table,
            "scheduler-large",
            progress,
            async |table, origin, _| {
                let mut field = Field::start(ours).await?;
                let mut there = 0;
                let mut bases: Vec<(Constraint, f64)> = Vec::new();
                for nodes in sizes {
                    field.nodes(there..nodes).await?;
                    there = nodes;
                    for constraint in Constraint::ALL {
                        let pods = constraint.pods_on(nodes);
                        let case = Case::plain(constraint, pods, PATIENCE);
                        let title = title(constraint, nodes);
                        let mut own = Table::default();
                        match field.case(&case, &mut own, origin).await {
                            Ok(outcome) => {
                                #[allow(clippy::cast_precision_loss)]
                                let spent = 1000.0 * outcome.processor / outcome.bound as f64;
                                own.add("", EACH, origin, spent);
                                match bases.iter().find(|(other, _)| *other == constraint) {
                                    Some((_, base)) => own.add("", GROWTH, origin, spent / base.max(0.001)),
                                    None => bases.push((constraint, spent)),
                                }
                                progress.say(&format!("  {title}: {origin}, {:.0} pods/s", outcome.rate));
                            }
                            Err(error) => {
                                progress.say(&format!("  {title}: {origin} failed: {error:#}"));
                                table.fail(&title, origin, &format!("{error:#}"));
                            }
                        }
                        table.failures.append(&mut own.failures);
                        for row in own.rows {
                            for value in row.samples(origin) {
                                table.add(&title, &row.measure, origin, *value);
                            }
                        }
                        field.clear().await?;
                    }
                }
                Ok(())
            },
        )
        .await;
    Ok(table)
}

fn title(constraint: Constraint, nodes: usize) -> String {
    let case = Case::plain(constraint, constraint.pods_on(nodes), PATIENCE);
    format!("{} on {nodes} nodes", case.name())
}
