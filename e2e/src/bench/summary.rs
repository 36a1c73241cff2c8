//! Samples to figures.

/// Minimum, median and maximum of a set of samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Summary {
    pub minimum: f64,
    pub median: f64,
    pub maximum: f64,
}

impl Summary {
    /// `None` if there are no samples.
    pub fn of(samples: &[f64]) -> Option<Self> {
        let mut sorted = samples.to_vec();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        let upper = *sorted.get(middle)?;
        let median = if sorted.len() % 2 == 1 {
            upper
        } else {
            f64::midpoint(sorted[middle - 1], upper)
        };
        Some(Self {
            minimum: *sorted.first()?,
            median,
            maximum: *sorted.last()?,
        })
    }
}

impl std::fmt::Display for Summary {
    /// `86.1 (85.0-91.2)`; one sample is just itself.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let median = figure(self.median);
        if self.minimum.total_cmp(&self.maximum).is_eq() {
            return f.write_str(&median);
        }
        write!(f, "{median} ({}-{})", figure(self.minimum), figure(self.maximum))
    }
}

/// A number with three digits that matter, or all of those before the point.
pub fn figure(value: f64) -> String {
    let size = value.abs();
    if size < f64::EPSILON {
        "0".to_owned()
    } else if size < 0.095 {
        format!("{value:.3}")
    } else if size < 9.95 {
        format!("{value:.2}")
    } else if size < 99.5 {
        format!("{value:.1}")
    } else {
        format!("{value:.0}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle_whatever_the_order() {
        assert_eq!(Summary::of(&[]), None);
        let odd = Summary::of(&[3.0, 1.0, 2.0]).unwrap();
        assert_eq!((odd.minimum, odd.median, odd.maximum), (1.0, 2.0, 3.0));
        let even = Summary::of(&[4.0, 1.0, 2.0, 3.0]).unwrap();
        assert!((even.median - 2.5).abs() < f64::EPSILON);
        assert_eq!(odd.to_string(), "2.00 (1.00-3.00)");
        assert_eq!(Summary::of(&[0.0]).unwrap().to_string(), "0");
    }

    #[test]
    fn figures_have_three_digits() {
        for (value, text) in [
            (0.0, "0"),
            (0.0123, "0.012"),
            (0.54, "0.54"),
            (9.96, "10.0"),
            (86.12, "86.1"),
            (430.4, "430"),
            (12345.6, "12346"),
        ] {
            assert_eq!(figure(value), text);
        }
    }
}
