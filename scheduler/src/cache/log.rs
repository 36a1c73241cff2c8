//! The log of rows that changed.

use super::RowId;

/// Which rows changed, in order. A reader keeps its position and asks what came after it.
#[derive(Debug, Default)]
pub struct ChangeLog {
    first: u64,
    rows: Vec<RowId>,
}

/// What changed since a position.
pub enum Changes<'a> {
    /// Just these rows, some perhaps more than once.
    Rows(&'a [RowId]),
    /// Too much to say.
    Everything,
}

impl ChangeLog {
    /// The position after the last change.
    pub fn position(&self) -> u64 {
        self.first + self.rows.len() as u64
    }

    /// What changed since `position`.
    pub fn since(&self, position: u64) -> Changes<'_> {
        match position
            .checked_sub(self.first)
            .and_then(|skip| self.rows.get(skip as usize..))
        {
            Some(rows) => Changes::Rows(rows),
            None => Changes::Everything,
        }
    }

    pub(super) fn push(&mut self, row: RowId, rows: usize) {
        // A reader that is further behind than there are rows is better off reading them all.
        if self.rows.len() > rows.max(256) * 2 {
            let drop = self.rows.len() / 2;
            self.rows.drain(..drop);
            self.first += drop as u64;
        }
        self.rows.push(row);
    }
}
