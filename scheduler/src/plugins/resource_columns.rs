//! Resources as the scoring plugins name them, and the columns that they stand for.

use machinery::meta::Istr;
use serde::Deserialize;

use crate::api::PodBody;
use crate::cache::{RowId, Snapshot};

/// `ResourceSpec`: a resource and how much it weighs.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResourceSpec {
    pub name: Istr,
    #[serde(default)]
    pub weight: i64,
}

/// cpu and memory, alike.
pub fn default_resources() -> Vec<ResourceSpec> {
    ["cpu", "memory"]
        .map(|name| ResourceSpec {
            name: name.into(),
            weight: 1,
        })
        .to_vec()
}

/// One resource on one row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    pub allocatable: i64,
    /// What the pods that are there have.
    pub used: i64,
    /// That, and what the pod that is scheduled asks for.
    pub wanted: i64,
}

/// Whether a missing request counts as nothing or as the usual amount.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    Nothing,
    Assumed,
}

/// What the pod asks of a resource.
pub fn request(body: &PodBody, name: &str, missing: Missing) -> i64 {
    match (name, missing) {
        ("cpu", Missing::Nothing) => body.requests.milli_cpu,
        ("cpu", Missing::Assumed) => body.nonzero_milli_cpu,
        ("memory", Missing::Nothing) => body.requests.memory,
        ("memory", Missing::Assumed) => body.nonzero_memory,
        ("ephemeral-storage", _) => body.requests.ephemeral,
        _ => body.requests.scalar(name),
    }
}

/// Calls `score` for each row with the shares of the resources, in their order. A resource that a row does not have, or that
/// is extended and not asked for, has an empty share.
pub fn for_each_row(
    resources: &[ResourceSpec],
    body: &PodBody,
    missing: Missing,
    snapshot: &Snapshot,
    rows: &[RowId],
    scores: &mut [i64],
    mut score: impl FnMut(&[Share]) -> i64,
) {
    let table = snapshot.rows();
    /// A request, and by row what is allocatable and used.
    type Column<'a> = Option<(i64, &'a [i64], &'a [i64])>;
    let columns: Vec<Column<'_>> = resources
        .iter()
        .map(|resource| {
            let request = request(body, &resource.name, missing);
            let assumed = missing == Missing::Assumed;
            let (allocatable, used): (&[i64], &[i64]) = match resource.name.as_str() {
                "cpu" if assumed => (&table.milli_cpu.allocatable, &table.nonzero_milli_cpu),
                "cpu" => (&table.milli_cpu.allocatable, &table.milli_cpu.used),
                "memory" if assumed => (&table.memory.allocatable, &table.nonzero_memory),
                "memory" => (&table.memory.allocatable, &table.memory.used),
                "ephemeral-storage" => (&table.ephemeral.allocatable, &table.ephemeral.used),
                _ if request == 0 => return None,
                other => table
                    .scalar(other)
                    .map(|amount| (&amount.allocatable[..], &amount.used[..]))?,
            };
            Some((request, allocatable, used))
        })
        .collect();
    let mut shares = vec![Share::default(); resources.len()];
    for (row, out) in rows.iter().zip(scores) {
        let at = row.0 as usize;
        for (share, column) in shares.iter_mut().zip(&columns) {
            *share = match column {
                Some((request, allocatable, used)) if allocatable[at] != 0 => Share {
                    allocatable: allocatable[at],
                    used: used[at],
                    wanted: used[at] + request,
                },
                _ => Share::default(),
            };
        }
        *out = score(&shares);
    }
}
