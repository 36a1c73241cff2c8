//! The rows with the best kept scores, so that one more pod of a shape need not look at all rows again.
//!
//! ```text
//! kept scores -> levels, best first: { score, rows } -> the first level that meets the feasible rows
//! ```
//! A row that changes is moved between levels. There are only so many levels; when the last row of the last of them is gone,
//! they are made anew by one look at all rows, which many pods share.

use super::reuse::{Fills, Stale, since};
use crate::cache::{RowId, RowSet, Snapshot};

/// How many different scores are kept apart.
const LEVELS: usize = 16;

/// Rows that passed, by kept score.
#[derive(Debug)]
pub(super) struct Leaders {
    levels: Vec<Level>,
    /// All rows that passed with at least this score are in `levels`.
    floor: i64,
    /// Up to which change of the rows, and of which fills.
    position: u64,
    fills: Option<[Fills; 2]>,
}

#[derive(Debug)]
struct Level {
    score: i64,
    rows: RowSet,
}

impl Default for Leaders {
    fn default() -> Self {
        Self {
            levels: Vec::new(),
            floor: i64::MIN,
            position: 0,
            fills: None,
        }
    }
}

impl Leaders {
    /// Memory for so many rows.
    pub const fn bytes(rows: usize) -> usize {
        LEVELS * rows / 8
    }

    /// Takes in what changed of `passing` and `scores`, which are up to date and were last filled as `fills` says.
    pub fn catch_up(&mut self, snapshot: &Snapshot, passing: &RowSet, scores: &[i64], fills: [Fills; 2]) {
        let stale = if self.fills == Some(fills) {
            since(snapshot, self.position)
        } else {
            Stale::Everything
        };
        self.fills = Some(fills);
        self.position = snapshot.log().position();
        match stale {
            Stale::Nothing => {}
            Stale::Rows(rows) => rows.into_iter().for_each(|row| {
                let score = passing.contains(row).then(|| scores[row.0 as usize]);
                self.update(row, score);
            }),
            Stale::Everything => self.fill(passing, scores),
        }
        if self.levels.is_empty() && self.floor > i64::MIN {
            self.fill(passing, scores);
        }
    }

    /// The best score of all rows.
    pub fn top(&self) -> Option<i64> {
        self.levels.first().map(|level| level.score)
    }

    /// The best score of rows `within`, all of which passed, and the rows that have it.
    pub fn best(&self, within: &RowSet, scores: &[i64]) -> (i64, RowSet) {
        if let Some(level) = self.levels.iter().find(|level| level.rows.meets(within)) {
            return (level.score, level.rows.common(within));
        }
        // Below all levels.
        let mut best = (i64::MIN, RowSet::default());
        for row in within.iter() {
            let score = scores[row.0 as usize];
            if score > best.0 {
                best = (score, RowSet::of([row]));
            } else if score == best.0 {
                best.1.insert(row);
            }
        }
        best
    }

    fn fill(&mut self, passing: &RowSet, scores: &[i64]) {
        self.levels.clear();
        self.floor = i64::MIN;
        for row in passing.iter() {
            self.place(row, scores[row.0 as usize]);
        }
    }

    /// A row has another score now, or (`None`) does not pass any more.
    fn update(&mut self, row: RowId, score: Option<i64>) {
        if let Some(at) = self.levels.iter().position(|level| level.rows.contains(row)) {
            self.levels[at].rows.remove(row);
            if self.levels[at].rows.is_empty() {
                self.levels.remove(at);
            }
        }
        if let Some(score) = score {
            self.place(row, score);
        }
    }

    fn place(&mut self, row: RowId, score: i64) {
        if score < self.floor {
            return;
        }
        match self.levels.binary_search_by(|level| score.cmp(&level.score)) {
            Ok(at) => self.levels[at].rows.insert(row),
            Err(at) => {
                let rows = RowSet::of([row]);
                self.levels.insert(at, Level { score, rows });
                if self.levels.len() > LEVELS {
                    self.levels.pop();
                    self.floor = self.levels.last().map_or(i64::MIN, |level| level.score);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ROWS: u32 = 150;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

        /// Whatever changes, the best rows of any choice of rows are those that a look at each of them finds.
        #[test]
        fn the_best_are_the_best(
            spread in 1..60i64,
            start in prop::collection::vec(any::<u16>(), ROWS as usize),
            changes in prop::collection::vec((0..ROWS, prop::option::weighted(0.8, any::<u16>())), 0..400),
            step in 1..7usize,
        ) {
            let mut scores: Vec<i64> = start.iter().map(|score| i64::from(*score) % spread).collect();
            let mut passing: RowSet = (0..ROWS).map(RowId).collect();
            let mut leaders = Leaders::default();
            leaders.fill(&passing, &scores);
            for (row, score) in changes {
                let score = score.map(|score| i64::from(score) % spread);
                scores[row as usize] = score.unwrap_or(0);
                passing.assign(RowId(row), score.is_some());
                leaders.update(RowId(row), score);
                let within: RowSet = passing.iter().filter(|row| (row.0 as usize).is_multiple_of(step)).collect();
                if within.is_empty() {
                    continue;
                }
                let most = within.iter().map(|row| scores[row.0 as usize]).max().unwrap();
                let want: Vec<RowId> = within.iter().filter(|row| scores[row.0 as usize] == most).collect();
                let (best, rows) = leaders.best(&within, &scores);
                prop_assert_eq!((best, rows.iter().collect::<Vec<_>>()), (most, want));
                prop_assert!(leaders.levels.len() <= LEVELS);
                if let Some(top) = leaders.top() {
                    prop_assert_eq!(Some(top), passing.iter().map(|row| scores[row.0 as usize]).max());
                }
            }
        }
    }
}
