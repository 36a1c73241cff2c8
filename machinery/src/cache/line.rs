//! Splits the body of a watch into lines, without a copy where a whole line arrives in one piece.

/// Holds the start of a line until its end arrives.
#[derive(Default)]
pub(super) struct Lines {
    partial: Vec<u8>,
}

/// More than this is given back after a huge line.
const KEEP: usize = 64 * 1024;

impl Lines {
    /// Calls `each` with every line that `piece` completes.
    pub(super) fn feed<E>(
        &mut self,
        piece: &[u8],
        mut each: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut rest = piece;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let (line, after) = rest.split_at(end);
            rest = after.get(1..).unwrap_or_default();
            if self.partial.is_empty() {
                if !line.is_empty() {
                    each(line)?;
                }
            } else {
                self.partial.extend_from_slice(line);
                let result = each(&self.partial);
                self.partial.clear();
                self.partial.shrink_to(KEEP);
                result?;
            }
        }
        self.partial.extend_from_slice(rest);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn lines_do_not_depend_on_how_the_body_is_cut(
            lines in prop::collection::vec("[a-z]{1,20}", 0..20),
            cuts in prop::collection::vec(1usize..9, 1..40),
        ) {
            let body = lines.iter().map(|line| format!("{line}\n")).collect::<String>().into_bytes();
            let (mut splitter, mut seen, mut rest) = (Lines::default(), Vec::new(), &body[..]);
            for cut in cuts.iter().cycle() {
                if rest.is_empty() { break; }
                let (piece, after) = rest.split_at((*cut).min(rest.len()));
                splitter.feed::<()>(piece, |line| { seen.push(String::from_utf8(line.to_vec()).unwrap()); Ok(()) }).unwrap();
                rest = after;
            }
            prop_assert_eq!(seen, lines);
        }
    }
}
