//! The usual way to bring scores into 0 to 100.

use crate::framework::MAX_SCORE;

/// Scales scores from 0..=max to 0..=100, or to 100..=0 when `reverse`.
pub fn by_largest(scores: &mut [i64], reverse: bool) {
    let largest = scores.iter().copied().max().unwrap_or(0).max(0);
    for score in scores {
        let scaled = if largest == 0 {
            0
        } else {
            MAX_SCORE * *score / largest
        };
        *score = match (reverse, largest) {
            (true, _) => MAX_SCORE - scaled,
            (false, 0) => *score,
            (false, _) => scaled,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::by_largest;

    #[test]
    fn scores_are_scaled_by_the_largest() {
        for (scores, reverse, want) in [
            (vec![1, 2, 3, 4], false, vec![25, 50, 75, 100]),
            (vec![1, 2, 3, 4], true, vec![75, 50, 25, 0]),
            (vec![1000, 10, 20, 30], false, vec![100, 1, 2, 3]),
            (vec![1000, 10, 20, 30], true, vec![0, 99, 98, 97]),
            (vec![1, 1, 1, 1], false, vec![100; 4]),
            (vec![1000, 1, 1, 1], false, vec![100, 0, 0, 0]),
            (vec![0; 3], false, vec![0; 3]),
            (vec![0; 3], true, vec![100; 3]),
        ] {
            let mut got = scores.clone();
            by_largest(&mut got, reverse);
            assert_eq!(got, want, "{scores:?}, reverse {reverse}");
        }
    }
}
