//! Prints a template as `spew` prints the Go struct with upstream's settings for hashing (`%#v`, sorted keys, no methods).

use super::quantity::Quantity;
use super::schema::STRUCTS;
use super::schema_types::Kind;
use super::{POD_TEMPLATE_HASH, Sink};
use serde_json::Value;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// Exactly upstream's text.
    Hash,
    /// The same walk with quantities by value and without the template's own hash label.
    Compare,
}

pub(super) struct Walk<'a, S> {
    pub(super) out: &'a mut S,
    pub(super) mode: Mode,
}

/// Absent and null are the same: every template has been through the wire format, which keeps neither.
fn field<'v>(of: Option<&'v Value>, name: &str) -> Option<&'v Value> {
    of?.get(name).filter(|v| !v.is_null())
}

impl<S: Sink> Walk<'_, S> {
    pub(super) fn template(&mut self, template: &Value) {
        self.text("(v1.PodTemplateSpec)");
        match self.mode {
            Mode::Hash => self.fields(0, Some(template)),
            Mode::Compare => {
                let mut template = template.clone();
                if let Some(labels) = template
                    .pointer_mut("/metadata/labels")
                    .and_then(Value::as_object_mut)
                {
                    labels.remove(POD_TEMPLATE_HASH);
                }
                self.fields(0, Some(&template));
            }
        }
    }

    fn text(&mut self, text: &str) {
        self.out.write(text.as_bytes());
    }

    fn fields(&mut self, index: usize, object: Option<&Value>) {
        self.text("{");
        for (i, (head, json, kind)) in STRUCTS.get(index).copied().unwrap_or_default().iter().enumerate() {
            if i > 0 {
                self.text(" ");
            }
            self.text(head);
            self.value(
                kind,
                if json.is_empty() {
                    object
                } else {
                    field(object, json)
                },
            );
        }
        self.text("}");
    }

    fn value(&mut self, kind: &Kind, value: Option<&Value>) {
        match kind {
            Kind::Str => self.text(value.and_then(Value::as_str).unwrap_or_default()),
            Kind::Bool => self.text(if value.and_then(Value::as_bool).unwrap_or_default() {
                "true"
            } else {
                "false"
            }),
            Kind::Int => self.text(&value.and_then(Value::as_i64).unwrap_or_default().to_string()),
            Kind::Ptr(to) => match value {
                None => self.text("<nil>"),
                some => self.value(to, some),
            },
            Kind::Struct(index) => self.fields(*index, value),
            Kind::List(of) => self.list(of, value),
            Kind::Map(of) => self.map(of, value),
            Kind::Quantity => self.quantity(value),
            Kind::IntOrString => self.int_or_string(value),
            Kind::Time => self.time(value),
            Kind::Bytes => self.bytes(value),
        }
    }

    fn list(&mut self, of: &Kind, value: Option<&Value>) {
        match value.and_then(Value::as_array).filter(|items| !items.is_empty()) {
            None => self.text("<nil>"),
            Some(items) => {
                self.text("[");
                for (i, item) in items.iter().enumerate() {
                    if i > 0 {
                        self.text(" ");
                    }
                    self.value(of, Some(item).filter(|v| !v.is_null()));
                }
                self.text("]");
            }
        }
    }

    fn map(&mut self, of: &Kind, value: Option<&Value>) {
        match value
            .and_then(Value::as_object)
            .filter(|entries| !entries.is_empty())
        {
            None => self.text("<nil>"),
            Some(entries) => {
                let mut entries: Vec<_> = entries.iter().collect();
                entries.sort_unstable_by(|a, b| a.0.cmp(b.0));
                self.text("map[");
                for (i, (key, item)) in entries.into_iter().enumerate() {
                    if i > 0 {
                        self.text(" ");
                    }
                    self.text(key);
                    self.text(":");
                    self.value(of, Some(item).filter(|v| !v.is_null()));
                }
                self.text("]");
            }
        }
    }

    fn quantity(&mut self, value: Option<&Value>) {
        let text = match value {
            None => "0".to_owned(),
            Some(Value::String(text)) => text.trim().to_owned(),
            Some(other) => other.to_string(),
        };
        let printed = match (Quantity::parse(&text), self.mode) {
            (Some(quantity), Mode::Hash) => quantity.dump(),
            (Some(quantity), Mode::Compare) => quantity.value(),
            // The API server stores no such thing; it still has to differ from other text.
            (None, _) => text,
        };
        self.text(&printed);
    }

    fn int_or_string(&mut self, value: Option<&Value>) {
        let text = match value {
            Some(Value::String(text)) => {
                format!("{{Type:(intstr.Type)1 IntVal:(int32)0 StrVal:(string){text}}}")
            }
            other => format!(
                "{{Type:(intstr.Type)0 IntVal:(int32){} StrVal:(string)}}",
                other.and_then(Value::as_i64).unwrap_or_default()
            ),
        };
        self.text(&text);
    }

    fn time(&mut self, value: Option<&Value>) {
        let time = value
            .and_then(Value::as_str)
            .and_then(|text| text.parse::<jiff::Timestamp>().ok());
        match time {
            None => self.text("{Time:(time.Time){wall:(uint64)0 ext:(int64)0 loc:(*time.Location)<nil>}}"),
            Some(time) => {
                // Go counts from year 1; upstream's process runs in the zone called UTC.
                let ext = time.as_second() + 62_135_596_800;
                self.text(&format!(
                    "{{Time:(time.Time){{wall:(uint64)0 ext:(int64){ext} loc:(*time.Location){{name:(string)UTC zone:([]time.zone)<nil> \
                     tx:([]time.zoneTrans)<nil> extend:(string) cacheStart:(int64)0 cacheEnd:(int64)0 cacheZone:(*time.zone)<nil>}}}}}}"
                ));
            }
        }
    }

    fn bytes(&mut self, value: Option<&Value>) {
        match value {
            None => self.text("<nil>"),
            Some(value) => {
                let bytes: Vec<_> = value.to_string().bytes().map(|b| b.to_string()).collect();
                self.text(&format!("[{}]", bytes.join(" ")));
            }
        }
    }
}
