//! A number or a text, often a percentage (apimachinery `intstr`).

use serde::{Deserialize, Serialize};

/// A field that holds an integer or a string, such as `maxSurge: 25%`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum IntOrString {
    /// A plain number.
    Int(i32),
    /// A text: a percentage, a port's name.
    String(Box<str>),
}

/// A text that is no percentage where one was needed.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("invalid value {0:?}: it is neither a number nor a percentage such as 25%")]
pub struct NotAPercentage(pub Box<str>);

impl IntOrString {
    /// The number itself, or the percentage of `total`, rounded up or down.
    ///
    /// # Errors
    /// The text is not a percentage.
    pub fn scaled(&self, total: i32, round_up: bool) -> Result<i32, NotAPercentage> {
        match self {
            Self::Int(number) => Ok(*number),
            Self::String(text) => {
                let bad = || NotAPercentage(text.clone());
                let percent: i64 = text
                    .strip_suffix('%')
                    .ok_or_else(bad)?
                    .parse::<i32>()
                    .map_err(|_| bad())?
                    .into();
                let product = percent * i64::from(total);
                let scaled = if round_up {
                    (product + 99).div_euclid(100)
                } else {
                    product.div_euclid(100)
                };
                i32::try_from(scaled).map_err(|_| bad())
            }
        }
    }
}

impl From<i32> for IntOrString {
    fn from(number: i32) -> Self {
        Self::Int(number)
    }
}

impl From<&str> for IntOrString {
    fn from(text: &str) -> Self {
        Self::String(text.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_round_as_asked() {
        for (value, total, up, want) in [
            (IntOrString::from(3), 10, true, Ok(3)),
            ("25%".into(), 10, true, Ok(3)),
            ("25%".into(), 10, false, Ok(2)),
            ("100%".into(), 7, true, Ok(7)),
            ("0%".into(), 7, true, Ok(0)),
            ("25".into(), 10, true, Err(NotAPercentage("25".into()))),
            ("x%".into(), 10, true, Err(NotAPercentage("x%".into()))),
        ] {
            assert_eq!(value.scaled(total, up), want, "{value:?} of {total}");
        }
    }
}
