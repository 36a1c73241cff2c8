//! Sets of completion indexes, as statuses and success policies write them: `0,2-5,7`.

use std::fmt;

/// A set of indexes, as ranges that are in order and do not touch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Indexes(Vec<(usize, usize)>);

impl Indexes {
    /// Reads the text form. Indexes from `completions` on, and what is no index, are left out.
    pub fn parse(text: &str, completions: usize) -> Self {
        let range = |part: &str| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (first.parse::<usize>().ok()?, last.parse::<usize>().ok()?);
            (first < completions && first <= last).then(|| (first, last.min(completions - 1)))
        };
        text.split(',').filter_map(range).collect()
    }

    pub fn contains(&self, index: usize) -> bool {
        let at = self.0.partition_point(|(_, last)| *last < index);
        self.0.get(at).is_some_and(|(first, _)| *first <= index)
    }

    /// How many indexes are in the set.
    pub fn len(&self) -> usize {
        self.0.iter().map(|(first, last)| last - first + 1).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The set with these as well.
    #[must_use]
    pub fn with(&self, more: impl IntoIterator<Item = usize>) -> Self {
        self.0
            .iter()
            .copied()
            .chain(more.into_iter().map(|index| (index, index)))
            .collect()
    }

    /// What is in either.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        self.0.iter().chain(&other.0).copied().collect()
    }

    /// How many indexes are in both.
    pub fn overlap(&self, other: &Self) -> usize {
        let (mut mine, mut theirs) = (self.0.iter().peekable(), other.0.iter().peekable());
        let mut shared = 0;
        while let (Some(&&(a, b)), Some(&&(c, d))) = (mine.peek(), theirs.peek()) {
            shared += (b.min(d) + 1).saturating_sub(a.max(c));
            if b <= d {
                mine.next();
            }
            if d <= b {
                theirs.next();
            }
        }
        shared
    }

    /// The indexes below `end` that are not in the set, in order.
    pub fn missing(&self, end: usize) -> impl Iterator<Item = usize> {
        let starts = std::iter::once(0).chain(self.0.iter().map(|(_, last)| last + 1));
        let ends = self
            .0
            .iter()
            .map(|(first, _)| *first)
            .chain(std::iter::once(usize::MAX));
        starts
            .zip(ends)
            .flat_map(move |(start, next)| start..next.min(end))
    }
}

impl FromIterator<(usize, usize)> for Indexes {
    fn from_iter<I: IntoIterator<Item = (usize, usize)>>(ranges: I) -> Self {
        let mut ranges: Vec<_> = ranges.into_iter().collect();
        ranges.sort_unstable();
        let mut merged: Vec<(usize, usize)> = Vec::with_capacity(ranges.len());
        for (first, last) in ranges {
            match merged.last_mut() {
                Some(held) if first <= held.1 + 1 => held.1 = held.1.max(last),
                _ => merged.push((first, last)),
            }
        }
        Self(merged)
    }
}

impl fmt::Display for Indexes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (first, last)) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str(",")?;
            }
            match last - first {
                0 => write!(f, "{first}")?,
                1 => write!(f, "{first},{last}")?,
                _ => write!(f, "{first}-{last}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_text_form_is_upstreams() {
        for (text, completions, want) in [
            ("", 5, ""),
            ("0", 5, "0"),
            ("0,1", 5, "0,1"),
            ("0,1,2", 5, "0-2"),
            ("0-2,3,4-6", 10, "0-6"),
            ("1,3-5,7", 10, "1,3-5,7"),
            ("1,3-5,7", 5, "1,3,4"),
            ("x,2,3-y", 5, "2"),
        ] {
            assert_eq!(Indexes::parse(text, completions).to_string(), want, "{text}");
        }
    }

    proptest! {
        #[test]
        fn sets_behave_as_sets(a in prop::collection::btree_set(0usize..40, 0..30), b in prop::collection::btree_set(0usize..40, 0..30)) {
            let of = |set: &BTreeSet<usize>| Indexes::default().with(set.iter().copied());
            let (x, y) = (of(&a), of(&b));
            prop_assert_eq!(x.len(), a.len());
            prop_assert_eq!(x.union(&y), of(&a.union(&b).copied().collect()));
            prop_assert_eq!(x.overlap(&y), a.intersection(&b).count());
            prop_assert_eq!(&Indexes::parse(&x.to_string(), 40), &x);
            prop_assert_eq!(x.missing(40).collect::<Vec<_>>(), (0..40).filter(|i| !a.contains(i)).collect::<Vec<_>>());
            for index in 0..40 {
                prop_assert_eq!(x.contains(index), a.contains(&index));
            }
        }
    }
}
