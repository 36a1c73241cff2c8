//! A ConfigMap or a Secret, as far as pods use it.

use std::borrow::Cow;
use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use machinery::meta::Resource;
use machinery::meta::resources::{CONFIG_MAPS, SECRETS};
use serde::Deserialize;
use serde::de::{Deserializer, Error as _};

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    ConfigMap,
    Secret,
}

impl Kind {
    /// As in `configmap "x" not found`.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Kind::ConfigMap => "configmap",
            Kind::Secret => "secret",
        }
    }

    /// As in `couldn't find key k in ConfigMap ns/x`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::ConfigMap => "ConfigMap",
            Kind::Secret => "Secret",
        }
    }

    pub(crate) fn resource(self) -> Resource {
        match self {
            Kind::ConfigMap => CONFIG_MAPS,
            Kind::Secret => SECRETS,
        }
    }
}

/// Why there is no content.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Missing {
    /// There is no such object: an optional reference may do without.
    #[error("{0}")]
    NotFound(String),
    /// It is not known whether there is one.
    #[error("{0}")]
    Failed(String),
}

/// The data of a ConfigMap (`data` and `binaryData`) or of a Secret (`data`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Content {
    pub data: BTreeMap<Box<str>, Box<[u8]>>,
    /// Not for environments.
    pub binary: BTreeMap<Box<str>, Box<[u8]>>,
    /// It will never change, so there is no need to follow it.
    pub immutable: bool,
}

impl Content {
    /// The entries that can be variables.
    pub(crate) fn texts(&self) -> impl Iterator<Item = (&str, Cow<'_, str>)> {
        self.data
            .iter()
            .map(|(key, value)| (&**key, String::from_utf8_lossy(value)))
    }

    /// One of them.
    pub(crate) fn text(&self, key: &str) -> Option<Cow<'_, str>> {
        self.data.get(key).map(|value| String::from_utf8_lossy(value))
    }

    /// Any entry, for a file.
    pub(crate) fn bytes(&self, key: &str) -> Option<&[u8]> {
        self.data
            .get(key)
            .or_else(|| self.binary.get(key))
            .map(|value| &**value)
    }

    /// Every entry; one of `binaryData` wins.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.data
            .iter()
            .chain(&self.binary)
            .map(|(key, value)| (&**key, &**value))
    }
}

/// A ConfigMap as the API sends it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ConfigMap {
    #[serde(default)]
    data: Option<BTreeMap<Box<str>, String>>,
    #[serde(default)]
    binary_data: Option<BTreeMap<Box<str>, Base64>>,
    #[serde(default)]
    immutable: Option<bool>,
}

/// A Secret as the API sends it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Secret {
    #[serde(default)]
    data: Option<BTreeMap<Box<str>, Base64>>,
    #[serde(default)]
    immutable: Option<bool>,
}

#[derive(Clone, Debug)]
struct Base64(Box<[u8]>);

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // A value of null is an empty one.
        let text = Option::<Cow<'de, str>>::deserialize(deserializer)?.unwrap_or_default();
        STANDARD
            .decode(text.as_bytes())
            .map(|bytes| Base64(bytes.into()))
            .map_err(D::Error::custom)
    }
}

impl From<ConfigMap> for Content {
    fn from(map: ConfigMap) -> Self {
        Content {
            data: map
                .data
                .into_iter()
                .flatten()
                .map(|(key, text)| (key, text.into_bytes().into()))
                .collect(),
            binary: map
                .binary_data
                .into_iter()
                .flatten()
                .map(|(key, Base64(bytes))| (key, bytes))
                .collect(),
            immutable: map.immutable == Some(true),
        }
    }
}

impl From<Secret> for Content {
    fn from(secret: Secret) -> Self {
        Content {
            data: secret
                .data
                .into_iter()
                .flatten()
                .map(|(key, Base64(bytes))| (key, bytes))
                .collect(),
            binary: BTreeMap::new(),
            immutable: secret.immutable == Some(true),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_are_read_as_the_api_sends_them() {
        let map: ConfigMap = serde_json::from_str(
            r#"{"metadata": {"name": "x"}, "data": {"a": "1"}, "binaryData": {"b": "/w=="}, "immutable": true}"#,
        )
        .unwrap();
        let content = Content::from(map);
        assert_eq!(content.text("a").as_deref(), Some("1"));
        assert_eq!(content.text("b"), None);
        assert_eq!(content.bytes("b"), Some(&[0xff][..]));
        assert!(content.immutable);

        let secret: Secret = serde_json::from_str(r#"{"data": {"p": "czNjcmV0", "e": null}}"#).unwrap();
        let content = Content::from(secret);
        assert_eq!(content.text("p").as_deref(), Some("s3cret"));
        assert_eq!(content.bytes("e"), Some(&[][..]));
        assert!(serde_json::from_str::<Secret>(r#"{"data": {"p": "!"}}"#).is_err());
    }
}
