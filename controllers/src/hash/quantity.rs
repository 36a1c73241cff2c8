//! What upstream's quantity parser leaves in memory, which is part of the hash: the scaled integer or the big decimal, the
//! format, and the text where the parser kept it (apimachinery `pkg/api/resource`, `ParseQuantity`).

/// Go's `int64Amount` and `infDecAmount`: one of them is in use.
enum Amount {
    Scaled { value: i64, scale: i32 },
    Big { unscaled: i128, scale: i32 },
}

pub(super) struct Quantity {
    amount: Amount,
    kept_text: String,
    format: &'static str,
}

const DECIMAL_SI: &str = "DecimalSI";
const DECIMAL_EXPONENT: &str = "DecimalExponent";
const BINARY_SI: &str = "BinarySI";

/// The most decimal digits that always fit an int64.
const MAX_INT64_DIGITS: i32 = 18;
/// The finest scale: nano.
const NANO: i32 = -9;

struct Parts<'t> {
    positive: bool,
    num: &'t str,
    denom: &'t str,
    suffix: &'t str,
}

fn split(text: &str) -> Option<Parts<'_>> {
    let (positive, unsigned) = match text.as_bytes().first()? {
        b'-' => (false, &text[1..]),
        b'+' => (true, &text[1..]),
        _ => (true, text),
    };
    let trimmed = unsigned.trim_start_matches('0');
    if trimmed.is_empty() {
        return Some(Parts {
            positive,
            num: "0",
            denom: "",
            suffix: "",
        });
    }
    let digits = |t: &str| t.bytes().take_while(u8::is_ascii_digit).count();
    let (num, mut rest) = trimmed.split_at(digits(trimmed));
    let mut denom = "";
    if let Some(after) = rest.strip_prefix('.') {
        (denom, rest) = after.split_at(digits(after));
    }
    Some(Parts {
        positive,
        num: if num.is_empty() { "0" } else { num },
        denom,
        suffix: rest,
    })
}

/// Base, exponent and format of a suffix.
fn suffix(text: &str) -> Option<(i32, i32, &'static str)> {
    Some(match text {
        "" => (10, 0, DECIMAL_SI),
        "n" => (10, -9, DECIMAL_SI),
        "u" => (10, -6, DECIMAL_SI),
        "m" => (10, -3, DECIMAL_SI),
        "k" => (10, 3, DECIMAL_SI),
        "M" => (10, 6, DECIMAL_SI),
        "G" => (10, 9, DECIMAL_SI),
        "T" => (10, 12, DECIMAL_SI),
        "P" => (10, 15, DECIMAL_SI),
        "E" => (10, 18, DECIMAL_SI),
        "Ki" => (2, 10, BINARY_SI),
        "Mi" => (2, 20, BINARY_SI),
        "Gi" => (2, 30, BINARY_SI),
        "Ti" => (2, 40, BINARY_SI),
        "Pi" => (2, 50, BINARY_SI),
        "Ei" => (2, 60, BINARY_SI),
        other => (
            10,
            other.strip_prefix(['e', 'E'])?.parse().ok()?,
            DECIMAL_EXPONENT,
        ),
    })
}

impl Quantity {
    pub(super) fn parse(text: &str) -> Option<Self> {
        if text == "0" {
            return Some(Self {
                amount: Amount::Scaled { value: 0, scale: 0 },
                kept_text: text.to_owned(),
                format: DECIMAL_SI,
            });
        }
        let parts = split(text)?;
        let (base, exponent, format) = suffix(parts.suffix)?;
        Self::small(text, &parts, base, exponent, format)
            .or_else(|| Self::big(&parts, base, exponent, format))
    }

    /// Upstream's fast path: everything that fits an int64 with a scale.
    fn small(text: &str, parts: &Parts<'_>, base: i32, exponent: i32, format: &'static str) -> Option<Self> {
        let (num_len, denom_len) = (
            i32::try_from(parts.num.len()).ok()?,
            i32::try_from(parts.denom.len()).ok()?,
        );
        let binary = base == 2;
        if binary && !parts.denom.is_empty() {
            return None;
        }
        #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
        let (mut scale, mantissa, precision) = if binary {
            (
                0,
                1_i64 << exponent,
                15 - num_len - (exponent as f32 * 3.0 / 10.0) as i32 - 1,
            )
        } else {
            (exponent, 1, MAX_INT64_DIGITS - num_len - denom_len)
        };
        scale -= denom_len;
        if precision < 0 || scale < NANO {
            return None;
        }
        let shifted = format!("{}{}", parts.num, parts.denom);
        let digits: i64 = shifted.parse().ok()?;
        let magnitude = digits.checked_mul(mantissa)?;
        let keep = if binary {
            exponent % 10 == 0 && digits & 7 != 0
        } else {
            scale % 3 == 0 && !shifted.ends_with("000") && !shifted.starts_with('0')
        };
        let value = if parts.positive { magnitude } else { -magnitude };
        Some(Self {
            amount: Amount::Scaled { value, scale },
            kept_text: if keep { text.to_owned() } else { String::new() },
            format,
        })
    }

