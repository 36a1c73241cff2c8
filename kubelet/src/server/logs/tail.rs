//! Where the last lines of a file begin.

use std::io;

/// Bytes read at a time, from the end.
const BLOCK: u64 = 4096;

/// The offset at which the last `lines` whole lines of a file of `size` bytes begin; a last line without its newline
/// is not counted as one. `read` fills a buffer from an offset.
pub(super) fn start(
    size: u64,
    lines: u64,
    mut read: impl FnMut(u64, &mut [u8]) -> io::Result<()>,
) -> io::Result<u64> {
    let mut buffer = [0_u8; BLOCK as usize];
    let mut seen = 0;
    let mut right = size;
    while right > 0 {
        let left = right.saturating_sub(BLOCK);
        let block = &mut buffer[..(right - left) as usize];
        read(left, block)?;
        for (at, _) in block.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n') {
            // One newline ends the last line; the one before the wanted lines begins them.
            if seen == lines {
                return Ok(left + at as u64 + 1);
            }
            seen += 1;
        }
        right = left;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tail(text: &[u8], lines: u64) -> u64 {
        start(text.len() as u64, lines, |from, buffer| {
            let from = from as usize;
            buffer.copy_from_slice(&text[from..from + buffer.len()]);
            Ok(())
        })
        .unwrap()
    }

    #[test]
    fn the_last_lines_are_found() {
        let text = b"a\nb\nc\n";
        assert_eq!(tail(text, 0), 6);
        assert_eq!(tail(text, 1), 4);
        assert_eq!(tail(text, 3), 0);
        assert_eq!(tail(text, 9), 0);
        assert_eq!(tail(b"a\nb\nhalf", 1), 2);
        assert_eq!(tail(b"", 3), 0);
    }

    proptest::proptest! {
        #[test]
        fn the_tail_is_what_counting_from_the_front_says(
            lens in proptest::collection::vec(0_usize..3000, 0..12), lines in 0_u64..14
        ) {
            let text: Vec<u8> =
                lens.iter().flat_map(|len| std::iter::repeat_n(b'x', *len).chain([b'\n'])).collect();
            let skipped = lens.len().saturating_sub(lines as usize);
            let want: usize = lens[..skipped].iter().map(|len| len + 1).sum();
            proptest::prop_assert_eq!(tail(&text, lines), want as u64);
        }
    }
}
