//! Keys and certificates of a cluster: an authority, the aggregation layer's authority, and one certificate a program.
//!
//! Subjects are those that upstream's bootstrap policy and Node authorizer know, so no program has more rights than
//! upstream's.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};

/// A certificate with its key, in PEM.
#[derive(Clone, Debug)]
pub struct Pair {
    pub certificate: String,
    pub key: String,
}

impl Pair {
    /// Writes `NAME.crt` and `NAME.key`.
    pub fn write(&self, folder: &Path, name: &str) -> Result<()> {
        write(folder, &format!("{name}.crt"), &self.certificate)?;
        write(folder, &format!("{name}.key"), &self.key)
    }
}

fn write(folder: &Path, name: &str, text: &str) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let file = folder.join(name);
    crate::state::replace(&file, text.as_bytes())?;
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600))
        .with_context(|| format!("protecting {}", file.display()))
}

/// Whom a client certificate stands for.
pub struct Client<'a> {
    pub user: &'a str,
    pub group: Option<&'a str>,
}

/// A certificate authority.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    own: Pair,
}

impl Authority {
    pub fn new(name: &str) -> Result<Self> {
        let mut params = params(name, None, &[])?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![
            KeyUsagePurpose::DigitalSignature,
            KeyUsagePurpose::KeyCertSign,
            KeyUsagePurpose::CrlSign,
        ];
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?.pem();
        let own = Pair {
            certificate,
            key: key.serialize_pem(),
        };
        Ok(Self {
            issuer: Issuer::new(params, key),
            own,
        })
    }

    pub fn own(&self) -> &Pair {
        &self.own
    }

    /// A certificate for a client.
    pub fn client(&self, client: &Client<'_>) -> Result<Pair> {
        self.issue(
            params(client.user, client.group, &[])?,
            ExtendedKeyUsagePurpose::ClientAuth,
        )
    }

    /// A certificate for a server that goes by `names` (DNS names and addresses).
    pub fn server(&self, name: &str, names: &[String]) -> Result<Pair> {
        self.issue(params(name, None, names)?, ExtendedKeyUsagePurpose::ServerAuth)
    }

    fn issue(&self, mut params: CertificateParams, usage: ExtendedKeyUsagePurpose) -> Result<Pair> {
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![
            KeyUsagePurpose::DigitalSignature,
            KeyUsagePurpose::KeyEncipherment,
        ];
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?.pem();
        Ok(Pair {
            certificate,
            key: key.serialize_pem(),
        })
    }
}

fn params(name: &str, group: Option<&str>, names: &[String]) -> Result<CertificateParams> {
    let mut params = CertificateParams::new(names.to_vec())?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    if let Some(group) = group {
        params.distinguished_name.push(DnType::OrganizationName, group);
    }
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2070, 1, 1);
    Ok(params)
}

/// The key pair that signs service account tokens: `service-account.key` and `service-account.pub`.
pub fn write_service_account_keys(folder: &Path) -> Result<()> {
    let key = KeyPair::generate()?;
    write(folder, "service-account.key", &key.serialize_pem())?;
    write(folder, "service-account.pub", &key.public_key_pem())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_carry_the_user_and_the_group_that_rbac_looks_at() {
        let authority = Authority::new("rig").unwrap();
        let client = Client {
            user: "system:node:n1",
            group: Some("system:nodes"),
        };
        let pair = authority.client(&client).unwrap();
        assert!(pair.certificate.contains("BEGIN CERTIFICATE") && pair.key.contains("BEGIN PRIVATE KEY"));
        let folder = tempfile::tempdir().unwrap();
        pair.write(folder.path(), "kubelet").unwrap();
        let names = ["127.0.0.1".to_owned(), "localhost".to_owned()];
        authority
            .server("kube-apiserver", &names)
            .unwrap()
            .write(folder.path(), "apiserver")
            .unwrap();
        write_service_account_keys(folder.path()).unwrap();
        let public = fs::read_to_string(folder.path().join("service-account.pub")).unwrap();
        assert!(public.contains("BEGIN PUBLIC KEY"));
    }
}
