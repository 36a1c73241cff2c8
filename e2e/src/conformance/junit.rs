//! JUnit's XML, which CI systems show.

use std::fmt::Write as _;

use super::record::{Outcome, Record};
use super::summary::Tally;

/// A suite of the results of a run.
pub(super) fn xml(name: &str, records: &[Record]) -> String {
    let tally = Tally::of(records);
    let seconds: f64 = records.iter().map(|record| record.seconds).sum();
    let mut xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"{}\" tests=\"{}\" failures=\"{}\" skipped=\"{}\" time=\"{seconds:.1}\">\n",
        escape(name),
        tally.all(),
        tally.failed,
        tally.skipped
    );
    for record in records {
        let _ = write!(
            xml,
            "  <testcase classname=\"{}\" name=\"{}\" time=\"{:.1}\"",
            escape(&record.sig),
            escape(&record.name),
            record.seconds
        );
        let message = record.message.as_deref().unwrap_or_default();
        let _ = match record.state {
            Outcome::Passed => writeln!(xml, "/>"),
            Outcome::Skipped => writeln!(xml, "><skipped message=\"{}\"/></testcase>", escape(message)),
            Outcome::Failed => writeln!(
                xml,
                "><failure>{}</failure><system-out>{}</system-out></testcase>",
                escape(message),
                escape(record.log.as_deref().unwrap_or_default())
            ),
        };
    }
    xml + "</testsuite>\n"
}

/// XML has no form at all for most control characters.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' | '\t' => escaped.push(c),
            c if c.is_control() => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::super::record::tests::record;
    use super::*;

    #[test]
    fn every_result_is_a_case_and_no_text_breaks_the_markup() {
        let mut failed = record("[sig-node] \"a\" & <b>", Outcome::Failed);
        failed.message = Some("want <1>\u{1b}[0m".to_owned());
        let xml = xml("ours", &[record("[sig-node] c", Outcome::Passed), failed]);
        assert!(
            xml.contains("tests=\"2\" failures=\"1\" skipped=\"0\" time=\"3.0\""),
            "{xml}"
        );
        assert!(
            xml.contains("name=\"[sig-node] &quot;a&quot; &amp; &lt;b&gt;\""),
            "{xml}"
        );
        assert!(
            xml.contains("<failure>want &lt;1&gt;\u{fffd}[0m</failure>"),
            "{xml}"
        );
    }
}
