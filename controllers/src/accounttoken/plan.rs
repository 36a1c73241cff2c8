//! What a token Secret lacks.

use machinery::meta::{Istr, Object, ObjectMeta};
use serde::{Deserialize, Deserializer};

pub const ACCOUNT_NAME: &str = "kubernetes.io/service-account.name";
pub const ACCOUNT_UID: &str = "kubernetes.io/service-account.uid";

/// A core/v1 `Secret` that holds a token. The token itself is not kept in memory.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct TokenSecret {
    pub metadata: ObjectMeta,
    pub data: TokenData,
}

impl Object for TokenSecret {
    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct TokenData {
    #[serde(rename = "token", deserialize_with = "is_there")]
    has_token: bool,
    #[serde(rename = "namespace", deserialize_with = "is_there")]
    has_namespace: bool,
    /// In base64.
    #[serde(rename = "ca.crt")]
    ca: Istr,
}

fn is_there<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Ok(Option::<Box<str>>::deserialize(deserializer)?.is_some_and(|text| !text.is_empty()))
}

/// What is to be filled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lacks {
    pub token: bool,
    pub namespace: bool,
    pub authority: bool,
}

impl TokenSecret {
    /// What is to be filled in; `authority` is in base64.
    pub fn lacks(&self, authority: Option<&str>) -> Option<Lacks> {
        let lacks = Lacks {
            token: !self.data.has_token,
            namespace: !self.data.has_namespace,
            authority: authority.is_some_and(|wanted| *wanted != *self.data.ca),
        };
        (lacks.token || lacks.namespace || lacks.authority).then_some(lacks)
    }

    /// Whether the Secret is this account's.
    pub fn is_of(&self, account: &ObjectMeta) -> bool {
        let annotations = &self.metadata.annotations;
        self.metadata.namespace == account.namespace
            && annotations.get(ACCOUNT_NAME) == Some(&account.name)
            && annotations
                .get(ACCOUNT_UID)
                .is_none_or(|uid| uid.is_empty() || *uid == *account.uid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_filled_in() {
        let secret =
            |data: &str| -> TokenSecret { serde_json::from_str(&format!(r#"{{"data":{data}}}"#)).unwrap() };
        let full = secret(r#"{"token":"dA==","namespace":"bg==","ca.crt":"Y2E="}"#);
        assert_eq!(full.lacks(Some("Y2E=")), None);
        assert_eq!(full.lacks(None), None);
        assert!(
            full.lacks(Some("bmV3"))
                .is_some_and(|lacks| lacks.authority && !lacks.token)
        );
        assert!(
            secret("{}")
                .lacks(None)
                .is_some_and(|lacks| lacks.token && lacks.namespace)
        );
        assert!(
            secret(r#"{"token":""}"#)
                .lacks(None)
                .is_some_and(|lacks| lacks.token)
        );
    }
}
