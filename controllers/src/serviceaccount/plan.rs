//! Which service accounts a namespace lacks.

use crate::api::{Namespace, NamespacePhase};

/// The accounts that every namespace has.
pub const ACCOUNTS: [&str; 1] = ["default"];

/// The accounts to create, given which exist. A namespace on its way out gets none.
pub fn missing(namespace: &Namespace, exists: impl Fn(&str) -> bool) -> Vec<&'static str> {
    if namespace.status.phase != NamespacePhase::Active || namespace.metadata.is_deleting() {
        return Vec::new();
    }
    ACCOUNTS.into_iter().filter(|name| !exists(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn active_namespaces_get_the_default_account() {
        let mut namespace = Namespace::default();
        assert_eq!(missing(&namespace, |_| false), ["default"]);
        assert!(missing(&namespace, |name| name == "default").is_empty());
        namespace.status.phase = NamespacePhase::Terminating;
        assert!(missing(&namespace, |_| false).is_empty());
    }
}
