//! One line of a watch, decoded straight into the slim type.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::client::ErrorStatus;
use crate::meta::Annotations;

/// What a line says.
pub(super) enum WatchEvent<K> {
    Upsert(K),
    Deleted(K),
    Bookmark(Mark),
    Error(ErrorStatus),
}

/// A bookmark: how far the watch has come.
#[derive(Default)]
pub(super) struct Mark {
    pub version: Box<str>,
    /// The list that opened the watch ends here.
    pub list_ends: bool,
}

const LIST_ENDS: &str = "k8s.io/initial-events-end";

#[derive(Deserialize)]
struct BookmarkObject {
    #[serde(default)]
    metadata: BookmarkMeta,
}
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct BookmarkMeta {
    resource_version: Box<str>,
    annotations: Annotations,
}

impl From<BookmarkObject> for Mark {
    fn from(object: BookmarkObject) -> Self {
        let BookmarkMeta {
            resource_version,
            annotations,
        } = object.metadata;
        Mark {
            version: resource_version,
            list_ends: annotations.get(LIST_ENDS) == Some("true"),
        }
    }
}

#[derive(Clone, Copy, Deserialize)]
enum Kind {
    #[serde(rename = "ADDED", alias = "MODIFIED")]
    Upsert,
    #[serde(rename = "DELETED")]
    Deleted,
    #[serde(rename = "BOOKMARK")]
    Bookmark,
    #[serde(rename = "ERROR")]
    Error,
}

impl Kind {
    fn decode<'de, K: DeserializeOwned, A: MapAccess<'de>>(
        self,
        map: &mut A,
    ) -> Result<WatchEvent<K>, A::Error> {
        Ok(match self {
            Kind::Upsert => WatchEvent::Upsert(map.next_value()?),
            Kind::Deleted => WatchEvent::Deleted(map.next_value()?),
            Kind::Bookmark => WatchEvent::Bookmark(map.next_value::<BookmarkObject>()?.into()),
            Kind::Error => WatchEvent::Error(map.next_value()?),
        })
    }

    fn decode_raw<K: DeserializeOwned>(self, raw: &RawValue) -> Result<WatchEvent<K>, serde_json::Error> {
        Ok(match self {
            Kind::Upsert => WatchEvent::Upsert(serde_json::from_str(raw.get())?),
            Kind::Deleted => WatchEvent::Deleted(serde_json::from_str(raw.get())?),
            Kind::Bookmark => WatchEvent::Bookmark(serde_json::from_str::<BookmarkObject>(raw.get())?.into()),
            Kind::Error => WatchEvent::Error(serde_json::from_str(raw.get())?),
        })
    }
}

impl<'de, K: DeserializeOwned> Deserialize<'de> for WatchEvent<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Line<K>(PhantomData<K>);
        impl<'de, K: DeserializeOwned> Visitor<'de> for Line<K> {
            type Value = WatchEvent<K>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a watch event")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<WatchEvent<K>, A::Error> {
                let (mut kind, mut event, mut early): (Option<Kind>, _, Option<Box<RawValue>>) =
                    (None, None, None);
                while let Some(name) = map.next_key::<std::borrow::Cow<'_, str>>()? {
                    match (&*name, kind) {
                        ("type", _) => kind = Some(map.next_value()?),
                        // The API server writes the type first, so that this takes one pass...
                        ("object", Some(kind)) => event = Some(kind.decode(&mut map)?),
                        // ... and another server's line takes two.
                        ("object", None) => early = Some(map.next_value()?),
                        _ => {
                            map.next_value::<IgnoredAny>()?;
                        }
                    }
                }
                match (event, kind, early) {
                    (Some(event), ..) => Ok(event),
                    (None, Some(kind), Some(raw)) => kind.decode_raw(&raw).map_err(A::Error::custom),
                    (_, None, _) => Err(A::Error::missing_field("type")),
                    (_, _, None) => Err(A::Error::missing_field("object")),
                }
            }
        }
        deserializer.deserialize_map(Line(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meta::PartialObject;

    fn read(line: &str) -> String {
        match serde_json::from_str::<WatchEvent<PartialObject>>(line) {
            Ok(WatchEvent::Upsert(object)) => format!("+{}", object.metadata.name),
            Ok(WatchEvent::Deleted(object)) => format!("-{}", object.metadata.name),
            Ok(WatchEvent::Bookmark(mark)) => format!("@{} {}", mark.version, mark.list_ends),
            Ok(WatchEvent::Error(status)) => format!("!{} {}", status.code, status.reason),
            Err(_) => "?".into(),
        }
    }

    #[test]
    fn lines_decode_in_either_order() {
        for (line, expected) in [
            (r#"{"type":"ADDED","object":{"metadata":{"name":"a"}}}"#, "+a"),
            (r#"{"object":{"metadata":{"name":"a"}},"type":"MODIFIED"}"#, "+a"),
            (
                r#"{"type":"DELETED","object":{"metadata":{"name":"a"},"spec":{"x":[1,{}]}}}"#,
                "-a",
            ),
            (
                r#"{"type":"BOOKMARK","object":{"kind":"Pod","metadata":{"resourceVersion":"7"}}}"#,
                "@7 false",
            ),
            (
                r#"{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"7","annotations":{"k8s.io/initial-events-end":"true"}}}}"#,
                "@7 true",
            ),
            (
                r#"{"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired"}}"#,
                "!410 Expired",
            ),
            (r#"{"type":"WEIRD","object":{}}"#, "?"),
            (r#"{"type":"ADDED"}"#, "?"),
        ] {
            assert_eq!(read(line), expected, "{line}");
        }
    }
}
