//! Resource quantities (apimachinery `resource.Quantity`): `250m`, `64Mi`, `1e3`.

use std::cmp::Ordering;
use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Neg, Sub, SubAssign};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

const NANO: i128 = 1_000_000_000;
/// The largest whole value that upstream holds: a quantity beyond it is capped.
const MAX_WHOLE: i128 = i64::MAX as i128;

/// How a quantity was written, and is written back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Format {
    /// Powers of 1000: `m`, none, `k`, `M`, `G`...
    #[default]
    DecimalSi,
    /// Powers of 1024: `Ki`, `Mi`, `Gi`...
    BinarySi,
    /// Powers of ten: `e3`.
    DecimalExponent,
}

/// A fixed-point number, exact to a billionth, as upstream's is. Finer input is rounded away from zero.
///
/// Two quantities are equal when their values are, whatever they are written like.
#[derive(Clone, Copy, Debug, Default)]
pub struct Quantity {
    nanos: i128,
    format: Format,
}

/// A text that is no quantity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid quantity {0:?}: write it like 100m, 1.5, 64Mi or 2e3")]
pub struct InvalidQuantity(pub String);

impl Quantity {
    /// `value` whole units.
    #[must_use]
    pub const fn new(value: i64, format: Format) -> Self {
        Self {
            nanos: value as i128 * NANO,
            format,
        }
    }

    /// `milli` thousandths, written in powers of 1000.
    #[must_use]
    pub const fn from_millis(milli: i64) -> Self {
        Self {
            nanos: milli as i128 * (NANO / 1_000),
            format: Format::DecimalSi,
        }
    }

    /// `bytes`, written in powers of 1024.
    #[must_use]
    pub const fn from_bytes(bytes: i64) -> Self {
        Self::new(bytes, Format::BinarySi)
    }

    /// The value in whole units, rounded up (away from zero), as `Quantity.Value()`.
    #[must_use]
    pub fn value(&self) -> i64 {
        saturate(round_away(self.nanos, NANO))
    }

    /// The value in thousandths, rounded up (away from zero), as `Quantity.MilliValue()`.
    #[must_use]
    pub fn milli_value(&self) -> i64 {
        saturate(round_away(self.nanos, NANO / 1_000))
    }

    /// The value as a floating-point number.
    #[must_use]
    #[allow(clippy::cast_precision_loss)]
    pub fn as_f64(&self) -> f64 {
        self.nanos as f64 / NANO as f64
    }

    /// Whether the value is zero.
    #[must_use]
    pub const fn is_zero(&self) -> bool {
        self.nanos == 0
    }

    /// How the quantity is written.
    #[must_use]
    pub const fn format(&self) -> Format {
        self.format
    }
}

fn round_away(nanos: i128, unit: i128) -> i128 {
    let whole = nanos / unit;
    if nanos % unit == 0 {
        whole
    } else {
        whole + nanos.signum()
    }
}

fn saturate(value: i128) -> i64 {
    i64::try_from(value).unwrap_or(if value < 0 { i64::MIN } else { i64::MAX })
}

fn cap(nanos: i128) -> i128 {
    nanos.clamp(-MAX_WHOLE * NANO, MAX_WHOLE * NANO)
}

/// A multiplier as a fraction: `2^20 / 1`, `1 / 1000`.
fn suffix(text: &str) -> Option<(i128, i128, Format)> {
    let (num, den, format) = match text {
        "" => (1, 1, Format::DecimalSi),
        "n" => (1, 1_000_000_000, Format::DecimalSi),
        "u" => (1, 1_000_000, Format::DecimalSi),
        "m" => (1, 1_000, Format::DecimalSi),
        "k" => (1_000, 1, Format::DecimalSi),
        "M" => (1_000_000, 1, Format::DecimalSi),
        "G" => (1_000_000_000, 1, Format::DecimalSi),
        "T" => (1_000_000_000_000, 1, Format::DecimalSi),
        "P" => (1_000_000_000_000_000, 1, Format::DecimalSi),
        "E" => (1_000_000_000_000_000_000, 1, Format::DecimalSi),
        "Ki" => (1 << 10, 1, Format::BinarySi),
        "Mi" => (1 << 20, 1, Format::BinarySi),
        "Gi" => (1 << 30, 1, Format::BinarySi),
        "Ti" => (1 << 40, 1, Format::BinarySi),
        "Pi" => (1 << 50, 1, Format::BinarySi),
        "Ei" => (1 << 60, 1, Format::BinarySi),
        _ => return None,
    };
    Some((num, den, format))
}

fn exponent(text: &str) -> Option<i32> {
    let digits = text.strip_prefix(['e', 'E'])?;
    digits
        .parse::<i32>()
        .ok()
        .filter(|power| (-1_000..=1_000).contains(power))
}

