//! Label selectors (apimachinery `metav1.LabelSelector` and `labels.Selector`).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A selector as an object holds it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LabelSelector {
    /// Labels that must have these very values.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub match_labels: BTreeMap<Box<str>, Box<str>>,
    /// Further requirements, all of which must hold.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub match_expressions: Vec<Expression>,
}

/// One requirement as an object holds it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Expression {
    /// The label's key.
    pub key: Box<str>,
    /// `In`, `NotIn`, `Exists`, `DoesNotExist`; node selectors add `Gt` and `Lt`.
    pub operator: Box<str>,
    /// What the operator compares with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<Box<str>>,
}

/// An expression that no selector can be made of.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSelector {
    /// The operator is not one of the API's.
    #[error("{0:?} is not a valid label selector operator")]
    Operator(Box<str>),
    /// The operator needs values, or must have none.
    #[error("operator {operator:?} of key {key:?} has the wrong number of values ({count})")]
    Values {
        /// The requirement's key.
        key: Box<str>,
        /// Its operator.
        operator: Box<str>,
        /// How many values it has.
        count: usize,
    },
    /// The text form could not be read.
    #[error("unable to parse the selector {text:?} at byte {at}: {why}")]
    Text {
        /// The whole text.
        text: Box<str>,
        /// Where reading ended.
        at: usize,
        /// What was expected there.
        why: &'static str,
    },
}

/// What one requirement asks of a label's value.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Test {
    /// The value is one of these (sorted).
    In(Box<[Box<str>]>),
    /// The label is absent or its value none of these (sorted).
    NotIn(Box<[Box<str>]>),
    /// The label is there.
    Exists,
    /// The label is absent.
    DoesNotExist,
    /// The value is an integer above this one.
    Gt(i64),
    /// The value is an integer below this one.
    Lt(i64),
}

/// One requirement, ready to be asked.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Requirement {
    /// The label's key.
    pub key: Box<str>,
    /// What its value must be.
    pub test: Test,
}

impl Requirement {
    /// Makes a requirement of an expression.
    ///
    /// # Errors
    /// The operator is unknown or has the wrong number of values.
    pub fn new(expression: &Expression) -> Result<Self, InvalidSelector> {
        let values = || {
            let mut values = expression.values.clone();
            values.sort_unstable();
            values.into_boxed_slice()
        };
        let count = || InvalidSelector::Values {
            key: expression.key.clone(),
            operator: expression.operator.clone(),
            count: expression.values.len(),
        };
        let number = || match &*expression.values {
            [one] => one.parse().map_err(|_| count()),
            _ => Err(count()),
        };
        let test = match &*expression.operator {
            "In" | "NotIn" if expression.values.is_empty() => return Err(count()),
            "Exists" | "DoesNotExist" if !expression.values.is_empty() => return Err(count()),
            "In" => Test::In(values()),
            "NotIn" => Test::NotIn(values()),
            "Exists" => Test::Exists,
            "DoesNotExist" => Test::DoesNotExist,
            "Gt" => Test::Gt(number()?),
            "Lt" => Test::Lt(number()?),
            other => return Err(InvalidSelector::Operator(other.into())),
        };
        Ok(Self {
            key: expression.key.clone(),
            test,
        })
    }

    /// Whether a label with this value (or its absence) meets the requirement.
    #[must_use]
    pub fn accepts(&self, value: Option<&str>) -> bool {
        let among = |values: &[Box<str>], value: &str| values.iter().any(|one| **one == *value);
        match (&self.test, value) {
            (Test::In(values), Some(value)) => among(values, value),
            (Test::NotIn(values), Some(value)) => !among(values, value),
            (Test::NotIn(_) | Test::DoesNotExist, None) | (Test::Exists, Some(_)) => true,
            (Test::Gt(bound), Some(value)) => value.parse::<i64>().is_ok_and(|number| number > *bound),
            (Test::Lt(bound), Some(value)) => value.parse::<i64>().is_ok_and(|number| number < *bound),
            (Test::In(_) | Test::Exists | Test::Gt(_) | Test::Lt(_), None)
            | (Test::DoesNotExist, Some(_)) => false,
        }
    }
}

/// A selector that is ready to be asked; without requirements it selects everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Selector {
    requirements: Box<[Requirement]>,
}

