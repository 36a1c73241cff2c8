//! Work that pods of one shape share: verdicts and scores of rows, kept until the row changes.
//!
//! ```text
//! shape -> Entry { verdicts, scores } at a position of the change log
//! next pod of the shape: only the rows that the log names since then are judged and scored again
//! ```

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::cycle::Keep;
use super::leaders::Leaders;
use super::verdict::{VerdictBook, VerdictId};
use crate::cache::log::Changes;
use crate::cache::{RowId, RowSet, Shape, ShapeId, Snapshot};

/// How much memory the entries may take.
const BUDGET_BYTES: usize = 4 << 20;

/// A plugin's place in its profile and the epoch for which its answers hold.
pub(super) type Part = (usize, u64);

/// What is kept for one shape.
pub(super) struct Entry {
    /// Keeps the shape, and so its id, from being given to another.
    _shape: Arc<Shape>,
    used: u64,
    pub memo: Keep,
    pub filters: Local,
    /// Verdicts by row; those of rows without a node say nothing.
    pub verdicts: Vec<VerdictId>,
    /// Rows that no kept filter turned down.
    pub passing: RowSet,
    pub scorers: Local,
    /// Weighted scores by row, of the plugins that do not normalize.
    pub scores: Vec<i64>,
    /// Raw scores by row of a plugin that normalizes, in the order of `scorers`; empty while all are zero.
    pub raw: Vec<Vec<i64>>,
    /// The rows of `passing` with the best `scores`.
    pub leaders: Leaders,
}

/// For which plugins, and up to which change, answers are kept.
#[derive(Default)]
pub(super) struct Local {
    pub parts: Vec<Part>,
    position: u64,
    fills: Fills,
}

/// How often all answers were asked for.
pub(super) type Fills = u32;

/// Which rows have to be looked at again.
pub(super) enum Stale {
    Nothing,
    Rows(Vec<RowId>),
    Everything,
}

/// The rows that changed since a position of the log.
pub(super) fn since(snapshot: &Snapshot, position: u64) -> Stale {
    match snapshot.log().since(position) {
        Changes::Rows([]) => Stale::Nothing,
        Changes::Rows(rows) if rows.len() < snapshot.rows().len() => {
            let mut rows = rows.to_vec();
            rows.sort_unstable();
            rows.dedup();
            Stale::Rows(rows)
        }
        _ => Stale::Everything,
    }
}

impl Local {
    pub fn fills(&self) -> Fills {
        self.fills
    }

    /// What is stale, given the parts that are wanted now; the caller brings it up to date.
    pub fn renew(&mut self, parts: &[Part], snapshot: &Snapshot) -> Stale {
        let stale = if self.fills == 0 || self.parts != parts {
            self.parts = parts.to_vec();
            Stale::Everything
        } else {
            since(snapshot, self.position)
        };
        self.position = snapshot.log().position();
        if matches!(stale, Stale::Everything) {
            self.fills = self.fills.wrapping_add(1).max(1);
        }
        stale
    }
}

/// The entries of all shapes of one profile that were scheduled lately.
#[derive(Default)]
pub(crate) struct Reuse {
    entries: FxHashMap<ShapeId, Entry>,
    pub(super) book: VerdictBook,
    clock: u64,
}

impl Reuse {
    /// Takes a shape's entry out, or makes one. Give it back with [`Reuse::put`].
    pub(super) fn take(&mut self, shape: &Arc<Shape>) -> Box<Entry> {
        self.clock += 1;
        let mut entry = self.entries.remove(&shape.id).unwrap_or_else(|| Entry {
            _shape: shape.clone(),
            used: 0,
            memo: Keep::default(),
            filters: Local::default(),
            verdicts: Vec::new(),
            passing: RowSet::default(),
            scorers: Local::default(),
            scores: Vec::new(),
            raw: Vec::new(),
            leaders: Leaders::default(),
        });
        entry.used = self.clock;
        Box::new(entry)
    }

    /// Gives an entry back. Whether others had to go for it, so that the snapshot may have counts to drop.
    pub(super) fn put(&mut self, shape: ShapeId, entry: Box<Entry>, rows: usize) -> bool {
        let entry_bytes = 1024 + rows * (size_of::<VerdictId>() + size_of::<i64>()) + Leaders::bytes(rows);
        let capacity = (BUDGET_BYTES / entry_bytes).max(8);
        let mut evicted = false;
        if self.entries.len() >= capacity {
            // Half of them at once, the longest unused, so that this is rare.
            let mut used: Vec<u64> = self.entries.values().map(|entry| entry.used).collect();
            used.sort_unstable();
            if let Some(median) = used.get(used.len() / 2).copied() {
                self.entries.retain(|_, entry| entry.used > median);
                evicted = true;
            }
        }
        self.entries.insert(shape, *entry);
        evicted
    }
}