/// `digits` (an integer text) times ten to the `power`, times `num / den`, in nanos, rounded away
/// from zero and capped.
fn scale(digits: &str, power: i32, num: i128, den: i128) -> i128 {
    let digits = digits.trim_start_matches('0');
    if digits.is_empty() {
        return 0;
    }
    // Beyond 2^63 units whatever the suffix: capped.
    let magnitude = i32::try_from(digits.len())
        .unwrap_or(i32::MAX)
        .saturating_add(power);
    if magnitude > 31 {
        return MAX_WHOLE * NANO;
    }
    if magnitude < -30 {
        return 1;
    }
    // Digits past what an i128 holds only matter as "a bit more".
    let kept = &digits[..digits.len().min(28)];
    let lost = digits.len() - kept.len();
    let inexact = digits[kept.len()..].bytes().any(|digit| digit != b'0');
    let mut mantissa: i128 = kept.parse().unwrap_or(MAX_WHOLE);
    let mut power = power + i32::try_from(lost).unwrap_or(0) + 9;
    let mut remainder = inexact;
    while power > 0 && mantissa < i128::MAX / 10 {
        mantissa *= 10;
        power -= 1;
    }
    if power > 0 {
        return MAX_WHOLE * NANO;
    }
    let product = match mantissa.checked_mul(num) {
        Some(product) => product,
        // Rare: many digits and a large suffix. Give up digits that cannot matter below the cap.
        None if power == 0 => return MAX_WHOLE * NANO,
        None => {
            let mut product = mantissa;
            while power < 0 && product.checked_mul(num).is_none() {
                remainder |= product % 10 != 0;
                product /= 10;
                power += 1;
            }
            match product.checked_mul(num) {
                Some(product) => product,
                None => return MAX_WHOLE * NANO,
            }
        }
    };
    let mut value = product;
    remainder |= value % den != 0;
    value /= den;
    while power < 0 {
        remainder |= value % 10 != 0;
        value /= 10;
        power += 1;
    }
    cap(value + i128::from(remainder))
}

impl FromStr for Quantity {
    type Err = InvalidQuantity;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || InvalidQuantity(text.to_owned());
        let (negative, body) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            _ => (false, text),
        };
        let number_end = body
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(body.len());
        let (number, unit) = body.split_at(number_end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
            return Err(bad());
        }
        let (num, den, power, format) = match suffix(unit) {
            Some((num, den, format)) => (num, den, 0, format),
            None => (1, 1, exponent(unit).ok_or_else(bad)?, Format::DecimalExponent),
        };
        let fraction = fraction.trim_end_matches('0');
        let power = power - i32::try_from(fraction.len()).map_err(|_| bad())?;
        let magnitude = if fraction.is_empty() {
            scale(whole, power, num, den)
        } else {
            scale(&format!("{whole}{fraction}"), power, num, den)
        };
        Ok(Self {
            nanos: if negative { -magnitude } else { magnitude },
            format,
        })
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nanos == 0 {
            return f.write_str("0");
        }
        let whole = self.nanos % NANO == 0;
        if self.format == Format::BinarySi && whole && self.nanos.abs() >= 1_024 * NANO {
            let mut value = self.nanos / NANO;
            let mut step = 0;
            while value % 1_024 == 0 && step < 6 {
                value /= 1_024;
                step += 1;
            }
            return write!(f, "{value}{}", ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"][step]);
        }
        let mut value = self.nanos;
        let mut step = 0;
        while value % 1_000 == 0 && step < 9 {
            value /= 1_000;
            step += 1;
        }
        match self.format {
            Format::DecimalExponent if step != 3 => write!(f, "{value}e{}", (step as i32 - 3) * 3),
            _ => write!(
                f,
                "{value}{}",
                ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"][step]
            ),
        }
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.nanos == other.nanos
    }
}
impl Eq for Quantity {}
impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        self.nanos.cmp(&other.nanos)
    }
}
impl Add for Quantity {
    type Output = Self;
    /// The sum; a zero takes the other side's format, as upstream's does.
    fn add(self, other: Self) -> Self {
        let format = if self.nanos == 0 {
            other.format
        } else {
            self.format
        };
        Self {
            nanos: cap(self.nanos + other.nanos),
            format,
        }
    }
}
impl Sub for Quantity {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        self + -other
    }
}
impl Neg for Quantity {
    type Output = Self;
    fn neg(self) -> Self {
        Self {
            nanos: -self.nanos,
            ..self
        }
    }
}
impl AddAssign for Quantity {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}
impl SubAssign for Quantity {
    fn sub_assign(&mut self, other: Self) {
        *self = *self - other;
    }
}
impl Sum for Quantity {
    fn sum<I: Iterator<Item = Self>>(quantities: I) -> Self {
        quantities.fold(Self::default(), Add::add)
    }
}

