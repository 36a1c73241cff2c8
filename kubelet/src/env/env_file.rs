//! Files of variables for `fileKeyRef` (KEP-3721): `NAME='value'` lines, a value may span lines.

/// The value of `key` in `text`; `None` if the file does not set it, or sets it to nothing.
///
/// # Errors
/// The first line before the key that is not in this form.
pub(crate) fn value_of(text: &str, key: &str) -> Result<Option<String>, String> {
    let mut lines = text.lines().enumerate();
    while let Some((index, line)) = lines.next() {
        let bad = |what: &str| {
            format!(
                "invalid environment variable format at line {}: {what}",
                index + 1
            )
        };
        let line = line.trim_start_matches([' ', '\t']);
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, value) = line.split_once('=').ok_or_else(|| bad("missing '='"))?;
        if name.trim_end_matches([' ', '\t']).is_empty() {
            return Err(bad("empty variable name"));
        }
        if name.ends_with([' ', '\t']) {
            return Err(bad("whitespace before '=' is not allowed"));
        }
        if value.starts_with([' ', '\t']) {
            // As in a shell, where this sets the variable to nothing.
            if name == key {
                return Ok(None);
            }
            continue;
        }
        let mut rest = value
            .strip_prefix('\'')
            .ok_or_else(|| bad("value must be enclosed in single quotes"))?;
        let mut found = String::new();
        let after = loop {
            if let Some((last, after)) = rest.split_once('\'') {
                found.push_str(last);
                break after;
            }
            found.push_str(rest);
            found.push('\n');
            rest = lines.next().map(|(_, next)| next).ok_or_else(|| {
                format!(
                    "invalid environment variable format starting at line {}: unclosed single quote",
                    index + 1
                )
            })?;
        };
        let after = after.trim_start_matches([' ', '\t']);
        if !after.is_empty() && !after.starts_with('#') {
            return Err(bad("unexpected content after closing quote"));
        }
        if name == key {
            return Ok((!found.is_empty()).then_some(found));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_taken_literally() {
        let text = "# first\n\n  A='1'\nB='two words' # note\nC='x\ny'\nD= 'lost'\nE=''\nF='$A \\n'\n";
        let value = |key: &str| value_of(text, key).unwrap();
        assert_eq!(value("A").as_deref(), Some("1"));
        assert_eq!(value("B").as_deref(), Some("two words"));
        assert_eq!(value("C").as_deref(), Some("x\ny"));
        assert_eq!(value("D"), None);
        assert_eq!(value("E"), None);
        assert_eq!(value("F").as_deref(), Some("$A \\n"));
        assert_eq!(value("NONE"), None);
    }

    #[test]
    fn lines_in_another_form_are_refused_with_their_number() {
        for (text, want) in [
            ("A", "invalid environment variable format at line 1: missing '='"),
            (
                "\n='1'",
                "invalid environment variable format at line 2: empty variable name",
            ),
            (
                "A ='1'",
                "invalid environment variable format at line 1: whitespace before '=' is not allowed",
            ),
            (
                "A=1",
                "invalid environment variable format at line 1: value must be enclosed in single quotes",
            ),
            (
                "A='1",
                "invalid environment variable format starting at line 1: unclosed single quote",
            ),
            (
                "A='1'2",
                "invalid environment variable format at line 1: unexpected content after closing quote",
            ),
        ] {
            assert_eq!(value_of(text, "Z").unwrap_err(), want, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in "[A-B='# \t\n]*") {
            let _ = value_of(&text, "A");
        }
    }
}
