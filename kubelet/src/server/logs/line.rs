//! One line of a log in CRI's format: `TIMESTAMP STREAM TAGS TEXT`.

use k8s_openapi::jiff::Timestamp;

/// Which of the container's outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stream {
    Stdout,
    Stderr,
}

/// A line taken apart; nothing is copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Line<'a> {
    pub timestamp: &'a str,
    pub stream: Stream,
    /// With its newline, unless the runtime cut a long line here.
    pub text: &'a [u8],
}

impl<'a> Line<'a> {
    /// Takes a raw line, newline included, apart; `None` if it is not in the format.
    pub(super) fn parse(raw: &'a [u8]) -> Option<Line<'a>> {
        let (timestamp, rest) = split(raw)?;
        let timestamp = std::str::from_utf8(timestamp).ok()?;
        // Cheap, and enough to tell a line from the middle of one.
        if timestamp.len() < 20 || timestamp.as_bytes().get(10) != Some(&b'T') {
            return None;
        }
        let (stream, rest) = split(rest)?;
        let stream = match stream {
            b"stdout" => Stream::Stdout,
            b"stderr" => Stream::Stderr,
            _ => return None,
        };
        let (tags, mut text) = split(rest)?;
        let is_partial = tags.split(|byte| *byte == b':').next() == Some(b"P");
        if is_partial && let Some(cut) = text.strip_suffix(b"\n") {
            text = cut;
        }
        Some(Line {
            timestamp,
            stream,
            text,
        })
    }

    /// When it was written.
    pub(super) fn time(&self) -> Option<Timestamp> {
        self.timestamp.parse().ok()
    }

    /// The timestamp with nine digits of a second, as readers get it.
    pub(super) fn fixed_timestamp(&self) -> String {
        let text = self.timestamp;
        let zone_at = text
            .char_indices()
            .skip(19)
            .find(|(_, c)| matches!(c, 'Z' | '+' | '-'))
            .map_or(text.len(), |(at, _)| at);
        let (time, zone) = text.split_at(zone_at);
        let zone = if zone == "+00:00" { "Z" } else { zone };
        let (seconds, fraction) = time.split_once('.').unwrap_or((time, ""));
        format!("{seconds}.{fraction:0<9}{zone}")
    }
}

fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = bytes.iter().position(|byte| *byte == b' ')?;
    Some((bytes.get(..at)?, bytes.get(at + 1..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_taken_apart() {
        let line = Line::parse(b"2016-10-06T00:17:09.669794202Z stdout F log content 1\n").unwrap();
        assert_eq!(line.timestamp, "2016-10-06T00:17:09.669794202Z");
        assert_eq!(
            (line.stream, line.text),
            (Stream::Stdout, &b"log content 1\n"[..])
        );
        let line = Line::parse(b"2016-10-06T00:17:09.6Z stderr P:x cut\n").unwrap();
        assert_eq!((line.stream, line.text), (Stream::Stderr, &b"cut"[..]));
        let line = Line::parse(b"2016-10-06T00:17:09Z stdout F \n").unwrap();
        assert_eq!(line.text, b"\n");
        for bad in [
            &b""[..],
            b"text",
            b"2016-10-06T00:17:09Z stdout",
            b"2016-10-06T00:17:09Z stdin F x",
            b"short stdout F x",
        ] {
            assert_eq!(Line::parse(bad), None);
        }
    }

    #[test]
    fn timestamps_have_nine_digits() {
        for (text, want) in [
            ("2016-10-06T00:17:09Z", "2016-10-06T00:17:09.000000000Z"),
            ("2016-10-06T00:17:09.6697Z", "2016-10-06T00:17:09.669700000Z"),
            (
                "2016-10-06T00:17:09.669794202+02:00",
                "2016-10-06T00:17:09.669794202+02:00",
            ),
            ("2016-10-06T00:17:09.1+00:00", "2016-10-06T00:17:09.100000000Z"),
        ] {
            let line = Line {
                timestamp: text,
                stream: Stream::Stdout,
                text: b"",
            };
            assert_eq!(line.fixed_timestamp(), want);
            assert!(line.time().is_some(), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(raw in proptest::collection::vec(proptest::num::u8::ANY, 0..80)) {
            if let Some(line) = Line::parse(&raw) {
                let _ = (line.fixed_timestamp(), line.time());
            }
        }
    }
}
