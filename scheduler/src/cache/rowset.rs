//! A set of rows as a bit set, one bit a node.

use super::RowId;

/// A set of node rows. Rows beyond its length are not members; inserting grows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RowSet {
    words: Vec<u64>,
}

impl RowSet {
    /// The set of just these rows.
    pub fn of(rows: impl IntoIterator<Item = RowId>) -> Self {
        let mut set = Self::default();
        for row in rows {
            set.insert(row);
        }
        set
    }

    /// Makes room for `rows` rows; new ones are not members.
    pub fn grow(&mut self, rows: usize) {
        let words = rows.div_ceil(64);
        if self.words.len() < words {
            self.words.resize(words, 0);
        }
    }

    pub fn contains(&self, row: RowId) -> bool {
        self.words
            .get(row.0 as usize / 64)
            .is_some_and(|word| word & (1 << (row.0 % 64)) != 0)
    }

    pub fn insert(&mut self, row: RowId) {
        self.grow(row.0 as usize + 1);
        self.words[row.0 as usize / 64] |= 1 << (row.0 % 64);
    }

    pub fn remove(&mut self, row: RowId) {
        if let Some(word) = self.words.get_mut(row.0 as usize / 64) {
            *word &= !(1 << (row.0 % 64));
        }
    }

    /// Inserts or removes.
    pub fn assign(&mut self, row: RowId, member: bool) {
        if member {
            self.insert(row)
        } else {
            self.remove(row)
        }
    }

    pub fn len(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }

    /// The member, when there is exactly one.
    pub fn single(&self) -> Option<RowId> {
        let mut rows = self.iter();
        let first = rows.next()?;
        rows.next().is_none().then_some(first)
    }

    /// The row that has `n` members before it.
    pub fn nth(&self, mut n: usize) -> Option<RowId> {
        for (index, word) in self.words.iter().enumerate() {
            let here = word.count_ones() as usize;
            if n >= here {
                n -= here;
                continue;
            }
            let mut rest = *word;
            for _ in 0..n {
                rest &= rest - 1;
            }
            return Some(RowId(index as u32 * 64 + rest.trailing_zeros()));
        }
        None
    }

    /// Whether any row is in both.
    pub fn meets(&self, other: &RowSet) -> bool {
        self.words
            .iter()
            .zip(&other.words)
            .any(|(one, other)| one & other != 0)
    }

    /// Whether every member is in `other` too.
    pub fn is_within(&self, other: &RowSet) -> bool {
        let beyond = self.words.get(other.words.len()..).unwrap_or_default();
        let mut words = self.words.iter().zip(&other.words);
        words.all(|(word, other)| word & !other == 0) && beyond.iter().all(|word| *word == 0)
    }

    /// The rows that are in both.
    pub fn common(&self, other: &RowSet) -> RowSet {
        let words = self.words.iter().zip(&other.words);
        Self {
            words: words.map(|(one, other)| one & other).collect(),
        }
    }

    /// Takes in the rows of `other`.
    pub fn unite(&mut self, other: &RowSet) {
        self.grow(other.words.len() * 64);
        for (word, other) in self.words.iter_mut().zip(&other.words) {
            *word |= other;
        }
    }

    /// Drops the rows of `other`.
    pub fn subtract(&mut self, other: &RowSet) {
        for (word, other) in self.words.iter_mut().zip(&other.words) {
            *word &= !other;
        }
    }

    /// Keeps the rows that are in `other` too.
    pub fn intersect(&mut self, other: &RowSet) {
        for (index, word) in self.words.iter_mut().enumerate() {
            *word &= other.words.get(index).copied().unwrap_or(0);
        }
    }

    /// The members, in order of row.
    pub fn iter(&self) -> impl Iterator<Item = RowId> + '_ {
        self.words.iter().enumerate().flat_map(|(index, word)| {
            let mut rest = *word;
            std::iter::from_fn(move || {
                if rest == 0 {
                    return None;
                }
                let bit = rest.trailing_zeros();
                rest &= rest - 1;
                Some(RowId(index as u32 * 64 + bit))
            })
        })
    }

    /// Keeps the rows for which `keep` says so.
    pub fn retain(&mut self, mut keep: impl FnMut(RowId) -> bool) {
        for (index, word) in self.words.iter_mut().enumerate() {
            let mut rest = *word;
            while rest != 0 {
                let bit = rest.trailing_zeros();
                rest &= rest - 1;
                if !keep(RowId(index as u32 * 64 + bit)) {
                    *word &= !(1 << bit);
                }
            }
        }
    }
}

impl FromIterator<RowId> for RowSet {
    fn from_iter<I: IntoIterator<Item = RowId>>(rows: I) -> Self {
        Self::of(rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_come_back_in_order() {
        let set = RowSet::of([RowId(130), RowId(0), RowId(63), RowId(64)]);
        assert_eq!(set.iter().map(|row| row.0).collect::<Vec<_>>(), [0, 63, 64, 130]);
        assert_eq!(set.len(), 4);
        assert!(set.contains(RowId(64)) && !set.contains(RowId(65)) && !set.contains(RowId(9999)));
    }

    #[test]
    fn retain_and_intersect_drop_rows() {
        let mut set = RowSet::of((0..200).map(RowId));
        set.retain(|row| row.0 % 2 == 0);
        set.intersect(&RowSet::of((0..100).map(RowId)));
        assert_eq!(set.len(), 50);
        assert_eq!(set.single(), None);
        assert_eq!(RowSet::of([RowId(7)]).single(), Some(RowId(7)));
    }

    #[test]
    fn sets_of_different_lengths_are_combined() {
        let set = |rows: &[u32]| rows.iter().copied().map(RowId).collect::<RowSet>();
        let rows = |set: &RowSet| set.iter().map(|row| row.0).collect::<Vec<_>>();
        let (short, long) = (set(&[1, 5, 63]), set(&[5, 63, 64, 700]));
        assert!(short.meets(&long) && long.meets(&short) && !short.meets(&set(&[64])));
        assert!(!short.is_within(&long) && !long.is_within(&short));
        assert!(set(&[5]).is_within(&long) && set(&[700]).is_within(&long) && set(&[]).is_within(&short));
        assert_eq!(rows(&short.common(&long)), [5, 63]);
        assert_eq!(rows(&long.common(&short)), [5, 63]);
        for (one, other) in [(&short, &long), (&long, &short)] {
            let mut both = one.clone();
            both.unite(other);
            assert_eq!(rows(&both), [1, 5, 63, 64, 700]);
        }
        let (mut left, mut rest) = (short.clone(), long.clone());
        left.subtract(&long);
        rest.subtract(&short);
        assert_eq!((rows(&left), rows(&rest)), (vec![1], vec![64, 700]));
        let members = rows(&long);
        for n in 0..6 {
            assert_eq!(long.nth(n).map(|row| row.0), members.get(n).copied(), "{n}");
        }
    }
}
