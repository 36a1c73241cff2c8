//! Verdicts on rows: which rows a filter turned down and why, one small number a row.

use rustc_hash::FxHashMap;

use super::status::{Code, Status};
use crate::cache::{RowId, RowSet};

/// A reference into a [`VerdictBook`]; [`PASS`] for a row that nothing turned down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VerdictId(pub u16);

/// The verdict on a row that passed.
pub const PASS: VerdictId = VerdictId(0);

/// Why a plugin turned down a row.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Verdict {
    pub plugin: &'static str,
    pub code: Code,
    pub reasons: Vec<String>,
}

impl From<&Verdict> for Status {
    fn from(verdict: &Verdict) -> Self {
        Status {
            code: verdict.code,
            reasons: verdict.reasons.iter().cloned().collect(),
            plugin: verdict.plugin,
        }
    }
}

/// The distinct verdicts that were given, so that a row needs two bytes and not a list of strings.
#[derive(Debug, Default)]
pub struct VerdictBook {
    verdicts: Vec<Verdict>,
    ids: FxHashMap<Verdict, VerdictId>,
}

impl VerdictBook {
    /// The id of this verdict. After 65,000 different ones the last is given again.
    pub fn intern(&mut self, verdict: Verdict) -> VerdictId {
        if let Some(id) = self.ids.get(&verdict) {
            return *id;
        }
        if self.verdicts.len() >= usize::from(u16::MAX) - 1 {
            return VerdictId(self.verdicts.len() as u16);
        }
        self.verdicts.push(verdict.clone());
        let id = VerdictId(self.verdicts.len() as u16);
        self.ids.insert(verdict, id);
        id
    }

    pub fn get(&self, id: VerdictId) -> Option<&Verdict> {
        self.verdicts.get(usize::from(id.0).checked_sub(1)?)
    }
}

/// Rows that were turned down, by verdict. A row is turned down once.
#[derive(Clone, Debug, Default)]
pub struct Refusals {
    by_verdict: Vec<(VerdictId, RowSet)>,
}

impl Refusals {
    pub fn add(&mut self, row: RowId, verdict: VerdictId) {
        self.of(verdict).insert(row);
    }

    /// The verdict on a row; [`PASS`] if it was not turned down.
    pub fn on(&self, row: RowId) -> VerdictId {
        let found = self.by_verdict.iter().find(|(_, rows)| rows.contains(row));
        found.map_or(PASS, |(verdict, _)| *verdict)
    }

    pub fn iter(&self) -> impl Iterator<Item = (VerdictId, &RowSet)> {
        self.by_verdict.iter().map(|(verdict, rows)| (*verdict, rows))
    }

    fn of(&mut self, verdict: VerdictId) -> &mut RowSet {
        let at = match self.by_verdict.iter().position(|(held, _)| *held == verdict) {
            Some(at) => at,
            None => {
                self.by_verdict.push((verdict, RowSet::default()));
                self.by_verdict.len() - 1
            }
        };
        &mut self.by_verdict[at].1
    }
}

/// The rows that are still candidates, given to a filter to thin out: set by set where it can, else row by row.
pub struct Sieve<'a> {
    candidates: &'a mut RowSet,
    refusals: &'a mut Refusals,
    book: &'a mut VerdictBook,
    plugin: &'static str,
}

impl<'a> Sieve<'a> {
    pub(crate) fn new(
        candidates: &'a mut RowSet,
        refusals: &'a mut Refusals,
        book: &'a mut VerdictBook,
        plugin: &'static str,
    ) -> Self {
        Self {
            candidates,
            refusals,
            book,
            plugin,
        }
    }

    /// The id of a verdict with one reason; ask once, then give it to [`Sieve::judge`] for each row.
    pub fn verdict(&mut self, code: Code, reason: &str) -> VerdictId {
        self.verdict_with(code, vec![reason.to_owned()])
    }

    /// The id of a verdict with several reasons.
    pub fn verdict_with(&mut self, code: Code, reasons: Vec<String>) -> VerdictId {
        self.book.intern(Verdict {
            plugin: self.plugin,
            code,
            reasons,
        })
    }

    /// Turns down the candidates that are among `rows`.
    pub fn refuse(&mut self, rows: &RowSet, verdict: VerdictId) {
        if self.candidates.meets(rows) {
            self.refusals.of(verdict).unite(&self.candidates.common(rows));
            self.candidates.subtract(rows);
        }
    }

    /// Turns down the candidates that are not among `rows`.
    pub fn keep(&mut self, rows: &RowSet, verdict: VerdictId) {
        if self.candidates.is_within(rows) {
            return;
        }
        let mut others = self.candidates.clone();
        others.subtract(rows);
        self.refuse(&others, verdict);
    }

    /// Asks `judge` about each candidate; those for which it does not answer [`PASS`] are out.
    pub fn judge(&mut self, mut judge: impl FnMut(RowId) -> VerdictId) {
        let refusals = &mut *self.refusals;
        self.candidates.retain(|row| {
            let verdict = judge(row);
            if verdict != PASS {
                refusals.add(row, verdict);
            }
            verdict == PASS
        });
    }

    /// Turns down candidates one at a time, for verdicts that are made up per row.
    pub fn judge_each(&mut self, mut judge: impl FnMut(RowId) -> Option<(Code, Vec<String>)>) {
        let (book, plugin) = (&mut *self.book, self.plugin);
        let refusals = &mut *self.refusals;
        self.candidates.retain(|row| match judge(row) {
            None => true,
            Some((code, reasons)) => {
                let verdict = Verdict {
                    plugin,
                    code,
                    reasons,
                };
                refusals.add(row, book.intern(verdict));
                false
            }
        });
    }
}
