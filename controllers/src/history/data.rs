//! What a revision holds: a strategic merge patch that puts the template back.

use crate::api::Template;
use serde_json::Value;
use serde_json::value::RawValue;
use std::fmt::Write as _;

/// The patch for a template, as Go's `encoding/json` writes a decoded map: keys sorted, no spaces, numbers as floats, and what
/// could end a script escaped.
///
/// # Errors
/// When the template is no JSON object.
pub fn data(template: &Template) -> Result<Box<RawValue>, serde_json::Error> {
    let mut template: serde_json::Map<String, Value> = serde_json::from_str(template.raw().get())?;
    template.insert("$patch".to_owned(), "replace".into());
    let mut text = String::from(r#"{"spec":{"template":"#);
    write(&Value::Object(template), &mut text);
    text.push_str("}}");
    RawValue::from_string(text)
}

/// The template that a revision's data puts back.
///
/// # Errors
/// When the data is not such a patch.
pub fn template(data: &str) -> Result<Template, serde_json::Error> {
    let mut patch: Value = serde_json::from_str(data)?;
    let mut template = patch
        .pointer_mut("/spec/template")
        .map(Value::take)
        .unwrap_or_default();
    if let Some(template) = template.as_object_mut() {
        template.remove("$patch");
    }
    Template::new(RawValue::from_string(template.to_string())?.into())
}

fn write(value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Number(number) => write_number(number, out),
        Value::String(text) => write_text(text, out),
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write(item, out);
            }
            out.push(']');
        }
        Value::Object(entries) => {
            let mut entries: Vec<_> = entries.iter().collect();
            entries.sort_unstable_by_key(|(key, _)| *key);
            out.push('{');
            for (index, (key, item)) in entries.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_text(key, out);
                out.push(':');
                write(item, out);
            }
            out.push('}');
        }
    }
}

/// Go decodes every number into a float64 and writes the shortest digits that give it back.
fn write_number(number: &serde_json::Number, out: &mut String) {
    let number = number.as_f64().unwrap_or_default();
    let size = number.abs();
    let written = if size != 0.0 && !(1e-6..1e21).contains(&size) {
        let text = format!("{number:e}");
        match text.split_once('e') {
            Some((digits, exponent)) if !exponent.starts_with('-') => {
                write!(out, "{digits}e+{exponent:0>2}")
            }
            // Go takes the leading zero out of an exponent such as e-07.
            _ => write!(out, "{text}"),
        }
    } else {
        write!(out, "{number}")
    };
    debug_assert!(written.is_ok(), "writing to a string does not fail");
}

fn write_text(text: &str, out: &mut String) {
    out.push('"');
    for letter in text.chars() {
        let escaped = match letter {
            '"' => "\\\"",
            '\\' => "\\\\",
            '\n' => "\\n",
            '\r' => "\\r",
            '\t' => "\\t",
            '\u{8}' => "\\b",
            '\u{c}' => "\\f",
            '<' => "\\u003c",
            '>' => "\\u003e",
            '&' => "\\u0026",
            '\u{2028}' => "\\u2028",
            '\u{2029}' => "\\u2029",
            control if control < ' ' => {
                let written = write!(out, "\\u{:04x}", u32::from(control));
                debug_assert!(written.is_ok(), "writing to a string does not fail");
                continue;
            }
            plain => {
                out.push(plain);
                continue;
            }
        };
        out.push_str(escaped);
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(template: &str) -> String {
        let template: Template = serde_json::from_str(template).unwrap();
        data(&template).unwrap().get().to_owned()
    }

    #[test]
    fn the_bytes_are_those_that_go_writes() {
        for (template, inner) in [
            ("{}", ""),
            (
                r#"{"spec":{"b":1,"a":null},"metadata":{"labels":{"z":"1","a":"2"}}}"#,
                r#","metadata":{"labels":{"a":"2","z":"1"}},"spec":{"a":null,"b":1}"#,
            ),
            (
                r#"{"x":"a<b>&\u2028\"\\\n\u0001é"}"#,
                r#","x":"a\u003cb\u003e\u0026\u2028\"\\\n\u0001é""#,
            ),
            (
                r#"{"x":[9007199254740993,-5,0,1e3,0.25,1e21,9223372036854775807]}"#,
                r#","x":[9007199254740992,-5,0,1000,0.25,1e+21,9223372036854776000]"#,
            ),
        ] {
            assert_eq!(
                of(template),
                format!(r#"{{"spec":{{"template":{{"$patch":"replace"{inner}}}}}}}"#)
            );
        }
    }

    #[test]
    fn a_template_survives_being_a_revision() {
        let text = r#"{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"<c>"}]}}"#;
        let back = template(&of(text)).unwrap();
        let original: Template = serde_json::from_str(text).unwrap();
        assert_eq!(back.id(), original.id());
        assert_eq!(back.labels.get("a"), Some("b"));
    }
}
