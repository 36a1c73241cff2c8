//! Turns raw lines into what the reader gets: pure.

use super::line::Line;
use super::options::Options;

/// Writes lines until the reader has what it asked for.
#[derive(Debug)]
pub(super) struct Formatter {
    options: Options,
    /// Bytes that may still be written.
    remain: u64,
    /// Raw lines that may still be read.
    lines: Option<u64>,
    at_line_start: bool,
}

impl Formatter {
    pub(super) fn new(options: &Options) -> Formatter {
        Formatter {
            remain: options.limit.unwrap_or(u64::MAX),
            // What is written after the tail was found is not of the tail, unless it is followed.
            lines: options.tail.filter(|_| !options.follow),
            at_line_start: true,
            options: options.clone(),
        }
    }

    /// True when nothing more is wanted.
    pub(super) fn is_done(&self) -> bool {
        self.remain == 0 || self.lines == Some(0)
    }

    /// Adds a raw line, newline included, to `out`. A line that is not in the format is left out.
    pub(super) fn add(&mut self, raw: &[u8], out: &mut Vec<u8>) {
        if self.is_done() {
            return;
        }
        let Some(line) = Line::parse(raw) else { return };
        self.write(&line, out);
        if let Some(lines) = &mut self.lines {
            *lines = lines.saturating_sub(1);
        }
        self.at_line_start = line.text.last().is_none_or(|last| *last == b'\n');
    }

    fn write(&mut self, line: &Line<'_>, out: &mut Vec<u8>) {
        if let Some(since) = self.options.since
            && line.time().is_none_or(|time| time < since)
        {
            return;
        }
        if self.options.stream.is_some_and(|wanted| wanted != line.stream) {
            return;
        }
        if self.options.timestamps && self.at_line_start {
            let stamp = format!("{} ", line.fixed_timestamp());
            self.put(stamp.as_bytes(), out);
        }
        self.put(line.text, out);
    }

    fn put(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let most = usize::try_from(self.remain)
            .unwrap_or(usize::MAX)
            .min(bytes.len());
        out.extend_from_slice(bytes.get(..most).unwrap_or(bytes));
        self.remain -= most as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::super::line::Stream;
    use super::*;

    const LOG: [&str; 5] = [
        "2026-01-01T00:00:01Z stdout F one\n",
        "2026-01-01T00:00:02Z stderr F two\n",
        "2026-01-01T00:00:03Z stdout P thr\n",
        "2026-01-01T00:00:03Z stdout F ee\n",
        "2026-01-01T00:00:04.5Z stdout F four\n",
    ];

    fn read(options: Options) -> String {
        let mut formatter = Formatter::new(&options);
        let mut out = vec![];
        for line in LOG {
            formatter.add(line.as_bytes(), &mut out);
        }
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn lines_are_joined_where_the_runtime_cut_them() {
        assert_eq!(read(Options::default()), "one\ntwo\nthree\nfour\n");
    }

    #[test]
    fn timestamps_stand_at_the_start_of_whole_lines() {
        let got = read(Options {
            timestamps: true,
            ..Options::default()
        });
        assert!(got.starts_with("2026-01-01T00:00:01.000000000Z one\n"), "{got}");
        assert!(got.contains("2026-01-01T00:00:03.000000000Z three\n2026-01-01T00:00:04.500000000Z four\n"));
    }

    #[test]
    fn since_stream_limit_and_tail_cut() {
        let since = "2026-01-01T00:00:03Z".parse().ok();
        assert_eq!(
            read(Options {
                since,
                ..Options::default()
            }),
            "three\nfour\n"
        );
        assert_eq!(
            read(Options {
                stream: Some(Stream::Stderr),
                ..Options::default()
            }),
            "two\n"
        );
        assert_eq!(
            read(Options {
                limit: Some(6),
                ..Options::default()
            }),
            "one\ntw"
        );
        assert_eq!(
            read(Options {
                tail: Some(2),
                ..Options::default()
            }),
            "one\ntwo\n"
        );
        assert_eq!(
            read(Options {
                tail: Some(2),
                follow: true,
                ..Options::default()
            })
            .lines()
            .count(),
            4
        );
    }

    #[test]
    fn a_line_that_is_none_is_left_out() {
        let mut out = vec![];
        let mut formatter = Formatter::new(&Options::default());
        formatter.add(b"garbage\n", &mut out);
        formatter.add(b"2026-01-01T00:00:01Z stdout F x\n", &mut out);
        assert_eq!(out, b"x\n");
    }
}
