//! What the API's objects have in common, as far as anybody here reads it.

use machinery::meta::{Istr, ObjectKey, null_default};
use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;

/// Metadata without most of it: unknown fields are skipped, and nothing of them is kept or interned.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub struct Meta<L: Default, A: Default> {
    pub name: Istr,
    pub namespace: Istr,
    pub resource_version: Version,
    #[serde(deserialize_with = "null_default", bound(deserialize = "L: Deserialize<'de>"))]
    pub labels: L,
    #[serde(deserialize_with = "null_default", bound(deserialize = "A: Deserialize<'de>"))]
    pub annotations: A,
}

impl<L: Default, A: Default> Meta<L, A> {
    pub fn key(&self) -> ObjectKey {
        ObjectKey {
            namespace: self.namespace.clone(),
            name: self.name.clone(),
        }
    }
}

/// No label, or annotation, is of interest.
#[derive(Deserialize, Default)]
pub struct Unread {}

/// A resource version: the API server's are numbers (KEP-5504). Zero where there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Version(u64);

impl Version {
    pub fn text(self) -> Cow<'static, str> {
        match self.0 {
            0 => Cow::Borrowed(""),
            number => Cow::Owned(number.to_string()),
        }
    }
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Text(text) = Text::deserialize(deserializer)?;
        if text.is_empty() {
            return Ok(Self::default());
        }
        let wrong = |_| D::Error::custom(format_args!("the resource version {text:?} is no number"));
        text.parse().map(Self).map_err(wrong)
    }
}

/// An address; `None`, as headless Services have it, and what is no address are none.
pub fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<IpAddr>, D::Error> {
    let text = Option::<Text<'de>>::deserialize(deserializer)?;
    Ok(text.and_then(|text| super::resolve::parse_ip(&text.0)))
}

/// The addresses in a list; others are left out.
pub fn addresses<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<IpAddr>, D::Error> {
    let texts = Option::<Vec<Text<'de>>>::deserialize(deserializer)?.unwrap_or_default();
    Ok(texts
        .iter()
        .filter_map(|text| super::resolve::parse_ip(&text.0))
        .collect())
}

/// The first address in a list, if it is one.
pub fn first_address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<IpAddr>, D::Error> {
    struct First;
    impl<'de> Visitor<'de> for First {
        type Value = Option<IpAddr>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list of addresses")
        }
        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(None)
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut texts: A) -> Result<Self::Value, A::Error> {
            let first = texts.next_element::<Text<'de>>()?;
            while texts.next_element::<serde::de::IgnoredAny>()?.is_some() {}
            Ok(first.and_then(|text| super::resolve::parse_ip(&text.0)))
        }
    }
    deserializer.deserialize_any(First)
}

/// A string that is borrowed where it can be.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
