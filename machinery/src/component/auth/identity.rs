//! Who asks.

use std::collections::BTreeMap;

/// The user that the API server does not know.
pub const ANONYMOUS: &str = "system:anonymous";
/// The group of everyone who is known.
pub const AUTHENTICATED: &str = "system:authenticated";
/// The group of everyone who is not.
pub const UNAUTHENTICATED: &str = "system:unauthenticated";
/// The group that may do everything.
pub const MASTERS: &str = "system:masters";

/// A user, as the API server's reviews tell it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The user's name.
    pub user: String,
    /// The user's unique id, where there is one.
    pub uid: String,
    /// The user's groups.
    pub groups: Vec<String>,
    /// Whatever else the authenticator told.
    pub extra: BTreeMap<String, Vec<String>>,
}

impl Identity {
    /// The unknown user.
    #[must_use]
    pub fn anonymous() -> Self {
        Self {
            user: ANONYMOUS.into(),
            groups: vec![UNAUTHENTICATED.into()],
            ..Self::default()
        }
    }

    /// The user of a verified client certificate: its common name, its organizations as groups.
    #[must_use]
    pub fn of_certificate(der: &[u8]) -> Option<Self> {
        let (_, certificate) = x509_parser::parse_x509_certificate(der).ok()?;
        let subject = certificate.subject();
        let user = subject.iter_common_name().next()?.as_str().ok()?.to_owned();
        let organizations = subject
            .iter_organization()
            .filter_map(|name| name.as_str().ok())
            .map(str::to_owned);
        let groups = organizations.chain([AUTHENTICATED.to_owned()]).collect();
        Some(Self {
            user,
            groups,
            ..Self::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_names_its_user_and_groups() {
        let mut params = rcgen::CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, "system:node:n1");
        params
            .distinguished_name
            .push(rcgen::DnType::OrganizationName, "system:nodes");
        let certificate = params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
        let identity = Identity::of_certificate(certificate.der()).unwrap();
        assert_eq!(identity.user, "system:node:n1");
        assert_eq!(identity.groups, ["system:nodes", AUTHENTICATED]);
        assert_eq!(Identity::of_certificate(b"no certificate"), None);
    }
}
