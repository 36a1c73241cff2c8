//! Node selectors (core/v1 `NodeSelector`): terms of which one must hold, each of requirements on
//! labels and fields of which all must hold.

use serde::{Deserialize, Serialize};

use super::selector::{Expression, InvalidSelector, Requirement};

/// Terms as an object holds them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeSelector {
    /// One of these must hold.
    pub node_selector_terms: Vec<NodeSelectorTerm>,
}

/// One term as an object holds it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeSelectorTerm {
    /// Requirements on labels.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub match_expressions: Vec<Expression>,
    /// Requirements on fields; `metadata.name` is the only one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub match_fields: Vec<Expression>,
}

/// A term that is ready to be asked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Term {
    /// All must hold on the node's labels.
    pub labels: Box<[Requirement]>,
    /// All must hold on the node's name.
    pub name: Box<[Requirement]>,
}

impl Term {
    /// Makes a term; `None` where it is empty, which selects nothing.
    ///
    /// # Errors
    /// An expression is invalid, or a field is not `metadata.name`.
    pub fn new(term: &NodeSelectorTerm) -> Result<Option<Self>, InvalidSelector> {
        if term.match_expressions.is_empty() && term.match_fields.is_empty() {
            return Ok(None);
        }
        if let Some(other) = term
            .match_fields
            .iter()
            .find(|field| &*field.key != "metadata.name")
        {
            return Err(InvalidSelector::Operator(other.key.clone()));
        }
        let all =
            |expressions: &[Expression]| expressions.iter().map(Requirement::new).collect::<Result<_, _>>();
        Ok(Some(Self {
            labels: all(&term.match_expressions)?,
            name: all(&term.match_fields)?,
        }))
    }

    /// Whether a node of this name is selected whose labels `value_of` looks up.
    pub fn matches<'a>(&self, name: &str, value_of: impl Fn(&str) -> Option<&'a str>) -> bool {
        self.labels
            .iter()
            .all(|requirement| requirement.accepts(value_of(&requirement.key)))
            && self
                .name
                .iter()
                .all(|requirement| requirement.accepts(Some(name)))
    }
}

/// The terms of `selector` that can hold. Terms are or-ed, so one that is invalid only drops out.
#[must_use]
pub fn terms(selector: &NodeSelector) -> Box<[Term]> {
    selector
        .node_selector_terms
        .iter()
        .filter_map(|term| Term::new(term).ok().flatten())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_are_or_ed_and_requirements_and_ed() {
        let selector: NodeSelector = serde_json::from_str(
            r#"{"nodeSelectorTerms":[
                {"matchExpressions":[{"key":"zone","operator":"In","values":["a"]},{"key":"gpu","operator":"Exists"}]},
                {"matchFields":[{"key":"metadata.name","operator":"In","values":["n7"]}]},
                {}]}"#,
        )
        .unwrap();
        let terms = terms(&selector);
        let selected = |name: &str, labels: &[(&'static str, &'static str)]| {
            let value_of = |key: &str| labels.iter().find(|(k, _)| *k == key).map(|(_, v)| *v);
            terms.iter().any(|term| term.matches(name, value_of))
        };
        assert!(selected("n1", &[("zone", "a"), ("gpu", "")]));
        assert!(!selected("n1", &[("zone", "a")]));
        assert!(selected("n7", &[]));
        assert!(!selected("n8", &[]));
    }
}
