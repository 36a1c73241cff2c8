//! The API's two times: whole seconds in metadata, microseconds in leases and events.

use std::fmt;

use jiff::Timestamp;
use serde::de::{Deserialize, Deserializer, Error as _, Visitor};
use serde::ser::{Serialize, Serializer};

/// `metav1.Time`: RFC 3339 in UTC, whole seconds on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Time(pub Timestamp);

/// `metav1.MicroTime`: RFC 3339 in UTC with exactly six decimals on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MicroTime(pub Timestamp);

impl Time {
    /// The wall clock now.
    pub fn now() -> Self {
        Time(Timestamp::now())
    }
}
impl MicroTime {
    /// The wall clock now.
    pub fn now() -> Self {
        MicroTime(Timestamp::now())
    }
}
impl From<Timestamp> for Time {
    fn from(at: Timestamp) -> Self {
        Time(at)
    }
}
impl From<Timestamp> for MicroTime {
    fn from(at: Timestamp) -> Self {
        MicroTime(at)
    }
}
impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.0}", self.0)
    }
}
impl fmt::Display for MicroTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.6}", self.0)
    }
}

struct Rfc3339;
impl Visitor<'_> for Rfc3339 {
    type Value = Timestamp;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an RFC 3339 time")
    }
    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Timestamp, E> {
        text.parse()
            .map_err(|cause| E::custom(format_args!("time {text:?}: {cause}")))
    }
}

macro_rules! wire {
    ($name:ident) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer
                    .deserialize_str(Rfc3339)
                    .map($name)
                    .map_err(D::Error::custom)
            }
        }
    };
}
wire!(Time);
wire!(MicroTime);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_upstream_writes_them() {
        let at: Timestamp = "2026-01-02T03:04:05.678901234Z".parse().unwrap();
        assert_eq!(
            serde_json::to_string(&Time(at)).unwrap(),
            r#""2026-01-02T03:04:05Z""#
        );
        assert_eq!(
            serde_json::to_string(&MicroTime(at)).unwrap(),
            r#""2026-01-02T03:04:05.678901Z""#
        );
        let zoned: Time = serde_json::from_str(r#""2026-01-02T05:04:05+02:00""#).unwrap();
        assert_eq!(zoned.to_string(), "2026-01-02T03:04:05Z");
    }
}
