//! The name of an object within its kind.

use std::fmt;
use std::str::FromStr;

use super::Istr;

/// Namespace and name; the namespace is empty for a cluster-scoped object.
///
/// Shown and parsed in client-go's form: `namespace/name`, or `name` alone.
#[derive(Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectKey {
    pub namespace: Istr,
    pub name: Istr,
}

impl ObjectKey {
    /// A key in `namespace`, or of a cluster-scoped object if that is empty.
    pub fn new(namespace: impl Into<Istr>, name: impl Into<Istr>) -> Self {
        ObjectKey {
            namespace: namespace.into(),
            name: name.into(),
        }
    }

    /// The key of a cluster-scoped object.
    pub fn cluster(name: impl Into<Istr>) -> Self {
        ObjectKey {
            namespace: Istr::default(),
            name: name.into(),
        }
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            f.write_str(&self.name)
        } else {
            write!(f, "{}/{}", self.namespace, self.name)
        }
    }
}
impl fmt::Debug for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not `name` or `namespace/name`.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is not an object key: expected NAME or NAMESPACE/NAME")]
pub struct InvalidKey(String);

impl FromStr for ObjectKey {
    type Err = InvalidKey;
    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        match text.split_once('/') {
            None if !text.is_empty() => Ok(ObjectKey::cluster(text)),
            Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() && !name.contains('/') => {
                Ok(ObjectKey::new(namespace, name))
            }
            _ => Err(InvalidKey(text.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_read_and_print_as_client_go_does() {
        for text in ["node-1", "default/web"] {
            assert_eq!(text.parse::<ObjectKey>().unwrap().to_string(), text);
        }
        for text in ["", "/", "a/", "/b", "a/b/c"] {
            assert!(text.parse::<ObjectKey>().is_err(), "{text}");
        }
    }
}