    /// Upstream's slow path over a big decimal, rounded up to nano.
    fn big(parts: &Parts<'_>, base: i32, exponent: i32, mut format: &'static str) -> Option<Self> {
        let mut unscaled: i128 = format!("{}{}", parts.num, parts.denom).parse().ok()?;
        let mut scale = i32::try_from(parts.denom.len()).ok()?;
        if base == 10 {
            scale -= exponent;
        } else {
            unscaled = unscaled.checked_mul(1_i128 << exponent)?;
        }
        if unscaled != 0 {
            let shift = 9 - scale;
            unscaled = if shift >= 0 {
                unscaled.checked_mul(10_i128.checked_pow(shift.unsigned_abs())?)?
            } else {
                let divisor = 10_i128.checked_pow(shift.unsigned_abs()).unwrap_or(i128::MAX);
                unscaled / divisor + i128::from(unscaled % divisor != 0)
            };
            scale = 9;
        }
        const ONE: i128 = 1_000_000_000;
        if format == BINARY_SI && unscaled > i128::from(i64::MAX) * ONE {
            (unscaled, scale) = (i128::from(i64::MAX), 0);
        } else if format == BINARY_SI && unscaled > 0 && unscaled < ONE {
            format = DECIMAL_SI;
        }
        if !parts.positive {
            unscaled = -unscaled;
        }
        Some(Self {
            amount: Amount::Big { unscaled, scale },
            kept_text: String::new(),
            format,
        })
    }

    /// The struct as spew prints it.
    pub(super) fn dump(&self) -> String {
        let (value, scale, big) = match &self.amount {
            Amount::Scaled { value, scale } => (*value, *scale, "<nil>".to_owned()),
            Amount::Big { unscaled, scale } => {
                let (low, high) = (
                    unscaled.unsigned_abs() & u128::from(u64::MAX),
                    unscaled.unsigned_abs() >> 64,
                );
                let words = match (low, high) {
                    (0, 0) => "<nil>".to_owned(),
                    (low, 0) => format!("[{low}]"),
                    (low, high) => format!("[{low} {high}]"),
                };
                (
                    0,
                    0,
                    format!(
                        "{{unscaled:(big.Int){{neg:(bool){} abs:(big.nat){words}}} scale:(inf.Scale){scale}}}",
                        *unscaled < 0
                    ),
                )
            }
        };
        format!(
            "{{i:(resource.int64Amount){{value:(int64){value} scale:(resource.Scale){scale}}} d:(resource.infDecAmount){{Dec:(*inf.Dec){big}}} s:(string){} Format:(resource.Format){}}}",
            self.kept_text, self.format
        )
    }

    /// The value alone, the same for every way of writing it.
    pub(super) fn value(&self) -> String {
        let (mut digits, mut exponent) = match &self.amount {
            Amount::Scaled { value, scale } => (i128::from(*value), *scale),
            Amount::Big { unscaled, scale } => (*unscaled, -*scale),
        };
        if digits == 0 {
            return "0".to_owned();
        }
        while digits % 10 == 0 {
            digits /= 10;
            exponent += 1;
        }
        format!("{digits}e{exponent}")
    }
}

#[cfg(test)]
mod tests {
    use super::Quantity;

    #[test]
    fn equal_values_are_equal_however_written() {
        for (a, b) in [
            ("1", "1000m"),
            ("1Gi", "1073741824"),
            ("0.5", "500m"),
            ("1e3", "1k"),
            ("0", "0m"),
            ("9223372036854775807", "9223372036854775807000m"),
        ] {
            assert_eq!(
                Quantity::parse(a).unwrap().value(),
                Quantity::parse(b).unwrap().value(),
                "{a} {b}"
            );
        }
        assert_ne!(
            Quantity::parse("1").unwrap().value(),
            Quantity::parse("2").unwrap().value()
        );
        assert!(Quantity::parse("1x").is_none());
        assert!(Quantity::parse("").is_none());
    }
}