impl Selector {
    /// The selector of all `requirements`; their order does not matter.
    #[must_use]
    pub fn new(mut requirements: Vec<Requirement>) -> Self {
        requirements.sort_unstable();
        Self {
            requirements: requirements.into_boxed_slice(),
        }
    }

    /// Selects everything.
    #[must_use]
    pub fn everything() -> Self {
        Self::default()
    }

    /// Selects objects whose labels have all these values, as a Service's or a
    /// ReplicationController's `spec.selector` does.
    #[must_use]
    pub fn from_set<K: AsRef<str>, V: AsRef<str>>(set: impl IntoIterator<Item = (K, V)>) -> Self {
        let one = |(key, value): (K, V)| Requirement {
            key: key.as_ref().into(),
            test: Test::In([value.as_ref().into()].into()),
        };
        Self::new(set.into_iter().map(one).collect())
    }

    /// Its requirements, sorted.
    #[must_use]
    pub fn requirements(&self) -> &[Requirement] {
        &self.requirements
    }

    /// Whether it selects everything.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.requirements.is_empty()
    }

    /// Whether an object is selected whose labels `value_of` looks up.
    pub fn matches<'a>(&self, value_of: impl Fn(&str) -> Option<&'a str>) -> bool {
        self.requirements
            .iter()
            .all(|requirement| requirement.accepts(value_of(&requirement.key)))
    }
}

impl TryFrom<&LabelSelector> for Selector {
    type Error = InvalidSelector;

    /// An empty `LabelSelector` selects everything; that an absent one selects nothing is the
    /// caller's `Option`.
    fn try_from(selector: &LabelSelector) -> Result<Self, Self::Error> {
        let labels = selector.match_labels.iter().map(|(key, value)| {
            Ok(Requirement {
                key: key.clone(),
                test: Test::In([value.clone()].into()),
            })
        });
        let expressions = selector.match_expressions.iter().map(|expression| {
            if matches!(&*expression.operator, "Gt" | "Lt") {
                return Err(InvalidSelector::Operator(expression.operator.clone()));
            }
            Requirement::new(expression)
        });
        labels.chain(expressions).collect::<Result<_, _>>().map(Self::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selector(json: &str) -> Result<Selector, InvalidSelector> {
        Selector::try_from(&serde_json::from_str::<LabelSelector>(json).unwrap())
    }

    #[test]
    fn each_operator_on_a_match_a_miss_and_an_absent_label() {
        let e = |operator: &str, values: &str| {
            format!(r#"{{"matchExpressions":[{{"key":"a","operator":"{operator}","values":{values}}}]}}"#)
        };
        for (json, one, two, absent) in [
            (r#"{"matchLabels":{"a":"1"}}"#.to_owned(), true, false, false),
            (e("In", r#"["0","1"]"#), true, false, false),
            (e("NotIn", r#"["1"]"#), false, true, true),
            (e("Exists", "[]"), true, true, false),
            (e("DoesNotExist", "[]"), false, false, true),
            ("{}".to_owned(), true, true, true),
        ] {
            let selector = selector(&json).unwrap();
            let with = |value: Option<&'static str>| selector.matches(|key| value.filter(|_| key == "a"));
            assert_eq!(
                (with(Some("1")), with(Some("2")), with(None)),
                (one, two, absent),
                "{json}"
            );
        }
    }

    #[test]
    fn bad_expressions_are_named() {
        for json in [
            r#"{"matchExpressions":[{"key":"a","operator":"Like","values":["x"]}]}"#,
            r#"{"matchExpressions":[{"key":"a","operator":"In"}]}"#,
            r#"{"matchExpressions":[{"key":"a","operator":"Exists","values":["x"]}]}"#,
            r#"{"matchExpressions":[{"key":"a","operator":"Gt","values":["1"]}]}"#,
        ] {
            assert!(selector(json).is_err(), "{json}");
        }
    }

    #[test]
    fn the_order_of_requirements_does_not_matter() {
        let one = Selector::from_set([("a", "1"), ("b", "2")]);
        let two = Selector::from_set([("b", "2"), ("a", "1")]);
        assert_eq!(one, two);
    }

    #[test]
    fn integers_are_compared_as_integers() {
        let gt = Requirement::new(&Expression {
            key: "a".into(),
            operator: "Gt".into(),
            values: vec!["9".into()],
        });
        assert!(gt.as_ref().unwrap().accepts(Some("10")));
        assert!(!gt.as_ref().unwrap().accepts(Some("x")));
        assert!(!gt.unwrap().accepts(None));
    }
}
