//! Times as the API writes them: RFC 3339 in UTC, to the second (`Time`) or the microsecond
//! (`MicroTime`).

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A point in time that is written to the second, as `metav1.Time` is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub Timestamp);

/// A point in time that is written to the microsecond, as `metav1.MicroTime` is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MicroTime(pub Timestamp);

/// `2026-01-02T03:04:05Z`.
#[must_use]
pub fn seconds(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// `2026-01-02T03:04:05.000006Z`.
#[must_use]
pub fn micros(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}

/// `time` without its fraction of a second, as it comes back from the API.
#[must_use]
pub fn truncated(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

macro_rules! api_time {
    ($name:ident, $write:ident) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&$write(self.0))
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map($name).map_err(de::Error::custom)
            }
        }
        impl From<Timestamp> for $name {
            fn from(time: Timestamp) -> Self {
                Self(time)
            }
        }
    };
}
api_time!(Time, seconds);
api_time!(MicroTime, micros);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_as_the_api_writes_them() {
        let time: Timestamp = "2026-01-02T03:04:05.678901234Z".parse().unwrap();
        assert_eq!(
            serde_json::to_string(&Time(time)).unwrap(),
            "\"2026-01-02T03:04:05Z\""
        );
        assert_eq!(
            serde_json::to_string(&MicroTime(time)).unwrap(),
            "\"2026-01-02T03:04:05.678901Z\""
        );
        let back: Time = serde_json::from_str("\"2026-01-02T03:04:05Z\"").unwrap();
        assert_eq!(back.0, truncated(time));
    }
}
