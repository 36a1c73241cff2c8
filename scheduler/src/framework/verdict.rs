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

/// The rows that are still candidates, given to a filter to thin out.
pub struct Sieve<'a> {
    candidates: &'a mut RowSet,
    verdicts: &'a mut [VerdictId],
    book: &'a mut VerdictBook,
    plugin: &'static str,
}

impl<'a> Sieve<'a> {
    pub(crate) fn new(
        candidates: &'a mut RowSet,
        verdicts: &'a mut [VerdictId],
        book: &'a mut VerdictBook,
        plugin: &'static str,
    ) -> Self {
        Self {
            candidates,
            verdicts,
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

    /// Asks `judge` about each candidate; those for which it does not answer [`PASS`] are out.
    pub fn judge(&mut self, mut judge: impl FnMut(RowId) -> VerdictId) {
        let verdicts = &mut *self.verdicts;
        self.candidates.retain(|row| {
            let verdict = judge(row);
            if verdict == PASS {
                return true;
            }
            verdicts[row.0 as usize] = verdict;
            false
        });
    }

    /// Turns down candidates one at a time, for verdicts that are made up per row.
    pub fn judge_each(&mut self, mut judge: impl FnMut(RowId) -> Option<(Code, Vec<String>)>) {
        let (verdicts, book, plugin) = (&mut *self.verdicts, &mut *self.book, self.plugin);
        self.candidates.retain(|row| match judge(row) {
            None => true,
            Some((code, reasons)) => {
                verdicts[row.0 as usize] = book.intern(Verdict {
                    plugin,
                    code,
                    reasons,
                });
                false
            }
        });
    }
}