impl<'de> Deserialize<'de> for Quantity {
    /// Takes a text or a bare number, as the API does.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Quantity;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a quantity such as 100m or 64Mi")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Quantity, E> {
                text.parse().map_err(E::custom)
            }
            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Quantity, E> {
                Ok(Quantity::new(value, Format::DecimalSi))
            }
            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Quantity, E> {
                Ok(Quantity::new(
                    i64::try_from(value).unwrap_or(i64::MAX),
                    Format::DecimalSi,
                ))
            }
            fn visit_f64<E: de::Error>(self, value: f64) -> Result<Quantity, E> {
                value.to_string().parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl Serialize for Quantity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl TryFrom<&k8s_openapi::apimachinery::pkg::api::resource::Quantity> for Quantity {
    type Error = InvalidQuantity;
    fn try_from(
        quantity: &k8s_openapi::apimachinery::pkg::api::resource::Quantity,
    ) -> Result<Self, Self::Error> {
        quantity.0.parse()
    }
}

impl From<Quantity> for k8s_openapi::apimachinery::pkg::api::resource::Quantity {
    fn from(quantity: Quantity) -> Self {
        Self(quantity.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn values_and_canonical_texts() {
        for (text, value, milli, canonical) in [
            ("0", 0, 0, "0"),
            ("100m", 1, 100, "100m"),
            ("1500m", 2, 1_500, "1500m"),
            ("2000m", 2, 2_000, "2"),
            ("1.5", 2, 1_500, "1500m"),
            ("64Mi", 67_108_864, 67_108_864_000, "64Mi"),
            ("1024Ki", 1_048_576, 1_048_576_000, "1Mi"),
            ("1000Ki", 1_024_000, 1_024_000_000, "1000Ki"),
            ("0.5Gi", 536_870_912, 536_870_912_000, "512Mi"),
            ("100", 100, 100_000, "100"),
            ("1000", 1_000, 1_000_000, "1k"),
            ("1e3", 1_000, 1_000_000, "1e3"),
            ("12e0", 12, 12_000, "12"),
            ("1E", 1_000_000_000_000_000_000, i64::MAX, "1E"),
            ("-5", -5, -5_000, "-5"),
            ("-0.5", -1, -500, "-500m"),
            ("1n", 1, 1, "1n"),
            ("0.1n", 1, 1, "1n"),
            ("512", 512, 512_000, "512"),
            ("1Ki", 1_024, 1_024_000, "1Ki"),
            ("0.5Ki", 512, 512_000, "512"),
            ("+1", 1, 1_000, "1"),
            (".5", 1, 500, "500m"),
            ("16392616Ki", 16_786_038_784, 16_786_038_784_000, "16392616Ki"),
            ("110", 110, 110_000, "110"),
        ] {
            let quantity: Quantity = text.parse().unwrap();
            assert_eq!(
                (quantity.value(), quantity.milli_value()),
                (value, milli),
                "{text}"
            );
            assert_eq!(quantity.to_string(), canonical, "{text}");
        }
    }

    #[test]
    fn what_is_too_large_is_capped() {
        for text in [
            "1e30",
            "100E",
            "99999999999999999999999999999999999999999",
            "16Ei",
            "9e999",
        ] {
            assert_eq!(text.parse::<Quantity>().unwrap().value(), i64::MAX, "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_quantity() {
        for text in [
            "", "m", "1x", "1.2.3", "1 ", "1Kii", "--1", "1e", "1em", ".", "e3", "1ki",
        ] {
            assert!(text.parse::<Quantity>().is_err(), "{text}");
        }
    }

    #[test]
    fn sums_keep_the_first_format() {
        let sum: Quantity = ["64Mi", "64Mi"]
            .iter()
            .map(|q| q.parse::<Quantity>().unwrap())
            .sum();
        assert_eq!(sum.to_string(), "128Mi");
        assert!("1".parse::<Quantity>().unwrap() > "999m".parse().unwrap());
    }

    proptest! {
        #[test]
        fn written_and_read_back_is_the_same(nanos in -1_000_000_000_000_000_000_i128..1_000_000_000_000_000_000, binary: bool) {
            let format = if binary { Format::BinarySi } else { Format::DecimalSi };
            let quantity = Quantity { nanos, format };
            prop_assert_eq!(quantity.to_string().parse::<Quantity>().unwrap(), quantity);
        }

        #[test]
        fn no_text_panics(text in "[-+0-9.eEKMGTPimnu]{0,40}") {
            let _ = text.parse::<Quantity>();
        }
    }
}
